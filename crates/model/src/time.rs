//! The moment of a record: every form in which the service has been seen to write it, and the month it falls into.
//!
//! Accepted is `YYYY-MM-DD`, a blank or `T`, `HH:MM:SS`, an optional fraction of any number of digits, and a zone: ` UTC`, `Z`
//! or an offset `+HH:MM`. A time without a zone is refused: guessing one would shift evidence silently.

use jiff::civil;

/// Microseconds in a second.
const MICROS: i64 = 1_000_000;
/// Fraction digits that microseconds can hold.
const MICRO_DIGITS: usize = 6;

/// The moment by the clock of the machine, in microseconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// A parsed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordTime {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub micros: i64,
    /// Whether `micros` holds all digits of the text. Where it does not, [`with_all_digits`] is kept beside it.
    pub exact: bool,
}

/// Reads the `time` of a record.
///
/// Years 0001 to 9999 (two days short), proleptic Gregorian calendar, seconds 00 to 59. Returns `None` for any other text.
#[must_use]
pub fn parse(text: &str) -> Option<RecordTime> {
    let (clock, rest) = text.as_bytes().split_at_checked(19)?;
    let seconds = parse_seconds(clock)?;
    let (fraction, zone) = split_fraction(rest)?;
    let offset_s = parse_zone(zone)?;
    let (micros, exact) = fraction_micros(fraction);
    let micros = (seconds - offset_s) * MICROS + micros;
    (FIRST_MICROS..=LAST_MICROS).contains(&micros).then_some(RecordTime { micros, exact })
}

/// 0001-01-01T00:00:00Z.
const FIRST_MICROS: i64 = -62_135_596_800 * MICROS;
/// 9999-12-30T21:59:59.999999Z: the last moment that the date library can name, whatever the zone.
const LAST_MICROS: i64 = 253_402_207_200 * MICROS - 1;

fn parse_seconds(clock: &[u8]) -> Option<i64> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b' ' | b'T' | b't', h1, h2, b':', n1, n2, b':', s1, s2] = clock
    else {
        return None;
    };
    let year = i16::from(two(y1, y2)?) * 100 + i16::from(two(y3, y4)?);
    let date = civil::Date::new(year, two(m1, m2)?, two(d1, d2)?).ok()?;
    let time = civil::Time::new(two(h1, h2)?, two(n1, n2)?, two(s1, s2)?, 0).ok()?;
    // Not by way of a moment: what the zone brings within the bounds may lie beyond those of the library.
    Some(date.to_datetime(time).duration_since(civil::date(1970, 1, 1).at(0, 0, 0, 0)).as_secs())
}

fn two(tens: u8, ones: u8) -> Option<i8> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i8::try_from(byte - b'0').ok()).flatten();
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// Splits `.123 UTC` into its digits and its zone. A point must be followed by a digit.
fn split_fraction(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(after_point) = rest.strip_prefix(b".") else {
        return Some((&[], rest));
    };
    let digits = after_point.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then(|| after_point.split_at_checked(digits)).flatten()
}

fn fraction_micros(digits: &[u8]) -> (i64, bool) {
    let kept = digits.iter().copied().chain(std::iter::repeat(b'0')).take(MICRO_DIGITS);
    let micros = kept.fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    (micros, digits.iter().skip(MICRO_DIGITS).all(|&byte| byte == b'0'))
}

/// Seconds east of UTC.
fn parse_zone(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b' ', b'U', b'T', b'C'] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (i64::from(two(h1, h2)?), i64::from(two(m1, m2)?));
            let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// A calendar month, `YYYY-MM`: the unit in which the store is laid out and reports are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month of a time that [`parse`] returned. `None` outside the years 0001 to 9999.
    #[must_use]
    pub fn of(micros: i64) -> Option<Self> {
        let moment = jiff::Timestamp::from_microsecond(micros).ok()?;
        let date = moment.to_zoned(jiff::tz::TimeZone::UTC).date();
        (1..=9999).contains(&date.year()).then_some(Self { year: date.year(), month: date.month() })
    }

    /// Reads `YYYY-MM`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let &[y1, y2, y3, y4, b'-', m1, m2] = text.as_bytes() else {
            return None;
        };
        let year = i16::from(two(y1, y2)?) * 100 + i16::from(two(y3, y4)?);
        let month = two(m1, m2)?;
        (year >= 1 && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// Its number in the year, from 1.
    #[must_use]
    pub fn number(self) -> u32 {
        self.month.unsigned_abs().into()
    }

    /// First microsecond of the month, and the first of the month after it.
    #[must_use]
    pub fn bounds(self) -> (i64, i64) {
        (
            first_micros(self),
            if self.year == 9999 && self.month == 12 { LAST_MICROS + 1 } else { first_micros(self.next()) },
        )
    }

    fn next(self) -> Self {
        if self.month == 12 { Self { year: self.year + 1, month: 1 } } else { Self { month: self.month + 1, ..self } }
    }
}

fn first_micros(month: Month) -> i64 {
    civil::Date::new(month.year, month.month, 1)
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC))
        .map_or(FIRST_MICROS, |zoned| zoned.timestamp().as_microsecond())
}

impl std::fmt::Display for Month {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:04}-{:02}", self.year, self.month)
    }
}

/// Writes a time as the service does: `2026-01-05 08:00:01 UTC`, with six digits of fraction where it is not a whole second.
#[must_use]
pub fn format_service(micros: i64) -> String {
    let fraction = micros.rem_euclid(MICROS);
    let format = if fraction == 0 { "%Y-%m-%d %H:%M:%S UTC" } else { "%Y-%m-%d %H:%M:%S.%6f UTC" };
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| String::new(), |moment| moment.strftime(format).to_string())
}

/// Writes the time that was read from a text as the service does, with all digits of that text but zeros at their end: equal moments are
/// equal texts.
#[must_use]
pub fn with_all_digits(time: RecordTime, text: &str) -> String {
    let point = text.find('.').map_or(text.len(), |point| point + 1);
    let digits: String = text.chars().skip(point).take_while(char::is_ascii_digit).collect();
    let second = format_service(time.micros.div_euclid(MICROS) * MICROS);
    match (digits.trim_end_matches('0'), second.strip_suffix(" UTC")) {
        ("", _) | (_, None) => second,
        (digits, Some(second)) => format!("{second}.{digits} UTC"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_moment_with_all_digits_are_one_text() {
        let cases = [
            ("2026-01-05 08:00:01.0000001 UTC", "2026-01-05 08:00:01.0000001 UTC"),
            ("2026-01-05T08:00:01.000000100Z", "2026-01-05 08:00:01.0000001 UTC"),
            ("2026-01-05t09:00:01.00000010+01:00", "2026-01-05 08:00:01.0000001 UTC"),
            ("2025-12-31T19:30:01.123456789012-04:30", "2026-01-01 00:00:01.123456789012 UTC"),
            ("1969-12-31 23:59:59.9999999 UTC", "1969-12-31 23:59:59.9999999 UTC"),
            ("0001-01-01 00:00:00.00000001 UTC", "0001-01-01 00:00:00.00000001 UTC"),
            ("2026-01-05 08:00:01.50 UTC", "2026-01-05 08:00:01.5 UTC"),
            ("2026-01-05 08:00:01.000 UTC", "2026-01-05 08:00:01 UTC"),
            ("2026-01-05T08:00:01Z", "2026-01-05 08:00:01 UTC"),
        ];
        for (text, expected) in cases {
            let time = parse(text).unwrap();
            assert_eq!(with_all_digits(time, text), expected, "{text}");
            assert_eq!(parse(expected), Some(time), "{text}");
        }
    }

    #[test]
    fn forms_of_time() {
        let cases = [
            ("2022-03-10 15:29:01 UTC", Some((1_646_926_141_000_000, true))),
            ("2026-01-05 08:00:01.250 UTC", Some((1_767_600_001_250_000, true))),
            ("2026-01-05 08:00:02.000417 UTC", Some((1_767_600_002_000_417, true))),
            ("2026-01-05 08:00:04.5 UTC", Some((1_767_600_004_500_000, true))),
            ("2026-01-05T08:00:01Z", Some((1_767_600_001_000_000, true))),
            ("2026-01-05T09:00:01+01:00", Some((1_767_600_001_000_000, true))),
            ("2026-01-05T03:30:01.000000-04:30", Some((1_767_600_001_000_000, true))),
            ("2026-01-05T08:00:01.123456789Z", Some((1_767_600_001_123_456, false))),
            ("2026-01-05T08:00:01.123456000Z", Some((1_767_600_001_123_456, true))),
            ("1969-12-31 23:59:59.999999 UTC", Some((-1, true))),
            ("2024-02-29 00:00:00 UTC", Some((1_709_164_800_000_000, true))),
            ("2023-02-29 00:00:00 UTC", None),
            ("2026-01-05 08:00:01", None),
            ("2026-01-05 08:00:60 UTC", None),
            ("2026-01-05 24:00:00 UTC", None),
            ("2026-01-05 08:00:01. UTC", None),
            ("2026-01-05 08:00:01 CET", None),
            ("2026-01-05 08:00:01 UTC ", None),
            ("0001-01-01T00:00:00+01:00", None),
            ("0001-01-01T00:00:00Z", Some((FIRST_MICROS, true))),
            ("0000-12-31T23:00:00-01:00", Some((FIRST_MICROS, true))),
            ("9999-12-31T00:00:00.999999+02:01", Some((LAST_MICROS - 59 * MICROS, true))),
            ("9999-12-30T22:00:00Z", None),
            ("9999-12-31T00:00:00Z", None),
            ("0000-01-01 00:00:00 UTC", None),
            ("２026-01-05 08:00:01 UTC", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).map(|time| (time.micros, time.exact)), expected, "{text:?}");
        }
    }

    #[test]
    fn months() {
        assert_eq!(Month::of(1_767_600_001_000_000).unwrap().to_string(), "2026-01");
        assert_eq!(Month::of(-1).unwrap().to_string(), "1969-12");
        assert_eq!(Month::of(FIRST_MICROS).unwrap().to_string(), "0001-01");
        assert_eq!(Month::of(LAST_MICROS).unwrap().to_string(), "9999-12");
        assert_eq!(Month::of(i64::MAX), None);
        for text in ["2026-13", "2026-00", "0000-01", "2026-1", "2026-01-", "x"] {
            assert_eq!(Month::parse(text), None, "{text}");
        }
        let (from, until) = Month::parse("2026-12").unwrap().bounds();
        assert_eq!((Month::of(from), Month::of(until - 1)), (Month::parse("2026-12"), Month::parse("2026-12")));
        assert_eq!(Month::of(until), Month::parse("2027-01"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(micros in FIRST_MICROS..=LAST_MICROS) {
            proptest::prop_assert_eq!(parse(&format_service(micros)), Some(RecordTime { micros, exact: true }));
        }

        #[test]
        fn agrees_with_jiff(text in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])") {
            let expected = text.parse::<jiff::Timestamp>().ok().map(|moment| moment.as_nanosecond().div_euclid(1000));
            proptest::prop_assert_eq!(parse(&text).map(|time| i128::from(time.micros)), expected);
        }
    }
}
