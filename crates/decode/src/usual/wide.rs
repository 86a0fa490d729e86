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

/// Length of the text at the start of a window before the byte `end`, where `extra` keeps it as it stands: all of it is UTF-8, with the
/// escapes only that [`crate::canonical`] writes in two characters, and before a backslash none. `None` where that is not within the window.
#[cold]
pub(super) fn kept_length(window: &[u8], end: u8) -> Option<usize> {
    let mut length = 0;
    loop {
        length += match *window.get(length)? {
            byte if byte == end => break,
            b'\\' => {
                window.get(length + 1).filter(|byte| b"\"\\bfnrt".contains(byte))?;
                2
            }
            b'"' | ..b' ' => return None,
            _ => 1,
        };
    }
    str::from_utf8(window.get(..length)?).is_ok().then_some(length)
}

/// Digits of a number that is read here at most: a double has them all.
const NUMBER_DIGITS: usize = 15;
/// Zeros behind the point of a fraction below a tenth that is read here, at most: such as are not written with an exponent.
const FRACTION_ZEROS: usize = 3;

/// Length of the number, truth value or null at the start of a window, where `extra` keeps it as it stands; of the rare numbers that are
/// written with an exponent none is read. `None` where the window ends with it. Whether it ends there, what is behind it tells.
pub(super) fn token_length(window: &[u8]) -> Option<usize> {
    let words: [&[u8]; 3] = [b"true", b"false", b"null"];
    let length = match words.iter().find(|word| window.starts_with(word)) {
        Some(word) => word.len(),
        None => number_length(window)?,
    };
    (length < window.len()).then_some(length)
}

/// Length of the number at the start of a window, up to an exponent. `None` where [`crate::number`] might write it in another way.
fn number_length(window: &[u8]) -> Option<usize> {
    let sign = usize::from(window.first() == Some(&b'-'));
    let whole = digits(window.get(sign..)?);
    let mut length = sign + whole.len();
    let fraction = match window.get(length) {
        Some(b'.') => digits(window.get(length + 1..)?),
        _ => b"",
    };
    if !fraction.is_empty() {
        length += 1 + fraction.len();
    }
    let zeros = fraction.iter().take_while(|digit| **digit == b'0').count();
    let is_kept = match (whole, fraction) {
        ([], _) => false,
        // The sign of a zero is a matter of the general path.
        ([b'0'], [] | b"0") => sign == 0,
        ([b'0'], [.., last]) => *last != b'0' && zeros <= FRACTION_ZEROS,
        ([b'0', ..], _) => false,
        (_, [] | b"0") => true,
        (_, [.., last]) => *last != b'0',
    };
    (is_kept && whole.len() + fraction.len() <= NUMBER_DIGITS).then_some(length)
}

/// The digits at the start of a window; one more than are read here at most.
fn digits(window: &[u8]) -> &[u8] {
    let count = window.iter().take(NUMBER_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    window.get(..count).unwrap_or_default()
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
    fn texts_that_are_kept() {
        let cases: [(&[u8], Option<usize>); 12] = [
            (b"\"", Some(0)),
            (b"a\"-", Some(1)),
            ("Größe\"".as_bytes(), Some(7)),
            (br#"a\"\\b\n""#, Some(8)),
            (br#"a\/""#, None),
            (br#"\u0041""#, None),
            (b"a\n\"", None),
            (b"\xe9\"", None),
            (b"\xed\xa0\x80\"", None),
            (br"a\", None),
            (br#"a\""#, None),
            (b"a", None),
        ];
        for (window, expected) in cases {
            assert_eq!(kept_length(window, b'"'), expected, "{}", window.escape_ascii());
        }
        assert_eq!(kept_length("ä\\\"".as_bytes(), b'\\'), Some(2));
        assert_eq!(kept_length(br#"a"\"#, b'\\'), None);
    }

    #[test]
    fn tokens_that_are_kept() {
        let kept = [
            "0", "7", "-7", "10", "1.5", "-1.5", "0.5", "-0.25", "0.0", "7.0", "12.034", "0.0001", "true", "false",
            "null",
        ];
        let longest = ["999999999999999", "-999999999999999", "99999999999999.5", "0.00012345678912"];
        for token in kept.into_iter().chain(longest) {
            assert_eq!(token_length(format!("{token},").as_bytes()), Some(token.len()), "{token}");
            assert_eq!(token_length(token.as_bytes()), None, "the end of the window: {token}");
        }
        let others = [
            "",
            "-",
            "-0",
            "-0.0",
            "007",
            "00",
            "1.50",
            "1.00",
            "0.00",
            "0.00001",
            "1000000000000000",
            "1.234567890123456",
            ".5",
            "[",
            "\"",
            "True",
            "x",
        ];
        for token in others {
            assert_eq!(token_length(format!("{token},").as_bytes()), None, "{token}");
        }
        // What is behind these tells.
        for (token, length) in [("1e3", 1), ("1.", 1), ("1.5.2", 3), ("1.5E1", 3), ("nullx", 4), ("12a", 2)] {
            assert_eq!(token_length(format!("{token},").as_bytes()), Some(length), "{token}");
        }
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
        fn tokens_are_kept_as_they_stand(token in "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,8})?|(-?0\\.0{1,6}[1-9])") {
            if token_length(format!("{token},").as_bytes()) == Some(token.len()) {
                let mut kept = String::new();
                crate::number::push_canonical(&token, &mut kept);
                proptest::prop_assert_eq!(kept, token);
            }
        }

        #[test]
        fn texts_are_kept_as_they_stand(text: String, escaped: bool) {
            // Escapes that are written in six characters are not known here.
            let mut json = String::new();
            crate::canonical::push_string(&text, &mut json);
            let json = if escaped { json } else { format!("\"{text}\"") };
            if let Some(length) = kept_length(&json.as_bytes()[1..], b'"') {
                let text: String = serde_json::from_str(&json[..length + 2]).unwrap();
                let mut again = String::new();
                crate::canonical::push_string(&text, &mut again);
                proptest::prop_assert_eq!(&again, &json[..length + 2]);
            }
        }

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
