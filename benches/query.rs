//! Views over a store of generated records. Reaches DataFusion, so it is built only with `--features query`.
//!
//! Names are `query/view`. Rates are of rows and Parquet bytes of `events`, whatever part of them a query reads.

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
use keytrail_query::{Session, SessionOptions};
use keytrail_store::Store;

const RECORDS: u64 = 1_000_000;

const QUERIES: [(&str, &str); 6] = [
    ("count", "SELECT count(*) FROM events"),
    ("by_month_action_status", "SELECT month, action, status, count(*) FROM events GROUP BY 1, 2, 3"),
    ("one_hour", "SELECT count(*) FROM events WHERE time >= '2026-01-15T10:00:00Z' AND time < '2026-01-15T11:00:00Z'"),
    ("key_usage", "SELECT * FROM key_usage"),
    ("login_failures", "SELECT * FROM login_failures"),
    ("zeroize_events", "SELECT * FROM zeroize_events"),
];

fn benches(criterion: &mut Criterion) {
    let archives = Archives::generate(RECORDS, 31);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("store");
    ingest(&[archives.folder()], &root, &IngestOptions::default(), &mut || ()).expect("an ingest");
    let snapshot = Store::open(&root).expect("a store").snapshot().expect("a snapshot");
    let bytes = snapshot.files().iter().map(|file| file.bytes).sum();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let statuses = keytrail_model::statuses::StatusCatalogue::builtin().expect("statuses");
    let options = SessionOptions { threads: None, memory_bytes: None, statuses, coverage_months: None };
    let session = runtime.block_on(Session::new(snapshot, options)).expect("a session");

    let mut group = criterion.benchmark_group("query");
    group.sample_size(10).throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes });
    for (name, query) in QUERIES {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let rows = runtime
                    .block_on(async { session.sql(query).await.expect("a plan").collect().await.expect("rows") });
                assert!(rows.iter().any(|batch| batch.num_rows() > 0), "{name}");
            });
        });
    }
    group.finish();
}

criterion_group!(query_benches, benches);
criterion_main!(query_benches);
