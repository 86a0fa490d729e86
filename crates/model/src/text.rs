//! What may be shown of a text that others wrote.

/// Whether a character is not seen but changes what is: controls but the line feed, and marks of no width or that turn the direction of text.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_marks_are_hidden_and_letters_are_not() {
        let hidden = "\0\t\r\u{1b}\u{7f}\u{9b}\u{200b}\u{202e}\u{2066}\u{feff}";
        assert!(hidden.chars().all(is_hidden));
        assert!(!"a \n\u{e4}\u{5d0}\u{1f511}".chars().any(is_hidden));
    }
}
