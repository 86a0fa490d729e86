//! Reads staged blocks. One reader serves all threads.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use keytrail_store::failpoint::{Point, reach};

use super::memory::{MEMORY, MemoryRoom};
use super::{Place, Unused, WORKER_FILES, file_number, file_path};
use crate::error::IngestError;

/// The staging files of a run, open for reading, and what was staged in memory.
pub(crate) struct StagingReader {
    /// By number; workers did not need all.
    files: Vec<Option<StagingFile>>,
    memory: Arc<MemoryRoom>,
}

struct StagingFile {
    path: PathBuf,
    file: File,
    /// `None` where a worker may still append to it.
    unused: Option<Unused>,
}

impl StagingReader {
    /// Opens the files in a folder, those of workers 0, 1 and so on, as many as there are, and what they staged in memory. No more comes.
    ///
    /// # Errors
    /// A file is there and cannot be opened.
    pub(crate) fn open(folder: &Path, memory: Arc<MemoryRoom>) -> Result<Self, IngestError> {
        memory.complete();
        let mut files = Vec::new();
        for worker in 0.. {
            let of_worker =
                (0..WORKER_FILES).map(|file| StagingFile::open(file_path(folder, file_number(worker, file))));
            let of_worker = of_worker.collect::<Result<Vec<_>, _>>()?;
            // Each worker has the first one.
            if of_worker.first().is_none_or(Option::is_none) {
                break;
            }
            files.extend(of_worker);
        }
        Ok(Self { files, memory })
    }

    /// Opens the files in a folder that hold some places, while workers still append to them. What was used of such a file is given back by
    /// [`Self::release`] only.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(crate) fn open_some(
        folder: &Path,
        memory: Arc<MemoryRoom>,
        places: impl Iterator<Item = Place>,
    ) -> Result<Self, IngestError> {
        let mut files = Vec::new();
        for number in places.map(|place| place.file).filter(|file| *file != MEMORY).collect::<BTreeSet<u32>>() {
            files.resize_with(number as usize, || None);
            let file = StagingFile::open(file_path(folder, number))?;
            files.push(file.map(|file| StagingFile { unused: None, ..file }));
        }
        Ok(Self { files, memory })
    }

    /// A block that was staged in memory, without a copy; `None` of others.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn in_memory(&self, place: Place) -> Result<Option<Bytes>, IngestError> {
        match place.file {
            MEMORY => Ok(Some(self.memory.block(place).ok_or_else(given_back)?)),
            _ => Ok(None),
        }
    }

    /// Fills `bytes`, which is as long as the place, with what lies there.
    ///
    /// # Errors
    /// The file is shorter than it was written, or the disk refuses; or what lay there was given back.
    pub(crate) fn read(&self, place: Place, bytes: &mut [u8]) -> Result<(), IngestError> {
        if let Some(block) = self.in_memory(place)? {
            bytes.get_mut(..block.len()).ok_or_else(given_back)?.copy_from_slice(&block);
            return Ok(());
        }
        let StagingFile { path, file, .. } = self.file(place)?;
        let read = reach(Point::BlockReading).and_then(|()| file.read_exact_at(bytes, place.offset));
        read.map_err(IngestError::io("reading", path))
    }

    /// A block of records was read for the last time. Told of each once. The room of a file is given back with its last block.
    pub(crate) fn was_used(&self, place: Place) {
        if place.file == MEMORY {
            self.memory.give_back(place.offset);
        } else if let Ok(file) = self.file(place) {
            file.was_used(place);
        }
    }

    /// Gives back what some places take in files, whatever else is there. Where the system cannot do that, it is given back with the staging folder.
    pub(crate) fn release(&self, places: impl Iterator<Item = Place>) {
        let mut places: Vec<Place> = places.collect();
        places.sort_unstable_by_key(|place| (place.file, place.offset));
        for side_by_side in places.chunk_by(|one, next| one.file == next.file && one.end() == next.offset) {
            if let (Some(first), Some(last)) = (side_by_side.first(), side_by_side.last())
                && let Ok(file) = self.file(*first)
            {
                file.release(first.offset, last.end() - first.offset);
            }
        }
    }

    /// Gives the room of all files back. Nothing can be read from then on.
    pub(crate) fn discard(&self) {
        self.files.iter().flatten().for_each(StagingFile::discard);
        self.memory.discard();
    }

    fn file(&self, place: Place) -> Result<&StagingFile, IngestError> {
        self.files.get(place.file as usize).and_then(Option::as_ref).ok_or_else(|| IngestError::StagedBlock {
            expected: format!("one of {} files of the staging area", self.files.len()),
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

impl StagingFile {
    /// `None` where there is no such file.
    fn open(path: PathBuf) -> Result<Option<Self>, IngestError> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((bytes, file)) => Ok(Some(Self { path, file, unused: Some(Unused::of(bytes)) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(IngestError::io("opening", &path)(error)),
        }
    }

    fn was_used(&self, place: Place) {
        if self.unused.as_ref().is_some_and(|unused| unused.use_up(place)) {
            self.discard();
        }
    }

    #[cfg(target_os = "linux")]
    fn release(&self, offset: u64, bytes: u64) {
        use rustix::fs::{FallocateFlags, fallocate};
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = File::options().write(true).open(&self.path).map(|file| fallocate(file, hole, offset, bytes));
    }

    #[cfg(not(target_os = "linux"))]
    fn release(&self, _offset: u64, _bytes: u64) {}

    /// Gives its room back. What cannot be given back now goes with the staging folder, or is swept by the next run.
    fn discard(&self) {
        let _ = File::options().write(true).open(&self.path).and_then(|file| file.set_len(0));
    }
}
