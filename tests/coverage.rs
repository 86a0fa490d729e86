//! Side files of requests, and `keytrail coverage`.

use std::path::{Path, PathBuf};

use crate::support::{Bench, counts, record, sample};

fn window(from: &str, to: &str, more: &str) -> String {
    format!(r#"{{"from":"{from}","to":"{to}"{more}}}"#)
}

const WEEK: (&str, &str) = ("2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z");

#[test]
fn a_request_that_comes_later_is_kept_and_no_record_is_touched() {
    let bench = Bench::new();
    let archive = bench.write("in/a.json", [record("2026-01-02 00:00:00 UTC", "LUNA_LOGIN"), "oops".into()].join("\n"));
    let (code, _, _) = bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!(code, 3, "one record is refused");
    let ledger = "SELECT status, read, stored, duplicates, rejected, services FROM archives";
    let rejects = "SELECT archive, member, ordinal, \"offset\", reason, raw FROM rejects";
    let before = [
        bench.rows(ledger),
        bench.rows(rejects),
        bench.rows("SELECT * FROM events"),
        bench.rows("SELECT * FROM archive_services"),
    ];

    bench.write("in/a.json.request.json", window(WEEK.0, WEEK.1, r#","jobId":"7""#));
    let (code, summary, stderr) = bench.ingest(&[&archive], &[]);
    assert_eq!((code, counts(&summary)), (0, [0, 1, 0, 0, 0, 0, 0]), "{stderr}");
    assert!(stderr.contains("a.json: note: its request was kept: window from 2026-01-01 00:00:00 UTC"), "{stderr}");
    assert_eq!(summary["version"], 2);
    let after = [
        bench.rows(ledger),
        bench.rows(rejects),
        bench.rows("SELECT * FROM events"),
        bench.rows("SELECT * FROM archive_services"),
    ];
    assert_eq!(after, before);
    let request = "SELECT requests, window_from, window_to, filters, job_id FROM archives";
    assert_eq!(bench.rows(request), ["1,2026-01-01T00:00:00Z,2026-01-08T00:00:00Z,{},7"]);
    assert_eq!(bench.keytrail(&["verify"]).code, 0);

    let (code, summary, stderr) = bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!((counts(&summary)[1], &summary["version"]), (1, &2.into()), "once more changes nothing");

    bench.write("in/a.json.request.json", window(WEEK.0, "2026-01-09T00:00:00Z", r#","jobId":"7""#));
    bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!(bench.rows(request), ["1,2026-01-01T00:00:00Z,2026-01-09T00:00:00Z,{},7"], "the same job, corrected");
    assert_eq!(bench.rows(rejects), before[1]);
    assert_eq!(bench.keytrail(&["verify"]).code, 0);
}

#[test]
fn equal_exports_of_quiet_days_are_one_archive_with_a_window_each() {
    let bench = Bench::new();
    bench.write("in/first.json", record("2026-01-01 12:00:00 UTC", "LUNA_LOGIN"));
    for day in 2..=4 {
        bench.write(&format!("in/{day}.json"), "[]");
        let (from, to) = (format!("2026-01-{day:02}T00:00:00Z"), format!("2026-01-{:02}T00:00:00Z", day + 1));
        bench.write(&format!("in/{day}.json.request.json"), window(&from, &to, ""));
    }
    let (code, summary, stderr) = bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!((code, counts(&summary)), (0, [2, 2, 0, 1, 1, 0, 0]), "{stderr}");
    let silent = "SELECT from_time, basis FROM coverage WHERE kind = 'silent_day'";
    assert_eq!(bench.rows(silent), [2, 3, 4].map(|day| format!("2026-01-{day:02}T00:00:00Z,request")));
    // A fourth one later: the archive is known, its window is news.
    bench.write("in/5.json", "[]");
    bench.write("in/5.json.request.json", window("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z", ""));
    let (_, summary, _) = bench.ingest(&[&bench.path("in/5.json")], &[]);
    assert_eq!(counts(&summary), [0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(bench.rows("SELECT requests FROM archives WHERE requests > 0"), ["4"]);
}

#[test]
fn a_side_file_is_no_archive_however_it_is_named() {
    let bench = Bench::new();
    let archive = bench.write("in/a.json", record("2026-01-02 00:00:00 UTC", "LUNA_LOGIN"));
    let side = bench.write("in/a.json.request.json", window(WEEK.0, WEEK.1, ""));
    let lonely = bench.write("in/gone.zip.request.json", window(WEEK.0, WEEK.1, ""));
    let (code, summary, stderr) = bench.ingest(&[&archive, &side, &lonely], &[]);
    assert_eq!((code, counts(&summary)), (0, [1, 0, 0, 1, 1, 0, 0]), "{stderr}");
    assert!(
        stderr.contains("a.json.request.json: note: the side file with the request of a.json, no archive"),
        "{stderr}"
    );
    assert!(
        stderr.contains("gone.zip.request.json: note: a side file with a request; expected its archive gone.zip"),
        "{stderr}"
    );
    let ran = bench.keytrail(&["ingest", side.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("name the archive"), "{}", ran.stderr);
    let (_, _, stderr) = bench.ingest(&[&bench.path("in/a*")], &[]);
    assert_eq!(stderr, "", "a pattern matches both, as a folder holds both");
}

#[test]
fn no_side_file_fails_an_archive_and_no_secret_is_kept() {
    let texts: [&[u8]; 7] = [
        b"",
        b"\xff\xfe{",
        b"[]",
        br#"{"request":{"from":"2026-01-09T00:00:00Z","to":"2026-01-08T00:00:00Z"}}"#,
        br#"{"from":"yesterday","to":17,"action":{"a":[1]},"state":null}"#,
        br#"{"response":{"location":"https://u:secret@h/p?X-Amz-Signature=secret"},"request":{"from":"2026-01-01T00:00:00Z","to":"2026-01-08T00:00:00Z"}}"#,
        &[b'['; 2 << 20],
    ];
    let bench = Bench::new();
    for (number, text) in texts.iter().enumerate() {
        bench.write(&format!("in/{number}.json"), record(&format!("2026-01-02 00:00:{number:02} UTC"), "LUNA_LOGIN"));
        bench.write(&format!("in/{number}.json.request.json"), text);
    }
    let (code, summary, stderr) = bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!((code, counts(&summary)), (0, [7, 0, 0, 7, 7, 0, 0]), "{stderr}");
    for number in [0, 1, 2, 3, 4, 6] {
        assert!(stderr.contains(&format!("{number}.json: note: request side file: ")), "{number}: {stderr}");
    }
    assert_eq!(bench.rows("SELECT count(*) FROM archives WHERE notes LIKE '%\"request_%'"), ["6"]);
    assert_eq!(bench.rows("SELECT location FROM export_requests WHERE location IS NOT NULL"), ["https://h/p"]);
    for (path, bytes) in crate::support::contents(&bench.store()) {
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"), "{}", path.display());
    }
    let before = crate::support::contents(&bench.store());
    let (_, again, _) = bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!(counts(&again)[1], 7);
    assert_eq!(crate::support::contents(&bench.store()), before, "what is wrong is said once");
}

#[test]
fn the_command_shows_months_and_fails_on_gaps() {
    let bench = Bench::new();
    let (code, _, _) = bench.ingest(&[&sample("coverage")], &[]);
    assert_eq!(code, 0);
    let run = |arguments: &[&str]| {
        let ran = bench.keytrail(&[&["coverage"], arguments].concat());
        (ran.code, ran.stdout, ran.stderr)
    };
    let whole = run(&["--format", "csv"]).1;
    assert!(
        whole.starts_with(
            "month,resource_id,source_kind,kind,basis,from_time,to_time,seconds,archives,archive,detail\n"
        ),
        "{whole}"
    );
    assert_eq!(whole, bench.keytrail(&["sql", "SELECT * FROM coverage", "--format", "csv"]).stdout, "as the view");
    assert_eq!(run(&["--month", "2026-05", "--format", "csv"]).1, whole, "all is in May");
    assert_eq!(run(&["--from", "2026-05", "--to", "2026-05", "--format", "csv"]).1, whole);
    let june = run(&["--from", "2026-05", "--to", "2026-06", "--format", "csv"]).1;
    assert!(june.starts_with(&whole), "{june}");
    assert_eq!(june.lines().count(), whole.lines().count() + 2, "June was asked for: a gap of each of two services");
    assert_eq!(run(&["--from", "2026-06", "--format", "csv"]).1.lines().count(), 1 + 2);
    let summary = run(&["--summary", "--month", "2026-05", "--format", "json"]).1;
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!((summary.as_array().unwrap().len(), &summary[0]["whole"]), (2, &false.into()));
    assert_eq!(run(&["--fail-on", "gaps"]).0, 4);
    for wrong in [
        vec!["--from", "2026-06", "--to", "2026-05"],
        vec!["--month", "2026-05", "--from", "2026-05"],
        vec!["--month", "May"],
    ] {
        assert_eq!(run(&wrong).0, 2, "{wrong:?}");
    }
    let paths: Vec<PathBuf> = ["two-weeks.zip", "quiet-day.json"].map(|name| sample("coverage").join(name)).into();
    let covered = Bench::new();
    covered.ingest(&paths.iter().map(PathBuf::as_path).collect::<Vec<&Path>>(), &[]);
    covered.write("c.json", record("2026-05-25 00:00:00 UTC", "LUNA_LOGIN"));
    covered.write("c.json.request.json", window("2026-05-01T00:00:00Z", "2026-05-31T23:59:59Z", ""));
    covered.ingest(&[&covered.path("c.json")], &[]);
    let ran = covered.keytrail(&["coverage", "--month", "2026-05", "--fail-on", "gaps"]);
    assert_eq!((ran.code, ran.stdout.contains("seam")), (0, true), "a seam is no gap: {}", ran.stdout);
}

#[test]
fn a_month_that_is_asked_for_has_a_gap_where_nothing_was_exported() {
    let bench = Bench::new();
    let run = |arguments: &[&str]| {
        let ran = bench.keytrail(&[&["coverage", "--format", "csv"], arguments].concat());
        (ran.code, ran.stdout.lines().skip(1).map(str::to_owned).collect::<Vec<_>>(), ran.stderr)
    };
    let failing = |arguments: &[&str]| run(&[arguments, &["--fail-on", "gaps"]].concat()).0;
    let export = |name: &str, resource: &str, month: u32, to: &str| {
        let record =
            format!(r#"{{"time":"2026-{month:02}-02 00:00:00 UTC","resourceID":"{resource}","action":"LUNA_LOGIN"}}"#);
        bench.write(&format!("in/{name}.json"), record);
        bench.write(&format!("in/{name}.json.request.json"), window(&format!("2026-{month:02}-01T00:00:00Z"), to, ""));
    };
    // Nothing is known of any service.
    bench.write("empty/a.json", "[]");
    bench.ingest(&[&bench.path("empty")], &[]);
    let (code, rows, stderr) = run(&["--month", "2026-01", "--fail-on", "gaps"]);
    assert_eq!((code, rows.len()), (4, 0));
    assert!(stderr.contains("no archive of the store tells of any service"), "{stderr}");
    assert_eq!((failing(&[]), run(&["--month", "2026-01"]).0), (4, 0));

    export("a", "r1", 1, "2026-02-01T00:00:00Z");
    export("b", "r1", 2, "2026-03-01T00:00:00Z");
    bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!(failing(&["--month", "2026-01"]), 0);
    assert_eq!(failing(&["--from", "2026-01", "--to", "2026-02"]), 0);
    assert_eq!(failing(&["--from", "2026-02"]), 0);
    assert_eq!(failing(&[]), 0);
    let march = "2026-03,r1,hsm,gap,records,2026-03-01T00:00:00Z,2026-04-01T00:00:00Z,2678400.0,,,";
    assert_eq!(run(&["--month", "2026-03"]).1, [march]);
    assert_eq!(run(&["--month", "2026-03", "--summary"]).1, ["2026-03,r1,hsm,31,0,31,0.0,0.0,1,0,0,0,0,0,false"]);
    for asked in [
        &["--month", "2026-03"][..],
        &["--month", "2025-12"],
        &["--from", "2026-01", "--to", "2026-06"],
        &["--from", "2025-12", "--to", "2026-01"],
        &["--from", "2026-03"],
        &["--to", "2025-12"],
        &["--to", "2026-03"],
    ] {
        assert_eq!(failing(asked), 4, "{asked:?}");
    }
    // A service that came later is no gap before it came, as long as another one was there.
    export("c", "r2", 2, "2026-03-01T00:00:00Z");
    bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!(failing(&["--month", "2026-01"]), 0);
    assert_eq!(run(&["--month", "2025-12"]).1.len(), 2);
    assert_eq!(failing(&["--from", "9999-11", "--to", "9999-12"]), 4);
}

#[test]
fn times_of_any_year_are_told() {
    let bench = Bench::new();
    let times = [
        "0001-01-01 00:00:00",
        "0206-03-04 05:06:07",
        "1582-10-15 00:00:00",
        "1969-12-31 23:59:59",
        "2026-01-02 03:04:05",
        "2562-07-08 09:10:11",
        "9999-12-30 12:00:00",
    ];
    for (number, time) in times.iter().enumerate() {
        bench.write(&format!("in/{number}.json"), record(&format!("{time} UTC"), "LUNA_LOGIN"));
    }
    let (code, summary, stderr) = bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!((code, counts(&summary)[4]), (0, 7), "{stderr}");
    let ran = bench.keytrail(&["coverage", "--summary", "--format", "csv"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for (month, days) in [("1582-10", 31), ("9999-12", 30), ("0001-01", 31)] {
        assert!(ran.stdout.contains(&format!("\n{month},,hsm,{days},")), "{month}: {}", ran.stdout);
    }
    let views = bench.keytrail(&["views"]).stdout;
    for view in views.lines().filter_map(|line| line.split(' ').next()) {
        for format in ["csv", "json", "table"] {
            let ran = bench.keytrail(&["sql", &format!("SELECT * FROM {view}"), "--format", format]);
            assert_eq!(ran.code, 0, "{view}: {}", ran.stderr);
        }
    }
    for month in times.map(|time| &time[..7]) {
        for format in ["html", "md", "csv", "json"] {
            let ran = bench.keytrail(&["report", "monthly", "--month", month, "--format", format]);
            assert_eq!(ran.code, 0, "{month}: {}", ran.stderr);
        }
        let ran = bench.keytrail(&["coverage", "--month", month, "--summary"]);
        assert_eq!((ran.code, ran.stdout.contains(month)), (0, true), "{month}: {}", ran.stderr);
    }
    assert_eq!(bench.keytrail(&["export"]).stdout.lines().count(), 7);
    assert_eq!(bench.keytrail(&["verify", "--archives", "in"]).code, 0);
}

#[test]
fn the_report_tells_gaps_of_windows_and_oddities() {
    let bench = Bench::new();
    let odd = sample("bad/bytes-after-end.zip");
    bench.ingest(&[&sample("coverage"), &odd], &[]);
    let report = |month: &str| {
        let ran = bench.keytrail(&["report", "monthly", "--month", month, "--format", "json"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    let may = report("2026-05");
    assert_eq!(may, report("2026-05"), "the same store gives the same bytes");
    let may: serde_json::Value = serde_json::from_str(&may).unwrap();
    let finding = |report: &serde_json::Value, key: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["key"] == key).map(|finding| finding["count"].clone())
    };
    assert!(finding(&may, "coverage_gaps").is_some(), "{}", may["findings"]);
    assert_eq!(finding(&may, "odd_archives"), Some(2.into()), "a shifted window and a broken side file");
    let february: serde_json::Value = serde_json::from_str(&report("2026-02")).unwrap();
    assert_eq!(finding(&february, "odd_archives"), Some(1.into()));
    assert_eq!(finding(&february, "coverage_gaps"), None, "nothing is known of windows in February");
}
