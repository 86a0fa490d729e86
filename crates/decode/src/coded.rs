//! A column of texts that repeat: each text once, and for each row the code of its text.
//!
//! Codes of a batch follow the order in which its rows first use the texts, so a batch depends on its rows only. A code is as short as the
//! texts that the column may use allow. OUIDs, of which nearly every row has another, may stay as they are instead: as digits.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{DictionaryArray, Int32Array};
use arrow_buffer::NullBuffer;
use arrow_schema::ArrowError;
use keytrail_model::key::KEY_BYTES;

use crate::columns::{NULL, Row, TO_BE_FOUND};
use crate::plain::{PlainColumn, valid_rows};
use crate::texts::Texts;

/// A column of texts that repeat.
pub(crate) struct CodedColumn {
    /// Texts of this batch and of earlier ones, by id.
    pub(crate) texts: Texts,
    /// Code in the batch of each id, [`UNUSED`] where it has none.
    by_id: Vec<u32>,
    /// Ids of the texts of the batch, by code.
    used: Vec<u32>,
    width: Width,
    /// For each row the code of its text, or its key, in `width` bytes. Of a row without text it means nothing until [`Self::end`], and
    /// then it is the code behind all others.
    codes: Vec<u8>,
    /// Rows without text.
    nulls: Vec<usize>,
    /// Rows with a text that is no key, and the id of the text, in a column of keys.
    others: Vec<(usize, u32)>,
}

/// What stands for a text in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    One,
    Two,
    Four,
    /// A key's digits, and no code.
    Key,
}

const UNUSED: u32 = u32::MAX;

impl CodedColumn {
    pub(crate) fn new(seed: u64) -> Self {
        let (by_id, used, codes, nulls, others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { texts: Texts::new(seed), by_id, used, width: Width::One, codes, nulls, others }
    }

    /// A batch of so many rows starts, which have codes; or which have keys, nearly all of them.
    pub(crate) fn start(&mut self, rows: usize, keys: bool) {
        self.used.clear();
        self.codes.clear();
        self.nulls.clear();
        self.others.clear();
        self.by_id.clear();
        // The code of a null is one more.
        self.width = match self.texts.count().min(rows) {
            _ if keys => Width::Key,
            0..=0xff => Width::One,
            0x100..=0xffff => Width::Two,
            _ => Width::Four,
        };
        if !keys {
            self.by_id.resize(self.texts.count(), UNUSED);
        }
    }

    /// Appends rows by what they have in this column.
    pub(crate) fn extend(&mut self, rows: &[Row], column: usize) {
        match self.width {
            Width::One => self.extend_codes::<1>(rows, column),
            Width::Two => self.extend_codes::<2>(rows, column),
            Width::Four => self.extend_codes::<4>(rows, column),
            Width::Key => self.extend_keys(rows, column),
        }
    }

    fn extend_codes<const WIDTH: usize>(&mut self, rows: &[Row], column: usize) {
        // Taken out, so that new codes can be given meanwhile.
        let mut codes = std::mem::take(&mut self.codes);
        let start = codes.len();
        codes.resize(start + rows.len() * WIDTH, 0);
        let (places, _) = codes.get_mut(start..).unwrap_or_default().as_chunks_mut::<WIDTH>();
        for (row, (place, texts)) in places.iter_mut().zip(rows).enumerate() {
            let id = texts.id(column);
            let code = match self.by_id.get(id as usize) {
                Some(&code) if code != UNUSED => code,
                _ => self.new_code(id, start / WIDTH + row),
            };
            // A code has no more bytes than this: see `start`.
            *place = code.to_le_bytes().first_chunk().copied().unwrap_or([0; WIDTH]);
        }
        self.codes = codes;
    }

    fn extend_keys(&mut self, rows: &[Row], column: usize) {
        let start = self.codes.len();
        self.codes.resize(start + rows.len() * KEY_BYTES, 0);
        let (places, _) = self.codes.get_mut(start..).unwrap_or_default().as_chunks_mut::<KEY_BYTES>();
        for (row, (place, texts)) in (start / KEY_BYTES..).zip(places.iter_mut().zip(rows)) {
            match texts.id(column) {
                TO_BE_FOUND => *place = texts.key().to_bytes(),
                NULL => self.nulls.push(row),
                id => self.others.push((row, id)),
            }
        }
    }

    /// The code of a text that the batch did not have yet, or of none in this row.
    #[cold]
    fn new_code(&mut self, id: u32, row: usize) -> u32 {
        let Some(code) = self.by_id.get_mut(id as usize) else {
            self.nulls.push(row);
            return 0;
        };
        // There are no more texts than ids.
        *code = u32::try_from(self.used.len()).unwrap_or(UNUSED);
        self.used.push(id);
        *code
    }

    /// All rows are there.
    pub(crate) fn end(&mut self) {
        let null = u32::try_from(self.used.len()).unwrap_or(UNUSED).to_le_bytes();
        let width = self.width.bytes();
        if self.width == Width::Key {
            return;
        }
        let null = null.get(..width).unwrap_or_default();
        for &row in &self.nulls {
            if let Some(place) = self.codes.get_mut(row * width..(row + 1) * width) {
                place.copy_from_slice(null);
            }
        }
    }

    /// Whether rows have keys.
    pub(crate) fn has_keys(&self) -> bool {
        self.width == Width::Key
    }

    /// The rows of a column with codes.
    pub(crate) fn rows(&self) -> CodedRows<'_> {
        let codes = match self.width {
            Width::One => Codes::One(&self.codes),
            Width::Two => Codes::Two(self.codes.as_chunks().0),
            Width::Four | Width::Key => Codes::Four(self.codes.as_chunks().0),
        };
        CodedRows { texts: &self.texts, used: &self.used, codes, nulls: &self.nulls }
    }

    /// The rows of a column with keys.
    pub(crate) fn keys(&self) -> KeyRows<'_> {
        KeyRows { keys: self.codes.as_chunks().0, nulls: &self.nulls, others: &self.others, texts: &self.texts }
    }
}

/// Rows of a column of texts that repeat: each text once, and for each row the code of its text.
#[derive(Clone, Copy)]
pub struct CodedRows<'a> {
    texts: &'a Texts,
    used: &'a [u32],
    codes: Codes<'a>,
    nulls: &'a [usize],
}

/// The code of each row, in little-endian bytes.
#[derive(Debug, Clone, Copy)]
pub enum Codes<'a> {
    /// A byte each.
    One(&'a [u8]),
    /// Two bytes each.
    Two(&'a [[u8; 2]]),
    /// Four bytes each.
    Four(&'a [[u8; 4]]),
}

impl<'a> CodedRows<'a> {
    /// How many texts there are. It is the code of a row without text.
    #[must_use]
    pub fn count(&self) -> usize {
        self.used.len()
    }

    /// The texts by their codes.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &'a str> + Clone + use<'a> {
        let (texts, used) = (self.texts, self.used);
        used.iter().map(|&id| texts.get(id).unwrap_or_default())
    }

    /// The text of a code; `None` of the code behind the last one.
    #[must_use]
    pub fn text(&self, code: u32) -> Option<&'a str> {
        self.texts.get(*self.used.get(code as usize)?)
    }

    /// The code of each row.
    #[must_use]
    pub fn codes(&self) -> Codes<'a> {
        self.codes
    }

    /// Whether there are rows without text.
    #[must_use]
    pub fn has_nulls(&self) -> bool {
        !self.nulls.is_empty()
    }

    pub(crate) fn to_array(self) -> Result<DictionaryArray<Int32Type>, ArrowError> {
        let mut texts = PlainColumn::default();
        self.texts().enumerate().for_each(|(code, text)| texts.push(code, text.as_bytes()));
        let texts = texts.take(self.count())?;
        let mut keys: Vec<i32> = self.codes.to_numbers().into_iter().map(u32::cast_signed).collect();
        for &row in self.nulls {
            // It means nothing there.
            keys.get_mut(row).into_iter().for_each(|key| *key = 0);
        }
        let nulls = self.has_nulls().then(|| valid_rows(keys.len(), self.nulls.iter().copied()));
        DictionaryArray::try_new(Int32Array::try_new(keys.into(), nulls)?, Arc::new(texts))
    }
}

impl Codes<'_> {
    /// The codes as numbers.
    #[must_use]
    pub fn to_numbers(&self) -> Vec<u32> {
        match self {
            Self::One(codes) => codes.iter().map(|&code| code.into()).collect(),
            Self::Two(codes) => codes.iter().map(|&code| u16::from_le_bytes(code).into()).collect(),
            Self::Four(codes) => codes.iter().map(|&code| u32::from_le_bytes(code)).collect(),
        }
    }
}

/// Rows of the column of keys: for each its key, as [`Key::from_bytes`] takes it.
///
/// [`Key::from_bytes`]: keytrail_model::key::Key::from_bytes
#[derive(Clone, Copy)]
pub struct KeyRows<'a> {
    keys: &'a [[u8; KEY_BYTES]],
    nulls: &'a [usize],
    others: &'a [(usize, u32)],
    texts: &'a Texts,
}

impl<'a> KeyRows<'a> {
    /// The keys. Of a row without one they mean nothing.
    #[must_use]
    pub fn keys(&self) -> &'a [[u8; KEY_BYTES]] {
        self.keys
    }

    /// Rows that have another text, in order, with that text.
    pub fn others(&self) -> impl ExactSizeIterator<Item = (usize, &'a str)> + Clone + use<'a> {
        let (others, texts) = (self.others, self.texts);
        others.iter().map(|&(row, id)| (row, texts.get(id).unwrap_or_default()))
    }

    /// Which rows have a key or a text; `None` where all have.
    #[must_use]
    pub fn valid(&self) -> Option<NullBuffer> {
        (!self.nulls.is_empty()).then(|| valid_rows(self.keys.len(), self.nulls.iter().copied()))
    }
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Key => KEY_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::StringArray;
    use arrow_array::cast::AsArray;

    use super::*;

    #[test]
    fn texts_have_codes_in_order_of_first_use() {
        // Distinct texts: codes of one byte, the most for one byte with a null, one more, and codes of two bytes.
        for distinct in [3, 255, 256, 257, 1500] {
            let mut column = CodedColumn::new(7);
            for round in 0..3 {
                let rows: Vec<Option<String>> = (0..2000)
                    .map(|row| (row % 5 != 0).then(|| format!("text {}", (row + round) * (row + 1) % distinct)))
                    .collect();
                let ids: Vec<u32> = rows
                    .iter()
                    .map(|text| text.as_deref().map_or(NULL, |text| column.texts.find_or_add(text)))
                    .collect();
                column.start(rows.len(), false);
                let row_of = |id: &u32| {
                    let mut row = Row::EMPTY;
                    row.set_id(3, *id);
                    row
                };
                ids.chunks(300).for_each(|some| column.extend(&some.iter().map(row_of).collect::<Vec<_>>(), 3));
                column.end();
                let coded = column.rows();
                let mut used: Vec<&str> = Vec::new();
                for text in rows.iter().flatten() {
                    if !used.contains(&text.as_str()) {
                        used.push(text);
                    }
                }
                assert!(coded.texts().eq(used.iter().copied()), "round {round} of {distinct}");
                let codes = coded.codes().to_numbers();
                let found = codes.iter().map(|&code| coded.text(code));
                assert!(found.eq(rows.iter().map(Option::as_deref)), "round {round} of {distinct}");
                assert!(codes.iter().all(|&code| code as usize <= coded.count()) && coded.has_nulls());
                let array = coded.to_array().unwrap();
                let texts: &StringArray = array.values().as_string();
                assert!(texts.iter().flatten().eq(used.iter().copied()));
                let read = array.downcast_dict::<StringArray>().unwrap();
                assert!(read.into_iter().eq(rows.iter().map(Option::as_deref)));
            }
        }
    }
}
