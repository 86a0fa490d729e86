//! Texts that wait to become a page: lengths first, then all bytes side by side (DELTA_LENGTH_BYTE_ARRAY).

use arrow::array::NullBufferBuilder;
use parquet::errors::{ParquetError, Result};

use super::compress::Zstd;
use super::hybrid::put_levels;
use super::packed_deltas::put_i32;
use super::text_slice::TextSlice;
use super::{PAGE_BYTES, PAGE_ROWS};

/// Texts of one page, some of them null.
pub(super) struct TextRows {
    valid: NullBufferBuilder,
    /// Of the texts that are not null.
    lengths: Vec<i32>,
    bytes: Vec<u8>,
    plain: Vec<u8>,
}

/// What a page holds.
#[derive(Clone, Copy)]
pub(super) struct PageSizes {
    /// Length before compression.
    pub(super) plain_bytes: u32,
    pub(super) rows: u32,
    pub(super) nulls: u32,
}

impl TextRows {
    pub(super) fn new() -> Self {
        Self { valid: NullBufferBuilder::new(0), lengths: Vec::new(), bytes: Vec::new(), plain: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Bytes of the texts.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether this makes a page.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= PAGE_ROWS || self.bytes.len() >= PAGE_BYTES
    }

    pub(super) fn push(&mut self, text: Option<&[u8]>) -> Result<()> {
        match text {
            Some(text) => {
                self.lengths.push(i32::try_from(text.len()).map_err(|_| too_long(text.len()))?);
                self.bytes.extend_from_slice(text);
                self.valid.append_non_null();
            }
            None => self.valid.append_null(),
        }
        Ok(())
    }

    /// Appends texts from a row on, up to the size of a page, at least one; returns how many.
    pub(super) fn fill(&mut self, texts: &TextSlice<'_>, from: usize) -> usize {
        let fitting = texts.fitting(from, PAGE_BYTES.saturating_sub(self.bytes.len()));
        let rows = fitting.max(1).min(PAGE_ROWS.saturating_sub(self.len())).min(texts.len().saturating_sub(from));
        self.append(texts, from, from + rows);
        rows
    }

    /// Appends some texts, however many.
    fn append(&mut self, texts: &TextSlice<'_>, from: usize, until: usize) {
        match texts.valid().map(|valid| valid.slice(from, until - from)) {
            None => {
                self.append_run(texts, from, until);
                self.valid.append_n_non_nulls(until - from);
            }
            Some(valid) => {
                let runs = valid.valid_slices();
                runs.for_each(|(start, end)| self.append_run(texts, from + start, from + end));
                self.valid.append_buffer(&valid);
            }
        }
    }

    fn append_run(&mut self, texts: &TextSlice<'_>, start: usize, end: usize) {
        let (lengths, bytes) = texts.run(start, end);
        self.lengths.extend(lengths);
        self.bytes.extend_from_slice(bytes);
    }

    /// Ends the page, which goes to the end of `out`, and starts the next one. Without `levels`, no text may be null.
    pub(super) fn put_page(&mut self, levels: bool, zstd: &mut Zstd, out: &mut Vec<u8>) -> Result<PageSizes> {
        let Self { valid, lengths, bytes, plain } = self;
        let rows = valid.len();
        plain.clear();
        if levels {
            put_levels(plain, valid.as_slice(), rows);
        }
        let sizes = put_texts(rows, lengths, bytes, plain, zstd, out)?;
        self.valid = NullBufferBuilder::new(0);
        self.lengths.clear();
        self.bytes.clear();
        self.plain.clear();
        // What a rare page of long texts took is given back.
        self.bytes.shrink_to(PAGE_BYTES * 2);
        self.plain.shrink_to(PAGE_BYTES * 2);
        Ok(sizes)
    }

    /// The page of these texts alone, with levels. Texts without nulls are not copied for it.
    pub(super) fn put_page_of(
        &mut self,
        texts: &TextSlice<'_>,
        zstd: &mut Zstd,
        out: &mut Vec<u8>,
    ) -> Result<PageSizes> {
        if texts.valid().is_some() || self.len() > 0 {
            self.append(texts, 0, texts.len());
            return self.put_page(true, zstd, out);
        }
        let (lengths, bytes) = texts.run(0, texts.len());
        self.lengths.clear();
        self.lengths.extend(lengths);
        self.plain.clear();
        put_levels(&mut self.plain, None, texts.len());
        let sizes = put_texts(texts.len(), &self.lengths, bytes, &mut self.plain, zstd, out);
        self.lengths.clear();
        sizes
    }
}

/// Appends a page to `out`. `plain` starts with the levels, if there are any.
fn put_texts(
    rows: usize,
    lengths: &[i32],
    texts: &[u8],
    plain: &mut Vec<u8>,
    zstd: &mut Zstd,
    out: &mut Vec<u8>,
) -> Result<PageSizes> {
    put_i32(plain, lengths);
    let plain_bytes = plain.len() + texts.len();
    if i32::try_from(plain_bytes).is_err() {
        return Err(too_long(plain_bytes));
    }
    zstd.put_texts(plain, texts, out)?;
    let count = |rows: usize| u32::try_from(rows).map_err(|_| ParquetError::General(format!("page of {rows} rows")));
    Ok(PageSizes { plain_bytes: count(plain_bytes)?, rows: count(rows)?, nulls: count(rows - lengths.len())? })
}

fn too_long(bytes: usize) -> ParquetError {
    ParquetError::General(format!("{bytes} bytes of text, a page holds 2 GiB"))
}
