//! A long member inflated in parts ([`Parts`]), of which nothing is told that the plain stream would not tell.
//!
//! Parts are fast, and know nothing of damage. So their text is handed on with a delay, as long as the stream may lose before damage; and
//! where they fail, or their end is not as declared, the stream begins anew, passes over what was handed on, and goes on from there: with the
//! same content, and its own words about what is wrong.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;

use libdeflater::Crc;

use super::ahead::{Pieces, ReadPieces};
use super::content::PIECE_BYTES;
use super::parts::{Parts, PartsRoom};
use crate::pages::Buffer;

/// What a part gave.
struct Part {
    buffer: Buffer,
    text: Range<usize>,
}

impl Part {
    fn text(&self) -> &[u8] {
        self.buffer.get(self.text.clone()).unwrap_or_default()
    }
}

/// How far it is.
enum State {
    /// Parts come.
    Parts,
    /// All parts are there and as declared.
    Proven,
    /// The stream goes on.
    Stream,
}

/// Parts in use at a time where they are inflated in turn with what is done with them: one is handed on when the next one is there. (More
/// where parts are shorter than what is held back.)
pub(super) const PARTS_IN_TURN: usize = 2;
/// The same where they are inflated ahead: one more is being made, and some wait to be used.
pub(super) const PARTS_AHEAD: usize = PARTS_IN_TURN + 1 + PARTS_UNDER_WAY;
/// Parts that were handed on and wait to be used at most.
const PARTS_UNDER_WAY: usize = 3;

/// Length and CRC-32 of a content, as the container has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    bytes: u64,
    /// The bits of the length that the container keeps.
    kept: u64,
    crc32: u32,
}

impl Sum {
    pub(super) fn of(bytes: u64, crc32: u32) -> Self {
        Self { bytes, kept: u64::MAX, crc32 }
    }

    /// Where the container keeps 32 bits of the length.
    pub(super) fn of_low_bits(bytes: u32, crc32: u32) -> Self {
        Self { bytes: bytes.into(), kept: u32::MAX.into(), crc32 }
    }

    fn is_of(self, bytes: u64, crc32: u32) -> bool {
        (bytes & self.kept, crc32) == (self.bytes, self.crc32)
    }

    /// Whether content of so many bytes and more may be the one.
    fn may_be_of(self, bytes: u64) -> bool {
        self.kept != u64::MAX || bytes <= self.bytes
    }
}

pub(super) struct Proven<D, S> {
    parts: Parts<D>,
    stream: S,
    declared: Sum,
    state: State,
    /// Parts that are not handed on yet.
    held: VecDeque<Part>,
    /// Bytes of all parts.
    bytes: u64,
    /// Bytes handed on, and their CRC-32 while it is asked for.
    handed: (u64, Crc),
}

impl<D: Read, S: Read + Send> Proven<D, S> {
    /// The most that the stream may lose before damage: what one call would give.
    const HELD_BYTES: usize = PIECE_BYTES;

    pub(super) fn new(parts: Parts<D>, stream: S, declared: Sum) -> Self {
        Self { parts, stream, declared, state: State::Parts, held: VecDeque::new(), bytes: 0, handed: (0, Crc::new()) }
    }

    /// Whether all of the content was inflated in parts, and is as declared.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self.state, State::Proven)
    }

    /// The memory of it, and a buffer beside it.
    pub(super) fn into_room(self, buffer: Buffer) -> PartsRoom {
        let mut room = self.parts.room;
        self.held.into_iter().map(|part| part.buffer).chain([buffer]).for_each(|buffer| room.put(buffer));
        room
    }

    /// Inflates a part. `None`: that cannot be, or is not as declared.
    fn part(&mut self, mut buffer: Buffer) -> Option<()> {
        let text = self.parts.next(&mut buffer).ok()?;
        if text.is_empty() {
            self.parts.room.put(buffer);
            self.state = State::Proven;
            let mut crc = Crc::with_initial(self.handed.1.sum());
            self.held.iter().for_each(|part| crc.update(part.text()));
            return self.declared.is_of(self.bytes, crc.sum()).then_some(());
        }
        self.bytes += text.len() as u64;
        self.held.push_back(Part { buffer, text });
        self.declared.may_be_of(self.bytes).then_some(())
    }

    /// The oldest part, where enough is known about what follows it.
    fn known(&mut self) -> Option<Part> {
        let behind = self.held.iter().skip(1).map(|part| part.text.len()).sum::<usize>();
        let is_known = matches!(self.state, State::Proven) || behind >= Self::HELD_BYTES;
        if is_known { self.held.pop_front() } else { None }
    }

    /// Brings the stream to where the parts ended, and gives what it read beyond.
    fn catch_up(&mut self, buffer: &mut Buffer) -> io::Result<Range<usize>> {
        self.state = State::Stream;
        self.held.clear();
        let (mut left, crc) = (self.handed.0, self.handed.1.sum());
        let mut passed = Crc::new();
        loop {
            let count = ReadPieces(&mut self.stream).next(buffer)?.end;
            let known = usize::try_from(left).unwrap_or(usize::MAX).min(count);
            passed.update(buffer.get(..known).unwrap_or_default());
            left -= known as u64;
            if left == 0 && passed.sum() != crc || left > 0 && count == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "two ways to inflate it differ"));
            }
            if left == 0 && (known < count || count == 0) {
                return Ok(known..count);
            }
        }
    }
}

impl<D: Read + Send, S: Read + Send> Pieces for Proven<D, S> {
    fn next(&mut self, buffer: &mut Buffer) -> io::Result<Range<usize>> {
        loop {
            if let State::Stream = self.state {
                return ReadPieces(&mut self.stream).next(buffer);
            }
            if let Some(part) = self.known() {
                self.handed.0 += part.text.len() as u64;
                self.parts.room.put(std::mem::replace(buffer, part.buffer));
                return Ok(part.text);
            }
            if let State::Proven = self.state {
                return Ok(0..0);
            }
            self.parts.room.put(std::mem::take(buffer));
            let free = self.parts.room.buffer();
            if self.part(free).is_none() {
                return self.catch_up(buffer);
            }
        }
    }

    /// Beside those held here.
    fn under_way(&self) -> usize {
        PARTS_UNDER_WAY
    }

    fn used(&mut self, piece: &[u8]) {
        if let State::Parts = self.state {
            self.handed.1.update(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use flate2::bufread::DeflateDecoder;

    use super::super::tests::{damaged, deflated};
    use super::*;

    /// Several parts, and more than is held back.
    const TEXT_BYTES: usize = 2 << 20;
    const PART_BYTES: usize = 200 << 10;

    fn text(seed: u64) -> Vec<u8> {
        let mut text = Vec::new();
        for number in (0..).take_while(|number| number * 50 < TEXT_BYTES as u64) {
            let noise = (number + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            writeln!(text, "{{\"number\":{number:8},\"noise\":\"{noise:016x}\"}}").unwrap();
        }
        text
    }

    /// Checks length and CRC at the end, as a reader of ZIP files does; counts what was read.
    struct Checked<'a, R>(R, (u64, u32), u64, Crc, &'a AtomicUsize);

    impl<R: Read> Read for Checked<'_, R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.2 += count as u64;
            self.3.update(&buffer[..count]);
            self.4.fetch_add(count, Ordering::Relaxed);
            if self.2 > self.1.0 {
                return Err(io::Error::other("too long"));
            }
            if count == 0 && (self.2, self.3.sum()) != self.1 {
                return Err(io::Error::other("wrong"));
            }
            Ok(count)
        }
    }

    fn stream<'a>(data: &'a [u8], declared: (u64, u32), read: &'a AtomicUsize) -> impl Read + Send + use<'a> {
        let decoder = DeflateDecoder::new(BufReader::with_capacity(256 << 10, data));
        Checked(decoder, declared, 0, Crc::new(), read)
    }

    /// Content up to its end, or to an error and its words.
    fn all(mut next: impl FnMut(&mut Buffer) -> io::Result<Range<usize>>) -> (Vec<u8>, Option<String>) {
        let (mut found, mut buffer) = (Vec::new(), Buffer::default());
        loop {
            match next(&mut buffer) {
                Ok(range) if range.is_empty() => return (found, None),
                Ok(range) => found.extend_from_slice(&buffer[range]),
                Err(error) => return (found, Some(error.to_string())),
            }
        }
    }

    /// What is told of `data`, of which the parts are made of `parts`; and how many bytes the stream had to give for that.
    fn told(parts: &[u8], data: &[u8], declared: (u64, u32)) -> ((Vec<u8>, Option<String>), usize) {
        let read = AtomicUsize::new(0);
        let parts = Parts::new(parts, |_| false, PART_BYTES, PartsRoom::default());
        let sum = Sum::of(declared.0, declared.1);
        let mut proven = Proven::new(parts, stream(data, declared, &read), sum);
        let told = all(|buffer| {
            let text = proven.next(buffer)?;
            proven.used(&buffer[text.clone()]);
            Ok(text)
        });
        (told, read.load(Ordering::Relaxed))
    }

    fn told_by_stream(data: &[u8], declared: (u64, u32)) -> (Vec<u8>, Option<String>) {
        let read = AtomicUsize::new(0);
        let mut stream = stream(data, declared, &read);
        all(|buffer| ReadPieces(&mut stream).next(buffer))
    }

    fn declared(text: &[u8]) -> (u64, u32) {
        (text.len() as u64, libdeflater::crc32(text))
    }

    #[test]
    fn sound_members_do_without_the_stream() {
        let text = text(1);
        let data = deflated(&text, 6);
        let ((found, end), read) = told(&data, &data, declared(&text));
        assert!(found == text);
        assert_eq!((end, read), (None, 0));
    }

    #[test]
    fn whatever_is_wrong_the_stream_tells() {
        let text = text(1);
        let data = deflated(&text, 6);
        let (bytes, crc) = declared(&text);
        let flipped = |at: usize| {
            let mut data = data.clone();
            data[at] ^= 0x10;
            data
        };
        let length = data.len();
        let cases = [
            ("wrong CRC", data.clone(), (bytes, crc ^ 1)),
            ("longer than declared", data.clone(), (bytes - 1, crc)),
            ("much longer", data.clone(), (bytes / 3, crc)),
            ("shorter than declared", data.clone(), (bytes + 1, crc)),
            ("no blocks to find", deflated(&text, 0), (bytes, crc)),
            ("cut", data[..length - 1].to_vec(), (bytes, crc)),
            ("cut early", data[..length / 3].to_vec(), (bytes, crc)),
            ("nothing", Vec::new(), (bytes, crc)),
            ("more behind it", [data.as_slice(), &[7; 100]].concat(), (bytes, crc)),
            ("flipped at once", flipped(9), (bytes, crc)),
            ("flipped", flipped(length / 2), (bytes, crc)),
            ("flipped late", flipped(length - 9), (bytes, crc)),
        ];
        for (name, data, declared) in cases {
            let (found, _) = told(&data, &data, declared);
            let expected = told_by_stream(&data, declared);
            assert_eq!((found.0.len(), &found.1), (expected.0.len(), &expected.1), "{name}");
            assert!(found.0 == expected.0, "{name}");
        }
    }

    #[test]
    fn a_sum_may_have_the_low_bits_of_the_length_only() {
        let (whole, low) = (Sum::of(7, 1), Sum::of_low_bits(7, 1));
        for (bytes, is_of_whole, is_of_low) in [(7, true, true), (8, false, false), ((1 << 32) + 7, false, true)] {
            assert_eq!((whole.is_of(bytes, 1), low.is_of(bytes, 1)), (is_of_whole, is_of_low), "{bytes}");
            assert_eq!((whole.may_be_of(bytes), low.may_be_of(bytes)), (bytes <= 7, true), "{bytes}");
            assert!(!whole.is_of(bytes, 2) && !low.is_of(bytes, 2), "{bytes}");
        }
    }

    /// A part that is taken for another would be an error here, and is told.
    #[test]
    fn two_ways_that_differ_are_told() {
        let (text, other) = (text(1), text(2));
        let (found, end) = told(&deflated(&other, 6), &deflated(&text, 6), declared(&text)).0;
        assert!(other.starts_with(&found) && !found.is_empty());
        assert_eq!(end.as_deref(), Some("two ways to inflate it differ"));
    }

    #[test]
    fn damage_anywhere_is_told_as_the_stream_tells_it() {
        let text = text(1);
        let sound = deflated(&text, 6);
        let declared = declared(&text);
        for (number, data) in damaged(&sound) {
            assert!(told(&data, &data, declared).0 == told_by_stream(&data, declared), "{number}");
        }
    }
}
