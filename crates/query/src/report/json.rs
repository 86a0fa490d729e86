//! The report as JSON, with keys that stay:
//!
//! ```text
//! { "report": "monthly", "format_version": 1, "month", "from", "until", "keytrail_version", "store": {"version", "head"}, "empty",
//!   "summary": { <figure>: count, ... },
//!   "findings": [ {"severity", "key", "count", "text"}, ... ],
//!   "days": [ {"date", "operations", "failures", "ciphertrust"}, ... ],
//!   "sections": { <section>: { <table>: {"rows_total", "rows": [ {<column>: value, ...}, ... ]}, ... }, ... },
//!   "limits": [ text, ... ] }
//! ```
//!
//! Counts are numbers, times RFC 3339 texts, days `YYYY-MM-DD`, missing values null. Members stand in the order of the report.

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use super::RenderError;
use super::model::{Day, Figure, Finding, MonthlyReport, Section, Table, Value, rfc3339};

/// Version of the keys above; raised when one changes its meaning or goes.
const FORMAT_VERSION: u32 = 1;

pub(super) fn render(report: &MonthlyReport) -> Result<Vec<u8>, RenderError> {
    let mut json = serde_json::to_vec_pretty(&Report(report))?;
    json.push(b'\n');
    Ok(json)
}

struct Report<'a>(&'a MonthlyReport);

impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("report", "monthly")?;
        map.serialize_entry("format_version", &FORMAT_VERSION)?;
        map.serialize_entry("month", &report.month)?;
        map.serialize_entry("from", &rfc3339(report.from))?;
        map.serialize_entry("until", &rfc3339(report.until))?;
        map.serialize_entry("keytrail_version", report.keytrail_version)?;
        map.serialize_entry("store", &Store { version: report.store.version, head: &report.store.head })?;
        map.serialize_entry("empty", &report.empty)?;
        map.serialize_entry("summary", &Summary(&report.summary))?;
        map.serialize_entry("findings", &report.findings.iter().map(FindingJson::of).collect::<Vec<_>>())?;
        map.serialize_entry("days", &report.days.iter().map(DayJson::of).collect::<Vec<_>>())?;
        map.serialize_entry("sections", &Sections(&report.sections))?;
        map.serialize_entry("limits", &report.limits)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Store<'a> {
    version: u64,
    head: &'a str,
}

struct Summary<'a>(&'a [Figure]);

impl Serialize for Summary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|figure| (figure.key, figure.count)))
    }
}

#[derive(Serialize)]
struct FindingJson<'a> {
    severity: &'a str,
    key: &'a str,
    count: i64,
    text: &'a str,
}

impl<'a> FindingJson<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self { severity: finding.severity.as_str(), key: finding.key, count: finding.count, text: &finding.text }
    }
}

#[derive(Serialize)]
struct DayJson<'a> {
    date: &'a str,
    operations: i64,
    failures: i64,
    ciphertrust: i64,
}

impl<'a> DayJson<'a> {
    fn of(day: &'a Day) -> Self {
        Self { date: &day.date, operations: day.operations, failures: day.failures, ciphertrust: day.ciphertrust }
    }
}

struct Sections<'a>(&'a [Section]);

impl Serialize for Sections<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|section| (section.key, Tables(&section.tables))))
    }
}

struct Tables<'a>(&'a [Table]);

impl Serialize for Tables<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|table| (table.key, TableJson(table))))
    }
}

struct TableJson<'a>(&'a Table);

impl Serialize for TableJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("rows_total", &self.0.rows_total)?;
        map.serialize_entry("rows", &Rows(self.0))?;
        map.end()
    }
}

struct Rows<'a>(&'a Table);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.rows.len()))?;
        for row in &self.0.rows {
            list.serialize_element(&Row { columns: &self.0.columns, values: row })?;
        }
        list.end()
    }
}

struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns.iter().zip(self.values.iter().map(ValueJson)))
    }
}

struct ValueJson<'a>(&'a Value);

impl Serialize for ValueJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Text(text) | Value::Date(text) => serializer.serialize_str(text),
            Value::Count(count) => serializer.serialize_i64(*count),
            Value::Time(micros) => serializer.serialize_str(&rfc3339(*micros)),
            Value::Bool(yes) => serializer.serialize_bool(*yes),
        }
    }
}
