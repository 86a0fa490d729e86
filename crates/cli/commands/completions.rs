//! `keytrail completions`.

use clap::CommandFactory;

use crate::args::{CompletionsArgs, Keytrail};
use crate::exit::Outcome;

/// Prints the completion script of a shell.
pub(crate) fn run(arguments: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Keytrail::command(), "keytrail", &mut script);
    super::write_to(None, |out| Ok(out.write_all(&script)?))?;
    Ok(Outcome::Done)
}
