//! Engines that know nothing of keytrail open our store and count the same rows: DuckDB and Polars on the plain files, Polars and
//! the `deltalake` package through the Delta log.
//!
//! `scripts/install-readers` installs them. Where it has not been run the test is passed over with a message, but never in CI.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Bench, Ran, record, sample};

pub fn python() -> Option<PathBuf> {
    let venv = std::env::var_os("KEYTRAIL_VENV").map(PathBuf::from);
    let venv = venv.or_else(|| std::env::home_dir().map(|home| home.join(".cache/keytrail-venv")))?;
    Some(venv.join("bin/python")).filter(|python| python.exists())
}

/// For a test that needs the readers and does not have them.
pub fn passed_over() {
    assert!(std::env::var_os("CI").is_none(), "run scripts/install-readers first");
    eprintln!("passed over: run scripts/install-readers to test with DuckDB, Polars and deltalake");
}

#[test]
fn foreign_engines_count_the_same() {
    let Some(python) = python() else {
        return passed_over();
    };
    let bench = Bench::new();
    let ran = bench.keytrail(&[
        "generate",
        "made",
        "--records",
        "30000",
        "--days",
        "90",
        "--archives",
        "9",
        "--overlap",
        "0.2",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // Two runs, so that there is a log to read.
    bench.ingest(&[&sample("good")], &[]);
    bench.ingest(&[&bench.path("made/archives")], &[]);
    count_the_same(&bench, &python);
}

#[test]
fn what_the_deltalake_package_commits_is_read_and_named() {
    let Some(python) = python() else {
        return passed_over();
    };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/outsiders/change.py");
    // What it does, the rows then, and what more verify says of them.
    for (what, rows, words) in [("append", 7, "found 7 rows in the live files"), ("optimize", 4, "")] {
        let bench = Bench::new();
        for minute in 0..4 {
            let line = record(&format!("2026-01-05 08:0{minute}:00 UTC"), "LUNA_LOGIN");
            bench.ingest(&[&bench.write(&format!("{minute}.json"), line)], &["--no-compact"]);
        }
        let ran = Ran::of(Command::new(&python).arg(&script).arg(bench.store()).arg(what).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(bench.rows("SELECT count(*) FROM events"), [rows.to_string()], "{what}");
        assert_eq!(bench.keytrail(&["export"]).stdout.lines().count(), rows, "{what}");
        let ran = bench.keytrail(&["verify"]);
        assert_eq!(ran.code, 5, "{what}: {}", ran.stderr);
        for words in [
            "damage: events/_delta_log/00000000000000000005.json: expected a commit of keytrail, found version 5 of another program",
            words,
        ] {
            assert!(ran.stderr.contains(words), "{what}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("mismatch") && !ran.stderr.contains("no seal"), "{what}: {}", ran.stderr);
        // A record that the store has, in another archive.
        let later = bench.write("later.json", format!("[{}]", record("2026-01-05 08:01:00 UTC", "LUNA_LOGIN")));
        let (code, summary, words) = bench.ingest(&[&later], &[]);
        assert_eq!((code, &summary["records"]["duplicates"]), (0, &1.into()), "{what}: {words}");
        let forgotten = bench.keytrail(&["forget", "--before", "2026-02", "--yes"]);
        assert_eq!(forgotten.code, 0, "{what}: {}", forgotten.stderr);
        assert_eq!(bench.rows("SELECT count(*) FROM events"), ["0"], "{what}");
    }
}

#[test]
fn a_checkpoint_of_the_deltalake_package_is_not_said_to_be_of_a_stopped_run() {
    let Some(python) = python() else {
        return passed_over();
    };
    let bench = Bench::new();
    bench.ingest(&[&bench.write("a.json", record("2026-01-05 08:00:00 UTC", "LUNA_LOGIN"))], &[]);
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/outsiders/change.py");
    let ran = Ran::of(Command::new(python).arg(script).arg(bench.store()).arg("checkpoint").output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (code, _, words) =
        bench.ingest(&[&bench.write("b.json", record("2026-01-05 08:00:01 UTC", "LUNA_LOGIN"))], &[]);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("checkpoint.parquet, a checkpoint, all of which are made anew"), "{words}");
    assert!(!words.contains("stopped"), "{words}");
}

/// Compares the counts of all readers with ours.
pub fn count_the_same(bench: &Bench, python: &Path) {
    let tally = |query: &str| -> Value {
        let rows = bench.json(query);
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| (row["k"].as_str().unwrap_or_default().to_owned(), row["n"].clone()))
            .collect()
    };
    let span = bench.json(
        "SELECT arrow_cast(min(time), 'Int64') AS first, arrow_cast(max(time), 'Int64') AS last, count(*) AS n FROM events",
    );
    let traces = bench.json("SELECT count(DISTINCT trace_id) AS n, min(trace_id) AS a, max(trace_id) AS b FROM events");
    let ours = json!({
        "rows": span[0]["n"],
        "months": tally("SELECT month AS k, count(*) AS n FROM events GROUP BY 1"),
        "actions": tally("SELECT coalesce(action, '') AS k, count(*) AS n FROM events GROUP BY 1"),
        "first": span[0]["first"],
        "last": span[0]["last"],
        "traces": [traces[0]["n"], traces[0]["a"], traces[0]["b"]],
    });

    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/outsiders/count.py");
    let ran = Ran::of(Command::new(python).arg(script).arg(bench.store()).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let theirs: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (reader, counts) in theirs.as_object().unwrap() {
        assert_eq!(*counts, ours, "{reader}");
    }
    let listed = bench.keytrail(&["files"]).stdout;
    let events = bench.store().join("events");
    let on_disk = crate::support::contents(&events).into_iter().filter(|(path, _)| {
        path.extension().is_some_and(|extension| extension == "parquet") && !path.starts_with(events.join("_delta_log"))
    });
    assert_eq!(listed.lines().count(), on_disk.count(), "the live list is what lies there");
}
