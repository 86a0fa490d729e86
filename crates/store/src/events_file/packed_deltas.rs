//! DELTA_BINARY_PACKED: integers as differences to the one before, in blocks of 128 with a bit width for each 32.

use super::bits::{least_and_greatest, pack_32, put_varint, put_zigzag, width_of};

const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Appends 64-bit integers.
pub(super) fn put_i64(out: &mut Vec<u8>, values: &[i64]) {
    put(out, values, |value, previous| value.wrapping_sub(previous), |delta, least| delta.wrapping_sub(least) as u64);
}

/// Appends 32-bit integers. Differences wrap at 32 bits, as readers of 32-bit columns expect.
pub(super) fn put_i32(out: &mut Vec<u8>, values: &[i32]) {
    put(
        out,
        values,
        |value, previous| i64::from(value.wrapping_sub(previous)),
        // Both lie in 32 bits, so their distance does as well.
        |delta, least| delta.wrapping_sub(least) as u64,
    );
}

fn put<T: Copy + Into<i64>>(
    out: &mut Vec<u8>,
    values: &[T],
    difference: impl Fn(T, T) -> i64,
    above: impl Fn(i64, i64) -> u64,
) {
    put_varint(out, BLOCK as u64);
    put_varint(out, MINIBLOCKS as u64);
    put_varint(out, values.len() as u64);
    let Some((&first, rest)) = values.split_first() else {
        put_zigzag(out, 0);
        return;
    };
    put_zigzag(out, first.into());
    for (block, before) in rest.chunks(BLOCK).zip(values.chunks(BLOCK)) {
        let mut deltas = [0_i64; BLOCK];
        for ((delta, &value), &previous) in deltas.iter_mut().zip(block).zip(before) {
            *delta = difference(value, previous);
        }
        put_block(out, deltas.get(..block.len()).unwrap_or(&deltas), &above);
    }
}

fn put_block(out: &mut Vec<u8>, deltas: &[i64], above: impl Fn(i64, i64) -> u64) {
    let (least, greatest) = least_and_greatest(deltas).unwrap_or_default();
    put_zigzag(out, least);
    let widths = out.len();
    out.extend_from_slice(&[0; MINIBLOCKS]);
    if least == greatest {
        return;
    }
    for (number, part) in deltas.chunks(MINIBLOCK).enumerate() {
        let mut offsets = [0_u64; MINIBLOCK];
        offsets.iter_mut().zip(part).for_each(|(offset, &delta)| *offset = above(delta, least));
        let width = width_of(offsets.iter().fold(0, |bits, offset| bits | offset));
        if width == 0 {
            continue;
        }
        if let Some(slot) = out.get_mut(widths + number) {
            *slot = width as u8;
        }
        pack_32(&offsets, width, out);
    }
}
