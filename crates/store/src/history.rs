//! The ledger with all that it ever said: also the rows that later ones of the same archive took the place of, and the rejects of a run.

use std::fs::File;

use arrow::array::RecordBatch;
use keytrail_model::ledger::LedgerRow;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::sealed_file::sha256;
use crate::{RunInfo, Snapshot, StoreError, ledger_file};

impl Snapshot {
    /// The rows that one run wrote into the ledger.
    ///
    /// # Errors
    /// The file is missing, changed or unreadable.
    pub fn ledger_of(&self, run: &RunInfo) -> Result<Vec<LedgerRow>, StoreError> {
        let path = self.root().join(&run.archives.path);
        let bytes = std::fs::read(&path).map_err(StoreError::io("read the ledger", &path))?;
        let found = sha256(&bytes);
        if found != run.archives.sha256 {
            return Err(StoreError::damaged_file(&path, format!("SHA-256 {}", run.archives.sha256), found));
        }
        ledger_file::read(&path, bytes.into())
    }

    /// Hands the rejects of one run to `each`, batch by batch, in the columns of [`keytrail_model::schema::rejects_schema`].
    ///
    /// # Errors
    /// Those of `each`; or the file is missing or unreadable.
    pub fn read_rejects<E: From<StoreError>>(
        &self,
        run: &RunInfo,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.root().join(&run.rejects.path);
        let file = File::open(&path).map_err(StoreError::io("read the rejects", &path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(StoreError::parquet(&path))?;
        for batch in builder.build().map_err(StoreError::parquet(&path))? {
            each(&batch.map_err(|error| StoreError::parquet(&path)(error.into()))?)?;
        }
        Ok(())
    }
}
