//! Time: the working-day curve that spreads records over a slice, and times as text.
//!
//! All times are microseconds since the epoch, UTC. Curve and spreading work on whole numbers.

/// Microseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// Microseconds in a day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// Activity by hour of a day, UTC.
const HOURS: [u64; 24] = [2, 2, 2, 2, 2, 3, 5, 9, 14, 18, 19, 18, 15, 17, 19, 18, 16, 13, 9, 6, 5, 4, 3, 2];

/// Activity in the hour that starts at `hour` hours after the epoch; a weekend has a third of a working day's.
fn activity_of_hour(hour: i64) -> u64 {
    let weekday = (hour.div_euclid(24) + 4).rem_euclid(7);
    let weight = HOURS.get(hour.rem_euclid(24) as usize).copied().unwrap_or(1);
    if weekday == 0 || weekday == 6 { weight } else { weight * 3 }
}

/// Activity between two times: microseconds, each weighted by its hour.
pub(crate) fn activity(from: i64, to: i64) -> u64 {
    let mut sum = 0;
    let mut at = from;
    while at < to {
        let hour = at.div_euclid(HOUR);
        let next = ((hour + 1) * HOUR).min(to);
        sum += activity_of_hour(hour) * (next - at) as u64;
        at = next;
    }
    sum
}

/// Gives `count` moments over a span, evenly by activity, in order.
#[derive(Debug)]
pub(crate) struct Clock {
    from: i64,
    to: i64,
    count: u64,
    given: u64,
    /// Activity per record, and what is left over after dividing.
    step: u64,
    rest: u64,
    hour_from: i64,
    hour_to: i64,
    hour_activity: u64,
    /// Activity of the span before the current hour.
    passed: u64,
}

impl Clock {
    pub(crate) fn new(from: i64, to: i64, count: u64) -> Self {
        let total = activity(from, to);
        let divisor = count.max(1);
        let mut clock = Self {
            from,
            to,
            count,
            given: 0,
            step: total / divisor,
            rest: total % divisor,
            hour_from: from,
            hour_to: from,
            hour_activity: 1,
            passed: 0,
        };
        clock.enter_hour(from);
        clock
    }

    fn enter_hour(&mut self, at: i64) {
        let hour = at.div_euclid(HOUR);
        self.hour_from = at;
        self.hour_to = ((hour + 1) * HOUR).min(self.to);
        self.hour_activity = activity_of_hour(hour);
    }

    /// Start of the next record's share of the span, or none where all were given. `jitter` moves it within its share.
    pub(crate) fn next(&mut self, jitter: u64) -> Option<i64> {
        if self.given >= self.count {
            return None;
        }
        let within = ((u128::from(jitter) * u128::from(self.step)) >> 64) as u64;
        let point = self.given * self.step + self.given * self.rest / self.count + within;
        self.given += 1;
        while self.hour_to < self.to {
            let end = self.passed + self.hour_activity * (self.hour_to - self.hour_from) as u64;
            if point < end {
                break;
            }
            self.passed = end;
            self.enter_hour(self.hour_to);
        }
        let into_hour = point.saturating_sub(self.passed) / self.hour_activity;
        Some(self.clamp(self.hour_from.saturating_add_unsigned(into_hour)))
    }

    /// The nearest time inside the span.
    pub(crate) fn clamp(&self, time: i64) -> i64 {
        time.min(self.to - 1).max(self.from)
    }
}

/// A time taken apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) year: u32,
    pub(crate) month: u32,
    day: u32,
    second_of_day: u32,
    micros: u32,
}

impl Moment {
    pub(crate) fn of(time: i64) -> Self {
        let (year, month, day) = civil(time.div_euclid(DAY));
        let in_day = time.rem_euclid(DAY);
        Self { year, month, day, second_of_day: (in_day / SECOND) as u32, micros: (in_day % SECOND) as u32 }
    }

    /// Appends `YYYY-MM-DD`.
    pub(crate) fn push_date(&self, out: &mut Vec<u8>) {
        push_digits(out, self.year, 4);
        out.push(b'-');
        push_digits(out, self.month, 2);
        out.push(b'-');
        push_digits(out, self.day, 2);
    }

    /// Appends `HH:MM:SS` and a fraction of `digits` digits.
    pub(crate) fn push_clock(&self, out: &mut Vec<u8>, digits: u32) {
        push_digits(out, self.second_of_day / 3_600, 2);
        out.push(b':');
        push_digits(out, self.second_of_day / 60 % 60, 2);
        out.push(b':');
        push_digits(out, self.second_of_day % 60, 2);
        match digits {
            0 => {}
            3 => {
                out.push(b'.');
                push_digits(out, self.micros / 1_000, 3);
            }
            _ => {
                out.push(b'.');
                push_digits(out, self.micros, 6);
            }
        }
    }
}

/// RFC 3339, UTC, six digits.
pub(crate) fn rfc3339(time: i64) -> String {
    let moment = Moment::of(time);
    let mut out = Vec::with_capacity(27);
    moment.push_date(&mut out);
    out.push(b'T');
    moment.push_clock(&mut out, 6);
    out.push(b'Z');
    String::from_utf8_lossy(&out).into_owned()
}

/// `YYYY-MM-DD`.
pub(crate) fn date_text(time: i64) -> String {
    let mut out = Vec::with_capacity(10);
    Moment::of(time).push_date(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn push_digits(out: &mut Vec<u8>, mut value: u32, digits: usize) {
    let mut text = [b'0'; 8];
    for place in text.iter_mut().take(digits).rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend(text.iter().take(digits));
}

/// Year, month and day of a number of days after the epoch, by the usual arithmetic over 400-year eras.
fn civil(days: i64) -> (u32, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as u32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_agree_with_a_calendar() {
        for time in [0, 951_782_400_000_000, 1_767_225_600_000_417, 4_107_542_399_999_999] {
            let theirs = jiff::Timestamp::from_microsecond(time).unwrap();
            assert_eq!(rfc3339(time), format!("{theirs:.6}"));
        }
    }

    #[test]
    fn moments_stay_in_their_span_and_in_order() {
        let from = 1_767_225_600 * SECOND + 17 * SECOND;
        let to = from + 3 * DAY + 5 * SECOND;
        let mut clock = Clock::new(from, to, 10_007);
        let mut last = from;
        let mut count = 0;
        while let Some(time) = clock.next(u64::MAX) {
            assert!((last..to).contains(&time));
            last = time;
            count += 1;
        }
        assert_eq!(count, 10_007);
        assert!(to - last < 10 * 60 * SECOND);
    }
}
