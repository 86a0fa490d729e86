//! Content that is made piece by piece: by the thread that decodes it, in turn, and by another one ahead of it as soon as a core is free.
//!
//! The content, and its damage, are the same either way.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, Scope, scope};

use super::content::{Content, PIECE_BYTES, read_piece};
use crate::pages::Buffer;

/// Cores of a run that have nothing else to do.
#[derive(Debug, Default)]
pub(crate) struct FreeCores(AtomicUsize);

impl FreeCores {
    pub(crate) fn new(cores: usize) -> Self {
        Self(AtomicUsize::new(cores))
    }

    /// One more has nothing to do.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one, where there is one.
    pub(crate) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1)).is_ok()
    }
}

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

/// A piece (nothing where the content ends) and its buffer, or why there are no more.
type Filled = io::Result<(Buffer, Range<usize>)>;

/// Calls `visit` with content of which each piece is made when it is asked for; and from when one of `cores` is free, ahead of that, by a thread
/// that ends with `visit`. Gives the last buffer, too.
pub(super) fn read<T>(
    pieces: &mut dyn Pieces,
    cores: Option<&FreeCores>,
    visit: impl FnOnce(&mut dyn Content) -> T,
) -> (T, Buffer) {
    scope(|scope| {
        let mut content = Made { scope, cores, in_turn: Some(pieces), ahead: None, filled: Buffered::default() };
        let outcome = visit(&mut content);
        (outcome, content.filled.buffer)
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

/// The content as it is made.
struct Made<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    cores: Option<&'env FreeCores>,
    /// What makes the pieces, while it does so here.
    in_turn: Option<&'env mut dyn Pieces>,
    /// Where they come from, when they are made elsewhere.
    ahead: Option<Ahead<'env>>,
    filled: Buffered,
}

impl Made<'_, '_> {
    /// Lets another thread make the pieces, where a core is free for it, and a thread can be had.
    fn look_for_help(&mut self) {
        if let Some(pieces) = self.in_turn.take() {
            match Ahead::start(self.scope, self.cores, pieces) {
                Ok(ahead) => self.ahead = Some(ahead),
                Err(pieces) => self.in_turn = Some(pieces),
            }
        }
    }
}

impl Content for Made<'_, '_> {
    fn piece(&mut self) -> io::Result<&[u8]> {
        if let Some(pieces) = &mut self.in_turn {
            pieces.used(self.filled.piece());
            self.filled.piece = 0..0;
        }
        if self.filled.rest.is_empty() {
            self.look_for_help();
            match (&mut self.in_turn, &self.ahead) {
                (Some(pieces), _) => self.filled.rest = pieces.next(&mut self.filled.buffer)?,
                (None, Some(ahead)) => {
                    (self.filled.buffer, self.filled.rest) = ahead.next(std::mem::take(&mut self.filled.buffer))?;
                }
                (None, None) => {}
            }
        }
        Ok(self.filled.cut())
    }
}

/// What a thread makes ahead. Whichever side ends first, however that comes, ends the other: each owns its ends of both channels.
struct Ahead<'a> {
    arrived: Receiver<Filled>,
    free: Sender<Buffer>,
    /// Where the core comes from, and goes back to.
    cores: &'a FreeCores,
}

impl<'env> Ahead<'env> {
    /// Starts the thread. Gives back what makes the pieces where there is no core for it, or no thread.
    fn start<'scope>(
        scope: &'scope Scope<'scope, 'env>,
        cores: Option<&'env FreeCores>,
        pieces: &'env mut dyn Pieces,
    ) -> Result<Self, &'env mut dyn Pieces> {
        let Some(cores) = cores.filter(|cores| cores.take()) else {
            return Err(pieces);
        };
        let under_way = pieces.under_way();
        let (filled_sender, arrived) = sync_channel(under_way);
        let (free, free_receiver) = channel();
        for _ in 0..under_way {
            // The receiver is there.
            let _ = free.send(Buffer::default());
        }
        let (pieces_sender, pieces_receiver) = channel::<&mut dyn Pieces>();
        let fill = move || {
            if let Ok(pieces) = pieces_receiver.recv() {
                fill(pieces, &filled_sender, &free_receiver);
            }
        };
        let ahead = Self { arrived, free, cores };
        match Builder::new().spawn_scoped(scope, fill) {
            Ok(_) => pieces_sender.send(pieces).map_or_else(|unsent| Err(unsent.0), |()| Ok(ahead)),
            Err(_) => Err(pieces),
        }
    }

    /// The next piece, for a buffer that is not used any more.
    fn next(&self, buffer: Buffer) -> Filled {
        // Where the other side has ended, it wants no more.
        let _ = self.free.send(buffer);
        // An end without a word is a panic over there, which `scope` passes on once this side has ended, too.
        self.arrived.recv().unwrap_or_else(|_| Err(io::Error::other("reading ahead failed")))
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.cores.add();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::thread::{ThreadId, current};

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
                for cores in [0, 1, 2] {
                    let cores = FreeCores::new(cores);
                    let mut script = Script(lengths.clone(), end);
                    assert_eq!(read(&mut ReadPieces(&mut script), Some(&cores), all).0, expected, "{cores:?}");
                }
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
            let [ahead, in_turn] = [Some(&FreeCores::new(1)), None].map(|cores| read(&mut Long(length), cores, all).0);
            assert_eq!(ahead, in_turn);
            ahead.0.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(lengths(PIECE_BYTES), [PIECE_BYTES]);
        assert_eq!(lengths(2 * PIECE_BYTES + 3), [PIECE_BYTES, PIECE_BYTES, 3]);
    }

    #[test]
    fn either_side_may_end_first() {
        fn read<T>(mut script: Script, visit: impl FnOnce(&mut dyn Content) -> T) -> T {
            let cores = FreeCores::new(1);
            let read =
                catch_unwind(AssertUnwindSafe(|| super::read(&mut ReadPieces(&mut script), Some(&cores), visit)));
            assert!(cores.take(), "it is free again");
            read.unwrap_or_else(|panic| resume_unwind(panic)).0
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

    /// Pieces of a number each; when one of them was asked for, a core is free. Knows on which threads they were made.
    struct Freeing<'a> {
        next: usize,
        frees: usize,
        cores: &'a FreeCores,
        made_on: Vec<ThreadId>,
        used: Vec<u8>,
    }

    impl Pieces for Freeing<'_> {
        fn next(&mut self, buffer: &mut Buffer) -> io::Result<Range<usize>> {
            if self.next == self.frees {
                self.cores.add();
            }
            self.made_on.push(current().id());
            let piece = usize::from(self.next < 20) * 3;
            buffer.room(3, 3).unwrap().fill(u8::try_from(self.next).unwrap());
            self.next += 1;
            Ok(0..piece)
        }

        fn under_way(&self) -> usize {
            2
        }

        fn used(&mut self, piece: &[u8]) {
            self.used.extend_from_slice(piece);
        }
    }

    #[test]
    fn a_core_that_becomes_free_helps_from_then_on() {
        for frees in 0..=21 {
            let cores = FreeCores::default();
            let mut pieces = Freeing { next: 0, frees, cores: &cores, made_on: Vec::new(), used: Vec::new() };
            let ((found, end), _) = read(&mut pieces, Some(&cores), all);
            let expected: Vec<u8> = (0..20).flat_map(|number| [number; 3]).collect();
            assert_eq!((found.concat(), end), (expected.clone(), None), "{frees}");
            assert_eq!(pieces.used, expected, "each is told of once: {frees}");
            let here = pieces.made_on.iter().take_while(|thread| **thread == current().id()).count();
            assert_eq!(here, 21.min(frees + 1), "{frees}");
            assert!(pieces.made_on[here..].iter().all(|thread| *thread == pieces.made_on[here]), "{frees}");
            assert_eq!(cores.take(), frees <= 20, "{frees}");
        }
    }
}
