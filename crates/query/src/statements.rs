//! SQL text into statements, and what can be told of them before they are planned.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, ObjectNamePart, TableFactor, VisitMut, VisitorMut};

use crate::QueryError;
use crate::read_archives::READ_ARCHIVES;

/// The statements of a script, in order.
///
/// # Errors
/// The text is not SQL, or a statement is refused: it would be taken for another one.
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

    /// `x IS DISTINCT FROM y AND z` is parsed as `x IS DISTINCT FROM (y AND z)`, whose rows would be other ones.
    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<QueryError> {
        match expression {
            Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => match right.as_ref() {
                Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor, .. } => {
                    ControlFlow::Break(QueryError::DistinctFrom)
                }
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_distinct_from_is_in_brackets() {
        for (condition, is_clear) in [
            ("a IS DISTINCT FROM b AND c", false),
            ("(a = 1) IS NOT DISTINCT FROM true OR c", false),
            ("c AND a IS DISTINCT FROM b OR d", false),
            ("c AND (a IS DISTINCT FROM b) OR d", true),
            ("a IS DISTINCT FROM (b AND c)", true),
            ("c AND a IS DISTINCT FROM b", true),
            ("a IS DISTINCT FROM b + 1", true),
        ] {
            for query in [format!("SELECT * FROM t WHERE {condition}"), format!("EXPLAIN SELECT (SELECT {condition})")]
            {
                match statements(&query) {
                    Ok(_) => assert!(is_clear, "{query}"),
                    Err(error) => assert!(!is_clear && matches!(error, QueryError::DistinctFrom), "{query}: {error}"),
                }
            }
        }
    }
}
