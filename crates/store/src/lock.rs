//! The right to write: one process at a time, by an exclusive lock of the operating system on a file of the store.
//!
//! The system drops the lock when its holder ends, however it ends, so a killed run never blocks the next one.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::StoreError;

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock; where another holds it, calls `on_wait` once and waits.
    pub(crate) fn take(path: &Path, on_wait: &mut dyn FnMut()) -> Result<Self, StoreError> {
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = open.map_err(StoreError::io("open the lock", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                on_wait();
                file.lock().map_err(StoreError::io("wait for the lock", path))?;
            }
            Err(TryLockError::Error(source)) => {
                return Err(StoreError::Io { what: "take the lock", path: path.to_owned(), source });
            }
        }
        Ok(Self { _file: file })
    }
}
