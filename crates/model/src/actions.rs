//! The catalogue of actions: what each code of the service does, and whether its records name a key.
//!
//! The list is open. A code that is not in it passes through everything with the category `unknown`. The reference table is
//! `data/actions.csv`: 45 codes of the vendor's announcement of 2022 and two that came later; whether they name an OUID and the
//! phases are our reading, not the vendor's word.

use serde::Deserialize;

/// One code of the service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Action {
    /// The code, such as `LUNA_SIGN_SINGLEPART`.
    pub action: String,
    /// What kind of thing it does, such as `key_use`.
    pub category: String,
    /// Whether its records name an OUID: `yes`, `no`, or `part` where it depends.
    pub names_ouid: String,
    /// Part of a cryptographic operation that the record stands for: `init`, `data`, `end` or `singlepart`; else `None`. A logical
    /// operation is a `singlepart` record or ends with an `end` record: the others must not be counted as uses.
    pub phase: Option<String>,
    /// One line for people.
    pub description: String,
}

/// The catalogue could not be read.
#[derive(Debug, thiserror::Error)]
#[error("reference table of actions: {0}")]
pub struct ActionsError(#[from] csv::Error);

/// The catalogue that comes with keytrail, in the order of its file.
///
/// # Errors
/// The embedded table is not valid: a defect of the build, caught by a test.
pub fn catalogue() -> Result<Vec<Action>, ActionsError> {
    let mut reader = csv::Reader::from_reader(include_bytes!("../data/actions.csv").as_slice());
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_embedded_table_is_valid() {
        let actions = catalogue().unwrap();
        assert_eq!(actions.len(), 47);
        assert_eq!(actions.iter().map(|action| &action.action).collect::<BTreeSet<_>>().len(), 47);
        assert!(actions.iter().all(|action| ["yes", "no", "part"].contains(&action.names_ouid.as_str())));
        let uses = actions.iter().filter(|action| {
            action.category == "key_use" && matches!(action.phase.as_deref(), Some("end" | "singlepart"))
        });
        assert_eq!(uses.count(), 8);
    }
}
