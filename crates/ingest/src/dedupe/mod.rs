//! The rule of duplicates: a record that several archives hold counts as often as it stands in the one that holds it most often.
//!
//! What the store holds already obeys the rule: so many rows of a record as some earlier archive had of it. With the archives in
//! their order, that gives a running rule: of the n occurrences of a record in an archive the first s are duplicates, where s is how
//! often the record is stored by then, and the rest is stored. Equal records inside one archive are therefore never duplicates of
//! each other.
//!
//! An archive that failed and is read again finds rows of its own in the store. Which of its equal records are the duplicates then is no
//! matter of order: the ones whose places are stored are, before any other, or a place would be stored twice and another never (`own`).
//!
//! Equal records have equal times, so only spans of time that two archives share, or an archive and a file of the store, are looked
//! at (`spans`): archives that do not overlap cost nothing here. Identities of records in those spans are computed from the staged
//! blocks, sorted on disk (`spill`) and walked through in the order of identity, archive and row, which is all that the running rule
//! asks for. The outcome (`bits`) does not depend on threads or memory. Files of the store that are looked at are hashed first, each once: a
//! changed byte would make a record that is stored look like a new one.

mod bits;
mod own;
mod spans;
mod spill;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use keytrail_model::places::MemberPlaces;
use keytrail_model::record::{Identifier, RecordColumns};
use keytrail_model::schema::ORDINAL;
use keytrail_store::{RowReader, Snapshot};
use rayon::prelude::*;

use crate::archive::DecodedArchive;
use crate::error::IngestError;
use crate::staging::{BlockView, StagedBlock, StagingReader};

pub(crate) use bits::Duplicates;
use own::OwnRows;
pub(crate) use spans::Spans;
use spill::{Entry, Filler, Spill};

/// Reads of the store in a run. Each opens files, so thousands of small spans are read together with what lies between them.
const STORE_READS_MAX: usize = 32;
/// Bytes that a thread takes to read a block and to hash its texts, next to its run of identities.
const BLOCK_BYTES: u64 = 16 << 20;
/// Least length of a sorted run, however little memory there is: else a long input would fall into millions of them.
const RUN_BYTES_MIN: u64 = 2 << 20;
/// Parts of the merge for each thread: several, so that none waits long for the last one.
const PARTS_PER_THREAD: usize = 4;

/// Finds the duplicates among the records of a run's archives.
///
/// `archives` stand in the order that decides which of two equal records is the duplicate; `retried` are those of which the store has
/// rows, by SHA-256. `seed` is drawn for this run. Takes about half of `memory_bytes`, and a bit for each record of those.
pub(crate) fn resolve(
    archives: &[Box<DecodedArchive>],
    retried: &HashMap<&str, usize>,
    snapshot: &Snapshot,
    reader: &StagingReader,
    staging: &Path,
    seed: u64,
    memory_bytes: u64,
) -> Result<Duplicates, IngestError> {
    let memory = Memory::share(memory_bytes, rayon::current_num_threads());
    let stored = RowReader::new(snapshot);
    let own = OwnRows::find(archives, retried, &stored)?;
    resolve_within(&memory, archives, &own, &stored, reader, staging, seed)
}

fn resolve_within(
    memory: &Memory,
    archives: &[Box<DecodedArchive>],
    own: &OwnRows,
    stored: &RowReader<'_>,
    reader: &StagingReader,
    staging: &Path,
    seed: u64,
) -> Result<Duplicates, IngestError> {
    let files = stored.snapshot().files().iter().map(|file| (file.min_time, file.max_time));
    let spans = Spans::of(archives.iter().filter_map(|archive| archive.times), files);
    let mut duplicates = Duplicates::none(archives.len());
    let owners = Owners::find(archives, own, &spans);
    if owners.archives.is_empty() {
        return Ok(duplicates);
    }
    for numbered in &owners.archives {
        duplicates.prepare(numbered.index, numbered.rows);
    }
    let spill = Spill::create(staging.join("identities"), memory.threads * PARTS_PER_THREAD)?;
    let search = Search { stored, reader, spans: &spans, identifier: Identifier::with_seed(seed), spill: &spill };
    search.run(&tasks(archives, &owners, &spans), memory)?;
    let parts = AtomicUsize::new(0);
    on_threads(memory.threads, || {
        loop {
            let part = parts.fetch_add(1, Ordering::Relaxed);
            if part >= spill.parts() {
                return Ok(());
            }
            let mut group = Group::new(&owners, &duplicates);
            spill.merge(part, memory.bytes, |entry| group.take(entry))?;
        }
    })?;
    Ok(duplicates)
}

/// How the memory of the check is shared out.
struct Memory {
    threads: usize,
    /// For the identities of one thread.
    bytes: usize,
}

impl Memory {
    /// Half of the memory in all; where it is scarce, fewer threads take part.
    fn share(memory_bytes: u64, threads: usize) -> Self {
        let half = memory_bytes / 2;
        let affordable = usize::try_from(half / (2 * BLOCK_BYTES)).unwrap_or(usize::MAX);
        let threads = threads.min(affordable).max(1);
        let bytes = (half / threads as u64).saturating_sub(BLOCK_BYTES).max(RUN_BYTES_MIN);
        Self { threads, bytes: usize::try_from(bytes).unwrap_or(usize::MAX) }
    }
}

/// Runs `work` on so many threads of the pool; the first error counts.
fn on_threads(threads: usize, work: impl Fn() -> Result<(), IngestError> + Sync) -> Result<(), IngestError> {
    (0..threads).into_par_iter().with_max_len(1).try_for_each(|_| work())
}

/// Numbers the rows of the archives that are looked at, in the order in which they are duplicates: by archive, then those that the store
/// has, then by row. 0 is nobody's: it stands for the store.
struct Owners<'a> {
    archives: Vec<Numbered<'a>>,
}

/// The numbers of an archive: from `first` on one for each row, and as many again for rows that the store does not have.
struct Numbered<'a> {
    first: u64,
    /// Index of the archive.
    index: usize,
    rows: u64,
    /// Its rows in the store.
    own: Option<&'a MemberPlaces>,
}

impl<'a> Owners<'a> {
    fn find(archives: &[Box<DecodedArchive>], own: &'a OwnRows, spans: &Spans) -> Self {
        let mut next = 1;
        let mut found = Vec::new();
        for (index, archive) in archives.iter().enumerate() {
            if archive.blocks.iter().any(|block| spans.touch(block.times.0, block.times.1)) {
                let rows = archive.accepted;
                found.push(Numbered { first: next, index, rows, own: own.of(index) });
                next += 2 * rows;
            }
        }
        Self { archives: found }
    }

    /// Archive and row of an owner, and whether the store has it.
    fn of(&self, owner: u64) -> Option<(usize, u64, bool)> {
        let after = self.archives.partition_point(|numbered| numbered.first <= owner);
        let numbered = self.archives.get(after.checked_sub(1)?)?;
        let number = owner - numbered.first;
        Some((numbered.index, number.checked_rem(numbered.rows)?, number < numbered.rows))
    }
}

impl Numbered<'_> {
    fn owner(&self, row: u64, is_stored: bool) -> u64 {
        self.first + row + if is_stored { 0 } else { self.rows }
    }
}

/// Something whose identities are wanted.
enum Task<'a> {
    /// Rows of the store, by their time.
    Stored { from: i64, to: i64 },
    /// A block of an archive, with the name of its member.
    Block(&'a StagedBlock, &'a Numbered<'a>, &'a str),
}

fn tasks<'a>(archives: &'a [Box<DecodedArchive>], owners: &'a Owners<'a>, spans: &Spans) -> Vec<Task<'a>> {
    let first = archives.iter().filter_map(|archive| archive.times).map(|(first, _)| first).min().unwrap_or(i64::MAX);
    let last = archives.iter().filter_map(|archive| archive.times).map(|(_, last)| last).max().unwrap_or(i64::MIN);
    let stored = spans.coarse(STORE_READS_MAX).into_iter();
    let mut tasks: Vec<Task<'a>> =
        stored.map(|(from, to)| Task::Stored { from: from.max(first), to: to.min(last) }).collect();
    for (numbered, archive) in owners.archives.iter().filter_map(|of| Some((of, archives.get(of.index)?))) {
        let touched = archive.blocks.iter().filter(|block| spans.touch(block.times.0, block.times.1));
        tasks.extend(touched.map(|block| Task::Block(block, numbered, archive.member(block.member))));
    }
    tasks
}

/// Computes identities and spills them.
struct Search<'a> {
    stored: &'a RowReader<'a>,
    reader: &'a StagingReader,
    spans: &'a Spans,
    identifier: Identifier,
    spill: &'a Spill,
}

impl Search<'_> {
    fn run(&self, tasks: &[Task<'_>], memory: &Memory) -> Result<(), IngestError> {
        let next = AtomicUsize::new(0);
        on_threads(memory.threads, || {
            let mut filler = Filler::new(self.spill, memory.bytes);
            let mut bytes = Vec::new();
            while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                match *task {
                    Task::Stored { from, to } => self.stored(from, to, &mut filler)?,
                    Task::Block(block, of, member) => self.block(block, of, member, &mut bytes, &mut filler)?,
                }
            }
            filler.finish()
        })
    }

    fn stored(&self, from: i64, to: i64, filler: &mut Filler<'_>) -> Result<(), IngestError> {
        let mut each = |batch: &RecordBatch| self.identities(batch, false, |_| 0, filler);
        self.stored.read(from, to, &mut each)
    }

    fn block(
        &self,
        block: &StagedBlock,
        of: &Numbered<'_>,
        member: &str,
        bytes: &mut Vec<u8>,
        filler: &mut Filler<'_>,
    ) -> Result<(), IngestError> {
        bytes.resize(block.place.bytes(), 0);
        self.reader.read(block.place, bytes)?;
        let view = BlockView::new(Bytes::from(std::mem::take(bytes)))?;
        let batch = view.batch()?;
        *bytes = view.into_bytes();
        let covered = self.spans.cover(block.times.0, block.times.1);
        let own = of.own.and_then(|own| Some((own.of(member)?, ordinals(&batch)?)));
        let is_stored =
            |row: usize| own.is_some_and(|(own, at)| at.get(row).is_some_and(|&ordinal| own.has_ordinal(ordinal)));
        self.identities(&batch, covered, |row| of.owner(block.first_row + row as u64, is_stored(row)), filler)
    }

    /// Spills the identities of a batch: of all its rows, or of those whose time lies in a span.
    fn identities(
        &self,
        batch: &RecordBatch,
        all: bool,
        owner: impl Fn(usize) -> u64,
        filler: &mut Filler<'_>,
    ) -> Result<(), IngestError> {
        let mut spilled = Ok(());
        let columns = RecordColumns::of(batch)?;
        self.identifier.identities(
            &columns,
            |time| all || self.spans.contain(time),
            |row, identity| {
                if spilled.is_ok() {
                    spilled = filler.push(Entry::new(identity, owner(row)));
                }
            },
        );
        spilled
    }
}

fn ordinals(batch: &RecordBatch) -> Option<&[i64]> {
    batch.column_by_name(ORDINAL)?.as_primitive_opt::<Int64Type>().map(|ordinals| ordinals.values().as_ref())
}

/// Equal records, as they come in order.
struct Group<'a> {
    owners: &'a Owners<'a>,
    duplicates: &'a Duplicates,
    identity: Option<(u64, u64)>,
    tally: Tally,
    /// The first record of the group while it is the only one: most have no equal, and nothing need be known of them.
    single: Option<u64>,
}

impl<'a> Group<'a> {
    fn new(owners: &'a Owners<'a>, duplicates: &'a Duplicates) -> Self {
        Self { owners, duplicates, identity: None, tally: Tally::default(), single: None }
    }

    fn take(&mut self, entry: Entry) {
        if self.identity != Some(entry.identity()) {
            self.identity = Some(entry.identity());
            self.tally = Tally::default();
            self.single = Some(entry.owner);
            return;
        }
        if let Some(first) = self.single.take() {
            self.settle(first);
        }
        self.settle(entry.owner);
    }

    fn settle(&mut self, owner: u64) {
        match self.owners.of(owner) {
            None => self.tally.stored += 1,
            Some((archive, row, is_own)) => {
                if self.tally.show(archive) {
                    self.duplicates.mark(archive, row, is_own);
                }
            }
        }
    }
}

/// How often a record is stored, and how often the archive at hand has shown it.
#[derive(Default)]
struct Tally {
    stored: u64,
    shown: u64,
    archive: Option<usize>,
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

#[cfg(test)]
mod tests;
