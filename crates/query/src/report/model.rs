//! A monthly report as data: figures, days, findings, and sections of tables. Knows no SQL and no format.

use std::borrow::Cow;

use jiff::Timestamp;

/// Rows that a table of the report holds at most; what is beyond is counted, and said.
pub const TABLE_ROWS_MAX: usize = 100_000;

/// The report of a month.
#[derive(Debug, Clone, PartialEq)]
pub struct MonthlyReport {
    /// `YYYY-MM`.
    pub month: String,
    /// First moment of the month, microseconds since the epoch.
    pub from: i64,
    /// First moment after it.
    pub until: i64,
    /// Version of keytrail that made the report.
    pub keytrail_version: &'static str,
    /// State of the store that the report was made from.
    pub store: StoreState,
    /// Whether the store has no record of the month.
    pub empty: bool,
    /// The figures of the month, in the order in which they are shown.
    pub summary: Vec<Figure>,
    /// What an auditor should look at, gravest first.
    pub findings: Vec<Finding>,
    /// Every day of the month.
    pub days: Vec<Day>,
    /// The sections, in the order in which they are shown.
    pub sections: Vec<Section>,
    /// What the log cannot show.
    pub limits: Vec<&'static str>,
}

/// A state of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreState {
    /// Version of the table.
    pub version: u64,
    /// SHA-256 of its last commit, which stands for the whole history.
    pub head: String,
}

/// A count with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Stable name for machines.
    pub key: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// The count.
    pub count: i64,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// To be looked into.
    Warning,
    /// Keys were destroyed, or the figures cannot be relied on.
    Critical,
}

impl Severity {
    /// Its name, for people and machines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something an auditor should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// Stable name for machines.
    pub key: &'static str,
    /// How many times.
    pub count: i64,
    /// What it is, for people.
    pub text: Cow<'static, str>,
}

/// A day of the month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// `YYYY-MM-DD`.
    pub date: String,
    /// HSM records.
    pub operations: i64,
    /// HSM records with a status other than success.
    pub failures: i64,
    /// CipherTrust records, which are in no other figure.
    pub ciphertrust: i64,
}

/// A section of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Stable name for machines.
    pub key: &'static str,
    /// Heading.
    pub title: &'static str,
    /// What it shows and how it counts.
    pub text: &'static str,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// A table of a section.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Stable name for machines, unique in its section.
    pub key: &'static str,
    /// Caption.
    pub title: &'static str,
    /// Names of its columns, which are those of its query.
    pub columns: Vec<String>,
    /// Rows, as many as [`TABLE_ROWS_MAX`]. Where there are more, those that give way to others stand behind them.
    pub rows: Vec<Vec<Value>>,
    /// Rows that the query found.
    pub rows_total: u64,
}

impl Table {
    /// Where a column stands.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// The kind of rows that give way to others where not all rows are shown: what was destroyed matters more than what was tried.
    pub(super) fn minor_kind(&self) -> Option<&'static str> {
        match self.key {
            "zeroize_events" => Some("zeroize_attempt"),
            "coverage_gaps" => Some("seam"),
            _ => None,
        }
    }

    /// Whether a row is of that kind.
    pub(super) fn gives_way(&self, row: &[Value]) -> bool {
        let kind = self.column("kind").and_then(|column| row.get(column));
        matches!((kind, self.minor_kind()), (Some(Value::Text(kind)), Some(minor)) if kind == minor)
    }

    /// The rows to show where there is room for so many: all of them in their order, or first those that give way to none.
    pub(super) fn first_rows(&self, rows_max: usize) -> Vec<&[Value]> {
        let mut rows: Vec<&[Value]> = self.rows.iter().map(Vec::as_slice).collect();
        if rows.len() > rows_max {
            // Stable: apart from that the order stays.
            rows.sort_by_key(|row| self.gives_way(row));
            rows.truncate(rows_max);
        }
        rows
    }

    /// The values of a column, in the order of the rows.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Value> {
        let column = self.column(name);
        self.rows.iter().filter_map(move |row| row.get(column?))
    }
}

/// A value of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A text as it stands in the store.
    Text(String),
    /// A count.
    Count(i64),
    /// A moment, microseconds since the epoch.
    Time(i64),
    /// A day, `YYYY-MM-DD`.
    Date(String),
    /// Yes or no.
    Bool(bool),
}

impl Value {
    /// The value as text, the same in every format: times in RFC 3339, null as nothing.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Text(text) | Self::Date(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Time(micros) => rfc3339(*micros),
            Self::Bool(true) => "yes".into(),
            Self::Bool(false) => "no".into(),
        }
    }

    /// The count, where it is one.
    #[must_use]
    pub fn count(&self) -> Option<i64> {
        match self {
            Self::Count(count) => Some(*count),
            _ => None,
        }
    }
}

/// A moment in RFC 3339 in UTC, with 0, 3 or 6 digits of fraction, as few as say it.
#[must_use]
pub fn rfc3339(micros: i64) -> String {
    let format = match micros.rem_euclid(1_000_000) {
        0 => "%Y-%m-%dT%H:%M:%SZ",
        fraction if fraction % 1000 == 0 => "%Y-%m-%dT%H:%M:%S.%3fZ",
        _ => "%Y-%m-%dT%H:%M:%S.%6fZ",
    };
    Timestamp::from_microsecond(micros)
        .map_or_else(|_| micros.to_string(), |moment| moment.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_767_600_001_250_000, "2026-01-05T08:00:01.250Z"),
            (1_767_600_002_000_417, "2026-01-05T08:00:02.000417Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(rfc3339(micros), expected);
        }
    }

    #[test]
    fn where_not_all_rows_are_shown_what_was_tried_gives_way() {
        let kinds = ["zeroize_attempt", "zeroize", "zeroize_attempt", "reinitialised"];
        let rows = (0..).zip(kinds).map(|(at, kind)| vec![Value::Count(at), Value::Text(kind.into())]).collect();
        let columns = vec!["at".into(), "kind".into()];
        let mut table = Table { key: "zeroize_events", title: "", columns, rows, rows_total: 4 };
        let first = |table: &Table, rows_max| -> Vec<_> {
            table.first_rows(rows_max).iter().filter_map(|row| row.first()?.count()).collect()
        };
        assert_eq!((first(&table, 4), first(&table, 3)), (vec![0, 1, 2, 3], vec![1, 3, 0]));
        table.key = "another";
        assert_eq!(first(&table, 3), [0, 1, 2]);
    }
}
