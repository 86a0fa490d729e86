//! What holds for any input.

use keytrail_decode::reference::{Collected, Row, collect, collect_whole, decode as reference};
use keytrail_decode::{DecodeOptions, Decoder};
use keytrail_model::export::{self, MetaForm};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{TIME, assert_conserved, decode, decode_or_nothing};

/// A JSON value as text, of odd shapes.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => string(),
        1 => select(vec!["null", "true", "false", "{}", "[]", "\"\"", "\"{}\"", "0", "-1", "1.50", "1e2", "-0.0", "18446744073709551615"])
            .prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => (-9999_i32..9999, 0_u32..9999).prop_map(|(whole, fraction)| format!("{whole}.{fraction}")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|elements| format!("[ {} ]", elements.join(" , "))),
            vec((name(), inner), 0..4).prop_map(|members| object(&members)),
        ]
    })
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9._/-]{0,12}".prop_map(|text| format!("\"{text}\"")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        select(vec!["\"\\u0041\\ud83d\\ude00\"", "\"\\/\\b\\f\"", "\"},{\\\"\"", "\"[{\\\\\"", "\"\\u0000\""])
            .prop_map(str::to_owned),
    ]
}

/// Names of members: known ones in all letter cases, and others.
fn name() -> impl Strategy<Value = String> {
    let known = vec![
        "time",
        "TIME",
        "source",
        "Source",
        "SOURCE",
        "resourceID",
        "resourceid",
        "actorID",
        "tenantID",
        "action",
        "status",
        "traceID",
        "meta",
        "Meta",
        "clientip",
        "clientIP",
        "hsmid",
        "ouid",
        "OUID",
        "partid",
        "role",
        "Role",
        "x",
        "y",
        "extra",
        "",
    ];
    prop_oneof![8 => select(known).prop_map(str::to_owned), 1 => "[a-zé\"\\\\]{0,3}"]
}

fn object(members: &[(String, String)]) -> String {
    let members = members.iter().map(|(name, value)| format!("{} :{value}", serde_json::to_string(name).unwrap()));
    format!("{{{}}}", members.collect::<Vec<_>>().join(",\t"))
}

fn meta() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => vec((name(), value()), 0..6).prop_map(|members| object(&members)),
        3 => vec((name(), value()), 0..6).prop_map(|members| serde_json::to_string(&object(&members)).unwrap()),
        1 => value(),
    ]
}

/// A record that mostly has a usable time.
fn odd_record() -> impl Strategy<Value = String> {
    let time = prop_oneof![
        6 => Just(format!("\"{TIME}\"")),
        1 => Just("\"2026-01-05T08:00:01.123456789+01:00\"".to_owned()),
        1 => value(),
    ];
    (time, vec((name(), value()), 0..8), vec(meta(), 0..3), any::<prop::sample::Index>()).prop_map(
        |(time, mut members, metas, at)| {
            members.extend(metas.into_iter().map(|meta| ("meta".to_owned(), meta)));
            members.insert(at.index(members.len() + 1), ("time".to_owned(), time));
            object(&members)
        },
    )
}

/// A flat record as the service writes it, with a number of its own as action.
fn plain_record(number: usize, text: bool) -> String {
    let meta = format!(r#"{{"clientip":"192.0.2.{number}","ouid":"2c00","role":"CU"}}"#);
    let meta = if text { serde_json::to_string(&meta).unwrap() } else { meta };
    format!(r#"{{"time":"{TIME}","source":"thales","action":"{number}","meta":{meta},"status":"OK"}}"#)
}

fn chunks<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.sort_unstable();
    let ends = at.iter().copied().chain([bytes.len()]);
    let starts = [0].into_iter().chain(at.iter().copied());
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}

/// All outcomes in order, `None` for rejects.
/// With another byte in the place of one, or in front of it, or without it.
fn changed(bytes: &[u8], at: usize, change: u8, byte: u8) -> Vec<u8> {
    let (front, rest) = bytes.split_at(at);
    match change {
        0 => [front, &[byte], &rest[1..]].concat(),
        1 => [front, &[byte], rest].concat(),
        _ => [front, &rest[1..]].concat(),
    }
}

fn outcomes(collected: &Collected) -> Vec<Option<Row>> {
    let mut all: Vec<(u64, Option<Row>)> = collected.rejects.iter().map(|reject| (reject.ordinal, None)).collect();
    let rows = collected.rows.iter().map(|(ordinal, row)| (u64::try_from(*ordinal).unwrap(), Some(row.clone())));
    all.extend(rows);
    all.sort_by_key(|(ordinal, _)| *ordinal);
    all.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The actions of the rows that are numbers.
fn actions(collected: &Collected) -> Vec<usize> {
    collected.rows.iter().filter_map(|(_, row)| row.text("action")?.parse().ok()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_reference(records in vec(odd_record(), 0..5), cuts in vec(any::<Index>(), 0..5), list: bool) {
        let member = if list { format!("[{}]", records.join(" ,\n")) } else { format!("{{\n{}", records.join("\r\n")) };
        let mut decoder = Decoder::new(DecodeOptions { batch_rows: 3, ..DecodeOptions::default() });
        let (collected, summary) = collect(&mut decoder, chunks(member.as_bytes(), &cuts)).unwrap();
        assert_conserved(&collected, summary);
        if let Some(expected) = reference(member.as_bytes()) {
            prop_assert_eq!(outcomes(&collected), expected, "{}", member);
        }
    }

    #[test]
    fn both_forms_give_the_same_rows(records in vec(odd_record(), 1..5)) {
        let list = decode(format!("[{}]", records.join(",")).as_bytes()).0;
        let lines = decode(records.join("\n").as_bytes()).0;
        prop_assert_eq!(outcomes(&list), outcomes(&lines));
    }

    #[test]
    fn a_record_written_from_a_row_is_read_as_the_same_row(record in odd_record()) {
        for (_, row) in decode(record.as_bytes()).0.rows {
            for form in [MetaForm::Text, MetaForm::Object] {
                let written = export::record(&row.as_record(), form).unwrap();
                let again = decode(written.as_bytes()).0;
                prop_assert_eq!(again.rows.first().map(|(_, row)| row), Some(&row), "{} became {}", record, written);
            }
        }
    }

    #[test]
    fn a_missing_quote_or_brace_costs_one_reject(
        texts in vec(any::<bool>(), 1..8),
        damaged: Index,
        place: Index,
        separator in select(vec![",", ",\n", " , "]),
    ) {
        let mut records: Vec<String> = texts.iter().enumerate().map(|(number, text)| plain_record(number, *text)).collect();
        let damaged = damaged.index(records.len());
        let record = &mut records[damaged];
        let bytes = record.as_bytes();
        let in_text = texts[damaged] && record.contains("{\\\"");
        let places: Vec<usize> = (0..bytes.len())
            .filter(|&at| match bytes[at] {
                b'"' => at == 0 || bytes[at - 1] != b'\\',
                b'{' => !in_text || at == 0,
                b'}' => !in_text || at == bytes.len() - 1,
                _ => false,
            })
            .collect();
        record.remove(places[place.index(places.len())]);
        let member = format!("[{}]\n", records.join(separator));
        let collected = decode(member.as_bytes()).0;
        prop_assert_eq!(collected.rejects.len(), 1, "{}: {:?}", member, collected.rejects);
        let expected: Vec<usize> = (0..records.len()).filter(|number| *number != damaged).collect();
        prop_assert_eq!(actions(&collected), expected, "{}", member);
    }

    #[test]
    fn any_changed_byte_leaves_the_neighbours_alone(
        texts in vec(any::<bool>(), 3..6),
        place: Index,
        byte in prop_oneof![select(b"{}[]\",:\\ x\n".to_vec()), any::<u8>()],
        change in 0..3_u8,
    ) {
        let records: Vec<String> = texts.iter().enumerate().map(|(number, text)| plain_record(number, *text)).collect();
        let member = format!("[{}]", records.join(","));
        let at = 1 + place.index(member.len() - 2);
        let changed = changed(member.as_bytes(), at, change, byte);
        let (collected, summary) = collect_whole(&changed, DecodeOptions::default()).unwrap();
        assert_conserved(&collected, summary);
        let untouched = decode(member.as_bytes()).0.rows;
        prop_assert_eq!(untouched.len(), records.len());
        let mut start = 1;
        for (number, (record, (_, row))) in records.iter().zip(&untouched).enumerate() {
            // A byte put before a record's first one is not in it; put behind its last one it is not either.
            let touched = if change == 1 { at > start && at < start + record.len() } else { at >= start && at < start + record.len() };
            // Two records differ in two values, so no change of one byte makes one of them into the other.
            let count = collected.rows.iter().filter(|(_, found)| found == row).count();
            prop_assert!(touched || count == 1, "record {}: {}: {:?}", number, changed.escape_ascii(), collected.rejects);
            start += record.len() + 1;
        }
    }

    #[test]
    fn any_changed_byte_of_lines_leaves_the_other_lines_alone(
        texts in vec(any::<bool>(), 3..6),
        at: Index,
        is_at_start: bool,
        byte in prop_oneof![select(b"{}]\",:\\ x\n\xef".to_vec()), any::<u8>()],
        change in 0..3_u8,
    ) {
        let records: Vec<String> = texts.iter().enumerate().map(|(number, text)| plain_record(number, *text)).collect();
        let member = records.join("\n");
        let at = if is_at_start { 0 } else { at.index(member.len()) };
        // What begins like a list is one.
        prop_assume!(at > 0 || change == 2 || byte != b'[');
        let changed = changed(member.as_bytes(), at, change, byte);
        let (collected, summary) = collect_whole(&changed, DecodeOptions::default()).unwrap();
        assert_conserved(&collected, summary);
        let untouched = decode(member.as_bytes()).0.rows;
        let mut start = 0;
        for (record, (_, row)) in records.iter().zip(&untouched) {
            let touched = at + 1 >= start && at <= start + record.len();
            prop_assert!(touched || collected.rows.iter().any(|(_, found)| found == row), "{}", changed.escape_ascii());
            start += record.len() + 1;
        }
    }

    #[test]
    fn chunks_do_not_matter(
        parts in vec(select(vec![
            "{", "}", "[", "]", "\"", ",", ":", "\\", " ", "\n", "x", "1", "{\"a\":", ",{\"", "\"time\":\"2026-01-05 08:00:01 UTC\"",
            "{\"time\":\"2026-01-05 08:00:01 UTC\"}", "{\"time\":\"2026-01-05 08:00:01 UTC\",\"action\":\"7\"},", "\u{feff}", "]}",
            "null", "\\\"", "                                                                                          ",
        ]), 0..40),
        start in select(vec!["[", "{", "[{\"time\":\"2026-01-05 08:00:01 UTC\"},", ""]),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let member = format!("{start}{}", parts.concat());
        for max_record_bytes in [64, 1 << 20] {
            let mut decoder = Decoder::new(DecodeOptions { max_record_bytes, ..DecodeOptions::default() });
            let whole = collect(&mut decoder, [member.as_bytes()]);
            let cut = collect(&mut decoder, chunks(member.as_bytes(), &cuts));
            let single = collect(&mut decoder, member.as_bytes().chunks(1));
            match (whole, cut, single) {
                (Ok((whole, summary)), Ok((cut, _)), Ok((single, _))) => {
                    assert_conserved(&whole, summary);
                    prop_assert_eq!(&whole, &cut, "{}", &member);
                    prop_assert_eq!(&whole, &single, "{}", &member);
                }
                (Err(whole), Err(cut), Err(single)) => {
                    prop_assert_eq!(whole.to_string(), cut.to_string());
                    prop_assert_eq!(whole.to_string(), single.to_string());
                }
                other => prop_assert!(false, "{}: {:?}", member, other),
            }
        }
    }

    #[test]
    fn rejects_and_rows_never_overlap(parts in vec("[{}\\[\\]\":,a1 ]{0,6}", 0..20)) {
        let member = format!("[{}", parts.join(&format!("{{\"time\":\"{TIME}\"}}")));
        let (collected, summary) = decode_or_nothing(member.as_bytes());
        assert_conserved(&collected, summary);
        let mut end = 0;
        for reject in &collected.rejects {
            prop_assert!(reject.offset >= end, "{}: {:?}", member, reject);
            end = reject.offset + reject.raw.len() as u64;
            prop_assert!(end <= member.len() as u64);
        }
    }
}
