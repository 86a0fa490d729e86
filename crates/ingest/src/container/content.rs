//! The content of a member, piece by piece.

use std::io::{self, Read};

use libdeflater::Crc;

/// Bytes of a piece at most: little enough to be read while still in the cache of a core.
pub(crate) const PIECE_BYTES: usize = 256 << 10;

/// The content of a member.
pub(crate) trait Content {
    /// The next bytes; none at the end. To get there checks all that the container can check. An error is damage of the member, or of
    /// the system (with a code of the system), and ends it.
    fn piece(&mut self) -> io::Result<&[u8]>;
}

/// Content that is there as a whole.
pub(super) struct Whole<'a> {
    rest: &'a [u8],
    /// The piece handed out last.
    piece: &'a [u8],
    /// The checksum so far, and what it has to be in the end.
    check: Option<(Crc, u32)>,
}

impl<'a> Whole<'a> {
    /// Content known to be sound.
    pub(super) fn sound(content: &'a [u8]) -> Self {
        Self { rest: content, piece: &[], check: None }
    }

    /// Content whose CRC-32 is checked on the way: each piece when it was used, and so is in the cache already.
    pub(super) fn checked(content: &'a [u8], crc: u32) -> Self {
        Self { rest: content, piece: &[], check: Some((Crc::new(), crc)) }
    }
}

impl Content for Whole<'_> {
    fn piece(&mut self) -> io::Result<&[u8]> {
        if let Some((crc, _)) = &mut self.check {
            crc.update(self.piece);
        }
        (self.piece, self.rest) = self.rest.split_at(self.rest.len().min(PIECE_BYTES));
        match &self.check {
            Some((crc, expected)) if self.piece.is_empty() && crc.sum() != *expected => {
                Err(wrong_crc(*expected, crc.sum()))
            }
            _ => Ok(self.piece),
        }
    }
}

/// Says that a content is not the one that it has to be.
pub(super) fn wrong_crc(expected: u32, found: u32) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("CRC-32: expected {expected:08x}, found {found:08x}"))
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

/// A reader that is opened when it is first read.
pub(super) struct Late<R, F> {
    open: Option<F>,
    reader: Option<R>,
}

impl<R: Read, F: FnOnce() -> io::Result<R>> Late<R, F> {
    pub(super) fn new(open: F) -> Self {
        Self { open: Some(open), reader: None }
    }

    /// The reader, where it was opened.
    pub(super) fn reader(&self) -> Option<&R> {
        self.reader.as_ref()
    }
}

impl<R: Read, F: FnOnce() -> io::Result<R>> Read for Late<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(open) = self.open.take() {
            self.reader = Some(open()?);
        }
        // Nothing comes behind an error.
        self.reader.as_mut().map_or(Ok(0), |reader| reader.read(buffer))
    }
}

/// A reader that knows how far it was read, whoever read it.
pub(super) struct Watched<R> {
    pub(super) reader: R,
    bytes: u64,
    is_over: bool,
    has_failed: bool,
}

impl<R: Read> Watched<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, bytes: 0, is_over: false, has_failed: false }
    }

    /// Whether it was read to its end, or to an error.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Reads what a visitor that stopped early has left, as far as it would have `admitted` so many bytes; tells whether that was the end.
    /// A thread that reads ahead gets further than the visitor: what comes behind the content must not depend on that.
    pub(super) fn skip_rest(&mut self, chunk: &mut [u8], admits: impl Fn(u64) -> bool) -> bool {
        while !self.is_over && admits(self.bytes) {
            if read_piece(self, chunk).is_err() {
                break;
            }
        }
        self.is_over && !self.has_failed && admits(self.bytes)
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer);
        match &read {
            Ok(0) => self.is_over = true,
            Ok(count) => self.bytes += *count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => (self.is_over, self.has_failed) = (true, true),
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_content_is_handed_out_in_pieces_and_checked_at_its_end() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let content: Vec<u8> = (0..=255).cycle().take(length).collect();
            let crc = libdeflater::crc32(&content);
            for (mut whole, is_sound) in [
                (Whole::sound(&content), true),
                (Whole::checked(&content, crc), true),
                (Whole::checked(&content, crc ^ 1), false),
            ] {
                let mut found = Vec::new();
                let end = loop {
                    match whole.piece() {
                        Ok([]) => break Ok(()),
                        Ok(piece) => found.extend_from_slice(piece),
                        Err(error) => break Err(error.kind()),
                    }
                };
                assert_eq!(end, if is_sound { Ok(()) } else { Err(io::ErrorKind::InvalidData) }, "{length}");
                assert!(found == content, "{length}");
            }
        }
    }
}
