//! Rows under construction.
//!
//! Texts that repeat are held once: a row holds the id of its text, which texts keep from batch to batch, so that what was found
//! once need not be looked up again. When the rows are handed out ([`crate::rows`]), ids become codes of the batch, column by column.

use std::hash::{BuildHasher, Hasher};

use keytrail_model::key::{self, KEY_BYTES, KEYS_AT_ONCE, Key, KeyNumbers};
use keytrail_model::schema::{self, TEXT_COLUMNS};

use crate::coded::CodedColumn;
use crate::plain::PlainColumn;

/// Rows that are turned from ids to codes at once. They stay in the second-level cache for all columns (256 KB), and the codes of a
/// column in the first one meanwhile. To do this while records are being found would push out what finds them.
const TILE_ROWS: usize = 4096;

/// Places for keys, as a power of two: as many as texts are kept.
const KEY_PLACES_BITS: u32 = 17;

/// Rows for each one that has something else than a key where keys may stay as they are.
const KEYS_PER_OTHER: usize = 16;

/// Rows of the columns of [`schema::decoded_schema`].
pub(crate) struct Columns {
    pub(crate) times: Vec<i64>,
    pub(crate) ordinals: Vec<i64>,
    /// Texts of columns that repeat, row by row: to write a row in one place is much cheaper than in eleven. Behind the rows of the batch
    /// there may be the row in the making.
    rows: Vec<Row>,
    pub(crate) texts: Vec<TextColumn>,
    keys: KeyNumbers,
    /// Place of the column of keys.
    key_column: usize,
    /// Rows with something in the column of keys that is no key of 24 digits.
    other_keys: usize,
}

/// The column of what has no other one, by its place in [`TEXT_COLUMNS`].
pub(crate) const EXTRA: usize = TEXT_COLUMNS.len() - 1;

/// No text.
pub(crate) const NULL: u32 = u32::MAX;
/// The id of a key that the row holds as digits.
pub(crate) const TO_BE_FOUND: u32 = NULL - 1;

/// Cells of a row: a power of two, so that the place of a column needs no check.
const CELLS: usize = 16;
const KEY_CELLS: usize = KEY_BYTES / size_of::<u32>();

/// The texts of a row, one cache line: for each text column the id of a text that repeats, or [`NULL`]; then a key. What stands in the place
/// of a column of texts that do not repeat means nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row([u32; CELLS]);

const _: () = assert!(TEXT_COLUMNS.len() + KEY_CELLS == CELLS, "columns and key fill a row");

impl Row {
    /// No texts.
    pub(crate) const EMPTY: Self = Self([NULL; CELLS]);

    #[inline]
    pub(crate) fn id(&self, column: usize) -> u32 {
        let Self(cells) = self;
        cells.get(column % CELLS).copied().unwrap_or(NULL)
    }

    #[inline]
    pub(crate) fn set_id(&mut self, column: usize, id: u32) {
        let Self(cells) = self;
        cells.get_mut(column % CELLS).into_iter().for_each(|cell| *cell = id);
    }

    #[inline]
    pub(crate) fn key(&self) -> Key {
        let Self([.., first, second, third]) = *self;
        Key::from_parts([first, second, third])
    }

    #[inline]
    pub(crate) fn set_key(&mut self, key: Key) {
        let Self([.., first, second, third]) = self;
        [*first, *second, *third] = key.to_parts();
    }
}

pub(crate) enum TextColumn {
    Coded(Box<CodedColumn>),
    Plain(PlainColumn),
}

impl Columns {
    pub(crate) fn new() -> Self {
        // No input can know the seed: nobody can choose texts that fall into one place of the index.
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let texts = TEXT_COLUMNS.iter().map(|column| {
            if schema::is_dictionary(column) {
                TextColumn::Coded(Box::new(CodedColumn::new(seed)))
            } else {
                TextColumn::Plain(PlainColumn::default())
            }
        });
        Self {
            times: Vec::new(),
            ordinals: Vec::new(),
            rows: Vec::new(),
            texts: texts.collect(),
            keys: KeyNumbers::within(KEY_PLACES_BITS),
            key_column: TEXT_COLUMNS.iter().position(|column| *column == key::COLUMN).unwrap_or_default(),
            other_keys: 0,
        }
    }

    /// The row in the making: the one that was begun, or an empty one. There is always one.
    #[inline]
    pub(crate) fn row(&mut self) -> Option<&mut Row> {
        if self.rows.len() == self.times.len() {
            self.rows.push(Row::EMPTY);
        }
        self.rows.last_mut()
    }

    /// The row in the making, made empty.
    #[inline]
    pub(crate) fn new_row(&mut self) -> Option<&mut Row> {
        self.start_row();
        self.row()
    }

    /// The value of the row in the making in a text column, by its place in [`TEXT_COLUMNS`]; null where nothing is set.
    pub(crate) fn set_text(&mut self, column: usize, text: &str) {
        match self.texts.get_mut(column) {
            Some(TextColumn::Coded(coded)) => {
                let key = if column == self.key_column { Key::of_text(text) } else { None };
                let id = key.map_or_else(|| coded.texts.find_or_add(text), |_| TO_BE_FOUND);
                if let Some(row) = self.row() {
                    row.set_id(column, id);
                    key.into_iter().for_each(|key| row.set_key(key));
                }
            }
            Some(TextColumn::Plain(plain)) => plain.push(self.times.len(), text.as_bytes()),
            None => debug_assert!(false, "no text column {column}"),
        }
    }

    /// Drops what is in the making: another row begins.
    #[inline]
    pub(crate) fn start_row(&mut self) {
        self.rows.truncate(self.times.len());
    }

    /// Ends the row in the making.
    #[inline]
    pub(crate) fn end_row(&mut self, ordinal: i64, time: i64) {
        let key_column = self.key_column;
        let has_other = self.row().is_some_and(|row| row.id(key_column) < TO_BE_FOUND);
        // What marks a key, and no text, are the greatest numbers.
        self.other_keys += usize::from(has_other);
        self.ordinals.push(ordinal);
        self.times.push(time);
    }

    /// Turns the ids of all rows into codes of the batch, column by column; keys stay as they are, where nearly all rows have one.
    pub(crate) fn number_texts(&mut self) {
        self.start_row();
        let (count, key_column) = (self.rows.len(), self.key_column);
        let keys_only = self.other_keys <= count / KEYS_PER_OTHER;
        if !keys_only {
            self.find_keys();
        }
        let mut coded: Vec<(usize, &mut CodedColumn)> =
            self.texts.iter_mut().enumerate().filter_map(|(column, texts)| Some((column, texts.coded()?))).collect();
        coded.iter_mut().for_each(|(column, texts)| texts.start(count, keys_only && *column == key_column));
        for tile in self.rows.chunks(TILE_ROWS) {
            coded.iter_mut().for_each(|(column, texts)| texts.extend(tile, *column));
        }
        coded.iter_mut().for_each(|(_, texts)| texts.end());
        for column in &mut self.texts {
            if let TextColumn::Plain(plain) = column {
                plain.end(count);
            }
        }
    }

    /// Turns keys into texts of the batch, after [`Self::number_texts`].
    pub(crate) fn number_keys(&mut self) {
        let column = self.key_column;
        if !self.texts.get_mut(column).and_then(TextColumn::coded).is_some_and(|coded| coded.has_keys()) {
            return;
        }
        self.find_keys();
        if let Some(coded) = self.texts.get_mut(column).and_then(TextColumn::coded) {
            coded.start(self.rows.len(), false);
            coded.extend(&self.rows, column);
            coded.end();
        }
    }

    /// Gives ids to the keys of all rows. Many are asked for before the first of them is looked at.
    fn find_keys(&mut self) {
        let Some(coded) = self.texts.get_mut(self.key_column).and_then(TextColumn::coded) else {
            return;
        };
        for some in self.rows.chunks_mut(KEYS_AT_ONCE) {
            let is_key = |row: &Row| row.id(self.key_column) == TO_BE_FOUND;
            some.iter().filter(|row| is_key(row)).for_each(|row| self.keys.ask_for(row.key()));
            for row in some.iter_mut().filter(|row| is_key(row)) {
                let id = self.keys.number(row.key(), |text| Some(coded.texts.find_or_add(text)));
                row.set_id(self.key_column, id.unwrap_or(NULL));
            }
        }
    }

    /// Takes ASCII text that does not repeat, of this length at the start of a window, into the row in the making.
    #[inline]
    pub(crate) fn put_plain(&mut self, column: usize, window: &[u8], length: usize) {
        if let Some(TextColumn::Plain(plain)) = self.texts.get_mut(column) {
            plain.push_start(self.times.len(), window, length);
        }
    }

    /// The text of the newest row in a column of texts that do not repeat.
    pub(crate) fn newest_plain(&self, column: usize) -> Option<&str> {
        let Some(TextColumn::Plain(plain)) = self.texts.get(column) else {
            return None;
        };
        plain.last_of(self.times.len())
    }

    /// The id that the newest row has in a column of texts that repeat.
    pub(crate) fn newest_id(&self, column: usize) -> Option<u32> {
        Some(self.id(self.rows().checked_sub(1)?, column)).filter(|id| *id < TO_BE_FOUND)
    }

    /// The id of ASCII text in a column of texts that repeat. It is good until [`Self::end_batch`] says otherwise.
    pub(crate) fn id_of(&mut self, column: usize, text: &[u8]) -> Option<u32> {
        let coded = self.texts.get_mut(column)?.coded()?;
        Some(coded.texts.find_or_add(std::str::from_utf8(text).unwrap_or_default()))
    }

    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// What a row has in a column of texts that repeat.
    pub(crate) fn id(&self, row: usize, column: usize) -> u32 {
        self.rows.get(row).map_or(NULL, |row| row.id(column))
    }

    /// Drops all rows, which were handed out, and forgets texts where too many are kept; whether it did, so that all ids are void.
    pub(crate) fn end_batch(&mut self) -> bool {
        self.clear();
        let mut forgot = false;
        for column in &mut self.texts {
            if let TextColumn::Coded(coded) = column
                && coded.texts.are_too_many()
            {
                coded.texts.forget();
                forgot = true;
            }
        }
        if forgot {
            self.keys.forget();
        }
        forgot
    }

    /// Drops all rows.
    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.ordinals.clear();
        self.rows.clear();
        self.other_keys = 0;
        for column in &mut self.texts {
            if let TextColumn::Plain(plain) = column {
                plain.clear();
            }
        }
    }
}

impl TextColumn {
    fn coded(&mut self) -> Option<&mut CodedColumn> {
        match self {
            Self::Coded(coded) => Some(coded),
            Self::Plain(_) => None,
        }
    }
}
