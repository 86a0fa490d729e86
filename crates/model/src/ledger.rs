//! The ledger: what became of every archive, where every count went, and what is known about how the archive came to be.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// When the archive was read, microseconds since the epoch.
    pub ingested_at: i64,
    /// All that is odd about the file and its container: `reason` names only the first of it.
    pub notes: Vec<Note>,
    /// The requests it was exported with, as far as side files told; by window, then by SHA-256.
    pub requests: Vec<ExportRequest>,
    /// How many services it holds records of, told apart by [`ServiceKey`]; `None` where they were not counted.
    pub services: Option<u64>,
    /// Those services. Left out (`None`) by readers that have no use for them: there can be many.
    pub service_spans: Option<Vec<ServiceSpan>>,
}

/// Something odd about an archive, or about the side file with its request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it is, a stable name for machines, such as `bytes_after`.
    pub kind: String,
    /// First byte in the file that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How many bytes it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256 of these bytes, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The first of these bytes, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bytes: Option<String>,
    /// What it is, for people.
    pub text: String,
}

impl Note {
    /// A note about the archive as a whole.
    #[must_use]
    pub fn new(kind: &str, text: impl Into<String>) -> Self {
        let (offset, bytes, sha256, first_bytes) = (None, None, None, None);
        Self { kind: kind.to_owned(), offset, bytes, sha256, first_bytes, text: text.into() }
    }

    /// The same about `bytes` of the file from `offset` on.
    #[must_use]
    pub fn at(mut self, offset: u64, bytes: u64) -> Self {
        (self.offset, self.bytes) = (Some(offset), Some(bytes));
        self
    }
}

/// The request that an archive was exported with, and the job's answer, as a side file tells them. Times are microseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRequest {
    /// Path of the side file.
    pub path: String,
    /// SHA-256 of the side file, lower-case hex.
    pub sha256: String,
    /// Start of the window that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_from: Option<i64>,
    /// End of the window. Whether the service takes it as part of the window is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_to: Option<i64>,
    /// What narrowed the export, by the service's names: `source`, `resourceId`, `actorId`, `tenantId`, `action`, `status`, and others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filters: BTreeMap<String, String>,
    /// The service's name of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// How the job ended, in the service's words; [`Self::SUCCEEDED`] is the good end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_state: Option<String>,
    /// When the job began. Nothing later can be in its export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_started_at: Option<i64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_ended_at: Option<i64>,
    /// Where the archive was fetched from, without credentials, query and fragment: a signed URL is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What is wrong or odd about the side file, or about the archive in its light.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

impl ExportRequest {
    /// The good end of a job.
    pub const SUCCEEDED: &str = "SUCCEEDED";
    /// Whether the end of a window belongs to it is unknown, and it may be a second that is meant as a whole.
    pub const END_MICROS: i64 = 1_000_000;

    /// Whether records with these first and last times may have been asked for with a window. False where there is no window.
    #[must_use]
    pub fn covers(&self, (first, last): (i64, i64)) -> bool {
        let window = self.window_from.zip(self.window_to);
        window.is_some_and(|(from, to)| first >= from && last < to.saturating_add(Self::END_MICROS))
    }

    /// How the job ended, where that is said and is not the good end.
    #[must_use]
    pub fn bad_end(&self) -> Option<&str> {
        self.job_state.as_deref().filter(|state| !state.eq_ignore_ascii_case(Self::SUCCEEDED))
    }
}

/// What tells the records of one service from those of another.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Column `resource_id`.
    pub resource_id: Option<String>,
    /// Column `source`.
    pub source: Option<String>,
    /// Column `tenant_id`.
    pub tenant_id: Option<String>,
}

/// The accepted records (stored or duplicate) of one service in one archive. Times are microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpan {
    /// The service; shared, since most archives hold the same ones.
    pub key: Arc<ServiceKey>,
    /// How many.
    pub records: u64,
    /// Earliest time among them.
    pub first_time: i64,
    /// Latest time among them.
    pub last_time: i64,
}
