//! The report as GitHub-flavoured Markdown.

use super::SHOWN_ROWS_MAX;
use super::model::{MonthlyReport, Table, Value, rfc3339};
use super::text::markdown as escaped;

pub(super) fn render(report: &MonthlyReport) -> String {
    let mut out = Lines(String::new());
    out.line(&format!("# HSM audit report {}", report.month));
    out.line(&format!(
        "{} to {} (UTC, end not included). Made by keytrail {} from version {} of the store, head `{}`.",
        rfc3339(report.from),
        rfc3339(report.until),
        report.keytrail_version,
        report.store.version,
        report.store.head
    ));
    if report.empty {
        out.line("**The store holds no record of this month.**");
    }
    out.line("## Summary");
    out.table(
        &["figure", "count"],
        report.summary.iter().map(|figure| vec![Value::Text(figure.label.into()), Value::Count(figure.count)]),
    );
    findings(report, &mut out);
    out.line("### Records by day");
    out.table(
        &["date", "operations", "failures", "ciphertrust"],
        report.days.iter().map(|day| {
            let counts = [day.operations, day.failures, day.ciphertrust].map(Value::Count);
            std::iter::once(Value::Date(day.date.clone())).chain(counts).collect()
        }),
    );
    for section in &report.sections {
        out.line(&format!("## {}", section.title));
        out.line(section.text);
        for table in &section.tables {
            section_table(table, &mut out);
        }
    }
    out.line("## What the log cannot show");
    out.line(&report.limits.iter().map(|limit| format!("- {limit}")).collect::<Vec<_>>().join("\n"));
    out.0
}

fn findings(report: &MonthlyReport, out: &mut Lines) {
    out.line("### Findings");
    if report.findings.is_empty() {
        out.line("None.");
        return;
    }
    out.table(
        &["severity", "count", "finding"],
        report.findings.iter().map(|finding| {
            vec![
                Value::Text(finding.severity.as_str().into()),
                Value::Count(finding.count),
                Value::Text(finding.text.clone().into_owned()),
            ]
        }),
    );
}

fn section_table(table: &Table, out: &mut Lines) {
    out.line(&format!("### {}", table.title));
    if table.rows.is_empty() {
        out.line("None.");
        return;
    }
    let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    out.table(&columns, table.first_rows(SHOWN_ROWS_MAX).into_iter().map(<[Value]>::to_vec));
    if let Some(note) = super::cut_note(table) {
        out.line(&format!("*{note}*"));
    }
}

/// Blocks of text with a blank line between them.
struct Lines(String);

impl Lines {
    fn line(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn table(&mut self, columns: &[&str], rows: impl Iterator<Item = Vec<Value>>) {
        let names = columns.iter().map(|name| escaped(&name.replace('_', " "))).collect::<Vec<_>>();
        let mut lines = vec![names.join(" | "), vec!["---"; columns.len()].join(" | ")];
        for row in rows {
            let cells = row.iter().map(|value| escaped(&value.to_text()));
            lines.push(cells.collect::<Vec<_>>().join(" | "));
        }
        self.line(&lines.iter().map(|line| format!("| {line} |")).collect::<Vec<_>>().join("\n"));
    }
}
