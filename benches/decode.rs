//! One core: archive bytes in memory to Arrow batches, stage by stage, beside inflating alone and beside parsing with serde_json.
//!
//! Names are `decode/case/implementation`. Every iteration checks how many records came out.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench stops at the first surprise"
)]

use std::hint::black_box;
use std::io::Read;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use keytrail_benches::{Archives, Deflated};
use keytrail_decode::{DecodeOptions, Decoder, Reject, Rows, Sink, SinkError};
use sha2::{Digest, Sha256};

/// About 95 MB of JSON.
const RECORDS: u64 = 200_000;
/// Bytes handed to the decoder at a time, as ingest does.
const PIECE_BYTES: usize = 256 << 10;

/// Counts what comes out.
#[derive(Default)]
struct Count {
    records: u64,
}

impl Sink for Count {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        let batch = rows.into_batch()?;
        self.records += batch.num_rows() as u64;
        black_box(batch);
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        panic!("generated records are good: {}", reject.reason)
    }
}

fn decode(decoder: &mut Decoder, json: &[u8]) -> u64 {
    let mut count = Count::default();
    json.chunks(PIECE_BYTES).for_each(|piece| decoder.push(piece, &mut count).expect("good data"));
    decoder.finish(&mut count).expect("good data");
    count.records
}

/// The general way: every record is parsed.
fn general() -> Decoder {
    Decoder::new(DecodeOptions { usual_shapes: false, ..DecodeOptions::default() })
}

fn inflate_only(
    group: &mut BenchmarkGroup<'_, criterion::measurement::WallTime>,
    members: &[Deflated],
    json_bytes: usize,
) {
    group.bench_function("inflate/libdeflate", |bencher| {
        let (mut decompressor, mut buffer) = (libdeflater::Decompressor::new(), Vec::new());
        bencher.iter(|| {
            let inflate =
                |member: &Deflated| member.inflate_whole(&mut decompressor, &mut buffer).expect("good data").len();
            assert_eq!(members.iter().map(inflate).sum::<usize>(), json_bytes);
        });
    });
    group.bench_function("inflate/zlib-rs", |bencher| {
        let mut chunk = vec![0; PIECE_BYTES];
        bencher.iter(|| {
            let mut total = 0;
            for member in members {
                let mut stream = flate2::read::DeflateDecoder::new(member.bytes.as_slice());
                loop {
                    match stream.read(&mut chunk).expect("good data") {
                        0 => break,
                        count => total += count,
                    }
                }
            }
            assert_eq!(total, json_bytes);
        });
    });
}

fn benches(criterion: &mut Criterion) {
    let archives = Archives::generate(RECORDS, 20);
    let members = archives.deflated().expect("readable archives");
    let json_bytes: usize = members.iter().map(|member| member.json_bytes).sum();
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(10).throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: json_bytes as u64 });
    inflate_only(&mut group, &members, json_bytes);
    for (name, mut decoder) in [("keytrail", Decoder::new(DecodeOptions::default())), ("keytrail-general", general())] {
        let (mut decompressor, mut buffer) = (libdeflater::Decompressor::new(), Vec::new());
        group.bench_function(format!("inflate+decode/{name}"), |bencher| {
            bencher.iter(|| {
                let decoded = members.iter().map(|member| {
                    let json = member.inflate_whole(&mut decompressor, &mut buffer).expect("good data");
                    decode(&mut decoder, json)
                });
                assert_eq!(decoded.sum::<u64>(), RECORDS);
            });
        });
    }
    let (mut decompressor, mut buffer) = (libdeflater::Decompressor::new(), Vec::new());
    let json = members[0].inflate_whole(&mut decompressor, &mut buffer).expect("good data").to_vec();
    let records = serde_json::from_slice::<Vec<serde_json::Value>>(&json).expect("a list").len() as u64;
    group.throughput(Throughput::ElementsAndBytes { elements: records, bytes: json.len() as u64 });
    for (name, mut decoder) in [("keytrail", Decoder::new(DecodeOptions::default())), ("keytrail-general", general())] {
        group.bench_function(format!("json/{name}"), |bencher| {
            bencher.iter(|| assert_eq!(decode(&mut decoder, &json), records));
        });
    }
    group.bench_function("json/serde_json-values", |bencher| {
        bencher.iter(|| {
            let values: Vec<serde_json::Value> = serde_json::from_slice(&json).expect("a list");
            assert_eq!(values.len() as u64, records);
        });
    });
    group.bench_function("crc/libdeflate", |bencher| bencher.iter(|| black_box(libdeflater::crc32(&json))));
    // The archive is hashed, not what it holds: rates are of JSON all the same, to be compared with the others.
    group.bench_function("sha256/sha2", |bencher| bencher.iter(|| black_box(Sha256::digest(&members[0].bytes))));
    group.finish();
}

criterion_group!(decode_benches, benches);
criterion_main!(decode_benches);
