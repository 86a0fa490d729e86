//! Moves the rows of a month: in the order of their archives by first time (then by hash), and of an archive in the order in which they
//! stand, which is that of its members and ordinals.

use std::collections::HashMap;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use keytrail_model::digest::RowsDigest;
use keytrail_model::schema;

use super::plan::{FILE_ROWS, MonthPlan};
use super::sources::{BATCH_ROWS, Sources, Stretch, parquet};
use super::{Compaction, staged_path};
use crate::scan::{read_whole, wrong_columns};
use crate::{EventsWriter, Snapshot, StagedFile, StoreError};

/// The files that a month's small files became.
pub(crate) struct Merged {
    pub(super) files: Vec<StagedFile>,
    /// Of the rows that were read, which are those that were written.
    pub(super) digest: RowsDigest,
}

/// Merges the files of a month into new ones in `folder`. `first_times` are those of the archives.
pub(super) fn merge(
    snapshot: &Snapshot,
    plan: &MonthPlan,
    folder: &Path,
    first_times: &HashMap<String, i64>,
    compaction: &Compaction,
) -> Result<Merged, StoreError> {
    let mut sources = Sources::new(snapshot, &plan.files, compaction.memory_bytes / 2);
    let stretches = in_order(sources.stretches()?, first_times);
    let mut output = Output::new(plan, folder, compaction.target_bytes);
    let mut read = RowsDigest::default();
    let events = snapshot.events_dir();
    for Stretch { file, rows, .. } in stretches {
        let path = plan.files.get(file).map(|file| events.join(&file.path)).unwrap_or_default();
        sources.read(file, rows, &mut |batch| {
            read.add_batch(&batch).map_err(wrong_columns(&path))?;
            output.push(batch)
        })?;
    }
    let files = output.finish()?;
    let mut written = RowsDigest::default();
    for file in &files {
        written += read_back(&file.path)?;
    }
    if read != written {
        let describe = |digest: &RowsDigest| format!("{} rows of digest {digest}", digest.rows());
        return Err(StoreError::damaged_file(folder, describe(&read), describe(&written)));
    }
    Ok(Merged { files, digest: read })
}

/// Sorts stretches by their archives; neighbours that follow each other in their file become one.
fn in_order(mut stretches: Vec<Stretch>, first_times: &HashMap<String, i64>) -> Vec<Stretch> {
    let first = |stretch: &Stretch| first_times.get(&*stretch.archive).copied().unwrap_or(i64::MAX);
    // Stable: of one archive, files by path, which is by version, and rows as they stand.
    stretches.sort_by(|a, b| (first(a), &a.archive).cmp(&(first(b), &b.archive)));
    let mut merged: Vec<Stretch> = Vec::new();
    for stretch in stretches {
        match merged.last_mut() {
            Some(last) if last.file == stretch.file && last.rows.end == stretch.rows.start => {
                last.rows.end = stretch.rows.end;
            }
            _ => merged.push(stretch),
        }
    }
    merged
}

/// Files of one month in the making.
struct Output<'a> {
    plan: &'a MonthPlan,
    folder: &'a Path,
    target_bytes: u64,
    writer: Option<EventsWriter>,
    files: Vec<StagedFile>,
    /// Rows that wait for more: what is written at once must not depend on what was read at once, else memory would show in the files.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
}

impl<'a> Output<'a> {
    fn new(plan: &'a MonthPlan, folder: &'a Path, target_bytes: u64) -> Self {
        Self { plan, folder, target_bytes, writer: None, files: Vec::new(), waiting: Vec::new(), waiting_rows: 0 }
    }

    fn push(&mut self, mut batch: RecordBatch) -> Result<(), StoreError> {
        while batch.num_rows() > 0 {
            let room = (BATCH_ROWS - self.waiting_rows).min(batch.num_rows());
            self.waiting.push(batch.slice(0, room));
            self.waiting_rows += room;
            batch = batch.slice(room, batch.num_rows() - room);
            if self.waiting_rows == BATCH_ROWS {
                self.write()?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let batches = std::mem::take(&mut self.waiting);
        self.waiting_rows = 0;
        let batch = concat_batches(&schema::events_file_schema(), &batches).map_err(parquet(self.folder))?;
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                EventsWriter::create(&staged_path(self.folder, self.plan.month, self.files.len()), self.plan.month)?
            }
        };
        writer.write(&batch)?;
        if writer.rows() >= FILE_ROWS || writer.bytes() >= self.target_bytes {
            self.files.push(writer.finish()?);
        } else {
            self.writer = Some(writer);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<StagedFile>, StoreError> {
        if self.waiting_rows > 0 {
            self.write()?;
        }
        if let Some(writer) = self.writer.take() {
            self.files.push(writer.finish()?);
        }
        Ok(self.files)
    }
}

/// Digest of the rows of a file as a reader gets them.
fn read_back(path: &Path) -> Result<RowsDigest, StoreError> {
    let mut digest = RowsDigest::default();
    read_whole(path, true, &mut |batch| digest.add_batch(batch).map_err(wrong_columns(path)))?;
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_stand_by_first_time_and_then_by_hash() {
        let stretch = |file, rows: std::ops::Range<u64>, archive: &str| Stretch { file, rows, archive: archive.into() };
        let times = [("a", 7), ("b", 3), ("c", 3)].map(|(archive, time)| (archive.to_owned(), time)).into();
        let found = in_order(
            vec![
                stretch(0, 0..2, "a"),
                stretch(0, 2..3, "unknown"),
                stretch(1, 0..1, "c"),
                stretch(1, 1..5, "b"),
                stretch(2, 0..4, "a"),
                stretch(2, 4..5, "unknown"),
            ],
            &times,
        );
        let expected = [
            stretch(1, 1..5, "b"),
            stretch(1, 0..1, "c"),
            stretch(0, 0..2, "a"),
            stretch(2, 0..4, "a"),
            stretch(0, 2..3, "unknown"),
            stretch(2, 4..5, "unknown"),
        ];
        assert_eq!(found, expected);
        let whole = in_order(vec![stretch(0, 0..2, "b"), stretch(0, 2..3, "a")], &times);
        assert_eq!(whole, [stretch(0, 0..3, "b")], "rows that follow each other are read as one");
    }
}
