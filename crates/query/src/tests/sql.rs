//! Sessions: the tables they have, the files they read, and what they refuse.

use datafusion::physical_plan::displayable;
use keytrail_model::statuses::StatusCatalogue;

use super::stores::{Archive, TestStore, archive, hash, hsm, rows};
use crate::{QueryError, Session, SessionOptions, statements};

fn three_months() -> TestStore {
    let record = |time: &str| hsm(time, "action=LUNA_LOGIN status=LUNA_RET_OK actor_id=a1");
    TestStore::new(&[
        vec![archive("a.zip", vec![record("2026-01-10 00:00:00.000417"), record("2026-01-20 00:00:00")])],
        vec![archive("b.zip", vec![record("2026-02-10 00:00:00.000417"), record("2026-03-10 00:00:00")])],
    ])
}

/// Names of the months whose files the plan of a query reads.
async fn months_scanned(session: &Session, query: &str) -> Vec<String> {
    let plan = session.sql(query).await.unwrap().create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    let mut months: Vec<String> = text
        .split("month=")
        .skip(1)
        .filter_map(|rest| rest.get(..7))
        .filter(|month| month.starts_with("20"))
        .map(Into::into)
        .collect();
    months.sort();
    months.dedup();
    months
}

#[tokio::test]
async fn files_are_skipped_by_time_and_month() {
    let store = three_months();
    let session = store.session().await;
    for (filter, expected) in [
        ("true", &["2026-01", "2026-02", "2026-03"][..]),
        ("time >= '2026-02-01' AND time < '2026-03-01'", &["2026-02"]),
        ("time > TIMESTAMP '2026-02-10T00:00:00.000500Z'", &["2026-02", "2026-03"]),
        ("time > TIMESTAMP '2026-02-10T00:00:00.002Z'", &["2026-03"]),
        ("time BETWEEN '2026-01-15' AND '2026-01-16' AND action = 'x'", &["2026-01"]),
        ("month = '2026-03'", &["2026-03"]),
        ("month IN ('2026-01', '2026-03')", &["2026-01", "2026-03"]),
        ("month LIKE '2026-0%' AND month <> '2026-02'", &["2026-01", "2026-03"]),
        ("month = '2026-02' OR time >= '2026-03-01'", &["2026-02", "2026-03"]),
        ("month = '2027-01'", &[]),
        ("time < '2020-01-01'", &[]),
    ] {
        let query = format!("SELECT action FROM events WHERE {filter}");
        assert_eq!(months_scanned(&session, &query).await, expected, "{filter}");
    }
    let usage = "SELECT * FROM key_lifecycle WHERE time >= '2026-03-01'";
    assert_eq!(months_scanned(&session, usage).await, ["2026-03"], "through a view");
}

#[tokio::test]
async fn answers_come_from_rows_where_bounds_are_too_wide() {
    let store = three_months();
    // The log's bounds are whole milliseconds.
    assert_eq!(
        store.rows("SELECT min(time), max(time) FROM events WHERE month = '2026-01'").await,
        "2026-01-10T00:00:00.000417Z,2026-01-20T00:00:00Z"
    );
    assert_eq!(store.rows("SELECT count(*) FROM events").await, "4");
    let last_month = "SELECT count(*), max(action) FROM events WHERE month = (SELECT max(month) FROM events)";
    assert_eq!(store.rows(last_month).await, "1,LUNA_LOGIN");
    let in_months = "SELECT count(*) FROM events WHERE month IN (SELECT '2026-0' || v FROM (VALUES (1), (3)) t(v))";
    assert_eq!(store.rows(in_months).await, "3");
    assert_eq!(store.rows("SELECT count(*) FROM events WHERE month = NULL OR NOT (month <> '2026-01')").await, "2");
    assert_eq!(store.rows("SELECT count(*) FROM events WHERE month < '2026-02' AND random() < 2").await, "2");
    assert_eq!(
        store.rows("SELECT month, count(*) FROM events GROUP BY month ORDER BY month").await,
        "2026-01,2\n2026-02,1\n2026-03,1"
    );
    assert_eq!(store.rows("SELECT count(*) FROM events WHERE time = '2026-01-10T00:00:00.000417Z'").await, "1");
}

/// Filters that round `time`: to a day, here or in another zone, and to a second.
#[tokio::test]
async fn dates_of_times_are_compared() {
    let at = |time: &str| hsm(time, "action=LUNA_LOGIN status=LUNA_RET_OK");
    let store = TestStore::of(vec![at("2026-01-05 23:59:59"), at("2026-01-31 01:00:00.5")]);
    let session = store.session().await;
    for (form, kind, also) in [
        ("CAST(time AS DATE)", "DATE", &["month = '2026-01'", "time > '2026-01-05T23:00:00Z'"][..]),
        ("date_trunc('day', time)", "TIMESTAMP", &[]),
        ("CAST(time AT TIME ZONE 'Pacific/Honolulu' + INTERVAL '10 hours' AS DATE)", "DATE", &[]),
    ] {
        for (operator, counts) in [
            ("<", [0, 1, 1]),
            ("<=", [1, 1, 2]),
            ("=", [1, 0, 1]),
            ("<>", [1, 2, 1]),
            (">=", [2, 1, 1]),
            (">", [1, 1, 0]),
        ] {
            for (day, count) in ["2026-01-05", "2026-01-18", "2026-01-31"].into_iter().zip(counts) {
                for also in ["true"].iter().chain(also) {
                    let filter = format!("{form} {operator} {kind} '{day}' AND {also}");
                    let query = format!("SELECT count(*) FROM events WHERE {filter}");
                    assert_eq!(rows(&session, &query).await, count.to_string(), "{query}");
                }
            }
        }
    }
    let nested = "SELECT count(*) FROM (SELECT * FROM events LIMIT 10) WHERE CAST(time AS DATE) < DATE '2026-01-31'";
    assert_eq!(rows(&session, nested).await, "1", "where the filter does not reach the table");
    for (filter, count) in [
        ("DATE '2026-01-31' > time::date", "1"),
        ("NOT (CAST(time AS DATE) >= DATE '2026-01-31')", "1"),
        ("CAST(time AS DATE) BETWEEN '2026-01-01' AND '2026-01-30'", "1"),
        ("CAST(time AT TIME ZONE 'Pacific/Auckland' AS DATE) < DATE '2026-01-31'", "1"),
        ("CAST(time AT TIME ZONE 'Pacific/Auckland' AS DATE) >= DATE '2026-01-07'", "1"),
        ("CAST(time AS TIMESTAMP(0)) <= TIMESTAMP '2026-01-31T01:00:00Z'", "2"),
        ("CAST(time AS TIMESTAMP(0)) < TIMESTAMP '2026-01-31T01:00:00Z'", "1"),
    ] {
        let query = format!("SELECT count(*) FROM events WHERE {filter}");
        assert_eq!(rows(&session, &query).await, count, "{query}");
    }
}

#[tokio::test]
async fn counting_rows_opens_no_file() {
    let store = three_months();
    let session = store.session().await;
    for query in ["SELECT count(*) FROM events", "SELECT count(*) FROM events WHERE month = '2026-02'"] {
        assert!(months_scanned(&session, query).await.is_empty(), "{query}");
    }
}

#[tokio::test]
async fn events_have_the_columns_of_the_contract_in_their_order() {
    let store = TestStore::of(vec![]);
    let session = store.session().await;
    let frame = session.sql("SELECT * FROM events").await.unwrap();
    let names: Vec<&str> = frame.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(
        names.join(","),
        "time,source,resource_id,actor_id,tenant_id,action,status,trace_id,client_ip,hsm_id,partition_id,role,ouid,extra,archive,\
         member,ordinal,month"
    );
    assert_eq!(rows(&session, "SELECT count(*) FROM events").await, "0");
}

#[tokio::test]
async fn a_file_that_no_commit_names_is_not_read() {
    let store = three_months();
    let events = store.folder.path().join("store/events");
    let named = std::fs::read_dir(events.join("month=2026-01")).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(&named, events.join("month=2026-01/stray.parquet")).unwrap();
    assert_eq!(store.rows("SELECT count(actor_id) FROM events").await, "4");
}

#[tokio::test]
async fn a_session_does_not_see_later_commits() {
    let store = three_months();
    let session = store.session().await;
    let mut writer = keytrail_store::Writer::open(store.snapshot.root(), &mut || {}).unwrap();
    super::stores::commit(
        &mut writer,
        &[archive("c.zip", vec![hsm("2026-04-01 00:00:00", "")])],
        1_767_700_000_000_000,
    );
    assert_eq!(rows(&session, "SELECT count(source) FROM events").await, "4");
}

#[tokio::test]
async fn archives_and_rejects() {
    let with_rejects = |name, rejects| Archive { rejects, ..archive(name, vec![hsm("2026-01-01 00:00:00", "")]) };
    let failed = archive("bad.zip", vec![]);
    // The second run took a.zip in again: the rejects of the first run are superseded.
    let store = TestStore::new(&[vec![with_rejects("a.zip", 3), failed], vec![with_rejects("a.zip", 1)]]);
    let archives = "SELECT path, status, read, stored, rejected, first_time FROM archives ORDER BY path";
    assert_eq!(store.rows(archives).await, "a.zip,stored,2,1,1,2026-01-01T00:00:00Z\nbad.zip,failed,0,0,0,");
    let expected = format!("{},m.json,0,0,\"expected an object, found 1\",01ff", hash("a.zip"));
    assert_eq!(store.rows("SELECT * FROM rejects").await, expected);

    let snapshot = &store.snapshot;
    let path = snapshot.root().join(&snapshot.runs()[1].rejects.path);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let session = store.session().await;
    let refused = session.sql("SELECT count(*) FROM rejects").await.unwrap().execute_stream().await;
    let error = refused.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("damaged file: expected SHA-256 "), "{error}");
    assert_eq!(rows(&session, "SELECT count(*) FROM archives").await, "2", "whoever asks for no rejects needs none");
}

#[tokio::test]
async fn reference_tables_and_functions() {
    let store = TestStore::of(vec![]);
    let overrides = "status,class,also\nLUNA_RET_OK,fine,\nLUNA_RET_MINE*,capacity,device\n";
    let statuses = StatusCatalogue::builtin().unwrap().with_overrides(overrides.as_bytes()).unwrap();
    let options = SessionOptions { threads: None, memory_bytes: Some(64 << 20), statuses, coverage_months: None };
    let session = Session::new(store.snapshot.clone(), options).await.unwrap();
    for (query, expected) in [
        ("SELECT category, phase FROM actions WHERE action = 'LUNA_SIGN_END'", "key_use,end"),
        ("SELECT count(*) FROM actions", "47"),
        ("SELECT class FROM statuses WHERE status = 'LUNA_RET_OK'", "fine"),
        (
            "SELECT status_class('LUNA_RET_OK'), status_class('x'), status_class(NULL)",
            "fine,other_failure,other_failure",
        ),
        ("SELECT status_has_class('LUNA_RET_MINE_1', 'device'), status_has_class(NULL, 'ok')", "true,false"),
        (
            "SELECT s, status_has_class(s, c) FROM (VALUES ('LUNA_RET_MINE', 'capacity'), ('x', 'ok'), ('y', NULL)) t(s, c)",
            "LUNA_RET_MINE,true\nx,false\ny,",
        ),
        ("SELECT array_to_string(key_ids('A b,A'), '+'), key_ids(NULL) IS NULL, key_ids(' ') IS NULL", "a+b,true,true"),
    ] {
        assert_eq!(rows(&session, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn statements_that_write_are_refused() {
    let store = three_months();
    let session = store.session().await;
    let file = store.folder.path().join("out.parquet");
    let file = file.display();
    for query in [
        format!("COPY events TO '{file}'"),
        format!("COPY (SELECT 1) TO '{file}' STORED AS CSV"),
        format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'"),
        "INSERT INTO events SELECT * FROM events".into(),
        "DELETE FROM events".into(),
        "UPDATE archives SET path = 'x'".into(),
        "TRUNCATE TABLE events".into(),
        format!("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{file}'"),
        "CREATE TABLE x AS SELECT 1".into(),
        "CREATE VIEW x AS SELECT 1".into(),
        "DROP VIEW key_usage".into(),
        "DROP TABLE events".into(),
    ] {
        let refused = session.sql(&query).await.unwrap_err();
        assert!(matches!(refused, QueryError::ReadOnly(_)), "{query}: {refused}");
        assert!(refused.to_string().starts_with("refused: expected a statement that only reads"), "{refused}");
    }
    assert!(!store.folder.path().join("out.parquet").exists());
    assert_eq!(rows(&session, "SELECT count(*) FROM events").await, "4");
}

#[tokio::test]
async fn files_outside_the_store_are_out_of_reach() {
    let store = three_months();
    let session = store.session().await;
    for query in ["SELECT * FROM '/etc/passwd'", "SELECT * FROM \"file:///etc/passwd\""] {
        assert!(session.sql(query).await.is_err(), "{query}");
    }
}

#[tokio::test]
async fn settings_explanations_and_listings_are_allowed() {
    let store = three_months();
    let session = store.session().await;
    for query in [
        "SET datafusion.execution.batch_size = 1000",
        "SHOW TABLES",
        "SHOW datafusion.execution.batch_size",
        "DESCRIBE key_usage",
        "EXPLAIN SELECT * FROM key_usage",
        "EXPLAIN ANALYZE SELECT * FROM zeroize_events",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    ] {
        session.sql(query).await.unwrap().collect().await.unwrap_or_else(|error| panic!("{query}: {error}"));
    }
    assert_eq!(rows(&session, "SHOW datafusion.execution.batch_size").await, "datafusion.execution.batch_size,1000");
}

#[tokio::test]
async fn one_statement_at_a_time() {
    let store = three_months();
    let session = store.session().await;
    for (query, count) in [("", 0), (" ; ", 0), ("SELECT 1; SELECT 2", 2)] {
        assert!(
            matches!(session.sql(query).await, Err(QueryError::NotOneStatement(found)) if found == count),
            "{query}"
        );
    }
    assert_eq!(statements("SELECT 1; SELECT 2;").unwrap().len(), 2);
    assert!(matches!(statements("SELEC 1"), Err(QueryError::Sql(_))));
    assert!(session.sql("SELECT nothing FROM events").await.unwrap_err().to_string().contains("nothing"));
}

#[tokio::test]
async fn joins_hold_the_small_side_in_memory() {
    let records =
        (0..5000).map(|_| hsm("2026-01-10 00:00:00", "action=LUNA_DESTROY_OBJECT ouid=aa status=LUNA_RET_OK"));
    let store = TestStore::new(&[vec![Archive { rejects: 500, ..archive("a.zip", records.collect()) }]]);
    let session = store.session().await;
    for query in [
        "SELECT * FROM key_lifecycle",
        "SELECT * FROM rejects",
        "SELECT e.time, a.path FROM events e JOIN archives a USING (archive)",
    ] {
        let plan = session.sql(query).await.unwrap().create_physical_plan().await.unwrap();
        let text = displayable(plan.as_ref()).indent(false).to_string();
        let mut sides = text.lines().skip_while(|line| !line.contains("HashJoinExec"));
        let join = sides.next().unwrap();
        assert!(join.contains("mode=CollectLeft"), "{query}: {text}");
        // The first source below the join is its left side, which is held.
        let held = sides.find(|line| line.contains("DataSourceExec")).unwrap();
        assert!(held.contains("partition_sizes"), "{query}: {text}");
    }
}

#[tokio::test]
async fn a_short_time_is_the_small_side_of_a_join() {
    let records = (0..50).map(|minute| hsm(&format!("2026-01-10 00:{minute:02}:00"), "ouid=aa"));
    let spread = (11..30).map(|day| hsm(&format!("2026-01-{day} 00:00:00"), "ouid=aa"));
    let store = TestStore::of(records.chain(spread).collect());
    let session = store.session().await;
    for tables in ["events a JOIN events b", "events b JOIN events a"] {
        let query =
            format!("SELECT count(*) FROM {tables} USING (ouid) WHERE a.time BETWEEN '2026-01-10' AND '2026-01-11'");
        let plan = session.sql(&query).await.unwrap().create_physical_plan().await.unwrap();
        let text = displayable(plan.as_ref()).indent(false).to_string();
        let mut sides = text.lines().skip_while(|line| !line.contains("HashJoinExec"));
        let held = sides.find(|line| line.contains("DataSourceExec")).unwrap();
        assert!(held.contains("predicate=time"), "{query}: {text}");
    }
}

/// Prints plans, for whoever works on a view: `cargo test -p keytrail-query plans -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "shows, does not check"]
async fn plans() {
    let store = three_months();
    let session = store.session().await;
    let views = Session::views().iter().map(|view| format!("SELECT * FROM {}", view.name));
    for query in
        views.chain(["SELECT count(*) FROM key_lifecycle".into(), "SELECT count(*), max(uses) FROM key_usage".into()])
    {
        let plan = session.sql(&query).await.unwrap().create_physical_plan().await.unwrap();
        println!("\n{query}\n{}", displayable(plan.as_ref()).indent(false));
    }
}
