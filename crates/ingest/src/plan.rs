//! Which rows go to which file: the layout of a run. A row group is settled before a byte of it is written.
//!
//! Rows stand in the order of their archives by first time (then by hash), then member and ordinal. A month's rows are cut into files
//! and row groups at the borders of staged blocks. Nothing here depends on threads or memory, so neither do the files.

use std::collections::BTreeMap;

use keytrail_model::time::Month;

use crate::archive::{Archive, DecodedArchive};
use crate::dedupe::Duplicates;
use crate::staging::StagedBlock;

/// Rows of a row group at most: few enough that one fits in memory while it is encoded, many enough that dictionaries pay.
pub(crate) const ROW_GROUP_ROWS: u64 = 1 << 20;
/// Staged bytes of a row group at most, but for one with a single block. Usual rows take 50 bytes.
pub(crate) const ROW_GROUP_BYTES: u64 = 64 << 20;
/// Full row groups of a file at most: some 150 MB with trace ids.
const FILE_GROUPS: u64 = 4;

/// A data file to write.
#[derive(Debug)]
pub(crate) struct PlannedFile<'a> {
    pub(crate) month: Month,
    /// Position in the run, which numbers its name.
    pub(crate) number: usize,
    pub(crate) groups: Vec<PlannedGroup<'a>>,
}

/// A row group to write.
#[derive(Debug, Default)]
pub(crate) struct PlannedGroup<'a> {
    /// Blocks that hold its rows, in order.
    pub(crate) blocks: Vec<PlannedBlock<'a>>,
    /// Rows that are no duplicates.
    pub(crate) rows: u64,
    /// Staged bytes.
    pub(crate) bytes: u64,
}

/// A block with rows that are no duplicates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedBlock<'a> {
    pub(crate) block: &'a StagedBlock,
    /// Index of its archive.
    pub(crate) archive: usize,
    /// SHA-256 of its archive, and the name of its member: what rows say of where they come from.
    pub(crate) sha256: &'a str,
    pub(crate) member: &'a str,
}

/// All blocks of some archives, which stand in their final order.
pub(crate) fn blocks<'a>(
    archives: impl Iterator<Item = (&'a str, &'a [String], &'a [StagedBlock])>,
) -> impl Iterator<Item = PlannedBlock<'a>> {
    archives.enumerate().flat_map(|(archive, (sha256, members, blocks))| {
        blocks.iter().map(move |block| {
            let member = members.get(block.member as usize).map_or("", String::as_str);
            PlannedBlock { block, archive, sha256, member }
        })
    })
}

/// All blocks of the archives of a run, given in their final order.
pub(crate) fn blocks_of<'a>(
    archives: &'a [Archive],
    decoded: &'a [Box<DecodedArchive>],
) -> impl Iterator<Item = PlannedBlock<'a>> {
    blocks(archives.iter().zip(decoded).map(|(archive, decoded)| {
        (archive.digest.sha256.as_str(), decoded.members.as_slice(), decoded.blocks.as_slice())
    }))
}

/// Plans the files of these blocks, by month, with so many rows in a row group at most.
pub(crate) fn plan<'a>(
    blocks: impl Iterator<Item = PlannedBlock<'a>>,
    duplicates: &Duplicates,
    group_rows: u64,
) -> Vec<PlannedFile<'a>> {
    let mut months: BTreeMap<Month, Vec<PlannedGroup<'a>>> = BTreeMap::new();
    for planned in blocks {
        let PlannedBlock { block, archive, .. } = planned;
        let rows = u64::from(block.rows) - duplicates.count(archive, block.positions());
        if rows == 0 {
            continue;
        }
        let groups = months.entry(block.month).or_default();
        if groups.last().is_none_or(|group| !group.has_room(rows, block.place.bytes() as u64, group_rows)) {
            groups.push(PlannedGroup::default());
        }
        if let Some(group) = groups.last_mut() {
            group.blocks.push(planned);
            group.rows += rows;
            group.bytes += block.place.bytes() as u64;
        }
    }
    let files = months
        .into_iter()
        .flat_map(|(month, groups)| files(groups, group_rows * FILE_GROUPS).into_iter().map(move |file| (month, file)));
    files.enumerate().map(|(number, (month, groups))| PlannedFile { month, number, groups }).collect()
}

/// Row groups of a month by file.
fn files(groups: Vec<PlannedGroup<'_>>, file_rows: u64) -> Vec<Vec<PlannedGroup<'_>>> {
    let mut files = Vec::new();
    let mut rows = u64::MAX;
    for group in groups {
        let with_group = rows.saturating_add(group.rows);
        if with_group > file_rows {
            rows = group.rows;
            files.push(vec![group]);
        } else if let Some(file) = files.last_mut() {
            rows = with_group;
            file.push(group);
        }
    }
    files
}

impl PlannedGroup<'_> {
    fn has_room(&self, rows: u64, bytes: u64, group_rows: u64) -> bool {
        self.rows + rows <= group_rows && self.bytes + bytes <= ROW_GROUP_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of each group of each file, for groups of a month.
    fn rows_of_files(rows: &[u64]) -> Vec<Vec<u64>> {
        let groups = rows.iter().map(|&rows| PlannedGroup { rows, ..PlannedGroup::default() }).collect();
        files(groups, ROW_GROUP_ROWS * FILE_GROUPS)
            .into_iter()
            .map(|file| file.into_iter().map(|group| group.rows).collect())
            .collect()
    }

    #[test]
    fn files_hold_four_full_row_groups() {
        const FULL: u64 = ROW_GROUP_ROWS;
        let cases: [(&[u64], &[&[u64]]); 4] = [
            (&[], &[]),
            (&[5], &[&[5]]),
            (&[FULL, FULL, FULL, FULL, 1], &[&[FULL, FULL, FULL, FULL], &[1]]),
            (&[1, FULL, FULL, FULL, FULL - 1, 7, 8], &[&[1, FULL, FULL, FULL, FULL - 1], &[7, 8]]),
        ];
        for (groups, expected) in cases {
            assert_eq!(rows_of_files(groups), expected);
        }
    }

    #[test]
    fn groups_end_at_rows_or_bytes() {
        let group = PlannedGroup { rows: ROW_GROUP_ROWS - 10, bytes: 50, ..PlannedGroup::default() };
        for (rows, bytes, fits) in
            [(10, 0, true), (11, 0, false), (1, ROW_GROUP_BYTES - 50, true), (1, ROW_GROUP_BYTES - 49, false)]
        {
            assert_eq!(group.has_room(rows, bytes, ROW_GROUP_ROWS), fits, "{rows} {bytes}");
        }
    }
}
