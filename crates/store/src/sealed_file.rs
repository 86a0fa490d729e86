//! A Parquet file that knows its SHA-256 and length when it ends, and is on the disk by then.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read as _, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};

use crate::StoreError;
use crate::failpoint::{Point, reach};

/// What a finished file holds.
#[derive(Debug)]
pub(crate) struct FinishedFile {
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// Writes one Parquet file. The Arrow schema is left out of it, so that every engine, ours too, sees plain strings and not
/// the dictionaries we happened to have in memory.
pub(crate) struct SealedWriter {
    path: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<HashingFile>,
    rows: u64,
    /// Bytes of the rows of the row group at hand, before any encoding.
    group_bytes: usize,
}

/// Bytes of rows from which on a row group ends. The limit of the library counts encoded bytes: of equal long texts next to nothing, and
/// who reads them needs memory for all.
const GROUP_BYTES: usize = 32 << 20;

impl SealedWriter {
    /// Starts a file. One that stands there is replaced.
    pub(crate) fn create(path: &Path, schema: SchemaRef, properties: WriterProperties) -> Result<Self, StoreError> {
        let file = HashingFile::create(path)?;
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, SchemaRef::clone(&schema), options)
            .map_err(StoreError::parquet(path))?;
        Ok(Self { path: path.to_owned(), schema, writer, rows: 0, group_bytes: 0 })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        if !same_columns(&batch.schema(), &self.schema) {
            return Err(StoreError::BadRow {
                path: self.path.clone(),
                what: "columns",
                expected: describe(&self.schema),
                found: describe(&batch.schema()),
            });
        }
        self.writer.write(batch).map_err(StoreError::parquet(&self.path))?;
        self.rows += batch.num_rows() as u64;
        self.group_bytes += batch.get_array_memory_size();
        if self.group_bytes >= GROUP_BYTES {
            self.writer.flush().map_err(StoreError::parquet(&self.path))?;
            self.group_bytes = 0;
        }
        Ok(())
    }

    /// Writes the footer and syncs the contents. The file's *name* is made durable by the commit that moves it.
    pub(crate) fn finish(self) -> Result<(PathBuf, FinishedFile), StoreError> {
        let Self { path, writer, rows, .. } = self;
        let file = writer.into_inner().map_err(StoreError::parquet(&path))?.seal()?;
        Ok((path, FinishedFile { sha256: file.sha256, bytes: file.bytes, rows }))
    }
}

/// Hands the rows of a Parquet file to `each`, batch by batch, as far as its columns are `wanted`. A row group at a time: texts of many
/// groups can be more than a batch can hold.
pub(crate) fn read_groups<E: From<StoreError>>(
    path: &Path,
    bytes: &Bytes,
    wanted: &dyn Fn(&str) -> bool,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    let metadata = ArrowReaderMetadata::load(bytes, ArrowReaderOptions::new()).map_err(StoreError::parquet(path))?;
    let fields = metadata.schema().fields().iter().enumerate();
    let columns = fields.filter(|(_, field)| wanted(field.name())).map(|(index, _)| index);
    let mask = ProjectionMask::roots(metadata.parquet_schema(), columns);
    for group in 0..metadata.metadata().num_row_groups() {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata.clone());
        let batches = builder.with_projection(mask.clone()).with_row_groups(vec![group]).build();
        for batch in batches.map_err(StoreError::parquet(path))? {
            each(&batch.map_err(|error| StoreError::parquet(path)(error.into()))?)?;
        }
    }
    Ok(())
}

/// Names and types; whether a column may be null is judged by the Parquet writer, value by value.
pub(crate) fn same_columns(found: &Schema, expected: &Schema) -> bool {
    let column = |field: &arrow::datatypes::FieldRef| (field.name().clone(), field.data_type().clone());
    found.fields().iter().map(column).eq(expected.fields().iter().map(column))
}

pub(crate) fn describe(schema: &Schema) -> String {
    let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
    columns.collect::<Vec<_>>().join(", ")
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| DIGITS.get(usize::from(digit))).collect()
}

/// SHA-256, lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, lower-case hex, read piece by piece.
pub(crate) fn sha256_of_file(path: &Path) -> Result<String, StoreError> {
    sha256_of(path, &mut File::open(path).map_err(StoreError::io("open the file", path))?)
}

/// The same of a file that is open, from where it stands; `path` is for messages only.
fn sha256_of(path: &Path, file: &mut File) -> Result<String, StoreError> {
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; HASHED_BYTES]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hex(&digest.finalize())),
            Ok(length) => digest.update(chunk.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::io("read the file", path)(error)),
        }
    }
}

/// Compares a file with the SHA-256 (lower-case hex) that a commit names.
///
/// # Errors
/// [`StoreError::DamagedFile`] where it has another; or it cannot be read.
pub fn check_sha256(path: &Path, expected: &str) -> Result<(), StoreError> {
    check_sha256_of(path, &mut File::open(path).map_err(StoreError::io("open the file", path))?, expected)
}

/// The same of a file that is open, from where it stands.
pub(crate) fn check_sha256_of(path: &Path, file: &mut File, expected: &str) -> Result<(), StoreError> {
    expect_sha256(path, expected, sha256_of(path, file)?)
}

/// Compares the SHA-256 that was found of a file with the one that a commit names.
pub(crate) fn expect_sha256(path: &Path, expected: &str, found: String) -> Result<(), StoreError> {
    match found == expected {
        true => Ok(()),
        false => Err(StoreError::damaged_file(path, format!("SHA-256 {expected}"), found)),
    }
}

/// Bytes that are hashed at once.
const HASHED_BYTES: usize = 1 << 20;

/// Bytes that go to the operating system at once. The Parquet writer's own pieces of 8 KiB are dear.
const WRITE_BYTES: usize = 256 << 10;

/// Bytes after which a file is worth a [`FileHandle`] again: enough to keep a disk busy, few enough that little is left when the last one comes.
const HANDLE_BYTES: u64 = 8 << 20;

/// A file that is hashed as it is written.
pub(crate) struct HashingFile {
    path: PathBuf,
    file: BufWriter<File>,
    digest: Sha256,
    bytes: u64,
    /// Who gets handles, and the length of the file from which on there is another one.
    handles: Option<(Handles, u64)>,
}

/// Who gets handles on a file while it grows.
pub(crate) type Handles = Box<dyn FnMut(FileHandle) + Send>;

/// A second handle on a file that is being written.
pub struct FileHandle {
    path: PathBuf,
    file: File,
}

impl FileHandle {
    /// Waits until what was handed to the operating system is on the disk. An error counts for the file: it is told once only.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sync(&self) -> Result<(), StoreError> {
        synced(|| self.file.sync_data()).map_err(StoreError::io("sync the file", &self.path))
    }
}

/// A sync of a file's contents, with its fail points.
fn synced(sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    reach(Point::FileSyncing)?;
    sync()?;
    reach(Point::FileSynced)
}

/// Length and SHA-256 of a file that is on the disk.
pub(crate) struct FileSum {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl HashingFile {
    /// Starts a file. One that stands there is replaced.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        let file = reach(Point::FileCreating).and_then(|()| File::create(path));
        let file = file.and_then(|file| reach(Point::FileCreated).map(|()| file));
        let file = file.map_err(StoreError::io("create the file", path))?;
        let file = BufWriter::with_capacity(WRITE_BYTES, file);
        Ok(Self { path: path.to_owned(), file, digest: Sha256::new(), bytes: 0, handles: None })
    }

    /// Hands out a handle whenever so much more was written that it is worth getting to the disk.
    pub(crate) fn hand_out(&mut self, handles: Handles) {
        self.handles = Some((handles, self.bytes + HANDLE_BYTES));
    }

    fn hand_out_when_due(&mut self) {
        if let Some((handles, due)) = self.handles.as_mut().filter(|(_, due)| self.bytes >= *due) {
            *due = self.bytes + HANDLE_BYTES;
            // Where there are too many open files, the end of this one gets all of it to the disk.
            if let Ok(file) = self.file.get_ref().try_clone() {
                handles(FileHandle { path: self.path.clone(), file });
            }
        }
    }

    /// Syncs the contents.
    pub(crate) fn seal(mut self) -> Result<FileSum, StoreError> {
        let synced = self.flush().and_then(|()| synced(|| self.file.get_ref().sync_all()));
        synced.map_err(StoreError::io("sync the file", &self.path))?;
        Ok(FileSum { bytes: self.bytes, sha256: hex(&self.digest.finalize()) })
    }
}

impl Write for HashingFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        reach(Point::FileWriting)?;
        // A piece at a time: what the system has just copied is in the cache when it is hashed.
        let piece = buffer.get(..WRITE_BYTES).unwrap_or(buffer);
        let written = self.file.write(piece)?;
        self.digest.update(piece.get(..written).unwrap_or(piece));
        self.bytes += written as u64;
        self.hand_out_when_due();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_lower_case_hex() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(&[0, 15, 16, 255]), "000f10ff");
    }
}
