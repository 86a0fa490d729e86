//! Looking at several bytes at once, in plain integers and arrays that compilers turn into wide instructions.

use crate::text::ONES;

/// Bytes of a wide comparison.
pub(super) const LANE: usize = 32;

const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);

/// Whether a byte can stand in plain text: printable ASCII (and DEL) but `"` and `\`.
pub(super) fn is_plain(byte: u8) -> bool {
    (b' '..0x80).contains(&byte) && byte != b'"' && byte != b'\\'
}

/// Length of the plain text at the start of a window, which ends before the byte `end`. `None` where another byte that is not plain
/// comes first, or where the window ends within the next 8 bytes.
#[inline(never)]
pub(super) fn plain_length(window: &[u8], end: u8) -> Option<usize> {
    let (words, _) = window.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let odd = odd_bytes(u64::from_le_bytes(*word));
        if odd != 0 {
            length += (odd.trailing_zeros() / 8) as usize;
            return (window.get(length) == Some(&end)).then_some(length);
        }
        length += 8;
    }
    None
}

/// Length of the text at the start of a window, as it stands there up to the byte `end`: that is not one behind a backslash, but where it is
/// a backslash itself. `None` where that is not within so many bytes.
pub(super) fn raw_length(window: &[u8], end: u8, bytes_max: usize) -> Option<usize> {
    let mut length = 0;
    while length <= bytes_max {
        length += match *window.get(length)? {
            byte if byte == end => return Some(length),
            b'\\' => 2,
            b'"' | ..b' ' => return None,
            _ => 1,
        };
    }
    None
}

/// Digits of an integer that is read here at most: such as all parsers take as it stands.
const INTEGER_DIGITS: usize = 15;

/// Length of the integer at the start of a window, as JSON writes it without a sign. `None` where it is longer than most, or where the
/// window ends with it. Whether the number ends there, what is behind it tells.
pub(super) fn integer_length(window: &[u8]) -> Option<usize> {
    let length = window.iter().take(INTEGER_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    let has_leading_zero = length > 1 && window.first() == Some(&b'0');
    (length > 0 && length <= INTEGER_DIGITS && length < window.len() && !has_leading_zero).then_some(length)
}

/// Bytes that are marked at once.
const MARKS: usize = 16;

/// Whether all bytes of a text are plain.
#[inline]
pub(super) fn are_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else {
        return are_all_plain(text);
    };
    // The last bytes may be looked at twice: that is faster than one by one.
    let marks = text.as_chunks().0.iter().fold(odd_marks(last), |marks, bytes| joined(marks, odd_marks(bytes)));
    marks.iter().fold(0, |odd, mark| odd | mark) == 0
}

#[cold]
fn are_all_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| is_plain(*byte))
}

/// Marks the places of bytes that are not plain.
#[inline(always)]
fn odd_marks(bytes: &[u8; MARKS]) -> [u8; MARKS] {
    // Without branches, so that all bytes are compared at once. What is beyond ASCII is negative.
    bytes.map(|byte| u8::from((byte.cast_signed() < b' '.cast_signed()) | (byte == b'"') | (byte == b'\\')))
}

/// What one or the other marks.
#[inline(always)]
fn joined(mut marks: [u8; MARKS], more: [u8; MARKS]) -> [u8; MARKS] {
    marks.iter_mut().zip(more).for_each(|(mark, more)| *mark |= more);
    marks
}

/// Sets the high bit of the lowest byte that is not plain; bits of higher bytes may be set without cause.
fn odd_bytes(word: u64) -> u64 {
    let below_blank = word.wrapping_sub(ONES * u64::from(b' '));
    let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    ((below_blank | quote | backslash) & !word | word) & HIGH_BITS
}

/// Whether two arrays are equal where the mask has bits.
#[inline(always)]
pub(super) fn equal_start<const N: usize>(a: &[u8; N], b: &[u8; N], mask: &[u8; N]) -> bool {
    a.iter().zip(b).zip(mask).fold(0, |differ, ((a, b), mask)| differ | ((a ^ b) & mask)) == 0
}

/// A mask of the first `length` bytes.
pub(super) const fn mask<const N: usize>(length: usize) -> [u8; N] {
    let mut mask = [0; N];
    let mut rest: &mut [u8] = &mut mask;
    let mut left = length;
    while left > 0 {
        let Some((first, more)) = rest.split_first_mut() else {
            break;
        };
        *first = 0xff;
        rest = more;
        left -= 1;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts() {
        let cases: [(&[u8], Option<usize>); 10] = [
            (b"\"-------", Some(0)),
            (b"a\"------", Some(1)),
            (b"abcdefgh\"-------", Some(8)),
            (b"abcdefghi\\\"\"-----", None),
            (b"a\x1f\"-----", None),
            (b"a\x7f~ \"---", Some(4)),
            (b"a\xc3\xa4\"----", None),
            (b"abcdefg", None),
            (b"abcdefghijkl\"", None),
            (b"\x80\"------", None),
        ];
        for (window, expected) in cases {
            assert_eq!(plain_length(window, b'"'), expected, "{}", window.escape_ascii());
        }
        assert_eq!(plain_length(b"ab\\\"----", b'\\'), Some(2));
    }

    #[test]
    fn masks() {
        assert_eq!(mask::<4>(0), [0; 4]);
        assert_eq!(mask::<4>(3), [0xff, 0xff, 0xff, 0]);
        assert_eq!(mask::<4>(9), [0xff; 4]);
        assert!(equal_start(b"abcd", b"abxx", &mask(2)) && !equal_start(b"abcd", b"abxx", &mask(3)));
    }

    proptest::proptest! {
        #[test]
        fn plain_texts_as_byte_by_byte(
            window in proptest::collection::vec(proptest::prop_oneof![9 => 0x20..0x7f_u8, 1 => 0..=255_u8], 0..64)
        ) {
            let length = window.iter().take_while(|byte| is_plain(**byte)).count();
            let expected = (length < window.len() / 8 * 8 && window[length] == b'"').then_some(length);
            proptest::prop_assert_eq!(plain_length(&window, b'"'), expected);
            proptest::prop_assert_eq!(are_plain(&window), length == window.len());
            proptest::prop_assert!(are_plain(&window[..length]));
        }
    }
}
