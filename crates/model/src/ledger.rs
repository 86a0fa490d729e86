//! The ledger: what became of every archive, and where every count went.

use serde::{Deserialize, Serialize};

/// What became of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveStatus {
    /// All its members were read to their end.
    Stored,
    /// It is no archive of records, or a member is damaged: no record of a damaged member is stored.
    Failed,
    /// Damaged, and what could be decoded was stored because the user asked for it.
    Salvaged,
}

impl ArchiveStatus {
    /// The text in the column `status` of `archives`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Failed => "failed",
            Self::Salvaged => "salvaged",
        }
    }

    /// The status that a text of the column `status` stands for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stored, Self::Failed, Self::Salvaged].into_iter().find(|status| status.as_str() == text)
    }
}

/// Where the records of an archive, or of many, went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCounts {
    /// Records found, good or bad.
    pub read: u64,
    /// Rows written to `events`.
    pub stored: u64,
    /// Records that another archive had brought before.
    pub duplicates: u64,
    /// Records that could not be used; each is a row of `rejects`.
    pub rejected: u64,
}

impl RecordCounts {
    /// Whether every record read went somewhere: `read = stored + duplicates + rejected`.
    #[must_use]
    pub fn conserved(&self) -> bool {
        self.stored.checked_add(self.duplicates).and_then(|sum| sum.checked_add(self.rejected)) == Some(self.read)
    }
}

impl std::ops::AddAssign for RecordCounts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
    }
}

/// A row of `archives`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// SHA-256 of the file, lower-case hex.
    pub archive: String,
    /// Path under which the file was found first.
    pub path: String,
    /// `zip`, `gzip` or `plain`; `None` where the content told nothing.
    pub container: Option<String>,
    /// What became of the archive.
    pub status: ArchiveStatus,
    /// Why it failed, or what is odd about it.
    pub reason: Option<String>,
    /// Length of the file.
    pub bytes: u64,
    /// Length of its members, inflated.
    pub json_bytes: u64,
    /// Members that hold records; folders and resource forks are not counted.
    pub members: u64,
    /// Where its records went.
    pub records: RecordCounts,
    /// Earliest time among its accepted records (stored or duplicate), microseconds since the epoch.
    pub first_time: Option<i64>,
    /// Latest time among its accepted records.
    pub last_time: Option<i64>,
    /// Run that wrote this row.
    pub run: String,
    /// When that run wrote it, microseconds since the epoch.
    pub ingested_at: i64,
}
