//! Seeded archives of audit records, and the exact answers an engine must give about them.
//!
//! [`generate`] writes a folder `archives/` and, beside it, `expected.json`. The answers are not read back from the
//! archives: each record is counted at the moment it is made, from what it was meant to be. Nothing here uses another
//! crate of the workspace, so a fault in the engine cannot hide in its own yardstick.
//!
//! The same options give the same bytes on every machine and with any number of threads: every archive covers a time
//! slice of its own and draws from a random stream of its own, derived from the one seed. Records are never held in
//! memory beyond a small output buffer.
//!
//! - [`options`]: what can be asked for
//! - [`fault`]: damage on demand, and what it must lead to
//! - [`expected`]: the shape of the answers
//!
//! ```
//! use keytrail_generate::{GenerateOptions, generate};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let options = GenerateOptions { records: 1_000, days: 2, archives: 4, ..GenerateOptions::default() };
//! let expected = generate(&options, folder.path())?;
//! assert_eq!(expected.records.stored, 1_000);
//! assert_eq!(expected.archives.new, 4);
//! # Ok(())
//! # }
//! ```

mod archive;
mod clock;
mod codes;
mod container;
mod damaged;
mod dice;
pub mod expected;
pub mod fault;
pub mod options;
mod plan;
mod record;
mod render;
mod requests;
mod run;
mod schedule;
mod session;
mod slice;
mod tally;
mod world;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use expected::Expected;
pub use fault::{Fault, FaultKind};
pub use options::{Container, GenerateOptions, Load, MetaForm, TimePrecision};
pub use run::generate;

/// Why no archives were made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// An option, or two of them together, cannot be met.
    #[error("option {option}: {reason}")]
    Option {
        /// Name of the field of [`GenerateOptions`].
        option: &'static str,
        /// What is wrong with its value, and what would do.
        reason: String,
    },
    /// The target folder holds something already.
    #[error("{} is not empty; choose another folder, or ask for an overwrite", path.display())]
    NotEmpty {
        /// The folder in question.
        path: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder in question.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ZIP library refused to write a member.
    #[error("{}: {source}", path.display())]
    Zip {
        /// The archive being written.
        path: PathBuf,
        /// What the library said.
        source: zip::result::ZipError,
    },
    /// The answers could not be written as JSON.
    #[error("answers: {0}")]
    Json(#[from] serde_json::Error),
    /// The worker threads could not be started.
    #[error("worker threads: {0}")]
    Threads(String),
}

impl GenerateError {
    pub(crate) fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Option { option, reason: reason.into() }
    }

    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn zip(path: &std::path::Path, source: zip::result::ZipError) -> Self {
        Self::Zip { path: path.to_path_buf(), source }
    }
}
