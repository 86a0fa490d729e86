//! Checkpoints of the log: whether they are the files that were listed when they were written, and say what the commits say.

use std::fs;

use super::Findings;
use super::log::Log;
use crate::checkpoints::{Checkpoints, names};
use crate::layout::{self, Layout};
use crate::sealed_file::sha256;
use crate::{Snapshot, StoreError, seal};

/// Compares the checkpoints with the list of them.
pub(super) fn check(layout: &Layout, log: &Log, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    let mut names = names(layout)?;
    let newest = names.iter().filter_map(|name| layout::parse_log_name(name)).map(|(version, _)| version).max();
    let list = match Checkpoints::read(layout) {
        Ok(Some(list)) => list,
        Ok(None) => return unlisted(layout, log, newest, findings),
        Err(error) => return findings.take::<()>(Err(error)).map(drop),
    };
    // A run that was killed after its commit may have come to the checkpoint and not to the list.
    let is_new = |version: Option<u64>| version == Some(log.version) && newest == version;
    let newest_name = names.iter().find(|name| is_new(layout::parse_log_name(name).map(|(version, _)| version)));
    let is_unfinished = newest_name.is_some_and(|name| !list.files.contains_key(name));
    for (name, expected) in &list.files {
        let path = layout.log().join(name);
        if !names.contains(name) {
            findings.damage(&path, format!("SHA-256 {expected}"), "no such file");
            continue;
        }
        let bytes = fs::read(&path).map_err(StoreError::io("read the checkpoint", &path))?;
        let found = sha256(&bytes);
        let is_hint = layout::parse_log_name(name).is_none();
        if !(is_hint && is_unfinished) {
            findings.require(found == *expected, &path, format!("SHA-256 {expected}"), found);
        }
    }
    names.retain(|name| !list.files.contains_key(name));
    for name in &names {
        let version = layout::parse_log_name(name).map(|(version, _)| version);
        let why = match is_new(version) || version.is_none() && is_unfinished {
            true => "not listed yet; the next run writes it anew",
            false => "no checkpoint of keytrail's",
        };
        findings.notes.push(format!("events/_delta_log/{name}: {why}"));
    }
    Ok(())
}

/// Checkpoints without a list.
fn unlisted(layout: &Layout, log: &Log, newest: Option<u64>, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    let Some(newest) = newest else {
        return Ok(());
    };
    let commit = layout.commit(newest);
    let by_earlier = match fs::read(&commit) {
        Ok(bytes) => seal::check(&bytes) == seal::Seal::Absent,
        Err(_) => true,
    };
    if by_earlier || newest == log.version {
        let note = "events/_delta_log: checkpoints are not listed yet; the next run writes one anew";
        findings.notes.push(note.into());
    } else {
        findings.damage(&layout.checkpoints(), "the list of checkpoints", "no such file");
    }
    Ok(())
}

/// Whether the Delta library sees in the log what its commits say. Asked last: it is no judge of damage.
pub(super) fn check_listing(layout: &Layout, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    let snapshot = match Snapshot::load_compared(layout) {
        Err(StoreError::Log { path, reason, .. }) => {
            findings.damage(&path, "a log that the Delta library can read", reason);
            return Ok(());
        }
        loaded => findings.take(loaded)?.flatten().map(|(snapshot, _)| snapshot),
    };
    if snapshot.is_some_and(|snapshot| snapshot.checkpoint_ignored()) {
        let expected = "checkpoints that say what the commits say";
        findings.damage(&layout.log(), expected, "a damaged one, or one that says other; keytrail leaves it aside");
    }
    Ok(())
}
