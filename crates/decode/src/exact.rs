//! The exact way to read a record: a strict JSON parser (RFC 8259) that says where a fault is, and keeps the digits of numbers.
//!
//! It answers for the two things the fast parser cannot do: the byte, the expectation and the finding of a fault, and numbers as they
//! were written. It keeps no value as a number and does not recurse: memory grows with the text only, nesting is bounded.
//!
//! Faults come in two kinds. A *broken* text cannot be followed any further: brackets or quotes are not what they should be, so where
//! the record ends is anybody's guess. Any other fault (a bad escape, `01`, bytes that are not UTF-8) leaves the shape of the text in no
//! doubt; the parser reads on behind it, to learn whether the text is broken as well.

use std::borrow::Cow;

use crate::text::{head, is_blank, shown, shown_or_end, tail};

/// A fault in a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte of the text.
    pub(crate) offset: usize,
    pub(crate) expected: Cow<'static, str>,
    pub(crate) found: String,
    /// Whether the shape of the text is in doubt, here or further on.
    pub(crate) broken: bool,
    /// Whether the text only ends too early: more of it could be right.
    pub(crate) cut: bool,
    /// Whether all that is wrong is that values lie in more of each other than they may.
    pub(crate) too_deep: bool,
}

impl Fault {
    fn broken(offset: usize, expected: impl Into<Cow<'static, str>>, found: Option<u8>) -> Self {
        let (found, cut) = (shown_or_end(found), found.is_none());
        Self { offset, expected: expected.into(), found, broken: true, cut, too_deep: false }
    }

    fn in_shape(offset: usize, expected: &'static str, found: String) -> Self {
        Self { offset, expected: expected.into(), found, broken: false, cut: false, too_deep: false }
    }

    /// The reason of a reject whose text starts at a byte of the member.
    pub(crate) fn reason(&self, start: u64) -> String {
        format!("expected {}, found {} at byte {}", self.expected, self.found, start + self.offset as u64)
    }
}

/// A value of a parsed text. Texts and numbers lie in [`ExactTape::texts`]. 32 bits are enough for the longest record, and the longest
/// record may hold a node in every second byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExactNode {
    Null,
    Bool(bool),
    /// As it was written.
    Number {
        start: u32,
        end: u32,
    },
    /// Without quotes and escapes.
    Text {
        start: u32,
        end: u32,
    },
    /// `len` elements, `count` nodes behind this one belong to it.
    List {
        len: u32,
        count: u32,
    },
    /// `len` members (a name and a value each), `count` nodes behind this one belong to it.
    Object {
        len: u32,
        count: u32,
    },
}

/// The values of a text in document order, and what the parser needs; reused from text to text.
#[derive(Debug, Default)]
pub(crate) struct ExactTape {
    pub(crate) nodes: Vec<ExactNode>,
    pub(crate) texts: String,
    open: Vec<Open>,
}

/// An object or list that is not closed yet.
#[derive(Debug)]
struct Open {
    node: usize,
    len: usize,
    object: bool,
}

/// What may come next.
#[derive(Clone, Copy)]
enum Next {
    Value,
    ValueOrClose,
    Name,
    NameOrClose,
    AfterValue,
}

impl ExactTape {
    /// Reads one JSON value with blanks around it. After a fault the tape is of no use.
    ///
    /// # Errors
    /// The first fault of the text; [`Fault::broken`] also where only a later one breaks it.
    pub(crate) fn parse(&mut self, json: &[u8], max_depth: usize) -> Result<(), Fault> {
        self.nodes.clear();
        self.texts.clear();
        self.open.clear();
        let (text, wrong_utf8) = match std::str::from_utf8(json) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.valid_up_to();
                let found = shown_or_end(json.get(at).copied());
                ("", Some(Fault::in_shape(at, "UTF-8 text", found)))
            }
        };
        let mut reader = Reader { json, text, at: 0, max_depth, tape: self, first: wrong_utf8 };
        match (reader.run(), reader.first) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(fault)) => Err(fault),
            (Err(fault), Some(first)) if first.offset < fault.offset => {
                Err(Fault { broken: true, cut: fault.cut, ..first })
            }
            (Err(fault), _) => Err(fault),
        }
    }

    pub(crate) fn text(&self, start: u32, end: u32) -> &str {
        self.texts.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// One pass over a text.
struct Reader<'a> {
    json: &'a [u8],
    /// The same as text; empty where it is not UTF-8.
    text: &'a str,
    at: usize,
    max_depth: usize,
    tape: &'a mut ExactTape,
    /// First fault that leaves the shape in no doubt.
    first: Option<Fault>,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        let mut next = Next::Value;
        loop {
            self.skip_blanks();
            next = match (next, self.peek()) {
                (Next::ValueOrClose, Some(b']')) => self.close(),
                (Next::Value | Next::ValueOrClose, byte) => self.value(byte)?,
                (Next::NameOrClose, Some(b'}')) => self.close(),
                (Next::Name | Next::NameOrClose, Some(b'"')) => self.name()?,
                (Next::Name, byte) => return Err(self.broken("a name in double quotes", byte)),
                (Next::NameOrClose, byte) => return Err(self.broken("a name in double quotes or '}'", byte)),
                (Next::AfterValue, byte) => match (self.tape.open.last().map(|open| open.object), byte) {
                    (None, None) => return Ok(()),
                    (None, Some(_)) => {
                        // A whole value stands here: what follows it cannot make it wrong in shape.
                        return Err(Fault { cut: false, ..self.broken("nothing after the JSON value", byte) });
                    }
                    (Some(object), Some(b',')) => {
                        self.at += 1;
                        if object { Next::Name } else { Next::Value }
                    }
                    (Some(true), Some(b'}')) | (Some(false), Some(b']')) => self.close(),
                    (Some(true), byte) => return Err(self.broken("',' or '}' after a member", byte)),
                    (Some(false), byte) => return Err(self.broken("',' or ']' after an element", byte)),
                },
            };
        }
    }

    fn value(&mut self, byte: Option<u8>) -> Result<Next, Fault> {
        if let Some(open) = self.tape.open.last_mut() {
            open.len += 1;
        }
        match byte {
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'"') => {
                self.string()?;
                Ok(Next::AfterValue)
            }
            Some(byte) if is_bare(byte) => {
                self.bare();
                Ok(Next::AfterValue)
            }
            byte => Err(self.broken("a JSON value", byte)),
        }
    }

    fn open(&mut self, object: bool) -> Result<Next, Fault> {
        if self.tape.open.len() >= self.max_depth {
            let expected = format!("at most {} levels of nesting", self.max_depth);
            let broken = Fault::broken(self.at, expected, self.peek());
            return Err(Fault { found: "one more".into(), too_deep: true, ..broken });
        }
        self.tape.open.push(Open { node: self.tape.nodes.len(), len: 0, object });
        self.tape.nodes.push(ExactNode::Null);
        self.at += 1;
        Ok(if object { Next::NameOrClose } else { Next::ValueOrClose })
    }

    fn close(&mut self) -> Next {
        self.at += 1;
        let all = self.tape.nodes.len();
        if let Some(Open { node, len, object }) = self.tape.open.pop()
            && let Some(slot) = self.tape.nodes.get_mut(node)
        {
            let (len, count) = (narrow(len), narrow(all - node - 1));
            *slot = if object { ExactNode::Object { len, count } } else { ExactNode::List { len, count } };
        }
        Next::AfterValue
    }

    fn name(&mut self) -> Result<Next, Fault> {
        // Members are counted when their value starts.
        self.string()?;
        self.skip_blanks();
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(Next::Value)
            }
            byte => Err(self.broken("':' after a name", byte)),
        }
    }

    /// A string whose opening quote is at hand.
    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        let start = self.tape.texts.len();
        loop {
            let plain = self.at;
            let rest = tail(self.json, self.at);
            self.at += rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
            self.tape.texts.push_str(self.text.get(plain..self.at).unwrap_or_default());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(control) => {
                    self.note(self.at, "an escape in place of a control character", shown(control));
                    self.at += 1;
                }
                None => return Err(self.broken("'\"' at the end of a string", None)),
            }
        }
        self.at += 1;
        self.tape.nodes.push(ExactNode::Text { start: narrow(start), end: narrow(self.tape.texts.len()) });
        Ok(())
    }

    /// An escape whose backslash is at hand.
    fn escape(&mut self) -> Result<(), Fault> {
        let character = match self.json.get(self.at + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            Some(&byte) => {
                self.note(self.at + 1, "one of \"\\/bfnrtu after a backslash", shown(byte));
                char::REPLACEMENT_CHARACTER
            }
            None => return Err(Fault::broken(self.at + 1, "one of \"\\/bfnrtu after a backslash", None)),
        };
        self.tape.texts.push(character);
        self.at += 2;
        Ok(())
    }

    /// `\uXXXX`, or two of them that make up one character.
    fn unicode_escape(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 2;
        let Some(first) = self.four_digits()? else {
            return Ok(());
        };
        let character = match first {
            0xd800..=0xdbff => self.second_surrogate(first)?,
            unit => char::from_u32(unit),
        };
        match character {
            Some(character) => self.tape.texts.push(character),
            None => self.note(start, "a pair of surrogate escapes", format!("a lone \\u{first:04x}")),
        }
        Ok(())
    }

    /// The rest of a pair, `None` where it is not there; then nothing is consumed, for it may be a character of its own.
    fn second_surrogate(&mut self, first: u32) -> Result<Option<char>, Fault> {
        if head(tail(self.json, self.at), 2) != br"\u" {
            return Ok(None);
        }
        let start = self.at;
        self.at += 2;
        let second = self.four_digits()?;
        let pair = second.filter(|unit| (0xdc00..=0xdfff).contains(unit));
        if pair.is_none() && second.is_some() {
            self.at = start;
        }
        Ok(pair.and_then(|second| char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))))
    }

    /// Four hexadecimal digits. `None`, and a fault noted, where another character stands among them: it is left to be read next.
    fn four_digits(&mut self) -> Result<Option<u32>, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(byte) = self.peek() else {
                return Err(self.broken("four hexadecimal digits after \\u", None));
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                self.note(self.at, "four hexadecimal digits after \\u", shown(byte));
                return Ok(None);
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(Some(unit))
    }

    /// A number, `true`, `false`, `null`, or a word that is none of them.
    fn bare(&mut self) {
        let rest = tail(self.json, self.at);
        let length = rest.iter().position(|&byte| !is_bare(byte)).unwrap_or(rest.len());
        let token = head(rest, length);
        let node = match token {
            b"true" => ExactNode::Bool(true),
            b"false" => ExactNode::Bool(false),
            b"null" => ExactNode::Null,
            _ if token.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-') => {
                if let Err((at, expected)) = check_number(token) {
                    let byte = self.json.get(self.at + at).copied();
                    self.note(self.at + at, expected, shown_or_end(byte));
                }
                let start = self.tape.texts.len();
                self.tape.texts.push_str(self.text.get(self.at..self.at + length).unwrap_or_default());
                ExactNode::Number { start: narrow(start), end: narrow(self.tape.texts.len()) }
            }
            _ => {
                let found = format!("'{}'", head(token, 20).escape_ascii());
                self.note(self.at, "a JSON value", found);
                ExactNode::Null
            }
        };
        self.tape.nodes.push(node);
        self.at += length;
    }

    fn note(&mut self, at: usize, expected: &'static str, found: String) {
        if self.first.as_ref().is_none_or(|first| at < first.offset) {
            self.first = Some(Fault::in_shape(at, expected, found));
        }
    }

    fn broken(&self, expected: &'static str, found: Option<u8>) -> Fault {
        Fault::broken(self.at, expected, found)
    }

    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }
}

/// Sizes within a record, which is far shorter than 4 GiB.
fn narrow(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Bytes of numbers and words. A run of them is one token, right or wrong.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_')
}

/// Whether a token is a number of the grammar; if not, where not and what should stand there.
fn check_number(token: &[u8]) -> Result<(), (usize, &'static str)> {
    let digits = |at: usize| tail(token, at).iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(token.first() == Some(&b'-'));
    match (token.get(at), digits(at)) {
        (_, 0) => return Err((at, "a digit")),
        (Some(b'0'), 2..) => return Err((at + 1, "no digit after a leading zero")),
        (_, count) => at += count,
    }
    if token.get(at) == Some(&b'.') {
        at += 1;
        at += Some(digits(at)).filter(|&count| count > 0).ok_or((at, "a digit after the point"))?;
    }
    if matches!(token.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(token.get(at), Some(b'-' | b'+')));
        at += Some(digits(at)).filter(|&count| count > 0).ok_or((at, "a digit of the exponent"))?;
    }
    if at == token.len() { Ok(()) } else { Err((at, "the end of the number")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &[u8]) -> Option<String> {
        ExactTape::default().parse(json, 4).err().map(|fault| {
            let kind = if fault.broken { "broken: " } else { "" };
            format!("{kind}{}", fault.reason(0))
        })
    }

    #[test]
    fn faults_with_their_byte() {
        let cases: [(&[u8], &str); 40] = [
            (b"", "broken: expected a JSON value, found the end at byte 0"),
            (b"{", "broken: expected a name in double quotes or '}', found the end at byte 1"),
            (b"{\"a\"", "broken: expected ':' after a name, found the end at byte 4"),
            (b"{\"a\" 1}", "broken: expected ':' after a name, found '1' at byte 5"),
            (b"{\"a\":", "broken: expected a JSON value, found the end at byte 5"),
            (b"{\"a\":1", "broken: expected ',' or '}' after a member, found the end at byte 6"),
            (b"{\"a\":1,}", "broken: expected a name in double quotes, found '}' at byte 7"),
            (b"{,}", "broken: expected a name in double quotes or '}', found ',' at byte 1"),
            (b"{a:1}", "broken: expected a name in double quotes or '}', found 'a' at byte 1"),
            (b"{'a':1}", "broken: expected a name in double quotes or '}', found ''' at byte 1"),
            (b"{\"a\":1}}", "broken: expected nothing after the JSON value, found '}' at byte 7"),
            (b"{\"a\":1 \"b\":2}", "broken: expected ',' or '}' after a member, found '\"' at byte 7"),
            (b"{\"a\":1]", "broken: expected ',' or '}' after a member, found ']' at byte 6"),
            (b"[1,]", "broken: expected a JSON value, found ']' at byte 3"),
            (b"[1 2]", "broken: expected ',' or ']' after an element, found '2' at byte 3"),
            (b"[1}", "broken: expected ',' or ']' after an element, found '}' at byte 2"),
            (b"[/**/1]", "broken: expected a JSON value, found '/' at byte 1"),
            (b"\"a", "broken: expected '\"' at the end of a string, found the end at byte 2"),
            (b"\"\\", "broken: expected one of \"\\/bfnrtu after a backslash, found the end at byte 2"),
            (b"\"\\u12", "broken: expected four hexadecimal digits after \\u, found the end at byte 5"),
            (b"[[[[[", "broken: expected at most 4 levels of nesting, found one more at byte 4"),
            (b"[01] x", "broken: expected no digit after a leading zero, found '1' at byte 2"),
            (b"\"\\x\"", "expected one of \"\\/bfnrtu after a backslash, found 'x' at byte 2"),
            (b"\"\\u12g4\"", "expected four hexadecimal digits after \\u, found 'g' at byte 5"),
            (b"\"\\ud800\"", "expected a pair of surrogate escapes, found a lone \\ud800 at byte 1"),
            (b"\"a\\udc00\"", "expected a pair of surrogate escapes, found a lone \\udc00 at byte 2"),
            (b"\"\\ud800\\n\"", "expected a pair of surrogate escapes, found a lone \\ud800 at byte 1"),
            (b"\"\\ud800\\ud800\"", "expected a pair of surrogate escapes, found a lone \\ud800 at byte 1"),
            (b"\"\\ud800\\u00\"", "expected a pair of surrogate escapes, found a lone \\ud800 at byte 1"),
            (b"\"\n\"", "expected an escape in place of a control character, found byte 0x0a at byte 1"),
            (b"[\"\xff\",01]", "expected UTF-8 text, found byte 0xff at byte 2"),
            (b"[01,\"\xff\"]", "expected no digit after a leading zero, found '1' at byte 2"),
            (b"\"\xed\xa0\x80\"", "expected UTF-8 text, found byte 0xed at byte 1"),
            (b"[-]", "expected a digit, found ']' at byte 2"),
            (b"[1.]", "expected a digit after the point, found ']' at byte 3"),
            (b"[1.e3]", "expected a digit after the point, found 'e' at byte 3"),
            (b"1e+", "expected a digit of the exponent, found the end at byte 3"),
            (b"0x10", "expected the end of the number, found 'x' at byte 1"),
            (b"[NaN]", "expected a JSON value, found 'NaN' at byte 1"),
            (b"[+1]", "expected a JSON value, found '+1' at byte 1"),
        ];
        for (json, expected) in cases {
            assert_eq!(fault(json).as_deref(), Some(expected), "{}", json.escape_ascii());
        }
    }

    #[test]
    fn values_in_document_order() {
        let mut tape = ExactTape::default();
        let json = r#" {"a\u00e9\ud83d\ude00":[1,-0.50e+7,"\"\\\/\b\f\n\r\t"],"":{},"n":null,"t":[true,false,[]]} "#;
        tape.parse(json.as_bytes(), 3).unwrap();
        let shown: Vec<String> = tape
            .nodes
            .iter()
            .map(|node| match *node {
                ExactNode::Text { start, end } => format!("{:?}", tape.text(start, end)),
                ExactNode::Number { start, end } => tape.text(start, end).into(),
                ExactNode::List { len, count } => format!("[{len}/{count}]"),
                ExactNode::Object { len, count } => format!("{{{len}/{count}}}"),
                node => format!("{node:?}"),
            })
            .collect();
        let expected = r#"{4/14} "aé😀" [3/3] 1 -0.50e+7 "\"\\/\u{8}\u{c}\n\r\t" "" {0/0} "n" Null "t" [3/3] Bool(true) Bool(false) [0/0]"#;
        assert_eq!(shown.join(" "), expected);
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"([{}\[\]:,"\\ ntu0-9.eE+a/-]|"a":|"[ab]",|true|null|\\u00e9|\{"|":\[|\x01){0,24}"#) {
            let expected = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            let lone = text.contains("\\u");
            proptest::prop_assert!(lone || ExactTape::default().parse(text.as_bytes(), 128).is_ok() == expected, "{}", text);
        }
    }
}
