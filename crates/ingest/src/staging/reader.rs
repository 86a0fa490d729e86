//! Reads staged blocks. One reader serves all threads.

use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use keytrail_store::failpoint::{Point, reach};

use super::{Place, file_path};
use crate::error::IngestError;

/// The staging files of a run, open for reading.
pub(crate) struct StagingReader {
    files: Vec<(PathBuf, File)>,
}

impl StagingReader {
    /// Opens the files in a folder: those of workers 0, 1 and so on, as many as there are.
    ///
    /// # Errors
    /// A file is there and cannot be opened.
    pub(crate) fn open(folder: &Path) -> Result<Self, IngestError> {
        let mut files = Vec::new();
        for path in (0..).map(|number| file_path(folder, number)) {
            match File::open(&path) {
                Ok(file) => files.push((path, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(IngestError::io("opening", &path)(error)),
            }
        }
        Ok(Self { files })
    }

    /// Fills `bytes`, which is as long as the place, with what lies there.
    ///
    /// # Errors
    /// The file is shorter than it was written, or the disk refuses.
    pub(crate) fn read(&self, place: Place, bytes: &mut [u8]) -> Result<(), IngestError> {
        let Some((path, file)) = self.files.get(place.file as usize) else {
            return Err(IngestError::StagedBlock {
                expected: format!("one of {} staging files", self.files.len()),
                found: format!("number {}", place.file),
            });
        };
        let read = reach(Point::BlockReading).and_then(|()| file.read_exact_at(bytes, place.offset));
        read.map_err(IngestError::io("reading", path))
    }

    /// Gives the room of the files back. Nothing can be read from then on.
    ///
    /// What cannot be given back now goes with the staging folder, or is swept by the next run.
    pub(crate) fn discard(&self) {
        for (path, _) in &self.files {
            let _ = File::options().write(true).open(path).and_then(|file| file.set_len(0));
        }
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
