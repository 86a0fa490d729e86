//! Arguments of `ingest`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use keytrail_ingest::Limits;

use super::{StoreArgs, parse_jobs, parse_size};

/// Read archives into the store.
///
/// Takes files, folders and patterns. Below a folder every file is read but hidden ones, `__MACOSX` and the store itself; pipes and devices
/// are passed over there, and fail where they are named. Any other file that is named is read. The side file `X.request.json` beside an
/// archive X tells the request it was exported with, and is no archive. What a file is gets decided by its content. An archive that the
/// store knows (by SHA-256) changes nothing; a record that several archives hold is stored as often as the archive that holds it
/// most often has it. Every archive that was refused or had rejected records is named on stderr.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  keytrail ingest audit/2026-*.zip\n  keytrail ingest /var/archives --store /srv/keytrail --format json"
)]
pub(crate) struct IngestArgs {
    /// Files, folders or patterns.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Threads that decode and write, as far as --memory has room for them (40M each), 256 at most [default: one for each core].
    #[arg(long, value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Memory to plan with: bytes, or a number with K, M or G. Some 110 MB are needed however little this is, and 1.5 KB for each archive.
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse_size)]
    pub(crate) memory: u64,
    /// How the outcome is told: in words on stderr, or as one JSON object on stdout.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,
    /// Store what can be decoded of damaged archives; the ledger says so.
    #[arg(long)]
    pub(crate) salvage: bool,
    /// Leave small files of earlier runs as they are, however many there are (see `keytrail compact`).
    #[arg(long)]
    pub(crate) no_compact: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// Limits against hostile input. What is beyond one is refused and named; everything else of the run goes on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Longest record that is accepted, in bytes of JSON.
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = parse_size)]
    pub(crate) max_record_size: u64,
    /// Deepest nesting of objects and lists in a record.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(2..=1024))]
    pub(crate) max_depth: u16,
    /// Longest member of an archive that is accepted, inflated.
    #[arg(long, value_name = "SIZE", default_value = "64G", value_parser = parse_size)]
    pub(crate) max_member_size: u64,
    /// Most that the members of an archive may inflate to, all together.
    #[arg(long, value_name = "SIZE", default_value = "256G", value_parser = parse_size)]
    pub(crate) max_archive_size: u64,
    /// Highest ratio of inflated to archived bytes that is accepted, beyond 256 MiB.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(crate) max_ratio: u64,
    /// Most members of an archive.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) max_members: u64,
    /// Most months that the records of an archive fall into.
    #[arg(long, value_name = "N", default_value_t = 240)]
    pub(crate) max_months: usize,
    /// Most that the rejects of an archive may take, with their reasons.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_size)]
    pub(crate) max_rejects_size: u64,
}

impl From<&LimitArgs> for Limits {
    fn from(arguments: &LimitArgs) -> Self {
        Self {
            max_record_bytes: usize::try_from(arguments.max_record_size).unwrap_or(usize::MAX),
            max_depth: arguments.max_depth.into(),
            max_member_bytes: arguments.max_member_size,
            max_archive_bytes: arguments.max_archive_size,
            max_ratio: arguments.max_ratio,
            max_members: arguments.max_members,
            max_months: arguments.max_months,
            max_rejects_bytes: arguments.max_rejects_size,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SummaryFormat {
    #[default]
    Human,
    Json,
}
