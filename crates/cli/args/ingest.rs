//! Arguments of `ingest`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{StoreArgs, parse_size};

/// Read archives into the store.
///
/// Takes files, folders and patterns. Below a folder everything is read but hidden files, `__MACOSX`, the store itself and the side file
/// `X.request.json` of an archive X; a file that is named is always read. What a file is gets decided by its content. An archive that
/// the store knows (by SHA-256) changes nothing; a record that several archives hold is stored as often as the archive that holds it
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
    /// Threads that decode and write, as far as --memory has room for them [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Memory to plan with: bytes, or a number with K, M or G. Writing takes some 170 MB however little this is.
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse_size)]
    pub(crate) memory: u64,
    /// How the outcome is told: in words on stderr, or as one JSON object on stdout.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,
    /// Store what can be decoded of damaged archives; the ledger says so.
    #[arg(long)]
    pub(crate) salvage: bool,
    /// Longest record that is accepted, in bytes of JSON.
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = parse_size)]
    pub(crate) max_record_size: u64,
    /// Longest member of an archive that is accepted, inflated.
    #[arg(long, value_name = "SIZE", default_value = "64G", value_parser = parse_size)]
    pub(crate) max_member_size: u64,
    /// Highest ratio of inflated to archived bytes that is accepted, beyond 256 MiB.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(crate) max_ratio: u64,
    /// Leave small files of earlier runs as they are, however many there are (see `keytrail compact`).
    #[arg(long)]
    pub(crate) no_compact: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SummaryFormat {
    #[default]
    Human,
    Json,
}
