//! `keytrail coverage`.

use keytrail_query::{CoverageRows, QueryError, output};
use keytrail_store::Store;

use crate::args::{CoverageArgs, CoverageFailOn};
use crate::exit::{Outcome, UsageError, say};

/// Writes the coverage of the months asked for.
pub(crate) fn run(arguments: &CoverageArgs) -> anyhow::Result<Outcome> {
    let months = (arguments.month.or(arguments.from), arguments.month.or(arguments.to));
    if let (Some(from), Some(to)) = months
        && from > to
    {
        return Err(UsageError(format!("expected --from not after --to, found {from} and {to}")).into());
    }
    // Of an open range only the month that was named is certainly wanted.
    let asked = months.0.or(months.1).zip(months.1.or(months.0));
    let snapshot = Store::open(&arguments.engine.store.store)?.snapshot()?;
    let (runtime, session) = super::open_snapshot(snapshot, &arguments.engine, asked)?;
    let rows = if arguments.summary { CoverageRows::Summary } else { CoverageRows::Spans };
    super::write_to(arguments.output.output.as_deref(), |out| {
        runtime.block_on(async {
            let frame = session.coverage(months, rows).await?;
            let stream = frame.execute_stream().await.map_err(QueryError::from)?;
            output::write(stream, arguments.output.format.into(), out).await?;
            Ok(())
        })
    })?;
    let Some(CoverageFailOn::Gaps) = arguments.fail_on else {
        return Ok(Outcome::Done);
    };
    let (gaps, services) = runtime.block_on(async {
        let gaps = session.coverage(months, CoverageRows::Gaps).await?.count().await.map_err(QueryError::from)?;
        let services = session.sql("SELECT 1 FROM service_months LIMIT 1").await?;
        Ok::<_, QueryError>((gaps, services.count().await.map_err(QueryError::from)?))
    })?;
    if services == 0 {
        // Without a service there is nothing that a gap could be told of, and nothing is covered.
        say(
            "keytrail: coverage: expected archives that cover some service, found none: no archive of the store tells of any service",
        );
    }
    Ok(if gaps > 0 || services == 0 { Outcome::Findings } else { Outcome::Done })
}
