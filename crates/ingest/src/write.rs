//! Writing the planned files from the staging area, and counting what each archive gave to them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, BooleanArray, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int32Type;
use keytrail_model::record::RecordColumns;
use keytrail_model::schema;
use keytrail_store::{EventsWriter, RejectsWriter, StagedFile, StagedRejects};
use rayon::prelude::*;

use crate::archive::{Archive, DecodedArchive};
use crate::dedupe::Duplicates;
use crate::error::IngestError;
use crate::plan::PlannedFile;
use crate::staging::{Block, StagedBatch, StagingReader};

/// What the files of a run are made from. Archives and decoded archives stand in the same, final order.
pub(crate) struct Source<'a> {
    pub(crate) archives: &'a [Archive],
    pub(crate) decoded: &'a [DecodedArchive],
    pub(crate) duplicates: &'a Duplicates,
    pub(crate) staging: &'a Path,
}

/// Rows that each archive gave, counted as they were written.
pub(crate) struct RowsWritten(Vec<AtomicU64>);

impl RowsWritten {
    pub(crate) fn of(&self, archive: usize) -> u64 {
        self.0.get(archive).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn add(&self, archive: usize, rows: usize) {
        if let Some(count) = self.0.get(archive) {
            count.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }
}

/// Writes the planned files side by side; the result is in the order of the plan. A file all of whose rows turn out to be
/// duplicates is left out.
pub(crate) fn write_events(
    source: &Source<'_>,
    files: &[PlannedFile<'_>],
) -> Result<(Vec<StagedFile>, RowsWritten), IngestError> {
    let written = RowsWritten(source.decoded.iter().map(|_| AtomicU64::new(0)).collect());
    let staged: Vec<Option<StagedFile>> =
        files.par_iter().with_max_len(1).map(|file| write_file(source, file, &written)).collect::<Result<_, _>>()?;
    Ok((staged.into_iter().flatten().collect(), written))
}

fn write_file(
    source: &Source<'_>,
    file: &PlannedFile<'_>,
    written: &RowsWritten,
) -> Result<Option<StagedFile>, IngestError> {
    let path = source.staging.join(format!("{:06}.parquet", file.number));
    let mut writer = None;
    let mut reader = StagingReader::new(source.staging);
    for &(archive, batch) in &file.batches {
        let decoded = reader.batch(batch.block)?;
        let Some(kept) = keep(source, file, archive, batch, decoded)? else {
            continue;
        };
        let rows = with_provenance(source, archive, batch, &kept)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(EventsWriter::create(&path, file.month)?),
        };
        writer.write(&rows)?;
        written.add(archive, rows.num_rows());
    }
    Ok(writer.map(EventsWriter::finish).transpose()?)
}

/// The rows of a batch that belong to the file: of its month, and no duplicates.
fn keep(
    source: &Source<'_>,
    file: &PlannedFile<'_>,
    archive: usize,
    batch: &StagedBatch,
    decoded: RecordBatch,
) -> Result<Option<RecordBatch>, IngestError> {
    let all_rows = batch.first_row..batch.first_row + u64::from(batch.rows);
    if batch.months.len() == 1 && source.duplicates.count(archive, all_rows.clone()) == 0 {
        return Ok(Some(decoded));
    }
    let (from, until) = file.month.bounds();
    let times = RecordColumns::of(&decoded)?.times();
    let kept = times
        .iter()
        .zip(all_rows)
        .map(|(time, row)| (from..until).contains(time) && !source.duplicates.contains(archive, row));
    let kept = kept.collect::<Vec<bool>>();
    if !kept.contains(&true) {
        return Ok(None);
    }
    Ok(Some(filter_record_batch(&decoded, &BooleanArray::from(kept))?))
}

/// Adds the columns `archive` and `member`, which are the same for all rows of a batch.
fn with_provenance(
    source: &Source<'_>,
    archive: usize,
    batch: &StagedBatch,
    rows: &RecordBatch,
) -> Result<RecordBatch, IngestError> {
    let hash = source.archives.get(archive).map_or("", |archive| archive.digest.sha256.as_str());
    let members = source.decoded.get(archive).map(|decoded| decoded.members.as_slice()).unwrap_or_default();
    let member = members.get(batch.member as usize).map_or("", String::as_str);
    let schema = schema::events_file_schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        schema::ARCHIVE => constant(hash, rows.num_rows()),
        schema::MEMBER => constant(member, rows.num_rows()),
        name => rows.column_by_name(name).cloned().ok_or_else(|| {
            arrow::error::ArrowError::SchemaError(format!("staged batch: expected column {name}, found none"))
        }),
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn constant(value: &str, rows: usize) -> Result<ArrayRef, arrow::error::ArrowError> {
    let keys = Int32Array::from(vec![0; rows]);
    let array = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(StringArray::from(vec![value])))?;
    Ok(Arc::new(array))
}

/// Writes the rejects of a run from their staged blocks, given in their final order.
pub(crate) fn write_rejects(staging: &Path, blocks: impl Iterator<Item = Block>) -> Result<StagedRejects, IngestError> {
    let mut writer = RejectsWriter::create(&staging.join("rejects.parquet"))?;
    let mut reader = StagingReader::new(staging);
    for block in blocks {
        writer.write(&reader.batch(block)?)?;
    }
    Ok(writer.finish()?)
}
