//! Contents of files: length, SHA-256, rows, and the times of data files.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use arrow::array::{Array as _, AsArray as _};
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMicrosecondType;
use keytrail_model::schema::TIME;
use keytrail_model::time::{Month, format_service};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest as _, Sha256};

use super::log::LiveFile;
use super::{Depth, Findings};
use crate::StoreError;
use crate::layout::Layout;
use crate::sealed_file::hex;

/// Bytes that are hashed at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Rows whose times are looked at at once.
const BATCH_ROWS: usize = 1 << 16;

/// Checks a data file as deep as asked.
pub(super) fn check_data_file(
    layout: &Layout,
    live: &LiveFile,
    depth: Depth,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let path = layout.events().join(&live.file.path);
    let sha256 = live.sha256.as_deref().filter(|_| depth == Depth::Full);
    // What is changed is not decoded: there is nothing to learn from it.
    if check_bytes(&path, live.file.bytes, sha256, findings)? && depth == Depth::Full {
        check_times(&path, live, findings)?;
    }
    Ok(())
}

/// Whether a file is there with its length and, where given, its SHA-256. What is not is added to the findings.
pub(super) fn check_bytes(
    path: &Path,
    bytes: u64,
    sha256: Option<&str>,
    findings: &mut Findings<'_>,
) -> Result<bool, StoreError> {
    let expected = format!("{bytes} bytes");
    let found = match fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => "no such file".into(),
        Err(error) => return Err(StoreError::io("look at the file", path)(error)),
        Ok(metadata) if !metadata.is_file() => "no plain file".into(),
        Ok(metadata) => format!("{} bytes", metadata.len()),
    };
    if found != expected {
        findings.damage(path, expected, found);
        return Ok(false);
    }
    let Some(expected) = sha256 else {
        return Ok(true);
    };
    let found = hash(path)?;
    findings.require(found == expected, path, format!("SHA-256 {expected}"), &found);
    Ok(found == expected)
}

fn hash(path: &Path) -> Result<String, StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("open the file", path))?;
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hex(&digest.finalize())),
            Ok(length) => digest.update(chunk.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::io("read the file", path)(error)),
        }
    }
}

/// Rows of a Parquet file, by its footer.
pub(super) fn rows(path: &Path) -> Result<u64, StoreError> {
    let file = File::open(path).map_err(StoreError::io("open the file", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(StoreError::parquet(path))?;
    Ok(u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default())
}

/// Rows of a data file as they are decoded, and their times.
#[derive(Default)]
struct Times {
    rows: u64,
    without: u64,
    span: Option<(i64, i64)>,
}

fn check_times(path: &Path, live: &LiveFile, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    let file = &live.file;
    let Some(times) = findings.take(read_times(path))? else {
        return Ok(());
    };
    findings.require(times.rows == file.rows, path, format!("{} rows", file.rows), format!("{} rows", times.rows));
    let without = format!("{} rows without", times.without);
    findings.require(times.without == 0, path, format!("`{TIME}` in every row"), without);
    let (Some((first, last)), Some(month)) = (times.span, Month::parse(&file.month)) else {
        return Ok(());
    };
    let found = || format!("{} to {}", moment(first), moment(last));
    let bounded = file.min_time <= first && last <= file.max_time;
    let expected =
        format!("times within {} and {}, its bounds in the log", moment(file.min_time), moment(file.max_time));
    findings.require(bounded, path, expected, found());
    let (from, until) = month.bounds();
    findings.require(from <= first && last < until, path, format!("times in {month}"), found());
    Ok(())
}

fn read_times(path: &Path) -> Result<Times, StoreError> {
    let file = File::open(path).map_err(StoreError::io("open the data file", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(StoreError::parquet(path))?;
    let time = ProjectionMask::columns(builder.parquet_schema(), [TIME]);
    let batches =
        builder.with_projection(time).with_batch_size(BATCH_ROWS).build().map_err(StoreError::parquet(path))?;
    let mut times = Times::default();
    for batch in batches {
        let batch = batch.map_err(|error| StoreError::parquet(path)(error.into()))?;
        times.rows += batch.num_rows() as u64;
        let column = batch.column_by_name(TIME).and_then(|time| time.as_primitive_opt::<TimestampMicrosecondType>());
        times.without += column.map_or(batch.num_rows(), |column| column.null_count()) as u64;
        if let Some((first, last)) = column.and_then(|column| Some((min(column)?, max(column)?))) {
            let (from, to) = times.span.unwrap_or((first, last));
            times.span = Some((from.min(first), to.max(last)));
        }
    }
    Ok(times)
}

/// A time for reading; a bound outside the calendar as the number it is.
fn moment(micros: i64) -> String {
    Month::of(micros).map_or_else(|| micros.to_string(), |_| format_service(micros))
}
