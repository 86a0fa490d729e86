//! The `keytrail` program: what the user typed, given to the crate that does it; messages and exit codes.
//!
//! Data goes to stdout, words go to stderr. A closed pipe ends the writing of data and changes no exit code.

mod args;
mod commands;
mod exit;
mod progress;
mod runtime;

use std::process::ExitCode;

use clap::Parser;

use args::{Command, Keytrail};
use exit::Outcome;

fn main() -> ExitCode {
    exit::hush_told_panics();
    let arguments = Keytrail::parse();
    let done = match arguments.command {
        Command::Ingest(arguments) => commands::ingest::run(&arguments),
        Command::Sql(arguments) => commands::sql::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Coverage(arguments) => commands::coverage::run(&arguments),
        Command::Archives(arguments) => commands::listing::archives(&arguments),
        Command::Rejects(arguments) => commands::listing::rejects(&arguments),
        Command::Views(arguments) => commands::listing::views(&arguments),
        Command::Files(arguments) => commands::listing::files(&arguments),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Head(arguments) => commands::head::run(&arguments),
        Command::Sign(arguments) => commands::sign::run(&arguments),
        Command::Compact(arguments) => commands::shape::compact(&arguments),
        Command::Vacuum(arguments) => commands::shape::vacuum(&arguments),
        Command::Forget(arguments) => commands::shape::forget(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Generate(arguments) => commands::generate::run(&arguments),
        Command::Completions(arguments) => commands::completions::run(&arguments),
    };
    match done {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            exit::say(&format!("keytrail: {}", exit::message(&error)));
            Outcome::of_error(&error).into()
        }
    }
}
