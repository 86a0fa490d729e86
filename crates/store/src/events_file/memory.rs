//! Memory that goes from one row group to the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

/// Memory of column chunks that are in their file, for the next ones. A chunk of plain texts takes tens of megabytes: memory that is asked
/// for anew is cleared by the system, page by page, which takes longer than filling it. Clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct ChunkMemory(Arc<Mutex<Vec<Vec<u8>>>>);

impl ChunkMemory {
    /// An empty buffer, of those that were given back if there is one.
    pub(super) fn take(&self) -> Vec<u8> {
        self.held().pop().unwrap_or_default()
    }

    /// Takes the memory of a chunk that nothing else holds.
    pub(super) fn give(&self, chunk: Bytes) {
        if let Ok(buffer) = chunk.try_into_mut().map(|mut buffer: BytesMut| {
            buffer.clear();
            Vec::from(buffer)
        }) {
            self.held().push(buffer);
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_given_is_taken_again() {
        let memory = ChunkMemory::default();
        let mut buffer = memory.take();
        buffer.reserve(1 << 20);
        buffer.extend_from_slice(b"chunk");
        let (place, room) = (buffer.as_ptr(), buffer.capacity());
        memory.clone().give(buffer.into());
        let again = memory.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert!(again.capacity() >= room);
        let shared = Bytes::from(vec![7; 100]);
        memory.give(shared.clone());
        assert_eq!((memory.take().capacity(), shared.len()), (0, 100), "what is shared stays where it is");
    }
}
