//! `keytrail compact`, `vacuum`, `forget`: the shape of a store, not its contents; and what leaves it for good.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use keytrail_model::time::{format_service, now};
use keytrail_store::{CompactedMonth, Compaction, Forgetting, Snapshot, Store, Vacuumed, Writer};

use crate::args::{CompactArgs, ForgetArgs, VacuumArgs};
use crate::exit::{Outcome, UsageError, say};

/// Merges small files.
pub(crate) fn compact(arguments: &CompactArgs) -> anyhow::Result<Outcome> {
    let mut writer = open(&arguments.store.store)?;
    let compacted = writer.compact(&Compaction {
        months: arguments.months.clone(),
        target_bytes: arguments.target_size,
        memory_bytes: arguments.memory,
        committed_at: now(),
    })?;
    say_warnings(&writer);
    say_compacted(&compacted);
    if compacted.is_empty() {
        say("nothing to merge");
    } else {
        say(&format!("store: {}, version {}", arguments.store.store.display(), writer.snapshot().version()));
    }
    free(&writer, arguments.grace)?;
    Ok(Outcome::Done)
}

/// Deletes what commits removed.
pub(crate) fn vacuum(arguments: &VacuumArgs) -> anyhow::Result<Outcome> {
    let store = &arguments.store.store;
    let vacuumed = if arguments.dry_run {
        let snapshot = Store::open(store)?.snapshot()?;
        super::say_foreign(&snapshot);
        snapshot.vacuumable(now(), arguments.grace)?
    } else {
        let writer = open(store)?;
        say_warnings(&writer);
        writer.vacuum(now(), arguments.grace)?
    };
    super::write_to(None, |out| {
        for file in &vacuumed.freed {
            writeln!(out, "{}", store.join(&file.path).display())?;
        }
        Ok(())
    })?;
    let (files, bytes) = (vacuumed.freed.len(), Vacuumed::bytes(&vacuumed.freed));
    match arguments.dry_run {
        true => say(&format!("would delete {}", count(files, bytes))),
        false => say_freed(files, bytes),
    }
    say_waiting(&vacuumed);
    Ok(Outcome::Done)
}

/// Removes months.
pub(crate) fn forget(arguments: &ForgetArgs) -> anyhow::Result<Outcome> {
    let store = &arguments.store.store;
    let (before, snapshot) = (arguments.before, Store::open(store)?.snapshot()?);
    let forgetting = snapshot.forgetting(before)?;
    if forgetting.months().is_empty() {
        say(&format!("no records before {before}: nothing to forget"));
        return Ok(Outcome::Done);
    }
    say_forgetting(&snapshot, &forgetting)?;
    if !arguments.yes && !agreed()? {
        say("nothing was changed");
        return Ok(Outcome::Failed);
    }
    // It holds the removed files, which could then not be freed.
    drop(snapshot);
    let mut writer = open(store)?;
    let forgotten = writer.forget(&forgetting, arguments.reason.as_deref(), now())?;
    say_warnings(&writer);
    say(&format!(
        "forgotten: {} records; the tombstone is {}",
        forgotten.rows,
        store.join(&forgotten.forgotten.path).display()
    ));
    say(&format!("store: {}, version {}", store.display(), writer.snapshot().version()));
    free(&writer, arguments.grace)?;
    Ok(Outcome::Done)
}

/// Opens a store that is there for writing.
fn open(store: &Path) -> anyhow::Result<Writer> {
    Store::open(store)?;
    let mut on_wait = || say(&format!("keytrail: another run holds {}; waiting for it to end", store.display()));
    let writer = Writer::open(store, &mut on_wait)?;
    super::say_swept(writer.swept());
    Ok(writer)
}

fn free(writer: &Writer, grace: Duration) -> anyhow::Result<()> {
    let vacuumed = writer.vacuum(now(), grace)?;
    if !vacuumed.freed.is_empty() {
        say_freed(vacuumed.freed.len(), Vacuumed::bytes(&vacuumed.freed));
    }
    say_waiting(&vacuumed);
    Ok(())
}

fn say_warnings(writer: &Writer) {
    for warning in writer.warnings() {
        say(&format!("keytrail: {warning}"));
    }
}

/// What goes, said before anything is asked.
fn say_forgetting(snapshot: &Snapshot, forgetting: &Forgetting) -> anyhow::Result<()> {
    say("These records will be removed for good:");
    for month in forgetting.months() {
        let keytrail_store::ForgettingMonth { month, files, bytes, rows, archives } = month;
        say(&format!("  {month}: {rows} records of {archives} archives, in {}", count(*files, *bytes)));
    }
    let archives = forgetting.archives();
    say(&format!("  in all {} records of {} archives", forgetting.rows(), archives.len()));
    let ledger = snapshot.ledger()?;
    let rejecting = ledger.iter().filter(|row| archives.binary_search(&row.archive.as_str()).is_ok());
    let rejected: u64 = rejecting.map(|row| row.records.rejected).sum();
    if rejected > 0 {
        say(&format!("{rejected} rejects of these archives stay, with their bytes: see keytrail rejects"));
    }
    say(
        "Reports of later months cannot tell then whether HSM partitions that were initialised had been in use before: they say so",
    );
    for forget in snapshot.forgets() {
        say(&format!("Forgotten before: {} records, on {}", forget.rows, format_service(forget.committed_at)));
    }
    Ok(())
}

/// Asks on a terminal.
fn agreed() -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let message = "nobody to ask: stdin is no terminal; give --yes to forget these records";
        return Err(UsageError(message.into()).into());
    }
    // Where stderr is closed there is nobody to read the question, and the answer still counts.
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "Forget them? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Says of each month what was merged.
pub(crate) fn say_compacted(months: &[CompactedMonth]) {
    for CompactedMonth { month, rows, removed, added } in months {
        let (from, to) = (count(removed.0, removed.1), count(added.0, added.1));
        say(&format!("merged {month}: {rows} records, {from} into {to}"));
    }
}

/// Says what was deleted.
pub(crate) fn say_freed(files: usize, bytes: u64) {
    say(&format!("deleted {} that earlier commits had removed", count(files, bytes)));
}

fn say_waiting(vacuumed: &Vacuumed) {
    if !vacuumed.foreign.is_empty() {
        let what = count(vacuumed.foreign.len(), Vacuumed::bytes(&vacuumed.foreign));
        say(&format!(
            "{what} stay for good: another program removed them from the table, and keytrail verify tells what it changed"
        ));
    }
    let (files, bytes) = vacuumed.waiting();
    if files == 0 {
        return;
    }
    let held = match vacuumed.held.len() {
        0 => String::new(),
        held => format!(", {held} of them because somebody reads them"),
    };
    say(&format!(
        "{} removed from the table stay on the disk until keytrail vacuum{held}; until then a plain glob reads them, too: \
         keytrail files names the right ones",
        count(files, bytes)
    ));
}

fn count(files: usize, bytes: u64) -> String {
    format!("{files} {} ({:.1} MB)", if files == 1 { "file" } else { "files" }, bytes as f64 / 1e6)
}
