//! `keytrail coverage`.

use keytrail_query::{CoverageRows, QueryError, output};

use crate::args::{CoverageArgs, CoverageFailOn};
use crate::exit::{Outcome, UsageError};

/// Writes the coverage of the months asked for.
pub(crate) fn run(arguments: &CoverageArgs) -> anyhow::Result<Outcome> {
    let months = (arguments.month.or(arguments.from), arguments.month.or(arguments.to));
    if let (Some(from), Some(to)) = months
        && from > to
    {
        return Err(UsageError(format!("expected --from not after --to, found {from} and {to}")).into());
    }
    let (runtime, session) = super::open(&arguments.engine)?;
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
    let gaps = runtime.block_on(async {
        let gaps = session.coverage(months, CoverageRows::Gaps).await?;
        gaps.count().await.map_err(QueryError::from)
    })?;
    Ok(if gaps > 0 { Outcome::Findings } else { Outcome::Done })
}
