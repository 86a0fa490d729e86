//! Staged blocks in memory, where a run has room for all of them.
//!
//! A run that is soon done spends a part of its time on making and removing staging files, and here its blocks are read where they lie. For a
//! run that stages more than its memory holds this gains nothing: what is written to files lies in the system's memory anyway, and to
//! fill fresh memory costs as much as to copy there and back. Such a run stages in files from the start.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use memmap2::MmapMut;

use super::{Place, Unused};
use crate::options::THREAD_BYTES;
use crate::pages;

/// Bytes that are taken from the system at once, for some blocks.
const CHUNK_BYTES: usize = 8 << 20;

/// What a run takes beside staged blocks and its threads, however much memory it may take, and for each archive.
const OTHER_BYTES: u64 = 96 << 20;
const ARCHIVE_BYTES: u64 = 4 << 10;

/// What the workers of a run may take together.
#[derive(Debug, Default)]
pub(crate) struct MemoryRoom {
    chunks_left: AtomicUsize,
}

impl MemoryRoom {
    /// The room in a run of so many threads that may take `memory_bytes`, for so many archives of so many bytes in all: what the run leaves,
    /// but not more than three eighths of its memory, since an archive and a member of it, which are held as a whole while they are decoded, may
    /// take half. None where it would not do: a record takes about as much in the staging area as in a ZIP.
    pub(crate) fn of(memory_bytes: u64, threads: usize, archives: usize, archive_bytes: u64) -> Self {
        let taken = OTHER_BYTES + THREAD_BYTES * threads as u64 + ARCHIVE_BYTES * archives as u64;
        let bytes = memory_bytes.saturating_sub(taken).min(memory_bytes / 8 * 3);
        let bytes = if archive_bytes <= bytes { usize::try_from(bytes).unwrap_or(usize::MAX) } else { 0 };
        Self { chunks_left: AtomicUsize::new(bytes / CHUNK_BYTES) }
    }

    fn take_chunk(&self) -> Option<MmapMut> {
        let take = |left: usize| left.checked_sub(1);
        self.chunks_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        pages::for_once(CHUNK_BYTES)
    }

    fn give_back(&self, chunks: usize) {
        self.chunks_left.fetch_add(chunks, Ordering::Relaxed);
    }
}

/// The blocks of one worker that lie in memory, one behind the other.
#[derive(Debug)]
pub(super) struct MemoryWriter {
    room: Arc<MemoryRoom>,
    chunks: Vec<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    memory: MmapMut,
    filled: usize,
}

impl Chunk {
    fn put(&mut self, bytes: &[u8]) -> Option<u64> {
        let place = self.memory.get_mut(self.filled..self.filled.checked_add(bytes.len())?)?;
        place.copy_from_slice(bytes);
        let start = self.filled;
        self.filled += bytes.len();
        Some(start as u64)
    }
}

impl MemoryWriter {
    pub(super) fn new(room: Arc<MemoryRoom>) -> Self {
        Self { room, chunks: Vec::new() }
    }

    /// Takes a block; tells where it lies. `None` where there is no room for it.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Option<u64> {
        if let Some(offset) = self.chunks.last_mut().and_then(|chunk| chunk.put(bytes)) {
            return Some(self.start_of_last() + offset);
        }
        if bytes.len() > CHUNK_BYTES {
            return None;
        }
        self.chunks.push(Chunk { memory: self.room.take_chunk()?, filled: 0 });
        let offset = self.chunks.last_mut()?.put(bytes)?;
        Some(self.start_of_last() + offset)
    }

    fn start_of_last(&self) -> u64 {
        self.chunks.len().saturating_sub(1) as u64 * CHUNK_BYTES as u64
    }

    /// Where the next block lies at the earliest.
    pub(super) fn end(&self) -> u64 {
        self.start_of_last() + self.chunks.last().map_or(0, |chunk| chunk.filled as u64)
    }

    /// Takes back what was put here from an end on.
    pub(super) fn take_back(&mut self, end: u64) {
        let chunks = usize::try_from(end.div_ceil(CHUNK_BYTES as u64)).unwrap_or(usize::MAX);
        let before = self.chunks.len();
        self.chunks.truncate(chunks);
        self.room.give_back(before - self.chunks.len());
        let filled = usize::try_from(end.saturating_sub(self.start_of_last())).unwrap_or(usize::MAX);
        self.chunks.last_mut().into_iter().for_each(|chunk| chunk.filled = chunk.filled.min(filled));
    }

    /// The blocks, to be read.
    pub(super) fn into_blocks(self) -> MemoryBlocks {
        MemoryBlocks { chunks: self.chunks.into_iter().map(ReadChunk::of).collect() }
    }
}

/// Blocks of one worker that were staged in memory.
#[derive(Debug)]
pub(crate) struct MemoryBlocks {
    chunks: Vec<ReadChunk>,
}

#[derive(Debug)]
struct ReadChunk {
    /// `None` when all of it was used.
    memory: Mutex<Option<Bytes>>,
    unused: Unused,
}

impl ReadChunk {
    fn of(Chunk { memory, filled }: Chunk) -> Self {
        Self { memory: Mutex::new(Some(Bytes::from_owner(memory))), unused: Unused::of(filled as u64) }
    }

    fn give_back(&self) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl MemoryBlocks {
    /// A block, where it lies.
    pub(super) fn block(&self, place: Place) -> Option<Bytes> {
        let (chunk, start) = self.chunk(place)?;
        let memory = chunk.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = memory.as_ref()?;
        let end = start.checked_add(place.bytes()).filter(|end| *end <= memory.len())?;
        Some(memory.slice(start..end))
    }

    /// A block was read for the last time. Memory is given back with the last of its blocks.
    pub(super) fn was_used(&self, place: Place) {
        if let Some((chunk, _)) = self.chunk(place)
            && chunk.unused.use_up(place)
        {
            chunk.give_back();
        }
    }

    /// Gives all memory back.
    pub(super) fn discard(&self) {
        self.chunks.iter().for_each(ReadChunk::give_back);
    }

    fn chunk(&self, place: Place) -> Option<(&ReadChunk, usize)> {
        let offset = usize::try_from(place.offset).ok()?;
        Some((self.chunks.get(offset / CHUNK_BYTES)?, offset % CHUNK_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64, bytes: usize) -> Place {
        Place { file: 0, bytes: u32::try_from(bytes).unwrap(), offset }
    }

    fn room(chunks: usize) -> Arc<MemoryRoom> {
        Arc::new(MemoryRoom { chunks_left: AtomicUsize::new(chunks) })
    }

    #[test]
    fn room_is_what_a_run_leaves() {
        let chunks = |memory: u64, threads, archives, archive_bytes: u64| {
            let room = MemoryRoom::of(memory << 20, threads, archives, archive_bytes << 20);
            room.chunks_left.into_inner() * (CHUNK_BYTES >> 20)
        };
        assert_eq!(chunks(512, 2, 30, 192), 192);
        assert_eq!(chunks(512, 2, 365, 193), 0, "too many bytes of archives");
        assert_eq!(chunks(512, 2, 100_000, 1), 0, "what is kept of so many archives takes it all");
        assert_eq!(chunks(512, 8, 365, 1), 88);
        assert_eq!(chunks(170, 2, 1, 0), 0);
        assert_eq!(chunks(0, 1, 1, 0), 0);
        assert_eq!(chunks(8192, 2, 365, 464), 3072);
    }

    #[test]
    fn blocks_are_read_as_they_were_put() {
        let mut writer = MemoryWriter::new(room(3));
        let blocks: Vec<Vec<u8>> =
            [1, 3 << 20, 3 << 20, 3 << 20, CHUNK_BYTES, 5].map(|bytes| vec![bytes as u8; bytes]).into();
        let mut offsets: Vec<_> = blocks.iter().map(|block| writer.put(block)).collect();
        assert_eq!(offsets.pop(), Some(None), "no room");
        assert_eq!(writer.put(&vec![0; CHUNK_BYTES + 1]), None, "longer than any chunk");
        let read = writer.into_blocks();
        for (offset, block) in offsets.iter().flatten().zip(&blocks) {
            let place = place(*offset, block.len());
            assert_eq!(read.block(place).unwrap(), block);
            read.was_used(place);
        }
        assert!(offsets.iter().flatten().all(|offset| read.block(place(*offset, 1)).is_none()), "all is given back");
    }

    #[test]
    fn what_is_taken_back_makes_room() {
        let room = room(2);
        let mut writer = MemoryWriter::new(Arc::clone(&room));
        assert_eq!((writer.end(), writer.put(b"kept")), (0, Some(0)));
        let end = writer.end();
        for _ in 0..3 {
            assert_eq!(writer.put(&[1; 100]), Some(end));
            assert!(writer.put(&vec![2; CHUNK_BYTES - 50]).is_some());
            assert_eq!(writer.put(&[3; 100]), None);
            writer.take_back(end);
            assert_eq!(writer.end(), end);
        }
        assert_eq!(writer.put(b"next"), Some(end));
        writer.take_back(0);
        assert_eq!((writer.end(), room.chunks_left.load(Ordering::Relaxed)), (0, 2));
        assert_eq!(writer.put(&vec![4; CHUNK_BYTES]), Some(0));
        let full = writer.end();
        assert_eq!(full, CHUNK_BYTES as u64);
        writer.take_back(full);
        assert_eq!((writer.end(), writer.put(b"x")), (full, Some(full)));
    }
}
