//! What a run tells its caller.

use std::path::PathBuf;

use keytrail_model::ledger::RecordCounts;
use keytrail_store::CompactedMonth;
use serde::Serialize;

/// The outcome of a run. Serialised, it is the JSON object of the command line contract (but for `seconds` and `version`, which the caller adds).
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Archives by what became of them.
    pub archives: ArchiveCounts,
    /// Records by where they went.
    pub records: RecordCounts,
    /// Bytes that were decoded.
    pub bytes: ByteCounts,
    /// Damaged archives among the new ones, of which a part is stored.
    #[serde(skip)]
    pub salvaged: u64,
    /// Version of the store after the run.
    #[serde(skip)]
    pub store_version: u64,
    /// Left-overs of an earlier run that was stopped, and checkpoints that are made anew, removed before this run began.
    #[serde(skip)]
    pub swept: Vec<String>,
    /// Troubles that did not stop the run, and other things to know about it.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// Months whose small files were merged after the commit.
    #[serde(skip)]
    pub compacted: Vec<CompactedMonth>,
    /// Files, and bytes of them, that commits had removed and that were deleted now.
    #[serde(skip)]
    pub freed: (usize, u64),
    /// What the user should know about single archives, by path.
    #[serde(skip)]
    pub notices: Vec<Notice>,
}

impl Summary {
    /// Whether any input was refused: a failed archive, a rejected record, or what could not be salvaged of an archive.
    #[must_use]
    pub fn refused_input(&self) -> bool {
        self.archives.failed > 0 || self.records.rejected > 0 || self.salvaged > 0
    }
}

/// How many archives were new, known before, or refused. They add up to the files looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveCounts {
    /// Stored (or salvaged) by this run.
    pub new: u64,
    /// Dealt with by an earlier run (also if it failed there), or the same bytes as another file of this run.
    pub known: u64,
    /// Refused.
    pub failed: u64,
}

/// Bytes of the archives that this run decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ByteCounts {
    /// Lengths of the files.
    pub archives: u64,
    /// Lengths of their members, inflated.
    pub json: u64,
}

/// Something to know about one archive: it failed, had rejects, or is odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Path of the archive.
    pub path: PathBuf,
    /// `failed`, `salvaged`, `rejects`, `note`, or `known` for one that failed in an earlier run.
    pub kind: &'static str,
    /// First reason, with member, record and position where there are such.
    pub reason: String,
    /// Where the records of the archive went; all zero where nothing was decoded.
    pub records: RecordCounts,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RecordCounts { read, stored, duplicates, rejected } = self.records;
        // A path can hold line breaks; one notice stays one line.
        let path: String = self.path.to_string_lossy().chars().flat_map(escape_control).collect();
        write!(formatter, "{path}: {}: {}", self.kind, self.reason)?;
        write!(formatter, " (read {read}, stored {stored}, duplicates {duplicates}, rejected {rejected})")
    }
}

fn escape_control(letter: char) -> impl Iterator<Item = char> {
    let escaped = letter.is_control().then(|| letter.escape_default());
    escaped.into_iter().flatten().chain((!letter.is_control()).then_some(letter))
}
