//! Columns of texts that hardly repeat: `trace_id` and `extra`.

use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Bounds, Chunk, DataPage, FinishedChunk};
use super::compress::{Zstd, zstd};
use super::text_page::TextPage;
use super::text_rows::{PageSizes, TextRows};
use super::text_slice::TextSlice;

/// Encodes texts one after the other; takes finished pages as they are.
pub(super) struct Texts {
    chunk: Chunk,
    zstd: Zstd,
    waiting: TextRows,
}

impl Texts {
    pub(super) fn new(column: ColumnDescPtr) -> Result<Self> {
        Ok(Self { chunk: Chunk::new(column, zstd(), false), zstd: Zstd::new()?, waiting: TextRows::new() })
    }

    pub(super) fn push(&mut self, texts: &TextSlice<'_>) -> Result<()> {
        let mut from = 0;
        while from < texts.len() {
            from += self.waiting.fill(texts, from);
            if self.waiting.is_full() {
                self.end_page()?;
            }
        }
        Ok(())
    }

    pub(super) fn push_page(&mut self, page: TextPage) -> Result<()> {
        if page.rows() == 0 {
            return Ok(());
        }
        self.end_page()?;
        self.chunk.put(page.into())
    }

    /// As [`Chunk::fill`]; before the first row.
    pub(super) fn fill(&mut self, memory: Vec<u8>, bytes: usize) {
        self.chunk.fill(memory, bytes);
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunk.bytes() + self.waiting.bytes()
    }

    pub(super) fn finish(mut self) -> Result<FinishedChunk> {
        self.end_page()?;
        self.chunk.finish(None, None)
    }

    fn end_page(&mut self) -> Result<()> {
        if self.waiting.len() > 0 {
            let page = data_page(&mut self.waiting, true, None, &mut self.zstd)?;
            self.chunk.put(page)?;
        }
        Ok(())
    }
}

/// A page of [`TextRows`].
pub(super) fn data_page(
    waiting: &mut TextRows,
    levels: bool,
    bounds: Option<Bounds>,
    zstd: &mut Zstd,
) -> Result<DataPage> {
    let mut body = Vec::new();
    let PageSizes { plain_bytes, rows, nulls } = waiting.put_page(levels, zstd, &mut body)?;
    let encoding = Encoding::DELTA_LENGTH_BYTE_ARRAY;
    Ok(DataPage { body: body.into(), plain_bytes: plain_bytes as usize, encoding, rows, nulls, bounds })
}
