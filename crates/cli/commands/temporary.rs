//! Temporary stores, for archives that are in no store: one for each call of `read_archives`.
//!
//! Answers for their end. A folder goes when the program ends; where that was killed, the next program that makes one sweeps it. Whether a
//! program lives is told by a lock that it holds in its folder, and that the system takes from it however it ends.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::exit::say;

/// How the names of the folders begin.
const PREFIX: &str = "keytrail-archives-";
const LOCK: &str = "lock";
const STORE: &str = "store";

/// A folder with room for a store, which goes when this is dropped.
pub(super) struct TemporaryStore {
    folder: TempDir,
    _lock: File,
}

impl TemporaryStore {
    /// Makes a folder, and sweeps those that programs left behind.
    pub(super) fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let path = folder.path().join(LOCK);
        let lock = File::create_new(&path)?;
        if lock.lock().is_err() {
            // Nothing shows then that this program lives. A folder without the file is left alone.
            fs::remove_file(&path)?;
        }
        sweep(folder.path());
        Ok(Self { folder, _lock: lock })
    }

    /// Where the store belongs.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(STORE)
    }
}

/// Removes the folders beside `own` whose programs are gone, of the same user only: others' are theirs to remove, and nothing in them can
/// be trusted. What cannot be removed now is left for another time.
fn sweep(own: &Path) {
    let beside = own.parent().and_then(|place| fs::read_dir(place).ok());
    for entry in beside.into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_alike = name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && owner(&path) == owner(own);
        if is_alike
            && let Some(_lock) = lock_of_left(&path)
            && fs::remove_dir_all(&path).is_ok()
        {
            say(&format!("keytrail: swept {}, left by a run that was stopped", path.display()));
        }
    }
}

/// The lock of a folder whose program is gone. A program holds it before it makes a store, so one without a store may just be beginning.
fn lock_of_left(folder: &Path) -> Option<File> {
    if !folder.join(STORE).exists() {
        return None;
    }
    let lock = File::open(folder.join(LOCK)).ok()?;
    lock.try_lock().ok()?;
    Some(lock)
}

#[cfg(unix)]
fn owner(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().map(|folder| std::os::unix::fs::MetadataExt::uid(&folder))
}

/// Elsewhere each user has a temporary folder of their own.
#[cfg(not(unix))]
fn owner(_: &Path) -> Option<u32> {
    None
}
