//! What can be typed. One definition for each flag gives its help, its completion and its check.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Offline analytics over archived Luna Cloud HSM audit logs.
///
/// Archives (ZIP, gzip or plain JSON) go into a store of Parquet files, without losing a record; SQL, built-in views and monthly
/// reports come out.
#[derive(Debug, Parser)]
#[command(name = "keytrail", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but some input was refused; 4 report done, with findings at or above --fail-on; 5 verification found damage; 6 verification could not be done."
)]
pub(crate) struct Keytrail {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ingest(IngestArgs),
    Sql(SqlArgs),
    Report(ReportArgs),
    /// List the ledger: a row for each archive, what became of it and where its records went.
    Archives(ListingArgs),
    /// List what was refused: a row for each reject, with its place, its reason and its bytes in hex.
    Rejects(ListingArgs),
    Views(ViewsArgs),
    Files(FilesArgs),
    Verify(VerifyArgs),
    Export(ExportArgs),
    Generate(GenerateArgs),
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Folder of the store.
    #[arg(long, value_name = "DIR", env = "KEYTRAIL_STORE", default_value = "keytrail-store")]
    pub(crate) store: PathBuf,
}

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
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SummaryFormat {
    #[default]
    Human,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Threads that work on a query [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Memory that a query may hold before it spills to disk: bytes, or a number with K, M or G [default: no limit].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    /// CSV file with the columns status,class[,also,meaning,code] that goes before the built-in meaning of statuses.
    #[arg(long, value_name = "FILE", env = "KEYTRAIL_STATUSES")]
    pub(crate) statuses: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Form of the rows.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: RowsFormat,
    /// File to write instead of stdout.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowsFormat {
    #[default]
    Table,
    Csv,
    Json,
    Ndjson,
    Parquet,
}

/// Ask the store in SQL.
///
/// Tables: events, archives, rejects, actions, statuses. Views: see `keytrail views`. The table function read_archives('PATTERN') has
/// the rows of archives that are in no store. Without a query, reads SQL from a terminal line by
/// line, or from stdin where that is no terminal.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  keytrail sql \"SELECT * FROM login_failures ORDER BY failures DESC\"\n  keytrail sql -f review.sql --format csv -o review.csv"
)]
pub(crate) struct SqlArgs {
    /// One or more statements, separated by semicolons.
    #[arg(conflicts_with = "file")]
    pub(crate) query: Option<String>,
    /// File with statements.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Make a report.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(subcommand)]
    pub(crate) kind: ReportKind,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportKind {
    Monthly(MonthlyArgs),
}

/// The report of a month: completeness, key usage, life of keys, failed logins, zeroisation, privileged use, failures, custody.
///
/// Says also what the log cannot show. The same store gives the same bytes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keytrail report monthly --month 2026-01 -o report-2026-01.html")]
pub(crate) struct MonthlyArgs {
    /// Month to report on.
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
    pub(crate) month: keytrail_model::time::Month,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,
    /// File to write instead of stdout.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Exit with 4 where the report has a finding of this severity or a graver one.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<FailOn>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Anything worth knowing.
    Notice,
    /// Anything to be looked into.
    Warning,
    /// Keys destroyed, or figures that cannot be relied on.
    Critical,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One self-contained page with charts.
    #[default]
    Html,
    /// Markdown.
    Md,
    /// One long table.
    Csv,
    /// One object.
    Json,
}

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

/// Write the records of the store out again as JSON, one a line, with equal fields (times as equal moments).
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Only records of this month.
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
    pub(crate) month: Option<keytrail_model::time::Month>,
    /// How `meta` is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) meta: MetaForm,
    /// File to write instead of stdout.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetaForm {
    /// JSON text inside a string, the service's way.
    #[default]
    String,
    /// A plain object.
    Object,
}

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
    /// Damage on top of the good records, KIND or KIND=COUNT; can be given again.
    #[arg(long = "fault", value_name = "KIND[=COUNT]")]
    pub(crate) faults: Vec<String>,
    /// Level of DEFLATE, 0 to 9.
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(crate) level: u32,
    /// Threads [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Replace an earlier output in the same folder.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keytrail completions bash > /etc/bash_completion.d/keytrail")]
pub(crate) struct CompletionsArgs {
    /// Shell to complete for.
    pub(crate) shell: clap_complete::Shell,
}

fn parse_month(text: &str) -> Result<keytrail_model::time::Month, String> {
    keytrail_model::time::Month::parse(text).ok_or_else(|| "expected a month such as 2026-01".into())
}

/// Reads `1500`, `512K`, `64M`, `2G` (also `KB`, `KiB` and so on; always powers of 1024).
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "expected bytes, or a number with K, M or G, such as 512M".to_owned();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|size| *size > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        <Keytrail as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn sizes() {
        for (text, size) in [("1", 1), ("512M", 512 << 20), ("2g", 2 << 30), ("64KiB", 64 << 10), ("3MB", 3 << 20)] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in ["", "M", "0", "1T", "1.5G", "-1", "99999999999999999999", "99999999999G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
