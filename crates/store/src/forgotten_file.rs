//! Tombstones: what a removal of months took away, by archive and month, to Parquet and back.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use keytrail_model::digest::RowsDigest;
use keytrail_model::schema;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::StoreError;
use crate::sealed_file::{FinishedFile, SealedWriter, read_groups};

/// Rows of one archive in one month that are no longer in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgottenRows {
    /// SHA-256 of the archive, lower-case hex.
    pub archive: String,
    /// `YYYY-MM`.
    pub month: String,
    /// How many rows, and the digest of them with their provenance.
    pub digest: RowsDigest,
}

fn forgotten_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(schema::ARCHIVE, DataType::Utf8, false),
        Field::new(schema::MONTH, DataType::Utf8, false),
        Field::new("rows", DataType::Int64, false),
        Field::new("digest", DataType::Utf8, false),
    ]))
}

/// Writes a tombstone, durably.
pub(crate) fn write(path: &Path, rows: &[ForgottenRows]) -> Result<FinishedFile, StoreError> {
    let level = ZstdLevel::try_new(3).map_err(StoreError::parquet(path))?;
    let properties =
        WriterProperties::builder().set_created_by("keytrail".into()).set_compression(Compression::ZSTD(level)).build();
    let text = |get: &dyn Fn(&ForgottenRows) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(get)))
    };
    let counts = rows.iter().map(|row| row.digest.rows().cast_signed());
    let columns = vec![
        text(&|row| row.archive.clone()),
        text(&|row| row.month.clone()),
        Arc::new(Int64Array::from_iter_values(counts)),
        text(&|row| row.digest.to_string()),
    ];
    let batch = RecordBatch::try_new(forgotten_schema(), columns);
    let mut file = SealedWriter::create(path, forgotten_schema(), properties)?;
    file.write(&batch.map_err(|error| StoreError::parquet(path)(error.into()))?)?;
    Ok(file.finish()?.1)
}

/// Reads a tombstone from the bytes of its file; `path` is for messages only.
pub(crate) fn read(path: &Path, bytes: &Bytes) -> Result<Vec<ForgottenRows>, StoreError> {
    let mut rows = Vec::new();
    read_groups(path, bytes, &|_| true, &mut |batch| from_batch(path, batch, &mut rows))?;
    Ok(rows)
}

fn from_batch(path: &Path, batch: &RecordBatch, rows: &mut Vec<ForgottenRows>) -> Result<(), StoreError> {
    let damaged = |column: &str, found: String| {
        StoreError::damaged_file(path, format!("what keytrail writes in column `{column}`"), found)
    };
    let text = |name: &str, row: usize| {
        let texts = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let text = texts.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row).to_owned());
        text.ok_or_else(|| damaged(name, "no text".into()))
    };
    for row in 0..batch.num_rows() {
        let counts = batch.column_by_name("rows").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let count = counts.filter(|counts| counts.is_valid(row)).map(|counts| counts.value(row));
        let count = count.and_then(|count| u64::try_from(count).ok()).ok_or_else(|| damaged("rows", "none".into()))?;
        let digest = RowsDigest::from_parts(count, &text("digest", row)?);
        let digest = digest.map_err(|error| damaged("digest", error.to_string()))?;
        rows.push(ForgottenRows { archive: text(schema::ARCHIVE, row)?, month: text(schema::MONTH, row)?, digest });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let digest = RowsDigest::from_parts(7, &"0a".repeat(32)).unwrap();
        let row = ForgottenRows { archive: "ab".repeat(32), month: "2025-01".into(), digest };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("forgotten.parquet");
        for rows in [vec![], vec![row.clone(), ForgottenRows { digest: RowsDigest::default(), ..row }]] {
            let seal = write(&path, &rows).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!((seal.rows, seal.bytes), (rows.len() as u64, bytes.len() as u64));
            assert_eq!(read(&path, &bytes.into()).unwrap(), rows);
        }
    }
}
