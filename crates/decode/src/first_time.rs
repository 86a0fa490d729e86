//! When a member begins, from its first bytes: a guess, which nothing but the order of work may rest on.

use keytrail_model::time;

/// The first value of a `time`, in microseconds since 1970, as the bytes look; they may end anywhere.
#[must_use]
pub fn first_time(start: &[u8]) -> Option<i64> {
    let text = String::from_utf8_lossy(start);
    let mut values = text.split("\"time\"").skip(1).filter_map(|behind| {
        let value = behind.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        time::parse(value.split_once('"')?.0)
    });
    values.next().map(|time| time.micros)
}
