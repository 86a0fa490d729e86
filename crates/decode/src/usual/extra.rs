//! What is left of records of one shape for `extra`: a text whose values may differ from record to record.
//!
//! Made from the members of one record, and good only if it gives back the `extra` that the general path made of that record. Values that
//! differ are plain texts and integers, which `extra` has as they stand in the record; so it is right for other records, too.

use std::ops::Range;

use crate::canonical::push_string;

/// A member of a record whose name is unknown.
pub(super) struct Unknown<'a> {
    pub(super) is_of_meta: bool,
    pub(super) name: &'a str,
    /// As it stands in the record, but for the quotes around a text.
    pub(super) value: &'a [u8],
    pub(super) is_text: bool,
    /// Whether it differs from record to record.
    pub(super) differs: bool,
}

/// The text of `extra`, in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extra {
    /// What stands before each value that differs, and the number of that value among those of the record.
    pieces: Vec<(String, usize)>,
    /// What stands behind the last one.
    end: String,
}

/// What a name of the object stands for.
enum Value<'a> {
    /// A member, and its number among those that differ.
    Member(&'a Unknown<'a>, usize),
    Object(Vec<(&'a str, Value<'a>)>),
}

impl Extra {
    /// `extra` of records like one that has these unknown members, at least one, and this `extra`. `None` where it follows from them in
    /// no way that is known here.
    pub(super) fn of(unknown: &[Unknown<'_>], extra: &str) -> Option<Self> {
        let mut made = Self { pieces: Vec::new(), end: String::new() };
        let differing: Vec<&[u8]> = unknown.iter().filter(|member| member.differs).map(|member| member.value).collect();
        if differing.is_empty() {
            made.end.push_str(extra);
            return Some(made);
        }
        let (mut members, mut of_meta, mut number) = (Vec::new(), Vec::new(), 0);
        for member in unknown {
            let to = if member.is_of_meta { &mut of_meta } else { &mut members };
            to.push((member.name, Value::Member(member, number)));
            number += usize::from(member.differs);
        }
        if !of_meta.is_empty() {
            members.push(("meta", Value::Object(of_meta)));
        }
        made.push(Value::Object(members));
        let mut text = String::new();
        made.write(|value| differing.get(value).copied().unwrap_or_default(), &mut text);
        (text == extra).then_some(made)
    }

    fn push(&mut self, value: Value<'_>) {
        match value {
            Value::Object(mut members) => {
                members.sort_by_key(|(name, _)| *name);
                for (place, (name, value)) in members.into_iter().enumerate() {
                    self.end.push(if place == 0 { '{' } else { ',' });
                    push_string(name, &mut self.end);
                    self.end.push(':');
                    self.push(value);
                }
                self.end.push('}');
            }
            Value::Member(member, number) => {
                let quote = if member.is_text { "\"" } else { "" };
                self.end.push_str(quote);
                if member.differs {
                    self.pieces.push((std::mem::take(&mut self.end), number));
                } else {
                    self.end.push_str(str::from_utf8(member.value).unwrap_or_default());
                }
                self.end.push_str(quote);
            }
        }
    }

    /// The text for a record whose values that differ stand at these places of a window. `made` is memory for it.
    pub(super) fn text<'a>(&'a self, window: &[u8], values: &[Range<usize>], made: &'a mut String) -> &'a str {
        if self.pieces.is_empty() {
            return &self.end;
        }
        made.clear();
        self.write(|value| values.get(value).and_then(|place| window.get(place.clone())).unwrap_or_default(), made);
        made
    }

    fn write<'a>(&self, value: impl Fn(usize) -> &'a [u8], to: &mut String) {
        for (before, number) in &self.pieces {
            to.push_str(before);
            // They are plain.
            to.push_str(str::from_utf8(value(*number)).unwrap_or_default());
        }
        to.push_str(&self.end);
    }
}
