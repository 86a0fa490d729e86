//! Texts that repeat, before they are in a dictionary: some list of texts, and for each row a place in it.

use arrow::array::{Array as _, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use keytrail_model::key::KEY_BYTES;

/// Rows of a column of texts that repeat: each text once, and for each row the number of its text.
///
/// Rows that come as they were staged are encoded from here, without an Arrow array in between.
#[derive(Debug, Clone)]
pub struct CodedTexts<'a> {
    /// The texts side by side.
    texts: &'a str,
    /// Where each of them ends.
    ends: Vec<u32>,
    codes: Codes<'a>,
    /// Whether rows are null: those whose code is the count of texts.
    has_nulls: bool,
}

/// The code of each row, in little-endian bytes.
#[derive(Debug, Clone, Copy)]
pub enum Codes<'a> {
    /// All are 0; so many rows.
    Zero(usize),
    /// A byte each.
    One(&'a [u8]),
    /// Two bytes each.
    Two(&'a [[u8; 2]]),
    /// Four bytes each.
    Four(&'a [[u8; 4]]),
}

impl Codes<'_> {
    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Zero(rows) => *rows,
            Self::One(codes) => codes.len(),
            Self::Two(codes) => codes.len(),
            Self::Four(codes) => codes.len(),
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The codes as numbers.
    #[must_use]
    pub fn to_keys(&self) -> Vec<i32> {
        fn keys<K: Place>(codes: &[K]) -> Vec<i32> {
            codes.iter().map(|code| i32::try_from(code.place()).unwrap_or(i32::MAX)).collect()
        }
        match self {
            Self::Zero(rows) => vec![0; *rows],
            Self::One(codes) => keys(codes),
            Self::Two(codes) => keys(codes),
            Self::Four(codes) => keys(codes),
        }
    }
}

impl<'a> CodedTexts<'a> {
    /// Rows by their codes. With `has_nulls`, rows whose code is the count of texts are null. Whether the codes have texts is seen when
    /// they are encoded.
    #[must_use]
    pub fn new(texts: &'a str, ends: Vec<u32>, codes: Codes<'a>, has_nulls: bool) -> Self {
        Self { texts, ends, codes, has_nulls }
    }

    /// The texts side by side, and where each of them ends.
    #[must_use]
    pub fn texts(&self) -> (&'a str, &[u32]) {
        (self.texts, &self.ends)
    }

    /// The code of each row.
    #[must_use]
    pub fn codes(&self) -> Codes<'a> {
        self.codes
    }

    /// Which rows are not null; `None` where all are.
    #[must_use]
    pub fn nulls(&self) -> Option<NullBuffer> {
        fn valid<K: Place>(codes: &[K], null: usize) -> NullBuffer {
            let is_valid = |row: usize| codes.get(row).is_some_and(|code| code.place() != null);
            NullBuffer::new(BooleanBuffer::collect_bool(codes.len(), is_valid))
        }
        let null = self.ends.len();
        let nulls = self.has_nulls.then(|| match self.codes {
            Codes::Zero(rows) if null == 0 => NullBuffer::new_null(rows),
            Codes::Zero(rows) => NullBuffer::new_valid(rows),
            Codes::One(codes) => valid(codes, null),
            Codes::Two(codes) => valid(codes, null),
            Codes::Four(codes) => valid(codes, null),
        });
        nulls.filter(|nulls| nulls.null_count() > 0)
    }
}

/// Rows of the column of keys, for each its digits as [`Key::to_bytes`] gives them.
///
/// [`Key::to_bytes`]: keytrail_model::key::Key::to_bytes
#[derive(Debug, Clone)]
pub struct KeyTexts<'a> {
    keys: &'a [[u8; KEY_BYTES]],
    others: Vec<(usize, &'a str)>,
    valid: Option<NullBuffer>,
}

impl<'a> KeyTexts<'a> {
    /// Keys of rows. `others` are rows that have another text, in order; `valid` says which rows have a key or a text, if not all. Of rows
    /// without a key the digits mean nothing.
    #[must_use]
    pub fn new(keys: &'a [[u8; KEY_BYTES]], others: Vec<(usize, &'a str)>, valid: Option<NullBuffer>) -> Self {
        Self { keys, others, valid: valid.filter(|valid| valid.null_count() > 0) }
    }

    /// The digits of each row.
    #[must_use]
    pub fn keys(&self) -> &'a [[u8; KEY_BYTES]] {
        self.keys
    }

    /// Rows with another text.
    #[must_use]
    pub fn others(&self) -> &[(usize, &'a str)] {
        &self.others
    }

    /// Which rows have a key or a text; `None` where all have.
    #[must_use]
    pub fn valid(&self) -> Option<&NullBuffer> {
        self.valid.as_ref()
    }
}

/// A place in a list of texts, as a row has it.
pub(super) trait Place: Copy {
    /// Beyond any list where the key is none.
    fn place(self) -> usize;
}

impl Place for i32 {
    fn place(self) -> usize {
        usize::try_from(self).unwrap_or(usize::MAX)
    }
}

impl Place for u8 {
    fn place(self) -> usize {
        self.into()
    }
}

impl Place for [u8; 2] {
    fn place(self) -> usize {
        u16::from_le_bytes(self).into()
    }
}

impl Place for [u8; 4] {
    fn place(self) -> usize {
        usize::try_from(u32::from_le_bytes(self)).unwrap_or(usize::MAX)
    }
}

/// A list of texts that rows have places in.
pub(super) trait TextList {
    fn count(&self) -> usize;

    /// `None` beyond the last one.
    fn text(&self, place: usize) -> Option<&[u8]>;
}

impl TextList for StringArray {
    fn count(&self) -> usize {
        self.len()
    }

    fn text(&self, place: usize) -> Option<&[u8]> {
        (place < self.len()).then(|| self.value(place).as_bytes())
    }
}

impl TextList for CodedTexts<'_> {
    fn count(&self) -> usize {
        self.ends.len()
    }

    fn text(&self, place: usize) -> Option<&[u8]> {
        let end = *self.ends.get(place)? as usize;
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&end| end as usize);
        // Where the ends do not lie between characters, these are no texts.
        self.texts.get(start..end).map(str::as_bytes)
    }
}
