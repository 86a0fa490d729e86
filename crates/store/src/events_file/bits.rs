//! Bytes of numbers: varints, and numbers side by side in a fixed count of bits, least significant bit first.

/// Appends an unsigned varint (ULEB128).
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed varint: small numbers of either sign take few bytes.
pub(super) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Bits that hold `largest`; 0 for 0.
pub(super) fn width_of(largest: u64) -> u32 {
    u64::BITS - largest.leading_zeros()
}

/// Appends 32 numbers of at most `width` bits each (1 to 64): 4 * `width` bytes.
pub(super) fn pack_32(values: &[u64; 32], width: u32, out: &mut Vec<u8>) {
    let mut packed = [0_u8; 256];
    let mut words = packed.chunks_exact_mut(8);
    let mut put = |word: u64| {
        if let Some(slot) = words.next() {
            slot.copy_from_slice(&word.to_le_bytes());
        }
    };
    let (mut word, mut filled) = (0, 0);
    for &value in values {
        word |= value << filled;
        filled += width;
        if filled >= u64::BITS {
            put(word);
            filled -= u64::BITS;
            // What did not fit. A shift by all 64 bits is no shift for the processor, hence the check.
            word = value.checked_shr(width - filled).unwrap_or_default();
        }
    }
    // 32 numbers of an odd width end in the middle of a word.
    put(word);
    out.extend_from_slice(packed.get(..width as usize * 4).unwrap_or_default());
}

/// The least and the greatest of numbers. Four at a time: one after the other, each would wait for the one before.
pub(super) fn least_and_greatest(values: &[i64]) -> Option<(i64, i64)> {
    let first = *values.first()?;
    let (mut least, mut greatest) = ([first; 4], [first; 4]);
    let (fours, rest) = values.as_chunks::<4>();
    for four in fours {
        for ((least, greatest), &value) in least.iter_mut().zip(&mut greatest).zip(four) {
            *least = value.min(*least);
            *greatest = value.max(*greatest);
        }
    }
    let least = least.iter().chain(rest).copied().min()?;
    Some((least, greatest.iter().chain(rest).copied().max()?))
}
