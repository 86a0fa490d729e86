//! Arguments of `report`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{EngineArgs, parse_month};

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
    /// A workbook with a sheet for each table: to a file (-o), or to a stdout that is no terminal.
    Xlsx,
}
