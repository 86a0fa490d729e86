//! Making the monthly report: asks the queries and puts their tables in place.

use jiff::civil::Date;
use keytrail_model::time::Month;
use keytrail_store::Snapshot;

use super::findings::Counts;
use super::model::{Day, Figure, MonthlyReport, StoreState, Table, Value};
use super::queries::{self, Runner};
use super::sections::{self, Tables};
use super::{calendar, findings};
use crate::{QueryError, Session};

/// Makes the report of a month. A month without records gives a report that says so.
///
/// # Errors
/// A query fails: a file of the store is missing or damaged, or memory does not suffice.
pub async fn monthly(session: &Session, month: Month) -> Result<MonthlyReport, QueryError> {
    let (from, until) = month.bounds();
    let runner = Runner { context: session.with_month(month).await?, month };
    let dates = calendar::days_of(month);
    let days = days(&dates, &runner.all(queries::DAYS).await?);
    let snapshot = session.snapshot();
    let tables = ask(&runner, &dates, &days, snapshot).await?;
    let summary = summary(&runner, &days, &tables).await?;
    let counts = Counts {
        zeroisation: runner.all(queries::ZEROIZE_COUNTS).await?,
        coverage: runner.all(queries::COVERAGE_COUNTS).await?,
    };
    Ok(MonthlyReport {
        month: month.to_string(),
        from,
        until,
        keytrail_version: env!("CARGO_PKG_VERSION"),
        store: StoreState { version: snapshot.version(), head: snapshot.head().into() },
        empty: days.iter().all(|day| day.operations == 0 && day.ciphertrust == 0),
        findings: findings::of(&summary, &tables, &counts, snapshot.foreign_commits().len()),
        summary,
        days,
        sections: sections::of(tables),
        limits: sections::LIMITS.to_vec(),
    })
}

async fn ask(runner: &Runner, dates: &[Date], days: &[Day], snapshot: &Snapshot) -> Result<Tables, QueryError> {
    Ok(Tables {
        conservation: runner.table(queries::CONSERVATION, "Where every record went").await?,
        forgotten: runner.table(queries::FORGOTTEN, "Records of the month that were removed from the store").await?,
        archives: runner.table(queries::ARCHIVES, "Archives that touch the month, with their spans").await?,
        failed_archives: runner.table(queries::FAILED_ARCHIVES, "Archives that could not be read").await?,
        sources: runner.table(queries::SOURCES, "Records of the month by kind").await?,
        coverage: runner.table(queries::COVERAGE, "What the archives cover, by service").await?,
        coverage_gaps: runner.table(queries::COVERAGE_GAPS, "Time between the windows that were asked for").await?,
        gaps: gaps(dates, days),
        partitions: partitions(dates, &runner.all(queries::PARTITION_DAYS).await?),
        key_usage: runner.table(queries::KEY_USAGE, "Keys used, by OUID").await?,
        key_lifecycle_counts: runner.table(queries::KEY_LIFECYCLE_COUNTS, "By action").await?,
        key_lifecycle: runner.table(queries::KEY_LIFECYCLE, "By time").await?,
        login_failures: runner.table(queries::LOGIN_FAILURES, "Refused logins, by actor").await?,
        zeroize_events: runner.table(queries::ZEROIZE_EVENTS, "Zeroisation, by time").await?,
        privileged_use: runner.table(queries::PRIVILEGED_USE, "Operations as PO").await?,
        failed_operations: runner.table(queries::FAILED_OPERATIONS, "By action and status").await?,
        custody: runner.table(queries::CUSTODY, "Archives by SHA-256").await?,
        signatures: signatures(snapshot)?,
        oddities: runner.table(queries::ODDITIES, "Archives and side files with oddities").await?,
    })
}

/// Who signed which state of the store; one row that says so where nobody did.
fn signatures(snapshot: &Snapshot) -> Result<Table, QueryError> {
    let row = |state: &str, version, key| vec![Value::Text(state.into()), version, key];
    let signed = snapshot.signatures()?.into_iter().map(|signed| {
        let version = Value::Count(i64::try_from(signed.version).unwrap_or(i64::MAX));
        row("signed", version, Value::Text(signed.key_id))
    });
    let mut rows: Vec<_> = signed.collect();
    if rows.is_empty() {
        rows.push(row("unsigned", Value::Null, Value::Null));
    }
    Ok(table("signatures", "Signed states of the store", &["state", "version", "key"], rows))
}

/// Every day of the month, also those without records.
fn days(dates: &[Date], found: &Table) -> Vec<Day> {
    let mut days: Vec<Day> =
        dates.iter().map(|date| Day { date: date.to_string(), operations: 0, failures: 0, ciphertrust: 0 }).collect();
    for row in &found.rows {
        let [Value::Date(date), operations, failures, ciphertrust] = row.as_slice() else {
            continue;
        };
        if let Some(day) = days.iter_mut().find(|day| day.date == *date) {
            day.operations = operations.count().unwrap_or_default();
            day.failures = failures.count().unwrap_or_default();
            day.ciphertrust = ciphertrust.count().unwrap_or_default();
        }
    }
    days
}

async fn summary(runner: &Runner, days: &[Day], tables: &Tables) -> Result<Vec<Figure>, QueryError> {
    let (all, keys) = (runner.all(queries::SUMMARY).await?, runner.all(queries::KEYS).await?);
    let of = |table: &Table, name: &str| table.values(name).filter_map(Value::count).sum();
    let rows = |table: &Table| i64::try_from(table.rows_total).unwrap_or(i64::MAX);
    let without = days.iter().filter(|day| day.operations + day.ciphertrust == 0).count();
    let figure = |key, label, count| Figure { key, label, count };
    Ok(vec![
        figure("operations", "HSM records", of(&all, "operations")),
        figure("failures", "of these not successful", of(&all, "failures")),
        figure("ciphertrust", "CipherTrust records", days.iter().map(|day| day.ciphertrust).sum()),
        figure("partitions", "HSM partitions seen", of(&all, "partitions")),
        figure("actors", "Actors (HSM clients) seen", of(&all, "actors")),
        figure("keys", "Keys seen", of(&keys, "keys")),
        figure("key_uses", "Uses of keys", of(&keys, "uses")),
        figure("key_lifecycle_records", "Key lifecycle records", rows(&tables.key_lifecycle)),
        figure("login_failures", "Refused logins", of(&all, "login_failures")),
        figure("lockouts", "of these lockouts", of(&all, "lockouts")),
        figure("zeroize_events", "Zeroisation events", rows(&tables.zeroize_events)),
        figure("privileged_operations", "Operations as PO", of(&all, "privileged_operations")),
        figure("archives", "Archives that touch the month", rows(&tables.archives)),
        figure("days_without_records", "Days without any record", i64::try_from(without).unwrap_or(i64::MAX)),
    ])
}

fn table(key: &'static str, title: &'static str, columns: &[&str], rows: Vec<Vec<Value>>) -> Table {
    let rows_total = rows.len() as u64;
    Table { key, title, columns: columns.iter().map(ToString::to_string).collect(), rows, rows_total }
}

/// Runs of days without any record, of whatever kind.
fn gaps(dates: &[Date], days: &[Day]) -> Table {
    let present = days.iter().filter(|day| day.operations + day.ciphertrust > 0).map(|day| day.date.as_str());
    let runs = calendar::gaps(dates, &present.collect()).into_iter().map(|(first, last, length)| {
        vec![Value::Date(first.to_string()), Value::Date(last.to_string()), Value::Count(length)]
    });
    table("gaps", "Days without any record", &["first_day", "last_day", "days"], runs.collect())
}

/// Partitions with the days on which each has no record.
fn partitions(dates: &[Date], found: &Table) -> Table {
    const COLUMNS: [&str; 7] =
        ["partition_id", "resource_id", "operations", "first_seen", "last_seen", "days_without_records", "gaps"];
    let same_partition = |one: &Vec<Value>, other: &Vec<Value>| one.iter().take(2).eq(other.iter().take(2));
    let rows = found.rows.chunk_by(same_partition).map(|rows| {
        let present = rows.iter().filter_map(|row| match row.get(2) {
            Some(Value::Date(date)) => Some(date.as_str()),
            _ => None,
        });
        let gaps = calendar::gaps(dates, &present.collect());
        let missing = gaps.iter().map(|(_, _, length)| length).sum();
        let at = |row: Option<&Vec<Value>>, column| row.and_then(|row| row.get(column)).cloned().unwrap_or(Value::Null);
        vec![
            at(rows.first(), 0),
            at(rows.first(), 1),
            Value::Count(rows.iter().filter_map(|row| row.get(3)?.count()).sum()),
            at(rows.first(), 4),
            at(rows.last(), 5),
            Value::Count(missing),
            Value::Text(calendar::gaps_text(&gaps)),
        ]
    });
    table("partitions", "HSM partitions, and the days on which each has no record", &COLUMNS, rows.collect())
}
