//! Columns of the tables `events`, `archives`, `rejects`, `export_requests` and `archive_services`, and of the ledger's file, in their order, with
//! their Arrow types.
//!
//! Schema version 1. The names are a contract: users' queries and other engines read them.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Version of the columns below. A store names the version it was written with.
pub const SCHEMA_VERSION: u32 = 1;

/// Column of `events` that holds the moment of the operation.
pub const TIME: &str = "time";
/// Column of `events` that holds all that no other column does, as a JSON object.
pub const EXTRA: &str = "extra";
/// Column that holds the SHA-256 of an archive file in lower-case hex; also in `archives` and `rejects`.
pub const ARCHIVE: &str = "archive";
/// Column that holds the name of a member inside its archive; also in `rejects`.
pub const MEMBER: &str = "member";
/// Column that holds the 0-based position of a record in its member; also in `rejects`.
pub const ORDINAL: &str = "ordinal";
/// Column by which the table is laid out in folders: `YYYY-MM` of `time`.
pub const MONTH: &str = "month";

/// The text columns of a record in schema order. `extra` is last.
pub const TEXT_COLUMNS: [&str; 13] = [
    "source",
    "resource_id",
    "actor_id",
    "tenant_id",
    "action",
    "status",
    "trace_id",
    "client_ip",
    "hsm_id",
    "partition_id",
    "role",
    "ouid",
    EXTRA,
];

/// Type of [`TIME`] and of the other moments in our tables: microseconds since the epoch, UTC.
#[must_use]
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Type of a text column whose values repeat: 32-bit indices into a dictionary of strings.
#[must_use]
pub fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Whether a text column is held as a dictionary (its values repeat) or as plain strings.
#[must_use]
pub fn is_dictionary(column: &str) -> bool {
    !matches!(column, "trace_id" | EXTRA)
}

fn record_fields() -> Vec<Field> {
    let mut fields = vec![Field::new(TIME, timestamp(), false)];
    fields.extend(TEXT_COLUMNS.iter().map(|name| {
        let data_type = if is_dictionary(name) { dictionary() } else { DataType::Utf8 };
        Field::new(*name, data_type, true)
    }));
    fields
}

/// What the decoder hands out: `time`, the 13 text columns of [`TEXT_COLUMNS`], `ordinal`. The archive and the member
/// are known to the caller only.
#[must_use]
pub fn decoded_schema() -> SchemaRef {
    let mut fields = record_fields();
    fields.push(Field::new(ORDINAL, DataType::Int64, false));
    Arc::new(Schema::new(fields))
}

/// The columns of a data file of `events`: all but `month`, which the folder's name holds.
#[must_use]
pub fn events_file_schema() -> SchemaRef {
    let mut fields = record_fields();
    fields.push(Field::new(ARCHIVE, dictionary(), false));
    fields.push(Field::new(MEMBER, dictionary(), false));
    fields.push(Field::new(ORDINAL, DataType::Int64, false));
    Arc::new(Schema::new(fields))
}

fn archive_fields() -> Vec<Field> {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let count = |name: &str| Field::new(name, DataType::Int64, false);
    vec![
        text(ARCHIVE, false),
        text("path", false),
        text("container", true),
        text("status", false),
        text("reason", true),
        count("bytes"),
        count("json_bytes"),
        count("members"),
        count("read"),
        count("stored"),
        count("duplicates"),
        count("rejected"),
        Field::new("first_time", timestamp(), true),
        Field::new("last_time", timestamp(), true),
        text("run", false),
        Field::new("ingested_at", timestamp(), false),
    ]
}

/// Columns of a ledger file that came later than the first sixteen: a file without them is read as null.
pub const LATER_LEDGER_COLUMNS: [&str; 4] = ["notes", "requests", "services", SERVICE_SPANS];
/// Column of a ledger file that holds the services of an archive, a JSON list. Long, and seldom needed.
pub const SERVICE_SPANS: &str = "service_spans";

/// The columns of a ledger file, a row per archive. `notes`, `requests` and `service_spans` are JSON lists, null where there is nothing;
/// times in them are microseconds since the epoch.
#[must_use]
pub fn ledger_file_schema() -> SchemaRef {
    let mut fields = archive_fields();
    fields.extend(LATER_LEDGER_COLUMNS.iter().map(|name| {
        let data_type = if *name == "services" { DataType::Int64 } else { DataType::Utf8 };
        Field::new(*name, data_type, true)
    }));
    Arc::new(Schema::new(fields))
}

/// The columns of `archives`, a row per archive. From `notes` on they are null where nothing is known: `notes` is a JSON list; `requests`
/// says how many requests are known, and the columns after it are those of the first one; `services` says how many services it
/// holds records of.
#[must_use]
pub fn archives_schema() -> SchemaRef {
    let mut fields = archive_fields();
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| Field::new(name, timestamp(), true);
    fields.extend([
        text("notes"),
        Field::new("requests", DataType::Int64, true),
        text("request_sha256"),
        time("window_from"),
        time("window_to"),
        text("filters"),
        text("job_id"),
        text("job_state"),
        Field::new("services", DataType::Int64, true),
    ]);
    Arc::new(Schema::new(fields))
}

/// The columns of `export_requests`, a row per request that a side file told of.
#[must_use]
pub fn export_requests_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let time = |name: &str| Field::new(name, timestamp(), true);
    Arc::new(Schema::new(vec![
        text(ARCHIVE, false),
        text("path", false),
        text("request_sha256", false),
        time("window_from"),
        time("window_to"),
        text("filters", true),
        text("job_id", true),
        text("job_state", true),
        time("job_started_at"),
        time("job_ended_at"),
        text("location", true),
        text("notes", true),
    ]))
}

/// The columns of `archive_services`, a row per archive and service with its accepted records.
#[must_use]
pub fn archive_services_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text(ARCHIVE, false),
        text("resource_id", true),
        text("source", true),
        text("tenant_id", true),
        Field::new("records", DataType::Int64, false),
        Field::new("first_time", timestamp(), false),
        Field::new("last_time", timestamp(), false),
        text("basis", false),
    ]))
}

/// The columns of `rejects`, a row per reject. `raw` holds the rejected bytes as they stood in the archive.
#[must_use]
pub fn rejects_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(ARCHIVE, DataType::Utf8, false),
        Field::new(MEMBER, DataType::Utf8, false),
        Field::new(ORDINAL, DataType::Int64, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("raw", DataType::Binary, false),
    ]))
}
