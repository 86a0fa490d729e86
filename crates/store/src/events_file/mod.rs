//! Data files of `events`: Parquet settings, and writing one with its hash and its time span.

mod column;
mod text_page;

use std::path::{Path, PathBuf};

pub use column::{ColumnEncoder, EncodedColumn};
pub use text_page::{TextPage, TextPageEncoder};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use keytrail_model::schema;
use keytrail_model::time::{Month, format_service};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::StoreError;
use crate::sealed_file::SealedWriter;

/// Rows of a row group: few enough that one fits in memory while it is encoded, many enough that dictionaries pay.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Encoded bytes that end a row group before it has its rows: it is held in memory until then. Usual rows take 10 to 40
/// bytes, so that only a store of rows with long texts meets this limit.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Bytes of text that are encoded at once. The limit above is looked at between such pieces only.
const PIECE_BYTES: usize = 16 << 20;
/// Dictionary of `ouid`, in bytes: room for some 140 000 keys of 24 digits in a row group before plain text takes over.
const OUID_DICTIONARY_BYTES: usize = 4 << 20;
/// Part of the lookups of an absent `ouid` that read a row group in vain.
const OUID_FALSE_POSITIVES: f64 = 0.01;

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

/// Writes one data file of one month. Equal batches give equal bytes.
pub struct EventsWriter {
    file: SealedWriter,
    month: Month,
    span: Option<(i64, i64)>,
}

impl EventsWriter {
    /// Starts a file. `path` lies in [`crate::Writer::staging_dir`]; a file there is replaced.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, month: Month) -> Result<Self, StoreError> {
        let properties = properties().map_err(StoreError::parquet(path))?;
        Ok(Self { file: SealedWriter::create(path, schema::events_file_schema(), properties)?, month, span: None })
    }

    /// Appends rows in the columns of [`keytrail_model::schema::events_file_schema`].
    ///
    /// # Errors
    /// A time lies outside the month, the columns are others, or the disk refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let span = time_span(batch);
        if let Some((first, last)) = span {
            self.check_month(first)?;
            self.check_month(last)?;
        }
        self.write_pieces(batch)?;
        self.span = join(self.span, span);
        Ok(())
    }

    /// Appends a row group: all columns of [`keytrail_model::schema::events_file_schema`] in its order, of equal length. Rows of
    /// [`Self::write`] that still wait become a row group of their own before it.
    ///
    /// # Errors
    /// A time lies outside the month, a column is missing or has another number of rows, or the disk refuses.
    pub fn append_row_group(&mut self, columns: Vec<EncodedColumn>) -> Result<(), StoreError> {
        self.file.flush()?;
        let columns = columns.into_iter().map(EncodedColumn::into_array).collect::<Result<Vec<_>, _>>()?;
        let batch =
            RecordBatch::try_new(schema::events_file_schema(), columns).map_err(|error| StoreError::BadRow {
                path: self.file.path().to_owned(),
                what: "columns",
                expected: "all columns, of equal length".into(),
                found: error.to_string(),
            })?;
        self.write(&batch)?;
        self.file.flush()
    }

    fn write_pieces(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let rows = batch.num_rows();
        if rows < 2 || text_bytes(batch) <= PIECE_BYTES {
            return self.file.write(batch);
        }
        let half = rows / 2;
        self.write_pieces(&batch.slice(0, half))?;
        self.write_pieces(&batch.slice(half, rows - half))
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.file.rows()
    }

    /// Ends the file and makes its contents durable. A file without rows is an error.
    ///
    /// # Errors
    /// The disk refuses, or no row was written.
    pub fn finish(self) -> Result<StagedFile, StoreError> {
        let Some((min_time, max_time)) = self.span else {
            return Err(StoreError::BadRow {
                path: self.file.path().to_owned(),
                what: "rows of a data file",
                expected: "at least one".into(),
                found: "none".into(),
            });
        };
        let (path, seal) = self.file.finish()?;
        let (rows, bytes, sha256) = (seal.rows, seal.bytes, seal.sha256);
        Ok(StagedFile { path, month: self.month, rows, bytes, sha256, min_time, max_time })
    }

    fn check_month(&self, time: i64) -> Result<(), StoreError> {
        let (from, until) = self.month.bounds();
        if (from..until).contains(&time) {
            return Ok(());
        }
        Err(StoreError::BadRow {
            path: self.file.path().to_owned(),
            what: schema::TIME,
            expected: format!("a time in {}", self.month),
            found: format_service(time),
        })
    }
}

fn properties() -> Result<WriterProperties, ParquetError> {
    let column = |name: &str| ColumnPath::from(name);
    let mut builder = WriterProperties::builder()
        .set_created_by("keytrail".into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_enabled(true)
        .set_column_dictionary_page_size_limit(column("ouid"), OUID_DICTIONARY_BYTES)
        .set_column_bloom_filter_fpp(column("ouid"), OUID_FALSE_POSITIVES);
    // Nearly sorted numbers: their differences take one or two bytes.
    for name in [schema::TIME, schema::ORDINAL] {
        builder = builder
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    // Random texts: a dictionary and bounds by page would only cost.
    builder = builder
        .set_column_dictionary_enabled(column("trace_id"), false)
        .set_column_encoding(column("trace_id"), Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .set_column_statistics_enabled(column("trace_id"), EnabledStatistics::Chunk)
        .set_column_statistics_enabled(column(schema::EXTRA), EnabledStatistics::Chunk);
    Ok(builder.build())
}

/// Earliest and latest time of a batch; `None` without rows, or where there is no such column (the writer tells).
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

fn join(left: Option<(i64, i64)>, right: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (left, right) {
        (Some(left), Some(right)) => Some((left.0.min(right.0), left.1.max(right.1))),
        (one, other) => one.or(other),
    }
}
