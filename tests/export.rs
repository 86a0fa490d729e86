//! A record written from a row equals the record that was read.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::support::{Bench, sample};

/// What two records must agree on: `meta` as an object, time as a moment, absent as null, names as the service writes them.
fn normal(record: &Value) -> Map<String, Value> {
    const NAMES: [&str; 3] = ["resourceID", "actorID", "tenantID"];
    let mut normal = Map::new();
    for (name, value) in record.as_object().unwrap() {
        let name = NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name).to_owned();
        let value = match (name.as_str(), value) {
            ("time", Value::String(text)) => {
                Value::from(text.replace(" UTC", "Z").parse::<jiff::Timestamp>().unwrap().to_string())
            }
            ("meta", Value::String(text)) if text.is_empty() => Value::Null,
            ("meta", Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
            _ => value.clone(),
        };
        let value = match value {
            Value::Object(mut members) => {
                members.retain(|name, value| !(value.is_null() || name == "ouid" && value == ""));
                if members.is_empty() { Value::Null } else { Value::Object(members) }
            }
            other => other,
        };
        if !value.is_null() {
            normal.insert(name, value);
        }
    }
    normal
}

/// How often each record stands in a text of one object a line.
fn tally<'a>(records: impl Iterator<Item = &'a Value>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for record in records {
        *tally.entry(Value::Object(normal(record)).to_string()).or_default() += 1;
    }
    tally
}

fn lines(text: &str) -> Vec<Value> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn records_come_out_as_they_went_in() {
    for name in ["announcement.json", "meta-forms.json", "time-precisions.json", "odd-but-legal.ndjson"] {
        let content = std::fs::read_to_string(sample(&format!("good/{name}"))).unwrap();
        let read: Vec<Value> =
            if content.starts_with('[') { serde_json::from_str(&content).unwrap() } else { lines(&content) };
        for form in ["string", "object"] {
            let bench = Bench::new();
            bench.ingest(&[&sample(&format!("good/{name}"))], &[]);
            let exported = bench.keytrail(&["export", "--meta", form]);
            assert_eq!(exported.code, 0, "{}", exported.stderr);
            assert_eq!(tally(lines(&exported.stdout).iter()), tally(read.iter()), "{name}");
            // And in again: the same records, so all of them are duplicates.
            let again = bench.write("again.ndjson", &exported.stdout);
            let (code, summary, stderr) = bench.ingest(&[&again], &[]);
            assert_eq!((code, &summary["records"]["stored"]), (0, &Value::from(0)), "{name}: {stderr}");
            assert_eq!(summary["records"]["duplicates"], Value::from(read.len()), "{name}");
        }
    }
}

#[test]
fn a_month_alone() {
    let bench = Bench::new();
    bench.ingest(&[&sample("good")], &[]);
    let month = bench.keytrail(&["export", "--month", "2026-01"]);
    assert_eq!(month.stdout.lines().count(), 376);
    assert!(lines(&month.stdout).iter().all(|record| record["time"].as_str().unwrap().starts_with("2026-01-")));
    assert_eq!(bench.keytrail(&["export", "--month", "1999-01"]).stdout, "");
}
