//! Generated archives against the answers that the generator knows, figure by figure.

use serde_json::{Map, Value, json};

use crate::support::{Bench, counts};

/// Options of `keytrail generate`, each set a different corner of the format.
const SETS: &[&[&str]] = &[
    &["--records", "60000", "--days", "70", "--archives", "35", "--cipher-trust", "0.02"],
    &[
        "--records",
        "40000",
        "--days",
        "40",
        "--archives",
        "20",
        "--container",
        "gzip_lines",
        "--no-trace-ids",
        "--precision",
        "seconds",
        "--meta",
        "object",
        "--equal-pairs",
        "0.05",
    ],
    &[
        "--records",
        "40000",
        "--days",
        "62",
        "--archives",
        "12",
        "--container",
        "mixed",
        "--overlap",
        "0.4",
        "--meta",
        "mixed",
        "--vary-layout",
        "--copies",
        "3",
        "--members",
        "3",
        "--seed",
        "7",
    ],
    &[
        "--records",
        "20000",
        "--days",
        "31",
        "--archives",
        "10",
        "--no-trace-ids",
        "--overlap",
        "0.5",
        "--equal-pairs",
        "0.1",
        "--precision",
        "mixed",
        "--seed",
        "11",
        "--fault",
        "bad_crc",
        "--fault",
        "truncated_zip",
        "--fault",
        "encrypted",
        "--fault",
        "html_page",
        "--fault",
        "empty_file",
        "--fault",
        "empty_list",
        "--fault",
        "broken_record=4",
        "--fault",
        "missing_quote=3",
        "--fault",
        "missing_brace=3",
        "--fault",
        "no_time=5",
        "--fault",
        "not_object=2",
        "--fault",
        "trailing_comma",
        "--fault",
        "cut_list",
    ],
];

#[test]
fn every_figure_is_the_generators() {
    for options in SETS {
        let bench = Bench::new();
        let ran = bench.keytrail(&[&["generate", "made"], *options].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let expected: Value =
            serde_json::from_slice(&std::fs::read(bench.path("made/expected.json")).unwrap()).unwrap();
        let (code, summary, stderr) = bench.ingest(&[&bench.path("made/archives")], &[]);
        let of = |part: &str, name: &str| expected[part][name].as_u64().unwrap();
        let totals = [
            of("archives", "new"),
            of("archives", "known"),
            of("archives", "failed"),
            of("records", "read"),
            of("records", "stored"),
            of("records", "duplicates"),
            of("records", "rejected"),
        ];
        assert_eq!(counts(&summary), totals, "{options:?}: {stderr}");
        assert_eq!(code, if totals[2] + totals[6] > 0 { 3 } else { 0 });
        if totals[2] == 0 {
            assert_eq!(summary["bytes"]["json"], expected["bytes"]["json"], "{options:?}");
        }
        check_counts(&bench, &expected);
        check_views(&bench, &expected);
    }
}

fn check_counts(bench: &Bench, expected: &Value) {
    let mut found = Map::new();
    for row in
        bench.json("SELECT month, action, status, count(*) AS n FROM events GROUP BY 1, 2, 3").as_array().unwrap()
    {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let month = found.entry(text("month")).or_insert_with(|| json!({}));
        month[text("action")][text("status")] = row["n"].clone();
    }
    assert_eq!(Value::Object(found), expected["by_month_action_status"]);
}

fn check_views(bench: &Bench, expected: &Value) {
    assert_eq!(keyed(&bench.json("SELECT * FROM key_usage"), "ouid"), expected["key_usage"]);
    let mut failures = expected["login_failures"].clone();
    // The view counts the addresses of all logins; the generator knows those of the failures, too.
    failures.as_object_mut().unwrap().values_mut().for_each(|actor| {
        actor.as_object_mut().unwrap().remove("failure_client_ips");
    });
    assert_eq!(keyed(&bench.json("SELECT * FROM login_failures"), "actor_id"), failures);
    let mut events = bench.json(
        "SELECT time, kind, partition_id, resource_id, actor_id, client_ip, role, action, status FROM zeroize_events",
    );
    let mut wanted = expected["zeroize_events"].clone();
    for list in [&mut events, &mut wanted] {
        let list = list.as_array_mut().unwrap();
        list.iter_mut().for_each(canonical_times);
        list.sort_by_key(ToString::to_string);
    }
    assert_eq!(events, wanted);
    assert!(!wanted.as_array().unwrap().is_empty(), "a generated log has zeroize events");
}

/// Rows as an object by one of their columns.
fn keyed(rows: &Value, column: &str) -> Value {
    let mut by_column = Map::new();
    for mut row in rows.as_array().unwrap().iter().cloned() {
        canonical_times(&mut row);
        let name = row.as_object_mut().unwrap().remove(column).unwrap();
        by_column.insert(name.as_str().unwrap().to_owned(), row);
    }
    Value::Object(by_column)
}

/// Output shows as many digits of a second as are needed, the generator always six.
fn canonical_times(row: &mut Value) {
    for (name, value) in row.as_object_mut().unwrap() {
        if name == "time" || name.starts_with("first_") || name.starts_with("last_") {
            let moment: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
            *value = json!(moment.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bench = Bench::new();
    for folder in ["a", "b"] {
        let ran = bench.keytrail(&["generate", folder, "--records", "3000", "--archives", "5", "--seed", "3"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    let files = |folder: &str| {
        crate::support::contents(&bench.path(folder)).into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>()
    };
    assert_eq!(files("a"), files("b"));
    let ran = bench.keytrail(&["generate", "a"]);
    assert_eq!(ran.code, 1, "a folder with something in it is left alone");
    assert_eq!(bench.keytrail(&["generate", "c", "--container", "tar"]).code, 2);
}

#[test]
fn what_requests_cover_is_what_the_generator_says() {
    for overlap in ["0", "0.3"] {
        let bench = Bench::new();
        let target = bench.path("made");
        let options = [
            "--records",
            "6000",
            "--days",
            "40",
            "--archives",
            "23",
            "--requests",
            "--cipher-trust",
            "0.05",
            "--overlap",
            overlap,
        ];
        let made = bench.keytrail(&[&["generate", target.to_str().unwrap()], &options[..]].concat());
        assert_eq!(made.code, 0, "{}", made.stderr);
        let expected: Value = serde_json::from_slice(&std::fs::read(target.join("expected.json")).unwrap()).unwrap();
        let (code, summary, stderr) = bench.ingest(&[&target.join("archives")], &[]);
        assert_eq!((code, stderr.as_str()), (0, ""), "side files are no archives and nothing is wrong with them");
        assert_eq!(counts(&summary)[0], 23);
        let coverage = &expected["coverage"];
        assert_eq!(coverage["windows"], 23);
        let services = bench.rows("SELECT DISTINCT resource_id, source = 'cdsp' FROM events").len();
        let query = "SELECT sum(seconds) FILTER (WHERE kind = 'covered' AND basis = 'request') AS covered, \
                     coalesce(sum(seconds) FILTER (WHERE kind = 'overlap'), 0) AS doubled, \
                     min(from_time) FILTER (WHERE kind = 'covered') AS first, max(to_time) FILTER (WHERE kind = 'covered') AS last, \
                     count(*) FILTER (WHERE kind = 'gap' AND to_time <= TIMESTAMP '2026-02-10T00:00:00Z') AS gaps \
                     FROM coverage GROUP BY resource_id, source_kind";
        let covered = 40.0 * 86_400.0;
        let doubled = coverage["overlap_seconds"].as_f64().unwrap();
        let row = format!("{covered:.1},{doubled:.1},2026-01-01T00:00:00Z,2026-02-10T00:00:00Z,0");
        assert_eq!(bench.rows(query), vec![row; services], "overlap {overlap}");
        assert_eq!(doubled > 0.0, overlap != "0");
    }
}
