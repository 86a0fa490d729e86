//! The time of a record where it is written in the usual way: digits at fixed places, on a day that was met before.

use keytrail_model::time::{self, RecordTime};

use crate::text::ONES;

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;
/// Bytes of `YYYY-MM-DD` and what stands between it and the time of day.
const DATE_BYTES: usize = 11;
/// Microseconds of one unit of the last digit of a fraction, by number of digits.
const DIGIT_MICROS: [i64; 7] = [0, 100_000, 10_000, 1000, 100, 10, 1];

/// Bytes of `.ffffff UTC`.
const USUAL_REST_BYTES: usize = 11;

/// Places for days: for each month 32, so that those of a year do not push each other out, in whatever order records stand.
const DAYS: usize = 16 * 32;

/// Reads times; remembers days.
#[derive(Debug)]
pub(super) struct Clock {
    days: Vec<Day>,
}

/// A good day, as it was written last.
#[derive(Debug, Clone, Copy)]
struct Day {
    date: [u8; DATE_BYTES],
    /// Its first microsecond.
    start: i64,
}

impl Default for Clock {
    /// Remembers the epoch, so that what is remembered is true from the start.
    fn default() -> Self {
        Self { days: vec![Day { date: *b"1970-01-01 ", start: 0 }; DAYS] }
    }
}

impl Clock {
    /// Microseconds since the epoch: what [`time::parse`] gives, where that loses no digit. `None` for all other texts, and for some good
    /// ones that are rare.
    #[inline]
    pub(super) fn micros(&mut self, text: &[u8]) -> Option<i64> {
        let (date, rest) = text.split_first_chunk()?;
        let (clock, rest) = rest.split_first_chunk()?;
        let day = self.days.get_mut(place_of(date))?;
        if day.date != *date {
            *day = other_day(date)?;
        }
        let fraction = match rest.as_array() {
            Some(rest) => usual_fraction_micros(rest),
            None => fraction_micros(rest),
        };
        Some(day.start + clock_seconds(*clock)? * SECOND + fraction?)
    }
}

/// The place of a day; some place where these are no digits.
#[inline]
fn place_of(&[.., m1, m2, _, d1, d2, _]: &[u8; DATE_BYTES]) -> usize {
    let number = |tens: u8, ones: u8| usize::from(tens & 0xf) * 10 + usize::from(ones & 0xf);
    (number(m1, m2) * 32 + number(d1, d2)) % DAYS
}

/// A day that was not met before.
#[cold]
fn other_day(text: &[u8; DATE_BYTES]) -> Option<Day> {
    let [date @ .., b' ' | b'T'] = text else {
        return None;
    };
    Some(Day { date: *text, start: first_micros(date)? })
}

/// Seconds of `HH:MM:SS`.
#[inline]
fn clock_seconds(text: [u8; 8]) -> Option<i64> {
    const ZERO: u64 = u64::from_le_bytes(*b"00:00:00");
    /// The bits of a digit that are the same for all digits; all bits of a colon.
    const FIXED: u64 = u64::from_le_bytes([0xf0, 0xf0, 0xff, 0xf0, 0xf0, 0xff, 0xf0, 0xf0]);
    /// Carries what is beyond `9` into those bits.
    const BEYOND_9: u64 = u64::from_le_bytes([6, 6, 0, 6, 6, 0, 6, 6]);
    /// Where hours, minutes and seconds are made.
    const MADE: u64 = u64::from_le_bytes([0xff, 0, 0, 0xff, 0, 0, 0xff, 0]);
    /// Carries what is beyond `23`, `59` and `59` into the highest bits of these.
    const BEYOND: u64 = u64::from_le_bytes([0x80 - 24, 0, 0, 0x80 - 60, 0, 0, 0x80 - 60, 0]);
    let digits = u64::from_le_bytes(text) ^ ZERO;
    // Tens and ones come together where the tens stand.
    let made = (digits.wrapping_mul(10).wrapping_add(digits >> 8)) & MADE;
    let odd = ((digits | digits.wrapping_add(BEYOND_9)) & FIXED) | (made.wrapping_add(BEYOND) & (ONES << 7));
    let [hours, _, _, minutes, _, _, seconds, _] = made.to_le_bytes().map(i64::from);
    (odd == 0).then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Microseconds of `.ffffff UTC`.
#[inline]
fn usual_fraction_micros(text: &[u8; USUAL_REST_BYTES]) -> Option<i64> {
    const ZERO: u64 = u64::from_le_bytes(*b".000000 ");
    const FIXED: u64 = u64::from_le_bytes([0xff, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xff]);
    const BEYOND_9: u64 = u64::from_le_bytes([0, 6, 6, 6, 6, 6, 6, 0]);
    let (digits, zone) = text.split_first_chunk()?;
    let digits = u64::from_le_bytes(*digits) ^ ZERO;
    if zone != b"UTC" || (digits | digits.wrapping_add(BEYOND_9)) & FIXED != 0 {
        return None;
    }
    // Two and two, four and four: each sum stands in the higher half. Where the point stood is nothing, and so are the first two of eight.
    let digits = digits << 8;
    let twos = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    i64::try_from((fours * 10_000 + (fours >> 32)) & 0xffff_ffff).ok()
}

/// Microseconds of a fraction of any length, if there is one, before the zone UTC.
fn fraction_micros(text: &[u8]) -> Option<i64> {
    let zones: [&[u8]; 3] = [b" UTC", b"Z", b"+00:00"];
    let fraction = zones.iter().find_map(|zone| text.strip_suffix(*zone))?;
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

/// First microsecond of a day that can be named to its end.
fn first_micros(date: &[u8; DATE_BYTES - 1]) -> Option<i64> {
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
            "2026-01-05T23:59:59+00:00",
            "2026-01-05T23:59:59.000417+00:00",
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

        /// Most share the day, or its place.
        #[test]
        fn nor_where_days_are_remembered(
            texts in proptest::collection::vec(
                "202[56]-0[12]-0[56][ T]08:0[01]:[0-6][0-9]\\.[0-9]{5,7}( UTC|Z|\\+00:00)", 1..16,
            )
        ) {
            reads_what_the_model_reads(&texts)?;
        }
    }

    #[test]
    fn days_of_a_year_are_remembered() {
        let dates = || (1..=12).flat_map(|month| (1..=28).map(move |day| format!("2026-{month:02}-{day:02} ")));
        let mut clock = Clock::default();
        dates().for_each(|date| assert!(clock.micros(format!("{date}08:00:01 UTC").as_bytes()).is_some(), "{date}"));
        let remembered: Vec<&[u8]> = clock.days.iter().map(|day| day.date.as_slice()).collect();
        dates().for_each(|date| assert!(remembered.contains(&date.as_bytes()), "{date}"));
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
