//! What kills leave behind, and what the next writer makes of it.

use super::*;

#[test]
fn a_kill_before_the_commit_leaves_the_last_snapshot() {
    let room = Room::new();
    let mut writer = room.writer();
    let before = commit(&mut writer, "aa", &[&[MORNING]]);
    let files = room.files();
    let unfinished = run(&writer, "bb", &[&[MORNING + 1], &[FEBRUARY]]);
    drop(writer.place(unfinished).unwrap());
    drop(writer);

    let snapshot = room.snapshot();
    assert_eq!((snapshot.head(), snapshot.rows()), (before.head(), 1), "readers see the last commit");
    let mut writer = room.writer();
    let name = writer.next_run(&mut ["bb"].into_iter());
    let swept = [
        "archives/N.parquet",
        "events/month=2026-01/N-0000.parquet",
        "events/month=2026-02/N-0000.parquet",
        "rejects/N.parquet",
    ];
    assert_eq!(writer.swept(), swept.map(|path| path.replace('N', &name)));
    assert_eq!(room.files(), files);
    assert_eq!(commit(&mut writer, "bb", &[&[MORNING + 1], &[FEBRUARY]]).rows(), 3, "the next run completes the work");
}

#[test]
fn left_overs_of_every_kind_are_swept_and_named() {
    let room = Room::new();
    commit(&mut room.writer(), "aa", &[&[MORNING]]);
    let files = room.files();
    let left = [
        "_staging/f0",
        "events/_delta_log/.00000000000000000002.json.4711.0.tmp",
        "events/month=2026-01/00000002-ab-0000.parquet",
        "forgotten/00000002-ab.parquet",
        "rejects/00000002-ab.parquet",
    ];
    fs::create_dir_all(room.root.join("forgotten")).unwrap();
    for path in left {
        fs::write(room.root.join(path), "x").unwrap();
    }
    fs::create_dir_all(room.root.join("events/month=2026-01/folder.parquet")).unwrap();
    fs::create_dir_all(room.root.join("_staging/sub")).unwrap();
    fs::write(room.root.join("_staging/sub/file"), "x").unwrap();
    assert_eq!(room.snapshot().rows(), 1);
    let writer = room.writer();
    assert_eq!(writer.swept(), [&left[..1], &["_staging/sub"], &left[1..]].concat());
    assert_eq!(room.files(), files);
    assert_eq!(room.writer_again(writer).swept(), [] as [&str; 0]);
}

impl Room {
    fn writer_again(&self, writer: Writer) -> Writer {
        drop(writer);
        self.writer()
    }
}

#[test]
fn a_kill_while_the_store_is_made_is_made_good() {
    let room = Room::new();
    fs::create_dir_all(room.root.join("events/_delta_log")).unwrap();
    fs::write(room.log(".00000000000000000000.json.1.0.tmp"), "{\"commitInfo\"").unwrap();
    let mut writer = room.writer();
    assert_eq!(writer.swept(), ["events/_delta_log/.00000000000000000000.json.1.0.tmp"]);
    assert_eq!(commit(&mut writer, "aa", &[&[MORNING]]).rows(), 1);
}

#[test]
fn a_list_of_checkpoints_that_was_being_written_is_swept() {
    let room = Room::new();
    drop(room.writer());
    let (ours, of_others) = ("._checkpoints.json.4711.0.tmp", ".notes.tmp");
    for name in [ours, of_others] {
        fs::write(room.root.join(name), "{").unwrap();
    }
    assert_eq!(room.writer().swept(), [ours]);
    assert!(room.root.join(of_others).exists());
}

#[test]
fn whoever_took_the_version_nothing_of_ours_stays() {
    let foreign = r#"{"commitInfo":{"operation":"WRITE"}}"#;
    let takers: [(&str, &dyn Fn(&Path)); 4] = [
        ("a commit", &|path| fs::write(path, foreign).unwrap()),
        ("a damaged one", &|path| fs::write(path, "{\"commitInfo\":{\"keytrail\"").unwrap()),
        ("an empty file", &|path| fs::write(path, "").unwrap()),
        ("a folder", &|path| fs::create_dir(path).unwrap()),
    ];
    for (what, take) in takers {
        let room = Room::new();
        let mut writer = room.writer();
        commit(&mut writer, "aa", &[&[MORNING]]);
        let run = run(&writer, "bb", &[&[MORNING + 1], &[FEBRUARY]]);
        let outside_of_staging = || {
            let files = room.files().into_iter();
            files.filter(|path| !path.starts_with("_staging/")).collect::<Vec<_>>()
        };
        let before = outside_of_staging();
        take(&room.commit_file(2));
        let error = writer.commit(run).unwrap_err();
        assert!(matches!(error, StoreError::Conflict { version: 2, .. }), "{what}: {error}");
        assert_eq!(outside_of_staging(), before, "{what}");
    }
}

#[test]
fn what_was_swept_is_told_with_its_reason() {
    let stopped = "left by a run that was stopped";
    for path in ["events/month=2026-01/00000003-ab-0000.parquet", "events/_delta_log/.1.json.4711.0.tmp", "_staging/x"]
    {
        assert_eq!(crate::why_swept(path), stopped, "{path}");
    }
    for path in ["events/_delta_log/00000000000000000002.checkpoint.parquet", "events/_delta_log/_last_checkpoint"] {
        assert!(crate::why_swept(path).starts_with("a checkpoint, all of which are made anew"), "{path}");
    }
}

#[test]
fn an_error_after_the_commit_file_got_its_name_is_no_error() {
    let room = Room::new();
    let mut writer = room.writer();
    let placed = writer.place(run(&writer, "aa", &[&[MORNING]])).unwrap();
    assert!(writer.write_commit(&placed).is_ok());
    // The same again meets its own commit file, as a retry after a lost answer would.
    assert!(writer.write_commit(&placed).is_ok());
    assert_eq!(room.snapshot().rows(), 1);
    let other = writer.place(run(&writer, "bb", &[&[MORNING]])).unwrap();
    assert!(matches!(writer.write_commit(&other), Err(StoreError::Conflict { version: 1, .. })));
    assert!(writer.commit(run(&writer, "cc", &[])).unwrap_err().to_string().contains("run again"));
}

#[test]
fn a_checkpoint_is_written_every_hundred_commits_and_never_needed() {
    let room = Room::new();
    let mut writer = room.writer();
    for n in 1..=101 {
        commit(&mut writer, &format!("{n:02}"), &[&[MORNING + n]]);
        assert_eq!(room.log("_last_checkpoint").exists(), n >= 100, "after {n} commits");
    }
    assert_eq!(writer.warnings(), [] as [&str; 0]);
    drop(writer);
    let checkpoint = room.log("00000000000000000100.checkpoint.parquet");
    assert!(checkpoint.exists());
    let whole = room.snapshot();
    assert_eq!((whole.rows(), whole.runs().len(), whole.ledger().unwrap().len()), (101, 101, 101));

    let hint = || room.log("_last_checkpoint");
    let good = fs::read(&checkpoint).unwrap();
    let whole_hint = fs::read(hint()).unwrap();
    let cases: [(&[u8], &[u8], bool); 6] = [
        (b"", &good, false),
        (b"{\"version\":100", &good, false),
        (&whole_hint, b"", true),
        (&whole_hint, &good[..good.len() / 2], true),
        (b"", b"", false),
        (b"", b"PAR1 garbage PAR1", true),
    ];
    for (number, (hint_bytes, checkpoint_bytes, ignored)) in cases.into_iter().enumerate() {
        fs::write(hint(), hint_bytes).unwrap();
        fs::write(&checkpoint, checkpoint_bytes).unwrap();
        let snapshot = room.snapshot();
        assert_eq!(snapshot.files(), whole.files(), "case {number}");
        let (compared, _) = Snapshot::load_compared(&crate::layout::Layout::new(&room.root)).unwrap().unwrap();
        assert_eq!((compared.files(), compared.checkpoint_ignored()), (whole.files(), ignored), "case {number}");
        assert!(checkpoint.exists() && hint().exists(), "a reader changes nothing");
    }
    let mut writer = room.writer();
    let swept = ["events/_delta_log/00000000000000000100.checkpoint.parquet", "events/_delta_log/_last_checkpoint"];
    assert_eq!(writer.swept(), swept, "a writer removes what is damaged");
    assert_eq!(commit(&mut writer, "next", &[&[MORNING]]).rows(), 102);
    assert!(room.log("00000000000000000102.checkpoint.parquet").exists(), "and makes a new one");
    assert!(!room.snapshot().checkpoint_ignored());
}
