//! Small stores: records written down as lists of columns, put into a store through its own writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use keytrail_model::ledger::{ArchiveStatus, ExportRequest, LedgerRow, RecordCounts, ServiceKey, ServiceSpan};
use keytrail_model::schema;
use keytrail_model::statuses::StatusCatalogue;
use keytrail_model::time::{self, Month};
use keytrail_store::{EventsWriter, RejectsWriter, RunCommit, Snapshot, StagedFile, StagedLedger, Writer};
use tempfile::TempDir;

use crate::output::{self, Format};
use crate::{Session, SessionOptions};

/// A record: its time in the service's form, and those of its columns that are not null.
#[derive(Clone)]
pub(super) struct Record {
    time: i64,
    columns: Vec<(&'static str, String)>,
}

/// A record of an HSM partition. `columns` is a list such as `action=LUNA_LOGIN status=LUNA_RET_OK`; `status` and `action` may be left
/// out and are null then.
pub(super) fn hsm(time: &str, columns: &str) -> Record {
    let mut record = Record { time: micros(time), columns: Vec::new() };
    for pair in columns.split(' ').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        let name = *schema::TEXT_COLUMNS.iter().find(|column| **column == name).unwrap();
        record.columns.push((name, value.into()));
    }
    if !record.columns.iter().any(|(name, _)| *name == "source") {
        record.columns.push(("source", "thales/cloudhsm/1".into()));
    }
    record
}

/// The record with one more column, whose value may hold blanks.
pub(super) fn with(mut record: Record, column: &'static str, value: &str) -> Record {
    record.columns.push((column, value.into()));
    record
}

pub(super) fn micros(time: &str) -> i64 {
    time::parse(&format!("{time} UTC")).unwrap().micros
}

/// An archive: its name, its records, how many rejects it had, and what else is known of it.
#[derive(Clone, Default)]
pub(super) struct Archive {
    pub(super) name: String,
    pub(super) records: Vec<Record>,
    pub(super) rejects: u64,
    /// Records that another archive had brought.
    pub(super) duplicates: Vec<Record>,
    pub(super) requests: Vec<ExportRequest>,
    /// Else it is stored, or failed where there is nothing in it and no request.
    pub(super) status: Option<ArchiveStatus>,
    /// Whether its ledger row is one of an older keytrail, which counted no services.
    pub(super) is_old: bool,
}

pub(super) fn archive(name: &str, records: Vec<Record>) -> Archive {
    Archive { name: name.into(), records, ..Archive::default() }
}

/// The request of a window, in the service's form, with filters such as `resourceId=r1 action=LUNA_LOGIN`.
pub(super) fn request(window: (&str, &str), filters: &str) -> ExportRequest {
    let filters = filters.split(' ').filter_map(|pair| pair.split_once('='));
    ExportRequest {
        sha256: hash(window.0),
        window_from: Some(micros(window.0)),
        window_to: Some(micros(window.1)),
        filters: filters.map(|(name, value)| (name.into(), value.into())).collect(),
        ..ExportRequest::default()
    }
}

/// A store of its own folder, gone when dropped.
pub(super) struct TestStore {
    pub(super) folder: TempDir,
    pub(super) snapshot: Snapshot,
}

impl TestStore {
    /// One run per list of archives.
    pub(super) fn new(runs: &[Vec<Archive>]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut writer = Writer::open(&folder.path().join("store"), &mut || {}).unwrap();
        let mut snapshot = writer.snapshot().clone();
        for (committed_at, archives) in (1_767_600_000_000_000..).step_by(1_000_000).zip(runs) {
            snapshot = commit(&mut writer, archives, committed_at);
        }
        Self { folder, snapshot }
    }

    /// One archive of these records.
    pub(super) fn of(records: Vec<Record>) -> Self {
        Self::new(&[vec![archive("a.zip", records)]])
    }

    /// The store after `forget`.
    pub(super) fn without_months_before(self, before: Month) -> Self {
        let mut writer = Writer::open(&self.folder.path().join("store"), &mut || {}).unwrap();
        let forgetting = writer.snapshot().forgetting(before).unwrap();
        writer.forget(&forgetting, Some("over"), 1_767_700_000_000_000).unwrap();
        Self { snapshot: writer.snapshot().clone(), ..self }
    }

    pub(super) async fn session(&self) -> Session {
        let statuses = StatusCatalogue::builtin().unwrap();
        let options = SessionOptions { threads: Some(2), memory_bytes: None, statuses, coverage_months: None };
        Session::new(self.snapshot.clone(), options).await.unwrap()
    }

    /// The rows of a query as CSV without its header, lines by `\n`.
    pub(super) async fn rows(&self, query: &str) -> String {
        rows(&self.session().await, query).await
    }
}

pub(super) async fn rows(session: &Session, query: &str) -> String {
    let csv = written(session, query, Format::Csv).await;
    csv.split_once('\n').unwrap().1.trim_end().into()
}

pub(super) async fn written(session: &Session, query: &str, format: Format) -> String {
    let stream = session.sql(query).await.unwrap().execute_stream().await.unwrap();
    let mut out = Vec::new();
    output::write(stream, format, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

/// Stands for the SHA-256 of an archive of that name.
pub(super) fn hash(name: &str) -> String {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0<64}")
}

pub(super) fn commit(writer: &mut Writer, archives: &[Archive], committed_at: i64) -> Snapshot {
    let hashes: Vec<String> = archives.iter().map(|archive| hash(&archive.name)).collect();
    let run = writer.next_run(&mut hashes.iter().map(String::as_str));
    let mut months: BTreeMap<Month, Vec<(usize, i64, &Record)>> = BTreeMap::new();
    for (index, archive) in archives.iter().enumerate() {
        for (ordinal, record) in (0..).zip(&archive.records) {
            months.entry(Month::of(record.time).unwrap()).or_default().push((index, ordinal, record));
        }
    }
    let files: Vec<StagedFile> = months
        .into_iter()
        .map(|(month, rows)| {
            let path = writer.staging_dir().join(format!("{month}.parquet"));
            let mut file = EventsWriter::create(&path, month).unwrap();
            file.write(&events(archives, &rows)).unwrap();
            file.finish().unwrap()
        })
        .collect();
    let mut rejects = RejectsWriter::create(&writer.staging_dir().join("rejects.parquet")).unwrap();
    let mut records = RecordCounts::default();
    let mut ledger = Vec::new();
    for archive in archives {
        (0..archive.rejects).for_each(|ordinal| rejects.write(&reject(archive, ordinal)).unwrap());
        let row = ledger_row(archive, &run, committed_at);
        records += row.records;
        ledger.push(row);
    }
    let options = serde_json::json!({});
    let rejects = rejects.finish().unwrap();
    let ledger = StagedLedger::write(&writer.staging_dir().join("ledger.parquet"), ledger).unwrap();
    writer.commit(RunCommit { run, committed_at, options, records, files, ledger, rejects }).unwrap()
}

fn ledger_row(archive: &Archive, run: &str, ingested_at: i64) -> LedgerRow {
    let (stored, duplicates) = (archive.records.len() as u64, archive.duplicates.len() as u64);
    let failed = stored + duplicates + archive.rejects == 0 && archive.requests.is_empty();
    let times = || archive.records.iter().chain(&archive.duplicates).map(|record| record.time);
    let services = (!archive.is_old).then(|| services(archive));
    LedgerRow {
        archive: hash(&archive.name),
        path: archive.name.clone(),
        container: Some("zip".into()),
        status: archive.status.unwrap_or(if failed { ArchiveStatus::Failed } else { ArchiveStatus::Stored }),
        reason: failed.then(|| "no records".into()),
        bytes: 100,
        json_bytes: 1000,
        members: 1,
        records: RecordCounts {
            read: stored + duplicates + archive.rejects,
            stored,
            duplicates,
            rejected: archive.rejects,
        },
        first_time: times().min(),
        last_time: times().max(),
        run: run.into(),
        ingested_at,
        notes: vec![],
        requests: archive.requests.clone(),
        services: services.as_ref().map(|services| services.len() as u64),
        service_spans: services,
    }
}

fn services(archive: &Archive) -> Vec<ServiceSpan> {
    let mut spans: BTreeMap<ServiceKey, (u64, i64, i64)> = BTreeMap::new();
    for record in archive.records.iter().chain(&archive.duplicates) {
        let text = |name: &str| record.columns.iter().find(|(column, _)| *column == name).map(|(_, text)| text.clone());
        let key = ServiceKey { resource_id: text("resource_id"), source: text("source"), tenant_id: text("tenant_id") };
        let (records, first, last) = spans.entry(key).or_insert((0, record.time, record.time));
        (*records, *first, *last) = (*records + 1, record.time.min(*first), record.time.max(*last));
    }
    let span =
        |(key, (records, first_time, last_time))| ServiceSpan { key: Arc::new(key), records, first_time, last_time };
    spans.into_iter().map(span).collect()
}

fn events(archives: &[Archive], rows: &[(usize, i64, &Record)]) -> RecordBatch {
    let schema = schema::events_file_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let plain: ArrayRef = match field.name().as_str() {
            schema::TIME => Arc::new(
                rows.iter().map(|row| Some(row.2.time)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
            ),
            schema::ORDINAL => Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()),
            schema::ARCHIVE => {
                Arc::new(rows.iter().map(|row| Some(hash(&archives[row.0].name))).collect::<StringArray>())
            }
            schema::MEMBER => Arc::new(rows.iter().map(|_| Some("m.json")).collect::<StringArray>()),
            name => {
                let value = |row: &(usize, i64, &Record)| {
                    row.2.columns.iter().find(|(column, _)| *column == name).map(|(_, value)| value.clone())
                };
                Arc::new(rows.iter().map(value).collect::<StringArray>())
            }
        };
        arrow::compute::cast(&plain, field.data_type()).unwrap()
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

fn reject(archive: &Archive, ordinal: u64) -> RecordBatch {
    let text = |text: String| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let count = |count: u64| -> ArrayRef { Arc::new(Int64Array::from(vec![count as i64])) };
    let columns = vec![
        text(hash(&archive.name)),
        text("m.json".into()),
        count(ordinal),
        count(ordinal * 10),
        text("expected an object, found 1".into()),
        Arc::new(BinaryArray::from(vec![b"\x01\xff".as_slice()])) as ArrayRef,
    ];
    RecordBatch::try_new(schema::rejects_schema(), columns).unwrap()
}
