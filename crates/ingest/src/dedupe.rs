//! The rule of duplicates: a record that several archives hold counts as often as it stands in the one that holds it most often.
//!
//! What the store holds already obeys the rule: so many rows of a record as some earlier archive had of it. With the archives in
//! their order, that gives a running rule: of the n occurrences of a record in an archive the first s are duplicates, where s is how
//! often the record is stored by then, and the rest is stored. Equal records inside one archive are therefore never duplicates of
//! each other.
//!
//! Equal records have equal times, so only spans of time that two archives share, or an archive and a file of the store, are looked
//! at: archives that do not overlap cost nothing here. The identities of those spans are dealt into parts by hash, each part small
//! enough for memory, and the parts are worked on side by side. No part looks at another's identities, and within a part archives
//! come in their order, so the outcome does not depend on threads or on the number of parts.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use keytrail_store::Snapshot;
use rayon::prelude::*;

use crate::archive::DecodedArchive;
use crate::error::IngestError;
use crate::staging::{Identity, StagedBatch, StagingReader, StagingWriter, StoredIdentities};

/// Bytes of memory per identity in the table of a part: entry, control byte and room to grow.
const TABLE_BYTES_PER_IDENTITY: u64 = 96;

/// Reads of the store in a run. Each opens files, so thousands of small spans are read together with what lies between them.
const STORE_READS_MAX: usize = 32;

/// Which rows of the archives of a run are duplicates.
pub(crate) struct Duplicates {
    archives: Vec<Option<Bits>>,
}

impl Duplicates {
    /// Whether a row (by its position among all rows of the archive) is a duplicate.
    pub(crate) fn contains(&self, archive: usize, row: u64) -> bool {
        self.archives.get(archive).and_then(Option::as_ref).is_some_and(|bits| bits.get(row))
    }

    /// How many rows of a range of an archive are duplicates.
    pub(crate) fn count(&self, archive: usize, rows: std::ops::Range<u64>) -> u64 {
        match self.archives.get(archive) {
            Some(Some(bits)) => rows.filter(|&row| bits.get(row)).count() as u64,
            _ => 0,
        }
    }
}

/// One bit for each row of an archive.
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(rows: u64) -> Self {
        Self((0..rows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn set(&self, row: u64) {
        if let Some(word) = usize::try_from(row / 64).ok().and_then(|index| self.0.get(index)) {
            word.fetch_or(1 << (row % 64), Ordering::Relaxed);
        }
    }

    fn get(&self, row: u64) -> bool {
        let word = usize::try_from(row / 64).ok().and_then(|index| self.0.get(index));
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (row % 64) & 1 == 1)
    }
}

/// Spans of time in which duplicates are possible: sorted, inclusive, apart from each other.
#[derive(Debug, Default, PartialEq, Eq)]
struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// The spans that at least two archives cover, or an archive and a file of the store.
    fn of(archives: impl Iterator<Item = (i64, i64)>, files: impl Iterator<Item = (i64, i64)>) -> Self {
        // At one time, beginnings come before ends: spans that share only an instant do overlap.
        let mut edges: Vec<(i64, bool, bool)> = Vec::new();
        for (is_file, (first, last)) in archives.map(|span| (false, span)).chain(files.map(|span| (true, span))) {
            edges.push((first, false, is_file));
            edges.push((last, true, is_file));
        }
        edges.sort_unstable();
        let (mut open_archives, mut open_files, mut begun) = (0_u64, 0_u64, None);
        let mut spans = Vec::new();
        for (time, is_end, is_file) in edges {
            let open = if is_file { &mut open_files } else { &mut open_archives };
            *open = if is_end { open.saturating_sub(1) } else { *open + 1 };
            let shared = open_archives >= 2 || open_archives >= 1 && open_files >= 1;
            match begun {
                None if shared => begun = Some(time),
                Some(from) if !shared => {
                    spans.push((from, time));
                    begun = None;
                }
                _ => {}
            }
        }
        Self(spans)
    }

    /// Whether any span shares a time with `first..=last`.
    fn touch(&self, first: i64, last: i64) -> bool {
        let next = self.0.partition_point(|&(_, to)| to < first);
        self.0.get(next).is_some_and(|&(from, _)| from <= last)
    }

    /// At most so many spans that cover these: only the widest gaps stay open.
    fn coarse(&self, most: usize) -> Vec<(i64, i64)> {
        let gaps = self.0.iter().zip(self.0.iter().skip(1)).map(|((_, to), (from, _))| from - to);
        let mut gaps: Vec<(i64, usize)> = gaps.zip(1..).collect();
        gaps.sort_unstable_by(|a, b| b.cmp(a));
        let open: BTreeSet<usize> = gaps.into_iter().map(|(_, next)| next).take(most.saturating_sub(1)).collect();
        let mut coarse: Vec<(i64, i64)> = Vec::new();
        for (index, &(from, to)) in self.0.iter().enumerate() {
            match coarse.last_mut() {
                Some((_, last)) if !open.contains(&index) => *last = to,
                _ => coarse.push((from, to)),
            }
        }
        coarse
    }

    fn contain(&self, time: i64) -> bool {
        self.touch(time, time)
    }
}

/// Finds the duplicates among the records of a run's archives.
///
/// `archives` stand in the order that decides which of two equal records is the duplicate. `seed` is that of the staged identities.
pub(crate) fn resolve(
    archives: &[DecodedArchive],
    snapshot: &Snapshot,
    staging: &Path,
    seed: u64,
    memory_bytes: u64,
) -> Result<Duplicates, IngestError> {
    let files = snapshot.files().iter().map(|file| (file.min_time, file.max_time));
    let spans = Spans::of(archives.iter().filter_map(|archive| archive.times), files);
    let candidates = Candidates::find(archives, &spans);
    let mut duplicates = Duplicates { archives: Vec::new() };
    duplicates.archives.resize_with(archives.len(), || None);
    if candidates.batches.is_empty() {
        return Ok(duplicates);
    }
    for &(index, _) in &candidates.batches {
        if let (Some(slot @ None), Some(archive)) = (duplicates.archives.get_mut(index), archives.get(index)) {
            *slot = Some(Bits::new(archive.accepted));
        }
    }
    let stored = stage_stored(snapshot, &spans, archives, staging, seed)?;
    let rows = candidates.rows + stored.iter().map(StoredIdentities::rows).sum::<u64>();
    let threads = rayon::current_num_threads() as u64;
    // Half of the memory for the tables that are open at once.
    let rows_per_part = (memory_bytes / 2 / threads / TABLE_BYTES_PER_IDENTITY).max(1 << 10);
    let parts = rows.div_ceil(rows_per_part).max(threads);
    (0..parts).into_par_iter().try_for_each(|part| {
        let part = Part { part, parts, spans: &spans };
        part.resolve(&candidates, &stored, &mut StagingReader::new(staging), &duplicates)
    })?;
    Ok(duplicates)
}

/// Staged batches with records inside the spans, in the order of their archives.
struct Candidates<'a> {
    batches: Vec<(usize, &'a StagedBatch)>,
    rows: u64,
}

impl<'a> Candidates<'a> {
    fn find(archives: &'a [DecodedArchive], spans: &Spans) -> Self {
        let all =
            archives.iter().enumerate().flat_map(|(index, archive)| archive.batches.iter().map(move |b| (index, b)));
        let batches: Vec<_> = all.filter(|(_, batch)| spans.touch(batch.times.0, batch.times.1)).collect();
        let rows = batches.iter().map(|(_, batch)| u64::from(batch.rows)).sum();
        Self { batches, rows }
    }
}

/// Stages the identities of the store's rows inside the spans.
fn stage_stored(
    snapshot: &Snapshot,
    spans: &Spans,
    archives: &[DecodedArchive],
    staging: &Path,
    seed: u64,
) -> Result<Vec<StoredIdentities>, IngestError> {
    let first = archives.iter().filter_map(|archive| archive.times).map(|(first, _)| first).min().unwrap_or(i64::MAX);
    let last = archives.iter().filter_map(|archive| archive.times).map(|(_, last)| last).max().unwrap_or(i64::MIN);
    // The number after those of the workers.
    let number = u32::try_from(rayon::current_num_threads()).unwrap_or(u32::MAX);
    let mut writer = StagingWriter::create(staging, number, seed)?;
    let mut stored = Vec::new();
    let mut each = |batch: &RecordBatch| -> Result<(), IngestError> {
        stored.push(writer.append_stored(batch, |time| spans.contain(time))?);
        Ok(())
    };
    for (from, to) in spans.coarse(STORE_READS_MAX) {
        keytrail_store::read_events(snapshot, from.max(first), to.min(last), &mut each)?;
    }
    Ok(stored)
}

/// The identities whose hash falls to one part.
struct Part<'a> {
    part: u64,
    parts: u64,
    spans: &'a Spans,
}

/// How often a record is stored, and how often the archive at hand has shown it.
#[derive(Default)]
struct Tally {
    stored: u64,
    shown: u64,
    archive: Option<usize>,
}

impl Part<'_> {
    fn resolve(
        &self,
        candidates: &Candidates<'_>,
        stored: &[StoredIdentities],
        reader: &mut StagingReader,
        duplicates: &Duplicates,
    ) -> Result<(), IngestError> {
        let mut tallies: HashMap<u128, Tally, BuildHasherDefault<IdentityHasher>> = HashMap::default();
        for &block in stored {
            reader.stored_identities(block, |_, identity| {
                if self.wants(identity) {
                    tallies.entry(identity.id).or_default().stored += 1;
                }
            })?;
        }
        for &(index, batch) in &candidates.batches {
            let Some(Some(bits)) = duplicates.archives.get(index) else {
                continue;
            };
            reader.identities(batch, |position, identity| {
                if self.wants(identity) && tallies.entry(identity.id).or_default().show(index) {
                    bits.set(batch.first_row + position);
                }
            })?;
        }
        Ok(())
    }

    fn wants(&self, identity: Identity) -> bool {
        // The high half deals, the low half is the table's hash.
        u64::try_from(identity.id >> 64).unwrap_or_default() % self.parts == self.part
            && self.spans.contain(identity.time)
    }
}

impl Tally {
    /// Counts an occurrence in an archive; whether it is a duplicate.
    fn show(&mut self, archive: usize) -> bool {
        if self.archive != Some(archive) {
            self.archive = Some(archive);
            self.shown = 0;
        }
        self.shown += 1;
        let is_duplicate = self.shown <= self.stored;
        self.stored = self.stored.max(self.shown);
        is_duplicate
    }
}

/// An identity is a hash already.
#[derive(Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = u64::try_from(id & u128::from(u64::MAX)).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_are_shared() {
        type Sides = [(i64, i64)];
        let cases: [(&Sides, &Sides, &Sides); 8] = [
            (&[(0, 10), (11, 20)], &[], &[]),
            (&[(0, 10), (10, 20)], &[], &[(10, 10)]),
            (&[(0, 10), (5, 20), (15, 30)], &[], &[(5, 10), (15, 20)]),
            (&[(0, 100), (5, 6), (7, 8)], &[], &[(5, 6), (7, 8)]),
            (&[(0, 10)], &[(0, 10), (3, 4)], &[(0, 10)]),
            (&[], &[(0, 10), (3, 4)], &[]),
            (&[(5, 5), (5, 5)], &[], &[(5, 5)]),
            (&[(8, 20)], &[(0, 10), (18, 30)], &[(8, 10), (18, 20)]),
        ];
        for (archives, files, expected) in cases {
            let spans = Spans::of(archives.iter().copied(), files.iter().copied());
            assert_eq!(spans.0, expected, "{archives:?} {files:?}");
        }
        let spans = Spans(vec![(5, 10), (15, 20)]);
        for (time, inside) in [(4, false), (5, true), (10, true), (11, false), (15, true), (21, false)] {
            assert_eq!(spans.contain(time), inside, "{time}");
        }
        assert!(spans.touch(0, 5) && spans.touch(20, 90) && spans.touch(11, 16) && !spans.touch(11, 14));
    }

    #[test]
    fn coarse_spans_keep_the_widest_gaps() {
        let spans = Spans(vec![(0, 1), (3, 4), (10, 11), (12, 13), (20, 30)]);
        let cases: [(usize, &[(i64, i64)]); 5] = [
            (9, &[(0, 1), (3, 4), (10, 11), (12, 13), (20, 30)]),
            (4, &[(0, 1), (3, 4), (10, 13), (20, 30)]),
            (3, &[(0, 4), (10, 13), (20, 30)]),
            (2, &[(0, 13), (20, 30)]),
            (1, &[(0, 30)]),
        ];
        for (most, expected) in cases {
            assert_eq!(spans.coarse(most), expected, "{most}");
        }
        assert_eq!(Spans::default().coarse(3), []);
    }

    #[test]
    fn the_archive_that_holds_a_record_most_often_decides() {
        // Occurrences by archive, rows in the store before -> which occurrences are duplicates.
        let cases: [(&[usize], u64, &[bool]); 6] = [
            (&[0, 0], 0, &[false, false]),
            (&[0, 1], 0, &[false, true]),
            (&[0, 1, 1], 0, &[false, true, false]),
            (&[0, 0, 1, 2, 2, 2], 0, &[false, false, true, true, true, false]),
            (&[0, 0], 1, &[true, false]),
            (&[0, 1, 1, 1], 2, &[true, true, true, false]),
        ];
        for (archives, stored, expected) in cases {
            let mut tally = Tally { stored, ..Tally::default() };
            let shown: Vec<bool> = archives.iter().map(|&archive| tally.show(archive)).collect();
            assert_eq!(shown, expected, "{archives:?} {stored}");
        }
    }
}
