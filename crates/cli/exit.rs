//! Exit codes: part of the command line contract, because batch jobs act on them.

use std::io::{self, Write};
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::process::ExitCode;

use keytrail_model::text::is_hidden;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All done.
    Done,
    /// The machine or the store failed; what had been done by then is said.
    Failed,
    /// What was asked makes no sense.
    WrongUsage,
    /// Done, but some input was refused: rejected records or failed archives.
    RefusedInput,
    /// The report or the coverage was made, and has findings that the caller wants to fail on.
    Findings,
    /// Verification found damage.
    Damaged,
    /// Verification could not be done, or not wholly.
    NotVerified,
}

/// What was asked makes no sense, found out only after the arguments were parsed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl Outcome {
    /// The outcome that an error stands for.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        if error.is::<UsageError>() { Self::WrongUsage } else { Self::Failed }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::WrongUsage => 2,
            Outcome::RefusedInput => 3,
            Outcome::Findings => 4,
            Outcome::Damaged => 5,
            Outcome::NotVerified => 6,
        })
    }
}

/// Says something on stderr. Where nobody can hear it, that is no reason to stop.
///
/// Names of files and members are others' words: nothing in them may move the cursor, change colours or turn the direction of text.
pub(crate) fn say(words: &str) {
    let _ = writeln!(io::stderr(), "{}", harmless(words));
}

fn harmless(words: &str) -> String {
    let mut shown = String::with_capacity(words.len());
    for letter in words.chars() {
        if is_hidden(letter) && letter != '\t' { shown.extend(letter.escape_unicode()) } else { shown.push(letter) }
    }
    shown
}

/// Keeps panics of a library at damaged bytes from the terminal: what they mean is said with the name of the file.
pub(crate) fn hush_told_panics() {
    let usual_hook = take_hook();
    set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        if !keytrail_store::is_guarded() {
            usual_hook(panic);
        }
    }));
}

/// Whether an error of writing only says that the reader of our output went away.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

/// An error with its causes, each said once: many errors end with the text of their cause already.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.ends_with(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    #[test]
    fn words_of_others_cannot_act_on_a_terminal() {
        let words = "a.zip: \u{1b}[2Jfailed\r: \u{202e}txt\u{9b}1A\n\tnext, é 日本";
        let shown = "a.zip: \\u{1b}[2Jfailed\\u{d}: \\u{202e}txt\\u{9b}1A\n\tnext, é 日本";
        assert_eq!(super::harmless(words), shown);
    }

    #[test]
    fn causes_are_said_once() {
        let cause = std::io::Error::other("disk full");
        let error = Err::<(), _>(cause).context("writing x: disk full").context("run 7").unwrap_err();
        assert_eq!(super::message(&error), "run 7: writing x: disk full");
    }
}
