//! Long records, batches, and sinks that fail.

use keytrail_decode::reference::{Collected, collect};
use keytrail_decode::{DecodeError, DecodeOptions, Decoder, Reject, Rows, Sink, SinkError};
use keytrail_model::schema;

use super::{TIME, assert_conserved, expand, outline, record};

const LIMIT: usize = 200;

fn options() -> DecodeOptions {
    DecodeOptions { max_record_bytes: LIMIT, ..DecodeOptions::default() }
}

fn padded(length: usize) -> String {
    record(&"p".repeat(length - record("").len()))
}

/// The member in several chunkings, which must agree.
fn decode(member: &str, options: DecodeOptions) -> Collected {
    let mut decoder = Decoder::new(options);
    let (whole, summary) = collect(&mut decoder, [member.as_bytes()]).unwrap();
    assert_conserved(&whole, summary);
    for size in [1, 13, 100, LIMIT, 5000] {
        let (chunked, _) = collect(&mut decoder, member.as_bytes().chunks(size)).unwrap();
        assert_eq!(chunked, whole, "in chunks of {size}");
    }
    whole
}

#[test]
fn records_up_to_the_limit_are_taken() {
    for (open, separator, close) in [("[", ",", "]"), ("", "\n", ""), ("", "\r\n", "\r\n")] {
        let member = format!("{open}{}{separator}{}{close}", padded(LIMIT), padded(LIMIT - 1));
        assert_eq!(decode(&member, options()).rows.len(), 2, "{member}");
    }
}

#[test]
fn a_longer_line_is_one_reject_that_names_its_length() {
    let long = padded(LIMIT + 1);
    for (end, length) in [("\n", LIMIT + 1), ("\r\n", LIMIT + 2)] {
        let collected = decode(&expand(&format!("$a\n{long}{end}$b")), options());
        assert_eq!(collected.rows.len(), 2);
        let Reject { ordinal, offset, reason, raw } = &collected.rejects[0];
        assert_eq!((*ordinal, *offset, raw.as_slice()), (1, 52, &long.as_bytes()[..LIMIT]));
        assert_eq!(*reason, format!("expected a line of at most 200 bytes, found {length} bytes at byte 52"));
    }
    let endless = format!("{{{}", "x".repeat(100_000));
    assert_eq!(decode(&endless, options()).rejects[0].raw.len(), LIMIT);
}

#[test]
fn a_longer_element_is_one_reject() {
    let long = padded(LIMIT + 1);
    let collected = decode(&expand(&format!("[$a,{long},$b]")), options());
    assert_eq!(outline(&collected), format!("a !53\"{}\" b", &long[..LIMIT]));
    assert_eq!(collected.rejects[0].reason, "expected a record of at most 200 bytes, found a longer one at byte 53");
    // Nothing behind it: the rest of the member belongs to it.
    assert_eq!(outline(&decode(&format!("[{long}]"), options())), format!("!1\"{}\"", &long[..LIMIT]));
    // A record in what seems to be one is found.
    let swallowed = expand(&format!("[{{\"x\":\"{},$a,$b]", "y".repeat(300)));
    assert_eq!(decode(&swallowed, options()).rows.len(), 2);
    // Other elements.
    for open in ["\"", "[", "1"] {
        let collected = decode(&expand(&format!("[$a,{open}{},$b]", "1".repeat(400))), options());
        assert_eq!((collected.rows.len(), collected.rejects.len()), (2, 1), "{open}");
        assert_eq!(collected.rejects[0].raw.len(), LIMIT);
    }
    // Commas and blanks without end.
    assert_eq!(decode(&expand(&format!("[$a{}$b]", ",".repeat(1000))), options()).rejects[0].raw.len(), LIMIT);
    assert_eq!(decode(&expand(&format!("[$a{},{}$b]", " ".repeat(9000), "\n".repeat(9000))), options()).rows.len(), 2);
}

#[test]
fn long_records_are_decoded_as_short_ones_are() {
    let list = vec!["{\"b\":\"x\\ny\",\"a\":[1,2.50,null]}"; 20_000].join(", ");
    let kept = vec!["{\"a\":[1,2.5,null],\"b\":\"x\\ny\"}"; 20_000].join(",");
    for meta in [format!("{{\"l\":[{list}]}}"), serde_json::to_string(&format!("{{\"l\":[{list}]}}")).unwrap()] {
        let long = format!("{{\"time\":\"{TIME}\",\"action\":\"l\",\"meta\":{meta}}}");
        let (collected, _) = collect(
            &mut Decoder::new(DecodeOptions::default()),
            expand(&format!("[$a,{long},$b]")).as_bytes().chunks(9999),
        )
        .unwrap();
        assert_eq!(outline(&collected), "a l b");
        assert_eq!(collected.rows[1].1.text("extra"), Some(format!("{{\"meta\":{{\"l\":[{kept}]}}}}").as_str()));
    }
}

#[test]
fn a_decoder_can_be_given_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Decoder>();
}

/// Counts what it gets and how large the batches are.
#[derive(Default)]
struct Sizes(Vec<usize>);

impl Sink for Sizes {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        let batch = rows.into_batch()?;
        assert_eq!(batch.schema(), schema::decoded_schema());
        self.0.push(batch.num_rows());
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        panic!("{reject:?}")
    }
}

#[test]
fn batches_are_full_but_for_the_last() {
    let member = vec![record("a"); 25].join("\n");
    let sizes = |options| {
        let (mut decoder, mut sizes) = (Decoder::new(options), Sizes::default());
        decoder.push(member.as_bytes(), &mut sizes).unwrap();
        decoder.finish(&mut sizes).unwrap();
        decoder.push(b"[]", &mut sizes).unwrap();
        decoder.finish(&mut sizes).unwrap();
        sizes.0
    };
    assert_eq!(sizes(DecodeOptions { batch_rows: 10, ..DecodeOptions::default() }), [10, 10, 5]);
    assert_eq!(sizes(DecodeOptions { batch_rows: 5, ..DecodeOptions::default() }), [5; 5]);
    assert_eq!(sizes(DecodeOptions::default()), [25]);
    let bytes = record("a").len();
    assert_eq!(sizes(DecodeOptions { batch_bytes: 1, ..DecodeOptions::default() }), [1; 25]);
    assert_eq!(sizes(DecodeOptions { batch_bytes: 10 * bytes, ..DecodeOptions::default() }), [10, 10, 5]);
    assert_eq!(sizes(DecodeOptions { batch_bytes: 10 * bytes + 1, ..DecodeOptions::default() }), [11, 11, 3]);
    assert_eq!(
        sizes(DecodeOptions {
            batch_rows: 0,
            batch_bytes: 0,
            max_record_bytes: 0,
            max_depth: 0,
            ..DecodeOptions::default()
        }),
        [1; 25]
    );
}

/// Fails at the n-th call.
struct Failing(usize);

impl Failing {
    fn call(&mut self) -> Result<(), SinkError> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| SinkError::new("disk full"))?;
        Ok(())
    }
}

impl Sink for Failing {
    fn rows(&mut self, _: Rows<'_>) -> Result<(), SinkError> {
        self.call()
    }

    fn reject(&mut self, _: Reject) -> Result<(), SinkError> {
        self.call()
    }
}

#[test]
fn a_failing_sink_ends_the_member_and_the_decoder_goes_on_with_the_next() {
    let member = expand("[$a,x,$b,$c,,$d]");
    for batch_rows in [1, 2, 100] {
        let mut decoder = Decoder::new(DecodeOptions { batch_rows, ..DecodeOptions::default() });
        for calls in 0..3 {
            let mut sink = Failing(calls);
            let failed =
                decoder.push(member.as_bytes(), &mut sink).and_then(|()| decoder.finish(&mut sink).map(|_| ()));
            let error = failed.unwrap_err();
            assert!(matches!(error, DecodeError::Sink(_)));
            assert_eq!(error.to_string(), "sink of records: disk full");
            decoder.reset();
            let (collected, summary) = collect(&mut decoder, [member.as_bytes()]).unwrap();
            assert_conserved(&collected, summary);
            assert_eq!(outline(&collected), "a !53\"x\" b c !159\",\" d");
        }
    }
}

#[test]
fn hostile_members_take_time_in_proportion_to_their_length() {
    // Each of these once made the decoder look at the same bytes again and again.
    let patterns = [
        "{\"a\":\"b,\"c\":1},",
        "{\"a\":[0,",
        ",[",
        "[1,{\"\":0},",
        "{\"\":0},[",
        "{          ",
        "\"a\":{\"b\":1},",
        "[\"x,{\"y ",
        "]",
        "\\\"",
    ];
    for pattern in patterns {
        let member = format!("[{}", pattern.repeat(2_000_000 / pattern.len()));
        let start = std::time::Instant::now();
        let (mut decoder, mut collected) = (Decoder::new(DecodeOptions::default()), Collected::default());
        for chunk in member.as_bytes().chunks(64 * 1024) {
            decoder.push(chunk, &mut collected).unwrap();
        }
        decoder.finish(&mut collected).unwrap();
        assert!(start.elapsed().as_secs() < 60, "{pattern} took {:?}", start.elapsed());
    }
}
