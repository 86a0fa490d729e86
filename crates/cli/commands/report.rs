//! `keytrail report`.

use std::io::IsTerminal;

use keytrail_query::report::{self, Format, Severity};

use crate::args::{FailOn, MonthlyArgs, ReportArgs, ReportFormat, ReportKind};
use crate::exit::{Outcome, UsageError};

/// Makes the report asked for.
pub(crate) fn run(arguments: &ReportArgs) -> anyhow::Result<Outcome> {
    match &arguments.kind {
        ReportKind::Monthly(arguments) => monthly(arguments),
    }
}

fn monthly(arguments: &MonthlyArgs) -> anyhow::Result<Outcome> {
    if arguments.format == ReportFormat::Xlsx && arguments.output.is_none() && std::io::stdout().is_terminal() {
        return Err(UsageError("a workbook is no text for a terminal; name a file with -o".into()).into());
    }
    let (runtime, session) = super::open(&arguments.engine)?;
    let report = runtime.block_on(report::monthly(&session, arguments.month))?;
    let format = match arguments.format {
        ReportFormat::Html => Format::Html,
        ReportFormat::Md => Format::Markdown,
        ReportFormat::Csv => Format::Csv,
        ReportFormat::Json => Format::Json,
        ReportFormat::Xlsx => Format::Xlsx,
    };
    let bytes = report::render(&report, format)?;
    super::write_to(arguments.output.as_deref(), |out| Ok(out.write_all(&bytes)?))?;
    let level = arguments.fail_on.map(|level| match level {
        FailOn::Notice => Severity::Notice,
        FailOn::Warning => Severity::Warning,
        FailOn::Critical => Severity::Critical,
    });
    let is_finding = |level| report.findings.iter().any(|finding| finding.severity >= level);
    Ok(if level.is_some_and(is_finding) { Outcome::Findings } else { Outcome::Done })
}
