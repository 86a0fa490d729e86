//! The queries of the reports: one file each in `queries/reports/`, embedded in the program, and running them.
//!
//! Values come in as parameters (`$month`, `$from`, `$until`), never as text of the query.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use keytrail_model::time::Month;

use super::model::{TABLE_ROWS_MAX, Table, Value};
use crate::QueryError;

/// A query of a report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query {
    /// Name of its file, without `.sql`; also the key of its table.
    pub(super) name: &'static str,
    sql: &'static str,
}

macro_rules! queries {
    ($($constant:ident = $name:literal;)*) => {
        $(pub(super) const $constant: Query =
            Query { name: $name, sql: include_str!(concat!("../../../../queries/reports/", $name, ".sql")) };)*
        #[cfg(test)]
        const ALL: &[Query] = &[$($constant),*];
    };
}

queries! {
    ARCHIVES = "archives";
    CONSERVATION = "conservation";
    COVERAGE = "coverage";
    COVERAGE_COUNTS = "coverage_counts";
    COVERAGE_GAPS = "coverage_gaps";
    CUSTODY = "custody";
    DAYS = "days";
    FAILED_ARCHIVES = "failed_archives";
    FAILED_OPERATIONS = "failed_operations";
    FORGOTTEN = "forgotten";
    KEYS = "keys";
    KEY_LIFECYCLE = "key_lifecycle";
    KEY_LIFECYCLE_COUNTS = "key_lifecycle_counts";
    KEY_USAGE = "key_usage";
    LOGIN_FAILURES = "login_failures";
    ODDITIES = "oddities";
    PARTITION_DAYS = "partition_days";
    PRIVILEGED_USE = "privileged_use";
    SOURCES = "sources";
    SUMMARY = "summary";
    ZEROIZE_COUNTS = "zeroize_counts";
    ZEROIZE_EVENTS = "zeroize_events";
}

/// Where queries run, and for which time.
pub(super) struct Runner {
    /// Has the schema `month`.
    pub(super) context: SessionContext,
    pub(super) month: Month,
}

impl Runner {
    /// Runs a query; rows beyond [`TABLE_ROWS_MAX`] are counted, not kept.
    pub(super) async fn table(&self, query: Query, title: &'static str) -> Result<Table, QueryError> {
        self.rows(query, title, TABLE_ROWS_MAX).await
    }

    /// Runs a query and keeps all its rows.
    pub(super) async fn all(&self, query: Query) -> Result<Table, QueryError> {
        self.rows(query, "", usize::MAX).await
    }

    async fn rows(&self, query: Query, title: &'static str, rows_max: usize) -> Result<Table, QueryError> {
        let failed = |source| QueryError::Builtin { name: query.name, source };
        let mut stream = self.stream(query).await.map_err(failed)?;
        let columns = stream.schema().fields().iter().map(|field| field.name().clone()).collect();
        let mut table = Table { key: query.name, title, columns, rows: Vec::new(), rows_total: 0 };
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(failed)?;
            table.rows_total += batch.num_rows() as u64;
            for row in 0..batch.num_rows() {
                if table.rows.len() >= rows_max && table.minor_kind().is_none() {
                    break;
                }
                table.rows.push(values(query, &table.columns, &batch, row)?);
            }
            if table.rows.len() >= rows_max.saturating_mul(2) {
                cut(&mut table, rows_max);
            }
        }
        cut(&mut table, rows_max);
        Ok(table)
    }

    async fn stream(&self, query: Query) -> Result<datafusion::execution::SendableRecordBatchStream, DataFusionError> {
        let moment = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
        let (from, until) = self.month.bounds();
        // The month as text, too: to_char counts in nanoseconds, which reach from 1677 to 2262 only.
        let month = ScalarValue::from(self.month.to_string());
        let parameters = vec![("month", month), ("from", moment(from)), ("until", moment(until))];
        self.context.sql(query.sql).await?.with_param_values(parameters)?.execute_stream().await
    }
}

/// Leaves the rows that there is room for, in the order of [`Table::first_rows`].
fn cut(table: &mut Table, rows_max: usize) {
    let mut rows = std::mem::take(&mut table.rows);
    if rows.len() > rows_max {
        rows.sort_by_key(|row| table.gives_way(row));
        rows.truncate(rows_max);
    }
    table.rows = rows;
}

fn values(query: Query, columns: &[String], batch: &RecordBatch, row: usize) -> Result<Vec<Value>, QueryError> {
    let values = batch.columns().iter().zip(columns).map(|(column, name)| {
        value(column.as_ref(), row).ok_or_else(|| QueryError::ColumnType {
            name: query.name,
            column: name.clone(),
            found: column.data_type().to_string(),
        })
    });
    values.collect()
}

/// A value of a column, `None` for a type that no query of ours has.
fn value(column: &dyn Array, row: usize) -> Option<Value> {
    if column.is_null(row) {
        return Some(Value::Null);
    }
    Some(match column.data_type() {
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).into()),
        DataType::Utf8View => Value::Text(column.as_string_view().value(row).into()),
        DataType::Int64 => Value::Count(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => Value::Count(i64::try_from(column.as_primitive::<UInt64Type>().value(row)).ok()?),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Date32 => Value::Date(column.as_primitive::<Date32Type>().value_as_date(row)?.to_string()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Value::Time(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_a_query_with_a_comment() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries/reports");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: BTreeSet<String> = ALL.iter().map(|query| format!("{}.sql", query.name)).collect();
        assert_eq!(files.collect::<BTreeSet<_>>(), names);
        assert!(ALL.iter().all(|query| query.sql.starts_with("-- ")));
    }
}
