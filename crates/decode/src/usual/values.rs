//! Texts of a column seen lately, with their id in the column: most values repeat.
//!
//! One place for each hash of a text's length, first and last bytes; a newer text takes the place of an older one. A place that was
//! lost costs time only.

use keytrail_model::{key, schema};

use super::wide::{equal_start, mask};

/// Longest text that is remembered.
const TEXT_BYTES: usize = 48;
/// Places for the texts of a column, as a power of two: more than the actions, addresses and clients of a day.
const PLACES_BITS: u32 = 9;
/// The same for keys, of which there are many more.
const KEY_PLACES_BITS: u32 = 14;

/// Masks by length.
static MASKS: [[u8; TEXT_BYTES]; TEXT_BYTES + 1] = masks();

const fn masks() -> [[u8; TEXT_BYTES]; TEXT_BYTES + 1] {
    let mut masks = [[0; TEXT_BYTES]; TEXT_BYTES + 1];
    let mut rest: &mut [[u8; TEXT_BYTES]] = &mut masks;
    let mut length = 0;
    while let Some((first, more)) = rest.split_first_mut() {
        *first = mask(length);
        rest = more;
        length += 1;
    }
    masks
}

/// The texts of one column.
pub(super) struct ValueCache {
    /// Empty for a column whose texts are never looked up.
    places: Vec<Place>,
    /// Bits of a hash that do not count.
    shift: u32,
    /// Age whose ids count. Not 0.
    age: u32,
}

/// One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Place {
    text: [u8; TEXT_BYTES],
    length: usize,
    /// 0 where nothing was ever written.
    age: u32,
    id: u32,
}

impl ValueCache {
    /// The cache of a text column.
    pub(super) fn of(column: &str) -> Self {
        let places_bits = match column {
            key::COLUMN => KEY_PLACES_BITS,
            _ => PLACES_BITS,
        };
        let places = if schema::is_dictionary(column) { 1 << places_bits } else { 0 };
        let free = Place { text: [0; TEXT_BYTES], length: 0, age: 0, id: 0 };
        Self { places: vec![free; places], shift: u64::BITS - places_bits, age: 1 }
    }

    /// The id of the text at the start of a window that has this length and is followed by the byte `end`, if it is remembered. A
    /// remembered text is plain, so it does end there.
    #[inline]
    pub(super) fn find(&self, window: &[u8], length: usize, end: u8) -> Option<u32> {
        let start = window.first_chunk::<TEXT_BYTES>()?;
        let place = self.places.get(self.place_of(window, start, length)?)?;
        let same = place.length == length
            && place.age == self.age
            && window.get(length) == Some(&end)
            && equal_start(start, &place.text, MASKS.get(length)?);
        same.then_some(place.id)
    }

    /// Remembers the plain text of this length at the start of a window, if it is short enough.
    pub(super) fn insert(&mut self, window: &[u8], length: usize, id: u32) {
        let Some(start) = window.first_chunk::<TEXT_BYTES>() else {
            return;
        };
        let place = self.place_of(window, start, length).and_then(|place| self.places.get_mut(place));
        if let (Some(place), true) = (place, length <= TEXT_BYTES) {
            *place = Place { text: *start, length, age: self.age, id };
        }
    }

    /// The place of a text.
    #[inline]
    fn place_of(&self, window: &[u8], start: &[u8; TEXT_BYTES], length: usize) -> Option<usize> {
        let first = u64::from_le_bytes(*start.first_chunk()?);
        let mixed = match length.checked_sub(8) {
            Some(at) => first ^ u64::from_le_bytes(*window.get(at..)?.first_chunk()?).rotate_left(21),
            None => first & ((1 << (length * 8)) - 1),
        };
        // Multiplication carries every bit up to the highest ones.
        let hash = (mixed ^ length as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(hash >> self.shift).ok()
    }

    /// Forgets all texts.
    pub(super) fn forget(&mut self) {
        self.age = self.age.checked_add(1).unwrap_or_else(|| {
            // What was left from so long ago must not come alive.
            self.places.iter_mut().for_each(|place| place.age = 0);
            1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        let mut window = text.as_bytes().to_vec();
        window.resize(text.len() + 64, b'-');
        window
    }

    #[test]
    fn texts_are_found_whole_or_not_at_all() {
        let mut cache = ValueCache::of("role");
        let texts = ["", "a", "CO", "1234567", "12345678", "LUNA_SIGN", &"x".repeat(48)];
        for (index, text) in (0..).zip(texts) {
            assert_eq!(cache.find(&padded(&format!("{text}\"")), text.len(), b'"'), None, "{text}");
            cache.insert(&padded(&format!("{text}\"")), text.len(), index);
            assert_eq!(cache.find(&padded(&format!("{text}\"")), text.len(), b'"'), Some(index), "{text}");
            assert_eq!(cache.find(&padded(&format!("{text}'")), text.len(), b'"'), None, "another end: {text}");
            assert_eq!(cache.find(&padded(&format!("{text}\"")), text.len() + 1, b'-'), None, "longer: {text}");
        }
        assert_eq!(cache.find(&padded("LUNA_SIGM\""), 9, b'"'), None);
        cache.forget();
        assert_eq!(cache.find(&padded("CO\""), 2, b'"'), None, "an id of an earlier age");
        cache.insert(&padded(&"x".repeat(49)), 49, 7);
        assert_eq!(cache.find(&padded(&format!("{}\"", "x".repeat(49))), 49, b'"'), None, "too long");
        assert_eq!(cache.find(b"short", 5, b'"'), None, "the end of the window");
        assert_eq!(ValueCache::of("trace_id").find(&padded("CO\""), 2, b'"'), None);
    }
}
