//! `keytrail sql`: one statement, a file of them, or a shell.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use anyhow::Context;
use keytrail_query::output::{self, Format};
use keytrail_query::{Session, statements};

use crate::args::{RowsFormat, SqlArgs};
use crate::exit::Outcome;

impl From<RowsFormat> for Format {
    fn from(format: RowsFormat) -> Self {
        match format {
            RowsFormat::Table => Self::Table,
            RowsFormat::Csv => Self::Csv,
            RowsFormat::Json => Self::Json,
            RowsFormat::Ndjson => Self::Ndjson,
            RowsFormat::Parquet => Self::Parquet,
        }
    }
}

/// Answers the query, or opens the shell.
pub(crate) fn run(arguments: &SqlArgs) -> anyhow::Result<Outcome> {
    let script = match (&arguments.query, &arguments.file) {
        (Some(query), _) => Some(query.clone()),
        (None, Some(path)) => Some(read_file(path)?),
        (None, None) if std::io::stdin().is_terminal() => None,
        (None, None) => Some(std::io::read_to_string(std::io::stdin()).context("reading stdin")?),
    };
    let (runtime, session) = super::open(&arguments.engine)?;
    let format = Format::from(arguments.output.format);
    match script {
        Some(script) => {
            let output = arguments.output.output.as_deref();
            super::write_to(output, |out| runtime.block_on(run_script(&session, &script, format, out)))?;
        }
        None => super::shell::run(&runtime, &session, format)?,
    }
    Ok(Outcome::Done)
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    let mut script = String::new();
    let mut file = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    file.read_to_string(&mut script).with_context(|| format!("reading {}", path.display()))?;
    Ok(script)
}

/// Runs the statements of a script in order, each one's rows before the next one starts.
pub(crate) async fn run_script(
    session: &Session,
    script: &str,
    format: Format,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    for statement in statements(script)? {
        let frame = session.statement(statement).await?;
        let rows = frame.execute_stream().await.map_err(keytrail_query::QueryError::from)?;
        output::write(rows, format, out).await?;
    }
    Ok(())
}
