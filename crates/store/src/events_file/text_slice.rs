//! Texts side by side, however they are held.

use arrow::array::{Array as _, StringArray};
use arrow::buffer::NullBuffer;

/// Rows of a plain text column: the texts side by side, and where each of them ends.
#[derive(Debug, Clone, Copy)]
pub struct TextSlice<'a> {
    bytes: &'a [u8],
    ends: &'a [i32],
    valid: Option<&'a NullBuffer>,
}

impl<'a> TextSlice<'a> {
    /// Texts that lie in `bytes`, which are UTF-8. `ends` says where each ends, behind where the first one begins; `valid` which rows have a
    /// text, if not all.
    #[must_use]
    pub fn new(bytes: &'a [u8], ends: &'a [i32], valid: Option<&'a NullBuffer>) -> Self {
        Self { bytes, ends, valid: valid.filter(|valid| valid.null_count() > 0) }
    }

    /// Those of an array.
    #[must_use]
    pub fn of(texts: &'a StringArray) -> Self {
        Self::new(texts.value_data(), texts.value_offsets(), texts.nulls())
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len().saturating_sub(1)
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let Self { bytes, ends, valid } = *self;
        (0..self.len()).map(move |row| {
            let is_valid = valid.is_none_or(|valid| valid.is_valid(row));
            is_valid.then(|| between(bytes, ends.get(row..row + 2).unwrap_or_default()))
        })
    }

    /// Which rows have a text; `None` where all have.
    pub(super) fn valid(&self) -> Option<&'a NullBuffer> {
        self.valid
    }

    /// Lengths and bytes of some rows that all have a text.
    pub(super) fn run(&self, from: usize, until: usize) -> (impl Iterator<Item = i32> + 'a, &'a [u8]) {
        let ends = self.ends.get(from..=until).unwrap_or_default();
        (lengths(ends), between(self.bytes, ends))
    }
}

fn lengths(ends: &[i32]) -> impl Iterator<Item = i32> {
    ends.windows(2).map(|pair| pair.last().zip(pair.first()).map_or(0, |(end, start)| end - start))
}

/// The bytes between the first and the last of some ends.
fn between<'a>(bytes: &'a [u8], ends: &[i32]) -> &'a [u8] {
    let range = ends.first().zip(ends.last());
    range
        .and_then(|(&start, &end)| Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?))
        .and_then(|range| bytes.get(range))
        .unwrap_or_default()
}
