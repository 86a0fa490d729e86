//! The time of a record where it is written in the usual way: digits at fixed places, a minute that was the same a moment ago.

use keytrail_model::time::{self, RecordTime};

use crate::text::ONES;

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;
/// Bytes of `YYYY-MM-DD`.
const DATE_BYTES: usize = 10;
/// Microseconds of one unit of the last digit of a fraction, by number of digits.
const DIGIT_MICROS: [i64; 7] = [0, 100_000, 10_000, 1000, 100, 10, 1];

/// Bytes of `YYYY-MM-DD HH:MM`.
const MINUTE_BYTES: usize = 16;
/// Bytes of `:SS.ffffff UTC`.
const REST_BYTES: usize = 14;

/// Reads times; remembers the day and the minute.
#[derive(Debug)]
pub(super) struct Clock {
    date: [u8; DATE_BYTES],
    /// Its first microsecond.
    day: i64,
    /// A good minute, as it was written last with microseconds.
    minute: [u8; MINUTE_BYTES],
    /// Its first microsecond.
    minute_start: i64,
}

impl Default for Clock {
    /// Remembers the epoch, so that whatever is remembered is true from the start.
    fn default() -> Self {
        Self { date: *b"1970-01-01", day: 0, minute: *b"1970-01-01 00:00", minute_start: 0 }
    }
}

impl Clock {
    /// Microseconds since the epoch: what [`time::parse`] gives, where that loses no digit. `None` for all other texts, and for some good
    /// ones that are rare.
    #[inline]
    pub(super) fn micros(&mut self, text: &[u8]) -> Option<i64> {
        if let Some((minute, rest)) = text.split_first_chunk()
            && let Some(rest) = rest.as_array()
            && *minute == self.minute
            && let Some(micros) = minute_micros(rest)
        {
            return Some(self.minute_start + micros);
        }
        self.other_minute(text)
    }

    /// The same for any text.
    fn other_minute(&mut self, text: &[u8]) -> Option<i64> {
        let (date, rest) = text.split_first_chunk::<DATE_BYTES>()?;
        if *date != self.date {
            self.day = first_micros(date)?;
            self.date = *date;
        }
        let (&[b' ' | b'T', ref clock @ ..], zone) = rest.split_first_chunk::<9>()? else {
            return None;
        };
        let time = self.day + clock_seconds(*clock)? * SECOND + fraction_micros(zone)?;
        if let Some((minute, rest)) = text.split_first_chunk()
            && let Some(micros) = rest.as_array().and_then(minute_micros)
        {
            self.minute = *minute;
            self.minute_start = time - micros;
        }
        Some(time)
    }
}

/// Microseconds of `:SS.ffffff UTC`.
#[inline]
fn minute_micros(text: &[u8; REST_BYTES]) -> Option<i64> {
    let &[b':', tens, ones, b'.', a, b, c, d, e, f, b' ', b'U', b'T', b'C'] = text else {
        return None;
    };
    let micros = eight_digits([tens, ones, a, b, c, d, e, f])?;
    (tens < b'6').then_some(micros)
}

/// Seconds of `HH:MM:SS`.
fn clock_seconds(text: [u8; 8]) -> Option<i64> {
    const ZERO: u64 = u64::from_le_bytes(*b"00:00:00");
    /// The bits of a digit that are the same for all digits; all bits of a colon.
    const FIXED: u64 = u64::from_le_bytes([0xf0, 0xf0, 0xff, 0xf0, 0xf0, 0xff, 0xf0, 0xf0]);
    /// Carries what is beyond `9` into those bits.
    const BEYOND_9: u64 = u64::from_le_bytes([6, 6, 0, 6, 6, 0, 6, 6]);
    let digits = u64::from_le_bytes(text) ^ ZERO;
    if digits & FIXED != 0 || (digits + BEYOND_9) & FIXED != 0 {
        return None;
    }
    // Tens and ones come together where the tens stand.
    let [hours, _, _, minutes, _, _, seconds, _] = (digits * 10 + (digits >> 8)).to_le_bytes();
    let clock = i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
    (hours < 24 && minutes < 60 && seconds < 60).then_some(clock)
}

/// Microseconds of a fraction, if there is one, before the zone UTC.
fn fraction_micros(text: &[u8]) -> Option<i64> {
    if let &[b'.', ref digits @ .., b' ', b'U', b'T', b'C'] = text
        && let Some(digits) = digits.as_array()
    {
        let &[a, b, c, d, e, f] = digits;
        return eight_digits([b'0', b'0', a, b, c, d, e, f]);
    }
    let fraction = text.strip_suffix(b" UTC").or_else(|| text.strip_suffix(b"Z"))?;
    let Some((b'.', digits)) = fraction.split_first() else {
        return fraction.is_empty().then_some(0);
    };
    let unit = *DIGIT_MICROS.get(digits.len()).filter(|_| !digits.is_empty())?;
    let mut micros = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        micros = micros * 10 + i64::from(digit);
    }
    Some(micros * unit)
}

/// The number that eight digits make.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<i64> {
    const ZERO: u64 = u64::from_le_bytes([b'0'; 8]);
    let digits = u64::from_le_bytes(text) ^ ZERO;
    // What is below 16 and beyond 9 shows when 6 is added; what is not below 16 shows by itself.
    if (digits | digits.wrapping_add(ONES * 6)) & (ONES * 0xf0) != 0 {
        return None;
    }
    // Two and two, four and four: each sum stands in the higher half.
    let twos = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    i64::try_from((fours * 10_000 + (fours >> 32)) & 0xffff_ffff).ok()
}

/// First microsecond of a day that can be named to its end.
fn first_micros(date: &[u8; DATE_BYTES]) -> Option<i64> {
    let date = std::str::from_utf8(date).ok()?;
    let RecordTime { micros, .. } = time::parse(&format!("{date}T00:00:00Z"))?;
    time::parse(&format!("{date}T23:59:59.999999Z"))?;
    Some(micros)
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::TestCaseError;

    use super::*;

    #[test]
    fn what_is_read_is_what_the_model_reads() {
        let texts = [
            "2022-03-10 15:29:01 UTC",
            "2026-01-05 08:00:01.250 UTC",
            "2026-01-05 08:00:02.000417 UTC",
            "2026-01-05 23:59:59.9Z",
            "2026-01-05T08:00:01Z",
            "2024-02-29 00:00:00 UTC",
            "1969-12-31 23:59:59.999999 UTC",
            "0001-01-01T00:00:00Z",
        ];
        let mut clock = Clock::default();
        for text in texts {
            assert_eq!(clock.micros(text.as_bytes()), time::parse(text).map(|time| time.micros), "{text}");
        }
    }

    #[test]
    fn what_is_not_read() {
        let texts = [
            "",
            "2026-01-05",
            "2026-01-05 08:00:01",
            "2026-01-05 08:00:01. UTC",
            "2026-01-05 08:00:01.1234567 UTC",
            "2026-01-05 08:00:01.12x UTC",
            "2026-01-05 24:00:00 UTC",
            "2026-01-05 08:60:00 UTC",
            "2026-01-05 08:00:60 UTC",
            "2026-01-05 08:00:0x UTC",
            "2026-01-05 08:00:01 UTC ",
            "2026-01-05 08:00:01 CET",
            "2026-01-05T08:00:01+01:00",
            "2023-02-29 00:00:00 UTC",
            "9999-12-30 00:00:00 UTC",
            "2026-01-05 08:00:60.000000 UTC",
            "2026-01-05 08:00:0x.000000 UTC",
            "2026-01-05 08:00:01.00000x UTC",
            "2026-01-05 08:00:01,000000 UTC",
            "2026-01-05 08:00:01.000000 CET",
            "2026-01-05 08:00 01.000000 UTC",
            "2026-01-05 08:60:01.000000 UTC",
            "\0\0\0\0\0\0\0\0\0\0 00:00:00 UTC",
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0:00.000000 UTC",
        ];
        let mut used = Clock::default();
        assert!(used.micros(b"2026-01-05 08:00:02.000417 UTC").is_some());
        for text in texts {
            assert_eq!(used.micros(text.as_bytes()), None, "{text:?}");
            assert_eq!(Clock::default().micros(text.as_bytes()), None, "{text:?} to a new clock");
        }
    }

    #[test]
    fn any_byte_in_the_place_of_a_digit() {
        let good = b"2026-01-05 08:00:02.000417 UTC";
        for place in (0..good.len()).filter(|place| good[*place].is_ascii_digit()) {
            for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
                let mut text = *good;
                text[place] = byte;
                let mut clock = Clock::default();
                assert!(clock.micros(good).is_some());
                assert_eq!(clock.micros(&text), None, "{byte:#04x} at {place}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn never_another_moment(
            texts in proptest::collection::vec(
                "(20[0-9]{2}|0000|9999)-[01][0-9]-[0-3][0-9][ Tt][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,8})?( UTC|Z|z|\\+00:00)", 1..4,
            )
        ) {
            reads_what_the_model_reads(&texts)?;
        }

        /// Most share the day, many the minute.
        #[test]
        fn nor_where_the_minute_is_remembered(
            texts in proptest::collection::vec("2026-01-0[56][ T]08:0[01]:[0-6][0-9]\\.[0-9]{5,7}( UTC|Z)", 1..16)
        ) {
            reads_what_the_model_reads(&texts)?;
        }
    }

    fn reads_what_the_model_reads(texts: &[String]) -> Result<(), TestCaseError> {
        let mut clock = Clock::default();
        for text in texts {
            if let Some(micros) = clock.micros(text.as_bytes()) {
                proptest::prop_assert_eq!(time::parse(text), Some(RecordTime { micros, exact: true }), "{}", text);
            }
        }
        Ok(())
    }
}
