//! The log: every commit whole, ours, and chained to the one before it; and what lives by its commits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{Findings, sum};
use crate::chain::{self, Action, Commit, CommitRecord, FileRecord, ForgetRecord, Lines, Listing, RunRecord};
use crate::delta::Live;
use crate::layout::{self, Layout};
use crate::seal::{self, Seal};
use crate::sealed_file::sha256;
use crate::signatures::Statement;
use crate::snapshot::{data_file, decode_path};
use crate::{DataFile, StoreError, sweep};

/// What the readable commits say.
#[derive(Default)]
pub(super) struct Log {
    pub(super) version: u64,
    /// SHA-256 of the last commit file.
    pub(super) head: String,
    /// Version of the columns that the last commit of ours wrote.
    schema: u64,
    /// Whether the last commit has a seal, or needs none.
    is_sealed: bool,
    /// Version and SHA-256 of every commit file.
    pub(super) heads: Vec<(u64, String)>,
    /// Versions that are signed.
    signed: BTreeSet<u64>,
    /// What there is to sign about them.
    pub(super) statements: BTreeMap<u64, Statement>,
    /// Runs, oldest first.
    pub(super) runs: Vec<RunRecord>,
    /// Removals of months, oldest first.
    pub(super) forgets: Vec<ForgetRecord>,
    /// Live data files by path.
    pub(super) live: BTreeMap<String, LiveFile>,
    /// Paths of all data files that a commit ever named.
    pub(super) named: BTreeSet<String>,
}

/// A live data file.
pub(super) struct LiveFile {
    pub(super) file: DataFile,
    /// `None` where another program added it.
    pub(super) sha256: Option<String>,
}

/// Reads all commits; `signed` are the versions that are signed.
pub(super) fn read(layout: &Layout, signed: BTreeSet<u64>, findings: &mut Findings<'_>) -> Result<Log, StoreError> {
    let listing = Listing::with_gaps(layout)?;
    let mut log = Log { signed, ..Log::default() };
    let Some(end) = listing.end() else {
        let Some(found) = sweep::any_run_file(layout)? else {
            return Err(StoreError::NotFound { path: layout.root().to_owned() });
        };
        findings.damage(&layout.commit(0), "the first commit", format!("no such file, though {found} is there"));
        return Ok(log);
    };
    let mut next = 0;
    // SHA-256 of the commit before; nothing where that is missing or unreadable, which is damage enough.
    let mut previous = None;
    for &version in &listing.commits {
        if version > next {
            findings.take::<()>(Err(chain::missing_commit(layout, next, end)))?;
            previous = None;
        }
        previous = log.read_commit(layout, version, previous.as_deref(), findings)?;
        log.note_statement();
        next = version.saturating_add(1);
    }
    if end >= next {
        findings.take::<()>(Err(chain::missing_commit(layout, next, end)))?;
    }
    if !log.is_sealed && !log.heads.is_empty() {
        findings.notes.push(format!(
            "events/_delta_log/{:020}.json: the last commit carries no seal (an earlier keytrail wrote it); only a head kept \
             elsewhere shows every change of it",
            log.version
        ));
    }
    Ok(log)
}

impl Log {
    /// Commit files.
    pub(super) fn commits(&self) -> u64 {
        self.heads.len() as u64
    }

    /// What there is to sign about the version that was read last, where it is signed.
    fn note_statement(&mut self) {
        if self.signed.contains(&self.version) {
            let statement = Statement {
                schema: self.schema,
                version: self.version,
                head: self.head.clone(),
                runs: self.runs.len() as u64,
                rows: sum(self.live.values().map(|live| live.file.rows)),
                last_run_at: self.runs.last().map(|run| run.committed_at),
            };
            self.statements.insert(self.version, statement);
        }
    }

    /// Reads one commit and returns its SHA-256 where it is readable.
    fn read_commit(
        &mut self,
        layout: &Layout,
        version: u64,
        previous: Option<&str>,
        findings: &mut Findings<'_>,
    ) -> Result<Option<String>, StoreError> {
        let path = layout.commit(version);
        let bytes = fs::read(&path).map_err(StoreError::io("read the commit", &path))?;
        (self.version, self.head) = (version, sha256(&bytes));
        self.heads.push((version, self.head.clone()));
        let parsed = match Commit::parse(layout, version, &bytes) {
            Err(error @ (StoreError::SchemaTooNew { .. } | StoreError::TableTooNew { .. })) => {
                if self.is_vouched_for(layout, &bytes) {
                    return Err(error);
                }
                // A changed byte may seem to say so.
                findings.damage(&path, "a commit that no byte was changed of", error.to_string());
                return Ok(None);
            }
            parsed => parsed,
        };
        // A commit of another program has none of ours; of one that cannot be read nobody knows who wrote it.
        let is_ours = parsed.as_ref().is_ok_and(|commit| commit.record.is_some());
        let is_foreign = parsed.is_ok() && !is_ours;
        let seal = if is_foreign { None } else { findings.take(chain::check_seal(&path, &bytes))? };
        // Nothing where it is broken, which is damage, and told.
        self.is_sealed = !is_ours || seal.unwrap_or(true);
        let Some(commit) = findings.take(parsed)? else {
            return Ok(None);
        };
        self.schema = commit.schema().unwrap_or(self.schema);
        match &commit.record {
            Some(record) => check_prev(layout, version, record, previous, findings),
            None if version == 0 => findings.take(Err(chain::not_ours(&path))).map(Option::unwrap_or_default)?,
            None => findings.damage(&path, "a commit of keytrail", format!("version {version} of another program")),
        }
        if let Some(lines) = findings.take(Lines::read(&path, &bytes))? {
            findings.take(commit.check_actions(&path, &lines))?;
            self.apply(layout, &path, &commit, lines.into_actions(), findings)?;
        }
        if let Some(record) = commit.record {
            self.runs.extend(record.run);
            self.forgets.extend(record.forget);
        }
        Ok(Some(self.head.clone()))
    }

    /// Whether the commit that was read last is what was written: by its seal, or by the commit after it, or because there is neither.
    fn is_vouched_for(&self, layout: &Layout, bytes: &[u8]) -> bool {
        match seal::check(bytes) {
            Seal::Whole => true,
            Seal::Broken { .. } => false,
            Seal::Absent => match fs::read_to_string(layout.commit(self.version.saturating_add(1))) {
                Ok(next) => next.contains(&self.head),
                Err(_) => !chain::has_members_of_others(bytes),
            },
        }
    }

    fn apply(
        &mut self,
        layout: &Layout,
        path: &Path,
        commit: &Commit,
        actions: Vec<Action>,
        findings: &mut Findings<'_>,
    ) -> Result<(), StoreError> {
        let record = commit.record.as_ref();
        let files = record.map(CommitRecord::files).unwrap_or_default();
        let mut recorded: BTreeMap<_, _> = files.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut removed: BTreeSet<_> = record.map(CommitRecord::removed).unwrap_or_default().iter().cloned().collect();
        // Rows that the commit took away, by the commits that added them.
        let mut gone = 0_u64;
        for action in actions {
            match action {
                Action::Remove(reference) => {
                    let file = decode_path(&reference).unwrap_or_default();
                    if record.is_some() && !removed.remove(&file) {
                        findings.damage(path, format!("{file} among the removed files of its record"), "no such file");
                    }
                    match self.live.remove(&file) {
                        Some(live) => gone = gone.saturating_add(live.file.rows),
                        None if record.is_some() => {
                            findings.damage(path, format!("{file} to be live when it is removed"), "no such file");
                        }
                        None => {}
                    }
                }
                Action::Add(live) => {
                    let record = decode_path(&live.path).and_then(|path| recorded.remove(path.as_str()));
                    self.add(layout, &live, record, commit.record.is_some(), findings)?;
                }
            }
        }
        for file in recorded.into_values() {
            let expected = format!("data file {} to be added, as the record of the run says", file.path);
            findings.damage(path, expected, "no such addition");
        }
        for file in removed {
            findings.damage(path, format!("data file {file} to be removed, as its record says"), "no such removal");
        }
        let rows = sum(files.iter().map(|file| file.rows));
        if let Some(compaction) = record.and_then(|record| record.compaction.as_ref()) {
            let moved = sum(compaction.months.iter().map(|month| month.rows));
            let holds = rows == gone && rows == moved;
            let found = format!("{gone} rows removed, {moved} in its digests");
            findings.require(holds, path, format!("{rows} rows moved, as many as are added"), found);
        }
        if let Some(forget) = record.and_then(|record| record.forget.as_ref()) {
            let expected = format!("{} rows to be removed, as its record says", forget.rows);
            findings.require(forget.rows == gone, path, expected, format!("{gone} rows"));
        }
        if let Some(run) = record.and_then(|record| record.run.as_ref()) {
            let (stored, conserved) = (run.records.stored, run.records.conserved());
            findings.require(rows == stored, path, format!("data files of {stored} rows"), format!("{rows} rows"));
            let found = format!("{:?}", run.records);
            findings.require(conserved, path, "records with read = stored + duplicates + rejected", found);
        }
        Ok(())
    }

    /// Adds a data file, and compares what its commit says of it in two places.
    fn add(
        &mut self,
        layout: &Layout,
        live: &Live,
        record: Option<&FileRecord>,
        ours: bool,
        findings: &mut Findings<'_>,
    ) -> Result<(), StoreError> {
        self.named.extend(decode_path(&live.path));
        let Some(mut file) = findings.take(data_file(layout, live))? else {
            return Ok(());
        };
        let path = layout.events().join(&file.path);
        match record {
            Some(record) => {
                let (expected, found) = (format!("{} rows", record.rows), format!("{} rows in the log", file.rows));
                findings.require(record.rows == file.rows, &path, expected, found);
                let folder = format!("month={}/", file.month);
                let placed = file.path.starts_with(&folder);
                findings.require(placed, &path, format!("a place in {folder}"), "another folder");
            }
            None if ours => findings.damage(&path, "a record with its SHA-256 in the commit that added it", "none"),
            // Another program may have cut the maximum to milliseconds; we round ours up.
            None => file.max_time = file.max_time.saturating_add(999),
        }
        let sha256 = record.map(|record| record.sha256.clone());
        self.live.insert(file.path.clone(), LiveFile { file, sha256 });
        Ok(())
    }
}

/// The link to the commit before. The commit that differs from what the next one recorded is the one to be named.
fn check_prev(
    layout: &Layout,
    version: u64,
    record: &CommitRecord,
    previous: Option<&str>,
    findings: &mut Findings<'_>,
) {
    let Some(before) = version.checked_sub(1) else {
        let prev = record.prev.as_deref();
        let found = prev.unwrap_or_default();
        return findings.require(prev.is_none(), &layout.commit(0), "no commit before the first", found);
    };
    match (&record.prev, previous) {
        (None, _) => findings.damage(&layout.commit(version), "the SHA-256 of the commit before it", "none"),
        (Some(recorded), Some(previous)) if recorded != previous => {
            let expected = format!("SHA-256 {recorded}, which version {version} recorded");
            findings.damage(&layout.commit(before), expected, format!("{previous}: one of the two was changed"));
        }
        _ => {}
    }
}

/// Place of a run's ledger or rejects file, or of a tombstone; nothing where its commit names another place, which is damage.
pub(super) fn check_place(
    layout: &Layout,
    folder: &str,
    run: &str,
    named: &str,
    findings: &mut Findings<'_>,
) -> Option<std::path::PathBuf> {
    let place = layout::sidecar(folder, run);
    let plain = layout::version_of_run(run).is_some() && !run.contains(['/', '\\']);
    if named == place && plain {
        return Some(layout.root().join(place));
    }
    findings.damage(&layout.log(), format!("file {place} of run {run}"), format!("{named} in its commit"));
    None
}
