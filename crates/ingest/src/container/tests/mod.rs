//! Hostile and damaged containers: what is told of them, and that what is taken is what was put in.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use keytrail_model::ledger::Note;

mod gzip;
mod salvage;
mod ways;
mod zip;

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

/// A local header and what follows it up to the directory: a member that no directory names.
fn unnamed(member: Member) -> Vec<u8> {
    let archive = zip(&[member], b"");
    archive[..memchr::memmem::find(&archive, b"PK\x01\x02").unwrap()].to_vec()
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
