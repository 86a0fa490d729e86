//! How fast the decoder is on records as the service writes them. Run by hand:
//! `cargo test --release -p keytrail-decode -- --ignored --nocapture speed`

use std::fmt::Write as _;
use std::time::Instant;

use keytrail_decode::{DecodeOptions, Decoder, Reject, Rows, Sink, SinkError};

struct Counting(usize);

impl Sink for Counting {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        let batch = rows.into_batch()?;
        self.0 += batch.num_rows();
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        panic!("{reject:?}")
    }
}

/// About as many bytes of records, in the service's shape.
fn member(bytes: usize, list: bool, text: bool) -> String {
    let mut member = String::with_capacity(bytes + 1024);
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    member.push_str(if list { "[" } else { "" });
    while member.len() < bytes {
        if member.len() > 1 {
            member.push_str(if list { "," } else { "\n" });
        }
        let (a, b) = (random(), random());
        let (second, micro, client, key) = (a % 60, a / 60 % 1_000_000, b % 40, b / 40 % 5000);
        let q = if text { "\\\"" } else { "\"" };
        let meta_quote = if text { "\"" } else { "" };
        write!(
            member,
            "{{\"time\":\"2026-01-05 08:00:{second:02}.{micro:06} UTC\",\"source\":\"thales/cloudhsm/1300000000001\",\
             \"resourceID\":\"0b1c0000-0000-4000-8000-000000000001\",\"actorID\":\"0b1c0000-0000-4000-8000-0000000000{client:02}\",\
             \"tenantID\":\"0b1c0000-0000-4000-8000-0000000000f1\",\"action\":\"LUNA_SIGN_SINGLEPART\",\"status\":\"LUNA_RET_OK\",\
             \"traceID\":\"{a:021}{b:022}\",\"meta\":{meta_quote}{{{q}clientip{q}:{q}192.0.2.{client}{q},{q}hsmid{q}:{q}500001{q},\
             {q}ouid{q}:{q}2c00000500000121a1{key:06}{q},{q}partid{q}:{q}1300000000001{q},{q}role{q}:{q}CU{q}}}{meta_quote}}}"
        )
        .unwrap();
    }
    member.push_str(if list { "]" } else { "" });
    member
}

#[test]
#[ignore = "takes seconds and says nothing in a debug build"]
fn speed() {
    for (list, text) in [(true, true), (true, false), (false, true), (false, false)] {
        let member = member(100_000_000, list, text);
        let mut decoder = Decoder::new(DecodeOptions::default());
        let mut best = f64::INFINITY;
        let mut rows = 0;
        for _ in 0..4 {
            let start = Instant::now();
            let mut sink = Counting(0);
            for chunk in member.as_bytes().chunks(128 * 1024) {
                decoder.push(chunk, &mut sink).unwrap();
            }
            decoder.finish(&mut sink).unwrap();
            best = best.min(start.elapsed().as_secs_f64());
            rows = sink.0;
        }
        let megabytes = member.len() as f64 / 1e6;
        println!(
            "{} meta as {}: {:.0} MB/s, {:.0} ns a record of {} bytes",
            if list { "list, " } else { "lines," },
            if text { "text  " } else { "object" },
            megabytes / best,
            best * 1e9 / rows as f64,
            member.len() / rows
        );
    }
}
