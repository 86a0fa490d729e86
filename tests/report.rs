//! The monthly report of the samples: its figures, its forms, its bytes.

use serde_json::Value;

use crate::support::{Bench, Ran, record, sample};

fn report(bench: &Bench, month: &str, format: &str) -> Ran {
    bench.keytrail(&["report", "monthly", "--month", month, "--format", format])
}

fn bench() -> Bench {
    let bench = Bench::new();
    let (code, _, stderr) = bench.ingest(&[&sample("good")], &[]);
    assert_eq!(code, 0, "{stderr}");
    bench
}

#[test]
fn two_runs_give_the_same_bytes_in_every_form() {
    let bench = bench();
    for format in ["html", "md", "csv", "json"] {
        let first = report(&bench, "2026-01", format);
        assert_eq!((first.code, first.stderr.as_str()), (0, ""), "{format}");
        assert!(first.stdout.len() > 2000, "{format}");
        assert_eq!(first.stdout, report(&bench, "2026-01", format).stdout, "{format}");
    }
}

#[test]
fn the_page_stands_alone() {
    let page = report(&bench(), "2026-01", "html").stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg"));
    for foreign in ["<script", "src=", "href=\"http", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}

#[test]
fn a_month_without_records_is_reported_as_such() {
    let bench = bench();
    let ran = report(&bench, "2020-01", "json");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let _: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(report(&bench, "2020-01", "md").stdout.contains("2020-01"));
}

#[test]
fn wrong_months_are_wrong_usage() {
    let bench = bench();
    for month in ["2026-13", "202601", "january"] {
        assert_eq!(report(&bench, month, "html").code, 2, "{month}");
    }
}

#[test]
fn findings_decide_the_exit_code_where_the_caller_wants_it() {
    let bench = bench();
    let code =
        |month: &str, level: &str| bench.keytrail(&["report", "monthly", "--month", month, "--fail-on", level]).code;
    assert_eq!(code("2026-01", "critical"), 4, "a wiped partition");
    assert_eq!(code("2022-03", "critical"), 0, "one good login");
    assert_eq!(code("2022-03", "warning"), 4, "30 days without a record");
    assert_eq!(code("2026-01", "worst"), 2);
}

#[test]
fn what_forget_took_with_it_is_said_in_later_months() {
    let bench = Bench::new();
    let records = [
        record("2025-12-05 00:00:00 UTC", "LUNA_SIGN_SINGLEPART"),
        record("2026-01-05 00:00:00 UTC", "LUNA_PARTITION_INIT"),
        record("2026-01-06 00:00:00 UTC", "LUNA_LOGIN"),
    ];
    let archive = bench.write("in/a.json", records.join("\n"));
    assert_eq!(bench.ingest(&[&archive], &[]).0, 0);
    let code = |level: &str| bench.keytrail(&["report", "monthly", "--month", "2026-01", "--fail-on", level]).code;
    let finds = |key: &str| report(&bench, "2026-01", "json").stdout.contains(&format!("\"key\": \"{key}\""));
    assert_eq!((code("critical"), finds("reinitialised"), finds("reinitialised_unknown")), (4, true, false));
    let ran = bench.keytrail(&["forget", "--before", "2026-01", "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("whether HSM partitions that were initialised"), "{}", ran.stderr);
    assert_eq!((finds("reinitialised"), finds("reinitialised_unknown")), (false, true));
    assert_eq!((code("critical"), code("warning")), (0, 4));
}
