//! Memory straight from the system.
//!
//! Nothing of it is touched before it is filled.

use std::ops::{Deref, DerefMut};

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;

/// So many bytes that are filled again and again, in huge pages; `None` where there is no memory.
pub(crate) fn fresh(bytes: usize) -> Option<MmapMut> {
    let memory = MmapMut::map_anon(bytes).ok()?;
    // Wished for only: it is the same memory without.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(Advice::HugePage);
    Some(memory)
}

/// Memory that is used again: pages of fresh memory cost as much as filling them.
#[derive(Default)]
pub(crate) struct Buffer(Option<MmapMut>);

impl Buffer {
    /// Room for so many bytes, with any content; `None` where there is no memory. Grows by more than is needed, to grow seldom, but not
    /// beyond `at_most` for that.
    pub(crate) fn room(&mut self, bytes: usize, at_most: usize) -> Option<&mut [u8]> {
        if self.held() < bytes {
            let length = bytes.saturating_add(bytes / 4).min(at_most).max(bytes);
            // Freed first: nothing in it is wanted, and both at once would be beyond the budget.
            self.release();
            self.0 = Some(fresh(length)?);
        }
        self.get_mut(..bytes)
    }

    /// The first bytes, as they were filled.
    pub(crate) fn filled(&self, bytes: usize) -> &[u8] {
        self.get(..bytes).unwrap_or_default()
    }

    pub(crate) fn held(&self) -> usize {
        self.len()
    }

    pub(crate) fn release(&mut self) {
        self.0 = None;
    }
}

/// All that it holds.
impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_room_or_none() {
        let mut buffer = Buffer::default();
        for (bytes, at_most, held) in [
            (0, 0, Some(0)),
            (100, 110, Some(110)),
            (110, 110, Some(110)),
            (200, 1000, Some(250)),
            // No machine has that; what was held before was given up for it.
            (isize::MAX as usize, usize::MAX, None),
            (3, 3, Some(3)),
        ] {
            assert_eq!(buffer.room(bytes, at_most).map(|room| room.len()), held.map(|_| bytes), "{bytes}");
            assert_eq!(buffer.held(), held.unwrap_or_default(), "{bytes}");
        }
        buffer.release();
        assert_eq!((buffer.held(), buffer.filled(0), buffer.filled(1)), (0, &[][..], &[][..]));
    }
}
