//! Arguments of `generate`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::parse_jobs;

/// Make realistic archives and the exact answers that an engine must give about them.
///
/// Writes DIR/archives/ and DIR/expected.json. The same options give the same bytes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  keytrail generate demo --records 200000 --days 90 --archives 90 --fault bad_crc --fault broken_record=3"
)]
pub(crate) struct GenerateArgs {
    /// Folder to write into.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Events in the log.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) records: u64,
    /// Days covered.
    #[arg(long, default_value_t = 31)]
    pub(crate) days: u32,
    /// First day covered.
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-01")]
    pub(crate) first_day: String,
    /// Archives, each over an equal share of the time.
    #[arg(long, default_value_t = 31)]
    pub(crate) archives: u32,
    /// Archives a day, instead of --archives.
    #[arg(long, value_name = "N", conflicts_with = "archives")]
    pub(crate) archives_per_day: Option<u32>,
    /// Where all chance comes from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How archives are packed: zip, gzip_lines, plain_list, plain_lines, mixed.
    #[arg(long, default_value = "zip")]
    pub(crate) container: String,
    /// Members of a ZIP, or concatenated gzip streams.
    #[arg(long, default_value_t = 1)]
    pub(crate) members: u32,
    /// How meta is written: string, object, mixed.
    #[arg(long, default_value = "string")]
    pub(crate) meta: String,
    /// Leave trace ids out.
    #[arg(long)]
    pub(crate) no_trace_ids: bool,
    /// Digits of a second: seconds, millis, micros, mixed.
    #[arg(long, default_value = "micros")]
    pub(crate) precision: String,
    /// Who writes side by side: sessions (a handful of clients), busy (so many that neighbouring records have little in common).
    #[arg(long, default_value = "sessions")]
    pub(crate) load: String,
    /// Clients that act [default: 40, or 1000 where busy].
    #[arg(long, value_name = "N")]
    pub(crate) clients: Option<u32>,
    /// Partitions of HSMs [default: 12, or 40 where busy].
    #[arg(long, value_name = "N")]
    pub(crate) partitions: Option<u32>,
    /// Keys over all partitions [default: 400, or 10000 where busy].
    #[arg(long, value_name = "N")]
    pub(crate) keys: Option<u32>,
    /// Share of CipherTrust records, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) cipher_trust: f64,
    /// Share of the previous archive's time that an archive repeats, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) overlap: f64,
    /// Share of records that repeat the one before them as events of their own, 0 to 0.5.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) equal_pairs: f64,
    /// Let archives differ in key order and blanks.
    #[arg(long)]
    pub(crate) vary_layout: bool,
    /// Archives that are there twice, byte for byte.
    #[arg(long, default_value_t = 0)]
    pub(crate) copies: u32,
    /// Write a side file with its request beside every good archive.
    #[arg(long)]
    pub(crate) requests: bool,
    /// Damage on top of the good records, KIND or KIND=COUNT; can be given again.
    #[arg(long = "fault", value_name = "KIND[=COUNT]")]
    pub(crate) faults: Vec<String>,
    /// Level of DEFLATE, 0 to 9.
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(crate) level: u32,
    /// Threads, 256 at most [default: one for each core].
    #[arg(long, value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Replace an earlier output in the same folder.
    #[arg(long)]
    pub(crate) overwrite: bool,
}
