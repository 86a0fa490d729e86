//! Rows under construction, and Arrow arrays made of them.
//!
//! Texts that repeat are held once: a row holds the index of its text. Indices of a batch follow the order in which its rows first use the
//! texts, so a batch depends on its rows only. Behind that, texts keep an id of their own from batch to batch, so that what was found
//! once need not be looked up again.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, SchemaRef};
use keytrail_model::schema::{self, TEXT_COLUMNS};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Texts of a column, in number and in bytes, that are kept for the next batch; beyond that they are forgotten.
const KEPT_TEXTS: usize = 1 << 16;
const KEPT_BYTES: usize = 2 << 20;
/// Rows that are turned from ids to indices at once: 26 KB.
const TILE_ROWS: usize = 512;
/// Rows of the columns of [`schema::decoded_schema`].
pub(crate) struct Columns {
    schema: SchemaRef,
    times: Vec<i64>,
    ordinals: Vec<i64>,
    /// Texts of columns that repeat, row by row: to write a row in one place is much cheaper than in eleven.
    rows: Vec<RowIds>,
    texts: Vec<TextColumn>,
    /// The row in the making.
    ids: RowIds,
}

/// For each text column the id of a text that repeats, or [`NULL`], as also for texts that do not repeat.
pub(crate) type RowIds = [u32; TEXT_COLUMNS.len()];

/// No text.
pub(crate) const NULL: u32 = u32::MAX;

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
        self.push_row(ordinal, time, ids);
    }

    /// Appends a row whose texts that repeat have ids.
    #[inline]
    pub(crate) fn push_row(&mut self, ordinal: i64, time: i64, ids: RowIds) {
        self.ordinals.push(ordinal);
        self.times.push(time);
        self.rows.push(ids);
    }

    /// Takes ASCII text: into the row in the making where texts do not repeat, else it tells the id of the text. Ids are good until
    /// [`Self::forget_too_many`] says otherwise.
    pub(crate) fn take_plain(&mut self, column: usize, text: &[u8]) -> Option<u32> {
        match self.texts.get_mut(column)? {
            TextColumn::Dictionary(dictionary) => {
                Some(dictionary.texts.find_or_add(std::str::from_utf8(text).unwrap_or_default()))
            }
            TextColumn::Plain(plain) => {
                plain.push(self.times.len(), text);
                None
            }
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
        self.rows.clear();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }

    /// Turns the ids of all rows into indices of the batch.
    fn number_texts(&mut self) {
        let rows = self.rows.len();
        for column in &mut self.texts {
            if let TextColumn::Dictionary(dictionary) = column {
                dictionary.start(rows);
            }
        }
        // So few rows at a time that they stay in the cache for all columns.
        for tile in self.rows.chunks(TILE_ROWS) {
            for (column, texts) in self.texts.iter_mut().enumerate() {
                if let TextColumn::Dictionary(dictionary) = texts {
                    dictionary.extend(tile.iter().map(|row| row.get(column).copied().unwrap_or(NULL)));
                }
            }
        }
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

/// Which rows are valid: as `usual` says, but for the exceptions.
fn valid_rows(rows: usize, usual: bool, exceptions: impl Iterator<Item = usize>) -> NullBuffer {
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, usual);
    exceptions.for_each(|row| valid.set_bit(row, !usual));
    NullBuffer::new(valid.finish())
}

/// A column of texts as they are.
#[derive(Default)]
struct PlainColumn {
    text: Vec<u8>,
    /// Rows that have a text, and where it ends.
    present: Vec<(u32, i32)>,
}

impl PlainColumn {
    #[inline]
    fn push(&mut self, row: usize, text: &[u8]) {
        self.text.extend_from_slice(text);
        // Batches are handed out long before these numbers are too small: see `DecodeOptions`.
        self.present.push((u32::try_from(row).unwrap_or(u32::MAX), i32::try_from(self.text.len()).unwrap_or(i32::MAX)));
    }

    fn take(&mut self, rows: usize) -> Result<StringArray, ArrowError> {
        let more = Vec::with_capacity(self.text.len());
        let text = std::mem::replace(&mut self.text, more);
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        let present = self.present.iter().map(|&(row, _)| row as usize);
        let nulls = (self.present.len() < rows).then(|| valid_rows(rows, false, present));
        let mut end_before = 0;
        for &(row, end) in &self.present {
            ends.resize(row as usize + 1, end_before);
            ends.push(end);
            end_before = end;
        }
        ends.resize(rows + 1, end_before);
        self.present.clear();
        StringArray::try_new(OffsetBuffer::new(ends.into()), text.into(), nulls)
    }
}

/// A column of texts that repeat.
struct DictionaryColumn {
    /// Texts of this batch and of earlier ones, by id.
    texts: Texts,
    /// Index in the batch of each id, [`UNUSED`] where it has none.
    indices: Vec<i32>,
    /// Texts of the batch.
    batch_texts: StringBuilder,
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
            batch_texts: StringBuilder::new(),
            rows: Vec::new(),
            nulls: Vec::new(),
        }
    }

    /// A batch of so many rows starts.
    fn start(&mut self, rows: usize) {
        self.indices.clear();
        self.indices.resize(self.texts.ends.len(), UNUSED);
        self.rows = Vec::with_capacity(rows);
    }

    /// Appends rows by the ids of their texts. Indices follow the order in which texts first come.
    fn extend(&mut self, ids: impl ExactSizeIterator<Item = u32>) {
        let Self { texts, indices, batch_texts, rows, nulls } = self;
        let first = rows.len();
        rows.extend(ids.enumerate().map(|(row, id)| match indices.get_mut(id as usize) {
            Some(index) if *index != UNUSED => *index,
            Some(index) => {
                // A batch has at most `i32::MAX` rows, hence texts.
                *index = i32::try_from(batch_texts.offsets_slice().len() - 1).unwrap_or(i32::MAX);
                batch_texts.append_value(texts.get(id).unwrap_or_default());
                *index
            }
            None => {
                nulls.push(first + row);
                0
            }
        }));
    }

    fn take(&mut self) -> Result<DictionaryArray<Int32Type>, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        let nulls = std::mem::take(&mut self.nulls);
        let nulls = (!nulls.is_empty()).then(|| valid_rows(rows.len(), true, nulls.into_iter()));
        DictionaryArray::try_new(Int32Array::try_new(rows.into(), nulls)?, Arc::new(self.batch_texts.finish()))
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
            column.start(ids.len());
            ids.chunks(TILE_ROWS).for_each(|tile| column.extend(tile.iter().copied()));
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
