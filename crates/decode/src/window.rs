//! A view of a member's bytes.

use crate::text::{head, tail};

/// The bytes that a splitter may look at now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// The member's bytes, and perhaps zeros behind its end.
    pub(crate) bytes: &'a [u8],
    /// Where the member's bytes end.
    pub(crate) end: usize,
    /// Whether the member ends with them.
    pub(crate) ends_here: bool,
}

impl<'a> Window<'a> {
    /// Bytes in the middle of a member.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, end: bytes.len(), ends_here: false }
    }

    /// The member's bytes.
    pub(crate) fn text(self) -> &'a [u8] {
        head(self.bytes, self.end)
    }

    /// The rest from a position on.
    pub(crate) fn from(self, at: usize) -> Self {
        Self { bytes: tail(self.bytes, at), end: self.end.saturating_sub(at), ..self }
    }
}
