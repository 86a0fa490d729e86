//! The catalogue of statuses: what an outcome means, and the class it counts under.
//!
//! The service publishes no list. `data/statuses.csv` holds names of an older public header of the Luna firmware; which of them the
//! service emits is an assumption, so users can override every row with a file of their own. A status is looked up by its exact name,
//! then by the patterns in order (`*` stands for any text); what matches nothing has the class [`OTHER_FAILURE`].

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;

/// Class of a status that neither a name nor a pattern knows.
pub const OTHER_FAILURE: &str = "other_failure";

/// One row of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Exact name, or a pattern with `*`.
    pub status: String,
    /// What it counts as, such as `auth_failure`.
    pub class: String,
    /// A second class it counts under as well, such as `lockout` for the wrong credential that locked a role.
    #[serde(default)]
    pub also: Option<String>,
    /// One line for people.
    #[serde(default)]
    pub meaning: Option<String>,
    /// Number in the firmware's header (hex), for reference.
    #[serde(default)]
    pub code: Option<String>,
}

/// A catalogue of statuses could not be read.
#[derive(Debug, thiserror::Error)]
#[error("statuses: expected CSV with the columns status,class and optionally also,meaning,code: {0}")]
pub struct StatusesError(#[from] csv::Error);

/// The classes that a status counts under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes<'a> {
    /// The first class; decides where one class is shown.
    pub class: &'a str,
    /// The second class, if any.
    pub also: Option<&'a str>,
}

impl Classes<'_> {
    /// Whether the status counts under a class.
    #[must_use]
    pub fn has(&self, class: &str) -> bool {
        self.class == class || self.also == Some(class)
    }
}

/// All known statuses, overrides first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCatalogue {
    rows: Vec<Status>,
    /// How many rows, from the first, are a user's.
    overrides: usize,
    exact: HashMap<String, usize>,
}

impl StatusCatalogue {
    /// The catalogue that comes with keytrail.
    ///
    /// # Errors
    /// The embedded table is not valid: a defect of the build, caught by a test.
    pub fn builtin() -> Result<Self, StatusesError> {
        Ok(Self::of(read(include_bytes!("../data/statuses.csv").as_slice())?, 0))
    }

    /// This catalogue with the rows of a user's CSV before its own: an exact name replaces ours, a pattern goes before our patterns.
    ///
    /// # Errors
    /// The CSV cannot be read; the message names the line.
    pub fn with_overrides(self, csv: impl Read) -> Result<Self, StatusesError> {
        let overrides = read(csv)?;
        let kept = self.rows.into_iter().filter(|row| overrides.iter().all(|newer| newer.status != row.status));
        let kept: Vec<Status> = kept.collect();
        let count = overrides.len();
        Ok(Self::of(overrides.into_iter().chain(kept).collect(), count))
    }

    fn of(rows: Vec<Status>, overrides: usize) -> Self {
        let names = rows.iter().enumerate().rev().filter(|(_, row)| !row.status.contains('*'));
        let exact = names.map(|(index, row)| (row.status.clone(), index)).collect();
        Self { rows, overrides, exact }
    }

    /// All rows, overrides first, patterns included.
    #[must_use]
    pub fn rows(&self) -> &[Status] {
        &self.rows
    }

    /// The classes of a status as it stands in a record.
    #[must_use]
    pub fn classify<'a>(&'a self, status: &str) -> Classes<'a> {
        if let Some(row) = self.exact.get(status).and_then(|&index| self.rows.get(index)) {
            return Classes { class: &row.class, also: row.also.as_deref() };
        }
        // A user's patterns are not added to by ours: what they do not say, they take away.
        let (users, ours) = self.rows.split_at_checked(self.overrides).unwrap_or((&[], &self.rows));
        let matching = |rows: &'a [Status]| {
            rows.iter().filter(move |row| row.status.contains('*') && matches(&row.status, status))
        };
        let layer = if matching(users).next().is_some() { users } else { ours };
        let Some(first) = matching(layer).next() else {
            return Classes { class: OTHER_FAILURE, also: None };
        };
        let second = matching(layer).map(|row| row.class.as_str()).find(|class| *class != first.class);
        Classes { class: &first.class, also: first.also.as_deref().or(second) }
    }
}

fn read(csv: impl Read) -> Result<Vec<Status>, StatusesError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(csv);
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

/// Whether a text matches a pattern in which `*` stands for any text, also none.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, mut tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    while let Some((part, after)) = tail.split_once('*') {
        // The leftmost place is as good as any: what follows can only gain from a longer rest.
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = rest.split_at(at + part.len()).1;
        tail = after;
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_by_name_then_pattern_then_other() {
        let catalogue = StatusCatalogue::builtin().unwrap();
        let cases = [
            ("LUNA_RET_OK", "ok", None),
            ("success", "ok", None),
            ("LUNA_RET_UM_PIN_INCORRECT", "auth_failure", None),
            ("LUNA_RET_UM_PIN_INCORRECT_CONTAINER_LOCKED", "auth_failure", Some("lockout")),
            ("LUNA_RET_UM_PIN_INCORRECT_CONTAINER_ZEROIZED", "auth_failure", Some("zeroize")),
            ("LUNA_RET_SO_LOGIN_FAILURE_THRESHOLD", "lockout", Some("zeroize")),
            ("LUNA_RET_TOKEN_LOCKED_OUT_LONG_AGO", "lockout", Some("device")),
            ("LUNA_RET_XX_PIN_INCORRECT", "auth_failure", None),
            ("LUNA_RET_XX_PIN_INCORRECT_AND_ZEROIZED", "auth_failure", Some("zeroize")),
            ("LUNA_RET_ROLE_LOCKED", "lockout", None),
            ("LUNA_RET_AES_SELF_TEST_FAILURE", "device", None),
            ("LUNA_RET_TEMPLATE_INCOMPLETE", "bad_argument", None),
            ("LUNA_RET_NEVER_HEARD_OF", "other_failure", None),
            ("", "other_failure", None),
        ];
        for (status, class, also) in cases {
            assert_eq!(catalogue.classify(status), Classes { class, also }, "{status}");
        }
    }

    #[test]
    fn a_users_file_goes_first() {
        let csv = "status,class,also,meaning\nLUNA_RET_CONTAINER_LOCKED,benign\nLUNA_RET_NEVER*,capacity,device,Ours\n";
        let catalogue = StatusCatalogue::builtin().unwrap().with_overrides(csv.as_bytes()).unwrap();
        assert_eq!(catalogue.classify("LUNA_RET_CONTAINER_LOCKED").class, "benign");
        let never = catalogue.classify("LUNA_RET_NEVER_HEARD_OF");
        assert!(never.has("capacity") && never.has("device") && !never.has("lockout"));
        let csv = "status,class\nLUNA_RET_ROLE_LOCKED*,benign\n";
        let layered = StatusCatalogue::builtin().unwrap().with_overrides(csv.as_bytes()).unwrap();
        assert_eq!(layered.classify("LUNA_RET_ROLE_LOCKED_X"), Classes { class: "benign", also: None });
        assert_eq!(catalogue.rows().iter().filter(|row| row.status == "LUNA_RET_CONTAINER_LOCKED").count(), 1);
        assert!(StatusCatalogue::builtin().unwrap().with_overrides("name\nx\n".as_bytes()).is_err());
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*", "b", false),
            ("*a*", "xax", true),
            ("*ab*b", "xab", false),
            ("*ab*b", "xabb", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
