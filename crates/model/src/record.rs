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

enum TextColumn<'a> {
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
    fn of(name: &'static str, array: &'a ArrayRef) -> Result<Self, ColumnError> {
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

    fn get(&self, index: usize) -> Option<&'a str> {
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

fn column<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a ArrayRef, ColumnError> {
    batch.column_by_name(name).ok_or_else(|| ColumnError {
        column: name,
        expected: "to be there",
        found: "nothing".into(),
    })
}

/// Turns records into 128-bit identities: equal records have equal identities, different ones different identities but for
/// a chance of about n² / 2^129 among n records.
///
/// The hash (XXH3) is not a cryptographic one; the seed, drawn anew for each run and never stored, keeps anybody from making two
/// different records that share an identity.
#[derive(Debug)]
pub struct Identifier {
    seed: u64,
    scratch: Vec<u8>,
}

impl Identifier {
    /// An identifier whose results can be compared with those of others of the same seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, scratch: Vec::with_capacity(512) }
    }

    /// The identity of a record.
    pub fn identity(&mut self, row: &RecordRow<'_>) -> u128 {
        self.scratch.clear();
        self.scratch.extend_from_slice(&row.time.to_le_bytes());
        for text in row.texts {
            // Length first, so that no two rows run together to the same bytes; no text is 2^64 - 1 bytes long.
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            self.scratch.extend_from_slice(&length.to_le_bytes());
            self.scratch.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
        xxh3_128_with_seed(&self.scratch, self.seed)
    }
}
