//! Exit codes: part of the command line contract, because batch jobs act on them.

use std::io;
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All done.
    Done,
    /// Nothing done: the machine or the store failed.
    Failed,
    /// What was asked makes no sense.
    WrongUsage,
    /// Done, but some input was refused: rejected records or failed archives.
    RefusedInput,
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
        })
    }
}

/// Whether an error only says that the reader of our output went away (`keytrail sql ... | head`).
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
