//! A plain, slow decoder to hold the real one against, and a sink that keeps everything. For tests, benches and fuzz targets.
//!
//! It reads whole members as [`serde_json::Value`] and follows the rules of decoding in the most direct way; it shares no code with the
//! decoder but the names of the columns and the reading of times. Its reach: members whose list is well-formed JSON (any record
//! of it may be unusable), and lines of any kind; of rejects it tells that they are, not why. Numbers that a double or 64 bits may not hold
//! and deep nesting are beyond it, and it says so.

use std::collections::BTreeMap;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use keytrail_model::export::{ENVELOPE, META};
use keytrail_model::record::{RecordColumns, RecordRow};
use keytrail_model::schema::{EXTRA, ORDINAL, TEXT_COLUMNS};
use keytrail_model::time;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{DecodeError, DecodeOptions, Decoder, MemberSummary, Reject, Rows, Sink, SinkError};

/// A row with its texts owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Microseconds since the epoch, UTC.
    pub time: i64,
    /// In the order of [`TEXT_COLUMNS`].
    pub texts: Vec<Option<String>>,
}

impl Row {
    /// The value of a text column.
    #[must_use]
    pub fn text(&self, column: &str) -> Option<&str> {
        let index = TEXT_COLUMNS.iter().position(|name| *name == column)?;
        self.texts.get(index)?.as_deref()
    }

    /// The row as the model borrows it; missing texts are null.
    #[must_use]
    pub fn as_record(&self) -> RecordRow<'_> {
        let mut texts = [None; TEXT_COLUMNS.len()];
        for (text, own) in texts.iter_mut().zip(&self.texts) {
            *text = own.as_deref();
        }
        RecordRow { time: self.time, texts }
    }
}

/// What a decoder made of a member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Accepted rows with their ordinals.
    pub rows: Vec<(i64, Row)>,
    /// All rejects.
    pub rejects: Vec<Reject>,
}

impl Sink for Collected {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        let batch = rows.into_batch()?;
        let columns = RecordColumns::of(&batch).map_err(SinkError::new)?;
        let ordinals = batch.column_by_name(ORDINAL).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let ordinals = ordinals.ok_or_else(|| SinkError::new("a batch without ordinals"))?;
        for (index, ordinal) in ordinals.values().iter().enumerate() {
            let row = columns.row(index).ok_or_else(|| SinkError::new("a batch with too few rows"))?;
            let texts = row.texts.iter().map(|text| text.map(str::to_owned)).collect();
            self.rows.push((*ordinal, Row { time: row.time, texts }));
        }
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        self.rejects.push(reject);
        Ok(())
    }
}

/// Runs a decoder over one member that comes in the given chunks.
///
/// # Errors
/// Those of the decoder.
pub fn collect<'a>(
    decoder: &mut Decoder,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Collected, MemberSummary), DecodeError> {
    let mut collected = Collected::default();
    let pushed = chunks.into_iter().try_for_each(|chunk| decoder.push(chunk, &mut collected));
    if let Err(error) = pushed {
        decoder.reset();
        return Err(error);
    }
    let summary = decoder.finish(&mut collected)?;
    Ok((collected, summary))
}

/// Runs a new decoder over one member in one piece.
///
/// # Errors
/// Those of the decoder.
pub fn collect_whole(member: &[u8], options: DecodeOptions) -> Result<(Collected, MemberSummary), DecodeError> {
    collect(&mut Decoder::new(options), [member])
}

/// What the rules make of each record of a member, `None` for a reject. `None` for a member that is beyond this decoder.
#[must_use]
pub fn decode(member: &[u8]) -> Option<Vec<Option<Row>>> {
    if !within_reach(member) {
        return None;
    }
    let text = trim_json(member.strip_prefix(b"\xef\xbb\xbf").unwrap_or(member));
    match text.first()? {
        b'[' => {
            let records: Vec<Box<RawValue>> = serde_json::from_slice(text).ok()?;
            Some(records.iter().map(|record| row(record.get().as_bytes())).collect())
        }
        b'{' => Some(lines(text)),
        _ => {
            const SEEN_BYTES: usize = 64 << 10;
            let mut seen: Vec<&[u8]> = text.get(..SEEN_BYTES).unwrap_or(text).split(|&byte| byte == b'\n').collect();
            if text.len() > SEEN_BYTES {
                seen.pop();
            }
            let is_object = |line: &&[u8]| {
                let line = trim_json(line);
                line.first() == Some(&b'{') && line.last() == Some(&b'}') && {
                    trim_json(line.get(1..).unwrap_or_default()).first() == Some(&b'"')
                }
            };
            seen.iter().skip(1).any(is_object).then(|| lines(text))
        }
    }
}

fn lines(text: &[u8]) -> Vec<Option<Row>> {
    text.split(|&byte| byte == b'\n').map(trim_json).filter(|line| !line.is_empty()).map(row).collect()
}

fn trim_json(line: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    line.get(start..end).unwrap_or_default()
}

/// Whether every number is one that `serde_json::Value` keeps, and nesting is moderate. Digits inside of strings count as well: too
/// careful, but simple.
fn within_reach(member: &[u8]) -> bool {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in member {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    deepest <= 100 && member.split(|byte| !is_number(byte)).all(is_plain_number)
}

/// `serde_json::Value` reads doubles a little off unless digits and exponent are few.
fn is_plain_number(run: &[u8]) -> bool {
    let digits = run.iter().filter(|byte| byte.is_ascii_digit()).count();
    let exponent = run.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let exponent = exponent.and_then(|at| run.get(at..)).unwrap_or_default();
    let exponent_digits = exponent.iter().filter(|byte| byte.is_ascii_digit()).count();
    let most_digits = match (exponent.is_empty(), run.contains(&b'.')) {
        (true, false) => 18,
        (true, true) => 15,
        (false, _) => 12,
    };
    run != b"-0" && digits <= most_digits && exponent_digits <= 1
}

fn row(record: &[u8]) -> Option<Row> {
    let mut members: Pairs = serde_json::from_slice(record).ok()?;
    let Some(Value::String(time_text)) = members.take("time", Value::is_null) else {
        return None;
    };
    let time = time::parse(&time_text)?;
    let mut extra = BTreeMap::new();
    if !time.exact {
        extra.insert("time".to_owned(), Value::from(time::with_all_digits(time, &time_text)));
    }
    let mut texts = BTreeMap::new();
    members.fill(&ENVELOPE, Value::is_null, &mut texts, &mut extra);
    let says_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text.replace([' ', '\t', '\r', '\n'], "") == "{}",
        Value::Object(object) => object.is_empty(),
        _ => false,
    };
    while let Some(meta) = members.take("meta", says_nothing) {
        let parsed = match &meta {
            Value::Object(_) => Pairs::deserialize(meta.clone()).ok(),
            Value::String(text) => serde_json::from_str(text).ok(),
            _ => None,
        };
        let Some(mut inner) = parsed else {
            extra.insert("meta".to_owned(), meta);
            break;
        };
        let mut rest = BTreeMap::new();
        let before = texts.len();
        inner.fill_meta(&mut texts, &mut rest);
        if texts.len() > before || !rest.is_empty() {
            if !rest.is_empty() {
                extra.insert("meta".to_owned(), rest.into_iter().collect());
            }
            break;
        }
    }
    extra.extend(members.0);
    if !extra.is_empty() {
        texts.insert(EXTRA, canonical(&extra.into_iter().collect()));
    }
    Some(Row { time: time.micros, texts: TEXT_COLUMNS.iter().map(|column| texts.remove(column)).collect() })
}

/// The members of an object in document order; the last of equal names counts, at the place of the first.
struct Pairs(Vec<(String, Value)>);

impl Pairs {
    fn take(&mut self, name: &str, says_nothing: impl Fn(&Value) -> bool) -> Option<Value> {
        self.0.retain(|(own, value)| !own.eq_ignore_ascii_case(name) || !says_nothing(value));
        let exact = self.0.iter().position(|(own, _)| own == name);
        let at = exact.or_else(|| self.0.iter().position(|(own, _)| own.eq_ignore_ascii_case(name)))?;
        Some(self.0.remove(at).1)
    }

    fn fill_meta(&mut self, texts: &mut BTreeMap<&'static str, String>, rest: &mut BTreeMap<String, Value>) {
        let is_empty_text = |value: &Value| value.is_null() || value.as_str() == Some("");
        self.fill(META.iter().filter(|(name, _)| *name == "ouid"), is_empty_text, texts, rest);
        self.fill(META.iter().filter(|(name, _)| *name != "ouid"), Value::is_null, texts, rest);
        rest.extend(self.0.drain(..));
    }

    fn fill<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a (&'static str, &'static str)>,
        says_nothing: impl Fn(&Value) -> bool,
        texts: &mut BTreeMap<&'static str, String>,
        extra: &mut BTreeMap<String, Value>,
    ) {
        for &(name, column) in names {
            let Some(value) = self.take(name, &says_nothing) else {
                continue;
            };
            if let Value::String(text) = value {
                texts.insert(column, text);
                continue;
            }
            if let Value::Number(number) = &value {
                texts.insert(column, number.to_string());
            }
            let ids = value.as_array().filter(|_| column == "ouid");
            let ids: Option<Vec<&str>> = ids.and_then(|ids| ids.iter().map(Value::as_str).collect());
            if let Some(ids) = ids.map(|ids| ids.join(",")).filter(|ids| !ids.is_empty()) {
                texts.insert(column, ids);
            }
            extra.insert(name.to_owned(), value);
        }
    }
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let members =
                sorted.iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Pairs, A::Error> {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            match pairs.iter_mut().find(|(own, _)| *own == name) {
                Some(pair) => pair.1 = value,
                None => pairs.push((name, value)),
            }
        }
        Ok(Pairs(pairs))
    }
}
