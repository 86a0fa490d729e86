//! Reads staged blocks. One reader serves all threads.

use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use keytrail_store::failpoint::{Point, reach};

use super::memory::MemoryBlocks;
use super::{Place, StagedInMemory, Unused, WORKER_FILES, file_number, file_path};
use crate::error::IngestError;

/// The staging files of a run, open for reading, and what was staged in memory.
pub(crate) struct StagingReader {
    /// By number; workers did not need all.
    parts: Vec<Option<Part>>,
}

enum Part {
    File(StagedFile),
    Memory(MemoryBlocks),
}

struct StagedFile {
    path: PathBuf,
    file: File,
    unused: Unused,
}

impl StagingReader {
    /// Opens the files in a folder: those of workers 0, 1 and so on, as many as there are, each with what it staged in memory.
    ///
    /// # Errors
    /// A file is there and cannot be opened.
    pub(crate) fn open(folder: &Path, memory: Vec<StagedInMemory>) -> Result<Self, IngestError> {
        let mut parts = Vec::new();
        for worker in 0.. {
            let of_worker =
                (0..WORKER_FILES).map(|file| StagedFile::open(file_path(folder, file_number(worker, file))));
            let of_worker = of_worker.collect::<Result<Vec<_>, _>>()?;
            // Each worker has the first one.
            if of_worker.first().is_none_or(Option::is_none) {
                break;
            }
            parts.extend(of_worker.into_iter().map(|file| file.map(Part::File)));
            // The place of its memory.
            parts.push(None);
        }
        for StagedInMemory { number, blocks } in memory {
            if let Some(place) = parts.get_mut(number as usize) {
                *place = Some(Part::Memory(blocks));
            }
        }
        Ok(Self { parts })
    }

    /// A block that was staged in memory, without a copy; `None` of others.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn in_memory(&self, place: Place) -> Result<Option<Bytes>, IngestError> {
        match self.part(place)? {
            Part::Memory(blocks) => Ok(Some(blocks.block(place).ok_or_else(given_back)?)),
            Part::File(_) => Ok(None),
        }
    }

    /// Fills `bytes`, which is as long as the place, with what lies there.
    ///
    /// # Errors
    /// The file is shorter than it was written, or the disk refuses; or what lay there was given back.
    pub(crate) fn read(&self, place: Place, bytes: &mut [u8]) -> Result<(), IngestError> {
        match self.part(place)? {
            Part::File(StagedFile { path, file, .. }) => {
                let read = reach(Point::BlockReading).and_then(|()| file.read_exact_at(bytes, place.offset));
                read.map_err(IngestError::io("reading", path))
            }
            Part::Memory(blocks) => {
                let block = blocks.block(place).filter(|block| block.len() == bytes.len()).ok_or_else(given_back)?;
                bytes.copy_from_slice(&block);
                Ok(())
            }
        }
    }

    /// A block of records was read for the last time. Told of each once. The room of a file is given back with its last block.
    pub(crate) fn was_used(&self, place: Place) {
        match self.part(place) {
            Ok(Part::File(file)) => file.was_used(place),
            Ok(Part::Memory(blocks)) => blocks.was_used(place),
            Err(_) => {}
        }
    }

    /// Gives the room of all files back. Nothing can be read from then on.
    pub(crate) fn discard(&self) {
        for part in self.parts.iter().flatten() {
            match part {
                Part::File(file) => file.discard(),
                Part::Memory(blocks) => blocks.discard(),
            }
        }
    }

    fn part(&self, place: Place) -> Result<&Part, IngestError> {
        self.parts.get(place.file as usize).and_then(Option::as_ref).ok_or_else(|| IngestError::StagedBlock {
            expected: format!("one of {} parts of the staging area", self.parts.len()),
            found: format!("number {}", place.file),
        })
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

fn given_back() -> IngestError {
    IngestError::StagedBlock { expected: "a block in memory".into(), found: "memory that was given back".into() }
}

impl StagedFile {
    /// `None` where there is no such file.
    fn open(path: PathBuf) -> Result<Option<Self>, IngestError> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((bytes, file)) => Ok(Some(Self { path, file, unused: Unused::of(bytes) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(IngestError::io("opening", &path)(error)),
        }
    }

    fn was_used(&self, place: Place) {
        if self.unused.use_up(place) {
            self.discard();
        }
    }

    /// Gives its room back. What cannot be given back now goes with the staging folder, or is swept by the next run.
    fn discard(&self) {
        let _ = File::options().write(true).open(&self.path).and_then(|file| file.set_len(0));
    }
}
