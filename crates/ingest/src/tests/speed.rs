//! What staging, the check for duplicates and writing take, each by itself. Not a test of right or wrong:
//! `cargo test --release -p keytrail-ingest -- --ignored --nocapture speed`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keytrail_decode::{DecodeOptions, Decoder, Reject, Rows, Sink, SinkError};
use keytrail_generate::{Container, GenerateOptions, generate};
use keytrail_store::Writer;

use super::*;
use crate::archive::{Archive, DecodedArchive};
use crate::digest::FileDigest;
use crate::early::EarlyFiles;
use crate::staging::{StagingReader, StagingWriter};
use crate::write::{RowSource, write_events};
use crate::{dedupe, plan};

const ROWS: u64 = 1 << 20;

struct Batches(Vec<RecordBatch>);

impl Sink for Batches {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        let batch = rows.into_batch()?;
        self.0.push(batch);
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        panic!("{}", reject.reason)
    }
}

/// A record batch for each 16 Ki records of a generated log.
fn batches(folder: &Path) -> Vec<RecordBatch> {
    let options =
        GenerateOptions { records: ROWS, archives: 1, container: Container::PlainLines, ..GenerateOptions::default() };
    generate(&options, folder).unwrap();
    let archive = std::fs::read_dir(folder.join("archives")).unwrap().next().unwrap().unwrap().path();
    let json = std::fs::read(archive).unwrap();
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut batches = Batches(Vec::new());
    json.chunks(1 << 20).for_each(|chunk| decoder.push(chunk, &mut batches).unwrap());
    decoder.finish(&mut batches).unwrap();
    batches.0
}

fn archive(name: &str) -> Archive {
    let mut digest = FileDigest::of(Path::new("Cargo.toml")).unwrap();
    digest.sha256 = name.repeat(64);
    Archive { path: PathBuf::from(name), digest }
}

fn print(step: &str, took: Duration, rows: u64) {
    println!("{step:28} {:7.1} ns a row", took.as_nanos() as f64 / rows as f64);
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let folder = tempfile::tempdir().unwrap();
    let batches = batches(&folder.path().join("generated"));
    let pool = rayon::ThreadPoolBuilder::new().build().unwrap();
    println!("{ROWS} rows, {} threads", pool.current_num_threads());
    for (what, copies) in [("one archive", 1), ("two archives of equal records", 2)] {
        let store = Writer::open(&folder.path().join(what), &mut || ()).unwrap();
        let staging = store.staging_dir().join("run");
        std::fs::create_dir(&staging).unwrap();
        println!("{what}:");
        let start = Instant::now();
        let mut writer = StagingWriter::create(&staging, 0, 12, Arc::default()).unwrap();
        let decoded: Vec<_> = (0..copies).map(|_| Box::new(stage(&mut writer, &batches))).collect();
        print("stage, one thread", start.elapsed(), ROWS * copies);
        let bytes: usize = decoded.iter().flat_map(|archive| &archive.blocks).map(|block| block.place.bytes()).sum();
        println!("{:28} {:7.1} bytes a row", "", bytes as f64 / (ROWS * copies) as f64);
        let archives: Vec<Archive> = (0..copies).map(|copy| archive(&copy.to_string())).collect();
        pool.install(|| {
            let reader = StagingReader::open(&staging, Arc::default()).unwrap();
            let start = Instant::now();
            let duplicates =
                dedupe::resolve(&decoded, &HashMap::new(), store.snapshot(), &reader, &staging, 7, 512 << 20).unwrap();
            print("duplicates, all threads", start.elapsed(), ROWS * copies);
            let start = Instant::now();
            let files = plan::plan(plan::blocks_of(&archives, &decoded), &duplicates, plan::ROW_GROUP_ROWS);
            let source =
                RowSource { duplicates: &duplicates, reader: &reader, staging: &staging, memory_bytes: 512 << 20 };
            let early = EarlyFiles::none(archives.len());
            let (files, ..) = write_events(&source, &files, early, || Ok(())).unwrap();
            print("plan and write, all threads", start.elapsed(), ROWS);
            assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), ROWS);
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            println!("{:28} {:7.1} bytes a row", "", bytes as f64 / ROWS as f64);
        });
        std::fs::remove_dir_all(&staging).unwrap();
    }
}

fn stage(writer: &mut StagingWriter, batches: &[RecordBatch]) -> DecodedArchive {
    let mut decoded = DecodedArchive { members: vec!["log.json".into()], ..DecodedArchive::default() };
    for batch in batches {
        writer.append_records(batch, 0, decoded.accepted, &mut decoded.blocks).unwrap();
        decoded.accepted += batch.num_rows() as u64;
    }
    let times = decoded.blocks.iter().map(|block| block.times);
    decoded.times = times.clone().map(|times| times.0).min().zip(times.map(|times| times.1).max());
    decoded
}
