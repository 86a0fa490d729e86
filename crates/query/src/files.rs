//! A table over a fixed list of Parquet files: what the snapshot names, nothing else.
//!
//! Knows Parquet, folders and bounds; does not know what the columns mean.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics, project_schema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use keytrail_model::schema::TIME;
use keytrail_store::check_sha256;

use crate::pruning;

/// A file of a table, and what the commit says of it.
#[derive(Debug, Clone)]
pub(crate) struct TableFile {
    /// Path relative to the root of the table's object store, `/` between its parts.
    pub(crate) path: String,
    /// Length in bytes.
    pub(crate) bytes: u64,
    /// Rows, exact.
    pub(crate) rows: u64,
    /// Value of the folder column for all its rows.
    pub(crate) folder: String,
    /// Where it lies and its SHA-256, where it is compared with that whenever it is scanned; it is small then.
    pub(crate) sealed: Option<(PathBuf, String)>,
    /// Inclusive bounds of the column `time`, microseconds since the epoch, where it has one.
    pub(crate) time: Option<(i64, i64)>,
}

/// Files with the same columns, and one column that is the same for all rows of a file (and is not in it).
#[derive(Debug)]
pub(crate) struct FilesTable {
    url: ObjectStoreUrl,
    schema: TableSchema,
    folder_column: String,
    files: Vec<TableFile>,
}

impl FilesTable {
    /// `url` must be registered with the session; `file_schema` gives the columns of the files, without `folder_column`, which comes
    /// last.
    pub(crate) fn new(url: ObjectStoreUrl, file_schema: SchemaRef, folder_column: &str, files: Vec<TableFile>) -> Self {
        let folder = Arc::new(Field::new(folder_column, DataType::Utf8View, false));
        let schema = TableSchema::builder(file_schema).with_table_partition_cols(vec![folder]).build();
        Self { url, schema, folder_column: folder_column.into(), files }
    }

    /// What is known of all these files together. From the bounds of `time` the engine only estimates how many rows a filter leaves; files are
    /// skipped before, by the bounds of each. Of a filter on `CAST(time AS DATE)` it takes the bounds back through the cast, and fails where
    /// that makes them wider than they were: so they are whole days, and left out where a filter has a cast, which may be one to days of another
    /// time zone.
    fn statistics_of(&self, files: &[&TableFile], filters: &[Expr]) -> Statistics {
        let rows = files.iter().map(|file| file.rows).sum();
        let bytes = files.iter().map(|file| file.bytes).sum();
        let bounds = if filters.iter().any(has_cast) { None } else { whole_days(files) };
        statistics(self.schema.table_schema(), rows, bytes, bounds)
    }

    fn source(&self, session: &dyn Session) -> Result<ParquetSource> {
        let runtime = session.runtime_env();
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let reader = CachedParquetFileReaderFactory::new(runtime.object_store(&self.url)?, footers);
        let options = TableParquetOptions {
            global: session.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        Ok(ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader)))
    }

    fn scanned(&self, file: &TableFile) -> PartitionedFile {
        let own = statistics(self.schema.file_schema(), file.rows, file.bytes, file.time);
        PartitionedFile::new(&file.path, file.bytes)
            .with_partition_values(vec![ScalarValue::Utf8View(Some(file.folder.clone()))])
            .with_statistics(Arc::new(own))
    }
}

fn has_cast(filter: &Expr) -> bool {
    filter.exists(|part| Ok(matches!(part, Expr::Cast(_) | Expr::TryCast(_)))).unwrap_or(true)
}

/// Midnights (UTC) between which the rows of all files are.
fn whole_days(files: &[&TableFile]) -> Option<(i64, i64)> {
    const DAY: i64 = 24 * 3600 * 1_000_000;
    let times = files.iter().map(|file| file.time).collect::<Option<Vec<_>>>()?;
    let first = times.iter().map(|(min, _)| min.div_euclid(DAY)).min()?;
    let last = times.iter().map(|(_, max)| max.saturating_add(DAY - 1).div_euclid(DAY)).max()?;
    Some((first.saturating_mul(DAY), last.saturating_mul(DAY)))
}

/// Bytes that a row takes in memory, roughly: from this the engine sees which side of a join is the small one. The length of a file says
/// less, because texts that repeat take next to nothing there.
const ROW_BYTES: u64 = 512;

/// Row counts are exact, and `time` is never null. Its bounds are not exact, so that no query takes them for an answer.
fn statistics(schema: &SchemaRef, rows: u64, bytes: u64, time: Option<(i64, i64)>) -> Statistics {
    let bound = |micros: Option<i64>| match micros {
        Some(micros) => Precision::Inexact(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))),
        None => Precision::Absent,
    };
    let columns = schema.fields().iter().map(|field| match field.name() == TIME {
        true => ColumnStatistics::new_unknown()
            .with_null_count(Precision::Exact(0))
            .with_min_value(bound(time.map(|(min, _)| min)))
            .with_max_value(bound(time.map(|(_, max)| max))),
        false => ColumnStatistics::new_unknown(),
    });
    let bytes = bytes.max(rows.saturating_mul(ROW_BYTES));
    let bytes = usize::try_from(bytes).map_or(Precision::Absent, Precision::Inexact);
    let rows = usize::try_from(rows).map_or(Precision::Absent, Precision::Exact);
    Statistics { num_rows: rows, total_byte_size: bytes, column_statistics: columns.collect() }
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| {
            if pruning::decided_by_folder(filter, &self.folder_column) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema.table_schema();
        let files = pruning::matching(&self.files, filters, schema, &self.folder_column, session)?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(schema, projection)?)));
        }
        for (path, sha256) in files.iter().filter_map(|file| file.sealed.as_ref()) {
            check_sha256(path, sha256).map_err(|error| DataFusionError::External(error.into()))?;
        }
        let statistics = self.statistics_of(&files, filters);
        let scanned = FileGroup::new(files.into_iter().map(|file| self.scanned(file)).collect());
        let groups = scanned.split_files(session.config().target_partitions().max(1));
        let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(self.source(session)?))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
