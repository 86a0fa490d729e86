//! The tables `archive_coverage` and `service_months`: the rules, carried out when a query first asks.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::{ExecutionPlan, collect};
use keytrail_model::ledger::ServiceKey;
use keytrail_model::schema::{ARCHIVE, MONTH, timestamp};
use keytrail_model::time::Month;
use keytrail_store::Snapshot;

use super::rules::{self, Covered, Source, TooMany};
use crate::QueryError;
use crate::tables::{Named, memory};

/// Spans that are held at most, some 60 bytes each.
const PIECES_MAX: usize = 8 << 20;

/// Both tables of a snapshot. `from_events` has the services of archives whose ledger rows do not tell them, in the columns of
/// `archive_services`; `asked` are the first and last month that `service_months` has beside those that archives touch.
pub(crate) fn tables(
    snapshot: &Snapshot,
    from_events: Option<Arc<dyn TableProvider>>,
    asked: Option<(Month, Month)>,
) -> Vec<Named> {
    let made = Arc::new(Made { snapshot: snapshot.clone(), from_events, asked, tables: Mutex::default() });
    let table =
        |columns, which| Arc::new(CoverageTable { made: Arc::clone(&made), columns, which }) as Arc<dyn TableProvider>;
    vec![
        ("archive_coverage", table(pieces_schema(), Which::Pieces)),
        ("service_months", table(months_schema(), Which::Months)),
    ]
}

fn pieces_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8View, nullable);
    Arc::new(Schema::new(vec![
        text(ARCHIVE, false),
        text("resource_id", true),
        text("source_kind", false),
        text(MONTH, false),
        Field::new("from_time", timestamp(), false),
        Field::new("to_time", timestamp(), false),
        text("basis", false),
        text("shortfall", true),
    ]))
}

fn months_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8View, nullable);
    Arc::new(Schema::new(vec![
        text("resource_id", true),
        text("source_kind", false),
        text(MONTH, false),
        Field::new("from_time", timestamp(), false),
        Field::new("to_time", timestamp(), false),
    ]))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Pieces,
    Months,
}

/// What both tables are made from, and the tables once they are made.
struct Made {
    snapshot: Snapshot,
    from_events: Option<Arc<dyn TableProvider>>,
    asked: Option<(Month, Month)>,
    tables: Mutex<Option<[Arc<dyn TableProvider>; 2]>>,
}

impl Made {
    async fn table(&self, session: &dyn Session, which: Which) -> Result<Arc<dyn TableProvider>> {
        let known = self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let [pieces, months] = match known {
            Some(tables) => tables,
            None => {
                // Should two scans get here at once, both make the same.
                let tables = self.make(session).await?;
                self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(tables).clone()
            }
        };
        Ok(if which == Which::Pieces { pieces } else { months })
    }

    async fn make(&self, session: &dyn Session) -> Result<[Arc<dyn TableProvider>; 2]> {
        let mut archives = Vec::new();
        let read = self.snapshot.ledger_with_services(&mut |row| {
            let spans = row.service_spans.into_iter().flatten();
            archives.push(Source {
                archive: row.archive,
                status: row.status,
                times: row.first_time.zip(row.last_time),
                requests: row.requests,
                services: spans.map(|span| (span.key, (span.first_time, span.last_time))).collect(),
            });
        });
        read.map_err(|error| DataFusionError::External(Box::new(error)))?;
        if let Some(table) = &self.from_events {
            let plan = table.scan(session, None, &[], None).await?;
            for batch in collect(plan, session.task_ctx()).await? {
                add_services(&batch, &mut archives)?;
            }
        }
        let covered = rules::covered(&archives, PIECES_MAX, self.asked).map_err(|too_many| {
            DataFusionError::ResourcesExhausted(match too_many {
                TooMany::Spans => format!("coverage: {} archives times their services are too many", archives.len()),
                TooMany::Months => "coverage: the months asked for times the services are too many".into(),
            })
        })?;
        let external = |error: QueryError| DataFusionError::External(Box::new(error));
        let pieces = pieces(&archives, &covered)?;
        Ok([memory(pieces).map_err(external)?, memory(months(&covered)?).map_err(external)?])
    }
}

/// Adds the rows of `archive_services` to the archives they name.
fn add_services(batch: &RecordBatch, archives: &mut [Source]) -> Result<()> {
    let wrong = |name: &str| DataFusionError::Internal(format!("archive_services: no column {name} of its type"));
    let text = |name: &'static str| {
        let column = batch.column_by_name(name).and_then(|column| column.as_string_view_opt());
        column.ok_or_else(|| wrong(name))
    };
    let time = |name: &'static str| {
        let column = batch.column_by_name(name);
        let column = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        column.ok_or_else(|| wrong(name))
    };
    let (names, resources, sources) = (text(ARCHIVE)?, text("resource_id")?, text("source")?);
    let (tenants, firsts, lasts) = (text("tenant_id")?, time("first_time")?, time("last_time")?);
    let places: std::collections::HashMap<String, usize> =
        archives.iter().enumerate().map(|(place, source)| (source.archive.clone(), place)).collect();
    let texts = names.iter().zip(resources).zip(sources).zip(tenants);
    for ((((name, resource), source), tenant), (first, last)) in texts.zip(firsts.iter().zip(lasts)) {
        let place = name.and_then(|name| places.get(name)).and_then(|place| archives.get_mut(*place));
        if let (Some(archive), Some(span)) = (place, first.zip(last)) {
            let [resource_id, source, tenant_id] = [resource, source, tenant].map(|text| text.map(str::to_owned));
            archive.services.push((Arc::new(ServiceKey { resource_id, source, tenant_id }), span));
        }
    }
    Ok(())
}

/// Texts by index: the bytes of each are there once, however many rows have it.
fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>, indices: &UInt32Array) -> Result<ArrayRef> {
    Ok(take(&values.collect::<StringViewArray>(), indices, None)?)
}

fn indices(of: impl Iterator<Item = usize>) -> UInt32Array {
    UInt32Array::from_iter_values(of.map(|index| u32::try_from(index).unwrap_or(u32::MAX)))
}

fn times(of: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(of).with_timezone("UTC"))
}

fn pieces(archives: &[Source], covered: &Covered) -> Result<RecordBatch> {
    let pieces = &covered.pieces;
    let services = indices(pieces.iter().map(|piece| piece.service));
    let months: Vec<String> = pieces.iter().map(|piece| piece.month.to_string()).collect();
    let columns = vec![
        texts(
            archives.iter().map(|source| Some(source.archive.as_str())),
            &indices(pieces.iter().map(|piece| piece.archive)),
        )?,
        texts(covered.services.iter().map(|(resource, _)| resource.as_deref()), &services)?,
        texts(covered.services.iter().map(|(_, kind)| Some(kind.as_str())), &services)?,
        Arc::new(months.iter().map(Some).collect::<StringViewArray>()),
        times(pieces.iter().map(|piece| piece.span.0)),
        times(pieces.iter().map(|piece| piece.span.1)),
        Arc::new(
            pieces
                .iter()
                .map(|piece| Some(if piece.is_request { "request" } else { "records" }))
                .collect::<StringViewArray>(),
        ),
        Arc::new(pieces.iter().map(|piece| piece.shortfall.as_deref()).collect::<StringViewArray>()),
    ];
    Ok(RecordBatch::try_new(pieces_schema(), columns)?)
}

fn months(covered: &Covered) -> Result<RecordBatch> {
    let calendar = &covered.calendar;
    let services = indices(calendar.iter().map(|(service, _)| *service));
    let months: Vec<String> = calendar.iter().map(|(_, month)| month.to_string()).collect();
    let columns = vec![
        texts(covered.services.iter().map(|(resource, _)| resource.as_deref()), &services)?,
        texts(covered.services.iter().map(|(_, kind)| Some(kind.as_str())), &services)?,
        Arc::new(months.iter().map(Some).collect::<StringViewArray>()),
        times(calendar.iter().map(|(_, month)| month.bounds().0)),
        times(calendar.iter().map(|(_, month)| month.bounds().1)),
    ];
    Ok(RecordBatch::try_new(months_schema(), columns)?)
}

/// One of the two tables.
struct CoverageTable {
    made: Arc<Made>,
    columns: SchemaRef,
    which: Which,
}

impl std::fmt::Debug for CoverageTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CoverageTable").field("which", &self.which).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for CoverageTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
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
        self.made.table(session, self.which).await?.scan(session, projection, filters, limit).await
    }
}
