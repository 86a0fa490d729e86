//! What can be typed. One definition for each flag gives its help, its completion and its check.

mod coverage;
mod generate;
mod ingest;
mod query;
mod report;
mod shape;
mod store;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use coverage::{CoverageArgs, CoverageFailOn};
pub(crate) use generate::GenerateArgs;
pub(crate) use ingest::{IngestArgs, SummaryFormat};
pub(crate) use query::{ExportArgs, MetaForm, SqlArgs};
pub(crate) use report::{FailOn, MonthlyArgs, ReportArgs, ReportFormat, ReportKind};
pub(crate) use shape::{CompactArgs, ForgetArgs, VacuumArgs};
pub(crate) use store::{FilesArgs, HeadArgs, ListingArgs, SignArgs, VerifyArgs, ViewsArgs};

/// Offline analytics over archived Luna Cloud HSM audit logs.
///
/// Archives (ZIP, gzip or plain JSON) go into a store of Parquet files, without losing a record; SQL, built-in views and monthly
/// reports come out.
#[derive(Debug, Parser)]
#[command(name = "keytrail", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but some input was refused; 4 report or coverage done, with findings at or above --fail-on; 5 verification found damage; 6 verification could not be done, or not wholly."
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
    Coverage(CoverageArgs),
    /// List the ledger: a row for each archive, what became of it and where its records went.
    Archives(ListingArgs),
    /// List what was refused: a row for each reject, with its place, its reason and its bytes in hex.
    Rejects(ListingArgs),
    Views(ViewsArgs),
    Files(FilesArgs),
    Verify(VerifyArgs),
    Head(HeadArgs),
    Sign(SignArgs),
    Compact(CompactArgs),
    Vacuum(VacuumArgs),
    Forget(ForgetArgs),
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

#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Threads that work on a query, 256 at most [default: one for each core].
    #[arg(long, value_name = "N", value_parser = parse_jobs)]
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

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keytrail completions bash > /etc/bash_completion.d/keytrail")]
pub(crate) struct CompletionsArgs {
    /// Shell to complete for.
    pub(crate) shell: clap_complete::Shell,
}

/// Reads a number of threads; more than are ever of use are as many as these.
fn parse_jobs(text: &str) -> Result<NonZeroUsize, String> {
    let jobs: NonZeroUsize = text.parse().map_err(|_| "expected a number of threads, from 1 on".to_owned())?;
    Ok(NonZeroUsize::new(keytrail_ingest::JOBS_MAX).map_or(jobs, |most| jobs.min(most)))
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

/// Reads `90s`, `30m`, `1h`, `7d`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number with s, m, h or d, such as 30m".to_owned();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        <Keytrail as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn threads() {
        for (text, jobs) in [("1", 1), ("255", 255), ("256", 256), ("257", 256), ("4000000000", 256)] {
            assert_eq!(parse_jobs(text).map(NonZeroUsize::get), Ok(jobs), "{text}");
        }
        for text in ["", "0", "-1", "1.5", "two"] {
            assert!(parse_jobs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604_800)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "1", "h", "1w", "1.5h", "-1s", "1 h", "99999999999999999999s", "999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
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
