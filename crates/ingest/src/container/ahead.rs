//! A large member read by two threads: one inflates ahead, the other decodes.
//!
//! Pieces are the same as when one thread does both, so the outcome is the same, damage included.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, scope};

use super::content::{Content, PIECE_BYTES, read_piece};

/// Pieces that are under way at a time.
const PIECES: usize = 8;

/// A piece (none where the content ends), or why there are no more.
type Filled = io::Result<Vec<u8>>;

/// Calls `visit` with the content of `reader`, which a thread of its own reads while `visit` runs. That thread ends with `visit`.
pub(super) fn read_ahead<T>(reader: &mut (dyn Read + Send), visit: impl FnOnce(&mut dyn Content) -> T) -> T {
    let (filled_sender, filled) = sync_channel(PIECES);
    let (free, free_receiver) = channel();
    for _ in 0..PIECES {
        // The receiver is there.
        let _ = free.send(Vec::with_capacity(PIECE_BYTES));
    }
    scope(|scope| {
        // Each side owns its ends of both channels: whichever side ends first, however that comes, ends the other.
        let spawned = Builder::new().spawn_scoped(scope, move || fill(reader, &filled_sender, &free_receiver));
        let mut content = Ahead { filled, free, piece: Vec::new(), failed: spawned.err() };
        let outcome = visit(&mut content);
        drop(content);
        outcome
    })
}

/// Reads until the content ends or nobody wants it.
fn fill(reader: &mut dyn Read, filled: &SyncSender<Filled>, free: &Receiver<Vec<u8>>) {
    while let Ok(mut piece) = free.recv() {
        piece.resize(PIECE_BYTES, 0);
        let read = read_piece(reader, &mut piece).map(|count| {
            piece.truncate(count);
            piece
        });
        let is_last = read.as_ref().map_or(true, Vec::is_empty);
        if filled.send(read).is_err() || is_last {
            return;
        }
    }
}

/// The content as it arrives.
struct Ahead {
    filled: Receiver<Filled>,
    free: Sender<Vec<u8>>,
    /// The piece that was handed out last.
    piece: Vec<u8>,
    /// Why no thread could be started.
    failed: Option<io::Error>,
}

impl Content for Ahead {
    fn piece(&mut self) -> io::Result<&[u8]> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        // Where the other side has ended, it wants no more.
        let _ = self.free.send(std::mem::take(&mut self.piece));
        // An end without a word is a panic over there, which `scope` passes on once this side has ended, too.
        self.piece = self.filled.recv().unwrap_or_else(|_| Err(io::Error::other("reading ahead failed")))?;
        Ok(&self.piece)
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
                assert_eq!(read_ahead(&mut Script(lengths, end), all), expected);
            }
        }
    }

    #[test]
    fn either_side_may_end_first() {
        let endless = || Script(vec![7; 1 << 16], || Ok(0));
        assert_eq!(read_ahead(&mut endless(), |_| 3), 3, "nothing is wanted");
        let some = |content: &mut dyn Content| (0..20).map(|_| content.piece().unwrap().len()).sum::<usize>();
        assert_eq!(read_ahead(&mut endless(), some), 140, "not all is wanted");
        let stops = |_: &mut dyn Content| panic!("the visitor fails");
        assert!(catch_unwind(AssertUnwindSafe(|| read_ahead(&mut endless(), stops))).is_err());
        let mut fails = Script(vec![7; 3], || panic!("the reader fails"));
        assert!(catch_unwind(AssertUnwindSafe(|| read_ahead(&mut fails, all))).is_err());
    }
}
