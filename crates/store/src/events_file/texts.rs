//! Columns of texts that hardly repeat: `trace_id` and `extra`.

use arrow::array::{Array as _, StringArray};
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Bounds, Chunk, DataPage, FinishedChunk};
use super::compress::{Zstd, zstd};
use super::text_page::TextPage;
use super::text_rows::{PageBody, TextRows};

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

    pub(super) fn push(&mut self, texts: &StringArray) -> Result<()> {
        let mut from = 0;
        while from < texts.len() {
            from += self.waiting.fill(&texts.slice(from, texts.len() - from));
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

    pub(super) fn reserve(&mut self, bytes: usize) {
        self.chunk.reserve(bytes);
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
            let page = self.waiting.take_page(true, &mut self.zstd)?;
            self.chunk.put(data_page(page, None))?;
        }
        Ok(())
    }
}

/// A page of [`TextRows`].
pub(super) fn data_page(page: PageBody<'_>, bounds: Option<Bounds>) -> DataPage {
    let PageBody { body, plain_bytes, rows, nulls } = page;
    let body = Bytes::copy_from_slice(body);
    DataPage { body, plain_bytes, encoding: Encoding::DELTA_LENGTH_BYTE_ARRAY, rows, nulls, bounds }
}
