//! Texts of a record, fit to be shown: nothing in them may pass for something else.

use std::fmt::Write;

use keytrail_model::text::is_hidden;

/// Whether a text shows all that is in it.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.chars().any(is_hidden)
}

/// The text with hidden characters spelt out, `\u{202e}`.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The text as a Markdown table cell that shows just that text: no markup, no HTML, no new column or line.
pub(crate) fn markdown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let shown_text = visible(text);
    let mut before = ' ';
    let mut characters = shown_text.chars().peekable();
    while let Some(character) = characters.next() {
        let inside_word = before.is_alphanumeric() && characters.peek().is_some_and(|next| next.is_alphanumeric());
        match character {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '\n' => shown.push_str("<br>"),
            '_' if inside_word => shown.push('_'),
            '\\' | '|' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '~' | '!' | '$' => {
                let _ = write!(shown, "\\{character}");
            }
            _ => shown.push(character),
        }
        before = character;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_spelt_out() {
        for (text, expected) in [
            ("plain é 日本", "plain é 日本"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("x\u{202e}y", "x\\u{202e}y"),
            ("\0", "\\u{0}"),
            ("two\nlines", "two\nlines"),
        ] {
            assert_eq!(visible(text), expected);
            assert_eq!(is_plain(text), text == expected);
        }
    }

    #[test]
    fn markdown_cells() {
        for (text, expected) in [
            ("LUNA_RET_OK", "LUNA_RET_OK"),
            ("a|b", "a\\|b"),
            ("<script>&", "&lt;script&gt;&amp;"),
            ("_x_ *y* `z` [l](u)", "\\_x\\_ \\*y\\* \\`z\\` \\[l\\](u)"),
            ("two\nlines", "two<br>lines"),
            ("back\\slash", "back\\\\slash"),
        ] {
            assert_eq!(markdown(text), expected);
        }
    }
}
