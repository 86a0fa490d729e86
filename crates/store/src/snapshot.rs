//! One committed state of the store, held in memory: which files live, which runs made them.
//!
//! Loading one reads every commit file ([`crate::chain`]), has the Delta library list the live files, and compares the two:
//! a damaged checkpoint must not lose files silently.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use keytrail_model::ledger::{LedgerRow, RecordCounts};
use keytrail_model::time::Month;
use serde::Deserialize;

use crate::chain::{Action, Chain, Commit, CommitRecord, SidecarRecord};
use crate::delta::{self, Live, Source};
use crate::failpoint::{Point, reach};
use crate::layout::Layout;
use crate::sealed_file::sha256;
use crate::{StoreError, ledger_file};

/// A committed state of the store. Later commits do not change it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) root: PathBuf,
    pub(crate) version: u64,
    pub(crate) head: String,
    pub(crate) files: Vec<DataFile>,
    pub(crate) runs: Vec<RunInfo>,
    pub(crate) foreign: Vec<u64>,
    pub(crate) checkpoint_ignored: bool,
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

    /// Versions that another program committed; their rows have no ledger.
    #[must_use]
    pub fn foreign_commits(&self) -> &[u64] {
        &self.foreign
    }

    /// Whether a checkpoint of the log was unreadable or did not say what the commits say. It was then left aside; the files
    /// here are those of the commits. The next writer removes it.
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
        for run in &self.runs {
            for row in self.read_ledger(&run.archives)? {
                latest.insert(row.archive.clone(), rows.len());
                rows.push(row);
            }
        }
        let numbered = (0..).zip(rows);
        Ok(numbered.filter(|(number, row)| latest.get(&row.archive) == Some(number)).map(|(_, row)| row).collect())
    }

    fn read_ledger(&self, sidecar: &Sidecar) -> Result<Vec<LedgerRow>, StoreError> {
        let path = self.root.join(&sidecar.path);
        let bytes = reach(Point::LedgerReading).and_then(|()| fs::read(&path));
        let bytes = bytes.map_err(StoreError::io("read the ledger", &path))?;
        let found = sha256(&bytes);
        if found != sidecar.sha256 {
            return Err(StoreError::damaged_file(&path, format!("SHA-256 {}", sidecar.sha256), found));
        }
        ledger_file::read(&path, bytes.into())
    }
}

impl Snapshot {
    /// Loads the last commit. `None` where there is no commit at all.
    pub(crate) fn load(layout: &Layout) -> Result<Option<Self>, StoreError> {
        Ok(Self::load_with_chain(layout)?.map(|(snapshot, _)| snapshot))
    }

    /// The same, with the chain it was made from.
    pub(crate) fn load_with_chain(layout: &Layout) -> Result<Option<(Self, Chain)>, StoreError> {
        let Some(chain) = Chain::read(layout)? else {
            return Ok(None);
        };
        let runs = chain.commits.iter().filter_map(|commit| run_info(layout, commit).transpose());
        let mut snapshot = Self {
            root: layout.root().to_owned(),
            version: chain.version(),
            head: chain.head.clone(),
            files: Vec::new(),
            runs: runs.collect::<Result<_, _>>()?,
            foreign: chain
                .commits
                .iter()
                .filter(|commit| commit.record.is_none())
                .map(|commit| commit.version)
                .collect(),
            checkpoint_ignored: false,
        };
        match snapshot.list_files(layout, &chain, Source::Checkpoint) {
            Ok(files) => snapshot.files = files,
            // A checkpoint, or the hint at it, may be what is damaged. The commits hold all of it, too.
            Err(error) => {
                snapshot.files = snapshot.list_files(layout, &chain, Source::CommitsOnly).map_err(|_| error)?;
                snapshot.checkpoint_ignored = true;
            }
        }
        Ok(Some((snapshot, chain)))
    }

    /// Lists the live files and compares them with the commits.
    fn list_files(&self, layout: &Layout, chain: &Chain, source: Source) -> Result<Vec<DataFile>, StoreError> {
        let live = delta::live_files(&layout.events(), self.version, source)?;
        let mut files = live.iter().map(|file| data_file(layout, file)).collect::<Result<Vec<_>, _>>()?;
        files.sort_unstable_by(|left, right| left.path.cmp(&right.path));
        compare_with_commits(layout, chain, &files)?;
        self.allow_for_cut_maxima(&mut files);
        Ok(files)
    }

    /// Another program may have cut the maximum of a time to milliseconds; we round ours up.
    fn allow_for_cut_maxima(&self, files: &mut [DataFile]) {
        let ours: HashSet<&str> = self.runs.iter().flat_map(|run| &run.files).map(|file| file.path.as_str()).collect();
        for file in files.iter_mut().filter(|file| !ours.contains(file.path.as_str())) {
            file.max_time = file.max_time.saturating_add(999);
        }
    }
}

/// What the library lists must be what the commits added and did not remove: ours and those of other programs.
fn compare_with_commits(layout: &Layout, chain: &Chain, files: &[DataFile]) -> Result<(), StoreError> {
    let mut committed = BTreeMap::new();
    for commit in &chain.commits {
        let run = commit.record.iter().filter_map(|record| record.run.as_ref());
        committed.extend(run.flat_map(|run| &run.files).map(|file| (file.path.clone(), Some(file.rows))));
        for action in &commit.foreign {
            match action {
                // What another program says of its rows is in the listing only.
                Action::Add(live) => committed.insert(decode_path(&live.path).unwrap_or_default(), None),
                Action::Remove(path) => committed.remove(&decode_path(path).unwrap_or_default()),
            };
        }
    }
    let listed: BTreeMap<_, _> = files.iter().map(|file| (file.path.as_str(), file.rows)).collect();
    let missing = committed
        .iter()
        .find(|(path, rows)| listed.get(path.as_str()).is_none_or(|listed| rows.is_some_and(|rows| rows != *listed)));
    let extra = listed.iter().find(|(path, rows)| {
        committed.get(**path).is_none_or(|committed| committed.is_some_and(|committed| committed != **rows))
    });
    if missing.is_none() && extra.is_none() {
        return Ok(());
    }
    let describe = |file: Option<(&str, Option<u64>)>| match file {
        Some((path, Some(rows))) => format!("{path} with {rows} rows"),
        Some((path, None)) => path.to_owned(),
        None => "nothing else".to_owned(),
    };
    let missing = describe(missing.map(|(path, rows)| (path.as_str(), *rows)));
    let extra = describe(extra.map(|(path, rows)| (*path, Some(*rows))));
    let expected = format!("the {} files of the commits, among them {missing}", committed.len());
    Err(StoreError::damaged_file(&layout.log(), expected, format!("{} files, among them {extra}", listed.len())))
}

fn run_info(layout: &Layout, commit: &Commit) -> Result<Option<RunInfo>, StoreError> {
    let Some(CommitRecord { version, schema_version, prev, run: Some(run), .. }) = &commit.record else {
        return Ok(None);
    };
    let options = serde_json::from_str(&run.options).map_err(|error| {
        StoreError::damaged_commit(&layout.commit(commit.version), "options of the run as JSON", error.to_string())
    })?;
    let files =
        run.files.iter().map(|file| RunFile { path: file.path.clone(), sha256: file.sha256.clone(), rows: file.rows });
    Ok(Some(RunInfo {
        run: run.name.clone(),
        version: commit.version,
        keytrail_version: version.clone(),
        schema_version: *schema_version,
        committed_at: run.committed_at,
        options,
        prev: prev.clone().unwrap_or_default(),
        records: run.records,
        files: files.collect(),
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
    })
}

/// The path of a file relative to the table, from the URL reference in the log. `None` outside of the table.
pub(crate) fn decode_path(reference: &str) -> Option<String> {
    let base = url::Url::parse("file:///table/").ok()?;
    let path = base.join(reference).ok()?.to_file_path().ok()?;
    path.strip_prefix("/table").ok()?.to_str().map(str::to_owned)
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
        ];
        for (reference, expected) in cases {
            assert_eq!(decode_path(reference).as_deref(), expected, "{reference}");
        }
    }
}
