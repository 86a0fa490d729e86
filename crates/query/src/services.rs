//! The table `archive_services`: which services each archive holds records of, how many, and from when to when.
//!
//! The ledger has it, counted before duplicates were told. That part of it is long and seldom asked for, so it is read when a query first
//! does. Archives whose ledger rows do not have it (an older keytrail wrote them, or they hold too many services) are told by the rows they
//! gave to `events` instead; `basis` says so.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, cast};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{JoinType, SessionContext, col, lit};
use keytrail_model::ledger::{LedgerRow, ServiceSpan};
use keytrail_model::schema::{self, ARCHIVE, TIME};
use keytrail_store::Snapshot;

use crate::QueryError;
use crate::tables::{Rows, memory, with_views};

type Table = Arc<dyn TableProvider>;

/// The table of a snapshot with this ledger; and the part of it that comes from `events`, if any.
pub(crate) fn table(
    snapshot: &Snapshot,
    ledger: &[LedgerRow],
    events: Arc<dyn TableProvider>,
) -> Result<(Table, Option<Table>), QueryError> {
    let recorded: Table = Arc::new(RecordedServices { snapshot: snapshot.clone(), rows: Mutex::default() });
    let is_missing = |row: &&LedgerRow| row.services.is_none() && row.first_time.is_some();
    let missing: Vec<&str> = ledger.iter().filter(is_missing).map(|row| row.archive.as_str()).collect();
    if missing.is_empty() {
        return Ok((recorded, None));
    }
    let context = SessionContext::new();
    let stored = from_events(&context, events, &missing)?;
    let all = context.read_table(recorded)?.union(context.read_table(Arc::clone(&stored))?)?.into_view();
    Ok((all, Some(stored)))
}

/// What the rows of `events` tell about some archives.
fn from_events(
    context: &SessionContext,
    events: Arc<dyn TableProvider>,
    archives: &[&str],
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let names: ArrayRef = Arc::new(archives.iter().map(Some).collect::<StringViewArray>());
    let names = RecordBatch::try_from_iter([(ARCHIVE, names)])?;
    let names = context.read_table(memory(names)?)?;
    let keys = [ARCHIVE];
    let rows = context.read_table(events)?.join(names, JoinType::LeftSemi, &keys, &keys, None)?;
    let by = [ARCHIVE, "resource_id", "source", "tenant_id"].map(col).to_vec();
    let figures =
        [count(lit(1)).alias("records"), min(col(TIME)).alias("first_time"), max(col(TIME)).alias("last_time")];
    let told = rows.aggregate(by.clone(), figures.to_vec())?;
    let basis = cast(lit("stored"), DataType::Utf8View).alias("basis");
    let columns = by.into_iter().chain([
        cast(col("records"), DataType::Int64).alias("records"),
        col("first_time"),
        col("last_time"),
        basis,
    ]);
    Ok(told.select(columns.collect::<Vec<_>>())?.into_view())
}

/// What the ledger tells, read when it is first asked for.
struct RecordedServices {
    snapshot: Snapshot,
    rows: Mutex<Option<Arc<dyn TableProvider>>>,
}

impl std::fmt::Debug for RecordedServices {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RecordedServices").field("store", &self.snapshot.root()).finish_non_exhaustive()
    }
}

impl RecordedServices {
    fn rows(&self) -> Result<Arc<dyn TableProvider>> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = rows.as_ref() {
            return Ok(Arc::clone(rows));
        }
        let read = read(&self.snapshot).and_then(memory);
        let read = read.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Arc::clone(rows.insert(read)))
    }
}

fn read(snapshot: &Snapshot) -> Result<RecordBatch, QueryError> {
    let mut found: Vec<(String, ServiceSpan)> = Vec::new();
    snapshot.ledger_with_services(&mut |row| {
        let spans = row.service_spans.into_iter().flatten();
        found.extend(spans.map(|span| (row.archive.clone(), span)));
    })?;
    let rows = Rows(&found);
    let columns = vec![
        rows.texts(|(archive, _)| Some(archive)),
        rows.texts(|(_, span)| span.key.resource_id.as_ref()),
        rows.texts(|(_, span)| span.key.source.as_ref()),
        rows.texts(|(_, span)| span.key.tenant_id.as_ref()),
        rows.counts(|(_, span)| Some(span.records)),
        rows.times(|(_, span)| Some(span.first_time)),
        rows.times(|(_, span)| Some(span.last_time)),
        rows.texts(|_| Some("records")),
    ];
    Ok(RecordBatch::try_new(columns_of_table(), columns)?)
}

fn columns_of_table() -> SchemaRef {
    with_views(&schema::archive_services_schema())
}

#[async_trait]
impl TableProvider for RecordedServices {
    fn schema(&self) -> SchemaRef {
        columns_of_table()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.rows()?.scan(session, projection, filters, limit).await
    }
}
