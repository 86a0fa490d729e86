//! Records to rows: columns and `extra`.

use keytrail_decode::reference::{Row, decode as reference};

use super::decode;

fn row(members: &str) -> Row {
    let record = format!("{{\"time\":\"2026-01-05 08:00:01 UTC\"{members}}}");
    let (collected, _) = decode(record.as_bytes());
    assert_eq!(collected.rejects, [], "{record}");
    let row = collected.rows.into_iter().next().unwrap().1;
    if let Some(expected) = reference(record.as_bytes()) {
        assert_eq!(expected, [Some(row.clone())], "{record}");
    }
    row
}

/// The columns that are not null, as `column=text`.
fn columns(row: &Row) -> String {
    let names = keytrail_model::schema::TEXT_COLUMNS.iter().zip(&row.texts);
    let set = names.filter_map(|(name, text)| text.as_ref().map(|text| format!("{name}={text}")));
    set.collect::<Vec<_>>().join(" ")
}

#[test]
fn members_and_their_columns() {
    let cases = [
        ("", ""),
        (
            r#","source":"s","resourceID":"r","actorID":"a","tenantID":"t","action":"x","status":"k","traceID":"T""#,
            "source=s resource_id=r actor_id=a tenant_id=t action=x status=k trace_id=T",
        ),
        (
            r#","meta":{"clientip":"c","hsmid":"h","ouid":"o","partid":"p","role":"R"}"#,
            "client_ip=c hsm_id=h partition_id=p role=R ouid=o",
        ),
        (
            r#","meta":" { \"clientip\" : \"c\",\"hsmid\":\"h\",\"ouid\":\"o\",\"partid\":\"p\",\"role\":\"\\u00fc\"} ""#,
            "client_ip=c hsm_id=h partition_id=p role=ü ouid=o",
        ),
        // Names of meta count inside of meta only, and the other way round.
        (r#","clientip":"c","meta":{"action":"a"}"#, r#"extra={"clientip":"c","meta":{"action":"a"}}"#),
        // Empty texts stay, but for ouid.
        (r#","source":"","meta":{"role":"","ouid":""}"#, "source= role="),
        // Null is as absent for known names, and kept for others.
        (r#","source":null,"meta":{"role":null,"x":null},"y":null"#, r#"extra={"meta":{"x":null},"y":null}"#),
        // Numbers: text in the column, the value in extra.
        (
            r#","source":12,"meta":{"hsmid":-0,"partid":1.50}"#,
            r#"source=12 hsm_id=-0 partition_id=1.5 extra={"meta":{"hsmid":-0,"partid":1.5},"source":12}"#,
        ),
        // Other values: extra only.
        (
            r#","Source":true,"status":[{"b":1,"a":2}],"meta":{"ROLE":{}}"#,
            r#"extra={"meta":{"role":{}},"source":true,"status":[{"a":2,"b":1}]}"#,
        ),
        // Several ids.
        (r#","meta":{"ouid":["b","a"]}"#, r#"ouid=b,a extra={"meta":{"ouid":["b","a"]}}"#),
        (r#","meta":{"ouid":[]}"#, r#"extra={"meta":{"ouid":[]}}"#),
        (r#","meta":{"ouid":["a",1]}"#, r#"extra={"meta":{"ouid":["a",1]}}"#),
        (r#","meta":{"role":["a","b"]}"#, r#"extra={"meta":{"role":["a","b"]}}"#),
    ];
    for (members, expected) in cases {
        assert_eq!(columns(&row(members)), expected, "{members}");
    }
}

#[test]
fn names_in_other_letters() {
    let cases = [
        (r#","resourceid":"1","ACTORID":"2","meta":{"clientIP":"3"}"#, "resource_id=1 actor_id=2 client_ip=3"),
        (r#","SOURCE":"1","source":"2""#, r#"source=2 extra={"SOURCE":"1"}"#),
        (r#","SOURCE":"1","Source":"2""#, r#"source=1 extra={"Source":"2"}"#),
        (r#","SOURCE":"1","Source":"2","SOURCE":"3""#, r#"source=3 extra={"Source":"2"}"#),
        (r#","source":null,"SOURCE":null,"Source":"2""#, "source=2"),
        (r#","Source":5,"SOURCE":"1""#, r#"source=5 extra={"SOURCE":"1","source":5}"#),
        (r#","META":{"role":"1"},"meta":{}"#, "role=1"),
        (r#","META":{"role":"1"},"meta":"{\"ouid\":null,\"role\":null}""#, "role=1"),
        (r#","META":{"role":"1"},"meta":{"role":"2"}"#, r#"role=2 extra={"META":{"role":"1"}}"#),
        (r#","meta":{"OUID":"1","ouid":""}"#, "ouid=1"),
    ];
    for (members, expected) in cases {
        assert_eq!(columns(&row(members)), expected, "{members}");
    }
}

#[test]
fn equal_names() {
    let cases = [
        (r#","source":"1","source":"2""#, "source=2"),
        (r#","source":"1","source":null"#, ""),
        (r#","x":1,"y":2,"x":3"#, r#"extra={"x":3,"y":2}"#),
        (r#","x":{"a":1,"a":2}"#, r#"extra={"x":{"a":2}}"#),
        (r#","meta":{"role":"1"},"meta":{"role":"2","x":1,"x":2}"#, r#"role=2 extra={"meta":{"x":2}}"#),
        (r#","meta":"{\"role\":\"1\",\"role\":\"2\"}""#, "role=2"),
    ];
    for (members, expected) in cases {
        assert_eq!(columns(&row(members)), expected, "{members}");
    }
}

#[test]
fn forms_of_meta() {
    let nothing = ["null", "\"\"", "\"{}\"", "{}", "\" { } \"", "{\"role\":null,\"ouid\":\"\"}"];
    for meta in nothing {
        assert_eq!(columns(&row(&format!(",\"meta\":{meta}"))), "", "{meta}");
    }
    let verbatim = [
        "\" \"",
        "\"text\"",
        "\"[1]\"",
        "\"5\"",
        "\"{\\\"a\\\":01}\"",
        "\"{\\\"a\\\":1\"",
        "\"{\\\"a\\\":\\\"\\\\ud800\\\"}\"",
        "5",
        "true",
        "[1,2]",
        "[]",
    ];
    for meta in verbatim {
        assert_eq!(columns(&row(&format!(",\"meta\":{meta}"))), format!("extra={{\"meta\":{meta}}}"), "{meta}");
    }
    for meta in nothing {
        let beside = row(&format!(",\"META\":{meta},\"meta\":{{\"role\":\"CO\"}}"));
        assert!(meta.contains("null,") || columns(&beside) == "role=CO", "{meta}: {}", columns(&beside));
    }
    let object = row(r#","meta":{"partid":1.0,"z":"\n","role":"CO","A":[1e2, {}]}"#);
    let text = row(r#","meta":"{\"A\":[1E+2,{}],\"z\":\"\\n\",\"role\":\"\\u0043O\",\"partid\":10e-1}""#);
    assert_eq!(object, text);
}

#[test]
fn numbers_keep_their_digits() {
    let cases = [
        ("18446744073709551616", "18446744073709551616"),
        ("-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"),
        ("1.10", "1.1"),
        ("3.14159265358979323846", "3.14159265358979323846"),
        ("1e400", "1e400"),
        ("1E2", "100.0"),
    ];
    for (number, kept) in cases {
        assert_eq!(row(&format!(",\"n\":{number}")).text("extra").unwrap(), format!("{{\"n\":{kept}}}"));
        let in_text = row(&format!(",\"meta\":\"{{\\\"n\\\":{number},\\\"hsmid\\\":{number}}}\""));
        assert_eq!(in_text.text("hsm_id"), Some(kept));
        assert_eq!(in_text.text("extra").unwrap(), format!("{{\"meta\":{{\"hsmid\":{kept},\"n\":{kept}}}}}"));
    }
}

#[test]
fn times() {
    let record = |time: &str| decode(format!("{{\"time\":{time},\"TIMES\":1}}").as_bytes()).0;
    for (time, micros, extra) in [
        ("\"2026-01-05 08:00:01.25 UTC\"", 1_767_600_001_250_000, "{\"TIMES\":1}"),
        ("\"2026-01-05\\u002008:00:01 UTC\"", 1_767_600_001_000_000, "{\"TIMES\":1}"),
        (
            "\"2026-01-05T08:00:01.1234567Z\"",
            1_767_600_001_123_456,
            "{\"TIMES\":1,\"time\":\"2026-01-05 08:00:01.1234567 UTC\"}",
        ),
        (
            "\"2026-01-05T09:00:01.12345670+01:00\"",
            1_767_600_001_123_456,
            "{\"TIMES\":1,\"time\":\"2026-01-05 08:00:01.1234567 UTC\"}",
        ),
    ] {
        let collected = record(time);
        assert_eq!(collected.rows[0].1.time, micros);
        assert_eq!(collected.rows[0].1.text("extra"), Some(extra));
    }
    let long = format!("\"{}\"", "x".repeat(100));
    let cut = format!("\"{}\"...", "x".repeat(60));
    for (time, found) in [
        ("null", "null"),
        ("5", "a number"),
        ("true", "a boolean"),
        ("[\"2026-01-05 08:00:01 UTC\"]", "a list"),
        ("{}", "an object"),
        ("\"\"", "\"\""),
        ("\"2026-01-05 08:00:01\"", "\"2026-01-05 08:00:01\""),
        ("\"a\\nb\"", "\"a\\nb\""),
        (&long, &cut),
    ] {
        let reason = &record(time).rejects[0].reason;
        let expected = format!(
            "no usable time: expected `time` to be a date, a time and UTC or an offset, found {found} in the record at byte 0"
        );
        assert_eq!(*reason, expected);
    }
    // In other letters, where the exact name is absent.
    let collected = decode(b"{\"Time\":\"2026-01-05 08:00:01 UTC\",\"time\":null,\"TIME\":5}").0;
    assert_eq!(columns(&collected.rows[0].1), "extra={\"TIME\":5}");
}
