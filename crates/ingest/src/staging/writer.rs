//! Appends blocks to the staging file of one worker.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use keytrail_decode::Rows;
use keytrail_model::record::RecordColumns;
use keytrail_model::time::Month;
use keytrail_store::failpoint::{Point, reach};

use super::block::BlockEncoder;
use super::{Place, StagedBlock, file_path};
use crate::error::IngestError;

/// The staging file of one worker. It belongs to one thread at a time.
pub(crate) struct StagingWriter {
    number: u32,
    file: File,
    path: PathBuf,
    /// Length of the file.
    bytes: u64,
    encoder: BlockEncoder,
    scratch: Vec<u8>,
}

impl StagingWriter {
    /// Makes the file of worker `number`. Workers are numbered from 0, without gaps.
    ///
    /// # Errors
    /// The file is there already, or cannot be made.
    pub(crate) fn create(folder: &Path, number: u32) -> Result<Self, IngestError> {
        let path = file_path(folder, number);
        let file = File::create_new(&path).and_then(|file| reach(Point::StagingFileMade).map(|()| file));
        let file = file.map_err(IngestError::io("creating", &path))?;
        Ok(Self { number, file, path, bytes: 0, encoder: BlockEncoder::new()?, scratch: Vec::new() })
    }

    /// Where the next block will lie.
    pub(crate) fn end(&self) -> u64 {
        self.bytes
    }

    /// Takes back what was staged from `end` on: a damaged member gives nothing, and must not fill the disk either.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn take_back(&mut self, end: u64) -> Result<(), IngestError> {
        if end < self.bytes {
            self.file.set_len(end).map_err(IngestError::io("shortening", &self.path))?;
            self.file.seek(SeekFrom::Start(end)).map_err(IngestError::io("shortening", &self.path))?;
            self.bytes = end;
        }
        Ok(())
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
        put(&mut self.file, &self.path, self.number, &mut self.bytes, &self.scratch)
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
                let place =
                    put(&mut self.file, &self.path, self.number, &mut self.bytes, self.encoder.encode_rows(&rows)?)?;
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
            let bytes = self.encoder.encode(batch, some)?;
            let place = put(&mut self.file, &self.path, self.number, &mut self.bytes, bytes)?;
            blocks.push(block_of(place, rows.len(), (month, span), (member, next_row)));
            next_row += rows.len() as u64;
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

fn put(file: &mut File, path: &Path, number: u32, end: &mut u64, bytes: &[u8]) -> Result<Place, IngestError> {
    let length = u32::try_from(bytes.len()).map_err(|_| IngestError::StagedBlock {
        expected: "a block below 4 GiB".into(),
        found: format!("{} bytes", bytes.len()),
    })?;
    let written = reach(Point::BlockWriting).and_then(|()| file.write_all(bytes));
    written.and_then(|()| reach(Point::BlockWritten)).map_err(IngestError::io("writing", path))?;
    let offset = *end;
    *end += u64::from(length);
    Ok(Place { file: number, bytes: length, offset })
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
