//! Writing a record out again from its row, with equal fields: nothing of a record is lost in the store.
//!
//! Members stand under the service's names, in the service's order. A member of `extra` takes the place of a column of the same
//! name: that is how values keep what a text column cannot hold (numbers, lists, digits below the microsecond).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::record::RecordRow;
use crate::schema::{EXTRA, TEXT_COLUMNS};
use crate::time;

/// Names of the envelope in a record, with the column each fills; in the order in which the service writes them.
pub const ENVELOPE: [(&str, &str); 7] = [
    ("source", "source"),
    ("resourceID", "resource_id"),
    ("actorID", "actor_id"),
    ("tenantID", "tenant_id"),
    ("action", "action"),
    ("status", "status"),
    ("traceID", "trace_id"),
];

/// Names inside `meta`, with the column each fills.
pub const META: [(&str, &str); 5] =
    [("clientip", "client_ip"), ("hsmid", "hsm_id"), ("ouid", "ouid"), ("partid", "partition_id"), ("role", "role")];

/// A row whose `extra` is not a JSON object. No row written by keytrail is like that.
#[derive(Debug, thiserror::Error)]
#[error("column `extra`: expected a JSON object, found {found:?}")]
pub struct ExtraError {
    found: String,
}

/// How `meta` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetaForm {
    /// As JSON text inside a string, the way the service writes it.
    #[default]
    Text,
    /// As a plain object.
    Object,
}

/// Members of a JSON object with their values as JSON text: numbers keep every digit.
type RawMembers = BTreeMap<String, Box<RawValue>>;

/// The record of a row as a JSON object, on one line. Members that are null in the row are left out.
///
/// # Errors
/// `extra` holds something else than a JSON object.
pub fn record(row: &RecordRow<'_>, form: MetaForm) -> Result<String, ExtraError> {
    let mut extra = match text(row, EXTRA) {
        None => RawMembers::new(),
        Some(json) => members_of(json)?,
    };
    let mut object = ObjectWriter::new();
    match extra.remove("time") {
        Some(precise) => object.raw("time", precise.get()),
        None => object.text("time", &time::format_service(row.time)),
    }
    object.columns(&ENVELOPE, row, &mut extra);
    if let Some(meta) = meta_of(row, extra.remove("meta"), form) {
        object.raw("meta", &meta);
    }
    object.rest(&extra);
    Ok(object.finish())
}

fn members_of(json: &str) -> Result<RawMembers, ExtraError> {
    serde_json::from_str(json).map_err(|_| ExtraError { found: json.into() })
}

/// `meta` as JSON text, from its columns and from what `extra` holds of it.
fn meta_of(row: &RecordRow<'_>, rest: Option<Box<RawValue>>, form: MetaForm) -> Option<String> {
    let mut rest = match rest {
        None => RawMembers::new(),
        Some(value) => match members_of(value.get()) {
            Ok(members) => members,
            Err(_) => return Some(value.get().into()),
        },
    };
    let mut object = ObjectWriter::new();
    object.columns(&META, row, &mut rest);
    object.rest(&rest);
    (!object.is_empty()).then(|| match form {
        MetaForm::Text => quote(&object.finish()),
        MetaForm::Object => object.finish(),
    })
}

fn text<'a>(row: &RecordRow<'a>, column: &str) -> Option<&'a str> {
    TEXT_COLUMNS.iter().position(|name| *name == column).and_then(|index| *row.texts.get(index)?)
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A JSON object under construction.
struct ObjectWriter(String);

impl ObjectWriter {
    fn new() -> Self {
        Self("{".into())
    }

    fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    fn raw(&mut self, name: &str, json: &str) {
        if !self.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&quote(name));
        self.0.push(':');
        self.0.push_str(json);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &quote(value));
    }

    /// Members that have a column, unless `extra` holds them in another form.
    fn columns(&mut self, names: &[(&str, &str)], row: &RecordRow<'_>, extra: &mut RawMembers) {
        for &(name, column) in names {
            match extra.remove(name) {
                Some(value) => self.raw(name, value.get()),
                None => text(row, column).into_iter().for_each(|value| self.text(name, value)),
            }
        }
    }

    fn rest(&mut self, extra: &RawMembers) {
        for (name, value) in extra {
            self.raw(name, value.get());
        }
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(columns: &[(&str, &'a str)]) -> RecordRow<'a> {
        let texts =
            TEXT_COLUMNS.map(|name| columns.iter().find(|(column, _)| *column == name).map(|&(_, value)| value));
        RecordRow { time: 1_767_600_001_250_000, texts }
    }

    #[test]
    fn rows_as_records() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[], r#"{"time":"2026-01-05 08:00:01.250000 UTC"}"#),
            (
                &[("action", "LUNA_\"SIGN"), ("ouid", "2c00"), ("role", "CU")],
                r#"{"time":"2026-01-05 08:00:01.250000 UTC","action":"LUNA_\"SIGN","meta":"{\"ouid\":\"2c00\",\"role\":\"CU\"}"}"#,
            ),
            (
                &[("hsm_id", "7"), ("extra", r#"{"n":1.00,"meta":{"hsmid":7,"x":[]},"time":"T"}"#)],
                r#"{"time":"T","meta":"{\"hsmid\":7,\"x\":[]}","n":1.00}"#,
            ),
            (&[("extra", r#"{"meta":"not json"}"#)], r#"{"time":"2026-01-05 08:00:01.250000 UTC","meta":"not json"}"#),
            (&[("extra", r#"{"meta":[1]}"#)], r#"{"time":"2026-01-05 08:00:01.250000 UTC","meta":[1]}"#),
        ];
        for (columns, expected) in cases {
            assert_eq!(record(&row(columns), MetaForm::Text).unwrap(), expected);
        }
        let object = record(&row(&[("role", "CU")]), MetaForm::Object).unwrap();
        assert_eq!(object, r#"{"time":"2026-01-05 08:00:01.250000 UTC","meta":{"role":"CU"}}"#);
        assert!(record(&row(&[("extra", "[]")]), MetaForm::Text).is_err());
    }
}
