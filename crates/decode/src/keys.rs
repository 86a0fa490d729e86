//! Keys as digits, and their ids in the column `ouid`.
//!
//! An OUID is 24 hexadecimal digits by convention of the Luna client, and a busy service has thousands of them, in no order: so they are what
//! the processor's caches miss most. Half a byte for each digit makes them small, and they are looked up many at a time, so that one
//! does not wait for the other. Keys that are written in another way, with capitals for one, are texts like all others.

use crate::prefetch::prefetch;
use crate::text::ONES;

/// The column of keys.
pub(crate) const COLUMN: &str = "ouid";
/// Digits of an OUID.
const DIGITS: usize = 24;
/// Places for keys at first, and at most, as powers of two. Half of them stay free: where they are crowded, keys push each other out.
const FIRST_BITS: u32 = 10;
const MOST_BITS: u32 = 17;
/// Places that are looked at for a key. Whoever chooses keys that fall into one place must not make the search long.
const PROBES: usize = 12;

/// A key of 24 digits, half a byte for each. Different digits are different keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Key([u32; 3]);

impl Key {
    /// The key at the start of a window, which ends before the byte `end`.
    #[inline]
    pub(crate) fn of(window: &[u8], end: u8) -> Option<Self> {
        let (digits, behind) = window.split_first_chunk::<DIGITS>()?;
        let words = digits.as_chunks().0.first_chunk::<3>()?;
        let [(first, odd_1), (second, odd_2), (third, odd_3)] = words.map(|word| half_bytes(u64::from_le_bytes(word)));
        let first_16 = first | second << 4;
        (odd_1 | odd_2 | odd_3 == 0 && behind.first() == Some(&end))
            .then(|| Self([first_16 as u32, (first_16 >> 32) as u32, pack(third)]))
    }

    /// Length of its text.
    pub(crate) fn length() -> usize {
        DIGITS
    }

    /// Its digits again.
    fn text(self) -> String {
        let Self([first_4, second_4, last_8]) = self;
        let first_16 = u64::from(first_4) | u64::from(second_4) << 32;
        let bytes = [first_16.to_le_bytes(), (first_16 >> 4).to_le_bytes()].into_iter().flatten();
        let last = (0..8).map(|place| (last_8 >> (4 * place)) as u8);
        bytes.chain(last).filter_map(|digit| char::from_digit(u32::from(digit & 0xf), 16)).collect()
    }
}

/// What 8 digits stand for, each in its byte; and other bits than zero where one is no digit or a capital.
#[inline]
fn half_bytes(word: u64) -> (u64, u64) {
    // Letters have a bit that figures have not, and start with 1.
    let values = (word & (ONES * 0x0f)) + (word >> 6 & ONES) * 9;
    let letters = (values + ONES * 6) >> 4 & ONES;
    let digits = values + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'9' - 1);
    (values, (digits ^ word) | (values & (ONES * 0xf0)))
}

/// Half bytes side by side, the first one lowest.
#[inline]
fn pack(values: u64) -> u32 {
    let values = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let values = (values | values >> 8) & 0x0000_ffff_0000_ffff;
    (values | values >> 16) as u32
}

/// Ids of keys.
pub(crate) struct Keys {
    places: Vec<Place>,
    taken: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    key: Key,
    /// The id and one; 0 where the place is free.
    count: u32,
}

const FREE: Place = Place { key: Key([0; 3]), count: 0 };

impl Keys {
    pub(crate) fn new() -> Self {
        Self { places: vec![FREE; 1 << FIRST_BITS], taken: 0 }
    }

    /// Asks for what [`Self::id`] will look at.
    #[inline]
    pub(crate) fn ask_for(&self, key: Key) {
        prefetch(&self.places, self.first_place(key));
    }

    /// The id of a key. `new` gives one to its text.
    #[inline]
    pub(crate) fn id(&mut self, key: Key, new: impl FnOnce(&str) -> u32) -> u32 {
        self.find(key).unwrap_or_else(|| {
            let id = new(&key.text());
            self.insert(key, id);
            id
        })
    }

    #[inline]
    fn find(&self, key: Key) -> Option<u32> {
        let first = self.first_place(key);
        for at in first..first + PROBES {
            let place = self.places.get(at & (self.places.len() - 1))?;
            if place.key == key || place.count == 0 {
                return place.count.checked_sub(1);
            }
        }
        None
    }

    fn insert(&mut self, key: Key, id: u32) {
        let Some(count) = id.checked_add(1) else {
            return;
        };
        self.put(Place { key, count });
        if self.taken * 2 > self.places.len() && self.places.len() < 1 << MOST_BITS {
            let more = vec![FREE; self.places.len() * 2];
            let known = std::mem::replace(&mut self.places, more);
            self.taken = 0;
            known.into_iter().filter(|place| place.count > 0).for_each(|place| self.put(place));
        }
    }

    /// Takes the first free place, or one of another key where none is free.
    fn put(&mut self, new: Place) {
        let first = self.first_place(new.key);
        let mask = self.places.len() - 1;
        let is_free = |at: &usize| self.places.get(at & mask).is_some_and(|place| place.count == 0);
        let free = (first..first + PROBES).find(is_free);
        self.taken += usize::from(free.is_some());
        if let Some(place) = self.places.get_mut(free.unwrap_or(first) & mask) {
            *place = new;
        }
    }

    #[inline]
    fn first_place(&self, Key([first, second, third]): Key) -> usize {
        // Multiplication carries every bit up to the highest ones.
        let mixed = (u64::from(first) | u64::from(second) << 32) ^ u64::from(third).rotate_left(29);
        let hash = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The length of the table is a power of two: so many of the highest bits.
        usize::try_from(hash >> (u64::BITS - self.places.len().trailing_zeros())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digits: &str) -> Key {
        Key::of(format!("{digits}\"").as_bytes(), b'"').unwrap()
    }

    fn find_or_insert(keys: &mut Keys, number: u32) -> Option<u32> {
        let key = key(&format!("{number:024x}"));
        let found = keys.find(key);
        keys.ask_for(key);
        assert_eq!(keys.id(key, |text| u32::from_str_radix(text, 16).unwrap()), found.unwrap_or(number));
        found
    }

    #[test]
    fn digits_are_told_from_all_other_bytes() {
        for byte in 0..=u8::MAX {
            for place in 0..DIGITS {
                let mut text = *b"2c00000500000121a1ab0800'";
                text[place] = byte;
                let is_digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let key = Key::of(&text, b'\'');
                assert_eq!(key.is_some(), is_digit, "{byte} in place {place}");
                assert_eq!(key.map(Key::text), is_digit.then(|| String::from_utf8_lossy(&text[..DIGITS]).into_owned()));
            }
        }
        assert_eq!(Key::of(b"2c00000500000121a1ab0800", b'"'), None, "no end");
        assert_eq!(Key::of(b"2c00000500000121a1ab08000\"", b'"'), None, "longer");
        assert_eq!(Key::of(b"2c00000500000121a1ab080\"", b'"'), None, "shorter");
    }

    #[test]
    fn a_key_has_its_own_id_or_is_new() {
        // As many as there is room for, and too many.
        for (count, known_at_least) in [(60_000, 59_500), (200_000, 0)] {
            let mut keys = Keys::new();
            for number in 0..count {
                assert_eq!(find_or_insert(&mut keys, number), None);
                assert_eq!(find_or_insert(&mut keys, number), Some(number));
            }
            let known = (0..count).filter(|&number| find_or_insert(&mut keys, number).is_some()).count();
            assert!(known >= known_at_least, "{known} of {count}");
        }
    }

    #[test]
    fn keys_that_fall_into_one_place_stay_cheap() {
        let mut keys = Keys::new();
        let place = |number: u32| Keys::new().first_place(key(&format!("{number:024x}")));
        let same: Vec<u32> = (0..200_000).filter(|&number| place(number) == place(0)).collect();
        assert!(same.len() > 2 * PROBES);
        for &number in &same {
            assert_eq!(find_or_insert(&mut keys, number), None);
            assert_eq!(find_or_insert(&mut keys, number), Some(number), "the newest is known");
        }
    }
}
