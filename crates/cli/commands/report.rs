//! `keytrail report`.

use keytrail_query::report::{self, Format};

use crate::args::{MonthlyArgs, ReportArgs, ReportFormat, ReportKind};
use crate::exit::Outcome;

/// Makes the report asked for.
pub(crate) fn run(arguments: &ReportArgs) -> anyhow::Result<Outcome> {
    match &arguments.kind {
        ReportKind::Monthly(arguments) => monthly(arguments),
    }
}

fn monthly(arguments: &MonthlyArgs) -> anyhow::Result<Outcome> {
    let (runtime, session) = super::open(&arguments.engine)?;
    let report = runtime.block_on(report::monthly(&session, arguments.month))?;
    let format = match arguments.format {
        ReportFormat::Html => Format::Html,
        ReportFormat::Md => Format::Markdown,
        ReportFormat::Csv => Format::Csv,
        ReportFormat::Json => Format::Json,
    };
    let bytes = report::render(&report, format)?;
    super::write_to(arguments.output.as_deref(), |out| Ok(out.write_all(&bytes)?))?;
    Ok(Outcome::Done)
}
