//! `keytrail sql`: one statement, a file of them, or a shell.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use keytrail_ingest::IngestOptions;
use keytrail_query::output::{self, Format};
use keytrail_query::{Session, Statement, gives_rows, statements};
use keytrail_store::{Snapshot, Store, Writer};

use super::temporary::TemporaryStore;
use crate::args::{EngineArgs, RowsFormat, SqlArgs};
use crate::exit::{Outcome, UsageError, is_closed_pipe, say};

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
    super::with_large_stack(|| run_in_thread(arguments))?
}

fn run_in_thread(arguments: &SqlArgs) -> anyhow::Result<Outcome> {
    let script = script(arguments)?.map(|script| statements(&script)).transpose()?;
    let archives = Arc::new(LooseArchives::new(&arguments.engine));
    let (runtime, session) = open(&arguments.engine, &archives)?;
    let reader = Arc::clone(&archives);
    let session = session.with_archive_reader(Arc::new(move |pattern| Ok(reader.read(pattern)?)));
    let format = Format::from(arguments.output.format);
    match script {
        Some(script) => {
            let output = arguments.output.output.as_deref();
            super::write_to(output, |out| runtime.block_on(run_script(&session, script, format, out)))?;
        }
        None => super::shell::run(&runtime, &session, format)?,
    }
    Ok(if archives.refused.load(Ordering::Relaxed) { Outcome::RefusedInput } else { Outcome::Done })
}

/// What was given to run; nothing where there is a terminal to ask.
fn script(arguments: &SqlArgs) -> anyhow::Result<Option<String>> {
    let script = match (&arguments.query, &arguments.file) {
        (Some(query), _) => query.clone(),
        (None, Some(path)) => std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
        (None, None) if io::stdin().is_terminal() => return Ok(None),
        (None, None) => io::read_to_string(io::stdin()).context("reading stdin")?,
    };
    Ok(Some(script.trim_start_matches('\u{feff}').to_owned()))
}

/// Opens the store; where there is none, what needs none can be asked all the same.
fn open(arguments: &EngineArgs, archives: &LooseArchives) -> anyhow::Result<(tokio::runtime::Runtime, Session)> {
    let store = &arguments.store.store;
    match Store::open(store).and_then(|store| store.snapshot()) {
        Ok(snapshot) => super::open_snapshot(snapshot, arguments, None),
        Err(missing) if !store.exists() => {
            let (runtime, session) = super::open_snapshot(archives.empty_store()?, arguments, None)?;
            Ok((runtime, session.without_store(missing)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Archives that are queried without being in the store: each call of `read_archives` reads them into a store of its own, which goes
/// when the program ends.
struct LooseArchives {
    options: IngestOptions,
    stores: Mutex<Vec<TemporaryStore>>,
    /// Whether any of them was damaged or had rejects.
    refused: AtomicBool,
}

impl LooseArchives {
    fn new(arguments: &EngineArgs) -> Self {
        let defaults = IngestOptions::default();
        let memory_bytes = arguments.memory.unwrap_or(defaults.memory_bytes);
        let options = IngestOptions { jobs: arguments.jobs, memory_bytes, compact: false, ..defaults };
        Self { options, stores: Mutex::new(Vec::new()), refused: AtomicBool::new(false) }
    }

    fn read(&self, pattern: &str) -> anyhow::Result<Snapshot> {
        let store = self.store()?;
        let summary = keytrail_ingest::ingest(&[PathBuf::from(pattern)], &store, &self.options, &mut || ())?;
        for notice in &summary.notices {
            say(&notice.to_string());
        }
        self.refused.fetch_or(summary.refused_input(), Ordering::Relaxed);
        Ok(Store::open(&store)?.snapshot()?)
    }

    fn empty_store(&self) -> anyhow::Result<Snapshot> {
        Ok(Writer::open(&self.store()?, &mut || ())?.snapshot().clone())
    }

    fn store(&self) -> anyhow::Result<PathBuf> {
        let store = TemporaryStore::new().context("making a temporary folder")?;
        let path = store.path();
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).push(store);
        Ok(path)
    }
}

/// Runs the statements of a script in order, each one's rows before the next one starts.
///
/// Where the reader of `out` goes away, the rest of that answer is given up, and the statements behind it are run all the same, since they may
/// fail or refuse archives. Only then the closed pipe is the error.
pub(crate) async fn run_script(
    session: &Session,
    script: Vec<Statement>,
    format: Format,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let answers = script.iter().filter(|statement| gives_rows(statement)).count();
    if answers > 1 && matches!(format, Format::Json | Format::Parquet) {
        let message =
            "several answers do not fit into one JSON list or one Parquet file; ask one by one, or use ndjson or csv";
        return Err(UsageError(message.into()).into());
    }
    let mut closed = None;
    for statement in script {
        let frame = session.statement(statement).await?;
        if frame.schema().fields().is_empty() {
            // A setting took effect; there is nothing to show.
            continue;
        }
        let rows = frame.execute_stream().await.map_err(keytrail_query::QueryError::from)?;
        let written = match closed {
            None => output::write(rows, format, out).await,
            Some(_) => output::write(rows, format, &mut io::sink()).await,
        };
        match written.map_err(anyhow::Error::from) {
            Ok(_) => {}
            Err(error) if is_closed_pipe(&error) => closed = Some(error),
            Err(error) => return Err(error),
        }
    }
    closed.map_or(Ok(()), Err)
}
