//! Texts that wait to become a page: lengths first, then all bytes side by side (DELTA_LENGTH_BYTE_ARRAY).

use arrow::array::{Array as _, NullBufferBuilder, StringArray};
use parquet::errors::{ParquetError, Result};

use super::compress::Zstd;
use super::hybrid::put_levels;
use super::packed_deltas::put_i32;
use super::{PAGE_BYTES, PAGE_ROWS};

/// Texts of one page, some of them null.
pub(super) struct TextRows {
    valid: NullBufferBuilder,
    /// Of the texts that are not null.
    lengths: Vec<i32>,
    bytes: Vec<u8>,
    plain: Vec<u8>,
}

/// A page as it goes to disk.
#[derive(Clone, Copy)]
pub(super) struct PageBody<'a> {
    pub(super) body: &'a [u8],
    /// Length before compression.
    pub(super) plain_bytes: usize,
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

    /// Appends texts up to the size of a page, at least one; returns how many.
    pub(super) fn fill(&mut self, texts: &StringArray) -> usize {
        let offsets = texts.value_offsets();
        let first = offsets.first().copied().unwrap_or_default();
        let room = i32::try_from(PAGE_BYTES.saturating_sub(self.bytes.len())).unwrap_or(i32::MAX);
        let fitting = offsets.partition_point(|&end| end - first <= room).saturating_sub(1);
        let rows = fitting.max(1).min(PAGE_ROWS.saturating_sub(self.len())).min(texts.len());
        self.append(&texts.slice(0, rows));
        rows
    }

    /// Appends texts, however many.
    pub(super) fn append(&mut self, texts: &StringArray) {
        let offsets = texts.value_offsets();
        let length = |pair: &[i32]| pair.last().zip(pair.first()).map_or(0, |(end, start)| end - start);
        match texts.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                self.lengths.extend(offsets.windows(2).map(length));
                self.bytes.extend_from_slice(text_of(texts, offsets.first().zip(offsets.last())));
                self.valid.append_n_non_nulls(texts.len());
            }
            Some(nulls) => {
                for (start, end) in nulls.valid_slices() {
                    let run = offsets.get(start..=end).unwrap_or_default();
                    self.lengths.extend(run.windows(2).map(length));
                    self.bytes.extend_from_slice(text_of(texts, run.first().zip(run.last())));
                }
                self.valid.append_buffer(nulls);
            }
        }
    }

    /// Ends the page and starts the next one. Without `levels`, no text may be null.
    pub(super) fn take_page<'a>(&mut self, levels: bool, zstd: &'a mut Zstd) -> Result<PageBody<'a>> {
        let rows = self.valid.len();
        let nulls = rows - self.lengths.len();
        self.plain.clear();
        if levels {
            put_levels(&mut self.plain, self.valid.as_slice(), rows);
        }
        put_i32(&mut self.plain, &self.lengths);
        self.plain.extend_from_slice(&self.bytes);
        let plain_bytes = self.plain.len();
        if i32::try_from(plain_bytes).is_err() {
            return Err(too_long(plain_bytes));
        }
        let body = zstd.compressed(&self.plain)?;
        self.valid = NullBufferBuilder::new(0);
        self.lengths.clear();
        self.bytes.clear();
        self.plain.clear();
        // What a rare page of long texts took is given back.
        self.bytes.shrink_to(PAGE_BYTES * 2);
        self.plain.shrink_to(PAGE_BYTES * 2);
        let count =
            |rows: usize| u32::try_from(rows).map_err(|_| ParquetError::General(format!("page of {rows} rows")));
        Ok(PageBody { body, plain_bytes, rows: count(rows)?, nulls: count(nulls)? })
    }
}

fn text_of<'a>(texts: &'a StringArray, range: Option<(&i32, &i32)>) -> &'a [u8] {
    range
        .and_then(|(&start, &end)| Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?))
        .and_then(|range| texts.value_data().get(range))
        .unwrap_or_default()
}

fn too_long(bytes: usize) -> ParquetError {
    ParquetError::General(format!("{bytes} bytes of text, a page holds 2 GiB"))
}
