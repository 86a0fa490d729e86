//! Content that is made piece by piece: by a thread ahead of the one that decodes it, or by the same one in turn.
//!
//! The content, and its damage, are the same either way.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, scope};

use super::content::{Content, PIECE_BYTES, read_piece};
use crate::pages::Buffer;

/// Where pieces come from.
pub(super) trait Pieces: Send {
    /// The next bytes of the content, in a buffer that was used before, or is empty: where they stand there; none at the end.
    fn next(&mut self, buffer: &mut Buffer) -> io::Result<Range<usize>>;

    /// Pieces that may be under way at a time.
    fn under_way(&self) -> usize;

    /// Told of all bytes that were given, in their order, before more is asked for: when they are in the cache.
    fn used(&mut self, _piece: &[u8]) {}
}

/// Pieces as a reader gives them.
pub(super) struct ReadPieces<'a>(pub(super) &'a mut (dyn Read + Send));

impl Pieces for ReadPieces<'_> {
    fn next(&mut self, buffer: &mut Buffer) -> io::Result<Range<usize>> {
        let room = buffer.room(PIECE_BYTES, PIECE_BYTES).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(0..read_piece(self.0, room)?)
    }

    fn under_way(&self) -> usize {
        8
    }
}

/// A piece (nothing where the content ends), or why there are no more.
type Filled = io::Result<(Buffer, Range<usize>)>;

/// Calls `visit` with content of which a thread of its own makes the pieces while `visit` runs. That thread ends with `visit`.
pub(super) fn read_ahead<T>(pieces: &mut dyn Pieces, visit: impl FnOnce(&mut dyn Content) -> T) -> T {
    let under_way = pieces.under_way();
    let (filled_sender, arrived) = sync_channel(under_way);
    let (free, free_receiver) = channel();
    for _ in 0..under_way {
        // The receiver is there.
        let _ = free.send(Buffer::default());
    }
    scope(|scope| {
        // Each side owns its ends of both channels: whichever side ends first, however that comes, ends the other.
        let spawned = Builder::new().spawn_scoped(scope, move || fill(pieces, &filled_sender, &free_receiver));
        let mut content = Ahead { arrived, free, filled: Buffered::default(), failed: spawned.err() };
        let outcome = visit(&mut content);
        drop(content);
        outcome
    })
}

/// Makes pieces until the content ends or nobody wants it.
fn fill(pieces: &mut dyn Pieces, filled: &SyncSender<Filled>, free: &Receiver<Buffer>) {
    while let Ok(mut buffer) = free.recv() {
        let piece = pieces.next(&mut buffer);
        if let Ok(range) = &piece {
            pieces.used(buffer.get(range.clone()).unwrap_or_default());
        }
        let piece = piece.map(|range| (buffer, range));
        let is_last = piece.as_ref().map_or(true, |(_, range)| range.is_empty());
        if filled.send(piece).is_err() || is_last {
            return;
        }
    }
}

/// Calls `visit` with content of which each piece is made when it is asked for. Gives the last buffer, too.
pub(super) fn read_in_turn<T>(pieces: &mut dyn Pieces, visit: impl FnOnce(&mut dyn Content) -> T) -> (T, Buffer) {
    let mut content = InTurn { pieces, filled: Buffered::default() };
    let outcome = visit(&mut content);
    (outcome, content.filled.buffer)
}

/// The piece that came last, cut to what may be handed out at once.
#[derive(Default)]
struct Buffered {
    buffer: Buffer,
    /// What was not handed out.
    rest: Range<usize>,
    /// What was handed out last.
    piece: Range<usize>,
    /// Bytes handed out so far, less whole pieces.
    handed: usize,
}

impl Buffered {
    fn cut(&mut self) -> &[u8] {
        let start = self.rest.start;
        // Long ones are cut at the same bytes of the content as content that is there as a whole.
        let fitting = if self.rest.len() > PIECE_BYTES { PIECE_BYTES - self.handed } else { PIECE_BYTES };
        let end = self.rest.end.min(start + fitting);
        self.rest.start = end;
        self.handed = (self.handed + end - start) % PIECE_BYTES;
        self.piece = start..end;
        self.piece()
    }

    fn piece(&self) -> &[u8] {
        self.buffer.get(self.piece.clone()).unwrap_or_default()
    }
}

/// The content as it arrives.
struct Ahead {
    arrived: Receiver<Filled>,
    free: Sender<Buffer>,
    filled: Buffered,
    /// Why no thread could be started.
    failed: Option<io::Error>,
}

impl Content for Ahead {
    fn piece(&mut self) -> io::Result<&[u8]> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.filled.rest.is_empty() {
            // Where the other side has ended, it wants no more.
            let _ = self.free.send(std::mem::take(&mut self.filled.buffer));
            // An end without a word is a panic over there, which `scope` passes on once this side has ended, too.
            let arrived = self.arrived.recv().unwrap_or_else(|_| Err(io::Error::other("reading ahead failed")));
            (self.filled.buffer, self.filled.rest) = arrived?;
        }
        Ok(self.filled.cut())
    }
}

/// The content as it is made.
struct InTurn<'a> {
    pieces: &'a mut dyn Pieces,
    filled: Buffered,
}

impl Content for InTurn<'_> {
    fn piece(&mut self) -> io::Result<&[u8]> {
        self.pieces.used(self.filled.piece());
        if self.filled.rest.is_empty() {
            self.filled.piece = 0..0;
            self.filled.rest = self.pieces.next(&mut self.filled.buffer)?;
        }
        Ok(self.filled.cut())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Gives pieces of the lengths listed, then ends as told.
    struct Script(Vec<usize>, fn() -> io::Result<usize>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return self.1();
            }
            let count = self.0.remove(0);
            buffer[..count].fill(u8::try_from(self.0.len() % 251).unwrap());
            Ok(count)
        }
    }

    fn all(content: &mut dyn Content) -> (Vec<Vec<u8>>, Option<io::ErrorKind>) {
        let mut pieces = Vec::new();
        loop {
            match content.piece() {
                Ok([]) => return (pieces, None),
                Ok(piece) => pieces.push(piece.to_vec()),
                Err(error) => return (pieces, Some(error.kind())),
            }
        }
    }

    #[test]
    fn pieces_and_ends_are_those_of_one_thread() {
        let lengths = [vec![], vec![1], vec![PIECE_BYTES, 3], (1..100).collect(), vec![PIECE_BYTES; 40]];
        for end in [|| Ok(0), || Err(io::ErrorKind::InvalidData.into())] {
            for lengths in lengths.clone() {
                let mut chunk = vec![0; PIECE_BYTES];
                let expected = all(&mut super::super::content::Streamed {
                    reader: &mut Script(lengths.clone(), end),
                    chunk: &mut chunk,
                });
                assert_eq!(read_ahead(&mut ReadPieces(&mut Script(lengths.clone(), end)), all), expected);
                assert_eq!(read_in_turn(&mut ReadPieces(&mut Script(lengths, end)), all).0, expected);
            }
        }
    }

    /// Gives one piece of a length that no reader gives.
    struct Long(usize);

    impl Pieces for Long {
        fn next(&mut self, buffer: &mut Buffer) -> io::Result<Range<usize>> {
            buffer.room(10 + self.0, 10 + self.0).unwrap().fill(7);
            Ok(10..10 + std::mem::take(&mut self.0))
        }

        fn under_way(&self) -> usize {
            2
        }
    }

    #[test]
    fn a_long_piece_is_cut() {
        let lengths = |length| {
            let [ahead, in_turn] = [read_ahead(&mut Long(length), all), read_in_turn(&mut Long(length), all).0];
            assert_eq!(ahead, in_turn);
            ahead.0.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(lengths(PIECE_BYTES), [PIECE_BYTES]);
        assert_eq!(lengths(2 * PIECE_BYTES + 3), [PIECE_BYTES, PIECE_BYTES, 3]);
    }

    #[test]
    fn either_side_may_end_first() {
        fn read<T>(mut script: Script, visit: impl FnOnce(&mut dyn Content) -> T) -> T {
            read_ahead(&mut ReadPieces(&mut script), visit)
        }
        let endless = || Script(vec![7; 1 << 16], || Ok(0));
        assert_eq!(read(endless(), |_| 3), 3, "nothing is wanted");
        let some = |content: &mut dyn Content| (0..20).map(|_| content.piece().unwrap().len()).sum::<usize>();
        assert_eq!(read(endless(), some), 140, "not all is wanted");
        let stops = |_: &mut dyn Content| panic!("the visitor fails");
        assert!(catch_unwind(AssertUnwindSafe(|| read(endless(), stops))).is_err());
        let fails = Script(vec![7; 3], || panic!("the reader fails"));
        assert!(catch_unwind(AssertUnwindSafe(|| read(fails, all))).is_err());
    }
}
