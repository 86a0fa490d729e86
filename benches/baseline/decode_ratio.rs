//! `decode-ratio [--records N] [--load sessions|busy] [--archives FOLDER] [--rounds N] [--floor X]`: the speed of decoding as a part of the
//! speed of inflating.
//!
//! Answers for one figure that holds on noisy machines: archives, generated or at hand, are inflated alone and inflated, checked (CRC) and decoded, in
//! turn, on one core, and the median of the rounds' ratios is told, with nanoseconds per record for each. Below `--floor` it fails: a guard
//! against slowing the decoder down. Knows nothing of files, stores and other cores.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use keytrail_decode::{DecodeOptions, Decoder, Reject, Rows, Sink, SinkError};
use keytrail_generate::{GenerateOptions, Load, generate};
use libdeflater::{Crc, Decompressor};

type Fault = Box<dyn Error + Send + Sync>;

/// Bytes handed to the decoder at once, as ingest does.
const PIECE_BYTES: usize = 256 << 10;

const USAGE: &str = "decode-ratio [--records N] [--load sessions|busy] [--archives FOLDER] [--rounds N] [--floor X]";

struct Arguments {
    records: u64,
    load: Load,
    /// ZIPs of one deflated member each, read into memory; instead of generated ones.
    archives: Option<PathBuf>,
    rounds: usize,
    floor: f64,
}

/// A member as it lies in its archive.
struct Member {
    deflated: Vec<u8>,
    length: usize,
    crc: u32,
}

/// Nanoseconds per record of one round.
#[derive(Clone, Copy)]
struct Round {
    inflate: f64,
    decode: f64,
    general: f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = parse(&arguments).and_then(|arguments| Ok((measure(&arguments)?, arguments)));
    let told = outcome.and_then(|(mut rounds, arguments)| tell(&mut rounds, &arguments));
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "decode-ratio: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Arguments, Fault> {
    let mut parsed = Arguments { records: 200_000, load: Load::Busy, archives: None, rounds: 9, floor: 0.0 };
    for pair in arguments.chunks(2) {
        match pair {
            [option, value] if option == "--records" => parsed.records = value.parse()?,
            [option, value] if option == "--load" => parsed.load = value.parse()?,
            [option, value] if option == "--archives" => parsed.archives = Some(value.into()),
            [option, value] if option == "--rounds" => parsed.rounds = value.parse()?,
            [option, value] if option == "--floor" => parsed.floor = value.parse()?,
            _ => return Err(format!("usage: {USAGE}").into()),
        }
    }
    Ok(parsed)
}

fn measure(arguments: &Arguments) -> Result<Vec<Round>, Fault> {
    let (members, expected) = match &arguments.archives {
        Some(folder) => (members_of(folder)?, None),
        None => (generated(arguments)?, Some(arguments.records)),
    };
    let mut bench = Bench {
        decompressor: Decompressor::new(),
        json: vec![0; members.iter().map(|member| member.length).max().unwrap_or_default()],
        members,
    };
    let mut usual = Decoder::new(DecodeOptions::default());
    let mut general = Decoder::new(DecodeOptions { usual_shapes: false, ..DecodeOptions::default() });
    let mut rounds = Vec::new();
    // The first round warms up and does not count.
    for round in 0..=arguments.rounds.max(1) {
        let (inflate, _) = bench.time(None)?;
        let (decode, records) = bench.time(Some(&mut usual))?;
        let (general, by_general) = bench.time(Some(&mut general))?;
        let expected = expected.unwrap_or(by_general);
        if records == 0 || [records, by_general] != [expected; 2] {
            let found = format!("{records}, and {by_general} by the general way");
            return Err(format!("expected {expected} records, and some, found {found}").into());
        }
        let of_record = |seconds: f64| seconds * 1e9 / records as f64;
        if round > 0 {
            let [inflate, decode, general] = [inflate, decode, general].map(of_record);
            rounds.push(Round { inflate, decode, general });
        }
    }
    Ok(rounds)
}

fn generated(arguments: &Arguments) -> Result<Vec<Member>, Fault> {
    let folder = tempfile::tempdir()?;
    let options =
        GenerateOptions { records: arguments.records, archives: 4, ..GenerateOptions::of_load(arguments.load) };
    generate(&options, folder.path())?;
    members_of(&folder.path().join("archives"))
}

fn members_of(folder: &std::path::Path) -> Result<Vec<Member>, Fault> {
    let mut members = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let mut zip = zip::ZipArchive::new(File::open(entry?.path())?)?;
        let mut member = zip.by_index_raw(0)?;
        let (length, crc, mut deflated) = (usize::try_from(member.size())?, member.crc32(), Vec::new());
        member.read_to_end(&mut deflated)?;
        members.push(Member { deflated, length, crc });
    }
    Ok(members)
}

struct Bench {
    decompressor: Decompressor,
    json: Vec<u8>,
    members: Vec<Member>,
}

impl Bench {
    /// Seconds of inflating all members, and of checking and decoding them where there is a decoder; with the records that it found.
    fn time(&mut self, mut decoder: Option<&mut Decoder>) -> Result<(f64, u64), Fault> {
        let mut counted = Counted(0);
        let start = Instant::now();
        for member in &self.members {
            let length = self.decompressor.deflate_decompress(&member.deflated, &mut self.json)?;
            let json =
                self.json.get(..length).filter(|_| length == member.length).ok_or("a member of another length")?;
            let Some(decoder) = &mut decoder else {
                continue;
            };
            let mut crc = Crc::new();
            for piece in json.chunks(PIECE_BYTES) {
                decoder.push(piece, &mut counted)?;
                crc.update(piece);
            }
            if crc.sum() != member.crc {
                return Err("a member of another checksum".into());
            }
            decoder.finish(&mut counted)?;
        }
        Ok((start.elapsed().as_secs_f64(), counted.0))
    }
}

/// Counts rows; a reject is a fault, since generated records are good.
struct Counted(u64);

impl Sink for Counted {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        let batch = rows.into_batch()?;
        self.0 += batch.num_rows() as u64;
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        Err(SinkError::new(reject.reason))
    }
}

/// Prints the medians; whether the floor is kept.
fn tell(rounds: &mut [Round], arguments: &Arguments) -> Result<bool, Fault> {
    let mut median = |figure: fn(&Round) -> f64| {
        rounds.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
        rounds.get(rounds.len() / 2).map_or(f64::NAN, figure)
    };
    let ratio = median(|round| round.inflate / round.decode);
    let general = median(|round| round.inflate / round.general);
    let (inflate, decode) = (median(|round| round.inflate), median(|round| round.decode));
    let mut out = std::io::stdout();
    writeln!(out, "inflate alone:                  {inflate:6.0} ns a record")?;
    writeln!(
        out,
        "inflate, CRC and decode:        {decode:6.0} ns a record, {ratio:.2} of the speed of inflating alone"
    )?;
    writeln!(out, "the same by the general way:    {:6.0} ns a record, {general:.2}", median(|round| round.general))?;
    if ratio < arguments.floor {
        writeln!(std::io::stderr(), "decode-ratio: expected at least {:.2}, found {ratio:.2}", arguments.floor)?;
    }
    Ok(ratio >= arguments.floor)
}
