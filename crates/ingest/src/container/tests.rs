//! Hostile and damaged containers: what is told of them, and that what is taken is what was put in.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use keytrail_model::ledger::Note;

use super::{ArchiveFile, Budget, Buffers, Container, Content, FreeCores, Members, Source, visit};
use crate::progress::{ArchiveProgress, Progress};

const RECORD: &[u8] = b"{\"time\":\"2026-01-05 08:00:01 UTC\",\"action\":\"LUNA_LOGIN\"}\n";
const OTHER: &[u8] = b"[]";

/// What is told: contents of members by name, and everything else in words.
#[derive(Debug, Default)]
struct Told {
    container: Option<Container>,
    members: Vec<(String, Vec<u8>)>,
    damage: Vec<String>,
    notes: Vec<String>,
}

impl Members for Told {
    type Stop = Infallible;

    fn member(&mut self, name: &str, content: &mut dyn Content) -> Result<(), Infallible> {
        let mut found = Vec::new();
        loop {
            match content.piece() {
                Ok([]) => break,
                Ok(piece) => found.extend_from_slice(piece),
                Err(error) => {
                    self.damage.push(format!("{name}: {error}"));
                    break;
                }
            }
        }
        self.members.push((name.to_owned(), found));
        Ok(())
    }

    fn admits(&self, bytes: u64) -> bool {
        bytes <= 16 << 20
    }

    fn members_max(&self) -> u64 {
        8
    }

    fn damaged(&mut self, name: Option<&str>, reason: String) {
        self.damage.push(name.map_or_else(|| reason.clone(), |name| format!("{name}: {reason}")));
    }

    fn unreadable(&mut self, error: &io::Error) {
        self.damage.push(format!("unreadable: {error}"));
    }

    fn fault(&mut self, fault: Note) {
        self.damage.push(fault.text);
    }

    fn note(&mut self, note: Note) {
        self.notes.push(note.text);
    }
}

/// Reads an archive whole where it can be, as a stream, as a file, and in parts; all tell the same.
fn told(archive: &[u8], salvage: bool) -> Told {
    let read = |(source, budget, ahead): (_, Budget, bool)| {
        let mut buffers = Buffers::new(budget, Arc::new(FreeCores::new(ahead.into())));
        buffers.begin(archive.len().min(budget.bytes));
        let mut told = Told::default();
        let Ok(container) = visit(source, ("a.gz", archive.len() as u64), &mut buffers, salvage, &mut told);
        Told { container, ..told }
    };
    let thread = std::thread::current().id();
    let path = std::env::temp_dir().join(format!("keytrail-container-{}-{thread:?}", std::process::id()));
    std::fs::write(&path, archive).unwrap();
    let progress = ArchiveProgress::new(&|_| (), 0);
    let on_disk = ArchiveFile::new(&path, &progress);
    let [memory, file] = [Source::Memory(archive), Source::File(&on_disk)];
    let [whole, streamed, in_parts, in_parts_if_held] =
        [(1 << 20, u64::MAX, 0), (0, u64::MAX, 0), (0, 0, 32 << 10), (2 << 20, 0, 32 << 10)]
            .map(|(bytes, large_bytes, part_bytes)| Budget { bytes, large_bytes, part_bytes });
    let ways = [
        (memory, whole, false),
        (memory, streamed, false),
        (file, streamed, false),
        (file, in_parts, true),
        (file, in_parts_if_held, true),
        (memory, in_parts_if_held, true),
        (memory, in_parts_if_held, false),
        (file, in_parts_if_held, false),
    ];
    let [whole, others @ ..] = ways.map(read);
    std::fs::remove_file(&path).unwrap();
    others.iter().for_each(|other| assert_eq!(format!("{whole:?}"), format!("{other:?}")));
    whole
}

pub(super) fn deflated(content: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The same bytes cut, or with a bit turned, at places all over them; numbered.
pub(super) fn damaged(sound: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    const PLACES: usize = 40;
    (0..PLACES).map(|number| {
        let mut bytes = sound.to_vec();
        let at = number * (bytes.len() / PLACES) + number;
        if number % 3 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << (number % 8);
        }
        (number, bytes)
    })
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A member as its two headers have it; each can be made to lie.
#[derive(Clone)]
struct Member {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    data: Vec<u8>,
    bytes: u32,
    /// Behind the data.
    descriptor: Vec<u8>,
    /// What the local header says instead: name, method, CRC, lengths.
    local: Option<(Vec<u8>, u16, u32, u32, u32)>,
    /// The length of the data in the directory, instead of its own.
    data_bytes: Option<u32>,
    /// Extra field of the directory's entry.
    extra: Vec<u8>,
    /// Where the directory says that it is, instead of where it is.
    offset: Option<u32>,
}

fn member(name: &[u8], method: u16, content: &[u8]) -> Member {
    Member {
        name: name.to_vec(),
        flags: 0,
        method,
        crc: libdeflater::crc32(content),
        data: if method == 8 { deflated(content, 9) } else { content.to_vec() },
        bytes: u32::try_from(content.len()).unwrap(),
        descriptor: Vec::new(),
        local: None,
        data_bytes: None,
        extra: Vec::new(),
        offset: None,
    }
}

/// A ZIP of the members, with a comment.
fn zip(members: &[Member], comment: &[u8]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_le_bytes();
    for member in members {
        let offset = member.offset.unwrap_or(u32::try_from(file.len()).unwrap());
        let data_bytes = member.data_bytes.unwrap_or(u32::try_from(member.data.len()).unwrap());
        let own = (member.name.clone(), member.method, member.crc, data_bytes, member.bytes);
        let fields = |(name, method, crc, data_bytes, bytes): &(Vec<u8>, u16, u32, u32, u32)| {
            let numbers = [crc.to_le_bytes(), data_bytes.to_le_bytes(), bytes.to_le_bytes()].concat();
            [
                &[20, 0],
                &member.flags.to_le_bytes(),
                &method.to_le_bytes(),
                [0, 0, 0x21, 0].as_slice(),
                numbers.as_slice(),
                &length(name),
            ]
            .concat()
        };
        let local = member.local.as_ref().unwrap_or(&own);
        file.extend(
            [b"PK\x03\x04", fields(local).as_slice(), &[0, 0], &local.0, &member.data, &member.descriptor].concat(),
        );
        directory.extend([b"PK\x01\x02\x14\x03", fields(&own).as_slice(), &length(&member.extra), &[0; 10]].concat());
        directory.extend([&offset.to_le_bytes(), member.name.as_slice(), &member.extra].concat());
    }
    let (count, at) = (length(&vec![0; members.len()]), u32::try_from(file.len()).unwrap().to_le_bytes());
    let bytes = u32::try_from(directory.len()).unwrap().to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0", count.as_slice(), &count, &bytes, &at, &length(comment), comment].concat();
    [file, directory, end].concat()
}

/// Small archives of each kind, and the contents in them.
fn small_archives() -> Vec<(&'static str, Vec<u8>, Vec<&'static [u8]>)> {
    let [deflated, stored] = [8, 0].map(|method| member(b"a.json", method, RECORD));
    let streamed = |content: &[u8], signature: &[u8]| {
        let plain = member(b"a.json", 8, content);
        let lengths = [plain.crc, u32::try_from(plain.data.len()).unwrap(), plain.bytes].map(u32::to_le_bytes).concat();
        let local = Some((plain.name.clone(), plain.method, 0, 0, 0));
        Member { flags: 8, descriptor: [signature, &lengths].concat(), local, ..plain }
    };
    vec![
        ("deflated", zip(std::slice::from_ref(&deflated), b""), vec![RECORD]),
        ("stored", zip(std::slice::from_ref(&stored), b""), vec![RECORD]),
        ("two", zip(&[deflated, member(b"b", 0, OTHER)], b""), vec![RECORD, OTHER]),
        ("descriptor", zip(&[streamed(RECORD, b"PK\x07\x08"), member(b"b", 0, OTHER)], b""), vec![RECORD, OTHER]),
        ("descriptor without signature", zip(&[streamed(RECORD, b"")], b""), vec![RECORD]),
        ("gzip", gzip(RECORD), vec![RECORD]),
    ]
}

/// Nothing but what was put in is taken, or damage is told. A file that is no container any more is one member, and no JSON.
fn assert_right_or_told(archive: &[u8], contents: &[&[u8]], case: &str) {
    let told = told(archive, false);
    if told.container == Some(Container::Plain) {
        let [(_, content)] = told.members.as_slice() else { panic!("{case}: {told:?}") };
        assert!(content == archive && !matches!(content.first(), Some(b'[' | b'{')), "{case}: {told:?}");
        return;
    }
    if told.damage.is_empty() {
        // Concatenated gzip members are one text; the order of a ZIP's members is the directory's.
        assert!(
            told.members.iter().map(|(_, content)| content.as_slice()).eq(contents.iter().copied()),
            "{case}: {told:?}"
        );
    }
}

#[test]
fn a_flipped_bit_anywhere_gives_the_right_content_or_is_told() {
    for (name, archive, contents) in small_archives() {
        assert_eq!(told(&archive, false).damage, [""; 0], "{name}");
        for bit in 0..archive.len() * 8 {
            let mut flipped = archive.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_right_or_told(&flipped, &contents, &format!("{name}, bit {} of byte {}", bit % 8, bit / 8));
        }
    }
}

#[test]
fn a_cut_anywhere_is_told_and_salvage_takes_what_is_before_it() {
    for (name, archive, contents) in small_archives() {
        for end in 0..archive.len() {
            let case = format!("{name}, cut at byte {end}");
            let cut = told(&archive[..end], false);
            assert!(cut.container == Some(Container::Plain) || !cut.damage.is_empty(), "{case}: {cut:?}");
            let salvaged = told(&archive[..end], true);
            if salvaged.container != Some(Container::Plain) {
                assert!(!salvaged.damage.is_empty(), "{case}: {salvaged:?}");
                for ((_, found), content) in salvaged.members.iter().zip(&contents) {
                    assert!(content.starts_with(found), "{case}: {salvaged:?}");
                }
            }
        }
    }
}

#[test]
fn every_pair_of_bytes_removed_or_doubled_is_told() {
    for (name, archive, contents) in small_archives() {
        for at in 0..archive.len() - 1 {
            let removed = [&archive[..at], &archive[at + 2..]].concat();
            assert_right_or_told(&removed, &contents, &format!("{name}, two bytes removed at {at}"));
            let doubled = [&archive[..at + 2], &archive[at..]].concat();
            assert_right_or_told(&doubled, &contents, &format!("{name}, two bytes doubled at {at}"));
        }
    }
}

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

/// A local header and what follows it up to the directory: a member that no directory names.
fn unnamed(member: Member) -> Vec<u8> {
    let archive = zip(&[member], b"");
    archive[..memchr::memmem::find(&archive, b"PK\x01\x02").unwrap()].to_vec()
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

#[test]
fn gzip_members_are_counted() {
    let cases = [(8, ""), (9, "more than 8 gzip members, the limit for an archive")];
    for (count, expected) in cases {
        let told = told(&gzip(RECORD).repeat(count), false);
        assert!(told.damage.iter().all(|damage| damage.ends_with(expected)), "{count}: {told:?}");
        assert_eq!(told.damage.is_empty(), expected.is_empty(), "{count}: {told:?}");
    }
}

#[test]
fn what_stands_behind_a_member_that_was_given_up_is_found_however_it_is_read() {
    /// Takes nothing of any member.
    #[derive(Default)]
    struct Uninterested(Vec<String>);
    impl Members for Uninterested {
        type Stop = Infallible;
        fn member(&mut self, name: &str, _: &mut dyn Content) -> Result<(), Infallible> {
            self.0.push(name.to_owned());
            Ok(())
        }
        fn admits(&self, bytes: u64) -> bool {
            bytes <= 1 << 20
        }
        fn members_max(&self) -> u64 {
            8
        }
        fn damaged(&mut self, _: Option<&str>, _: String) {}
        fn unreadable(&mut self, _: &io::Error) {}
        fn fault(&mut self, _: Note) {}
        fn note(&mut self, note: Note) {
            if note.kind != "salvage_end" {
                self.0.push(note.text);
            }
        }
    }
    let [small, large] = [500 << 10, 2 << 20].map(|bytes| vec![b' '; bytes]);
    let without_end = |content: &[u8]| {
        let archive = zip(&[member(b"a", 8, content), member(b"b", 0, OTHER)], b"");
        let directory = memchr::memmem::find(&archive, b"PK\x01\x02").unwrap();
        archive[..directory].to_vec()
    };
    let trailing = |content: &[u8]| [gzip(content), b"more".to_vec()].concat();
    let note = "4 bytes that are not gzip follow the last gzip member";
    // What is longer than the visitor admits is not read to its end; where the next member begins is found all the same.
    let cases: [(Vec<u8>, &[&str]); 4] = [
        (without_end(&small), &["a", "b"]),
        (without_end(&large), &["a", "b"]),
        (trailing(&small), &["a", note]),
        (trailing(&large), &["a"]),
    ];
    for (archive, expected) in cases {
        for large_bytes in [0, u64::MAX] {
            let cores = Arc::new(FreeCores::new(1));
            let mut buffers = Buffers::new(Budget { bytes: 0, large_bytes, part_bytes: 0 }, cores);
            let mut told = Uninterested::default();
            let Ok(_) = visit(Source::Memory(&archive), ("a.gz", 9), &mut buffers, true, &mut told);
            assert_eq!(told.0, expected, "{large_bytes}");
        }
    }
}

/// Of which half cannot be made shorter.
fn text_of_noise(lines: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0..lines {
        let [noise, more] = [number, !number].map(|seed| {
            let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
        });
        writeln!(text, "{{\"number\":{number:8},\"noise\":\"{noise:016x}{more:016x}\"}}").unwrap();
    }
    text
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
    let behind: [(&str, Vec<u8>, &str); 8] = [
        ("first byte changed", changed(0), "byte 0 of them"),
        ("second byte changed", changed(1), "byte 0 of them"),
        ("behind zeros", [&[0; 512], other.as_slice()].concat(), "byte 512 of them"),
        ("behind a line feed", [b"\n", other.as_slice()].concat(), "byte 1 of them"),
        ("behind a byte of it", [b"\x1e", other.as_slice()].concat(), "byte 1 of them"),
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

/// The stream that would tell what is wrong with it is not opened where nothing is.
#[test]
fn a_member_in_parts_is_read_once() {
    let text = text_of_noise(250_000);
    let long = Member { method: 8, data: deflated(&text, 3), ..member(b"a", 0, &text) };
    let in_gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], long.data.as_slice(), &long.crc.to_le_bytes()].concat();
    let in_gzip = [in_gzip.as_slice(), &long.bytes.to_le_bytes()].concat();
    let archives =
        [(zip(&[long, member(b"b", 8, RECORD)], b""), vec![text.as_slice(), RECORD]), (in_gzip, vec![&text])];
    for (archive, contents) in archives {
        is_read_once(&archive, &contents);
    }
}

fn is_read_once(archive: &[u8], contents: &[&[u8]]) {
    let path = std::env::temp_dir().join(format!("keytrail-in-parts-{}", std::process::id()));
    std::fs::write(&path, archive).unwrap();
    let read = AtomicU64::new(0);
    let observer = |progress| {
        if let Progress::Read { bytes } = progress {
            read.fetch_add(bytes, Ordering::Relaxed);
        }
    };
    // In turn, and by a second thread, for which there has to be room.
    for (budget_bytes, cores) in [(1 << 20, 0), (16 << 20, 1)] {
        // All that is read of an archive as long as this is told, but for the last 4 MiB.
        let progress = ArchiveProgress::new(&observer, u64::MAX);
        let budget = Budget { bytes: budget_bytes, large_bytes: 1 << 20, part_bytes: 1 << 20 };
        let mut buffers = Buffers::new(budget, Arc::new(FreeCores::new(cores)));
        let mut told = Told::default();
        let file = ArchiveFile::new(&path, &progress);
        let Ok(_) = visit(Source::File(&file), ("a.zip", archive.len() as u64), &mut buffers, false, &mut told);
        let found = told.members.iter().map(|(_, content)| content.as_slice());
        assert!(found.eq(contents.iter().copied()) && told.damage.is_empty(), "{cores}: {:?}", told.damage);
        let (read, bytes) = (read.swap(0, Ordering::Relaxed), archive.len() as u64);
        assert!(bytes > 4 << 20 && read < bytes + bytes / 2, "{cores}: {read} of {bytes} bytes");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn salvage_steps_over_folders_and_takes_those_with_content_as_members() {
    let with_descriptor = |method: u16| {
        let plain = member(b"d/", method, b"");
        let lengths = [0, u32::try_from(plain.data.len()).unwrap(), 0].map(u32::to_le_bytes).concat();
        let local = Some((plain.name.clone(), method, 0, 0, 0));
        Member { flags: 8, descriptor: [b"PK\x07\x08", lengths.as_slice()].concat(), local, ..plain }
    };
    let bare = Member { data: vec![], ..member(b"d/", 8, b"") };
    let folders = [member(b"d/", 0, b""), member(b"d/", 8, b""), bare, with_descriptor(0), with_descriptor(8)];
    let full = [0, 8].map(|method| member(b"d/", method, RECORD));
    let unsized_one = Member { bytes: 0, ..member(b"d/", 8, RECORD) };
    for (folder, is_empty) in folders
        .into_iter()
        .map(|folder| (folder, true))
        .chain(full.into_iter().chain([unsized_one]).map(|folder| (folder, false)))
    {
        let archive = zip(&[folder, member(b"b", 0, OTHER)], b"");
        let directory = memchr::memmem::find(&archive, b"PK\x01\x02").unwrap();
        let told = told(&archive[..directory], true);
        let found: Vec<_> = told.members.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        let members = [("d/", RECORD), ("b", OTHER)];
        assert_eq!(found, if is_empty { &members[1..] } else { &members[..] }, "{told:?}");
    }
}

/// A local header of a stored member whose lengths are in the extra field of ZIP64, and its data.
fn with_lengths_64(content: &[u8]) -> Vec<u8> {
    let (crc, length) = (libdeflater::crc32(content).to_le_bytes(), (content.len() as u64).to_le_bytes());
    let extra = [[9, 9, 2, 0, 7, 7, 1, 0, 16, 0].as_slice(), &length, &length].concat();
    let fields = [b"PK\x03\x04\x2d\0\0\0\0\0\0\0\x21\0".as_slice(), &crc, &[0xff; 8], &[1, 0, 26, 0]].concat();
    [fields.as_slice(), b"l", &extra, content].concat()
}

/// Whatever is wrong with a member, those behind it are found; and no content is taken twice.
#[test]
fn salvage_goes_on_behind_what_cannot_be_read() {
    let [a, b] = [b"a", b"b"].map(|name| member(name, 8, RECORD));
    let c = member(b"c", 0, OTHER);
    let cut = |members: &[Member]| {
        let archive = zip(members, b"");
        archive[..memchr::memmem::find(&archive, b"PK\x01\x02").unwrap()].to_vec()
    };
    let with_descriptor = |plain: Member, signature: &[u8], wide: bool| {
        let [data_bytes, bytes] = [u32::try_from(plain.data.len()).unwrap(), plain.bytes].map(|length| {
            let length = u64::from(length).to_le_bytes();
            length[..if wide { 8 } else { 4 }].to_vec()
        });
        let descriptor = [signature, &plain.crc.to_le_bytes(), &data_bytes, &bytes].concat();
        let local = Some((plain.name.clone(), plain.method, 0, 0, 0));
        Member { flags: 8, descriptor, local, ..plain }
    };
    let damaged = Member { data: [&a.data[..9], &[0xff; 20], &a.data[29..]].concat(), ..a.clone() };
    let headers = b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\n\r\n";
    let broken = Member { bytes: u32::MAX, extra: vec![1, 0, 2, 0, 0, 0], ..b.clone() };
    let [zip_a, zip_c] = [&a, &c].map(|member| zip(std::slice::from_ref(member), b""));
    let slack = [a.data.as_slice(), &unnamed(c.clone())].concat();
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        // Name, archive, members that are found, what is told of the others.
        ("a descriptor", cut(&[with_descriptor(a.clone(), b"PK\x07\x08", false), c.clone()]), "a c", ""),
        ("a descriptor without signature", cut(&[with_descriptor(a.clone(), b"", false), c.clone()]), "a c", ""),
        ("a descriptor of ZIP64", cut(&[with_descriptor(a.clone(), b"PK\x07\x08", true), c.clone()]), "a c", ""),
        ("encrypted", cut(&[Member { flags: 1, ..a.clone() }, c.clone()]), "c", "a: encrypted"),
        ("another method", cut(&[Member { method: 12, ..a.clone() }, c.clone()]), "c", "a: compressed by method 12"),
        ("damaged", cut(&[damaged, c.clone()]), "a c", "a: "),
        ("a wrong CRC", cut(&[Member { crc: 7, ..a.clone() }, c.clone()]), "a c", "a: CRC-32: expected 00000007"),
        (
            "stored, with a descriptor",
            cut(&[with_descriptor(member(b"s", 0, RECORD), b"PK\x07\x08", false), c.clone()]),
            "c",
            "s: stored, and its length stands behind its data",
        ),
        ("stored, with lengths of ZIP64", [with_lengths_64(RECORD), unnamed(c.clone())].concat(), "l c", ""),
        ("declared too short", zip(&[Member { bytes: 56, ..a.clone() }], b""), "a", "a: expected 56 bytes, found more"),
        ("two ZIPs joined", [zip_c.as_slice(), &zip_a].concat(), "a c", "the directory names no member at byte 0"),
        ("a ZIP joined to itself", zip_a.repeat(2), "a", "the directory names no member at byte 0"),
        ("a cut ZIP behind HTTP headers", [headers, cut(&[a.clone(), c.clone()]).as_slice()].concat(), "a c", ""),
        ("an entry that cannot be read", zip(&[broken, c.clone()], b""), "b c", "entry 0 of 2"),
        ("behind the data of another", zip(&[Member { data: slack, ..a }], b""), "a c", "names no member"),
    ];
    for (case, archive, names, expected) in cases {
        let told = told(&archive, true);
        let found: Vec<&str> = told.members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found.join(" "), names, "{case}: {told:?}");
        assert!(told.damage.iter().any(|damage| damage.contains(expected)), "{case}: {told:?}");
        let says_how_far = told.notes.iter().any(|note| note.contains("found by their local headers"));
        assert!(says_how_far || case == "declared too short", "{case}: {told:?}");
        for (name, content) in &told.members {
            let is_damaged = told.damage.iter().any(|damage| damage.starts_with(&format!("{name}: ")));
            let whole = if name == "c" { OTHER } else { RECORD };
            assert!(
                if is_damaged { whole.starts_with(content) || name == "a" } else { content == whole },
                "{case}: {told:?}"
            );
        }
    }
}

#[test]
fn told_apart_by_content() {
    let cases: [(&[u8], Container); 6] = [
        (b"PK\x03\x04rest", Container::Zip),
        (b"PK\x05\x06", Container::Zip),
        (b"\x1f\x8b\x08\x00", Container::Gzip),
        (b"PK\x01\x02", Container::Plain),
        (b"[{\"", Container::Plain),
        (b"", Container::Plain),
    ];
    for (bytes, container) in cases {
        assert_eq!(Container::of(bytes), container, "{bytes:?}");
    }
}
