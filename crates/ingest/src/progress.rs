//! What a run tells about how far it is, while it is under way.
//!
//! An observer is called from any thread, often, and is waited for: it should only add up numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of an archive after which its reading is told, while it goes on.
const STEP_BYTES: u64 = 4 << 20;

/// A step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The files to look at are known. Told first; told again where a run starts over, and then all that was told before is void.
    Found {
        /// How many.
        archives: u64,
        /// Their lengths in all.
        bytes: u64,
    },
    /// More of a large archive was read.
    Read {
        /// Bytes of the file since the last time.
        bytes: u64,
    },
    /// An archive is done with, well or not. Told once for each; with the bytes of [`Self::Read`] these add up to those of
    /// [`Self::Found`].
    Archive {
        /// Bytes of the file that were not told yet.
        bytes: u64,
    },
    /// The files of the store are being written.
    Writing {
        /// Files done.
        done: u64,
        /// Files to write.
        of: u64,
    },
}

/// Who is told.
pub(crate) type Observer<'a> = &'a (dyn Fn(Progress) + Sync);

/// Tells of one archive, and never of more bytes than it was found with.
pub(crate) struct ArchiveProgress<'a> {
    observer: Observer<'a>,
    bytes: u64,
    read: AtomicU64,
    told: AtomicU64,
}

impl<'a> ArchiveProgress<'a> {
    pub(crate) fn new(observer: Observer<'a>, bytes: u64) -> Self {
        Self { observer, bytes, read: AtomicU64::new(0), told: AtomicU64::new(0) }
    }

    /// Bytes were read. Called by one thread at a time.
    pub(crate) fn read(&self, bytes: usize) {
        let read = self.read.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let told = self.told.load(Ordering::Relaxed);
        let news = read.min(self.bytes).saturating_sub(told);
        if news >= STEP_BYTES {
            self.told.store(told + news, Ordering::Relaxed);
            (self.observer)(Progress::Read { bytes: news });
        }
    }

    pub(crate) fn done(self) {
        (self.observer)(Progress::Archive { bytes: self.bytes.saturating_sub(self.told.into_inner()) });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn bytes_add_up_whatever_is_read() {
        let mebi = 1 << 20;
        // Length found, then what is read: nothing, all of it, twice as much, less than a step at a time.
        for (bytes, reads) in [(0, vec![]), (9, vec![9]), (9 * mebi, vec![9 << 20; 2]), (9 * mebi, vec![1 << 20; 9])] {
            let told = Mutex::new(Vec::new());
            let observer = |progress| told.lock().unwrap().push(progress);
            let archive = ArchiveProgress::new(&observer, bytes);
            reads.iter().for_each(|bytes| archive.read(*bytes));
            archive.done();
            let told = told.into_inner().unwrap();
            let of = |progress: &Progress| match progress {
                Progress::Read { bytes } | Progress::Archive { bytes } => *bytes,
                _ => 0,
            };
            assert_eq!(told.iter().map(of).sum::<u64>(), bytes, "{told:?}");
            assert!(matches!(told.last(), Some(Progress::Archive { .. })), "{told:?}");
        }
    }
}
