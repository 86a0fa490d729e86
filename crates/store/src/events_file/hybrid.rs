//! Parquet's hybrid of runs and bit-packed groups, for definition levels and for indices into a dictionary.
//!
//! Runs of a length that pays become runs; all between them is packed. Values that come in pages of the store are either random
//! or equal over thousands of rows, so that short runs are not looked for: the compression behind sees them anyway.

use super::bits::{pack_32, put_varint};

/// Indices that are looked at together; a run begins and ends between such pieces. A multiple of 32.
const PIECE: usize = 64;
/// Words of 64 levels that make a run worth its header.
const RUN_WORDS: usize = 4;

/// Appends `rows` definition levels of 0 or 1, after their length as four bytes: how a data page holds them.
///
/// `valid` holds a bit a row, least significant bit first, and is absent where all rows are valid.
pub(super) fn put_levels(out: &mut Vec<u8>, valid: Option<&[u8]>, rows: usize) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    match valid {
        None if rows == 0 => {}
        None => put_run(out, rows, 1, 1),
        Some(valid) => put_bits(out, valid, rows),
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or_default();
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&length.to_le_bytes());
    }
}

fn put_bits(out: &mut Vec<u8>, valid: &[u8], rows: usize) {
    let whole = rows / 64;
    let (words, rest) = valid.split_at(valid.len().min(whole * 8));
    let mut packed: &[u8] = words;
    let mut plain = 0;
    // `packed` starts at the first word that is not written; `plain` counts its words that no run took.
    while let Some(word) = packed.get(plain * 8..plain * 8 + 8) {
        let same = match word.first() {
            Some(&first @ (0 | 0xff)) => {
                packed.get(plain * 8..).unwrap_or_default().iter().take_while(|&&byte| byte == first).count() / 8
            }
            _ => 0,
        };
        if same < RUN_WORDS {
            plain += same.max(1);
            continue;
        }
        let (before, run) = packed.split_at(plain * 8);
        put_packed_bits(out, before);
        put_run(out, same * 64, u32::from(word.first() != Some(&0)), 1);
        packed = run.get(same * 8..).unwrap_or_default();
        plain = 0;
    }
    put_packed_bits(out, packed);
    let left = rows - whole * 64;
    if left > 0 {
        put_packed_bits(out, rest.get(..left.div_ceil(8)).unwrap_or(rest));
    }
}

fn put_packed_bits(out: &mut Vec<u8>, bits: &[u8]) {
    if !bits.is_empty() {
        put_varint(out, (bits.len() as u64) << 1 | 1);
        out.extend_from_slice(bits);
    }
}

/// Appends `count` times `value`, in values of `width` bits.
fn put_run(out: &mut Vec<u8>, count: usize, value: u32, width: u32) {
    put_varint(out, (count as u64) << 1);
    let bytes = value.to_le_bytes();
    out.extend_from_slice(bytes.get(..width.div_ceil(8) as usize).unwrap_or(&bytes));
}

/// Appends indices of `width` bits each (1 to 32), none larger, without a length before them.
pub(super) fn put_indices(out: &mut Vec<u8>, indices: &[u32], width: u32) {
    let mut rest = indices;
    while let Some(&first) = rest.first() {
        let run = run_length(rest);
        if run > 0 {
            put_run(out, run, first, width);
            rest = rest.get(run..).unwrap_or_default();
            continue;
        }
        let mut pieces = rest.chunks(PIECE);
        let plain = pieces.position(|piece| piece.len() == PIECE && uniform(piece)).map_or(rest.len(), |n| n * PIECE);
        let (packed, more) = rest.split_at(plain);
        put_packed(out, packed, width);
        rest = more;
    }
}

/// How often the first index repeats, if that makes a run: at least a piece, or all there is.
fn run_length(indices: &[u32]) -> usize {
    let Some((first, rest)) = indices.split_first() else {
        return 0;
    };
    if !uniform(indices.get(..PIECE).unwrap_or(indices)) {
        return 0;
    }
    1 + rest.iter().take_while(|&index| index == first).count()
}

fn uniform(piece: &[u32]) -> bool {
    piece.first().is_some_and(|first| piece.iter().all(|index| index == first))
}

fn put_packed(out: &mut Vec<u8>, indices: &[u32], width: u32) {
    put_varint(out, (indices.len().div_ceil(8) as u64) << 1 | 1);
    let end = out.len() + indices.len().div_ceil(8) * width as usize;
    out.reserve(end - out.len());
    match width {
        1 => put_parts(out, indices, |part: [u32; 8]| part.iter().rev().fold(0, |byte, bit| byte << 1 | bit)),
        2 => put_parts(out, indices, |[a, b, c, d]| a | b << 2 | c << 4 | d << 6),
        4 => put_parts(out, indices, |[a, b]| a | b << 4),
        8 => put_parts(out, indices, |[a]| a),
        _ => {
            for piece in indices.chunks(32) {
                let mut values = [0; 32];
                values.iter_mut().zip(piece).for_each(|(value, &index)| *value = u64::from(index));
                pack_32(&values, width, out);
            }
        }
    }
    // The last group of eight is full: with zeros where indices ended, without what was packed beyond it.
    out.resize(end, 0);
}

/// Appends bytes that hold `N` indices each.
fn put_parts<const N: usize>(out: &mut Vec<u8>, indices: &[u32], byte: impl Fn([u32; N]) -> u32) {
    let (whole, rest) = indices.as_chunks();
    out.extend(whole.iter().map(|part| byte(*part) as u8));
    if !rest.is_empty() {
        let mut last = [0; N];
        last.iter_mut().zip(rest).for_each(|(slot, &index)| *slot = index);
        out.push(byte(last) as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A plain, slow reading of the format: bit by bit.
    fn decode(bytes: &[u8], width: usize, count: usize) -> Vec<u32> {
        let mut rest = bytes.iter().copied();
        let mut values = Vec::new();
        while values.len() < count {
            let (mut header, mut shift) = (0_usize, 0);
            loop {
                let byte = rest.next().unwrap();
                header |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            if header % 2 == 0 {
                let value: u32 = (0..width.div_ceil(8)).map(|at| u32::from(rest.next().unwrap()) << (8 * at)).sum();
                values.extend(std::iter::repeat_n(value, header / 2));
            } else {
                let packed: Vec<u8> = rest.by_ref().take(header / 2 * width).collect();
                assert_eq!(packed.len(), header / 2 * width, "groups are whole");
                let bit = |at: usize| u32::from(packed[at / 8] >> (at % 8) & 1);
                values.extend((0..header / 2 * 8).map(|n| (0..width).map(|at| bit(n * width + at) << at).sum::<u32>()));
            }
        }
        assert_eq!(rest.next(), None, "nothing follows the last value");
        assert!(values.len() < count + 8);
        values.truncate(count);
        values
    }

    fn runs() -> impl Strategy<Value = Vec<u32>> {
        let part = (any::<u32>(), any::<bool>(), 1..200_usize);
        let part = part.prop_map(|(value, run, rows)| {
            let step = if run { 0 } else { 2_654_435_769 };
            (0..rows as u32).map(move |n| value.wrapping_add(n.wrapping_mul(step))).collect::<Vec<_>>()
        });
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn indices_of_any_width_come_back(values in runs(), width in 1_u32..=32) {
            let values: Vec<_> = values.into_iter().map(|value| value >> (32 - width)).collect();
            let mut bytes = Vec::new();
            put_indices(&mut bytes, &values, width);
            prop_assert_eq!(decode(&bytes, width as usize, values.len()), values);
        }

        #[test]
        fn levels_come_back(values in runs(), none in any::<bool>()) {
            let levels: Vec<_> = values.into_iter().map(|value| if none { 1 } else { value >> 31 }).collect();
            let eight = |levels: &[u32]| levels.iter().rev().fold(0, |byte, level| byte << 1 | *level as u8);
            let valid: Vec<u8> = levels.chunks(8).map(eight).collect();
            let mut bytes = vec![1, 2, 3];
            put_levels(&mut bytes, (!none).then_some(&valid), levels.len());
            prop_assert_eq!(&bytes[..3], &[1, 2, 3]);
            prop_assert_eq!(&bytes[3..7], &(bytes.len() as u32 - 7).to_le_bytes());
            prop_assert_eq!(decode(&bytes[7..], 1, levels.len()), levels);
        }
    }

    #[test]
    fn equal_values_take_a_run() {
        let mut bytes = Vec::new();
        put_indices(&mut bytes, &[5; 60_000], 8);
        assert_eq!(bytes, [0xc0, 0xa9, 0x07, 5]);
        bytes.clear();
        put_levels(&mut bytes, Some(&[0; 1000]), 8000);
        assert_eq!(bytes, [3, 0, 0, 0, 0x80, 0x7d, 0]);
    }
}
