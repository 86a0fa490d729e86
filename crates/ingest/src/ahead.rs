//! Asks the system for archives before their turn comes, where they come from a disk.
//!
//! A thread that reads one small file after the other waits for the disk each time, and the disk for the thread. What is asked for early
//! is read meanwhile, many files at once. Small files that the system holds in memory anyway are not asked for: to ask takes some 3 microseconds.
//! Of large ones the next few always are: to ask for one takes a thousandth of what it takes to decode it.
//! It changes nothing but speed, so nothing here fails.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Files among which two have to come from a disk: a single one may have been slow for other reasons.
const NEAR: usize = 8;
/// Files that are asked for early, and their bytes, at most; the next file in any case.
const FILES_MAX: usize = 64;
const BYTES_MAX: u64 = 16 << 20;
/// Length of a file from which on it is asked for in any case, and how many of them at most.
const LARGE_BYTES: u64 = 1 << 20;
const LARGE_FILES: usize = 2;
/// To read what is in memory takes less than the first, and the second for each byte: a multiple of what it takes on slow machines.
const FAST_READ: Duration = Duration::from_micros(50);
const FAST_KIBIBYTE: Duration = Duration::from_nanos(500);

/// Whether bytes came from a disk, to judge by how long it took to read them at once.
pub(crate) fn is_slow(bytes: usize, took: Duration) -> bool {
    took > FAST_READ + FAST_KIBIBYTE.saturating_mul(u32::try_from(bytes / 1024).unwrap_or(u32::MAX))
}

/// How far the files of a run were asked for; they are read in the order in which they stand.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    /// The first file that was not asked for yet.
    asked: AtomicUsize,
    /// The newest file that came from a disk, counted from 1.
    slow: AtomicUsize,
    /// The first file for which files are taken to be in memory again.
    slow_until: AtomicUsize,
}

impl ReadAhead {
    /// A file was read that the system did not hold in memory.
    pub(crate) fn was_slow(&self, file: usize) {
        let before = self.slow.swap(file + 1, Ordering::Relaxed);
        if before > 0 && before.abs_diff(file + 1) <= NEAR {
            self.slow_until.fetch_max(file + 1 + FILES_MAX, Ordering::Relaxed);
        }
    }

    /// The files to ask for before a file is read, given by its place, and the lengths of those behind it. Each file once.
    pub(crate) fn wanted(&self, file: usize, lengths: impl Iterator<Item = u64>) -> Range<usize> {
        let next = file + 1;
        let is_slow = self.slow_until.load(Ordering::Relaxed) >= next;
        let (files, least) = if is_slow { (FILES_MAX, 0) } else { (LARGE_FILES, LARGE_BYTES) };
        let mut bytes = 0;
        let fits = |length: &u64| {
            let is_first = bytes == 0;
            bytes += length.max(&1);
            *length >= least && (is_first || bytes <= BYTES_MAX)
        };
        let end = next + lengths.take(files).take_while(fits).count();
        let asked = self.asked.fetch_max(end, Ordering::Relaxed);
        asked.clamp(next, end)..end
    }
}

/// Asks for a file, or for the start of a very long one.
pub(crate) fn ask_for(path: &Path) {
    ask_for_start(path, BYTES_MAX);
}

/// Asks for so many bytes at the start of a file.
#[cfg(target_os = "linux")]
pub(crate) fn ask_for_start(path: &Path, bytes: u64) {
    use std::num::NonZeroU64;

    use rustix::fs::{Advice, Mode, OFlags, fadvise, open};

    // Nothing waits for the writer of a pipe.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    if let Ok(file) = open(path, flags, Mode::empty()) {
        let _ = fadvise(&file, 0, NonZeroU64::new(bytes), Advice::WillNeed);
    }
}

/// Elsewhere each file is waited for.
#[cfg(not(target_os = "linux"))]
pub(crate) fn ask_for_start(_path: &Path, _bytes: u64) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_asked_for_once_while_the_disk_is_slow() {
        let ahead = ReadAhead::default();
        let lengths = [1000; 500];
        let wanted = |file| ahead.wanted(file, lengths.into_iter().skip(file + 1));
        assert_eq!(wanted(0).len(), 0, "nothing is known of the disk");
        ahead.was_slow(0);
        ahead.was_slow(1);
        assert_eq!(wanted(2), 3..67);
        assert_eq!(wanted(2), 67..67, "each once");
        assert_eq!(wanted(4), 67..69, "by whichever thread");
        assert_eq!(wanted(3).len(), 0);
        assert_eq!(wanted(65), 69..130);
        assert_eq!(wanted(66).len(), 0, "all were fast since");
        ahead.was_slow(400 - NEAR);
        ahead.was_slow(400);
        assert_eq!(wanted(450), 451..500, "no more than there are");
        assert_eq!(wanted(499).len(), 0);
    }

    #[test]
    fn the_next_large_files_are_asked_for_however_fast_the_disk_is() {
        let wanted = |lengths: &[u64]| ReadAhead::default().wanted(0, lengths.iter().copied());
        let large = LARGE_BYTES;
        assert_eq!(wanted(&[large; 9]), 1..3);
        assert_eq!(wanted(&[large, large - 1, large]), 1..2);
        assert_eq!(wanted(&[large - 1, large]), 1..1);
        assert_eq!(wanted(&[BYTES_MAX, large]), 1..2);
        let ahead = ReadAhead::default();
        let wanted = |file| ahead.wanted(file, [large; 9].into_iter().skip(file + 1));
        assert_eq!([wanted(0), wanted(2), wanted(1), wanted(7), wanted(8)], [1..3, 3..5, 4..4, 8..9, 9..9]);
    }

    #[test]
    fn one_slow_file_may_be_chance() {
        for (files, disk) in [
            (vec![3], false),
            (vec![3, 4 + NEAR, 5 + 2 * NEAR], false),
            (vec![3, 3 + NEAR], true),
            (vec![3 + NEAR, 3], true),
        ] {
            let ahead = ReadAhead::default();
            files.iter().for_each(|&file| ahead.was_slow(file));
            assert_eq!(!ahead.wanted(20, [1].into_iter()).is_empty(), disk, "{files:?}");
        }
    }

    #[test]
    fn large_files_are_asked_for_one_at_a_time() {
        for (lengths, expected) in [
            ([BYTES_MAX / 4; 9], 1..5),
            ([BYTES_MAX / 4 + 1; 9], 1..4),
            ([BYTES_MAX; 9], 1..2),
            ([u64::MAX / 16; 9], 1..2),
            ([0; 9], 1..9),
        ] {
            let ahead = ReadAhead::default();
            (0..2).for_each(|_| ahead.was_slow(0));
            assert_eq!(ahead.wanted(0, lengths.into_iter().skip(1)), expected);
        }
    }

    #[test]
    fn what_is_slow_depends_on_the_length() {
        for (bytes, micros, slow) in [
            (0, 50, false),
            (1023, 51, true),
            (256 << 10, 178, false),
            (256 << 10, 179, true),
            (usize::MAX, 1 << 30, false),
        ] {
            assert_eq!(is_slow(bytes, Duration::from_micros(micros)), slow, "{bytes} {micros}");
        }
    }

    #[test]
    fn what_is_no_file_is_asked_for_in_vain() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        [file.as_path(), folder.path(), Path::new("/dev/null"), Path::new("nowhere")].into_iter().for_each(ask_for);
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
    }
}
