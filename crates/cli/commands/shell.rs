//! The interactive shell: lines into statements, statements to the session.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use keytrail_query::output::Format;
use keytrail_query::{Session, ends_statement, statements};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::sql::run_script;
use crate::exit::say;

const HELP: &str = "\
Statements end with a semicolon. Beside them:
  \\d          tables and views
  \\d NAME     columns of a table or view
  \\q          leave (or Ctrl-D)
  \\?          this help";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    /// Run these statements.
    Sql(String),
    /// Print the help.
    Help,
    /// Leave.
    Quit,
    /// Wait for more lines.
    More,
}

/// Reads and answers until the user leaves.
pub(crate) fn run(runtime: &tokio::runtime::Runtime, session: &Session, format: Format) -> anyhow::Result<()> {
    let mut editor = DefaultEditor::new().context("opening the terminal")?;
    let history = history_file();
    if let Some(path) = &history {
        // No history yet is no error.
        let _ = editor.load_history(path);
    }
    let store = match session.missing_store() {
        Some(missing) => format!("no store: {missing}"),
        None => format!("{} rows of events", session.snapshot().rows()),
    };
    say(&format!("keytrail {}: {store}; \\? for help", env!("CARGO_PKG_VERSION")));
    let mut pending = String::new();
    loop {
        let line = match editor.readline(if pending.is_empty() { "keytrail> " } else { "     ...> " }) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                pending.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("reading the terminal"),
        };
        match take(&mut pending, &line) {
            Input::More => {}
            Input::Quit => break,
            Input::Help => say(HELP),
            Input::Sql(script) => {
                let _ = editor.add_history_entry(script.trim());
                answer(runtime, session, &script, format);
            }
        }
    }
    if let Some(path) = &history {
        let _ = editor.save_history(path);
    }
    Ok(())
}

fn answer(runtime: &tokio::runtime::Runtime, session: &Session, script: &str, format: Format) {
    let mut stdout = super::stdout();
    let done = statements(script).map_err(anyhow::Error::from);
    let done = done.and_then(|script| runtime.block_on(run_script(session, script, format, &mut stdout)));
    if let Err(error) = done.and_then(|()| Ok(stdout.flush()?)) {
        say(&crate::exit::message(&error));
    }
}

/// Adds a line to what was typed so far and tells what to do.
fn take(pending: &mut String, line: &str) -> Input {
    if pending.is_empty() {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => return Input::More,
            ["\\q" | "exit" | "quit"] => return Input::Quit,
            ["\\?" | "help"] => return Input::Help,
            ["\\d"] => return Input::Sql(
                "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
                    .into(),
            ),
            ["\\d", name] => return Input::Sql(format!("DESCRIBE {}", name.trim_end_matches(';'))),
            _ => {}
        }
    }
    pending.push_str(line);
    pending.push('\n');
    if ends_statement(pending) { Input::Sql(std::mem::take(pending)) } else { Input::More }
}

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))?;
    let folder = state.join("keytrail");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_statements() {
        let mut pending = String::new();
        assert_eq!(take(&mut pending, "  "), Input::More);
        assert_eq!(take(&mut pending, "SELECT"), Input::More);
        assert_eq!(take(&mut pending, "\\q"), Input::More, "inside a statement it is text");
        assert_eq!(take(&mut pending, "1; "), Input::Sql("SELECT\n\\q\n1; \n".into()));
        assert_eq!(pending, "");
        assert_eq!(take(&mut pending, "\\q"), Input::Quit);
        assert_eq!(take(&mut pending, "\\?"), Input::Help);
        assert_eq!(take(&mut pending, "\\d events"), Input::Sql("DESCRIBE events".into()));
    }

    #[test]
    fn a_semicolon_within_a_comment_or_a_text_ends_nothing() {
        for lines in [
            &["SELECT 1 -- not yet;", ";"][..],
            &["SELECT 'a;", "b' /* c;", "*/ ; -- done"],
            &["SELECT \"a;", "b\";"],
            &["SELECT 1; /* and;", "*/"],
        ] {
            let mut pending = String::new();
            let (last, before) = lines.split_last().unwrap();
            for line in before {
                assert_eq!(take(&mut pending, line), Input::More, "{lines:?}: {line}");
            }
            assert_eq!(take(&mut pending, last), Input::Sql(lines.join("\n") + "\n"));
        }
    }
}
