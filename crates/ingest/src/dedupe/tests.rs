use std::collections::HashMap;
use std::sync::Arc;

use keytrail_store::{RowReader, Writer};
use proptest::prelude::*;

use super::*;
use crate::staging::StagingWriter;
use crate::staging::tests::{Row, batch};

#[test]
fn the_archive_that_holds_a_record_most_often_decides() {
    // Occurrences by archive, rows in the store before -> which occurrences are duplicates.
    let cases: [(&[usize], u64, &[bool]); 6] = [
        (&[0, 0], 0, &[false, false]),
        (&[0, 1], 0, &[false, true]),
        (&[0, 1, 1], 0, &[false, true, false]),
        (&[0, 0, 1, 2, 2, 2], 0, &[false, false, true, true, true, false]),
        (&[0, 0], 1, &[true, false]),
        (&[0, 1, 1, 1], 2, &[true, true, true, false]),
    ];
    for (archives, stored, expected) in cases {
        let mut tally = Tally { stored, ..Tally::default() };
        let shown: Vec<bool> = archives.iter().map(|&archive| tally.show(archive)).collect();
        assert_eq!(shown, expected, "{archives:?} {stored}");
    }
}

#[test]
fn memory_is_shared_out() {
    // Memory in MiB, threads -> threads that take part, MiB for the identities of each.
    for (memory, threads, expected) in [
        (512, 2, (2, 112)),
        (512, 8, (8, 16)),
        (512, 256, (8, 16)),
        (128, 2, (2, 16)),
        (64, 2, (1, 16)),
        (0, 2, (1, 2)),
        (1 << 40, 4, (4, (1 << 37) - 16)),
    ] {
        let Memory { threads: used, bytes } = Memory::share(memory << 20, threads);
        assert_eq!((used, bytes >> 20), expected, "{memory} {threads}");
    }
}

/// Archives as batches of rows.
type Batches = Vec<Vec<Row>>;

fn stage(folder: &Path, archives: &[Batches]) -> Box<[Box<DecodedArchive>]> {
    let mut writer = StagingWriter::create(folder, 0, 12, Arc::default()).unwrap();
    let archives = archives.iter().map(|batches| {
        let mut decoded = DecodedArchive::default();
        for rows in batches {
            writer.append_records(&batch(rows), 0, decoded.accepted, &mut decoded.blocks).unwrap();
            decoded.accepted += rows.len() as u64;
        }
        let times = batches.iter().flatten().map(|row| row.0);
        decoded.times = times.clone().min().zip(times.max());
        Box::new(decoded)
    });
    archives.collect()
}

/// The rule, said plainly: marks of all rows, archive by archive.
fn expected(archives: &[Batches]) -> Vec<Vec<bool>> {
    let mut stored: HashMap<(i64, Option<String>), u64> = HashMap::new();
    let mut marks = Vec::new();
    for archive in archives {
        let mut shown = HashMap::new();
        let rows = archive.iter().flatten().map(|(time, _, text)| (*time, text.clone()));
        let rows = rows.map(|record| {
            let shown = shown.entry(record.clone()).or_insert(0_u64);
            *shown += 1;
            *shown <= stored.get(&record).copied().unwrap_or_default()
        });
        marks.push(rows.collect());
        for (record, count) in shown {
            let stored = stored.entry(record).or_default();
            *stored = count.max(*stored);
        }
    }
    marks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn marks_do_not_depend_on_threads_or_memory(
        archives in prop::collection::vec(
            prop::collection::vec(
                prop::collection::vec((0..9_i64, prop::option::of("[ab]")), 1..60).prop_map(|rows| {
                    (0..).zip(rows).map(|(row, (time, text))| (time, row, text)).collect::<Vec<Row>>()
                }),
                1..3,
            ),
            1..6,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = Writer::open(&folder.path().join("store"), &mut || ()).unwrap();
        let decoded = stage(folder.path(), &archives);
        let reader = StagingReader::open(folder.path(), Arc::default()).unwrap();
        let expected = expected(&archives);
        for (threads, bytes) in [(1, 1 << 20), (1, 1), (3, 1), (5, 1 << 10)] {
            let spill = folder.path().join(format!("{threads}-{bytes}"));
            std::fs::create_dir(&spill).unwrap();
            let memory = Memory { threads, bytes };
            let stored = RowReader::new(store.snapshot());
            let found = resolve_within(&memory, &decoded, &OwnRows::default(), &stored, &reader, &spill, 7).unwrap();
            for (index, marks) in expected.iter().enumerate() {
                let rows = 0..marks.len() as u64;
                let marked: Vec<bool> = rows.clone().map(|row| found.contains(index, row)).collect();
                prop_assert_eq!(&marked, marks, "archive {} with {} threads, {} bytes", index, threads, bytes);
                prop_assert_eq!(found.count(index, rows), marks.iter().filter(|mark| **mark).count() as u64);
            }
        }
    }
}
