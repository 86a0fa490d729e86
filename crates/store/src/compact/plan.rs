//! Which files are merged.
//!
//! Each rewriting of a row costs as much as its first writing, so files are merged with others of about their size: a row then moves as
//! often as its file can grow sixteenfold, not as often as a file comes in.

use keytrail_model::time::Month;

use super::by_month;
use crate::{DataFile, Snapshot, layout};

/// Rows of a full file, as an ingest makes them: 4 row groups of a million.
pub(super) const FILE_ROWS: u64 = 4 << 20;
/// Bounds of the sizes of files that belong together. What is larger is no small file.
const TIERS: [u64; 3] = [64 << 10, 1 << 20, 16 << 20];
/// Files of a tier that are merged while their month is being filled.
const FILES_WHILE_FILLED: usize = 16;
/// The same in a month to which the ingest at hand added nothing: it is done with, or gets a late archive now and then.
const FILES_WHEN_DONE: usize = 4;
/// Bytes that are read in one gentle compaction, about.
const GENTLE_BYTES: u64 = 256 << 20;

/// Files of a month that become fewer.
#[derive(Debug)]
pub(crate) struct MonthPlan {
    pub(crate) month: Month,
    /// At least two, sorted by path.
    pub(crate) files: Vec<DataFile>,
}

/// All small files of the months, or of every month.
pub(super) fn all_small(snapshot: &Snapshot, months: &[Month], target_bytes: u64) -> Vec<MonthPlan> {
    let small = |file: &&DataFile| file.bytes < target_bytes / 2 && file.rows < FILE_ROWS / 2;
    let plans = by_month(snapshot).into_iter().filter(|(month, _)| months.is_empty() || months.contains(month));
    let plans = plans.map(|(month, files)| (month, files.into_iter().filter(small).collect()));
    plans.filter_map(|(month, files)| MonthPlan::of(month, files)).collect()
}

/// Months in which many small files of one size have come together.
pub(super) fn gently(before: u64, after: &Snapshot) -> Vec<MonthPlan> {
    let version = |file: &DataFile| layout::version_of_run(file.path.rsplit('/').next()?);
    let mut plans = Vec::new();
    let mut bytes = 0;
    for (month, files) in by_month(after) {
        let filled = files.iter().any(|file| version(file).is_some_and(|version| version > before));
        let many = if filled { FILES_WHILE_FILLED } else { FILES_WHEN_DONE };
        let Some(plan) = MonthPlan::of(month, crowded(files, many)) else {
            continue;
        };
        bytes += plan.files.iter().map(|file| file.bytes).sum::<u64>();
        plans.push(plan);
        if bytes >= GENTLE_BYTES {
            break;
        }
    }
    plans
}

/// The files of the largest tier that has many, and all smaller ones; none where no tier has.
fn crowded(files: Vec<&DataFile>, many: usize) -> Vec<&DataFile> {
    let tier = |file: &DataFile| TIERS.iter().position(|&bound| file.bytes < bound);
    let count = |of: usize| files.iter().filter(|file| tier(file) == Some(of)).count();
    match (0..TIERS.len()).rev().find(|&of| count(of) >= many) {
        Some(of) => files.into_iter().filter(|file| tier(file).is_some_and(|tier| tier <= of)).collect(),
        None => Vec::new(),
    }
}

impl MonthPlan {
    fn of(month: Month, files: Vec<&DataFile>) -> Option<Self> {
        (files.len() > 1).then(|| Self { month, files: files.into_iter().cloned().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: usize, bytes: u64) -> DataFile {
        DataFile {
            path: format!("month=2026-01/{number:08}-0000.parquet"),
            month: "2026-01".into(),
            rows: 1,
            bytes,
            min_time: 0,
            max_time: 0,
            sha256: Some(String::new()),
        }
    }

    #[test]
    fn files_are_merged_with_those_of_their_size() {
        const K: u64 = 1 << 10;
        const M: u64 = 1 << 20;
        /// Numbers of files with their bytes, how many are many, how many are merged.
        type Case = (&'static [(usize, u64)], usize, usize);
        let cases: [Case; 7] = [
            (&[(3, K)], 4, 0),
            (&[(4, K)], 4, 4),
            (&[(15, 50 * K), (1, 900 * K)], 16, 0),
            (&[(16, 50 * K), (3, 900 * K)], 16, 16),
            // The smaller ones go with them: they cost next to nothing.
            (&[(5, 50 * K), (16, 900 * K), (2, 15 * M)], 16, 21),
            (&[(16, 16 * M)], 16, 0),
            (&[(2, K), (2, 100 * K), (3, 2 * M)], 4, 0),
        ];
        for (number, (sizes, many, merged)) in cases.into_iter().enumerate() {
            let files: Vec<_> = sizes.iter().flat_map(|&(count, bytes)| vec![bytes; count]).collect();
            let files: Vec<_> = files.into_iter().enumerate().map(|(n, bytes)| file(n, bytes)).collect();
            assert_eq!(crowded(files.iter().collect(), many).len(), merged, "case {number}");
        }
    }

    #[test]
    fn a_row_moves_a_few_times_however_many_files_come_in() {
        // Each step a file of 40 KiB; the month is never done with. Merged files are as long as their sources.
        let (mut files, mut moved, steps) = (Vec::new(), 0, 5_000);
        for step in 0..steps {
            files.push(file(step, 40 << 10));
            let merged: Vec<DataFile> =
                crowded(files.iter().collect(), FILES_WHILE_FILLED).into_iter().cloned().collect();
            let bytes: u64 = merged.iter().map(|file| file.bytes).sum();
            moved += bytes;
            if !merged.is_empty() {
                files.retain(|file| !merged.contains(file));
                files.push(file(step, bytes));
            }
        }
        assert!(files.len() < 3 * FILES_WHILE_FILLED + 20, "{} files", files.len());
        assert!(moved < 4 * steps as u64 * (40 << 10), "each row moved {} times", moved / (steps as u64 * (40 << 10)));
    }
}
