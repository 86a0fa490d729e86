//! Rows under construction, and Arrow arrays made of them.
//!
//! Texts that repeat are held once: a row holds the index of its text. Indices of a batch follow the order in which its rows first use the
//! texts, so a batch depends on its rows only. Behind that, texts keep an id of their own from batch to batch, so that what was found
//! once need not be looked up again.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, SchemaRef};
use keytrail_model::schema::{self, TEXT_COLUMNS};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::keys::{self, Key, Keys};

/// Texts of a column, in number and in bytes, that are kept for the next batch; beyond that they are forgotten.
const KEPT_TEXTS: usize = 1 << 16;
const KEPT_BYTES: usize = 2 << 20;
/// Rows that are turned from ids to indices at once. They stay in the second-level cache for all columns (256 KB), and the indices of a
/// column in the first one meanwhile. To do this while records are being found would push out what finds them.
const TILE_ROWS: usize = 4096;
/// Rows whose keys are looked up together.
const KEYS_AT_ONCE: usize = 32;

/// Rows of the columns of [`schema::decoded_schema`].
pub(crate) struct Columns {
    schema: SchemaRef,
    times: Vec<i64>,
    ordinals: Vec<i64>,
    /// Texts of columns that repeat, row by row: to write a row in one place is much cheaper than in eleven.
    rows: Vec<Row>,
    texts: Vec<TextColumn>,
    keys: Keys,
    /// Place of the column of keys.
    key_column: usize,
    /// The row in the making.
    ids: RowIds,
}

/// For each text column the id of a text that repeats, or [`NULL`], as also for texts that do not repeat.
pub(crate) type RowIds = [u32; TEXT_COLUMNS.len()];

/// No text.
pub(crate) const NULL: u32 = u32::MAX;
/// The id of a key that the row holds as digits.
pub(crate) const TO_BE_FOUND: u32 = NULL - 1;

/// The texts of a row: one cache line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) ids: RowIds,
    pub(crate) key: Key,
}

impl Default for Row {
    fn default() -> Self {
        Self { ids: [NULL; TEXT_COLUMNS.len()], key: Key::default() }
    }
}

enum TextColumn {
    Dictionary(Box<DictionaryColumn>),
    Plain(PlainColumn),
}

impl Columns {
    pub(crate) fn new() -> Self {
        // No input can know the seed: nobody can choose texts that fall into one place of the index.
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let texts = TEXT_COLUMNS.iter().map(|column| {
            if schema::is_dictionary(column) {
                TextColumn::Dictionary(Box::new(DictionaryColumn::new(seed)))
            } else {
                TextColumn::Plain(PlainColumn::default())
            }
        });
        Self {
            schema: schema::decoded_schema(),
            times: Vec::new(),
            ordinals: Vec::new(),
            rows: Vec::new(),
            texts: texts.collect(),
            keys: Keys::new(),
            key_column: TEXT_COLUMNS.iter().position(|column| *column == keys::COLUMN).unwrap_or_default(),
            ids: [NULL; TEXT_COLUMNS.len()],
        }
    }

    /// The value of the row in the making in a text column, by its place in [`TEXT_COLUMNS`]; null where nothing is set.
    pub(crate) fn set_text(&mut self, column: usize, text: &str) {
        match self.texts.get_mut(column) {
            Some(TextColumn::Dictionary(dictionary)) => {
                if let Some(id) = self.ids.get_mut(column) {
                    *id = dictionary.texts.find_or_add(text);
                }
            }
            Some(TextColumn::Plain(plain)) => plain.push(self.times.len(), text.as_bytes()),
            None => debug_assert!(false, "no text column {column}"),
        }
    }

    /// Ends the row in the making.
    pub(crate) fn end_row(&mut self, ordinal: i64, time: i64) {
        let ids = std::mem::replace(&mut self.ids, [NULL; TEXT_COLUMNS.len()]);
        self.push_row(ordinal, time, Row { ids, ..Row::default() });
    }

    /// Appends a row whose texts that repeat have ids.
    #[inline]
    pub(crate) fn push_row(&mut self, ordinal: i64, time: i64, row: Row) {
        self.ordinals.push(ordinal);
        self.times.push(time);
        self.rows.push(row);
    }

    /// Turns the ids of all rows into indices of the batch, column by column.
    fn number_texts(&mut self) {
        self.find_keys();
        for column in &mut self.texts {
            if let TextColumn::Dictionary(dictionary) = column {
                dictionary.start();
            }
        }
        for tile in self.rows.chunks(TILE_ROWS) {
            for (column, texts) in self.texts.iter_mut().enumerate() {
                if let TextColumn::Dictionary(dictionary) = texts {
                    dictionary.extend(tile, column);
                }
            }
        }
        self.rows.clear();
    }

    /// Gives ids to the keys of all rows. Many are asked for before the first of them is looked at.
    fn find_keys(&mut self) {
        let Some(TextColumn::Dictionary(dictionary)) = self.texts.get_mut(self.key_column) else {
            return;
        };
        for some in self.rows.chunks_mut(KEYS_AT_ONCE) {
            for row in some.iter().filter(|row| row.ids.get(self.key_column) == Some(&TO_BE_FOUND)) {
                self.keys.ask_for(row.key);
            }
            for Row { ids, key } in some {
                if let Some(id) = ids.get_mut(self.key_column)
                    && *id == TO_BE_FOUND
                {
                    *id = self.keys.id(*key, |text| dictionary.texts.find_or_add(text));
                }
            }
        }
    }

    /// Takes ASCII text that does not repeat into the row in the making.
    #[inline]
    pub(crate) fn put_plain(&mut self, column: usize, text: &[u8]) {
        if let Some(TextColumn::Plain(plain)) = self.texts.get_mut(column) {
            plain.push(self.times.len(), text);
        }
    }

    /// The id of ASCII text in a column of texts that repeat. It is good until [`Self::forget_too_many`] says otherwise.
    pub(crate) fn id_of(&mut self, column: usize, text: &[u8]) -> Option<u32> {
        match self.texts.get_mut(column)? {
            TextColumn::Dictionary(dictionary) => {
                Some(dictionary.texts.find_or_add(std::str::from_utf8(text).unwrap_or_default()))
            }
            TextColumn::Plain(_) => None,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// The rows as a batch; there are none then.
    pub(crate) fn take_batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = self.rows();
        let times = std::mem::replace(&mut self.times, Vec::with_capacity(rows));
        let ordinals = std::mem::replace(&mut self.ordinals, Vec::with_capacity(rows));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
        let mut arrays = vec![times];
        self.number_texts();
        for texts in &mut self.texts {
            arrays.push(match texts {
                TextColumn::Dictionary(dictionary) => Arc::new(dictionary.take()?),
                TextColumn::Plain(plain) => Arc::new(plain.take(rows)?),
            });
        }
        arrays.push(Arc::new(Int64Array::from(ordinals)));
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }

    /// Forgets texts where too many are kept; whether it did, so that all ids are void. For the time between two batches.
    pub(crate) fn forget_too_many(&mut self) -> bool {
        let mut forgot = false;
        for column in &mut self.texts {
            if let TextColumn::Dictionary(dictionary) = column
                && dictionary.texts.are_too_many()
            {
                **dictionary = DictionaryColumn::new(dictionary.texts.seed);
                forgot = true;
            }
        }
        if forgot {
            self.keys = Keys::new();
        }
        forgot
    }

    /// Drops all rows.
    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.ordinals.clear();
        self.rows.clear();
        self.ids = [NULL; TEXT_COLUMNS.len()];
        for column in &mut self.texts {
            if let TextColumn::Plain(plain) = column {
                *plain = PlainColumn::default();
            }
        }
    }
}

/// Which rows are valid: all but those without text.
fn valid_rows(rows: usize, nulls: impl Iterator<Item = usize>) -> NullBuffer {
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, true);
    nulls.for_each(|row| valid.set_bit(row, false));
    NullBuffer::new(valid.finish())
}

/// A column of texts as they are.
struct PlainColumn {
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

    #[inline]
    fn push(&mut self, row: usize, text: &[u8]) {
        if self.len() < row {
            self.skip_to(row);
        }
        self.text.extend_from_slice(text);
        // Batches are handed out long before this number is too small: see `DecodeOptions`.
        self.ends.push(i32::try_from(self.text.len()).unwrap_or(i32::MAX));
    }

    /// Rows up to this one have no text.
    #[cold]
    fn skip_to(&mut self, row: usize) {
        let end = self.ends.last().copied().unwrap_or_default();
        self.nulls.extend(self.len()..row);
        self.ends.resize(row + 1, end);
    }

    fn take(&mut self, rows: usize) -> Result<StringArray, ArrowError> {
        if self.len() < rows {
            self.skip_to(rows);
        }
        let more = Self {
            text: Vec::with_capacity(self.text.len()),
            ends: Vec::with_capacity(self.ends.len()),
            nulls: Vec::new(),
        };
        let Self { text, ends, nulls } = std::mem::replace(self, more);
        self.ends.push(0);
        let nulls = (!nulls.is_empty()).then(|| valid_rows(rows, nulls.into_iter()));
        StringArray::try_new(OffsetBuffer::new(ends.into()), text.into(), nulls)
    }
}

/// A column of texts that repeat.
struct DictionaryColumn {
    /// Texts of this batch and of earlier ones, by id.
    texts: Texts,
    /// Index in the batch of each id, [`UNUSED`] where it has none.
    indices: Vec<i32>,
    /// Texts of the batch, by index.
    batch_texts: PlainColumn,
    /// Index of each row's text; of a null it means nothing.
    rows: Vec<i32>,
    /// Rows without text.
    nulls: Vec<usize>,
}

const UNUSED: i32 = -1;

impl DictionaryColumn {
    fn new(seed: u64) -> Self {
        Self {
            texts: Texts::new(seed),
            indices: Vec::new(),
            batch_texts: PlainColumn::default(),
            rows: Vec::new(),
            nulls: Vec::new(),
        }
    }

    /// A batch starts.
    fn start(&mut self) {
        self.rows.clear();
        self.indices.clear();
        self.indices.resize(self.texts.ends.len(), UNUSED);
    }

    /// Appends rows by the ids of their texts in a column. Indices follow the order in which texts first come.
    fn extend(&mut self, tile: &[Row], column: usize) {
        let first = self.rows.len();
        // Taken out, so that new texts can be added meanwhile.
        let mut rows = std::mem::take(&mut self.rows);
        rows.resize(first + tile.len(), 0);
        let places = rows.get_mut(first..).unwrap_or_default();
        for (row, (place, texts)) in places.iter_mut().zip(tile).enumerate() {
            let id = texts.ids.get(column).copied().unwrap_or(NULL);
            *place = match self.indices.get(id as usize) {
                Some(&index) if index != UNUSED => index,
                _ => self.new_index(id, first + row),
            };
        }
        self.rows = rows;
    }

    /// The index of a text that the batch did not have yet, or of none in this row.
    #[cold]
    fn new_index(&mut self, id: u32, row: usize) -> i32 {
        let Self { texts, indices, batch_texts, nulls, .. } = self;
        let Some(index) = indices.get_mut(id as usize) else {
            nulls.push(row);
            return 0;
        };
        // A batch has at most `i32::MAX` rows, hence texts.
        let new = batch_texts.len();
        *index = i32::try_from(new).unwrap_or(i32::MAX);
        batch_texts.push(new, texts.get(id).unwrap_or_default().as_bytes());
        *index
    }

    /// The rows as an array; there are none then.
    fn take(&mut self) -> Result<DictionaryArray<Int32Type>, ArrowError> {
        let more = Vec::with_capacity(self.rows.capacity());
        let rows = std::mem::replace(&mut self.rows, more);
        let nulls = std::mem::take(&mut self.nulls);
        let nulls = (!nulls.is_empty()).then(|| valid_rows(rows.len(), nulls.into_iter()));
        let texts = self.batch_texts.take(self.batch_texts.len())?;
        DictionaryArray::try_new(Int32Array::try_new(rows.into(), nulls)?, Arc::new(texts))
    }
}

/// Distinct texts with ids counted from 0, and an index of them by hash (open addressing).
struct Texts {
    text: String,
    /// End of each text.
    ends: Vec<usize>,
    /// Id of a text plus one, 0 where free. A power of two in length, at most half full.
    places: Vec<u32>,
    seed: u64,
    /// The text asked for last: often the next one as well.
    newest: u32,
}

const FEWEST_PLACES: usize = 64;

impl Texts {
    fn new(seed: u64) -> Self {
        Self { text: String::new(), ends: Vec::new(), places: vec![0; FEWEST_PLACES], seed, newest: NULL }
    }

    fn find_or_add(&mut self, text: &str) -> u32 {
        if self.get(self.newest) != Some(text) {
            self.newest = self.find_or_add_by_hash(text);
        }
        self.newest
    }

    fn find_or_add_by_hash(&mut self, text: &str) -> u32 {
        let mut place = self.first_place(text);
        while let Some(&taken) = self.places.get(place)
            && taken != 0
        {
            if self.get(taken - 1) == Some(text) {
                return taken - 1;
            }
            place = (place + 1) & (self.places.len() - 1);
        }
        self.text.push_str(text);
        self.ends.push(self.text.len());
        let count = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        if let Some(free) = self.places.get_mut(place) {
            *free = count;
        }
        if self.ends.len() * 2 > self.places.len() {
            self.grow();
        }
        count - 1
    }

    fn grow(&mut self) {
        let length = self.places.len() * 2;
        self.places.clear();
        self.places.resize(length, 0);
        for (id, count) in (0..).zip(1..).take(self.ends.len()) {
            let mut place = self.first_place(self.get(id).unwrap_or_default());
            while self.places.get(place).is_some_and(|&taken| taken != 0) {
                place = (place + 1) & (length - 1);
            }
            if let Some(free) = self.places.get_mut(place) {
                *free = count;
            }
        }
    }

    fn first_place(&self, text: &str) -> usize {
        // Only the low bits count.
        (xxh3_64_with_seed(text.as_bytes(), self.seed) as usize) & (self.places.len() - 1)
    }

    fn get(&self, id: u32) -> Option<&str> {
        let id = id as usize;
        let end = *self.ends.get(id)?;
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.text.get(start..end)
    }

    fn are_too_many(&self) -> bool {
        self.ends.len() > KEPT_TEXTS || self.text.len() > KEPT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    use super::*;

    #[test]
    fn dictionaries_hold_each_text_once_in_order_of_first_use() {
        let mut column = DictionaryColumn::new(7);
        for round in 0..3 {
            let rows: Vec<Option<String>> =
                (0..2000).map(|row| (row % 5 != 0).then(|| format!("text {}", (row + round) * row % 300))).collect();
            let ids: Vec<u32> =
                rows.iter().map(|text| text.as_deref().map_or(NULL, |text| column.texts.find_or_add(text))).collect();
            column.start();
            let rows_of = |id: &u32| Row { ids: [*id; TEXT_COLUMNS.len()], ..Row::default() };
            ids.chunks(TILE_ROWS).for_each(|tile| column.extend(&tile.iter().map(rows_of).collect::<Vec<_>>(), 3));
            let array = column.take().unwrap();
            let texts: &StringArray = array.values().as_string();
            let mut distinct: Vec<&String> = Vec::new();
            for text in rows.iter().flatten() {
                if !distinct.contains(&text) {
                    distinct.push(text);
                }
            }
            assert!(texts.iter().flatten().eq(distinct.iter().map(|text| text.as_str())), "round {round}");
            let read = array.downcast_dict::<StringArray>().unwrap();
            assert!(read.into_iter().eq(rows.iter().map(Option::as_deref)));
        }
    }

    #[test]
    fn a_batch_has_the_decoded_schema() {
        let mut columns = Columns::new();
        (0..TEXT_COLUMNS.len()).step_by(2).for_each(|column| columns.set_text(column, "x"));
        columns.end_row(3, -1);
        columns.end_row(4, 1);
        assert_eq!(columns.rows(), 2);
        let batch = columns.take_batch().unwrap();
        assert_eq!(batch.schema(), schema::decoded_schema());
        assert_eq!(batch.num_rows(), 2);
        assert_eq!(columns.rows(), 0);
        for (index, name) in TEXT_COLUMNS.iter().enumerate() {
            let column = batch.column_by_name(name).unwrap();
            assert_eq!((column.is_null(0), column.is_null(1)), (index % 2 == 1, true), "{name}");
        }
    }

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
}
