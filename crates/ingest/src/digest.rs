//! The identity of an archive: the SHA-256 of its file, and the proof that the file did not change while it was read.
//!
//! A file that fits into memory is read once: what is hashed is what is decoded. A larger one is read twice, and held against its
//! length and time of change at the end.

use std::fmt::Display;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Instant, SystemTime};

use keytrail_store::failpoint::{Point, reach};
use sha2::{Digest, Sha256};

use crate::ahead::is_slow;
use crate::pages::Buffer;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// An archive file as it was when it was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileDigest {
    /// SHA-256 of all its bytes, lower-case hex.
    pub(crate) sha256: String,
    /// Its length, as read.
    pub(crate) bytes: u64,
    stamp: Stamp,
}

/// What shows that a file changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok() }
    }

    /// That of the file as it is now.
    pub(crate) fn now(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&std::fs::metadata(path)?))
    }
}

/// Why nothing is said about an archive that did not stay the same.
pub(crate) const CHANGED: &str = "the file changed while it was read";

/// Why nothing is said about an archive that the system did not let us read.
pub(crate) fn cannot_be_read(error: impl Display) -> String {
    format!("cannot be read: {error}")
}

/// What came of reading a file into memory.
pub(crate) enum FileRead {
    /// All of it is there; and whether it came from a disk, to judge by the time that took.
    Read(FileDigest, bool),
    /// It is larger than was asked for.
    TooLarge,
    /// It did not stay the same meanwhile.
    Changed,
}

impl FileDigest {
    /// Hashes a regular file, and leaves nothing of it in memory.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        let metadata = file.metadata()?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut bytes = 0;
        loop {
            let count = read_once(&mut file, &mut chunk)?;
            if count == 0 {
                break;
            }
            hasher.update(chunk.get(..count).unwrap_or_default());
            bytes += count as u64;
        }
        Ok(Self { sha256: format!("{:x}", hasher.finalize()), bytes, stamp: Stamp::of(&metadata) })
    }

    /// Reads a regular file of at most `bytes_max` into a buffer, and hashes it there.
    pub(crate) fn read(path: &Path, buffer: &mut Buffer, bytes_max: usize) -> io::Result<FileRead> {
        let mut file = open(path)?;
        let stamp = Stamp::of(&file.metadata()?);
        let length = usize::try_from(stamp.bytes).ok().filter(|length| *length <= bytes_max);
        // What one large file needed is not kept for small ones: members are inflated beside the file, within the same budget.
        if length.is_some_and(|length| buffer.held() > bytes_max / 8 && buffer.held() / 2 > length) {
            buffer.release();
        }
        let Some(room) = length.and_then(|length| buffer.room(length, bytes_max / 8)) else {
            return Ok(FileRead::TooLarge);
        };
        let (mut hasher, mut filled, mut slow) = (Sha256::new(), 0, false);
        while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            // A piece at a time: it is hashed while it is in the cache.
            let piece = rest.len().min(CHUNK_BYTES);
            let piece = rest.get_mut(..piece).unwrap_or_default();
            let started = Instant::now();
            match read_once(&mut file, piece)? {
                0 => return Ok(FileRead::Changed),
                count => {
                    slow |= is_slow(count, started.elapsed());
                    hasher.update(piece.get(..count).unwrap_or_default());
                    filled += count;
                }
            }
        }
        if read_once(&mut file, &mut [0; 1])? > 0 || Stamp::of(&file.metadata()?) != stamp {
            return Ok(FileRead::Changed);
        }
        Ok(FileRead::Read(Self { sha256: format!("{:x}", hasher.finalize()), bytes: stamp.bytes, stamp }, slow))
    }

    /// Whether the file still has the length and the time of change that it had when it was hashed: what is decoded after hashing
    /// is filed under the hash, so a file that changed in between must not be.
    pub(crate) fn is_current(&self, path: &Path) -> bool {
        self.bytes == self.stamp.bytes && Stamp::now(path).is_ok_and(|now| now == self.stamp)
    }

    /// Whether the file had this stamp when it was hashed.
    pub(crate) fn is_of(&self, stamp: &Stamp) -> bool {
        self.stamp == *stamp
    }
}

/// Opens a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Asked before opening: to open a pipe is to wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
    }
    File::open(path)
}

fn read_once(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    reach(Point::ArchiveReading)?;
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
