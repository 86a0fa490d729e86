//! Appends blocks to the staging files of one worker.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use keytrail_decode::Rows;
use keytrail_model::record::RecordColumns;
use keytrail_model::time::Month;
use keytrail_store::failpoint::{Point, reach};

use super::block::BlockEncoder;
use super::memory::{MEMORY, MemoryRoom};
use super::{Place, StagedBlock, StagedEnd, WORKER_FILES, file_number, file_path};
use crate::error::IngestError;

/// The staging files of one worker, and what it staged in memory. They belong to one thread at a time.
pub(crate) struct StagingWriter {
    files: Files,
    memory: Memory,
    encoder: BlockEncoder,
    scratch: Vec<u8>,
}

/// Files as they are needed.
struct Files {
    folder: PathBuf,
    worker: u32,
    /// For rejects, then for months.
    files: [Option<StagingFile>; WORKER_FILES],
    /// Files for months at most.
    month_files: u32,
}

struct StagingFile {
    number: u32,
    file: File,
    path: PathBuf,
    /// Length of the file.
    bytes: u64,
}

/// Where a worker stages first.
struct Memory {
    room: Arc<MemoryRoom>,
    /// Numbers of its blocks there.
    blocks: Vec<u64>,
}

/// The file for rejects.
const REJECTS: usize = 0;

impl StagingWriter {
    /// Makes the first file of a worker. Workers are numbered from 0, without gaps. Further files are made for months, up to `month_files` or
    /// 12: where there are fewer, months share them. Records go to memory first, as long as there is room.
    ///
    /// # Errors
    /// The file is there already, or cannot be made.
    pub(crate) fn create(
        folder: &Path,
        worker: u32,
        month_files: usize,
        room: Arc<MemoryRoom>,
    ) -> Result<Self, IngestError> {
        let month_files = month_files.clamp(1, WORKER_FILES - 1) as u32;
        let mut files = Files { folder: folder.to_owned(), worker, files: Default::default(), month_files };
        files.file(REJECTS)?;
        let memory = Memory { room, blocks: Vec::new() };
        Ok(Self { files, memory, encoder: BlockEncoder::new()?, scratch: Vec::new() })
    }

    /// Where the next blocks will lie.
    pub(crate) fn end(&self) -> StagedEnd {
        let files = self.files.files.each_ref().map(|file| file.as_ref().map_or(0, |file| file.bytes));
        StagedEnd { files, in_memory: self.memory.blocks.len() }
    }

    /// Takes back what was staged from `end` on: a damaged member gives nothing, and must not fill the disk either.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn take_back(&mut self, end: StagedEnd) -> Result<(), IngestError> {
        let Memory { room, blocks } = &mut self.memory;
        blocks.drain(end.in_memory.min(blocks.len())..).for_each(|number| room.give_back(number));
        let files = self.files.files.iter_mut().zip(end.files);
        files.filter_map(|(file, end)| Some((file.as_mut()?, end))).try_for_each(|(file, end)| file.shorten(end))
    }

    /// Stages a batch of any columns: rejects.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<Place, IngestError> {
        self.scratch.clear();
        let mut writer = StreamWriter::try_new(&mut self.scratch, &batch.schema())?;
        writer.write(batch)?;
        writer.finish()?;
        drop(writer);
        self.files.file(REJECTS)?.put(&self.scratch)
    }

    /// Stages records of a member: a block for each month, in the order in which the months first occur. `first_row` is the position of
    /// the first row among all rows of the archive.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn append_rows(
        &mut self,
        rows: Rows<'_>,
        member: u32,
        first_row: u64,
        blocks: &mut Vec<StagedBlock>,
    ) -> Result<(), IngestError> {
        match one_month(rows.times())? {
            Some((month, times)) => {
                let count = rows.times().len();
                let place = stage(&mut self.files, &mut self.memory, month, self.encoder.encode_rows(&rows)?)?;
                blocks.push(block_of(place, count, (month, times), (member, first_row)));
                Ok(())
            }
            None => self.append_records(&rows.into_batch()?, member, first_row, blocks),
        }
    }

    /// As [`Self::append_rows`], for records in the columns of [`keytrail_model::schema::decoded_schema`].
    pub(crate) fn append_records(
        &mut self,
        batch: &RecordBatch,
        member: u32,
        first_row: u64,
        blocks: &mut Vec<StagedBlock>,
    ) -> Result<(), IngestError> {
        let times = RecordColumns::of(batch)?.times();
        let mut next_row = first_row;
        for (month, rows) in rows_by_month(times)? {
            let some = if rows.len() < times.len() { Some(rows.as_slice()) } else { None };
            let span = rows.iter().filter_map(|&row| times.get(row as usize).copied());
            let span = span.clone().min().zip(span.max()).unwrap_or_default();
            let place = stage(&mut self.files, &mut self.memory, month, self.encoder.encode(batch, some)?)?;
            blocks.push(block_of(place, rows.len(), (month, span), (member, next_row)));
            next_row += rows.len() as u64;
        }
        Ok(())
    }
}

/// Stages a block of a month: in memory where there is room, else in a file.
fn stage(files: &mut Files, memory: &mut Memory, month: Month, block: &mut Vec<u8>) -> Result<Place, IngestError> {
    let bytes = block_bytes(block)?;
    let Some(number) = memory.room.put(block) else {
        return files.of_month(month)?.put(block);
    };
    memory.blocks.push(number);
    let place = Place { file: MEMORY, bytes, offset: number };
    at_fail_points(|| Ok(())).map_err(IngestError::io("staging in", &files.folder))?;
    Ok(place)
}

/// Stages a block, with the fail points before and behind it.
fn at_fail_points(stage: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    reach(Point::BlockWriting).and_then(|()| stage()).and_then(|()| reach(Point::BlockWritten))
}

fn block_bytes(bytes: &[u8]) -> Result<u32, IngestError> {
    u32::try_from(bytes.len()).map_err(|_| IngestError::StagedBlock {
        expected: "a block below 4 GiB".into(),
        found: format!("{} bytes", bytes.len()),
    })
}

impl Files {
    fn of_month(&mut self, month: Month) -> Result<&mut StagingFile, IngestError> {
        self.file(REJECTS + 1 + (month.number() % self.month_files) as usize)
    }

    fn file(&mut self, file: usize) -> Result<&mut StagingFile, IngestError> {
        let number = file_number(self.worker, file);
        let path = file_path(&self.folder, number);
        match self.files.get_mut(file) {
            Some(Some(file)) => Ok(file),
            Some(place) => Ok(place.insert(StagingFile::create(path, number)?)),
            None => Err(IngestError::StagedBlock {
                expected: format!("one of {WORKER_FILES} files"),
                found: format!("number {file}"),
            }),
        }
    }
}

impl StagingFile {
    fn create(path: PathBuf, number: u32) -> Result<Self, IngestError> {
        let file = File::create_new(&path).and_then(|file| reach(Point::StagingFileMade).map(|()| file));
        let file = file.map_err(IngestError::io("creating", &path))?;
        Ok(Self { number, file, path, bytes: 0 })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<Place, IngestError> {
        let length = block_bytes(bytes)?;
        at_fail_points(|| self.file.write_all(bytes)).map_err(IngestError::io("writing", &self.path))?;
        let offset = self.bytes;
        self.bytes += u64::from(length);
        Ok(Place { file: self.number, bytes: length, offset })
    }

    fn shorten(&mut self, end: u64) -> Result<(), IngestError> {
        if end < self.bytes {
            self.file.set_len(end).map_err(IngestError::io("shortening", &self.path))?;
            self.file.seek(SeekFrom::Start(end)).map_err(IngestError::io("shortening", &self.path))?;
            self.bytes = end;
        }
        Ok(())
    }
}

fn block_of(
    place: Place,
    rows: usize,
    (month, times): (Month, (i64, i64)),
    (member, first_row): (u32, u64),
) -> StagedBlock {
    // A batch has no more rows than this number holds.
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    StagedBlock { place, first_row, times, rows, member, month }
}

/// The month of all times, with the earliest and the latest; `None` where there is not exactly one.
fn one_month(times: &[i64]) -> Result<Option<(Month, (i64, i64))>, IngestError> {
    let Some((first, last)) = times.iter().copied().min().zip(times.iter().copied().max()) else {
        return Ok(None);
    };
    let month = month_of(first)?;
    Ok((last < month.bounds().1).then_some((month, (first, last))))
}

fn month_of(time: i64) -> Result<Month, IngestError> {
    Month::of(time).ok_or_else(|| IngestError::StagedBlock {
        expected: "a time in the years 1 to 9999".into(),
        found: format!("{time} microseconds since 1970"),
    })
}

/// Rows of each month, in the order in which the months first occur; rows keep their order.
fn rows_by_month(times: &[i64]) -> Result<Vec<(Month, Vec<u32>)>, IngestError> {
    let mut months: Vec<(Month, Vec<u32>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    // Records come nearly in order of time: the month of the last one is the first guess.
    let mut current: Option<((i64, i64), usize)> = None;
    for (row, &time) in (0..).zip(times) {
        let place = match current {
            Some(((from, until), place)) if (from..until).contains(&time) => place,
            _ => {
                let month = month_of(time)?;
                let place = *places.entry(month).or_insert(months.len());
                if place == months.len() {
                    months.push((month, Vec::new()));
                }
                current = Some((month.bounds(), place));
                place
            }
        };
        if let Some((_, rows)) = months.get_mut(place) {
            rows.push(row);
        }
    }
    Ok(months)
}
