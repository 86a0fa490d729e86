//! The table function `read_archives('pattern')`: rows of archives that are in no store.
//!
//! This crate cannot read archives. Whoever can gives a function from a text to a snapshot; here its rows are given the shape of
//! `events`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::Expr;
use keytrail_store::Snapshot;
use object_store::local::LocalFileSystem;

use crate::tables;

/// Its name.
pub(crate) const READ_ARCHIVES: &str = "read_archives";

/// Reads the archives that a path or pattern names into a snapshot, whose files stay as long as the session is used.
pub type ArchiveReader = dyn Fn(&str) -> Result<Snapshot, Box<dyn std::error::Error + Send + Sync>> + Send + Sync;

/// The table function, with the one who can read archives.
pub(crate) struct ReadArchives {
    reader: Arc<ArchiveReader>,
    runtime: Arc<RuntimeEnv>,
    calls: AtomicUsize,
}

impl ReadArchives {
    pub(crate) fn new(reader: Arc<ArchiveReader>, runtime: Arc<RuntimeEnv>) -> Self {
        Self { reader, runtime, calls: AtomicUsize::new(0) }
    }
}

impl fmt::Debug for ReadArchives {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReadArchives").finish_non_exhaustive()
    }
}

impl TableFunctionImpl for ReadArchives {
    fn call_with_args(&self, arguments: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let [Expr::Literal(ScalarValue::Utf8(Some(pattern)) | ScalarValue::Utf8View(Some(pattern)), _)] =
            arguments.exprs()
        else {
            return plan_err!("read_archives: expected one text, a path or a pattern");
        };
        let snapshot = (self.reader)(pattern).map_err(DataFusionError::External)?;
        // A place of its own for the files of each call, beside those of the store.
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let url = ObjectStoreUrl::parse(format!("keytrail://archives-{call}"))?;
        let files = LocalFileSystem::new_with_prefix(snapshot.events_dir())?;
        self.runtime.register_object_store(url.as_ref(), Arc::new(files));
        Ok(Arc::new(tables::events(&snapshot, url)))
    }
}
