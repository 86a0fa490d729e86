//! SQL text into statements, and what can be told of them before they are planned.
//!
//! Answers for texts of any length: parsers, planners and engine work on statements by recursion, and mostly take the depth of a statement
//! as it comes. What would need more than [`STACK_BYTES`] of stack is refused here, while it is a list of tokens.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, ObjectNamePart, TableFactor, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::QueryError;

/// Stack that threads need which parse, plan or run statements: four times what the deepest take without optimisation (22 KB a level). Only
/// what is used of it becomes memory.
pub const STACK_BYTES: usize = 256 << 20;

/// How deep a statement may be, as [`depth`] counts.
const MAX_DEPTH: usize = 3000;

/// The statements of a script, in order.
///
/// # Errors
/// The text is not SQL, or a statement is refused: it is too deep, or would be taken for another one.
pub fn statements(script: &str) -> Result<Vec<Statement>, QueryError> {
    let tokens = Tokenizer::new(&GenericDialect {}, script).tokenize_with_location();
    let tokens = tokens.map_err(|error| QueryError::Sql(ParserError::from(error).into()))?;
    let depth = depth(&tokens);
    if depth > MAX_DEPTH {
        return Err(QueryError::TooDeep { depth, max: MAX_DEPTH });
    }
    let mut statements: Vec<Statement> = DFParserBuilder::new(tokens).build()?.parse_statements()?.into();
    statements.iter_mut().try_for_each(mend)?;
    Ok(statements)
}

/// Whether a text that is typed line by line ends a statement: its last semicolon stands in no text, name or comment, and behind it are
/// only blanks and comments.
#[must_use]
pub fn ends_statement(typed: &str) -> bool {
    match Tokenizer::new(&GenericDialect {}, typed).tokenize() {
        Ok(tokens) => tokens.iter().rfind(|token| !matches!(token, Token::Whitespace(_))) == Some(&Token::SemiColon),
        // Something is not closed yet. What is wrong otherwise no further line mends: that is for the parser to say.
        Err(error) if error.message.starts_with("Unterminated") || error.message.contains("EOF") => false,
        Err(_) => typed.trim_end().ends_with(';'),
    }
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

/// An upper bound for how deep the statements of a script are, in operators, keywords and brackets that can stand within one another. A chain
/// (`1 + 1 + 1`, `a OR b OR c`, `UNION ALL`, joins) is as deep as it is long. Items of a list stand side by side; but tables, columns and
/// common table expressions of a query may each build on the one before.
fn depth(tokens: &[TokenWithSpan]) -> usize {
    let (mut deepest, mut above) = (0, 0);
    let mut inner = Level::default();
    let mut outer: Vec<Level> = Vec::new();
    for token in tokens {
        match &token.token {
            Token::SemiColon => {
                (above, inner) = (0, Level::default());
                outer.clear();
            }
            Token::LParen | Token::LBracket | Token::LBrace => {
                inner.depth += 1;
                above += inner.depth;
                outer.push(std::mem::take(&mut inner));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                let closed = std::mem::replace(&mut inner, outer.pop().unwrap_or_default());
                above -= inner.depth.min(above);
                inner.depth += if closed.is_query { closed.depth } else { 0 };
            }
            Token::Comma if !inner.is_query => inner.depth = 0,
            Token::Word(word) if word.keyword == Keyword::NoKeyword => {}
            Token::Word(word) => {
                inner.is_query |= QUERY.contains(&word.keyword);
                inner.depth += 1;
            }
            Token::Whitespace(_) | Token::EOF | Token::Number(..) => {}
            Token::SingleQuotedString(text) => deepest = deepest.max(nesting(text)),
            operator_or_literal => {
                deepest = deepest.max(nesting(&operator_or_literal.to_string()));
                inner.depth += 1;
            }
        }
        deepest = deepest.max(above + inner.depth);
    }
    deepest
}

/// How deep brackets stand in one another in a text: it may name a type (`arrow_cast`), which the engine parses by recursion.
fn nesting(text: &str) -> usize {
    let (mut deepest, mut depth) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// What tells a query from a list or an expression.
const QUERY: [Keyword; 7] = [
    Keyword::SELECT,
    Keyword::FROM,
    Keyword::WITH,
    Keyword::UNION,
    Keyword::EXCEPT,
    Keyword::INTERSECT,
    Keyword::MINUS,
];

/// What is between two brackets.
#[derive(Default)]
struct Level {
    depth: usize,
    /// Whether it is a query, where a comma ends nothing.
    is_query: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth_of(script: &str) -> usize {
        depth(&Tokenizer::new(&GenericDialect {}, script).tokenize_with_location().unwrap())
    }

    #[test]
    fn chains_are_as_deep_as_they_are_long() {
        for (item, joint) in [
            ("1", "+"),
            ("1", " OR "),
            ("(1, 2)", " OR "),
            ("SELECT 1, 2", " UNION ALL "),
            ("VALUES (1), (2)", " EXCEPT "),
            ("t", " NATURAL JOIN "),
            ("x", "."),
            ("[1]", ""),
            ("(", ""),
            ("EXPLAIN", " "),
        ] {
            let depth = depth_of(&[item; 1000].join(joint));
            assert!((999..=5000).contains(&depth), "{item} {joint}: {depth}");
        }
        assert!(depth_of(&format!("SELECT * FROM {}", ["t"; 1000].join(", "))) >= 1000, "tables are joined");
        assert!(
            depth_of(&format!("WITH {} SELECT 1", ["t AS (SELECT 1)"; 1000].join(", "))) >= 1000,
            "or build on another"
        );
        assert!(depth_of(&["f((SELECT 1))"; 1000].join("+")) >= 1000);
        let kind = format!("{}Int8{}", "List(".repeat(1000), ")".repeat(1000));
        for text in [format!("'{kind}'"), format!("$${kind}$$"), format!("E'{kind}'")] {
            assert!(depth_of(&format!("SELECT arrow_cast(NULL, {text})")) >= 1000, "types in texts");
        }
    }

    #[test]
    fn lists_are_flat() {
        for (before, item, after) in [
            ("SELECT * FROM t WHERE x IN (", "'a'", ")"),
            ("SELECT * FROM t WHERE x NOT IN (", "-1", ")"),
            ("VALUES ", "(-1, TIMESTAMP '2026-01-01', NULL)", ""),
            ("SELECT * FROM (VALUES ", "(1, 'a')", ") t(a, b)"),
            ("SELECT ", "1; SELECT ", "1"),
        ] {
            let script = format!("{before}{}{after}", [item; 1000].join(if item.contains(';') { "" } else { "," }));
            assert!(depth_of(&script) < 20, "{before}: {}", depth_of(&script));
        }
    }

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

    #[test]
    fn statements_end_with_a_semicolon_of_their_own() {
        for typed in
            ["SELECT 1;", "SELECT 1; ", "SELECT 1; -- one", "SELECT ';' /* ; */ ;\n/* a */ -- b", ";", "SELECT 1_;"]
        {
            assert!(ends_statement(typed), "{typed}");
        }
        for typed in [
            "",
            "SELECT 1",
            "SELECT 1 -- ;",
            "SELECT 1; SELECT 2",
            "SELECT 1 /* ;",
            "SELECT 1; /* ;",
            "SELECT ';",
            "SELECT 'it''s;",
            "SELECT \"a;",
            "SELECT $$a;",
            "SELECT $x$a$$;",
            "SELECT E'a\\';",
            "SELECT U&'a;",
        ] {
            assert!(!ends_statement(typed), "{typed}");
        }
    }

    #[test]
    fn brackets_that_match_nothing_are_left_to_the_parser() {
        assert!(depth_of(")))(((") < 10);
        assert!(statements("SELECT )").is_err());
    }
}
