//! Runs that write months early, and runs that do not, make the same store.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use keytrail_generate::{Fault, GenerateOptions, generate};
use keytrail_store::Store;
use proptest::prelude::*;

use super::*;
use crate::{IngestOptions, Summary, WriteEarly, ingest};

const GROUP: u64 = plan::ROW_GROUP_ROWS;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// 2026-01-01, in seconds.
const START: i64 = 1_767_225_600;

/// An archive of records at so many seconds after [`START`].
fn archive(seconds: &[i64]) -> String {
    let records = seconds.iter().map(|second| {
        let time = jiff::Timestamp::from_second(START + second).unwrap().strftime("%Y-%m-%d %H:%M:%S UTC");
        format!(r#"{{"time":"{time}","action":"LUNA_SIGN","meta":"{{\"role\":\"CU\"}}"}}"#)
    });
    records.collect::<Vec<_>>().join("\n")
}

/// What a run made: names and hashes of data files by month, and the summary without what time and place decide.
fn outcome(
    paths: &[PathBuf],
    store: &Path,
    write_early: WriteEarly,
    (jobs, memory_bytes, row_group_rows): (usize, u64, u64),
) -> (BTreeMap<String, String>, Summary) {
    let jobs = NonZeroUsize::new(jobs);
    let options = IngestOptions { jobs, memory_bytes, write_early, row_group_rows, ..IngestOptions::default() };
    let summary = ingest(paths, store, &options, &mut || ()).unwrap();
    let snapshot = Store::open(store).unwrap().snapshot().unwrap();
    let content = |path: &str| crate::digest::FileDigest::of(&snapshot.events_dir().join(path)).unwrap().sha256;
    (snapshot.files().iter().map(|file| (file.path.clone(), content(&file.path))).collect(), summary)
}

/// Holds runs that write early, and stage in files and in memory, against one that does not.
fn assert_same(folder: &Path, paths: &[PathBuf], jobs: usize, row_group_rows: u64) {
    let late = outcome(paths, &folder.join("late"), WriteEarly::Never, (1, 512 << 20, row_group_rows));
    for (name, memory_bytes) in [("early", 512 << 20), ("early, in files", 160 << 20)] {
        let early = outcome(paths, &folder.join(name), WriteEarly::Always, (jobs, memory_bytes, row_group_rows));
        assert_eq!(early.0, late.0, "{name}");
        let books = |summary: &Summary| (summary.records, summary.archives, summary.bytes);
        assert_eq!(books(&early.1), books(&late.1), "{name}");
        assert_eq!(early.1.notices, late.1.notices, "{name}");
    }
}

fn write_archives(folder: &Path, archives: &[Vec<i64>]) -> Vec<PathBuf> {
    let write = |(number, seconds): (usize, &Vec<i64>)| {
        let path = folder.join(format!("{number:03}.json"));
        std::fs::write(&path, archive(seconds)).unwrap();
        path
    };
    archives.iter().enumerate().map(write).collect()
}

/// Decodes archives of these records one after the other, as the guess says: the months of which something was written early, with their row groups of so
/// many rows at most that were, and whether that was right.
fn early_groups(archives: &[Vec<i64>], row_group_rows: u64) -> (Vec<(String, usize)>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_archives(folder.path(), archives);
    let told = std::sync::Mutex::new(0);
    let observer = |step| *told.lock().unwrap() += usize::from(matches!(step, crate::Progress::Found { .. }));
    let staging = folder.path().join("staging");
    std::fs::create_dir(&staging).unwrap();
    let options = IngestOptions { write_early: WriteEarly::Always, row_group_rows, ..IngestOptions::default() };
    let queue = crate::queue::Queue {
        staging: &staging,
        options: &options,
        settled: &crate::claims::Settled::default(),
        observer: &observer,
        budget: crate::container::Budget { bytes: 1 << 30, large_bytes: u64::MAX, part_bytes: 0 },
        stored: &[],
    };
    let found = paths.into_iter().map(|path| crate::discover::FoundFile { path, has_side_file: None }).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let decoded = pool.install(|| queue.decode(found)).unwrap();
    let groups = |early: EarlyFiles| early.months.iter().map(|(month, of)| (month.to_string(), of.groups)).collect();
    (decoded.early.map(groups).unwrap_or_default(), told.into_inner().unwrap() == 1)
}

#[test]
fn a_month_is_written_when_no_archive_that_is_left_may_begin_in_it() {
    let days = |from: i64, to: i64| (from..=to).map(|day| day * DAY).collect::<Vec<_>>();
    const JANUARY: (&str, usize) = ("2026-01", 1);
    const FEBRUARY: (&str, usize) = ("2026-02", 1);
    const MARCH: (&str, usize) = ("2026-03", 1);
    type Groups = &'static [(&'static str, usize)];
    let cases: [(&str, Vec<Vec<i64>>, Groups, bool); 11] = [
        ("one archive", vec![days(0, 200)], &[], true),
        ("the last archive is left", vec![days(0, 30), days(31, 58)], &[], true),
        ("the next archive begins too soon", vec![days(0, 30), days(31, 58), days(59, 70)], &[JANUARY], true),
        ("a day later", vec![days(0, 30), days(32, 58), days(60, 70)], &[JANUARY, FEBRUARY], true),
        (
            "in any order of names",
            vec![days(60, 70), days(91, 95), days(32, 58), days(0, 30)],
            &[JANUARY, FEBRUARY, MARCH],
            true,
        ),
        (
            "an archive over the end of a month",
            vec![days(0, 40), days(41, 45), days(60, 61), days(99, 100)],
            &[JANUARY, FEBRUARY, MARCH],
            true,
        ),
        (
            "records that two archives share",
            vec![days(0, 30), days(5, 6), days(40, 41), days(99, 100)],
            &[FEBRUARY],
            true,
        ),
        (
            "newest record first, in the first archive",
            vec![vec![20 * DAY, 0], vec![50 * DAY, 40 * DAY], vec![100 * DAY, 90 * DAY]],
            &[],
            true,
        ),
        (
            "newest record first, in a later one: its month was written",
            vec![days(0, 20), vec![50 * DAY, 25 * DAY], days(60, 61), days(90, 91)],
            &[],
            false,
        ),
        (
            "newest record first, in a later one, and nothing of a month that was written",
            vec![days(0, 20), vec![50 * DAY, 40 * DAY], days(60, 61), days(90, 91)],
            &[JANUARY],
            true,
        ),
        (
            "a record from long ago, whose span covers what was written",
            vec![days(0, 20), days(40, 41), vec![62 * DAY, -400 * DAY], days(99, 100)],
            &[],
            false,
        ),
    ];
    for (what, archives, expected, is_right) in cases {
        assert_early(what, &archives, GROUP, expected, is_right);
    }
}

#[test]
fn a_row_group_is_written_when_what_has_no_room_in_it_is_settled() {
    let days = |from: i64, to: i64| (from..=to).map(|day| day * DAY).collect::<Vec<_>>();
    // Two archives have 12 rows.
    let in_order = [days(0, 5), days(7, 12), days(14, 19), days(21, 26), days(28, 30)];
    let and = |archive: [i64; 2]| {
        let mut archives = in_order.to_vec();
        archives.push(archive.map(|day| day * DAY).to_vec());
        archives
    };
    let cases: [(&str, Vec<Vec<i64>>, u64, usize, bool); 7] = [
        ("all but the last two", in_order.to_vec(), 10, 3, true),
        ("two archives to a row group", in_order.to_vec(), 12, 1, true),
        ("one row group", in_order.to_vec(), 27, 0, true),
        ("a record that belongs before what was written", and([24, 6]), 10, 0, false),
        ("one at the time of what was written", and([24, 8]), 10, 0, false),
        ("one at the time of what had no room", and([24, 15]), 10, 0, false),
        ("one behind that", and([24, 20]), 10, 2, true),
    ];
    for (what, archives, rows, groups, is_right) in cases {
        let expected = [("2026-01", groups)];
        assert_early(what, &archives, rows, expected.get(..groups.min(1)).unwrap(), is_right);
    }
}

fn assert_early(what: &str, archives: &[Vec<i64>], rows: u64, expected: &[(&str, usize)], is_right: bool) {
    let (found, was_right) = early_groups(archives, rows);
    let found: Vec<(&str, usize)> = found.iter().map(|(month, groups)| (month.as_str(), *groups)).collect();
    assert_eq!((found.as_slice(), was_right), (expected, is_right), "{what}");
    let folder = tempfile::tempdir().unwrap();
    let paths = write_archives(folder.path(), archives);
    assert_same(folder.path(), &paths, 2, rows);
}

#[test]
fn generated_archives_with_damage_copies_and_overlaps() {
    let folder = tempfile::tempdir().unwrap();
    let generated = folder.path().join("generated");
    let plain = GenerateOptions { records: 60_000, days: 150, archives: 12, ..GenerateOptions::default() };
    for (number, options) in [
        plain.clone(),
        GenerateOptions { members: 3, copies: 1, ..plain.clone() },
        GenerateOptions { faults: Fault::one_of_each(), ..plain.clone() },
        GenerateOptions { overlap: 0.2, equal_pairs: 0.01, ..plain },
    ]
    .into_iter()
    .enumerate()
    {
        let generated = generated.join(number.to_string());
        generate(&options, &generated).unwrap();
        let folder = folder.path().join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        assert_same(&folder, &[generated.join("archives")], 2, 3000);
    }
}

#[test]
fn months_that_the_store_has_already_are_compared_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let days = |from: i64, to: i64| (from..=to).map(|day| day * DAY).collect::<Vec<_>>();
    let paths =
        write_archives(folder.path(), &[days(0, 30), days(33, 57), days(62, 80), days(99, 100), days(140, 141)]);
    let more = folder.path().join("more");
    std::fs::create_dir(&more).unwrap();
    let more = write_archives(&more, &[days(40, 41)]);
    for store in ["late", "early", "early, in files"] {
        let options = IngestOptions::default();
        ingest(&more, &folder.path().join(store), &options, &mut || ()).unwrap();
    }
    assert_same(folder.path(), &paths, 2, GROUP);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Few days, so that archives meet at the ends of months, in records, and in none of them.
    #[test]
    fn early_and_late_make_one_store(
        archives in prop::collection::vec(prop::collection::vec((0..130_i64, 0..3_i64), 1..6), 2..9),
        in_order in any::<bool>(),
        row_group_rows in prop::sample::select(vec![1, 3, 8, 1 << 20]),
        jobs in 1..4_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let archives: Vec<Vec<i64>> = archives.into_iter().enumerate().map(|(number, days)| {
            let mut seconds: Vec<i64> = days.into_iter().map(|(day, hour)| {
                // Mostly stretches of time side by side.
                let day = if in_order { number as i64 * 20 + day % 22 } else { day };
                day * DAY + hour * HOUR
            }).collect();
            if in_order {
                seconds.sort_unstable();
            }
            seconds
        }).collect();
        let paths = write_archives(folder.path(), &archives);
        assert_same(folder.path(), &paths, jobs, row_group_rows);
    }
}
