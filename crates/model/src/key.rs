//! Keys of the HSM as digits, and numbers for them.
//!
//! An OUID is 24 hexadecimal digits by convention of the Luna client, and a busy service has thousands of them, in no order: so they are what
//! the processor's caches miss most. Half a byte for each digit makes them small, and they are looked up many at a time, so that one
//! does not wait for the other. Keys that are written in another way, with capitals for one, are texts like all others.

use std::cmp::Ordering;

use crate::prefetch::prefetch;

/// The column of keys.
pub const COLUMN: &str = "ouid";
/// Digits of an OUID.
const DIGITS: usize = 24;
/// Bytes of a key.
pub const KEY_BYTES: usize = DIGITS / 2;
/// Keys to be asked for together, before the first of them is looked at.
pub const KEYS_AT_ONCE: usize = 32;
/// Places for keys at first, as a power of two. Half of them stay free: where they are crowded, keys push each other out.
const FIRST_BITS: u32 = 10;
/// Places that are looked at for a key. Whoever chooses keys that fall into one place must not make the search long.
const PROBES: usize = 12;

/// A word with 1 in each of its bytes.
pub const ONES: u64 = u64::from_le_bytes([1; 8]);

/// A key of 24 digits, half a byte for each. Different digits are different keys; they are ordered as their texts are.
///
/// The first 8 digits are a number. The others lie side by side as it is cheapest: the last 8 in the upper halves of the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Key([u32; 3]);

impl Key {
    /// The key at the start of a window, which ends before the byte `end`.
    #[inline]
    #[must_use]
    pub fn of(window: &[u8], end: u8) -> Option<Self> {
        let (digits, behind) = window.split_first_chunk::<DIGITS>()?;
        let words = digits.as_chunks().0.first_chunk::<3>()?;
        let [(first, odd_1), (second, odd_2), (third, odd_3)] = words.map(|word| half_bytes(u64::from_le_bytes(word)));
        let last_16 = second | third << 4;
        (odd_1 | odd_2 | odd_3 == 0 && behind.first() == Some(&end))
            .then(|| Self([number(first), last_16 as u32, (last_16 >> 32) as u32]))
    }

    /// The key with this text, where it is one.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let mut window = [0; DIGITS + 1];
        window
            .first_chunk_mut::<DIGITS>()?
            .copy_from_slice(text.as_bytes().get(..DIGITS).filter(|digits| digits.len() == text.len())?);
        Self::of(&window, 0)
    }

    /// Length of its text, in bytes.
    #[must_use]
    pub fn length() -> usize {
        DIGITS
    }

    /// The key as bytes, for [`Self::from_bytes`].
    #[inline]
    #[must_use]
    pub fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes.as_chunks_mut().0.iter_mut().zip(self.0).for_each(|(place, part)| *place = part.to_le_bytes());
        bytes
    }

    /// The key that [`Self::to_bytes`] gave; any bytes are one.
    #[inline]
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        let mut parts = [0; 3];
        parts.iter_mut().zip(bytes.as_chunks().0).for_each(|(part, bytes)| *part = u32::from_le_bytes(*bytes));
        Self(parts)
    }

    /// The key as three numbers, for [`Self::from_parts`].
    #[inline]
    #[must_use]
    pub fn to_parts(self) -> [u32; 3] {
        let Self(parts) = self;
        parts
    }

    /// The key that [`Self::to_parts`] gave; any numbers are one.
    #[inline]
    #[must_use]
    pub fn from_parts(parts: [u32; 3]) -> Self {
        Self(parts)
    }

    /// Appends its digits.
    pub fn put_text(self, text: &mut String) {
        text.push_str(as_text(&self.digits()));
    }

    /// Its digits: lower-case ASCII.
    fn digits(self) -> [u8; DIGITS] {
        let Self([first, ..]) = self;
        let [second, third] = self.last_16();
        let mut digits = [0; DIGITS];
        let places = digits.as_chunks_mut().0.iter_mut();
        places.zip([values(first), second, third]).for_each(|(place, values)| *place = digits_of(values).to_le_bytes());
        digits
    }

    /// The other digits, 8 by 8, each in its byte.
    fn last_16(self) -> [u64; 2] {
        let Self([_, low, high]) = self;
        let both = u64::from(low) | u64::from(high) << 32;
        [both & (ONES * 0x0f), both >> 4 & (ONES * 0x0f)]
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let (Self([own, ..]), Self([others, ..])) = (self, other);
        // The first digit counts most.
        own.cmp(others).then_with(|| self.last_16().map(u64::swap_bytes).cmp(&other.last_16().map(u64::swap_bytes)))
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What 8 digits stand for, each in its byte; and other bits than zero where one is no digit or a capital.
#[inline]
fn half_bytes(word: u64) -> (u64, u64) {
    // Letters have a bit that figures have not, and start with 1.
    let values = (word & (ONES * 0x0f)) + (word >> 6 & ONES) * 9;
    (values, (digits_of(values) ^ word) | (values & (ONES * 0xf0)))
}

/// The digits for 8 values below 16, each in its byte.
#[inline]
fn digits_of(values: u64) -> u64 {
    let letters = (values + ONES * 6) >> 4 & ONES;
    values + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'9' - 1)
}

/// Digits are ASCII.
fn as_text(digits: &[u8; DIGITS]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}

/// The number that 8 digits make, each in its byte, the first one lowest.
#[inline]
fn number(values: u64) -> u32 {
    let values = (values << 4 | values >> 8) & 0x00ff_00ff_00ff_00ff;
    let values = (values | values >> 8) & 0x0000_ffff_0000_ffff;
    ((values | values >> 16) as u32).swap_bytes()
}

/// The values of the 8 digits of a number, as [`number`] takes them.
fn values(number: u32) -> u64 {
    let pairs = u64::from(number.swap_bytes());
    let pairs = (pairs | pairs << 16) & 0x0000_ffff_0000_ffff;
    let pairs = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
    (pairs >> 4 | pairs << 8) & (ONES * 0x0f)
}

/// Numbers of keys. Of more than it has room for it forgets some, which are asked for anew then.
#[derive(Debug)]
pub struct KeyNumbers {
    places: Vec<Place>,
    taken: usize,
    places_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    key: Key,
    /// The number and one; 0 where the place is free.
    count: u32,
}

const FREE: Place = Place { key: Key([0; 3]), count: 0 };

impl KeyNumbers {
    /// Room for half as many keys as there are places, 16 bytes each; made as it is needed.
    #[must_use]
    pub fn within(places_bits: u32) -> Self {
        Self { places: vec![FREE; 1 << FIRST_BITS], taken: 0, places_max: 1 << places_bits }
    }

    /// Forgets all numbers, and keeps the room for them.
    pub fn forget(&mut self) {
        self.places.fill(FREE);
        self.taken = 0;
    }

    /// Asks for what [`Self::number`] will look at.
    #[inline]
    pub fn ask_for(&self, key: Key) {
        prefetch(&self.places, self.first_place(key));
    }

    /// The number of a key. `new` gives one to the text of a key that is not remembered, if it can.
    #[inline]
    pub fn number(&mut self, key: Key, new: impl FnOnce(&str) -> Option<u32>) -> Option<u32> {
        self.find(key).or_else(|| {
            let number = new(as_text(&key.digits()))?;
            self.insert(key, number);
            Some(number)
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

    fn insert(&mut self, key: Key, number: u32) {
        let Some(count) = number.checked_add(1) else {
            return;
        };
        self.put(Place { key, count });
        if self.taken * 2 > self.places.len() && self.places.len() < self.places_max {
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

    fn text(key: Key) -> String {
        let mut text = String::new();
        key.put_text(&mut text);
        text
    }

    fn find_or_insert(keys: &mut KeyNumbers, number: u32) -> Option<u32> {
        let key = key(&format!("{number:024x}"));
        assert_eq!(Key::from_bytes(key.to_bytes()), key);
        let found = keys.find(key);
        keys.ask_for(key);
        assert_eq!(keys.number(key, |_| None), found);
        let new = |text: &str| u32::from_str_radix(text, 16).ok();
        assert_eq!(keys.number(key, new), Some(found.unwrap_or(number)));
        found
    }

    #[test]
    fn digits_are_told_from_all_other_bytes() {
        for byte in 0..=u8::MAX {
            for place in 0..DIGITS {
                let mut window = *b"2c00000500000121a1ab0800'";
                window[place] = byte;
                let is_digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let key = Key::of(&window, b'\'');
                assert_eq!(key.is_some(), is_digit, "{byte} in place {place}");
                assert_eq!(key.map(text), is_digit.then(|| String::from_utf8_lossy(&window[..DIGITS]).into_owned()));
            }
        }
        assert_eq!(Key::of(b"2c00000500000121a1ab0800", b'"'), None, "no end");
        assert_eq!(Key::of(b"2c00000500000121a1ab08000\"", b'"'), None, "longer");
        assert_eq!(Key::of(b"2c00000500000121a1ab080\"", b'"'), None, "shorter");
    }

    #[test]
    fn keys_are_ordered_as_their_texts() {
        let texts = [
            "000000000000000000000000",
            "000000000000000000000001",
            "000000000000000100000000",
            "000000000000001000000000",
            "00000000f000000000000000",
            "0000000100000000ffffffff",
            "2c00000500000121a1ab0800",
            "2c00000500000121a1ab0801",
            "2c00000500000122a1ab0800",
            "ffffffffffffffffffffffff",
        ];
        for one in texts {
            for other in texts {
                assert_eq!(key(one).cmp(&key(other)), one.cmp(other), "{one} {other}");
            }
            assert_eq!(text(key(one)), one);
        }
    }

    #[test]
    fn a_key_has_its_own_id_or_is_new() {
        // As many as there is room for, and too many.
        for (count, known_at_least) in [(60_000, 59_500), (200_000, 0)] {
            let mut keys = KeyNumbers::within(17);
            for number in 0..count {
                assert_eq!(find_or_insert(&mut keys, number), None);
                assert_eq!(find_or_insert(&mut keys, number), Some(number));
            }
            let known = (0..count).filter(|&number| find_or_insert(&mut keys, number).is_some()).count();
            assert!(known >= known_at_least, "{known} of {count}");
        }
    }

    #[test]
    fn forgotten_keys_are_new() {
        let mut keys = KeyNumbers::within(12);
        for _ in 0..2 {
            assert!((0..1500).all(|number| find_or_insert(&mut keys, number).is_none()));
            assert!((0..1500).any(|number| find_or_insert(&mut keys, number).is_some()));
            keys.forget();
        }
    }

    #[test]
    fn keys_that_fall_into_one_place_stay_cheap() {
        let mut keys = KeyNumbers::within(17);
        let place = |number: u32| KeyNumbers::within(17).first_place(key(&format!("{number:024x}")));
        let same: Vec<u32> = (0..200_000).filter(|&number| place(number) == place(0)).collect();
        assert!(same.len() > 2 * PROBES);
        for &number in &same {
            assert_eq!(find_or_insert(&mut keys, number), None);
            assert_eq!(find_or_insert(&mut keys, number), Some(number), "the newest is known");
        }
    }
}
