//! What a caller can choose about a run, with the defaults.

use std::num::NonZeroUsize;

use serde::Serialize;

/// Options of one run.
#[derive(Debug, Clone, Serialize)]
pub struct IngestOptions {
    /// Threads that decode and write; all cores where `None`. Fewer where the memory has no room for them, 40 MiB each.
    pub jobs: Option<NonZeroUsize>,
    /// Memory that the run plans with, in bytes. Bounds the table of the duplicate check and, with half of it, what threads hold of
    /// archives that are read as a whole; larger ones are read as streams. Row groups of a million rows are held while they are encoded, so a
    /// run may take some 170 MiB however little this is.
    pub memory_bytes: u64,
    /// Whether damaged members give up what can be decoded, instead of nothing.
    pub salvage: bool,
    /// Where input stops being plausible.
    pub limits: Limits,
    /// Whether small files of earlier runs are merged after the commit where many have come together.
    #[serde(skip)]
    pub compact: bool,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self { jobs: None, memory_bytes: 512 << 20, salvage: false, limits: Limits::default(), compact: true }
    }
}

/// Limits against hostile input, counted on what really comes out, never on what a header claims.
#[derive(Debug, Clone, Serialize)]
pub struct Limits {
    /// Longest record, in bytes of JSON. Real ones have about 500.
    pub max_record_bytes: usize,
    /// Longest member, in bytes of JSON. The service makes files of 1 GB at most.
    pub max_member_bytes: u64,
    /// Highest ratio of inflated to deflated bytes of an archive, looked at beyond [`Limits::RATIO_FREE_BYTES`]. Real archives
    /// have 15 to 25, DEFLATE cannot exceed 1032.
    pub max_ratio: u64,
}

impl Limits {
    /// Inflated bytes up to which the ratio is not looked at: a small bomb does no harm.
    pub const RATIO_FREE_BYTES: u64 = 256 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_record_bytes: 16 << 20, max_member_bytes: 64 << 30, max_ratio: 400 }
    }
}
