//! Which JSON is taken: the grammar of RFC 8259, and nothing beside it.

use serde_json::value::RawValue;

use super::{TIME, decode};

fn is_taken(value: &[u8]) -> bool {
    let record = [format!("{{\"time\":\"{TIME}\",\"x\":").as_bytes(), value, b"}"].concat();
    let list = [b"[", record.as_slice(), b"]"].concat();
    let (lines, list) = (decode(&record).0, decode(&list).0);
    assert_eq!(lines.rows, list.rows, "{}", value.escape_ascii());
    assert_eq!(lines.rows.len(), 1 - usize::from(!lines.rejects.is_empty()), "{}", value.escape_ascii());
    lines.rejects.is_empty()
}

#[test]
fn taken() {
    let values = [
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "0.0",
        "-0.5",
        "1e1",
        "1E+1",
        "1e-1",
        "0e1",
        "1.5E007",
        "123456789012345678901234567890",
        "true",
        "false",
        "null",
        "\"\"",
        "\"\u{7f}\"",
        "\"\u{80}\u{2028}\u{10ffff}\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\\u001F\\uD834\\uDD1E\\uffff\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[[],{}]",
        " \t\r\n1 \t\r\n",
        "{\"\":0}",
        "{\"a\":1,\"a\":2}",
        "[1 , 2]",
        "{\"a\" : 1 , \"b\" : 2}",
        "\"'\"",
        "\"//\"",
    ];
    for value in values {
        let value = value.replace(['\r', '\n'], " ");
        assert!(is_taken(value.as_bytes()), "{value}");
    }
}

#[test]
fn refused() {
    let values: [&[u8]; 72] = [
        b"",
        b"+1",
        b"-",
        b"--1",
        b"01",
        b"-01",
        b"00",
        b"1.",
        b".5",
        b"-.5",
        b"1.e1",
        b"1e",
        b"1e+",
        b"1e1.5",
        b"0x1",
        b"1_000",
        b"1a",
        b"1 2",
        b"Infinity",
        b"-Infinity",
        b"NaN",
        b"nan",
        b"1f",
        b"True",
        b"TRUE",
        b"nul",
        b"nulll",
        b"truefalse",
        b"undefined",
        b"'a'",
        b"a",
        b"\"",
        b"\"a",
        b"\"\\\"",
        b"\"\\a\"",
        b"\"\\'\"",
        b"\"\\0\"",
        b"\"\\x41\"",
        b"\"\\u\"",
        b"\"\\u12\"",
        b"\"\\u12G4\"",
        b"\"\\U0041\"",
        b"\"\\ud800\"",
        b"\"\\udc00\"",
        b"\"\\ud800\\ud800\"",
        b"\"\\ud800\\u0041\"",
        b"\"\\ud800x\"",
        b"\"\x00\"",
        b"\"\t\"",
        b"\"\x1f\"",
        b"\"\x80\"",
        b"\"\xc0\x80\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xe2\x82\"",
        b"\"a\"\"b\"",
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1,,2]",
        b"{",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{a:1}",
        b"{1:1}",
        b"{\"a\":1 \"b\":2}",
        b"/**/1",
        b"1//",
        b"\x0b1",
    ];
    for value in values {
        assert!(!is_taken(value), "{}", value.escape_ascii());
    }
}

#[test]
fn nesting() {
    for (depth, taken) in [(127, true), (128, false)] {
        assert_eq!(is_taken(("[".repeat(depth) + &"]".repeat(depth)).as_bytes()), taken, "{depth} lists in the record");
        assert_eq!(is_taken(("{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)).as_bytes()), taken, "{depth} objects");
    }
    let deep = "[".repeat(100_000);
    assert!(!is_taken(deep.as_bytes()));
    // `meta` may be as deep as text as it may be as an object.
    for (depth, taken) in [(126, true), (127, false)] {
        let object = format!("{{\"role\":\"CO\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        for meta in [object.clone(), serde_json::to_string(&object).unwrap()] {
            let collected = decode(format!("{{\"time\":\"{TIME}\",\"meta\":{meta}}}").as_bytes()).0;
            let reasons: Vec<&str> = collected.rejects.iter().map(|reject| reject.reason.as_str()).collect();
            let roles: Vec<_> = collected.rows.iter().map(|(_, row)| row.text("role")).collect();
            assert_eq!((roles.as_slice(), reasons.len()), if taken { (&[Some("CO")][..], 0) } else { (&[][..], 1) });
            assert!(
                reasons.iter().all(|reason| reason.contains("levels of nesting, found one more at byte")),
                "{reasons:?}"
            );
        }
    }
    // What is no JSON at all is a text like any other.
    let meta = serde_json::to_string(&format!("{{\"x\":\"\u{1}\",\"y\":{}", "[".repeat(200))).unwrap();
    let collected = decode(format!("{{\"time\":\"{TIME}\",\"meta\":{meta}}}").as_bytes()).0;
    assert_eq!((collected.rows.len(), collected.rejects.len()), (1, 0), "{:?}", collected.rejects);
}

#[test]
fn any_byte_anywhere_is_judged_as_serde_json_does() {
    let record =
        format!(r#"{{"time":"{TIME}","meta":"{{\"role\":\"CO\"}}","n":[-1.5e3,true,null,{{"ü":"\u00fc\\"}}]}}"#);
    for at in 0..record.len() {
        for byte in (0..=255).filter(|byte| *byte != b'\n') {
            let mut changed = record.as_bytes().to_vec();
            changed[at] = byte;
            let is_json = serde_json::from_slice::<&RawValue>(&changed).is_ok();
            let (collected, _) = super::decode_or_nothing(&changed);
            let has_time = collected.rejects.iter().all(|reject| reject.reason.starts_with("no usable time"));
            assert_eq!(
                has_time && !(collected.rows.is_empty() && collected.rejects.is_empty()),
                is_json,
                "{}",
                changed.escape_ascii()
            );
        }
    }
}
