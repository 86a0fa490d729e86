//! Texts side by side, however they are held.

use arrow::array::{Array as _, StringArray};
use arrow::buffer::NullBuffer;

/// Rows of a plain text column: the texts side by side, and where each of them ends.
#[derive(Debug, Clone)]
pub struct TextSlice<'a> {
    bytes: &'a [u8],
    lengths: Lengths<'a>,
    valid: Option<NullBuffer>,
}

#[derive(Debug, Clone, Copy)]
enum Lengths<'a> {
    /// Where each text ends, behind where the first one begins.
    Ends(&'a [i32]),
    /// All texts have one length.
    Even { rows: usize, length: i32 },
}

impl<'a> TextSlice<'a> {
    /// Texts that lie in `bytes`, which are UTF-8. `ends` says where each ends, behind where the first one begins; `valid` which rows have a
    /// text, if not all.
    #[must_use]
    pub fn new(bytes: &'a [u8], ends: &'a [i32], valid: Option<&NullBuffer>) -> Self {
        let valid = valid.filter(|valid| valid.null_count() > 0).cloned();
        Self { bytes, lengths: Lengths::Ends(ends), valid }
    }

    /// `rows` texts of one length, which lie in `bytes`: ASCII.
    #[must_use]
    pub fn even(bytes: &'a [u8], length: i32, rows: usize) -> Self {
        Self { bytes, lengths: Lengths::Even { rows, length }, valid: None }
    }

    /// Rows without a text.
    #[must_use]
    pub fn null(rows: usize) -> Self {
        Self { bytes: &[], lengths: Lengths::Even { rows, length: 0 }, valid: Some(NullBuffer::new_null(rows)) }
    }

    /// Those of an array.
    #[must_use]
    pub fn of(texts: &'a StringArray) -> Self {
        Self::new(texts.value_data(), texts.value_offsets(), texts.nulls())
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.lengths {
            Lengths::Ends(ends) => ends.len().saturating_sub(1),
            Lengths::Even { rows, .. } => rows,
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> {
        (0..self.len()).map(|row| {
            let is_valid = self.valid.as_ref().is_none_or(|valid| valid.is_valid(row));
            is_valid.then(|| self.bytes_of(row, row + 1))
        })
    }

    /// Whether no row has a text.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.valid.as_ref().is_some_and(|valid| valid.null_count() == self.len())
    }

    /// The texts side by side and their one length, where all rows have texts of one length and of ASCII.
    #[must_use]
    pub fn as_even(&self) -> Option<(&'a [u8], i32)> {
        let (mut lengths, bytes) = self.run(0, self.len());
        let first = lengths.next().filter(|_| self.valid.is_none())?;
        let is_even = lengths.fold(true, |even, length| even & (length == first));
        (is_even && bytes.is_ascii()).then_some((bytes, first))
    }

    /// Which rows have a text; `None` where all have.
    pub(super) fn valid(&self) -> Option<&NullBuffer> {
        self.valid.as_ref()
    }

    /// How many rows from one on have no more bytes of text than this together.
    pub(super) fn fitting(&self, from: usize, bytes: usize) -> usize {
        let room = i32::try_from(bytes).unwrap_or(i32::MAX);
        match self.lengths {
            Lengths::Ends(ends) => {
                let ends = ends.get(from..).unwrap_or_default();
                let first = ends.first().copied().unwrap_or_default();
                ends.partition_point(|&end| end - first <= room).saturating_sub(1)
            }
            Lengths::Even { rows, length } => {
                let fitting = room.checked_div(length).and_then(|rows| usize::try_from(rows).ok());
                fitting.unwrap_or(rows).min(rows.saturating_sub(from))
            }
        }
    }

    /// Lengths and bytes of some rows that all have a text.
    pub(super) fn run(&self, from: usize, until: usize) -> (impl Iterator<Item = i32> + 'a, &'a [u8]) {
        let (ends, even): (&[i32], _) = match self.lengths {
            Lengths::Ends(ends) => (ends.get(from..=until).unwrap_or_default(), std::iter::repeat_n(0, 0)),
            Lengths::Even { length, .. } => (&[], std::iter::repeat_n(length, until.saturating_sub(from))),
        };
        (lengths(ends).chain(even), self.bytes_of(from, until))
    }

    /// The bytes of some rows.
    fn bytes_of(&self, from: usize, until: usize) -> &'a [u8] {
        match self.lengths {
            Lengths::Ends(ends) => between(self.bytes, ends.get(from..=until).unwrap_or_default()),
            Lengths::Even { length, .. } => {
                let length = usize::try_from(length).unwrap_or_default();
                self.bytes.get(from.saturating_mul(length)..until.saturating_mul(length)).unwrap_or_default()
            }
        }
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
