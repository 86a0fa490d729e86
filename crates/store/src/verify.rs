//! Verification of a whole store: whether every byte that was committed is still there, and whether all figures agree.
//!
//! Reads every commit file itself and never relies on the Delta library to notice damage. Damage is what this module is
//! looking for, so it is collected and handed back, not an error: one damaged file must not hide another. Changes nothing, takes
//! no lock.

mod contents;
mod log;
mod sidecars;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use crate::layout::Layout;
use crate::{Snapshot, StoreError, sweep};

/// How much of a store is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// The log, the ledgers and the rejects whole; of the data files only whether they are there with their length.
    Quick,
    /// Every byte of every file, and the times in the data files.
    #[default]
    Full,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Version of the last commit.
    pub version: u64,
    /// SHA-256 of the last commit file, lower-case hex. It stands for the whole history of the store: kept elsewhere, it shows
    /// whether commits were cut off the end, which a store cannot know of itself.
    pub head: String,
    /// Commit files.
    pub commits: u64,
    /// Live data files.
    pub files: u64,
    /// Rows of them, as committed.
    pub rows: u64,
    /// Bytes of them, as committed.
    pub bytes: u64,
    /// What is not as it was committed: the log first, then ledgers and rejects, then data files by path.
    pub damages: Vec<Damage>,
    /// What is odd and does no harm, such as files that a killed run left behind.
    pub notes: Vec<String>,
}

/// Something that is not as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// File or folder, relative to the root of the store, `/` between its parts.
    pub path: String,
    /// What was committed.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: expected {}, found {}", self.path, self.expected, self.found)
    }
}

/// Verifies the store under `root`.
///
/// Memory: a commit file and a run's ledger at a time, and some hundred bytes for each data file and archive.
///
/// # Errors
/// Only where verification could not be done: there is no store, a newer keytrail wrote to it, or the operating system
/// refuses to read a file that is there.
pub fn verify(root: &Path, depth: Depth) -> Result<Verification, StoreError> {
    let layout = Layout::new(root);
    let mut findings = Findings { layout: &layout, damages: Vec::new(), notes: Vec::new() };
    // For its lease: what lives now shall not be cleaned up while it is read. Damage is looked for below.
    let _held = Snapshot::load(&layout).ok();
    let log = log::read(&layout, &mut findings)?;
    let stored = sidecars::check(&layout, &log.runs, &mut findings)?;
    let forgotten = sidecars::check_tombstones(&layout, &log.forgets, &mut findings)?;
    let figures = || log.live.values().map(|live| &live.file);
    let rows = sum(figures().map(|file| file.rows));
    if let Some(stored) = stored.filter(|&stored| stored.checked_sub(forgotten) != Some(rows)) {
        let less = if forgotten > 0 { format!(", less {forgotten} that were forgotten") } else { String::new() };
        let expected = format!("{stored} rows, the sum of `stored` in the ledger{less}");
        findings.damage(&layout.events(), expected, format!("{rows} rows in the live files"));
    }
    for live in log.live.values() {
        contents::check_data_file(&layout, live, depth, &mut findings)?;
    }
    note_orphans(&layout, &log, &mut findings)?;
    if findings.damages.is_empty() {
        check_listing(&layout, &mut findings)?;
    }
    Ok(Verification {
        version: log.version,
        files: log.live.len() as u64,
        rows,
        bytes: sum(figures().map(|file| file.bytes)),
        commits: log.commits,
        head: log.head,
        damages: findings.damages,
        notes: findings.notes,
    })
}

/// What was found so far.
struct Findings<'a> {
    layout: &'a Layout,
    damages: Vec<Damage>,
    notes: Vec<String>,
}

impl Findings<'_> {
    fn damage(&mut self, path: &Path, expected: impl Into<String>, found: impl Into<String>) {
        let path = path.strip_prefix(self.layout.root()).unwrap_or(path).to_string_lossy().into_owned();
        self.damages.push(Damage { path, expected: expected.into(), found: found.into() });
    }

    /// Adds the damage where `holds` is false.
    fn require(&mut self, holds: bool, path: &Path, expected: impl Into<String>, found: impl Into<String>) {
        if !holds {
            self.damage(path, expected, found);
        }
    }

    /// The value, or nothing where an error tells of damage; other errors end the verification.
    fn take<T>(&mut self, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => return Ok(Some(value)),
            Err(
                StoreError::DamagedCommit { path, expected, found } | StoreError::DamagedFile { path, expected, found },
            ) => self.damage(&path, expected, found),
            Err(StoreError::Parquet { path, source }) => {
                self.damage(&path, "a Parquet file that can be read", source.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}

/// Sum of figures that may be forged: it must not overflow.
fn sum(figures: impl Iterator<Item = u64>) -> u64 {
    figures.fold(0, u64::saturating_add)
}

/// Files that no commit names: of a killed run, of one in progress, or of commits that were cut off the log.
fn note_orphans(layout: &Layout, log: &log::Log, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    let data = log.named.iter().map(String::as_str).collect();
    let sidecars = log.runs.iter().flat_map(|run| [run.archives.path.as_str(), run.rejects.path.as_str()]);
    let tombstones = log.forgets.iter().map(|forget| forget.forgotten.path.as_str());
    let sidecars: HashSet<_> = sidecars.chain(tombstones).collect();
    let orphans = sweep::orphans(layout, &data, &sidecars)?;
    // While the log grows, so do the files: then these are no proof of anything.
    if !layout.commit(log.version.saturating_add(1)).exists() {
        findings.take(sweep::refuse_lost_commits(layout, log.version, &orphans))?;
    }
    findings.notes.extend(orphans.iter().map(|path| format!("{path}: left over, no commit names it")));
    Ok(())
}

/// Whether the Delta library sees in the log what its commits say. Asked last: it is no judge of damage.
fn check_listing(layout: &Layout, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    let snapshot = match Snapshot::load_compared(layout) {
        Err(StoreError::Log { path, reason, .. }) => {
            findings.damage(&path, "a log that the Delta library can read", reason);
            return Ok(());
        }
        loaded => findings.take(loaded)?.flatten().map(|(snapshot, _)| snapshot),
    };
    if snapshot.is_some_and(|snapshot| snapshot.checkpoint_ignored()) {
        let note = "events/_delta_log: a checkpoint is damaged or says other than the commits; it is left aside";
        findings.notes.push(note.into());
    }
    Ok(())
}
