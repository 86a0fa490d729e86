//! scrypt (RFC 7914): the key that a password stands for. Slow and hungry for memory by design.
//!
//! Our own, because every crate of it asks for features of a hash crate that the whole query engine is built on, and would build that a
//! second time. Held against the vectors of the RFC.

use sha2::{Digest as _, Sha256};

/// Bytes that the hash works on at once.
const HASH_BLOCK: usize = 64;
/// 32-bit words of a Salsa block.
const WORDS: usize = 16;

type Block = [u32; WORDS];

/// Cost of a derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Binary logarithm of the number of blocks held.
    pub(crate) log_n: u32,
    /// Length of a block, in units of 128 bytes.
    pub(crate) r: usize,
    /// How often it is done.
    pub(crate) p: usize,
}

/// Fills `out` with the key of a password and a salt. Holds `128 * r << log_n` bytes.
pub(crate) fn derive(password: &[u8], salt: &[u8], cost: Cost, out: &mut [u8]) {
    let Cost { log_n, r, p } = cost;
    let mut lanes = vec![0; p * r * 128];
    stretch(password, salt, &mut lanes);
    let (mut memory, mut scratch) = (vec![[0; WORDS]; (2 * r) << log_n], vec![[0; WORDS]; 2 * r]);
    for lane in lanes.chunks_mut(r * 128) {
        let mut blocks: Vec<Block> = lane.as_chunks::<64>().0.iter().map(words).collect();
        mix(&mut blocks, &mut memory, &mut scratch, log_n);
        lane.as_chunks_mut::<64>().0.iter_mut().zip(&blocks).for_each(|(bytes, block)| *bytes = to_bytes(block));
    }
    stretch(password, &lanes, out);
}

fn words(bytes: &[u8; 64]) -> Block {
    let mut block = [0; WORDS];
    block.iter_mut().zip(bytes.as_chunks::<4>().0).for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
    block
}

fn to_bytes(block: &Block) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes.as_chunks_mut::<4>().0.iter_mut().zip(block).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
    bytes
}

/// `scryptROMix` of the RFC.
fn mix(blocks: &mut [Block], memory: &mut [Block], scratch: &mut [Block], log_n: u32) {
    let length = blocks.len();
    for kept in memory.chunks_mut(length) {
        kept.copy_from_slice(blocks);
        mix_blocks(blocks, scratch);
    }
    for _ in 0..1_usize << log_n {
        let last = blocks.last().map_or(0, |block| u64::from(block[0]) | u64::from(block[1]) << 32);
        let place = usize::try_from(last & ((1 << log_n) - 1)).unwrap_or_default() * length;
        let kept = memory.get(place..place + length).unwrap_or_default();
        blocks.iter_mut().zip(kept).for_each(|(block, kept)| xor(block, kept));
        mix_blocks(blocks, scratch);
    }
}

/// `scryptBlockMix` of the RFC.
fn mix_blocks(blocks: &mut [Block], scratch: &mut [Block]) {
    let mut last = blocks.last().copied().unwrap_or_default();
    let half = blocks.len() / 2;
    for (number, block) in blocks.iter().enumerate() {
        xor(&mut last, block);
        salsa(&mut last);
        if let Some(place) = scratch.get_mut(number / 2 + number % 2 * half) {
            *place = last;
        }
    }
    blocks.copy_from_slice(scratch);
}

fn xor(block: &mut Block, other: &Block) {
    block.iter_mut().zip(other).for_each(|(word, other)| *word ^= other);
}

/// Salsa20/8.
fn salsa(block: &mut Block) {
    let mut x = *block;
    macro_rules! quarter {
        ($a:literal, $b:literal, $c:literal, $d:literal) => {
            x[$b] ^= x[$a].wrapping_add(x[$d]).rotate_left(7);
            x[$c] ^= x[$b].wrapping_add(x[$a]).rotate_left(9);
            x[$d] ^= x[$c].wrapping_add(x[$b]).rotate_left(13);
            x[$a] ^= x[$d].wrapping_add(x[$c]).rotate_left(18);
        };
    }
    for _ in 0..4 {
        quarter!(0, 4, 8, 12);
        quarter!(5, 9, 13, 1);
        quarter!(10, 14, 2, 6);
        quarter!(15, 3, 7, 11);
        quarter!(0, 1, 2, 3);
        quarter!(5, 6, 7, 4);
        quarter!(10, 11, 8, 9);
        quarter!(15, 12, 13, 14);
    }
    block.iter_mut().zip(x).for_each(|(word, x)| *word = word.wrapping_add(x));
}

/// PBKDF2 with HMAC-SHA256, one round.
fn stretch(password: &[u8], salt: &[u8], out: &mut [u8]) {
    let mut key = [0; HASH_BLOCK];
    let short = Sha256::digest(password);
    let password = if password.len() > HASH_BLOCK { short.as_slice() } else { password };
    key.iter_mut().zip(password).for_each(|(to, from)| *to = *from);
    let inner = Sha256::new_with_prefix(key.map(|byte| byte ^ 0x36));
    let outer = Sha256::new_with_prefix(key.map(|byte| byte ^ 0x5c));
    for (number, out) in (1_u32..).zip(out.chunks_mut(32)) {
        let within = inner.clone().chain_update(salt).chain_update(number.to_be_bytes()).finalize();
        let hash = outer.clone().chain_update(within).finalize();
        out.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7914, section 12, but for the last vector, which takes a gigabyte.
    #[test]
    fn the_vectors_of_the_rfc() {
        let cases: [(&str, &str, Cost, &str); 3] = [
            (
                "",
                "",
                Cost { log_n: 4, r: 1, p: 1 },
                "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906",
            ),
            (
                "password",
                "NaCl",
                Cost { log_n: 10, r: 8, p: 16 },
                "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
            ),
            (
                "pleaseletmein",
                "SodiumChloride",
                Cost { log_n: 14, r: 8, p: 1 },
                "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
            ),
        ];
        for (password, salt, cost, expected) in cases {
            let mut out = [0; 64];
            derive(password.as_bytes(), salt.as_bytes(), cost, &mut out);
            let found: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, expected, "{password}");
        }
    }
}
