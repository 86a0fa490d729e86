//! One record as a row of texts, and its identity: what makes two records equal.
//!
//! Two records are equal when their times and their 13 texts are ([`schema::TEXT_COLUMNS`]); where they were found
//! (archive, member, ordinal) does not matter, nor did key order, blanks or the form of `meta`, because none of these
//! reaches a row.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::schema::{self, TEXT_COLUMNS};

/// The columns of a batch that make up its records, whatever the text encoding (plain, view or dictionary).
///
/// Made from a batch of the decoder or from one read back from the store: both give the same rows.
pub struct RecordColumns<'a> {
    times: &'a [i64],
    texts: Vec<TextColumn<'a>>,
}

/// A column of texts in any of the encodings that readers and writers of ours make.
pub(crate) enum TextColumn<'a> {
    Plain(&'a arrow_array::StringArray),
    View(&'a arrow_array::StringViewArray),
    Dictionary(&'a arrow_array::DictionaryArray<Int32Type>, &'a arrow_array::StringArray),
}

/// A batch that lacks a column of a record, or holds it in a type that no reader or writer of ours makes.
#[derive(Debug, thiserror::Error)]
#[error("column `{column}` of a record batch: expected {expected}, found {found}")]
pub struct ColumnError {
    column: &'static str,
    expected: &'static str,
    found: String,
}

impl ColumnError {
    pub(crate) fn new(column: &'static str, expected: &'static str, found: String) -> Self {
        Self { column, expected, found }
    }
}

/// A record, borrowed from a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow<'a> {
    /// Microseconds since the epoch, UTC.
    pub time: i64,
    /// In the order of [`TEXT_COLUMNS`].
    pub texts: [Option<&'a str>; TEXT_COLUMNS.len()],
}

impl<'a> RecordColumns<'a> {
    /// Finds the columns of a record by name.
    ///
    /// # Errors
    /// A column is missing or has an unexpected type.
    pub fn of(batch: &'a RecordBatch) -> Result<Self, ColumnError> {
        let time = column(batch, schema::TIME)?;
        let times = time.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| ColumnError {
            column: schema::TIME,
            expected: "a timestamp in microseconds",
            found: time.data_type().to_string(),
        })?;
        let texts = TEXT_COLUMNS.iter().map(|name| TextColumn::of(name, column(batch, name)?));
        Ok(Self { times: times.values(), texts: texts.collect::<Result<_, _>>()? })
    }

    /// Times of all rows, microseconds since the epoch.
    #[must_use]
    pub fn times(&self) -> &'a [i64] {
        self.times
    }

    /// The record in a row, `None` past the end.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<RecordRow<'a>> {
        let time = *self.times.get(index)?;
        let mut texts = [None; TEXT_COLUMNS.len()];
        for (text, column) in texts.iter_mut().zip(&self.texts) {
            *text = column.get(index);
        }
        Some(RecordRow { time, texts })
    }
}

impl<'a> TextColumn<'a> {
    pub(crate) fn of(name: &'static str, array: &'a ArrayRef) -> Result<Self, ColumnError> {
        let wrong = || ColumnError { column: name, expected: "text", found: array.data_type().to_string() };
        match array.data_type() {
            DataType::Utf8 => array.as_string_opt().map(Self::Plain),
            DataType::Utf8View => array.as_string_view_opt().map(Self::View),
            DataType::Dictionary(_, _) => array
                .as_dictionary_opt::<Int32Type>()
                .and_then(|dictionary| Some(Self::Dictionary(dictionary, dictionary.values().as_string_opt()?))),
            _ => None,
        }
        .ok_or_else(wrong)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&'a str> {
        match self {
            Self::Plain(array) => array.is_valid(index).then(|| array.value(index)),
            Self::View(array) => array.is_valid(index).then(|| array.value(index)),
            Self::Dictionary(array, values) => {
                let slot = array.key(index)?;
                values.is_valid(slot).then(|| values.value(slot))
            }
        }
    }
}

pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a ArrayRef, ColumnError> {
    batch.column_by_name(name).ok_or_else(|| ColumnError {
        column: name,
        expected: "to be there",
        found: "nothing".into(),
    })
}

/// Turns records into 128-bit identities: equal records have equal identities, different ones different identities but for
/// a chance of about n² / 2^128 among n records.
///
/// The hash (XXH3) is not a cryptographic one; the seed, drawn anew for each run and never stored, keeps anybody from making two
/// different records that share an identity.
#[derive(Debug, Clone, Copy)]
pub struct Identifier {
    seed: u64,
}

impl Identifier {
    /// An identifier whose results can be compared with those of others of the same seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { seed }
    }

    /// Calls `each` with row and identity of the records whose time is `wanted`, in the order of their rows.
    pub fn identities(
        &self,
        columns: &RecordColumns<'_>,
        wanted: impl Fn(i64) -> bool,
        mut each: impl FnMut(usize, u128),
    ) {
        let texts: Vec<HashedColumn<'_>> =
            columns.texts.iter().map(|column| HashedColumn::of(column, self.seed)).collect();
        // Time, then a hash for each text: a fixed place for each, so that no two rows run together to the same bytes.
        let mut bytes = Vec::with_capacity(size_of::<i64>() + TEXT_COLUMNS.len() * size_of::<u128>());
        for (row, &time) in columns.times.iter().enumerate().filter(|(_, time)| wanted(**time)) {
            bytes.clear();
            bytes.extend_from_slice(&time.to_le_bytes());
            for column in &texts {
                bytes.extend_from_slice(&column.hash(row, self.seed).to_le_bytes());
            }
            each(row, xxh3_128_with_seed(&bytes, self.seed));
        }
    }
}

/// Stands for the hash of an absent text. No text is known to have it.
const NO_TEXT: u128 = 0;

/// A column with the hashes of its dictionary: each text is hashed once, however many rows it has.
struct HashedColumn<'a> {
    column: &'a TextColumn<'a>,
    dictionary: Vec<u128>,
}

impl<'a> HashedColumn<'a> {
    fn of(column: &'a TextColumn<'a>, seed: u64) -> Self {
        let dictionary = match column {
            TextColumn::Dictionary(_, values) => values.iter().map(|text| hash_text(text, seed)).collect(),
            TextColumn::Plain(_) | TextColumn::View(_) => Vec::new(),
        };
        Self { column, dictionary }
    }

    fn hash(&self, row: usize, seed: u64) -> u128 {
        match self.column {
            TextColumn::Dictionary(array, _) => {
                array.key(row).and_then(|slot| self.dictionary.get(slot)).copied().unwrap_or(NO_TEXT)
            }
            column => hash_text(column.get(row), seed),
        }
    }
}

fn hash_text(text: Option<&str>, seed: u64) -> u128 {
    text.map_or(NO_TEXT, |text| xxh3_128_with_seed(text.as_bytes(), seed))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{DictionaryArray, StringArray, StringViewArray, TimestampMicrosecondArray};
    use arrow_schema::{Field, Schema};
    use proptest::prelude::*;

    use super::*;

    type Texts = Vec<Option<String>>;

    /// How a column holds its texts.
    #[derive(Debug, Clone, Copy)]
    enum Form {
        Plain,
        View,
        Dictionary,
    }

    fn column(texts: &[Option<&str>], form: Form) -> ArrayRef {
        match form {
            Form::Plain => Arc::new(StringArray::from(texts.to_vec())),
            Form::View => Arc::new(StringViewArray::from(texts.to_vec())),
            Form::Dictionary => Arc::new(texts.iter().copied().collect::<DictionaryArray<Int32Type>>()),
        }
    }

    /// Identities of rows, each a time and the first texts of [`TEXT_COLUMNS`]; the others are null.
    fn identities(rows: &[(i64, Texts)], form: Form, seed: u64) -> Vec<u128> {
        let times = TimestampMicrosecondArray::from(rows.iter().map(|(time, _)| *time).collect::<Vec<_>>());
        let mut fields = vec![Field::new(schema::TIME, times.data_type().clone(), false)];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times)];
        for (place, name) in TEXT_COLUMNS.iter().enumerate() {
            let texts: Vec<_> = rows.iter().map(|(_, texts)| texts.get(place).and_then(Option::as_deref)).collect();
            let array = column(&texts, form);
            fields.push(Field::new(*name, array.data_type().clone(), true));
            columns.push(array);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let mut found = Vec::new();
        Identifier::with_seed(seed).identities(&RecordColumns::of(&batch).unwrap(), |_| true, |_, id| found.push(id));
        found
    }

    #[test]
    fn identities_tell_what_runs_together() {
        let row = |time, texts: &[Option<&str>]| (time, texts.iter().map(|text| text.map(str::to_owned)).collect());
        let rows: [(i64, Texts); 8] = [
            row(1, &[Some("ab"), Some("c")]),
            row(1, &[Some("a"), Some("bc")]),
            row(1, &[Some("abc"), Some("")]),
            row(1, &[Some("abc"), None]),
            row(1, &[None, Some("abc")]),
            row(2, &[Some("abc"), None]),
            row(1, &[Some("")]),
            row(1, &[]),
        ];
        let mut distinct = identities(&rows, Form::Plain, 7);
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), rows.len());
    }

    proptest! {
        #[test]
        fn records_are_equal_where_their_identities_are(
            rows in prop::collection::vec((0..2_i64, prop::collection::vec(prop::option::of("[ab]{0,2}"), 3)), 0..20),
            seed: u64,
        ) {
            let found = identities(&rows, Form::Plain, seed);
            for form in [Form::View, Form::Dictionary] {
                prop_assert_eq!(&identities(&rows, form, seed), &found, "{:?}", form);
            }
            for (left, left_id) in rows.iter().zip(&found) {
                for (right, right_id) in rows.iter().zip(&found) {
                    prop_assert_eq!(left == right, left_id == right_id);
                }
            }
        }
    }
}
