//! Making a store, adding runs, reading them back.

use super::*;

#[test]
fn there_is_no_store_until_a_writer_made_one() {
    let room = Room::new();
    assert!(matches!(Store::open(&room.root), Err(StoreError::NotFound { .. })));
    fs::create_dir_all(room.root.join("events/_delta_log")).unwrap();
    assert!(matches!(Store::open(&room.root), Err(StoreError::NotFound { .. })));
    drop(room.writer());
    let snapshot = room.snapshot();
    assert_eq!((snapshot.version(), snapshot.rows(), snapshot.runs().len()), (0, 0, 0));
    assert_eq!(snapshot.ledger().unwrap(), []);
    assert_eq!(room.writer().snapshot().head(), snapshot.head(), "opening again changes nothing");
}

#[test]
fn a_run_is_there_after_reopening() {
    let room = Room::new();
    let mut writer = room.writer();
    let committed = commit(&mut writer, "aa", &[&[MORNING + 1, MORNING], &[FEBRUARY], &[MORNING + 9]]);
    drop(writer);
    let snapshot = room.snapshot();
    assert_eq!(snapshot.head(), committed.head());
    assert_eq!((snapshot.version(), snapshot.rows()), (1, 4));
    let run = &snapshot.runs()[0];
    assert!(run.run.starts_with("00000001-") && run.run.len() == 21, "{}", run.run);
    let name = |file: &str| format!("{file}.parquet").replace("RUN", &run.run);
    assert_eq!(
        room.files(),
        [
            name("archives/RUN"),
            name("events/month=2026-01/RUN-0000"),
            name("events/month=2026-01/RUN-0001"),
            name("events/month=2026-02/RUN-0000"),
            name("rejects/RUN"),
        ]
    );
    let file = &snapshot.files()[0];
    assert_eq!((file.month.as_str(), file.rows), ("2026-01", 2));
    assert_eq!((file.min_time, file.max_time), (MORNING, MORNING + 1000));
    assert_eq!(file.bytes, fs::metadata(snapshot.events_dir().join(&file.path)).unwrap().len());
    assert_eq!(run.options, json!({"jobs": 2, "paths": ["a", 1, null]}));
    assert_eq!(run.records, RecordCounts { read: 7, stored: 4, duplicates: 2, rejected: 1 });
    assert_eq!((run.committed_at, run.version, run.schema_version), (MORNING + 5, 1, 1));
    assert_eq!((run.archives.rows, run.rejects.rows), (1, 1));
    for sidecar in [&run.archives, &run.rejects] {
        let bytes = fs::read(room.root.join(&sidecar.path)).unwrap();
        assert_eq!((crate::sealed_file::sha256(&bytes), bytes.len() as u64), (sidecar.sha256.clone(), sidecar.bytes));
    }
    assert_eq!(snapshot.ledger().unwrap(), [ledger_row(&run.run, "aa", run.records)]);
    assert_eq!(run.rejects.path, name("rejects/RUN"));
}

#[test]
fn commits_are_chained_by_hash() {
    let room = Room::new();
    let mut writer = room.writer();
    let first = commit(&mut writer, "aa", &[&[MORNING]]);
    let second = commit(&mut writer, "bb", &[&[MORNING + 1]]);
    let hash = |version| crate::sealed_file::sha256(&fs::read(room.commit_file(version)).unwrap());
    assert_eq!([&second.runs()[0].prev, &second.runs()[1].prev], [&hash(0), &hash(1)]);
    assert_eq!((first.head(), second.head()), (hash(1).as_str(), hash(2).as_str()));
    assert_eq!(first.rows(), 1, "a snapshot does not change");
    assert_eq!(second.rows(), 2);
}

#[test]
fn a_run_without_rows_is_a_run() {
    let room = Room::new();
    let mut writer = room.writer();
    let snapshot = commit(&mut writer, "aa", &[]);
    assert_eq!((snapshot.version(), snapshot.files().len(), snapshot.runs()[0].files.len()), (1, 0, 0));
    assert_eq!(snapshot.ledger().unwrap().len(), 1);
    assert_eq!(commit(&mut writer, "bb", &[&[MORNING]]).rows(), 1);
}

#[test]
fn the_ledger_holds_the_latest_row_of_each_archive() {
    let room = Room::new();
    let mut writer = room.writer();
    commit(&mut writer, "aa", &[]);
    commit(&mut writer, "bb", &[]);
    let snapshot = commit(&mut writer, "aa", &[&[MORNING]]);
    let ledger: Vec<_> = snapshot.ledger().unwrap().into_iter().map(|row| (row.archive, row.records.stored)).collect();
    assert_eq!(ledger, [("bb".to_owned(), 0), ("aa".to_owned(), 1)]);
}

#[test]
fn names_of_runs_depend_on_the_set_of_archives() {
    let room = Room::new();
    let writer = room.writer();
    let name = |archives: &[&str]| writer.next_run(&mut archives.iter().copied());
    assert_eq!(name(&["aa", "bb"]), name(&["bb", "aa"]));
    assert_ne!(name(&["aa", "bb"]), name(&["aab", "b"]));
    assert_eq!(name(&[]), "00000001-e3b0c44298fc");
}

#[test]
fn figures_that_contradict_each_other_are_not_committed() {
    type Change = fn(&mut RunCommit);
    /// Another ledger in the place of the one with a row of the archive `aa`.
    fn write(run: &mut RunCommit, change: impl FnOnce(LedgerRow) -> Vec<LedgerRow>) {
        let rows = change(ledger_row(&run.run, "aa", run.records));
        run.ledger = StagedLedger::write(&run.ledger.path, rows).unwrap();
    }
    fn unbalanced(row: LedgerRow) -> LedgerRow {
        LedgerRow { records: RecordCounts { duplicates: row.records.duplicates + 1, ..row.records }, ..row }
    }
    let cases: [(Change, &str); 9] = [
        (|run| run.run = "00000002-ab".into(), "name of the run: expected 00000001-..., found 00000002-ab"),
        (|run| run.run = "00000001-../x".into(), "name of the run"),
        (|run| run.records.read += 1, "records of the run: expected read = stored + duplicates + rejected"),
        (|run| write(run, |row| vec![unbalanced(row)]), "records of archive aa"),
        (
            |run| write(run, |row| vec![row.clone(), LedgerRow { run: "other".into(), archive: "bb".into(), ..row }]),
            "run of archive bb: expected 00000001-",
        ),
        (
            |run| write(run, |row| vec![row.clone(), row]),
            "ledger: expected one row an archive, found two of archive aa",
        ),
        (|run| run.files.clear(), "rows of the data files: expected 1, found 0"),
        (|run| run.rejects.rows = 0, "rows of the rejects: expected 1, found 0"),
        (|run| run.files[0].bytes += 1, "length of"),
    ];
    for (change, message) in cases {
        let room = Room::new();
        let mut writer = room.writer();
        let mut run = run(&writer, "aa", &[&[MORNING]]);
        change(&mut run);
        let error = writer.commit(run).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(room.snapshot().version(), 0);
    }
}

#[test]
fn a_second_writer_waits_for_the_first() {
    let room = Room::new();
    let mut first = room.writer();
    let (waits, waiting) = std::sync::mpsc::channel();
    let root = room.root.clone();
    let second = std::thread::spawn(move || {
        let mut writer = Writer::open(&root, &mut || waits.send(()).unwrap()).unwrap();
        assert_eq!(writer.snapshot().version(), 1, "it sees what the first committed");
        commit(&mut writer, "bb", &[&[MORNING]])
    });
    waiting.recv().unwrap();
    commit(&mut first, "aa", &[&[MORNING]]);
    drop(first);
    assert_eq!(second.join().unwrap().rows(), 2);
    assert!(waiting.recv().is_err(), "it said so once");
}

#[test]
fn works_inside_an_async_runtime_of_either_kind() {
    let room = Room::new();
    commit(&mut room.writer(), "aa", &[&[MORNING]]);
    let runtimes = [tokio::runtime::Builder::new_multi_thread(), tokio::runtime::Builder::new_current_thread()];
    for mut runtime in runtimes {
        let rows = runtime.build().unwrap().block_on(async { room.snapshot().rows() });
        assert_eq!(rows, 1);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { commit(&mut room.writer(), "bb", &[&[MORNING]]) });
    assert_eq!(room.snapshot().rows(), 2);
}

#[test]
fn rows_are_read_by_exact_time_range() {
    let room = Room::new();
    let mut writer = room.writer();
    commit(&mut writer, "aa", &[&[MORNING + 7, MORNING, MORNING + 3], &[FEBRUARY]]);
    commit(&mut writer, "bb", &[&[MORNING + 2, MORNING + 8]]);
    let all = [MORNING + 7, MORNING, MORNING + 3, MORNING + 2, MORNING + 8, FEBRUARY];
    let snapshot = room.snapshot();
    for (from, to) in [(i64::MIN, i64::MAX), (0, 8), (1, 8), (0, 7), (3, 3), (4, 6), (9, 1_000_000), (8, 2)] {
        let (from, to) = (from.saturating_add(MORNING), to.saturating_add(MORNING));
        let expected: Vec<_> = all.into_iter().filter(|time| (from..=to).contains(time)).collect();
        assert_eq!(times(&snapshot, from, to), expected, "{from}..={to}");
    }
    assert_eq!(times(&snapshot, FEBRUARY, FEBRUARY), [FEBRUARY]);
    assert_eq!(times(&snapshot, FEBRUARY + 1, i64::MAX), [0_i64; 0]);
}

#[test]
fn what_is_read_equals_what_was_written() {
    let room = Room::new();
    let mut writer = room.writer();
    let times: Vec<_> = (0..20_000).map(|n| MORNING + n * 1_000_003 % 86_400_000_000).collect();
    let snapshot = commit(&mut writer, "aa", &[&times]);
    let written = batch(&times);
    let written = keytrail_model::record::RecordColumns::of(&written).unwrap();
    let mut row = 0;
    crate::read_events::<StoreError>(&snapshot, i64::MIN, i64::MAX, &mut |batch| {
        let read = keytrail_model::record::RecordColumns::of(batch).unwrap();
        for index in 0..batch.num_rows() {
            assert_eq!(read.row(index), written.row(row));
            row += 1;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(row, times.len());
}

#[test]
fn an_error_of_the_reader_ends_the_reading() {
    let room = Room::new();
    commit(&mut room.writer(), "aa", &[&[MORNING], &[FEBRUARY]]);
    let mut calls = 0;
    let stopped = crate::read_events::<StoreError>(&room.snapshot(), i64::MIN, i64::MAX, &mut |_| {
        calls += 1;
        Err(StoreError::NotFound { path: "stop".into() })
    });
    assert!(stopped.is_err());
    assert_eq!(calls, 1);
}
