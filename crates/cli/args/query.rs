//! Arguments of the commands that give out rows: `sql`, `export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{EngineArgs, OutputArgs, StoreArgs, parse_month};

/// Ask the store in SQL.
///
/// Tables: events, archives, rejects, forgotten, export_requests, archive_services, archive_coverage, service_months, actions, statuses.
/// Views: see `keytrail views`. The table function read_archives('PATTERN') has the rows of archives that are in no store, and needs none.
/// Without a query, reads SQL from a terminal line by line, or from stdin where that is no terminal.
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
