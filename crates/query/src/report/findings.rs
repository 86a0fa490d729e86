//! What of a month an auditor should look at first. Each finding is a count above zero; nothing is guessed.
//!
//! Counts come from queries over all that there is, or from tables that are never cut: of a table that was cut the one row that matters may
//! be among those that are missing.

use super::model::{Figure, Finding, Severity, Table, Value};
use super::sections::Tables;

/// What is counted beside the tables, one row each.
pub(super) struct Counts {
    /// Destruction of HSM partitions, and attempts at it.
    pub(super) zeroisation: Table,
    /// What the archives do not cover.
    pub(super) coverage: Table,
}

/// The findings, gravest first, in a fixed order among equals.
pub(super) fn of(summary: &[Figure], tables: &Tables, counts: &Counts, foreign_commits: usize) -> Vec<Finding> {
    let figure = |key| summary.iter().find(|figure| figure.key == key).map_or(0, |figure| figure.count);
    let zeroisation = |column| only(&counts.zeroisation, column);
    let coverage = |column| only(&counts.coverage, column);
    let lifecycle = |of: &[(&str, &str)]| total(&tables.key_lifecycle_counts, of, "succeeded");
    let of_month = |column| total(&tables.conservation, &[("scope", "archives of the month")], column);
    let not_conserved = count(tables.conservation.values("conserved"), |value| *value != Value::Bool(true));
    let oddities = i64::try_from(tables.oddities.rows_total).unwrap_or(i64::MAX);
    let failed_archives = i64::try_from(tables.failed_archives.rows_total).unwrap_or(i64::MAX);
    let foreign = i64::try_from(foreign_commits).unwrap_or(i64::MAX);
    use Severity::{Critical, Notice, Warning};
    let all = [
        (
            Critical,
            "not_conserved",
            not_conserved,
            "The figures of records do not add up: read is not stored + duplicates + rejected",
        ),
        (Critical, "foreign_commits", foreign, "Commits to the store that another program made, without a ledger"),
        (Critical, "zeroized", zeroisation("zeroized"), "HSM partitions zeroised: all their keys are gone"),
        (
            Critical,
            "reinitialised",
            zeroisation("reinitialised"),
            "HSM partitions in use initialised again: all their keys are gone",
        ),
        (Critical, "wiped", zeroisation("wiped"), "Records that tell of an HSM partition wiped after failed logins"),
        (Warning, "zeroize_attempts", zeroisation("attempts"), "Attempts to zeroise an HSM partition that failed"),
        (
            Warning,
            "reinitialised_unknown",
            initialised_after_removal(&counts.zeroisation),
            "HSM partitions initialised, of which it cannot be told whether they had been in use and lost all their keys: records of \
             earlier times were removed from the store (keytrail forget)",
        ),
        (Warning, "lockouts", figure("lockouts"), "Logins refused because a role is locked, or that locked it"),
        (Warning, "login_failures", figure("login_failures"), "Logins refused for a wrong credential or a lockout"),
        (Warning, "failed_archives", failed_archives, "Archives of the store that could not be read"),
        (Warning, "salvaged_archives", of_month("salvaged"), "Damaged archives of which only a part is stored"),
        (Warning, "rejected_records", of_month("rejected"), "Records of the month's archives that could not be used"),
        (
            Warning,
            "coverage_gaps",
            coverage("gaps"),
            "Gaps between the windows that exports were asked for, by service",
        ),
        (Warning, "days_without_records", figure("days_without_records"), "Days without any record"),
        (
            Notice,
            "unexplained_days",
            coverage("unexplained_days"),
            "Days without a record of a service that no known window covers, within the span of its archives",
        ),
        (Notice, "odd_archives", oddities, "Oddities of archives and of the side files with their requests"),
        (Notice, "key_exports", lifecycle(&[("category", "key_export")]), "Keys that left the HSM in wrapped form"),
        (
            Notice,
            "key_imports",
            lifecycle(&[("category", "key_import"), ("action", "LUNA_CREATE_OBJECT")]),
            "Keys or objects brought in from outside",
        ),
        (Notice, "keys_destroyed", lifecycle(&[("category", "key_destroy")]), "Keys or objects destroyed one by one"),
        (
            Notice,
            "privileged_operations",
            figure("privileged_operations"),
            "Operations as partition security officer (PO)",
        ),
    ];
    let found = all.into_iter().filter(|(_, _, count, _)| *count > 0);
    let found = found.map(|(severity, key, count, text)| Finding { severity, key, count, text: text.into() });
    let mut found: Vec<Finding> = found.collect();
    if let Some(forgotten) = forgotten(&tables.forgotten) {
        found.insert(found.iter().take_while(|finding| finding.severity > Warning).count(), forgotten);
    }
    found
}

/// Initialisations of partitions of which no use is known, where a use may have been among what was removed from the store.
fn initialised_after_removal(zeroisation: &Table) -> i64 {
    let unused = only(zeroisation, "initialised") - only(zeroisation, "reinitialised");
    if only(zeroisation, "forgotten") > 0 { unused } else { 0 }
}

/// What was removed of the month on purpose: without it, figures that are low or nothing at all would look like a quiet month.
fn forgotten(removals: &Table) -> Option<Finding> {
    let count = removals.values("rows").filter_map(Value::count).sum();
    let moments: Vec<_> = removals.values("forgotten_at").map(Value::to_text).collect();
    let text =
        format!("Records of the month that were removed from the store (keytrail forget) on {}", moments.join(", "));
    (count > 0).then(|| Finding { severity: Severity::Warning, key: "forgotten", count, text: text.into() })
}

/// The count in a column of a table of one row.
fn only(table: &Table, column: &str) -> i64 {
    table.values(column).filter_map(Value::count).sum()
}

/// The sum of a column over the rows in which any of the columns has the text beside it.
fn total(table: &Table, rows_with: &[(&str, &str)], column: &str) -> i64 {
    let cell = |row: &Vec<Value>, column: &str| row.get(table.column(column)?).cloned();
    let rows = table
        .rows
        .iter()
        .filter(|row| rows_with.iter().any(|(column, text)| cell(row, column) == Some(Value::Text((*text).into()))));
    rows.filter_map(|row| cell(row, column)?.count()).sum()
}

fn count<'a>(values: impl Iterator<Item = &'a Value>, matches: impl Fn(&Value) -> bool) -> i64 {
    i64::try_from(values.filter(|value| matches(value)).count()).unwrap_or(i64::MAX)
}
