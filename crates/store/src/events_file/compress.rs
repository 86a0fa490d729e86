//! Zstandard, with one context for many pages.

use std::io;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use super::random_text;

/// The level of all pages. Higher ones shrink random texts no further, and cost several times as much.
const LEVEL: i32 = 1;

/// Bytes from the middle of texts by which they are judged, and how small they get at most where there is something to find in them. Random
/// characters of base64url take 0.75.
const SAMPLE_BYTES: usize = 8 << 10;
const WORTH_A_SEARCH: f64 = 0.74;

/// How column chunks name what [`Zstd`] does.
pub(super) fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(LEVEL).unwrap_or_default())
}

/// Compresses one page after the other.
pub(super) struct Zstd {
    context: Compressor<'static>,
    buffer: Vec<u8>,
}

impl Zstd {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { context: Compressor::new(LEVEL)?, buffer: Vec::new() })
    }

    /// `plain` as one frame, to keep.
    pub(super) fn compress(&mut self, plain: &[u8]) -> io::Result<Bytes> {
        self.compressed(plain).map(Bytes::copy_from_slice)
    }

    /// The same, until the next one.
    pub(super) fn compressed(&mut self, plain: &[u8]) -> io::Result<&[u8]> {
        self.buffer.clear();
        self.buffer.reserve(compress_bound(plain.len()));
        self.context.compress_to_buffer(plain, &mut self.buffer)?;
        Ok(&self.buffer)
    }

    /// Appends `head` and `texts` behind it to `out`, as one frame. What `head` holds then means nothing.
    pub(super) fn put_texts(&mut self, head: &mut Vec<u8>, texts: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if texts.len() >= random_text::TEXT_BYTES_MIN && !self.finds_something(texts)? {
            let start = out.len();
            if random_text::put_frame(out, head, texts).is_some() {
                return Ok(());
            }
            out.truncate(start);
        }
        head.extend_from_slice(texts);
        out.extend_from_slice(self.compressed(head)?);
        Ok(())
    }

    fn finds_something(&mut self, texts: &[u8]) -> io::Result<bool> {
        let from = texts.len().saturating_sub(SAMPLE_BYTES) / 2;
        let sample = texts.get(from..).unwrap_or_default();
        let sample = sample.get(..SAMPLE_BYTES).unwrap_or(sample);
        Ok((self.compressed(sample)?.len() as f64) < sample.len() as f64 * WORTH_A_SEARCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters of an alphabet, by a seed.
    fn random(alphabet: &[u8], length: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            alphabet[(state >> 33) as usize % alphabet.len()]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn texts_are_packed_only_where_nothing_is_found_in_them() {
        let base64url = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let ids = random(base64url, 43 * 10_000);
        let three_times: Vec<u8> = ids.chunks(43).flat_map(|id| id.repeat(3)).collect();
        let one_odd = [ids.as_slice(), b"=", ids.as_slice()].concat();
        let cases: [(&str, Vec<u8>, f64); 7] = [
            ("random", ids.clone(), 0.752),
            ("hexadecimal", random(b"0123456789abcdef", 64 * 10_000), 0.54),
            ("each three times", three_times, 0.35),
            ("all the same", ids.get(..43).unwrap().repeat(10_000), 0.01),
            ("another character", one_odd, 0.76),
            ("few", random(base64url, 430), 1.1),
            ("none", Vec::new(), f64::INFINITY),
        ];
        let mut zstd = Zstd::new().unwrap();
        for (name, texts, at_most) in cases {
            let mut out = b"before".to_vec();
            zstd.put_texts(&mut b"head".to_vec(), &texts, &mut out).unwrap();
            let frame = out.strip_prefix(b"before").unwrap();
            let plain = [b"head".as_slice(), &texts].concat();
            assert!(zstd::bulk::decompress(frame, plain.len()).unwrap() == plain, "{name}");
            let ratio = frame.len() as f64 / texts.len() as f64;
            assert!(ratio <= at_most, "{name}: {ratio}");
        }
    }
}
