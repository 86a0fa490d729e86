//! Versions of the store: what any released version wrote opens for ever; what a newer one wrote is refused by every command, and said.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Bench, contents, copy, forge_commit, sample};

/// A copy of the store that a released version wrote (`data-samples/stores/make`).
fn released(version: &str) -> Bench {
    let bench = Bench::new();
    copy(&sample("stores").join(version), &bench.store());
    bench
}

/// All that a store keeps: every file but those that readers and writers lock.
fn kept(bench: &Bench) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = contents(&bench.store());
    files.retain(|(path, _)| !path.strip_prefix(bench.store()).unwrap().starts_with("_readers"));
    files
}

/// The stores of all released versions, by their names.
fn all_released() -> Vec<String> {
    let folders = std::fs::read_dir(sample("stores")).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = folders
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn stores_of_released_versions_open_for_ever() {
    let versions = all_released();
    assert!(versions.contains(&"v0.1.0".to_owned()), "{versions:?}");
    for version in versions {
        let bench = released(&version);
        let rows = |query: &str| bench.rows(query);
        assert_eq!(
            rows("SELECT count(*), count(DISTINCT archive), count(DISTINCT month) FROM events"),
            ["408,9,3"],
            "{version}"
        );
        assert_eq!(rows("SELECT status, count(*) FROM archives GROUP BY 1 ORDER BY 1"), ["failed,2", "stored,9"]);
        assert_eq!(rows("SELECT count(*), sum(length(raw)) FROM rejects"), ["4,431"]);
        assert_eq!(rows("SELECT count(*), sum(uses), sum(failed) FROM key_usage"), ["9,253,7"]);
        assert_eq!(
            rows("SELECT kind, count(*) FROM zeroize_events GROUP BY 1 ORDER BY 1"),
            ["reinitialised,1", "wiped_by_login_failures,1", "zeroize,1", "zeroize_attempt,1"]
        );
        assert_eq!(
            rows("SELECT month, count(*) FROM events GROUP BY 1 ORDER BY 1"),
            ["2022-03,1", "2026-01,376", "2026-02,31"]
        );
        let report = bench.keytrail(&["report", "monthly", "--month", "2026-01", "--format", "json"]);
        assert_eq!(report.code, 0, "{}", report.stderr);
        assert_eq!(bench.keytrail(&["export"]).stdout.lines().count(), 408);
    }
}

#[test]
fn stores_of_released_versions_are_verified_against_their_archives() {
    for version in all_released() {
        let bench = released(&version);
        let before = kept(&bench);
        let ran = bench.keytrail(&[Path::new("verify"), Path::new("--archives"), &sample("good"), &sample("bad")]);
        assert_eq!(ran.code, 0, "{version}: {} {}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("11 archives ("), "{}", ran.stdout);
        assert!(kept(&bench) == before, "nothing is changed");
        // The last commit has no seal, and that is said.
        assert_eq!(ran.stderr.contains("carries no seal"), version == "v0.1.0", "{}", ran.stderr);
    }
}

#[test]
fn stores_of_released_versions_are_written_on() {
    for version in all_released() {
        let bench = released(&version);
        let (code, summary, stderr) = bench.ingest(&[&sample("good"), &sample("bad/trailing-comma.json")], &[]);
        assert_eq!(code, 3, "{stderr}");
        assert_eq!(summary["archives"]["known"], 8, "{summary}");
        let ran = bench.keytrail(&[Path::new("verify"), Path::new("--archives"), &sample("good"), &sample("bad")]);
        assert_eq!((ran.code, ran.stderr.contains("carries no seal")), (0, false), "{} {}", ran.stdout, ran.stderr);
        // Samples of which every record is known were counted before the store was made anew: the same as from nothing.
        let fresh = Bench::new();
        fresh.ingest(&[&sample("good"), &sample("bad/trailing-comma.json"), &sample("bad/broken-lines.ndjson")], &[]);
        fresh.ingest(&[&sample("bad/one-bad-member.zip"), &sample("bad/bad-crc.zip")], &[]);
        let count = "SELECT month, count(*) FROM events GROUP BY 1 ORDER BY 1";
        assert_eq!(bench.rows(count), fresh.rows(count), "{version}");
    }
}

/// Commands that open a store, with their exit code where it is too new.
const COMMANDS: [(&[&str], i32); 13] = [
    (&["sql", "SELECT 1 FROM events"], 1),
    (&["report", "monthly", "--month", "2026-01"], 1),
    (&["archives"], 1),
    (&["rejects"], 1),
    (&["files"], 1),
    (&["export"], 1),
    (&["head"], 1),
    (&["ingest", "new.json"], 1),
    (&["sign", "--secret-key", "k.key"], 1),
    (&["verify"], 6),
    (&["verify", "--quick"], 6),
    (&["verify", "--archives", "new.json"], 6),
    (&["verify", "--format", "json"], 6),
];

#[test]
fn a_newer_store_is_refused_by_every_command() {
    type Change = fn(&str) -> String;
    let newer_schema: Change = |text| text.replace("\"schema_version\":1", "\"schema_version\":2");
    let cases: [(&str, u64, Change, &str); 6] = [
        (
            "commitInfo of the first commit",
            0,
            newer_schema,
            "the store has schema version 2, this keytrail reads up to 1",
        ),
        (
            "commitInfo of a later commit only",
            2,
            newer_schema,
            "the store has schema version 2, this keytrail reads up to 1",
        ),
        (
            "property of the table",
            0,
            |text| text.replace("\"keytrail.schemaVersion\":\"1\"", "\"keytrail.schemaVersion\":\"3\""),
            "the store has schema version 3, this keytrail reads up to 1",
        ),
        (
            "property set by a later commit",
            2,
            |text| {
                format!(
                    "{text}{}\n",
                    r#"{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"month\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}]}","partitionColumns":["month"],"configuration":{"keytrail.schemaVersion":"9"},"createdTime":0}}"#
                )
            },
            "the store has schema version 9, this keytrail reads up to 1",
        ),
        (
            "version of the Delta protocol",
            0,
            |text| text.replace("\"minReaderVersion\":3", "\"minReaderVersion\":9"),
            "the store's table is newer than this keytrail",
        ),
        (
            "feature of the Delta protocol, of a later commit",
            2,
            |text| {
                format!(
                    "{text}{}\n",
                    r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["keytrailTest"],"writerFeatures":["keytrailTest"]}}"#
                )
            },
            "the store's table is newer than this keytrail",
        ),
    ];
    for (what, version, change, words) in cases {
        let bench = Bench::new();
        bench.ingest(&[&sample("good/two-members.zip")], &[]);
        bench.ingest(&[&sample("good/overlap-a.zip")], &[]);
        assert_eq!(bench.keytrail(&["sign", "--generate-key", "k", "--no-password"]).code, 0);
        bench.write("new.json", "[]");
        forge_commit(&bench.store(), version, change);
        let before = kept(&bench);
        for (command, code) in COMMANDS {
            let ran = bench.keytrail(command);
            assert_eq!(ran.code, code, "{what}: {command:?}: {} {}", ran.stdout, ran.stderr);
            assert!(
                ran.stderr.contains(words) && ran.stderr.contains("use a newer keytrail"),
                "{what}: {command:?}: {}",
                ran.stderr
            );
            let told: Option<Value> = serde_json::from_str(&ran.stdout).ok();
            assert!(
                ran.stdout.is_empty() || told.is_some_and(|told| told["verdict"] == "not all could be checked"),
                "{}",
                ran.stdout
            );
        }
        assert!(kept(&bench) == before, "{what}: nothing is changed");
    }
}
