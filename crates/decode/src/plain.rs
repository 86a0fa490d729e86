//! A column of texts as they are, row by row.

use arrow_array::StringArray;
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer};
use arrow_schema::ArrowError;

use crate::text::head;

/// Bytes of text for which memory is kept: the trace ids of a batch and more.
const KEPT_BYTES: usize = 4 << 20;

/// Bytes of a short text, of a trace id for one.
const SHORT_BYTES: usize = 64;

/// Which rows are valid: all but those without text.
pub(crate) fn valid_rows(rows: usize, nulls: impl Iterator<Item = usize>) -> NullBuffer {
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, true);
    nulls.for_each(|row| valid.set_bit(row, false));
    NullBuffer::new(valid.finish())
}

/// A column of texts as they are.
pub(crate) struct PlainColumn {
    text: Vec<u8>,
    /// Where the text of each row ends, behind a first 0; up to the last row that has one.
    ends: Vec<i32>,
    /// Rows before that without text.
    nulls: Vec<usize>,
}

impl Default for PlainColumn {
    fn default() -> Self {
        Self { text: Vec::new(), ends: vec![0], nulls: Vec::new() }
    }
}

impl PlainColumn {
    /// Rows up to the last one that has a text.
    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    pub(crate) fn push(&mut self, row: usize, text: &[u8]) {
        self.push_start(row, text, text.len());
    }

    /// Takes the text of this length at the start of a window.
    #[inline]
    pub(crate) fn push_start(&mut self, row: usize, window: &[u8], length: usize) {
        if self.len() < row {
            self.skip_to(row);
        }
        match window.first_chunk::<SHORT_BYTES>() {
            // A copy of known length is no call.
            Some(window) if length <= SHORT_BYTES => {
                let end = self.text.len() + length;
                self.text.extend_from_slice(window);
                self.text.truncate(end);
            }
            _ => self.text.extend_from_slice(head(window, length)),
        }
        // Batches are handed out long before this number is too small: see `DecodeOptions`.
        self.ends.push(i32::try_from(self.text.len()).unwrap_or(i32::MAX));
    }

    /// The text of the last one of so many rows, if it has one.
    pub(crate) fn last_of(&self, rows: usize) -> Option<&str> {
        let [.., start, end] = *self.ends.as_slice() else {
            return None;
        };
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        let text = self.text.get(range).filter(|_| self.len() == rows)?;
        std::str::from_utf8(text).ok()
    }

    /// Rows up to this one have no text.
    #[cold]
    fn skip_to(&mut self, row: usize) {
        let end = self.ends.last().copied().unwrap_or_default();
        self.nulls.extend(self.len()..row);
        self.ends.resize(row + 1, end);
    }

    /// There are so many rows in all.
    pub(crate) fn end(&mut self, rows: usize) {
        // Where no row has a text, nothing need be said of each.
        if (1..rows).contains(&self.len()) {
            self.skip_to(rows);
        }
    }

    /// The texts, after [`Self::end`]; `None` where no row has one.
    pub(crate) fn rows(&self) -> Option<PlainRows<'_>> {
        (self.len() > 0).then_some(PlainRows { text: &self.text, ends: &self.ends, nulls: &self.nulls })
    }

    /// The texts of so many rows in all; there are none then.
    pub(crate) fn take(&mut self, rows: usize) -> Result<StringArray, ArrowError> {
        self.end(rows);
        if self.len() == 0 {
            return Ok(StringArray::new_null(rows));
        }
        let more = Self {
            // And a little more: the next batch has about as much text, and would else be copied for the last of it.
            text: Vec::with_capacity(self.text.len() + self.text.len() / 16 + SHORT_BYTES),
            ends: Vec::with_capacity(self.ends.len() + 1),
            nulls: Vec::new(),
        };
        let Self { text, ends, nulls } = std::mem::replace(self, more);
        self.ends.push(0);
        let nulls = (!nulls.is_empty()).then(|| valid_rows(rows, nulls.into_iter()));
        StringArray::try_new(OffsetBuffer::new(ends.into()), text.into(), nulls)
    }

    /// Drops all texts.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.truncate(1);
        self.nulls.clear();
        // What rare long texts took is given back.
        self.text.shrink_to(KEPT_BYTES);
    }
}

/// Texts of a column that do not repeat, row by row.
#[derive(Debug, Clone, Copy)]
pub struct PlainRows<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) ends: &'a [i32],
    pub(crate) nulls: &'a [usize],
}

impl<'a> PlainRows<'a> {
    /// The texts side by side: UTF-8.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Where each text ends, behind a first 0. A row without text ends where it begins.
    #[must_use]
    pub fn ends(&self) -> &'a [i32] {
        self.ends
    }

    /// Which rows have a text; `None` where all have.
    #[must_use]
    pub fn valid(&self) -> Option<NullBuffer> {
        (!self.nulls.is_empty()).then(|| valid_rows(self.ends.len() - 1, self.nulls.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_with_gaps() {
        let mut plain = PlainColumn::default();
        for present in [vec![], vec![0, 1, 2, 3], vec![1], vec![0, 3], vec![2, 3]] {
            present.iter().for_each(|&row| plain.push(row, format!("row {row}").as_bytes()));
            let texts = plain.take(4).unwrap();
            let expected = (0..4).map(|row| present.contains(&row).then(|| format!("row {row}")));
            assert!(texts.iter().map(|text| text.map(str::to_owned)).eq(expected), "{present:?}");
        }
    }

    #[test]
    fn plain_texts_at_the_start_of_windows() {
        let window = "0123456789".repeat(10);
        let mut plain = PlainColumn::default();
        let mut expected = Vec::new();
        for bytes in [0, 1, 32, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, window.len()] {
            // Windows that end with the text, and behind it.
            for end in [bytes, bytes + 1, SHORT_BYTES, window.len()]
                .into_iter()
                .filter(|end| (bytes..=window.len()).contains(end))
            {
                plain.push_start(expected.len(), &window.as_bytes()[..end], bytes);
                expected.push(&window[..bytes]);
            }
        }
        let texts = plain.take(expected.len()).unwrap();
        assert!(texts.iter().flatten().eq(expected));
    }
}
