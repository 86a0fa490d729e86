//! Rows written in every format.

use std::io::{self, Write};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::stores::{TestStore, hsm, with, written};
use crate::output::{self, Format, OutputError};

const QUERY: &str = "SELECT time, action, ouid, ordinal FROM events ORDER BY ordinal";

fn store() -> TestStore {
    TestStore::of(vec![
        with(hsm("2026-01-05 08:00:00", "action=LUNA_LOGIN"), "ouid", "a,\"b\""),
        with(hsm("2026-01-05 08:00:00.25", ""), "ouid", "\u{1b}[2J"),
        hsm("2026-01-05 08:00:00.000417", "ouid=x"),
    ])
}

#[tokio::test]
async fn rows_in_every_text_format() {
    let store = store();
    let session = store.session().await;
    let csv = "\
time,action,ouid,ordinal
2026-01-05T08:00:00Z,LUNA_LOGIN,\"a,\"\"b\"\"\",0
2026-01-05T08:00:00.250Z,,\u{1b}[2J,1
2026-01-05T08:00:00.000417Z,,x,2
";
    let first = r#"{"time":"2026-01-05T08:00:00Z","action":"LUNA_LOGIN","ouid":"a,\"b\"","ordinal":0}"#;
    let second = r#"{"time":"2026-01-05T08:00:00.250Z","action":null,"ouid":"\u001b[2J","ordinal":1}"#;
    let third = r#"{"time":"2026-01-05T08:00:00.000417Z","action":null,"ouid":"x","ordinal":2}"#;
    let table = "\
+-----------------------------+------------+-----------+---------+
| time                        | action     | ouid      | ordinal |
+-----------------------------+------------+-----------+---------+
| 2026-01-05T08:00:00Z        | LUNA_LOGIN | a,\"b\"     | 0       |
| 2026-01-05T08:00:00.250Z    |            | \\u{1b}[2J | 1       |
| 2026-01-05T08:00:00.000417Z |            | x         | 2       |
+-----------------------------+------------+-----------+---------+
";
    assert_eq!(written(&session, QUERY, Format::Csv).await, csv);
    assert_eq!(written(&session, QUERY, Format::Ndjson).await, format!("{first}\n{second}\n{third}\n"));
    assert_eq!(written(&session, QUERY, Format::Json).await, format!("[{first},{second},{third}]\n"));
    assert_eq!(written(&session, QUERY, Format::Table).await, table);
}

#[tokio::test]
async fn no_rows_in_every_text_format() {
    let store = store();
    let session = store.session().await;
    let query = "SELECT action, ordinal FROM events WHERE action = 'none'";
    for (format, expected) in [
        (Format::Csv, "action,ordinal\n"),
        (Format::Ndjson, ""),
        (Format::Json, "[]\n"),
        (Format::Table, "+--------+---------+\n| action | ordinal |\n+--------+---------+\n+--------+---------+\n"),
    ] {
        assert_eq!(written(&session, query, format).await, expected, "{format:?}");
    }
}

#[tokio::test]
async fn rows_in_parquet() {
    let store = store();
    let session = store.session().await;
    for (query, rows) in [(QUERY, 3), ("SELECT action FROM events WHERE action = 'none'", 0)] {
        let stream = session.sql(query).await.unwrap().execute_stream().await.unwrap();
        let schema = stream.schema();
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = output::write(stream, Format::Parquet, &mut file.reopen().unwrap()).await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
        assert_eq!(reader.schema().fields(), schema.fields());
        let read: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!((written, read), (rows, rows as usize));
    }
}

#[tokio::test]
async fn a_closed_pipe_is_told_apart() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let store = store();
    let session = store.session().await;
    for (name, format) in Format::NAMES {
        let stream = session.sql(QUERY).await.unwrap().execute_stream().await.unwrap();
        match output::write(stream, format, &mut Closed).await {
            Err(OutputError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_error_of_the_query_is_told_apart() {
    let store = store();
    let session = store.session().await;
    let stream = session.sql("SELECT 1 / (ordinal - 1) FROM events").await.unwrap().execute_stream().await.unwrap();
    let failed = output::write(stream, Format::Csv, &mut Vec::new()).await;
    assert!(matches!(failed, Err(OutputError::Query(_))), "{failed:?}");
}

#[tokio::test]
async fn tables_show_what_could_act_on_a_terminal() {
    let store = TestStore::of(vec![with(hsm("2026-01-05 08:00:00", ""), "actor_id", "\u{202e}a")]);
    let session = store.session().await;
    let escape = "chr(27) || 'x'";
    for (value, shown) in [
        (escape.to_owned(), "\\u{1b}x"),
        (format!("arrow_cast({escape}, 'LargeUtf8')"), "\\u{1b}x"),
        (format!("arrow_cast({escape}, 'Dictionary(Int32, Utf8)')"), "\\u{1b}x"),
        (format!("make_array({escape}, NULL)"), "[\\u{1b}x, ]"),
        (format!("[[{escape}]]"), "[[\\u{1b}x]]"),
        (format!("named_struct('a', {escape}, 'b', 1)"), "{a: \\u{1b}x, b: 1}"),
        ("named_struct('\u{1b}', 1)".into(), "{\\u{1b}: 1}"),
        (format!("map([{escape}], ['\u{9b}'])"), "{\\u{1b}x: \\u{9b}}"),
        ("(SELECT array_agg(DISTINCT actor_id) FROM events)".into(), "[\\u{202e}a]"),
        ("1.50".into(), "1.5"),
        ("true".into(), "true"),
        ("X'1b'".into(), "1b"),
        ("NULL".into(), ""),
        ("arrow_cast(NULL, 'Utf8')".into(), ""),
    ] {
        let drawn = written(&session, &format!("SELECT {value} AS \"v\u{1b}\""), Format::Table).await;
        let cells: Vec<&str> = drawn.lines().filter(|line| line.starts_with('|')).collect();
        let cells: Vec<&str> = cells.iter().map(|line| line.trim_matches(['|', ' '])).collect();
        assert_eq!(cells, ["v\\u{1b}", shown], "{value}");
    }
    let no_rows = written(&session, "SELECT 1 AS \"v\u{1b}\" WHERE false", Format::Table).await;
    assert!(no_rows.contains("| v\\u{1b} |"), "{no_rows}");
}

#[tokio::test]
async fn equal_names_are_refused_where_a_reader_would_lose_one() {
    let store = store();
    let session = store.session().await;
    let pairs = "SELECT a.ordinal, b.ordinal FROM events a JOIN events b USING (time)";
    let nested = "SELECT [named_struct('ordinal', 1, 'ordinal', 2)] AS pair";
    for (query, name, format) in [
        (pairs, "json", Format::Json),
        (pairs, "ndjson", Format::Ndjson),
        (pairs, "parquet", Format::Parquet),
        (nested, "json", Format::Json),
    ] {
        let stream = session.sql(query).await.unwrap().execute_stream().await.unwrap();
        let mut out = Vec::new();
        let error = output::write(stream, format, &mut out).await.unwrap_err();
        let words = format!("two columns are called \"ordinal\", which {name} cannot hold: name one with AS");
        assert_eq!((error.to_string(), out.len()), (words, 0), "nothing is written");
    }
    for (format, header) in [(Format::Csv, "ordinal,ordinal\n"), (Format::Table, "+-")] {
        assert!(written(&session, pairs, format).await.starts_with(header), "{format:?}");
    }
    let query = "SELECT a.ordinal, b.ordinal AS other FROM events a JOIN events b USING (time) LIMIT 1";
    assert_eq!(written(&session, query, Format::Json).await, "[{\"ordinal\":0,\"other\":0}]\n");
}
