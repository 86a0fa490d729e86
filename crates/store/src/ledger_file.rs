//! Ledger files: the rows of `archives` that one run wrote, to Parquet and back.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use keytrail_model::ledger::{ArchiveStatus, LedgerRow, RecordCounts, ServiceKey, ServiceSpan};
use keytrail_model::schema;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::sealed_file::{FinishedFile, SealedWriter, read_groups};

/// Rows from which a ledger is compressed. A store of many small runs has many small ledgers, and setting up sixteen
/// decompressors takes 0.5 ms a file where reading the plain columns takes 0.1 ms (1000 files of one row, dev build).
const COMPRESSED_FROM_ROWS: usize = 1000;
/// The ledger is written by one thread: higher levels cost more time than they save room.
const LEVEL: i32 = 1;
/// Services that count like one more row for that.
const SERVICES_PER_ROW: usize = 8;
/// Rows that are turned into columns at a time, and bytes of JSON in them but for a single row: an archive can be made to have megabytes
/// of services, and a column holds less than 2 GiB of text.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;
/// Bytes of a text at most.
const TEXT_BYTES_MAX: usize = 1 << 30;

/// The ledger of a run, complete and durable; it waits in the staging folder for its commit.
#[derive(Debug)]
pub struct StagedLedger {
    pub(crate) path: PathBuf,
    pub(crate) seal: FinishedFile,
    pub(crate) content: Content,
}

/// What a commit has to know of the rows: there may be very many.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The archive of each row.
    pub(crate) archives: Vec<String>,
    /// Rejects of all archives.
    pub(crate) rejected: u64,
    /// Runs that rows name, each with the first archive that has it: one where all is well, and two at most.
    pub(crate) runs: Vec<(String, String)>,
    /// The first archive whose records do not add up, and those records.
    pub(crate) unbalanced: Option<(String, RecordCounts)>,
}

impl Content {
    fn add(&mut self, row: LedgerRow) {
        let LedgerRow { archive, run, records, .. } = row;
        if self.runs.len() < 2 && self.runs.iter().all(|(known, _)| *known != run) {
            self.runs.push((run, archive.clone()));
        }
        if self.unbalanced.is_none() && !records.conserved() {
            self.unbalanced = Some((archive.clone(), records));
        }
        self.rejected = self.rejected.saturating_add(records.rejected);
        self.archives.push(archive);
    }
}

impl StagedLedger {
    /// Writes rows that are all at hand, as [`LedgerWriter`] does.
    ///
    /// # Errors
    /// As [`LedgerWriter::write`].
    pub fn write(path: &Path, rows: Vec<LedgerRow>) -> Result<Self, StoreError> {
        let services = rows.iter().filter_map(|row| row.service_spans.as_ref()).map(Vec::len).sum();
        let mut writer = LedgerWriter::create(path, rows.len(), services)?;
        rows.into_iter().try_for_each(|row| writer.write(row))?;
        writer.finish()
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.archives.is_empty()
    }
}

/// Writes the ledger of a run, a row at a time.
pub struct LedgerWriter {
    path: PathBuf,
    file: SealedWriter,
    /// Rows that are turned into columns together.
    waiting: Vec<(LedgerRow, Lists)>,
    /// Bytes of their lists.
    waiting_bytes: usize,
    content: Content,
}

impl LedgerWriter {
    /// Starts a ledger of about so many rows and services in all: where there are many, it is compressed. `path` lies in
    /// [`crate::Writer::staging_dir`]; a file there is replaced.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, rows: usize, services: usize) -> Result<Self, StoreError> {
        let large = rows + services / SERVICES_PER_ROW >= COMPRESSED_FROM_ROWS;
        let level = ZstdLevel::try_new(LEVEL).map_err(StoreError::parquet(path))?;
        let spans = || ColumnPath::from(schema::SERVICE_SPANS);
        let properties = WriterProperties::builder()
            .set_created_by("keytrail".into())
            .set_compression(if large { Compression::ZSTD(level) } else { Compression::UNCOMPRESSED })
            .set_dictionary_enabled(large)
            // Kilobytes of text a row, none like another.
            .set_column_dictionary_enabled(spans(), false)
            .set_column_statistics_enabled(spans(), EnabledStatistics::None)
            .build();
        let file = SealedWriter::create(path, schema::ledger_file_schema(), properties)?;
        Ok(Self { path: path.to_owned(), file, waiting: Vec::new(), waiting_bytes: 0, content: Content::default() })
    }

    /// Writes a row. Its `run` is the name of the run that will commit it; a row of an archive known before takes the place of its
    /// earlier row.
    ///
    /// # Errors
    /// A count is 2^63 or more, the services of an archive are too long a text, or the disk refuses.
    pub fn write(&mut self, row: LedgerRow) -> Result<(), StoreError> {
        let lists = Lists::of(&self.path, &row)?;
        if self.waiting.len() >= BATCH_ROWS || self.waiting_bytes + lists.bytes() > BATCH_BYTES {
            self.write_waiting()?;
        }
        self.waiting_bytes += lists.bytes();
        self.waiting.push((row, lists));
        Ok(())
    }

    fn write_waiting(&mut self) -> Result<(), StoreError> {
        self.file.write(&to_batch(&self.path, &self.waiting)?)?;
        self.waiting_bytes = 0;
        self.waiting.drain(..).for_each(|(row, _)| self.content.add(row));
        Ok(())
    }

    /// Ends the file and makes its contents durable.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(mut self) -> Result<StagedLedger, StoreError> {
        self.write_waiting()?;
        let (path, seal) = self.file.finish()?;
        Ok(StagedLedger { path, seal, content: self.content })
    }
}

/// Reads a ledger from the bytes of its file, but for the services of each archive; `path` is for messages only.
pub(crate) fn read(path: &Path, bytes: &Bytes) -> Result<Vec<LedgerRow>, StoreError> {
    read_columns(path, bytes, &|name| name != schema::SERVICE_SPANS)
}

/// The same with the services.
pub(crate) fn read_with_services(path: &Path, bytes: &Bytes) -> Result<Vec<LedgerRow>, StoreError> {
    read_columns(path, bytes, &|_| true)
}

fn read_columns(path: &Path, bytes: &Bytes, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<LedgerRow>, StoreError> {
    let (mut rows, mut names) = (Vec::new(), HashSet::new());
    read_groups(path, bytes, wanted, &mut |batch| from_batch(path, batch, &mut names, &mut rows))?;
    Ok(rows)
}

/// The lists of a row as they stand in the file, each a JSON text.
#[derive(Default)]
struct Lists {
    notes: Option<String>,
    requests: Option<String>,
    service_spans: Option<String>,
}

impl Lists {
    fn of(path: &Path, row: &LedgerRow) -> Result<Self, StoreError> {
        let spans = row.service_spans.as_ref().map(|spans| spans.iter().map(SpanText::of).collect::<Vec<_>>());
        Ok(Self {
            notes: list(path, (!row.notes.is_empty()).then_some(&row.notes))?,
            requests: list(path, (!row.requests.is_empty()).then_some(&row.requests))?,
            service_spans: list(path, spans)?,
        })
    }

    fn bytes(&self) -> usize {
        [&self.notes, &self.requests, &self.service_spans].into_iter().flatten().map(String::len).sum()
    }
}

fn to_batch(path: &Path, rows: &[(LedgerRow, Lists)]) -> Result<RecordBatch, StoreError> {
    let (lists, rows) = (rows.iter().map(|(_, lists)| lists), rows.iter().map(|(row, _)| row));
    let text = |get: fn(&LedgerRow) -> &str| Arc::new(StringArray::from_iter_values(rows.clone().map(get))) as ArrayRef;
    let option =
        |get: fn(&LedgerRow) -> Option<&str>| Arc::new(rows.clone().map(get).collect::<StringArray>()) as ArrayRef;
    let json = |get: fn(&Lists) -> Option<&str>| Arc::new(lists.clone().map(get).collect::<StringArray>()) as ArrayRef;
    let time = |get: fn(&LedgerRow) -> Option<i64>| {
        Arc::new(rows.clone().map(get).collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef
    };
    let count = |get: fn(&LedgerRow) -> u64| {
        let values = rows.clone().map(|row| i64::try_from(get(row)));
        let values = values.collect::<Result<Vec<_>, _>>().map_err(|_| StoreError::BadRow {
            path: path.to_owned(),
            what: "count",
            expected: "less than 2^63".into(),
            found: "more".into(),
        })?;
        Ok::<_, StoreError>(Arc::new(Int64Array::from(values)) as ArrayRef)
    };
    let columns = vec![
        text(|row| &row.archive),
        text(|row| &row.path),
        option(|row| row.container.as_deref()),
        text(|row| row.status.as_str()),
        option(|row| row.reason.as_deref()),
        count(|row| row.bytes)?,
        count(|row| row.json_bytes)?,
        count(|row| row.members)?,
        count(|row| row.records.read)?,
        count(|row| row.records.stored)?,
        count(|row| row.records.duplicates)?,
        count(|row| row.records.rejected)?,
        time(|row| row.first_time),
        time(|row| row.last_time),
        text(|row| &row.run),
        time(|row| Some(row.ingested_at)),
        json(|lists| lists.notes.as_deref()),
        json(|lists| lists.requests.as_deref()),
        Arc::new(rows.clone().map(|row| row.services.and_then(|n| i64::try_from(n).ok())).collect::<Int64Array>()),
        json(|lists| lists.service_spans.as_deref()),
    ];
    RecordBatch::try_new(schema::ledger_file_schema(), columns).map_err(|error| StoreError::parquet(path)(error.into()))
}

/// A list as JSON.
fn list(path: &Path, list: Option<impl Serialize>) -> Result<Option<String>, StoreError> {
    let bad =
        |expected: String, found: String| StoreError::BadRow { path: path.to_owned(), what: "list", expected, found };
    let text = list.map(|list| serde_json::to_string(&list)).transpose();
    let text = text.map_err(|error| bad("a list that JSON can hold".into(), error.to_string()))?;
    match text {
        Some(text) if text.len() > TEXT_BYTES_MAX => {
            Err(bad(format!("at most {TEXT_BYTES_MAX} bytes of JSON"), format!("{} bytes", text.len())))
        }
        text => Ok(text),
    }
}

/// A [`ServiceSpan`] as it stands in the file.
#[derive(Serialize, Deserialize)]
struct SpanText<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant_id: Option<Cow<'a, str>>,
    records: u64,
    first_time: i64,
    last_time: i64,
}

impl<'a> SpanText<'a> {
    fn of(span: &'a ServiceSpan) -> Self {
        let ServiceKey { resource_id, source, tenant_id } = span.key.as_ref();
        let ServiceSpan { records, first_time, last_time, .. } = *span;
        let [resource_id, source, tenant_id] =
            [resource_id, source, tenant_id].map(|name| name.as_deref().map(Cow::Borrowed));
        Self { resource_id, source, tenant_id, records, first_time, last_time }
    }

    /// The same service is in many archives: its names are shared.
    fn into_span(self, names: &mut HashSet<Arc<ServiceKey>>) -> ServiceSpan {
        let Self { resource_id, source, tenant_id, records, first_time, last_time } = self;
        let [resource_id, source, tenant_id] = [resource_id, source, tenant_id].map(|name| name.map(Cow::into_owned));
        let key = ServiceKey { resource_id, source, tenant_id };
        let key = match names.get(&key) {
            Some(known) => Arc::clone(known),
            None => {
                let key = Arc::new(key);
                names.insert(Arc::clone(&key));
                key
            }
        };
        ServiceSpan { key, records, first_time, last_time }
    }
}

fn from_batch(
    path: &Path,
    batch: &RecordBatch,
    names: &mut HashSet<Arc<ServiceKey>>,
    rows: &mut Vec<LedgerRow>,
) -> Result<(), StoreError> {
    let columns = Reader { path, batch };
    for row in 0..batch.num_rows() {
        let status = columns.text("status", row)?;
        rows.push(LedgerRow {
            archive: columns.text(schema::ARCHIVE, row)?,
            path: columns.text("path", row)?,
            container: columns.option("container", row)?,
            status: ArchiveStatus::parse(&status)
                .ok_or_else(|| columns.damaged("status", "stored, failed or salvaged", status))?,
            reason: columns.option("reason", row)?,
            bytes: columns.count("bytes", row)?,
            json_bytes: columns.count("json_bytes", row)?,
            members: columns.count("members", row)?,
            records: RecordCounts {
                read: columns.count("read", row)?,
                stored: columns.count("stored", row)?,
                duplicates: columns.count("duplicates", row)?,
                rejected: columns.count("rejected", row)?,
            },
            first_time: columns.time("first_time", row)?,
            last_time: columns.time("last_time", row)?,
            run: columns.text("run", row)?,
            ingested_at: columns
                .time("ingested_at", row)?
                .ok_or_else(|| columns.damaged("ingested_at", "a time", "null"))?,
            notes: columns.list("notes", row)?.unwrap_or_default(),
            requests: columns.list("requests", row)?.unwrap_or_default(),
            services: columns.later_count("services", row)?,
            service_spans: columns
                .list::<SpanText<'_>>(schema::SERVICE_SPANS, row)?
                .map(|spans| spans.into_iter().map(|span| span.into_span(names)).collect()),
        });
    }
    Ok(())
}

/// A batch of a ledger file, with errors that name file and column.
struct Reader<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
}

impl<'a> Reader<'a> {
    fn option(&self, name: &str, row: usize) -> Result<Option<String>, StoreError> {
        let array = self.column(name)?;
        let texts = array.as_string_opt::<i32>().ok_or_else(|| self.damaged(name, "text", array.data_type()))?;
        Ok(texts.is_valid(row).then(|| texts.value(row).to_owned()))
    }

    fn text(&self, name: &str, row: usize) -> Result<String, StoreError> {
        self.option(name, row)?.ok_or_else(|| self.damaged(name, "a text", "null"))
    }

    fn count(&self, name: &str, row: usize) -> Result<u64, StoreError> {
        let array = self.column(name)?;
        let counts =
            array.as_primitive_opt::<Int64Type>().ok_or_else(|| self.damaged(name, "integers", array.data_type()))?;
        u64::try_from(counts.value(row)).map_err(|_| self.damaged(name, "0 or more", counts.value(row)))
    }

    fn time(&self, name: &str, row: usize) -> Result<Option<i64>, StoreError> {
        let array = self.column(name)?;
        let times = array
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| self.damaged(name, "microseconds", array.data_type()))?;
        Ok(times.is_valid(row).then(|| times.value(row)))
    }

    /// A JSON list; `None` where it is null, or where the file has no such column.
    fn list<T: DeserializeOwned>(&self, name: &str, row: usize) -> Result<Option<Vec<T>>, StoreError> {
        if self.batch.column_by_name(name).is_none() {
            return Ok(None);
        }
        let Some(text) = self.option(name, row)? else {
            return Ok(None);
        };
        let list = serde_json::from_str(&text);
        list.map(Some).map_err(|error| self.damaged(name, "a JSON list", error))
    }

    /// A count; `None` where it is null, or where the file has no such column.
    fn later_count(&self, name: &str, row: usize) -> Result<Option<u64>, StoreError> {
        match self.batch.column_by_name(name) {
            Some(array) if array.is_valid(row) => self.count(name, row).map(Some),
            _ => Ok(None),
        }
    }

    fn column(&self, name: &str) -> Result<&'a ArrayRef, StoreError> {
        self.batch.column_by_name(name).ok_or_else(|| self.damaged(name, "the column", "none"))
    }

    fn damaged(&self, name: &str, expected: &str, found: impl std::fmt::Display) -> StoreError {
        StoreError::damaged_file(self.path, format!("{expected} in column `{name}`"), found.to_string())
    }
}

#[cfg(test)]
mod tests {
    use keytrail_model::ledger::{ExportRequest, Note};

    use super::*;

    fn full() -> LedgerRow {
        LedgerRow {
            archive: "a".repeat(64),
            path: "exports/jänner.zip".into(),
            container: Some("zip".into()),
            status: ArchiveStatus::Salvaged,
            reason: Some("member 2: bad CRC".into()),
            bytes: 1,
            json_bytes: 2,
            members: 3,
            records: RecordCounts { read: 10, stored: 4, duplicates: 5, rejected: 1 },
            first_time: Some(-1),
            last_time: Some(1_767_600_001_000_417),
            run: "00000001-abc".into(),
            ingested_at: 7,
            notes: vec![Note::new("zip_comment", "a \"comment\"").at(5, 6), Note::new("fault", "x")],
            requests: vec![ExportRequest {
                path: "a.zip.request.json".into(),
                sha256: "b".repeat(64),
                window_from: Some(-5),
                filters: [("resourceId".to_owned(), "r".to_owned())].into(),
                notes: vec![Note::new("request_contradiction", "y")],
                ..ExportRequest::default()
            }],
            services: Some(1),
            service_spans: Some(vec![ServiceSpan {
                key: Arc::new(ServiceKey { source: Some("cdsp".into()), ..ServiceKey::default() }),
                records: 3,
                first_time: -1,
                last_time: i64::MAX,
            }]),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let full = full();
        let bare = LedgerRow {
            container: None,
            status: ArchiveStatus::Failed,
            reason: None,
            records: RecordCounts::default(),
            first_time: None,
            last_time: None,
            notes: vec![],
            requests: vec![],
            services: None,
            service_spans: None,
            ..full.clone()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.parquet");
        let many = vec![full.clone(); COMPRESSED_FROM_ROWS];
        for rows in [vec![], vec![full.clone()], vec![full, bare], many] {
            let seal = StagedLedger::write(&path, rows.clone()).unwrap().seal;
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!((seal.rows, seal.bytes), (rows.len() as u64, bytes.len() as u64));
            assert_eq!(seal.sha256, crate::sealed_file::sha256(&bytes));
            assert_eq!(read_with_services(&path, &bytes.clone().into()).unwrap(), rows);
            let without = |row: LedgerRow| LedgerRow { service_spans: None, ..row };
            assert_eq!(read(&path, &bytes.into()).unwrap(), rows.into_iter().map(without).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rows_of_any_size_are_written_in_batches_that_a_column_can_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.parquet");
        // Some 6 MB of JSON each: control characters are spelt out there.
        let name = |n: usize| Some(format!("{n:06}{}", "\u{1}".repeat(1000)));
        let spans = (0..1000).map(|n| ServiceSpan {
            key: Arc::new(ServiceKey { source: name(n), ..ServiceKey::default() }),
            records: 1,
            first_time: 0,
            last_time: 0,
        });
        let row = LedgerRow { service_spans: Some(spans.collect()), ..full() };
        let rows = vec![row; 12];
        StagedLedger::write(&path, rows.clone()).unwrap();
        let bytes: Bytes = std::fs::read(&path).unwrap().into();
        let metadata = parquet::file::reader::SerializedFileReader::new(bytes.clone()).unwrap();
        let metadata = parquet::file::reader::FileReader::metadata(&metadata);
        assert!(metadata.num_row_groups() > 1, "{}", metadata.num_row_groups());
        for group in metadata.row_groups() {
            assert!(group.num_rows() < 9, "{}", group.num_rows());
        }
        assert!(bytes.len() < 8 << 20, "compressed: {}", bytes.len());
        assert!(read_with_services(&path, &bytes).unwrap() == rows);
    }

    #[test]
    fn a_ledger_of_before_has_nothing_in_the_later_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.parquet");
        let row = full();
        let lists = Lists::of(&path, &row).unwrap();
        let batch = to_batch(&path, &[(row.clone(), lists)]).unwrap();
        let before = batch.num_columns() - schema::LATER_LEDGER_COLUMNS.len();
        let batch = batch.project(&(0..before).collect::<Vec<_>>()).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let found = read_with_services(&path, &writer.into_inner().unwrap().into()).unwrap();
        let (notes, requests) = (vec![], vec![]);
        assert_eq!(found, [LedgerRow { notes, requests, services: None, service_spans: None, ..full() }]);
    }
}
