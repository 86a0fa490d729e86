//! The table on disk: what is committed, what it consists of, and how a run is added to it.
//!
//! `STORE/events` is a Delta Lake table of Parquet files by month, `STORE/archives` and `STORE/rejects` hold a file for each run, and
//! the Delta log is the one commit point. This crate answers for durability, for one writer at a time, for the hash chain over the log,
//! and for noticing damage before it turns into a wrong figure. It knows no archives, no JSON records and no SQL.
//!
//! [`Store`] and [`Snapshot`] are for readers, [`Writer`] for an ingest run, which writes its files with [`EventsWriter`] and
//! [`RejectsWriter`] first.

mod chain;
mod checkpoints;
mod compact;
mod delta;
mod durable;
mod error;
mod events_file;
pub mod failpoint;
mod folder;
mod forget;
mod forgotten_file;
mod layout;
mod leases;
mod ledger;
mod ledger_file;
mod lock;
mod parallel;
mod rejects_file;
mod scan;
mod seal;
mod sealed_file;
mod signatures;
mod snapshot;
mod sweep;
mod vacuum;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use compact::{CompactedMonth, Compaction, DEFAULT_TARGET_BYTES};
pub use error::StoreError;
pub use events_file::{
    ChunkMemory, CodedTexts, Codes, ColumnEncoder, EncodedColumn, EventsWriter, KeyTexts, StagedFile, TextPage,
    TextPageEncoder, TextSlice,
};
pub use forget::{Forgetting, ForgettingMonth};
pub use forgotten_file::ForgottenRows;
pub use ledger_file::{LedgerWriter, StagedLedger};
pub use parallel::is_guarded;
pub use rejects_file::{RejectsWriter, StagedRejects};
pub use scan::{RowReader, read_data_file, read_events};
pub use sealed_file::{FileHandle, check_sha256};
pub use signatures::{SignedStatement, Statement};
pub use snapshot::{CompactionInfo, DataFile, ForgetInfo, RunFile, RunInfo, Sidecar, Snapshot};
pub use sweep::why_swept;
pub use vacuum::{DEFAULT_GRACE, FreeFile, Vacuumed};
pub use verify::{Damage, Depth, ExpectedHead, Verification, VerifiedSignature, VerifyOptions, verify, verify_with};
pub use writer::{RunCommit, Writer};

use layout::Layout;

/// A store, opened for reading. Takes no lock: readers never wait, and never hold up a writer.
///
/// All calls are synchronous and may be made from inside an async runtime too (they block the calling thread for
/// milliseconds).
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Finds the store under `root`. What it holds is checked by [`Self::snapshot`].
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none, [`StoreError::SchemaTooNew`] when a newer keytrail made it, or it is damaged.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let layout = Layout::new(root);
        match chain::first_commit(&layout)? {
            true => Ok(Self { root: root.to_owned() }),
            false => Err(StoreError::NotFound { path: root.to_owned() }),
        }
    }

    /// The last commit, after checking that it is whole and that every commit is chained to the one before it.
    ///
    /// # Errors
    /// The log is damaged or unreadable, or a newer keytrail wrote to it.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::load(&Layout::new(&self.root))?.ok_or_else(|| StoreError::NotFound { path: self.root.clone() })
    }
}
