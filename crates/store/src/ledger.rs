//! More of the ledger than [`Snapshot::ledger`] gives: the services of each archive, and the rejects of some.

use std::collections::{HashMap, HashSet};

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use keytrail_model::ledger::LedgerRow;
use keytrail_model::schema::ARCHIVE;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{Snapshot, StoreError, ledger_file};

impl Snapshot {
    /// Calls `each` with the latest row of each archive, its services included, in the order in which those rows were committed.
    ///
    /// Reads the ledger file of every run twice (a run at a time is in memory) and checks its SHA-256.
    ///
    /// # Errors
    /// A ledger file is missing, changed or unreadable.
    pub fn ledger_with_services(&self, each: &mut dyn FnMut(LedgerRow)) -> Result<(), StoreError> {
        let mut latest = HashMap::new();
        for (number, run) in self.runs.iter().enumerate() {
            let (path, bytes) = self.read_sidecar(&run.archives)?;
            let rows = ledger_file::read(&path, bytes)?;
            latest.extend(rows.into_iter().map(|row| (row.archive, number)));
        }
        for (number, run) in self.runs.iter().enumerate() {
            let (path, bytes) = self.read_sidecar(&run.archives)?;
            let rows = ledger_file::read_with_services(&path, bytes)?;
            rows.into_iter().filter(|row| latest.get(&row.archive) == Some(&number)).for_each(&mut *each);
        }
        Ok(())
    }

    /// Calls `each` with the rejects that the runs of these ledger rows wrote about their archives, in the columns of
    /// [`keytrail_model::schema::rejects_schema`].
    ///
    /// # Errors
    /// A file of rejects is missing, changed or unreadable, or `each` fails.
    pub fn rejects_of<E: From<StoreError>>(
        &self,
        rows: &[LedgerRow],
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        for run in &self.runs {
            let of_run = rows.iter().filter(|row| row.run == run.run && row.records.rejected > 0);
            let archives: HashSet<&str> = of_run.map(|row| row.archive.as_str()).collect();
            if archives.is_empty() {
                continue;
            }
            let (path, bytes) = self.read_sidecar(&run.rejects)?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|builder| builder.build());
            for batch in reader.map_err(StoreError::parquet(&path))? {
                let failed = |error: arrow::error::ArrowError| StoreError::parquet(&path)(error.into());
                let batch = batch.map_err(failed)?;
                let column = batch.column_by_name(ARCHIVE).and_then(|names| names.as_string_opt::<i32>());
                let column = column.ok_or_else(|| StoreError::damaged_file(&path, "texts in `archive`", "none"))?;
                let wanted: BooleanArray =
                    column.iter().map(|name| Some(name.is_some_and(|name| archives.contains(name)))).collect();
                each(&filter_record_batch(&batch, &wanted).map_err(failed)?)?;
            }
        }
        Ok(())
    }
}
