//! Data files of `events`: writing one, with its hash and its time span.
//!
//! Columns of row groups are encoded on their own, by whichever thread ([`ColumnEncoder`]), and put into the file when all are there.
//! The modules in the order of the bytes: `bits`, `hybrid` and `packed_deltas` lay numbers side by side, `coded` is rows before they
//! have a dictionary, `entries` is one, `text_rows` the texts of a page (given as a `text_slice`); `numbers`, `dictionary` (with `plain` behind it) and `texts` make the
//! pages of a column, which `compress` (with `random_text`) shrinks and `chunk` puts together, in `memory` that is used again. Everything is ours but the footer: the `parquet` crate's
//! own writer takes several times as long, as it looks at every value by itself.

mod bits;
mod chunk;
mod coded;
mod column;
mod compress;
mod dictionary;
mod entries;
mod hybrid;
mod memory;
mod numbers;
mod packed_deltas;
mod plain;
mod random_text;
mod text_page;
mod text_rows;
mod text_slice;
mod texts;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use keytrail_model::schema;
use keytrail_model::time::{Month, format_service};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use crate::StoreError;
use crate::sealed_file::{FileHandle, HashingFile, describe, same_columns};

pub use coded::{CodedTexts, Codes, KeyTexts};
pub use column::{ColumnEncoder, EncodedColumn};
pub use memory::ChunkMemory;
pub use text_page::{TextPage, TextPageEncoder};
pub use text_slice::TextSlice;

/// Rows of a row group: few enough that one fits in memory while it is encoded, many enough that dictionaries pay.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Encoded bytes that end a row group before it has its rows: it is held in memory until then. Usual rows take 10 to 40
/// bytes, so that only a store of rows with long texts meets this limit.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Bytes of text that are encoded at once. The limit above is looked at between such pieces only.
const PIECE_BYTES: usize = 16 << 20;
/// Rows of a page: what a reader decodes at least when it looks for one row.
const PAGE_ROWS: usize = 1 << 16;
/// Bytes of text that end a page before it has its rows.
const PAGE_BYTES: usize = 16 << 20;

/// A data file that is complete and durable, and waits in the staging folder for its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Month of all its rows.
    pub month: Month,
    /// Rows.
    pub rows: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// Earliest time, microseconds since the epoch, exact.
    pub min_time: i64,
    /// Latest time, exact.
    pub max_time: i64,
}

/// Writes one data file of one month. Equal calls give equal bytes.
pub struct EventsWriter {
    path: PathBuf,
    month: Month,
    file: SerializedFileWriter<HashingFile>,
    /// The row group of [`Self::write`] that is not in the file yet.
    waiting: Vec<ColumnEncoder>,
    waiting_rows: usize,
    rows: u64,
    span: Option<(i64, i64)>,
}

impl EventsWriter {
    /// Starts a file. `path` lies in [`crate::Writer::staging_dir`]; a file there is replaced.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, month: Month) -> Result<Self, StoreError> {
        let file = HashingFile::create(path)?;
        let start = || -> Result<_, ParquetError> {
            // The Arrow schema is left out: every engine, ours too, shall see plain strings.
            let properties = Arc::new(WriterProperties::builder().set_created_by("keytrail".into()).build());
            SerializedFileWriter::new(file, column::file_schema()?.root_schema_ptr(), properties)
        };
        let file = start().map_err(StoreError::parquet(path))?;
        Ok(Self { path: path.to_owned(), month, file, waiting: Vec::new(), waiting_rows: 0, rows: 0, span: None })
    }

    /// Appends a row group: all columns of [`keytrail_model::schema::events_file_schema`] in its order, of equal length. Rows of
    /// [`Self::write`] that wait become a row group of their own before it. Without rows nothing is appended.
    ///
    /// # Errors
    /// A time lies outside the month, a column is missing or has another number of rows, or the disk refuses.
    pub fn append_row_group(&mut self, columns: Vec<EncodedColumn>) -> Result<(), StoreError> {
        self.end_waiting()?;
        self.append(columns)
    }

    /// Appends rows in the columns of [`keytrail_model::schema::events_file_schema`]. They become row groups of about a million rows, or of
    /// some 64 MiB.
    ///
    /// # Errors
    /// A time lies outside the month, the columns are others, or the disk refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let schema = schema::events_file_schema();
        if !same_columns(&batch.schema(), &schema) {
            return Err(self.bad("columns", describe(&schema), describe(&batch.schema())));
        }
        if let Some((first, last)) = time_span(batch) {
            self.check_month(first)?;
            self.check_month(last)?;
        }
        self.write_pieces(batch)
    }

    fn write_pieces(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let rows = batch.num_rows();
        if rows < 2 || text_bytes(batch) <= PIECE_BYTES {
            return self.write_piece(batch);
        }
        let half = rows / 2;
        self.write_pieces(&batch.slice(0, half))?;
        self.write_pieces(&batch.slice(half, rows - half))
    }

    fn write_piece(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let mut from = 0;
        while from < batch.num_rows() {
            if self.waiting.is_empty() {
                let schema = schema::events_file_schema();
                let encoders = schema.fields().iter().map(|field| ColumnEncoder::new(field.name()));
                self.waiting = encoders.collect::<Result<_, _>>()?;
            }
            let rows = (batch.num_rows() - from).min(ROW_GROUP_ROWS - self.waiting_rows);
            let piece = batch.slice(from, rows);
            for (encoder, values) in self.waiting.iter_mut().zip(piece.columns()) {
                encoder.push(values)?;
            }
            self.waiting_rows += rows;
            from += rows;
            let bytes: usize = self.waiting.iter().map(ColumnEncoder::bytes).sum();
            if self.waiting_rows == ROW_GROUP_ROWS || bytes >= ROW_GROUP_BYTES {
                self.end_waiting()?;
            }
        }
        Ok(())
    }

    fn end_waiting(&mut self) -> Result<(), StoreError> {
        self.waiting_rows = 0;
        let columns = std::mem::take(&mut self.waiting).into_iter().map(ColumnEncoder::finish);
        let columns: Vec<_> = columns.collect::<Result<_, _>>()?;
        match columns.is_empty() {
            true => Ok(()),
            false => self.append(columns),
        }
    }

    fn append(&mut self, columns: Vec<EncodedColumn>) -> Result<(), StoreError> {
        let rows = self.check_columns(&columns)?;
        let Some((first, last)) = columns.first().and_then(EncodedColumn::span).filter(|_| rows > 0) else {
            return Ok(());
        };
        self.check_month(first)?;
        self.check_month(last)?;
        self.splice(columns).map_err(StoreError::parquet(&self.path))?;
        self.rows += rows;
        self.span = Some(self.span.map_or((first, last), |(from, to)| (from.min(first), to.max(last))));
        Ok(())
    }

    fn splice(&mut self, columns: Vec<EncodedColumn>) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for column in columns {
            let (bytes, close, memory) = column.into_parts();
            group.append_column(&bytes, close)?;
            if let Some(memory) = memory {
                memory.give(bytes);
            }
        }
        group.close()?;
        Ok(())
    }

    /// Hands out handles on the file while it grows, so that what is written so far gets to the disk while more is written. For a new file.
    pub fn hand_out(&mut self, handles: impl FnMut(FileHandle) + Send + 'static) {
        self.file.inner_mut().hand_out(Box::new(handles));
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows + self.waiting_rows as u64
    }

    /// Bytes so far, about: a row group in the making is counted as it is held.
    pub(crate) fn bytes(&self) -> u64 {
        (self.file.bytes_written() + self.waiting.iter().map(ColumnEncoder::bytes).sum::<usize>()) as u64
    }

    /// Ends the file and makes its contents durable. A file without rows is an error.
    ///
    /// # Errors
    /// The disk refuses, or no row was written.
    pub fn finish(mut self) -> Result<StagedFile, StoreError> {
        self.end_waiting()?;
        let Some((min_time, max_time)) = self.span else {
            return Err(self.bad("rows of a data file", "at least one".into(), "none".into()));
        };
        let Self { path, month, file, rows, .. } = self;
        let seal = file.into_inner().map_err(StoreError::parquet(&path))?.seal()?;
        Ok(StagedFile { path, month, rows, bytes: seal.bytes, sha256: seal.sha256, min_time, max_time })
    }

    /// Rows of the columns, which have to be all there are, in their order and of one length.
    fn check_columns(&self, columns: &[EncodedColumn]) -> Result<u64, StoreError> {
        let schema = schema::events_file_schema();
        if !schema.fields().iter().map(|field| field.name().as_str()).eq(columns.iter().map(EncodedColumn::column)) {
            let names = columns.iter().map(EncodedColumn::column).collect::<Vec<_>>();
            return Err(self.bad("columns", describe(&schema), names.join(", ")));
        }
        let rows = columns.first().map_or(0, EncodedColumn::rows);
        match columns.iter().find(|column| column.rows() != rows) {
            None => Ok(rows),
            Some(other) => {
                let found = format!("{} in `{}`", other.rows(), other.column());
                Err(self.bad("columns of a row group", format!("{rows} rows in each"), found))
            }
        }
    }

    fn check_month(&self, time: i64) -> Result<(), StoreError> {
        let (from, until) = self.month.bounds();
        match (from..until).contains(&time) {
            true => Ok(()),
            false => Err(self.bad(schema::TIME, format!("a time in {}", self.month), format_service(time))),
        }
    }

    fn bad(&self, what: &'static str, expected: String, found: String) -> StoreError {
        StoreError::BadRow { path: self.path.clone(), what, expected, found }
    }
}

/// Earliest and latest time of a batch; `None` without rows, or where there is no such column (the encoder tells).
fn time_span(batch: &RecordBatch) -> Option<(i64, i64)> {
    let times = batch.column_by_name(schema::TIME)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    if times.null_count() > 0 {
        return None;
    }
    let times = times.values();
    Some((times.iter().copied().min()?, times.iter().copied().max()?))
}

/// Bytes of the texts that are not in dictionaries: all that makes a row long.
fn text_bytes(batch: &RecordBatch) -> usize {
    let texts = batch.columns().iter().filter_map(|column| column.as_string_opt::<i32>());
    texts
        .filter_map(|text| Some((text.value_offsets().first()?, text.value_offsets().last()?)))
        .map(|(first, last)| usize::try_from(last - first).unwrap_or_default())
        .sum()
}
