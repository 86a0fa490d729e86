//! The report as CSV in long form, one value a line: `section,table,row,column,value`. One header, one shape, whatever the table.
//!
//! Rows count from 1 within their table. Before the sections stand `report` (table `report`: month, from, until, versions, head, empty)
//! and `summary` (tables `figures`, `findings`, `days`), behind them `limits`. A table that was cut has a line with row 0 and column
//! `rows_total`.
//! Values stand as they are in the store; a spreadsheet should be told to take the column as text.

use super::RenderError;
use super::model::{MonthlyReport, rfc3339};

pub(super) fn render(report: &MonthlyReport) -> Result<Vec<u8>, RenderError> {
    let mut lines =
        Lines { writer: csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new()) };
    lines.writer.write_record(["section", "table", "row", "column", "value"])?;
    head(report, &mut lines)?;
    for section in &report.sections {
        for table in &section.tables {
            if table.rows_total > table.rows.len() as u64 {
                lines.line([section.key, table.key], 0, "rows_total", &table.rows_total.to_string())?;
            }
            for (row, values) in (1..).zip(&table.rows) {
                for (column, value) in table.columns.iter().zip(values) {
                    lines.line([section.key, table.key], row, column, &value.to_text())?;
                }
            }
        }
    }
    for (row, limit) in (1..).zip(&report.limits) {
        lines.line(["limits", "limits"], row, "text", limit)?;
    }
    lines.writer.into_inner().map_err(|error| RenderError::Csv(error.into_error().into()))
}

fn head(report: &MonthlyReport, lines: &mut Lines) -> Result<(), RenderError> {
    for (column, value) in [
        ("month", report.month.clone()),
        ("from", rfc3339(report.from)),
        ("until", rfc3339(report.until)),
        ("keytrail_version", report.keytrail_version.into()),
        ("store_version", report.store.version.to_string()),
        ("store_head", report.store.head.clone()),
        ("empty", if report.empty { "yes" } else { "no" }.into()),
    ] {
        lines.line(["report", "report"], 1, column, &value)?;
    }
    for figure in &report.summary {
        lines.line(["summary", "figures"], 1, figure.key, &figure.count.to_string())?;
    }
    for (row, finding) in (1..).zip(&report.findings) {
        let count = finding.count.to_string();
        for (column, value) in
            [("severity", finding.severity.as_str()), ("key", finding.key), ("count", &count), ("text", &*finding.text)]
        {
            lines.line(["summary", "findings"], row, column, value)?;
        }
    }
    for (row, day) in (1..).zip(&report.days) {
        lines.line(["summary", "days"], row, "date", &day.date)?;
        for (column, count) in
            [("operations", day.operations), ("failures", day.failures), ("ciphertrust", day.ciphertrust)]
        {
            lines.line(["summary", "days"], row, column, &count.to_string())?;
        }
    }
    Ok(())
}

struct Lines {
    writer: csv::Writer<Vec<u8>>,
}

impl Lines {
    fn line(&mut self, [section, table]: [&str; 2], row: u64, column: &str, value: &str) -> Result<(), RenderError> {
        Ok(self.writer.write_record([section, table, &row.to_string(), column, value])?)
    }
}
