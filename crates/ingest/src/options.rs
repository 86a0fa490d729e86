//! What a caller can choose about a run, with the defaults.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::plan::ROW_GROUP_ROWS;

/// Threads that work at most: each holds buffers, and more have never been of use.
pub const JOBS_MAX: usize = 256;

/// Memory that a thread takes at most beside archives held as a whole: rows in the making, texts met before, blocks on their way.
pub(crate) const THREAD_BYTES: u64 = 40 << 20;

/// Options of one run.
#[derive(Debug, Clone, Serialize)]
pub struct IngestOptions {
    /// Threads that decode and write; all cores where `None`. Fewer where the memory has no room for them, 40 MiB each; [`JOBS_MAX`] at most.
    pub jobs: Option<NonZeroUsize>,
    /// Memory that the run plans with, in bytes. Bounds the sorted runs of identities of the duplicate check and, with half of it, what
    /// threads hold of archives that are read as a whole; larger ones are read as streams. A row group of a million rows is held while it is encoded, so a
    /// run may take some 110 MiB however little this is (150 where records have kilobytes), and what is known of each archive 1.5 KiB.
    pub memory_bytes: u64,
    /// Whether damaged members give up what can be decoded, instead of nothing.
    pub salvage: bool,
    /// Where input stops being plausible.
    pub limits: Limits,
    /// Whether small files of earlier runs are merged after the commit where many have come together.
    #[serde(skip)]
    pub compact: bool,
    /// When rows are written while archives are still decoded.
    #[serde(skip)]
    pub write_early: WriteEarly,
    /// Rows of a row group at most, and a quarter of those of a file. The default is what stores are made with; tests take less.
    #[serde(skip)]
    pub row_group_rows: u64,
}

/// When rows are written while archives are still decoded. The store is the same to the byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WriteEarly {
    /// Where a run has no memory for all that it stages, and its archives are large and can be taken in the order of time as fast as largest first.
    #[default]
    WhereItPays,
    /// Wherever a row group is settled early: for tests.
    Always,
    /// Not before all archives are decoded.
    Never,
}

/// Threads to start: as many as asked for, and as the memory has room for.
pub(crate) fn threads(jobs: Option<NonZeroUsize>, memory_bytes: u64) -> usize {
    let fitting = usize::try_from(memory_bytes / THREAD_BYTES).unwrap_or(usize::MAX);
    cores(jobs).min(fitting).clamp(1, JOBS_MAX)
}

/// Cores that may be kept busy: as many as asked for with `jobs`, else all.
pub(crate) fn cores(jobs: Option<NonZeroUsize>) -> usize {
    jobs.or(std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            jobs: None,
            memory_bytes: 512 << 20,
            salvage: false,
            limits: Limits::default(),
            compact: true,
            write_early: WriteEarly::default(),
            row_group_rows: ROW_GROUP_ROWS,
        }
    }
}

/// Limits against hostile input, counted on what really comes out, never on what a header claims. `docs/limits.md` lists all limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Longest record, in bytes of JSON. Real ones have about 500.
    pub max_record_bytes: usize,
    /// Deepest nesting of objects and lists in a record, which is the first level itself. 2 to 1024.
    pub max_depth: usize,
    /// Longest member, in bytes of JSON. The service makes files of 1 GB at most.
    pub max_member_bytes: u64,
    /// All members of an archive together, in bytes of JSON.
    pub max_archive_bytes: u64,
    /// Highest ratio of inflated to deflated bytes of an archive, looked at beyond [`Limits::RATIO_FREE_BYTES`]. Real archives
    /// have 15 to 25, DEFLATE cannot exceed 1032.
    pub max_ratio: u64,
    /// Most members of a ZIP, or gzip members of a gzip file. The service puts one into each.
    pub max_members: u64,
    /// Most months that the records of an archive fall into: each becomes a file of the store. An export spans 31 days at most.
    pub max_months: usize,
    /// Bytes that the rejects of an archive take, with their reasons and names. Without a limit a small archive of `{}{}{}...` fills the disk.
    pub max_rejects_bytes: u64,
}

impl Limits {
    /// Inflated bytes up to which the ratio is not looked at: a small bomb does no harm.
    pub const RATIO_FREE_BYTES: u64 = 256 << 20;
    /// Bytes of the names of an archive's members, all together. They stay in memory until the run ends.
    pub const NAMES_BYTES: u64 = 16 << 20;
    /// Faults and notes that are told of an archive, of each so many; of the rest only the count.
    pub const TOLD: usize = 100;

    /// Bytes of their texts, of each.
    pub const TOLD_BYTES: usize = 32 << 10;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_record_bytes: 16 << 20,
            max_depth: keytrail_decode::DEFAULT_MAX_DEPTH,
            max_member_bytes: 64 << 30,
            max_archive_bytes: 256 << 30,
            max_ratio: 400,
            max_members: 100_000,
            max_months: 240,
            max_rejects_bytes: 256 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_bounded_by_memory_and_in_number() {
        let of = |jobs, memory_bytes| threads(NonZeroUsize::new(jobs), memory_bytes);
        assert_eq!(of(3, 512 << 20), 3);
        assert_eq!(of(30_000, 512 << 20), 12, "40 MiB each");
        assert_eq!(of(30_000, u64::MAX), JOBS_MAX);
        assert_eq!(of(2, 0), 1, "one works, however little memory there is");
    }
}
