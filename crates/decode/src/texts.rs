//! Distinct texts of a column, kept from batch to batch.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::columns::NULL;

/// Texts of a column, in number and in bytes, that are kept for the next batch; beyond that they are forgotten.
const KEPT_TEXTS: usize = 1 << 16;
const KEPT_BYTES: usize = 2 << 20;

/// Distinct texts with ids counted from 0, and an index of them by hash (open addressing).
pub(crate) struct Texts {
    text: String,
    /// End of each text.
    ends: Vec<usize>,
    /// Id of a text plus one, 0 where free. A power of two in length, at most half full.
    places: Vec<u32>,
    seed: u64,
    /// The text asked for last: often the next one as well.
    newest: u32,
}

const FEWEST_PLACES: usize = 64;

impl Texts {
    pub(crate) fn new(seed: u64) -> Self {
        Self { text: String::new(), ends: Vec::new(), places: vec![0; FEWEST_PLACES], seed, newest: NULL }
    }

    pub(crate) fn find_or_add(&mut self, text: &str) -> u32 {
        if self.get(self.newest) != Some(text) {
            self.newest = self.find_or_add_by_hash(text);
        }
        self.newest
    }

    fn find_or_add_by_hash(&mut self, text: &str) -> u32 {
        let mut place = self.first_place(text);
        while let Some(&taken) = self.places.get(place)
            && taken != 0
        {
            if self.get(taken - 1) == Some(text) {
                return taken - 1;
            }
            place = (place + 1) & (self.places.len() - 1);
        }
        self.text.push_str(text);
        self.ends.push(self.text.len());
        let count = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        if let Some(free) = self.places.get_mut(place) {
            *free = count;
        }
        if self.ends.len() * 2 > self.places.len() {
            self.grow();
        }
        count - 1
    }

    fn grow(&mut self) {
        let length = self.places.len() * 2;
        self.places.clear();
        self.places.resize(length, 0);
        for (id, count) in (0..).zip(1..).take(self.ends.len()) {
            let mut place = self.first_place(self.get(id).unwrap_or_default());
            while self.places.get(place).is_some_and(|&taken| taken != 0) {
                place = (place + 1) & (length - 1);
            }
            if let Some(free) = self.places.get_mut(place) {
                *free = count;
            }
        }
    }

    fn first_place(&self, text: &str) -> usize {
        // Only the low bits count.
        (xxh3_64_with_seed(text.as_bytes(), self.seed) as usize) & (self.places.len() - 1)
    }

    pub(crate) fn get(&self, id: u32) -> Option<&str> {
        let id = id as usize;
        let end = *self.ends.get(id)?;
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.text.get(start..end)
    }

    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    /// Forgets all texts, and keeps the room for as many as are kept.
    pub(crate) fn forget(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.ends.clear();
        self.ends.shrink_to(KEPT_TEXTS);
        self.places.truncate(4 * KEPT_TEXTS);
        self.places.shrink_to_fit();
        self.places.fill(0);
        self.newest = NULL;
    }

    /// Whether more texts are kept than there is room for.
    pub(crate) fn are_too_many(&self) -> bool {
        self.ends.len() > KEPT_TEXTS || self.text.len() > KEPT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_texts_are_new() {
        let mut texts = Texts::new(7);
        let long = "x".repeat(2 * KEPT_BYTES);
        for round in 0..3 {
            // Others than before, in the places that those had.
            for id in 0..1000 {
                assert_eq!(texts.find_or_add(&format!("text {}", id + 500 * round)), id);
            }
            assert_eq!(texts.find_or_add(&format!("text {}", 500 * round)), 0);
            assert_eq!(texts.find_or_add(&long), 1000);
            assert!(texts.are_too_many());
            texts.forget();
            assert_eq!((texts.count(), texts.get(0), texts.are_too_many()), (0, None, false));
            assert!(texts.text.capacity() <= KEPT_BYTES, "what a long text took is given back");
        }
    }
}
