//! The commit files as we read them ourselves: what each says about its run, whether it is whole, and whether it is chained to
//! the one before it.
//!
//! The Delta library replays a log that was cut in the middle without a word, so nothing is handed to it before this
//! module has read every commit. Line 1 of a commit file is its `commitInfo`; ours carries a [`CommitRecord`] with the SHA-256 of the
//! previous commit file and a digest of the file actions that follow. A change to any commit but the last breaks the
//! hash in the next one; a cut in the last one shows in its digest, any other change of it in its seal ([`check_seal`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use keytrail_model::ledger::RecordCounts;
use keytrail_model::schema::{MONTH, SCHEMA_VERSION};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::delta::{self, Live};
use crate::failpoint::{Point, reach};
use crate::folder::entries;
use crate::layout::{self, Layout};
use crate::parallel::read_in_parallel;
use crate::seal::{self, Seal};
use crate::sealed_file::sha256;
use crate::snapshot::decode_path;

/// Commits for which a thread of their own pays.
const COMMITS_PER_READER: usize = 64;

/// All commits of a store, checked.
#[derive(Debug)]
pub(crate) struct Chain {
    /// By version; never empty.
    pub(crate) commits: Vec<Commit>,
    /// SHA-256 of the last commit file.
    pub(crate) head: String,
    /// Version of the newest checkpoint.
    pub(crate) checkpoint: Option<u64>,
}

/// A commit file.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) version: u64,
    /// What keytrail wrote into it; `None` where another program made the commit.
    pub(crate) record: Option<CommitRecord>,
    /// When, by the writer's clock, microseconds since the epoch; 0 where the commit does not tell.
    pub(crate) committed_at: i64,
    /// File actions: removed files first. Empty where only line 1 was read.
    pub(crate) actions: Vec<Action>,
}

/// A file action of a commit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Add(Live),
    /// The path, as it stands in the log.
    Remove(String),
}

/// What a commit of ours says about itself: `commitInfo.keytrail`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CommitRecord {
    /// Version of keytrail.
    pub(crate) version: String,
    pub(crate) schema_version: u64,
    /// SHA-256 of the commit file before this one; nothing in version 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prev: Option<String>,
    /// File actions in this commit.
    pub(crate) adds: u64,
    pub(crate) removes: u64,
    /// [`actions_digest`] of them.
    pub(crate) actions_sha256: String,
    /// The run of an ingest. Version 0, which makes the empty table, has none of these three, each later commit exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunRecord>,
    /// Small files merged into large ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compaction: Option<CompactionRecord>,
    /// Months removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forget: Option<ForgetRecord>,
}

/// A compaction: the rows of the removed files are those of the added ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CompactionRecord {
    pub(crate) name: String,
    pub(crate) committed_at: i64,
    pub(crate) files: Vec<FileRecord>,
    /// Paths relative to the table.
    pub(crate) removed: Vec<String>,
    /// What was moved, by month.
    pub(crate) months: Vec<MonthDigest>,
}

/// Rows of one month that a compaction moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MonthDigest {
    /// `YYYY-MM`.
    pub(crate) month: String,
    pub(crate) rows: u64,
    /// [`keytrail_model::digest::RowsDigest`] of the rows with their provenance: that of the removed files, and that of the added ones.
    pub(crate) digest: String,
}

/// Months that were removed, with all their rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ForgetRecord {
    pub(crate) name: String,
    pub(crate) committed_at: i64,
    /// `YYYY-MM`: all months before it.
    pub(crate) before: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Paths relative to the table.
    pub(crate) removed: Vec<String>,
    pub(crate) rows: u64,
    /// The tombstone: what was removed, by archive and month.
    pub(crate) forgotten: SidecarRecord,
}

/// The run of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) name: String,
    pub(crate) committed_at: i64,
    /// JSON text: options are free in form, a column of the log is not.
    pub(crate) options: String,
    pub(crate) records: RecordCounts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<FileRecord>,
    pub(crate) archives: SidecarRecord,
    pub(crate) rejects: SidecarRecord,
}

/// A data file of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) path: String,
    pub(crate) sha256: String,
    pub(crate) rows: u64,
}

/// A file beside the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SidecarRecord {
    pub(crate) path: String,
    pub(crate) sha256: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// A line of a commit file; members that we do not need are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    commit_info: Option<CommitInfo>,
    add: Option<FileAction>,
    remove: Option<FileAction>,
    protocol: Option<serde::de::IgnoredAny>,
    meta_data: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct CommitInfo {
    keytrail: Option<serde_json::Value>,
    /// Milliseconds since the epoch.
    timestamp: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileAction {
    path: String,
    size: Option<u64>,
    #[serde(default)]
    partition_values: HashMap<String, Option<String>>,
    stats: Option<String>,
    deletion_vector: Option<serde::de::IgnoredAny>,
}

/// Digest of the file actions of a commit, whatever their order: `(kind, path, size)` each, with `add` or `remove` as kind.
pub(crate) fn actions_digest(actions: &[(&str, &str, u64)]) -> String {
    let mut lines: Vec<_> = actions.iter().map(|(kind, path, size)| format!("{kind} {size} {path}\n")).collect();
    lines.sort_unstable();
    sha256(lines.concat().as_bytes())
}

impl CommitRecord {
    /// Data files that the commit added.
    pub(crate) fn files(&self) -> &[FileRecord] {
        match (&self.run, &self.compaction) {
            (Some(run), _) => &run.files,
            (None, Some(compaction)) => &compaction.files,
            (None, None) => &[],
        }
    }

    /// Data files that the commit removed, relative to the table.
    pub(crate) fn removed(&self) -> &[String] {
        match (&self.compaction, &self.forget) {
            (Some(compaction), _) => &compaction.removed,
            (None, Some(forget)) => &forget.removed,
            (None, None) => &[],
        }
    }

    /// When, microseconds since the epoch; nothing in version 0.
    pub(crate) fn committed_at(&self) -> Option<i64> {
        let run = self.run.as_ref().map(|run| run.committed_at);
        let compaction = || self.compaction.as_ref().map(|compaction| compaction.committed_at);
        run.or_else(compaction).or_else(|| self.forget.as_ref().map(|forget| forget.committed_at))
    }
}

impl Chain {
    /// Reads and checks all commits. `None` where there is none.
    pub(crate) fn read(layout: &Layout) -> Result<Option<Self>, StoreError> {
        let Some(listing) = Listing::of(layout)? else {
            return Ok(None);
        };
        let mut chain = Self { commits: Vec::new(), head: String::new(), checkpoint: listing.checkpoint };
        for read in read_all(layout, &listing.commits) {
            chain.push(layout, read?)?;
        }
        Ok(Some(chain))
    }

    /// Appends the commit after the last one, once it is there.
    pub(crate) fn advance(&mut self, layout: &Layout) -> Result<(), StoreError> {
        self.push(layout, ReadCommit::read(layout, self.version().saturating_add(1))?)
    }

    fn push(&mut self, layout: &Layout, read: ReadCommit) -> Result<(), StoreError> {
        read.commit.check_prev(&layout.commit(read.commit.version), &self.head)?;
        self.head = read.sha256;
        self.commits.push(read.commit);
        Ok(())
    }

    /// Version of the last commit.
    pub(crate) fn version(&self) -> u64 {
        self.commits.last().map_or(0, |commit| commit.version)
    }

    /// What the commits, one after the other, make of the table.
    pub(crate) fn replay(&self) -> Replay<'_> {
        let mut replay = Replay::default();
        for commit in &self.commits {
            let record = commit.record.as_ref();
            let files = record.map(CommitRecord::files).unwrap_or_default();
            let files: HashMap<_, _> = files.iter().map(|file| (file.path.as_str(), file)).collect();
            for action in &commit.actions {
                match action {
                    Action::Remove(reference) => {
                        let path = decode_path(reference).unwrap_or_default();
                        if let Some((_, file)) = replay.live.remove(&path) {
                            let is_ours = record.is_some() && file.is_some();
                            replay.removed.insert(path, Removed { commit, is_ours });
                        }
                        replay.epoch = commit.version;
                    }
                    Action::Add(live) => {
                        let path = decode_path(&live.path).unwrap_or_default();
                        replay.removed.remove(&path);
                        let file = files.get(path.as_str()).copied();
                        replay.live.insert(path, (live, file));
                    }
                }
            }
        }
        replay
    }

    /// The table's `metaData` action that holds now, as it stands in the log.
    pub(crate) fn metadata(&self, layout: &Layout) -> Result<serde_json::Value, StoreError> {
        for commit in self.commits.iter().rev() {
            let path = layout.commit(commit.version);
            let text = fs::read_to_string(&path).map_err(StoreError::io("read the commit", &path))?;
            for line in text.lines().filter(|line| line.contains("metaData")) {
                let mut line: serde_json::Value = serde_json::from_str(line)
                    .map_err(|error| StoreError::damaged_commit(&path, "lines of JSON", error.to_string()))?;
                if let Some(metadata) = line.get_mut("metaData").filter(|metadata| metadata.is_object()) {
                    return Ok(metadata.take());
                }
            }
        }
        Err(StoreError::damaged_commit(&layout.commit(0), "metaData of the table", "none"))
    }
}

/// The table by its commits.
#[derive(Debug, Default)]
pub(crate) struct Replay<'a> {
    /// Live files by path, with what the commit of ours that added one says of it.
    pub(crate) live: BTreeMap<String, (&'a Live, Option<&'a FileRecord>)>,
    /// Files that lived once, by path.
    pub(crate) removed: BTreeMap<String, Removed<'a>>,
    /// Version of the last commit that removed files; 0 where none did.
    pub(crate) epoch: u64,
}

/// How a file left the table.
#[derive(Debug)]
pub(crate) struct Removed<'a> {
    pub(crate) commit: &'a Commit,
    /// Whether this and the commit that added it are ours.
    pub(crate) is_ours: bool,
}

/// A commit with its hash, checked by itself.
struct ReadCommit {
    commit: Commit,
    sha256: String,
}

impl ReadCommit {
    fn read(layout: &Layout, version: u64) -> Result<Self, StoreError> {
        let path = layout.commit(version);
        let bytes = reach(Point::CommitReading).and_then(|()| fs::read(&path));
        let bytes = bytes.map_err(StoreError::io("read the commit", &path))?;
        let mut commit = Commit::parse(layout, version, &bytes)?;
        let lines = Lines::read(&path, &bytes)?;
        commit.check_actions(&path, &lines)?;
        commit.actions = lines.into_actions();
        commit.check_record(&path)?;
        Ok(Self { commit, sha256: sha256(&bytes) })
    }
}

/// Reads commits, in their order. Many are read side by side: a store of daily runs has a thousand of them after three years.
fn read_all(layout: &Layout, versions: &[u64]) -> Vec<Result<ReadCommit, StoreError>> {
    read_in_parallel(COMMITS_PER_READER, versions, |&version| ReadCommit::read(layout, version))
}

/// Checks the seal of a commit of ours. Tells whether it has one: an earlier keytrail wrote none.
pub(crate) fn check_seal(path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
    match seal::check(bytes) {
        Seal::Whole => Ok(true),
        Seal::Broken { expected, found } => {
            let (expected, found) = (format!("bytes of the seal {expected}"), format!("bytes of another, {found}"));
            Err(StoreError::damaged_commit(path, expected, found))
        }
        Seal::Absent if has_members_of_others(bytes) => Err(StoreError::damaged_commit(
            path,
            "a commit record with its seal",
            "none, and members that keytrail does not write",
        )),
        Seal::Absent => Ok(false),
    }
}

/// Whether a commit record holds what no keytrail of this schema version writes, such as a seal under another name.
pub(crate) fn has_members_of_others(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let info: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    let Some(value) = info.as_ref().and_then(|line| line.get("commitInfo")?.get("keytrail")) else {
        return false;
    };
    let known = CommitRecord::deserialize(value).ok().and_then(|record| serde_json::to_value(record).ok());
    known.as_ref() != Some(value)
}

/// What a commit says of itself, where it is whole and one of ours.
pub(crate) fn record_of(layout: &Layout, version: u64) -> Result<Option<CommitRecord>, StoreError> {
    Ok(ReadCommit::read(layout, version)?.commit.record)
}

/// The names in the log's folder.
pub(crate) struct Listing {
    /// Versions, sorted.
    pub(crate) commits: Vec<u64>,
    pub(crate) checkpoint: Option<u64>,
}

impl Listing {
    /// Lists the log. `None` where there is none; an error where a commit is missing.
    fn of(layout: &Layout) -> Result<Option<Self>, StoreError> {
        let listing = Self::with_gaps(layout)?;
        match listing.first_missing() {
            Some(missing) => Err(missing_commit(layout, missing, listing.end().unwrap_or(missing))),
            None => Ok((!listing.commits.is_empty()).then_some(listing)),
        }
    }

    /// Lists the log, whatever is missing from it.
    pub(crate) fn with_gaps(layout: &Layout) -> Result<Self, StoreError> {
        loop {
            let listing = Self::once(layout)?;
            // A folder that grows while it is listed may show a later name and not an earlier one. Then list again.
            if !listing.first_missing().is_some_and(|missing| layout.commit(missing).exists()) {
                return Ok(listing);
            }
        }
    }

    /// The last version of which there is anything.
    pub(crate) fn end(&self) -> Option<u64> {
        self.commits.last().copied().max(self.checkpoint)
    }

    fn once(layout: &Layout) -> Result<Self, StoreError> {
        let mut listing = Self { commits: Vec::new(), checkpoint: None };
        for entry in entries(&layout.log())? {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            match layout::parse_log_name(&name) {
                Some((version, "json")) => listing.commits.push(version),
                Some((version, _)) if layout::is_checkpoint(&name) => {
                    listing.checkpoint = listing.checkpoint.max(Some(version));
                }
                _ => {}
            }
        }
        listing.commits.sort_unstable();
        Ok(listing)
    }

    /// The first version without a commit file, though there is something of a later one.
    fn first_missing(&self) -> Option<u64> {
        let gap = (0..).zip(&self.commits).find_map(|(expected, &version)| (version != expected).then_some(expected));
        gap.or_else(|| {
            let next = self.commits.len() as u64;
            self.checkpoint.filter(|&checkpoint| checkpoint >= next).map(|_| next)
        })
    }
}

pub(crate) fn missing_commit(layout: &Layout, version: u64, end: u64) -> StoreError {
    let found = format!("no such file, though the log goes on to version {end}");
    StoreError::damaged_commit(&layout.commit(version), "a commit: the log is never trimmed", found)
}

impl Commit {
    /// Version of the columns, where the commit is ours.
    pub(crate) fn schema(&self) -> Option<u64> {
        self.record.as_ref().map(|record| record.schema_version)
    }

    pub(crate) fn parse(layout: &Layout, version: u64, bytes: &[u8]) -> Result<Self, StoreError> {
        let path = layout.commit(version);
        let damaged = |expected: &str, found: String| StoreError::damaged_commit(&path, expected, found);
        if bytes.is_empty() {
            return Err(damaged("lines of JSON", "an empty file".into()));
        }
        let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line: Line = serde_json::from_slice(first)
            .map_err(|error| damaged("a JSON object in line 1", format!("{error}, {} bytes", first.len())))?;
        let stamp = line.commit_info.as_ref().and_then(|info| info.timestamp).unwrap_or_default();
        let mut commit = Self { version, record: None, committed_at: stamp.saturating_mul(1000), actions: Vec::new() };
        let Some(value) = line.commit_info.and_then(|info| info.keytrail) else {
            // Programs that write no newline behind the last line are right to, and a cut within a line is no JSON.
            return Ok(commit);
        };
        if bytes.last() != Some(&b'\n') {
            return Err(damaged("a newline at its end", format!("a cut after {} bytes", bytes.len())));
        }
        check_schema_version(layout, &value)?;
        let record = CommitRecord::deserialize(value)
            .map_err(|error| damaged("what keytrail writes in commitInfo.keytrail", error.to_string()))?;
        check_table_version(layout, bytes)?;
        commit.committed_at = record.committed_at().unwrap_or(commit.committed_at);
        commit.record = Some(record);
        Ok(commit)
    }

    fn check_prev(&self, path: &Path, previous: &str) -> Result<(), StoreError> {
        let Some(record) = &self.record else {
            // The first commit tells whose table this is; a table of another program is none of our business.
            return if self.version > 0 { Ok(()) } else { Err(not_ours(path)) };
        };
        match &record.prev {
            None if self.version == 0 => Ok(()),
            Some(prev) if self.version > 0 && prev == previous => Ok(()),
            other => Err(StoreError::damaged_commit(
                path,
                format!("SHA-256 {previous} of the commit before it"),
                other.as_deref().unwrap_or("nothing").to_owned(),
            )),
        }
    }

    /// Compares the file actions with what the commit says of itself. Whosever it is, they concern files of the table only.
    pub(crate) fn check_actions(&self, path: &Path, Lines(lines): &Lines) -> Result<(), StoreError> {
        let actions: Vec<_> = lines.iter().filter_map(Line::action).collect();
        let is_right = |file: String| self.record.is_none() || layout::is_data_file(&file);
        if let Some((kind, file, _)) = actions.iter().find(|(_, file, _)| !decode_path(file).is_some_and(is_right)) {
            let found = format!("{kind} of {file:?}");
            return Err(StoreError::damaged_commit(path, "paths of data files within the table", found));
        }
        let Some(record) = &self.record else {
            return Ok(());
        };
        let removes = actions.iter().filter(|(kind, ..)| *kind == "remove").count() as u64;
        let (adds, digest) = (actions.len() as u64 - removes, actions_digest(&actions));
        let describe = |adds, removes, digest| format!("{adds} added and {removes} removed files, digest {digest}");
        let expected = describe(record.adds, record.removes, &record.actions_sha256);
        let found = describe(adds, removes, &digest);
        if found != expected {
            return Err(StoreError::damaged_commit(path, expected, found));
        }
        let is_table =
            lines.iter().any(|line| line.protocol.is_some()) && lines.iter().any(|line| line.meta_data.is_some());
        if self.version == 0 && !is_table {
            return Err(StoreError::damaged_commit(path, "protocol and metaData of the table", "one or none of them"));
        }
        Ok(())
    }
}

impl Commit {
    /// Compares the files that a commit of ours names with those it adds and removes.
    fn check_record(&self, path: &Path) -> Result<(), StoreError> {
        let Some(record) = &self.record else {
            return Ok(());
        };
        let (mut adds, mut removes) = (BTreeSet::new(), BTreeSet::new());
        for action in &self.actions {
            match action {
                Action::Add(live) => adds.insert(decode_path(&live.path).unwrap_or_default()),
                Action::Remove(reference) => removes.insert(decode_path(reference).unwrap_or_default()),
            };
        }
        let named_adds = record.files().iter().map(|file| file.path.clone()).collect();
        let named_removes = record.removed().iter().cloned().collect();
        for (what, named, found) in [("added", &named_adds, &adds), ("removed", &named_removes, &removes)] {
            let missing = BTreeSet::difference(named, found).next();
            let missing = missing
                .map(|file| (format!("{file} to be {what}, as its record says"), "no such file action".to_owned()));
            let more = BTreeSet::difference(found, named).next();
            let more =
                more.map(|file| (format!("the {} {what} files of its record", named.len()), format!("{file} as well")));
            if let Some((expected, found)) = missing.or(more) {
                return Err(StoreError::damaged_commit(path, expected, found));
            }
        }
        Ok(())
    }
}

/// All lines of a commit file.
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let texts = (1..).zip(bytes.split(|&byte| byte == b'\n')).filter(|(_, text)| !text.is_empty());
        let line = |(number, text): (u64, &[u8])| {
            serde_json::from_slice(text).map_err(|error| {
                StoreError::damaged_commit(path, format!("a JSON object in line {number}"), error.to_string())
            })
        };
        texts.map(line).collect::<Result<_, _>>().map(Self)
    }

    /// The file actions: removed files first, since a file may be removed and added again with other statistics.
    pub(crate) fn into_actions(self) -> Vec<Action> {
        let (mut removes, mut adds) = (Vec::new(), Vec::new());
        for line in self.0 {
            removes.extend(line.remove.map(|action| Action::Remove(action.path)));
            adds.extend(line.add.map(|action| Action::Add(action.into())));
        }
        removes.append(&mut adds);
        removes
    }
}

impl From<FileAction> for Live {
    fn from(mut action: FileAction) -> Self {
        Self {
            month: action.partition_values.remove(MONTH).flatten(),
            bytes: action.size.unwrap_or_default().cast_signed(),
            path: action.path,
            stats: action.stats,
            deletion_vector: action.deletion_vector.is_some(),
        }
    }
}

impl Line {
    /// Kind, path and size of the file action in this line.
    fn action(&self) -> Option<(&'static str, &str, u64)> {
        let kinds = [("add", &self.add), ("remove", &self.remove)];
        kinds.into_iter().find_map(|(kind, action)| {
            let action = action.as_ref()?;
            Some((kind, action.path.as_str(), action.size.unwrap_or_default()))
        })
    }
}

pub(crate) fn not_ours(path: &Path) -> StoreError {
    StoreError::damaged_commit(path, "the first commit of a keytrail store", "a table that another program made")
}

/// Before anything else of a record is read: a newer keytrail may have changed all the rest.
fn check_schema_version(layout: &Layout, record: &serde_json::Value) -> Result<(), StoreError> {
    let (known, found) = (u64::from(SCHEMA_VERSION), record.get("schema_version").and_then(serde_json::Value::as_u64));
    match found {
        Some(found) if found > known => Err(StoreError::SchemaTooNew { path: layout.root().to_owned(), found, known }),
        _ => Ok(()),
    }
}

/// Versions of the Delta protocol that our commits may ask for, and the features.
const READER_VERSION: u64 = 3;
const WRITER_VERSION: u64 = 7;
const FEATURES: [&str; 2] = ["appendOnly", "invariants"];

/// The same for what a commit of ours says of the table as a whole. Commits of other programs are the Delta library's to judge.
fn check_table_version(layout: &Layout, bytes: &[u8]) -> Result<(), StoreError> {
    let is_about_table = |line: &&[u8]| line.starts_with(b"{\"protocol\"") || line.starts_with(b"{\"metaData\"");
    for line in bytes.split(|&byte| byte == b'\n').filter(is_about_table) {
        // What is no JSON is found where all lines are read.
        let line: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        let version = line.pointer("/metaData/configuration").and_then(|all| all.get(delta::SCHEMA_PROPERTY)?.as_str());
        let (known, found) = (u64::from(SCHEMA_VERSION), version.and_then(|version| version.parse().ok()));
        if let Some(found) = found.filter(|&found| found > known) {
            return Err(StoreError::SchemaTooNew { path: layout.root().to_owned(), found, known });
        }
        let Some(protocol) = line.get("protocol") else {
            continue;
        };
        let needs = |name: &str, known: u64| {
            let version = protocol.get(name).and_then(serde_json::Value::as_u64).filter(|&version| version > known);
            version.map(|version| format!("{name} {version}"))
        };
        let features =
            ["readerFeatures", "writerFeatures"].into_iter().filter_map(|list| protocol.get(list)?.as_array());
        let mut features = features.flatten().filter_map(serde_json::Value::as_str);
        let needs = needs("minReaderVersion", READER_VERSION)
            .or_else(|| needs("minWriterVersion", WRITER_VERSION))
            .or_else(|| features.find(|name| !FEATURES.contains(name)).map(|name| format!("feature {name}")));
        if let Some(needs) = needs {
            return Err(StoreError::TableTooNew { path: layout.root().to_owned(), needs });
        }
    }
    Ok(())
}

/// Whether there is a log, with a first commit that this keytrail can read. Damage further on is for [`Chain::read`] to find.
pub(crate) fn first_commit(layout: &Layout) -> Result<bool, StoreError> {
    if Listing::of(layout)?.is_none() {
        return Ok(false);
    }
    let path = layout.commit(0);
    let bytes = fs::read(&path).map_err(StoreError::io("read the commit", &path))?;
    Commit::parse(layout, 0, &bytes)?.check_prev(&path, "")?;
    Ok(true)
}
