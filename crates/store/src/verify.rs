//! Verification of a whole store: whether every byte that was committed is still there, and whether all figures agree.
//!
//! Reads every commit file itself and never relies on the Delta library to notice damage. Damage is what this module is
//! looking for, so it is collected and handed back, not an error: one damaged file must not hide another. Changes nothing, takes
//! no lock.

mod checkpoints;
mod contents;
mod log;
mod places;
mod sidecars;
mod signatures;
mod values;

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;

use arrow::error::ArrowError;
use keytrail_sign::PublicKey;
use parquet::errors::ParquetError;

use crate::layout::{self, Layout};
use crate::signatures::Files as SignatureFiles;
use crate::{Snapshot, StoreError, sweep};

pub use signatures::VerifiedSignature;

/// How much of a store is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// The log, the ledgers and the rejects whole; of the data files only whether they are there with their length.
    Quick,
    /// Every byte of every file; values against statistics, rows against the ledger.
    #[default]
    Full,
}

/// What to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// How much is read.
    pub depth: Depth,
    /// Heads that were noted earlier: each has to be the head of the store or one of an earlier version.
    pub heads: Vec<ExpectedHead>,
    /// Keys whose signatures are wanted.
    pub keys: Vec<PublicKey>,
    /// Threads; all cores where `None`.
    pub jobs: Option<NonZeroUsize>,
}

/// A head that was noted earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedHead {
    /// SHA-256 of a commit file, lower-case hex.
    pub head: String,
    /// Version that it made, where it was noted.
    pub version: Option<u64>,
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
    /// Signatures over heads of this store, by version.
    pub signatures: Vec<VerifiedSignature>,
    /// What is not as it was committed: the log first, then ledgers and rejects, then data files by path.
    pub damages: Vec<Damage>,
    /// What is odd and does no harm, such as files that a killed run left behind.
    pub notes: Vec<String>,
    /// What could not be checked, with the reason.
    pub unchecked: Vec<String>,
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

/// Verifies the store under `root`: [`verify_with`] nothing but a depth.
///
/// # Errors
/// As [`verify_with`].
pub fn verify(root: &Path, depth: Depth) -> Result<Verification, StoreError> {
    verify_with(root, &VerifyOptions { depth, ..VerifyOptions::default() })
}

/// Verifies the store under `root`.
///
/// Memory: a commit file and a run's ledger at a time, some rows of a column for each thread, some hundred bytes for each data file and
/// archive, and a bit or two for each row (more where their places are strewn).
///
/// # Errors
/// Only where verification could not be done at all: there is no store, a newer keytrail wrote to it, or the operating system refuses
/// to read its log. Single files that cannot be read are in [`Verification::unchecked`].
pub fn verify_with(root: &Path, options: &VerifyOptions) -> Result<Verification, StoreError> {
    let layout = Layout::new(root);
    let mut findings = Findings::of(&layout);
    // For its lease: what lives now shall not be cleaned up while it is read. Damage is looked for below.
    let _held = Snapshot::load(&layout).ok();
    let signatures = SignatureFiles::list(&layout)?;
    let signed = signatures.statements.keys().map(|(version, _)| *version).collect();
    let log = log::read(&layout, signed, &mut findings)?;
    check_heads(&log, &options.heads, &mut findings);
    checkpoints::check(&layout, &log, &mut findings);
    let signatures = signatures::check(&signatures, &log, &options.keys, &mut findings);
    let mut books = sidecars::check(&layout, &log.runs, options.depth, &mut findings);
    let forgotten = sidecars::check_tombstones(&layout, &log.forgets, &mut books, &mut findings);
    let figures = || log.live.values().map(|live| &live.file);
    let rows = sum(figures().map(|file| file.rows));
    if let Some(stored) = books.stored.filter(|&stored| stored.checked_sub(forgotten) != Some(rows)) {
        let less = if forgotten > 0 { format!(", less {forgotten} that were forgotten") } else { String::new() };
        let expected = format!("{stored} rows, the sum of `stored` in the ledger{less}");
        findings.damage(&layout.events(), expected, format!("{rows} rows in the live files"));
    }
    let threads = options.jobs.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let (live, whole) = (log.live.values(), books.stored.is_some());
    let all_read = contents::check_data_files(&layout, live, options.depth, threads, &books.places, &mut findings);
    if options.depth == Depth::Full && whole {
        for (expected, found) in books.places.settle(all_read) {
            findings.damage(&layout.events(), expected, found);
        }
    }
    // What cannot be looked at must not hide what was found.
    let orphans = check_orphans(&layout, &log, &mut findings);
    findings.get(orphans);
    let strangers = check_strangers(&layout, &mut findings);
    findings.get(strangers);
    if findings.damages.is_empty() {
        let listed = checkpoints::check_listing(&layout, &mut findings);
        findings.get(listed);
    }
    Ok(Verification {
        version: log.version,
        files: log.live.len() as u64,
        rows,
        bytes: sum(figures().map(|file| file.bytes)),
        commits: log.commits(),
        head: log.head,
        signatures,
        damages: findings.damages,
        notes: findings.notes,
        unchecked: findings.unchecked,
    })
}

/// Whether heads that were noted earlier are in the chain. Later commits on top are as it should be.
fn check_heads(log: &log::Log, expected: &[ExpectedHead], findings: &mut Findings<'_>) {
    for ExpectedHead { head, version } in expected {
        let found = log.heads.iter().find(|(_, found)| found == head).map(|(version, _)| *version);
        let name = version.map_or_else(|| head.clone(), |version| format!("{head} of version {version}"));
        match found {
            Some(found) if version.is_none_or(|version| version == found) => {
                let later = log.version.saturating_sub(found);
                let words = if later == 0 { "is the head".into() } else { format!("is followed by {later} commits") };
                findings.notes.push(format!("head {head} of version {found} {words}"));
            }
            Some(found) => {
                let folder = findings.layout.log();
                findings.damage(&folder, format!("head {name}"), format!("it as that of version {found}"));
            }
            None => {
                let folder = findings.layout.log();
                let last = format!("no such commit up to version {}", log.version);
                findings.damage(&folder, format!("head {name} in the chain"), last);
            }
        }
    }
}

/// What was found so far.
struct Findings<'a> {
    layout: &'a Layout,
    damages: Vec<Damage>,
    notes: Vec<String>,
    unchecked: Vec<String>,
}

impl<'a> Findings<'a> {
    fn of(layout: &'a Layout) -> Self {
        Self { layout, damages: Vec::new(), notes: Vec::new(), unchecked: Vec::new() }
    }

    fn add(&mut self, other: Findings<'_>) {
        self.damages.extend(other.damages);
        self.notes.extend(other.notes);
        self.unchecked.extend(other.unchecked);
    }

    fn is_empty(&self) -> bool {
        self.damages.is_empty() && self.notes.is_empty() && self.unchecked.is_empty()
    }

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
            Err(StoreError::Parquet { path, source }) if !is_of_the_system(&source) => {
                self.damage(&path, "a Parquet file that can be read", source.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// The same, where other errors only leave something unchecked.
    fn get<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        self.take(result).unwrap_or_else(|error| {
            self.unchecked.push(error.to_string());
            None
        })
    }

    /// A file at which a library failed.
    fn undecodable(&mut self, path: &Path) {
        let _ = self.take::<()>(Err(StoreError::undecodable(path)));
    }
}

/// Sum of figures that may be forged: it must not overflow.
fn sum(figures: impl Iterator<Item = u64>) -> u64 {
    figures.fold(0, u64::saturating_add)
}

/// Parquet files that no commit names: of a killed run, of one in progress, of commits that were cut off the log, or of others.
fn check_orphans(layout: &Layout, log: &log::Log, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    let data = log.named.iter().map(String::as_str).collect();
    let sidecars = log.runs.iter().flat_map(|run| [run.archives.path.as_str(), run.rejects.path.as_str()]);
    let tombstones = log.forgets.iter().map(|forget| forget.forgotten.path.as_str());
    let sidecars: HashSet<_> = sidecars.chain(tombstones).collect();
    let unnamed = sweep::unnamed(layout, log.version, &data, &sidecars)?;
    findings.notes.extend(unnamed.left_over.iter().map(|path| format!("{path}: left over, no commit names it")));
    // While the log grows, so do the files: then these are no proof of anything.
    if layout.commit(log.version.saturating_add(1)).exists() {
        let strange = unnamed.strange.iter();
        findings.notes.extend(strange.map(|path| format!("{path}: no commit up to version {} names it", log.version)));
        return Ok(());
    }
    findings.take(sweep::refuse_lost_commits(layout, log.version, &unnamed))?;
    for path in &unnamed.strange {
        findings.damage(&layout.root().join(path), "a commit that names it", "none");
    }
    Ok(())
}

/// Files and folders that are not of keytrail. They hold nothing that was committed, so most are only named.
fn check_strangers(layout: &Layout, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    for path in sweep::strangers(layout)? {
        let full = layout.root().join(&path);
        let in_log = full.parent() == Some(layout.log().as_path());
        let name = full.file_name().unwrap_or_default().to_string_lossy();
        if in_log && layout::stands_for_commits(&name) {
            let expected = "no such file: other engines may read it in place of commits, and keytrail writes none";
            findings.damage(&full, expected, "a file");
        } else {
            findings.notes.push(format!("{path}: not of keytrail"));
        }
    }
    Ok(())
}

/// Whether the operating system refused to read, which says nothing about the file.
fn is_of_the_system(error: &ParquetError) -> bool {
    let ParquetError::External(source) = error else {
        return false;
    };
    if let Some(error) = source.downcast_ref::<std::io::Error>() {
        return error.raw_os_error().is_some();
    }
    // What fails while batches are read comes through Arrow, which keeps no more than its words.
    match source.downcast_ref() {
        Some(ArrowError::ParquetError(words)) => words.starts_with("External: ") && words.contains("(os error "),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        let through_arrow = |error: ParquetError| ParquetError::from(ArrowError::from(error));
        let refused = || ParquetError::from(Error::from_raw_os_error(24));
        assert!(is_of_the_system(&refused()));
        assert!(is_of_the_system(&through_arrow(refused())));
        for damage in [
            || ParquetError::EOF("expected to read 7 bytes".into()),
            || ParquetError::General("a page of 7 bytes".into()),
            || ParquetError::from(Error::other("a block that cannot be inflated")),
        ] {
            assert!(!is_of_the_system(&damage()), "{}", damage());
            assert!(!is_of_the_system(&through_arrow(damage())), "{}", damage());
        }
    }
}
