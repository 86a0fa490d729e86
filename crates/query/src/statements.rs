//! SQL text into statements, and what can be told of them before they are planned.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, ObjectNamePart, TableFactor, VisitMut, VisitorMut};

use crate::QueryError;
use crate::read_archives::READ_ARCHIVES;

/// The statements of a script, in order.
///
/// # Errors
/// The text is not SQL.
pub fn statements(script: &str) -> Result<Vec<Statement>, QueryError> {
    let mut statements: Vec<Statement> = DFParserBuilder::new(script).build()?.parse_statements()?.into();
    statements.iter_mut().try_for_each(mend)?;
    Ok(statements)
}

/// Whether a statement asks for archives that are in no store.
#[must_use]
pub fn reads_archives(statement: &Statement) -> bool {
    resolve_table_references(statement, true)
        .is_ok_and(|(tables, _)| tables.iter().any(|table| table.table() == READ_ARCHIVES))
}

/// Whether a statement gives rows; others only set something.
#[must_use]
pub fn gives_rows(statement: &Statement) -> bool {
    match statement {
        Statement::Reset(_) => false,
        Statement::Statement(statement) => !matches!(
            statement.as_ref(),
            ast::Statement::Set(_) | ast::Statement::Prepare { .. } | ast::Statement::Deallocate { .. }
        ),
        _ => true,
    }
}

/// Sees to what the parser does against the rules of SQL.
fn mend(statement: &mut Statement) -> Result<(), QueryError> {
    match statement {
        Statement::Statement(statement) => match statement.visit(&mut Mending) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        },
        Statement::Explain(explain) => mend(&mut explain.statement),
        _ => Ok(()),
    }
}

struct Mending;

impl VisitorMut for Mending {
    type Break = QueryError;

    /// Functions in a FROM are known by their exact name only: names that are not quoted are written in lower case.
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor
            && let [ObjectNamePart::Identifier(name)] = name.0.as_mut_slice()
            && name.quote_style.is_none()
        {
            name.value.make_ascii_lowercase();
        }
        ControlFlow::Continue(())
    }
}
