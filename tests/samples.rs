//! Every archive of `data-samples/`, alone in a fresh store: what is read, stored, duplicate and rejected, and what is said.

use crate::support::{Bench, counts, sample};

/// name, exit code, [new, known, failed, read, stored, duplicates, rejected], what stderr must say.
type Case = (&'static str, i32, [u64; 7], &'static [&'static str]);

const GOOD: &[Case] = &[
    ("announcement.json", 0, [1, 0, 0, 1, 1, 0, 0], &[]),
    ("small-service-2026-01.zip", 0, [1, 0, 0, 376, 376, 0, 0], &[]),
    ("small-service-2026-01-lines.gz", 0, [1, 0, 0, 376, 376, 0, 0], &[]),
    ("ciphertrust-mixed.zip", 0, [1, 0, 0, 5, 5, 0, 0], &[]),
    ("time-precisions.json", 0, [1, 0, 0, 7, 7, 0, 0], &[]),
    ("meta-forms.json", 0, [1, 0, 0, 10, 10, 0, 0], &[]),
    ("odd-but-legal.ndjson", 0, [1, 0, 0, 5, 5, 0, 0], &[]),
    ("two-members.zip", 0, [1, 0, 0, 5, 5, 0, 0], &[]),
    ("folders-and-macosx.zip", 0, [1, 0, 0, 2, 2, 0, 0], &[]),
    ("same-name-members.zip", 0, [1, 0, 0, 5, 5, 0, 0], &[]),
    ("stored.zip", 0, [1, 0, 0, 2, 2, 0, 0], &[]),
    ("data-descriptor.zip", 0, [1, 0, 0, 2, 2, 0, 0], &[]),
    ("zip64.zip", 0, [1, 0, 0, 2, 2, 0, 0], &[]),
    ("gzip-members.gz", 0, [1, 0, 0, 5, 5, 0, 0], &[]),
    ("empty-list.json", 0, [1, 0, 0, 0, 0, 0, 0], &[]),
    ("no-members.zip", 0, [1, 0, 0, 0, 0, 0, 0], &[]),
    ("overlap-a.zip", 0, [1, 0, 0, 4, 4, 0, 0], &[]),
    ("overlap-b.zip", 0, [1, 0, 0, 5, 5, 0, 0], &[]),
];

const BAD: &[Case] = &[
    ("truncated.zip", 3, [0, 0, 1, 0, 0, 0, 0], &["truncated.zip: failed", "no readable ZIP directory"]),
    (
        "bad-crc.zip",
        3,
        [0, 0, 1, 0, 0, 0, 0],
        &["bad-crc.zip: failed: member \"a.json\"", "CRC-32: expected deadbeef, found "],
    ),
    ("encrypted.zip", 3, [0, 0, 1, 0, 0, 0, 0], &["encrypted.zip: failed: member \"a.json\": encrypted"]),
    ("one-bad-member.zip", 3, [0, 0, 1, 3, 3, 0, 0], &["failed: member \"bad.json\"", "CRC-32", "stored 3"]),
    ("two-zips-joined.zip", 3, [0, 0, 1, 2, 2, 0, 0], &["the directory names no member at byte 0"]),
    ("count-too-low.zip", 3, [0, 0, 1, 3, 3, 0, 0], &["the directory has more entries than its end record says"]),
    ("member-not-in-directory.zip", 3, [0, 0, 1, 2, 2, 0, 0], &["the directory names no member at byte 0"]),
    ("member-behind-data.zip", 3, [0, 0, 1, 3, 3, 0, 0], &["the directory names no member at byte"]),
    ("second-zip-cut.zip", 3, [0, 0, 1, 3, 3, 0, 0], &["the directory names no member at byte"]),
    ("broken-entry.zip", 3, [0, 0, 1, 0, 0, 0, 0], &["ZIP directory, entry 0 of 2", "not read, 2 in all"]),
    ("member-named-twice.zip", 3, [0, 0, 1, 3, 3, 0, 0], &["shares its bytes with another member"]),
    ("bytes-after-end.zip", 0, [1, 0, 0, 3, 3, 0, 0], &["note: 100 bytes follow the end of the ZIP"]),
    ("headers-before.zip", 0, [1, 0, 0, 3, 3, 0, 0], &["note: 50 bytes before the first member"]),
    (
        "second-directory.zip",
        0,
        [1, 0, 0, 3, 3, 0, 0],
        &["note: a second directory at byte", "note: 10 bytes follow the end of the ZIP"],
    ),
    ("zip-comment.zip", 0, [1, 0, 0, 2, 2, 0, 0], &["note: a ZIP comment of 12 bytes"]),
    (
        "bzip2-member.zip",
        3,
        [0, 0, 1, 0, 0, 0, 0],
        &["member \"a.json\": compressed by method 12", "expected stored or deflated"],
    ),
    ("truncated.gz", 3, [0, 0, 1, 0, 0, 0, 0], &["truncated.gz: failed", "cut"]),
    ("zeros-after.gz", 0, [1, 0, 0, 3, 3, 0, 0], &["note: 512 zero bytes that are not gzip follow"]),
    ("trailing-bytes.gz", 0, [1, 0, 0, 3, 3, 0, 0], &["trailing-bytes.gz: note: 8 bytes that are not gzip follow"]),
    (
        "broken-in-the-middle.json",
        3,
        [1, 0, 0, 5, 4, 0, 1],
        &["rejects: member \"broken-in-the-middle.json\", record 2, byte 851"],
    ),
    ("trailing-comma.json", 3, [1, 0, 0, 4, 3, 0, 1], &["record 3, byte 1275"]),
    ("cut-list.json", 3, [1, 0, 0, 3, 2, 0, 1], &["record 2"]),
    ("broken-lines.ndjson", 3, [1, 0, 0, 8, 4, 0, 4], &["record 1"]),
    ("no-usable-time.json", 3, [1, 0, 0, 6, 2, 0, 4], &["record 1", "yesterday"]),
    ("not-objects.json", 3, [1, 0, 0, 5, 1, 0, 4], &["record 0, byte 1"]),
    ("html-error-page.zip", 3, [0, 0, 1, 0, 0, 0, 0], &["html-error-page.zip: failed: member \"html-error-page.zip\""]),
    (
        "json-error-body.json",
        3,
        [0, 0, 1, 1, 0, 0, 1],
        &["failed: member \"json-error-body.json\": holds no usable record"],
    ),
    ("empty.json", 3, [0, 0, 1, 0, 0, 0, 0], &["empty.json: failed"]),
    ("blank.json", 3, [0, 0, 1, 0, 0, 0, 0], &["blank.json: failed"]),
];

/// The folder of archives with side files; these are no archives of their own.
const COVERAGE: &[Case] = &[
    ("two-weeks.zip", 0, [1, 0, 0, 5, 5, 0, 0], &[]),
    ("one-service.gz", 0, [1, 0, 0, 2, 2, 0, 0], &[]),
    ("next-day.json", 0, [1, 0, 0, 1, 1, 0, 0], &[]),
    ("quiet-day.json", 0, [1, 0, 0, 0, 0, 0, 0], &[]),
    ("only-logins.json", 0, [1, 0, 0, 1, 1, 0, 0], &[]),
    (
        "shifted-window.json",
        0,
        [1, 0, 0, 1, 1, 0, 0],
        &["note: request side file: expected records from 2026-05-26 10:00:00 UTC"],
    ),
    (
        "broken-request.json",
        0,
        [1, 0, 0, 1, 1, 0, 0],
        &["note: request side file: expected a JSON object, found none: EOF"],
    ),
    ("no-request.json", 0, [1, 0, 0, 4, 4, 0, 0], &[]),
];

fn check(folder: &str, cases: &[Case]) {
    for (name, code, expected, words) in cases {
        let bench = Bench::new();
        let (found_code, summary, stderr) = bench.ingest(&[&sample(&format!("{folder}/{name}"))], &[]);
        assert_eq!((found_code, counts(&summary)), (*code, *expected), "{name}: {stderr}");
        for word in *words {
            assert!(stderr.contains(word), "{name}: expected {word:?} in {stderr}");
        }
        assert_eq!(words.is_empty(), stderr.is_empty(), "{name}: {stderr}");
        let [_, _, _, read, stored, duplicates, rejected] = *expected;
        let kept = format!("{stored},{rejected},{read},{stored},{duplicates},{rejected}");
        let query = "SELECT (SELECT count(*) FROM events) AS e, (SELECT count(*) FROM rejects) AS r, sum(read), sum(stored), \
                     sum(duplicates), sum(rejected) FROM archives";
        assert_eq!(bench.rows(query), [kept], "{name}");
    }
}

#[test]
fn good_samples() {
    check("good", GOOD);
}

#[test]
fn bad_samples() {
    check("bad", BAD);
}

#[test]
fn samples_with_requests() {
    check("coverage", COVERAGE);
}

#[test]
fn every_sample_has_a_case_and_a_row_in_the_catalogue() {
    let catalogue = std::fs::read_to_string(sample("README.md")).unwrap();
    for (folder, cases) in [("good", GOOD), ("bad", BAD), ("coverage", COVERAGE)] {
        let mut names: Vec<String> = std::fs::read_dir(sample(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".request.json"))
            .collect();
        let mut tested: Vec<String> = cases.iter().map(|case| case.0.to_owned()).collect();
        names.sort();
        tested.sort();
        assert_eq!(names, tested);
        for name in names {
            assert!(
                catalogue.contains(&format!("| `{folder}/{name}` |")),
                "{folder}/{name} has no row in data-samples/README.md"
            );
        }
    }
}

#[test]
fn all_samples_together_lose_nothing() {
    let bench = Bench::new();
    let (code, summary, _) = bench.ingest(&[&sample("good"), &sample("bad")], &[]);
    let [new, known, failed, read, stored, duplicates, rejected] = counts(&summary);
    assert_eq!(code, 3);
    assert_eq!(read, stored + duplicates + rejected);
    assert_eq!(new + known + failed, (GOOD.len() + BAD.len()) as u64);
    // The month as gzip lines is the month as ZIP again; two of the five records of overlap-b stand in overlap-a; two ZIPs that hide a member
    // begin with the same one.
    assert_eq!(duplicates, 376 + 2 + 3);
    assert_eq!(bench.rows("SELECT count(*) FROM events"), [stored.to_string()]);
}
