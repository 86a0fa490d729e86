//! Why a run ends without a commit. Damage in an archive is no such reason: it is a row of the ledger.

use std::io;
use std::path::{Path, PathBuf};

use keytrail_model::record::ColumnError;
use keytrail_store::StoreError;

/// A run that could not be done. Nothing of it is in the store, unless the error is [`StoreError::AfterCommit`], or perhaps
/// [`StoreError::OutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// A path that the user gave is not there.
    #[error("{path}: expected a file, a folder or a pattern that matches some, found no such file or folder")]
    NotFound {
        /// As given.
        path: PathBuf,
    },
    /// The paths that the user gave hold no file.
    #[error("no archive found under {paths}")]
    NothingFound {
        /// As given, separated by commas.
        paths: String,
    },
    /// A pattern that cannot be read.
    #[error("pattern {pattern}: {message}")]
    Pattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// A folder or a file of ours could not be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A batch of ours is not what another stage of ours expects.
    #[error("internal: {0}")]
    Column(#[from] ColumnError),
    /// Arrow could not build or read a batch of ours.
    #[error("internal: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The options of the run could not be written into its commit.
    #[error("internal: options of the run: {0}")]
    Options(serde_json::Error),
    /// A staged block is not what was staged, or could not be.
    #[error("internal: a staged block: expected {expected}, found {found}")]
    StagedBlock {
        /// What it had to hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// The books do not balance; the commit was not made.
    #[error(
        "archive {archive}: the books do not balance: read {read}, but stored {stored} + duplicates {duplicates} + rejected {rejected}"
    )]
    NotConserved {
        /// SHA-256 of the archive.
        archive: String,
        /// Records found.
        read: u64,
        /// Rows written.
        stored: u64,
        /// Records that another archive brought.
        duplicates: u64,
        /// Records refused.
        rejected: u64,
    },
    /// The threads of the run could not be started.
    #[error("starting threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl IngestError {
    /// For `map_err`: names what was tried and on what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
