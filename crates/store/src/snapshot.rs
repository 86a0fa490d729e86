//! One committed state of the store, held in memory: which files live, which runs made them.
//!
//! Loading one reads every commit file ([`crate::chain`]), which tells all of it: checkpoints only repeat the commits, and a reader
//! never looks at them. Where another program committed to the table the Delta library lists the live files, too, since it knows what such
//! a commit can mean, and both lists must agree. The writer asks it always: a damaged checkpoint must not mislead other engines.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use keytrail_model::ledger::{LedgerRow, RecordCounts};
use keytrail_model::time::Month;
use serde::Deserialize;

use crate::chain::{self, Chain, Commit, CommitRecord, FileRecord, Replay, SidecarRecord};
use crate::delta::{self, Live, Source};
use crate::failpoint::{Point, reach};
use crate::layout::{self, Layout};
use crate::leases::Lease;
use crate::parallel::read_in_parallel;
use crate::sealed_file::{expect_sha256, sha256};
use crate::{StoreError, ledger_file};

/// Ledgers for which a thread of their own pays.
const LEDGERS_PER_READER: usize = 64;

/// A committed state of the store. Later commits do not change it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) root: PathBuf,
    pub(crate) version: u64,
    pub(crate) head: String,
    /// Version of the columns that the last commit of ours wrote.
    pub(crate) schema: u64,
    pub(crate) files: Vec<DataFile>,
    pub(crate) runs: Vec<RunInfo>,
    pub(crate) compactions: Vec<CompactionInfo>,
    pub(crate) forgets: Vec<ForgetInfo>,
    pub(crate) foreign: Vec<u64>,
    pub(crate) removed: Vec<RemovedFile>,
    /// Version of the last commit that removed files.
    pub(crate) epoch: u64,
    pub(crate) checkpoint_ignored: bool,
    /// Keeps the files on the disk.
    pub(crate) lease: Option<Lease>,
}

/// A live data file of `events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Path relative to [`Snapshot::events_dir`], `/` between its parts: `month=2026-01/<run>-0000.parquet`.
    pub path: String,
    /// Value of the table's column `month`, `YYYY-MM`.
    pub month: String,
    /// Rows, exact.
    pub rows: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Lower bound of `time`, microseconds since the epoch: no row is earlier. Up to 1 ms too low, so no exact minimum.
    pub min_time: i64,
    /// Upper bound of `time`, inclusive: no row is later. Up to 1 ms too high, so no exact maximum.
    pub max_time: i64,
    /// SHA-256 of the file, lower-case hex; `None` where another program added it.
    pub sha256: Option<String>,
}

/// An ingest run, as its commit tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// Name of the run; unique in the store.
    pub run: String,
    /// Table version that the run made.
    pub version: u64,
    /// Version of the keytrail that wrote it.
    pub keytrail_version: String,
    /// Version of the columns ([`keytrail_model::schema::SCHEMA_VERSION`]) that it wrote.
    pub schema_version: u64,
    /// When, by the clock of the machine, microseconds since the epoch.
    pub committed_at: i64,
    /// Options of the run, as the caller gave them.
    pub options: serde_json::Value,
    /// SHA-256 of the commit file before this one, lower-case hex.
    pub prev: String,
    /// Where the records of the run went.
    pub records: RecordCounts,
    /// Data files that the run added.
    pub files: Vec<RunFile>,
    /// The run's rows of `archives`.
    pub archives: Sidecar,
    /// The run's rows of `rejects`.
    pub rejects: Sidecar,
}

/// A data file that a run added. It may have been removed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFile {
    /// Path relative to [`Snapshot::events_dir`].
    pub path: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Rows.
    pub rows: u64,
}

/// A compaction: small files merged into large ones, with the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactionInfo {
    /// Its name; unique in the store, as that of a run is.
    pub name: String,
    /// Table version that it made.
    pub version: u64,
    /// When, by the clock of the machine, microseconds since the epoch.
    pub committed_at: i64,
    /// Data files that it added.
    pub files: Vec<RunFile>,
    /// Data files that it removed, relative to [`Snapshot::events_dir`].
    pub removed: Vec<String>,
}

/// Months that were removed from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgetInfo {
    /// Its name; unique in the store, as that of a run is.
    pub name: String,
    /// Table version that it made.
    pub version: u64,
    /// When, by the clock of the machine, microseconds since the epoch.
    pub committed_at: i64,
    /// All months before this one, `YYYY-MM`, were removed.
    pub before: String,
    /// Why, in the user's words.
    pub reason: Option<String>,
    /// Rows removed.
    pub rows: u64,
    /// The tombstone: a row for each archive and month.
    pub forgotten: Sidecar,
}

/// A data file that lived once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemovedFile {
    /// Relative to the table.
    pub(crate) path: String,
    /// Whether commits of ours added and removed it. What another program did is no reason to delete a byte.
    pub(crate) is_ours: bool,
    /// Version of the commit that removed it.
    pub(crate) version: u64,
    /// When, microseconds since the epoch.
    pub(crate) removed_at: i64,
}

/// A Parquet file beside the table that a commit names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// Path relative to the root of the store, `/` between its parts.
    pub path: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Rows.
    pub rows: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
}

impl Snapshot {
    /// Root of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Version of the table: 0 is the empty table, each run adds one.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// SHA-256 of the last commit file, lower-case hex: stands for the whole history of the store.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Live data files, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// Runs, oldest first.
    #[must_use]
    pub fn runs(&self) -> &[RunInfo] {
        &self.runs
    }

    /// Compactions, oldest first.
    #[must_use]
    pub fn compactions(&self) -> &[CompactionInfo] {
        &self.compactions
    }

    /// Removals of months, oldest first.
    #[must_use]
    pub fn forgets(&self) -> &[ForgetInfo] {
        &self.forgets
    }

    /// Versions that another program committed; their rows have no ledger.
    #[must_use]
    pub fn foreign_commits(&self) -> &[u64] {
        &self.foreign
    }

    /// What to say where another program committed to the table.
    #[must_use]
    pub fn foreign_warning(&self) -> Option<String> {
        let versions: Vec<_> = self.foreign.iter().map(u64::to_string).collect();
        let words = "another program committed to the store: `keytrail verify` tells what it changed; version";
        (!versions.is_empty()).then(|| format!("{words} {}", versions.join(", ")))
    }

    /// Refuses a last commit of ours whose bytes are not those that were sealed. Who commits upon it, or signs it, vouches for it: from then on
    /// the hash in the next commit is that of the changed one.
    pub(crate) fn require_seal(&self) -> Result<(), StoreError> {
        let last = (0..=self.version).rev().find(|version| !self.foreign.contains(version)).unwrap_or_default();
        let path = Layout::new(&self.root).commit(last);
        let bytes = fs::read(&path).map_err(StoreError::io("read the commit", &path))?;
        chain::check_seal(&path, &bytes).map(|_| ())
    }

    /// Whether a checkpoint of the log was unreadable or did not say what the commits say; the files here are those of the commits. Only
    /// a [`crate::Writer`] looks, and removes it, and readers of a store to which another program committed.
    #[must_use]
    pub fn checkpoint_ignored(&self) -> bool {
        self.checkpoint_ignored
    }

    /// Folder of the `events` table.
    #[must_use]
    pub fn events_dir(&self) -> PathBuf {
        Layout::new(&self.root).events()
    }

    /// Rows of `events`.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The ledger: the latest row of each archive, in the order in which those rows were committed.
    ///
    /// Reads the ledger file of every run and checks its SHA-256.
    ///
    /// # Errors
    /// A ledger file is missing, changed or unreadable.
    pub fn ledger(&self) -> Result<Vec<LedgerRow>, StoreError> {
        let (mut rows, mut latest) = (Vec::new(), HashMap::new());
        for read in self.read_ledgers() {
            for row in read? {
                latest.insert(row.archive.clone(), rows.len());
                rows.push(row);
            }
        }
        let numbered = (0..).zip(rows);
        Ok(numbered.filter(|(number, row)| latest.get(&row.archive) == Some(number)).map(|(_, row)| row).collect())
    }

    /// The ledgers of all runs, in their order; many are read side by side.
    fn read_ledgers(&self) -> Vec<Result<Vec<LedgerRow>, StoreError>> {
        read_in_parallel(LEDGERS_PER_READER, &self.runs, |run| self.read_ledger(&run.archives))
    }

    pub(crate) fn read_ledger(&self, sidecar: &Sidecar) -> Result<Vec<LedgerRow>, StoreError> {
        let (path, bytes) = self.read_sidecar(sidecar)?;
        ledger_file::read(&path, &bytes)
    }

    /// A file beside the table, with its path, checked against its SHA-256.
    pub(crate) fn read_sidecar(&self, sidecar: &Sidecar) -> Result<(PathBuf, Bytes), StoreError> {
        let path = self.root.join(&sidecar.path);
        let bytes = reach(Point::LedgerReading).and_then(|()| fs::read(&path));
        let bytes = bytes.map_err(StoreError::io("read the file beside the table", &path))?;
        expect_sha256(&path, &sidecar.sha256, sha256(&bytes))?;
        Ok((path, bytes.into()))
    }
}

impl Snapshot {
    /// Loads the last commit, and sees to it that its files stay. `None` where there is no commit at all.
    pub(crate) fn load(layout: &Layout) -> Result<Option<Self>, StoreError> {
        let Some(mut chain) = Chain::read(layout)? else {
            return Ok(None);
        };
        loop {
            let mut snapshot = Self::of(layout, &chain)?;
            snapshot.lease = Lease::take(layout, snapshot.epoch);
            // Only a lease on the last commit is one that nobody overlooked.
            if !layout.commit(snapshot.version.saturating_add(1)).exists() {
                if !snapshot.foreign.is_empty() {
                    snapshot.ask_library(layout, &chain)?;
                }
                return Ok(Some(snapshot));
            }
            chain.advance(layout)?;
        }
    }

    /// The same, compared with what the Delta library sees; with the chain it was made from.
    pub(crate) fn load_compared(layout: &Layout) -> Result<Option<(Self, Chain)>, StoreError> {
        let Some(chain) = Chain::read(layout)? else {
            return Ok(None);
        };
        let mut snapshot = Self::of(layout, &chain)?;
        snapshot.lease = Lease::take(layout, snapshot.epoch);
        snapshot.ask_library(layout, &chain)?;
        Ok(Some((snapshot, chain)))
    }

    /// The state that the commits of a chain make. Touches no disk and has no lease.
    pub(crate) fn of(layout: &Layout, chain: &Chain) -> Result<Self, StoreError> {
        let replay = chain.replay();
        let runs = chain.commits.iter().filter_map(|commit| run_info(layout, commit).transpose());
        let foreign = chain.commits.iter().filter(|commit| commit.record.is_none());
        let removed = replay.removed.iter().map(|(path, removed)| RemovedFile {
            path: path.clone(),
            is_ours: removed.is_ours,
            version: removed.commit.version,
            removed_at: removed.commit.committed_at,
        });
        Ok(Self {
            root: layout.root().to_owned(),
            version: chain.version(),
            head: chain.head.clone(),
            schema: chain.commits.iter().rev().find_map(Commit::schema).unwrap_or_default(),
            files: live_files(layout, &replay)?,
            runs: runs.collect::<Result<_, _>>()?,
            compactions: chain.commits.iter().filter_map(compaction_info).collect(),
            forgets: chain.commits.iter().filter_map(forget_info).collect(),
            foreign: foreign.map(|commit| commit.version).collect(),
            removed: removed.collect(),
            epoch: replay.epoch,
            checkpoint_ignored: false,
            lease: None,
        })
    }

    /// Has the library list the live files, and compares.
    fn ask_library(&mut self, layout: &Layout, chain: &Chain) -> Result<(), StoreError> {
        let replay = chain.replay();
        let compare = |source| {
            let live = delta::live_files(&layout.events(), self.version, source)?;
            compare_with_commits(layout, &replay, &live)
        };
        // A checkpoint, or the hint at it, may be what is damaged. The commits hold all of it, too.
        if let Err(error) = compare(Source::Checkpoint) {
            compare(Source::CommitsOnly).map_err(|_| error)?;
            self.checkpoint_ignored = true;
        }
        Ok(())
    }
}

/// The live files, sorted by path.
fn live_files(layout: &Layout, replay: &Replay<'_>) -> Result<Vec<DataFile>, StoreError> {
    let file = |(live, record): &(&Live, Option<&FileRecord>)| {
        let mut file = data_file(layout, live)?;
        match record {
            Some(record) if record.rows != file.rows => {
                let path = layout.events().join(&file.path);
                let (expected, found) = (format!("{} rows", record.rows), format!("{} rows in the log", file.rows));
                return Err(StoreError::damaged_file(&path, expected, found));
            }
            Some(record) => file.sha256 = Some(record.sha256.clone()),
            // Another program may have cut the maximum of a time to milliseconds; we round ours up.
            None => file.max_time = file.max_time.saturating_add(999),
        }
        Ok(file)
    };
    replay.live.values().map(file).collect()
}

/// What the library lists must be what the commits added and did not remove: ours and those of other programs.
fn compare_with_commits(layout: &Layout, replay: &Replay<'_>, listed: &[Live]) -> Result<(), StoreError> {
    let rows = |live: &Live| data_file(layout, live).map(|file| (file.path, file.rows));
    let listed = listed.iter().map(rows).collect::<Result<BTreeMap<_, _>, _>>()?;
    let committed = replay.live.values().map(|(live, _)| rows(live)).collect::<Result<BTreeMap<_, _>, _>>()?;
    if listed == committed {
        return Ok(());
    }
    let describe = |files: &BTreeMap<String, u64>, others: &BTreeMap<String, u64>| {
        let odd = files.iter().find(|(path, rows)| others.get(*path) != Some(rows));
        odd.map_or_else(|| "nothing else".to_owned(), |(path, rows)| format!("{path} with {rows} rows"))
    };
    let (missing, extra) = (describe(&committed, &listed), describe(&listed, &committed));
    let expected = format!("the {} files of the commits, among them {missing}", committed.len());
    Err(StoreError::damaged_file(&layout.log(), expected, format!("{} files, among them {extra}", listed.len())))
}

fn compaction_info(commit: &Commit) -> Option<CompactionInfo> {
    let record = commit.record.as_ref()?.compaction.as_ref()?;
    Some(CompactionInfo {
        name: record.name.clone(),
        version: commit.version,
        committed_at: record.committed_at,
        files: record.files.iter().map(run_file).collect(),
        removed: record.removed.clone(),
    })
}

fn forget_info(commit: &Commit) -> Option<ForgetInfo> {
    let record = commit.record.as_ref()?.forget.as_ref()?;
    Some(ForgetInfo {
        name: record.name.clone(),
        version: commit.version,
        committed_at: record.committed_at,
        before: record.before.clone(),
        reason: record.reason.clone(),
        rows: record.rows,
        forgotten: sidecar(&record.forgotten),
    })
}

fn run_file(file: &FileRecord) -> RunFile {
    RunFile { path: file.path.clone(), sha256: file.sha256.clone(), rows: file.rows }
}

fn run_info(layout: &Layout, commit: &Commit) -> Result<Option<RunInfo>, StoreError> {
    let Some(CommitRecord { version, schema_version, prev, run: Some(run), .. }) = &commit.record else {
        return Ok(None);
    };
    let options = serde_json::from_str(&run.options).map_err(|error| {
        StoreError::damaged_commit(&layout.commit(commit.version), "options of the run as JSON", error.to_string())
    })?;
    Ok(Some(RunInfo {
        run: run.name.clone(),
        version: commit.version,
        keytrail_version: version.clone(),
        schema_version: *schema_version,
        committed_at: run.committed_at,
        options,
        prev: prev.clone().unwrap_or_default(),
        records: run.records,
        files: run.files.iter().map(run_file).collect(),
        archives: sidecar(&run.archives),
        rejects: sidecar(&run.rejects),
    }))
}

fn sidecar(record: &SidecarRecord) -> Sidecar {
    Sidecar { path: record.path.clone(), sha256: record.sha256.clone(), rows: record.rows, bytes: record.bytes }
}

/// The statistics of a file that we use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    num_records: u64,
    #[serde(default)]
    min_values: TimeBound,
    #[serde(default)]
    max_values: TimeBound,
}

#[derive(Deserialize, Default)]
struct TimeBound {
    time: Option<String>,
}

impl TimeBound {
    /// Microseconds. `None` where there is none, or one that we cannot read: then nothing is known about the file's times.
    fn micros(&self) -> Option<i64> {
        Some(self.time.as_ref()?.parse::<jiff::Timestamp>().ok()?.as_microsecond())
    }
}

pub(crate) fn data_file(layout: &Layout, live: &Live) -> Result<DataFile, StoreError> {
    let path = decode_path(&live.path);
    let damaged = |expected: &str, found: String| {
        StoreError::damaged_file(&layout.events().join(path.as_deref().unwrap_or(&live.path)), expected, found)
    };
    if live.deletion_vector {
        return Err(damaged("a file whose rows all live", "a deletion vector, which keytrail never writes".into()));
    }
    let stats = live.stats.as_deref().unwrap_or("null");
    let stats: Stats =
        serde_json::from_str(stats).map_err(|error| damaged("statistics in the log", error.to_string()))?;
    let month = live.month.clone().filter(|month| Month::parse(month).is_some());
    Ok(DataFile {
        month: month.ok_or_else(|| damaged("a month YYYY-MM", format!("{:?}", live.month)))?,
        rows: stats.num_records,
        bytes: u64::try_from(live.bytes).map_err(|_| damaged("a length", live.bytes.to_string()))?,
        min_time: stats.min_values.micros().unwrap_or(i64::MIN),
        max_time: stats.max_values.micros().unwrap_or(i64::MAX),
        path: path.clone().ok_or_else(|| damaged("a path within the table", live.path.clone()))?,
        sha256: None,
    })
}

/// The path of a file relative to the table, from the URL reference in the log. `None` outside of the table, within its log, and where
/// the path is not the one plain spelling of its place: a file has one name, by which it is added, removed and freed.
pub(crate) fn decode_path(reference: &str) -> Option<String> {
    let base = url::Url::parse("file:///table/").ok()?;
    let path = base.join(reference).ok()?.to_file_path().ok()?;
    let path = path.strip_prefix("/table").ok()?.to_str()?;
    let is_plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (is_plain && !layout::is_in_log(path)).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_log_are_url_references() {
        let cases = [
            ("month=2026-01/00000001-ab-0000.parquet", Some("month=2026-01/00000001-ab-0000.parquet")),
            ("month=2026-01/part%20one.parquet", Some("month=2026-01/part one.parquet")),
            ("month%3D2026-01/a.parquet", Some("month=2026-01/a.parquet")),
            ("../../etc/passwd", None),
            ("/etc/passwd", None),
            ("file:///etc/passwd", None),
            ("s3://bucket/a.parquet", None),
            ("..%2F..%2Fa.parquet", None),
            ("month=2026-01/..%2F..%2F..%2Fa.parquet", None),
            ("../../etc/passwd", None),
            ("../table", None),
            ("", None),
            ("month=2026-01//a.parquet", None),
            ("month=2026-01%2Fa.parquet", Some("month=2026-01/a.parquet")),
            ("month=2026-01/./a.parquet", Some("month=2026-01/a.parquet")),
            ("_delta_log/00000000000000000000.json", None),
            ("month=2026-01/..%2F_delta_log/00000000000000000000.json", None),
        ];
        for (reference, expected) in cases {
            assert_eq!(decode_path(reference).as_deref(), expected, "{reference}");
        }
    }
}
