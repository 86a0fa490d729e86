//! `keytrail verify`.

use keytrail_store::Depth;

use crate::args::VerifyArgs;
use crate::exit::{Outcome, say};

/// Checks the store and names what is damaged.
pub(crate) fn run(arguments: &VerifyArgs) -> anyhow::Result<Outcome> {
    let depth = if arguments.quick { Depth::Quick } else { Depth::Full };
    let found = match keytrail_store::verify(&arguments.store.store, depth) {
        Ok(found) => found,
        Err(error) => {
            say(&format!("keytrail: verification could not be done: {error}"));
            return Ok(Outcome::NotVerified);
        }
    };
    for note in &found.notes {
        say(&format!("note: {note}"));
    }
    for damage in &found.damages {
        say(&format!("damage: {damage}"));
    }
    super::write_to(None, |out| {
        let verdict = if found.damages.is_empty() { "no damage found" } else { "DAMAGED" };
        writeln!(out, "{verdict}: version {}, head {}", found.version, found.head)?;
        writeln!(out, "{} commits, {} files, {} rows, {} bytes", found.commits, found.files, found.rows, found.bytes)?;
        Ok(())
    })?;
    Ok(if found.damages.is_empty() { Outcome::Done } else { Outcome::Damaged })
}
