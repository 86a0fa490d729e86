//! Coverage: which time of which services the archives cover. `rules` says what one archive covers, `table` makes tables of it, the view
//! `coverage` tells how the spans of all archives add up; here it is asked for some months.

mod rules;
mod table;

use datafusion::prelude::{DataFrame, col, lit};
use keytrail_model::time::Month;

pub(crate) use table::tables;

use crate::session::MONTH_SCHEMA;
use crate::{QueryError, Session};

/// Which rows of the coverage are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoverageRows {
    /// A row per month, service and span: the view `coverage`.
    Spans,
    /// Of these only the gaps.
    Gaps,
    /// A row per month and service: the view `coverage_summary`.
    Summary,
}

impl Session {
    /// The coverage of the months from the first to the last one given (both included; all where `None`), in the order of its view.
    ///
    /// # Errors
    /// The query cannot be planned.
    pub async fn coverage(
        &self,
        months: (Option<Month>, Option<Month>),
        rows: CoverageRows,
    ) -> Result<DataFrame, QueryError> {
        let view = if rows == CoverageRows::Summary { "coverage_summary" } else { "coverage" };
        // Of one month only the records of that month are looked at.
        let frame = match months {
            (Some(first), Some(last)) if first == last => {
                self.with_month(first).await?.table(format!("{MONTH_SCHEMA}.{view}")).await?
            }
            _ => self.context().table(view).await?,
        };
        let from = months.0.map(|month| col("month").gt_eq(lit(month.to_string())));
        let to = months.1.map(|month| col("month").lt_eq(lit(month.to_string())));
        let gaps = (rows == CoverageRows::Gaps).then(|| col("kind").eq(lit("gap")));
        let wanted = [from, to, gaps].into_iter().flatten().reduce(datafusion::logical_expr::and);
        let frame = match wanted {
            Some(wanted) => frame.filter(wanted)?,
            None => frame,
        };
        let ends = if rows == CoverageRows::Summary { &[][..] } else { &["from_time", "kind", "to_time", "archive"] };
        let order = ["month", "resource_id", "source_kind"].iter().chain(ends);
        Ok(frame.sort(order.map(|name| col(*name).sort(true, false)).collect())?)
    }
}
