//! Checkpoints of the log: whether they are the files that were listed when they were written, and say what the commits say.

use std::fs;
use std::path::PathBuf;

use super::Findings;
use super::log::Log;
use crate::checkpoints::{Checkpoints, hint, names};
use crate::layout::{self, Layout};
use crate::sealed_file::sha256;
use crate::{Snapshot, StoreError, seal};

/// How often what is there is looked at again, when it has changed meanwhile. A writer makes a checkpoint every hundred commits.
const LOOKS_MAX: usize = 10;

/// Compares the checkpoints with the list of them.
///
/// Takes no lock, so a writer may make a checkpoint meanwhile, file by file: checkpoint, hint, list. What is found then is no proof of
/// anything: it counts only where all is as it was before.
pub(super) fn check(layout: &Layout, log: &Log, findings: &mut Findings<'_>) {
    for _ in 0..LOOKS_MAX {
        let Some(seen) = findings.get(Seen::look(layout, log)) else {
            return;
        };
        let mut found = Findings::of(layout);
        seen.compare(layout, &mut found);
        if found.is_empty() || Seen::look(layout, log).is_ok_and(|now| now == seen) {
            findings.add(found);
            return;
        }
    }
    let why = "expected checkpoints that stay as they are while they are read, found others each time";
    findings.unchecked.push(format!("events/_delta_log: {why}"));
}

/// Checkpoints and their list at one moment, or nearly so.
#[derive(PartialEq, Eq)]
struct Seen {
    /// Names of checkpoints and of the hint at the last one.
    names: Vec<String>,
    /// The bytes of the list, and of the hint.
    list: Option<Vec<u8>>,
    hint: Option<Vec<u8>>,
    /// Version of the last commit that was verified, and whether there is one after it by now.
    version: u64,
    has_grown: bool,
}

impl Seen {
    fn look(layout: &Layout, log: &Log) -> Result<Self, StoreError> {
        let has_grown = layout.commit(log.version.saturating_add(1)).exists();
        let (names, list, hint) = (names(layout)?, Checkpoints::bytes(layout)?, hint(layout)?);
        Ok(Self { names, list, hint, version: log.version, has_grown })
    }

    /// Whether a checkpoint is one that a writer may be about to list: of the last version, or of a later one whose commit came after the log was
    /// read.
    fn may_be_unlisted(&self, layout: &Layout, version: u64) -> bool {
        version == self.version || self.is_later(layout, version)
    }

    /// Whether a checkpoint is of a commit that came after the log was read: the next verification is about it.
    fn is_later(&self, layout: &Layout, version: u64) -> bool {
        version > self.version && self.has_grown && layout.commit(version).exists()
    }

    /// Version of a checkpoint; none of the hint.
    fn version_of(name: &str) -> Option<u64> {
        layout::parse_log_name(name).map(|(version, _)| version)
    }

    /// Compares the files with the list.
    fn compare(&self, layout: &Layout, findings: &mut Findings<'_>) {
        let newest = self.names.iter().filter_map(|name| Some((Self::version_of(name)?, name))).max();
        let Some(list) = &self.list else {
            self.check_hint(layout, findings);
            return self.compare_unlisted(layout, newest.map(|(version, _)| version), findings);
        };
        let Some(list) = findings.get(Checkpoints::parse(layout, list)) else {
            return;
        };
        // A run that was killed after its commit may have come to the checkpoint and not to the list.
        let is_unfinished = newest
            .is_some_and(|(version, name)| self.may_be_unlisted(layout, version) && !list.files.contains_key(name));
        if is_unfinished || !list.files.contains_key(layout::HINT) {
            self.check_hint(layout, findings);
        }
        for (name, expected) in &list.files {
            let path = layout.log().join(name);
            if Self::version_of(name).is_some_and(|version| self.is_later(layout, version)) {
                continue;
            }
            if !self.names.contains(name) {
                findings.damage(&path, format!("SHA-256 {expected}"), "no such file");
                continue;
            }
            let read = fs::read(&path).map_err(StoreError::io("read the checkpoint", &path));
            let Some(bytes) = findings.get(read) else {
                continue;
            };
            // The hint is about the newest checkpoint, and so may not be listed yet, either.
            let is_hint = Self::version_of(name).is_none();
            let found = sha256(&bytes);
            findings.require(
                found == *expected || is_hint && is_unfinished,
                &path,
                format!("SHA-256 {expected}"),
                found,
            );
        }
        let has_checkpoint = newest.is_some();
        let unlisted = self.names.iter().filter(|name| !list.files.contains_key(*name));
        // A hint alone is damage, and told.
        for name in unlisted.filter(|name| has_checkpoint || Self::version_of(name).is_some()) {
            let may_be_unlisted =
                Self::version_of(name).map_or(is_unfinished, |version| self.may_be_unlisted(layout, version));
            let why = match may_be_unlisted {
                true => "not listed yet; the next run writes it anew",
                false => "no checkpoint of keytrail's",
            };
            findings.notes.push(format!("events/_delta_log/{name}: {why}"));
        }
    }

    /// Whether a hint that no list holds leads to a checkpoint: engines that follow it cannot read the table otherwise. Whoever makes or removes
    /// checkpoints makes the hint after them, and removes it before.
    fn check_hint(&self, layout: &Layout, findings: &mut Findings<'_>) {
        let Some(hint) = &self.hint else {
            return;
        };
        let parsed: Option<serde_json::Value> = serde_json::from_slice(hint).ok();
        let version = parsed.as_ref().and_then(|hint| hint.get("version")?.as_u64());
        let is_there = self.names.iter().any(|name| Self::version_of(name).is_some_and(|of| Some(of) == version));
        let found = version.map_or_else(
            || "one that names no version".to_owned(),
            |version| format!("one at version {version}, of which there is no checkpoint"),
        );
        findings.require(is_there, &layout.log().join(layout::HINT), "a hint at a checkpoint that is there", found);
    }

    /// Checkpoints without a list.
    fn compare_unlisted(&self, layout: &Layout, newest: Option<u64>, findings: &mut Findings<'_>) {
        let Some(newest) = newest else {
            return;
        };
        let by_earlier = match fs::read(layout.commit(newest)) {
            Ok(bytes) => seal::check(&bytes) == seal::Seal::Absent,
            Err(_) => true,
        };
        if by_earlier || self.may_be_unlisted(layout, newest) {
            let note = "events/_delta_log: checkpoints are not listed yet; the next run writes one anew";
            findings.notes.push(note.into());
        } else {
            findings.damage(&layout.checkpoints(), "the list of checkpoints", "no such file");
        }
    }
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
        let (expected, found) =
            ("a checkpoint that says what the commits say", "a damaged one, or one that says other");
        findings.damage(&misleading(layout)?, expected, format!("{found}; keytrail leaves it aside"));
    }
    Ok(())
}

/// The checkpoint that the library believed, where those that are listed are as they were written: the newest of the others.
fn misleading(layout: &Layout) -> Result<PathBuf, StoreError> {
    let list = Checkpoints::read(layout)?.unwrap_or_default();
    let mut names = names(layout)?;
    names.retain(|name| !list.files.contains_key(name));
    let newest = names.into_iter().max_by_key(|name| Seen::version_of(name));
    Ok(newest.map_or_else(|| layout.log(), |name| layout.log().join(name)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::tests::{MORNING, Room, commit};
    use crate::verify::log;

    /// A store of two runs with a checkpoint, read; then a third run with another.
    struct Meanwhile {
        room: Room,
        layout: Layout,
        log: Log,
        hint: [Vec<u8>; 2],
        list: [Vec<u8>; 2],
    }

    impl Meanwhile {
        fn new() -> Self {
            let room = Room::new();
            let layout = Layout::new(&room.root);
            let mut writer = room.writer();
            commit(&mut writer, "aa", &[&[MORNING]]);
            commit(&mut writer, "bb", &[&[MORNING]]);
            let checkpoint = |version| {
                crate::delta::checkpoint(&layout.events(), version).unwrap();
                [room.log("_last_checkpoint"), layout.checkpoints()].map(|path| fs::read(path).unwrap())
            };
            let [hint, list] = checkpoint(2);
            let log = log::read(&layout, BTreeSet::new(), &mut Findings::of(&layout)).unwrap();
            commit(&mut writer, "cc", &[&[MORNING]]);
            let [later_hint, later_list] = checkpoint(3);
            drop(writer);
            Self { room, layout, log, hint: [hint, later_hint], list: [list, later_list] }
        }

        /// How many damages and notes there are.
        fn check(&self) -> (usize, usize) {
            let mut findings = Findings::of(&self.layout);
            check(&self.layout, &self.log, &mut findings);
            assert_eq!(findings.unchecked, [] as [&str; 0]);
            (findings.damages.len(), findings.notes.len())
        }

        fn put(&self, hint: usize, list: usize) {
            fs::write(self.room.log("_last_checkpoint"), &self.hint[hint]).unwrap();
            fs::write(self.layout.checkpoints(), &self.list[list]).unwrap();
        }

        fn checkpoint(&self, version: u64) -> std::path::PathBuf {
            self.room.log(&format!("{version:020}.checkpoint.parquet"))
        }
    }

    fn change(path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        bytes[40] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_checkpoint_that_a_writer_is_making_is_no_damage() {
        let meanwhile = Meanwhile::new();
        // The checkpoint, then the hint, then the list.
        for (hint, list, notes) in [(0, 0, 1), (1, 0, 1), (1, 1, 0)] {
            meanwhile.put(hint, list);
            assert_eq!(meanwhile.check(), (0, notes), "hint {hint}, list {list}");
        }
        fs::remove_file(meanwhile.layout.checkpoints()).unwrap();
        assert_eq!(meanwhile.check(), (0, 1), "the first checkpoint of all");
    }

    #[test]
    fn what_changes_while_it_is_read_is_looked_at_again() {
        let meanwhile = Meanwhile::new();
        let later = fs::read(meanwhile.checkpoint(3)).unwrap();
        meanwhile.put(0, 0);
        fs::remove_file(meanwhile.checkpoint(3)).unwrap();
        let seen = Seen::look(&meanwhile.layout, &meanwhile.log).unwrap();
        fs::write(meanwhile.checkpoint(3), later).unwrap();
        meanwhile.put(1, 1);
        let mut findings = Findings::of(&meanwhile.layout);
        seen.compare(&meanwhile.layout, &mut findings);
        assert_eq!(findings.damages.len(), 1, "another hint than in the list that was read");
        assert!(Seen::look(&meanwhile.layout, &meanwhile.log).unwrap() != seen);
    }

    #[test]
    fn damage_beside_a_writer_is_damage() {
        let damages = |damage: &dyn Fn(&Meanwhile)| {
            let meanwhile = Meanwhile::new();
            damage(&meanwhile);
            meanwhile.check().0
        };
        assert_eq!(damages(&|meanwhile| change(&meanwhile.checkpoint(2))), 1);
        assert_eq!(damages(&|meanwhile| fs::remove_file(meanwhile.checkpoint(2)).unwrap()), 1);
        assert_eq!(damages(&|meanwhile| change(&meanwhile.room.log("_last_checkpoint"))), 1);
        assert_eq!(damages(&|meanwhile| change(&meanwhile.layout.checkpoints())), 1);
        // The last commit was cut off, not yet written.
        let cut = |meanwhile: &Meanwhile| fs::remove_file(meanwhile.room.commit_file(3)).unwrap();
        assert_eq!(
            damages(&|meanwhile| {
                cut(meanwhile);
                change(&meanwhile.checkpoint(3));
            }),
            1
        );
        assert_eq!(
            damages(&|meanwhile| {
                cut(meanwhile);
                fs::remove_file(meanwhile.checkpoint(3)).unwrap();
            }),
            1
        );
    }
}
