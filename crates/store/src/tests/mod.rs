//! The store as its callers and its accidents see it, on real files.

mod crashes;
mod damage;
mod encoding;
mod encoding_speed;
pub(crate) mod faulty;
mod files;
mod runs;
mod shape;
mod speed;
mod verification;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int32Type};
use keytrail_model::ledger::{ArchiveStatus, LedgerRow, RecordCounts};
use keytrail_model::schema;
use keytrail_model::time::Month;
use serde_json::json;

use crate::{EventsWriter, RejectsWriter, RunCommit, Snapshot, StagedFile, StagedLedger, Store, StoreError, Writer};

/// 2026-01-05 08:00:00 UTC.
pub(crate) const MORNING: i64 = 1_767_600_000_000_000;
/// 2026-02-01 00:00:00 UTC.
const FEBRUARY: i64 = 1_769_904_000_000_000;

/// A fresh folder with a store in it, or none yet.
pub(crate) struct Room {
    _folder: tempfile::TempDir,
    pub(crate) root: PathBuf,
}

impl Room {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A name that a URL or a glob would stumble over.
        let root = folder.path().join("a store, 100 % [ours] #1");
        Self { _folder: folder, root }
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer::open(&self.root, &mut || panic!("nobody else writes")).unwrap()
    }

    fn snapshot(&self) -> Snapshot {
        Store::open(&self.root).unwrap().snapshot().unwrap()
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.root.join("events/_delta_log").join(name)
    }

    pub(crate) fn commit_file(&self, version: u64) -> PathBuf {
        self.log(&format!("{version:020}.json"))
    }

    /// Every file with its contents, but for the log's.
    fn files(&self) -> Vec<String> {
        let mut names = Vec::new();
        list(&self.root, &self.root, &mut names);
        names.retain(|name| !name.contains("_delta_log") && !name.starts_with("_readers/") && name != "_lock");
        names.sort();
        names
    }
}

fn list(root: &Path, folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(root, &path, names);
        } else {
            names.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// Rows at given times; the other columns follow from the position.
fn batch(times: &[i64]) -> RecordBatch {
    batch_of("archive-0", 0, times)
}

/// The same rows, of one member of an archive, from an ordinal on.
fn batch_of(archive: &str, first: i64, times: &[i64]) -> RecordBatch {
    let rows = times.len();
    let schema = schema::events_file_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let text = |row: usize| match field.name().as_str() {
            "role" => None,
            "archive" => Some(archive.to_owned()),
            "member" => Some("m.json".to_owned()),
            name => Some(format!("{name}-{}", row % 3)),
        };
        match field.data_type() {
            DataType::Timestamp(_, _) => Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC")),
            DataType::Int64 => Arc::new(Int64Array::from_iter_values(first..first + rows as i64)),
            DataType::Utf8 => Arc::new((0..rows).map(text).collect::<StringArray>()),
            _ => {
                let texts: Vec<_> = (0..rows).map(text).collect();
                Arc::new(texts.iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>())
            }
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn stage(writer: &Writer, name: &str, times: &[i64]) -> StagedFile {
    stage_of(writer, name, "archive-0", 0, times)
}

fn stage_of(writer: &Writer, name: &str, archive: &str, first: i64, times: &[i64]) -> StagedFile {
    let month = Month::of(times[0]).unwrap();
    let mut file = EventsWriter::create(&writer.staging_dir().join(name), month).unwrap();
    file.write(&batch_of(archive, first, times)).unwrap();
    file.finish().unwrap()
}

fn ledger_row(run: &str, archive: &str, records: RecordCounts) -> LedgerRow {
    LedgerRow {
        archive: archive.into(),
        path: format!("{archive}.zip"),
        container: Some("zip".into()),
        status: ArchiveStatus::Stored,
        reason: None,
        bytes: 10,
        json_bytes: 100,
        members: 1,
        records,
        first_time: Some(MORNING),
        last_time: Some(FEBRUARY + 1_000_000_000_000),
        run: run.into(),
        ingested_at: MORNING,
        notes: vec![],
        requests: vec![],
        services: None,
        service_spans: None,
    }
}

/// A run of one archive: each list of times becomes a data file; one record is rejected, two are duplicates.
fn run(writer: &Writer, archive: &str, files: &[&[i64]]) -> RunCommit {
    let name = writer.next_run(&mut [archive].into_iter());
    let mut first = 0;
    let mut staged = Vec::new();
    for (n, times) in files.iter().enumerate() {
        staged.push(stage_of(writer, &format!("f{n}"), archive, first, times));
        first += times.len() as i64;
    }
    let stored: usize = files.iter().map(|times| times.len()).sum();
    let records = RecordCounts { read: stored as u64 + 3, stored: stored as u64, duplicates: 2, rejected: 1 };
    let mut rejects = RejectsWriter::create(&writer.staging_dir().join("rejects")).unwrap();
    rejects.write(&reject_at(archive, first)).unwrap();
    RunCommit {
        committed_at: MORNING + 5,
        options: json!({"jobs": 2, "paths": ["a", 1, null]}),
        records,
        files: staged,
        ledger: StagedLedger::write(&writer.staging_dir().join("ledger"), vec![ledger_row(&name, archive, records)])
            .unwrap(),
        rejects: rejects.finish().unwrap(),
        run: name,
    }
}

fn reject(archive: &str) -> RecordBatch {
    reject_at(archive, 4)
}

fn reject_at(archive: &str, ordinal: i64) -> RecordBatch {
    let text = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let number = |number| Arc::new(Int64Array::from(vec![number])) as ArrayRef;
    let raw = Arc::new(arrow::array::BinaryArray::from(vec![&b"{\xff"[..]])) as ArrayRef;
    let columns = vec![text(archive), text("m.json"), number(ordinal), number(77), text("not JSON"), raw];
    RecordBatch::try_new(schema::rejects_schema(), columns).unwrap()
}

pub(crate) fn commit(writer: &mut Writer, archive: &str, files: &[&[i64]]) -> Snapshot {
    let run = run(writer, archive, files);
    writer.commit(run).unwrap()
}

/// Times of all rows, in the order they are read.
fn times(snapshot: &Snapshot, from: i64, to: i64) -> Vec<i64> {
    let mut times = Vec::new();
    crate::read_events::<StoreError>(snapshot, from, to, &mut |batch| {
        times.extend(keytrail_model::record::RecordColumns::of(batch).unwrap().times());
        Ok(())
    })
    .unwrap();
    times
}
