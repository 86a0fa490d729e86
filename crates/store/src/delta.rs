//! All calls of the Delta library: make the table, list its live files, write a commit, write a checkpoint.
//!
//! The library is handed a log that [`crate::chain`] has checked. It sees the table as the root of its file system, so that
//! no character in the path of a store can trouble it. Its calls are made on a thread of their own: so they may come from anywhere, also from
//! inside a runtime. [`engine`] is what they work with.

mod engine;

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::iter::successors;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, Int64Array, ListArray, MapBuilder, RecordBatch, StringArray,
    StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType as ArrowType, Field, Fields, Int64Type, Schema as ArrowSchema};
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::engine::arrow_conversion::TryFromArrow as _;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::scan::StatsOptions;
use delta_kernel::schema::{DataType, StructField, StructType};
use delta_kernel::transaction::create_table::create_table as create_table_transaction;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel::transaction::{CommitResult, UpdateTableOperation};
use delta_kernel::{FilteredEngineData, KernelError, Snapshot, SnapshotRef};
use keytrail_model::schema::{MONTH, SCHEMA_VERSION, TIME, events_file_schema};
use object_store::path::Path as ObjectPath;
use serde_json::json;

use crate::chain::CommitRecord;
use crate::checkpoints::Checkpoints;
use crate::durable::DurableStore;
use crate::layout::Layout;
use crate::{StoreError, layout, seal};
use engine::Engine;

/// The table's place in the file system that the library sees.
const TABLE: &str = "file:///";
const ENGINE: &str = concat!("keytrail/", env!("CARGO_PKG_VERSION"));
const INGEST: &str = "KEYTRAIL INGEST";
const FORGET: &str = "KEYTRAIL FORGET";
/// Property by which a table asks Delta writers not to take rows away.
const APPEND_ONLY: &str = "delta.appendOnly";
/// Property of the table that names the version of its columns.
pub(crate) const SCHEMA_PROPERTY: &str = "keytrail.schemaVersion";
const MICROS_PER_MILLI: i64 = 1000;

/// A data file to be added.
#[derive(Debug)]
pub(crate) struct Add {
    /// Relative to the table.
    pub(crate) path: String,
    pub(crate) month: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Exact, microseconds.
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
}

/// A live file as the log tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Live {
    /// As it stands in the log: relative and percent-encoded.
    pub(crate) path: String,
    pub(crate) month: Option<String>,
    pub(crate) bytes: i64,
    /// JSON text.
    pub(crate) stats: Option<String>,
    pub(crate) deletion_vector: bool,
}

/// What a listing is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// The newest checkpoint and the commits after it.
    Checkpoint,
    /// All commits: slower by some milliseconds a commit, and right whatever became of the checkpoints.
    CommitsOnly,
}

/// How a commit ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It stands.
    Yes,
    /// Another program made this version first.
    Conflict,
}

/// Makes version 0, the empty table.
pub(crate) fn create_table(events: &Path, record: &CommitRecord) -> Result<(), StoreError> {
    with_engine(events, "make the table", |engine| {
        let (info, schema) = commit_info(record)?;
        let properties = [
            (APPEND_ONLY, "true".to_owned()),
            // The chain of custody is in the JSON commits: no program may trim them.
            ("delta.enableExpiredLogCleanup", "false".to_owned()),
            ("delta.logRetentionDuration", "interval 36500 days".to_owned()),
            (SCHEMA_PROPERTY, SCHEMA_VERSION.to_string()),
        ];
        let result = create_table_transaction(TABLE, Arc::new(table_schema()?), ENGINE, false)
            .with_table_properties(properties)
            .with_data_layout(DataLayout::partitioned([MONTH]))
            .build(engine, Box::new(FileSystemCommitter::new()))?
            .with_commit_info(Box::new(info), schema)
            .commit(engine)?;
        match result {
            CommitResult::Committed(_) => Ok(()),
            CommitResult::Conflicted(_) => Err(KernelError::generic("another program made a table there just now")),
            CommitResult::Retryable(retryable) => Err(retryable.error),
        }
    })
}

/// The files that live at a version, from the newest checkpoint on or from the commits alone.
pub(crate) fn live_files(events: &Path, version: u64, source: Source) -> Result<Vec<Live>, StoreError> {
    let hidden: fn(&ObjectPath) -> bool = match source {
        Source::Checkpoint => |_| false,
        Source::CommitsOnly => |path| path.filename().is_some_and(layout::is_checkpoint),
    };
    let (files, schema_version) = with_engine_hiding(hidden, events, "list the live files", |engine| {
        let snapshot = snapshot(engine, version)?;
        let schema_version = snapshot.table_properties().unknown_properties.get(SCHEMA_PROPERTY).cloned();
        let scan = snapshot.scan_builder().with_stats(StatsOptions::json_only()).without_row_transforms().build()?;
        let mut files = Vec::new();
        for metadata in scan.scan_metadata(engine)? {
            let selected = metadata?.scan_files.apply_selection_vector()?;
            let data = ArrowEngineData::try_from_engine_data(selected)?;
            read_live(data.record_batch(), &mut files)?;
        }
        Ok((files, schema_version))
    })?;
    let (known, found) = (u64::from(SCHEMA_VERSION), schema_version.and_then(|version| version.parse().ok()));
    match found.filter(|&found| found > known) {
        Some(found) => Err(StoreError::SchemaTooNew { path: events.parent().unwrap_or(events).into(), found, known }),
        None => Ok(files),
    }
}

/// Commits `version` with its files: rows that are new, or, where files are removed too, the same rows in other files. An error leaves
/// open whether the commit stands: look.
pub(crate) fn commit(
    events: &Path,
    version: u64,
    record: &CommitRecord,
    adds: &[Add],
    removes: &HashSet<&str>,
    moment_ms: i64,
) -> Result<Committed, StoreError> {
    with_engine(events, "commit", |engine| {
        let (info, schema) = commit_info(record)?;
        let before = version.checked_sub(1).ok_or_else(|| KernelError::generic("version 0 changes no table"))?;
        let snapshot = snapshot(engine, before)?;
        let new_rows = removes.is_empty();
        let operation =
            if new_rows { UpdateTableOperation::Custom(INGEST.into()) } else { UpdateTableOperation::Optimize };
        let mut transaction = SnapshotRef::clone(&snapshot)
            .update_table(operation, ENGINE, new_rows)
            .build(engine, Box::new(FileSystemCommitter::new()))?
            .with_commit_info(Box::new(info), schema);
        if !adds.is_empty() {
            transaction.add_files(Box::new(ArrowEngineData::new(add_batch(adds, moment_ms)?)));
        }
        let mut removed = 0;
        for rows in if new_rows { Vec::new() } else { rows_of(snapshot, engine, removes)? } {
            removed += rows.selection_vector().iter().filter(|selected| **selected).count();
            transaction.remove_files(rows);
        }
        if removed != removes.len() {
            let found = format!("{removed} of {} files to be removed are in the log", removes.len());
            return Err(KernelError::generic(found));
        }
        match transaction.commit(engine)? {
            CommitResult::Committed(_) => Ok(Committed::Yes),
            CommitResult::Conflicted(_) => Ok(Committed::Conflict),
            CommitResult::Retryable(retryable) => Err(retryable.error),
        }
    })
}

/// Rows of the log about files, given by their paths as they stand in the log; no other row is selected.
fn rows_of(
    snapshot: SnapshotRef,
    engine: &Engine,
    files: &HashSet<&str>,
) -> Result<Vec<FilteredEngineData>, KernelError> {
    let scan = snapshot.scan_builder().with_stats(StatsOptions::json_only()).without_row_transforms().build()?;
    let mut found = Vec::new();
    for metadata in scan.scan_metadata(engine)? {
        let (data, mut selection) = metadata?.scan_files.into_parts();
        selection.resize(data.len(), true);
        let batch = ArrowEngineData::try_from_engine_data(data)?;
        let paths = batch.record_batch().column_by_name("path").and_then(|paths| paths.as_string_opt::<i32>());
        let paths = paths.ok_or_else(|| KernelError::generic("scan metadata without a usable column `path`"))?;
        for (selected, path) in selection.iter_mut().zip(paths) {
            *selected = *selected && path.is_some_and(|path| files.contains(path));
        }
        found.push(FilteredEngineData::try_new(batch, selection)?);
    }
    Ok(found)
}

/// Commits `version`, which takes files away with their rows. An error leaves open whether the commit stands: look.
///
/// Our tables ask Delta writers to append only, so that no foreign program deletes rows, and the protocol allows no exception: who removes
/// rows must switch the property off first, or in the same commit. The library can write no such commit. We write the lines, and the
/// library says before whether this table may be written at all.
pub(crate) fn commit_removal(
    events: &Path,
    version: u64,
    record: &CommitRecord,
    removes: &[Live],
    metadata: serde_json::Value,
    moment_ms: i64,
) -> Result<Committed, StoreError> {
    with_engine(events, "commit", |engine| {
        let before = version.checked_sub(1).ok_or_else(|| KernelError::generic("version 0 changes no table"))?;
        let operation = UpdateTableOperation::Custom(FORGET.into());
        snapshot(engine, before)?
            .update_table(operation, ENGINE, true)
            .build(engine, Box::new(FileSystemCommitter::new()))?;
        Ok(())
    })?;
    let failed = |reason: String| StoreError::Log { path: events.to_owned(), what: "commit", reason };
    let mut lines = vec![
        json!({"commitInfo": {
            "keytrail": unsealed(record).map_err(|error| failed(error.to_string()))?,
            "timestamp": moment_ms,
            "operation": FORGET,
            "operationParameters": {},
            "engineInfo": ENGINE,
        }}),
        json!({"metaData": without_append_only(metadata)}),
    ];
    lines.extend(removes.iter().map(|live| {
        json!({"remove": {
            "path": live.path,
            "deletionTimestamp": moment_ms,
            "dataChange": true,
            "extendedFileMetadata": true,
            "partitionValues": {MONTH: live.month},
            "size": live.bytes,
            "stats": live.stats,
        }})
    }));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let store = DurableStore::below(events).map_err(|error| failed(error.to_string()))?;
    match store.create(&layout::commit_name(version), text) {
        Ok(()) => Ok(Committed::Yes),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(Committed::Conflict),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The table's `metaData` action, with the property that forbids removals switched off.
fn without_append_only(mut metadata: serde_json::Value) -> serde_json::Value {
    if let Some(property) = metadata.pointer_mut("/configuration").and_then(|entries| entries.get_mut(APPEND_ONLY)) {
        *property = "false".into();
    }
    metadata
}

/// Writes a checkpoint of a version, then the hint at it, then the list of checkpoints.
pub(crate) fn checkpoint(events: &Path, version: u64) -> Result<(), StoreError> {
    let write = |engine: &Engine| snapshot(engine, version)?.checkpoint(engine, None).map(|_| ());
    with_engine(events, "write a checkpoint", write)?;
    Checkpoints::write(&Layout::new(events.parent().unwrap_or(events)))
}

fn snapshot(engine: &Engine, version: u64) -> Result<SnapshotRef, KernelError> {
    Snapshot::builder_for(TABLE).at_version(version).build(engine)
}

/// Runs library calls on a thread of their own, with an engine made for them. A panic of the library becomes an error.
fn with_engine<T: Send>(
    events: &Path,
    what: &'static str,
    work: impl FnOnce(&Engine) -> Result<T, KernelError> + Send,
) -> Result<T, StoreError> {
    with_engine_hiding(|_| false, events, what, work)
}

/// The same, for an engine that does not see some files.
fn with_engine_hiding<T: Send>(
    hidden: fn(&ObjectPath) -> bool,
    events: &Path,
    what: &'static str,
    work: impl FnOnce(&Engine) -> Result<T, KernelError> + Send,
) -> Result<T, StoreError> {
    let run = || {
        let store = DurableStore::below(events)?.hiding(hidden);
        #[cfg(test)]
        let store = crate::tests::faulty::between(events, store);
        work(&Engine::on(Arc::new(store)))
    };
    let outcome = std::thread::scope(|scope| Ok(std::thread::Builder::new().spawn_scoped(scope, run)?.join()));
    match outcome.map_err(StoreError::io("start a thread for its log", events))? {
        Ok(result) => result.map_err(|error| error_of(events, what, error.without_backtrace())),
        Err(_) => Err(StoreError::Log { path: events.to_owned(), what, reason: "the Delta library panicked".into() }),
    }
}

/// What an error of the library means.
fn error_of(events: &Path, what: &'static str, error: &KernelError) -> StoreError {
    let path = events.to_owned();
    if let KernelError::Unsupported(needs) = error {
        return StoreError::TableTooNew { path: events.parent().unwrap_or(events).into(), needs: needs.clone() };
    }
    match refused(error) {
        Some(kind) => StoreError::Io { what, path, source: io::Error::new(kind, error.to_string()) },
        None => StoreError::Log { path, what, reason: error.to_string() },
    }
}

/// How the operating system refused, where that is the cause of an error: it says nothing about the log. That a file is not there does.
fn refused(error: &KernelError) -> Option<ErrorKind> {
    let outermost: &(dyn Error + 'static) = match error {
        KernelError::IOError(error) => error,
        KernelError::ObjectStore(error) => error,
        KernelError::Arrow(error) => error,
        KernelError::Parquet(error) => error,
        KernelError::GenericError { source } => source.as_ref(),
        _ => return None,
    };
    let mut causes = successors(Some(outermost), |&cause| cause.source());
    let refusal =
        causes.find_map(|cause| cause.downcast_ref().filter(|error: &&io::Error| error.raw_os_error().is_some()))?;
    Some(refusal.kind()).filter(|kind| *kind != ErrorKind::NotFound)
}

/// The columns of `events` as Delta names them, and `month`. All may be null, also those that never are: a non-null column
/// would switch on the table feature `invariants`, which many readers and writers refuse.
fn table_schema() -> Result<StructType, KernelError> {
    let file = events_file_schema();
    let columns = file.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            ArrowType::Timestamp(_, _) => DataType::TIMESTAMP,
            ArrowType::Int64 => DataType::LONG,
            _ => DataType::STRING,
        };
        StructField::nullable(field.name(), data_type)
    });
    StructType::try_new(columns.chain([StructField::nullable(MONTH, DataType::STRING)]))
}

/// What `add_files` expects of each file.
fn add_batch(adds: &[Add], moment_ms: i64) -> Result<RecordBatch, KernelError> {
    let mut months = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for add in adds {
        months.keys().append_value(MONTH);
        months.values().append_value(&add.month);
        months.append(true)?;
    }
    let sizes = Int64Array::from_iter_values(adds.iter().map(|add| add.bytes.cast_signed()));
    let columns: [(&str, ArrayRef); 5] = [
        ("path", Arc::new(StringArray::from_iter_values(adds.iter().map(|add| &add.path)))),
        ("partitionValues", Arc::new(months.finish())),
        ("size", Arc::new(sizes)),
        ("modificationTime", Arc::new(Int64Array::from_value(moment_ms, adds.len()))),
        ("stats", stats(adds)),
    ];
    let schema = ArrowSchema::new(fields(&columns, false));
    Ok(RecordBatch::try_new(Arc::new(schema), columns.map(|(_, array)| array).to_vec())?)
}

fn stats(adds: &[Add]) -> ArrayRef {
    let times = |time: fn(&Add) -> i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_iter_values(adds.iter().map(time));
        structure(&[(TIME, Arc::new(times.with_timezone("UTC")))])
    };
    structure(&[
        ("numRecords", Arc::new(Int64Array::from_iter_values(adds.iter().map(|add| add.rows.cast_signed())))),
        ("nullCount", structure(&[(TIME, Arc::new(Int64Array::from_value(0, adds.len())) as ArrayRef)])),
        // Delta keeps milliseconds and cuts the rest off, which is right for a minimum and too low for a maximum.
        ("minValues", times(|add| add.min_time)),
        ("maxValues", times(|add| milli_at_or_after(add.max_time))),
        ("tightBounds", Arc::new(BooleanArray::from(vec![false; adds.len()]))),
    ])
}

/// The first whole millisecond that is not before a time, both in microseconds.
pub(crate) fn milli_at_or_after(micros: i64) -> i64 {
    let over = micros.rem_euclid(MICROS_PER_MILLI);
    if over == 0 { micros } else { micros.saturating_add(MICROS_PER_MILLI - over) }
}

fn structure(columns: &[(&str, ArrayRef)]) -> ArrayRef {
    Arc::new(StructArray::from(
        fields(columns, true)
            .into_iter()
            .cloned()
            .zip(columns.iter().map(|(_, array)| Arc::clone(array)))
            .collect::<Vec<_>>(),
    ))
}

fn fields(columns: &[(&str, ArrayRef)], nullable: bool) -> Fields {
    columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), nullable)).collect()
}

/// A record with room for the seal of its commit.
fn unsealed(record: &CommitRecord) -> serde_json::Result<serde_json::Value> {
    let mut value = serde_json::to_value(record)?;
    if let Some(members) = value.as_object_mut() {
        members.insert("seal".into(), seal::blank().into());
    }
    Ok(value)
}

/// One row with one column `keytrail`, which the library merges into `commitInfo`.
fn commit_info(record: &CommitRecord) -> Result<(ArrowEngineData, Arc<StructType>), KernelError> {
    let value = unsealed(record).map_err(|error| KernelError::generic(error.to_string()))?;
    let array = json_column(&value)?;
    let schema = Arc::new(ArrowSchema::new(vec![Field::new("keytrail", array.data_type().clone(), true)]));
    let kernel_schema = Arc::new(StructType::try_from_arrow(schema.as_ref())?);
    Ok((ArrowEngineData::new(RecordBatch::try_new(schema, vec![array])?), kernel_schema))
}

/// A JSON value as a column of one row. Lists must hold values of one shape and not be empty: true of all records of ours.
fn json_column(value: &serde_json::Value) -> Result<ArrayRef, KernelError> {
    use serde_json::Value;
    Ok(match value {
        Value::String(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        Value::Bool(flag) => Arc::new(BooleanArray::from(vec![*flag])),
        Value::Number(number) => {
            let number =
                number.as_i64().ok_or_else(|| KernelError::generic(format!("{number} is no 64-bit integer")))?;
            Arc::new(Int64Array::from(vec![number]))
        }
        Value::Object(members) => {
            let columns = members.iter().map(|(name, value)| Ok((name.as_str(), json_column(value)?)));
            structure(&columns.collect::<Result<Vec<_>, KernelError>>()?)
        }
        Value::Array(values) => {
            let items = values.iter().map(json_column).collect::<Result<Vec<_>, _>>()?;
            let items = concat(&items.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
            let field = Arc::new(Field::new("element", items.data_type().clone(), true));
            Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths([items.len()]), items, None)?)
        }
        Value::Null => return Err(KernelError::generic("null in a commit record")),
    })
}

fn read_live(batch: &RecordBatch, files: &mut Vec<Live>) -> Result<(), KernelError> {
    let missing = |name: &str| KernelError::generic(format!("scan metadata without a usable column `{name}`"));
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
    let paths = column("path")?.as_string_opt::<i32>().ok_or_else(|| missing("path"))?;
    let sizes = column("size")?.as_primitive_opt::<Int64Type>().ok_or_else(|| missing("size"))?;
    let stats = column("stats")?.as_string_opt::<i32>().ok_or_else(|| missing("stats"))?;
    let vectors = column("deletionVector")?;
    let constants = column("fileConstantValues")?.as_struct_opt().ok_or_else(|| missing("fileConstantValues"))?;
    let months = constants
        .column_by_name("partitionValues")
        .and_then(|values| values.as_map_opt())
        .ok_or_else(|| missing("partitionValues"))?;
    for row in 0..batch.num_rows() {
        files.push(Live {
            path: paths.value(row).to_owned(),
            month: month_of(&months.value(row)),
            bytes: sizes.value(row),
            stats: stats.is_valid(row).then(|| stats.value(row).to_owned()),
            deletion_vector: vectors.is_valid(row),
        });
    }
    Ok(())
}

/// The value of `month` among the entries of a map of partition values.
fn month_of(entries: &StructArray) -> Option<String> {
    let (names, values) = (entries.column(0).as_string_opt::<i32>()?, entries.column(1).as_string_opt::<i32>()?);
    let mut pairs: HashMap<_, _> = names.iter().zip(values.iter()).collect();
    pairs.remove(&Some(MONTH)).flatten().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use parquet::errors::ParquetError;

    use super::*;

    #[test]
    fn what_the_system_refuses_says_nothing_about_the_log() {
        let of_store = |source: io::Error| object_store::Error::Generic { store: "S", source: source.into() };
        let too_many_files = || io::Error::from_raw_os_error(24);
        let refusals = [
            KernelError::IOError(too_many_files()),
            KernelError::ObjectStore(of_store(too_many_files())),
            KernelError::Parquet(ParquetError::External(of_store(too_many_files()).into())),
            KernelError::IOError(too_many_files()).with_backtrace(),
        ];
        for error in refusals {
            let told = error_of(Path::new("S/events"), "list the live files", error.without_backtrace());
            let words = told.to_string();
            assert!(matches!(told, StoreError::Io { .. }), "{told:?}");
            assert!(words.starts_with("S/events: cannot list the live files: ") && words.contains("(os error 24)"));
        }
        let about_the_log = [
            KernelError::generic("a line that is none"),
            KernelError::ObjectStore(of_store(io::Error::from_raw_os_error(2))),
            KernelError::ObjectStore(of_store(io::Error::other("the answer was lost"))),
            KernelError::Parquet(ParquetError::EOF("cut".into())),
        ];
        for error in about_the_log {
            let told = error_of(Path::new("S/events"), "list the live files", &error);
            assert!(matches!(told, StoreError::Log { .. }), "{told:?}");
        }
    }

    #[test]
    fn maximum_is_rounded_up_to_the_millisecond() {
        let cases = [
            (0, 0),
            (1, 1000),
            (999, 1000),
            (1000, 1000),
            (1001, 2000),
            (-1, 0),
            (-999, 0),
            (-1000, -1000),
            (-1001, -1000),
            (1_767_600_002_000_417, 1_767_600_002_001_000),
        ];
        for (micros, expected) in cases {
            assert_eq!(milli_at_or_after(micros), expected, "{micros}");
        }
    }
}
