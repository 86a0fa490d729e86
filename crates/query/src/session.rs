//! A session: one committed state of a store, open for SQL that reads.
//!
//! Answers for the settings of the engine, for the names that SQL can use, and for refusing what would write. A later commit does not
//! change a session.

use std::sync::Arc;

use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use keytrail_model::statuses::StatusCatalogue;
use keytrail_model::time::Month;
use keytrail_store::{Snapshot, StoreError};
use object_store::local::LocalFileSystem;

use crate::read_archives::{ArchiveReader, READ_ARCHIVES, ReadArchives};
use crate::statements::statements;
use crate::tables::Named;
use crate::views::View;
use crate::{QueryError, functions, tables, views};

pub use datafusion::sql::parser::Statement;

/// Name under which the engine shows our tables in `information_schema`.
const CATALOG: &str = "keytrail";
/// Schema of the tables and views over the whole store.
const SCHEMA: &str = "public";
/// Schema of the tables and views over the month of a report.
pub(crate) const MONTH_SCHEMA: &str = "month";

/// Settings of a session.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads that work on a query; by default one for each core.
    pub threads: Option<usize>,
    /// Bytes of memory that queries may hold before they spill to temporary files; by default no limit.
    pub memory_bytes: Option<usize>,
    /// What statuses mean.
    pub statuses: StatusCatalogue,
    /// First and last month that coverage is wanted of: in these each service that is known is listed, with a gap where no archive touches
    /// them. Otherwise coverage ends with the last month that an archive touches.
    pub coverage_months: Option<(Month, Month)>,
}

/// A snapshot, open for SQL.
pub struct Session {
    context: SessionContext,
    snapshot: Snapshot,
    tables: Vec<Named>,
    statuses: Arc<StatusCatalogue>,
    /// Why there is no store, where there is none.
    missing: Option<Arc<StoreError>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("store", &self.snapshot.root()).finish_non_exhaustive()
    }
}

impl Session {
    /// Opens a snapshot: reads its ledger and plans the views. No data file is opened yet.
    ///
    /// # Errors
    /// The ledger or the folders of the store cannot be read.
    pub async fn new(snapshot: Snapshot, options: SessionOptions) -> Result<Self, QueryError> {
        let statuses = Arc::new(options.statuses);
        let runtime = runtime(&snapshot, options.memory_bytes)?;
        let context = SessionContext::new_with_config_rt(config(options.threads), runtime);
        let tables = tables::all(&snapshot, &statuses, options.coverage_months)?;
        register(&context, &tables, &statuses, views::all()).await?;
        Ok(Self { context, snapshot, tables, statuses, missing: None })
    }

    /// Gives the session the table function `read_archives`, carried out by whoever can read archives.
    #[must_use]
    pub fn with_archive_reader(self, reader: Arc<ArchiveReader>) -> Self {
        let function = ReadArchives::new(reader, self.context.runtime_env());
        self.context.register_udtf(READ_ARCHIVES, Arc::new(function));
        self
    }

    /// A session for archives that are in no store, made from an empty snapshot: statements about what only a store has fail with the
    /// reason why there is none. A missing store is not an empty one.
    #[must_use]
    pub fn without_store(self, reason: StoreError) -> Self {
        Self { missing: Some(Arc::new(reason)), ..self }
    }

    /// Why there is no store, where this is a session without one.
    #[must_use]
    pub fn missing_store(&self) -> Option<&StoreError> {
        self.missing.as_deref()
    }

    /// The views that every session has.
    #[must_use]
    pub fn views() -> &'static [View] {
        views::all()
    }

    /// The state of the store that this session reads.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The engine's own context, for readers that want more of it. Statements run through it are not checked.
    #[must_use]
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Plans one SQL statement. Rows come with [`DataFrame::execute_stream`]; a `SET` has taken effect when this returns.
    ///
    /// # Errors
    /// The text is not one statement, is wrong, or would write.
    pub async fn sql(&self, query: &str) -> Result<DataFrame, QueryError> {
        let mut parsed = statements(query)?;
        match (parsed.pop(), parsed.len()) {
            (Some(statement), 0) => self.statement(statement).await,
            (found, before) => Err(QueryError::NotOneStatement(before + usize::from(found.is_some()))),
        }
    }

    /// Plans one parsed statement, as [`Session::sql`] does.
    ///
    /// # Errors
    /// The statement is wrong, or would write.
    pub async fn statement(&self, statement: Statement) -> Result<DataFrame, QueryError> {
        refuse_files(&statement)?;
        self.refuse_missing_store(&statement)?;
        let plan = self.context.state().statement_to_plan(statement).await?;
        let only_reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false);
        only_reads.verify_plan(&plan).map_err(|error| QueryError::ReadOnly(error.strip_backtrace()))?;
        Ok(self.context.execute_logical_plan(plan).await?)
    }

    fn refuse_missing_store(&self, statement: &Statement) -> Result<(), QueryError> {
        let Some(missing) = &self.missing else {
            return Ok(());
        };
        let tables = self.tables.iter().map(|(name, _)| *name).filter(|name| !tables::REFERENCE.contains(name));
        let of_store: Vec<&str> = tables.chain(views::all().iter().map(|view| view.name)).collect();
        let asked = self.context.state().resolve_table_references(statement)?;
        match asked.iter().any(|table| of_store.contains(&table.table())) {
            true => Err(QueryError::NoStore(Arc::clone(missing))),
            false => Ok(()),
        }
    }

    /// A context with all this session has and the schema `month` beside it: `month.events` holds the rows of one month, and the
    /// views of that schema look at these only. Views whose rows depend on earlier records are not in it.
    pub(crate) async fn with_month(&self, month: Month) -> Result<SessionContext, QueryError> {
        let (config, runtime) = (self.context.copied_config(), self.context.runtime_env());
        let scoped = SessionContext::new_with_config_rt(config.clone(), Arc::clone(&runtime));
        let mut tables = self.tables.clone();
        for (_, table) in tables.iter_mut().filter(|(name, _)| *name == tables::EVENTS) {
            *table = tables::events_of(Arc::clone(table), month)?;
        }
        let timeless = views::all().iter().filter(|view| !view.needs_history);
        let views = register(&scoped, &tables, &self.statuses, timeless).await?;

        let of_month: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
        for (name, table) in tables.into_iter().chain(views) {
            of_month.register_table(name.into(), table)?;
        }
        let context = SessionContext::new_with_config_rt(config, runtime);
        register(&context, &self.tables, &self.statuses, views::all()).await?;
        if let Some(catalog) = context.catalog(CATALOG) {
            catalog.register_schema(MONTH_SCHEMA, of_month)?;
        }
        Ok(context)
    }
}

/// Gives a context its functions, tables and views. Returns the views as tables.
async fn register(
    context: &SessionContext,
    tables: &[Named],
    statuses: &Arc<StatusCatalogue>,
    views: impl IntoIterator<Item = &'static View>,
) -> Result<Vec<Named>, QueryError> {
    for function in functions::all(statuses) {
        context.register_udf(function);
    }
    for (name, table) in tables {
        context.register_table(*name, Arc::clone(table))?;
    }
    views::register(context, views).await
}

fn config(threads: Option<usize>) -> SessionConfig {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(true)
        // `SELECT * FROM view` shows rows in the order of the view. Where the order cannot matter the engine drops it anyway.
        .with_enable_subquery_sort_elimination(false);
    match threads {
        Some(threads) => config.with_target_partitions(threads.max(1)),
        None => config,
    }
}

/// Memory, and the only folders that queries can read: those of the store. Local files at large are out of reach, whatever the SQL.
fn runtime(snapshot: &Snapshot, memory_bytes: Option<usize>) -> Result<Arc<RuntimeEnv>, QueryError> {
    let mut builder = RuntimeEnvBuilder::new();
    if let Some(bytes) = memory_bytes {
        builder = builder.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
    }
    let runtime = builder.build()?;
    runtime.deregister_object_store(ObjectStoreUrl::local_filesystem().as_ref())?;
    for (url, folder) in
        [(tables::events_url()?, snapshot.events_dir()), (tables::root_url()?, snapshot.root().to_owned())]
    {
        runtime.register_object_store(url.as_ref(), Arc::new(LocalFileSystem::new_with_prefix(folder)?));
    }
    Ok(Arc::new(runtime))
}

/// Refuses statements about files before they are planned: planning could already look at the file.
fn refuse_files(statement: &Statement) -> Result<(), QueryError> {
    match statement {
        Statement::CreateExternalTable(_) => Err(QueryError::ReadOnly("CREATE EXTERNAL TABLE".into())),
        Statement::CopyTo(_) => Err(QueryError::ReadOnly("COPY".into())),
        _ => Ok(()),
    }
}
