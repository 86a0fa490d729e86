//! Rows under construction, one Arrow builder per column.
//!
//! Texts that repeat are held once per batch: a row holds the index of its text. Dictionaries start anew with every batch, with texts in
//! the order of their first row, so a batch depends on its rows only.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, SchemaRef};
use keytrail_model::schema::{self, TEXT_COLUMNS};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Builders of the columns of [`schema::decoded_schema`].
pub(crate) struct Columns {
    schema: SchemaRef,
    times: Vec<i64>,
    ordinals: Vec<i64>,
    texts: Vec<TextColumn>,
    /// Text held by the builders, in bytes.
    text_bytes: usize,
}

enum TextColumn {
    Dictionary(DictionaryColumn),
    Plain(StringBuilder),
}

impl Columns {
    pub(crate) fn new() -> Self {
        // No input can know the seed: nobody can choose texts that fall into one place of the index.
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let texts = TEXT_COLUMNS.iter().map(|column| {
            if schema::is_dictionary(column) {
                TextColumn::Dictionary(DictionaryColumn::new(seed))
            } else {
                TextColumn::Plain(StringBuilder::new())
            }
        });
        Self {
            schema: schema::decoded_schema(),
            times: Vec::new(),
            ordinals: Vec::new(),
            texts: texts.collect(),
            text_bytes: 0,
        }
    }

    /// Starts a row. Each text column must then get one value.
    pub(crate) fn start_row(&mut self, ordinal: i64, time: i64) {
        self.ordinals.push(ordinal);
        self.times.push(time);
    }

    /// The value of the row at hand in a text column, by its place in [`TEXT_COLUMNS`].
    pub(crate) fn push_text(&mut self, column: usize, text: Option<&str>) {
        match self.texts.get_mut(column) {
            Some(TextColumn::Dictionary(dictionary)) => self.text_bytes += dictionary.push(text),
            Some(TextColumn::Plain(builder)) => {
                builder.append_option(text);
                self.text_bytes += text.map_or(0, str::len);
            }
            None => debug_assert!(false, "no text column {column}"),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The rows as a batch; the builders are empty then.
    pub(crate) fn take_batch(&mut self) -> Result<RecordBatch, ArrowError> {
        self.text_bytes = 0;
        let rows = self.rows();
        let times = std::mem::replace(&mut self.times, Vec::with_capacity(rows));
        let ordinals = std::mem::replace(&mut self.ordinals, Vec::with_capacity(rows));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
        let mut arrays = vec![times];
        for column in &mut self.texts {
            arrays.push(match column {
                TextColumn::Dictionary(dictionary) => Arc::new(dictionary.take()?),
                TextColumn::Plain(builder) => Arc::new(builder.finish()),
            });
        }
        arrays.push(Arc::new(Int64Array::from(ordinals)));
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }

    /// Drops all rows.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }
}

/// A column of indices into texts, and an index of the texts by hash (open addressing).
struct DictionaryColumn {
    rows: Int32Builder,
    texts: StringBuilder,
    /// Index of a text plus one, 0 where free. A power of two in length, at most half full.
    places: Vec<u32>,
    seed: u64,
    /// Index of the newest row's text: often the next row's as well.
    newest: usize,
}

const FEWEST_PLACES: usize = 64;

impl DictionaryColumn {
    fn new(seed: u64) -> Self {
        Self {
            rows: Int32Builder::new(),
            texts: StringBuilder::new(),
            places: vec![0; FEWEST_PLACES],
            seed,
            newest: usize::MAX,
        }
    }

    /// Appends a value and returns the bytes of text that are newly held for it.
    fn push(&mut self, text: Option<&str>) -> usize {
        let Some(text) = text else {
            self.rows.append_null();
            return 0;
        };
        let before = self.texts.values_slice().len();
        if self.text(self.newest) != Some(text.as_bytes()) {
            self.newest = self.find_or_add(text);
        }
        // A batch has at most `i32::MAX` rows, hence texts.
        self.rows.append_value(i32::try_from(self.newest).unwrap_or(i32::MAX));
        self.texts.values_slice().len() - before
    }

    fn find_or_add(&mut self, text: &str) -> usize {
        let mut place = self.first_place(text.as_bytes());
        while let Some(&taken) = self.places.get(place)
            && taken != 0
        {
            let index = taken as usize - 1;
            if self.text(index) == Some(text.as_bytes()) {
                return index;
            }
            place = (place + 1) & (self.places.len() - 1);
        }
        let index = self.len();
        self.texts.append_value(text);
        if let Some(free) = self.places.get_mut(place) {
            *free = u32::try_from(index + 1).unwrap_or(u32::MAX);
        }
        if self.len() * 2 > self.places.len() {
            self.grow();
        }
        index
    }

    fn grow(&mut self) {
        let length = self.places.len() * 2;
        self.places.clear();
        self.places.resize(length, 0);
        for index in 0..self.len() {
            let mut place = self.first_place(self.text(index).unwrap_or_default());
            while self.places.get(place).is_some_and(|&taken| taken != 0) {
                place = (place + 1) & (length - 1);
            }
            if let Some(free) = self.places.get_mut(place) {
                *free = u32::try_from(index + 1).unwrap_or(u32::MAX);
            }
        }
    }

    fn first_place(&self, text: &[u8]) -> usize {
        // Only the low bits count.
        (xxh3_64_with_seed(text, self.seed) as usize) & (self.places.len() - 1)
    }

    fn len(&self) -> usize {
        self.texts.offsets_slice().len() - 1
    }

    fn text(&self, index: usize) -> Option<&[u8]> {
        let offsets = self.texts.offsets_slice();
        let start = usize::try_from(*offsets.get(index)?).ok()?;
        let end = usize::try_from(*offsets.get(index.checked_add(1)?)?).ok()?;
        self.texts.values_slice().get(start..end)
    }

    fn take(&mut self) -> Result<DictionaryArray<Int32Type>, ArrowError> {
        self.places.fill(0);
        self.newest = usize::MAX;
        DictionaryArray::try_new(self.rows.finish(), Arc::new(self.texts.finish()))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::{Array, StringArray};

    use super::*;

    #[test]
    fn dictionaries_hold_each_text_once_in_order_of_first_use() {
        let mut column = DictionaryColumn::new(7);
        for round in 0..2 {
            let rows: Vec<Option<String>> =
                (0..2000).map(|row| (row % 5 != 0).then(|| format!("text {}", row * row % 300))).collect();
            let held: usize = rows.iter().map(|text| column.push(text.as_deref())).sum();
            let array = column.take().unwrap();
            let texts: &StringArray = array.values().as_string();
            let mut distinct: Vec<&String> = Vec::new();
            for text in rows.iter().flatten() {
                if !distinct.contains(&text) {
                    distinct.push(text);
                }
            }
            assert!(texts.iter().flatten().eq(distinct.iter().map(|text| text.as_str())), "round {round}");
            assert_eq!(held, distinct.iter().map(|text| text.len()).sum::<usize>());
            let read = array.downcast_dict::<StringArray>().unwrap();
            assert!(read.into_iter().eq(rows.iter().map(Option::as_deref)));
        }
    }

    #[test]
    fn a_batch_has_the_decoded_schema() {
        let mut columns = Columns::new();
        columns.start_row(3, -1);
        (0..TEXT_COLUMNS.len()).for_each(|column| columns.push_text(column, (column % 2 == 0).then_some("x")));
        assert_eq!((columns.rows(), columns.text_bytes()), (1, 7));
        let batch = columns.take_batch().unwrap();
        assert_eq!(batch.schema(), schema::decoded_schema());
        assert_eq!(batch.num_rows(), 1);
        assert_eq!((columns.rows(), columns.text_bytes()), (0, 0));
        assert!(batch.column_by_name("resource_id").unwrap().is_null(0));
    }
}
