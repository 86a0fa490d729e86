//! The shape of `expected.json`: what an engine must answer about the archives beside it.
//!
//! Every list and map is in a fixed order. Times are RFC 3339, UTC, six digits. Counts of events (`by_*`, `key_usage`,
//! `login_failures`, `zeroize_events`) are about *stored* records, after duplicates are resolved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::options::GenerateOptions;

/// All answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The options that the archives were made with.
    pub options: GenerateOptions,
    /// Archives by outcome.
    pub archives: ArchiveCounts,
    /// Records by outcome, over all archives; failed ones and copies count for nothing.
    pub records: RecordCounts,
    /// Sizes.
    pub bytes: ByteCounts,
    /// Time of the first stored record.
    pub first_time: Option<String>,
    /// Time of the last stored record.
    pub last_time: Option<String>,
    /// Stored records by kind of source: `cloudhsm` and `cdsp`.
    pub by_source: BTreeMap<String, u64>,
    /// Stored records by month, `YYYY-MM`.
    pub by_month: BTreeMap<String, u64>,
    /// Stored records by action.
    pub by_action: BTreeMap<String, u64>,
    /// Stored records by status.
    pub by_status: BTreeMap<String, u64>,
    /// Stored records by month, then action, then status.
    pub by_month_action_status: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
    /// Use of each key, by OUID in lower case.
    pub key_usage: BTreeMap<String, KeyUsage>,
    /// Logins of each actor that failed at least once, by `actorID`.
    pub login_failures: BTreeMap<String, LoginFailures>,
    /// Destructions and attempts, in the order of the fields.
    pub zeroize_events: Vec<ZeroizeEvent>,
    /// What the windows of the requests cover, where there are side files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// One entry per file of the archives folder, by name; side files are not listed.
    pub archive_list: Vec<ArchiveAnswer>,
    /// One entry per rejected record, by archive and position.
    pub rejects: Vec<Reject>,
}

/// What the windows of the requests cover: the same for every service, since none is narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Start of the first window.
    pub from: String,
    /// End of the last one. There is no gap between them.
    pub to: String,
    /// Windows, one for each good archive.
    pub windows: u64,
    /// Seconds that two windows share. No moment is in three.
    pub overlap_seconds: u64,
}

/// Archives by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveCounts {
    /// Files in the folder.
    pub total: u64,
    /// Read to the end, with or without rejects.
    pub new: u64,
    /// Byte for byte equal to another one.
    pub known: u64,
    /// Refused as a whole.
    pub failed: u64,
    /// Names of those refused, in order.
    pub failed_names: Vec<String>,
}

/// Records by outcome; `read = stored + duplicates + rejected`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCounts {
    /// All that were met.
    pub read: u64,
    /// Events.
    pub stored: u64,
    /// Repetitions of an event that another archive holds.
    pub duplicates: u64,
    /// Not usable.
    pub rejected: u64,
    /// Of those stored: made on purpose as an equal neighbour of another. Without trace identifiers and with whole
    /// seconds further ones can be equal by chance.
    pub equal_pairs: u64,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteCounts {
    /// Files that are neither failed nor a copy.
    pub archives: u64,
    /// Inflated size of those.
    pub json: u64,
    /// All files of the folder.
    pub files: u64,
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUsage {
    /// Records that name the key.
    pub operations: u64,
    /// Successful whole or finished cryptographic operations.
    pub uses: u64,
    /// Records with a status other than success.
    pub failed: u64,
    /// Distinct actors.
    pub actors: u64,
    /// Distinct client addresses.
    pub client_ips: u64,
    /// Earliest record.
    pub first_seen: String,
    /// Latest record.
    pub last_seen: String,
}

/// Logins of one actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFailures {
    /// Wrong credential, or refused because of a lock.
    pub failures: u64,
    /// Of those: with a lock, alone or on top.
    pub lockouts: u64,
    /// All logins.
    pub attempts: u64,
    /// Distinct client addresses of all logins.
    pub client_ips: u64,
    /// Distinct client addresses of the failures.
    pub failure_client_ips: u64,
    /// Earliest failure.
    pub first_failure: String,
    /// Latest failure.
    pub last_failure: String,
}

/// What happened to a partition's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroizeKind {
    /// Destroyed on request.
    Zeroize,
    /// A request that was refused.
    ZeroizeAttempt,
    /// Initialised although it had been in use.
    Reinitialised,
    /// Destroyed because of failed logins.
    WipedByLoginFailures,
}

/// One destruction or attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ZeroizeEvent {
    /// When.
    pub time: String,
    /// What.
    pub kind: ZeroizeKind,
    /// Serial of the partition.
    pub partition_id: String,
    /// Service instance.
    pub resource_id: String,
    /// Who.
    pub actor_id: String,
    /// From where.
    pub client_ip: Option<String>,
    /// In which role, as written.
    pub role: String,
    /// Action of the record.
    pub action: String,
    /// Status of the record.
    pub status: String,
}

/// Outcome of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveStatus {
    /// Read to the end.
    Stored,
    /// Refused as a whole.
    Failed,
    /// A copy of another one; whichever comes second is the known one.
    Copy,
}

/// One file of the archives folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveAnswer {
    /// File name.
    pub name: String,
    /// `zip`, `gzip` or `plain`: what its content should be taken for.
    pub container: String,
    /// Outcome.
    pub status: ArchiveStatus,
    /// Damage done to the archive, or to the end of its list.
    pub fault: Option<String>,
    /// For a copy: the file it repeats.
    pub copy_of: Option<String>,
    /// Size of the file.
    pub bytes: u64,
    /// Inflated size; 0 for failed archives and copies.
    pub json_bytes: u64,
    /// Members of a ZIP, else 1; 0 for failed archives and copies.
    pub members: u64,
    /// Records met, good and bad.
    pub read: u64,
    /// Of those: repeated from the archive before.
    pub repeated: u64,
    /// Of those: not usable.
    pub rejected: u64,
    /// Earliest good record.
    pub first_time: Option<String>,
    /// Latest good record.
    pub last_time: Option<String>,
}

/// One rejected record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reject {
    /// File name of its archive.
    pub archive: String,
    /// Member of the ZIP, or the file name where there is no ZIP.
    pub member: String,
    /// Position in its member, from 0, good and bad records counted.
    pub ordinal: u64,
    /// Byte in the inflated member at which it starts.
    pub offset: u64,
    /// Name of the fault.
    pub fault: String,
}
