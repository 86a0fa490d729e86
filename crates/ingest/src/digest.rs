//! The identity of an archive: the SHA-256 of its file, and the proof that the file did not change while it was read.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

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

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl FileDigest {
    /// Hashes a regular file.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        // Asked before opening: to open a pipe is to wait for its writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
        }
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut bytes = 0;
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            hasher.update(chunk.get(..count).unwrap_or_default());
            bytes += count as u64;
        }
        Ok(Self { sha256: format!("{:x}", hasher.finalize()), bytes, stamp: Stamp::of(&metadata) })
    }

    /// Whether the file still has the length and the time of change that it had when it was hashed: what is decoded after hashing
    /// is filed under the hash, so a file that changed in between must not be.
    pub(crate) fn is_current(&self, path: &Path) -> bool {
        self.bytes == self.stamp.bytes && std::fs::metadata(path).is_ok_and(|now| Stamp::of(&now) == self.stamp)
    }
}
