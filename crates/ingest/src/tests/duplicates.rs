//! What the check for duplicates costs archives that do not overlap: next to nothing, whatever the store holds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use keytrail_store::Writer;

use super::*;
use crate::claims::Settled;
use crate::container::Budget;
use crate::dedupe;
use crate::discover::discover;
use crate::queue::{Decoded, Queue};
use crate::staging::StagingReader;

/// Time of the check over archives and a store, and of the whole run that it is a part of.
struct Cost {
    check: Duration,
    run: Duration,
    duplicates: u64,
}

impl Cost {
    /// The store is changed by it.
    fn of(archives: &[std::path::PathBuf], store: &Path) -> Self {
        let options = IngestOptions::default();
        let files = discover(archives, store).unwrap().files;
        let writer = Writer::open(store, &mut || ()).unwrap();
        let staging = writer.staging_dir().join("measured");
        std::fs::create_dir(&staging).unwrap();
        let budget = Budget::of(options.memory_bytes, rayon::current_num_threads());
        let settled = Settled::default();
        let queue =
            Queue { staging: &staging, options: &options, settled: &settled, observer: &|_| (), budget, stored: &[] };
        let Decoded { decoded, memory, .. } = queue.decode(files).unwrap();
        let reader = StagingReader::open(&staging, memory).unwrap();
        let started = Instant::now();
        dedupe::resolve(&decoded, &HashMap::new(), writer.snapshot(), &reader, &staging, 7, options.memory_bytes)
            .unwrap();
        let check = started.elapsed();
        drop((reader, writer));
        let started = Instant::now();
        let summary = ingest(archives, store, &options, &mut || ()).unwrap();
        Self { check, run: started.elapsed(), duplicates: summary.records.duplicates }
    }

    fn percent(&self, what: &str) -> f64 {
        let percent = 100.0 * self.check.as_secs_f64() / self.run.as_secs_f64();
        println!(
            "{what}: {:.1} ms of {:.1} ms, {percent:.2} %",
            self.check.as_secs_f64() * 1e3,
            self.run.as_secs_f64() * 1e3
        );
        percent
    }
}

#[test]
fn archives_that_do_not_overlap_pay_next_to_nothing() {
    let records = if std::env::var_os("KEYTRAIL_TEST_LONG").is_some() { 4_000_000 } else { 120_000 };
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, overlap: f64| {
        let options = GenerateOptions { records, days: 80, archives: 40, overlap, ..GenerateOptions::default() };
        generate(&options, &folder.path().join(name)).unwrap();
        let found = discover(&[folder.path().join(name).join("archives")], Path::new("nowhere")).unwrap();
        found.files.into_iter().map(|file| file.path).collect::<Vec<_>>()
    };
    let apart = made("apart", 0.0);
    let (earlier, later) = apart.split_at(apart.len() / 2);
    let store = folder.path().join("store");
    // Into an empty store, beside months that are there, then one archive, late, into the gap before all.
    let first = Cost::of(&earlier[1..], &store);
    let second = Cost::of(later, &store);
    let late = Cost::of(&earlier[..1], &store);
    for (cost, what) in [(first, "an empty store"), (second, "a store with other months"), (late, "one late archive")] {
        assert_eq!(cost.duplicates, 0, "{what}");
        assert!(cost.percent(what) < 5.0, "{what}");
    }
    // For comparison: a third of every archive stands in the one before it.
    let overlapping = Cost::of(&made("overlapping", 0.33), &folder.path().join("other"));
    assert!(overlapping.duplicates > records / 5);
    overlapping.percent("a third overlaps");
}
