//! Reads staged blocks. One reader serves all threads.

use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use keytrail_store::failpoint::{Point, reach};

use super::{Place, WORKER_FILES, file_number, file_path};
use crate::error::IngestError;

/// The staging files of a run, open for reading.
pub(crate) struct StagingReader {
    /// By number; workers did not need all.
    files: Vec<Option<StagedFile>>,
}

struct StagedFile {
    path: PathBuf,
    file: File,
    /// Bytes that were not used yet.
    left: AtomicU64,
}

impl StagingReader {
    /// Opens the files in a folder: those of workers 0, 1 and so on, as many as there are.
    ///
    /// # Errors
    /// A file is there and cannot be opened.
    pub(crate) fn open(folder: &Path) -> Result<Self, IngestError> {
        let mut files = Vec::new();
        for worker in 0.. {
            let of_worker =
                (0..WORKER_FILES).map(|file| StagedFile::open(file_path(folder, file_number(worker, file))));
            let of_worker = of_worker.collect::<Result<Vec<_>, _>>()?;
            // Each worker has the first one.
            if of_worker.first().is_none_or(Option::is_none) {
                break;
            }
            files.extend(of_worker);
        }
        Ok(Self { files })
    }

    /// Fills `bytes`, which is as long as the place, with what lies there.
    ///
    /// # Errors
    /// The file is shorter than it was written, or the disk refuses.
    pub(crate) fn read(&self, place: Place, bytes: &mut [u8]) -> Result<(), IngestError> {
        let Some(StagedFile { path, file, .. }) = self.file(place) else {
            return Err(IngestError::StagedBlock {
                expected: format!("one of {} staging files", self.files.len()),
                found: format!("number {}", place.file),
            });
        };
        let read = reach(Point::BlockReading).and_then(|()| file.read_exact_at(bytes, place.offset));
        read.map_err(IngestError::io("reading", path))
    }

    /// A block of records was read for the last time. Told of each once. The room of a file is given back with its last block.
    pub(crate) fn was_used(&self, place: Place) {
        let bytes = u64::from(place.bytes);
        if let Some(file) = self.file(place)
            && file.left.fetch_sub(bytes, Ordering::AcqRel) == bytes
        {
            file.discard();
        }
    }

    /// Gives the room of all files back. Nothing can be read from then on.
    pub(crate) fn discard(&self) {
        self.files.iter().flatten().for_each(StagedFile::discard);
    }

    fn file(&self, place: Place) -> Option<&StagedFile> {
        self.files.get(place.file as usize)?.as_ref()
    }

    /// A batch that [`super::StagingWriter::append`] staged.
    ///
    /// # Errors
    /// As [`Self::read`], or the bytes are not those of a batch.
    pub(crate) fn batch(&self, place: Place) -> Result<RecordBatch, IngestError> {
        let mut bytes = vec![0; place.bytes()];
        self.read(place, &mut bytes)?;
        let batch = StreamReader::try_new(Cursor::new(&bytes), None)?.next().transpose()?;
        batch.ok_or_else(|| IngestError::StagedBlock { expected: "a batch".into(), found: "none".into() })
    }
}

impl StagedFile {
    /// `None` where there is no such file.
    fn open(path: PathBuf) -> Result<Option<Self>, IngestError> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((bytes, file)) => Ok(Some(Self { path, file, left: AtomicU64::new(bytes) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(IngestError::io("opening", &path)(error)),
        }
    }

    /// Gives its room back. What cannot be given back now goes with the staging folder, or is swept by the next run.
    fn discard(&self) {
        let _ = File::options().write(true).open(&self.path).and_then(|file| file.set_len(0));
    }
}
