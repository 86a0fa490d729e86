use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, DictionaryArray, Int64Array, RecordBatch};
use arrow::datatypes::Int32Type;
use keytrail_model::ledger::{LedgerRow, RecordCounts};
use keytrail_store::{EventsWriter, RejectsWriter, RunCommit, StagedLedger, Store, Writer};
use proptest::prelude::*;

use std::path::Path;

use super::*;
use crate::{IngestOptions, ingest};

/// Records as letters; equal letters are equal records, in three layouts.
fn archive_of(letters: &str, form: usize) -> String {
    let records: Vec<String> = letters
        .chars()
        .map(|letter| {
            let day = u32::from(letter) - u32::from('a') + 28;
            let time = if day <= 31 {
                format!("2026-01-{day:02} 10:00:00 UTC")
            } else {
                format!("2026-02-{:02} 10:00:00 UTC", day - 31)
            };
            match form % 3 {
                0 => {
                    format!(r#"{{"time":"{time}","action":"LUNA_SIGN","meta":"{{\"role\":\"CU\",\"ouid\":\"0a\"}}"}}"#)
                }
                1 => {
                    format!(r#"{{ "meta": {{"ouid":"0a", "role":"CU"}}, "action":"LUNA_\u0053IGN", "time":"{time}"}}"#)
                }
                _ => format!(r#"{{"time":"{time}","action":"LUNA_SIGN","meta":{{"role":"CU","ouid":"0a"}}}}"#),
            }
        })
        .collect();
    format!("[{}]", records.join(","))
}

struct Room {
    _folder: tempfile::TempDir,
    archives: PathBuf,
    store: PathBuf,
}

impl Room {
    /// A store of runs, each of archives, and the archives in a folder.
    fn of(runs: &[Vec<String>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (archives, store) = (folder.path().join("archives"), folder.path().join("store"));
        fs::create_dir(&archives).unwrap();
        for (number, run) in runs.iter().enumerate() {
            let paths = run.iter().enumerate().map(|(index, content)| {
                let path = archives.join(format!("{number}-{index}.json"));
                fs::write(&path, content).unwrap();
                path
            });
            let paths: Vec<_> = paths.collect();
            ingest(&paths, &store, &IngestOptions::default(), &mut || ()).unwrap();
        }
        Self { _folder: folder, archives, store }
    }

    fn of_letters(runs: &[&[&str]]) -> Self {
        let mut form = 0;
        let runs = runs.iter().map(|run| {
            let archives = run.iter().map(|letters| {
                form += 1;
                archive_of(letters, form)
            });
            archives.collect()
        });
        Self::of(&runs.collect::<Vec<_>>())
    }

    fn prove(&self) -> Proof {
        self.prove_with(std::slice::from_ref(&self.archives))
    }

    fn prove_with(&self, paths: &[PathBuf]) -> Proof {
        prove_store(&self.store, paths, 1 << 20)
    }
}

fn prove_store(store: &Path, paths: &[PathBuf], memory_bytes: u64) -> Proof {
    let snapshot = Store::open(store).unwrap().snapshot().unwrap();
    prove(paths, &snapshot, &ProofOptions { jobs: NonZeroUsize::new(2), memory_bytes }, &|_| ()).unwrap()
}

/// The store again, by the store's own means, with other rows. Its log, hashes, statistics and counts are as they should be.
fn rewritten(store: &Path, change: &dyn Fn(RecordBatch) -> RecordBatch) -> tempfile::TempDir {
    forged(store, change, &|row| row)
}

/// The same, with another ledger.
fn forged(
    store: &Path,
    change: &dyn Fn(RecordBatch) -> RecordBatch,
    change_row: &dyn Fn(LedgerRow) -> LedgerRow,
) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = Store::open(store).unwrap().snapshot().unwrap();
    let mut writer = Writer::open(folder.path(), &mut || ()).unwrap();
    let ledger: Vec<LedgerRow> = from.ledger().unwrap().into_iter().map(change_row).collect();
    let name = writer.next_run(&mut ledger.iter().map(|row| row.archive.as_str()));
    let mut files = Vec::new();
    for (number, file) in from.files().iter().enumerate() {
        let path = writer.staging_dir().join(format!("{number}"));
        let mut written = EventsWriter::create(&path, Month::parse(&file.month).unwrap()).unwrap();
        read_data_file::<IngestError>(&from, file, &mut |batch| {
            let batch = change(batch.clone());
            if batch.num_rows() > 0 {
                written.write(&batch)?;
            }
            Ok(())
        })
        .unwrap();
        files.push(written.finish().unwrap());
    }
    let mut rejects = RejectsWriter::create(&writer.staging_dir().join("rejects")).unwrap();
    for run in from.runs() {
        from.read_rejects::<IngestError>(run, &mut |batch| Ok(rejects.write(batch)?)).unwrap();
    }
    let mut records = RecordCounts::default();
    ledger.iter().for_each(|row| records += row.records);
    let ledger = ledger.into_iter().map(|row| LedgerRow { run: name.clone(), ..row }).collect();
    let options = from.runs()[0].options.clone();
    let rejects = rejects.finish().unwrap();
    let ledger = StagedLedger::write(&writer.staging_dir().join("ledger"), ledger).unwrap();
    writer.commit(RunCommit { run: name, committed_at: 7, options, records, files, ledger, rejects }).unwrap();
    folder
}

/// A batch in which the text of a column is another in one row.
fn with_text(batch: &RecordBatch, column: &str, row: usize, text: &str) -> RecordBatch {
    let index = batch.schema().index_of(column).unwrap();
    let old = batch.column(index).as_dictionary::<Int32Type>();
    let values = old.values().as_string::<i32>();
    let texts = (0..old.len()).map(|at| if at == row { Some(text) } else { old.key(at).map(|key| values.value(key)) });
    let mut columns = batch.columns().to_vec();
    columns[index] = Arc::new(texts.collect::<DictionaryArray<Int32Type>>()) as ArrayRef;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[test]
fn a_store_is_what_its_archives_say() {
    let room = Room::of_letters(&[&["aab", "abc", "gh"], &["bbb", "cdg"]]);
    let proof = room.prove();
    assert_eq!((&proof.damages, &proof.unchecked, &proof.notes), (&vec![], &vec![], &vec![]));
    assert_eq!((proof.archives, proof.records, proof.rows), (5, 14, 9));
    let months: Vec<_> = proof.months.iter().map(|month| (month.month.to_string(), month.rows, month.whole)).collect();
    assert_eq!(months, [("2026-01".into(), 7, true), ("2026-02".into(), 2, true)]);
    assert!(rewritten(&room.store, &|batch| batch).path().exists());
    let again = rewritten(&room.store, &|batch| batch);
    assert_eq!(prove_store(again.path(), std::slice::from_ref(&room.archives), 1 << 30).damages, [] as [&str; 0]);
}

#[test]
fn a_changed_row_is_named() {
    let room = Room::of_letters(&[&["abc"], &["bcd", "h"]]);
    let changed = rewritten(&room.store, &|batch| {
        let is_first =
            batch.column_by_name("ordinal").unwrap().as_primitive::<arrow::datatypes::Int64Type>().value(0) == 0;
        if is_first && batch.num_rows() > 2 { with_text(&batch, "action", 1, "LUNA_FORGED") } else { batch }
    });
    let proof = prove_store(changed.path(), std::slice::from_ref(&room.archives), 1 << 20);
    let found = proof.damages.join("\n");
    assert!(proof.damages[0].starts_with("month 2026-01: expected 4 records of the archives (digest "), "{found}");
    let at = "record of 2026-01-29 10:00:00 UTC, archive ";
    for words in
        ["expected 1 times, found 0", "expected 0 times, found 1", "expected the record at this place, found a row"]
    {
        assert!(proof.damages.iter().any(|one| one.starts_with(at) && one.contains(words)), "{words}: {found}");
    }
    assert_eq!(proof.damages.len(), 4, "{found}");
}

#[test]
fn a_row_of_another_place_or_archive_is_named() {
    let room = Room::of_letters(&[&["abc", "gh"]]);
    let other = "0".repeat(64);
    for change in ["member", "archive"] {
        let text = if change == "member" { "0-1.json" } else { &other };
        let changed = rewritten(&room.store, &|batch| match batch.num_rows() {
            3 => with_text(&batch, change, 2, text),
            _ => batch,
        });
        let proof = prove_store(changed.path(), std::slice::from_ref(&room.archives), 1 << 20);
        assert!(!proof.damages.is_empty(), "{change}");
    }
}

#[test]
fn figures_of_a_forged_ledger_take_no_memory() {
    const FAR: u64 = 1 << 61;
    let room = Room::of_letters(&[&["abc"]]);
    let far_row = |batch: RecordBatch| {
        let index = batch.schema().index_of("ordinal").unwrap();
        let mut columns = batch.columns().to_vec();
        columns[index] = Arc::new(Int64Array::from(vec![0, 1, FAR as i64 - 1]));
        RecordBatch::try_new(batch.schema(), columns).unwrap()
    };
    let forged = forged(&room.store, &far_row, &|row| {
        let records = RecordCounts { read: FAR, duplicates: FAR - 3, ..row.records };
        LedgerRow { records, bytes: i64::MAX as u64, json_bytes: i64::MAX as u64, ..row }
    });
    let found = prove_store(forged.path(), std::slice::from_ref(&room.archives), 1 << 20).damages;
    assert!(found.iter().any(|words| words.contains(&format!("expected records read {FAR}"))), "{found:#?}");
    assert!(
        found.iter().any(|words| words.contains("expected the record at this place, found a row of another")),
        "{found:#?}"
    );
}

#[test]
fn what_was_not_given_leaves_the_rest_checked() {
    let room = Room::of_letters(&[&["abc", "bcd", "h"]]);
    let some = [room.archives.join("0-0.json"), room.archives.join("0-2.json")];
    let proof = room.prove_with(&some);
    assert_eq!((proof.damages.len(), proof.unchecked.len()), (0, 1), "{proof:?}");
    assert!(
        proof.unchecked[0].contains("0-1.json) was not given, with records of 2026-01-29"),
        "{:?}",
        proof.unchecked
    );
    // Of January only the 28th is covered by none but the first archive.
    let months: Vec<_> = proof.months.iter().map(|month| (month.rows, month.whole)).collect();
    assert_eq!(months, [(1, false), (1, true)]);
    fs::write(room.archives.join("stranger.json"), "[]").unwrap();
    let proof = room.prove();
    assert_eq!((proof.damages.len(), proof.unchecked.len(), proof.notes.len()), (0, 0, 1));
}

#[test]
fn damaged_and_odd_archives_are_read_as_they_were() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-samples");
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let options = IngestOptions::default();
    ingest(&[samples.join("good"), samples.join("bad")], &store, &options, &mut || ()).unwrap();
    let narrow =
        IngestOptions { limits: Limits { max_member_bytes: 1 << 10, ..Limits::default() }, ..IngestOptions::default() };
    ingest(&[samples.join("bad")], &store, &narrow, &mut || ()).unwrap();
    let salvage = IngestOptions { salvage: true, ..IngestOptions::default() };
    ingest(&[samples.join("bad")], &store, &salvage, &mut || ()).unwrap();
    for memory in [1 << 10, 1 << 30] {
        let proof = prove_store(&store, &[samples.join("good"), samples.join("bad")], memory);
        assert_eq!((&proof.damages, &proof.unchecked), (&vec![], &vec![]));
        assert!(proof.rows > 400 && proof.archives > 38, "{proof:?}");
    }
}

#[test]
fn rejects_are_compared() {
    let room = Room::of(&[vec![format!("{}\n{{\"time\":\"oops\"}}\nx", &archive_of("a", 0).trim_matches(['[', ']']))]]);
    assert_eq!(room.prove().damages, [] as [&str; 0]);
    let snapshot = Store::open(&room.store).unwrap().snapshot().unwrap();
    assert_eq!(snapshot.runs()[0].rejects.rows, 2);
    let archive = snapshot.ledger().unwrap()[0].archive.clone();
    // The same store with another byte in a reject.
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path(), &mut || ()).unwrap();
    let name = writer.next_run(&mut [archive.as_str()].into_iter());
    let mut rejects = RejectsWriter::create(&writer.staging_dir().join("rejects")).unwrap();
    snapshot
        .read_rejects::<IngestError>(&snapshot.runs()[0], &mut |batch| {
            let mut columns = batch.columns().to_vec();
            let raw = columns[5].as_binary::<i32>().iter().map(|raw| raw.map(|raw| [raw, b"!"].concat()));
            columns[5] = Arc::new(raw.collect::<arrow::array::BinaryArray>());
            Ok(rejects.write(&RecordBatch::try_new(batch.schema(), columns).unwrap())?)
        })
        .unwrap();
    let mut row = snapshot.ledger().unwrap().remove(0);
    row.run.clone_from(&name);
    let records = row.records;
    let file = &snapshot.files()[0];
    let path = writer.staging_dir().join("f");
    let mut written = EventsWriter::create(&path, Month::parse(&file.month).unwrap()).unwrap();
    read_data_file::<IngestError>(&snapshot, file, &mut |batch| Ok(written.write(batch)?)).unwrap();
    let (files, rejects) = (vec![written.finish().unwrap()], rejects.finish().unwrap());
    let ledger = StagedLedger::write(&writer.staging_dir().join("ledger"), vec![row]).unwrap();
    let options = snapshot.runs()[0].options.clone();
    writer.commit(RunCommit { run: name, committed_at: 7, options, records, files, ledger, rejects }).unwrap();
    let proof = prove_store(folder.path(), std::slice::from_ref(&room.archives), 1 << 20);
    assert!(proof.damages.len() == 1 && proof.damages[0].contains("expected rejects with the digest"), "{proof:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("KEYTRAIL_PROVE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24)))]

    #[test]
    fn any_runs_of_any_archives_are_proved(
        runs in prop::collection::vec(prop::collection::vec("[a-h]{0,6}", 1..4), 1..4),
        missing in 0..12_usize,
    ) {
        let mut form = 0;
        let contents = runs.iter().map(|run| run.iter().map(|letters| { form += 1; archive_of(letters, form) }).collect());
        let room = Room::of(&contents.collect::<Vec<Vec<String>>>());
        let proof = room.prove();
        prop_assert_eq!((&proof.damages, &proof.unchecked), (&vec![], &vec![]));
        let mut paths: Vec<PathBuf> = fs::read_dir(&room.archives).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        if missing < paths.len() && paths.len() > 1 {
            paths.remove(missing);
            prop_assert_eq!(room.prove_with(&paths).damages, Vec::<String>::new());
        }
    }
}
