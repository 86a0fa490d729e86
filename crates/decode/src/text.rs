//! Small views of bytes that every stage shares: blanks, and bytes as people read them.

pub(crate) use keytrail_model::key::ONES;

/// Whether JSON allows the byte between its tokens.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Number of blanks at the start.
pub(crate) fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&byte| is_blank(byte)).count()
}

/// The bytes without the blanks at their end.
pub(crate) fn trim_end(bytes: &[u8]) -> &[u8] {
    let kept = bytes.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1);
    head(bytes, kept)
}

/// The first bytes, all where there are fewer.
pub(crate) fn head(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}

/// The bytes from a position on, none past the end.
pub(crate) fn tail(bytes: &[u8], from: usize) -> &[u8] {
    bytes.get(from..).unwrap_or_default()
}

/// A byte in a message: a visible ASCII character in quotes, else its number.
pub(crate) fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() || byte == b' ' {
        format!("'{}'", char::from(byte))
    } else {
        format!("byte 0x{byte:02x}")
    }
}

/// A byte in a message, or that there is none.
pub(crate) fn shown_or_end(byte: Option<u8>) -> String {
    byte.map_or_else(|| "the end".to_owned(), shown)
}

/// A text in a message: quoted, control characters escaped, cut to a number of characters.
pub(crate) fn quoted(text: &str, characters: usize) -> String {
    let cut: String = text.chars().take(characters).collect();
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("{cut:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views() {
        assert_eq!(blanks(b" \t\r\n\x0bx"), 4);
        assert_eq!(trim_end(b"a \n"), b"a");
        assert_eq!(trim_end(b" "), b"");
        assert_eq!((head(b"ab", 3), tail(b"ab", 3)), (b"ab".as_slice(), b"".as_slice()));
        assert_eq!(
            (shown(b'"'), shown(0xff), shown_or_end(None)),
            ("'\"'".into(), "byte 0xff".into(), "the end".into())
        );
        assert_eq!(quoted("a\nbcd", 3), "\"a\\nb\"...");
        assert_eq!(quoted("über", 4), "\"über\"");
    }
}
