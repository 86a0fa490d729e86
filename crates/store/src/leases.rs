//! Leases: what keeps the files of a snapshot on the disk while somebody reads it.
//!
//! A commit that removes files (a compaction, a removal of months) starts a new epoch, named by its version. Every snapshot belongs to
//! the epoch of the last such commit, and its readers hold a shared lock on `STORE/_readers/<epoch>`. Files that version R removed are
//! needed by snapshots of earlier epochs only, so they may go once no lock is held on any earlier file. The system drops a lock when its
//! holder ends, however it ends.
//!
//! The writer makes the file before the commit that starts its epoch, and locking it takes no right to write: readers who may only read have
//! leases too, and reading changes nothing in a store. Where there is no file (an earlier keytrail wrote the store) or it cannot be
//! locked, a snapshot has no lease, and what it reads is kept by the grace period alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::failpoint::{Point, reach};
use crate::folder::entries;
use crate::layout::{self, Layout};
use crate::{StoreError, durable};

/// A shared lock on the file of an epoch, held until the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    _file: Arc<File>,
}

impl Lease {
    /// Takes the lease of an epoch; `None` where there is no file to lock, or it cannot be locked. Waits only
    /// for the instant in which a writer looks whether anybody reads.
    ///
    /// The caller looks afterwards whether its snapshot is still the last one. If it is, nobody who looked before can be removing what
    /// it needs, and everybody who looks later sees the lease.
    pub(crate) fn take(layout: &Layout, epoch: u64) -> Option<Self> {
        let file = File::open(layout.readers().join(layout::reader_name(epoch))).ok()?;
        file.lock_shared().ok()?;
        Some(Self { _file: Arc::new(file) })
    }
}

/// Makes the file that readers of an epoch lock, so that those without the right to write find it.
pub(crate) fn prepare(layout: &Layout, epoch: u64) -> Result<(), StoreError> {
    let folder = layout.readers();
    let path = folder.join(layout::reader_name(epoch));
    if path.exists() {
        return Ok(());
    }
    // Nobody reads any more after a power cut: no name here need outlast one.
    durable::make_folder(&folder)?;
    let made = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    made.and_then(|_| reach(Point::LeaseMade)).map_err(StoreError::io("make the file that readers lock", &path))
}

/// The earliest epoch before `epoch` that somebody reads in.
pub(crate) fn earliest_before(layout: &Layout, epoch: u64) -> Result<Option<u64>, StoreError> {
    let mut earliest: Option<u64> = None;
    each_before(layout, epoch, &mut |of, _, is_read| {
        if is_read {
            earliest = Some(earliest.map_or(of, |earliest| earliest.min(of)));
        }
    })?;
    Ok(earliest)
}

/// Removes the files of epochs before `epoch` in which nobody reads.
///
/// For the writer only, whose last commit started `epoch` or came later: no reader can come to hold an earlier one after that.
pub(crate) fn remove_over(layout: &Layout, epoch: u64) -> Result<(), StoreError> {
    each_before(layout, epoch, &mut |_, path, is_read| {
        if !is_read {
            // A reader that opened it a moment ago and locks it now looks at the log again, and comes back to the new epoch.
            let _ = fs::remove_file(path);
        }
    })
}

/// Calls `each` with every epoch before `epoch`, its file, and whether somebody reads in it. Otherwise the file is locked meanwhile.
fn each_before(layout: &Layout, epoch: u64, each: &mut dyn FnMut(u64, &Path, bool)) -> Result<(), StoreError> {
    for entry in entries(&layout.readers())? {
        let Some(of) = entry.file_name().to_str().and_then(|name| name.parse().ok()).filter(|&of| of < epoch) else {
            continue;
        };
        let path = entry.path();
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file.map_err(StoreError::io("open the file that readers lock", &path))?,
        };
        match file.try_lock() {
            Ok(()) => each(of, &path, false),
            Err(TryLockError::WouldBlock) => each(of, &path, true),
            Err(TryLockError::Error(source)) => {
                return Err(StoreError::Io { what: "lock the file that readers lock", path, source });
            }
        }
    }
    Ok(())
}
