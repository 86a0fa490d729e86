//! Compaction: the rows of small data files move into large ones, in one commit; nothing else changes.
//!
//! `plan` says which files, `merge` moves the rows of one month, `sources` reads them. What is read is checked against the SHA-256 of
//! its commit, so that damage does not get a fresh hash, and what was written is read back: rows, and their order-free digest with
//! provenance, must be those that were read, or nothing is committed.

mod merge;
mod plan;
mod sources;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use keytrail_model::time::Month;

use crate::chain::{CommitRecord, CompactionRecord, MonthDigest};
use crate::sealed_file::sha256;
use crate::writer::{Placed, RUN_DIGEST_DIGITS};
use crate::{DataFile, Snapshot, StagedFile, StoreError, Writer, layout};

use merge::Merged;
pub(crate) use plan::MonthPlan;

/// Size of the files that a compaction makes, where nothing else is asked for.
pub const DEFAULT_TARGET_BYTES: u64 = 128 << 20;

/// What to compact.
#[derive(Debug, Clone)]
pub struct Compaction {
    /// Months to look at; all where empty.
    pub months: Vec<Month>,
    /// Bytes from which a file is full. Files of less than half of it, and of less than half the rows of a full one, are merged.
    pub target_bytes: u64,
    /// Memory for files that are read, in bytes. Row groups of a million rows are held while they are encoded, beside that.
    pub memory_bytes: u64,
    /// When, microseconds since the epoch.
    pub committed_at: i64,
}

/// A month whose files were merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactedMonth {
    /// `YYYY-MM`.
    pub month: String,
    /// Rows that moved.
    pub rows: u64,
    /// Files that were removed, and their bytes.
    pub removed: (usize, u64),
    /// Files that were added, and their bytes.
    pub added: (usize, u64),
}

impl Writer {
    /// Merges small files into large ones, all months in one commit. Returns nothing where there is nothing to do.
    ///
    /// Files without a SHA-256 in our commits (another program added them) stay as they are. The removed files stay on the disk for
    /// [`Writer::vacuum`].
    ///
    /// # Errors
    /// A file is damaged, the disk refuses, or another program committed to the table. The last commit then still stands.
    pub fn compact(&mut self, compaction: &Compaction) -> Result<Vec<CompactedMonth>, StoreError> {
        let months = plan::all_small(self.snapshot(), &compaction.months, compaction.target_bytes);
        self.compact_months(&months, compaction)
    }

    /// The gentle form, after an ingest: only where many small files have come together, and not more than some 256 MiB at once.
    /// `before` is the version before the ingest; months that the ingest added to may get more files soon and are left longer.
    ///
    /// # Errors
    /// As [`Writer::compact`].
    pub fn compact_gently(
        &mut self,
        before: u64,
        memory_bytes: u64,
        committed_at: i64,
    ) -> Result<Vec<CompactedMonth>, StoreError> {
        let months = plan::gently(before, self.snapshot());
        let target_bytes = DEFAULT_TARGET_BYTES;
        let compaction = Compaction { months: Vec::new(), target_bytes, memory_bytes, committed_at };
        self.compact_months(&months, &compaction)
    }

    fn compact_months(
        &mut self,
        months: &[MonthPlan],
        compaction: &Compaction,
    ) -> Result<Vec<CompactedMonth>, StoreError> {
        if months.is_empty() {
            return Ok(Vec::new());
        }
        let outcome = self.merge_and_commit(months, compaction);
        // Whatever became of it: the folder is this writer's alone, and what was committed was moved away.
        let _ = std::fs::remove_dir_all(self.compaction_dir());
        outcome
    }

    fn compaction_dir(&self) -> std::path::PathBuf {
        self.staging.join("compaction")
    }

    fn merge_and_commit(
        &mut self,
        months: &[MonthPlan],
        compaction: &Compaction,
    ) -> Result<Vec<CompactedMonth>, StoreError> {
        let folder = self.compaction_dir();
        std::fs::create_dir_all(&folder).map_err(StoreError::io("make the folder", &folder))?;
        let ledger = self.snapshot().ledger()?;
        let first_times: HashMap<_, _> =
            ledger.into_iter().filter_map(|row| Some((row.archive, row.first_time?))).collect();
        let mut merged = Vec::new();
        for plan in months {
            let of_month = merge::merge(self.snapshot(), plan, &folder, &first_times, compaction)?;
            // As many files as before are no gain, and would be merged again and again.
            if of_month.files.len() < plan.files.len() {
                merged.push((plan, of_month));
            }
        }
        if merged.is_empty() {
            return Ok(Vec::new());
        }
        let placed = self.place_compaction(&merged, compaction.committed_at)?;
        self.publish(&placed)?;
        Ok(merged.iter().map(|(plan, merged)| outcome(plan, merged)).collect())
    }

    /// Moves the merged files to their places. Nothing counts yet.
    pub(crate) fn place_compaction(
        &self,
        months: &[(&MonthPlan, Merged)],
        committed_at: i64,
    ) -> Result<Placed, StoreError> {
        let sources = months.iter().flat_map(|(plan, _)| &plan.files);
        let removed: Vec<String> = sources.map(|file| file.path.clone()).collect();
        let digest = sha256(removed.join("\n").as_bytes());
        let version = self.snapshot().version() + 1;
        let name = layout::run_name(version, digest.get(..RUN_DIGEST_DIGITS).unwrap_or(&digest));
        let files: Vec<StagedFile> = months.iter().flat_map(|(_, merged)| merged.files.iter().cloned()).collect();
        let (adds, records) = self.name_files(&name, &files);
        let removes = self.live(&removed)?;
        self.place_files(&files, &adds)?;
        let months = months.iter().map(|(plan, merged)| MonthDigest {
            month: plan.month.to_string(),
            rows: merged.digest.rows(),
            digest: merged.digest.to_string(),
        });
        let compaction = CompactionRecord { name, committed_at, files: records, removed, months: months.collect() };
        let record = CommitRecord { compaction: Some(compaction), ..self.record(&adds, &removes) };
        Ok(Placed { version, record, adds, removes })
    }
}

fn outcome(plan: &MonthPlan, merged: &Merged) -> CompactedMonth {
    CompactedMonth {
        month: plan.month.to_string(),
        rows: merged.digest.rows(),
        removed: (plan.files.len(), plan.files.iter().map(|file| file.bytes).sum()),
        added: (merged.files.len(), merged.files.iter().map(|file| file.bytes).sum()),
    }
}

/// Files by month, those that can be merged: with a SHA-256 to check them by, and in a month that we know how to name.
fn by_month(snapshot: &Snapshot) -> BTreeMap<Month, Vec<&DataFile>> {
    let mut months: BTreeMap<Month, Vec<&DataFile>> = BTreeMap::new();
    for file in snapshot.files().iter().filter(|file| file.sha256.is_some()) {
        if let Some(month) = Month::parse(&file.month) {
            months.entry(month).or_default().push(file);
        }
    }
    months
}

/// Where a merged file is staged.
fn staged_path(folder: &Path, month: Month, number: usize) -> std::path::PathBuf {
    folder.join(format!("{month}-{number:04}.parquet"))
}

/// For tests of kills between the steps: a plan of all files of a snapshot's first month.
#[cfg(test)]
pub(crate) fn tests_plan(snapshot: &Snapshot) -> MonthPlan {
    plan::all_small(snapshot, &[], DEFAULT_TARGET_BYTES).remove(0)
}

/// For tests of kills between the steps: a merge that gave one file.
#[cfg(test)]
pub(crate) fn tests_merged(file: StagedFile) -> Merged {
    Merged { files: vec![file], digest: keytrail_model::digest::RowsDigest::default() }
}
