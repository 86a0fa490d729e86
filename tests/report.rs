//! The monthly report of the samples: its figures, its forms, its bytes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

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

/// The sheets of a workbook, read by a program that is not ours.
fn sheets(bench: &Bench, month: &str) -> Value {
    let ran = bench.keytrail(&["report", "monthly", "--month", month, "--format", "xlsx", "-o", "report.xlsx"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outsiders/sheets.py");
    let read = Ran::of(Command::new("python3").arg(script).arg(bench.path("report.xlsx")).output().unwrap());
    assert_eq!(read.code, 0, "{}", read.stderr);
    serde_json::from_str(&read.stdout).unwrap()
}

/// A value of the JSON report as a cell has it: no text is no cell, and what cannot be seen is spelt out.
fn as_cell(value: &Value) -> Value {
    let spelt = |character: char| match character.is_control() && character != '\n' {
        true => character.escape_unicode().to_string(),
        false => character.to_string(),
    };
    match value {
        Value::String(text) if text.is_empty() => Value::Null,
        Value::String(text) => text.chars().map(spelt).collect::<String>().into(),
        other => other.clone(),
    }
}

/// Holds a sheet against rows of the JSON report.
fn same_rows(name: &str, sheet: &Value, rows: &[Value]) {
    let cells = sheet["rows"].as_array().unwrap();
    assert_eq!(cells.len(), rows.len() + 1, "{name}");
    assert_eq!((&sheet["frozen"], &sheet["bold"]), (&json!(1), &json!([1])), "{name}");
    assert!(sheet["filter"].as_str().unwrap().starts_with("A1:"), "{name}");
    let columns = cells[0].as_array().unwrap();
    for (row, cells) in rows.iter().zip(&cells[1..]) {
        let row = row.as_object().unwrap();
        assert_eq!(
            row.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            columns.iter().map(|name| name.as_str().unwrap()).collect()
        );
        for (at, column) in columns.iter().enumerate() {
            let expected = as_cell(&row[column.as_str().unwrap()]);
            assert_eq!(*cells.get(at).unwrap_or(&Value::Null), expected, "{name}: {column}");
        }
    }
}

/// Holds the workbook of a month against its JSON report, cell by cell.
fn same_as_json(bench: &Bench, month: &str) -> usize {
    let sheets = sheets(bench, month);
    let json: Value = serde_json::from_str(&report(bench, month, "json").stdout).unwrap();
    same_rows("days", &sheets["days"], json["days"].as_array().unwrap());
    let tables = json["sections"].as_object().unwrap().values().flat_map(|section| section.as_object().unwrap());
    let mut rows = 0;
    for (name, table) in tables.clone() {
        let table = table["rows"].as_array().unwrap();
        rows += table.len();
        match table.is_empty() {
            // The JSON of a table without rows names no columns.
            true => assert_eq!(sheets[name]["rows"].as_array().unwrap().len(), 1, "{name}"),
            false => same_rows(name, &sheets[name], table),
        }
    }
    assert_eq!(sheets.as_object().unwrap().len(), tables.count() + 2);
    let summary: Vec<&[Value]> =
        sheets["summary"]["rows"].as_array().unwrap().iter().map(|row| row.as_array().unwrap().as_slice()).collect();
    let has = |row: &[Value]| summary.iter().any(|found| found.starts_with(row));
    for (key, count) in json["summary"].as_object().unwrap() {
        assert!(has(&[json!(key), count.clone()]), "{key}");
    }
    for finding in json["findings"].as_array().unwrap() {
        assert!(has(&["key", "count", "severity", "text"].map(|name| finding[name].clone())), "{finding}");
    }
    assert!(json["limits"].as_array().unwrap().iter().all(|limit| has(std::slice::from_ref(limit))));
    assert!(has(&[json!("store_head"), json["store"]["head"].clone()]) && has(&[json!("month"), json!(month)]));
    rows
}

#[test]
fn a_workbook_holds_what_the_json_report_holds() {
    let bench = bench();
    assert!(same_as_json(&bench, "2026-01") > 50);
    same_as_json(&bench, "2020-01");
    let read = || std::fs::read(bench.path("report.xlsx")).unwrap();
    let first = read();
    same_as_json(&bench, "2020-01");
    assert_eq!(read(), first, "the same store gives the same bytes");
    let piped = bench.command().args(["report", "monthly", "--month", "2020-01", "--format", "xlsx"]).output().unwrap();
    assert!(piped.stdout == first, "a stdout that is no terminal takes a workbook");
}

#[test]
fn a_workbook_holds_texts_and_no_formulas() {
    let bench = Bench::new();
    let hostile = [
        "=1+1",
        "+1",
        "-2+3",
        "@SUM(A1)",
        "<script>alert(1)</script>",
        "\u{1}\u{1b}[2J\0",
        "_x0041_",
        "]]>&amp;",
        " =1",
        "two\nlines",
        "1300000000001",
        "\u{1f511}",
    ];
    let records = hostile.iter().enumerate().map(|(at, text)| {
        let text = Value::from(*text).to_string();
        format!(
            r#"{{"time":"2026-01-02 00:00:{at:02} UTC","source":"thales/cloudhsm/1","actorID":{text},"action":"LUNA_DESTROY_OBJECT","status":{text},"meta":{{"ouid":"{at}","partid":{text},"role":"PO"}}}}"#
        )
    });
    let long = "x".repeat(40_000);
    let records: Vec<String> = records.collect();
    let archive = bench.write("in/a.json", records.join("\n"));
    assert_eq!(bench.ingest(&[&archive], &[]).0, 0);
    assert!(same_as_json(&bench, "2026-01") > 3 * hostile.len());

    let archive = bench.write("in/b.json", records[0].replace("=1+1", &long));
    assert_eq!(bench.ingest(&[&archive], &[]).0, 0);
    let sheets = sheets(&bench, "2026-01");
    let cut = sheets["key_lifecycle"]["rows"].to_string();
    assert!(cut.contains("xxx... (cut)") && !cut.contains(&long), "a cell holds 32 767 characters");
    assert!(sheets["summary"]["rows"].to_string().contains("Texts cut: "));
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
