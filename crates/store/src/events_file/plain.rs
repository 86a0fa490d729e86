//! Rows of a column whose dictionary is full: plain texts, with the bounds and the bloom filter that its indices have.

use parquet::bloom_filter::Sbbf;
use parquet::errors::Result;

use super::ROW_GROUP_ROWS;
use super::chunk::{Bound, Chunk};
use super::compress::Zstd;
use super::text_rows::TextRows;
use super::texts::data_page;

/// Texts that wait to become a page, row by row.
pub(super) struct Plain {
    nullable: bool,
    rows: TextRows,
    bounds: Option<(Vec<u8>, Vec<u8>)>,
    bloom: Option<Sbbf>,
}

impl Plain {
    pub(super) fn new(nullable: bool, false_positives: Option<f64>) -> Result<Self> {
        // How many texts there will be is not known: made for the most, folded in the end.
        let bloom = |rate| Sbbf::new_with_ndv_fpp(ROW_GROUP_ROWS as u64, rate);
        Ok(Self { nullable, rows: TextRows::new(), bounds: None, bloom: false_positives.map(bloom).transpose()? })
    }

    pub(super) fn push(&mut self, text: Option<&[u8]>, chunk: &mut Chunk, zstd: &mut Zstd) -> Result<()> {
        self.rows.push(text)?;
        if let Some(text) = text {
            self.widen(text);
            if let Some(bloom) = &mut self.bloom {
                bloom.insert(text);
            }
        }
        match self.rows.is_full() {
            true => self.end_page(chunk, zstd),
            false => Ok(()),
        }
    }

    pub(super) fn end_page(&mut self, chunk: &mut Chunk, zstd: &mut Zstd) -> Result<()> {
        if self.rows.len() > 0 {
            let bounds = self.bounds.take().map(|(least, greatest)| (Bound::Text(least), Bound::Text(greatest)));
            chunk.push(data_page(&mut self.rows, self.nullable, bounds, zstd)?);
        }
        Ok(())
    }

    /// Bytes of the texts that wait.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// All texts so far; larger than it need be.
    pub(super) fn into_bloom(self) -> Option<Sbbf> {
        self.bloom
    }

    fn widen(&mut self, text: &[u8]) {
        match &mut self.bounds {
            None => self.bounds = Some((text.to_vec(), text.to_vec())),
            Some((least, _)) if text < least.as_slice() => *least = text.to_vec(),
            Some((_, greatest)) if text > greatest.as_slice() => *greatest = text.to_vec(),
            Some(_) => {}
        }
    }
}
