//! From a parsed record to a row: which member goes to which column, and what is left for `extra`.
//!
//! A text column takes a string as it is and a number as its canonical text; a number, and any value that a text cannot hold, is kept in
//! `extra` as well, under the service's own name, so that the record can be written out again. What has no column goes to `extra` under the
//! name it came with. The outcome depends on the parsed values only: not on key order (but for names that differ in case only), blanks,
//! escapes, or whether `meta` came as an object or as text.

use keytrail_model::export::{ENVELOPE, META};
use keytrail_model::key;
use keytrail_model::schema::TEXT_COLUMNS;
use keytrail_model::time;

use crate::canonical;
use crate::columns::{Columns, EXTRA};
use crate::exact::Fault;
use crate::members::Members;
use crate::tape::{Node, Nodes, Parser};
use crate::text::{blanks, is_blank, quoted, tail};

/// Places of the envelope's names in [`RowMaker::envelope`]: those of [`ENVELOPE`], then these two.
const TIME: usize = ENVELOPE.len();
const META_PLACE: usize = TIME + 1;
pub(crate) const ENVELOPE_NAMES: [&str; META_PLACE + 1] = [
    ENVELOPE[0].0,
    ENVELOPE[1].0,
    ENVELOPE[2].0,
    ENVELOPE[3].0,
    ENVELOPE[4].0,
    ENVELOPE[5].0,
    ENVELOPE[6].0,
    "time",
    "meta",
];
pub(crate) const META_NAMES: [&str; META.len()] = [META[0].0, META[1].0, META[2].0, META[3].0, META[4].0];
/// Characters of an unusable time shown in a reason.
const SHOWN_CHARACTERS: usize = 60;

/// Why a record is not a row.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not JSON.
    Json(Fault),
    /// It is JSON, but no record; the reason says why not.
    Record(String),
}

/// Longest text after which buffers are kept: what one huge record needed is given back.
const KEPT_BYTES: usize = 256 * 1024;

/// Reads records one after the other into columns, with buffers reused.
pub(crate) struct RecordReader {
    max_depth: usize,
    record: Parser,
    maker: RowMaker,
}

impl RecordReader {
    pub(crate) fn new(max_depth: usize) -> Self {
        Self { max_depth, record: Parser::new(max_depth), maker: RowMaker::new(max_depth) }
    }

    /// Appends a record, which may have blanks around it, as a row.
    ///
    /// # Errors
    /// The text is no record; the columns are as before.
    pub(crate) fn read(&mut self, json: &[u8], ordinal: i64, columns: &mut Columns) -> Result<(), Refusal> {
        let maker = &mut self.maker;
        let read = match self.record.parse(json, |nodes| maker.make(nodes, ordinal, columns)) {
            Ok(made) => made.map_err(Refusal::Record),
            Err(fault) => Err(Refusal::Json(fault)),
        };
        self.give_back_after(json);
        read
    }

    /// The fault of a JSON text, `None` where it is fine.
    pub(crate) fn fault(&mut self, json: &[u8]) -> Option<Fault> {
        let fault = self.record.fault(json);
        self.give_back_after(json);
        fault
    }

    /// What kind of value a JSON text is.
    ///
    /// # Errors
    /// It is not JSON.
    pub(crate) fn kind(&mut self, json: &[u8]) -> Result<&'static str, Fault> {
        let kind = self.record.parse(json, |nodes| nodes.get(0).kind());
        self.give_back_after(json);
        kind
    }

    fn give_back_after(&mut self, json: &[u8]) {
        if json.len() > KEPT_BYTES {
            *self = Self::new(self.max_depth);
        }
    }
}

/// Everything of a row in the making but the parsed record itself.
struct RowMaker {
    envelope: Members<{ META_PLACE + 1 }>,
    envelope_columns: [usize; ENVELOPE.len()],
    meta: MetaMaker,
    /// For `meta` that came as text.
    meta_parser: Parser,
    extra: ExtraObject,
    made: String,
}

/// `meta` of a row in the making.
struct MetaMaker {
    members: Members<{ META.len() }>,
    columns: [usize; META.len()],
    extra: ExtraObject,
    made: String,
}

impl RowMaker {
    fn new(max_depth: usize) -> Self {
        Self {
            envelope: Members::new(ENVELOPE_NAMES, |place, value| {
                place == META_PLACE
                    && match value {
                        Node::Text(text) => says_nothing(text),
                        value => matches!(value, Node::Object { len: 0 }),
                    }
            }),
            envelope_columns: ENVELOPE.map(|(_, column)| column_index(column)),
            meta: MetaMaker {
                members: Members::new(META_NAMES, |place, value| {
                    META_NAMES.get(place) == Some(&"ouid") && matches!(value, Node::Text(""))
                }),
                columns: META.map(|(_, column)| column_index(column)),
                extra: ExtraObject::default(),
                made: String::new(),
            },
            // As deep as `meta` may be inside the record when it is an object.
            meta_parser: Parser::new(max_depth - 1),
            extra: ExtraObject::default(),
            made: String::new(),
        }
    }

    /// Appends the row of a parsed record, or says why it has none: then what was begun of it is dropped.
    fn make(&mut self, record: Nodes<'_>, ordinal: i64, columns: &mut Columns) -> Result<(), String> {
        let whole = record.get(0);
        if !matches!(whole, Node::Object { .. }) {
            return Err(format!("expected an object, found {}", whole.kind()));
        }
        self.envelope.sort(record, 0);
        let time_node = self.envelope.take(record, TIME);
        let (time, time_text) = usable_time(record, time_node)?;
        columns.start_row();
        self.extra.clear();
        self.take_meta(record, columns)?;
        // From here on nothing can fail.
        if !time.exact {
            self.made.clear();
            canonical::push_string(&time::with_all_digits(time, time_text), &mut self.made);
            self.extra.add_made(ENVELOPE_NAMES[TIME], &self.made);
        }
        for (place, &column) in self.envelope_columns.iter().enumerate() {
            let value = self.envelope.take(record, place);
            let kept = push_cell(record, value, columns, column, &mut self.made);
            if let (Some(node), Some(name), true) = (value, ENVELOPE_NAMES.get(place), kept) {
                self.extra.add_known(name, node);
            }
        }
        self.extra.add_unknown(self.envelope.left_over());
        if let Some(extra) = self.extra.json(record) {
            columns.set_text(EXTRA, extra);
        }
        columns.end_row(ordinal, time.micros);
        Ok(())
    }

    /// The columns of `meta` and what `extra` keeps of it.
    ///
    /// # Errors
    /// It came as text and is nested more deeply than it may be as an object; the reason.
    fn take_meta(&mut self, record: Nodes<'_>, columns: &mut Columns) -> Result<(), String> {
        // A second spelling of `meta` counts where the first turns out to hold nothing.
        while let Some(node) = self.envelope.take(record, META_PLACE) {
            let meta = &mut self.meta;
            let filled = match record.get(node) {
                Node::Object { .. } => Some(meta.make(record, node, columns)),
                Node::Text(text) if is_object_like(text) => {
                    match self.meta_parser.parse(text.as_bytes(), |nodes| meta.make(nodes, 0, columns)) {
                        Ok(filled) => Some(filled),
                        Err(fault) if fault.too_deep => return Err(format!("the text of `meta`: {}", fault.reason(0))),
                        Err(_) => None,
                    }
                }
                _ => None,
            };
            match filled {
                Some(true) => {
                    if !self.meta.made.is_empty() {
                        self.extra.add_made("meta", &self.meta.made);
                    }
                    return Ok(());
                }
                Some(false) => {}
                None => {
                    self.extra.add_known("meta", node);
                    break;
                }
            }
        }
        Ok(())
    }
}

impl MetaMaker {
    /// Fills the columns from an object and leaves in `made` what goes to `extra`, as JSON or empty. `false`, and nothing filled, where
    /// the object holds nothing.
    fn make(&mut self, nodes: Nodes<'_>, object: usize, columns: &mut Columns) -> bool {
        self.members.sort(nodes, object);
        let mut values = [None; META.len()];
        for (place, value) in values.iter_mut().enumerate() {
            *value = self.members.take(nodes, place);
        }
        let left_over = self.members.left_over();
        if left_over.is_empty() && values.iter().all(Option::is_none) {
            return false;
        }
        self.extra.clear();
        self.extra.add_unknown(left_over);
        for ((value, &column), name) in values.into_iter().zip(&self.columns).zip(META_NAMES) {
            let kept = push_cell(nodes, value, columns, column, &mut self.made);
            if let (Some(node), true) = (value, kept) {
                self.extra.add_known(name, node);
            }
        }
        self.made.clear();
        self.made.push_str(self.extra.json(nodes).unwrap_or_default());
        true
    }
}

/// Gives a text column its value; whether `extra` must keep the original as well.
fn push_cell(nodes: Nodes<'_>, value: Option<usize>, columns: &mut Columns, column: usize, made: &mut String) -> bool {
    let Some(node) = value else {
        return false;
    };
    match nodes.get(node) {
        Node::Text(text) => {
            columns.set_text(column, text);
            return false;
        }
        Node::Number(number) => {
            made.clear();
            canonical::push_number(number, made);
            columns.set_text(column, made);
        }
        Node::List { .. }
            if TEXT_COLUMNS.get(column) == Some(&key::COLUMN) && join_texts(nodes, node, made) && !made.is_empty() =>
        {
            columns.set_text(column, made);
        }
        _ => {}
    }
    true
}

/// Joins a list of strings with commas; `false` where it holds anything else.
fn join_texts(nodes: Nodes<'_>, list: usize, made: &mut String) -> bool {
    made.clear();
    for (index, element) in nodes.elements(list).enumerate() {
        let Node::Text(text) = nodes.get(element) else {
            return false;
        };
        if index > 0 {
            made.push(',');
        }
        made.push_str(text);
    }
    true
}

/// The time, and its text.
fn usable_time(record: Nodes<'_>, node: Option<usize>) -> Result<(time::RecordTime, &str), String> {
    let found = match node.map(|node| record.get(node)) {
        Some(Node::Text(text)) => match time::parse(text) {
            Some(time) => return Ok((time, text)),
            None => quoted(text, SHOWN_CHARACTERS),
        },
        Some(other) => other.kind().to_owned(),
        None if record.names(0).any(|name| record.text(name).eq_ignore_ascii_case("time")) => "null".to_owned(),
        None => "no such member".to_owned(),
    };
    Err(format!("no usable time: expected `time` to be a date, a time and UTC or an offset, found {found}"))
}

/// Whether `meta` that came as this text holds nothing, like an empty object.
fn says_nothing(text: &str) -> bool {
    text.is_empty() || text.bytes().filter(|byte| !is_blank(*byte)).eq(*b"{}")
}

/// Spares the parser texts that cannot be objects.
fn is_object_like(text: &str) -> bool {
    tail(text.as_bytes(), blanks(text.as_bytes())).first() == Some(&b'{')
}

fn column_index(column: &str) -> usize {
    TEXT_COLUMNS.iter().position(|name| *name == column).unwrap_or(usize::MAX)
}

/// A JSON object of members gathered from all over a record.
#[derive(Default)]
struct ExtraObject {
    members: Vec<(Name, Value)>,
    /// JSON of all [`Value::Made`].
    made: String,
    order: Vec<usize>,
    json: String,
}

#[derive(Clone, Copy)]
enum Name {
    Known(&'static str),
    /// Node of a name.
    At(usize),
}

#[derive(Clone, Copy)]
enum Value {
    At(usize),
    /// Where its JSON starts and ends in [`ExtraObject::made`].
    Made(usize, usize),
}

impl Name {
    fn text<'a>(self, nodes: Nodes<'a>) -> &'a str {
        match self {
            Self::Known(name) => name,
            Self::At(node) => nodes.text(node),
        }
    }

    /// Later names win over equal earlier ones.
    fn position(self) -> usize {
        match self {
            Self::Known(_) => usize::MAX,
            Self::At(node) => node,
        }
    }
}

impl ExtraObject {
    fn clear(&mut self) {
        self.members.clear();
        self.made.clear();
    }

    fn add_known(&mut self, name: &'static str, value: usize) {
        self.members.push((Name::Known(name), Value::At(value)));
    }

    fn add_made(&mut self, name: &'static str, json: &str) {
        let start = self.made.len();
        self.made.push_str(json);
        self.members.push((Name::Known(name), Value::Made(start, self.made.len())));
    }

    fn add_unknown(&mut self, names: &[usize]) {
        self.members.extend(names.iter().map(|&name| (Name::At(name), Value::At(name + 1))));
    }

    /// The members in canonical form, `None` where there are none.
    fn json(&mut self, nodes: Nodes<'_>) -> Option<&str> {
        if self.members.is_empty() {
            return None;
        }
        let sort_key = |name: Name| (name.text(nodes), name.position());
        self.members.sort_unstable_by(|(a, _), (b, _)| sort_key(*a).cmp(&sort_key(*b)));
        self.json.clear();
        self.json.push('{');
        let mut members = self.members.iter().peekable();
        while let Some((name, value)) = members.next() {
            if members.peek().is_some_and(|(next, _)| next.text(nodes) == name.text(nodes)) {
                continue;
            }
            if self.json.len() > 1 {
                self.json.push(',');
            }
            canonical::push_string(name.text(nodes), &mut self.json);
            self.json.push(':');
            match value {
                Value::At(node) => canonical::push_value(nodes, *node, &mut self.order, &mut self.json),
                Value::Made(start, end) => self.json.push_str(self.made.get(*start..*end).unwrap_or_default()),
            }
        }
        self.json.push('}');
        Some(&self.json)
    }
}
