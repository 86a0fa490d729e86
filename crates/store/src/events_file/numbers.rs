//! Columns of 64-bit integers without nulls: `time` and `ordinal`.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::errors::Result;
use parquet::schema::types::ColumnDescPtr;

use super::PAGE_ROWS;
use super::bits::least_and_greatest;
use super::chunk::{Bound, Bounds, Chunk, DataPage, FinishedChunk};
use super::compress::{Zstd, zstd};
use super::packed_deltas::put_i64;

/// Encodes integers as packed differences.
pub(super) struct Numbers {
    chunk: Chunk,
    zstd: Option<Zstd>,
    waiting: Vec<i64>,
    packed: Vec<u8>,
}

impl Numbers {
    /// With `compressed`, pages are compressed once more: worth it for numbers that repeat a pattern.
    pub(super) fn new(column: ColumnDescPtr, compressed: bool) -> Result<Self> {
        let (codec, zstd) = match compressed {
            true => (zstd(), Some(Zstd::new()?)),
            false => (Compression::UNCOMPRESSED, None),
        };
        Ok(Self { chunk: Chunk::new(column, codec, true), zstd, waiting: Vec::new(), packed: Vec::new() })
    }

    pub(super) fn push(&mut self, values: &[i64]) -> Result<()> {
        let mut rest = values;
        while !rest.is_empty() {
            let (taken, more) = rest.split_at(rest.len().min(PAGE_ROWS - self.waiting.len()));
            self.waiting.extend_from_slice(taken);
            rest = more;
            if self.waiting.len() == PAGE_ROWS {
                self.end_page()?;
            }
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunk.bytes() + self.waiting.len() * size_of::<i64>()
    }

    pub(super) fn finish(mut self) -> Result<FinishedChunk> {
        if !self.waiting.is_empty() {
            self.end_page()?;
        }
        self.chunk.finish(None, None)
    }

    fn end_page(&mut self) -> Result<()> {
        self.packed.clear();
        put_i64(&mut self.packed, &self.waiting);
        let body = match &mut self.zstd {
            Some(zstd) => zstd.compress(&self.packed)?,
            None => Bytes::copy_from_slice(&self.packed),
        };
        self.chunk.put(DataPage {
            body,
            plain_bytes: self.packed.len(),
            encoding: Encoding::DELTA_BINARY_PACKED,
            rows: self.waiting.len() as u32,
            nulls: 0,
            bounds: bounds(&self.waiting),
        })?;
        self.waiting.clear();
        Ok(())
    }
}

fn bounds(values: &[i64]) -> Option<Bounds> {
    let (least, greatest) = least_and_greatest(values)?;
    Some((Bound::Number(least), Bound::Number(greatest)))
}
