//! The outcome of the duplicate check: one bit for each row of the archives that it looked at.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which rows of the archives of a run are duplicates.
pub(crate) struct Duplicates {
    archives: Vec<Option<Marks>>,
}

/// Of one archive.
struct Marks {
    rows: Bits,
    /// How many of them the store has as rows of the archive itself.
    own: AtomicU64,
}

impl Duplicates {
    /// No duplicates so far among so many archives.
    pub(crate) fn none(archives: usize) -> Self {
        let mut all = Vec::new();
        all.resize_with(archives, || None);
        Self { archives: all }
    }

    /// Makes room for marks in an archive of so many rows.
    pub(super) fn prepare(&mut self, archive: usize, rows: u64) {
        if let Some(slot @ None) = self.archives.get_mut(archive) {
            *slot = Some(Marks { rows: Bits::new(rows), own: AtomicU64::new(0) });
        }
    }

    /// Marks a row, once; `is_own`: the store has it as a row of the archive itself.
    pub(super) fn mark(&self, archive: usize, row: u64, is_own: bool) {
        if let Some(Some(marks)) = self.archives.get(archive) {
            marks.rows.set(row);
            marks.own.fetch_add(is_own.into(), Ordering::Relaxed);
        }
    }

    /// How many duplicates of an archive the store has as rows of the archive itself.
    pub(crate) fn own(&self, archive: usize) -> u64 {
        self.archives.get(archive).and_then(Option::as_ref).map_or(0, |marks| marks.own.load(Ordering::Relaxed))
    }

    /// Whether a row (by its position among all rows of the archive) is a duplicate.
    pub(crate) fn contains(&self, archive: usize, row: u64) -> bool {
        self.archives.get(archive).and_then(Option::as_ref).is_some_and(|marks| marks.rows.get(row))
    }

    /// How many rows of a range of an archive are duplicates.
    pub(crate) fn count(&self, archive: usize, rows: Range<u64>) -> u64 {
        self.archives.get(archive).and_then(Option::as_ref).map_or(0, |marks| marks.rows.count(rows))
    }
}

/// One bit for each row of an archive. Threads set them side by side, each its own.
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(rows: u64) -> Self {
        Self((0..rows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn word(&self, row: u64) -> Option<&AtomicU64> {
        usize::try_from(row / 64).ok().and_then(|index| self.0.get(index))
    }

    fn set(&self, row: u64) {
        if let Some(word) = self.word(row) {
            word.fetch_or(1 << (row % 64), Ordering::Relaxed);
        }
    }

    fn get(&self, row: u64) -> bool {
        self.word(row).is_some_and(|word| word.load(Ordering::Relaxed) >> (row % 64) & 1 == 1)
    }

    fn count(&self, rows: Range<u64>) -> u64 {
        let mut count = 0;
        let mut row = rows.start;
        while row < rows.end {
            // From `row` to the end of its word, or of the range.
            let end = rows.end.min((row / 64 + 1) * 64);
            let mask = u64::MAX >> (64 - (end - row)) << (row % 64);
            let word = self.word(row).map_or(0, |word| word.load(Ordering::Relaxed));
            count += u64::from((word & mask).count_ones());
            row = end;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_are_those_of_single_bits(
            marks in prop::collection::btree_set(0..300_u64, 0..60),
            (from, to) in (0..300_u64, 0..300_u64),
        ) {
            let mut duplicates = Duplicates::none(2);
            duplicates.prepare(1, 300);
            marks.iter().for_each(|&row| duplicates.mark(1, row, row % 3 == 0));
            prop_assert_eq!(duplicates.own(1), marks.iter().filter(|row| *row % 3 == 0).count() as u64);
            prop_assert_eq!(duplicates.count(1, from..to), (from..to).filter(|row| marks.contains(row)).count() as u64);
            prop_assert_eq!(duplicates.count(0, from..to), 0);
            prop_assert!((0..300).all(|row| duplicates.contains(1, row) == marks.contains(&row)));
        }
    }
}
