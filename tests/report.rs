//! The monthly report of the samples: its figures, its forms, its bytes.

use serde_json::Value;

use crate::support::{Bench, Ran, sample};

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
