//! Arguments of `coverage`.

use clap::{Args, ValueEnum};
use keytrail_model::time::Month;

use super::{EngineArgs, OutputArgs, parse_month};

/// Show which time of each service the archives cover: spans, gaps, overlaps, silent days.
///
/// A span is the window that an export was asked for, where a side file `X.request.json` beside its archive X told it when that was
/// ingested; else the time from the first to the last record of the service in the archive, and `basis` says so. `keytrail views coverage`
/// explains the columns. A month that is named here is one gap of each known service where no archive touches it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  keytrail coverage --month 2026-01\n  keytrail coverage --from 2026-01 --to 2026-03 --summary --format csv\n  keytrail coverage --month 2026-01 --fail-on gaps"
)]
pub(crate) struct CoverageArgs {
    /// Only this month.
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month, conflicts_with_all = ["from", "to"])]
    pub(crate) month: Option<Month>,
    /// Only this month and later ones.
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
    pub(crate) from: Option<Month>,
    /// Only this month and earlier ones.
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
    pub(crate) to: Option<Month>,
    /// One row for each month and service, with its counts, instead of one for each span.
    #[arg(long)]
    pub(crate) summary: bool,
    /// Exit with 4 where there is such a thing.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) fail_on: Option<CoverageFailOn>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CoverageFailOn {
    /// A gap, in any month and service that is shown; or no service at all, of which a gap could be told.
    Gaps,
}
