//! Months that are written while archives are still decoded.
//!
//! In which order rows stand, and which are duplicates, is certain only when all archives are decoded; so a run stages everything first. But
//! archives are mostly stretches of time that lie side by side. Taken in the order of time (`order`, by a `guess`), they complete one month
//! after the other long before the run ends. Such a month is written then, and what was staged of it is given up: the next archive is staged in
//! the memory and on the disk that this one took, instead of in ever more.
//!
//! A month counts as complete where every archive that is left is thought to begin a day after its end. In the end that is not believed but
//! checked: the rows of each month that was written have to be the ones, in the order, that the plan of the whole run asks for, and none
//! of them may have to be compared with others ([`WrittenMonths::confirm`]). Where a guess was wrong, all that was done is dropped, and the run
//! starts over without guesses. So files are the same with this module and without it.

mod guess;
mod order;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keytrail_model::time::Month;
use keytrail_store::StagedFile;

use crate::archive::{Archive, DecodedArchive};
use crate::dedupe::{Duplicates, Spans};
use crate::error::IngestError;
use crate::plan::{self, PlannedFile};
use crate::staging::{MemoryRoom, Place, StagedBlock, StagingReader};
use crate::write::{self, GroupMemory, Numbered, RowsWritten, Source, ToDisk};

pub(crate) use guess::first_time;
pub(crate) use order::takes_no_longer;

/// How much earlier than guessed an archive may begin, in microseconds: records are not quite in order.
const MARGIN: i64 = 24 * 60 * 60 * 1_000_000;
/// How much a thread writes of what was staged while another one decodes a byte of an archive, about.
const WRITTEN_PER_DECODED: u64 = 4;
/// Bytes of the names of an archive's members beyond which no more months are written early: names are held twice meanwhile.
const NAMES_BYTES_MAX: u64 = 64 << 10;

/// Writes months as soon as they are complete. Shared by the threads that decode; one of them writes at a time.
pub(crate) struct EarlyMonths<'a> {
    staging: &'a Path,
    room: Arc<MemoryRoom>,
    memory_bytes: u64,
    /// Spans of time of the store's files.
    stored: &'a [(i64, i64)],
    to_disk: Sender<ToDisk>,
    state: Mutex<State>,
    memory: Mutex<GroupMemory>,
    is_wrong: AtomicBool,
}

/// What is known so far.
struct State {
    /// Lengths of files that are not done, by when they are thought to begin and their numbers.
    open: BTreeMap<(i64, usize), u64>,
    archives: Vec<Arc<Done>>,
    /// Months with records that may be written early.
    waiting: BTreeSet<Month>,
    written: BTreeMap<Month, Written>,
    /// End of the last month that was written, or is being.
    until: i64,
    /// Whether guesses were good so far.
    is_trusted: bool,
    files: usize,
    /// Rows written, by SHA-256 of their archive.
    rows: HashMap<String, u64>,
}

/// What was decoded of an archive with records.
struct Done {
    sha256: String,
    members: Vec<String>,
    blocks: Vec<StagedBlock>,
    times: (i64, i64),
}

/// A month that was written.
struct Written {
    /// What was staged of its rows, in the order in which they were written.
    places: Vec<Place>,
    /// Numbers of its files.
    files: std::ops::Range<usize>,
}

/// Months that were written, as far as it is known.
pub(crate) struct WrittenMonths {
    months: BTreeMap<Month, Written>,
    /// Rows by SHA-256 of their archive.
    rows: HashMap<String, u64>,
}

/// The files of months that were written early.
pub(crate) struct EarlyFiles {
    months: BTreeMap<Month, Vec<StagedFile>>,
    /// Where their rows were staged: given up already.
    places: Vec<Place>,
    /// Rows that each archive gave.
    pub(crate) written: RowsWritten,
}

impl<'a> EarlyMonths<'a> {
    /// Of files, given in the order in which they are taken, that are thought to begin at these times and have these lengths.
    pub(crate) fn new(
        (staging, room): (&'a Path, Arc<MemoryRoom>),
        memory_bytes: u64,
        stored: &'a [(i64, i64)],
        files: impl Iterator<Item = (i64, u64)>,
        to_disk: Sender<ToDisk>,
    ) -> Self {
        let state = State {
            open: files.enumerate().map(|(number, (begin, bytes))| ((begin, number), bytes)).collect(),
            archives: Vec::new(),
            waiting: BTreeSet::new(),
            written: BTreeMap::new(),
            until: i64::MIN,
            is_trusted: true,
            files: 0,
            rows: HashMap::new(),
        };
        let (state, memory) = (Mutex::new(state), Mutex::new(GroupMemory::default()));
        Self { staging, room, memory_bytes, stored, to_disk, state, memory, is_wrong: AtomicBool::new(false) }
    }

    /// Whether a month was written that has more records: then all that was done is void.
    pub(crate) fn is_wrong(&self) -> bool {
        self.is_wrong.load(Ordering::Relaxed)
    }

    /// A file is done with: it was thought to begin at this time, had this number, and holds what was found, if anything.
    pub(crate) fn done(&self, (begin, number): (i64, usize), found: Option<(&Archive, &DecodedArchive)>) {
        let mut state = self.state();
        state.open.remove(&(begin, number));
        let Some((archive, decoded)) = found else {
            return;
        };
        let Some(times) = decoded.times else {
            return;
        };
        state.is_trusted &= times.0 >= begin.saturating_sub(MARGIN) && decoded.names_bytes <= NAMES_BYTES_MAX;
        if times.0 < state.until {
            self.is_wrong.store(true, Ordering::Relaxed);
        }
        if state.is_trusted {
            let (sha256, members, blocks) =
                (archive.digest.sha256.clone(), decoded.members.clone(), decoded.blocks.clone());
            state.waiting.extend(blocks.iter().map(|block| block.month));
            state.archives.push(Arc::new(Done { sha256, members, blocks, times }));
        }
    }

    /// Writes the earliest month that is complete, unless another thread is writing one; whether it did. Where no file is left to be taken, only
    /// one that is written before those at work are done, most likely: the others are written by all threads together then.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn write_next(&self, is_left: bool) -> Result<bool, IngestError> {
        let Ok(mut memory) = self.memory.try_lock() else {
            return Ok(false);
        };
        let Some((month, archives)) = self.state().next(self.stored, is_left) else {
            return Ok(false);
        };
        self.write(month, &archives, &mut memory)?;
        Ok(true)
    }

    fn write(&self, month: Month, archives: &[Arc<Done>], memory: &mut GroupMemory) -> Result<(), IngestError> {
        let duplicates = Duplicates::none(archives.len());
        let of = archives.iter().map(|done| (done.sha256.as_str(), done.members.as_slice(), done.blocks.as_slice()));
        let files = plan::plan(plan::blocks(of).filter(|planned| planned.block.month == month), &duplicates);
        let places: Vec<Place> = places(&files).collect();
        let reader = StagingReader::open_some(self.staging, Arc::clone(&self.room), places.iter().copied())?;
        let source =
            Source { duplicates: &duplicates, reader: &reader, staging: self.staging, memory_bytes: self.memory_bytes };
        let written = RowsWritten::new(archives.len());
        let first = self.state().files;
        for (number, file) in (first..).zip(&files) {
            let path = self.staging.join(format!("early-{number:06}.parquet"));
            let writer = write::write_early(&source, file, &path, &written, memory)?;
            // Where the one who waits for the disk is gone, its own error tells.
            self.to_disk.send(ToDisk::Whole(number, Box::new(writer))).map_err(|_| write::ended_early(self.staging))?;
        }
        let mut state = self.state();
        state.files += files.len();
        state.written.insert(month, Written { places, files: first..first + files.len() });
        for (index, done) in archives.iter().enumerate() {
            *state.rows.entry(done.sha256.clone()).or_default() += written.of(index);
        }
        Ok(())
    }

    /// What was written, when there is nothing left to decode.
    pub(crate) fn into_written(self) -> WrittenMonths {
        let State { written, rows, .. } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        WrittenMonths { months: written, rows }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WrittenMonths {
    /// Holds what was written against all that was decoded, given in its final order; `None` where it is not what has to be written. `stored` are
    /// spans of time of the store's files, `files` the ones that got to the disk.
    pub(crate) fn confirm(
        self,
        archives: &[Archive],
        decoded: &[Box<DecodedArchive>],
        stored: &[(i64, i64)],
        files: Numbered,
    ) -> Option<EarlyFiles> {
        let Self { months, rows } = self;
        let spans = Spans::of(decoded.iter().filter_map(|decoded| decoded.times), stored.iter().copied());
        let mut expected: BTreeMap<Month, Vec<Place>> = months.keys().map(|month| (*month, Vec::new())).collect();
        for block in decoded.iter().flat_map(|decoded| &decoded.blocks) {
            if let Some(places) = expected.get_mut(&block.month) {
                if spans.touch(block.times.0, block.times.1) {
                    return None;
                }
                places.push(block.place);
            }
        }
        if !months.values().map(|written| &written.places).eq(expected.values()) {
            return None;
        }
        let written = RowsWritten::new(archives.len());
        for (index, archive) in archives.iter().enumerate() {
            written.add(index, rows.get(&archive.digest.sha256).copied().unwrap_or_default());
        }
        let mut files: BTreeMap<usize, StagedFile> = files.into_iter().collect();
        let of_month =
            |(month, Written { files: of, .. })| (month, of.filter_map(|number| files.remove(&number)).collect());
        let months = months.into_iter().map(of_month).collect();
        Some(EarlyFiles { months, places: expected.into_values().flatten().collect(), written })
    }
}

impl State {
    /// The earliest month that is complete, with its archives in their final order; see [`EarlyMonths::write_next`].
    fn next(&mut self, stored: &[(i64, i64)], is_left: bool) -> Option<(Month, Vec<Arc<Done>>)> {
        let (&(begin, _), _) = self.open.first_key_value()?;
        loop {
            let month = *self.waiting.first().filter(|_| self.is_trusted)?;
            if month.bounds().1 > begin.saturating_sub(MARGIN) {
                return None;
            }
            let blocks = self.archives.iter().flat_map(|done| &done.blocks).filter(|block| block.month == month);
            let bytes: u64 = blocks.map(|block| block.place.bytes() as u64).sum();
            let is_soon = || self.open.values().any(|file| bytes <= file.saturating_mul(WRITTEN_PER_DECODED));
            if !(is_left || is_soon()) {
                return None;
            }
            self.waiting.pop_first();
            let spans = Spans::of(self.archives.iter().map(|done| done.times), stored.iter().copied());
            let of_month = |done: &&Arc<Done>| done.blocks.iter().any(|block| block.month == month);
            let mut archives: Vec<Arc<Done>> = self.archives.iter().filter(of_month).cloned().collect();
            let blocks = || archives.iter().flat_map(|done| &done.blocks).filter(|block| block.month == month);
            if blocks().any(|block| spans.touch(block.times.0, block.times.1)) {
                // It may hold duplicates.
                continue;
            }
            self.until = self.until.max(month.bounds().1);
            archives.sort_by(|one, other| (one.times.0, &one.sha256).cmp(&(other.times.0, &other.sha256)));
            return Some((month, archives));
        }
    }
}

impl EarlyFiles {
    /// Of a run in which nothing was written early.
    pub(crate) fn none(archives: usize) -> Self {
        Self { months: BTreeMap::new(), places: Vec::new(), written: RowsWritten::new(archives) }
    }

    /// Where the rows lay that are written.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Divides planned files into those that are there, and those to write.
    pub(crate) fn take<'f, 'p>(&mut self, files: &'f [PlannedFile<'p>]) -> (Numbered, Vec<&'f PlannedFile<'p>>) {
        let mut months: BTreeMap<Month, _> =
            std::mem::take(&mut self.months).into_iter().map(|(month, files)| (month, files.into_iter())).collect();
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for file in files {
            match months.get_mut(&file.month).map(Iterator::next) {
                None => missing.push(file),
                Some(early) => there.extend(early.map(|early| (file.number, early))),
            }
        }
        (there, missing)
    }
}

fn places<'f>(files: &'f [PlannedFile<'_>]) -> impl Iterator<Item = Place> + 'f {
    files.iter().flat_map(|file| &file.groups).flat_map(|group| &group.blocks).map(|planned| planned.block.place)
}

#[cfg(test)]
mod tests;
