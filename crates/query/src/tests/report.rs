//! The monthly report: its figures, its forms, and that two of them are the same bytes.

use keytrail_model::time::Month;

use super::stores::{Archive, TestStore, archive, hash, hsm, with};
use crate::report::{Format, MonthlyReport, Severity, TABLE_ROWS_MAX, Table, Value, monthly, render};

fn january() -> Month {
    Month::parse("2026-01").unwrap()
}

/// A little of everything in January, and a past and a future around it.
fn store() -> TestStore {
    let record =
        |time: &str, columns: &str| hsm(time, &format!("partition_id=p1 resource_id=r1 actor_id=a1 {columns}"));
    let ok = "status=LUNA_RET_OK";
    let before = vec![
        record("2025-12-31 23:59:59.999999", &format!("action=LUNA_SIGN_SINGLEPART ouid=old {ok}")),
        hsm("2025-12-01 00:00:00", &format!("partition_id=p2 action=LUNA_LOGIN {ok}")),
    ];
    let month = vec![
        record("2026-01-01 00:00:00", &format!("action=LUNA_GENERATE_KEY ouid=AA role=CO {ok}")),
        record("2026-01-01 00:00:01", &format!("action=LUNA_SIGN_SINGLEPART ouid=aa role=CU {ok}")),
        record("2026-01-01 00:00:02", "action=LUNA_SIGN_SINGLEPART ouid=aa role=CU status=LUNA_RET_DATA_INVALID"),
        record("2026-01-03 12:00:00", "action=LUNA_LOGIN role=po status=LUNA_RET_UM_PIN_INCORRECT_CONTAINER_LOCKED"),
        record("2026-01-03 12:00:01", &format!("action=LUNA_LOGIN role=PO {ok}")),
        record("2026-01-03 12:00:02", &format!("action=LUNA_WRAP_KEY ouid=aa role=CO {ok}")),
        // In use since December: that it was is known from an earlier month.
        hsm("2026-01-04 00:00:00", &format!("partition_id=p2 actor_id=a2 action=LUNA_PARTITION_INIT role=PO {ok}")),
        with(
            hsm("2026-01-31 23:59:59.999999", &format!("partition_id=p1 resource_id=r1 action=LUNA_SIGN_END {ok}")),
            "ouid",
            "<script>alert(1)</script>|_x_",
        ),
        with(hsm("2026-01-20 00:00:00", "source=cdsp status=success"), "action", "Create Key"),
    ];
    let after = vec![record("2026-02-01 00:00:00", &format!("action=LUNA_SIGN_SINGLEPART ouid=new {ok}"))];
    let failed = archive("bad<b>.zip", vec![]);
    let rejecting = Archive { rejects: 2, ..archive("january.zip", month) };
    TestStore::new(&[vec![archive("december.zip", before), failed], vec![rejecting, archive("february.zip", after)]])
}

async fn report() -> MonthlyReport {
    let store = store();
    monthly(&store.session().await, january()).await.unwrap()
}

fn figure(report: &MonthlyReport, key: &str) -> i64 {
    report.summary.iter().find(|figure| figure.key == key).unwrap().count
}

fn table<'a>(report: &'a MonthlyReport, section: &str, table: &str) -> &'a Table {
    let section = report.sections.iter().find(|found| found.key == section).unwrap();
    section.tables.iter().find(|found| found.key == table).unwrap()
}

fn cells(table: &Table) -> Vec<String> {
    table.rows.iter().map(|row| row.iter().map(Value::to_text).collect::<Vec<_>>().join(",")).collect()
}

#[tokio::test]
async fn figures_and_days() {
    let report = report().await;
    for (key, expected) in [
        ("operations", 8),
        ("failures", 2),
        ("ciphertrust", 1),
        ("partitions", 2),
        ("actors", 2),
        ("keys", 2),
        ("key_uses", 2),
        ("key_lifecycle_records", 2),
        ("login_failures", 1),
        ("lockouts", 1),
        ("zeroize_events", 1),
        ("privileged_operations", 3),
        ("archives", 1),
        ("days_without_records", 26),
    ] {
        assert_eq!(figure(&report, key), expected, "{key}");
    }
    assert!(!report.empty);
    assert_eq!(report.days.len(), 31);
    let busy = report.days.iter().filter(|day| day.operations + day.ciphertrust > 0);
    let busy: Vec<_> = busy.map(|day| (day.date.as_str(), day.operations, day.failures, day.ciphertrust)).collect();
    let expected = [
        ("2026-01-01", 3, 1, 0),
        ("2026-01-03", 3, 1, 0),
        ("2026-01-04", 1, 0, 0),
        ("2026-01-20", 0, 0, 1),
        ("2026-01-31", 1, 0, 0),
    ];
    assert_eq!(busy, expected);
}

#[tokio::test]
async fn sections() {
    let report = report().await;
    let keys: Vec<&str> = report.sections.iter().map(|section| section.key).collect();
    assert_eq!(
        keys,
        [
            "completeness",
            "key_usage",
            "key_lifecycle",
            "login_failures",
            "zeroisation",
            "privileged_use",
            "failed_operations",
            "custody"
        ]
    );
    let whole = |section: &str, name: &str| cells(table(&report, section, name));
    assert_eq!(
        whole("completeness", "conservation"),
        ["archives of the month,1,0,11,9,0,2,,,yes", "store,4,0,14,12,0,2,0,12,yes"]
    );
    assert_eq!(
        whole("completeness", "archives"),
        ["january.zip,stored,2026-01-01T00:00:00Z,2026-01-31T23:59:59.999999Z,11,9,0,2,"]
    );
    assert_eq!(whole("completeness", "failed_archives"), [format!("bad<b>.zip,{},100,no records", hash("bad<b>.zip"))]);
    assert_eq!(
        whole("completeness", "sources"),
        [
            "ciphertrust,1,2026-01-20T00:00:00Z,2026-01-20T00:00:00Z",
            "hsm,8,2026-01-01T00:00:00Z,2026-01-31T23:59:59.999999Z"
        ]
    );
    assert_eq!(
        whole("completeness", "gaps"),
        ["2026-01-02,2026-01-02,1", "2026-01-05,2026-01-19,15", "2026-01-21,2026-01-30,10"]
    );
    assert_eq!(
        whole("completeness", "partitions"),
        [
            "p1,r1,7,2026-01-01T00:00:00Z,2026-01-31T23:59:59.999999Z,28,2026-01-02, 2026-01-04 to 2026-01-30",
            "p2,,1,2026-01-04T00:00:00Z,2026-01-04T00:00:00Z,30,2026-01-01 to 2026-01-03, 2026-01-05 to 2026-01-31"
        ]
    );
    assert_eq!(
        whole("key_usage", "key_usage"),
        [
            "aa,4,1,1,1,0,2026-01-01T00:00:00Z,2026-01-03T12:00:02Z",
            "<script>alert(1)</script>|_x_,1,1,0,0,0,2026-01-31T23:59:59.999999Z,2026-01-31T23:59:59.999999Z"
        ]
    );
    assert_eq!(
        whole("key_lifecycle", "key_lifecycle_counts"),
        ["key_create,LUNA_GENERATE_KEY,1,0,1,1", "key_export,LUNA_WRAP_KEY,1,0,1,1"]
    );
    assert_eq!(whole("login_failures", "login_failures"), ["a1,1,1,2,0,2026-01-03T12:00:00Z,2026-01-03T12:00:00Z"]);
    let reinitialised = whole("zeroisation", "zeroize_events");
    assert!(
        reinitialised.len() == 1 && reinitialised[0].starts_with("2026-01-04T00:00:00Z,reinitialised,p2,"),
        "{reinitialised:?}"
    );
    assert_eq!(whole("privileged_use", "privileged_use").len(), 3);
    assert_eq!(whole("failed_operations", "failed_operations").len(), 2);
    assert_eq!(table(&report, "custody", "custody").values("archive").count(), 1);
}

#[tokio::test]
async fn findings_gravest_first() {
    let report = report().await;
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.severity, finding.key, finding.count)).collect();
    let expected = [
        (Severity::Critical, "reinitialised", 1),
        (Severity::Warning, "lockouts", 1),
        (Severity::Warning, "login_failures", 1),
        (Severity::Warning, "failed_archives", 1),
        (Severity::Warning, "rejected_records", 2),
        (Severity::Warning, "days_without_records", 26),
        (Severity::Notice, "unexplained_days", 28),
        (Severity::Notice, "key_exports", 1),
        (Severity::Notice, "privileged_operations", 3),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn no_number_of_attempts_hides_a_zeroisation() {
    let at = |second: usize| {
        let (day, hour, minute) = (5 + second / 86_400, second / 3_600 % 24, second / 60 % 60);
        format!("2026-01-{day:02} {hour:02}:{minute:02}:{:02}", second % 60)
    };
    let zeroize = |second, status: &str| {
        hsm(&at(second), &format!("partition_id=p1 action=LUNA_PARTITION_ZEROIZE status=LUNA_RET_{status}"))
    };
    let mut records: Vec<_> = (0..TABLE_ROWS_MAX).map(|second| zeroize(second, "INVALID_ACCESS_LEVEL")).collect();
    records.push(zeroize(TABLE_ROWS_MAX, "OK"));
    let store = TestStore::of(records);
    let report = monthly(&store.session().await, january()).await.unwrap();
    let found = |key: &str| report.findings.iter().find(|finding| finding.key == key).map(|finding| finding.count);
    assert_eq!((found("zeroized"), found("zeroize_attempts")), (Some(1), Some(100_000)));
    assert_eq!(report.findings.first().map(|finding| finding.severity), Some(Severity::Critical));
    // Where not all rows are shown, destruction is shown before attempts.
    let events = table(&report, "zeroisation", "zeroize_events");
    assert_eq!((events.rows.len(), events.rows_total), (TABLE_ROWS_MAX, 100_001));
    let begin: Vec<String> =
        events.rows.iter().take(2).map(|row| format!("{} {}", row[0].to_text(), row[1].to_text())).collect();
    assert_eq!(begin, ["2026-01-06T03:46:40Z zeroize", "2026-01-05T00:00:00Z zeroize_attempt"]);
    let page = String::from_utf8(render(&report, Format::Html).unwrap()).unwrap();
    assert!(page.contains("<td>zeroize</td>") && page.contains("Rows of the kind zeroize_attempt come last."));
}

#[tokio::test]
async fn the_same_store_gives_the_same_bytes() {
    let store = store();
    let (one, other) = (store.session().await, store.session().await);
    let (one, other) = (monthly(&one, january()).await.unwrap(), monthly(&other, january()).await.unwrap());
    for (name, format) in Format::NAMES {
        assert_eq!(render(&one, format).unwrap(), render(&other, format).unwrap(), "{name}");
    }
}

#[tokio::test]
async fn a_month_of_a_report_does_not_stay_in_its_session() {
    let store = store();
    let session = store.session().await;
    let february = Month::parse("2026-02").unwrap();
    let first = monthly(&session, january()).await.unwrap();
    assert_eq!(figure(&monthly(&session, february).await.unwrap(), "operations"), 1);
    assert_eq!(monthly(&session, january()).await.unwrap(), first);
    assert!(session.sql("SELECT * FROM month.events").await.is_err());
}

#[tokio::test]
async fn a_month_without_records_says_so() {
    let store = store();
    let session = store.session().await;
    let report = monthly(&session, Month::parse("2024-02").unwrap()).await.unwrap();
    assert!(report.empty && report.days.len() == 29);
    for (name, format) in Format::NAMES {
        let text = String::from_utf8_lossy(&render(&report, format).unwrap()).into_owned();
        let says = match format {
            // Its cells are compressed: read by the tests of the program.
            Format::Xlsx => "PK\u{3}\u{4}",
            Format::Html | Format::Markdown => "The store holds no record of this month.",
            Format::Csv => "report,report,1,empty,yes\r\n",
            Format::Json => "\"empty\": true",
        };
        assert!(text.contains(says), "{name}: {text}");
    }
    let empty = TestStore::of(vec![]);
    assert!(monthly(&empty.session().await, january()).await.unwrap().empty);
}

#[tokio::test]
async fn html_holds_no_markup_of_a_record_and_nothing_from_outside() {
    let html = String::from_utf8(render(&report().await, Format::Html).unwrap()).unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;|_x_"), "{html}");
    assert!(html.contains("bad&lt;b&gt;.zip"));
    for forbidden in ["<script", "<b>", "http://", "https://", "src=", "@import", "url("] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert_eq!(html.matches("<svg ").count(), 2);
    assert_eq!(html.matches("<rect ").count(), 62);
    for part in [
        "<title id=\"operations-title\">",
        "<desc id=\"failures-desc\">",
        "role=\"img\"",
        "@media print",
        "lang=\"en\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[tokio::test]
async fn markdown_cells_stay_cells() {
    let markdown = String::from_utf8(render(&report().await, Format::Markdown).unwrap()).unwrap();
    assert!(markdown.contains("| &lt;script&gt;alert(1)&lt;/script&gt;\\|\\_x\\_ | 1 | 1 | 0 |"), "{markdown}");
    assert!(markdown.starts_with("# HSM audit report 2026-01\n"));
    assert!(markdown.contains("\n## What the log cannot show\n\n- Persons:"));
}

#[tokio::test]
async fn csv_has_one_value_a_line() {
    let csv = render(&report().await, Format::Csv).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), ["section", "table", "row", "column", "value"]);
    let lines: Vec<Vec<String>> = reader.records().map(|line| line.unwrap().iter().map(Into::into).collect()).collect();
    for expected in [
        ["report", "report", "1", "month", "2026-01"],
        ["summary", "figures", "1", "operations", "8"],
        ["summary", "findings", "1", "key", "reinitialised"],
        ["summary", "days", "31", "operations", "1"],
        ["key_usage", "key_usage", "2", "ouid", "<script>alert(1)</script>|_x_"],
        ["custody", "custody", "1", "path", "january.zip"],
    ] {
        assert!(lines.iter().any(|line| line == &expected), "{expected:?}");
    }
}

#[tokio::test]
async fn json_has_its_stable_keys() {
    let report = report().await;
    let json: serde_json::Value = serde_json::from_slice(&render(&report, Format::Json).unwrap()).unwrap();
    let text = |pointer: &str| json.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).to_string();
    for (pointer, expected) in [
        ("/report", "\"monthly\""),
        ("/format_version", "1"),
        ("/month", "\"2026-01\""),
        ("/from", "\"2026-01-01T00:00:00Z\""),
        ("/until", "\"2026-02-01T00:00:00Z\""),
        ("/store/version", "2"),
        ("/empty", "false"),
        ("/summary/operations", "8"),
        ("/findings/0/key", "\"reinitialised\""),
        ("/days/0/operations", "3"),
        ("/sections/completeness/conservation/rows/1/conserved", "true"),
        ("/sections/completeness/conservation/rows/0/rows_in_events", "null"),
        ("/sections/key_usage/key_usage/rows_total", "2"),
        ("/sections/key_usage/key_usage/rows/0/first_seen", "\"2026-01-01T00:00:00Z\""),
        ("/sections/custody/custody/rows/0/bytes", "100"),
    ] {
        assert_eq!(text(pointer), expected, "{pointer}");
    }
    assert_eq!(json["limits"].as_array().unwrap().len(), report.limits.len());
    assert_eq!(json["store"]["head"].as_str().unwrap(), report.store.head);
}

#[tokio::test]
async fn a_month_that_was_forgotten_is_no_quiet_month() {
    let february = Month::parse("2026-02").unwrap();
    let store = store().without_months_before(february);
    let session = store.session().await;
    let report = monthly(&session, january()).await.unwrap();
    assert!(report.empty);
    let finding = report.findings.iter().find(|finding| finding.key == "forgotten").unwrap();
    assert_eq!((finding.severity, finding.count), (Severity::Warning, 9));
    assert!(finding.text.contains("2026-01-06T11:46:40Z"), "{}", finding.text);
    assert!(report.findings.iter().all(|finding| finding.key != "not_conserved"), "{:?}", report.findings);
    let conservation = cells(table(&report, "completeness", "conservation"));
    assert_eq!(conservation, ["archives of the month,1,0,11,9,0,2,,,yes", "store,4,0,14,12,0,2,11,1,yes"]);
    let forgotten = cells(table(&report, "completeness", "forgotten"));
    assert_eq!(forgotten, ["2026-01-06T11:46:40Z,2026-02,1,9,over"]);
    let report = monthly(&session, february).await.unwrap();
    assert!(!report.empty && report.findings.iter().all(|finding| finding.key != "forgotten"));
}

#[tokio::test]
async fn whether_a_partition_was_in_use_before_what_was_forgotten_is_unknown() {
    let record = |time: &str, partition: &str, action: &str| {
        hsm(time, &format!("partition_id={partition} action=LUNA_{action} status=LUNA_RET_OK"))
    };
    let store = TestStore::of(vec![
        record("2025-12-05 00:00:00", "p1", "SIGN_SINGLEPART"),
        record("2026-01-05 00:00:00", "p1", "PARTITION_INIT"),
        record("2026-01-06 00:00:00", "p1", "LOGIN"),
        record("2026-01-07 00:00:00", "p2", "LOGIN"),
        record("2026-01-08 00:00:00", "p2", "PARTITION_INIT"),
    ]);
    let of_partitions = async |store: &TestStore, month: &str| {
        let report = monthly(&store.session().await, Month::parse(month).unwrap()).await.unwrap();
        let findings = report.findings.iter().filter(|finding| finding.key.starts_with("reinitialised"));
        findings.map(|finding| (finding.severity, finding.key, finding.count)).collect::<Vec<_>>()
    };
    assert_eq!(of_partitions(&store, "2026-01").await, [(Severity::Critical, "reinitialised", 2)]);
    // A month later than the reported one says nothing about it.
    let store = store.without_months_before(january());
    assert_eq!(of_partitions(&store, "2025-11").await, []);
    let expected = [(Severity::Critical, "reinitialised", 1), (Severity::Warning, "reinitialised_unknown", 1)];
    assert_eq!(of_partitions(&store, "2026-01").await, expected);
}
