//! Records dealt into files by their hash, and taken from there hash by hash: how equal records of many archives come together whatever
//! their number. Equal records of one archive become one entry with their count as early as they meet, so one hash has at most an entry
//! for each archive in memory. Memory: a part of the whole, as much as was asked for.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use keytrail_model::digest::RowsDigest;

use crate::error::IngestError;

/// Bits of the hash that decide about the file.
const BITS: u32 = 6;
/// Files of a deal.
const PARTS: usize = 1 << BITS;
/// Entries gathered for a file before they are written.
const GATHERED: usize = 256;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 64;
/// Deals within deals, at most. Beyond it all entries have one hash, or are few, and are folded where they are read.
const DEPTH_MAX: u32 = 5;

/// A record, or a row, as it is dealt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// SHA-256 of the record, or of the row with its place.
    pub(super) hash: [u64; 4],
    /// Number of the archive; [`OF_THE_STORE`] for a row of the store.
    pub(super) owner: u32,
    /// Where it comes from: a number for each member that was read.
    pub(super) member: u32,
    pub(super) ordinal: i64,
    pub(super) time: i64,
    /// Archive of a row of the store.
    pub(super) archive: u32,
    /// How many such records of one owner it stands for. Of them it has the least place.
    pub(super) count: u32,
}

/// Owner of rows of the store.
pub(super) const OF_THE_STORE: u32 = u32::MAX;

impl Entry {
    /// The digest of it alone.
    pub(super) fn digest(&self) -> RowsDigest {
        RowsDigest::of_limbs(1, self.hash)
    }

    fn part(&self, depth: u32) -> usize {
        let [first, ..] = self.hash;
        usize::try_from(first.rotate_left(BITS * (depth + 1)) & (PARTS as u64 - 1)).unwrap_or_default()
    }

    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let numbers = self.hash.into_iter().chain([
            u64::from(self.owner) << 32 | u64::from(self.member),
            self.ordinal.cast_unsigned(),
            self.time.cast_unsigned(),
            u64::from(self.count) << 32 | u64::from(self.archive),
        ]);
        bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers).for_each(|(to, from)| *to = from.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let mut numbers = [0; ENTRY_BYTES / 8];
        numbers.iter_mut().zip(bytes.as_chunks::<8>().0).for_each(|(to, from)| *to = u64::from_le_bytes(*from));
        let [a, b, c, d, owner, ordinal, time, count] = numbers;
        let low = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default();
        Self {
            hash: [a, b, c, d],
            owner: low(owner >> 32),
            member: low(owner),
            ordinal: ordinal.cast_signed(),
            time: time.cast_signed(),
            archive: low(count),
            count: low(count >> 32),
        }
    }
}

/// Sorts entries, and makes one of those that `are_one`: neighbours in that order. Counts that are too high for one stay two.
fn fold(entries: &mut Vec<Entry>, are_one: fn(&Entry, &Entry) -> bool) {
    entries.sort_unstable();
    entries.dedup_by(|next, kept| {
        let count = kept.count.checked_add(next.count).filter(|_| are_one(next, kept));
        kept.count = count.unwrap_or(kept.count);
        count.is_some()
    });
}

/// Whether entries are equal records of one member, which is good or dropped as a whole.
fn of_one_member(one: &Entry, other: &Entry) -> bool {
    (one.hash, one.owner, one.member) == (other.hash, other.owner, other.member)
}

/// Whether entries are equal records of one owner.
fn of_one_owner(one: &Entry, other: &Entry) -> bool {
    (one.hash, one.owner) == (other.hash, other.owner)
}

/// How often a record is in the archive that has it most often.
pub(super) fn most_of_one(group: &[Entry]) -> u64 {
    let of_archives = group.chunk_by(|one, next| one.owner == next.owner);
    of_archives.map(|of| count_where(of, |owner| owner != OF_THE_STORE)).max().unwrap_or_default()
}

/// How many records stand there of owners that are asked for.
pub(super) fn count_where(group: &[Entry], is_wanted: impl Fn(u32) -> bool) -> u64 {
    group.iter().filter(|entry| is_wanted(entry.owner)).map(|entry| u64::from(entry.count)).sum()
}

/// The files of a deal.
pub(super) struct Deal {
    folder: PathBuf,
    depth: u32,
    parts: Vec<Mutex<Option<File>>>,
}

impl Deal {
    pub(super) fn new(folder: &Path) -> Self {
        Self::at(folder.to_path_buf(), 0)
    }

    fn at(folder: PathBuf, depth: u32) -> Self {
        let parts = (0..PARTS).map(|_| Mutex::new(None)).collect();
        Self { folder, depth, parts }
    }

    fn path(&self, part: usize) -> PathBuf {
        self.folder.join(format!("{part:02}"))
    }

    fn write(&self, part: usize, entries: &[Entry]) -> Result<(), IngestError> {
        let Some(file) = self.parts.get(part) else {
            return Ok(());
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(part);
        let file = match file.as_mut() {
            Some(file) => file,
            None => {
                std::fs::create_dir_all(&self.folder).map_err(IngestError::io("creating", &self.folder))?;
                file.insert(File::create_new(&path).map_err(IngestError::io("creating", &path))?)
            }
        };
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_bytes()).collect();
        file.write_all(&bytes).map_err(IngestError::io("writing", &path))?;
        Ok(())
    }

    /// Hands the entries of each hash to `each`, sorted, one for each owner. Entries of which `wanted` says no are left out. Holds some
    /// `memory` bytes.
    pub(super) fn each_group(
        self,
        memory: usize,
        wanted: &dyn Fn(&Entry) -> bool,
        each: &mut dyn FnMut(&[Entry]) -> Result<(), IngestError>,
    ) -> Result<(), IngestError> {
        for (number, part) in self.parts.iter().enumerate() {
            if part.lock().unwrap_or_else(PoisonError::into_inner).take().is_none() {
                continue;
            }
            let path = self.path(number);
            let bytes = std::fs::metadata(&path).map_err(IngestError::io("reading", &path))?.len();
            if bytes > memory as u64 && self.depth < DEPTH_MAX {
                let within = Self::at(self.folder.join(format!("{number:02}-parts")), self.depth + 1);
                let mut dealer = Dealer::new(&within);
                read(&path, &mut |entry| dealer.deal(entry))?;
                dealer.finish()?;
                remove(&path)?;
                within.each_group(memory, wanted, each)?;
                continue;
            }
            let mut entries = Vec::new();
            let mut at_most = (memory / ENTRY_BYTES).max(GATHERED);
            read(&path, &mut |entry| {
                if wanted(&entry) {
                    entries.push(entry);
                }
                if entries.len() >= at_most {
                    fold(&mut entries, of_one_owner);
                    // Where little can be folded, it is not tried at every entry.
                    at_most = at_most.max(2 * entries.len());
                }
                Ok(())
            })?;
            remove(&path)?;
            fold(&mut entries, of_one_owner);
            entries.chunk_by(|one, next| one.hash == next.hash).try_for_each(&mut *each)?;
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), IngestError> {
    std::fs::remove_file(path).map_err(IngestError::io("removing", path))
}

fn read(path: &Path, each: &mut dyn FnMut(Entry) -> Result<(), IngestError>) -> Result<(), IngestError> {
    let file = File::open(path).map_err(IngestError::io("reading", path))?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut bytes = [0; ENTRY_BYTES];
    loop {
        match file.read_exact(&mut bytes) {
            Ok(()) => each(Entry::from_bytes(&bytes))?,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(IngestError::io("reading", path)(error)),
        }
    }
}

/// Deals entries, some at a time. One for each thread.
pub(super) struct Dealer<'a> {
    deal: &'a Deal,
    gathered: Vec<Vec<Entry>>,
}

impl<'a> Dealer<'a> {
    pub(super) fn new(deal: &'a Deal) -> Self {
        Self { deal, gathered: vec![Vec::new(); PARTS] }
    }

    pub(super) fn deal(&mut self, entry: Entry) -> Result<(), IngestError> {
        let part = entry.part(self.deal.depth);
        let Some(gathered) = self.gathered.get_mut(part) else {
            return Ok(());
        };
        gathered.push(entry);
        if gathered.len() >= GATHERED {
            fold(gathered, of_one_member);
            // Where most were equal, there is room again.
            if gathered.len() > GATHERED / 2 {
                self.deal.write(part, gathered)?;
                gathered.clear();
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), IngestError> {
        let gathered = self.gathered.into_iter().enumerate().filter(|(_, entries)| !entries.is_empty());
        gathered.into_iter().try_for_each(|(part, mut entries)| {
            fold(&mut entries, of_one_member);
            self.deal.write(part, &entries)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_come_together_whatever_the_memory() {
        let entry = |number: u64| {
            // Some hashes many times, some that differ in the last bits only.
            let hash = [(number % 300).wrapping_mul(0x9e37_79b9_7f4a_7c15), 0, 0, number % 2];
            Entry {
                hash,
                owner: u32::try_from(number % 7).unwrap(),
                member: u32::try_from(number % 5).unwrap(),
                ordinal: -5,
                time: i64::try_from(number).unwrap(),
                archive: 9,
                count: 1,
            }
        };
        let entries: Vec<Entry> = (0..20_000).map(entry).collect();
        for memory in [0, 1 << 10, 1 << 16, 1 << 24] {
            let folder = tempfile::tempdir().unwrap();
            let deal = Deal::new(&folder.path().join("deal"));
            let mut dealer = Dealer::new(&deal);
            entries.iter().for_each(|entry| dealer.deal(*entry).unwrap());
            dealer.finish().unwrap();
            let (mut found, mut groups) = (Vec::new(), 0);
            deal.each_group(memory, &|entry| entry.owner != 6 && entry.member != 4, &mut |group| {
                assert!(
                    group.is_sorted_by(|one, next| one.owner < next.owner)
                        && group.iter().all(|entry| entry.hash == group[0].hash)
                );
                groups += 1;
                found.extend_from_slice(group);
                Ok(())
            })
            .unwrap();
            let mut expected = std::collections::BTreeMap::<_, Entry>::new();
            for entry in entries.iter().filter(|entry| entry.owner != 6 && entry.member != 4) {
                let none = Entry { count: 0, ..*entry };
                let kept = expected.entry((entry.hash, entry.owner)).or_insert(none);
                *kept = Entry { count: kept.count + 1, ..(*kept).min(Entry { count: kept.count, ..*entry }) };
            }
            let hashes: std::collections::BTreeSet<_> = expected.keys().map(|(hash, _)| hash).collect();
            assert_eq!(groups, hashes.len(), "memory {memory}");
            found.sort_unstable();
            assert_eq!(found, expected.into_values().collect::<Vec<_>>(), "memory {memory}");
        }
    }

    #[test]
    fn equal_records_take_no_room_however_many_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let deal = Deal::new(&folder.path().join("deal"));
        let entry = Entry { hash: [1, 2, 3, 4], owner: 7, member: 1, ordinal: 0, time: 9, archive: 7, count: 1 };
        let mut dealer = Dealer::new(&deal);
        for ordinal in 0..100_000 {
            dealer.deal(Entry { ordinal, ..entry }).unwrap();
        }
        dealer.deal(Entry { count: u32::MAX - 3, ..entry }).unwrap();
        dealer.finish().unwrap();
        let bytes: u64 =
            folder.path().join("deal").read_dir().unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= 4 * ENTRY_BYTES as u64, "{bytes}");
        let mut all = 0;
        deal.each_group(0, &|_| true, &mut |group| {
            all += group.iter().map(|entry| u64::from(entry.count)).sum::<u64>();
            Ok(())
        })
        .unwrap();
        assert_eq!(all, 100_000 + u64::from(u32::MAX) - 3);
    }
}
