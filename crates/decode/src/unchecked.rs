//! The two unsafe calls of this crate. Each is sound for all arguments: what it needs is checked right before it, or is nothing.
//!
//! - A hint to fetch bytes before they are needed. A member is inflated as a whole before it is decoded, so its bytes come from memory, and
//!   the processor's own reading ahead starts anew with every page of 4 KiB. There is no safe way to give this hint.
//! - A dictionary array of keys that were checked together. The safe way looks at each key by itself, which takes as long as finding
//!   the keys did: 5 percent of decoding (`benches/README.md`).

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array as _, DictionaryArray, Int32Array, StringArray};
use arrow_schema::ArrowError;

/// Asks for the bytes around a place of a window or of a table, or behind its end. A hint: nothing is read, and nothing happens where there is no
/// such instruction.
#[inline(always)]
pub(crate) fn prefetch<T>(window: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        let place = window.as_ptr().wrapping_add(at).cast();
        // SAFETY: the instruction takes any address: it neither faults nor changes what a program sees, and the address is never
        // dereferenced. `wrapping_add` may leave the window, which is fine for an address that is not used otherwise. SSE, which
        // has the instruction, belongs to every x86-64 processor.
        #[allow(unsafe_code, reason = "a hint to the processor, sound for any address")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(place);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (window, at);
}

/// An array of texts by their keys.
///
/// # Errors
/// A key is negative or beyond the last text, and its row is not null.
pub(crate) fn dictionary(keys: Int32Array, texts: StringArray) -> Result<DictionaryArray<Int32Type>, ArrowError> {
    // Negative keys are large here. Without branches, so that many keys are looked at at once.
    let greatest = keys.values().iter().fold(0, |greatest, key| key.cast_unsigned().max(greatest));
    if keys.is_empty() || greatest as usize >= texts.len() {
        return DictionaryArray::try_new(keys, Arc::new(texts));
    }
    // SAFETY: sound where `try_new` would succeed. It fails for types other than `Int32Type`'s, which the argument's type rules out, and
    // for keys of valid rows that are negative or not below the number of values: all keys, those of null rows too, were just found
    // to be less than it.
    #[allow(unsafe_code, reason = "all keys were checked, many at a time")]
    unsafe {
        Ok(DictionaryArray::new_unchecked(keys, Arc::new(texts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_is_what_the_library_makes_or_refuses() {
        let cases: [(&[Option<i32>], usize); 10] = [
            (&[], 0),
            (&[None, None], 0),
            (&[Some(0)], 0),
            (&[Some(0)], 1),
            (&[Some(1)], 1),
            (&[Some(-1)], 1),
            (&[Some(i32::MIN), Some(0)], 2),
            (&[Some(i32::MAX), Some(0)], 2),
            (&[Some(1), None, Some(0)], 2),
            (&[None, Some(2), Some(0)], 2),
        ];
        for (keys, texts) in cases {
            let keys: Int32Array = keys.iter().copied().collect();
            let texts: StringArray = (0..texts).map(|text| Some(text.to_string())).collect();
            let expected = DictionaryArray::try_new(keys.clone(), Arc::new(texts.clone()));
            match (dictionary(keys.clone(), texts), expected) {
                (Ok(made), Ok(expected)) => assert_eq!(made, expected, "{keys:?}"),
                (Err(made), Err(expected)) => assert_eq!(made.to_string(), expected.to_string(), "{keys:?}"),
                (made, expected) => panic!("{keys:?}: {made:?}, {expected:?}"),
            }
        }
        // A null row may have any key.
        let odd = Int32Array::new(vec![7, 0].into(), Some(vec![false, true].into()));
        assert!(dictionary(odd, vec!["a"].into()).is_ok());
    }

    #[test]
    fn any_place_may_be_asked_for() {
        let window = [7_u8; 100];
        for at in [0, 99, 100, 101, 1 << 20, usize::MAX] {
            prefetch(&window, at);
            prefetch::<u8>(&[], at);
        }
        assert_eq!(window, [7; 100]);
    }
}
