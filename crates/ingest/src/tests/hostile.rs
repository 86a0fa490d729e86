//! Archives made to do harm: what each limit refuses, that it refuses no less and no more, and what is left of the rest.

use std::path::Path;

use crate::tests::ways::{DEFLATED, assert_same, gzip, json, zip};
use crate::{IngestOptions, Limits};

/// Reads an archive in all ways: records accepted, rejects, and what is told.
fn read(archive: &[u8], limits: &Limits, salvage: bool) -> (u64, u64, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    std::fs::write(&path, archive).unwrap();
    let options = IngestOptions { limits: limits.clone(), salvage, ..IngestOptions::default() };
    let mut found = assert_same(&path, &options);
    let decoded = found.decoded.remove(0);
    assert_eq!(decoded.read, decoded.accepted + decoded.rejected(), "{:?}", decoded.faults);
    (decoded.accepted, decoded.rejected(), decoded.faults.told.into_iter().map(|fault| fault.text).collect())
}

fn member(name: &str, content: impl Into<Vec<u8>>) -> (&str, zip::CompressionMethod, Vec<u8>) {
    (name, DEFLATED, content.into())
}

/// A record for each of so many months, in turn from the newest to the oldest.
fn months(count: usize) -> String {
    let record = |n: usize| format!(r#"{{"time":"{:04}-{:02}-05 08:00:01 UTC"}}"#, 2026 - n / 12, 12 - n % 12);
    (0..count).map(|n| record(n) + "\n").collect()
}

#[test]
fn each_limit_is_reached_but_not_passed() {
    let list = json(100);
    let bytes = list.len() as u64;
    let three = zip(&[member("a", list.clone()), member("b", list.clone()), member("c", list.clone())]);
    let rejects = "{}\n".repeat(50) + &months(2);
    let limits = Limits::default;
    let deep = |levels: usize| {
        format!(r#"[{{"time":"2026-01-05 08:00:01 UTC","x":{}{}}}]"#, "[".repeat(levels - 1), "]".repeat(levels - 1))
    };
    let gzips = |count: usize| gzip(months(1).as_bytes()).repeat(count);
    type Case = (&'static str, Vec<u8>, Limits, (u64, u64), &'static str, (u64, u64));
    let cases: Vec<Case> = vec![
        // Limit, archive, accepted and rejected, what is told, the same with salvage.
        ("archive", three.clone(), Limits { max_archive_bytes: 3 * bytes, ..limits() }, (300, 0), "", (300, 0)),
        (
            "archive",
            three.clone(),
            Limits { max_archive_bytes: 3 * bytes - 1, ..limits() },
            (200, 0),
            "bytes of JSON, the limit for an archive",
            (200, 0),
        ),
        ("members", three.clone(), Limits { max_members: 3, ..limits() }, (300, 0), "", (300, 0)),
        (
            "members",
            three,
            Limits { max_members: 2, ..limits() },
            (0, 0),
            "expected at most 2 members, found 3",
            (0, 0),
        ),
        ("gzip members", gzips(5), Limits { max_members: 5, ..limits() }, (5, 0), "", (5, 0)),
        ("gzip members", gzips(5), Limits { max_members: 4, ..limits() }, (0, 0), "more than 4 gzip members", (4, 0)),
        ("months", months(24).into(), Limits { max_months: 24, ..limits() }, (24, 0), "", (24, 0)),
        // Not even by salvage: the months would be files of the store.
        ("months", months(25).into(), Limits { max_months: 24, ..limits() }, (0, 0), "of more than 24 months", (0, 0)),
        (
            "months of all members",
            zip(&[member("a", months(20)), member("b", months(24)), member("c", months(25)), member("d", months(3))]),
            Limits { max_months: 24, ..limits() },
            (47, 0),
            "member \"c\": records of more than 24 months, the limit for an archive",
            (47, 0),
        ),
        ("rejects", rejects.clone().into(), limits(), (2, 50), "", (2, 50)),
        (
            "rejects",
            rejects.into(),
            Limits { max_rejects_bytes: 5000, ..limits() },
            (0, 0),
            "rejects of more than 5000 bytes, the limit for an archive",
            (2, 50),
        ),
        ("depth", deep(6).into(), Limits { max_depth: 6, ..limits() }, (1, 0), "", (1, 0)),
        ("depth", deep(7).into(), Limits { max_depth: 6, ..limits() }, (0, 1), "expected at most 6 levels", (0, 1)),
    ];
    for (name, archive, limits, counts, told, salvaged) in cases {
        for (salvage, expected) in [(false, counts), (true, salvaged)] {
            let (accepted, rejected, faults) = read(&archive, &limits, salvage);
            assert_eq!((accepted, rejected), expected, "{name} {salvage}: {faults:?}");
            assert_eq!(faults.is_empty(), told.is_empty(), "{name} {salvage}: {faults:?}");
            assert!(told.is_empty() || faults[0].contains(told), "{name} {salvage}: {faults:?}");
        }
    }
}

#[test]
fn what_is_told_of_an_archive_is_bounded_and_counted() {
    let names: Vec<String> = (0..Limits::TOLD + 25).map(|n| format!("{n:05}")).collect();
    let empty: Vec<_> = names.iter().map(|name| member(name, "")).collect();
    let (_, _, faults) = read(&zip(&empty), &Limits::default(), false);
    assert_eq!(faults.len(), Limits::TOLD + 1);
    assert_eq!(faults.last().unwrap(), "and 25 more faults");

    let long = "n".repeat(60_000);
    let (_, _, faults) = read(&zip(&[member(&long, "")]), &Limits::default(), false);
    assert_eq!(faults, [format!("member \"{}\"... (60000 bytes): expected records, found no text", &long[..200])]);
    // Names stay in memory until the run ends: of those that are too long in all nothing is taken.
    let many: Vec<String> = (0..300).map(|n| format!("{n:05}{long}")).collect();
    let records: Vec<_> = many.iter().map(|name| member(name, months(1))).collect();
    let (accepted, _, faults) = read(&zip(&records), &Limits::default(), false);
    let held = Limits::NAMES_BYTES / 60_005;
    assert_eq!((accepted, faults.len() as u64), (held, 300 - held));
    assert!(faults[0].ends_with("names of members: expected at most 16777216 bytes in all"), "{}", faults[0]);
}

/// A member that gives nothing must not fill the disk meanwhile.
#[test]
fn what_a_refused_member_staged_is_taken_back() {
    let staged = |content: &[u8], limits: Limits| {
        let folder = tempfile::tempdir().unwrap();
        let (path, staging) = (folder.path().join("archive"), folder.path().join("staging"));
        std::fs::write(&path, zip(&[member("good", months(3)), member("bad", content)])).unwrap();
        std::fs::create_dir(&staging).unwrap();
        // So little memory that nothing is staged there.
        let options = IngestOptions { limits, memory_bytes: 128 << 20, ..IngestOptions::default() };
        let decoded = crate::tests::ways::decode_into(&staging, &path, &options);
        assert_eq!(decoded.decoded[0].accepted, 3, "{:?}", decoded.decoded[0].faults);
        bytes_in(&staging)
    };
    let good = staged(b"", Limits::default());
    assert!(good > 0);
    let limits = Limits { max_rejects_bytes: 3 << 20, ..Limits::default() };
    assert_eq!(staged("{}\n".repeat(100_000).as_bytes(), limits), good, "rejects");
    let limits = Limits { max_months: 24, ..Limits::default() };
    assert_eq!(staged(months(3000).repeat(20).as_bytes(), limits), good, "months");
    let limits = Limits { max_member_bytes: 3 << 20, ..Limits::default() };
    assert_eq!(staged(&json(90_000), limits), good, "records");
}

fn bytes_in(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}
