//! Gzip files of one member and several, and what stands behind them.

use super::*;

#[test]
fn gzip_members_are_counted() {
    let cases = [(8, ""), (9, "more than 8 gzip members, the limit for an archive")];
    for (count, expected) in cases {
        let told = told(&gzip(RECORD).repeat(count), false);
        assert!(told.damage.iter().all(|damage| damage.ends_with(expected)), "{count}: {told:?}");
        assert_eq!(told.damage.is_empty(), expected.is_empty(), "{count}: {told:?}");
    }
}

/// What its end says of the text of a gzip file is true of one text only, and where it stands.
#[test]
fn long_gzip_files_are_one_member_or_told_apart() {
    let text = text_of_noise(5000);
    let one = gzip(&text);
    let (data, trailer) = one.split_at(one.len() - 8);
    let changed = |place: usize| {
        let mut trailer = trailer.to_vec();
        trailer[place] ^= 1;
        trailer
    };
    let named = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3], b"name.json\0".as_slice(), &one[10..]].concat();
    let bad_sum = "corrupt gzip stream does not have a matching checksum";
    let cases: Vec<(&str, Vec<u8>, usize, &str)> = vec![
        // Name, file, how often the text is taken, what is told at last.
        ("one", one.clone(), 1, ""),
        ("named", named, 1, ""),
        ("twice the same", one.repeat(2), 2, ""),
        ("a short one first", [gzip(b""), one.clone()].concat(), 1, ""),
        ("a short one behind it", [one.clone(), gzip(b"")].concat(), 1, ""),
        ("its trailer again", [&one, trailer].concat(), 1, "8 bytes that are not gzip follow the last gzip member"),
        ("a byte before the trailer", [data, &[7], trailer].concat(), 1, bad_sum),
        ("another trailer before the trailer", [data, &changed(0), trailer].concat(), 1, bad_sum),
        ("another checksum", [data, &changed(3)].concat(), 1, bad_sum),
        ("another length", [data, &changed(7)].concat(), 1, bad_sum),
        ("no trailer", data.to_vec(), 1, "unexpected end of file"),
        ("trailer cut", one[..one.len() - 1].to_vec(), 1, "unexpected end of file"),
    ];
    for (case, file, count, expected) in cases {
        let told = told(&file, false);
        let [(name, found)] = told.members.as_slice() else { panic!("{case}: {told:?}") };
        assert!(text.repeat(count).starts_with(found) && found.len() + (256 << 10) > text.len() * count, "{case}");
        assert!(expected.ends_with("checksum") || expected.ends_with("file") || *found == text.repeat(count), "{case}");
        let last = told.damage.iter().chain(&told.notes).next_back().map_or("", String::as_str);
        assert!(last.ends_with(expected) && last.is_empty() == expected.is_empty(), "{case}: {last}");
        assert_eq!(name, if case == "named" { "name.json" } else { "a" }, "{case}");
    }
}

/// Damage where another gzip member begins must not pass it over in silence.
#[test]
fn a_gzip_member_behind_other_bytes_is_told() {
    let (one, other) = (gzip(RECORD), gzip(OTHER));
    let changed = |place: usize| {
        let mut other = other.clone();
        other[place] ^= 1;
        other
    };
    let behind: [(&str, Vec<u8>, &str); 11] = [
        ("first byte changed", changed(0), "byte 0 of them"),
        ("second byte changed", changed(1), "byte 0 of them"),
        ("behind zeros", [&[0; 512], other.as_slice()].concat(), "byte 512 of them"),
        ("behind a line feed", [b"\n", other.as_slice()].concat(), "byte 1 of them"),
        ("behind a byte of it", [b"\x1e", other.as_slice()].concat(), "byte 1 of them"),
        ("a ZIP", zip(&[member(b"b", 0, OTHER)], b""), "which begin like a ZIP"),
        ("a list", b"[{\"a\":1}]".to_vec(), "which begin like records"),
        ("lines", RECORD.to_vec(), "which begin like records"),
        ("text", b"more than three bytes".to_vec(), ""),
        ("zeros", vec![0; 512], ""),
        ("two bytes", vec![7, 0x8b], ""),
    ];
    for (case, behind, expected) in behind {
        let told = told(&[one.as_slice(), &behind].concat(), false);
        let words = told.damage.first().map_or("", String::as_str);
        assert!(words.ends_with(expected) && words.is_empty() == expected.is_empty(), "{case}: {told:?}");
        assert_eq!((told.members[0].1.as_slice(), told.notes.len()), (RECORD, expected.is_empty().into()), "{case}");
    }
}
