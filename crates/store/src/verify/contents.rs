//! Contents of files: length, SHA-256, rows, times, statistics and places of data files.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMicrosecondType;
use keytrail_model::schema::{ARCHIVE, MEMBER, ORDINAL, TIME};
use keytrail_model::time::{Month, format_service};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::PageIndexPolicy;

use super::log::LiveFile;
use super::places::Places;
use super::{Depth, Findings, values};
use crate::StoreError;
use crate::layout::Layout;
use crate::parallel::in_parallel;
use crate::scan::columns_of;
use crate::sealed_file::sha256_of_file;

/// Rows whose times and places are looked at at once.
const BATCH_ROWS: usize = 1 << 16;
/// Files whose footers are held at once.
const FILES_AT_ONCE: usize = 64;

/// Checks data files as deep as asked, on several threads. Returns whether the rows of all of them were read.
pub(super) fn check_data_files<'a>(
    layout: &Layout,
    files: impl Iterator<Item = &'a LiveFile>,
    depth: Depth,
    threads: NonZeroUsize,
    places: &Places,
    findings: &mut Findings<'_>,
) -> bool {
    let files: Vec<&LiveFile> = files.collect();
    let mut all_read = depth == Depth::Full;
    for files in files.chunks(FILES_AT_ONCE) {
        let checked = in_parallel(threads, files, |live| {
            let mut found = Findings::of(layout);
            let opened = open_data_file(layout, live, depth, &mut found);
            (found.get(opened).flatten(), found)
        });
        let mut opened = Vec::new();
        for (checked, live) in checked.into_iter().zip(files) {
            let file = match checked {
                Some((file, found)) => {
                    findings.add(found);
                    file
                }
                None => {
                    findings.undecodable(&layout.events().join(&live.file.path));
                    None
                }
            };
            all_read &= file.is_some();
            opened.extend(file);
        }
        let tasks: Vec<Task<'_>> = opened.iter().flat_map(OpenedFile::tasks).collect();
        let checked = in_parallel(threads, &tasks, |task| {
            let mut found = Findings::of(layout);
            let done = match task.chunk {
                Some(chunk) => values::check_chunk(&task.file.path, &task.file.metadata, chunk, &mut found),
                None => check_rows(task.file, places, &mut found),
            };
            let done = found.get(done).is_some();
            (found, done)
        });
        for (checked, task) in checked.into_iter().zip(&tasks) {
            match checked {
                Some((found, done)) => {
                    findings.add(found);
                    all_read &= done;
                }
                None => {
                    findings.undecodable(&task.file.path);
                    all_read = false;
                }
            }
        }
    }
    all_read
}

/// A data file whose bytes are those that were committed, so that it is worth decoding.
struct OpenedFile<'a> {
    live: &'a LiveFile,
    path: PathBuf,
    metadata: ArrowReaderMetadata,
}

/// A part of the work on a file: one column of a row group, or times and places of all rows.
struct Task<'a> {
    file: &'a OpenedFile<'a>,
    chunk: Option<(usize, usize)>,
}

impl OpenedFile<'_> {
    fn tasks(&self) -> Vec<Task<'_>> {
        let groups = self.metadata.metadata().row_groups().iter().enumerate();
        let chunks = groups.flat_map(|(group, chunks)| (0..chunks.num_columns()).map(move |column| (group, column)));
        chunks.map(Some).chain([None]).map(|chunk| Task { file: self, chunk }).collect()
    }
}

/// Checks the bytes of a data file. Where they are right, and all is to be read, the file with its footer.
fn open_data_file<'a>(
    layout: &Layout,
    live: &'a LiveFile,
    depth: Depth,
    findings: &mut Findings<'_>,
) -> Result<Option<OpenedFile<'a>>, StoreError> {
    let path = layout.events().join(&live.file.path);
    let sha256 = live.sha256.as_deref().filter(|_| depth == Depth::Full);
    // What is changed is not decoded: there is nothing to learn from it.
    if !check_bytes(&path, live.file.bytes, sha256, findings)? || depth == Depth::Quick {
        return Ok(None);
    }
    let file = File::open(&path).map_err(StoreError::io("open the data file", &path))?;
    let columns = columns_of(&file, live.sha256.is_some()).map_err(StoreError::parquet(&path))?;
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional).with_schema(columns);
    let metadata = ArrowReaderMetadata::load(&file, options).map_err(StoreError::parquet(&path))?;
    Ok(Some(OpenedFile { live, path, metadata }))
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
    let found = sha256_of_file(path)?;
    findings.require(found == expected, path, format!("SHA-256 {expected}"), &found);
    Ok(found == expected)
}

/// Rows of a Parquet file, by its footer.
pub(super) fn rows(path: &Path) -> Result<u64, StoreError> {
    let file = File::open(path).map_err(StoreError::io("open the file", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(StoreError::parquet(path))?;
    Ok(u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default())
}

/// Calls `each` with batches of some columns of a Parquet file.
pub(super) fn read_columns(
    path: &Path,
    columns: &[&str],
    each: &mut dyn FnMut(&RecordBatch) -> Option<()>,
) -> Result<(), StoreError> {
    let file = File::open(path).map_err(StoreError::io("open the file", path))?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(StoreError::parquet(path))?;
    read_batches(path, file, &metadata, columns, each)
}

fn read_batches(
    path: &Path,
    file: File,
    metadata: &ArrowReaderMetadata,
    columns: &[&str],
    each: &mut dyn FnMut(&RecordBatch) -> Option<()>,
) -> Result<(), StoreError> {
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
    let columns = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let batches =
        builder.with_projection(columns).with_batch_size(BATCH_ROWS).build().map_err(StoreError::parquet(path))?;
    for batch in batches {
        let batch = batch.map_err(|error| StoreError::parquet(path)(error.into()))?;
        each(&batch).ok_or_else(|| {
            StoreError::damaged_file(path, "the columns of keytrail", format!("{:?}", batch.schema().fields()))
        })?;
    }
    Ok(())
}

/// Times of a data file as they are decoded.
#[derive(Default)]
struct Times {
    rows: u64,
    without: u64,
    span: Option<(i64, i64)>,
}

impl Times {
    fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        let column = batch.column_by_name(TIME).and_then(|time| time.as_primitive_opt::<TimestampMicrosecondType>());
        self.without += column.map_or(batch.num_rows(), |column| column.null_count()) as u64;
        if let Some((first, last)) = column.and_then(|column| Some((min(column)?, max(column)?))) {
            let (from, to) = self.span.unwrap_or((first, last));
            self.span = Some((from.min(first), to.max(last)));
        }
    }
}

/// Checks times against the log, and takes the places of all rows.
fn check_rows(opened: &OpenedFile<'_>, places: &Places, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    let (path, file) = (opened.path.as_path(), &opened.live.file);
    let input = File::open(path).map_err(StoreError::io("open the data file", path))?;
    let mut times = Times::default();
    read_batches(path, input, &opened.metadata, &[TIME, ARCHIVE, MEMBER, ORDINAL], &mut |batch| {
        times.add(batch);
        places.take_rows(batch)
    })?;
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

/// A time for reading; a bound outside the calendar as the number it is.
fn moment(micros: i64) -> String {
    Month::of(micros).map_or_else(|| micros.to_string(), |_| format_service(micros))
}
