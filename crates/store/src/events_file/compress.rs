//! Zstandard, with one context for many pages.

use std::io;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

/// The level of all pages. Higher ones shrink random texts no further, and cost several times as much.
const LEVEL: i32 = 1;

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
}
