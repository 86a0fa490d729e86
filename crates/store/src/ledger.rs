//! More of the ledger than [`Snapshot::ledger`] gives: the services of each archive, what each run wrote, and the rejects.

use std::collections::{HashMap, HashSet};

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use keytrail_model::ledger::LedgerRow;
use keytrail_model::schema::ARCHIVE;

use crate::sealed_file::read_groups;
use crate::{RunInfo, Snapshot, StoreError, ledger_file};

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
            let rows = ledger_file::read(&path, &bytes)?;
            latest.extend(rows.into_iter().map(|row| (row.archive, number)));
        }
        for (number, run) in self.runs.iter().enumerate() {
            let (path, bytes) = self.read_sidecar(&run.archives)?;
            let rows = ledger_file::read_with_services(&path, &bytes)?;
            rows.into_iter().filter(|row| latest.get(&row.archive) == Some(&number)).for_each(&mut *each);
        }
        Ok(())
    }

    /// The rows that one run wrote into the ledger; later ones may have taken the place of some.
    ///
    /// # Errors
    /// The file is missing, changed or unreadable.
    pub fn ledger_of(&self, run: &RunInfo) -> Result<Vec<LedgerRow>, StoreError> {
        self.read_ledger(&run.archives)
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
        read_groups(&path, &bytes, &|_| true, each)
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
            let path = self.root.join(&run.rejects.path);
            self.read_rejects(run, &mut |batch| -> Result<(), E> {
                let column = batch.column_by_name(ARCHIVE).and_then(|names| names.as_string_opt::<i32>());
                let column = column.ok_or_else(|| StoreError::damaged_file(&path, "texts in `archive`", "none"))?;
                let wanted: BooleanArray =
                    column.iter().map(|name| Some(name.is_some_and(|name| archives.contains(name)))).collect();
                let batch = filter_record_batch(batch, &wanted);
                each(&batch.map_err(|error| StoreError::parquet(&path)(error.into()))?)
            })?;
        }
        Ok(())
    }
}
