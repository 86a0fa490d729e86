//! Finding the end of one element of a list, without parsing it.
//!
//! Strings and brackets are followed, kinds of brackets are not compared: whether the element is JSON is for the parsers to say. Of an
//! element that is JSON, the end found here is its end.

use crate::text::{is_blank, tail};

/// A search for the end of an element that goes on from window to window; each window starts with the element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan {
    shape: Shape,
    /// Bytes looked at.
    at: usize,
    /// Open objects and lists.
    depth: usize,
    in_string: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// An object or a list.
    Nested {
        object: bool,
    },
    Text,
    /// A number or a word.
    Bare,
}

/// Outcome of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanEnd {
    /// The element is so many bytes long.
    At(usize),
    /// The window does not hold its end.
    Unknown,
}

impl Scan {
    /// A scan of the element that starts with this byte, which is not a blank, `,` or `]`.
    pub(crate) fn new(first: u8) -> Self {
        let shape = match first {
            b'{' => Shape::Nested { object: true },
            b'[' => Shape::Nested { object: false },
            b'"' => Shape::Text,
            _ => Shape::Bare,
        };
        Self { shape, at: 0, depth: 0, in_string: false }
    }

    /// Whether nothing was scanned yet.
    pub(crate) fn is_new(&self) -> bool {
        self.at == 0
    }

    /// Goes on with the scan, up to a number of bytes of the element. An end that was found is found again.
    pub(crate) fn resume(&mut self, element: &[u8], limit: usize) -> ScanEnd {
        let element = element.get(..limit).unwrap_or(element);
        match self.shape {
            Shape::Bare => self.resume_bare(element),
            shape => self.resume_nested(element, shape),
        }
    }

    fn resume_bare(&mut self, element: &[u8]) -> ScanEnd {
        // The first byte belongs to the element whatever it is, so that no element is empty.
        let from = self.at.max(1);
        let ends = |&byte: &u8| is_blank(byte) || matches!(byte, b',' | b']' | b'}' | b'{' | b'[' | b'"' | b':');
        match tail(element, from).iter().position(ends) {
            Some(more) => ScanEnd::At(from + more),
            None => {
                self.at = element.len();
                ScanEnd::Unknown
            }
        }
    }

    fn resume_nested(&mut self, element: &[u8], shape: Shape) -> ScanEnd {
        while let Some(&byte) = element.get(self.at) {
            if self.in_string {
                match byte {
                    b'"' if shape == Shape::Text => return ScanEnd::At(self.at + 1),
                    b'"' => self.in_string = false,
                    // The escaped byte can be beyond this window: then it is skipped in the next one.
                    b'\\' if self.at + 1 >= element.len() => return ScanEnd::Unknown,
                    b'\\' => self.at += 1,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    // The end of the list around a record that lacks its own end.
                    b']' if self.depth == 1 && shape == (Shape::Nested { object: true }) => {
                        return ScanEnd::At(self.at);
                    }
                    b'}' | b']' if self.depth == 1 => return ScanEnd::At(self.at + 1),
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
            }
            self.at += 1;
        }
        ScanEnd::Unknown
    }
}

/// Guesses the length of the record at the start of a window: up to the first `}` behind which a list goes on or ends.
///
/// Much faster than a [`Scan`]. The guess is right exactly if the bytes are one JSON object, because no object starts with another whole
/// object: then the scan would find the same end. `None` where nothing in the window looks like an end.
pub(crate) fn guess_end(window: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'}', window).map(|brace| brace + 1).find(|&end| {
        let mut following = tail(window, end).iter().copied().filter(|&byte| !is_blank(byte));
        match following.next() {
            Some(b']') => true,
            Some(b',') => following.next() == Some(b'{'),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_elements() {
        let cases = [
            (r#"{"a":"}\"]"},"#, Some(12)),
            (r#"{"a":[{}]}x"#, Some(10)),
            (r#"{"a":1],"#, Some(6)),
            (r#"{"a":[1}],{"b""#, Some(8)),
            (r#"{"a":"\\"}"#, Some(10)),
            (r#"{"a":"\"#, None),
            (r#"[1,"]",[2]]]"#, Some(11)),
            (r#""a\",b" :"#, Some(7)),
            ("12e5 ,", Some(4)),
            ("nul}", Some(3)),
            ("}}", Some(1)),
            ("null", None),
            ("{", None),
        ];
        for (text, expected) in cases {
            let text = text.as_bytes();
            for step in 1..=text.len() {
                let mut scan = Scan::new(text[0]);
                let mut windows = (step..text.len()).step_by(step).chain([text.len()]);
                let end = windows.find_map(|end| match scan.resume(&text[..end], 100) {
                    ScanEnd::At(end) => Some(end),
                    ScanEnd::Unknown => None,
                });
                assert_eq!(end, expected, "{} by {step}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn guesses() {
        let cases = [
            (r#"{"a":1},{"b":2}]"#, Some(7)),
            (r#"{"m":"{}","b":{"c":1},"d":2} , {"#, Some(28)),
            (r#"{"b":{"c":1}} ]"#, Some(13)),
            (r#"{"b":{}},"#, None),
            (r#"{"a":1}"#, None),
            ("", None),
        ];
        for (window, expected) in cases {
            assert_eq!(guess_end(window.as_bytes()), expected, "{window}");
        }
    }
}
