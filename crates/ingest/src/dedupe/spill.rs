//! Identities on disk: sorted runs in one file, merged again a range of identities at a time.
//!
//! Whatever the number of identities, and however many of them are equal, memory holds one run for each thread that fills, and one
//! buffer for each run and thread that merges. Each identity is written once and read once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use keytrail_store::failpoint::{Point, reach};

use crate::error::IngestError;

/// An identity and whose it is. Ordered by identity, then by owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    high: u64,
    low: u64,
    /// 0 for a row of the store, else the number of a row of the run.
    pub(super) owner: u64,
}

impl Entry {
    pub(super) const BYTES: usize = 24;

    pub(super) fn new(identity: u128, owner: u64) -> Self {
        let [high, low] = [identity >> 64, identity & u128::from(u64::MAX)];
        Self { high: u64::try_from(high).unwrap_or_default(), low: u64::try_from(low).unwrap_or_default(), owner }
    }

    pub(super) fn identity(&self) -> (u64, u64) {
        (self.high, self.low)
    }

    fn write_to(self, bytes: &mut Vec<u8>) {
        for number in [self.high, self.low, self.owner] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn of_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (numbers, _) = bytes.as_chunks::<8>();
        let number = |index: usize| numbers.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self { high: number(0), low: number(1), owner: number(2) }
    }

    /// The part that an identity belongs to, of so many: a range of identities each, of about equal size because they are hashes.
    fn part(&self, parts: usize) -> usize {
        usize::try_from((u128::from(self.high) * parts as u128) >> 64).unwrap_or_default()
    }
}

/// A sorted run of the spill file.
struct Run {
    /// Where the entries of each part start, in entries from the start of the file, and where those of the last one end.
    edges: Vec<u64>,
}

/// The spill file, filled by several threads and then read by several.
pub(super) struct Spill {
    file: File,
    path: PathBuf,
    parts: usize,
    /// Entries of the file, and its runs.
    runs: Mutex<(u64, Vec<Run>)>,
}

/// Bytes written or read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Entries of a read at least, whatever the memory.
const CHUNK_ENTRIES_MIN: usize = 16;

impl Spill {
    /// Makes the file. It is read in so many parts.
    pub(super) fn create(path: PathBuf, parts: usize) -> Result<Self, IngestError> {
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.and_then(|file| reach(Point::IdentitiesMade).map(|()| file));
        let file = file.map_err(IngestError::io("creating", &path))?;
        Ok(Self { file, path, parts: parts.max(1), runs: Mutex::default() })
    }

    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    /// Writes a run. The entries are sorted and taken out.
    fn add(&self, entries: &mut Vec<Entry>) -> Result<(), IngestError> {
        if entries.is_empty() {
            return Ok(());
        }
        entries.sort_unstable();
        let start = {
            let mut runs = self.runs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let start = runs.0;
            runs.0 += entries.len() as u64;
            let edge = |part| start + entries.partition_point(|entry| entry.part(self.parts) < part) as u64;
            let edges = (0..=self.parts).map(edge).collect();
            runs.1.push(Run { edges });
            start
        };
        reach(Point::IdentitiesWriting).map_err(IngestError::io("writing", &self.path))?;
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        let mut offset = start * Entry::BYTES as u64;
        for chunk in entries.chunks(CHUNK_BYTES / Entry::BYTES) {
            bytes.clear();
            chunk.iter().for_each(|entry| entry.write_to(&mut bytes));
            self.file.write_all_at(&bytes, offset).map_err(IngestError::io("writing", &self.path))?;
            offset += bytes.len() as u64;
        }
        entries.clear();
        reach(Point::IdentitiesWritten).map_err(IngestError::io("writing", &self.path))
    }

    /// Calls `each` with the entries of a part, in their order. Takes about `memory_bytes`.
    pub(super) fn merge(
        &self,
        part: usize,
        memory_bytes: usize,
        mut each: impl FnMut(Entry),
    ) -> Result<(), IngestError> {
        let slices: Vec<(u64, u64)> = {
            let runs = self.runs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let slices = runs.1.iter().filter_map(|run| Some((*run.edges.get(part)?, *run.edges.get(part + 1)?)));
            slices.filter(|(from, to)| from < to).collect()
        };
        let entries = (memory_bytes / slices.len().max(1)).min(CHUNK_BYTES) / Entry::BYTES;
        let readers = slices.into_iter().map(|(next, end)| RunReader {
            file: &self.file,
            path: &self.path,
            next,
            end,
            chunk: entries.max(CHUNK_ENTRIES_MIN),
            bytes: Vec::new(),
            used: 0,
        });
        let mut readers: Vec<RunReader<'_>> = readers.collect();
        let mut heads = BinaryHeap::with_capacity(readers.len());
        for (number, reader) in readers.iter_mut().enumerate() {
            if let Some(entry) = reader.next()? {
                heads.push(Reverse((entry, number)));
            }
        }
        while let Some(mut head) = heads.peek_mut() {
            let Reverse((entry, number)) = *head;
            each(entry);
            // The next entry of the same run takes the place of this one: cheaper than out and in again.
            match readers.get_mut(number).map(RunReader::next).transpose()?.flatten() {
                Some(next) => *head = Reverse((next, number)),
                None => {
                    PeekMut::pop(head);
                }
            }
        }
        Ok(())
    }
}

/// Reads a slice of a run, chunk by chunk.
struct RunReader<'a> {
    file: &'a File,
    path: &'a Path,
    /// In entries from the start of the file: what is not read yet.
    next: u64,
    end: u64,
    /// Entries to read at a time.
    chunk: usize,
    bytes: Vec<u8>,
    used: usize,
}

impl RunReader<'_> {
    fn next(&mut self) -> Result<Option<Entry>, IngestError> {
        if self.used == self.bytes.len() {
            let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
            self.bytes.resize(left.min(self.chunk) * Entry::BYTES, 0);
            let offset = self.next * Entry::BYTES as u64;
            let read = reach(Point::IdentitiesReading).and_then(|()| self.file.read_exact_at(&mut self.bytes, offset));
            read.map_err(IngestError::io("reading", self.path))?;
            self.next += left.min(self.chunk) as u64;
            self.used = 0;
        }
        let entry = self.bytes.get(self.used..).and_then(|bytes| bytes.first_chunk());
        self.used += entry.map_or(0, |bytes| bytes.len());
        Ok(entry.map(Entry::of_bytes))
    }
}

/// Fills the spill, a run at a time. One per thread.
pub(super) struct Filler<'a> {
    spill: &'a Spill,
    entries: Vec<Entry>,
    most: usize,
}

impl<'a> Filler<'a> {
    /// Holds at most about `memory_bytes`.
    pub(super) fn new(spill: &'a Spill, memory_bytes: usize) -> Self {
        Self { spill, entries: Vec::new(), most: (memory_bytes / Entry::BYTES).max(CHUNK_ENTRIES_MIN) }
    }

    pub(super) fn push(&mut self, entry: Entry) -> Result<(), IngestError> {
        if self.entries.len() == self.entries.capacity() {
            // Not doubled: a run that is nearly full must not take twice its memory.
            let more = self.entries.len().clamp(1 << 10, 1 << 18).min(self.most.saturating_sub(self.entries.len()));
            self.entries.reserve_exact(more.max(1));
        }
        self.entries.push(entry);
        if self.entries.len() >= self.most { self.finish() } else { Ok(()) }
    }

    /// Writes what is left.
    pub(super) fn finish(&mut self) -> Result<(), IngestError> {
        self.spill.add(&mut self.entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_went_in_comes_out_in_order(
            entries in prop::collection::vec((prop_oneof![0..4_u64, any::<u64>()], 0..3_u64, 0..9_u64), 0..400),
            parts in 1..6_usize,
            memory in 1..4000_usize,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let spill = Spill::create(folder.path().join("spill"), parts).unwrap();
            let mut expected: Vec<Entry> =
                entries.into_iter().map(|(high, low, owner)| Entry { high, low, owner }).collect();
            let mut fillers = [Filler::new(&spill, memory), Filler::new(&spill, memory / 2)];
            for (index, entry) in expected.iter().enumerate() {
                fillers[index % 2].push(*entry).unwrap();
            }
            fillers.iter_mut().for_each(|filler| filler.finish().unwrap());
            let mut found = Vec::new();
            for part in 0..spill.parts() {
                spill.merge(part, memory, |entry| found.push(entry)).unwrap();
            }
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_identity_is_halved_and_put_together() {
        let entry = Entry::new(u128::from(7_u64) << 64 | 9, 3);
        assert_eq!((entry.identity(), entry.owner), ((7, 9), 3));
        let mut bytes = Vec::new();
        entry.write_to(&mut bytes);
        assert_eq!(Entry::of_bytes(bytes.first_chunk().unwrap()), entry);
    }
}
