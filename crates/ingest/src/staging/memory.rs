//! Staged blocks in memory, where a run has room for them.
//!
//! A run that is soon done spends a part of its time on making and removing staging files, and here its blocks are read where they lie. A run
//! that stages more than its memory holds stages in files from the start: what is written to files lies in the system's memory anyway, and to
//! fill fresh memory costs as much as to copy there and back. Unless it writes months [early](crate::early): then the memory of blocks that
//! were written is used again, and only what finds no room goes to files.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Place;
use crate::options::THREAD_BYTES;

/// What a run takes beside staged blocks and its threads, however much memory it may take, and for each archive.
const OTHER_BYTES: u64 = 96 << 20;
const ARCHIVE_BYTES: u64 = 4 << 10;
/// Bytes of a block from which on it stays in the memory that it was made in.
const LARGE_BYTES: usize = 256 << 10;

/// In place of the number of a file: then the place is the number of a block in memory.
pub(super) const MEMORY: u32 = u32::MAX;

/// The blocks of a run that are in memory, and how much more may be.
#[derive(Debug, Default)]
pub(crate) struct MemoryRoom {
    bytes_left: AtomicUsize,
    /// By number. `None` where a block is not needed any longer.
    blocks: Mutex<Vec<Option<Bytes>>>,
    /// Memory of large blocks, to be used again while more blocks are made.
    spare: Mutex<Vec<Vec<u8>>>,
    is_complete: AtomicBool,
}

impl MemoryRoom {
    /// The room in a run of so many threads that may take `memory_bytes`, for so many archives: what the run leaves, but not more than three
    /// eighths of its memory, since an archive and a member of it, which are held as a whole while they are decoded, may take half. `beside` is
    /// taken by what else is in memory at the same time.
    pub(crate) fn of(memory_bytes: u64, threads: usize, archives: usize, beside: u64) -> Self {
        let taken = OTHER_BYTES + THREAD_BYTES * threads as u64 + ARCHIVE_BYTES * archives as u64;
        let bytes = memory_bytes.saturating_sub(taken.saturating_add(beside)).min(memory_bytes / 8 * 3);
        Self { bytes_left: AtomicUsize::new(usize::try_from(bytes).unwrap_or(usize::MAX)), ..Self::default() }
    }

    /// Whether what archives of so many bytes in all hold has room at once: a record takes about as much in the staging area as in a ZIP.
    pub(crate) fn holds_all(&self, archive_bytes: u64) -> bool {
        archive_bytes <= self.bytes_left.load(Ordering::Relaxed) as u64
    }

    /// Takes a block out of a buffer; its number. `None`, and nothing is done, where there is no room for it. A large block takes the buffer with
    /// it and leaves another one.
    pub(super) fn put(&self, buffer: &mut Vec<u8>) -> Option<u64> {
        let is_large = buffer.len() >= LARGE_BYTES;
        let taken = if is_large { buffer.capacity() } else { buffer.len() };
        self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(taken)).ok()?;
        let block = if is_large {
            let spare = locked(&self.spare).pop();
            // The next one is about as long.
            let another = spare.unwrap_or_else(|| Vec::with_capacity(buffer.len() + buffer.len() / 16));
            std::mem::replace(buffer, another)
        } else {
            buffer.as_slice().to_vec()
        };
        let mut blocks = locked(&self.blocks);
        blocks.push(Some(block.into()));
        Some(blocks.len() as u64 - 1)
    }

    /// A block, where it lies.
    pub(super) fn block(&self, place: Place) -> Option<Bytes> {
        let blocks = locked(&self.blocks);
        let block = blocks.get(usize::try_from(place.offset).ok()?)?.clone();
        block.filter(|block| block.len() == place.bytes())
    }

    /// A block is not needed any longer: its memory is used again, or given back.
    pub(super) fn give_back(&self, number: u64) {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let block = locked(&self.blocks).get_mut(number).and_then(Option::take);
        // What somebody still reads is given back by him.
        let Some(block) = block.filter(Bytes::is_unique) else {
            return;
        };
        let buffer = Vec::from(block);
        self.bytes_left.fetch_add(buffer.capacity(), Ordering::Relaxed);
        if buffer.capacity() >= LARGE_BYTES && !self.is_complete.load(Ordering::Relaxed) {
            locked(&self.spare).push(buffer);
        }
    }

    /// No more blocks come: what is not needed any longer is given back from now on.
    pub(super) fn complete(&self) {
        self.is_complete.store(true, Ordering::Relaxed);
        locked(&self.spare).clear();
    }

    /// Gives all memory back.
    pub(super) fn discard(&self) {
        locked(&self.blocks).clear();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64, bytes: usize) -> Place {
        Place { file: MEMORY, bytes: u32::try_from(bytes).unwrap(), offset: number }
    }

    fn room(bytes: usize) -> MemoryRoom {
        MemoryRoom { bytes_left: AtomicUsize::new(bytes), ..MemoryRoom::default() }
    }

    fn left(room: &MemoryRoom) -> usize {
        room.bytes_left.load(Ordering::Relaxed)
    }

    #[test]
    fn room_is_what_a_run_leaves() {
        let beside = |memory: u64, threads, archives, beside: u64| {
            left(&MemoryRoom::of(memory << 20, threads, archives, beside << 20)) >> 20
        };
        let megabytes = |memory, threads, archives| beside(memory, threads, archives, 0);
        assert_eq!(megabytes(512, 2, 30), 192);
        assert_eq!(megabytes(512, 2, 100_000), 0, "what is kept of so many archives takes it all");
        assert_eq!(megabytes(512, 8, 365), 94);
        assert_eq!(megabytes(170, 2, 1), 0);
        assert_eq!(megabytes(0, 1, 1), 0);
        assert_eq!(megabytes(8192, 2, 365), 3072);
        assert_eq!([beside(512, 2, 30, 100), beside(512, 2, 30, 200), beside(512, 2, 30, 999)], [192, 135, 0]);
        assert!(MemoryRoom::of(512 << 20, 2, 30, 0).holds_all(192 << 20));
        assert!(!MemoryRoom::of(512 << 20, 2, 30, 0).holds_all(193 << 20));
        assert!(MemoryRoom::default().holds_all(0));
    }

    #[test]
    fn blocks_are_read_as_they_were_put() {
        let lengths = [0, 1, LARGE_BYTES - 1, LARGE_BYTES, 3 * LARGE_BYTES, 5];
        let room = room(lengths.iter().sum::<usize>() + LARGE_BYTES / 2);
        let mut buffer = Vec::new();
        for (number, bytes) in (0..).zip(lengths) {
            buffer.clear();
            buffer.resize(bytes, number);
            buffer.shrink_to_fit();
            assert_eq!(room.put(&mut buffer), Some(number.into()));
        }
        buffer.clear();
        buffer.resize(LARGE_BYTES, 9);
        assert_eq!((room.put(&mut buffer), buffer.len(), buffer[0]), (None, LARGE_BYTES, 9), "no room");
        for (number, bytes) in (0..).zip(lengths) {
            assert_eq!(room.block(place(number.into(), bytes)).unwrap(), vec![number; bytes]);
        }
        assert!(room.block(place(1, 2)).is_none(), "another length");
        assert!(room.block(place(6, 0)).is_none(), "no such block");
        room.discard();
        assert!(room.block(place(1, 1)).is_none());
    }

    #[test]
    fn memory_of_blocks_is_used_again() {
        let room = room(LARGE_BYTES);
        let mut buffer = vec![7; LARGE_BYTES];
        let memory = buffer.as_ptr();
        assert_eq!((room.put(&mut buffer), left(&room)), (Some(0), 0));
        buffer.resize(LARGE_BYTES, 8);
        assert_eq!(room.put(&mut buffer), None);
        room.give_back(0);
        room.give_back(0);
        room.give_back(9);
        assert_eq!(left(&room), LARGE_BYTES);
        buffer.truncate(1);
        assert_eq!(room.put(&mut buffer), Some(1), "a small one stays in its buffer");
        assert_eq!((buffer.as_slice(), left(&room)), (&[8][..], LARGE_BYTES - 1));
        room.give_back(1);
        buffer = vec![9; LARGE_BYTES];
        assert_eq!(room.put(&mut buffer), Some(2));
        assert_eq!(buffer.as_ptr(), memory, "the next block is made in the memory of the first");
        buffer.clear();
        let read = room.block(place(2, LARGE_BYTES)).unwrap();
        room.give_back(2);
        assert_eq!((read.len(), left(&room)), (LARGE_BYTES, 0), "it is being read");
        room.complete();
        assert!(locked(&room.spare).is_empty());
    }
}
