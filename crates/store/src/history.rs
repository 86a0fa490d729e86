//! The ledger with all that it ever said: also the rows that later ones of the same archive took the place of, and the rejects of a run.

use arrow::array::RecordBatch;
use keytrail_model::ledger::LedgerRow;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{RunInfo, Snapshot, StoreError, ledger_file};

impl Snapshot {
    /// The rows that one run wrote into the ledger.
    ///
    /// # Errors
    /// The file is missing, changed or unreadable.
    pub fn ledger_of(&self, run: &RunInfo) -> Result<Vec<LedgerRow>, StoreError> {
        let (path, bytes) = self.read_sidecar(&run.archives)?;
        ledger_file::read(&path, bytes)
    }

    /// Hands the rejects of one run to `each`, batch by batch, in the columns of [`keytrail_model::schema::rejects_schema`].
    ///
    /// # Errors
    /// Those of `each`; or the file is missing, changed or unreadable.
    pub fn read_rejects<E: From<StoreError>>(
        &self,
        run: &RunInfo,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let (path, bytes) = self.read_sidecar(&run.rejects)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(StoreError::parquet(&path))?;
        for batch in builder.build().map_err(StoreError::parquet(&path))? {
            each(&batch.map_err(|error| StoreError::parquet(&path)(error.into()))?)?;
        }
        Ok(())
    }
}
