//! The report as one HTML file: the template in `templates/monthly.html`, filled in with everything escaped.

use minijinja::{Environment, context};
use serde::Serialize;

use super::model::{MonthlyReport, Section, Table, Value, rfc3339};
use super::{RenderError, SHOWN_ROWS_MAX, chart, cut_note, text};

/// The name ends in `.html`: that is what switches the escaping on.
const TEMPLATE: &str = "monthly.html";

pub(super) fn render(report: &MonthlyReport) -> Result<Vec<u8>, RenderError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.add_template(TEMPLATE, include_str!("../../templates/monthly.html"))?;
    let series = |count: fn(&super::Day) -> i64| -> Vec<(&str, i64)> {
        report.days.iter().map(|day| (day.date.as_str(), count(day))).collect()
    };
    let figures = report.summary.iter().map(|figure| (figure.label, figure.count));
    let findings = report.findings.iter().map(|finding| (finding.severity.as_str(), finding.count, &*finding.text));
    let days = report.days.iter().map(|day| (day.date.as_str(), day.operations, day.failures, day.ciphertrust));
    let html = environment.get_template(TEMPLATE)?.render(context! {
        month => report.month,
        from => rfc3339(report.from),
        until => rfc3339(report.until),
        keytrail_version => report.keytrail_version,
        store_version => report.store.version,
        store_head => report.store.head,
        empty => report.empty,
        figures => figures.collect::<Vec<_>>(),
        findings => findings.collect::<Vec<_>>(),
        days => days.collect::<Vec<_>>(),
        charts => [
            chart::of("operations", "Operations per day", &series(|day| day.operations)),
            chart::of("failures", "Failures per day", &series(|day| day.failures)),
        ],
        sections => report.sections.iter().map(SectionHtml::of).collect::<Vec<_>>(),
        limits => report.limits,
    })?;
    Ok(html.into_bytes())
}

#[derive(Serialize)]
struct SectionHtml {
    key: &'static str,
    title: &'static str,
    text: &'static str,
    tables: Vec<TableHtml>,
}

impl SectionHtml {
    fn of(section: &Section) -> Self {
        Self {
            key: section.key,
            title: section.title,
            text: section.text,
            tables: section.tables.iter().map(TableHtml::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct TableHtml {
    title: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
    note: Option<String>,
}

#[derive(Serialize)]
struct Cell {
    text: String,
    number: bool,
}

impl TableHtml {
    fn of(table: &Table) -> Self {
        let cell = |value: &Value| Cell { text: text::visible(&value.to_text()), number: value.count().is_some() };
        Self {
            title: table.title,
            columns: table.columns.iter().map(|name| name.replace('_', " ")).collect(),
            rows: table.first_rows(SHOWN_ROWS_MAX).into_iter().map(|row| row.iter().map(cell).collect()).collect(),
            note: cut_note(table),
        }
    }
}
