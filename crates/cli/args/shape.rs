//! Arguments of the commands that change the shape of a store: `compact`, `vacuum`, `forget`.

use std::time::Duration;

use clap::Args;
use keytrail_model::time::Month;

use super::{StoreArgs, parse_duration, parse_month, parse_size};

/// Merge small data files into large ones, month by month, in one commit; nothing else changes.
///
/// Rows stand in the order of their archives by first time. What is read is checked against its SHA-256, what was written is read back,
/// and the order-free digest of the rows must be the same. The removed files stay on the disk for `keytrail vacuum`; until then
/// `keytrail files` names the right ones, and a plain glob over the table reads rows twice.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keytrail compact --month 2026-01 --grace 0s")]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Month to look at; can be given again [default: all].
    #[arg(long = "month", value_name = "YYYY-MM", value_parser = parse_month)]
    pub(crate) months: Vec<Month>,
    /// Bytes from which a file is full; files of less than half of it are merged.
    #[arg(long, value_name = "SIZE", default_value = "128M", value_parser = parse_size)]
    pub(crate) target_size: u64,
    /// How long removed files stay on the disk; 0s frees at once what no reader holds.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) grace: Duration,
    /// Memory to plan with: bytes, or a number with K, M or G. Some 110 MB are needed however little this is.
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse_size)]
    pub(crate) memory: u64,
}

/// Delete data files that commits removed from the table, once their grace has passed and no reader needs them.
///
/// Prints their paths.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keytrail vacuum --grace 0s")]
pub(crate) struct VacuumArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// How long ago a file must have been removed.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) grace: Duration,
    /// Delete nothing, print what would be deleted.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Remove all records of the months before a month from the table, for good, with a tombstone in the chain of commits.
///
/// The tombstone says of each archive and month how many rows these were and what their digest is. The ledger stays: it is the history
/// of what was read. Rejects stay, too: they have no time by which they belong to a month, and may hold the bytes of whole records.
///
/// Reports of later months cannot tell then whether a partition that was initialised had been in use before, and so lost its keys: they
/// have a warning (reinitialised_unknown) where one was.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keytrail forget --before 2024-01 --reason \"two years are over\"")]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// First month that stays.
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
    pub(crate) before: Month,
    /// Why; kept with the tombstone.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// How long removed files stay on the disk; 0s frees at once what no reader holds.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) grace: Duration,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}
