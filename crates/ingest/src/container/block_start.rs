//! Where a block of DEFLATE begins, found without inflating what is before it.
//!
//! A block with codes of its own starts with a header of some hundred bits that say a lot about each other, so that other bits are all but never taken
//! for one. All but: whoever starts there has to prove it. Blocks of other kinds say next to nothing and are not looked for. The format
//! is that of RFC 1951, section 3.2.

/// Bits of a header in front of the lengths: last block or not, kind, and three counts.
const COUNTS_BITS: usize = 3 + 5 + 5 + 4;
/// In which order the lengths of the codes for lengths stand.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Bits of the lengths themselves at most.
const LENGTHS_BITS: usize = 3 * ORDER.len();
/// Bits of a code for lengths at most.
const LENGTH_CODE_BITS: usize = 7;
/// Bits of any other code at most.
const CODE_BITS: usize = 15;
/// Lengths of codes in a header at most: those of literals and of distances.
const LENGTHS_MAX: usize = 286 + 30;
const END_OF_BLOCK: usize = 256;
/// Bits that a double word holds behind any first bit of a byte.
const DOUBLE_WORD_BITS: usize = 128 - 7;
/// Places that may look like a header at first sight: some, and one for so many bits, seven times what comes up by chance. Who makes more of
/// them wants to waste time.
const LOOKS_FREE: usize = 1000;
const LOOK_BITS: usize = 256;
/// Places in a double word for which all bits of the counts and of the lengths behind them are known.
const PLACES: usize = DOUBLE_WORD_BITS - COUNTS_BITS - LENGTHS_BITS;

/// The first bit, not before `from`, at which the header of a block stands, of the stream's last one only where that is asked for too (it
/// takes longer); in bits of `bytes`, the lowest of a byte first. `None` also where too much looks like one.
pub(super) fn find(bytes: &[u8], from: usize, or_last: bool) -> Option<usize> {
    let last = if or_last { u64::MAX } else { 0 };
    let (mut place, mut looks) = (from, 0);
    loop {
        let bits = double_word(bytes, place)?;
        let mut places = counts_fit(bits as u64, last) & ((1 << PLACES) - 1);
        while places != 0 {
            let ahead = places.trailing_zeros();
            if let Some(header) = Header::of(bits >> ahead) {
                let found = place + ahead as usize;
                if header.is_sound(bytes, found).unwrap_or(false) {
                    return Some(found);
                }
                looks += 1;
                if looks > LOOKS_FREE + (found - from) / LOOK_BITS {
                    return None;
                }
            }
            places &= places - 1;
        }
        place += PLACES;
    }
}

/// The bits from `bit` on, [`DOUBLE_WORD_BITS`] of them at least. `None` near the end.
fn double_word(bytes: &[u8], bit: usize) -> Option<u128> {
    let bytes = bytes.get(bit / 8..)?.first_chunk::<16>()?;
    Some(u128::from_le_bytes(*bytes) >> (bit % 8))
}

/// The bits from `bit` on, 57 of them at least. `None` near the end.
fn word(bytes: &[u8], bit: usize) -> Option<u64> {
    let bytes = bytes.get(bit / 8..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*bytes) >> (bit % 8))
}

/// Bits of a word at which something stands that may be the counts: not the last block, unless its bit is set in `last`, codes of its own, at
/// most 286 and 30 codes.
fn counts_fit(word: u64, last: u64) -> u64 {
    let bit = |place: u32| word >> place;
    let is_dynamic = (!bit(0) | last) & !bit(1) & bit(2);
    let too_many_literals = bit(4) & bit(5) & bit(6) & bit(7);
    let too_many_distances = bit(9) & bit(10) & bit(11) & bit(12);
    is_dynamic & !too_many_literals & !too_many_distances
}

/// What may be a header: its counts fit, and its codes for lengths are complete.
struct Header {
    literals: usize,
    distances: usize,
    /// Lengths of the codes for lengths, three bits each.
    lengths: u64,
    /// Its bits up to the end of them.
    bits: usize,
}

impl Header {
    /// What begins with bits in which the counts fit. Most places fail here.
    fn of(bits: u128) -> Option<Self> {
        let counts = bits as u64;
        let count = |shift: u32, bits: u32| (counts >> shift) as usize & ((1 << bits) - 1);
        let lengths_bits = 3 * (count(13, 4) + 4);
        let lengths = (bits >> COUNTS_BITS) as u64 & ((1 << lengths_bits) - 1);
        let (literals, distances) = (count(3, 5) + 257, count(8, 5) + 1);
        are_complete(lengths).then_some(Self { literals, distances, lengths, bits: COUNTS_BITS + lengths_bits })
    }

    /// Whether all of its codes are complete, and one of them ends the block. It begins at a bit of `bytes`.
    fn is_sound(&self, bytes: &[u8], start: usize) -> Option<bool> {
        let found =
            code_lengths(bytes, start + self.bits, &LengthTable::new(self.lengths), self.literals + self.distances)?;
        let (literals, rest) = found.split_at_checked(self.literals)?;
        let distances = rest.get(..self.distances)?;
        let ends = literals.get(END_OF_BLOCK).is_some_and(|length| *length > 0);
        Some(ends && left_of(literals) == 0 && (left_of(distances) == 0 || is_one_at_most(distances)))
    }
}

/// Bits of so many lengths as are looked up at once.
const GROUP_BITS: usize = 12;

/// Shares of the codes for lengths that a group of lengths of three bits takes, of 128; 255 where it is more than that.
#[expect(clippy::indexing_slicing, reason = "the compiler computes it")]
static SHARES: [u8; 1 << GROUP_BITS] = {
    let mut shares = [0; 1 << GROUP_BITS];
    let mut group = 0;
    while group < 1 << GROUP_BITS {
        let (mut share, mut shift) = (0, 0);
        while shift < GROUP_BITS {
            let length = group >> shift & 7;
            share += if length > 0 { 128 >> length } else { 0 };
            shift += 3;
        }
        shares[group] = if share > 255 { 255 } else { share as u8 };
        group += 1;
    }
    shares
};

/// Whether the lengths of the codes for lengths, three bits each, use up all codes.
fn are_complete(lengths: u64) -> bool {
    let shares = [0, 1, 2, 3, 4].map(|group| {
        let lengths = (lengths >> (group * GROUP_BITS)) as usize & ((1 << GROUP_BITS) - 1);
        SHARES.get(lengths).copied().map_or(0, u32::from)
    });
    shares.iter().sum::<u32>() == 128
}

/// What is left of all codes where some have these lengths: nothing where they are complete, less where there are too many.
fn left_of(lengths: &[u8]) -> i32 {
    let taken = |length: &u8| if *length == 0 { 0 } else { 1 << (CODE_BITS - usize::from(*length)) };
    (1 << CODE_BITS) - lengths.iter().map(taken).sum::<i32>()
}

/// A block without matches has no distances, or one.
fn is_one_at_most(lengths: &[u8]) -> bool {
    let mut used = lengths.iter().filter(|length| **length > 0);
    used.next().is_none_or(|length| *length == 1) && used.next().is_none()
}

/// Codes for lengths: for the next bits the symbol, and how many bits it took.
struct LengthTable([(u8, u8); 1 << LENGTH_CODE_BITS]);

impl LengthTable {
    /// The lengths of the codes, three bits each, in the order of the header, and complete.
    fn new(lengths_bits: u64) -> Self {
        let mut lengths = [0_u8; ORDER.len()];
        for (place, symbol) in ORDER.into_iter().enumerate() {
            if let Some(length) = lengths.get_mut(symbol) {
                *length = (lengths_bits >> (3 * place) & 7) as u8;
            }
        }
        let mut table = [(0, 0); 1 << LENGTH_CODE_BITS];
        let mut code = 0_u32;
        for length in 1..=LENGTH_CODE_BITS {
            for symbol in (0_u8..).zip(lengths).filter(|(_, own)| usize::from(*own) == length).map(|(symbol, _)| symbol)
            {
                // The first bit of a code is its highest.
                let reversed = (code.reverse_bits() >> (32 - length)) as usize;
                for entry in table.iter_mut().skip(reversed).step_by(1 << length) {
                    *entry = (symbol, length as u8);
                }
                code += 1;
            }
            code <<= 1;
        }
        Self(table)
    }

    fn get(&self, bits: u64) -> (u8, usize) {
        let (symbol, length) = self.0.get(bits as usize & ((1 << LENGTH_CODE_BITS) - 1)).copied().unwrap_or_default();
        (symbol, usize::from(length))
    }
}

/// The lengths of `count` codes, which stand from `bit` on. `None` where something is no such list.
fn code_lengths(bytes: &[u8], mut bit: usize, table: &LengthTable, count: usize) -> Option<[u8; LENGTHS_MAX]> {
    let mut found = [0; LENGTHS_MAX];
    let mut filled = 0;
    while filled < count {
        let bits = word(bytes, bit)?;
        let (symbol, used) = table.get(bits);
        let rest = bits >> used;
        let (length, repeats, extra) = match symbol {
            0..16 => (symbol, 1, 0),
            16 => (*found.get(filled.checked_sub(1)?)?, 3 + (rest & 3) as usize, 2),
            17 => (0, 3 + (rest & 7) as usize, 3),
            _ => (0, 11 + (rest & 127) as usize, 7),
        };
        if filled + repeats > count {
            return None;
        }
        found.get_mut(filled..filled + repeats)?.fill(length);
        filled += repeats;
        bit += used + extra;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    /// A stream of several blocks with codes of their own.
    fn stream(level: u32) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        for number in 0..40_000_u32 {
            write!(encoder, "{:x} and ", number.wrapping_mul(0x9e37_79b1)).unwrap();
        }
        encoder.finish().unwrap()
    }

    /// Bytes that nothing is in.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 33).to_le_bytes()[0]
        };
        std::iter::repeat_with(next).take(bytes).collect()
    }

    #[test]
    fn a_header_is_found_at_any_bit() {
        // Level 1 makes do with codes that are no block's own.
        for level in [2, 6, 9] {
            let stream = stream(level);
            for bit in 0..8 {
                let mut moved = vec![0];
                for &byte in &stream {
                    *moved.last_mut().unwrap() |= byte << bit;
                    moved.push((u16::from(byte) << bit).to_le_bytes()[1]);
                }
                assert_eq!(find(&moved, 0, false), Some(bit), "{level}");
                assert_eq!(find(&moved, bit, true), Some(bit), "{level}");
                let next = find(&moved, bit + 1, false).unwrap();
                assert!(next > bit + 8 * 1000, "{level}: blocks are longer than {next} bits");
                // Without the bytes in which it ends it is none.
                assert_eq!(find(&moved[..30], 0, true), None, "{level}");
            }
        }
    }

    #[test]
    fn nothing_else_is_taken_for_a_header() {
        assert_eq!(find(&noise(4 << 20), 0, true), None);
        for byte in 0..=255 {
            assert_eq!(find(&[byte; 5000], 0, true), None, "{byte}");
        }
        let short = [find(b"", 0, true), find(b"1234567", 3, true), find(&[4; 100], usize::MAX, true)];
        assert_eq!(short, [None; 3]);
    }

    #[test]
    fn it_ends_where_too_much_looks_like_a_header() {
        // Counts that fit, seven lengths for codes that are complete, and then none that end a block.
        let mut look_alike = [0_u8; 10];
        let fields = [(2_u64, 1, 2), (3, 13, 4), (1, 17, 3), (1, 20, 3)];
        for (value, bit, bits) in fields {
            (0..bits).filter(|place| value >> place & 1 == 1).for_each(|place| {
                let bit: usize = bit + place;
                look_alike[bit / 8] |= 1 << (bit % 8);
            });
        }
        assert!(Header::of(double_word(&[look_alike, [0; 10]].concat(), 0).unwrap()).is_some());
        let sound = stream(6);
        let with = |count: usize| [look_alike.repeat(count), sound.clone()].concat();
        assert_eq!(find(&with(100), 0, false), Some(8 * 10 * 100));
        assert_eq!(find(&with(10_000), 0, false), None);
    }

    #[test]
    fn the_last_block_is_found_where_it_is_asked_for() {
        let stream = stream(6);
        let mut blocks = vec![0];
        while let Some(next) = find(&stream, blocks[blocks.len() - 1] + 1, true) {
            blocks.push(next);
        }
        let (last, others) = blocks.split_last().unwrap();
        let is_last = |block: &usize| stream[block / 8] >> (block % 8) & 1 == 1;
        assert!(is_last(last) && others.len() > 3 && !others.iter().any(is_last), "{blocks:?}");
        assert_eq!(find(&stream, *last, false), None);
    }
}
