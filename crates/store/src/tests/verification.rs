//! What verification finds, and where it says it is.

use std::collections::BTreeSet;

use super::damage::{damage, forge as forge_commit, put_checkpoint_of_another, store_of_two_runs};
use super::*;
use crate::{Damage, Depth, ExpectedHead, Verification, VerifyOptions, verify, verify_with};

fn check(room: &Room, depth: Depth) -> Verification {
    verify(&room.root, depth).unwrap()
}

/// The damages as text, with `R1` and `R2` for the names of the runs.
fn damages(room: &Room, depth: Depth) -> Vec<String> {
    let texts = check(room, depth).damages.iter().map(Damage::to_string).collect();
    short(room, texts)
}

fn short(room: &Room, texts: Vec<String>) -> Vec<String> {
    let runs: BTreeSet<_> = room
        .files()
        .iter()
        .filter_map(|file| Some(file.rsplit('/').next()?.get(..21)?.to_owned()))
        .filter(|name| name.starts_with("0000000"))
        .collect();
    let shorten = |text: String| runs.iter().fold(text, |text, run| text.replace(run, &format!("R{}", &run[7..8])));
    texts.into_iter().map(shorten).collect()
}

fn path_of(room: &Room, name: &str) -> PathBuf {
    let matches = |file: &String| short(room, vec![file.clone()])[0] == name;
    room.root.join(room.files().into_iter().find(matches).unwrap())
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_whole_store_has_no_damage() {
    let room = store_of_two_runs();
    let before = room.files();
    for depth in [Depth::Quick, Depth::Full] {
        let found = check(&room, depth);
        let snapshot = room.snapshot();
        assert_eq!(found.damages, []);
        assert_eq!(found.notes, [] as [&str; 0]);
        assert_eq!((found.version, found.head.as_str(), found.commits), (2, snapshot.head(), 3));
        assert_eq!((found.files, found.rows), (4, 4));
        assert_eq!(found.bytes, snapshot.files().iter().map(|file| file.bytes).sum::<u64>());
    }
    assert_eq!(room.files(), before, "nothing is changed");
}

#[test]
fn an_archive_that_was_tried_again_counts_once() {
    let room = Room::new();
    let mut writer = room.writer();
    commit(&mut writer, "aa", &[]);
    commit(&mut writer, "bb", &[]);
    commit(&mut writer, "aa", &[&[MORNING]]);
    assert_eq!(check(&room, Depth::Full).damages, []);
}

#[test]
fn without_a_store_there_is_nothing_to_verify() {
    let room = Room::new();
    assert!(matches!(verify(&room.root, Depth::Full), Err(StoreError::NotFound { .. })));
    drop(room.writer());
    let found = check(&room, Depth::Full);
    assert_eq!((found.damages.len(), found.version, found.commits, found.rows), (0, 0, 1, 0));
    let newer = |text: &str| text.replace("\"schema_version\":1", "\"schema_version\":7");
    let commit = fs::read(room.commit_file(0)).unwrap();
    damage(&room, 0, newer);
    assert!(!check(&room, Depth::Quick).damages.is_empty(), "a changed byte that seems to tell of a newer keytrail");
    fs::write(room.commit_file(0), commit).unwrap();
    forge_commit(&room, 0, newer);
    assert!(matches!(verify(&room.root, Depth::Quick), Err(StoreError::SchemaTooNew { .. })));
}

#[test]
fn damage_of_commits_is_named() {
    type Change = fn(&str) -> String;
    let name = |version: u64| format!("events/_delta_log/{version:020}.json");
    let cut: Change = |text| text.lines().next().unwrap().to_owned() + "\n";
    let cases: [(u64, Change, u64, &str); 11] = [
        (2, |_| String::new(), 2, "expected lines of JSON, found an empty file"),
        (1, |_| String::new(), 1, "expected lines of JSON, found an empty file"),
        (2, |text| text.trim_end().to_owned(), 2, "expected a newline at its end"),
        (2, cut, 2, "expected 2 added and 0 removed files"),
        (1, cut, 1, "expected 2 added and 0 removed files"),
        (0, cut, 0, "expected protocol and metaData"),
        (1, |text| text.replace("\"rejected\":1", "\"rejected\":2"), 1, ", which version 2 recorded, found"),
        (2, |text| text.replace("\"prev\":\"", "\"prev\":\"0"), 1, "expected SHA-256 0"),
        (2, |text| text.replace("numRecords\\\":1", "numRecords\\\":2"), 9, "expected 1 rows, found 2 rows in the log"),
        (0, |text| text.replace("\"keytrail\":", "\"other\":"), 0, "expected the first commit of a keytrail store"),
        (2, |text| text.replace("\"keytrail\":", "\"other\":"), 2, "expected a commit of keytrail, found version 2"),
    ];
    for (version, change, named, message) in cases {
        let room = store_of_two_runs();
        let before = fs::read_to_string(room.commit_file(version)).unwrap();
        damage(&room, version, change);
        assert_ne!(before, fs::read_to_string(room.commit_file(version)).unwrap(), "{message}");
        let found = damages(&room, Depth::Quick);
        let hit = |text: &String| text.contains(message) && (named == 9 || text.starts_with(&name(named)));
        assert!(found.iter().any(hit), "{message}: {found:#?}");
    }
}

#[test]
fn a_damaged_last_commit_is_not_said_to_be_of_an_earlier_keytrail() {
    for change in [|_: &str| String::new(), |text: &str| text[..40].to_owned(), |_: &str| "{}".into()] {
        let room = store_of_two_runs();
        damage(&room, 2, change);
        let found = check(&room, Depth::Quick);
        assert!(!found.damages.is_empty());
        assert!(!found.notes.iter().any(|note| note.contains("seal")), "{:?}", found.notes);
    }
}

#[test]
fn missing_commits_are_named() {
    let room = store_of_two_runs();
    fs::remove_file(room.commit_file(1)).unwrap();
    let found = damages(&room, Depth::Quick);
    assert!(found[0].contains("00000000000000000001.json: expected a commit: the log is never trimmed"), "{found:?}");

    let room = store_of_two_runs();
    fs::remove_file(room.commit_file(2)).unwrap();
    let found = check(&room, Depth::Quick);
    assert_eq!((found.damages.len(), found.notes.len(), found.version), (0, 4, 1), "as a killed run leaves it");

    fs::remove_file(room.commit_file(1)).unwrap();
    let found = damages(&room, Depth::Quick);
    assert!(found[0].contains("is of a later one, found no such file"), "{found:?}");

    fs::remove_file(room.commit_file(0)).unwrap();
    let found = damages(&room, Depth::Quick);
    assert!(found[0].contains("00000000000000000000.json: expected the first commit, found no such file"), "{found:?}");
}

#[test]
fn damage_of_files_is_named_all_of_it() {
    let room = store_of_two_runs();
    let january = "events/month=2026-01/R1-0000.parquet";
    let february = "events/month=2026-02/R1-0000.parquet";
    flip(&path_of(&room, january));
    let february_path = path_of(&room, february);
    let bytes = fs::read(&february_path).unwrap();
    fs::write(&february_path, &bytes[1..]).unwrap();
    fs::remove_file(path_of(&room, "events/month=2026-02/R2-0000.parquet")).unwrap();
    flip(&path_of(&room, "rejects/R2.parquet"));
    let cut = format!("{february}: expected {} bytes, found {} bytes", bytes.len(), bytes.len() - 1);

    let quick = damages(&room, Depth::Quick);
    let full = damages(&room, Depth::Full);
    assert!(quick[0].starts_with("rejects/R2.parquet: expected SHA-256 "), "{quick:?}");
    assert_eq!(quick[1], cut);
    assert!(quick[2].starts_with("events/month=2026-02/R2-0000.parquet: expected "), "{quick:?}");
    assert!(quick[2].ends_with("found no such file"), "{quick:?}");
    assert_eq!(quick.len(), 3);
    assert!(full[1].starts_with(&format!("{january}: expected SHA-256 ")), "{full:?}");
    assert_eq!(full.len(), 4, "{full:?}");
}

#[test]
fn a_ledger_that_cannot_be_trusted_is_named_and_not_added_up() {
    let room = store_of_two_runs();
    flip(&path_of(&room, "archives/R1.parquet"));
    let found = damages(&room, Depth::Quick);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("archives/R1.parquet: expected SHA-256 "), "{found:?}");
}

/// Replaces the ledger or the rejects of run 2 and forges the commit that names it: its SHA-256, length and rows.
fn forge(room: &Room, folder: &str, write: impl FnOnce(&Path, &str)) {
    let snapshot = room.snapshot();
    let run = &snapshot.runs()[1];
    let sidecar = if folder == "archives" { &run.archives } else { &run.rejects };
    let path = room.root.join(&sidecar.path);
    write(&path, &run.run);
    let bytes = fs::read(&path).unwrap();
    let length = |bytes: u64| format!("\"bytes\":{bytes}");
    forge_commit(room, 2, |text| {
        text.replace(&sidecar.sha256, &crate::sealed_file::sha256(&bytes))
            .replace(&length(sidecar.bytes), &length(bytes.len() as u64))
    });
}

#[test]
fn figures_that_disagree_are_named() {
    let forged = |records: RecordCounts| {
        let room = store_of_two_runs();
        forge(&room, "archives", |path, run| {
            StagedLedger::write(path, vec![ledger_row(run, "bb", records)]).unwrap();
        });
        damages(&room, Depth::Quick)
    };
    let sound = RecordCounts { read: 5, stored: 2, duplicates: 2, rejected: 1 };
    assert_eq!(forged(sound), [] as [&str; 0], "forged so well that only the head kept elsewhere tells");
    let found = forged(RecordCounts { read: 6, stored: 3, ..sound });
    assert_eq!(found, ["events: expected 5 rows, the sum of `stored` in the ledger, found 4 rows in the live files"]);
    let found = forged(RecordCounts { duplicates: 9, ..sound });
    assert!(found[0].contains("archives/R2.parquet: expected read = stored + duplicates + rejected of archive bb"));
    let found = forged(RecordCounts { read: 6, rejected: 2, ..sound });
    assert_eq!(
        found,
        ["rejects/R2.parquet: expected 2 rows, the sum of `rejected` in the run's ledger, found 1 rows in the commit"]
    );

    let room = store_of_two_runs();
    forge(&room, "rejects", |path, _| drop(RejectsWriter::create(path).unwrap().finish().unwrap()));
    assert_eq!(damages(&room, Depth::Quick), ["rejects/R2.parquet: expected 1 rows, found 0 rows"]);

    let room = store_of_two_runs();
    forge_commit(&room, 2, |text| text.replace("\"path\":\"archives/", "\"path\":\"../archives/"));
    assert!(
        damages(&room, Depth::Quick)[0].starts_with("events/_delta_log: expected file archives/R2.parquet of run R2")
    );
}

#[test]
fn figures_of_a_forged_ledger_take_no_memory() {
    const FAR: u64 = 1 << 61;
    let room = Room::new();
    let mut writer = room.writer();
    let mut forged = run(&writer, "aa", &[&[MORNING, MORNING + 1]]);
    forged.files =
        [0, FAR as i64 - 7].map(|first| stage_of(&writer, &format!("far{first}"), "aa", first, &[MORNING])).into();
    forged.records = RecordCounts { read: FAR, duplicates: FAR - 3, ..forged.records };
    forged.ledger =
        StagedLedger::write(&forged.ledger.path, vec![ledger_row(&forged.run, "aa", forged.records)]).unwrap();
    writer.commit(forged).unwrap();
    assert_eq!(damages(&room, Depth::Full), [] as [&str; 0], "it could be so: only the archive itself tells");
    let mut again = run(&writer, "bb", &[&[MORNING]]);
    again.files = vec![stage_of(&writer, "again", "bb", FAR as i64, &[MORNING])];
    writer.commit(again).unwrap();
    let found = damages(&room, Depth::Full);
    assert!(found.len() == 1 && found[0].contains(&format!("found ordinal {FAR} and 1 rows")), "{found:#?}");
}

#[test]
fn contents_of_data_files_are_compared_with_the_log() {
    let room = store_of_two_runs();
    let january = "events/month=2026-01/R2-0000.parquet";
    let forge = |times: &[i64], month: &str| {
        let path = path_of(&room, january);
        let old = fs::read(&path).unwrap();
        let mut file = EventsWriter::create(&path, Month::parse(month).unwrap()).unwrap();
        file.write(&batch_of("bb", 0, times)).unwrap();
        let staged = file.finish().unwrap();
        let digest = |bytes| ("add", short_of(&room, january), bytes);
        let [before, after] = [old.len() as u64, staged.bytes].map(|bytes| {
            let (kind, path, size) = digest(bytes);
            let other = path.replace("2026-01", "2026-02");
            let february = fs::metadata(room.root.join("events").join(&other)).unwrap().len();
            crate::chain::actions_digest(&[(kind, &path, size), ("add", &other, february)])
        });
        forge_commit(&room, 2, |text| {
            let text = text.replace(&crate::sealed_file::sha256(&old), &staged.sha256).replace(&before, &after);
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            for line in lines.iter_mut().filter(|line| line.contains("\"add\"") && line.contains("2026-01")) {
                *line = line.replace(&format!("\"size\":{}", old.len()), &format!("\"size\":{}", staged.bytes));
            }
            lines.join("\n") + "\n"
        });
        (damages(&room, Depth::Quick), damages(&room, Depth::Full))
    };
    let whole: (Vec<String>, Vec<String>) = (vec![], vec![]);
    assert_eq!(forge(&[MORNING + 1], "2026-01"), whole);
    let (quick, full) = forge(&[MORNING + 2, MORNING + 3], "2026-01");
    assert_eq!((quick.len(), &full[0]), (0, &format!("{january}: expected 1 rows, found 2 rows")));
    assert_eq!(
        full[1..],
        [
            "events: expected 2 rows of archive bb, as its ledger says, found 3",
            "events: expected each record of archive bb once, found 1 rows at places of others, first member \"m.json\", ordinal 1",
        ]
    );
    let (quick, full) = forge(&[MORNING + 5_000_000], "2026-01");
    let found = "found 2026-01-05 08:00:05 UTC to 2026-01-05 08:00:05 UTC";
    let bounds = "2026-01-05 08:00:00 UTC and 2026-01-05 08:00:00.001000 UTC, its bounds in the log";
    assert_eq!((quick, full), (vec![], vec![format!("{january}: expected times within {bounds}, {found}")]));
    let (quick, full) = forge(&[FEBRUARY], "2026-02");
    assert_eq!((quick.len(), full.len()), (0, 2), "{full:?}");
    let found = "found 2026-02-01 00:00:00 UTC to 2026-02-01 00:00:00 UTC";
    assert_eq!(full[1], format!("{january}: expected times in 2026-01, {found}"));
}

/// Path relative to the table of a file given by its short name.
fn short_of(room: &Room, name: &str) -> String {
    let path = path_of(room, name);
    path.strip_prefix(room.root.join("events")).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_commit_of_another_program_is_damage() {
    let room = store_of_two_runs();
    let foreign = concat!(
        r#"{"commitInfo":{"operation":"WRITE"}}"#,
        "\n",
        r#"{"add":{"path":"month=2026-01/x.parquet","partitionValues":{"month":"2026-01"},"size":9,"#,
        r#""modificationTime":0,"dataChange":true,"stats":"{\"numRecords\":3}"}}"#,
        "\n"
    );
    fs::write(room.commit_file(3), foreign).unwrap();
    assert_eq!(
        damages(&room, Depth::Full),
        [
            "events/_delta_log/00000000000000000003.json: expected a commit of keytrail, found version 3 of another program",
            "events: expected 4 rows, the sum of `stored` in the ledger, found 7 rows in the live files",
            "events/month=2026-01/x.parquet: expected 9 bytes, found no such file",
        ]
    );
}

#[test]
fn left_overs_are_notes_and_strange_files_are_damage() {
    let room = store_of_two_runs();
    let other = put_checkpoint_of_another(&room);
    let copy = "events/month=2026-01/00000001-ab-0001.parquet";
    let strange = [copy, "events/month=2026-01/sub/x.parquet", "events/x.parquet", "rejects/x.parquet"];
    let left_over = ["events/month=2026-01/00000003-ab-0000.parquet", "archives/00000003-ab.parquet"];
    for path in strange.iter().chain(&left_over) {
        let path = room.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    std::os::unix::fs::symlink(other.root.join("events"), room.root.join("events/elsewhere")).unwrap();
    let found = check(&room, Depth::Full);
    let named = |path: &str| format!("{path}: expected a commit that names it, found none");
    let damages =
        [named("events/elsewhere"), named(strange[0]), named(strange[1]), named(strange[2]), named(strange[3])];
    assert!(found.damages.iter().map(ToString::to_string).eq(damages), "{:?}", found.damages);
    assert_eq!(
        found.notes,
        [
            "events/_delta_log: checkpoints are not listed yet; the next run writes one anew",
            "events/month=2026-01/00000003-ab-0000.parquet: left over, no commit names it",
            "archives/00000003-ab.parquet: left over, no commit names it",
            "events/month=2026-01/sub: not of keytrail",
        ]
    );
    let writer = room.writer();
    let mut swept = [left_over[1], left_over[0], "events/_delta_log/00000000000000000002.checkpoint.parquet"];
    swept.sort_unstable();
    assert_eq!(writer.swept(), swept, "what is strange is not ours to delete");
    let warning = "no commit names it; programs that read the folder would";
    assert_eq!(writer.warnings()[1], format!("{copy}: {warning}"));
    assert_eq!(writer.warnings().len(), 5, "{:?}", writer.warnings());
}

#[test]
fn odd_checkpoints_are_damage() {
    let room = store_of_two_runs();
    put_checkpoint_of_another(&room);
    let found = check(&room, Depth::Full);
    let damages = [
        "events/_delta_log/00000000000000000002.checkpoint.parquet: expected a checkpoint that says what the commits say, found a damaged one, or one that says other; keytrail leaves it aside",
    ];
    assert!(found.damages.iter().map(ToString::to_string).eq(damages), "{:?}", found.damages);
    assert_eq!(found.notes, ["events/_delta_log: checkpoints are not listed yet; the next run writes one anew"]);
}

#[test]
fn files_that_keytrail_does_not_write_are_told() {
    let room = store_of_two_runs();
    let told = |path: &str| {
        let full = room.root.join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, "{}").unwrap();
        let found = check(&room, Depth::Full);
        fs::remove_file(&full).unwrap();
        let starts = |text: &str| text.starts_with(path);
        assert_eq!(found.damages.len() + found.notes.len(), 1, "{path}: {found:?}");
        (found.damages.iter().any(|damage| starts(&damage.path)), found.notes.iter().any(|note| starts(note)))
    };
    // What other software would take for a part of the table.
    for path in [
        "events/month=2026-01/part-0.parquet",
        "events/x.parquet",
        "events/month=2026-01/00000002-3fa9-0000.parquet",
        "rejects/x.parquet",
        "archives/00000001-3fa9.parquet",
        "events/_delta_log/00000000000000000002.crc",
        "events/_delta_log/00000000000000000001.00000000000000000002.compacted.json",
    ] {
        assert_eq!(told(path), (true, false), "{path}");
    }
    for path in
        ["note.txt", "x.parquet", "events/x", "events/_delta_log/x.json", "events/month=2026-01/x", "archives/x"]
    {
        assert_eq!(told(path), (false, true), "{path}");
    }
    assert_eq!(check(&room, Depth::Full).notes, [] as [&str; 0]);
}

#[test]
fn a_changed_byte_of_the_last_commit_is_damage() {
    let room = store_of_two_runs();
    let path = room.commit_file(2);
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1 << (place % 8);
        fs::write(&path, &changed).unwrap();
        let found = verify(&room.root, Depth::Quick);
        assert!(found.is_ok_and(|found| !found.damages.is_empty()), "byte {place}");
    }
    fs::write(&path, [whole.as_slice(), b"\n"].concat()).unwrap();
    assert_eq!(check(&room, Depth::Quick).damages.len(), 1, "bytes behind its end");
}

#[test]
fn a_changed_commit_is_damage_whatever_was_written_upon_it() {
    let room = store_of_two_runs();
    let figure = |text: &str| text.replace("\"duplicates\":2,\"read\":5", "\"duplicates\":9,\"read\":12");
    damage(&room, 1, figure);
    let changed = crate::sealed_file::sha256(&fs::read(room.commit_file(1)).unwrap());
    // The next commit names the changed bytes, as one does whose writer did not look.
    forge_commit(&room, 2, |text| {
        let prev = text.find("\"prev\":\"").unwrap() + 8;
        text.replace(&text[prev..prev + 64], &changed)
    });
    for depth in [Depth::Quick, Depth::Full] {
        let found = damages(&room, depth);
        let words = "events/_delta_log/00000000000000000001.json: expected bytes of the seal ";
        assert!(found.len() == 1 && found[0].starts_with(words), "{found:?}");
    }
}

#[test]
fn a_hint_at_no_checkpoint_is_damage() {
    let name = "events/_delta_log/_last_checkpoint";
    type Prepare = fn(&Room);
    let nothing: Prepare = |_| ();
    let checkpoint: Prepare = |room| crate::delta::checkpoint(&room.root.join("events"), 2).unwrap();
    let unlisted: Prepare = |room| {
        crate::delta::checkpoint(&room.root.join("events"), 2).unwrap();
        fs::remove_file(room.root.join("_checkpoints.json")).unwrap();
    };
    let emptied: Prepare = |room| {
        crate::delta::checkpoint(&room.root.join("events"), 2).unwrap();
        crate::sweep::sweep_checkpoints(&crate::layout::Layout::new(&room.root), &mut Vec::new()).unwrap();
    };
    let cases = [("no checkpoint", nothing), ("one", checkpoint), ("one not listed", unlisted), ("swept", emptied)];
    for (what, prepare) in cases {
        for hint in ["{\"version\":50,\"size\":20}", "{}", ""] {
            let room = store_of_two_runs();
            prepare(&room);
            let before = check(&room, Depth::Quick);
            fs::write(room.root.join(name), hint).unwrap();
            let found = check(&room, Depth::Quick);
            assert_eq!((before.damages.len(), found.damages.len()), (0, 1), "{what}, {hint}: {:?}", found.damages);
            assert_eq!((found.damages[0].path.as_str(), &found.notes), (name, &before.notes), "{what}, {hint}");
            // The next writer takes it away.
            assert!(room.writer().swept().contains(&name.to_owned()));
            assert_eq!(check(&room, Depth::Quick).damages, []);
        }
    }
}

#[test]
fn parquet_files_and_links_in_the_log_are_damage() {
    let room = store_of_two_runs();
    let data = room.root.join("events").join(&room.snapshot().files()[0].path);
    let strange = ["_sidecars/x.parquet", "_sidecars/y/x.parquet", "x.parquet"].map(|name| room.log(name));
    for path in &strange {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&data, path).unwrap();
    }
    std::os::unix::fs::symlink(&data, room.log("link")).unwrap();
    let found = check(&room, Depth::Quick);
    let named = |name: &str| format!("events/_delta_log/{name}: expected a commit that names it, found none");
    let names = ["_sidecars/x.parquet", "_sidecars/y/x.parquet", "link", "x.parquet"];
    assert!(found.damages.iter().map(ToString::to_string).eq(names.map(named)), "{:?}", found.damages);
    assert_eq!(found.notes, ["events/_delta_log/_sidecars: not of keytrail"]);
    assert_eq!(room.writer().warnings().len(), 4, "told, and not deleted");
    assert!(strange.iter().all(|path| path.exists()));
}

#[test]
fn heads_that_were_noted_are_found_in_the_chain() {
    let room = store_of_two_runs();
    let (head, version) = (room.snapshot().head().to_owned(), room.snapshot().version());
    commit(&mut room.writer(), "cc", &[&[MORNING]]);
    let with = |head: &str, version| {
        let heads = vec![ExpectedHead { head: head.to_owned(), version }];
        let found =
            verify_with(&room.root, &VerifyOptions { depth: Depth::Quick, heads, ..Default::default() }).unwrap();
        (found.damages.len(), found.notes.len())
    };
    assert_eq!(with(&head, None), (0, 1), "later commits are fine, and said");
    assert_eq!(with(&head, Some(version)), (0, 1));
    assert_eq!(with(&head, Some(version + 1)), (1, 0), "it is the head of another version");
    assert_eq!(with(&"0".repeat(64), None), (1, 0));
    fs::remove_file(room.commit_file(3)).unwrap();
    fs::remove_file(room.commit_file(2)).unwrap();
    assert!(with(&head, None).0 > 0, "the commit was removed");
}

#[test]
fn two_neighbours_that_were_removed_are_missed() {
    let room = store_of_two_runs();
    let mut writer = room.writer();
    ["cc", "dd"].into_iter().for_each(|archive| drop(commit(&mut writer, archive, &[&[MORNING]])));
    [1, 2].into_iter().for_each(|version| fs::remove_file(room.commit_file(version)).unwrap());
    assert!(!check(&room, Depth::Quick).damages.is_empty());
}

#[test]
fn checkpoints_are_held_by_their_list() {
    let room = store_of_two_runs();
    crate::delta::checkpoint(&room.root.join("events"), 2).unwrap();
    commit(&mut room.writer(), "cc", &[&[MORNING]]);
    assert_eq!((check(&room, Depth::Quick).damages, check(&room, Depth::Quick).notes), (vec![], vec![]));
    let paths = [
        room.log("00000000000000000002.checkpoint.parquet"),
        room.log("_last_checkpoint"),
        room.root.join("_checkpoints.json"),
    ];
    for path in paths {
        let whole = fs::read(&path).unwrap();
        for place in (0..whole.len()).step_by(1 + whole.len() / 97) {
            let mut changed = whole.clone();
            changed[place] ^= 0x10;
            fs::write(&path, changed).unwrap();
            assert!(!check(&room, Depth::Quick).damages.is_empty(), "{} byte {place}", path.display());
        }
        fs::remove_file(&path).unwrap();
        assert!(!check(&room, Depth::Quick).damages.is_empty(), "{} removed", path.display());
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(check(&room, Depth::Quick).damages, []);
    // A writer makes short work of what it cannot trust, and says so.
    flip(&room.log("_last_checkpoint"));
    assert_eq!(room.writer().swept().len(), 2);
    assert_eq!((check(&room, Depth::Quick).damages, check(&room, Depth::Quick).notes), (vec![], vec![]));
}

#[test]
fn a_checkpoint_whose_maker_was_killed_is_no_damage() {
    for left in [&["_checkpoints.json"][..], &["_checkpoints.json", "events/_delta_log/_last_checkpoint"]] {
        let room = store_of_two_runs();
        crate::delta::checkpoint(&room.root.join("events"), 2).unwrap();
        left.iter().for_each(|name| fs::remove_file(room.root.join(name)).unwrap());
        let found = check(&room, Depth::Quick);
        assert_eq!((found.damages.len(), found.notes.len()), (0, 1), "{left:?}");
        assert!(!room.writer().swept().is_empty());
        assert_eq!(check(&room, Depth::Quick).notes, [] as [&str; 0]);
    }
}

#[test]
fn what_signing_left_is_named() {
    let room = store_of_two_runs();
    fs::create_dir(room.root.join("signatures")).unwrap();
    fs::write(room.root.join("signatures/.k.pub.4711.0.tmp"), "").unwrap();
    let words = "signatures/.k.pub.4711.0.tmp: left over by signing that was stopped, unless it goes on";
    assert_eq!(check(&room, Depth::Quick).notes, [words]);
    assert_eq!(room.writer().swept(), [] as [&str; 0], "who signs takes no lock: it may go on");
}

/// Keys in a folder of their own.
fn key(folder: &Path) -> (keytrail_sign::SecretKey, keytrail_sign::PublicKey) {
    let public = keytrail_sign::generate_key(&folder.join("k"), None).unwrap();
    let secret = keytrail_sign::SecretKey::from_file::<keytrail_sign::SignError>(&folder.join("k.key"), || panic!());
    (secret.unwrap(), public)
}

#[test]
fn signatures_are_over_heads_of_this_store() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, public) = key(folder.path());
    let room = store_of_two_runs();
    let before = room.snapshot();
    assert_eq!(before.signatures().unwrap(), []);
    before.sign(&secret, Some("monthly")).unwrap();
    assert_eq!((room.snapshot().head(), room.snapshot().signatures().unwrap().len()), (before.head(), 1));
    commit(&mut room.writer(), "cc", &[&[MORNING]]);
    room.snapshot().sign(&secret, None).unwrap();
    let with = |keys: &[keytrail_sign::PublicKey]| {
        let options = VerifyOptions { depth: Depth::Quick, keys: keys.to_vec(), ..Default::default() };
        verify_with(&room.root, &options).unwrap()
    };
    let found = with(std::slice::from_ref(&public));
    assert_eq!((&found.damages, &found.unchecked, &found.notes), (&vec![], &vec![], &vec![]));
    let signed: Vec<_> = found.signatures.iter().map(|one| (one.version, one.by_given_key)).collect();
    assert_eq!(signed, [(2, true), (3, true)]);
    assert!(found.signatures[0].comment.ends_with(": monthly"), "{:?}", found.signatures);
    assert_eq!(with(&[]).signatures.iter().filter(|one| one.by_given_key).count(), 0);
    let other = keytrail_sign::generate_key(&folder.path().join("other"), None).unwrap();
    assert_eq!(with(&[other]).unchecked.len(), 1, "not signed by this key");

    let mut names = Vec::new();
    list(&room.root, &room.root.join("signatures"), &mut names);
    assert_eq!(names.len(), 5);
    for name in names {
        let path = room.root.join(&name);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1 << (place % 8);
            fs::write(&path, changed).unwrap();
            assert!(!with(&[]).damages.is_empty(), "{name} byte {place}");
        }
        fs::remove_file(&path).unwrap();
        let found = with(std::slice::from_ref(&public));
        let is_named = !found.damages.is_empty() || !found.unchecked.is_empty();
        assert!(is_named || name.ends_with(".pub"), "{name} removed");
        fs::write(&path, whole).unwrap();
    }
    fs::remove_file(room.commit_file(3)).unwrap();
    assert!(with(&[]).damages.iter().any(|damage| damage.expected.starts_with("version 3, which was signed")));
}

#[test]
fn a_signature_holds_when_later_versions_have_another_schema() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, public) = key(folder.path());
    let room = store_of_two_runs();
    forge_commit(&room, 2, |text| text.replace("\"schema_version\":1", "\"schema_version\":0"));
    let mut statements = vec![room.snapshot().sign(&secret, None).unwrap().path];
    commit(&mut room.writer(), "cc", &[&[MORNING]]);
    statements.push(room.snapshot().sign(&secret, None).unwrap().path);
    let texts = statements.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>();
    assert!(
        texts[0].contains("\nschema: 0\nversion: 2\n") && texts[1].contains("\nschema: 1\nversion: 3\n"),
        "{texts:?}"
    );
    let found = verify_with(&room.root, &VerifyOptions { keys: vec![public], ..Default::default() }).unwrap();
    assert_eq!((found.damages, found.signatures.len()), (vec![], 2));
}

#[test]
fn a_signature_of_another_history_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, _) = key(folder.path());
    let (room, other) = (store_of_two_runs(), Room::new());
    let mut writer = other.writer();
    ["xx", "yy"].into_iter().for_each(|archive| drop(commit(&mut writer, archive, &[&[MORNING]])));
    other.snapshot().sign(&secret, None).unwrap();
    fs::create_dir(room.root.join("signatures")).unwrap();
    let mut names = Vec::new();
    list(&other.root, &other.root.join("signatures"), &mut names);
    for name in names {
        fs::copy(other.root.join(&name), room.root.join(&name)).unwrap();
    }
    let found = damages(&room, Depth::Quick);
    assert!(found.len() == 1 && found[0].contains("expected what the log says: keytrail store, "), "{found:?}");
}

/// Changes a data file of the second run as somebody would who seals the commit again; what is found then.
fn forge_file(room: &Room, change: impl FnOnce(&mut [u8], &parquet::file::metadata::ParquetMetaData)) -> Vec<String> {
    use parquet::file::reader::FileReader as _;
    let path = path_of(room, "events/month=2026-01/R2-0000.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let before = crate::sealed_file::sha256(&bytes);
    let file = parquet::file::serialized_reader::SerializedFileReader::new(bytes::Bytes::from(bytes.clone())).unwrap();
    change(&mut bytes, file.metadata());
    let after = crate::sealed_file::sha256(&bytes);
    assert_ne!(before, after);
    fs::write(&path, bytes).unwrap();
    forge_commit(room, 2, |text| text.replace(&before, &after));
    assert_eq!(damages(room, Depth::Quick), [] as [&str; 0]);
    damages(room, Depth::Full)
}

/// Replaces a value in the indices and in the footer, which lie behind all pages.
fn replace_bound(bytes: &mut [u8], metadata: &parquet::file::metadata::ParquetMetaData, from: &[u8], to: &[u8]) {
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let start = chunks.filter_map(|chunk| chunk.column_index_offset()).min().unwrap() as usize;
    let places: Vec<_> =
        (start..bytes.len() - from.len()).filter(|&place| &bytes[place..place + from.len()] == from).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| bytes[place..place + to.len()].copy_from_slice(to));
}

#[test]
fn statistics_that_rule_out_a_value_are_damage() {
    let room = store_of_two_runs();
    let found = forge_file(&room, |bytes, metadata| {
        replace_bound(bytes, metadata, &(MORNING + 1).to_le_bytes(), &(MORNING + 2).to_le_bytes());
    });
    // Least value of the column chunk, greatest of it, least of its page.
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().all(|words| words.contains("column `time` in row group 0")), "{found:#?}");

    let room = store_of_two_runs();
    let found = forge_file(&room, |bytes, metadata| replace_bound(bytes, metadata, b"action-0", b"action-/"));
    assert!(
        found.iter().any(|words| words.contains("\"action-/\" as the greatest value of column `action`")),
        "{found:#?}"
    );

    let room = store_of_two_runs();
    let found = forge_file(&room, |bytes, metadata| {
        let ouid = metadata.row_group(0).columns().iter().find(|chunk| chunk.column_path().string() == "ouid").unwrap();
        let end = (ouid.bloom_filter_offset().unwrap() + i64::from(ouid.bloom_filter_length().unwrap())) as usize;
        // The last block of the filter is its bits.
        bytes[end - 32..end].fill(0);
    });
    assert!(
        found.iter().any(|words| words.contains("expected \"ouid-0\" in the bloom filter of column `ouid`")),
        "{found:#?}"
    );
}

#[test]
fn rows_of_an_archive_that_no_ledger_names_are_damage() {
    let room = store_of_two_runs();
    forge(&room, "archives", |path, run| {
        let counts = RecordCounts { read: 5, stored: 2, duplicates: 2, rejected: 1 };
        StagedLedger::write(path, vec![ledger_row(run, "cc", counts)]).unwrap();
    });
    let found = damages(&room, Depth::Full);
    assert!(
        found.iter().any(|words| words.contains("1 rejects of archive cc, as the run's ledger says")),
        "{found:#?}"
    );
    assert!(
        found.contains(&"events: expected 2 rows of archive cc, as its ledger says, found 0".to_owned()),
        "{found:#?}"
    );
    assert!(
        found.contains(&"events: expected archives of the ledger, found 2 rows of others, such as \"bb\"".to_owned())
    );
}
