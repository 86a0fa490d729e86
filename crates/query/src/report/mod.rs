//! The monthly report: what an HSM did in a month, how complete the record of it is, and what the record cannot show.
//!
//! [`monthly`] asks the queries of `queries/reports/` and gives a [`MonthlyReport`], which [`render`] writes as HTML, Markdown, CSV,
//! JSON or a workbook for spreadsheets. A report depends on the store and the month only: no clock, no run time, no order by chance, so that two reports over the
//! same state are the same bytes.

mod build;
mod calendar;
mod chart;
mod csv;
mod findings;
mod html;
mod json;
mod markdown;
mod model;
mod queries;
mod sections;
pub(crate) mod text;
mod xlsx;

pub use build::monthly;
pub use model::{
    Day, Figure, Finding, MonthlyReport, Section, Severity, StoreState, TABLE_ROWS_MAX, Table, Value, rfc3339,
};

/// Rows of a table that the formats for people show; those for machines hold all that the report has.
pub const SHOWN_ROWS_MAX: usize = 1_000;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One file, without scripts or anything from outside, fit for printing.
    Html,
    /// GitHub-flavoured Markdown.
    Markdown,
    /// One line per value: `section,table,row,column,value`.
    Csv,
    /// One JSON object.
    Json,
    /// A workbook with a sheet for each table.
    Xlsx,
}

impl Format {
    /// All formats with the names users call them by.
    pub const NAMES: [(&'static str, Self); 5] =
        [("html", Self::Html), ("md", Self::Markdown), ("csv", Self::Csv), ("json", Self::Json), ("xlsx", Self::Xlsx)];
}

/// A report could not be written in a format: a defect of the program, not of the data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The HTML template failed.
    #[error("report template: {0:#}")]
    Template(#[from] minijinja::Error),
    /// The JSON encoder failed.
    #[error("report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The CSV encoder failed.
    #[error("report as CSV: {0}")]
    Csv(#[from] ::csv::Error),
    /// The writer of workbooks failed.
    #[error("report as XLSX: {0}")]
    Xlsx(#[from] rust_xlsxwriter::XlsxError),
}

/// Writes a report. Equal reports give equal bytes.
///
/// # Errors
/// A defect of the program: see [`RenderError`].
pub fn render(report: &MonthlyReport, format: Format) -> Result<Vec<u8>, RenderError> {
    match format {
        Format::Html => html::render(report),
        Format::Markdown => Ok(markdown::render(report).into_bytes()),
        Format::Csv => csv::render(report),
        Format::Json => json::render(report),
        Format::Xlsx => xlsx::render(report),
    }
}

/// What to say under a table that does not show all its rows.
fn cut_note(table: &Table) -> Option<String> {
    let shown = table.rows.len().min(SHOWN_ROWS_MAX) as u64;
    (table.rows_total > shown).then(|| {
        let order = table.minor_kind().map(|kind| format!(" Rows of the kind {kind} come last.")).unwrap_or_default();
        format!(
            "{shown} of {} rows shown; the JSON, CSV and XLSX forms hold up to {TABLE_ROWS_MAX}.{order}",
            table.rows_total
        )
    })
}
