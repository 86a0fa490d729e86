//! Ledger files: the rows of `archives` that one run wrote, to Parquet and back.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use keytrail_model::ledger::{ArchiveStatus, LedgerRow, RecordCounts};
use keytrail_model::schema;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::StoreError;
use crate::sealed_file::{Seal, SealedWriter};

/// Rows from which a ledger is compressed. A store of many small runs has many small ledgers, and setting up sixteen
/// decompressors takes 0.5 ms a file where reading the plain columns takes 0.1 ms (1000 files of one row, dev build).
const COMPRESSED_FROM_ROWS: usize = 1000;

/// Writes the ledger of a run, durably.
pub(crate) fn write(path: &Path, rows: &[LedgerRow]) -> Result<Seal, StoreError> {
    let large = rows.len() >= COMPRESSED_FROM_ROWS;
    let level = ZstdLevel::try_new(3).map_err(StoreError::parquet(path))?;
    let properties = WriterProperties::builder()
        .set_created_by("keytrail".into())
        .set_compression(if large { Compression::ZSTD(level) } else { Compression::UNCOMPRESSED })
        .set_dictionary_enabled(large)
        .build();
    let mut file = SealedWriter::create(path, schema::archives_schema(), properties)?;
    file.write(&to_batch(path, rows)?)?;
    Ok(file.finish()?.1)
}

/// Reads a ledger from the bytes of its file; `path` is for messages only.
pub(crate) fn read(path: &Path, bytes: Bytes) -> Result<Vec<LedgerRow>, StoreError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(StoreError::parquet(path))?;
    let batches = builder.build().map_err(StoreError::parquet(path))?;
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| StoreError::parquet(path)(error.into()))?;
        from_batch(path, &batch, &mut rows)?;
    }
    Ok(rows)
}

fn to_batch(path: &Path, rows: &[LedgerRow]) -> Result<RecordBatch, StoreError> {
    let text = |get: fn(&LedgerRow) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(get))) as ArrayRef;
    let option =
        |get: fn(&LedgerRow) -> Option<&str>| Arc::new(rows.iter().map(get).collect::<StringArray>()) as ArrayRef;
    let time = |get: fn(&LedgerRow) -> Option<i64>| {
        Arc::new(rows.iter().map(get).collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef
    };
    let count = |get: fn(&LedgerRow) -> u64| {
        let values = rows.iter().map(|row| i64::try_from(get(row)));
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
    ];
    RecordBatch::try_new(schema::archives_schema(), columns).map_err(|error| StoreError::parquet(path)(error.into()))
}

fn from_batch(path: &Path, batch: &RecordBatch, rows: &mut Vec<LedgerRow>) -> Result<(), StoreError> {
    let columns = Columns { path, batch };
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
        });
    }
    Ok(())
}

/// A batch of a ledger file, with errors that name file and column.
struct Columns<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
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

    fn column(&self, name: &str) -> Result<&'a ArrayRef, StoreError> {
        self.batch.column_by_name(name).ok_or_else(|| self.damaged(name, "the column", "none"))
    }

    fn damaged(&self, name: &str, expected: &str, found: impl std::fmt::Display) -> StoreError {
        StoreError::damaged_file(self.path, format!("{expected} in column `{name}`"), found.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let full = LedgerRow {
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
        };
        let bare = LedgerRow {
            container: None,
            status: ArchiveStatus::Failed,
            reason: None,
            records: RecordCounts::default(),
            first_time: None,
            last_time: None,
            ..full.clone()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.parquet");
        let many = vec![full.clone(); COMPRESSED_FROM_ROWS];
        for rows in [vec![], vec![full.clone()], vec![full, bare], many] {
            let seal = write(&path, &rows).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!((seal.rows, seal.bytes), (rows.len() as u64, bytes.len() as u64));
            assert_eq!(seal.sha256, crate::sealed_file::sha256(&bytes));
            assert_eq!(read(&path, bytes.into()).unwrap(), rows);
        }
    }
}
