//! ZIPs that contradict themselves, or hold what their directory does not name.

use super::*;

/// Archives that contradict themselves: what is told, in part, and how many members are taken whole.
#[test]
fn archives_that_lie() {
    let a = || member(b"a", 8, RECORD);
    let b = || member(b"b", 0, OTHER);
    let quoted = {
        // The kernel of a "better bomb": the first member's data is stored, and holds the local header of the second.
        let inner = zip(&[b()], b"");
        let header = &inner[..31 + OTHER.len()];
        let first = member(b"a", 0, header);
        zip(&[first.clone(), Member { offset: Some(31), ..b() }], b"")
    };
    let zip64_extra = |bytes: u64| [&[1, 0, 8, 0], bytes.to_le_bytes().as_slice()].concat();
    let local = |member: &Member| {
        (member.name.clone(), member.method, member.crc, u32::try_from(member.data.len()).unwrap(), member.bytes)
    };
    let with_local = |change: fn(&mut (Vec<u8>, u16, u32, u32, u32))| {
        let mut said = local(&a());
        change(&mut said);
        zip(&[Member { local: Some(said), ..a() }], b"")
    };
    let two_directories = [zip(&[a()], b""), zip(&[b()], b"")].concat();
    let cases: Vec<(&str, Vec<u8>, &str, usize)> = vec![
        // Name, archive, what is told, members that are right.
        (
            "one member twice",
            zip(
                &[
                    a(),
                    Member {
                        offset: Some(0),
                        data: vec![],
                        data_bytes: Some(u32::try_from(a().data.len()).unwrap()),
                        ..a()
                    },
                ],
                b"",
            ),
            "shares its bytes",
            1,
        ),
        ("a member within another", quoted, "shares its bytes", 1),
        ("encrypted", zip(&[Member { flags: 1, ..a() }, b()], b""), "a: encrypted", 1),
        ("strongly encrypted", zip(&[Member { flags: 0x41, ..a() }, b()], b""), "a: encrypted", 1),
        ("deflate64", zip(&[Member { method: 9, ..a() }, b()], b""), "a: compressed by method 9: expected", 1),
        ("bzip2", zip(&[Member { method: 12, ..a() }, b()], b""), "a: compressed by method 12: expected", 1),
        ("lzma", zip(&[Member { method: 14, ..a() }, b()], b""), "a: compressed by method 14: expected", 1),
        ("zstd", zip(&[Member { method: 93, ..a() }, b()], b""), "a: compressed by method 93: expected", 1),
        ("no method", zip(&[Member { method: 0x7fff, ..a() }, b()], b""), "a: compressed by method 32767: expected", 1),
        ("AES", zip(&[Member { method: 99, flags: 1, ..a() }, b()], b""), "", 1),
        ("deflated, but said to be stored", zip(&[Member { method: 0, ..a() }, b()], b""), "a: ", 1),
        ("stored, but said to be deflated", zip(&[a(), Member { method: 8, ..b() }], b""), "b: ", 1),
        ("a wrong CRC", zip(&[Member { crc: 7, ..a() }, b()], b""), "a: CRC-32: expected 00000007, found ", 1),
        ("too long", zip(&[Member { bytes: 9, ..a() }, b()], b""), "a: expected 9 bytes, found more", 1),
        ("too short", zip(&[Member { bytes: 999, ..a() }, b()], b""), "a: cut: expected 999 bytes", 1),
        ("data beyond the file", zip(&[a(), Member { data_bytes: Some(1 << 30), ..b() }], b""), "b: ", 1),
        (
            "a ZIP64 length without end",
            zip(&[Member { bytes: u32::MAX, extra: zip64_extra(1 << 60), ..a() }, b()], b""),
            "a: cut: expected",
            1,
        ),
        (
            "a ZIP64 length that is right",
            zip(&[Member { bytes: u32::MAX, extra: zip64_extra(RECORD.len() as u64), ..a() }, b()], b""),
            "",
            2,
        ),
        (
            "a ZIP64 field that is not there",
            zip(&[Member { bytes: u32::MAX, ..a() }, b()], b""),
            "a: cut: expected 4294967295",
            1,
        ),
        (
            "an offset to no header",
            zip(&[Member { offset: Some(1), ..a() }, b()], b""),
            "a: expected a local header",
            1,
        ),
        ("an offset beyond the file", zip(&[a(), Member { offset: Some(1 << 30), ..b() }], b""), "b: ", 1),
        (
            "an offset beyond any file",
            zip(&[a(), Member { offset: Some(u32::MAX), extra: zip64_extra(u64::MAX - 9), ..b() }], b""),
            "b: ",
            1,
        ),
        ("a folder with content", zip(&[member(b"d/", 0, RECORD)], b""), "", 1),
        ("a folder", zip(&[member(b"d/", 0, b""), b()], b""), "", 1),
        ("a folder, deflated", zip(&[member(b"d/", 8, b""), b()], b""), "", 1),
        (
            "a folder with content and without length",
            zip(&[Member { bytes: 0, ..member(b"d/", 8, RECORD) }, b()], b""),
            "d/: expected 0 bytes, found more",
            1,
        ),
        (
            "a folder with content and without length and CRC",
            zip(&[Member { bytes: 0, crc: 0, ..member(b"d/", 0, RECORD) }, b()], b""),
            "d/: ",
            1,
        ),
        ("too many members", zip(&vec![b(); 9], b""), "expected at most 8 members, found 9", 0),
        ("a second directory", two_directories, "the directory names no member at byte 0", 1),
        (
            "a comment that is an empty ZIP",
            zip(&[a()], b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            "the directory names no member at byte 0",
            0,
        ),
        (
            "a comment of signatures",
            zip(&[a()], b"PK\x03\x04PK\x01\x02PK\x05\x06PK\x06\x06PK\x06\x07PK\x07\x08"),
            "",
            1,
        ),
        // The directory is believed, and the CRC says whether that was right.
        ("another name in the local header", with_local(|local| local.0 = b"z".to_vec()), "", 1),
        ("another CRC in the local header", with_local(|local| local.2 ^= 1), "", 1),
        ("other lengths in the local header", with_local(|local| (local.3, local.4) = (1, 1 << 30)), "", 1),
        ("another method in the local header", with_local(|local| local.1 = 0), "", 1),
    ];
    for (name, archive, expected, whole) in cases {
        let told = told(&archive, false);
        assert!(told.damage.is_empty() == expected.is_empty() || name == "AES", "{name}: {told:?}");
        assert!(told.damage.iter().any(|damage| damage.contains(expected)) || expected.is_empty(), "{name}: {told:?}");
        let right = told.members.iter().filter(|(name, content)| {
            let of_it =
                |damage: &&String| damage.starts_with(&format!("{name}: ")) && !damage.contains("shares its bytes");
            let is_whole = told.damage.iter().find(of_it).is_none();
            is_whole && (content == RECORD || content == OTHER || content.starts_with(b"PK\x03\x04"))
        });
        assert_eq!(right.count(), whole, "{name}: {told:?}");
    }
}

/// The same archive with bytes between its last directory entry and its end record, which lie within the directory as the end record says.
fn behind_directory(archive: &[u8], bytes: &[u8]) -> Vec<u8> {
    let end = archive.len() - 22;
    let (front, mut end) = (archive[..end].to_vec(), archive[end..].to_vec());
    let length = u32::from_le_bytes(*end[12..].first_chunk().unwrap()) + u32::try_from(bytes.len()).unwrap();
    end[12..16].copy_from_slice(&length.to_le_bytes());
    [&front, bytes, &end].concat()
}

/// The same archive with a ZIP64 end record, which has room for bytes.
fn with_end_record_64(archive: &[u8], room: &[u8]) -> Vec<u8> {
    let (front, end) = archive.split_at(archive.len() - 22);
    let [count, length, start] = [10..12, 12..16, 16..20].map(|place| {
        let mut number = [0; 8];
        number[..place.len()].copy_from_slice(&end[place]);
        number
    });
    let record_bytes = (44 + room.len() as u64).to_le_bytes();
    let record = [b"PK\x06\x06", record_bytes.as_slice(), &[45, 0, 45, 0], &[0; 8], &count, &count, &length, &start];
    let locator = [b"PK\x06\x07\0\0\0\0", (front.len() as u64).to_le_bytes().as_slice(), &[1, 0, 0, 0]].concat();
    [front, &record.concat(), room, &locator, b"PK\x05\x06\0\0\0\0", &[0xff; 12], &[0, 0]].concat()
}

/// Wherever a member is that the directory does not name, it is found; and other bytes that belong to nothing are a note.
#[test]
fn bytes_that_belong_to_nothing_are_told_and_members_among_them_are_damage() {
    let a = || member(b"a", 8, RECORD);
    let named = zip(&[a()], b"");
    let hidden = unnamed(member(b"hidden", 8, RECORD));
    let decoy = [b"xxPK\x03\x04".as_slice(), &[0; 30]].concat();
    let with_slack = |slack: &[u8]| zip(&[Member { data: [&a().data, slack].concat(), ..a() }], b"");
    let before_directory = |bytes: &[u8]| zip(&[Member { descriptor: bytes.to_vec(), ..a() }], b"");
    let no_name = unnamed(member(b"", 0, RECORD));
    let long_name = unnamed(member(&vec![b'n'; 5000], 8, RECORD));
    let at = |archive: &[u8], hidden: &[u8]| {
        let place = memchr::memmem::rfind(archive, hidden).unwrap();
        format!("ZIP: the directory names no member at byte {place}, but there is one")
    };
    let many = b"PK\x03\x04".repeat(10_000);
    for hidden in [&hidden, &no_name, &long_name, &[decoy.as_slice(), &hidden].concat(), &[&many, &hidden[..]].concat()]
    {
        let cases = [
            ("before the directory", before_directory(hidden)),
            ("before the directory, behind others", before_directory(&[b"other", hidden.as_slice()].concat())),
            ("behind the data", with_slack(hidden)),
            ("behind the directory", behind_directory(&named, hidden)),
            ("in the ZIP64 end record", with_end_record_64(&named, hidden)),
            ("in front, with bytes around it", [b"<!DOCTYPE", hidden.as_slice(), b"x", &named].concat()),
            ("in the comment", zip(&[a()], hidden)),
            ("behind the end", [named.as_slice(), hidden].concat()),
            ("behind the end, with zeros", [named.as_slice(), &[0; 5000], hidden].concat()),
            ("a ZIP without its end", [&named, hidden.as_slice(), &named[..named.len() - 22]].concat()),
        ];
        for (case, archive) in cases {
            let told = told(&archive, false);
            // What has the signature where a member is to be expected is taken for one, whatever else it says.
            let place = hidden.strip_prefix(decoy.as_slice()).unwrap_or(hidden);
            let expected = (!hidden.starts_with(&many)).then_some(place);
            let expected = expected.map(|hidden| at(&archive, hidden));
            assert_eq!(told.damage.len(), 1, "{case}: {told:?}");
            assert!(told.damage[0].contains("the directory names no member at byte"), "{case}: {told:?}");
            assert!(expected.is_none_or(|expected| expected == told.damage[0]), "{case}: {told:?}");
            assert_eq!(told.members, [("a".to_owned(), RECORD.to_vec())], "{case}");
        }
    }
    for (behind, expected) in [(gzip(RECORD), "gzip"), (RECORD.to_vec(), "records"), (b"[{}]".to_vec(), "records")] {
        let told = told(&[named.as_slice(), &behind].concat(), false);
        let text = format!("ZIP: {} bytes follow the end of the ZIP, which begin like {expected}", behind.len());
        assert_eq!((told.damage, told.members.len()), (vec![text], 1));
    }
    let noted: [(&str, Vec<u8>, &str); 9] = [
        ("before the directory", before_directory(b"other"), "5 bytes at byte"),
        ("a decoy alone", before_directory(&decoy), "36 bytes at byte"),
        ("behind the data, with an end record", with_slack(&zip(&[], b"")), "a second directory at byte"),
        ("behind the data, zeros", with_slack(&[0; 7]), "7 zero bytes at byte"),
        ("behind the directory", behind_directory(&named, b"other"), "no end record behind the directory"),
        ("in the ZIP64 end record", with_end_record_64(&named, b"other"), "5 bytes at byte"),
        ("behind the end", [named.as_slice(), b"other"].concat(), "5 bytes follow the end of the ZIP"),
        ("behind the end, the beginning of a header", [&named, &hidden[..29]].concat(), "29 bytes follow"),
        ("in the comment", zip(&[a()], b"other"), "a ZIP comment of 5 bytes"),
    ];
    for (case, archive, expected) in noted {
        let told = told(&archive, false);
        assert_eq!((told.damage.len(), told.notes.len()), (0, 1), "{case}: {told:?}");
        assert!(told.notes[0].starts_with(expected), "{case}: {told:?}");
        assert_eq!(told.members, [("a".to_owned(), RECORD.to_vec())], "{case}");
    }
    // What is not looked for, since to find it would mean to inflate each member twice.
    let told = told(&with_slack(b"other"), false);
    assert_eq!((told.damage.len(), told.notes.len(), told.members.len()), (0, 0, 1), "{told:?}");
}

/// A local header and a directory entry that says that its length is in an extra field, which has no room for it.
#[test]
fn entries_before_a_broken_one_are_held_against_the_file() {
    let [a, b, c] = [b"a", b"b", b"c"].map(|name| member(name, 8, RECORD));
    let broken = Member { bytes: u32::MAX, extra: vec![1, 0, 2, 0, 0, 0], ..b.clone() };
    let twice =
        Member { offset: Some(0), data: vec![], data_bytes: Some(u32::try_from(a.data.len()).unwrap()), ..a.clone() };
    let unread = |position, found, unread| {
        (format!("ZIP directory, entry {position} of {found}: "), format!("not read, {unread} in all"))
    };
    let unnamed = ("ZIP: the directory names no member at byte ".to_owned(), ", but there is one".to_owned());
    let shares = ("a: shares its bytes".to_owned(), "of its own".to_owned());
    let cases = [
        ("first", zip(&[broken.clone(), b, c.clone()], b""), vec![unread(0, 3, 3), unnamed.clone()], 0),
        ("last", zip(&[a.clone(), c.clone(), broken.clone()], b""), vec![unread(2, 3, 1), unnamed.clone()], 2),
        ("behind one that is named twice", zip(&[a, twice, broken], b""), vec![unread(2, 3, 1), unnamed, shares], 1),
    ];
    for (case, archive, expected, members) in cases {
        let told = told(&archive, false);
        assert_eq!((told.damage.len(), told.members.len()), (expected.len(), members), "{case}: {told:?}");
        for (found, (start, end)) in told.damage.iter().zip(expected) {
            assert!(found.starts_with(&start) && found.ends_with(&end), "{case}: {told:?}");
        }
    }
}

#[test]
fn names_are_taken_as_they_are_and_never_as_paths() {
    let long = vec![b'n'; 65_535];
    let names: [&[u8]; 14] = [
        b"../../etc/passwd",
        b"/absolute",
        b"C:\\drive",
        b"back\\slash",
        b"NUL",
        b"with\0zero",
        b"\x1b]0;title\x07\x1b[2J",
        b"line\r\nbreak",
        "right\u{202e}to left".as_bytes(),
        b"",
        b"dot.",
        b"same",
        b"SAME",
        &long,
    ];
    for name in names {
        let told = told(&zip(&[member(name, 8, RECORD)], b""), false);
        assert_eq!((told.damage.len(), told.members.len()), (0, 1), "{}: {told:?}", name.escape_ascii());
        assert_eq!(told.members[0].0.as_bytes(), name, "{}", name.escape_ascii());
    }
    let twice = told(&zip(&[member(b"same", 8, RECORD), member(b"same", 0, OTHER)], b""), false);
    assert_eq!(twice.members.len(), 2, "{twice:?}");
    let latin = told(&zip(&[member(b"caf\xe9", 8, RECORD)], b""), false);
    assert_eq!((latin.damage.len(), latin.members[0].1.as_slice()), (0, RECORD), "{latin:?}");
}
