//! Reading rows of `events` back by time range, without a query engine.
//!
//! What is read by range is held against the SHA-256 of its commit first: a changed byte must not decide what is a duplicate, or leave the
//! store as a record. Bytes that the Parquet library panics at are damage, too.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use keytrail_model::record::ColumnError;
use keytrail_model::schema::{TIME, events_file_schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use crate::failpoint::{Point, reach};
use crate::parallel::guarded;
use crate::sealed_file::check_sha256_of;
use crate::{DataFile, Snapshot, StoreError};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Rows of a snapshot, by time range. Each data file is hashed before the first of its rows is handed on, once, however many ranges touch it.
#[derive(Debug)]
pub struct RowReader<'a> {
    snapshot: &'a Snapshot,
    /// Whether each of the files was found to be what was committed.
    checked: Vec<Mutex<bool>>,
}

impl<'a> RowReader<'a> {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, checked: snapshot.files().iter().map(|_| Mutex::new(false)).collect() }
    }

    /// The state of the store that is read.
    #[must_use]
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// Hands the rows whose time lies in `from..=to` (microseconds since the epoch) to `each`, batch by batch: files sorted by path,
    /// rows in the order of their file. Columns of [`keytrail_model::schema::events_file_schema`], texts as plain `Utf8`. No batch
    /// is empty. May be called from several threads.
    ///
    /// Files and row groups outside the range are not read; what is read of files that another program added cannot be hashed. Memory:
    /// one batch of 8192 rows and the pages it comes from.
    ///
    /// # Errors
    /// Those of `each`, which end the reading; or a data file is missing, changed or unreadable.
    pub fn read<E: From<StoreError>>(
        &self,
        from: i64,
        to: i64,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let files = self.snapshot.files().iter().zip(&self.checked);
        for (file, is_checked) in files.filter(|(file, _)| file.min_time <= to && file.max_time >= from) {
            let path = self.snapshot.events_dir().join(&file.path);
            let mut input = open(&path)?;
            check(&path, &mut input, file, is_checked)?;
            hand_on(&path, || in_range(input, from, to), each)?;
        }
        Ok(())
    }
}

/// The rows of a snapshot in a time range: [`RowReader::read`], for those who read once.
///
/// # Errors
/// As [`RowReader::read`].
pub fn read_events<E: From<StoreError>>(
    snapshot: &Snapshot,
    from: i64,
    to: i64,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    RowReader::new(snapshot).read(from, to, each)
}

/// Hands all rows of one data file of a snapshot to `each`, batch by batch, in their order: columns of
/// [`keytrail_model::schema::events_file_schema`] as they stand there, repeating texts as dictionaries. Does not hash the file.
///
/// # Errors
/// Those of `each`, which end the reading; or the file is missing or unreadable.
pub fn read_data_file<E: From<StoreError>>(
    snapshot: &Snapshot,
    file: &DataFile,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    read_whole(&snapshot.events_dir().join(&file.path), file.sha256.is_some(), each)
}

/// The same for any file of such columns, also one that no commit names yet.
pub(crate) fn read_whole<E: From<StoreError>>(
    path: &Path,
    is_ours: bool,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    let input = open(path)?;
    let batches = || {
        let options = ArrowReaderOptions::new().with_schema(columns_of(&input, is_ours)?);
        ParquetRecordBatchReaderBuilder::try_new_with_options(input, options)?.with_batch_size(BATCH_ROWS).build()
    };
    hand_on(path, batches, each)
}

/// The columns of a data file as we read them: those that we write. Another program may let any of them be null, as the table does, or none.
pub(crate) fn columns_of(input: &File, is_ours: bool) -> Result<SchemaRef, ParquetError> {
    let ours = events_file_schema();
    if is_ours {
        return Ok(ours);
    }
    let found = ArrowReaderMetadata::load(input, ArrowReaderOptions::new().with_skip_arrow_metadata(true))?;
    let is_nullable = |name: &str| found.schema().field_with_name(name).is_ok_and(|field| field.is_nullable());
    let fields = ours.fields().iter().map(|field| field.as_ref().clone().with_nullable(is_nullable(field.name())));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// A data file that has not the columns of one.
pub(crate) fn wrong_columns(path: &Path) -> impl Fn(ColumnError) -> StoreError {
    move |error| StoreError::damaged_file(path, "the columns of a data file", error.to_string())
}

fn open(path: &Path) -> Result<File, StoreError> {
    let input = reach(Point::RowsReading).and_then(|()| File::open(path));
    input.map_err(StoreError::io("open the data file", path))
}

/// Compares a data file with what its commit says of it.
fn check(path: &Path, input: &mut File, file: &DataFile, is_checked: &Mutex<bool>) -> Result<(), StoreError> {
    let length = input.metadata().map_err(StoreError::io("look at the data file", path))?.len();
    if length != file.bytes {
        return Err(StoreError::damaged_file(path, format!("{} bytes", file.bytes), format!("{length} bytes")));
    }
    let Some(expected) = &file.sha256 else {
        return Ok(());
    };
    // Who comes while another thread hashes the file waits for what it finds.
    let mut is_checked = is_checked.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_checked {
        check_sha256_of(path, input, expected)?;
        *is_checked = true;
    }
    Ok(())
}

/// Hands batches on as they are decoded.
fn hand_on<E: From<StoreError>>(
    path: &Path,
    batches: impl FnOnce() -> Result<ParquetRecordBatchReader, ParquetError>,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    let undecodable = || StoreError::undecodable(path);
    let mut batches = guarded(batches).ok_or_else(undecodable)?.map_err(StoreError::parquet(path))?;
    while let Some(batch) = guarded(|| batches.next()).ok_or_else(undecodable)? {
        let batch = batch.map_err(|error| StoreError::parquet(path)(error.into()))?;
        if batch.num_rows() > 0 {
            each(&batch)?;
        }
    }
    Ok(())
}

fn in_range(input: File, from: i64, to: i64) -> Result<ParquetRecordBatchReader, ParquetError> {
    // With the page index, the pages of rows that the filter leaves out are not even read. Which arrays another program had in memory is no matter.
    let options =
        ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional).with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(input, options)?;
    let groups = row_groups(builder.metadata(), from, to);
    let time = ProjectionMask::columns(builder.parquet_schema(), [TIME]);
    let in_range = ArrowPredicateFn::new(time, move |batch| filter(&batch, from, to));
    let builder = builder.with_row_groups(groups).with_batch_size(BATCH_ROWS);
    builder.with_row_filter(RowFilter::new(vec![Box::new(in_range)])).build()
}

/// Row groups whose bounds of `time` touch the range; those without bounds too.
fn row_groups(metadata: &ParquetMetaData, from: i64, to: i64) -> Vec<usize> {
    let touches = |group: &RowGroupMetaData| time_bounds(group).is_none_or(|(first, last)| first <= to && last >= from);
    (0..).zip(metadata.row_groups()).filter(|(_, group)| touches(group)).map(|(number, _)| number).collect()
}

fn time_bounds(group: &RowGroupMetaData) -> Option<(i64, i64)> {
    let column = group.columns().iter().find(|column| column.column_path().parts() == [TIME])?;
    match column.statistics()? {
        Statistics::Int64(bounds) => Some((*bounds.min_opt()?, *bounds.max_opt()?)),
        _ => None,
    }
}

fn filter(batch: &RecordBatch, from: i64, to: i64) -> Result<BooleanArray, ArrowError> {
    let times = batch
        .column_by_name(TIME)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| ArrowError::SchemaError("column `time` does not hold microseconds".into()))?;
    Ok(times.iter().map(|time| Some(time.is_some_and(|time| (from..=to).contains(&time)))).collect())
}
