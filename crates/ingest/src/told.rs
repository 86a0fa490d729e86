//! What is told of archives, and how much of it: an archive can be made that has a million faults, and a run can have very many of those.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use keytrail_model::ledger::Note;

use crate::options::Limits;

/// Bytes that the faults and notes of all archives of a run take. What the ledger says must not depend on the memory of a run.
const RUN_BYTES_MAX: u64 = 32 << 20;

/// The first faults, or notes, of an archive, and how many more there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) told: Vec<Note>,
    untold: u64,
}

impl Told {
    /// Tells something more, unless that is too much: a directory of a hundred thousand broken members is not worth as many lines. The
    /// first one is told in any case, and behind one that is not nothing is.
    pub(crate) fn tell(&mut self, note: Note) {
        let bytes: usize = self.told.iter().chain([&note]).map(|note| note.text.len()).sum();
        let has_room = self.untold == 0 && self.told.len() < Limits::TOLD && bytes <= Limits::TOLD_BYTES;
        if self.told.is_empty() || has_room { self.told.push(note) } else { self.untold += 1 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&Note> {
        self.told.first()
    }

    /// Says how many more `what` there are.
    pub(crate) fn finish(&mut self, what: &str) {
        if self.untold > 0 {
            self.told.push(Note::new("untold", format!("and {} more {what}", self.untold)));
        }
    }

    fn cut(&mut self, at_most: usize) {
        self.untold += self.told.len().saturating_sub(at_most) as u64;
        self.told.truncate(at_most);
    }

    fn bytes(&self) -> u64 {
        let texts = |note: &Note| {
            let options = [&note.sha256, &note.first_bytes].into_iter().flatten();
            options.chain([&note.kind, &note.text]).map(String::len).sum::<usize>()
        };
        self.told.iter().map(|note| (size_of::<Note>() + texts(note)) as u64).sum()
    }
}

/// What is told of the archives of a run, which stays in memory until its ledger is written.
///
/// Where all of it is more than the budget, the number told of each archive is halved until it fits, or each tells one. Whatever the order in
/// which archives come, that number falls as far as all of them together demand, so the outcome does not depend on threads.
#[derive(Debug)]
pub(crate) struct RunTold {
    bytes_max: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    bytes: u64,
    /// Faults, and notes, of an archive at most.
    at_most: usize,
    /// Faults and notes, by SHA-256 of the archive.
    archives: HashMap<String, [Told; 2]>,
}

impl Default for RunTold {
    fn default() -> Self {
        Self::within(RUN_BYTES_MAX)
    }
}

impl RunTold {
    fn within(bytes_max: u64) -> Self {
        let kept = Kept { bytes: 0, at_most: Limits::TOLD, archives: HashMap::new() };
        Self { bytes_max, kept: Mutex::new(kept) }
    }

    /// Keeps faults and notes of an archive.
    pub(crate) fn keep(&self, sha256: &str, mut told: [Told; 2]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Equal files have equal faults.
        if told.iter().all(Told::is_empty) || kept.archives.contains_key(sha256) {
            return;
        }
        told.iter_mut().for_each(|told| told.cut(kept.at_most));
        kept.bytes += told.iter().map(Told::bytes).sum::<u64>();
        kept.archives.insert(sha256.to_owned(), told);
        while kept.bytes > self.bytes_max && kept.at_most > 1 {
            kept.halve();
        }
    }

    /// Faults and notes of an archive.
    pub(crate) fn take(&self, sha256: &str) -> [Told; 2] {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).archives.remove(sha256).unwrap_or_default()
    }
}

impl Kept {
    fn halve(&mut self) {
        self.at_most /= 2;
        self.bytes = 0;
        for told in self.archives.values_mut().flatten() {
            told.cut(self.at_most);
            self.bytes += told.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: usize, bytes: usize) -> Told {
        let mut told = Told::default();
        (0..count).for_each(|_| told.tell(Note::new("fault", "x".repeat(bytes))));
        told
    }

    #[test]
    fn an_archive_tells_its_first_faults() {
        // Faults, bytes of each -> told, and in what words the rest.
        let most = Limits::TOLD_BYTES;
        for (count, bytes, expected, rest) in [
            (0, 1, 0, None),
            (100, 100, 100, None),
            (1000, 100, 100, Some("and 900 more faults")),
            (9, most / 4, 4, Some("and 5 more faults")),
            (3, 2 * most, 1, Some("and 2 more faults")),
        ] {
            let mut told = told(count, bytes);
            assert_eq!(told.told.len(), expected, "{count} {bytes}");
            told.finish("faults");
            assert_eq!(told.told.get(expected).map(|note| note.text.as_str()), rest, "{count} {bytes}");
        }
        let mut told = told(1, 5);
        told.tell(Note::new("fault", "x".repeat(most)));
        told.tell(Note::new("fault", "x"));
        assert_eq!((told.told.len(), told.untold), (1, 2), "nothing behind one that is left out");
    }

    #[test]
    fn what_a_run_tells_depends_on_its_archives_and_not_on_their_order() {
        let archives = [(0, 0), (1, 9), (100, 50), (40, 700), (1, 40_000), (1000, 20), (3, 3), (60, 60)];
        let kept = |order: &mut dyn Iterator<Item = usize>, bytes: u64| -> Vec<[Told; 2]> {
            let run = RunTold::within(bytes);
            for index in order {
                let (count, length) = archives[index];
                run.keep(&index.to_string(), [told(count, length), told(count / 2, 1)]);
                run.keep(&index.to_string(), [told(count, length), told(count / 2, 1)]);
            }
            let kept = run.kept.lock().unwrap();
            assert!(kept.bytes <= bytes || kept.at_most == 1);
            drop(kept);
            (0..archives.len()).map(|index| run.take(&index.to_string())).collect()
        };
        for bytes in [0, 30_000, 60_000, 100_000, 10_000_000] {
            let expected = kept(&mut (0..8), bytes);
            for ([faults, _], (count, _)) in expected.iter().zip(archives) {
                assert_eq!(faults.told.len() as u64 + faults.untold, count as u64, "none is lost");
                assert_eq!(faults.is_empty(), count == 0, "one is told");
            }
            for turn in 0..8 {
                assert_eq!(kept(&mut (0..8).map(|index| (index * 5 + turn) % 8), bytes), expected, "{bytes} {turn}");
                assert_eq!(
                    kept(&mut (0..8).rev().map(|index| (index * 3 + turn) % 8), bytes),
                    expected,
                    "{bytes} {turn}"
                );
            }
        }
    }
}
