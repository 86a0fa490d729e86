//! Reading rows of `events` back by time range, without a query engine.

use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use keytrail_model::record::ColumnError;
use keytrail_model::schema::{TIME, events_file_schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use crate::failpoint::{Point, reach};
use crate::{DataFile, Snapshot, StoreError};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Hands the rows whose time lies in `from..=to` (microseconds since the epoch) to `each`, batch by batch: files sorted by path,
/// rows in the order of their file. Columns of [`keytrail_model::schema::events_file_schema`], texts as plain `Utf8`. No batch
/// is empty.
///
/// Files and row groups outside the range are not read. Memory: one batch of 8192 rows and the pages it comes from.
///
/// # Errors
/// Those of `each`, which end the reading; or a data file is missing, changed in length or unreadable.
pub fn read_events<E: From<StoreError>>(
    snapshot: &Snapshot,
    from: i64,
    to: i64,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    for file in snapshot.files().iter().filter(|file| file.min_time <= to && file.max_time >= from) {
        let path = snapshot.events_dir().join(&file.path);
        for batch in open(&path, file, from, to)? {
            let batch = batch.map_err(|error| StoreError::parquet(&path)(error.into()))?;
            if batch.num_rows() > 0 {
                each(&batch)?;
            }
        }
    }
    Ok(())
}

/// Hands all rows of one data file of a snapshot to `each`, batch by batch, in their order: columns of
/// [`keytrail_model::schema::events_file_schema`] as they stand there, repeating texts as dictionaries.
///
/// # Errors
/// As [`read_events`].
pub fn read_data_file<E: From<StoreError>>(
    snapshot: &Snapshot,
    file: &DataFile,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    read_whole(&snapshot.events_dir().join(&file.path), each)
}

/// The same for any file of such columns, also one that no commit names yet.
pub(crate) fn read_whole<E: From<StoreError>>(
    path: &Path,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    let input = reach(Point::RowsReading).and_then(|()| File::open(path));
    let input = input.map_err(StoreError::io("open the data file", path))?;
    let options = ArrowReaderOptions::new().with_schema(events_file_schema());
    let batches = ParquetRecordBatchReaderBuilder::try_new_with_options(input, options)
        .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
        .map_err(StoreError::parquet(path))?;
    for batch in batches {
        each(&batch.map_err(|error| StoreError::parquet(path)(error.into()))?)?;
    }
    Ok(())
}

/// A data file that has not the columns of one.
pub(crate) fn wrong_columns(path: &Path) -> impl Fn(ColumnError) -> StoreError {
    move |error| StoreError::damaged_file(path, "the columns of a data file", error.to_string())
}

fn open(path: &Path, file: &DataFile, from: i64, to: i64) -> Result<ParquetRecordBatchReader, StoreError> {
    let input = reach(Point::RowsReading).and_then(|()| File::open(path));
    let input = input.map_err(StoreError::io("open the data file", path))?;
    let length = input.metadata().map_err(StoreError::io("look at the data file", path))?.len();
    if length != file.bytes {
        return Err(StoreError::damaged_file(path, format!("{} bytes", file.bytes), format!("{length} bytes")));
    }
    // With the page index, the pages of rows that the filter leaves out are not even read.
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(input, options).map_err(StoreError::parquet(path))?;
    let groups = row_groups(builder.metadata(), from, to);
    let time = ProjectionMask::columns(builder.parquet_schema(), [TIME]);
    let in_range = ArrowPredicateFn::new(time, move |batch| filter(&batch, from, to));
    let builder = builder.with_row_groups(groups).with_batch_size(BATCH_ROWS);
    builder.with_row_filter(RowFilter::new(vec![Box::new(in_range)])).build().map_err(StoreError::parquet(path))
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
