//! Archives that are read from their file, with too little memory to hold them: an error of the system at any read says nothing about the
//! archive, whatever was being read, and what was made of the error.

use super::{long, side_by_side};
use crate::support::{Bench, Ran};

/// So little memory that no archive here is held, and one thread, so that reads come in one order.
const OPTIONS: [&str; 4] = ["--memory", "1M", "--jobs", "1"];

struct Case {
    name: &'static str,
    archive: Vec<u8>,
    salvage: bool,
}

impl Case {
    fn bench(&self) -> Bench {
        let bench = Bench::new();
        bench.write("archive", &self.archive);
        bench
    }

    fn ingest(&self, bench: &Bench, variable: Option<(&str, String)>) -> Ran {
        let salvage = if self.salvage { &["--salvage"][..] } else { &[] };
        let mut command = bench.command();
        command.arg("ingest").arg("archive").args(OPTIONS).args(salvage).envs(variable);
        Ran::of(command.output().unwrap())
    }
}

/// The archive's row in the ledger, where it has one, and of its rows what tells two outcomes apart.
fn outcome(bench: &Bench) -> Vec<String> {
    let ledger = bench.rows("SELECT status, members, read, stored, duplicates, rejected FROM archives");
    let rows = bench
        .rows("SELECT month, count(*), sum(ordinal), min(time), max(time) FROM events GROUP BY month ORDER BY month");
    [ledger, rows].concat()
}

fn generated(container: &str, records: &str, seed: &str) -> Vec<u8> {
    let bench = Bench::new();
    let options = ["--archives", "1", "--days", "3", "--records", records, "--container", container, "--seed", seed];
    let ran = bench.keytrail(&[&["generate", "made"][..], &options].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let [archive] = std::fs::read_dir(bench.path("made/archives")).unwrap().collect::<Vec<_>>().try_into().unwrap();
    std::fs::read(archive.unwrap().path()).unwrap()
}

/// With a directory that names its member twice.
fn named_twice(zip: &[u8]) -> Vec<u8> {
    let end = zip.len() - 22;
    let word = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap());
    assert_eq!(&zip[end..end + 4], b"PK\x05\x06", "no comment behind it");
    let (directory_bytes, start) = (word(end + 12), word(end + 16));
    let directory = &zip[start as usize..(start + directory_bytes) as usize];
    let counts = [2_u16, 2].map(u16::to_le_bytes).concat();
    let place = [2 * directory_bytes, start].map(u32::to_le_bytes).concat();
    [&zip[..start as usize], directory, directory, &zip[end..end + 8], &counts, &place, &zip[end + 20..]].concat()
}

fn cases() -> Vec<Case> {
    let (zip, other) = (generated("zip", "12000", "1"), generated("zip", "12000", "2"));
    let case = |name, archive, salvage| Case { name, archive, salvage };
    vec![
        case("gzip", generated("gzip_lines", "12000", "1"), false),
        case("plain", generated("plain_lines", "1500", "1"), false),
        case("one member named twice", named_twice(&zip), false),
        case("two ZIPs joined", [zip.as_slice(), &other].concat(), false),
        case("bytes in front", [b"HTTP/1.1 200 OK\r\n\r\n", zip.as_slice()].concat(), false),
        case("cut, salvaged", zip[..zip.len() * 4 / 5].to_vec(), true),
        case("ZIP", zip, false),
    ]
}

#[test]
fn an_error_of_the_system_at_any_read_of_an_archive_is_not_held_against_it() {
    let cases = cases();
    let mut faults = Vec::new();
    for case in &cases {
        let bench = case.bench();
        let trace = bench.path("trace");
        let ran = case.ingest(&bench, Some(("KEYTRAIL_FAIL_TRACE", trace.display().to_string())));
        assert!([0, 3].contains(&ran.code), "{}: {}", case.name, ran.stderr);
        let reads = std::fs::read_to_string(&trace).unwrap().lines().filter(|line| *line == "archive-reading").count();
        assert!(reads > 8, "{}: {reads} reads", case.name);
        let step = if long() { 1 } else { reads / 8 };
        let expected = std::sync::Arc::new((ran.code, outcome(&bench)));
        faults.extend((0..reads).step_by(step).map(|read| (case, reads - read, expected.clone())));
    }
    side_by_side(&faults, |(case, read, expected)| {
        let what = format!("{}, read {read}", case.name);
        let bench = case.bench();
        let ran = case.ingest(&bench, Some(("KEYTRAIL_FAIL_AT", format!("archive-reading#{read}:error"))));
        assert_eq!(ran.code, 3, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains("cannot be read: Input/output error"), "{what}: {}", ran.stderr);
        assert_eq!(outcome(&bench), [""; 0], "{what}: {}", ran.stderr);
        let again = case.ingest(&bench, None);
        assert_eq!((again.code, outcome(&bench)), **expected, "{what}: {}", again.stderr);
    });
}
