//! Which files of a table a filter can match: decided from what the commit says of each file, before any file is opened.
//!
//! The bounds of `time` come from the Delta log and may be a millisecond too wide. They only ever rule files out; they are no
//! answer to `min(time)` or `max(time)`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use keytrail_model::schema::TIME;

use crate::files::TableFile;

/// Whether a filter speaks of the folder column only: then it holds for all rows of a file or for none, and the rows need not be
/// looked at.
pub(crate) fn decided_by_folder(filter: &Expr, folder_column: &str) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty() && columns.iter().all(|column| column.name() == folder_column) && !filter.is_volatile()
}

/// The files that may hold rows matching all `filters`.
pub(crate) fn matching<'a>(
    files: &'a [TableFile],
    filters: &[Expr],
    schema: &SchemaRef,
    folder_column: &str,
    session: &dyn Session,
) -> Result<Vec<&'a TableFile>> {
    let (by_folder, by_row): (Vec<Expr>, Vec<Expr>) =
        filters.iter().cloned().partition(|filter| decided_by_folder(filter, folder_column));
    let mut kept: Vec<&TableFile> = files.iter().collect();
    if let Some(filter) = conjunction(by_folder) {
        kept = in_matching_folders(kept, filter, folder_column, session)?;
    }
    if let Some(filter) = conjunction(by_row) {
        kept = within_bounds(kept, filter, schema, folder_column, session)?;
    }
    Ok(kept)
}

/// Exact: a file stays if the filter is true for the value of its folder.
fn in_matching_folders<'a>(
    files: Vec<&'a TableFile>,
    filter: Expr,
    folder_column: &str,
    session: &dyn Session,
) -> Result<Vec<&'a TableFile>> {
    let values: StringViewArray = files.iter().map(|file| Some(file.folder.as_str())).collect();
    let field = Field::new(folder_column, arrow::datatypes::DataType::Utf8View, false);
    let schema = Arc::new(Schema::new(vec![field]));
    let predicate = session.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&schema))?)?;
    let batch = RecordBatch::try_new(schema, vec![Arc::new(values)])?;
    let verdicts = predicate.evaluate(&batch)?.into_array(files.len())?;
    let verdicts = arrow::compute::cast(&verdicts, &arrow::datatypes::DataType::Boolean)?;
    // A filter that is neither true nor false (null) matches no row.
    Ok(files
        .into_iter()
        .zip(verdicts.as_boolean())
        .filter(|(_, kept)| *kept == Some(true))
        .map(|(file, _)| file)
        .collect())
}

/// Conservative: a file stays unless its bounds prove that no row can match.
fn within_bounds<'a>(
    files: Vec<&'a TableFile>,
    filter: Expr,
    schema: &SchemaRef,
    folder_column: &str,
    session: &dyn Session,
) -> Result<Vec<&'a TableFile>> {
    let predicate = session.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(schema))?)?;
    let Some(pruning) = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(predicate) else {
        return Ok(files);
    };
    let verdicts = pruning.prune(&Bounds { files: &files, folder_column })?;
    Ok(files.iter().zip(verdicts).filter(|(_, kept)| *kept).map(|(file, _)| *file).collect())
}

/// What is known of files, in DataFusion's form.
struct Bounds<'a> {
    files: &'a [&'a TableFile],
    folder_column: &'a str,
}

impl Bounds<'_> {
    fn bound(&self, column: &Column, time: impl Fn((i64, i64)) -> i64) -> Option<ArrayRef> {
        if column.name() == self.folder_column {
            let folders: StringViewArray = self.files.iter().map(|file| Some(file.folder.as_str())).collect();
            return Some(Arc::new(folders));
        }
        (column.name() == TIME).then(|| {
            let times: TimestampMicrosecondArray = self.files.iter().map(|file| file.time.map(&time)).collect();
            Arc::new(times.with_timezone("UTC")) as ArrayRef
        })
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |(min, _)| min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |(_, max)| max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let never_null = column.name() == self.folder_column || column.name() == TIME;
        never_null.then(|| Arc::new(UInt64Array::from(vec![0; self.files.len()])) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| Some(file.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
