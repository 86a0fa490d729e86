//! What is left of records of one shape for `extra`: a text whose values may differ from record to record.
//!
//! Made from the members of one record, and good only if it gives back the `extra` that the general path made of that record. Values that
//! differ stand in `extra` as they do in the record; so it is right for other records, too.

use std::ops::Range;

use crate::canonical::push_string;

/// A value of a member whose name is unknown, as it stands in the record.
pub(super) enum Value<'a> {
    /// What stands between the quotes of a text.
    Text(Scalar<'a>),
    /// A number, a truth value or null.
    Token(Scalar<'a>),
    List(Vec<Self>),
    Object(Vec<(&'a str, Self)>),
}

#[derive(Clone, Copy)]
pub(super) enum Scalar<'a> {
    /// Records of the shape have the same bytes there.
    Same(&'a [u8]),
    /// They may have others: its number among such values.
    Differs(usize),
}

/// The text of `extra`, in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extra {
    /// What stands before each value that differs, and the number of that value among those of the record.
    pieces: Vec<(String, usize)>,
    /// What stands behind the last one.
    end: String,
}

impl Extra {
    /// `extra` of records like one that has these unknown members, at least one, and this `extra`; `differing` are the bytes of the values
    /// that may differ. `None` where it follows from them in no way that is known here.
    pub(super) fn of(members: Value<'_>, differing: &[&[u8]], extra: &str) -> Option<Self> {
        let mut made = Self { pieces: Vec::new(), end: String::new() };
        if differing.is_empty() {
            made.end.push_str(extra);
            return Some(made);
        }
        made.push(members);
        let mut text = String::new();
        made.write(|value| differing.get(value).copied().unwrap_or_default(), &mut text);
        (text == extra).then_some(made)
    }

    fn push(&mut self, value: Value<'_>) {
        match value {
            Value::Text(text) => {
                self.end.push('"');
                self.push_scalar(text);
                self.end.push('"');
            }
            Value::Token(token) => self.push_scalar(token),
            Value::List(elements) => {
                self.end.push('[');
                for (place, element) in elements.into_iter().enumerate() {
                    self.end.push_str(if place == 0 { "" } else { "," });
                    self.push(element);
                }
                self.end.push(']');
            }
            Value::Object(mut members) => {
                members.sort_by_key(|(name, _)| *name);
                self.end.push('{');
                for (place, (name, value)) in members.into_iter().enumerate() {
                    self.end.push_str(if place == 0 { "" } else { "," });
                    push_string(name, &mut self.end);
                    self.end.push(':');
                    self.push(value);
                }
                self.end.push('}');
            }
        }
    }

    fn push_scalar(&mut self, scalar: Scalar<'_>) {
        match scalar {
            Scalar::Same(bytes) => self.end.push_str(str::from_utf8(bytes).unwrap_or_default()),
            Scalar::Differs(number) => self.pieces.push((std::mem::take(&mut self.end), number)),
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
            // They are UTF-8: the reader looked.
            to.push_str(str::from_utf8(value(*number)).unwrap_or_default());
        }
        to.push_str(&self.end);
    }
}
