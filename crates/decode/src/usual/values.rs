//! Texts of a column seen lately, with their id in the column: most values repeat.
//!
//! One place for each hash of a text's length, first and last bytes; a newer text takes the place of an older one. A place that was
//! lost costs time only. Texts are remembered as they stand in a record: plain ones, those beyond ASCII and, of the envelope, those with
//! escapes. A text of `meta` must have none: where `meta` came as text they mean something else.

use keytrail_model::{key, schema};

use super::wide::{equal_start, mask};

/// Longest text that is remembered.
pub(super) const TEXT_BYTES: usize = 48;
/// Places for the texts of a column, as a power of two: first few, which stay in the processor's caches, and more where texts push each
/// other out.
const PLACES_BITS: u32 = 9;
const PLACES_BITS_MAX: u32 = 12;
/// Places for keys that are written in an unusual way: there are many keys.
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
    /// Texts that were pushed out by others since there are so many places.
    pushed_out: usize,
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

const FREE: Place = Place { text: [0; TEXT_BYTES], length: 0, age: 0, id: 0 };

impl ValueCache {
    /// The cache of a text column.
    pub(super) fn of(column: &str) -> Self {
        let places_bits = match column {
            key::COLUMN => KEY_PLACES_BITS,
            _ => PLACES_BITS,
        };
        let places = if schema::is_dictionary(column) { 1 << places_bits } else { 0 };
        Self { places: vec![FREE; places], shift: u64::BITS - places_bits, age: 1, pushed_out: 0 }
    }

    /// The id of the text at the start of a window that has this length and is followed by the byte `end`, if it is remembered. No byte of a
    /// remembered text ends it, and none makes the one behind it another, so it does end there.
    #[inline]
    pub(super) fn find(&self, window: &[u8], length: usize, end: u8) -> Option<u32> {
        let start = window.first_chunk::<TEXT_BYTES>()?;
        let place = self.places.get(self.place_of(start, length)?)?;
        let same = place.length == length
            && place.age == self.age
            && window.get(length) == Some(&end)
            && equal_start(start, &place.text, MASKS.get(length)?);
        same.then_some(place.id)
    }

    /// Remembers a text, if it is short enough.
    pub(super) fn insert(&mut self, text: &[u8], id: u32) {
        let mut start = [0; TEXT_BYTES];
        let Some(room) = start.get_mut(..text.len()) else {
            return;
        };
        room.copy_from_slice(text);
        let (age, length) = (self.age, text.len());
        let Some(place) = self.place_of(&start, length).and_then(|place| self.places.get_mut(place)) else {
            return;
        };
        let pushes_out = place.age == age;
        *place = Place { text: start, length, age, id };
        if pushes_out {
            self.pushed_out += 1;
            self.grow();
        }
    }

    /// Makes twice as many places where texts push each other out often.
    fn grow(&mut self) {
        let more = self.places.len() * 2;
        if self.pushed_out > self.places.len() && more <= 1 << PLACES_BITS_MAX {
            // What is forgotten comes again.
            self.places = vec![FREE; more];
            self.shift -= 1;
            self.pushed_out = 0;
        }
    }

    /// The place of a text that is short enough.
    #[inline]
    fn place_of(&self, start: &[u8; TEXT_BYTES], length: usize) -> Option<usize> {
        let first = u64::from_le_bytes(*start.first_chunk()?);
        let mixed = match length.checked_sub(8) {
            Some(at) => first ^ u64::from_le_bytes(*start.get(at..length)?.first_chunk()?).rotate_left(21),
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
        self.pushed_out = 0;
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
            cache.insert(text.as_bytes(), index);
            assert_eq!(cache.find(&padded(&format!("{text}\"")), text.len(), b'"'), Some(index), "{text}");
            assert_eq!(cache.find(&padded(&format!("{text}'")), text.len(), b'"'), None, "another end: {text}");
            assert_eq!(cache.find(&padded(&format!("{text}\"")), text.len() + 1, b'-'), None, "longer: {text}");
        }
        assert_eq!(cache.find(&padded("LUNA_SIGM\""), 9, b'"'), None);
        cache.forget();
        assert_eq!(cache.find(&padded("CO\""), 2, b'"'), None, "an id of an earlier age");
        cache.insert("x".repeat(49).as_bytes(), 7);
        assert_eq!(cache.find(&padded(&format!("{}\"", "x".repeat(49))), 49, b'"'), None, "too long");
        assert_eq!(cache.find(b"short", 5, b'"'), None, "the end of the window");
        assert_eq!(ValueCache::of("trace_id").find(&padded("CO\""), 2, b'"'), None);
    }

    #[test]
    fn there_are_more_places_where_texts_push_each_other_out() {
        for (texts, places) in [(20, 1 << PLACES_BITS), (3000, 1 << PLACES_BITS_MAX)] {
            let mut cache = ValueCache::of("client_ip");
            let windows: Vec<Vec<u8>> = (0..texts).map(|text| padded(&format!("10.0.{text}.7\""))).collect();
            let mut found = 0;
            for round in 0..20 {
                found = 0;
                for (id, window) in (0..).zip(&windows) {
                    let length = window.len() - 65;
                    match cache.find(window, length, b'"') {
                        Some(known) => {
                            assert_eq!(known, id, "{texts} in round {round}");
                            found += 1;
                        }
                        None => cache.insert(&window[..length], id),
                    }
                }
            }
            assert_eq!(cache.places.len(), places, "{texts}");
            assert!(found * 4 > texts * 2, "{found} of {texts} known again");
            cache.forget();
            assert!(windows.iter().all(|window| cache.find(window, window.len() - 65, b'"').is_none()));
        }
    }
}
