//! Arguments of the commands that look at a store as a whole.

use clap::Args;

use super::{OutputArgs, StoreArgs};

#[derive(Debug, Args)]
pub(crate) struct ListingArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// List the built-in views, or show the SQL of one.
#[derive(Debug, Args)]
pub(crate) struct ViewsArgs {
    /// View to show.
    pub(crate) name: Option<String>,
}

/// Print the paths of the Parquet files that make up `events` now, a line each.
///
/// For engines that read Parquet but not the Delta log.
#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Check the store against what was committed.
///
/// Reads the log commit by commit (chain of hashes, digests of file actions), ledgers and rejects, and every data file: hash, row count,
/// times. Names all damage on stderr; exit code 5. The head printed stands for the whole history: kept elsewhere, it shows later whether
/// commits were cut off the end.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Of the data files look only at presence and length.
    #[arg(long)]
    pub(crate) quick: bool,
}
