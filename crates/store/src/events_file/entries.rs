//! The dictionary of a column in a row group: texts in the order in which they were first seen, found again by hash.

use std::hash::{BuildHasher as _, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Slots of a new table; a power of two.
const FIRST_SLOTS: usize = 256;

/// Texts by number. The numbers depend on the order of the texts only, never on their hashes.
pub(super) struct Entries {
    /// Hash and number + 1 of an entry, (0, 0) where there is none. Probed one by one; at most half of them are in use.
    slots: Vec<(u32, u32)>,
    /// Where each entry ends in `page`.
    ends: Vec<usize>,
    /// The texts, each after its length: the body of a Parquet dictionary page.
    page: Vec<u8>,
    limit: usize,
    /// Drawn anew each time, so that nobody can prepare texts that all meet in one slot.
    seed: u64,
}

impl Entries {
    /// An empty dictionary that holds at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let seed = RandomState::new().hash_one(0);
        Self { slots: vec![(0, 0); FIRST_SLOTS], ends: Vec::new(), page: Vec::new(), limit, seed }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The texts as a dictionary page holds them.
    pub(super) fn page(&self) -> &[u8] {
        &self.page
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| self.page.get(std::mem::replace(&mut start, end) + 4..end).unwrap_or_default())
    }

    /// The number of a text, which is taken in if it is new; `None` if it is new and there is no room.
    pub(super) fn number(&mut self, text: &[u8]) -> Option<u32> {
        let hash = self.hash(text);
        let mut at = self.slot_of(hash);
        loop {
            let &(found, number) = self.slots.get(at)?;
            let Some(number) = number.checked_sub(1) else {
                return self.add(at, hash, text);
            };
            if found == hash && self.get(number) == text {
                return Some(number);
            }
            at = self.slot_after(at);
        }
    }

    fn add(&mut self, at: usize, hash: u32, text: &[u8]) -> Option<u32> {
        let length = u32::try_from(text.len()).ok()?;
        if self.page.len() + 4 + text.len() > self.limit {
            return None;
        }
        let number = u32::try_from(self.ends.len()).ok()?;
        self.page.extend_from_slice(&length.to_le_bytes());
        self.page.extend_from_slice(text);
        self.ends.push(self.page.len());
        *self.slots.get_mut(at)? = (hash, number + 1);
        if self.ends.len() * 2 > self.slots.len() {
            self.grow();
        }
        Some(number)
    }

    fn grow(&mut self) {
        let doubled = vec![(0, 0); self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, doubled);
        for slot in old.into_iter().filter(|&(_, number)| number > 0) {
            let mut at = self.slot_of(slot.0);
            while self.slots.get(at).is_some_and(|&(_, number)| number > 0) {
                at = self.slot_after(at);
            }
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
        }
    }

    pub(super) fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.ends.get(number).and_then(|&end| self.page.get(start + 4..end)).unwrap_or_default()
    }

    fn hash(&self, text: &[u8]) -> u32 {
        xxh3_64_with_seed(text, self.seed) as u32
    }

    // The count of slots is a power of two: a mask, no division.

    fn slot_of(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn slot_after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_numbered_in_their_order_and_found_again() {
        let mut entries = Entries::new(1 << 20);
        let texts: Vec<_> = (0..5000).map(|n| format!("text {}", n * 7919 % 5000)).collect();
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(entries.number(text.as_bytes()), Some(number));
        }
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(entries.number(text.as_bytes()), Some(number));
        }
        assert_eq!(entries.len(), 5000);
        assert!(entries.iter().eq(texts.iter().map(String::as_bytes)));
    }

    #[test]
    fn what_does_not_fit_is_not_taken_in() {
        let mut entries = Entries::new(16);
        assert_eq!(entries.number(b"four"), Some(0));
        assert_eq!(entries.number(b"fives"), None);
        assert_eq!(entries.number(b""), Some(1));
        assert_eq!(entries.number(b"a"), None);
        assert_eq!(entries.number(b"four"), Some(0));
        assert_eq!(entries.page(), b"\x04\0\0\0four\0\0\0\0");
    }
}
