//! Compaction, clean-up and removal of months: what they change, and all that they must not.

use std::collections::BTreeMap;
use std::time::Duration;

use keytrail_model::digest::{PlacedRows, RowsDigest};
use proptest::prelude::*;

use super::*;
use crate::{Compaction, Depth, verify};

const NOW: i64 = MORNING + 1_000_000_000;
const DAY: i64 = 86_400_000_000;

/// A row as it is read back: time, archive, ordinal.
type Row = (i64, String, i64);

/// An archive of a test: its name, and the times of its records.
#[derive(Debug, Clone)]
struct Brought {
    name: String,
    times: Vec<i64>,
}

fn brought(name: &str, times: &[i64]) -> Brought {
    Brought { name: name.into(), times: times.to_vec() }
}

/// Rows of one archive in one month.
fn rows_of(archive: &Brought, month: Month) -> RecordBatch {
    let (from, until) = month.bounds();
    let rows: Vec<_> = (0..).zip(&archive.times).filter(|(_, time)| (from..until).contains(*time)).collect();
    let schema = schema::events_file_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let text = |ordinal: i64, time: i64| match field.name().as_str() {
            schema::ARCHIVE => Some(archive.name.clone()),
            schema::MEMBER => Some("m.json".to_owned()),
            "role" => None,
            "trace_id" => Some(format!("{ordinal:016x}{time:016x}")),
            name => Some(format!("{name}-{}", time % 5)),
        };
        let texts: Vec<_> = rows.iter().map(|&(ordinal, &time)| text(ordinal, time)).collect();
        match field.data_type() {
            DataType::Timestamp(_, _) => Arc::new(
                TimestampMicrosecondArray::from_iter_values(rows.iter().map(|&(_, &time)| time)).with_timezone("UTC"),
            ),
            DataType::Int64 => Arc::new(Int64Array::from_iter_values(rows.iter().map(|&(ordinal, _)| ordinal))),
            DataType::Utf8 => Arc::new(StringArray::from(texts)),
            _ => Arc::new(texts.iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>()),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// Commits archives in one run, a file for each month, as an ingest lays it out.
fn bring(writer: &mut Writer, archives: &[Brought]) -> Snapshot {
    let name = writer.next_run(&mut archives.iter().map(|archive| archive.name.as_str()));
    let mut archives = archives.to_vec();
    archives.sort_by_key(|archive| (archive.times.iter().min().copied(), archive.name.clone()));
    let months: std::collections::BTreeSet<_> =
        archives.iter().flat_map(|archive| &archive.times).map(|time| Month::of(*time).unwrap()).collect();
    let files = months.into_iter().map(|month| {
        let mut file = EventsWriter::create(&writer.staging_dir().join(format!("{month}")), month).unwrap();
        archives.iter().for_each(|archive| file.write(&rows_of(archive, month)).unwrap());
        file.finish().unwrap()
    });
    let files: Vec<_> = files.collect();
    let ledger: Vec<_> = archives
        .iter()
        .map(|archive| {
            let stored = archive.times.len() as u64;
            let records = RecordCounts { read: stored, stored, duplicates: 0, rejected: 0 };
            let (first_time, last_time) = (archive.times.iter().min().copied(), archive.times.iter().max().copied());
            LedgerRow { first_time, last_time, ..ledger_row(&name, &archive.name, records) }
        })
        .collect();
    let mut records = RecordCounts::default();
    ledger.iter().for_each(|row| records += row.records);
    let rejects = RejectsWriter::create(&writer.staging_dir().join("rejects")).unwrap().finish().unwrap();
    let ledger = StagedLedger::write(&writer.staging_dir().join("ledger"), ledger).unwrap();
    let run = RunCommit { run: name, committed_at: MORNING, options: json!({}), records, files, ledger, rejects };
    writer.commit(run).unwrap()
}

pub(super) fn compaction() -> Compaction {
    Compaction { months: Vec::new(), target_bytes: 1 << 20, memory_bytes: 64 << 20, committed_at: NOW }
}

/// Digest of the rows by month, and the rows in the order in which they stand.
fn contents(snapshot: &Snapshot) -> (BTreeMap<String, RowsDigest>, Vec<Row>) {
    let (mut digests, mut rows) = (BTreeMap::<_, RowsDigest>::new(), Vec::new());
    crate::read_events::<StoreError>(snapshot, i64::MIN, i64::MAX, &mut |batch| {
        let placed = PlacedRows::of(batch).unwrap();
        for (record, place) in (0..batch.num_rows()).filter_map(|row| placed.row(row)) {
            digests.entry(Month::of(record.time).unwrap().to_string()).or_default().add_row(&record, &place);
            rows.push((record.time, place.archive.to_owned(), place.ordinal));
        }
        Ok(())
    })
    .unwrap();
    (digests, rows)
}

fn damages(room: &Room) -> Vec<String> {
    verify(&room.root, Depth::Full).unwrap().damages.iter().map(ToString::to_string).collect()
}

fn notes(room: &Room) -> Vec<String> {
    verify(&room.root, Depth::Full).unwrap().notes
}

/// Paths of the data files on the disk.
fn on_disk(room: &Room) -> Vec<String> {
    room.files().into_iter().filter_map(|path| Some(path.strip_prefix("events/")?.to_owned())).collect()
}

fn live(snapshot: &Snapshot) -> Vec<String> {
    snapshot.files().iter().map(|file| file.path.clone()).collect()
}

/// A store of several runs over two months, whose archives come in no order.
fn store_of_many() -> Room {
    let room = Room::new();
    let mut writer = room.writer();
    for (name, day) in [("d", 3), ("b", 1), ("c", 2), ("a", 0), ("e", 26)] {
        let times: Vec<_> = (0..50).map(|n| MORNING + day * DAY + n * 7_000_000_000).collect();
        bring(&mut writer, &[brought(name, &times)]);
    }
    room
}

#[test]
fn small_files_become_one_and_nothing_else_changes() {
    let room = store_of_many();
    let before = room.snapshot();
    let (digests, _) = contents(&before);
    let mut writer = room.writer();
    let months = writer.compact(&compaction()).unwrap();
    let told: Vec<_> = months.iter().map(|month| (month.month.as_str(), month.removed.0, month.added.0)).collect();
    assert_eq!(told, [("2026-01", 5, 1)], "February has one file");
    let after = room.snapshot();
    assert_eq!((after.version(), after.files().len(), after.rows()), (before.version() + 1, 2, before.rows()));
    let (digests_after, rows) = contents(&after);
    assert_eq!(digests_after, digests);
    let archives: Vec<_> = rows.iter().filter(|row| row.0 < FEBRUARY).map(|row| row.1.clone()).collect();
    let mut order = archives.clone();
    order.dedup();
    assert_eq!(order, ["a", "b", "c", "d", "e"], "archives by first time");
    assert!(rows.windows(2).all(|pair| pair[0].1 != pair[1].1 || pair[0].2 < pair[1].2), "and then by ordinal");
    assert_eq!((after.runs(), after.ledger().unwrap()), (before.runs(), before.ledger().unwrap()));
    let record = &after.compactions()[0];
    assert_eq!((record.removed.len(), record.files.len(), record.committed_at), (5, 1, NOW));
    assert_eq!(after.files()[0].sha256.as_ref(), Some(&record.files[0].sha256));
    assert_eq!((damages(&room), notes(&room)), (vec![], vec![]));

    assert_eq!(writer.compact(&compaction()).unwrap(), [], "there is nothing more to do");
    assert_eq!(room.snapshot().version(), after.version());
    let again = bring(&mut writer, &[brought("f", &[MORNING])]);
    assert_eq!((again.rows(), damages(&room)), (before.rows() + 1, vec![]), "the chain goes on");
}

#[test]
fn output_depends_on_neither_memory_nor_the_order_of_runs_that_came_before() {
    let months = |memory_bytes| {
        let room = store_of_many();
        room.writer().compact(&Compaction { memory_bytes, ..compaction() }).unwrap();
        let snapshot = room.snapshot();
        snapshot
            .files()
            .iter()
            .filter(|file| file.month == "2026-01")
            .map(|file| file.sha256.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(months(0), months(64 << 20));
}

#[test]
fn only_the_months_asked_for_are_touched() {
    let room = store_of_many();
    let mut writer = room.writer();
    bring(&mut writer, &[brought("g", &[FEBRUARY + 5 * DAY])]);
    let february = Month::parse("2026-02").unwrap();
    let months = writer.compact(&Compaction { months: vec![february], ..compaction() }).unwrap();
    assert_eq!(months.iter().map(|month| month.month.as_str()).collect::<Vec<_>>(), ["2026-02"]);
    assert_eq!(room.snapshot().files().iter().filter(|file| file.month == "2026-01").count(), 5);
}

#[test]
fn a_damaged_file_is_not_given_a_fresh_hash() {
    let room = store_of_many();
    let snapshot = room.snapshot();
    let path = snapshot.events_dir().join(&snapshot.files()[2].path);
    let bytes = fs::read(&path).unwrap();
    for at in [bytes.len() / 3, bytes.len() - 20] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        let error = room.writer().compact(&compaction()).unwrap_err();
        assert!(matches!(error, StoreError::DamagedFile { .. }), "{error}");
        assert!(error.to_string().contains(&snapshot.files()[2].path), "{error}");
        let error = room.snapshot().forgetting(Month::parse("2026-02").unwrap()).unwrap_err();
        assert!(matches!(error, StoreError::DamagedFile { .. }), "{error}");
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!((room.snapshot().version(), live(&room.snapshot())), (5, live(&snapshot)), "nothing was changed");
    assert_eq!((damages(&room), notes(&room)), (vec![], vec![]));
}

#[test]
fn removed_files_go_when_their_grace_has_passed() {
    let room = store_of_many();
    let mut writer = room.writer();
    let before = on_disk(&room);
    writer.compact(&compaction()).unwrap();
    let pending = room.snapshot().pending().unwrap();
    assert_eq!(pending.len(), 5);
    let hour = Duration::from_secs(3600);
    let waits = writer.vacuum(NOW + 3_599_999_999, hour).unwrap();
    assert_eq!((waits.freed.len(), waits.in_grace, waits.held.len()), (0, pending.clone(), 0));
    drop(writer);
    let writer = room.writer();
    assert_eq!(writer.swept(), [] as [&str; 0], "they are no left-overs");
    assert!(before.iter().all(|path| on_disk(&room).contains(path)));
    // By a clock that was ahead when the files were removed.
    let ahead = |grace| room.snapshot().vacuumable(NOW - DAY, grace).unwrap();
    assert_eq!((ahead(hour).in_grace, ahead(Duration::ZERO).freed), (pending.clone(), pending.clone()));
    let planned = room.snapshot().vacuumable(NOW + 3_600_000_000, hour).unwrap();
    assert_eq!((planned.freed, on_disk(&room).len()), (pending.clone(), 7), "which only tells");
    let freed = writer.vacuum(NOW + 3_600_000_000, hour).unwrap();
    assert_eq!((freed.freed, freed.in_grace.len(), freed.held.len()), (pending, 0, 0));
    assert_eq!(on_disk(&room), live(&room.snapshot()), "a plain glob is right");
    assert_eq!((damages(&room), notes(&room)), (vec![], vec![]));
    assert_eq!(writer.vacuum(i64::MAX, Duration::ZERO).unwrap(), crate::Vacuumed::default());
}

#[test]
fn what_a_reader_may_need_stays_until_it_is_gone() {
    let room = store_of_many();
    let early = room.snapshot();
    let (digests, rows) = contents(&early);
    let mut writer = room.writer();
    writer.compact(&compaction()).unwrap();
    let late = room.snapshot();
    let held = writer.vacuum(i64::MAX, Duration::ZERO).unwrap();
    assert_eq!((held.freed.len(), held.held.len()), (0, 5));
    let copy = early.clone();
    drop(early);
    assert_eq!(writer.vacuum(i64::MAX, Duration::ZERO).unwrap().held.len(), 5, "a copy holds them, too");
    assert_eq!(contents(&copy), (digests.clone(), rows), "and reads on");
    drop(copy);
    let freed = writer.vacuum(i64::MAX, Duration::ZERO).unwrap();
    assert_eq!((freed.freed.len(), freed.held.len()), (5, 0), "later readers hold nothing up");
    assert_eq!(contents(&late).0, digests);
    // Of two removals, the later one waits for the reader in between, the earlier one does not.
    bring(&mut writer, &[brought("x", &[MORNING + 1])]);
    bring(&mut writer, &[brought("y", &[MORNING + 2])]);
    let between = room.snapshot();
    writer.compact(&compaction()).unwrap();
    assert_eq!(writer.vacuum(i64::MAX, Duration::ZERO).unwrap().held.len(), 3);
    drop((late, between));
    assert_eq!(writer.vacuum(i64::MAX, Duration::ZERO).unwrap().freed.len(), 3);
    let names: Vec<_> =
        fs::read_dir(room.root.join("_readers")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 1, "files of epochs that are over are removed: {names:?}");
}

#[test]
fn readers_come_and_go_while_files_do() {
    let room = Room::new();
    let mut writer = room.writer();
    bring(&mut writer, &[brought("0", &[MORNING])]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = || {
            let mut last = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let snapshot = room.snapshot();
                let rows = times(&snapshot, i64::MIN, i64::MAX).len() as u64;
                assert_eq!(rows, snapshot.rows(), "one committed state");
                assert!(rows >= last, "time does not run backwards");
                last = rows;
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        for n in 1..=30 {
            bring(&mut writer, &[brought(&n.to_string(), &[MORNING + n, MORNING + 2 * n])]);
            if n % 3 == 0 {
                writer.compact(&compaction()).unwrap();
                writer.vacuum(i64::MAX, Duration::ZERO).unwrap();
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    writer.vacuum(i64::MAX, Duration::ZERO).unwrap();
    assert_eq!((room.snapshot().rows(), on_disk(&room)), (61, live(&room.snapshot())));
    assert_eq!(damages(&room), [] as [&str; 0]);
}

#[cfg(unix)]
#[test]
fn a_store_that_may_only_be_read_opens_with_a_lease() {
    use std::os::unix::fs::PermissionsExt as _;
    let room = store_of_many();
    let readers = room.root.join("_readers");
    let allow = |mode| fs::set_permissions(&readers, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o555);
    assert!(room.snapshot().lease.is_some(), "the file is there already");
    allow(0o755);
    fs::remove_dir_all(&readers).unwrap();
    // A file where the folder should be: nobody, not even root, can make one.
    fs::write(&readers, "").unwrap();
    let snapshot = room.snapshot();
    assert!(snapshot.lease.is_none());
    assert_eq!(times(&snapshot, i64::MIN, i64::MAX).len(), 250);
}

#[test]
fn a_kill_between_the_steps_of_a_compaction_changes_nothing() {
    let room = store_of_many();
    let before = room.snapshot();
    let (digests, rows) = contents(&before);
    let mut writer = room.writer();
    // Files merged and moved to their places, and no commit.
    let folder = writer.staging_dir().join("compaction");
    fs::create_dir_all(&folder).unwrap();
    let january = stage(&writer, "compaction/merged", &[MORNING]);
    let plan = crate::compact::tests_plan(&before);
    let placed = writer.place_compaction(&[(&plan, crate::compact::tests_merged(january))], NOW).unwrap();
    drop(writer);
    assert_eq!(on_disk(&room).len(), before.files().len() + 1);
    assert_eq!(contents(&room.snapshot()), (digests.clone(), rows), "readers see the last commit");
    writer = room.writer();
    assert_eq!(writer.swept().len(), 2, "the file and the folder: {:?}", writer.swept());
    assert_eq!(on_disk(&room), live(&before));
    drop(placed);
    // A commit that got its name, and a program that was killed before it could tell.
    writer.compact(&compaction()).unwrap();
    drop(writer);
    let mut writer = room.writer();
    assert_eq!(writer.swept(), [] as [&str; 0]);
    assert_eq!(writer.compact(&compaction()).unwrap(), []);
    assert_eq!(contents(&room.snapshot()).0, digests);
    // A clean-up that was killed after its first file.
    let pending = room.snapshot().pending().unwrap();
    fs::remove_file(room.root.join(&pending[0].path)).unwrap();
    drop(before);
    assert_eq!(writer.vacuum(i64::MAX, Duration::ZERO).unwrap().freed, pending[1..]);
    assert_eq!((damages(&room), on_disk(&room)), (vec![], live(&room.snapshot())));
}

#[test]
fn another_program_that_was_faster_is_told_and_nothing_is_lost() {
    let room = store_of_many();
    let foreign = concat!(
        r#"{"commitInfo":{"operation":"WRITE"}}"#,
        "\n",
        r#"{"add":{"path":"month=2026-01/foreign.parquet","partitionValues":{"month":"2026-01"},"size":9,"modificationTime":0,"#,
        r#""dataChange":true,"stats":"{\"numRecords\":3}"}}"#,
        "\n"
    );
    let mut writer = room.writer();
    fs::write(room.commit_file(6), foreign).unwrap();
    fs::write(room.root.join("events/month=2026-01/foreign.parquet"), "no Parquet").unwrap();
    let error = writer.compact(&compaction()).unwrap_err();
    assert!(matches!(error, StoreError::Conflict { version: 6, .. }), "{error}");
    assert_eq!(room.snapshot().rows(), 253);
    drop(writer);
    // Between commits of ours it is passed over: nothing vouches for its bytes.
    let mut writer = room.writer();
    let months = writer.compact(&compaction()).unwrap();
    assert_eq!((months.len(), months[0].removed.0), (1, 5));
    let snapshot = room.snapshot();
    assert!(live(&snapshot).contains(&"month=2026-01/foreign.parquet".to_owned()));
    assert_eq!(snapshot.rows(), 253);
    let error = snapshot.forgetting(Month::parse("2026-02").unwrap()).unwrap_err().to_string();
    assert!(error.contains("foreign.parquet"), "a tombstone cannot tell what is in it: {error}");
}

/// Commits rows as another program would, whose columns may be null or not.
fn foreign(room: &Room, version: u64, rows: &RecordBatch, may_be_null: bool) {
    let path = room.root.join("events/month=2026-01/foreign.parquet");
    let fields = rows
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(may_be_null))
        .collect::<Vec<_>>();
    let rows = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), rows.columns().to_vec()).unwrap();
    let mut file = parquet::arrow::ArrowWriter::try_new(fs::File::create(&path).unwrap(), rows.schema(), None).unwrap();
    file.write(&rows).unwrap();
    file.close().unwrap();
    let (count, bytes) = (rows.num_rows(), fs::metadata(path).unwrap().len());
    let lines = format!(
        "{{\"commitInfo\":{{\"operation\":\"OPTIMIZE\"}}}}\n{{\"add\":{{\"path\":\"month=2026-01/foreign.parquet\",\
         \"partitionValues\":{{\"month\":\"2026-01\"}},\"size\":{bytes},\"modificationTime\":0,\"dataChange\":false,\
         \"stats\":\"{{\\\"numRecords\\\":{count}}}\"}}}}"
    );
    fs::write(room.commit_file(version), lines).unwrap();
}

/// The same rows without their times.
fn with_null_times(rows: &RecordBatch) -> RecordBatch {
    let fields =
        rows.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| match field.name().as_str() {
        schema::TIME => arrow::array::new_null_array(field.data_type(), rows.num_rows()),
        _ => Arc::clone(column),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// The same rows with a text in each column.
fn without_nulls(rows: &RecordBatch) -> RecordBatch {
    let texts = rows.column_by_name("status").unwrap();
    let columns = rows.columns().iter().map(|column| if column.null_count() > 0 { texts } else { column });
    RecordBatch::try_new(rows.schema(), columns.map(Arc::clone).collect()).unwrap()
}

#[test]
fn rows_that_another_program_wrote_can_be_forgotten() {
    let rows = batch_of("a", 0, &[MORNING, MORNING + 1]);
    for may_be_null in [true, false] {
        let room = store_of_many();
        let rows = if may_be_null { rows.clone() } else { without_nulls(&rows) };
        foreign(&room, 6, &rows, may_be_null);
        let found = damages(&room);
        assert!(!found.iter().any(|words| words.contains("foreign.parquet")), "it can be read: {found:#?}");
        let forgetting = room.snapshot().forgetting(Month::parse("2026-02").unwrap()).unwrap();
        let before = room.snapshot().rows();
        room.writer().forget(&forgetting, None, NOW).unwrap();
        assert_eq!(room.snapshot().rows(), before - forgetting.rows());
    }
    let room = store_of_many();
    foreign(&room, 6, &with_null_times(&rows), true);
    let found = damages(&room);
    let words = "events/month=2026-01/foreign.parquet: expected `time` in every row, found 2 rows without";
    assert!(found.contains(&words.to_owned()), "{found:#?}");
}

#[test]
fn months_are_forgotten_with_a_tombstone() {
    let room = store_of_many();
    let before = room.snapshot();
    let (digests, _) = contents(&before);
    let february = Month::parse("2026-02").unwrap();
    let forgetting = before.forgetting(february).unwrap();
    let january = &forgetting.months()[0];
    assert_eq!((forgetting.months().len(), january.month.as_str(), january.files), (1, "2026-01", 5));
    assert_eq!(
        (january.rows, january.archives, forgetting.archives()),
        (before.rows() - 41, 5, vec!["a", "b", "c", "d", "e"])
    );
    let mut writer = room.writer();
    let forgotten = writer.forget(&forgetting, Some("two years are over"), NOW).unwrap();
    assert_eq!((forgotten.before.as_str(), forgotten.reason.as_deref()), ("2026-02", Some("two years are over")));
    assert_eq!(forgotten.rows, january.rows);
    let after = room.snapshot();
    assert_eq!(
        (after.rows(), after.forgets(), after.ledger().unwrap()),
        (41, &[forgotten][..], before.ledger().unwrap())
    );
    let mut gone = RowsDigest::default();
    let tombstones = after.forgotten().unwrap();
    tombstones[0].1.iter().for_each(|row| gone += row.digest);
    assert_eq!((tombstones[0].1.len(), gone), (5, digests["2026-01"]), "it tells what was there");
    assert_eq!((damages(&room), notes(&room)), (vec![], vec![]));
    let error = writer.forget(&forgetting, None, NOW).unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "these months have changed: {error}");
    assert!(after.forgetting(february).unwrap().months().is_empty());
    let nothing = after.forgetting(february).unwrap();
    assert!(writer.forget(&nothing, None, NOW).is_err());

    drop(before);
    assert_eq!(writer.vacuum(i64::MAX, Duration::ZERO).unwrap().freed.len(), 5);
    assert!(!room.root.join("events/month=2026-01").exists(), "an empty folder goes, too");
    // What comes again is stored again, and can be compacted and forgotten again.
    bring(&mut writer, &[brought("z1", &[MORNING])]);
    bring(&mut writer, &[brought("z2", &[MORNING + 1])]);
    assert_eq!((room.snapshot().rows(), damages(&room)), (43, vec![]));
    assert_eq!(writer.compact(&compaction()).unwrap().len(), 1);
    let again = writer.snapshot().forgetting(february).unwrap();
    writer.forget(&again, None, NOW).unwrap();
    assert_eq!((room.snapshot().rows(), room.snapshot().forgotten().unwrap().len()), (41, 2));
    assert_eq!((damages(&room), notes(&room)), (vec![], vec![]));
    drop(writer);
    assert_eq!(room.writer().swept(), [] as [&str; 0]);
}

#[test]
fn a_kill_before_the_commit_of_a_removal_changes_nothing() {
    let room = store_of_many();
    let before = room.snapshot();
    let writer = room.writer();
    let forgetting = before.forgetting(Month::parse("2027-01").unwrap()).unwrap();
    drop(writer.place_forget(&forgetting, None, NOW).unwrap());
    drop(writer);
    assert_eq!(room.snapshot().rows(), before.rows());
    let writer = room.writer();
    assert_eq!(writer.swept().len(), 1);
    assert!(writer.swept()[0].starts_with("forgotten/00000006-"), "{:?}", writer.swept());
    // The same commit twice, as after an answer that was lost.
    let placed = writer.place_forget(&forgetting, None, NOW).unwrap();
    assert!(writer.write_commit(&placed).is_ok());
    assert!(writer.write_commit(&placed).is_ok());
    assert_eq!((room.snapshot().rows(), room.snapshot().version()), (0, 6));
    assert_eq!(damages(&room), [] as [&str; 0]);
}

#[test]
fn a_changed_tombstone_is_damage() {
    let room = store_of_many();
    let forgetting = room.snapshot().forgetting(Month::parse("2026-02").unwrap()).unwrap();
    let forgotten = room.writer().forget(&forgetting, None, NOW).unwrap();
    let path = room.root.join(&forgotten.forgotten.path);
    let bytes = fs::read(&path).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    for damaged in [Some(changed), None] {
        match damaged {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let found = damages(&room);
        assert!(found.iter().any(|damage| damage.starts_with("forgotten/")), "{found:?}");
        assert!(room.snapshot().forgotten().is_err());
    }
}

#[test]
fn many_small_files_are_merged_gently() {
    let room = Room::new();
    let mut writer = room.writer();
    for n in 0..40 {
        let version = writer.snapshot().version();
        bring(&mut writer, &[brought(&format!("{n:02}"), &[MORNING + n * DAY / 2])]);
        let merged = writer.compact_gently(version, 64 << 20, NOW).unwrap();
        assert_eq!(merged.is_empty(), n != 15 && n != 30, "after {n}: {merged:?}");
        assert!(writer.free_removed_by(writer.snapshot().version()).unwrap().held.is_empty());
        assert_eq!(on_disk(&room), live(writer.snapshot()), "a plain glob is right at any time");
    }
    // A file of March finds January done with.
    let version = writer.snapshot().version();
    bring(&mut writer, &[brought("march", &[FEBRUARY + 40 * DAY])]);
    let merged = writer.compact_gently(version, 64 << 20, NOW).unwrap();
    let told: Vec<_> = merged.iter().map(|month| (month.month.as_str(), month.removed.0, month.added.0)).collect();
    assert_eq!(told, [("2026-01", 10, 1)]);
    assert_eq!(room.snapshot().rows(), 41);
    assert_eq!(damages(&room), [] as [&str; 0]);
}

/// Stores of a few runs of a few archives, whose times straddle three months.
fn stores() -> impl Strategy<Value = Vec<Vec<Vec<i64>>>> {
    let time = (0..80_i64, 0..5_i64).prop_map(|(day, second)| MORNING + day * DAY + second * 1_000_000);
    let archive = prop::collection::vec(time, 1..8);
    prop::collection::vec(prop::collection::vec(archive, 1..4), 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn compaction_keeps_the_digest_of_every_month_and_the_order_of_archives(runs in stores()) {
        let room = Room::new();
        let mut writer = room.writer();
        let (mut first_times, mut number) = (BTreeMap::new(), 0);
        for run in &runs {
            let archives: Vec<_> = run
                .iter()
                .map(|times| {
                    number += 1;
                    // Names in no order of time.
                    let archive = brought(&format!("{:03}", number * 37 % 101), times);
                    first_times.insert(archive.name.clone(), *times.iter().min().unwrap());
                    archive
                })
                .collect();
            bring(&mut writer, &archives);
        }
        let before = contents(&room.snapshot()).0;
        let merged = writer.compact(&compaction()).unwrap();
        let after = room.snapshot();
        let (digests, rows) = contents(&after);
        prop_assert_eq!(&digests, &before);
        for month in &merged {
            prop_assert_eq!(after.files().iter().filter(|file| file.month == month.month).count(), 1);
        }
        for month in digests.keys() {
            let keys: Vec<_> = rows
                .iter()
                .filter(|row| Month::of(row.0).unwrap().to_string() == *month)
                .map(|(_, archive, ordinal)| (first_times[archive], archive.clone(), *ordinal))
                .collect();
            prop_assert!(keys.is_sorted(), "{} {:?}", month, keys);
        }
        prop_assert_eq!(damages(&room), Vec::<String>::new());
        writer.vacuum(i64::MAX, Duration::ZERO).unwrap();
        prop_assert_eq!(on_disk(&room), live(&after));
    }
}
