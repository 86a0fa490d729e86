//! Rows that are written while archives are still decoded.
//!
//! In which order rows stand, and which are duplicates, is certain only when all archives are decoded; so a run stages everything first. But
//! archives are mostly stretches of time that lie side by side. Taken in the order of time (`order`, by a `guess`), they settle one row group
//! after the other long before the run ends. Such a group is written then, and what was staged of it is given up: the next archive is staged in
//! the memory, or on the disk, that this one took, instead of in ever more.
//!
//! A row counts as settled where every archive that is left is thought to begin a day after it, and no other archive nor the store has rows of
//! its time. In the end that is not believed but checked: the row groups that were written have to be the ones that the plan of the whole run asks for,
//! and none of their rows may have to be compared with others ([`WrittenMonths::confirm`]). Where a guess was wrong, all that was done is
//! dropped, and the run starts over without guesses. So files are the same with this module and without it.

mod guess;
mod order;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keytrail_model::time::Month;
use keytrail_store::{EventsWriter, StagedFile};

use crate::archive::{Archive, DecodedArchive, order_key};
use crate::dedupe::{Duplicates, Spans};
use crate::error::IngestError;
use crate::options::IngestOptions;
use crate::plan::{self, PlannedFile, PlannedGroup};
use crate::staging::{MemoryRoom, Place, StagedBlock, StagingReader};
use crate::write::{self, GroupMemory, Numbered, RowSource, RowsWritten, ToDisk, ToWrite};

pub(crate) use guess::{HEAD_BYTES, first_time};
pub(crate) use order::takes_no_longer;

/// How much earlier than guessed an archive may begin, in microseconds: records are not quite in order.
const MARGIN: i64 = 24 * 60 * 60 * 1_000_000;
/// How much a thread writes of what was staged while another one decodes a byte of an archive, about.
const WRITTEN_PER_DECODED: u64 = 4;
/// Bytes of the names of an archive's members beyond which nothing more is written early: names are held twice meanwhile.
const NAMES_BYTES_MAX: u64 = 64 << 10;

/// Writes row groups as soon as they are settled. Shared by the threads that decode; one of them writes at a time.
pub(crate) struct EarlyWriter<'a> {
    staging: &'a Path,
    room: Arc<MemoryRoom>,
    options: &'a IngestOptions,
    /// Spans of time of the store's files.
    stored: &'a [(i64, i64)],
    state: Mutex<State>,
    hand: Mutex<Hand<'a>>,
    is_wrong: AtomicBool,
}

/// What is known so far.
struct State {
    /// Lengths of files that are not done, by when they are thought to begin and their numbers.
    open: BTreeMap<(i64, usize), u64>,
    /// Archives with rows of months that are not over.
    archives: Vec<Arc<Done>>,
    months: BTreeMap<Month, MonthState>,
    /// No file that is not done may have a record up to this time: rows up to it were written, or are being.
    until: i64,
    /// Whether guesses were good so far.
    is_trusted: bool,
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

impl Done {
    fn order_key(&self) -> (bool, Option<i64>, &str) {
        order_key(Some(self.times), &self.sha256)
    }
}

/// How far a month is.
#[derive(Default)]
struct MonthState {
    /// Rows that are not written, and what was staged of them in bytes.
    rows: u64,
    bytes: u64,
    /// Row groups written.
    groups: usize,
    /// What was staged of their rows, in order.
    places: Vec<Place>,
    /// What had no room in the last one; `None` where there was nothing more.
    next: Option<Place>,
    /// Numbers of its files that have all of their rows.
    files: Vec<usize>,
    /// Whether nothing more of it is written early.
    is_over: bool,
}

/// What the thread that writes works with.
struct Hand<'a> {
    staging: &'a Path,
    to_disk: Sender<ToDisk>,
    memory: GroupMemory,
    /// Files that may get more row groups, by month.
    begun: BTreeMap<Month, Begun>,
    /// Files begun so far, which numbers the next one.
    files: usize,
}

/// A file that may get more row groups.
struct Begun {
    number: usize,
    /// Its place in the month.
    file: usize,
    writer: Box<EventsWriter>,
}

/// The rows of a month that are settled.
struct SettledRows {
    month: Month,
    /// Archives in their final order, and how many of their blocks of the month these rows are.
    archives: Vec<Arc<Done>>,
    blocks: usize,
    /// Row groups of them that are written.
    groups: usize,
    /// Whether the month has no other rows.
    is_complete: bool,
}

impl<'a> EarlyWriter<'a> {
    /// Of files, given in the order in which they are taken, that are thought to begin at these times and have these lengths.
    pub(crate) fn new(
        (staging, room): (&'a Path, Arc<MemoryRoom>),
        options: &'a IngestOptions,
        stored: &'a [(i64, i64)],
        files: impl Iterator<Item = (i64, u64)>,
        to_disk: Sender<ToDisk>,
    ) -> Self {
        let state = State {
            open: files.enumerate().map(|(number, (begin, bytes))| ((begin, number), bytes)).collect(),
            archives: Vec::new(),
            months: BTreeMap::new(),
            until: i64::MIN,
            is_trusted: true,
            rows: HashMap::new(),
        };
        let (memory, begun) = (GroupMemory::default(), BTreeMap::new());
        let hand = Hand { staging, to_disk, memory, begun, files: 0 };
        let (state, hand) = (Mutex::new(state), Mutex::new(hand));
        Self { staging, room, options, stored, state, hand, is_wrong: AtomicBool::new(false) }
    }

    /// Whether rows were written before which others have to stand: then all that was done is void.
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
        if times.0 <= state.until {
            self.is_wrong.store(true, Ordering::Relaxed);
        }
        if state.is_trusted {
            let (sha256, members, blocks) =
                (archive.digest.sha256.clone(), decoded.members.clone(), decoded.blocks.clone());
            for block in &blocks {
                let month = state.months.entry(block.month).or_default();
                month.rows += u64::from(block.rows);
                month.bytes += block.place.bytes() as u64;
            }
            state.archives.push(Arc::new(Done { sha256, members, blocks, times }));
        }
    }

    /// Writes the next row group of the earliest month that is not complete, if it is settled and no other thread is writing; whether it did. Where
    /// no file is left to be taken, only one that is written before those at work are done, most likely: what is left then is written by all
    /// threads together.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn write_next(&self, is_left: bool) -> Result<bool, IngestError> {
        let Ok(mut hand) = self.hand.try_lock() else {
            return Ok(false);
        };
        let Some(settled) = self.state().settled(self.stored, self.options.row_group_rows) else {
            return Ok(false);
        };
        let duplicates = Duplicates::none(settled.archives.len());
        let of = settled.archives.iter();
        let of = of.map(|done| (done.sha256.as_str(), done.members.as_slice(), done.blocks.as_slice()));
        let blocks = plan::blocks(of).filter(|planned| planned.block.month == settled.month).take(settled.blocks);
        let files = plan::plan(blocks, &duplicates, self.options.row_group_rows);
        let groups = files.iter().enumerate().flat_map(|(file, of)| of.groups.iter().map(move |group| (file, group)));
        let mut groups = groups.skip(settled.groups);
        let (group, behind) = (groups.next(), groups.next());
        // The last group may grow.
        let Some((file, group)) = group.filter(|_| settled.is_complete || behind.is_some()) else {
            return Ok(false);
        };
        let next = behind.and_then(|(_, behind)| behind.blocks.first()).map(|planned| planned.block.place);
        {
            let mut state = self.state();
            let is_soon = |file: &u64| group.bytes <= file.saturating_mul(WRITTEN_PER_DECODED);
            if !(is_left || state.open.values().any(is_soon)) {
                return Ok(false);
            }
            let last = group.blocks.iter().map(|planned| planned.block.times.1).max().unwrap_or_default();
            state.until = state.until.max(if next.is_none() { settled.month.bounds().1 - 1 } else { last });
        }
        self.write(&settled, &duplicates, (file, group), &mut hand)?;
        let mut state = self.state();
        state.months.entry(settled.month).or_default().next = next;
        if next.is_none() {
            state.end(settled.month);
            hand.end_file(settled.month, &mut state)?;
        }
        Ok(true)
    }

    /// Writes a row group to the file of its month that it belongs to, by its place in the month.
    fn write(
        &self,
        settled: &SettledRows,
        duplicates: &Duplicates,
        (file, group): (usize, &PlannedGroup<'_>),
        hand: &mut Hand<'_>,
    ) -> Result<(), IngestError> {
        let month = settled.month;
        let places = group.blocks.iter().map(|planned| planned.block.place);
        let reader = StagingReader::open_some(self.staging, Arc::clone(&self.room), places.clone())?;
        let source =
            RowSource { duplicates, reader: &reader, staging: self.staging, memory_bytes: self.options.memory_bytes };
        let written = RowsWritten::new(settled.archives.len());
        if hand.begun.get(&month).is_some_and(|begun| begun.file != file) {
            hand.end_file(month, &mut self.state())?;
        }
        let columns = write::encode_group(&source, group, &written, &mut hand.memory)?;
        hand.file(month, file)?.append_row_group(columns)?;
        reader.release(places.clone());
        let mut state = self.state();
        let of_month = state.months.entry(month).or_default();
        of_month.places.extend(places);
        of_month.groups += 1;
        of_month.rows = of_month.rows.saturating_sub(group.rows);
        of_month.bytes = of_month.bytes.saturating_sub(group.bytes);
        for (index, done) in settled.archives.iter().enumerate() {
            *state.rows.entry(done.sha256.clone()).or_default() += written.of(index);
        }
        Ok(())
    }

    /// What was written, when there is nothing left to decode.
    pub(crate) fn into_written(self) -> WrittenMonths {
        let State { months, rows, .. } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Hand { mut begun, .. } = self.hand.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The one who waits for the disk waits no longer for them.
        begun.values_mut().for_each(|begun| begun.writer.hand_out(|_| ()));
        WrittenMonths { months, begun, rows }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The settled rows of the earliest month that is not over, if they may make a row group. `stored` are spans of time of the store's files.
    fn settled(&mut self, stored: &[(i64, i64)], row_group_rows: u64) -> Option<SettledRows> {
        let (&(begin, _), _) = self.open.first_key_value()?;
        let until = begin.saturating_sub(MARGIN);
        if !self.is_trusted {
            return None;
        }
        loop {
            let (&month, state) = self.months.iter_mut().find(|(_, state)| !state.is_over)?;
            let is_past = month.bounds().1 <= until;
            // Looked at first: this is asked after each of very many archives.
            if !is_past && state.rows <= row_group_rows && state.bytes <= plan::ROW_GROUP_BYTES {
                return None;
            }
            let of_month = |done: &&Arc<Done>| done.blocks.iter().any(|block| block.month == month);
            let mut archives: Vec<Arc<Done>> = self.archives.iter().filter(of_month).cloned().collect();
            archives.sort_by(|one, other| one.order_key().cmp(&other.order_key()));
            let spans = Spans::of(self.archives.iter().map(|done| done.times), stored.iter().copied());
            let is_settled = |(done, block): &(&Arc<Done>, &StagedBlock)| {
                done.times.0 <= until && block.times.1 <= until && !spans.touch(block.times.0, block.times.1)
            };
            let count = blocks_of(month, &archives).take_while(is_settled).count();
            let is_complete = is_past && count == blocks_of(month, &archives).count();
            if is_past && !is_complete {
                // It may hold duplicates: they are told when all is decoded.
                self.end(month);
                continue;
            }
            return Some(SettledRows { month, blocks: count, groups: state.groups, is_complete, archives });
        }
    }

    /// Nothing more of a month is written early, and so no archive is needed that has no rows of later ones: it ends where no file that is left may
    /// begin.
    fn end(&mut self, month: Month) {
        self.months.entry(month).or_default().is_over = true;
        let Self { archives, months, .. } = self;
        let is_needed = |block: &StagedBlock| months.get(&block.month).is_some_and(|month| !month.is_over);
        archives.retain(|done| done.blocks.iter().any(is_needed));
    }
}

/// The blocks of a month, of archives in their final order.
fn blocks_of(month: Month, archives: &[Arc<Done>]) -> impl Iterator<Item = (&Arc<Done>, &StagedBlock)> {
    let blocks = archives.iter().flat_map(|done| done.blocks.iter().map(move |block| (done, block)));
    blocks.filter(move |(_, block)| block.month == month)
}

impl Hand<'_> {
    /// The file of a month that gets the next row group, by its place in the month.
    fn file(&mut self, month: Month, file: usize) -> Result<&mut EventsWriter, IngestError> {
        let begun = match self.begun.entry(month) {
            Entry::Occupied(begun) => begun.into_mut(),
            Entry::Vacant(place) => {
                let number = self.files;
                let path = self.staging.join(format!("early-{number:06}.parquet"));
                self.files += 1;
                let mut writer = EventsWriter::create(&path, month)?;
                let to_disk = self.to_disk.clone();
                writer.hand_out(move |handle| drop(to_disk.send(ToDisk::Begun(handle))));
                place.insert(Begun { number, file, writer: Box::new(writer) })
            }
        };
        Ok(&mut begun.writer)
    }

    /// Hands on the file of a month: it has all of its rows.
    fn end_file(&mut self, month: Month, state: &mut State) -> Result<(), IngestError> {
        if let Some(Begun { number, writer, .. }) = self.begun.remove(&month) {
            state.months.entry(month).or_default().files.push(number);
            // Where the one who waits for the disk is gone, his own error tells.
            self.to_disk.send(ToDisk::Whole(number, writer)).map_err(|_| write::ended_early(self.staging))?;
        }
        Ok(())
    }
}

/// Row groups that were written, as far as it is known.
pub(crate) struct WrittenMonths {
    months: BTreeMap<Month, MonthState>,
    begun: BTreeMap<Month, Begun>,
    /// Rows by SHA-256 of their archive.
    rows: HashMap<String, u64>,
}

impl WrittenMonths {
    /// Holds what was written against all that was decoded, given in its final order; `None` where it is not what has to be written. `stored` are
    /// spans of time of the store's files, `files` the ones that got to the disk.
    pub(crate) fn confirm(
        mut self,
        archives: &[Archive],
        decoded: &[Box<DecodedArchive>],
        stored: &[(i64, i64)],
        files: Numbered,
    ) -> Option<EarlyFiles> {
        self.months.retain(|_, month| month.groups > 0);
        let spans = Spans::of(decoded.iter().filter_map(|decoded| decoded.times), stored.iter().copied());
        let places = |state: &MonthState| state.places.clone().into_iter().chain(state.next);
        let mut rest: BTreeMap<Month, _> =
            self.months.iter().map(|(month, state)| (*month, (places(state), state.next.is_none()))).collect();
        for block in decoded.iter().flat_map(|decoded| &decoded.blocks) {
            let Some((places, is_over)) = rest.get_mut(&block.month) else {
                continue;
            };
            match places.next() {
                // Were rows of the one behind them duplicates, too, it might have had room in the last row group.
                Some(place) if place == block.place && !spans.touch(block.times.0, block.times.1) => {}
                None if !*is_over => {}
                _ => return None,
            }
        }
        if rest.into_values().any(|(mut places, _)| places.next().is_some()) {
            return None;
        }
        let written = RowsWritten::new(archives.len());
        for (index, archive) in archives.iter().enumerate() {
            written.add(index, self.rows.get(&archive.digest.sha256).copied().unwrap_or_default());
        }
        let mut files: BTreeMap<usize, StagedFile> = files.into_iter().collect();
        let mut places = Vec::new();
        let mut months = BTreeMap::new();
        for (month, state) in self.months {
            places.extend(state.places);
            let whole: Vec<StagedFile> = state.files.iter().filter_map(|number| files.remove(number)).collect();
            let begun = self.begun.remove(&month).map(|begun| begun.writer);
            months.insert(month, EarlyMonth { whole: whole.into_iter(), begun, groups: state.groups });
        }
        Some(EarlyFiles { months, places, written })
    }
}

/// The files of row groups that were written early.
pub(crate) struct EarlyFiles {
    months: BTreeMap<Month, EarlyMonth>,
    /// Where their rows were staged: given up already.
    places: Vec<Place>,
    /// Rows that each archive gave.
    pub(crate) written: RowsWritten,
}

/// What there is of a month.
struct EarlyMonth {
    /// Its first files.
    whole: std::vec::IntoIter<StagedFile>,
    /// The file behind them.
    begun: Option<Box<EventsWriter>>,
    /// Row groups that these have.
    groups: usize,
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

    /// Divides planned files into those that are there, and what is to be written of the others.
    pub(crate) fn take<'f>(&mut self, files: &'f [PlannedFile<'f>]) -> (Numbered, Vec<ToWrite<'f>>) {
        let (mut whole, mut rest) = (Vec::new(), Vec::new());
        for file in files {
            let Some(month) = self.months.get_mut(&file.month) else {
                rest.push(ToWrite { file, begun: None, groups: &file.groups });
                continue;
            };
            let there = month.groups.min(file.groups.len());
            month.groups -= there;
            match month.whole.next() {
                Some(staged) => whole.push((file.number, staged)),
                None => rest.push(ToWrite {
                    file,
                    begun: month.begun.take(),
                    groups: file.groups.get(there..).unwrap_or_default(),
                }),
            }
        }
        (whole, rest)
    }
}

#[cfg(test)]
mod tests;
