//! Random characters of base64url as a Zstandard frame, at the speed of packing bits.
//!
//! A trace id is 256 random bits in 43 characters: no search for repeats and no count of characters finds anything in it, and six bits a
//! character are the least that any code can do. So the Huffman table in which all 64 characters have six bits is as good as the best one
//! and known beforehand, and to write its codes is to pack bits. Every reader of Zstandard reads such a frame (RFC 8878, whose sections are
//! named below). Whether texts are random is for the caller to find out; only their characters are looked at here.

/// Most bytes of a block, before compression and after it (3.1.1.2.4).
const BLOCK_BYTES: usize = 128 << 10;
/// Fewest bytes of text that are worth a frame of this kind.
pub(super) const TEXT_BYTES_MIN: usize = 4 << 10;

/// Magic number; a descriptor that announces a length of four bytes; a window of 128 KiB (3.1.1.1).
const FRAME_START: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x80, 7 << 3];
/// Types of blocks (3.1.1.2.2).
const RAW: u32 = 0;
const COMPRESSED: u32 = 2;
/// Bytes of a block's header (3.1.1.2).
const BLOCK_HEADER_BYTES: usize = 3;

/// Literals with a table of their own, in four streams, with sizes of 18 bits (3.1.1.3.1.1).
const LITERALS_KIND: u64 = 0b11_10;
const LITERALS_HEADER_BYTES: usize = 5;
const STREAMS: usize = 4;
/// Lengths of all streams but the last one (3.1.1.3.1.6).
const JUMP_TABLE_BYTES: usize = (STREAMS - 1) * 2;
/// No sequences: there are literals only (3.1.1.3.2.1).
const SEQUENCES: [u8; 1] = [0];

/// The greatest character, whose weight a table does not spell out.
const LAST: u8 = b'z';
/// Weights of the characters before it, half a byte each, with their count before them (4.2.1.1).
const TABLE_BYTES: usize = 1 + LAST as usize / 2;
static TABLE: [u8; TABLE_BYTES] = table();

/// Bits of a code.
const CODE_BITS: usize = 6;
/// Characters that are packed at once, and the bytes they become.
const PIECE: usize = 32;
const PACKED: usize = PIECE * CODE_BITS / 8;

/// Appends a frame of `head`, as it is, and of `texts`, packed. `None` where `texts` are too short or hold another character than those of
/// base64url; what was appended then means nothing.
pub(super) fn put_frame(out: &mut Vec<u8>, head: &[u8], texts: &[u8]) -> Option<()> {
    if texts.len() < TEXT_BYTES_MIN {
        return None;
    }
    out.reserve(head.len() + texts.len());
    out.extend_from_slice(&FRAME_START);
    out.extend_from_slice(&u32::try_from(head.len() + texts.len()).ok()?.to_le_bytes());
    for piece in head.chunks(BLOCK_BYTES) {
        put_block_header(out, RAW, piece.len(), false)?;
        out.extend_from_slice(piece);
    }
    // Blocks of one length: four streams take more than a few bytes.
    let blocks = texts.len().div_ceil(BLOCK_BYTES);
    let mut pieces = texts.chunks(texts.len().div_ceil(blocks)).peekable();
    while let Some(piece) = pieces.next() {
        put_block(out, piece, pieces.peek().is_none())?;
    }
    Some(())
}

fn put_block_header(out: &mut Vec<u8>, kind: u32, bytes: usize, last: bool) -> Option<()> {
    let header = u32::from(last) | kind << 1 | u32::try_from(bytes).ok()? << 3;
    out.extend_from_slice(header.to_le_bytes().get(..BLOCK_HEADER_BYTES)?);
    Some(())
}

fn put_block(out: &mut Vec<u8>, texts: &[u8], last: bool) -> Option<()> {
    let streams = || texts.chunks(texts.len().div_ceil(STREAMS));
    let packed: usize = streams().map(|stream| packed_bytes(stream.len())).sum();
    let literals = TABLE_BYTES + JUMP_TABLE_BYTES + packed;
    put_block_header(out, COMPRESSED, LITERALS_HEADER_BYTES + literals + SEQUENCES.len(), last)?;
    let header = LITERALS_KIND | (texts.len() as u64) << 4 | (literals as u64) << 22;
    out.extend_from_slice(header.to_le_bytes().get(..LITERALS_HEADER_BYTES)?);
    out.extend_from_slice(&TABLE);
    for stream in streams().take(STREAMS - 1) {
        out.extend_from_slice(&u16::try_from(packed_bytes(stream.len())).ok()?.to_le_bytes());
    }
    for stream in streams() {
        put_stream(out, stream)?;
    }
    out.extend_from_slice(&SEQUENCES);
    Some(())
}

/// Bytes of a stream of so many characters: their codes and the bit that ends it.
fn packed_bytes(characters: usize) -> usize {
    characters * CODE_BITS / 8 + 1
}

/// A stream is read from its end (4.2.2): so its bytes, as one number with the lowest first, hold the first character highest, behind
/// the bit that ends it.
fn put_stream(out: &mut Vec<u8>, texts: &[u8]) -> Option<()> {
    let mut pieces = texts.rchunks_exact(PIECE);
    let start = out.len();
    out.resize(start + texts.len() / PIECE * PACKED, 0);
    let (places, _) = out.get_mut(start..)?.as_chunks_mut::<PACKED>();
    let mut all_known = true;
    for (place, piece) in places.iter_mut().zip(pieces.by_ref()) {
        let (codes, known) = codes(piece.first_chunk()?);
        all_known &= known;
        *place = pack(&codes);
    }
    let rest = pieces.remainder();
    let mut padded = [LAST; PIECE];
    padded.get_mut(PIECE - rest.len()..)?.copy_from_slice(rest);
    let (mut codes, known) = codes(&padded);
    // Only the bit that ends the stream stands before the first code.
    let (before, _) = codes.split_at_mut_checked(PIECE - rest.len())?;
    before.fill(0);
    if let Some(end) = before.last_mut() {
        *end = 1;
    }
    out.extend_from_slice(pack(&codes).get(..packed_bytes(rest.len()))?);
    (all_known && known).then_some(())
}

/// The code of each character, which is its place among all of them; and whether all of them have one.
#[inline]
fn codes(characters: &[u8; PIECE]) -> ([u8; PIECE], bool) {
    let (mut codes, mut unknown) = ([0; PIECE], 0);
    // No branches, and arrays of one length: so all characters are looked at at once.
    for (code, &byte) in codes.iter_mut().zip(characters) {
        let is_in = |first: u8, count: u8| byte.wrapping_sub(first) < count;
        unknown |= u8::from(!(is_in(b'a', 26) | is_in(b'A', 26) | is_in(b'0', 10) | (byte == b'-') | (byte == b'_')));
        let gap = |first: u8, before: u8| u8::from(byte >= first) * (first - before - 1);
        let gaps = gap(b'0', b'-') + gap(b'A', b'9') + gap(b'_', b'Z') + gap(b'a', b'_');
        *code = byte.wrapping_sub(b'-' + gaps);
    }
    (codes, unknown == 0)
}

/// Codes of six bits side by side, the last one lowest.
#[inline]
fn pack(codes: &[u8; PIECE]) -> [u8; PACKED] {
    let mut eights = codes.as_chunks().0.iter().map(|codes| pack_8(*codes));
    let mut next = || eights.next().unwrap_or_default();
    let (first, second, third, fourth) = (next(), next(), next(), next());
    let words = [fourth | third << 48, third >> 16 | second << 32, second >> 32 | first << 16];
    let mut packed = [0; PACKED];
    packed.as_chunks_mut().0.iter_mut().zip(words).for_each(|(place, word)| *place = word.to_le_bytes());
    packed
}

/// Two, four and eight codes come together.
#[inline]
fn pack_8(codes: [u8; 8]) -> u64 {
    let word = u64::from_be_bytes(codes);
    let word = word & 0x003f_003f_003f_003f | word >> 2 & 0x0fc0_0fc0_0fc0_0fc0;
    let word = word & 0x0000_0fff_0000_0fff | word >> 4 & 0x00ff_f000_00ff_f000;
    word & 0x00ff_ffff | word >> 8 & 0xffff_ff00_0000
}

/// Every character has the least weight and all others none: so each has a code of six bits, its place among the characters.
const fn table() -> [u8; TABLE_BYTES] {
    let mut table = [127 + LAST; TABLE_BYTES];
    let mut symbol = 0;
    if let Some((_, mut weights)) = table.split_first_mut() {
        while let Some((two, more)) = weights.split_first_mut() {
            *two = (is_character(symbol) as u8) << 4 | is_character(symbol + 1) as u8;
            symbol += 2;
            weights = more;
        }
    }
    table
}

const fn is_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of base64url that depend on a seed only.
    fn texts(length: usize, seed: u64) -> Vec<u8> {
        let characters: Vec<u8> = (0..=u8::MAX).filter(|byte| is_character(*byte)).collect();
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            characters[(state >> 58) as usize]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn frames_are_read_by_the_library() {
        let lengths = [TEXT_BYTES_MIN, TEXT_BYTES_MIN + 1, 5000, 70_001, BLOCK_BYTES, BLOCK_BYTES + 1, 1_000_003];
        let heads = [0, 1, 2600, BLOCK_BYTES, BLOCK_BYTES + 7];
        for (seed, length) in (0..).zip(lengths.into_iter().chain(6000..6000 + STREAMS * PIECE)) {
            let head = vec![7; heads[seed as usize % heads.len()]];
            let texts = texts(length, seed);
            let mut frame = b"before".to_vec();
            put_frame(&mut frame, &head, &texts).unwrap();
            let frame = &frame[6..];
            let plain = [head.clone(), texts].concat();
            assert_eq!(zstd::bulk::decompress(frame, plain.len()).unwrap(), plain, "{length}");
            assert_eq!(zstd::stream::decode_all(frame).unwrap(), plain, "{length}");
            let bits = frame.len() - head.len();
            assert!(bits <= length * CODE_BITS / 8 + 256 * length.div_ceil(BLOCK_BYTES), "{length}: {bits}");
        }
    }

    #[test]
    fn all_characters_alone() {
        for byte in 0..=u8::MAX {
            let texts = vec![byte; TEXT_BYTES_MIN + 3];
            let mut frame = Vec::new();
            let put = put_frame(&mut frame, b"", &texts);
            assert_eq!(put.is_some(), is_character(byte), "{byte}");
            if put.is_some() {
                assert_eq!(zstd::bulk::decompress(&frame, texts.len()).unwrap(), texts, "{byte}");
            }
        }
    }

    #[test]
    fn another_character_is_found_wherever_it_stands() {
        let length = TEXT_BYTES_MIN + 17;
        for place in 0..length {
            let mut texts = texts(length, 1);
            texts[place] = [b'+', b'=', 0, 0xc3][place % 4];
            assert_eq!(put_frame(&mut Vec::new(), b"head", &texts), None, "{place}");
        }
        assert_eq!(put_frame(&mut Vec::new(), b"head", &texts(TEXT_BYTES_MIN - 1, 1)), None);
    }
}
