//! Damage is named, never read over.

use super::*;

pub(super) fn store_of_two_runs() -> Room {
    let room = Room::new();
    let mut writer = room.writer();
    commit(&mut writer, "aa", &[&[MORNING], &[FEBRUARY]]);
    commit(&mut writer, "bb", &[&[MORNING + 1], &[FEBRUARY + 1]]);
    drop(writer);
    room
}

/// Gives a store of two runs a checkpoint of its last version that says what another store, which is returned, did.
pub(super) fn put_checkpoint_of_another(room: &Room) -> Room {
    let other = store_of_two_runs();
    commit(&mut other.writer(), "cc", &[&[MORNING]]);
    crate::delta::checkpoint(&other.root.join("events"), 3).unwrap();
    let of_another = other.log("00000000000000000003.checkpoint.parquet");
    fs::copy(of_another, room.log("00000000000000000002.checkpoint.parquet")).unwrap();
    other
}

pub(super) fn damage(room: &Room, version: u64, change: impl Fn(&str) -> String) {
    let path = room.commit_file(version);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, change(&text)).unwrap();
}

/// Changes a commit as somebody would who knows of its seal.
pub(super) fn forge(room: &Room, version: u64, change: impl Fn(&str) -> String) {
    damage(room, version, change);
    let path = room.commit_file(version);
    let text = fs::read_to_string(&path).unwrap();
    let start = text.find("\"seal\":\"").unwrap() + 8;
    let mut bytes = text.replace(&text[start..start + 64], &crate::seal::blank()).into_bytes();
    crate::seal::close(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_commit_that_is_not_whole_is_refused() {
    type Change = fn(&str) -> String;
    let cases: [(u64, Change, &str); 14] = [
        (2, |_| String::new(), "expected lines of JSON, found an empty file"),
        (2, |text| text.lines().next().unwrap().to_owned() + "\n", "expected 2 added and 0 removed files"),
        (2, |text| text.trim_end().to_owned(), "expected a newline at its end, found a cut after"),
        (2, |text| text[..40].to_owned() + "\n", "expected a JSON object in line 1"),
        (2, |text| "\0".repeat(text.len()), "expected a JSON object in line 1"),
        (2, |text| text.replace("\"size\":", "\"size\":1"), "expected 2 added and 0 removed files"),
        (2, |text| text.replace("\"prev\":\"", "\"prev\":\"0"), "of the commit before it, found 0"),
        (
            2,
            |text| text.replace("\"keytrail\":{\"", "\"keytrail\":{\"x"),
            "what keytrail writes in commitInfo.keytrail",
        ),
        (1, |_| String::new(), "expected lines of JSON, found an empty file"),
        (1, |text| text.lines().next().unwrap().to_owned() + "\n", "expected 2 added and 0 removed files"),
        (2, |text| text.replace("-0000.parquet\",\"rows", "-0009.parquet\",\"rows"), "to be added, as its record says"),
        (2, |text| text.replace("numRecords\\\":1", "numRecords\\\":2"), "expected 1 rows, found 2 rows in the log"),
        (1, |text| text.replace("\"rejected\":1", "\"rejected\":2"), "of the commit before it"),
        (0, |text| text.replace("\"keytrail\":", "\"other\":"), "expected the first commit of a keytrail store"),
    ];
    for (version, change, message) in cases {
        let room = store_of_two_runs();
        let before = fs::read_to_string(room.commit_file(version)).unwrap();
        damage(&room, version, change);
        assert_ne!(before, fs::read_to_string(room.commit_file(version)).unwrap(), "{message}");
        let files = room.files();
        let read = Store::open(&room.root).and_then(|store| store.snapshot()).unwrap_err();
        let write = Writer::open(&room.root, &mut || ()).unwrap_err();
        for error in [read, write] {
            assert!(matches!(error, StoreError::DamagedCommit { .. } | StoreError::DamagedFile { .. }), "{error}");
            assert!(error.to_string().contains(message), "{error}");
        }
        assert_eq!(room.files(), files, "nothing is swept from a damaged store");
    }
}

#[test]
fn a_missing_commit_is_noticed() {
    let room = store_of_two_runs();
    fs::remove_file(room.commit_file(1)).unwrap();
    let error = Store::open(&room.root).unwrap_err().to_string();
    assert!(error.contains("00000000000000000001.json: damaged commit: expected a commit"), "{error}");

    let room = store_of_two_runs();
    fs::remove_file(room.commit_file(1)).unwrap();
    fs::remove_file(room.commit_file(2)).unwrap();
    let error = Writer::open(&room.root, &mut || ()).unwrap_err().to_string();
    assert!(error.contains("is of a later one, found no such file"), "two lost commits are no kill: {error}");

    let room = store_of_two_runs();
    fs::remove_dir_all(room.root.join("events/_delta_log")).unwrap();
    let error = Writer::open(&room.root, &mut || ()).unwrap_err().to_string();
    assert!(error.contains("expected the first commit, found no such file, though events/month=2026-01/"), "{error}");
    assert_eq!(room.files().len(), 8, "nothing is swept");
}

#[test]
fn a_newer_schema_is_refused() {
    for version in [0, 2] {
        let room = store_of_two_runs();
        // A newer record may hold anything else.
        damage(&room, version, |text| {
            text.replace("\"schema_version\":1", "\"schema_version\":7").replace("\"adds\"", "\"a\"")
        });
        let error = Store::open(&room.root).and_then(|store| store.snapshot()).unwrap_err();
        assert!(matches!(error, StoreError::SchemaTooNew { found: 7, known: 1, .. }), "{error}");
        assert!(Writer::open(&room.root, &mut || ()).is_err());
    }
}

#[test]
fn a_changed_ledger_is_not_read() {
    let room = store_of_two_runs();
    let snapshot = room.snapshot();
    let path = room.root.join(&snapshot.runs()[1].archives.path);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(snapshot.ledger(), Err(StoreError::DamagedFile { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(snapshot.ledger(), Err(StoreError::Io { .. })));
}

#[test]
fn a_data_file_of_another_length_is_not_read() {
    let room = store_of_two_runs();
    let snapshot = room.snapshot();
    let path = snapshot.events_dir().join(&snapshot.files()[0].path);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let read = crate::read_events::<StoreError>(&snapshot, i64::MIN, i64::MAX, &mut |_| Ok(()));
    assert!(matches!(read, Err(StoreError::DamagedFile { .. })));
}

#[test]
fn a_changed_data_file_is_not_read_by_time() {
    let room = store_of_two_runs();
    let snapshot = room.snapshot();
    let path = snapshot.events_dir().join(&snapshot.files()[1].path);
    let whole = fs::read(&path).unwrap();
    for at in (4..whole.len()).step_by(97) {
        let mut changed = whole.clone();
        changed[at] ^= 8;
        fs::write(&path, changed).unwrap();
        let mut rows = 0;
        let error = crate::read_events::<StoreError>(&snapshot, i64::MIN, i64::MAX, &mut |batch| {
            rows += batch.num_rows();
            Ok(())
        })
        .unwrap_err();
        assert!(
            matches!(&error, StoreError::DamagedFile { expected, .. } if expected.starts_with("SHA-256 ")),
            "{error}"
        );
        assert_eq!(rows, 1, "those of the file before it, and none of its own");
    }
    assert_eq!(times(&snapshot, FEBRUARY, i64::MAX), [FEBRUARY, FEBRUARY + 1], "what is not read is not hashed");
}

#[test]
fn bytes_at_which_the_library_panics_are_damage() {
    let room = store_of_two_runs();
    let snapshot = room.snapshot();
    let ours = &snapshot.files()[0];
    let path = snapshot.events_dir().join(&ours.path);
    let whole = fs::read(&path).unwrap();
    // Nobody vouches for the bytes of another program's file, so they are decoded as they are.
    let foreign = crate::DataFile { sha256: None, ..ours.clone() };
    let mut snapshot = snapshot.clone();
    snapshot.files = vec![foreign.clone()];
    let mut panics = [0, 0];
    // The first page of numbers: numbers that do not end are what the library asserts there are none of.
    for at in 4..100 {
        let mut changed = whole.clone();
        changed[at..at + 12].fill(0xff);
        fs::write(&path, changed).unwrap();
        let by_time = crate::read_events::<StoreError>(&snapshot, i64::MIN, i64::MAX, &mut |_| Ok(()));
        let as_a_whole = crate::read_data_file::<StoreError>(&snapshot, &foreign, &mut |_| Ok(()));
        for (count, read) in panics.iter_mut().zip([by_time, as_a_whole]) {
            *count +=
                usize::from(read.is_err_and(|error| error.to_string().contains("makes the Parquet library fail")));
        }
    }
    assert!(panics.iter().all(|&count| count > 0), "{panics:?}: there are such bytes");
    assert!(!crate::is_guarded());
}

#[test]
fn a_commit_of_another_program_may_end_without_a_newline() {
    let info = r#"{"commitInfo":{"timestamp":1767600000000,"operation":"WRITE"}}"#;
    let add = r#"{"add":{"path":"month=2026-01/x.parquet","partitionValues":{"month":"2026-01"},"size":9,"modificationTime":0,"dataChange":true,"stats":"{\"numRecords\":3}"}}"#;
    for lines in [[info, add], [add, info]] {
        let room = store_of_two_runs();
        let text = lines.join("\n");
        fs::write(room.commit_file(3), &text).unwrap();
        let snapshot = room.snapshot();
        assert_eq!((snapshot.foreign_commits(), snapshot.rows()), (&[3][..], 7));
        let found = crate::verify(&room.root, crate::Depth::Quick).unwrap();
        let told = found.damages[0].to_string();
        assert!(told.contains("expected a commit of keytrail, found version 3 of another program"), "{told}");
        assert_eq!(found.notes, [] as [&str; 0]);
        commit(&mut room.writer(), "cc", &[&[MORNING]]);
        assert_eq!(room.snapshot().rows(), 8, "the chain goes on");
        fs::remove_file(room.commit_file(4)).unwrap();

        for (length, line) in [(text.len() - 1, 2), (lines[0].len() - 1, 1)] {
            fs::write(room.commit_file(3), &text[..length]).unwrap();
            let error = Store::open(&room.root).unwrap().snapshot().unwrap_err().to_string();
            assert!(error.contains(&format!("expected a JSON object in line {line}")), "{error}");
        }
    }
}

#[test]
fn a_commit_of_another_program_is_named() {
    let room = store_of_two_runs();
    let foreign = concat!(
        r#"{"commitInfo":{"operation":"WRITE"}}"#,
        "\n",
        r#"{"add":{"path":"month=2026-01/part%20x.parquet","partitionValues":{"month":"2026-01"},"size":9,"modificationTime":0,"#,
        r#""dataChange":true,"stats":"{\"numRecords\":3,\"minValues\":{\"time\":\"2026-01-05T08:00:00.000Z\"},"#,
        r#"\"maxValues\":{\"time\":\"2026-01-05T08:00:00.001Z\"}}"}}"#,
        "\n"
    );
    fs::write(room.commit_file(3), foreign).unwrap();
    let snapshot = room.snapshot();
    assert_eq!((snapshot.foreign_commits(), snapshot.runs().len(), snapshot.rows()), (&[3][..], 2, 7));
    let file = snapshot.files().iter().find(|file| file.path == "month=2026-01/part x.parquet").unwrap();
    assert_eq!((file.min_time, file.max_time), (MORNING, MORNING + 1999), "its maximum may have been cut");
    let mut writer = room.writer();
    commit(&mut writer, "cc", &[&[MORNING]]);
    assert_eq!(room.snapshot().rows(), 8, "the chain goes on");

    let ours = room.snapshot().files().first().map(|file| file.path.clone()).unwrap();
    let remove = format!("{{\"remove\":{{\"path\":\"{ours}\",\"deletionTimestamp\":0,\"dataChange\":true}}}}");
    fs::write(room.commit_file(5), format!("{{\"commitInfo\":{{}}}}\n{remove}\n")).unwrap();
    assert_eq!(room.snapshot().rows(), 7, "what it removes is gone");
    fs::remove_file(room.commit_file(5)).unwrap();

    damage(&room, 3, |text| text.replace("\"size\":9", "\"size\":8"));
    assert!(Store::open(&room.root).unwrap().snapshot().is_err(), "and covers it");
}

/// A changed figure in the commit of the second run: it is whole otherwise.
fn change_a_figure(room: &Room) {
    damage(room, 2, |text| text.replace("\"duplicates\":2,\"read\":5", "\"duplicates\":9,\"read\":12"));
}

#[test]
fn upon_a_last_commit_that_was_changed_nothing_is_written() {
    type Change = fn(&Room);
    let renamed: Change = |room| damage(room, 2, |text| text.replace("\"seal\":", "\"sea1\":"));
    let cases: [(&str, Change, &str); 2] = [
        ("a figure", change_a_figure, "expected bytes of the seal "),
        ("the name of the seal", renamed, "expected a commit record with its seal, found none"),
    ];
    for (what, change, words) in cases {
        let room = store_of_two_runs();
        let whole = fs::read(room.commit_file(2)).unwrap();
        change(&room);
        assert_ne!(whole, fs::read(room.commit_file(2)).unwrap(), "{what}");
        let snapshot = room.snapshot();
        assert_eq!(snapshot.rows(), 4, "a reader goes on: {what}");
        let folder = tempfile::tempdir().unwrap();
        let written = Writer::open(&room.root, &mut || ()).unwrap_err();
        let signed = snapshot.sign(&key(folder.path()), None).unwrap_err();
        for error in [written, signed] {
            let error = error.to_string();
            assert!(error.contains("00000000000000000002.json: damaged commit: ") && error.contains(words), "{error}");
        }
        assert!(!room.root.join("signatures").exists(), "{what}");
        fs::write(room.commit_file(2), whole).unwrap();
        room.snapshot().sign(&key(folder.path()), None).unwrap();
        commit(&mut room.writer(), "cc", &[&[MORNING]]);
    }
}

#[test]
fn a_commit_of_another_program_needs_no_seal() {
    let room = store_of_two_runs();
    let seal = "0".repeat(64);
    fs::write(room.commit_file(3), format!("{{\"commitInfo\":{{\"operation\":\"WRITE\",\"seal\":\"{seal}\"}}}}\n"))
        .unwrap();
    let whole = fs::read(room.commit_file(2)).unwrap();
    change_a_figure(&room);
    let error = Writer::open(&room.root, &mut || ()).unwrap_err().to_string();
    assert!(
        error.contains("00000000000000000002.json: damaged commit: "),
        "that of the commit before it counts: {error}"
    );
    fs::write(room.commit_file(2), whole).unwrap();
    commit(&mut room.writer(), "cc", &[&[MORNING]]);
    let found = crate::verify(&room.root, crate::Depth::Quick).unwrap();
    assert_eq!((found.damages.len(), found.notes), (1, vec![]), "that it is there: {:?}", found.damages);
}

/// A secret key in a folder of its own.
fn key(folder: &Path) -> keytrail_sign::SecretKey {
    let prefix = folder.join("k");
    if !folder.join("k.key").exists() {
        keytrail_sign::generate_key(&prefix, None).unwrap();
    }
    let password = || Ok(String::new());
    keytrail_sign::SecretKey::from_file::<keytrail_sign::SignError>(&folder.join("k.key"), password).unwrap()
}

#[test]
fn a_commit_between_ours_and_a_foreign_one_is_checked() {
    let room = store_of_two_runs();
    damage(&room, 2, |text| text.lines().next().unwrap().to_owned() + "\n");
    fs::write(room.commit_file(3), "{\"commitInfo\":{\"operation\":\"WRITE\"}}\n").unwrap();
    let error = Store::open(&room.root).unwrap().snapshot().unwrap_err().to_string();
    assert!(error.contains("expected 2 added and 0 removed files"), "{error}");
}

#[test]
fn after_a_commit_of_another_program_checkpoints_are_still_compared() {
    let room = store_of_two_runs();
    let foreign = "{\"commitInfo\":{\"operation\":\"WRITE\"}}\n";
    fs::write(room.commit_file(3), foreign).unwrap();
    let whole = room.snapshot();
    let other = Room::new();
    let mut writer = other.writer();
    ["aa", "bb", "cc"].into_iter().for_each(|archive| drop(commit(&mut writer, archive, &[&[MORNING]])));
    crate::delta::checkpoint(&other.root.join("events"), 3).unwrap();
    let name = "00000000000000000003.checkpoint.parquet";
    fs::copy(other.log(name), room.log(name)).unwrap();
    let snapshot = room.snapshot();
    assert!(snapshot.checkpoint_ignored());
    assert_eq!(snapshot.files(), whole.files());
}

#[test]
fn a_checkpoint_that_says_other_than_the_commits_is_left_aside() {
    let room = store_of_two_runs();
    let whole = room.snapshot();
    put_checkpoint_of_another(&room);
    assert_eq!(room.snapshot().files(), whole.files(), "a reader has no use for it");
    let writer = room.writer();
    assert_eq!(writer.snapshot().files(), whole.files());
    assert_eq!(writer.swept(), ["events/_delta_log/00000000000000000002.checkpoint.parquet"], "but other engines have");
}

/// A commit as another program would make it.
fn foreign(room: &Room, version: u64, actions: &[&str]) {
    let lines = ["{\"commitInfo\":{\"operation\":\"DELETE\"}}"].iter().chain(actions);
    fs::write(room.commit_file(version), lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[test]
fn commits_that_reach_out_of_the_table_are_refused_and_delete_nothing() {
    let outside = ["..%2F..%2Fvictim.txt", "../../etc/passwd", "/etc/passwd", "", "month=2026-01//x.parquet"];
    let of_the_log =
        ["_delta_log/00000000000000000000.json", "month=2026-01%2F..%2F_delta_log%2F00000000000000000000.json"];
    for path in outside.iter().chain(&of_the_log) {
        for kind in ["add", "remove"] {
            let room = store_of_two_runs();
            let victim = room.root.parent().unwrap().join("victim.txt");
            fs::write(&victim, "x").unwrap();
            let more = "\"partitionValues\":{\"month\":\"2026-01\"},\"size\":1,\"stats\":\"{\\\"numRecords\\\":1}\"";
            foreign(&room, 3, &[&format!("{{\"{kind}\":{{\"path\":\"{path}\",\"dataChange\":true,{more}}}}}")]);
            let (files, expected) = (room.files(), "expected paths of data files within the table, found");
            let read = Store::open(&room.root).and_then(|store| store.snapshot()).unwrap_err();
            let write = Writer::open(&room.root, &mut || ()).unwrap_err();
            for error in [read, write] {
                assert!(error.to_string().contains(&format!("{expected} {kind} of {path:?}")), "{error}");
            }
            let found = crate::verify(&room.root, crate::Depth::Quick).unwrap();
            assert!(found.damages.iter().any(|damage| damage.to_string().contains(expected)), "{:?}", found.damages);
            assert!(room.files() == files && victim.exists() && room.commit_file(0).exists(), "{kind} {path}");
        }
    }
}

#[test]
fn what_another_program_removed_is_told_and_never_deleted() {
    let room = store_of_two_runs();
    let path = room.snapshot().files()[0].path.clone();
    foreign(
        &room,
        3,
        &[
            &format!("{{\"remove\":{{\"path\":\"{path}\",\"dataChange\":true}}}}"),
            "{\"remove\":{\"path\":\"month=2026-01/never-there.parquet\",\"dataChange\":true}}",
        ],
    );
    let files = room.files();
    let mut writer = room.writer();
    let warning = "another program committed to the store: `keytrail verify` tells what it changed; version 3";
    assert_eq!((writer.swept(), writer.warnings()), (&[][..], &[warning.to_owned()][..]));
    let vacuumed = writer.vacuum(i64::MAX, std::time::Duration::ZERO).unwrap();
    assert_eq!(vacuumed.freed, []);
    assert_eq!(vacuumed.foreign.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), [format!("events/{path}")]);
    assert_eq!(room.files(), files);
    assert_eq!(commit(&mut writer, "cc", &[&[MORNING + 9]]).rows(), 4);
}

#[test]
fn a_lost_last_commit_is_not_taken_for_a_run_that_was_stopped() {
    // It removed files, which are gone: what it added is all that there is.
    let room = store_of_two_runs();
    let mut writer = room.writer();
    writer.compact(&super::shape::compaction()).unwrap();
    assert!(!writer.free_removed_by(3).unwrap().freed.is_empty());
    drop(writer);
    fs::remove_file(room.commit_file(3)).unwrap();
    let files = room.files();
    let error = Writer::open(&room.root, &mut || ()).unwrap_err().to_string();
    assert!(error.contains("rows of the table, found no such file"), "{error}");
    assert_eq!(room.files(), files);

    // It was signed.
    let room = store_of_two_runs();
    let folder = tempfile::tempdir().unwrap();
    room.snapshot().sign(&key(folder.path()), None).unwrap();
    fs::remove_file(room.commit_file(2)).unwrap();
    let files = room.files();
    let error = Writer::open(&room.root, &mut || ()).unwrap_err().to_string();
    assert!(error.contains("expected a commit, since its head was signed, found no such file"), "{error}");
    let error = room.snapshot().sign(&key(folder.path()), None).unwrap_err().to_string();
    assert!(error.contains("expected a commit, since its head was signed, found no such file"), "{error}");
    assert_eq!(room.files(), files);
}

#[test]
fn what_was_signed_after_a_snapshot_was_loaded_is_no_lost_commit() {
    let room = store_of_two_runs();
    let folder = tempfile::tempdir().unwrap();
    let earlier = room.snapshot();
    commit(&mut room.writer(), "cc", &[&[MORNING]]);
    room.snapshot().sign(&key(folder.path()), None).unwrap();
    assert_eq!(earlier.sign(&key(folder.path()), None).unwrap().version, 2);
}

#[test]
fn links_for_folders_are_refused() {
    for folder in ["_staging", "archives", "rejects", "events/_delta_log", "_readers"] {
        let room = store_of_two_runs();
        let elsewhere = room.root.parent().unwrap().join("elsewhere");
        fs::rename(room.root.join(folder), &elsewhere).unwrap();
        fs::write(elsewhere.join("x.parquet"), "x").unwrap();
        std::os::unix::fs::symlink(&elsewhere, room.root.join(folder)).unwrap();
        let error = Writer::open(&room.root, &mut || ()).unwrap_err().to_string();
        assert!(error.contains("expected a folder of the store, found a symbolic link"), "{error}");
        assert!(elsewhere.join("x.parquet").exists());
    }
}

#[test]
fn a_checkpoint_that_could_not_be_finished_is_taken_away() {
    let room = store_of_two_runs();
    let mut writer = room.writer();
    for n in 3..100 {
        commit(&mut writer, &format!("{n}"), &[&[MORNING + n]]);
    }
    // The list cannot be written: there is a folder in its place.
    fs::create_dir_all(room.root.join("_checkpoints.json/x")).unwrap();
    commit(&mut writer, "100", &[&[MORNING]]);
    assert!(writer.warnings()[0].starts_with("no checkpoint of version 100: "), "{:?}", writer.warnings());
    fs::remove_dir_all(room.root.join("_checkpoints.json")).unwrap();
    commit(&mut writer, "101", &[&[MORNING]]);
    drop(writer);
    let found = crate::verify(&room.root, crate::Depth::Quick).unwrap();
    assert_eq!((found.damages, found.notes), (vec![], vec![]));
}
