//! The shape of a record that is known to be good, if it has one that can be followed.
//!
//! It has one when every name is there once, and if known, spelt as the service spells it; every value of a known name is text or null (times,
//! keys and trace ids plain text, texts of `meta` without escapes), of another one plain text, a number, a truth value or null; and `meta` is
//! an object of such members, or text that holds one, or says nothing. Nulls, empty `meta` and all of the unknown members are part of the
//! shape: records of it have the same `extra`. Where such records differ, plain texts and integers of unknown members are values like others
//! instead, and `extra` is made of them.

use keytrail_model::export::{ENVELOPE, META};
use keytrail_model::key;
use keytrail_model::schema::{self, TEXT_COLUMNS};

use super::clock::Clock;
use super::extra::{Extra, Unknown};
use super::shapes::{LITERAL_BYTES, Literal, NewStep, Slot};
use super::values::TEXT_BYTES;
use super::wide::{integer_length, is_plain, raw_length};
use crate::row::{ENVELOPE_NAMES, META_NAMES};
use crate::text::{blanks, tail};

/// Steps of a shape, about, and bytes between two values, at most: one odd record must not push out all other shapes.
const STEPS_MAX: usize = 64;
const LITERALS_BYTES_MAX: usize = 16 * LITERAL_BYTES;

const QUOTE: &[u8] = b"\"";
/// A quote inside of text.
const QUOTE_IN_TEXT: &[u8] = b"\\\"";

/// The steps of a record that has this `extra`; `differ`: texts and integers of unknown members are no part of the shape. `None` where it
/// has no shape that can be followed. For a text that is no JSON the outcome means nothing.
pub(super) fn steps(record: &[u8], extra: Option<&str>, differ: bool, clock: &mut Clock) -> Option<Vec<NewStep>> {
    let (steps, unknown) = (Vec::new(), Vec::new());
    let mut walk = Walk { record, at: 0, literal_start: 0, steps, unknown, differ, is_in_meta: false, clock };
    walk.object(QUOTE, Walk::envelope_member)?;
    walk.add_step(Slot::End, 0)?;
    // What else goes to `extra` differs from record to record.
    let extra = match (walk.unknown.is_empty(), extra) {
        (false, Some(extra)) => Some(Extra::of(&walk.unknown, extra)?.into()),
        (true, None) => None,
        _ => return None,
    };
    walk.steps.last_mut()?.extra = extra;
    let has_time = walk.steps.iter().any(|step| step.slot == Slot::Time);
    // Only trace ids are plain texts; the reader has room for one.
    let plain = walk.steps.iter().filter(|step| matches!(step.slot, Slot::Plain(_))).count();
    (has_time && plain <= 1 && walk.at == record.len()).then_some(walk.steps)
}

/// A walk through a record.
struct Walk<'a> {
    record: &'a [u8],
    at: usize,
    /// End of the newest value.
    literal_start: usize,
    steps: Vec<NewStep>,
    unknown: Vec<Unknown<'a>>,
    /// Whether unknown members differ from record to record.
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
    fn object(&mut self, quote: &[u8], member: fn(&mut Self, &'a str, &[u8]) -> Option<()>) -> Option<()> {
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
            "meta" => self.meta(),
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

    /// A member of an unknown name is part of what stands between values, or a value itself.
    fn unknown(&mut self, name: &'a str, quote: &[u8]) -> Option<()> {
        // In other letters, known names may count.
        if ENVELOPE_NAMES.iter().chain(&META_NAMES).any(|known| known.eq_ignore_ascii_case(name)) {
            return None;
        }
        let is_text = self.rest().starts_with(quote);
        let (value, differs) = if is_text { self.unknown_text(quote)? } else { self.unknown_token()? };
        self.unknown.push(Unknown { is_of_meta: self.is_in_meta, name, value, is_text, differs });
        Some(())
    }

    /// The value, and whether it may be another one in other records.
    fn unknown_text(&mut self, quote: &[u8]) -> Option<(&'a [u8], bool)> {
        let start = self.at + quote.len();
        if self.differ {
            self.text(Slot::UnknownText, quote)?;
        } else {
            self.take(quote)?;
            self.take_plain();
            self.take(quote)?;
        }
        Some((self.record.get(start..self.at - quote.len())?, self.differ))
    }

    /// The same for a number, a truth value or null.
    fn unknown_token(&mut self) -> Option<(&'a [u8], bool)> {
        let is_of_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = self.rest().iter().take_while(is_of_token).count();
        let token = self.rest().get(..length).filter(|token| !token.is_empty())?;
        let differs = self.differ && integer_length(self.rest()) == Some(length);
        if differs {
            self.add_step(Slot::UnknownInteger, 0)?;
            self.literal_start = self.at + length;
        }
        self.at += length;
        Some((token, differs))
    }

    /// A text in quotes becomes a step; the quote behind it is the start of the next one.
    fn text(&mut self, slot: Slot, quote: &[u8]) -> Option<()> {
        self.take(quote)?;
        let end = *quote.first()?;
        self.add_step(slot, end)?;
        let start = self.at;
        self.take_plain();
        if matches!(slot, Slot::Text(_)) && self.rest().first() != Some(&end) {
            self.at = start + raw_length(tail(self.record, start), end, TEXT_BYTES)?;
            let has_escapes = self.record.get(start..self.at)?.contains(&b'\\');
            if has_escapes && self.is_in_meta {
                return None;
            }
        }
        self.steps.last_mut()?.length = self.at - start;
        self.literal_start = self.at;
        self.take(quote)
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
            self.steps.push(NewStep { literal, slot: Slot::Nothing, end: 0, length: 0, extra: None });
            bytes = rest;
        }
        self.steps.push(NewStep { literal: Literal::of(bytes)?, slot, end, length: 0, extra: None });
        Some(())
    }
}
