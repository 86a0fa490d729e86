//! One JSON text as a row of nodes in document order, whichever parser read it.
//!
//! The fast parser (simd-json) reads every text first. The exact one ([`crate::exact`]) takes over where the fast one refuses the text,
//! because it may be wrong to (integers beyond 64 bits) and does not say where the fault is; where the text holds a number that is not an
//! integer, because the fast one turns those into doubles and loses their digits; and where the text is long, because the fast one may need
//! 28 bytes of memory for each of the text. Both give the same nodes for the same text.
//!
//! All buffers are reused from text to text: no allocation per record once they have grown.

use simd_json::{Buffers, INPUT_PADDING, StaticNode, Tape};

use crate::exact::{ExactNode, ExactTape, Fault};

/// Longest text that the fast parser gets. A hundred times a usual record.
const FAST_BYTES: usize = 64 * 1024;

/// A value as it stands at one place of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    /// Without quotes and escapes.
    Text(&'a str),
    /// `len` elements, each a value with what belongs to it.
    List {
        len: usize,
    },
    /// `len` members, each a name (a text) and a value.
    Object {
        len: usize,
    },
}

impl Node<'_> {
    /// The kind of value, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List { .. } => "a list",
            Self::Object { .. } => "an object",
        }
    }
}

/// A number without loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number<'a> {
    Unsigned(u64),
    Signed(i64),
    /// As it was written.
    Written(&'a str),
}

/// The nodes of a parsed text. Node 0 is the whole; a list or object is followed by what belongs to it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Nodes<'a> {
    Fast(&'a [simd_json::Node<'a>]),
    Exact(&'a ExactTape),
}

impl<'a> Nodes<'a> {
    /// The value of a node; null past the end.
    pub(crate) fn get(self, at: usize) -> Node<'a> {
        match self {
            Self::Fast(nodes) => match nodes.get(at) {
                Some(&simd_json::Node::String(text)) => Node::Text(text),
                Some(&simd_json::Node::Object { len, .. }) => Node::Object { len },
                Some(&simd_json::Node::Array { len, .. }) => Node::List { len },
                Some(simd_json::Node::Static(value)) => fast_value(*value),
                None => Node::Null,
            },
            Self::Exact(tape) => match tape.nodes.get(at) {
                Some(&ExactNode::Text { start, end }) => Node::Text(tape.text(start, end)),
                Some(&ExactNode::Object { len, .. }) => Node::Object { len: len as usize },
                Some(&ExactNode::List { len, .. }) => Node::List { len: len as usize },
                Some(&ExactNode::Number { start, end }) => Node::Number(Number::Written(tape.text(start, end))),
                Some(&ExactNode::Bool(value)) => Node::Bool(value),
                Some(ExactNode::Null) | None => Node::Null,
            },
        }
    }

    /// The text of a node, empty where it is none. For names, which always are.
    pub(crate) fn text(self, at: usize) -> &'a str {
        match self.get(at) {
            Node::Text(text) => text,
            _ => "",
        }
    }

    /// The first node behind a value and all that belongs to it.
    fn after(self, at: usize) -> usize {
        let belonging = match self {
            Self::Fast(nodes) => match nodes.get(at) {
                Some(simd_json::Node::Object { count, .. } | simd_json::Node::Array { count, .. }) => *count,
                _ => 0,
            },
            Self::Exact(tape) => match tape.nodes.get(at) {
                Some(ExactNode::Object { count, .. } | ExactNode::List { count, .. }) => *count as usize,
                _ => 0,
            },
        };
        at + 1 + belonging
    }

    /// The nodes of the names of an object; the value of each is the node behind its name. Empty for any other value.
    pub(crate) fn names(self, object: usize) -> impl Iterator<Item = usize> {
        let len = if let Node::Object { len } = self.get(object) { len } else { 0 };
        let mut next = object + 1;
        (0..len).map(move |_| {
            let name = next;
            next = self.after(name + 1);
            name
        })
    }

    /// The nodes of the elements of a list. Empty for any other value.
    pub(crate) fn elements(self, list: usize) -> impl Iterator<Item = usize> {
        let len = if let Node::List { len } = self.get(list) { len } else { 0 };
        let mut next = list + 1;
        (0..len).map(move |_| {
            let element = next;
            next = self.after(element);
            element
        })
    }
}

fn fast_value(value: StaticNode) -> Node<'static> {
    match value {
        StaticNode::U64(value) => Node::Number(Number::Unsigned(value)),
        // The fast parser gives this type to negative numbers only.
        StaticNode::I64(0) => Node::Number(Number::Written("-0")),
        StaticNode::I64(value) => Node::Number(Number::Signed(value)),
        StaticNode::Bool(value) => Node::Bool(value),
        // Texts with doubles go the exact way: none comes here.
        StaticNode::F64(_) | StaticNode::Null => Node::Null,
    }
}

/// Parses texts one after the other, with buffers reused.
pub(crate) struct Parser {
    max_depth: usize,
    /// The text at hand with the padding that the fast parser asks for. It takes escapes out in place, so it gets a copy.
    padded: Vec<u8>,
    buffers: Buffers,
    /// Empty between texts; kept for its memory.
    tape: Tape<'static>,
    exact: ExactTape,
}

impl Parser {
    pub(crate) fn new(max_depth: usize) -> Self {
        Self {
            max_depth,
            padded: Vec::new(),
            buffers: Buffers::with_max_depth(1024, max_depth),
            tape: Tape(Vec::new()),
            exact: ExactTape::default(),
        }
    }

    /// Parses one JSON value with blanks around it and shows its nodes.
    ///
    /// # Errors
    /// The text is not JSON by the strict grammar, or nested too deeply; nothing was shown.
    pub(crate) fn parse<T>(&mut self, json: &[u8], show: impl FnOnce(Nodes<'_>) -> T) -> Result<T, Fault> {
        if json.len() > FAST_BYTES {
            self.exact.parse(json, self.max_depth)?;
            return Ok(show(Nodes::Exact(&self.exact)));
        }
        self.padded.clear();
        self.padded.extend_from_slice(json);
        self.padded.resize(json.len() + INPUT_PADDING, b' ');
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let read = simd_json::fill_tape_padded(&mut self.padded, json.len(), &mut self.buffers, &mut tape);
        if read.is_ok() && !tape.0.iter().any(|node| matches!(node, simd_json::Node::Static(StaticNode::F64(_)))) {
            let shown = show(Nodes::Fast(&tape.0));
            self.tape = tape.reset();
            return Ok(shown);
        }
        self.tape = tape.reset();
        self.exact.parse(json, self.max_depth)?;
        Ok(show(Nodes::Exact(&self.exact)))
    }

    /// The fault of a text, `None` where it is fine.
    pub(crate) fn fault(&mut self, json: &[u8]) -> Option<Fault> {
        self.exact.parse(json, self.max_depth).err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text as seen through either parser, `None` where it is refused.
    fn by_parser(json: &[u8]) -> (Option<String>, Option<String>) {
        let mut padded = [json, [b' '; INPUT_PADDING].as_slice()].concat();
        let mut tape = Tape::null();
        let mut buffers = Buffers::with_max_depth(0, 128);
        let fast = simd_json::fill_tape_padded(&mut padded, json.len(), &mut buffers, &mut tape)
            .is_ok()
            .then(|| shown(Nodes::Fast(&tape.0), 0));
        let mut exact = ExactTape::default();
        (fast, exact.parse(json, 128).is_ok().then(|| shown(Nodes::Exact(&exact), 0)))
    }

    fn shown(nodes: Nodes<'_>, at: usize) -> String {
        match nodes.get(at) {
            Node::List { .. } => nodes.elements(at).map(|at| shown(nodes, at)).collect::<Vec<_>>().join(","),
            Node::Object { .. } => {
                nodes.names(at).map(|at| format!("{:?}:{}", nodes.text(at), shown(nodes, at + 1))).collect()
            }
            Node::Number(Number::Unsigned(value)) => value.to_string(),
            Node::Number(Number::Signed(value)) => value.to_string(),
            Node::Number(Number::Written(value)) => value.into(),
            Node::Text(text) => format!("{text:?}"),
            node => format!("{node:?}"),
        }
    }

    /// The fast parser may refuse what the exact one takes (that costs time only), never the other way round.
    fn assert_fast_is_strict(json: &[u8]) {
        let (fast, exact) = by_parser(json);
        let holds_double = json.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
        if let Some(fast) = fast {
            let exact = exact.unwrap_or_else(|| panic!("only the fast parser takes {}", json.escape_ascii()));
            assert!(holds_double || fast == exact, "{}: {fast} and {exact}", json.escape_ascii());
        }
    }

    #[test]
    fn the_fast_parser_is_as_strict_as_the_exact_one_with_any_byte_anywhere() {
        let padding = "-".repeat(57);
        let templates = [
            r#"{"a":"b\n\u00e9","c":[1,-2,true,false,null,{}],"d":{"e":0.5e-3}}"#.to_owned(),
            format!(r#"{{"{padding}":"b","c\"":123456789012345678}}"#),
            format!(r#"{{"a":"{padding}{padding}\\", "c" : [ ] }}"#),
            format!("{{\"a\":\"{padding}ü{padding}€😀\\ud83d\\ude00\"}}"),
        ];
        for template in &templates {
            for at in 0..template.len() {
                for byte in 0..=255 {
                    let mut replaced = template.as_bytes().to_vec();
                    replaced[at] = byte;
                    assert_fast_is_strict(&replaced);
                    let mut inserted = template.as_bytes().to_vec();
                    inserted.insert(at, byte);
                    assert_fast_is_strict(&inserted);
                }
                let mut cut = template.as_bytes().to_vec();
                cut.remove(at);
                assert_fast_is_strict(&cut);
                assert_fast_is_strict(&template.as_bytes()[..at]);
            }
        }
    }

    #[test]
    fn odd_texts_are_the_same_to_both() {
        let both = [
            "18446744073709551615",
            "-9223372036854775808",
            "-0",
            r#"{"a":{"a":{"b":[[[]],{}]}},"a":2}"#,
            "\"\\u0000\\ud83d\\ude00\\\\u0041\\/\"",
            " \t\r\n[ ] \n",
        ];
        for json in both {
            let (fast, exact) = by_parser(json.as_bytes());
            assert!(fast.is_some() && fast == exact, "{json}: {fast:?} and {exact:?}");
        }
        let only_exact = ["18446744073709551616", "-9223372036854775809", "1e400", "123456789012345678901234567890"];
        for json in only_exact {
            assert_eq!(by_parser(json.as_bytes()), (None, Some(json.into())));
        }
        let neither =
            ["{\"a\":1\0}", "[1,2]]", "[\"\\ud800\\u0041\"]", "\"\\ud800\"", "[\u{b}1]", "[1\u{c}]", "\u{a0}1", "{}{}"];
        for json in neither {
            assert_eq!(by_parser(json.as_bytes()), (None, None), "{json:?}");
        }
        for depth in [128, 129] {
            let json = "[".repeat(depth) + &"]".repeat(depth);
            let (fast, exact) = by_parser(json.as_bytes());
            assert_eq!((fast.is_some(), exact.is_some()), (depth == 128, depth == 128));
        }
    }

    proptest::proptest! {
        #[test]
        fn both_parsers_agree(json in r#"([{}\[\]:,"\\ u0-9.eE+a-]|"a":|"[ab]{0,70}",?|true|null,|\\u[d0][89ce]0{2}|[{]"|é|\x01|\x0b){0,40}"#) {
            assert_fast_is_strict(json.as_bytes());
        }
    }
}
