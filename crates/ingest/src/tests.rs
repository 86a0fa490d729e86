//! Whole runs against a plain model of the rule of duplicates, on random archives.

mod duplicates;
mod hostile;
mod oddities;
mod speed;
mod timing;
mod ways;

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use keytrail_generate::{GenerateOptions, generate};
use keytrail_model::record::RecordColumns;
use keytrail_store::{Store, StoreError};
use proptest::prelude::*;

use crate::{IngestOptions, ingest};

/// An archive as the seconds of its records: equal seconds are equal records.
type Seconds = Vec<u8>;

fn content(seconds: &[u8], layout: usize) -> String {
    let records = seconds.iter().map(|second| {
        let time = format!("2026-01-{:02} 00:00:{:02} UTC", 1 + second % 3, second);
        match layout % 3 {
            0 => format!(r#"{{"time":"{time}","meta":"{{\"role\":\"CU\"}}"}}"#),
            1 => format!(r#"{{"meta": {{"role": "CU"}}, "time": "{time}"}}"#),
            _ => format!(r#"{{"actorID":null,"meta":"{{ \"role\" : \"CU\" }}","time":"{time}"}}"#),
        }
    });
    records.collect::<Vec<_>>().join("\n")
}

/// Times in the store, with how often each stands there.
fn stored(store: &Path) -> BTreeMap<i64, u64> {
    let mut found = BTreeMap::new();
    let snapshot = Store::open(store).unwrap().snapshot().unwrap();
    let mut each = |batch: &RecordBatch| -> Result<(), StoreError> {
        for time in RecordColumns::of(batch).unwrap().times() {
            *found.entry(*time).or_default() += 1;
        }
        Ok(())
    };
    keytrail_store::read_events(&snapshot, i64::MIN, i64::MAX, &mut each).unwrap();
    found
}

fn time_of(second: u8) -> i64 {
    keytrail_model::time::parse(&format!("2026-01-{:02} 00:00:{:02} UTC", 1 + second % 3, second)).unwrap().micros
}

/// Most often in any one archive.
fn model<'a>(archives: impl Iterator<Item = &'a Seconds>) -> BTreeMap<i64, u64> {
    let mut most = BTreeMap::new();
    for archive in archives {
        let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
        archive.iter().for_each(|second| *counts.entry(*second).or_default() += 1);
        for (second, count) in counts {
            let most = most.entry(time_of(second)).or_insert(0);
            *most = count.max(*most);
        }
    }
    most
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_store_holds_what_the_rule_says(
        runs in prop::collection::vec(prop::collection::vec(prop::collection::vec(0..12_u8, 1..9), 1..5), 1..4),
        jobs in 1..4_usize,
        memory_bytes in prop::sample::select(vec![1, 512 << 20]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let options = IngestOptions { jobs: jobs.try_into().ok(), memory_bytes, ..IngestOptions::default() };
        let mut seen = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            let archives = folder.path().join(number.to_string());
            std::fs::create_dir(&archives).unwrap();
            for (index, seconds) in run.iter().enumerate() {
                std::fs::write(archives.join(index.to_string()), content(seconds, number + index)).unwrap();
            }
            let summary = ingest(&[archives], &store, &options, &mut || ()).unwrap();
            prop_assert!(summary.records.conserved());
            seen.extend(run);
            prop_assert_eq!(stored(&store), model(seen.iter().copied()));
        }
    }
}

/// Names and contents of the data files.
fn data_files(store: &Path) -> BTreeMap<String, String> {
    let snapshot = Store::open(store).unwrap().snapshot().unwrap();
    let content = |path: &str| crate::digest::FileDigest::of(&snapshot.events_dir().join(path)).unwrap().sha256;
    snapshot.files().iter().map(|file| (file.path.clone(), content(&file.path))).collect()
}

#[test]
fn files_do_not_depend_on_threads_or_memory() {
    let folder = tempfile::tempdir().unwrap();
    let options = GenerateOptions {
        records: 100_000,
        days: 70,
        archives: 5,
        members: 2,
        overlap: 0.4,
        equal_pairs: 0.1,
        ..GenerateOptions::default()
    };
    let answers = generate(&options, &folder.path().join("generated")).unwrap();
    let archives = folder.path().join("generated/archives");
    let mut outcomes = Vec::new();
    for (jobs, memory_bytes) in [(1, 1), (2, 512 << 20), (5, 128 << 20)] {
        let store = folder.path().join(format!("store-{jobs}"));
        let options = IngestOptions { jobs: std::num::NonZeroUsize::new(jobs), memory_bytes, ..Default::default() };
        let summary = ingest(std::slice::from_ref(&archives), &store, &options, &mut || ()).unwrap();
        assert_eq!(summary.records.stored, answers.records.stored);
        assert_eq!(summary.records.duplicates, answers.records.duplicates);
        outcomes.push(data_files(&store));
    }
    assert_eq!(outcomes[0].len(), 3);
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
}

/// They are read back from the staging area, or from memory, in several portions.
#[test]
fn rows_of_a_long_row_group_stand_in_their_order() {
    const RECORDS: usize = 250_000;
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("log");
    std::fs::write(&archive, ways::json(RECORDS)).unwrap();
    for (jobs, memory_bytes) in [(1, 1), (3, 1), (3, 512 << 20)] {
        let store = folder.path().join(format!("store-{jobs}-{memory_bytes}"));
        let options = IngestOptions { jobs: std::num::NonZeroUsize::new(jobs), memory_bytes, ..Default::default() };
        ingest(std::slice::from_ref(&archive), &store, &options, &mut || ()).unwrap();
        assert_eq!(data_files(&store).len(), 1);
        let snapshot = Store::open(&store).unwrap().snapshot().unwrap();
        let mut rows = 0;
        let mut each = |batch: &RecordBatch| -> Result<(), StoreError> {
            let ordinals = batch.column_by_name("ordinal").unwrap().as_primitive::<Int64Type>().values();
            let trace_ids = batch.column_by_name("trace_id").unwrap().as_string::<i32>();
            for (&ordinal, trace_id) in ordinals.iter().zip(trace_ids) {
                assert_eq!((ordinal, trace_id), (i64::try_from(rows).unwrap(), Some(ways::trace_id(rows).as_str())));
                rows += 1;
            }
            Ok(())
        };
        keytrail_store::read_events(&snapshot, i64::MIN, i64::MAX, &mut each).unwrap();
        assert_eq!(rows, RECORDS);
    }
}

#[test]
fn thousands_of_months_take_no_longer_than_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let records = (0..6000)
        .map(|n| format!(r#"{{"time":"{:04}-{:02}-03 00:00:00 UTC","traceID":"{n}"}}"#, 1900 + n % 40, 1 + n % 12));
    let archive = folder.path().join("log");
    std::fs::write(&archive, records.collect::<Vec<_>>().join("\n")).unwrap();
    let store = folder.path().join("store");
    let summary = ingest(&[archive], &store, &IngestOptions::default(), &mut || ()).unwrap();
    assert_eq!(summary.records.stored, 6000);
    assert_eq!(data_files(&store).len(), 120);
    assert_eq!(stored(&store).into_values().sum::<u64>(), 6000);
}
