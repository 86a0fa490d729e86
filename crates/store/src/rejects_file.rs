//! Files of rejects: one per run, also when it rejected nothing.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use keytrail_model::schema;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::StoreError;
use crate::sealed_file::SealedWriter;

/// Rows of a row group. Rejected bytes can be long (a whole line of many MiB), so a group is also ended by its size.
const ROW_GROUP_ROWS: usize = 1 << 16;
/// Bytes of a row group.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// A file of rejects that is complete and durable, and waits in the staging folder for its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedRejects {
    /// Where it is.
    pub path: PathBuf,
    /// Rows.
    pub rows: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

/// Writes the rejects of one run.
pub struct RejectsWriter {
    file: SealedWriter,
}

impl RejectsWriter {
    /// Starts a file. `path` lies in [`crate::Writer::staging_dir`]; a file there is replaced.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let properties = WriterProperties::builder()
            .set_created_by("keytrail".into())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(StoreError::parquet(path))?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .set_column_dictionary_enabled(ColumnPath::from("raw"), false)
            .set_column_statistics_enabled(ColumnPath::from("raw"), EnabledStatistics::Chunk)
            .build();
        Ok(Self { file: SealedWriter::create(path, schema::rejects_schema(), properties)? })
    }

    /// Appends rows in the columns of [`keytrail_model::schema::rejects_schema`].
    ///
    /// # Errors
    /// The columns are others, or the disk refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        self.file.write(batch)
    }

    /// Ends the file and makes its contents durable. A file without rows is fine.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn finish(self) -> Result<StagedRejects, StoreError> {
        let (path, seal) = self.file.finish()?;
        Ok(StagedRejects { path, rows: seal.rows, bytes: seal.bytes, sha256: seal.sha256 })
    }
}
