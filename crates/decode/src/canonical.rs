//! JSON in one canonical form: equal values give equal bytes.
//!
//! Object names sorted by their bytes, the last of equal names kept; no blanks; strings escaped only where JSON demands it; numbers as
//! [`crate::number`] says.

use std::fmt::Write as _;

use crate::number;
use crate::tape::{Node, Nodes, Number};

/// Appends a value in canonical form. `order` is scratch memory, left as it was.
///
/// Recurses once per level of nesting, which the parsers bound.
pub(crate) fn push_value(nodes: Nodes<'_>, at: usize, order: &mut Vec<usize>, out: &mut String) {
    match nodes.get(at) {
        Node::Null => out.push_str("null"),
        Node::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Node::Number(number) => push_number(number, out),
        Node::Text(text) => push_string(text, out),
        Node::List { .. } => {
            out.push('[');
            for (index, element) in nodes.elements(at).enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_value(nodes, element, order, out);
            }
            out.push(']');
        }
        Node::Object { .. } => push_object(nodes, at, order, out),
    }
}

fn push_object(nodes: Nodes<'_>, at: usize, order: &mut Vec<usize>, out: &mut String) {
    // The names of this object lie on top of those of the objects around it.
    let bottom = order.len();
    order.extend(nodes.names(at));
    if let Some(names) = order.get_mut(bottom..) {
        names.sort_unstable_by(|&a, &b| nodes.text(a).cmp(nodes.text(b)).then(a.cmp(&b)));
    }
    let mut index = bottom;
    out.push('{');
    let mut first = true;
    while let Some(&name) = order.get(index) {
        index += 1;
        if order.get(index).is_some_and(|&next| nodes.text(next) == nodes.text(name)) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        push_string(nodes.text(name), out);
        out.push(':');
        push_value(nodes, name + 1, order, out);
    }
    out.push('}');
    order.truncate(bottom);
}

/// Appends a number in canonical form.
pub(crate) fn push_number(number: Number<'_>, out: &mut String) {
    // Writing to a `String` cannot fail.
    let _ = match number {
        Number::Unsigned(value) => write!(out, "{value}"),
        Number::Signed(value) => write!(out, "{value}"),
        Number::Written(text) => {
            number::push_canonical(text, out);
            Ok(())
        }
    };
}

/// Appends a string in quotes, escaped only where JSON demands it.
pub(crate) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = text;
    while let Some(at) = plain.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        let (before, rest) = plain.split_at_checked(at).unwrap_or((plain, ""));
        out.push_str(before);
        let mut characters = rest.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            None => {}
        }
        plain = characters.as_str();
    }
    out.push_str(plain);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::Parser;

    fn canonical(json: &str) -> String {
        let (mut order, mut out) = (Vec::new(), String::new());
        Parser::new(128).parse(json.as_bytes(), |nodes| push_value(nodes, 0, &mut order, &mut out)).unwrap();
        assert!(order.is_empty());
        out
    }

    #[test]
    fn values_in_canonical_form() {
        let cases = [
            (r#" { "b" : 1 , "a" : [ true , null , { } , [ ] ] } "#, r#"{"a":[true,null,{},[]],"b":1}"#),
            (r#"{"a":1,"b":{"z":1,"y":{"b":1,"a":2},"z":2},"a":3}"#, r#"{"a":3,"b":{"y":{"a":2,"b":1},"z":2}}"#),
            (r#"{"\u0061":1,"A":2,"é":3,"":4,"\ud83d\ude00":5}"#, r#"{"":4,"A":2,"a":1,"é":3,"😀":5}"#),
            (
                r#"["\/\u0041\u00e9\u0000\u001f\u007f\"\\\b\f\n\r\t"]"#,
                "[\"/Aé\\u0000\\u001f\u{7f}\\\"\\\\\\b\\f\\n\\r\\t\"]",
            ),
            ("[1,-1,-0,1.50,1e2,18446744073709551616]", "[1,-1,-0,1.5,100.0,18446744073709551616]"),
        ];
        for (json, expected) in cases {
            assert_eq!(canonical(json), expected);
            assert_eq!(canonical(expected), expected);
        }
    }

    #[test]
    fn strings_are_escaped_as_serde_json_does() {
        let all: String = (0..0x100).chain([0x2028, 0x1f600]).filter_map(char::from_u32).collect();
        let mut out = String::new();
        push_string(&all, &mut out);
        assert_eq!(out, serde_json::to_string(&all).unwrap());
    }
}
