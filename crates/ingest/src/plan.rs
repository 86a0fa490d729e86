//! Which rows go to which file: the layout of a run, settled before a byte of it is written.
//!
//! Rows stand in the order of their archives by first time (then by hash), then member and ordinal. A month's rows are cut into files
//! of about [`FILE_ROWS`], at the borders of staged batches. Nothing here depends on threads, so neither do the files.

use std::collections::BTreeMap;

use keytrail_model::time::Month;

use crate::archive::DecodedArchive;
use crate::dedupe::Duplicates;
use crate::staging::StagedBatch;

/// Rows after which a month's next file is begun: 4 row groups, some 150 MB with trace ids.
pub(crate) const FILE_ROWS: u64 = 4 << 20;

/// A data file to write.
#[derive(Debug)]
pub(crate) struct PlannedFile<'a> {
    pub(crate) month: Month,
    /// Position in the run, which numbers its name.
    pub(crate) number: usize,
    /// Batches that hold its rows, in order, each with the index of its archive.
    pub(crate) batches: Vec<(usize, &'a StagedBatch)>,
}

/// A file being filled: its batches, and the rows they bring at most.
type Filling<'a> = (Vec<(usize, &'a StagedBatch)>, u64);

/// Plans the files of a run, by month. `archives` stand in their final order.
pub(crate) fn plan<'a>(archives: &'a [DecodedArchive], duplicates: &Duplicates) -> Vec<PlannedFile<'a>> {
    let mut months: BTreeMap<Month, Vec<Filling<'a>>> = BTreeMap::new();
    for (index, archive) in archives.iter().enumerate() {
        for batch in &archive.batches {
            let rows = batch.first_row..batch.first_row + u64::from(batch.rows);
            if duplicates.count(index, rows) == u64::from(batch.rows) {
                continue;
            }
            for &(month, rows) in &batch.months {
                let files = months.entry(month).or_default();
                match files.last_mut() {
                    Some((batches, planned)) if *planned < FILE_ROWS => {
                        batches.push((index, batch));
                        *planned += u64::from(rows);
                    }
                    _ => files.push((vec![(index, batch)], u64::from(rows))),
                }
            }
        }
    }
    let files =
        months.into_iter().flat_map(|(month, files)| files.into_iter().map(move |(batches, _)| (month, batches)));
    files.enumerate().map(|(number, (month, batches))| PlannedFile { month, number, batches }).collect()
}
