//! The tables of a session: `events`, `archives`, `rejects`, `forgotten`, `export_requests`, `archive_services`, `archive_coverage` and
//! `service_months` of a snapshot, and the reference tables `actions` and `statuses`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::{JoinType, SessionContext, col, lit};
use keytrail_model::ledger::{ExportRequest, LedgerRow, Note};
use keytrail_model::time::Month;
use keytrail_model::{actions, schema, statuses::StatusCatalogue};
use keytrail_store::Snapshot;

use crate::files::{FilesTable, TableFile};
use crate::{QueryError, coverage, services};

/// Name of the table of all records.
pub(crate) const EVENTS: &str = "events";
/// Tables that come with the program and need no store.
pub(crate) const REFERENCE: [&str; 2] = [ACTIONS, STATUSES];
const ACTIONS: &str = "actions";
const STATUSES: &str = "statuses";
/// Column of the files of rejects that names their run; not part of the table `rejects`.
const RUN: &str = "run";

/// A name and what answers to it in SQL.
pub(crate) type Named = (&'static str, Arc<dyn TableProvider>);

/// Object store of the data files of `events`.
pub(crate) fn events_url() -> Result<ObjectStoreUrl, QueryError> {
    Ok(ObjectStoreUrl::parse("keytrail://events")?)
}

/// Object store of the whole store, for the files of rejects.
pub(crate) fn root_url() -> Result<ObjectStoreUrl, QueryError> {
    Ok(ObjectStoreUrl::parse("keytrail://store")?)
}

/// All tables of a snapshot. Reads the ledger. `asked` are months that `service_months` has in any case.
pub(crate) fn all(
    snapshot: &Snapshot,
    statuses: &StatusCatalogue,
    asked: Option<(Month, Month)>,
) -> Result<Vec<Named>, QueryError> {
    let ledger = snapshot.ledger()?;
    let archives = memory(archives(&ledger)?)?;
    let rejects = rejects(snapshot, Arc::clone(&archives))?;
    let events: Arc<dyn TableProvider> = Arc::new(events(snapshot, events_url()?));
    let (archive_services, from_events) = services::table(snapshot, &ledger, Arc::clone(&events))?;
    let mut tables: Vec<Named> = vec![
        (EVENTS, events),
        ("archives", archives),
        ("rejects", rejects),
        ("forgotten", memory(forgotten(snapshot)?)?),
        ("export_requests", memory(export_requests(&ledger)?)?),
        ("archive_services", archive_services),
        (ACTIONS, memory(actions_batch()?)?),
        (STATUSES, memory(statuses_batch(statuses)?)?),
    ];
    tables.extend(coverage::tables(snapshot, from_events, asked));
    Ok(tables)
}

/// The rows of a snapshot, whose folder of events is registered under `url`.
pub(crate) fn events(snapshot: &Snapshot, url: ObjectStoreUrl) -> FilesTable {
    let files = snapshot.files().iter().map(|file| TableFile {
        path: file.path.clone(),
        bytes: file.bytes,
        rows: file.rows,
        folder: file.month.clone(),
        sealed: None,
        time: Some((file.min_time, file.max_time)),
    });
    FilesTable::new(url, with_views(&schema::events_file_schema()), schema::MONTH, files.collect())
}

/// The rows of `events` in one month, as a table of its own: same columns, same files, fewer of them.
pub(crate) fn events_of(events: Arc<dyn TableProvider>, month: Month) -> Result<Arc<dyn TableProvider>, QueryError> {
    let rows = SessionContext::new().read_table(events)?;
    Ok(rows.filter(col(schema::MONTH).eq(lit(month.to_string())))?.into_view())
}

/// A row of the rejects' files counts as long as the run that wrote it wrote the latest ledger row of its archive.
fn rejects(snapshot: &Snapshot, archives: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>, QueryError> {
    let files = snapshot.runs().iter().filter(|run| run.rejects.rows > 0).map(|run| TableFile {
        path: run.rejects.path.clone(),
        bytes: run.rejects.bytes,
        rows: run.rejects.rows,
        folder: run.run.clone(),
        sealed: Some((snapshot.root().join(&run.rejects.path), run.rejects.sha256.clone())),
        time: None,
    });
    let columns = schema::rejects_schema();
    let files = FilesTable::new(root_url()?, with_views(&columns), RUN, files.collect());
    let context = SessionContext::new();
    let current = context.read_table(archives)?.select_columns(&[schema::ARCHIVE, RUN])?;
    let keys = [schema::ARCHIVE, RUN];
    let rows = context.read_table(Arc::new(files))?.join(current, JoinType::LeftSemi, &keys, &keys, None)?;
    let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
    Ok(rows.select_columns(&names)?.into_view())
}

/// The same columns with texts as views: what DataFusion groups and compares fastest, whatever the encoding on disk.
pub(crate) fn with_views(columns: &SchemaRef) -> SchemaRef {
    let fields = columns.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::Dictionary(_, _) => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

pub(crate) fn memory(rows: RecordBatch) -> Result<Arc<dyn TableProvider>, QueryError> {
    Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
}

/// Columns of a table in memory, made from rows of any kind.
pub(crate) struct Rows<'a, T>(pub(crate) &'a [T]);

impl<'a, T> Rows<'a, T> {
    pub(crate) fn texts<S: AsRef<str>>(&self, of: impl Fn(&'a T) -> Option<S>) -> ArrayRef {
        Arc::new(self.0.iter().map(of).collect::<StringViewArray>())
    }

    pub(crate) fn counts(&self, of: impl Fn(&'a T) -> Option<u64>) -> ArrayRef {
        let counts = self.0.iter().map(|row| Some(i64::try_from(of(row)?).unwrap_or(i64::MAX)));
        Arc::new(counts.collect::<Int64Array>())
    }

    pub(crate) fn times(&self, of: impl Fn(&'a T) -> Option<i64>) -> ArrayRef {
        Arc::new(self.0.iter().map(of).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    }
}

fn archives(ledger: &[LedgerRow]) -> Result<RecordBatch, QueryError> {
    let rows = Rows(ledger);
    let request = |row: &LedgerRow| row.requests.first().cloned();
    let columns = vec![
        rows.texts(|row| Some(row.archive.clone())),
        rows.texts(|row| Some(row.path.clone())),
        rows.texts(|row| row.container.clone()),
        rows.texts(|row| Some(row.status.as_str())),
        rows.texts(|row| row.reason.clone()),
        rows.counts(|row| Some(row.bytes)),
        rows.counts(|row| Some(row.json_bytes)),
        rows.counts(|row| Some(row.members)),
        rows.counts(|row| Some(row.records.read)),
        rows.counts(|row| Some(row.records.stored)),
        rows.counts(|row| Some(row.records.duplicates)),
        rows.counts(|row| Some(row.records.rejected)),
        rows.times(|row| row.first_time),
        rows.times(|row| row.last_time),
        rows.texts(|row| Some(row.run.clone())),
        rows.times(|row| Some(row.ingested_at)),
        rows.texts(|row| notes(row.notes.iter().chain(row.requests.iter().flat_map(|request| &request.notes)))),
        rows.counts(|row| (!row.requests.is_empty()).then_some(row.requests.len() as u64)),
        rows.texts(|row| Some(request(row)?.sha256)),
        rows.times(|row| request(row)?.window_from),
        rows.times(|row| request(row)?.window_to),
        rows.texts(|row| filters(&request(row)?)),
        rows.texts(|row| request(row)?.job_id),
        rows.texts(|row| request(row)?.job_state),
        rows.counts(|row| row.services),
    ];
    Ok(RecordBatch::try_new(with_views(&schema::archives_schema()), columns)?)
}

/// What was removed from the store on purpose: a row for each removal, archive and month.
fn forgotten(snapshot: &Snapshot) -> Result<RecordBatch, QueryError> {
    let tombstones = snapshot.forgotten()?;
    let rows: Vec<_> =
        tombstones.iter().flat_map(|(forget, rows)| rows.iter().map(move |row| (*forget, row))).collect();
    let rows = Rows(&rows);
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8View, nullable);
    let fields = vec![
        text(schema::ARCHIVE, false),
        text(schema::MONTH, false),
        Field::new("rows", DataType::Int64, false),
        text("digest", false),
        Field::new("forgotten_at", schema::timestamp(), false),
        text("before", false),
        text("reason", true),
    ];
    let columns = vec![
        rows.texts(|(_, row)| Some(&row.archive)),
        rows.texts(|(_, row)| Some(&row.month)),
        rows.counts(|(_, row)| Some(row.digest.rows())),
        rows.texts(|(_, row)| Some(row.digest.to_string())),
        rows.times(|(forget, _)| Some(forget.committed_at)),
        rows.texts(|(forget, _)| Some(&forget.before)),
        rows.texts(|(forget, _)| forget.reason.as_ref()),
    ];
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn export_requests(ledger: &[LedgerRow]) -> Result<RecordBatch, QueryError> {
    let requests: Vec<(&str, &ExportRequest)> =
        ledger.iter().flat_map(|row| row.requests.iter().map(|request| (row.archive.as_str(), request))).collect();
    let rows = Rows(&requests);
    let columns = vec![
        rows.texts(|(archive, _)| Some((*archive).to_owned())),
        rows.texts(|(_, request)| Some(request.path.clone())),
        rows.texts(|(_, request)| Some(request.sha256.clone())),
        rows.times(|(_, request)| request.window_from),
        rows.times(|(_, request)| request.window_to),
        rows.texts(|(_, request)| filters(request)),
        rows.texts(|(_, request)| request.job_id.clone()),
        rows.texts(|(_, request)| request.job_state.clone()),
        rows.times(|(_, request)| request.job_started_at),
        rows.times(|(_, request)| request.job_ended_at),
        rows.texts(|(_, request)| request.location.clone()),
        rows.texts(|(_, request)| notes(request.notes.iter())),
    ];
    Ok(RecordBatch::try_new(with_views(&schema::export_requests_schema()), columns)?)
}

/// Notes as a JSON list; nothing where there are none.
fn notes<'a>(notes: impl Iterator<Item = &'a Note>) -> Option<String> {
    let notes: Vec<&Note> = notes.collect();
    (!notes.is_empty()).then(|| serde_json::to_string(&notes).ok()).flatten()
}

/// Filters as a JSON object, empty where the export was not narrowed.
fn filters(request: &ExportRequest) -> Option<String> {
    serde_json::to_string(&request.filters).ok()
}

fn actions_batch() -> Result<RecordBatch, QueryError> {
    let rows = actions::catalogue()?;
    let texts = |of: &dyn Fn(&actions::Action) -> Option<String>| rows.iter().map(of).collect::<StringViewArray>();
    text_table(vec![
        ("action", false, texts(&|row| Some(row.action.clone()))),
        ("category", false, texts(&|row| Some(row.category.clone()))),
        ("names_ouid", false, texts(&|row| Some(row.names_ouid.clone()))),
        ("phase", true, texts(&|row| row.phase.clone())),
        ("description", false, texts(&|row| Some(row.description.clone()))),
    ])
}

fn statuses_batch(statuses: &StatusCatalogue) -> Result<RecordBatch, QueryError> {
    let rows = statuses.rows();
    let texts = |of: &dyn Fn(&keytrail_model::statuses::Status) -> Option<String>| {
        rows.iter().map(of).collect::<StringViewArray>()
    };
    text_table(vec![
        ("status", false, texts(&|row| Some(row.status.clone()))),
        ("class", false, texts(&|row| Some(row.class.clone()))),
        ("also", true, texts(&|row| row.also.clone())),
        ("meaning", true, texts(&|row| row.meaning.clone())),
        ("code", true, texts(&|row| row.code.clone())),
    ])
}

fn text_table(columns: Vec<(&str, bool, StringViewArray)>) -> Result<RecordBatch, QueryError> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, nullable, _)| Field::new(*name, DataType::Utf8View, *nullable)).collect();
    let arrays = columns.into_iter().map(|(_, _, texts)| Arc::new(texts) as ArrayRef).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}
