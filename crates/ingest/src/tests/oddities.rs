//! What is said about bytes that belong to nothing: a table of made archives and the notes about them. The records are stored all the same.

use keytrail_model::ledger::Note;
use sha2::{Digest, Sha256};
use zip::CompressionMethod;

use super::ways::{decode, gzip, zip, zip_with_descriptor};
use crate::IngestOptions;
use crate::container::Budget;

const LIST: &[u8] = br#"[{"time":"2026-01-31 10:00:00 UTC"},{"time":"2026-01-31 10:00:01 UTC"}]"#;
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";

fn one() -> Vec<u8> {
    zip(&[("a.json", CompressionMethod::Deflated, LIST.to_vec())])
}

fn find(bytes: &[u8], signature: &[u8]) -> usize {
    memchr::memmem::find(bytes, signature).unwrap()
}

/// Adds to a number of 4 bytes.
fn add(bytes: &mut [u8], at: usize, count: usize) {
    let number = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) + u32::try_from(count).unwrap();
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// A ZIP with bytes in front of its directory, which it counts.
fn with_gap(mut zip: Vec<u8>, gap: &[u8]) -> Vec<u8> {
    let (directory, end) = (find(&zip, ENTRY), find(&zip, END));
    add(&mut zip, end + 16, gap.len());
    [&zip[..directory], gap, &zip[directory..]].concat()
}

/// Two members with bytes between them.
fn with_bytes_between(gap: &[u8]) -> Vec<u8> {
    let mut two = zip(&[
        ("a.json", CompressionMethod::Deflated, LIST.to_vec()),
        ("b.json", CompressionMethod::Stored, b"[]".to_vec()),
    ]);
    let second = 1 + find(&two[1..], b"PK\x03\x04");
    let entry = find(&two, ENTRY) + 1;
    let (entry, end) = (entry + find(&two[entry..], ENTRY), find(&two, END));
    add(&mut two, entry + 42, gap.len());
    add(&mut two, end + 16, gap.len());
    [&two[..second], gap, &two[second..]].concat()
}

/// A ZIP with a comment.
fn with_comment(mut zip: Vec<u8>, comment: &[u8]) -> Vec<u8> {
    let length = zip.len();
    zip[length - 2..].copy_from_slice(&u16::try_from(comment.len()).unwrap().to_le_bytes());
    [zip, comment.to_vec()].concat()
}

/// The directory a second time, behind the first one and its end record.
fn with_second_directory() -> Vec<u8> {
    let first = one();
    let mut second = first[find(&first, ENTRY)..].to_vec();
    let end = find(&second, END);
    second[end + 16..end + 20].copy_from_slice(&u32::try_from(first.len()).unwrap().to_le_bytes());
    [first, second].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_that_belong_to_nothing_are_told_with_place_length_and_hash() {
    let (length, directory) = (one().len(), find(&one(), ENTRY));
    let headers = b"HTTP/1.1 200 OK\r\n\r\n";
    let joined = |parts: &[&[u8]]| parts.concat();
    let descriptor = zip_with_descriptor(LIST);
    let descriptor_end = find(&descriptor, ENTRY);
    let packed = gzip(LIST);
    let with_b = with_bytes_between(b"");
    let second = 1 + find(&with_b[1..], b"PK\x03\x04");
    // Name, bytes, notes: kind, offset, bytes.
    type Case = (&'static str, Vec<u8>, Vec<(&'static str, usize, usize)>);
    let cases: Vec<Case> = vec![
        ("nothing", one(), vec![]),
        ("plain", LIST.to_vec(), vec![]),
        ("descriptor", descriptor.clone(), vec![]),
        ("two members", with_b, vec![]),
        ("comment", with_comment(one(), b"made by hand"), vec![("zip_comment", length, 12)]),
        ("bytes after", joined(&[&one(), b"x"]), vec![("bytes_after", length, 1)]),
        ("zeros after", joined(&[&one(), &[0; 512]]), vec![("padding", length, 512)]),
        (
            "comment and bytes after",
            joined(&[&with_comment(one(), b"c"), b"xy"]),
            vec![("zip_comment", length, 1), ("bytes_after", length + 1, 2)],
        ),
        ("bytes before", joined(&[headers, &one()]), vec![("bytes_before", 0, headers.len())]),
        (
            "bytes before, counted by the directory, and after",
            joined(&[headers, &one(), b"after"]),
            vec![("bytes_before", 0, headers.len()), ("bytes_after", headers.len() + length, 5)],
        ),
        ("bytes between", with_bytes_between(b"secret"), vec![("bytes_between", second, 6)]),
        ("zeros between", with_bytes_between(&[0; 7]), vec![("padding", second, 7)]),
        ("bytes before the directory", with_gap(one(), b"gap"), vec![("bytes_between", directory, 3)]),
        ("bytes behind a descriptor", with_gap(descriptor, b"four"), vec![("bytes_between", descriptor_end, 4)]),
        ("a second directory", with_second_directory(), vec![("second_directory", directory, length - directory)]),
        ("gzip", packed.clone(), vec![]),
        ("gzip, two members", joined(&[&gzip(b"["), &gzip(&LIST[1..])]), vec![]),
        ("gzip and bytes", joined(&[&packed, b"not gzip"]), vec![("bytes_after", packed.len(), 8)]),
        ("gzip and zeros", joined(&[&packed, &[0; 100]]), vec![("padding", packed.len(), 100)]),
        ("gzip and a zero", joined(&[&packed, &[0]]), vec![("padding", packed.len(), 1)]),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, expected) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let budget = Budget { bytes: 1 << 20, large_bytes: u64::MAX, part_bytes: 0 };
        let found = decode(vec![path], 1, budget, &IngestOptions::default(), &|_| ());
        let archive = &found.decoded[0];
        let told: Vec<_> = archive.notes.told.iter().map(place).collect();
        let expected: Vec<_> = expected.iter().map(|(kind, at, bytes)| ((*kind).to_owned(), *at, *bytes)).collect();
        assert_eq!((told, archive.accepted, archive.faults.told.len()), (expected, 2, 0), "{name}: {archive:?}");
        for note in &archive.notes.told {
            let (_, offset, length) = place(note);
            let stretch = &bytes[offset..offset + length];
            assert_eq!(note.sha256.as_deref(), Some(hex(&Sha256::digest(stretch)).as_str()), "{name}");
            assert_eq!(note.first_bytes.as_deref(), Some(hex(&stretch[..length.min(32)]).as_str()), "{name}");
        }
    }
}

fn place(note: &Note) -> (String, usize, usize) {
    let number = |number: Option<u64>| usize::try_from(number.unwrap()).unwrap();
    (note.kind.clone(), number(note.offset), number(note.bytes))
}

#[test]
fn members_that_the_directory_does_not_name_are_faults_wherever_they_hide() {
    let hidden = &one()[..find(&one(), ENTRY)];
    for (name, bytes) in [
        ("in front", [hidden, &one()].concat()),
        ("between", with_bytes_between(hidden)),
        ("between, behind other bytes", with_bytes_between(&[b"xx", hidden].concat())),
        ("behind a descriptor", with_gap(zip_with_descriptor(LIST), hidden)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        std::fs::write(&path, &bytes).unwrap();
        let budget = Budget { bytes: 1 << 20, large_bytes: u64::MAX, part_bytes: 0 };
        let found = decode(vec![path], 1, budget, &IngestOptions::default(), &|_| ());
        let kinds: Vec<&str> = found.decoded[0].faults.told.iter().map(|fault| fault.kind.as_str()).collect();
        assert_eq!((kinds, found.decoded[0].accepted), (vec!["unnamed_member"], 2), "{name}");
    }
}
