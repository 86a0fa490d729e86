//! What can go wrong with a store: every error names the path, what was expected there and what was found.

use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// An error of the store. Nothing is half done when one is returned: the last commit stands, left-overs are swept by the
/// next [`crate::Writer`]. Only [`Self::AfterCommit`] tells of a commit that was made, and [`Self::OutcomeUnknown`] of one that may be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no store under this path.
    #[error("{}: expected a keytrail store, found no committed `events` table there", path.display())]
    NotFound {
        /// Where a store was looked for.
        path: PathBuf,
    },
    /// The store was written by a newer keytrail, with columns that this one does not know.
    #[error("{}: the store has schema version {found}, this keytrail reads up to {known}; use a newer keytrail", path.display())]
    SchemaTooNew {
        /// Root of the store.
        path: PathBuf,
        /// Version that the store names.
        found: u64,
        /// Newest version that this program knows.
        known: u64,
    },
    /// The operating system refused something.
    #[error("{}: cannot {what}: {source}", path.display())]
    Io {
        /// What was tried, as a verb with its object.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A commit file of the table's log is not what was written: cut, changed, missing or not chained to its predecessor.
    #[error("{}: damaged commit: expected {expected}, found {found}", path.display())]
    DamagedCommit {
        /// The commit file.
        path: PathBuf,
        /// What an undamaged commit holds.
        expected: String,
        /// What it holds instead.
        found: String,
    },
    /// A file named by a commit is not what was committed.
    #[error("{}: damaged file: expected {expected}, found {found}", path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What was committed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A Parquet file cannot be written or read.
    #[error("{}: Parquet: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// The Delta library refused to read or write the log.
    #[error("{}: Delta log: cannot {what}: {reason}", path.display())]
    Log {
        /// Root of the table.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The library's words.
        reason: String,
    },
    /// The table has a version or features of Delta that this keytrail does not know.
    #[error("{}: the store's table is newer than this keytrail ({needs}); use a newer keytrail", path.display())]
    TableTooNew {
        /// Root of the store.
        path: PathBuf,
        /// Versions or features of the Delta protocol, in the Delta library's words.
        needs: String,
    },
    /// What is to be signed could not be.
    #[error("{}: not signed: {source}", path.display())]
    Sign {
        /// Folder of the signatures.
        path: PathBuf,
        /// Why.
        source: keytrail_sign::SignError,
    },
    /// Another program committed to the table between our look at it and our commit; nothing of the run was committed.
    #[error("{}: version {version} was committed by another program in the meantime; run again", path.display())]
    Conflict {
        /// Root of the table.
        path: PathBuf,
        /// Version that we meant to write.
        version: u64,
    },
    /// The commit was made, and then something failed: it stands, and may be lost in a power cut.
    #[error("version {version} is committed, but that it will outlast a power cut is not certain: {source}")]
    AfterCommit {
        /// Version of the table that the commit made.
        version: u64,
        /// What failed.
        source: Box<StoreError>,
    },
    /// Whether the commit was made cannot be told, since the system refuses to say what is in the log. Its files stay: they may be needed.
    #[error("version {version} may be committed or not, run again: {source}")]
    OutcomeUnknown {
        /// Version of the table that the commit makes.
        version: u64,
        /// Why it could not be looked up.
        source: Box<StoreError>,
    },
    /// What was handed in for a commit contradicts itself; nothing was committed.
    #[error("run {run} not committed: {what}: expected {expected}, found {found}")]
    Inconsistent {
        /// The run.
        run: String,
        /// Which figure or name.
        what: String,
        /// What it had to be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Rows handed to a writer do not fit its file.
    #[error("{}: row not written: {what}: expected {expected}, found {found}", path.display())]
    BadRow {
        /// The staged file.
        path: PathBuf,
        /// Which column or property.
        what: &'static str,
        /// What it had to be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Values handed to an encoder do not fit its column.
    #[error("column `{column}` not encoded: expected {expected}, found {found}")]
    BadColumn {
        /// The column of `events`.
        column: String,
        /// What the values had to be.
        expected: String,
        /// What they are.
        found: String,
    },
    /// Values fit their column, yet not a Parquet file.
    #[error("column `{column}` not encoded: {source}")]
    Encoding {
        /// The column of `events`.
        column: String,
        /// Why.
        source: ParquetError,
    },
    /// Bytes of a staged page are not what was written.
    #[error("damaged page: expected {expected}, found {found}")]
    DamagedPage {
        /// What an undamaged page holds.
        expected: String,
        /// What it holds instead.
        found: String,
    },
}

impl StoreError {
    /// For `map_err`: names what was tried on which path.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// For `map_err`: a Parquet file that cannot be written or read.
    pub(crate) fn parquet(path: &Path) -> impl FnOnce(ParquetError) -> Self {
        move |source| Self::Parquet { path: path.to_owned(), source }
    }

    pub(crate) fn damaged_commit(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::DamagedCommit { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }

    /// A file at which the library below failed.
    pub(crate) fn undecodable(path: &Path) -> Self {
        Self::damaged_file(path, "a Parquet file that can be read", "one that makes the Parquet library fail")
    }

    pub(crate) fn damaged_file(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::DamagedFile { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }
}
