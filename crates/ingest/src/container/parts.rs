//! Inflating a long stream part by part with libdeflate, which knows whole streams only.
//!
//! A part goes from one block to another that begins some megabytes of text further on, and is made a stream of its own ([`part_frame`]).
//! Where a block begins is guessed ([`block_start`]). If that was right, the part's text ends in the mark. Else it cannot: the mark is drawn
//! anew for each stream, and codes that are not its own would have to give it back.
//!
//! What is odd about a stream, this does not tell. Whoever asks has to have another way, which tells.

use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::ops::Range;

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::{DecompressionError, Decompressor};

use super::block_start;
use super::content::read_piece;
use super::part_frame::{BEHIND_BYTES, FRONT_BYTES, MARK_BYTES, Mark, WINDOW_BYTES, put_behind, put_front};
use crate::pages::Buffer;

/// Ends of a part that are tried at most.
const TRIES_MAX: usize = 16;

/// More than a block mostly has of compressed bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// The least of compressed bytes to look for a block in.
const READ_BYTES_LEAST: usize = 4 << 10;

/// Why a part could not be had this way: the stream is damaged, made in a way that is not known here, or not to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Odd;

/// Memory of [`Parts`], which other parts can use again.
#[derive(Default)]
pub(super) struct PartsRoom {
    /// Compressed bytes, with room before and behind.
    input: Buffer,
    /// Buffers for parts.
    texts: Vec<Buffer>,
}

/// Bytes of a buffer for a part.
fn buffer_bytes(text_bytes: usize) -> usize {
    WINDOW_BYTES + text_bytes + MARK_BYTES
}

/// Compressed bytes that are there for a part at most.
fn read_bytes(text_bytes: usize) -> usize {
    (text_bytes / 2).max(READ_BYTES_LEAST)
}

/// Byte of the input up to which there is room for them.
fn room_end(text_bytes: usize) -> usize {
    FRONT_BYTES + read_bytes(text_bytes)
}

/// Bytes of the input with what is put behind a part.
fn input_bytes(text_bytes: usize) -> usize {
    room_end(text_bytes) + BEHIND_BYTES
}

impl PartsRoom {
    /// Bytes that it comes to hold where parts are of `text_bytes` at most, and so many of them are in use at a time.
    pub(super) fn bytes_for(text_bytes: usize, parts: usize) -> usize {
        input_bytes(text_bytes) + parts * buffer_bytes(text_bytes)
    }

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        self.input.held() + self.texts.iter().map(Buffer::held).sum::<usize>()
    }

    /// A buffer, filled with anything or empty.
    pub(super) fn buffer(&mut self) -> Buffer {
        self.texts.pop().unwrap_or_default()
    }

    /// Keeps a buffer that is not used any more.
    pub(super) fn put(&mut self, buffer: Buffer) {
        if !buffer.is_empty() {
            self.texts.push(buffer);
        }
    }
}

/// A stream of DEFLATE, and how far it is inflated.
pub(super) struct Parts<R> {
    data: R,
    /// Also for buffers that are not in use.
    pub(super) room: PartsRoom,
    /// Bit of `input` at which the next part begins.
    begin: usize,
    /// Bytes of `input` up to the last one that was read.
    filled: usize,
    /// Whether that is the last one of the stream.
    is_read: bool,
    /// Whether the last part was had.
    is_over: bool,
    /// The next part, where it was inflated ahead.
    started: Option<(Buffer, Range<usize>)>,
    /// The text before the next part.
    window: Vec<u8>,
    /// Compressed bytes of a part that are aimed at.
    aim: usize,
    /// Bytes of the text of a part at most.
    text_bytes: usize,
    /// Whether it has to be made sure that the stream ends with its last bytes, which are these.
    may_end_early: fn(&[u8]) -> bool,
    mark: Mark,
    decompressor: Decompressor,
}

impl<R: Read> Parts<R> {
    /// Parts of `text_bytes` at most. Bytes behind the stream are odd where the last bytes of the data `may_end_early`; to look costs more
    /// than to inflate.
    pub(super) fn new(data: R, may_end_early: fn(&[u8]) -> bool, text_bytes: usize, mut room: PartsRoom) -> Self {
        let seeds = RandomState::new();
        let mut mark = [0; MARK_BYTES];
        let drawn = [0_u8, 1].map(|half| seeds.hash_one(half).to_le_bytes());
        mark.iter_mut().zip(drawn.as_flattened()).for_each(|(to, from)| *to = *from);
        let input_bytes = input_bytes(text_bytes);
        // Where there is no memory, nothing can be read into it.
        let _ = room.input.room(input_bytes, input_bytes);
        Self {
            data,
            room,
            begin: 8 * FRONT_BYTES,
            filled: FRONT_BYTES,
            is_read: false,
            is_over: false,
            started: None,
            window: Vec::with_capacity(WINDOW_BYTES),
            aim: read_bytes(text_bytes) / 8,
            text_bytes,
            may_end_early,
            mark,
            decompressor: Decompressor::new(),
        }
    }

    /// Inflates the first part ahead of the first call of [`Self::next`]. An error leaves nothing to be used but the room.
    pub(super) fn start(&mut self) -> Result<(), Odd> {
        let mut buffer = self.room.buffer();
        match self.next(&mut buffer) {
            Ok(text) => self.started = Some((buffer, text)),
            Err(odd) => {
                self.room.put(buffer);
                return Err(odd);
            }
        }
        Ok(())
    }

    /// Inflates the next part into a buffer, and gives the place of its text there; nothing at the end of the stream. What comes behind an
    /// error is not to be used.
    pub(super) fn next(&mut self, buffer: &mut Buffer) -> Result<Range<usize>, Odd> {
        if let Some((filled, text)) = self.started.take() {
            self.room.put(std::mem::replace(buffer, filled));
            return Ok(text);
        }
        let bytes = buffer_bytes(self.text_bytes);
        let buffer = buffer.room(bytes, bytes).ok_or(Odd)?;
        while !self.is_over {
            // Blocks may be empty.
            let text = self.next_of_any_length(buffer)?;
            if !text.is_empty() {
                return Ok(text);
            }
        }
        Ok(0..0)
    }

    fn next_of_any_length(&mut self, buffer: &mut [u8]) -> Result<Range<usize>, Odd> {
        // What follows is asked for as well, as far as it may belong to this part: see `end`.
        let mut wanted = self.aim + self.aim / 2 + BLOCK_BYTES;
        let mut failed = None;
        for _ in 0..TRIES_MAX {
            self.fill(wanted)?;
            let end = self.end(failed);
            if end.is_none() && !self.is_read {
                // A stream in which the first one is not found has none to be found, most likely: it is not worth looking on.
                if wanted >= read_bytes(self.text_bytes) || self.window.is_empty() {
                    return Err(Odd);
                }
                wanted = read_bytes(self.text_bytes);
                continue;
            }
            let start = put_front(&mut self.room.input, self.begin, &self.window).ok_or(Odd)?;
            match self.inflate(start, end, buffer) {
                Ok(text_end) => {
                    let text = self.window.len()..text_end;
                    self.go_on(end, text.clone(), buffer)?;
                    return Ok(text);
                }
                Err(DecompressionError::InsufficientSpace) => (self.aim, failed) = (self.aim / 2, None),
                Err(DecompressionError::BadData) => failed = Some(end.ok_or(Odd)? - self.begin),
            }
        }
        Err(Odd)
    }

    /// Reads on until so many bytes are there for a part, or all that there is room for, or that there are. What was read is moved seldom.
    fn fill(&mut self, wanted: usize) -> Result<(), Odd> {
        let used = self.begin / 8;
        let wanted = wanted.min(read_bytes(self.text_bytes));
        if used + wanted > room_end(self.text_bytes) {
            let moved = used.saturating_sub(FRONT_BYTES);
            self.room.input.copy_within(used..self.filled, used - moved);
            self.filled -= moved;
            self.begin -= 8 * moved;
        }
        let end = self.begin / 8 + wanted;
        while !self.is_read && self.filled < end {
            let room = self.room.input.get_mut(self.filled..end).ok_or(Odd)?;
            let count = read_piece(&mut self.data, room).map_err(|_| Odd)?;
            self.filled += count;
            self.is_read = count == 0;
        }
        Ok(())
    }

    /// The bit at which the part ends: where a block seems to begin as far on as is aimed at, or behind one that `failed`, so many bits
    /// on. `None`: at the end of what was read, which is that of the stream, or else there is no such block.
    fn end(&self, failed: Option<usize>) -> Option<usize> {
        let aimed = 8 * self.aim;
        // A last part that is half as long as others is not worth having by itself.
        let is_near = self.begin + aimed + aimed / 2 >= 8 * self.filled;
        if failed.is_none() && self.is_read && is_near {
            return None;
        }
        let from = self.begin + failed.unwrap_or(aimed) + 1;
        block_start::find(self.room.input.get(..self.filled)?, from, self.is_read)
    }

    /// Inflates from a byte on, to a bit or to the end, and gives the end of the text in the buffer. The window stands before it.
    fn inflate(&mut self, start: usize, end: Option<usize>, buffer: &mut [u8]) -> Result<usize, DecompressionError> {
        let bad = || DecompressionError::BadData;
        let Some(end) = end else {
            let rest = self.room.input.get(start..self.filled).ok_or_else(bad)?;
            return if (self.may_end_early)(rest) {
                inflate_all(rest, buffer)
            } else {
                self.decompressor.deflate_decompress(rest, buffer)
            };
        };
        let behind = put_behind(&mut self.room.input, end, &self.mark).ok_or_else(bad)?;
        let stream = self.room.input.get(start..behind.end()).unwrap_or_default();
        let inflated = self.decompressor.deflate_decompress(stream, buffer);
        behind.take_away(&mut self.room.input);
        let text = buffer.get(..inflated?).and_then(|inflated| inflated.strip_suffix(&self.mark)).ok_or_else(bad)?;
        Ok(text.len())
    }

    /// Takes note of a part that was had.
    fn go_on(&mut self, end: Option<usize>, text: Range<usize>, buffer: &[u8]) -> Result<(), Odd> {
        let Some(end) = end else {
            self.is_over = true;
            return Ok(());
        };
        // Seven eighths of the room for text, if it goes on like that.
        let compressed = ((end - self.begin) / 8) as u64;
        let aim = compressed * (self.text_bytes as u64 * 7 / 8) / (text.len() as u64).max(1);
        self.aim = usize::try_from(aim).unwrap_or(usize::MAX).clamp(1, read_bytes(self.text_bytes) * 3 / 4);
        self.begin = end;
        let window = buffer.get(text.end.saturating_sub(WINDOW_BYTES)..text.end).ok_or(Odd)?;
        self.window.clear();
        self.window.extend_from_slice(window);
        Ok(())
    }
}

/// Inflates a stream that has to end with its last byte: libdeflate does not tell where it ends.
fn inflate_all(stream: &[u8], buffer: &mut [u8]) -> Result<usize, DecompressionError> {
    let mut decompress = Decompress::new(false);
    let status = decompress.decompress(stream, buffer, FlushDecompress::Finish);
    let [read, made] = [decompress.total_in(), decompress.total_out()].map(|bytes| usize::try_from(bytes).ok());
    match status {
        Ok(Status::StreamEnd) if read == Some(stream.len()) => made.ok_or(DecompressionError::BadData),
        Ok(Status::Ok | Status::BufError) if made == Some(buffer.len()) => Err(DecompressionError::InsufficientSpace),
        _ => Err(DecompressionError::BadData),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use libdeflater::{CompressionLvl, Compressor};

    use super::super::tests::{damaged, deflated};
    use super::*;

    /// Text with matches near and far, and with runs that no code shortens.
    fn text(bytes: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes + 100);
        let mut state = 1_u64;
        while text.len() < bytes {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let (word, number) = (state >> 60, state >> 20);
            let _ = write!(
                text,
                "{{\"user-{word}\":{number:x},\"action\":\"{}\"}},",
                "again and again ".repeat(word as usize)
            );
        }
        text.truncate(bytes);
        text
    }

    fn by_libdeflate(text: &[u8], level: i32) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
        let mut stream = vec![0; compressor.deflate_compress_bound(text.len())];
        let count = compressor.deflate_compress(text, &mut stream).unwrap();
        stream.truncate(count);
        stream
    }

    /// With what `flush` does to the encoder after every so many bytes.
    fn flushed(text: &[u8], every: usize) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        for piece in text.chunks(every) {
            encoder.write_all(piece).unwrap();
            encoder.flush().unwrap();
        }
        encoder.finish().unwrap()
    }

    /// Gives some bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(1000);
            self.0.read(&mut buffer[..count])
        }
    }

    /// The text of all parts, how many there were, and whether they reached the end.
    fn inflated(stream: &[u8], text_bytes: usize) -> (Vec<u8>, usize, bool) {
        let ways: [fn(&[u8]) -> bool; 2] = [|_| true, |_| false];
        let [all, found] = ways.map(|may_end_early| inflated_of(stream, may_end_early, text_bytes));
        // Only at their end may they differ: where the stream ends before.
        assert!(found.0.starts_with(&all.0) && (found.2 || !all.2), "{} {}", found.0.len(), all.0.len());
        found
    }

    fn inflated_of(stream: &[u8], may_end_early: fn(&[u8]) -> bool, text_bytes: usize) -> (Vec<u8>, usize, bool) {
        let mut parts = Parts::new(Slow(stream), may_end_early, text_bytes, PartsRoom::default());
        let mut buffer = Buffer::default();
        let (mut found, mut count) = (Vec::new(), 0);
        loop {
            match parts.next(&mut buffer) {
                Ok(part) if part.is_empty() => return (found, count, true),
                Ok(part) => found.extend_from_slice(&buffer[part]),
                Err(Odd) => return (found, count, false),
            }
            count += 1;
        }
    }

    #[test]
    fn parts_together_are_the_text() {
        let text = text(1 << 20);
        let streams = [
            ("zlib 2", deflated(&text, 2)),
            ("zlib 6", deflated(&text, 6)),
            ("zlib 9", deflated(&text, 9)),
            ("libdeflate 1", by_libdeflate(&text, 1)),
            ("libdeflate 12", by_libdeflate(&text, 12)),
            ("flushed", flushed(&text, 10_000)),
        ];
        for (name, stream) in &streams {
            for text_bytes in [400 << 10, 900 << 10, 2 << 20] {
                let (found, count, is_over) = inflated(stream, text_bytes);
                assert!(is_over && found == text, "{name} {text_bytes}: {count} parts, {} bytes", found.len());
                let expected = text.len().div_ceil(text_bytes);
                assert!((expected..4 * expected + 4).contains(&count), "{name} {text_bytes}: {count} parts");
            }
        }
    }

    #[test]
    fn short_streams_are_one_part_at_most() {
        for bytes in [0, 1, 100, 20_000] {
            let text = text(bytes);
            for stream in [deflated(&text, 0), deflated(&text, 6), by_libdeflate(&text, 12), flushed(&text, 7)] {
                let (found, count, is_over) = inflated(&stream, 1 << 20);
                assert!(found == text && is_over && count <= 1, "{bytes}: {count} parts, {} bytes", found.len());
            }
        }
    }

    #[test]
    fn bytes_behind_a_stream_are_odd_where_it_is_all() {
        for bytes in [0, 1000, 1 << 20] {
            let text = text(bytes);
            for (level, behind) in [(6, 0), (6, 1), (9, 8), (6, 100_000), (0, 1)] {
                let stream = [deflated(&text, level), vec![7; behind]].concat();
                let (found, _, is_over) = inflated_of(&stream, |_| true, 2 << 20);
                assert!(text.starts_with(&found) && is_over == (behind == 0), "{bytes} {level} {behind}");
                assert!(!is_over || found == text, "{bytes} {level} {behind}");
                let (_, _, is_over) = inflated_of(&stream[..stream.len() - behind - 1], |_| true, 2 << 20);
                assert!(!is_over, "cut: {bytes} {level} {behind}");
            }
        }
    }

    /// Blocks whose beginning nothing shows, and blocks longer than a part may be.
    #[test]
    fn what_cannot_be_had_in_parts_is_said() {
        let text = text(1 << 20);
        for level in [0, 1] {
            assert_eq!(inflated(&deflated(&text, level), 300 << 10), (Vec::new(), 0, false), "{level}");
        }
        let zeros = deflated(&vec![0; 12 << 20], 9);
        assert_eq!(inflated(&zeros, 1 << 20), (Vec::new(), 0, false));
        let (found, _, is_over) = inflated(&zeros, 6 << 20);
        assert!(is_over && found.len() == 12 << 20);
        assert_eq!(inflated(b"", 1 << 20), (Vec::new(), 0, false));
        // All reserved: no kind of block.
        assert_eq!(inflated(&[0xff; 1 << 16], 1 << 20), (Vec::new(), 0, false));
    }

    /// As a stream tells it.
    fn streamed(stream: &[u8]) -> Vec<u8> {
        let mut found = Vec::new();
        let mut decoder = flate2::bufread::DeflateDecoder::new(stream);
        let mut byte = [0; 1];
        while decoder.read(&mut byte).is_ok_and(|count| count == 1) {
            found.push(byte[0]);
        }
        found
    }

    /// Whatever is wrong, no part has other text than the stream has there; and nothing is over that is not.
    #[test]
    fn damage_makes_no_other_text() {
        let text = text(300 << 10);
        let sound = deflated(&text, 6);
        for (number, stream) in damaged(&sound) {
            let expected = streamed(&stream);
            let (found, _, is_over) = inflated(&stream, 100 << 10);
            assert!(expected.starts_with(&found), "{number}");
            assert!(!is_over || found.len() == expected.len(), "{number}");
        }
    }
}
