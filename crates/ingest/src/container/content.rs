//! The content of a member, piece by piece.

use std::io::{self, Read};

/// Bytes of a piece at most: little enough to be read while still in the cache of a core.
pub(crate) const PIECE_BYTES: usize = 256 << 10;

/// The content of a member.
pub(crate) trait Content {
    /// The next bytes; none at the end. To get there checks all that the container can check. An error is damage of the member, or of
    /// the system (with a code of the system), and ends it.
    fn piece(&mut self) -> io::Result<&[u8]>;
}

/// Content that is there, and checked.
pub(super) struct Whole<'a>(pub(super) &'a [u8]);

impl Content for Whole<'_> {
    fn piece(&mut self) -> io::Result<&[u8]> {
        let (piece, rest) = self.0.split_at(self.0.len().min(PIECE_BYTES));
        self.0 = rest;
        Ok(piece)
    }
}

/// Content that is made as it is read.
pub(super) struct Streamed<'a, R: ?Sized> {
    pub(super) reader: &'a mut R,
    /// Holds a piece.
    pub(super) chunk: &'a mut [u8],
}

impl<R: Read + ?Sized> Content for Streamed<'_, R> {
    fn piece(&mut self) -> io::Result<&[u8]> {
        let count = read_piece(self.reader, self.chunk)?;
        Ok(self.chunk.get(..count).unwrap_or_default())
    }
}

/// Reads once, and not in vain.
pub(super) fn read_piece(reader: &mut (impl Read + ?Sized), chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
