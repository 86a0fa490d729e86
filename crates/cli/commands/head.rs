//! `keytrail head`.

use keytrail_store::Store;
use serde_json::json;

use crate::args::{HeadArgs, SummaryFormat};
use crate::exit::Outcome;

/// Prints what stands for the whole history of the store.
pub(crate) fn run(arguments: &HeadArgs) -> anyhow::Result<Outcome> {
    let snapshot = Store::open(&arguments.store.store)?.snapshot()?;
    super::say_foreign(&snapshot);
    let signed = snapshot.signatures()?;
    let line = match arguments.format {
        SummaryFormat::Human => {
            let words = match signed.last() {
                Some(last) => format!("signed up to version {} by key {}", last.version, last.key_id),
                None => "unsigned".into(),
            };
            crate::exit::say(&words);
            format!("{}@{}", snapshot.head(), snapshot.version())
        }
        SummaryFormat::Json => {
            let signed: Vec<_> = signed.iter().map(|one| json!({"version": one.version, "key": one.key_id})).collect();
            json!({"version": snapshot.version(), "head": snapshot.head(), "signed": signed}).to_string()
        }
    };
    super::write_to(None, |out| Ok(writeln!(out, "{line}")?))?;
    Ok(Outcome::Done)
}
