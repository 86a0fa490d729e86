//! Files that are merged, read in stretches of rows.
//!
//! A file is small enough to be read as a whole; it is hashed and decoded from the same bytes, so what was checked is what is merged. As
//! many are held at once as the memory has room for, and one in any case.

use std::collections::VecDeque;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use bytes::Bytes;
use keytrail_model::schema;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::PageIndexPolicy;

use crate::failpoint::{Point, reach};
use crate::sealed_file::{expect_sha256, sha256};
use crate::{DataFile, Snapshot, StoreError};

/// Rows that are decoded at once.
pub(super) const BATCH_ROWS: usize = 1 << 16;
/// Bytes that a reader holds at most beside the file, about: a batch, and the pages it comes from.
const READER_BYTES: u64 = 24 << 20;

/// The files of a month.
pub(super) struct Sources<'a> {
    snapshot: &'a Snapshot,
    files: &'a [DataFile],
    /// Files at hand, the one that was used last at the end.
    open: VecDeque<Open>,
    memory_bytes: u64,
}

struct Open {
    index: usize,
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    /// A reader that stands before the row `next`.
    reader: Option<ParquetRecordBatchReader>,
    next: u64,
    /// Rows that were decoded and not asked for yet; `next` is the first of them.
    rest: Option<RecordBatch>,
}

/// Rows of one archive in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Index of the file.
    pub(super) file: usize,
    pub(super) rows: Range<u64>,
    pub(super) archive: Arc<str>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, files: &'a [DataFile], memory_bytes: u64) -> Self {
        Self { snapshot, files, open: VecDeque::new(), memory_bytes }
    }

    /// The stretches of all files, in the order of their files and rows.
    pub(super) fn stretches(&mut self) -> Result<Vec<Stretch>, StoreError> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            let path = self.path(file);
            let open = self.open(index)?;
            let archive = ProjectionMask::columns(open.metadata.parquet_schema(), [schema::ARCHIVE]);
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(open.bytes.clone(), open.metadata.clone());
            let builder = builder.with_projection(archive).with_batch_size(BATCH_ROWS);
            let mut row = 0;
            for batch in builder.build().map_err(StoreError::parquet(&path))? {
                let batch = batch.map_err(parquet(&path))?;
                let archives = batch.column(0).as_dictionary_opt::<Int32Type>();
                let texts = archives.and_then(|archives| archives.downcast_dict::<arrow::array::StringArray>());
                let missing = || StoreError::damaged_file(&path, "texts in column `archive`", "something else");
                for archive in texts.ok_or_else(missing)? {
                    let archive = archive.ok_or_else(missing)?;
                    match stretches.last_mut() {
                        Some(last) if last.file == index && &*last.archive == archive => last.rows.end = row + 1,
                        _ => stretches.push(Stretch { file: index, rows: row..row + 1, archive: archive.into() }),
                    }
                    row += 1;
                }
            }
            if row != file.rows {
                return Err(StoreError::damaged_file(&path, format!("{} rows", file.rows), format!("{row} rows")));
            }
        }
        Ok(stretches)
    }

    /// Hands on rows of a file, batch by batch, in columns of [`schema::events_file_schema`].
    pub(super) fn read(
        &mut self,
        index: usize,
        rows: Range<u64>,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let path = self.files.get(index).map(|file| self.path(file)).unwrap_or_default();
        let rows_of_file = self.files.get(index).map_or(0, |file| file.rows);
        let open = self.open(index)?;
        if open.next != rows.start {
            (open.reader, open.rest, open.next) = (None, None, rows.start);
        }
        let last = rows.end == rows_of_file;
        while open.next < rows.end {
            let batch = match open.rest.take() {
                Some(rest) => rest,
                None => open.decode(&path)?,
            };
            let wanted = usize::try_from(rows.end - open.next).unwrap_or(usize::MAX).min(batch.num_rows());
            if wanted < batch.num_rows() {
                open.rest = Some(batch.slice(wanted, batch.num_rows() - wanted));
            }
            open.next += wanted as u64;
            each(batch.slice(0, wanted))?;
        }
        if last {
            (open.reader, open.rest) = (None, None);
        }
        Ok(())
    }

    fn path(&self, file: &DataFile) -> PathBuf {
        self.snapshot.events_dir().join(&file.path)
    }

    /// A file at hand, checked against its commit when it was read.
    fn open(&mut self, index: usize) -> Result<&mut Open, StoreError> {
        let at_hand = self.open.iter().position(|open| open.index == index);
        let open = match at_hand.and_then(|position| self.open.remove(position)) {
            Some(open) => open,
            None => self.load(index)?,
        };
        self.open.push_back(open);
        // Just put there.
        self.open.back_mut().ok_or_else(|| StoreError::NotFound { path: self.snapshot.root().to_owned() })
    }

    fn load(&mut self, index: usize) -> Result<Open, StoreError> {
        let missing = || StoreError::NotFound { path: self.snapshot.root().to_owned() };
        let file = self.files.get(index).ok_or_else(missing)?;
        let mut held: u64 = self.open.iter().map(Open::weight).sum();
        while held + file.bytes + READER_BYTES > self.memory_bytes
            && let Some(oldest) = self.open.pop_front()
        {
            held -= oldest.weight();
        }
        let path = self.path(file);
        let bytes = reach(Point::RowsReading).and_then(|()| fs::read(&path));
        let bytes = Bytes::from(bytes.map_err(StoreError::io("read the data file", &path))?);
        expect_sha256(&path, file.sha256.as_deref().unwrap_or_default(), sha256(&bytes))?;
        let options = ArrowReaderOptions::new()
            .with_schema(schema::events_file_schema())
            .with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&bytes, options).map_err(StoreError::parquet(&path))?;
        Ok(Open { index, bytes, metadata, reader: None, next: 0, rest: None })
    }
}

impl Open {
    /// Bytes of memory, about.
    fn weight(&self) -> u64 {
        let rows: i64 = self.metadata.metadata().row_groups().iter().map(|group| group.total_byte_size()).sum();
        let reader = if self.reader.is_some() { rows.cast_unsigned().min(READER_BYTES) } else { 0 };
        self.bytes.len() as u64 + reader
    }

    /// The next batch after `next`.
    fn decode(&mut self, path: &std::path::Path) -> Result<RecordBatch, StoreError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let (bytes, metadata) = (self.bytes.clone(), self.metadata.clone());
                let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
                let offset = usize::try_from(self.next).unwrap_or(usize::MAX);
                let builder = builder.with_batch_size(BATCH_ROWS).with_offset(offset);
                self.reader.insert(builder.build().map_err(StoreError::parquet(path))?)
            }
        };
        match reader.next() {
            Some(batch) => batch.map_err(parquet(path)),
            None => {
                let found = format!("an end before row {}", self.next);
                Err(StoreError::damaged_file(path, "all rows of the file", found))
            }
        }
    }
}

pub(super) fn parquet(path: &std::path::Path) -> impl FnOnce(ArrowError) -> StoreError {
    move |error| StoreError::parquet(path)(error.into())
}
