//! Writing the planned files from the staging area, and counting what each archive gave to them.
//!
//! What was written [early](crate::early) is taken as it is. Of the other files long ones are written one after the other: the columns of a
//! row group are encoded side by side (`group`) while the row group before it is appended, and full files get to the disk while the next one is
//! written; so memory holds a few row groups whatever the number of threads, and one where there is little memory. Short files, of which there
//! may be thousands, are written side by side instead, each by one thread.

mod group;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use keytrail_model::ledger::LedgerRow;
use keytrail_store::{EncodedColumn, EventsWriter, FileHandle, RejectsWriter, Snapshot, StagedFile, StagedRejects};

use crate::dedupe::Duplicates;
use crate::early::EarlyFiles;
use crate::error::IngestError;
use crate::plan::{PlannedFile, PlannedGroup};
use crate::staging::{Place, StagingReader};
use group::GroupEncoder;

pub(crate) use group::GroupMemory;

/// Rows and staged bytes of a short file at most.
const SHORT_ROWS: u64 = 64 << 10;
const SHORT_BYTES: u64 = 4 << 20;
/// Short files written at once: enough to keep the disk busy, few enough for memory.
const SHORT_AT_ONCE: usize = 16;
/// The same for each thread that the run may use.
const SHORT_PER_THREAD: usize = 8;
/// Row groups and files that may wait for the disk while the next ones are written.
const LONG_WAITING: usize = 4;
/// Memory of a run below which a row group is in its file before the next one is encoded. One takes up to some 70 MB, usual ones of a million rows 45.
pub(crate) const LITTLE_MEMORY: u64 = 256 << 20;

/// What the files of a run are made from.
pub(crate) struct RowSource<'a> {
    pub(crate) duplicates: &'a Duplicates,
    pub(crate) reader: &'a StagingReader,
    pub(crate) staging: &'a Path,
    /// Memory of the run, in bytes.
    pub(crate) memory_bytes: u64,
}

impl RowSource<'_> {
    fn has_little_memory(&self) -> bool {
        self.memory_bytes < LITTLE_MEMORY
    }
}

/// Rows that each archive gave, counted as they were written.
pub(crate) struct RowsWritten(Vec<AtomicU64>);

impl RowsWritten {
    pub(crate) fn new(archives: usize) -> Self {
        Self((0..archives).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn of(&self, archive: usize) -> u64 {
        self.0.get(archive).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn add(&self, archive: usize, rows: u64) {
        if let Some(count) = self.0.get(archive) {
            count.fetch_add(rows, Ordering::Relaxed);
        }
    }
}

/// Writes the planned files of a run, but for what is written already; the result is in the order of the plan. `beside` works
/// at the same time, on a thread of its own. When it is done and all rows are encoded, what is staged is given up, while the last rows get to
/// the disk.
///
/// # Errors
/// The disk refuses, or what is staged cannot be read again.
pub(crate) fn write_events<T: Send>(
    source: &RowSource<'_>,
    files: &[PlannedFile<'_>],
    mut early: EarlyFiles,
    beside: impl FnOnce() -> Result<T, IngestError> + Send,
) -> Result<(Vec<StagedFile>, RowsWritten, T), IngestError> {
    let (mut staged, rest) = early.take(files);
    let written = early.written;
    let (short, long): (Vec<_>, Vec<_>) = rest.into_iter().partition(ToWrite::is_short);
    std::thread::scope(|scope| {
        let beside = start(scope, source.staging, "books", beside)?;
        staged.extend(write_short(source, short, &written)?);
        let when_encoded = || {
            let done = joined(source.staging, beside)?;
            source.reader.discard();
            Ok(done)
        };
        let (long, done) = if source.has_little_memory() {
            (write_in_turn(source, long, &written)?, when_encoded()?)
        } else {
            write_long(source, long, &written, when_encoded)?
        };
        staged.extend(long);
        staged.sort_unstable_by_key(|(number, _)| *number);
        Ok((staged.into_iter().map(|(_, file)| file).collect(), written, done))
    })
}

/// A planned file that is not whole yet.
pub(crate) struct ToWrite<'a> {
    pub(crate) file: &'a PlannedFile<'a>,
    /// Where some of it is written.
    pub(crate) begun: Option<Box<EventsWriter>>,
    /// Row groups that are not.
    pub(crate) groups: &'a [PlannedGroup<'a>],
}

impl ToWrite<'_> {
    /// Short files are written by one thread each.
    fn is_short(&self) -> bool {
        let rows: u64 = self.groups.iter().map(|group| group.rows).sum();
        let bytes: u64 = self.groups.iter().map(|group| group.bytes).sum();
        self.begun.is_none() && rows <= SHORT_ROWS && bytes <= SHORT_BYTES
    }

    /// Where it is written to, from now on; with its number.
    fn open(self, source: &RowSource<'_>) -> Result<(usize, Box<EventsWriter>), IngestError> {
        let number = self.file.number;
        let writer = match self.begun {
            Some(begun) => begun,
            None => {
                let path = source.staging.join(format!("{number:06}.parquet"));
                Box::new(EventsWriter::create(&path, self.file.month)?)
            }
        };
        Ok((number, writer))
    }
}

/// Encodes a row group on this thread.
///
/// # Errors
/// As [`write_events`].
pub(crate) fn encode_group(
    source: &RowSource<'_>,
    group: &PlannedGroup<'_>,
    written: &RowsWritten,
    memory: &mut GroupMemory,
) -> Result<Vec<EncodedColumn>, IngestError> {
    let mut encoder = GroupEncoder::within(source, written, 1, std::mem::take(memory));
    let columns = encoder.encode(group)?;
    *memory = encoder.into_memory();
    Ok(columns)
}

/// Files with their numbers.
pub(crate) type Numbered = Vec<(usize, StagedFile)>;

fn write_short(
    source: &RowSource<'_>,
    files: Vec<ToWrite<'_>>,
    written: &RowsWritten,
) -> Result<Numbered, IngestError> {
    // More threads than cores: they wait for the disk most of the time, which serves many as fast as one.
    let per_thread = if source.has_little_memory() { 1 } else { SHORT_PER_THREAD };
    let threads = (rayon::current_num_threads() * per_thread).min(SHORT_AT_ONCE).min(files.len());
    let files = Mutex::new(files.into_iter());
    std::thread::scope(|scope| {
        let work = || write_next_short(source, &files, written);
        let started: Vec<_> =
            (0..threads).map(|_| start(scope, source.staging, "short files", work)).collect::<Result<_, _>>()?;
        let staged: Vec<Numbered> =
            started.into_iter().map(|thread| joined(source.staging, thread)).collect::<Result<_, _>>()?;
        Ok(staged.into_iter().flatten().collect())
    })
}

/// Writes one file after the other, as long as there are any that no thread has taken.
fn write_next_short(
    source: &RowSource<'_>,
    files: &Mutex<std::vec::IntoIter<ToWrite<'_>>>,
    written: &RowsWritten,
) -> Result<Numbered, IngestError> {
    let mut staged = Vec::new();
    let mut encoder = GroupEncoder::new(source, written, 1);
    let next = || files.lock().unwrap_or_else(PoisonError::into_inner).next();
    while let Some(file) = next() {
        staged.push(write_whole(source, file, &mut encoder)?);
    }
    Ok(staged)
}

/// Writes a file, with no more than a row group in memory.
fn write_whole(
    source: &RowSource<'_>,
    file: ToWrite<'_>,
    encoder: &mut GroupEncoder<'_>,
) -> Result<(usize, StagedFile), IngestError> {
    let groups = file.groups;
    let (number, mut writer) = file.open(source)?;
    for group in groups {
        writer.append_row_group(encoder.encode(group)?)?;
    }
    Ok((number, writer.finish()?))
}

/// Writes long files with as little memory as there may be.
fn write_in_turn(
    source: &RowSource<'_>,
    files: Vec<ToWrite<'_>>,
    written: &RowsWritten,
) -> Result<Numbered, IngestError> {
    let mut encoder = GroupEncoder::new(source, written, rayon::current_num_threads());
    files.into_iter().map(|file| write_whole(source, file, &mut encoder)).collect()
}

/// Starts a thread that writes to the staging folder.
pub(crate) fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    staging: &Path,
    name: &str,
    work: impl FnOnce() -> Result<T, IngestError> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<T, IngestError>>, IngestError> {
    let started = std::thread::Builder::new().name(name.into()).spawn_scoped(scope, work);
    started.map_err(IngestError::io("starting a thread to write", staging))
}

/// Waits for the end of such a thread.
pub(crate) fn joined<T>(
    staging: &Path,
    thread: ScopedJoinHandle<'_, Result<T, IngestError>>,
) -> Result<T, IngestError> {
    thread.join().unwrap_or_else(|_| Err(ended_early(staging)))
}

pub(crate) fn ended_early(staging: &Path) -> IngestError {
    IngestError::io("writing", staging)(std::io::Error::other("a thread ended early"))
}

fn write_long<T>(
    source: &RowSource<'_>,
    files: Vec<ToWrite<'_>>,
    written: &RowsWritten,
    when_encoded: impl FnOnce() -> Result<T, IngestError>,
) -> Result<(Numbered, T), IngestError> {
    if files.is_empty() {
        return Ok((Vec::new(), when_encoded()?));
    }
    let planned: Vec<&PlannedGroup<'_>> = files.iter().flat_map(|file| file.groups).collect();
    // Without room in between: one row group is encoded, one is appended.
    let (groups, encoded) = sync_channel(0);
    let (to_disk, written_out) = sync_channel(LONG_WAITING);
    std::thread::scope(|scope| {
        // Threads of their own and none of the pool: while they wait for the disk, all of the pool encodes.
        let append = move || append_long(source, files, &encoded, &to_disk);
        let appender = start(scope, source.staging, "append", append)?;
        let finisher = start(scope, source.staging, "finish", move || finish_files(&written_out))?;
        let encoded = encode_long(source, &planned, written, &groups);
        drop(groups);
        let done = if encoded? { Some(when_encoded()?) } else { None };
        let appended = joined(source.staging, appender);
        let finished = joined(source.staging, finisher);
        // Where several failed, those before were told that the last had.
        let files = finished.and_then(|files| appended.map(|()| files))?;
        done.map(|done| (files, done)).ok_or_else(|| ended_early(source.staging))
    })
}

/// Encodes all row groups; whether all were taken.
fn encode_long(
    source: &RowSource<'_>,
    groups: &[&PlannedGroup<'_>],
    written: &RowsWritten,
    sender: &SyncSender<Vec<EncodedColumn>>,
) -> Result<bool, IngestError> {
    let mut encoder = GroupEncoder::new(source, written, rayon::current_num_threads());
    for group in groups {
        if sender.send(encoder.encode(group)?).is_err() {
            // The appender is gone and has its own error.
            return Ok(false);
        }
    }
    Ok(true)
}

/// Appends row groups as they come: those of the first file, then those of the next. Hands on each file that has all of its own.
fn append_long(
    source: &RowSource<'_>,
    files: Vec<ToWrite<'_>>,
    groups: &Receiver<Vec<EncodedColumn>>,
    to_disk: &SyncSender<ToDisk>,
) -> Result<(), IngestError> {
    for file in files {
        let planned = file.groups;
        let (number, mut writer) = file.open(source)?;
        let begun = to_disk.clone();
        // Where the finisher has enough to do, or is gone and has its own error, the end of the file tells.
        writer.hand_out(move |handle| drop(begun.try_send(ToDisk::Begun(handle))));
        for _ in planned {
            let Ok(columns) = groups.recv() else {
                // The encoder is gone and has its own error.
                return Ok(());
            };
            writer.append_row_group(columns)?;
        }
        if to_disk.send(ToDisk::Whole(number, writer)).is_err() {
            // The finisher is gone and has its own error.
            break;
        }
    }
    Ok(())
}

/// A file that shall get to the disk.
pub(crate) enum ToDisk {
    /// As far as it is written: little is left to wait for when it ends.
    Begun(FileHandle),
    /// All of it, with its number.
    Whole(usize, Box<EventsWriter>),
}

/// Waits until files are on the disk, and ends them, while more is written.
pub(crate) fn finish_files(to_disk: &Receiver<ToDisk>) -> Result<Numbered, IngestError> {
    let mut finished = Vec::new();
    for file in to_disk {
        match file {
            ToDisk::Begun(handle) => handle.sync()?,
            ToDisk::Whole(number, writer) => finished.push((number, writer.finish()?)),
        }
    }
    Ok(finished)
}

/// Writes the rejects of a run from where they are staged, given in their final order; before them those of archives known before whose
/// rows the run writes again, given as their rows in `snapshot`.
///
/// # Errors
/// As [`write_events`].
pub(crate) fn write_rejects(
    source: &RowSource<'_>,
    places: impl Iterator<Item = Place>,
    (snapshot, late): (&Snapshot, &[LedgerRow]),
) -> Result<StagedRejects, IngestError> {
    let mut writer = RejectsWriter::create(&source.staging.join("rejects.parquet"))?;
    snapshot.rejects_of(late, &mut |batch| writer.write(batch))?;
    for place in places {
        writer.write(&source.reader.batch(place)?)?;
    }
    Ok(writer.finish()?)
}
