//! The staging area: what was decoded, until its archive's place and its duplicates are known.
//!
//! Order and duplicates can only be settled when the time span of every archive is known, and that takes decoding them all. So each
//! worker appends what it decodes to files of its own, a block for the rows of each month in a record batch. Memory holds only where
//! the blocks lie; the blocks themselves in a run that has room for all of them, or for those that wait while others are written early
//! (`memory`). `block` gives them their form, `writer` makes them, `reader` reads them again.
//!
//! A worker has a file for each month of the year, for months are written one after the other: what was staged of a month is given up
//! while the next one is written, so that a run takes less room, and the system uses the same pages of memory again.

mod block;
mod memory;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use keytrail_decode::Rows;
use keytrail_model::time::Month;

use crate::error::IngestError;

pub(crate) use block::{BlockView, StagedColumn};
pub(crate) use memory::MemoryRoom;
pub(crate) use reader::StagingReader;
pub(crate) use writer::StagingWriter;

/// Where a worker puts what it decodes.
pub(crate) trait Records {
    /// The place after all that was put there. Told before each member.
    fn end(&mut self) -> StagedEnd;

    /// Takes back what was put there from an end on: the member that began then gives nothing.
    fn take_back(&mut self, end: StagedEnd) -> Result<(), IngestError>;

    /// Takes records of a member (its number and name), and notes blocks that count them. `first_row` is the position of the first one among all rows of the archive.
    fn records(
        &mut self,
        rows: Rows<'_>,
        member: (u32, &str),
        first_row: u64,
        blocks: &mut Vec<StagedBlock>,
    ) -> Result<(), IngestError>;

    /// Takes rejects of a member, in the schema of `rejects`.
    fn rejects(&mut self, batch: &RecordBatch) -> Result<Place, IngestError>;
}

impl Records for StagingWriter {
    fn end(&mut self) -> StagedEnd {
        Self::end(self)
    }

    fn take_back(&mut self, end: StagedEnd) -> Result<(), IngestError> {
        Self::take_back(self, end)
    }

    fn records(
        &mut self,
        rows: Rows<'_>,
        (member, _): (u32, &str),
        first_row: u64,
        blocks: &mut Vec<StagedBlock>,
    ) -> Result<(), IngestError> {
        self.append_rows(rows, member, first_row, blocks)
    }

    fn rejects(&mut self, batch: &RecordBatch) -> Result<Place, IngestError> {
        self.append(batch)
    }
}

/// Files of a worker at most: one for each month of the year, and before them one for rejects.
const WORKER_FILES: usize = 13;

/// How long the files of a worker are, and how many of its blocks are in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StagedEnd {
    files: [u64; WORKER_FILES],
    in_memory: usize,
}

/// Where bytes of a staging file lie, or which block in memory they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    file: u32,
    bytes: u32,
    offset: u64,
}

/// Staged records: rows of one member and of one month, in order of their ordinals.
#[derive(Debug, Clone)]
pub(crate) struct StagedBlock {
    pub(crate) place: Place,
    /// Position of the first row among all rows of its archive.
    pub(crate) first_row: u64,
    /// Earliest and latest time.
    pub(crate) times: (i64, i64),
    /// Rows.
    pub(crate) rows: u32,
    /// Index of the member in the archive's list.
    pub(crate) member: u32,
    /// Month of all rows.
    pub(crate) month: Month,
}

/// Bytes of a file that were not used yet.
#[derive(Debug)]
struct Unused(AtomicU64);

impl Unused {
    fn of(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// What lies at a place was used; whether nothing is left.
    fn use_up(&self, place: Place) -> bool {
        let bytes = u64::from(place.bytes);
        self.0.fetch_sub(bytes, Ordering::AcqRel) == bytes
    }
}

impl Place {
    /// Length in bytes.
    pub(crate) fn bytes(self) -> usize {
        self.bytes as usize
    }

    /// The byte behind it.
    fn end(self) -> u64 {
        self.offset + u64::from(self.bytes)
    }
}

impl StagedBlock {
    /// Positions of its rows among all rows of its archive.
    pub(crate) fn positions(&self) -> std::ops::Range<u64> {
        self.first_row..self.first_row + u64::from(self.rows)
    }
}

/// The number of a file of a worker.
fn file_number(worker: u32, file: usize) -> u32 {
    worker * WORKER_FILES as u32 + file as u32
}

fn file_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:04}.blocks"))
}

#[cfg(test)]
pub(crate) mod tests;
