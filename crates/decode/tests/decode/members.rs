//! Whole members: what is a record, what is a reject, and where it stands.

use keytrail_decode::reference::collect;
use keytrail_decode::{DecodeError, DecodeOptions, Decoder};

use super::{assert_conserved, decode, expand, outline};

/// Length of an expanded `$x`.
const R: usize = 51;

/// A member, what comes of it, and the reasons of its rejects. `$x` is a record with the action `x`, `%` an unusable one.
fn check(cases: &[(&str, &str, &[&str])]) {
    for (pattern, expected, reasons) in cases {
        let member = expand(pattern);
        let (collected, summary) = decode(member.as_bytes());
        assert_eq!(outline(&collected), expand(expected), "{pattern}");
        let found: Vec<&str> = collected.rejects.iter().map(|reject| reject.reason.as_str()).collect();
        assert_eq!(found, *reasons, "{pattern}");
        assert_conserved(&collected, summary);
        assert_eq!(summary.bytes, member.len() as u64);
        for reject in &collected.rejects {
            let start = usize::try_from(reject.offset).unwrap();
            let stands = member.as_bytes().get(start..start + reject.raw.len());
            assert!(
                stands == Some(&reject.raw) || reject.reason.contains("commas"),
                "{pattern}: raw is not at its offset"
            );
        }
        for size in [1, 2, 3, 7, 50, 64] {
            let mut decoder = Decoder::new(DecodeOptions::default());
            let (chunked, _) = collect(&mut decoder, member.as_bytes().chunks(size)).unwrap();
            assert_eq!(chunked, collected, "{pattern} in chunks of {size}");
        }
    }
}

#[test]
fn a_record_is_as_long_as_the_offsets_below_say() {
    assert_eq!(expand("$a").len(), R);
}

#[test]
fn well_formed_lists() {
    check(&[
        ("[]", "", &[]),
        (" \r\n[\t] \n", "", &[]),
        ("\u{feff}[$a]", "a", &[]),
        ("\u{feff} [ $a , $b ] ", "a b", &[]),
        ("[$a,$b,$c]", "a b c", &[]),
        ("[\n  $a\n  ,\n  $b\n]\n", "a b", &[]),
    ]);
}

#[test]
fn well_formed_lines() {
    check(&[
        ("$a", "a", &[]),
        ("$a\n", "a", &[]),
        ("$a\n$b\n", "a b", &[]),
        ("\u{feff}$a\r\n\r\n \t\r\n  $b  \r\n$c", "a b c", &[]),
    ]);
}

#[test]
fn lines_that_are_no_records() {
    let fault = |text: &str| text.to_owned();
    check(&[
        ("$a\n5\n$b", "a !52\"5\" b", &["expected an object, found a number in the record at byte 52"]),
        ("$a\n$b$c\n$d", "a !52\"$b$c\" d", &[&fault("expected nothing after the JSON value, found '{' at byte 103")]),
        ("$a\n$b,\n$c", "a !52\"$b,\" c", &["expected nothing after the JSON value, found ',' at byte 103"]),
        ("$a\n{\"time\":\n$b", "a !52\"{\"time\":\" b", &["expected a JSON value, found the end at byte 60"]),
        (
            "{\n$a\n}\n",
            "!0\"{\" a !54\"}\"",
            &[
                "expected a name in double quotes or '}', found the end at byte 1",
                "expected a JSON value, found '}' at byte 54",
            ],
        ),
        (
            "$a\n  {\"time\":\"x\ty\"} \r\n$b",
            "a !54\"{\"time\":\"x\ty\"}\" b",
            &["expected an escape in place of a control character, found byte 0x09 at byte 64"],
        ),
    ]);
}

/// As a log whose beginning was cut off, or that a program wrote a line of its own to.
#[test]
fn first_lines_that_are_no_records() {
    check(&[
        ("5\n$a\n$b", "!0\"5\" a b", &["expected an object, found a number in the record at byte 0"]),
        ("\u{feff} null\r\n\r\n $a \r\n", "!4\"null\" a", &["expected an object, found null in the record at byte 4"]),
        ("\"b\"}\n$a", "!0\"\"b\"}\" a", &["expected nothing after the JSON value, found '}' at byte 3"]),
        (
            "# log\nof\n$a\n#",
            "!0\"# log\" !6\"of\" a !61\"#\"",
            &[
                "expected a JSON value, found '#' at byte 0",
                "expected a JSON value, found 'of' at byte 6",
                "expected a JSON value, found '#' at byte 61",
            ],
        ),
    ]);
}

/// What is looked for is a whole line of an object, and it is looked for in the first 64 KiB.
#[test]
fn texts_with_records_far_behind_or_within_lines_are_no_exports() {
    let refused = |member: &str| {
        [1, 1000, 65_536, member.len()].map(|size| {
            let mut decoder = Decoder::new(DecodeOptions::default());
            collect(&mut decoder, member.as_bytes().chunks(size)).err().map(|error| error.to_string())
        })
    };
    let expected = Some("expected '[' or '{', found 'x' at byte 0".to_owned());
    for member in ["x $a", "x\n[\n$a,\n$a]", "x\n{\n\"a\":1}", "x\n{a}", "x\n{}", "x {\n} y"] {
        assert_eq!(refused(&expand(member)), [const { None }; 4].map(|_: Option<()>| expected.clone()), "{member}");
    }
    let record = expand("\n$a");
    for (line_bytes, is_refused) in [(65_536 - record.len() - 1, false), (65_536 - record.len(), true), (1 << 20, true)]
    {
        let member = format!("{}{record}\n{record}", "x".repeat(line_bytes));
        assert_eq!(refused(&member).map(|error| error.is_some()), [is_refused; 4], "{line_bytes}");
    }
}

#[test]
fn elements_that_are_no_objects() {
    check(&[
        ("[5,$a]", "!1\"5\" a", &["expected an object, found a number at byte 1"]),
        (
            "[null , \"a]\\\",{\" , [1,[2]] ,$a,true]",
            "!1\"null\" !8\"\"a]\\\",{\"\" !19\"[1,[2]]\" a !80\"true\"",
            &[
                "expected an object, found null at byte 1",
                "expected an object, found a string at byte 8",
                "expected an object, found a list at byte 19",
                "expected an object, found a boolean at byte 80",
            ],
        ),
        ("[NaN,$a]", "!1\"NaN\" a", &["expected an object, found 'NaN' at byte 1"]),
        ("[[$a,$b],$c]", "!1\"[$a,$b]\" c", &["expected an object, found a list at byte 1"]),
        ("[[$a,$b,$c]", "!1\"[\" a b c", &["expected an object, found '[' at byte 1"]),
    ]);
}

#[test]
fn commas() {
    check(&[
        ("[$a,]", "a !52\",\"", &["expected a record after ',' at byte 52, found ']'"]),
        ("[$a,,$b]", "a !53\",\" b", &["expected a record after ',', found ',' at byte 53"]),
        (
            "[$a, ,,$b,]",
            "a !54\",,\" b !107\",\"",
            &[
                "expected a record after ',', found 2 commas at byte 54",
                "expected a record after ',' at byte 107, found ']'",
            ],
        ),
        ("[,$a]", "!1\",\" a", &["expected a record or ']' after '[', found ',' at byte 1"]),
        ("[,]", "!1\",\"", &["expected a record or ']' after '[', found ',' at byte 1"]),
        ("[$a,,]", "a !53\",\"", &["expected a record after ',', found ',' at byte 53"]),
        ("[$a $b]", "a !53\"\" b", &["expected ',' between records, found '{' at byte 53"]),
        (
            "[$a$b$c]",
            "a !52\"\" b !103\"\" c",
            &[
                "expected ',' between records, found '{' at byte 52",
                "expected ',' between records, found '{' at byte 103",
            ],
        ),
    ]);
}

#[test]
fn lists_without_an_end() {
    check(&[
        ("[", "!1\"\"", &["expected ']' at the end of the list, found the end at byte 1"]),
        ("[$a", "a !52\"\"", &["expected ']' at the end of the list, found the end at byte 52"]),
        ("[$a,\n", "a !54\"\"", &["expected ']' at the end of the list, found the end at byte 54"]),
        (
            "[$a,{\"time\":\"2026",
            "a !53\"{\"time\":\"2026\"",
            &["expected '\"' at the end of a string, found the end at byte 66"],
        ),
        ("[$a,{", "a !53\"{\"", &["expected a name in double quotes or '}', found the end at byte 54"]),
        ("[$a,nul", "a !53\"nul\"", &["expected an object, found 'n' at byte 53"]),
    ]);
}

#[test]
fn text_behind_the_list() {
    check(&[
        ("[$a]x\n", "a !53\"x\"", &["expected nothing after the ']' of the list, found 'x' at byte 53"]),
        ("[$a]]", "a !53\"]\"", &["expected nothing after the ']' of the list, found ']' at byte 53"]),
        ("[$a]\n[$b,$c]\n", "a !54\"[\" b c", &["expected nothing after the ']' of the list, found '[' at byte 54"]),
        ("[$a],$b", "a !53\"\" b", &["expected nothing after the ']' of the list, found ',' at byte 53"]),
        ("[$a]$b,$c", "a !53\"\" b c", &["expected nothing after the ']' of the list, found '{' at byte 53"]),
        ("[] oops $a", "!3\"oops\" a", &["expected nothing after the ']' of the list, found 'o' at byte 3"]),
    ]);
}

#[test]
fn a_record_that_lacks_a_quote_or_bracket_is_one_reject() {
    let broken = "{\"time\":\"x,\"b\":\"y\"}";
    check(&[
        (
            &format!("[$a,{broken},$b]"),
            &format!("a !53\"{broken}\" b"),
            &["expected ',' or '}' after a member, found 'b' at byte 65"],
        ),
        (
            &format!("[{broken}]"),
            &format!("!1\"{broken}]\""),
            &["expected ',' or '}' after a member, found 'b' at byte 13"],
        ),
        (
            "[$a,{\"b\":\"c},$d,$e]",
            "a !53\"{\"b\":\"c}\" d e",
            &["expected '\"' at the end of a string, found the end at byte 61"],
        ),
        ("[{\"b\":1,$a,$c]", "!1\"{\"b\":1\" a c", &["expected ',' or '}' after a member, found the end at byte 7"]),
        ("[$a,{\"b\":1]", "a !53\"{\"b\":1\"", &["expected ',' or '}' after a member, found the end at byte 59"]),
        (
            "[$a,{\"b\":1,\"c\":2,}]",
            "a !53\"{\"b\":1,\"c\":2,}\"",
            &["expected a name in double quotes, found '}' at byte 66"],
        ),
        (
            "[$a,\"b\":1,\"m\":{\"c\":2}},$d]",
            "a !53\"\"b\":1,\"m\":{\"c\":2}}\" d",
            &["expected an object, found '\"' at byte 53"],
        ),
        ("[\"b\":1},$a]", "!1\"\"b\":1}\" a", &["expected an object, found '\"' at byte 1"]),
        (
            "[$a,{\"m\":\"n\":1},\"z\":2},$d]",
            "a !53\"{\"m\":\"n\":1},\"z\":2}\" d",
            &["expected ',' or '}' after a member, found ':' at byte 61"],
        ),
        (
            "[$a,{\"m\":{\"n\":1,\"z\":2},$d]",
            "a !53\"{\"m\":{\"n\":1,\"z\":2}\" d",
            &["expected ',' or '}' after a member, found the end at byte 71"],
        ),
        (
            "[$a,{\"m\":[1,\"z\":2},$d]",
            "a !53\"{\"m\":[1,\"z\":2}\" d",
            &["expected ',' or ']' after an element, found ':' at byte 64"],
        ),
        (
            "[$a,{\"m\":1],\"z\":2},$d]",
            "a !53\"{\"m\":1],\"z\":2}\" d",
            &["expected ',' or '}' after a member, found ']' at byte 59"],
        ),
    ]);
}

#[test]
fn a_record_with_a_fault_inside_is_one_reject_of_its_own_length() {
    check(&[
        (
            "[$a,{\"b\":01},$c]",
            "a !53\"{\"b\":01}\" c",
            &["expected no digit after a leading zero, found '1' at byte 59"],
        ),
        (
            "[{\"b\":\"\\x\"}]",
            "!1\"{\"b\":\"\\x\"}\"",
            &["expected one of \"\\/bfnrtu after a backslash, found 'x' at byte 8"],
        ),
        (
            "[{\"l\":[1,{\"b\":\"\\ud800\"},{\"c\":1}]},$a]",
            "!1\"{\"l\":[1,{\"b\":\"\\ud800\"},{\"c\":1}]}\" a",
            &["expected a pair of surrogate escapes, found a lone \\ud800 at byte 15"],
        ),
        (
            "[{},$a]",
            "!1\"{}\" a",
            &[
                "no usable time: expected `time` to be a date, a time and UTC or an offset, found no such member in the record at byte 1",
            ],
        ),
    ]);
}

#[test]
fn garbage_between_records_is_one_reject() {
    check(&[
        ("[$a},$b]", "a !52\"}\" b", &["expected ',' or ']' after an element, found '}' at byte 52"]),
        ("[$a}}]}x,$b]", "a !52\"}}]}x\" b", &["expected ',' or ']' after an element, found '}' at byte 52"]),
        ("[$a oops $b]", "a !53\"oops\" b", &["expected ',' or ']' after an element, found 'o' at byte 53"]),
        ("[$a, # note\n $b]", "a !54\"# note\" b", &["expected an object, found '#' at byte 54"]),
        ("[$a:$b]", "a !52\":\" b", &["expected ',' or ']' after an element, found ':' at byte 52"]),
        ("[$a,{$b,$c]", "a !53\"{\" b c", &["expected a name in double quotes or '}', found the end at byte 54"]),
        ("[$a,\u{0}\u{0}\u{0}", "a !53\"\u{0}\u{0}\u{0}\"", &["expected an object, found byte 0x00 at byte 53"]),
        ("[$a x]", "a !53\"x]\"", &["expected ',' or ']' after an element, found 'x' at byte 53"]),
    ]);
}

#[test]
fn bytes_that_are_not_utf_8() {
    let member = [expand("[$a,{\"b\":\"").as_bytes(), b"\xc3\x28\"},", expand("$c]").as_bytes()].concat();
    let (collected, _) = decode(&member);
    assert_eq!(collected.rows.len(), 2);
    assert_eq!(collected.rejects[0].raw, b"{\"b\":\"\xc3\x28\"}");
    assert_eq!(collected.rejects[0].reason, "expected UTF-8 text, found byte 0xc3 at byte 59");
}

#[test]
fn members_that_are_no_exports() {
    let cases: [(&[u8], &str); 8] = [
        (b"", "expected records, found no text"),
        (b" \r\n\t", "expected records, found no text"),
        (b"\xef\xbb\xbf", "expected records, found no text"),
        (b"<html>", "expected '[' or '{', found '<' at byte 0"),
        (b"\n 5", "expected '[' or '{', found '5' at byte 2"),
        (b"\xef\xbb\xbf\xef\xbb\xbf[]", "expected '[' or '{', found byte 0xef at byte 3"),
        (b"\xef\xbb", "expected '[' or '{', found byte 0xef at byte 0"),
        (b"\0", "expected '[' or '{', found byte 0x00 at byte 0"),
    ];
    for (member, expected) in cases {
        for size in [1, 2, 100] {
            let mut decoder = Decoder::new(DecodeOptions::default());
            let error = collect(&mut decoder, member.chunks(size)).unwrap_err();
            assert_eq!(error.to_string(), expected, "{}", member.escape_ascii());
            // The decoder is as new.
            assert_eq!(outline(&collect(&mut decoder, [expand("[$a]").as_bytes()]).unwrap().0), "a");
        }
    }
}

#[test]
fn a_failed_member_takes_no_more_bytes() {
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut sink = keytrail_decode::reference::Collected::default();
    assert!(matches!(decoder.push(&[b'x'; 64 << 10], &mut sink), Err(DecodeError::NotRecords { offset: 0, .. })));
    assert!(matches!(decoder.push(b"[]", &mut sink), Err(DecodeError::GivenUp)));
    assert!(matches!(decoder.finish(&mut sink), Err(DecodeError::GivenUp)));
    decoder.push(b"[]", &mut sink).unwrap();
    assert_eq!(decoder.finish(&mut sink).unwrap().bytes, 2);
}
