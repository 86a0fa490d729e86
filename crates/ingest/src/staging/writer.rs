//! Appends blocks to the staging file of one worker.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
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

    /// Stages records of a member, in the columns of [`keytrail_model::schema::decoded_schema`]: a block for each month, in the order in
    /// which the months first occur. `first_row` is the position of the first row among all rows of the archive.
    ///
    /// # Errors
    /// The disk refuses, or the columns are others.
    pub(crate) fn append_records(
        &mut self,
        batch: &RecordBatch,
        member: u32,
        first_row: u64,
        blocks: &mut Vec<StagedBlock>,
    ) -> Result<(), IngestError> {
        let times = RecordColumns::of(batch)?.times();
        let Some((first, last)) = times.iter().copied().min().zip(times.iter().copied().max()) else {
            return Ok(());
        };
        let mut next_row = first_row;
        let mut append = |month, span, rows: Option<&[u32]>| -> Result<(), IngestError> {
            let bytes = self.encoder.encode(batch, rows)?;
            let place = put(&mut self.file, &self.path, self.number, &mut self.bytes, bytes)?;
            let rows = u32::try_from(rows.map_or(times.len(), <[u32]>::len)).unwrap_or(u32::MAX);
            blocks.push(StagedBlock { place, first_row: next_row, times: span, rows, member, month });
            next_row += u64::from(rows);
            Ok(())
        };
        let month = month_of(first)?;
        if last < month.bounds().1 {
            return append(month, (first, last), None);
        }
        for (month, rows) in rows_by_month(times)? {
            let span = rows.iter().filter_map(|&row| times.get(row as usize));
            let span = span.clone().copied().min().zip(span.copied().max()).unwrap_or((first, last));
            append(month, span, Some(&rows))?;
        }
        Ok(())
    }
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
