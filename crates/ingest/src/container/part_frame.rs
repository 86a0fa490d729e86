//! What makes a part of a DEFLATE stream a stream of its own: bits before and behind it, put into the bytes around it.
//!
//! Before it comes a stored block with the text that the part may refer to, then empty blocks until the bits lie as they lay (a stored block
//! within the part begins with a byte, so the part cannot be moved); behind it a last block, stored, with a mark by which it is known that
//! the end was reached. The format is that of RFC 1951, section 3.2.

use std::ops::Range;

/// Bytes that a match may refer back to.
pub(super) const WINDOW_BYTES: usize = 32 << 10;
/// Text of the last block: as much as cannot come up by chance.
pub(super) type Mark = [u8; MARK_BYTES];
pub(super) const MARK_BYTES: usize = 16;
/// Kind, length, and the length with all bits turned, of a stored block that begins with a byte.
const STORED_HEADER_BYTES: usize = 5;
/// Empty blocks at most.
const EMPTY_BLOCKS_MAX: usize = 7;
/// Bytes wanted in front of a part.
pub(super) const FRONT_BYTES: usize =
    STORED_HEADER_BYTES + WINDOW_BYTES + (EMPTY_BLOCKS_MAX * EMPTY_BLOCK_BITS).div_ceil(8);
/// Bytes wanted from the one on in which a part ends: in two of them bits of the part and of the header, then lengths and mark.
pub(super) const BEHIND_BYTES: usize = 2 + STORED_HEADER_BYTES - 1 + MARK_BYTES;

const EMPTY_BLOCK_BITS: usize = 91;
/// A block without text, the first bit lowest. It is as short as one with codes of its own can be; one with fixed codes has 10 bits, and
/// so gets to every other bit only.
#[expect(clippy::indexing_slicing, reason = "the compiler computes it")]
const EMPTY_BLOCK: u128 = {
    // Bits, and how many.
    let fields: [(u128, u32); 14] = [
        // Not the last; codes of its own; 257 of literals and 1 of distances; 18 of lengths.
        (0, 1),
        (2, 2),
        (0, 5),
        (0, 5),
        (14, 4),
        // In the order 16 17 18 0 ... 14 1: those of 18 and 1 have a bit, the others are not used.
        (0, 6),
        (1, 3),
        (0, 14 * 3),
        (1, 3),
        // Of which 0 is for 1, and 1 for 18. Literal 0 has a bit, then 138 and 117 have none, then the end and the distance have one.
        (0, 1),
        (1 | (138 - 11) << 1, 8),
        (1 | (117 - 11) << 1, 8),
        (0, 2),
        // The end.
        (1, 1),
    ];
    let (mut block, mut bits, mut field) = (0, 0, 0);
    while field < fields.len() {
        block |= fields[field].0 << bits;
        bits += fields[field].1;
        field += 1;
    }
    assert!(bits as usize == EMPTY_BLOCK_BITS && EMPTY_BLOCK_BITS % 8 == 3);
    block
};

/// Puts in front of a part, which begins at `bit` of all bits, what it needs to be read behind `window`. Gives the byte at which that
/// begins; `None` where there is no room.
pub(super) fn put_front(bytes: &mut [u8], bit: usize, window: &[u8]) -> Option<usize> {
    let (byte, bit) = (bit / 8, bit % 8);
    // Each moves by 3 bits, and 3 by 9.
    let blocks = 3 * bit % 8;
    let blocks_start = byte.checked_sub(blocks * EMPTY_BLOCK_BITS / 8)?;
    let window_start = blocks_start.checked_sub(window.len())?;
    let start = window_start.checked_sub(STORED_HEADER_BYTES)?;
    bytes.get_mut(start..window_start)?.copy_from_slice(&stored_header(false, window.len())?);
    bytes.get_mut(window_start..blocks_start)?.copy_from_slice(window);
    bytes.get_mut(blocks_start..byte)?.fill(0);
    let own = bytes.get_mut(byte)?;
    *own = *own >> bit << bit;
    for block in 0..blocks {
        let first = 8 * blocks_start + block * EMPTY_BLOCK_BITS;
        let bits = (EMPTY_BLOCK << (first % 8)).to_le_bytes();
        for (to, from) in bytes.get_mut(first / 8..=byte)?.iter_mut().zip(bits) {
            *to |= from;
        }
    }
    Some(start)
}

/// A last block that was put behind a part.
pub(super) struct Behind {
    place: Range<usize>,
    /// What stood there.
    covered: [u8; BEHIND_BYTES],
}

/// Puts the last block behind a part, which ends before `bit` of all bits. `None` where there is no room.
pub(super) fn put_behind(bytes: &mut [u8], bit: usize, mark: &Mark) -> Option<Behind> {
    let (byte, bit) = (bit / 8, bit % 8);
    let header_bytes = (bit + 3).div_ceil(8);
    let [_, lengths @ ..] = stored_header(true, mark.len())?;
    let place = byte..byte + header_bytes + lengths.len() + mark.len();
    let mut covered = [0; BEHIND_BYTES];
    let bytes = bytes.get_mut(place.clone())?;
    covered.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let (header, rest) = bytes.split_at_mut_checked(header_bytes)?;
    let kept = header.first()? & ((1 << bit) - 1);
    header.fill(0);
    *header.first_mut()? = kept | 1 << bit;
    let (to_lengths, to_mark) = rest.split_at_mut_checked(lengths.len())?;
    to_lengths.copy_from_slice(&lengths);
    to_mark.copy_from_slice(mark);
    Some(Behind { place, covered })
}

impl Behind {
    /// The byte behind it.
    pub(super) fn end(&self) -> usize {
        self.place.end
    }

    /// Puts back what stood there.
    pub(super) fn take_away(self, bytes: &mut [u8]) {
        if let Some(bytes) = bytes.get_mut(self.place) {
            bytes.iter_mut().zip(self.covered).for_each(|(to, from)| *to = from);
        }
    }
}

/// A stored block up to its text, from the first bit of a byte on.
fn stored_header(is_last: bool, bytes: usize) -> Option<[u8; STORED_HEADER_BYTES]> {
    let length = u16::try_from(bytes).ok()?;
    let ([low, high], [not_low, not_high]) = (length.to_le_bytes(), (!length).to_le_bytes());
    Some([u8::from(is_last), low, high, not_low, not_high])
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use libdeflater::Decompressor;

    use super::*;

    const WINDOW: &[u8] = b"what was said before";
    const TEXT: &[u8] = b"what was said before, and what is said now";

    /// A stream of one block that begins at a bit, with other bits around it, and how many bits there are up to the end of its block.
    fn at_bit(stream: &[u8], bit: usize) -> Vec<u8> {
        let mut moved = vec![0xff; FRONT_BYTES];
        let mut carry = 0xff_u16 & ((1 << bit) - 1);
        for byte in stream {
            carry |= u16::from(*byte) << bit;
            moved.push(carry.to_le_bytes()[0]);
            carry >>= 8;
        }
        moved.push(carry.to_le_bytes()[0]);
        moved.extend([0xff; BEHIND_BYTES]);
        moved
    }

    #[test]
    fn a_part_at_any_bit_is_read_behind_its_window() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(TEXT).unwrap();
        let stream = encoder.finish().unwrap();
        for window in [WINDOW, &[7; WINDOW_BYTES]] {
            for bit in 0..8 {
                let mut bytes = at_bit(&stream, bit);
                let begin = put_front(&mut bytes, 8 * FRONT_BYTES + bit, window).unwrap();
                let mut out = vec![0; WINDOW_BYTES + TEXT.len()];
                let count = Decompressor::new().deflate_decompress(&bytes[begin..], &mut out).unwrap();
                assert!(out[..count] == [window, TEXT].concat(), "{bit}");
            }
        }
        assert_eq!(put_front(&mut at_bit(&stream, 1), 8 * 300 + 1, &[7; WINDOW_BYTES]), None, "no room");
        assert_eq!(put_front(&mut at_bit(&stream, 1), 8 * FRONT_BYTES, &[7; 1 << 16]), None, "too long");
    }

    #[test]
    fn behind_a_part_comes_the_mark_and_goes_again() {
        // A stored block that is not the last one, moved to every bit by empty blocks; so a part can end at every bit.
        let mark = std::array::from_fn(|place| b"0123456789abcdef"[place]);
        for bit in 0..8 {
            let mut bytes = at_bit(&[0xff], bit);
            let end = 8 * FRONT_BYTES + bit;
            let begin = put_front(&mut bytes, end, WINDOW).unwrap();
            let before = bytes.clone();
            let behind = put_behind(&mut bytes, end, &mark).unwrap();
            let mut out = [0; 100];
            let count = Decompressor::new().deflate_decompress(&bytes[begin..behind.end()], &mut out).unwrap();
            assert_eq!(out[..count], [WINDOW, &mark].concat(), "{bit}");
            behind.take_away(&mut bytes);
            assert!(bytes == before, "{bit}");
            let cut = 8 * (bytes.len() - BEHIND_BYTES + 3) + bit;
            assert!(put_behind(&mut bytes, cut, &mark).is_none(), "no room");
            assert!(bytes == before, "{bit}");
        }
    }
}
