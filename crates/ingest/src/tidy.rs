//! What a run does for the shape of the store after its commit. None of it can fail the run: the records are in the store.

use std::collections::BTreeSet;

use keytrail_model::time::{format_service, now};
use keytrail_store::{DEFAULT_GRACE, Snapshot, Vacuumed, Writer};

use crate::summary::Summary;

/// Merges small files where many have come together, and frees at once what no reader holds.
pub(crate) fn compact(writer: &mut Writer, before: u64, memory_bytes: u64, summary: &mut Summary) {
    match writer.compact_gently(before, memory_bytes, now()) {
        Ok(months) if months.is_empty() => {}
        Ok(months) => {
            summary.compacted = months;
            let freed = writer.free_removed_by(writer.snapshot().version());
            count(freed, summary);
        }
        Err(error) => summary.warnings.push(format!("small files were not merged: {error}")),
    }
}

/// Frees what earlier commits removed, once its grace has passed.
pub(crate) fn free(writer: &Writer, summary: &mut Summary) {
    count(writer.vacuum(now(), DEFAULT_GRACE), summary);
}

fn count(freed: Result<Vacuumed, keytrail_store::StoreError>, summary: &mut Summary) {
    match freed {
        Ok(vacuumed) => {
            summary.freed.0 += vacuumed.freed.len();
            summary.freed.1 += Vacuumed::bytes(&vacuumed.freed);
        }
        Err(error) => summary.warnings.push(format!("removed files were not deleted: {error}")),
    }
}

/// Records of a month that was removed are stored as any others; whoever removed it should know.
pub(crate) fn tell_of_forgotten_months(snapshot: &Snapshot, summary: &mut Summary) {
    if snapshot.forgets().is_empty() {
        return;
    }
    let tombstones = match snapshot.forgotten() {
        Ok(tombstones) => tombstones,
        Err(error) => return summary.warnings.push(format!("what was forgotten cannot be read: {error}")),
    };
    let run = snapshot.runs().last();
    let months = run.iter().flat_map(|run| &run.files).filter_map(|file| {
        let month = file.path.split_once('/')?.0.strip_prefix("month=")?;
        // A month that had no rows then was not removed: this is the first time that it is there.
        let removed = tombstones.iter().rev().find(|(_, rows)| rows.iter().any(|row| row.month == month));
        let (forget, _) = removed?;
        Some(format!(
            "records of {month} are in the store again: the months before {} were forgotten on {}",
            forget.before,
            format_service(forget.committed_at)
        ))
    });
    summary.warnings.extend(months.collect::<BTreeSet<_>>());
}
