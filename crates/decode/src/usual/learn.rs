//! The shape of a record that is known to be good, if it has one that can be followed.
//!
//! It has one when every name is there once, and if known, spelt as the service spells it; every value of a known name is text or null (times,
//! keys and trace ids plain text, texts of `meta` without escapes); and `meta` is an object of such members, or text that holds one, or says
//! nothing. Nulls, empty `meta` and all of the unknown members, whatever these hold, are part of the shape: records of it have the same
//! `extra`. Where such records differ, texts, numbers, truth values and nulls of unknown members, and of lists and objects there, are values
//! like others instead, as far as `extra` has them as they stand, and it is made of them.

use keytrail_model::export::{ENVELOPE, META};
use keytrail_model::key;
use keytrail_model::schema::{self, TEXT_COLUMNS};

use super::clock::Clock;
use super::extra::{Extra, Scalar, Value};
use super::shapes::{LITERAL_BYTES, Literal, NewStep, Slot};
use super::values::TEXT_BYTES;
use super::wide::{is_plain, kept_length, raw_length, token_length};
use crate::row::{ENVELOPE_NAMES, META_NAMES};
use crate::text::{blanks, tail};

/// Steps of a shape, about, and bytes between two values, at most: one odd record must not push out all other shapes.
const STEPS_MAX: usize = 64;
const LITERALS_BYTES_MAX: usize = 16 * LITERAL_BYTES;
/// Lists and objects inside of each other in an unknown member, at most.
const NESTED_MAX: usize = 8;

const META_NAME: &str = "meta";
const QUOTE: &[u8] = b"\"";
/// A quote inside of text.
const QUOTE_IN_TEXT: &[u8] = b"\\\"";

/// The steps of a record that has this `extra`; `differ`: values of unknown members are no part of the shape. `None` where it
/// has no shape that can be followed. For a text that is no JSON the outcome means nothing.
pub(super) fn steps(record: &[u8], extra: Option<&str>, differ: bool, clock: &mut Clock) -> Option<Vec<NewStep>> {
    let mut walk = Walk {
        record,
        at: 0,
        literal_start: 0,
        steps: Vec::new(),
        unknown: Vec::new(),
        unknown_of_meta: Vec::new(),
        differing: Vec::new(),
        differ,
        is_in_meta: false,
        clock,
    };
    walk.object(QUOTE, Walk::envelope_member)?;
    walk.add_step(Slot::End, 0)?;
    // What else goes to `extra` differs from record to record.
    let extra = match (walk.unknown_members(), extra) {
        (Some(members), Some(extra)) => Some(Extra::of(members, &walk.differing, extra)?.into()),
        (None, None) => None,
        _ => return None,
    };
    // Line feeds stand between values only.
    let is_one_line = !walk.steps.iter().any(|step| step.literal.has_line_feed());
    let last = walk.steps.last_mut()?;
    (last.extra, last.is_one_line) = (extra, is_one_line);
    let has_time = walk.steps.iter().any(|step| step.slot == Slot::Time);
    // Only trace ids are plain texts; the reader has room for one.
    let plain = walk.steps.iter().filter(|step| matches!(step.slot, Slot::Plain(_))).count();
    // What is remembered of values is taken from where the steps say that they are: they have to be all of the record.
    let bytes: usize = walk.steps.iter().map(|step| step.literal.length() + step.length).sum();
    (has_time && plain <= 1 && walk.at == record.len() && bytes == record.len()).then_some(walk.steps)
}

/// A walk through a record.
struct Walk<'a> {
    record: &'a [u8],
    at: usize,
    /// End of the newest value.
    literal_start: usize,
    steps: Vec<NewStep>,
    /// Members of unknown names.
    unknown: Vec<(&'a str, Value<'a>)>,
    unknown_of_meta: Vec<(&'a str, Value<'a>)>,
    /// Values of them that differ from record to record.
    differing: Vec<&'a [u8]>,
    /// Whether there are such values.
    differ: bool,
    is_in_meta: bool,
    clock: &'a mut Clock,
}

impl<'a> Walk<'a> {
    fn rest(&self) -> &'a [u8] {
        tail(self.record, self.at)
    }

    fn skip_blanks(&mut self) {
        self.at += blanks(self.rest());
    }

    fn take(&mut self, bytes: &[u8]) -> Option<()> {
        self.rest().starts_with(bytes).then(|| self.at += bytes.len())
    }

    /// Takes plain text up to what is not plain.
    fn take_plain(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let text = rest.get(..rest.iter().take_while(|byte| is_plain(**byte)).count()).unwrap_or_default();
        self.at += text.len();
        text
    }

    /// Walks through an object; `member` takes the value under a name, each of which may come once.
    fn object(&mut self, quote: &[u8], mut member: impl FnMut(&mut Self, &'a str, &[u8]) -> Option<()>) -> Option<()> {
        self.take(b"{")?;
        self.skip_blanks();
        if self.take(b"}").is_some() {
            return Some(());
        }
        let mut names: Vec<&str> = Vec::new();
        loop {
            self.take(quote)?;
            let name = std::str::from_utf8(self.take_plain()).ok()?;
            if names.contains(&name) {
                return None;
            }
            names.push(name);
            self.take(quote)?;
            self.skip_blanks();
            self.take(b":")?;
            self.skip_blanks();
            member(self, name, quote)?;
            self.skip_blanks();
            if self.take(b"}").is_some() {
                return Some(());
            }
            self.take(b",")?;
            self.skip_blanks();
        }
    }

    fn envelope_member(&mut self, name: &'a str, quote: &[u8]) -> Option<()> {
        match name {
            META_NAME => self.meta(),
            "time" => {
                let start = self.at + quote.len();
                self.text(Slot::Time, quote)?;
                // One that loses digits would stand in `extra`.
                self.clock.micros(self.record.get(start..self.literal_start)?).map(|_| ())
            }
            _ => self.text_of_column(&ENVELOPE, name, quote),
        }
    }

    fn meta_member(&mut self, name: &'a str, quote: &[u8]) -> Option<()> {
        self.text_of_column(&META, name, quote)
    }

    fn meta(&mut self) -> Option<()> {
        let says_nothing: [&[u8]; 3] = [b"null", b"\"\"", b"\"{}\""];
        if says_nothing.iter().any(|nothing| self.take(nothing).is_some()) {
            return Some(());
        }
        self.is_in_meta = true;
        if self.take(QUOTE).is_none() {
            self.object(QUOTE, Self::meta_member)?;
        } else {
            self.skip_blanks();
            self.object(QUOTE_IN_TEXT, Self::meta_member)?;
            self.skip_blanks();
            self.take(QUOTE)?;
        }
        self.is_in_meta = false;
        Some(())
    }

    fn text_of_column(&mut self, columns: &[(&str, &str)], name: &'a str, quote: &[u8]) -> Option<()> {
        let Some((_, column)) = columns.iter().find(|(known, _)| *known == name) else {
            return self.unknown(name, quote);
        };
        if self.take(b"null").is_some() {
            return Some(());
        }
        let place = TEXT_COLUMNS.iter().position(|known| known == column)?;
        let slot = match *column {
            key::COLUMN => Slot::Key(place),
            column if schema::is_dictionary(column) => Slot::Text(place),
            _ => Slot::Plain(place),
        };
        self.text(slot, quote)
    }

    /// A member of an unknown name is part of what stands between values, or has values itself.
    fn unknown(&mut self, name: &'a str, quote: &[u8]) -> Option<()> {
        // In other letters, known names may count.
        if ENVELOPE_NAMES.iter().chain(&META_NAMES).any(|known| known.eq_ignore_ascii_case(name)) {
            return None;
        }
        let value = self.unknown_value(quote, NESTED_MAX)?;
        let members = if self.is_in_meta { &mut self.unknown_of_meta } else { &mut self.unknown };
        members.push((name, value));
        Some(())
    }

    /// All members of unknown names, as they stand in `extra`; `None` where there are none.
    fn unknown_members(&mut self) -> Option<Value<'a>> {
        let mut members = std::mem::take(&mut self.unknown);
        let of_meta = std::mem::take(&mut self.unknown_of_meta);
        if !of_meta.is_empty() {
            members.push((META_NAME, Value::Object(of_meta)));
        }
        (!members.is_empty()).then_some(Value::Object(members))
    }

    /// A value that has lists and objects inside of each other this often at most.
    fn unknown_value(&mut self, quote: &[u8], nested_max: usize) -> Option<Value<'a>> {
        let rest = self.rest();
        if rest.starts_with(quote) {
            return self.unknown_text(quote).map(Value::Text);
        }
        match rest.first()? {
            b'{' => {
                let (mut members, nested_max) = (Vec::new(), nested_max.checked_sub(1)?);
                self.object(quote, |walk, name, quote| {
                    members.push((name, walk.unknown_value(quote, nested_max)?));
                    Some(())
                })?;
                Some(Value::Object(members))
            }
            b'[' => self.unknown_list(quote, nested_max.checked_sub(1)?).map(Value::List),
            _ => self.unknown_token().map(Value::Token),
        }
    }

    fn unknown_list(&mut self, quote: &[u8], nested_max: usize) -> Option<Vec<Value<'a>>> {
        self.take(b"[")?;
        self.skip_blanks();
        let mut elements = Vec::new();
        if self.take(b"]").is_some() {
            return Some(elements);
        }
        loop {
            elements.push(self.unknown_value(quote, nested_max)?);
            self.skip_blanks();
            if self.take(b"]").is_some() {
                return Some(elements);
            }
            self.take(b",")?;
            self.skip_blanks();
        }
    }

    fn unknown_text(&mut self, quote: &[u8]) -> Option<Scalar<'a>> {
        let start = self.at + quote.len();
        if self.differ {
            self.text(Slot::UnknownText, quote)?;
        } else {
            self.take(quote)?;
            self.at += kept_length(self.rest(), *quote.first()?)?;
            self.take(quote)?;
        }
        let text = self.record.get(start..self.at.checked_sub(quote.len())?)?;
        Some(if self.differ { self.differs(text) } else { Scalar::Same(text) })
    }

    /// A number, a truth value or null.
    fn unknown_token(&mut self) -> Option<Scalar<'a>> {
        let is_of_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = self.rest().iter().take_while(is_of_token).count();
        let token = self.rest().get(..length).filter(|token| !token.is_empty())?;
        let differs = self.differ && token_length(self.rest()) == Some(length);
        if differs {
            self.add_step(Slot::UnknownToken, 0)?;
            self.steps.last_mut()?.length = length;
            self.literal_start = self.at + length;
        }
        self.at += length;
        Some(if differs { self.differs(token) } else { Scalar::Same(token) })
    }

    fn differs(&mut self, value: &'a [u8]) -> Scalar<'a> {
        self.differing.push(value);
        Scalar::Differs(self.differing.len() - 1)
    }

    /// A text in quotes becomes a step; the quote behind it is the start of the next one.
    fn text(&mut self, slot: Slot, quote: &[u8]) -> Option<()> {
        self.take(quote)?;
        let end = *quote.first()?;
        self.add_step(slot, end)?;
        let start = self.at;
        match slot {
            Slot::UnknownText => self.at += kept_length(self.rest(), end)?,
            Slot::Text(_) => self.take_text_that_repeats(end)?,
            _ => {
                self.take_plain();
            }
        }
        self.steps.last_mut()?.length = self.at - start;
        self.literal_start = self.at;
        self.take(quote)
    }

    /// Takes plain text, or a short one that is not plain, before the byte `end`.
    fn take_text_that_repeats(&mut self, end: u8) -> Option<()> {
        let start = self.at;
        self.take_plain();
        if self.rest().first() != Some(&end) {
            self.at = start + raw_length(tail(self.record, start), end, TEXT_BYTES)?;
            let has_escapes = self.record.get(start..self.at)?.contains(&b'\\');
            if has_escapes && self.is_in_meta {
                return None;
            }
        }
        Some(())
    }

    fn add_step(&mut self, slot: Slot, end: u8) -> Option<()> {
        if self.steps.len() >= STEPS_MAX {
            return None;
        }
        let mut bytes = self.record.get(self.literal_start..self.at)?;
        if bytes.len() > LITERALS_BYTES_MAX {
            return None;
        }
        while let Some((start, rest)) = bytes.split_at_checked(LITERAL_BYTES).filter(|(_, rest)| !rest.is_empty()) {
            let literal = Literal::of(start)?;
            self.steps.push(NewStep {
                literal,
                slot: Slot::Nothing,
                end: 0,
                length: 0,
                extra: None,
                is_one_line: false,
            });
            bytes = rest;
        }
        let literal = Literal::of(bytes)?;
        self.steps.push(NewStep { literal, slot, end, length: 0, extra: None, is_one_line: false });
        Some(())
    }
}
