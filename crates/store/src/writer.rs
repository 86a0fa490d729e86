//! The one writer of a store: waits for its turn, sweeps what a killed run left behind, commits runs.
//!
//! Order is what makes a commit safe: contents of files, then their names and folders, then the one commit file that makes
//! them count. A kill before the last step leaves files that no commit names, which the next writer sweeps.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use keytrail_model::ledger::RecordCounts;
use keytrail_model::schema::SCHEMA_VERSION;

use crate::chain::{self, Chain, CommitRecord, FileRecord, RunRecord, SidecarRecord, actions_digest};
use crate::delta::{self, Add, Committed, Live};
use crate::events_file::StagedFile;
use crate::failpoint::{Point, reach};
use crate::layout::{self, Layout};
use crate::leases::{self, Lease};
use crate::ledger_file::Content;
use crate::lock::Lock;
use crate::rejects_file::StagedRejects;
use crate::sealed_file::{FinishedFile, sha256};
use crate::{Snapshot, StagedLedger, StoreError, checkpoints, durable, sweep};

/// Commits between two checkpoints: other engines replay at most so many commit files.
const COMMITS_PER_CHECKPOINT: u64 = 100;
/// Hex digits of the digest in a run's name.
pub(crate) const RUN_DIGEST_DIGITS: usize = 12;
const KEYTRAIL_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The exclusive right to change a store, held until dropped.
#[derive(Debug)]
pub struct Writer {
    pub(crate) layout: Layout,
    pub(crate) staging: PathBuf,
    pub(crate) snapshot: Snapshot,
    chain: Chain,
    swept: Vec<String>,
    warnings: Vec<String>,
    // Last: the lock goes when all else is gone.
    _lock: Lock,
}

/// All that an ingest run commits.
#[derive(Debug)]
pub struct RunCommit {
    /// Name of the run, from [`Writer::next_run`].
    pub run: String,
    /// When, microseconds since the epoch.
    pub committed_at: i64,
    /// Options of the run: any JSON.
    pub options: serde_json::Value,
    /// Where the records of the run went; `stored` must be the rows of `files`.
    pub records: RecordCounts,
    /// New data files. Their order decides the numbers in their names, so it must not depend on chance.
    pub files: Vec<StagedFile>,
    /// New rows of the ledger.
    pub ledger: StagedLedger,
    /// New rejects: one for each that `ledger` counts.
    pub rejects: StagedRejects,
}

impl Writer {
    /// Opens the store under `root` for writing, and makes one where there is none.
    ///
    /// Waits for another writer to finish, after calling `on_wait` once. Checks the log and sweeps what killed runs left.
    ///
    /// # Errors
    /// The store cannot be made or locked, is damaged, or has a newer schema.
    pub fn open(root: &Path, on_wait: &mut dyn FnMut()) -> Result<Self, StoreError> {
        let layout = Layout::new(root);
        durable::create_folder(root)?;
        reach(Point::RootMade).map_err(StoreError::io("make the store", root))?;
        let lock = Lock::take(&layout.lock(), on_wait)?;
        reach(Point::Locked).map_err(StoreError::io("open the store", root))?;
        sweep::refuse_links(&layout)?;
        let (mut swept, mut warnings) = (Vec::new(), Vec::new());
        sweep::sweep_temporary(&layout, &mut swept)?;
        let (snapshot, mut chain) = match Snapshot::load_compared(&layout)? {
            Some(loaded) => loaded,
            None => create(&layout)?,
        };
        snapshot.require_seal()?;
        leases::prepare(&layout, snapshot.epoch)?;
        if snapshot.checkpoint_ignored() || !checkpoints::are_whole(&layout)? {
            sweep::sweep_checkpoints(&layout, &mut swept)?;
            chain.checkpoint = None;
        }
        // A commit that we build upon must not vanish in a power cut: its maker may have been killed before it synced the name.
        durable::sync_folder(&layout.log())?;
        sweep::sweep_runs(&layout, &snapshot, &mut swept, &mut warnings)?;
        warnings.extend(snapshot.foreign_warning());
        sweep::sweep_staging(&layout, &mut swept)?;
        let folders = [layout.staging(), layout.archives(), layout.rejects()];
        if folders.iter().any(|folder| !folder.is_dir()) {
            folders.iter().try_for_each(|folder| durable::make_folder(folder))?;
            durable::sync_folder(root)?;
        }
        swept.sort_unstable();
        reach(Point::Opened).map_err(StoreError::io("open the store", root))?;
        let staging = layout.staging();
        Ok(Self { layout, staging, snapshot, chain, swept, warnings, _lock: lock })
    }

    /// The last commit.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What was swept on opening: paths relative to the root, sorted.
    #[must_use]
    pub fn swept(&self) -> &[String] {
        &self.swept
    }

    /// What is wrong and did not stop a commit (files that no commit names, commits of other programs, no checkpoint could be written),
    /// in the order it came up.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// An empty folder for the files of a run in progress, on the file system of the store.
    #[must_use]
    pub fn staging_dir(&self) -> &Path {
        &self.staging
    }

    /// Name of the next run: the table version it will make and 12 hex digits that stand for its set of archives
    /// (SHA-256 in lower-case hex each, in any order).
    pub fn next_run(&self, archives: &mut dyn Iterator<Item = &str>) -> String {
        let mut archives: Vec<_> = archives.map(|archive| format!("{archive}\n")).collect();
        archives.sort_unstable();
        let digest = sha256(archives.concat().as_bytes());
        let digest = digest.get(..RUN_DIGEST_DIGITS).unwrap_or(&digest);
        layout::run_name(self.snapshot.version() + 1, digest)
    }

    /// Commits a run: all or nothing, durable when it returns.
    ///
    /// The staged files are moved to their places; what else the caller left in the staging folder is the caller's to remove.
    ///
    /// # Errors
    /// The figures do not conserve, a file cannot be moved or synced, or another program committed to the table. The last
    /// commit then still stands, but for [`StoreError::AfterCommit`] and [`StoreError::OutcomeUnknown`].
    pub fn commit(&mut self, run: RunCommit) -> Result<Snapshot, StoreError> {
        let placed = self.place(run)?;
        self.publish(&placed)?;
        Ok(self.snapshot.clone())
    }

    /// Goes on to the commit that was just made, and to a checkpoint of it where one is due.
    pub(crate) fn advance(&mut self) -> Result<(), StoreError> {
        self.chain.advance(&self.layout)?;
        let mut snapshot = Snapshot::of(&self.layout, &self.chain)?;
        snapshot.lease = Lease::take(&self.layout, snapshot.epoch);
        self.snapshot = snapshot;
        self.write_checkpoint_if_due();
        Ok(())
    }

    /// Checks a run, moves its files to their places and makes them durable there. Nothing counts yet.
    pub(crate) fn place(&self, run: RunCommit) -> Result<Placed, StoreError> {
        let version = self.snapshot.version() + 1;
        check(&run, version, &self.staging)?;
        let archives = SidecarRecord::new(layout::sidecar("archives", &run.run), &run.ledger.seal);
        let StagedRejects { path: staged_rejects, rows, bytes, sha256 } = run.rejects;
        let rejects = SidecarRecord::new(layout::sidecar("rejects", &run.run), &FinishedFile { sha256, bytes, rows });
        let (adds, files) = self.name_files(&run.run, &run.files);

        let root = self.layout.root();
        move_file(&run.ledger.path, &root.join(&archives.path))?;
        move_file(&staged_rejects, &root.join(&rejects.path))?;
        self.place_files(&run.files, &adds)?;
        // Also the folders above: a run that was killed may have made one and not have come to sync its name.
        for folder in [self.layout.archives(), self.layout.rejects(), root.to_owned()] {
            durable::sync_folder(&folder)?;
        }
        durable::sync_name_of_root(root)?;
        let run = RunRecord {
            name: run.run,
            committed_at: run.committed_at,
            options: run.options.to_string(),
            records: run.records,
            files,
            archives,
            rejects,
        };
        let record = CommitRecord { run: Some(run), ..self.record(&adds, &[]) };
        Ok(Placed { version, record, adds, removes: Vec::new() })
    }

    /// What the next commit says of itself, whatever it is for.
    pub(crate) fn record(&self, adds: &[Add], removes: &[Live]) -> CommitRecord {
        let added = adds.iter().map(|add| ("add", add.path.as_str(), add.bytes));
        let removed = removes.iter().map(|live| ("remove", live.path.as_str(), live.bytes.cast_unsigned()));
        CommitRecord {
            version: KEYTRAIL_VERSION.into(),
            schema_version: SCHEMA_VERSION.into(),
            prev: Some(self.snapshot.head().to_owned()),
            adds: adds.len() as u64,
            removes: removes.len() as u64,
            actions_sha256: actions_digest(&added.chain(removed).collect::<Vec<_>>()),
            run: None,
            compaction: None,
            forget: None,
        }
    }

    /// Moves data files to their places and makes them durable there.
    pub(crate) fn place_files(&self, files: &[StagedFile], adds: &[Add]) -> Result<(), StoreError> {
        let events = self.layout.events();
        for (staged, add) in files.iter().zip(adds) {
            let place = events.join(&add.path);
            durable::make_folder(place.parent().unwrap_or(&events))?;
            move_file(&staged.path, &place)?;
        }
        let mut months: Vec<_> = files.iter().map(|file| events.join(layout::month_folder(file.month))).collect();
        months.sort_unstable();
        months.dedup();
        // The names of new months are in it.
        months.push(events);
        months.iter().try_for_each(|folder| durable::sync_folder(folder))
    }

    /// The live files of some paths as they stand in the log.
    pub(crate) fn live(&self, paths: &[String]) -> Result<Vec<Live>, StoreError> {
        let replay = self.chain.replay();
        let live = |path: &String| {
            let live = replay.live.get(path).map(|(live, _)| (*live).clone());
            let expected = "a live file to be removed";
            live.ok_or_else(|| StoreError::damaged_file(&self.layout.events().join(path), expected, "no such file"))
        };
        paths.iter().map(live).collect()
    }

    /// Final names of the data files: numbered by month, in the order given.
    pub(crate) fn name_files(&self, run: &str, files: &[StagedFile]) -> (Vec<Add>, Vec<FileRecord>) {
        let mut numbers = HashMap::new();
        let name = |file: &StagedFile| {
            let number = numbers.entry(file.month).and_modify(|number| *number += 1).or_insert(0);
            let path = format!("{}/{run}-{number:04}.parquet", layout::month_folder(file.month));
            let record = FileRecord { path: path.clone(), sha256: file.sha256.clone(), rows: file.rows };
            let (rows, bytes, min_time, max_time) = (file.rows, file.bytes, file.min_time, file.max_time);
            (Add { path, month: file.month.to_string(), rows, bytes, min_time, max_time }, record)
        };
        files.iter().map(name).unzip()
    }

    /// Makes a commit of what is in its place, and goes on to it.
    ///
    /// # Errors
    /// [`StoreError::AfterCommit`] where something failed when the commit stood, [`StoreError::OutcomeUnknown`] where the system does not say; any
    /// other error where it does not stand.
    pub(crate) fn publish(&mut self, placed: &Placed) -> Result<(), StoreError> {
        let is_durable = self.write_commit(placed).inspect_err(|error| {
            // The version is somebody else's now: later, these files could not be told from any others that no commit names.
            if matches!(error, StoreError::Conflict { .. }) {
                self.take_back(placed);
            }
        })?;
        let version = placed.version;
        let sync = if is_durable { Ok(()) } else { durable::sync_folder(&self.layout.log()) };
        let done = sync.and_then(|()| {
            let path = self.layout.commit(version);
            reach(Point::Published).map_err(StoreError::io("look at the commit", &path))?;
            self.advance()
        });
        done.map_err(|source| StoreError::AfterCommit { version, source: Box::new(source) })
    }

    /// Removes the files of a commit that was not made, as far as that is possible.
    fn take_back(&self, placed: &Placed) {
        let CommitRecord { run, forget, .. } = &placed.record;
        let sidecars = run.iter().flat_map(|run| [&run.archives.path, &run.rejects.path]);
        let sidecars = sidecars.chain(forget.iter().map(|forget| &forget.forgotten.path));
        let data = placed.adds.iter().map(|add| self.layout.events().join(&add.path));
        for path in sidecars.map(|path| self.layout.root().join(path)).chain(data) {
            let _ = fs::remove_file(path);
        }
    }

    /// Writes the commit file: the moment from which the run counts. Tells whether its name is known to be durable, too.
    pub(crate) fn write_commit(&self, placed: &Placed) -> Result<bool, StoreError> {
        let events = self.layout.events();
        let moment_ms = placed.record.committed_at().unwrap_or_default().div_euclid(1000);
        let Placed { version, record, adds, removes } = placed;
        reach(Point::Placed).map_err(StoreError::io("commit to the store", self.layout.root()))?;
        // Readers of the epoch that begins lock this file.
        if !removes.is_empty() {
            leases::prepare(&self.layout, *version)?;
        }
        let outcome = if record.forget.is_some() {
            let metadata = self.chain.metadata(&self.layout)?;
            delta::commit_removal(&events, *version, record, removes, metadata, moment_ms)
        } else {
            let removes = removes.iter().map(|live| live.path.as_str()).collect();
            delta::commit(&events, *version, record, adds, &removes, moment_ms)
        };
        // An error may come after the commit file got its name, a conflict may be with ourselves, and an answer may be wrong: whatever it
        // was, the file tells.
        let path = self.layout.commit(*version);
        let unknown = |source: StoreError| StoreError::OutcomeUnknown { version: *version, source: Box::new(source) };
        let is_there =
            path.try_exists().map_err(|error| unknown(StoreError::io("look for the commit", &path)(error)))?;
        if !is_there {
            return match outcome? {
                Committed::Yes => {
                    Err(StoreError::damaged_commit(&path, "the commit that was just made", "no such file"))
                }
                Committed::Conflict => Err(StoreError::Conflict { path: events, version: *version }),
            };
        }
        let conflict = || Err(StoreError::Conflict { path: events.clone(), version: *version });
        let was_taken = matches!(outcome, Ok(Committed::Conflict));
        match chain::record_of(&self.layout, *version) {
            Ok(Some(found)) if found == *record => Ok(matches!(outcome, Ok(Committed::Yes))),
            Ok(_) => conflict(),
            // Ours is whole when it gets its name.
            Err(error) if was_taken && is_of_another(&error) => conflict(),
            Err(error @ StoreError::Io { .. }) => Err(unknown(error)),
            Err(error) => Err(error),
        }
    }

    /// A store without a checkpoint is slower to open for other engines, and as right: a failure is a warning.
    fn write_checkpoint_if_due(&mut self) {
        let version = self.snapshot.version();
        if version - self.chain.checkpoint.unwrap_or(0) < COMMITS_PER_CHECKPOINT {
            return;
        }
        let begun = reach(Point::CheckpointBegun).map_err(StoreError::io("write a checkpoint to", self.layout.root()));
        let written = begun.and_then(|()| delta::checkpoint(&self.layout.events(), version));
        let done = || reach(Point::CheckpointDone).map_err(StoreError::io("write a checkpoint to", self.layout.root()));
        match written.and_then(|()| done()) {
            Ok(()) => self.chain.checkpoint = Some(version),
            Err(error) => {
                self.warnings.push(format!("no checkpoint of version {version}: {error}"));
                // Half of one is no use to anybody. Where it cannot be removed now, the next writer does.
                self.chain.checkpoint = None;
                let _ = sweep::sweep_checkpoints(&self.layout, &mut Vec::new());
            }
        }
    }
}

/// A commit whose files are in their places, durable, and count for nothing until its commit file is written.
pub(crate) struct Placed {
    pub(crate) version: u64,
    pub(crate) record: CommitRecord,
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<Live>,
}

impl SidecarRecord {
    pub(crate) fn new(path: String, seal: &FinishedFile) -> Self {
        Self { path, sha256: seal.sha256.clone(), rows: seal.rows, bytes: seal.bytes }
    }
}

/// Whether what was read at the place of a commit of ours tells that somebody else wrote it: it is no commit of ours, or not ours to read.
fn is_of_another(error: &StoreError) -> bool {
    match error {
        StoreError::Io { source, .. } => matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::IsADirectory),
        _ => true,
    }
}

/// Makes the empty table.
fn create(layout: &Layout) -> Result<(Snapshot, Chain), StoreError> {
    if let Some(found) = sweep::any_run_file(layout)? {
        let found = format!("no such file, though {found} is there");
        return Err(StoreError::damaged_commit(&layout.commit(0), "the first commit", found));
    }
    durable::create_folder(&layout.log())?;
    let record = CommitRecord {
        version: KEYTRAIL_VERSION.into(),
        schema_version: SCHEMA_VERSION.into(),
        prev: None,
        adds: 0,
        removes: 0,
        actions_sha256: actions_digest(&[]),
        run: None,
        compaction: None,
        forget: None,
    };
    delta::create_table(&layout.events(), &record)?;
    reach(Point::TableMade).map_err(StoreError::io("make the store", layout.root()))?;
    Snapshot::load_compared(layout)?.ok_or_else(|| StoreError::NotFound { path: layout.root().to_owned() })
}

pub(crate) fn move_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let moved = reach(Point::Moving).and_then(|()| fs::rename(from, to)).and_then(|()| reach(Point::Moved));
    moved.map_err(StoreError::io("move a staged file from here to its place", from))
}

/// Every figure must agree with every other before anything is moved.
fn check(run: &RunCommit, version: u64, staging: &Path) -> Result<(), StoreError> {
    let require = |holds: bool, what: &str, expected: &dyn ToString, found: &dyn ToString| {
        if holds {
            return Ok(());
        }
        let (expected, found) = (expected.to_string(), found.to_string());
        Err(StoreError::Inconsistent { run: run.run.clone(), what: what.to_owned(), expected, found })
    };
    let plain = run.run.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let named = layout::version_of_run(&run.run) == Some(version) && plain;
    require(named, "name of the run", &layout::run_name(version, "..."), &run.run)?;
    let sum = |counts: &RecordCounts| format!("{counts:?}");
    require(
        run.records.conserved(),
        "records of the run",
        &"read = stored + duplicates + rejected",
        &sum(&run.records),
    )?;
    let Content { archives, rejected, runs, unbalanced } = &run.ledger.content;
    if let Some((archive, records)) = unbalanced {
        let what = format!("records of archive {archive}");
        require(false, &what, &"read = stored + duplicates + rejected", &sum(records))?;
    }
    if let Some((other, archive)) = runs.iter().find(|(name, _)| *name != run.run) {
        require(false, &format!("run of archive {archive}"), &run.run, other)?;
    }
    let mut archives: Vec<&str> = archives.iter().map(String::as_str).collect();
    archives.sort_unstable();
    let twice = archives.windows(2).find_map(|pair| pair.first().filter(|first| pair.last() == Some(first)));
    require(twice.is_none(), "ledger", &"one row an archive", &format!("two of archive {}", twice.unwrap_or(&"")))?;
    let rows: u64 = run.files.iter().map(|file| file.rows).sum();
    require(rows == run.records.stored, "rows of the data files", &run.records.stored, &rows)?;
    require(run.rejects.rows == *rejected, "rows of the rejects", rejected, &run.rejects.rows)?;
    let staged = run.files.iter().map(|file| (&file.path, file.bytes));
    let sidecars = [(&run.ledger.path, run.ledger.seal.bytes), (&run.rejects.path, run.rejects.bytes)];
    for (path, bytes) in staged.chain(sidecars) {
        let length = fs::metadata(path).map_err(StoreError::io("find the staged file", path))?.len();
        require(length == bytes, &format!("length of {}", path.display()), &bytes, &length)?;
        let place = format!("in {}", staging.display());
        require(path.starts_with(staging), "place of a staged file", &place, &path.display())?;
    }
    Ok(())
}
