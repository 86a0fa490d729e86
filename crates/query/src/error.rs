//! What can go wrong between a query and its rows.

use datafusion::error::DataFusionError;
use keytrail_store::StoreError;

/// A query, a view or a report could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The statement asks for what a store has, and there is none.
    #[error(transparent)]
    NoStore(std::sync::Arc<StoreError>),
    /// The SQL is wrong, or carrying it out failed.
    #[error("{0}")]
    Sql(#[from] DataFusionError),
    /// The statement would write or define something.
    #[error(
        "refused: expected a statement that only reads (SELECT, EXPLAIN, SHOW, DESCRIBE, SET), found one that writes or defines: {0}"
    )]
    ReadOnly(String),
    /// Where one statement belongs, there are none or several.
    #[error("expected one SQL statement, found {0}")]
    NotOneStatement(usize),
    /// The statement needs more stack than threads have.
    #[error(
        "refused: expected a statement of at most {max} operators and keywords that can stand within one another, found {depth}; a list (IN, VALUES) may be longer"
    )]
    TooDeep {
        /// How deep it may be, at most.
        depth: usize,
        /// How deep statements may be.
        max: usize,
    },
    /// The parser would take what follows `IS DISTINCT FROM y` for a part of `y`.
    #[error("refused: expected `x IS DISTINCT FROM y` in brackets, found AND or OR right behind `y`")]
    DistinctFrom,
    /// An embedded query of ours failed.
    #[error("query {name}: {source}")]
    Builtin {
        /// Its file under `queries/`.
        name: &'static str,
        /// Why it failed.
        source: DataFusionError,
    },
    /// A query of a report gave a column in a type that no report has.
    #[error("query {name}, column `{column}`: expected text, a count, a time, a date or a boolean, found {found}")]
    ColumnType {
        /// Its file under `queries/`.
        name: &'static str,
        /// The column.
        column: String,
        /// The type found.
        found: String,
    },
    /// An embedded reference table is not valid.
    #[error(transparent)]
    Actions(#[from] keytrail_model::actions::ActionsError),
    /// The folder of the store cannot be opened for reading.
    #[error("store folder: {0}")]
    Folder(#[from] object_store::Error),
}

impl From<arrow::error::ArrowError> for QueryError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Sql(error.into())
    }
}
