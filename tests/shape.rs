//! `compact`, `vacuum`, `forget` and the automatic compaction of `ingest`, as a user and other programs see them.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Bench, Ran, counts, record, sample};

/// Ingests of one archive each that a test makes: `KEYTRAIL_RUNS=1000` for three years of days.
fn runs() -> usize {
    std::env::var("KEYTRAIL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(40)
}

/// A store of daily archives, each ingested by itself.
fn daily(days: usize, options: &[&str]) -> Bench {
    let bench = Bench::new();
    generate(&bench, days);
    for archive in archives(&bench) {
        let (code, _, stderr) = bench.ingest(&[&archive], options);
        assert_eq!(code, 0, "{stderr}");
    }
    bench
}

fn generate(bench: &Bench, days: usize) {
    let (days, records) = (days.to_string(), (days * 60).to_string());
    let ran = bench.keytrail(&[
        "generate",
        "made",
        "--records",
        &records,
        "--days",
        &days,
        "--archives",
        &days,
        "--first-day",
        "2026-01-05",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

fn archives(bench: &Bench) -> Vec<PathBuf> {
    let mut archives: Vec<_> =
        std::fs::read_dir(bench.path("made/archives")).unwrap().map(|entry| entry.unwrap().path()).collect();
    archives.sort();
    archives
}

/// All Parquet files below `events/month=*`, which is what a plain glob reads.
fn glob(bench: &Bench) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for month in std::fs::read_dir(bench.store().join("events")).unwrap().map(|entry| entry.unwrap()) {
        if month.file_name().to_str().unwrap().starts_with("month=") {
            files.extend(std::fs::read_dir(month.path()).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    files.sort();
    files
}

fn listed(bench: &Bench) -> Vec<PathBuf> {
    bench.keytrail(&["files"]).stdout.lines().map(PathBuf::from).collect()
}

fn done(bench: &Bench, arguments: &[&str]) -> Ran {
    let ran = bench.keytrail(arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    ran
}

fn whole(bench: &Bench) {
    let ran = done(bench, &["verify"]);
    assert_eq!(ran.stderr, "", "{}", ran.stdout);
}

/// What a user would notice: records by month and action, and a listing with their places.
fn answers(bench: &Bench) -> (Vec<String>, Vec<String>) {
    (
        bench.rows("SELECT month, action, status, count(*), min(time), max(time) FROM events GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"),
        bench.rows("SELECT time, trace_id, ouid, extra, archive, member, ordinal FROM events ORDER BY archive, member, ordinal"),
    )
}

#[test]
fn compaction_changes_the_files_and_nothing_else() {
    let bench = daily(12, &["--no-compact"]);
    let (before, files) = (answers(&bench), listed(&bench).len());
    assert!(files >= 12);
    let ran = done(&bench, &["compact"]);
    assert!(
        ran.stderr.contains("merged 2026-01:") && ran.stderr.contains("stay on the disk until keytrail vacuum"),
        "{}",
        ran.stderr
    );
    assert_eq!((answers(&bench), listed(&bench).len()), (before.clone(), 1));
    assert_eq!(glob(&bench).len(), files + 1);
    whole(&bench);
    assert_eq!(done(&bench, &["compact", "--month", "2026-01"]).stderr.lines().next(), Some("nothing to merge"));

    let planned = done(&bench, &["vacuum", "--grace", "0s", "--dry-run"]);
    assert_eq!((planned.stdout.lines().count(), glob(&bench).len()), (files, files + 1));
    assert_eq!(done(&bench, &["vacuum"]).stdout, "", "an hour of grace");
    let freed = done(&bench, &["vacuum", "--grace", "0s"]);
    assert_eq!(freed.stdout, planned.stdout);
    assert!(freed.stderr.starts_with(&format!("deleted {files} files (")), "{}", freed.stderr);
    assert_eq!((answers(&bench), glob(&bench)), (before, listed(&bench)));
    whole(&bench);
    // Archives that the store knows stay known.
    let (_, summary, _) = bench.ingest(&[&bench.path("made/archives")], &[]);
    assert_eq!(counts(&summary), [0, 12, 0, 0, 0, 0, 0]);
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let bench = Bench::new();
    for arguments in
        [&["compact"][..], &["vacuum"], &["vacuum", "--dry-run"], &["forget", "--before", "2026-01", "--yes"]]
    {
        let ran = bench.keytrail(arguments);
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert!(ran.stderr.contains("expected a keytrail store"), "{}", ran.stderr);
        assert!(!bench.store().exists());
    }
    for arguments in
        [&["compact", "--grace", "1w"][..], &["compact", "--month", "2026"], &["forget"], &["vacuum", "--grace", "5"]]
    {
        assert_eq!(bench.keytrail(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn daily_ingests_leave_few_files_and_a_glob_that_is_right() {
    let days = runs();
    let bench = Bench::new();
    generate(&bench, days);
    let mut said = 0;
    for archive in archives(&bench) {
        let (code, summary, stderr) = bench.ingest(&[&archive], &[]);
        assert_eq!((code, summary.as_object().unwrap().len()), (0, 5), "{stderr}");
        said += stderr.matches("merged 20").count();
        assert_eq!(glob(&bench), listed(&bench), "at any time");
    }
    assert!(said > 0);
    let months = days.div_ceil(28) + 1;
    assert!(listed(&bench).len() <= 2 * months + 31, "{} files of {days} runs", listed(&bench).len());
    assert_eq!(bench.rows("SELECT count(*), count(DISTINCT trace_id) FROM events"), [format!("{0},{0}", days * 60)]);
    assert_eq!(bench.rows("SELECT count(*), sum(stored) FROM archives"), [format!("{days},{}", days * 60)]);
    whole(&bench);
}

#[test]
fn readers_see_one_state_whatever_is_cleaned_up() {
    let bench = daily(3, &[]);
    let more = Bench::new();
    generate(&more, 12);
    let done_with = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = || {
            let mut seen: Vec<u64> = Vec::new();
            while !done_with.load(std::sync::atomic::Ordering::Relaxed) {
                seen.push(bench.rows("SELECT count(trace_id) FROM events")[0].parse().unwrap());
            }
            seen
        };
        let reading = scope.spawn(reader);
        for archive in archives(&more).into_iter().skip(3) {
            bench.ingest(&[&archive], &[]);
            done(&bench, &["compact", "--grace", "0s"]);
        }
        done_with.store(true, std::sync::atomic::Ordering::Relaxed);
        let seen = reading.join().unwrap();
        let stored = bench.rows("SELECT sum(stored) FROM archives GROUP BY run ORDER BY run");
        let mut total = 0;
        let states = stored.iter().map(|stored| {
            total += stored.parse::<u64>().unwrap();
            total
        });
        let states: Vec<u64> = states.collect();
        assert!(seen.is_sorted() && seen.iter().all(|rows| states.contains(rows)), "{seen:?} of {states:?}");
        assert_eq!(bench.rows("SELECT count(*) FROM events"), [total.to_string()]);
    });
    done(&bench, &["vacuum", "--grace", "0s"]);
    assert_eq!(glob(&bench), listed(&bench));
    whole(&bench);
}

/// Records of three months in one archive, and a reject.
fn three_months(bench: &Bench) -> PathBuf {
    let lines = [
        record("2025-11-30T23:59:59.999999Z", "LUNA_LOGIN"),
        record("2025-12-01T00:00:00Z", "LUNA_LOGIN"),
        record("2025-12-31T23:59:59Z", "LUNA_SIGN_SINGLEPART"),
        "{broken".to_owned(),
        record("2026-01-01T00:00:00Z", "LUNA_LOGIN"),
    ];
    bench.write("three.ndjson", lines.join("\n"))
}

#[test]
fn months_are_forgotten_only_when_somebody_says_so_and_never_silently() {
    let bench = Bench::new();
    let archive = three_months(&bench);
    bench.ingest(&[&archive], &[]);
    let ledger = bench.rows("SELECT archive, read, stored, rejected FROM archives");
    let ran = bench.keytrail(&["forget", "--before", "2026-01"]);
    assert_eq!(ran.code, 2, "nobody can be asked");
    for words in [
        "2025-11: 1 records of 1 archives",
        "2025-12: 2 records",
        "in all 3 records",
        "1 rejects of these archives stay",
        "--yes",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert_eq!(bench.rows("SELECT count(*) FROM events"), ["4"]);

    let ran =
        done(&bench, &["forget", "--before", "2026-01", "--reason", "two years, \"§ 5\"", "--yes", "--grace", "0s"]);
    assert!(ran.stderr.contains("forgotten: 3 records; the tombstone is "), "{}", ran.stderr);
    assert_eq!(bench.rows("SELECT month, count(*) FROM events GROUP BY 1"), ["2026-01,1"]);
    assert_eq!(bench.rows("SELECT count(*) FROM failed_operations"), ["0"]);
    assert_eq!(bench.rows("SELECT archive, read, stored, rejected FROM archives"), ledger, "history stays");
    assert_eq!(bench.rows("SELECT count(*) FROM rejects"), ["1"]);
    let tombstone = bench.json("SELECT month, rows, before, reason FROM forgotten ORDER BY month");
    assert_eq!(tombstone[1]["rows"], 2);
    assert_eq!(tombstone[1]["reason"], "two years, \"§ 5\"");
    assert_eq!(glob(&bench), listed(&bench));
    whole(&bench);
    let again = done(&bench, &["forget", "--before", "2026-01", "--yes"]);
    assert!(again.stderr.contains("nothing to forget"), "{}", again.stderr);

    let report = |month: &str| -> Value {
        let ran = bench.keytrail(&["report", "monthly", "--month", month, "--format", "json"]);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let keys = |report: &Value| -> Vec<String> {
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["key"].as_str().unwrap().to_owned())
            .collect()
    };
    let december = report("2025-12");
    let forgotten = december["findings"].as_array().unwrap().iter().find(|finding| finding["key"] == "forgotten");
    assert_eq!(forgotten.unwrap()["count"], 2);
    assert!(!keys(&december).contains(&"not_conserved".to_owned()), "{:?}", keys(&december));
    assert!(!keys(&report("2026-01")).contains(&"forgotten".to_owned()));

    // The archive is known and brings nothing back; another one with a record of that month does, and it is said.
    let (_, summary, _) = bench.ingest(&[&archive], &[]);
    assert_eq!(counts(&summary), [0, 1, 0, 0, 0, 0, 0]);
    let late = bench.write("late.ndjson", record("2025-12-01T00:00:00Z", "LUNA_LOGIN"));
    let (code, summary, stderr) = bench.ingest(&[&late], &[]);
    assert_eq!((code, counts(&summary)), (0, [1, 0, 0, 1, 1, 0, 0]));
    assert!(stderr.contains("records of 2025-12 are in the store again"), "{stderr}");
    whole(&bench);
}

#[test]
fn other_engines_count_the_same_after_everything() {
    let Some(python) = crate::outsiders::python() else {
        return crate::outsiders::passed_over();
    };
    let bench = daily(35, &["--no-compact"]);
    bench.ingest(&[&sample("good")], &[]);
    crate::outsiders::count_the_same(&bench, &python);
    done(&bench, &["compact", "--grace", "0s"]);
    crate::outsiders::count_the_same(&bench, &python);
    done(&bench, &["forget", "--before", "2026-02", "--yes", "--grace", "0s"]);
    crate::outsiders::count_the_same(&bench, &python);
    let late = bench.write("late.ndjson", record("2026-01-07T00:00:00Z", "LUNA_LOGIN"));
    bench.ingest(&[&late], &[]);
    crate::outsiders::count_the_same(&bench, &python);
    assert_eq!(bench.rows("SELECT count(*) FROM events WHERE month < '2026-02'"), ["1"]);
}
