//! Freeing files that commits removed: they leave the table with the commit, and the disk when nobody can need them any more.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use crate::failpoint::{Point, reach};
use crate::layout::Layout;
use crate::snapshot::RemovedFile;
use crate::{Snapshot, StoreError, Writer, leases};

/// How long removed files stay where nothing else is asked for: longer than a query takes, for readers that hold no lease (other engines,
/// users who may not even read the file that leases lock).
pub const DEFAULT_GRACE: Duration = Duration::from_secs(3600);

/// What a clean-up freed, or would free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Freed files, sorted by path.
    pub freed: Vec<FreeFile>,
    /// Files that stay because their grace has not passed yet.
    pub in_grace: Vec<FreeFile>,
    /// Files that stay because a reader may need them.
    pub held: Vec<FreeFile>,
    /// Files that stay because another program removed them from the table: what they hold may be nowhere else.
    pub foreign: Vec<FreeFile>,
}

/// A data file that is on the disk and no longer in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeFile {
    /// Path relative to the root of the store.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
}

impl Vacuumed {
    /// Bytes of some of the files.
    #[must_use]
    pub fn bytes(files: &[FreeFile]) -> u64 {
        files.iter().map(|file| file.bytes).sum()
    }

    /// Files and bytes that stay for now, and will go.
    #[must_use]
    pub fn waiting(&self) -> (usize, u64) {
        (self.in_grace.len() + self.held.len(), Self::bytes(&self.in_grace) + Self::bytes(&self.held))
    }
}

impl Snapshot {
    /// Files that commits removed from the table and that are still on the disk, sorted by path. While there are any, a plain glob over
    /// the table reads rows twice, or rows that are gone.
    ///
    /// # Errors
    /// The operating system refuses to look at a file.
    pub fn pending(&self) -> Result<Vec<FreeFile>, StoreError> {
        Ok(self.removed_on_disk()?.into_iter().map(|(_, file)| file).collect())
    }

    /// What [`Writer::vacuum`] would do now, `now` being microseconds since the epoch. Nothing is deleted.
    ///
    /// # Errors
    /// The operating system refuses to look.
    pub fn vacuumable(&self, now: i64, grace: Duration) -> Result<Vacuumed, StoreError> {
        let grace = i64::try_from(grace.as_micros()).unwrap_or(i64::MAX);
        // A commit whose clock was ahead is not of the future: without a grace it is due, as any other.
        self.sort_out(&|removed| now.saturating_sub(removed.removed_at).max(0) >= grace)
    }

    /// Sorts removed files by what may become of them; `due` are those whose grace has passed.
    fn sort_out(&self, due: &dyn Fn(&RemovedFile) -> bool) -> Result<Vacuumed, StoreError> {
        let earliest = leases::earliest_before(&Layout::new(self.root()), self.epoch)?;
        let mut vacuumed = Vacuumed::default();
        for (removed, file) in self.removed_on_disk()? {
            if !removed.is_ours {
                vacuumed.foreign.push(file);
            } else if !due(removed) {
                vacuumed.in_grace.push(file);
            } else if earliest.is_some_and(|epoch| epoch < removed.version) {
                vacuumed.held.push(file);
            } else {
                vacuumed.freed.push(file);
            }
        }
        Ok(vacuumed)
    }

    fn removed_on_disk(&self) -> Result<Vec<(&RemovedFile, FreeFile)>, StoreError> {
        let mut found = Vec::new();
        for removed in &self.removed {
            let path = self.events_dir().join(&removed.path);
            match fs::symlink_metadata(&path) {
                Ok(metadata) => {
                    found.push((removed, FreeFile { path: format!("events/{}", removed.path), bytes: metadata.len() }));
                }
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(StoreError::io("look at the removed file", &path)(error)),
            }
        }
        Ok(found)
    }
}

impl Writer {
    /// Deletes data files that commits removed from the table at least `grace` before `now` (microseconds since the epoch), but for those
    /// that a reader of ours may need.
    ///
    /// # Errors
    /// The operating system refuses; what was deleted before stays deleted, which is right at any time.
    pub fn vacuum(&self, now: i64, grace: Duration) -> Result<Vacuumed, StoreError> {
        self.carry_out(self.snapshot().vacuumable(now, grace)?)
    }

    /// The same at once, for what the commit of one version removed.
    ///
    /// # Errors
    /// As [`Writer::vacuum`].
    pub fn free_removed_by(&self, version: u64) -> Result<Vacuumed, StoreError> {
        self.carry_out(self.snapshot().sort_out(&|removed| removed.version == version)?)
    }

    /// Deletes what is to be freed, and the files of epochs in which nobody reads any more.
    fn carry_out(&self, vacuumed: Vacuumed) -> Result<Vacuumed, StoreError> {
        vacuumed.freed.iter().try_for_each(|file| self.free(file))?;
        leases::remove_over(&self.layout, self.snapshot().epoch)?;
        Ok(vacuumed)
    }

    fn free(&self, file: &FreeFile) -> Result<(), StoreError> {
        let path = self.layout.root().join(&file.path);
        let removed = reach(Point::SweepRemoving).and_then(|()| fs::remove_file(&path));
        match removed.and_then(|()| reach(Point::SweepRemoved)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::io("delete the removed file", &path)(error));
            }
            _ => {}
        }
        // The folder of a month that is gone; one that holds files is refused.
        if let Some(folder) = path.parent() {
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}
