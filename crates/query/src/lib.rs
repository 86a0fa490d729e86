//! The read side: SQL over one committed state of a store, the built-in views, and the monthly report.
//!
//! [`Session`] answers for queries: it gives DataFusion exactly the files of a [`keytrail_store::Snapshot`] (never a listing of a
//! folder), skips those that a filter on `time` or `month` rules out, and refuses every statement that would write. [`views`] holds
//! the SQL of `queries/views/`, [`report`] makes the monthly report from `queries/reports/`, [`output`] writes rows for people and
//! machines.
//!
//! This crate never sees an archive: it knows no ZIP, no JSON records, and nothing of how rows came into the store.

mod coverage;
mod error;
mod files;
mod functions;
pub mod output;
mod pruning;
mod read_archives;
pub mod report;
mod services;
mod session;
mod statements;
mod tables;
pub mod views;

pub use coverage::CoverageRows;
pub use error::QueryError;
pub use read_archives::ArchiveReader;
pub use session::{Session, SessionOptions, Statement};
pub use statements::{STACK_BYTES, ends_statement, gives_rows, statements};
pub use views::View;

#[cfg(test)]
mod tests;
