//! Ledgers and rejects of all runs: their bytes, and whether their figures agree.

use std::collections::HashMap;
use std::fs;

use keytrail_model::ledger::LedgerRow;

use super::contents::{check_bytes, rows};
use super::log::check_place;
use super::{Findings, sum};
use crate::chain::{ForgetRecord, RunRecord};
use crate::layout::{self, Layout};
use crate::{StoreError, forgotten_file, ledger_file};

/// Checks the files of all runs. Returns the sum of `stored` over the latest ledger row of each archive; nothing where a
/// ledger cannot be read, since then the sum means nothing.
pub(super) fn check(
    layout: &Layout,
    runs: &[RunRecord],
    findings: &mut Findings<'_>,
) -> Result<Option<u64>, StoreError> {
    let (mut stored, mut whole) = (HashMap::new(), true);
    for run in runs {
        let ledger = read_ledger(layout, run, findings)?;
        check_rejects(layout, run, ledger.as_deref(), findings)?;
        whole &= ledger.is_some();
        stored.extend(ledger.into_iter().flatten().map(|row| (row.archive, row.records.stored)));
    }
    Ok(whole.then(|| sum(stored.into_values())))
}

/// Checks the tombstones. Returns the rows that were removed with their months.
pub(super) fn check_tombstones(
    layout: &Layout,
    forgets: &[ForgetRecord],
    findings: &mut Findings<'_>,
) -> Result<u64, StoreError> {
    for forget in forgets {
        let record = &forget.forgotten;
        let Some(path) = check_place(layout, layout::FORGOTTEN, &forget.name, &record.path, findings) else {
            continue;
        };
        if !check_bytes(&path, record.bytes, Some(&record.sha256), findings)? {
            continue;
        }
        let bytes = fs::read(&path).map_err(StoreError::io("read the tombstone", &path))?;
        let Some(rows) = findings.take(forgotten_file::read(&path, bytes.into()))? else {
            continue;
        };
        let found = sum(rows.iter().map(|row| row.digest.rows()));
        let counted = (record.rows, forget.rows) == (rows.len() as u64, found);
        let expected = format!("{} rows that tell of {} rows", record.rows, forget.rows);
        findings.require(counted, &path, expected, format!("{} that tell of {found}", rows.len()));
    }
    Ok(sum(forgets.iter().map(|forget| forget.rows)))
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
    let Some(ledger) = findings.take(ledger_file::read(&path, bytes.into()))? else {
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

fn check_rejects(
    layout: &Layout,
    run: &RunRecord,
    ledger: Option<&[LedgerRow]>,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let record = &run.rejects;
    let Some(path) = check_place(layout, "rejects", &run.name, &record.path, findings) else {
        return Ok(());
    };
    if let Some(ledger) = ledger {
        let rejected = sum(ledger.iter().map(|row| row.records.rejected));
        let expected = format!("{rejected} rows, the sum of `rejected` in the run's ledger");
        findings.require(record.rows == rejected, &path, expected, format!("{} rows in the commit", record.rows));
    }
    if check_bytes(&path, record.bytes, Some(&record.sha256), findings)?
        && let Some(rows) = findings.take(rows(&path))?
    {
        findings.require(rows == record.rows, &path, format!("{} rows", record.rows), format!("{rows} rows"));
    }
    Ok(())
}
