//! Where reading goes on after bytes that are no record.
//!
//! A *resync point* is a `{` that looks like the first byte of a record: blanks and a `"` follow it, and what stands before it fits. Quotes
//! and brackets are not followed on the way: they are what cannot be trusted. A record's own text hardly holds such a place, because inside
//! of strings JSON writes `\"`.

use crate::text::{blanks, head, is_blank, tail};

/// What must stand before a resync point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// A comma. For the search inside of a broken record, whose own members can hold objects.
    Comma,
    /// Anything but what makes it a member's value: `":`, or `:[`. For the search between records.
    NoMember,
}

/// Outcome of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    /// The resync point is at this byte of the window.
    Found(usize),
    /// Not in the first bytes of the window, whose number is told; the search needs those behind them.
    NotIn(usize),
}

/// A search that goes on from window to window.
#[derive(Debug)]
pub(crate) struct Resync {
    before: Before,
    /// Blanks behind a `{` that are looked at; further ones make it none.
    max_blanks: usize,
    /// The two newest bytes that are not blank, with the number of bytes passed when each was behind; the newer one first.
    newest: [Option<(u8, u64)>; 2],
    /// Bytes searched.
    passed: u64,
}

impl Resync {
    pub(crate) fn new(before: Before, max_blanks: usize) -> Self {
        Self { before, max_blanks, newest: [None; 2], passed: 0 }
    }

    /// Bytes searched so far.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// Bytes searched so far without the blanks at their end.
    pub(crate) fn passed_to_text(&self) -> u64 {
        let [newest, _] = self.newest;
        newest.map_or(0, |(_, end)| end)
    }

    /// Bytes searched so far without the blanks, one comma and the blanks before it at their end: the bytes before a separator.
    pub(crate) fn passed_to_separator(&self) -> u64 {
        match self.newest {
            [Some((b',', _)), before] => before.map_or(0, |(_, end)| end),
            _ => self.passed_to_text(),
        }
    }

    /// Searches a window, which must start behind the bytes passed so far.
    pub(crate) fn search(&mut self, window: &[u8], ends_here: bool) -> Search {
        let mut at = 0;
        loop {
            let rest = tail(window, at);
            let Some(brace) = memchr::memchr(b'{', rest) else {
                self.pass(rest);
                return Search::NotIn(window.len());
            };
            self.pass(head(rest, brace));
            at += brace;
            let behind = tail(window, at + 1);
            let gap = blanks(head(behind, self.max_blanks));
            match behind.get(gap) {
                Some(b'"') if self.fits() => return Search::Found(at),
                None if !ends_here => return Search::NotIn(at),
                _ => {}
            }
            self.pass(b"{");
            at += 1;
        }
    }

    /// Whether a `{` at this place can be the first byte of a record.
    fn fits(&self) -> bool {
        let [newest, before] = self.newest.map(|byte| byte.map(|(byte, _)| byte));
        match self.before {
            Before::Comma => newest == Some(b','),
            Before::NoMember => !matches!((before, newest), (Some(b'"'), Some(b':')) | (Some(b':'), Some(b'['))),
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        let mut texts = bytes.iter().enumerate().rev().filter(|(_, byte)| !is_blank(**byte));
        let ends = [texts.next(), texts.next()].map(|text| text.map(|(at, &byte)| (byte, self.passed + at as u64 + 1)));
        self.newest = match ends {
            [None, _] => self.newest,
            [Some(one), None] => [Some(one), self.newest[0]],
            both => both,
        };
        self.passed += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(before: Before, text: &str, step: usize) -> Option<(usize, u64)> {
        let mut resync = Resync::new(before, 4);
        let mut at = 0;
        for end in (step..text.len()).step_by(step).chain([text.len()]) {
            match resync.search(&text.as_bytes()[at..end], end == text.len()) {
                Search::Found(more) => return Some((at + more, resync.passed_to_separator())),
                Search::NotIn(more) => at += more,
            }
        }
        None
    }

    #[test]
    fn resync_points() {
        let cases = [
            (r#"{"a":1,{"b""#, Some((7, 6)), Some((0, 0))),
            (r#"x , { "b""#, Some((4, 1)), Some((4, 1))),
            (r#"x { "b""#, None, Some((2, 1))),
            (r#", ,{"b""#, Some((3, 1)), Some((3, 1))),
            (r#"x" : {"b""#, None, None),
            (r#":{"b""#, None, Some((1, 1))),
            (r#"x: [ {"b""#, None, None),
            (r#"x:[1,{"b""#, Some((5, 4)), Some((5, 4))),
            (r#"][{"b""#, None, Some((2, 2))),
            (r#"x,{\"b"#, None, None),
            (r#"x,{    "b""#, Some((2, 1)), Some((2, 1))),
            (r#"x,{     "b""#, None, None),
            (r#"x,{{"b""#, None, Some((3, 3))),
            ("x,{}", None, None),
            ("x,{", None, None),
        ];
        for (text, comma, no_member) in cases {
            for step in 1..=text.len() {
                assert_eq!(found(Before::Comma, text, step), comma, "{text} by {step}");
                assert_eq!(found(Before::NoMember, text, step), no_member, "{text} by {step}");
            }
        }
    }
}
