//! Records: the forms of time, `meta` as text and as object, and the way out through export.

use keytrail_decode::reference::{Collected, Row, collect};
use keytrail_decode::{DecodeOptions, Decoder};
use keytrail_model::export::{self, MetaForm};
use keytrail_model::time;
use serde_json::value::RawValue;

/// Any text as a time, as `meta`, as another member's value, and as members of a record: times as plain counting finds them, the same
/// row for `meta` as object and as text, and every row the same again when it was written out and read. The first byte chooses.
pub fn time_and_meta(data: &[u8]) {
    let Some((&choice, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match choice % 4 {
        0 => check_time(text),
        1 => check_meta(text),
        2 if is_json(text) => check_written_again(&format!(r#"{{"time":"{TIME}","x":{text},"meta":{{"y":{text}}}}}"#)),
        2 => {}
        _ => check_written_again(&format!(r#"{{"time":"{TIME}",{text}}}"#)),
    }
}

const TIME: &str = "2026-01-05 08:00:01 UTC";

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn rows(member: &str) -> Option<Collected> {
    // Small batches, so that what was learned of shapes is used.
    collect(&mut Decoder::new(DecodeOptions::default()), [member.as_bytes()]).ok().map(|(collected, _)| collected)
}

/// The row of a record, `None` where it is rejected.
fn row(record: &str) -> Option<Row> {
    // In a list, and behind records of a known shape: a new line inside a record is a blank, and the short way is taken where it can.
    let first = format!(r#"{{"time":"{TIME}","action":"A"}}"#);
    let member = format!("[{first},{first},{first},{record}]{:320}", "");
    let mut rows = rows(&member).expect("a list of records").rows;
    assert!(rows.len() >= 3, "the good records around a bad one");
    match rows.len() {
        3 => None,
        _ => rows.pop().map(|(_, row)| row),
    }
}

fn check_time(text: &str) {
    let expected = counted(text);
    let found = time::parse(text).map(|time| (time.micros, time.exact));
    assert_eq!(found, expected, "{text:?}");
    let record = |text: &str| format!(r#"{{"time":{},"action":"A"}}"#, quoted(text));
    let row = row(&record(text));
    assert_eq!(row.as_ref().map(|row| row.time), expected.map(|(micros, _)| micros), "{text:?} in a record");
    // Where digits were cut, the text is kept beside the time.
    let kept = row.as_ref().and_then(|row| row.text("extra")).is_some();
    assert_eq!(kept, expected.is_some_and(|(_, exact)| !exact), "{text:?}");
    if let Some((micros, _)) = expected {
        let written = time::format_service(micros);
        assert_eq!(counted(&written), Some((micros, true)), "{text:?} written as {written:?}");
        check_written_again(&record(text));
    }
}

/// Microseconds since the epoch, and whether they hold all digits; by counting, with nothing of the parser's.
fn counted(text: &str) -> Option<(i64, bool)> {
    if !text.is_ascii() {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let stands = |at: usize, characters: &str| text.get(at..=at).is_some_and(|one| characters.contains(one));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_place = stands(4, "-") && stands(7, "-") && stands(10, " Tt") && stands(13, ":") && stands(16, ":");
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of = |year: i64, month: i64| match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    };
    let is_date = year >= 1 && (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    // Year 0 ends at the first moment that counts, but with an offset it can reach into year 1.
    let is_date = is_date || (year == 0 && month == 12 && day == 31);
    if !in_place || !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut days: i64 = (1..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    days += (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1;
    if year == 0 {
        days = -1;
    }
    // 1970-01-01 is 719 162 days after 0001-01-01.
    let seconds = (days - 719_162) * 86_400 + hour * 3600 + minute * 60 + second;
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(rest) => {
            let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            rest.split_at(end)
        }
    };
    let offset = match zone {
        " UTC" | "Z" | "z" => 0,
        _ => {
            let (sign, clock) = zone.split_at_checked(1)?;
            let sign = match sign {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = clock.split_once(':')?;
            let two =
                |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
            let (hours, minutes): (i64, i64) = (two(hours)??, two(minutes)??);
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let padded = format!("{fraction:0<6}");
    let (micros, beyond) = padded.split_at(6);
    let micros = (seconds - offset) * 1_000_000 + micros.parse::<i64>().ok()?;
    let is_in_range = (-62_135_596_800_000_000..253_402_207_200_000_000).contains(&micros);
    is_in_range.then(|| (micros, beyond.bytes().all(|byte| byte == b'0')))
}

fn check_meta(text: &str) {
    if !is_json(text) {
        // A text that is no JSON is kept as it is.
        check_written_again(&format!(r#"{{"time":"{TIME}","meta":{}}}"#, quoted(text)));
        return;
    }
    let as_object = row(&format!(r#"{{"time":"{TIME}","meta":{text}}}"#));
    let as_text = row(&format!(r#"{{"time":"{TIME}","meta":{}}}"#, quoted(text)));
    let is_object = text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{');
    if is_object && as_object.is_some() {
        assert_eq!(as_text, as_object, "{text:?}");
    }
    assert!(as_text.is_some(), "a text is always taken: {text:?}");
    check_written_again(&format!(r#"{{"time":"{TIME}","meta":{text}}}"#));
    check_written_again(&format!(r#"{{"time":"{TIME}","meta":{}}}"#, quoted(text)));
}

/// Every row is the same again when it was written out and read, and so is what was written.
fn check_written_again(record: &str) {
    let Some(collected) = rows(record) else {
        return;
    };
    for (_, row) in collected.rows {
        for form in [MetaForm::Text, MetaForm::Object] {
            let written = export::record(&row.as_record(), form).expect("a row whose extra is no object");
            assert!(!written.contains('\n'), "more than a line: {written:?}");
            let again = rows(&written).expect("what was written").rows;
            assert_eq!(again.len(), 1, "{record:?} became {written:?}");
            let again = again.first().map(|(_, row)| row);
            assert_eq!(again, Some(&row), "{record:?} became {written:?}");
        }
    }
}
