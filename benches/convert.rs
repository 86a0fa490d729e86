//! All cores: archives on disk to a committed store, fsync included, beside inflating the same archives alone on all cores.
//!
//! Names are `convert/case/implementation`. Every iteration checks the books.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench stops at the first surprise"
)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keytrail_benches::Archives;
use keytrail_ingest::{IngestOptions, ingest};
use rayon::prelude::*;

/// About 480 MB of JSON.
const RECORDS: u64 = 1_000_000;

fn convert(criterion: &mut Criterion, case: &str, archives: u32) {
    let archives = Archives::generate(RECORDS, archives);
    let mut group = criterion.benchmark_group("convert");
    let json_bytes = archives.expected.bytes.json;
    group.sample_size(10).throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: json_bytes });
    let members = archives.deflated().expect("readable archives");
    group.bench_function(format!("{case}/inflate-only"), |bencher| {
        bencher.iter(|| {
            let inflated = members.par_iter().map_init(
                || (libdeflater::Decompressor::new(), Vec::new()),
                |(decompressor, buffer), member| {
                    member.inflate_whole(decompressor, buffer).expect("good data").len() as u64
                },
            );
            assert_eq!(inflated.sum::<u64>(), json_bytes);
        });
    });
    let folder = [archives.folder()];
    group.bench_function(format!("{case}/keytrail"), |bencher| {
        bencher.iter_batched(
            || tempfile::tempdir().expect("a temporary folder"),
            |store| {
                let summary = ingest(&folder, &store.path().join("store"), &IngestOptions::default(), &mut || ());
                assert_eq!(summary.expect("an ingest").records.stored, RECORDS);
                store
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    convert(criterion, "few-large", 12);
    convert(criterion, "many-small", 1000);
    convert(criterion, "one-member", 1);
}

criterion_group!(convert_benches, benches);
criterion_main!(convert_benches);
