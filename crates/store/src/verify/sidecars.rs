//! Ledgers and rejects of all runs: their bytes, and whether their figures agree.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::AsArray as _;
use keytrail_model::ledger::LedgerRow;

use keytrail_model::schema::{ARCHIVE, MEMBER, ORDINAL};

use super::contents::{check_bytes, read_columns, rows};
use super::log::check_place;
use super::places::Places;
use super::{Depth, Findings, sum};
use crate::chain::{ForgetRecord, RunRecord};
use crate::layout::{self, Layout};
use crate::{StoreError, forgotten_file, ledger_file};

/// What the ledgers of all runs say.
pub(super) struct Books {
    /// Sum of `stored` over the latest row of each archive; nothing where a ledger cannot be read, since then the sum means nothing.
    pub(super) stored: Option<u64>,
    /// Where rows and rejects have to be. Empty where only a quick look is asked for.
    pub(super) places: Places,
}

/// Checks the ledgers and rejects of all runs.
pub(super) fn check(layout: &Layout, runs: &[RunRecord], depth: Depth, findings: &mut Findings<'_>) -> Books {
    let (mut stored, mut places, mut whole) = (HashMap::new(), Places::default(), true);
    let mut rejects = Vec::new();
    for run in runs {
        let ledger = read_ledger(layout, run, findings);
        let ledger = findings.get(ledger).flatten();
        whole &= ledger.is_some();
        let rejected = ledger.as_ref().map(|ledger| {
            let counts = ledger.iter().filter(|row| row.records.rejected > 0);
            counts.map(|row| (row.archive.clone(), row.records.rejected)).collect::<BTreeMap<_, _>>()
        });
        let checked = check_rejects(layout, run, rejected.as_ref(), findings);
        rejects.extend(findings.get(checked).flatten().map(|path| (run, path, rejected)));
        for row in ledger.into_iter().flatten() {
            if depth == Depth::Full {
                places.expect(&row);
            }
            stored.insert(row.archive, row.records.stored);
        }
    }
    // Only now is it known which try of an archive was the last.
    for (run, path, rejected) in rejects.into_iter().filter(|_| depth == Depth::Full) {
        let read = read_rejects(&path, run, rejected.as_ref(), &places, findings);
        findings.get(read);
    }
    Books { stored: whole.then(|| sum(stored.into_values())), places }
}

/// Checks the tombstones, and notes what each took of its archives. Returns the rows that were removed with their months.
pub(super) fn check_tombstones(
    layout: &Layout,
    forgets: &[ForgetRecord],
    books: &mut Books,
    findings: &mut Findings<'_>,
) -> u64 {
    for forget in forgets {
        let checked = check_tombstone(layout, forget, books, findings);
        if findings.get(checked).flatten().is_none() {
            // Which rows of which archive are gone is not known.
            books.stored = None;
        }
    }
    sum(forgets.iter().map(|forget| forget.rows))
}

fn check_tombstone(
    layout: &Layout,
    forget: &ForgetRecord,
    books: &mut Books,
    findings: &mut Findings<'_>,
) -> Result<Option<()>, StoreError> {
    let record = &forget.forgotten;
    let Some(path) = check_place(layout, layout::FORGOTTEN, &forget.name, &record.path, findings) else {
        return Ok(None);
    };
    if !check_bytes(&path, record.bytes, Some(&record.sha256), findings)? {
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(StoreError::io("read the tombstone", &path))?;
    let rows = forgotten_file::read(&path, &bytes.into())?;
    let found = sum(rows.iter().map(|row| row.digest.rows()));
    let counted = (record.rows, forget.rows) == (rows.len() as u64, found);
    let expected = format!("{} rows that tell of {} rows", record.rows, forget.rows);
    findings.require(counted, &path, expected, format!("{} that tell of {found}", rows.len()));
    rows.iter().for_each(|row| books.places.forget(&row.archive, row.digest.rows()));
    Ok(Some(()))
}

fn read_ledger(
    layout: &Layout,
    run: &RunRecord,
    findings: &mut Findings<'_>,
) -> Result<Option<Vec<LedgerRow>>, StoreError> {
    let record = &run.archives;
    let Some(path) = check_place(layout, "archives", &run.name, &record.path, findings) else {
        return Ok(None);
    };
    if !check_bytes(&path, record.bytes, Some(&record.sha256), findings)? {
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(StoreError::io("read the ledger", &path))?;
    let Some(ledger) = findings.get(ledger_file::read(&path, &bytes.into())) else {
        return Ok(None);
    };
    let (expected, found) = (record.rows, ledger.len() as u64);
    findings.require(expected == found, &path, format!("{expected} rows"), format!("{found} rows"));
    for row in &ledger {
        let rule = format!("read = stored + duplicates + rejected of archive {}", row.archive);
        findings.require(row.records.conserved(), &path, rule, format!("{:?}", row.records));
        let expected = format!("run {} of archive {}", run.name, row.archive);
        findings.require(row.run == run.name, &path, expected, format!("run {}", row.run));
    }
    Ok(Some(ledger))
}

/// Checks the bytes and the length of a run's rejects; where they are right, their path.
fn check_rejects(
    layout: &Layout,
    run: &RunRecord,
    rejected: Option<&BTreeMap<String, u64>>,
    findings: &mut Findings<'_>,
) -> Result<Option<PathBuf>, StoreError> {
    let record = &run.rejects;
    let Some(path) = check_place(layout, "rejects", &run.name, &record.path, findings) else {
        return Ok(None);
    };
    if let Some(rejected) = rejected {
        let rejected = sum(rejected.values().copied());
        let expected = format!("{rejected} rows, the sum of `rejected` in the run's ledger");
        findings.require(record.rows == rejected, &path, expected, format!("{} rows in the commit", record.rows));
    }
    if !check_bytes(&path, record.bytes, Some(&record.sha256), findings)? {
        return Ok(None);
    }
    let rows = rows(&path)?;
    findings.require(rows == record.rows, &path, format!("{} rows", record.rows), format!("{rows} rows"));
    Ok(Some(path))
}

/// Counts the rejects of each archive, and takes their places.
fn read_rejects(
    path: &Path,
    run: &RunRecord,
    rejected: Option<&BTreeMap<String, u64>>,
    places: &Places,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let mut found = BTreeMap::<String, u64>::new();
    read_columns(path, &[ARCHIVE, MEMBER, ORDINAL], &mut |batch| {
        for archive in batch.column_by_name(ARCHIVE)?.as_string_opt::<i32>()?.iter().flatten() {
            match found.get_mut(archive) {
                Some(count) => *count += 1,
                None => drop(found.insert(archive.to_owned(), 1)),
            }
        }
        places.take_rejects(batch, &run.name)
    })?;
    let Some(expected) = rejected else {
        return Ok(());
    };
    for archive in expected.keys().chain(found.keys().filter(|archive| !expected.contains_key(*archive))) {
        let [expected, found] = [expected, &found].map(|counts| counts.get(archive).copied().unwrap_or_default());
        let words = format!("{expected} rejects of archive {archive}, as the run's ledger says");
        findings.require(expected == found, path, words, format!("{found}"));
    }
    Ok(())
}
