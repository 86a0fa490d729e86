//! Encodes one column of one row group, whatever its type.

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use keytrail_model::{key, schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::SchemaDescriptor;

use super::chunk::{Bound, FinishedChunk};
use super::coded::{CodedTexts, KeyTexts};
use super::dictionary::{Dictionary, Settings};
use super::memory::ChunkMemory;
use super::numbers::Numbers;
use super::text_page::TextPage;
use super::text_slice::TextSlice;
use super::texts::Texts;
use crate::StoreError;

/// Dictionary of `ouid`, in bytes: room for some 140 000 keys of 24 digits in a row group before plain texts take over.
const OUID_DICTIONARY_BYTES: usize = 4 << 20;
/// Dictionary of another column.
const DICTIONARY_BYTES: usize = 1 << 20;
/// Part of the lookups of an absent `ouid` that read a row group in vain.
const OUID_FALSE_POSITIVES: f64 = 0.01;

/// Encodes one column of one row group. Equal rows give equal bytes, however they were split into pushes.
///
/// Pages that came finished are the exception: they stay as they are.
pub struct ColumnEncoder {
    column: String,
    data_type: DataType,
    nullable: bool,
    kind: Kind,
    memory: Option<ChunkMemory>,
}

enum Kind {
    Numbers(Numbers),
    Dictionary(Box<Dictionary>),
    Texts(Texts),
}

/// A column of a row group, ready to be put into a file.
pub struct EncodedColumn {
    column: String,
    chunk: FinishedChunk,
    memory: Option<ChunkMemory>,
}

impl ColumnEncoder {
    /// Starts a column; `column` is a name in [`keytrail_model::schema::events_file_schema`].
    ///
    /// # Errors
    /// There is no such column, or no memory for a compression context.
    pub fn new(column: &str) -> std::result::Result<Self, StoreError> {
        let schema = schema::events_file_schema();
        let Ok(field) = schema.field_with_name(column) else {
            return Err(refused(column, "a column of `events`", "none of that name"));
        };
        let (data_type, nullable) = (field.data_type().clone(), field.is_nullable());
        let kind = Kind::new(column, &data_type, nullable).map_err(failed(column))?;
        Ok(Self { column: column.into(), data_type, nullable, kind, memory: None })
    }

    /// Makes room for so many encoded bytes, where the column holds plain texts: memory that is asked for and not used costs nothing. It
    /// is taken from `memory`, and goes back there when the column is in its file. For a column without rows.
    pub fn reserve(&mut self, bytes: usize, memory: &ChunkMemory) {
        if let Kind::Texts(texts) = &mut self.kind {
            texts.fill(memory.take(), bytes);
            self.memory = Some(memory.clone());
        }
    }

    /// Appends rows. The array has the column's type in [`keytrail_model::schema::events_file_schema`].
    ///
    /// # Errors
    /// The array has another type, or nulls where the column has none, or its texts do not fit a page.
    pub fn push(&mut self, values: &dyn Array) -> std::result::Result<(), StoreError> {
        if values.data_type() != &self.data_type {
            return Err(refused(&self.column, self.data_type.to_string(), values.data_type().to_string()));
        }
        let nulls = if self.nullable { 0 } else { values.logical_null_count() };
        if nulls > 0 {
            return Err(refused(&self.column, "a value in every row", format!("{nulls} rows without")));
        }
        let pushed = match &mut self.kind {
            Kind::Numbers(numbers) => integers(values).map(|values| numbers.push(values)),
            Kind::Dictionary(dictionary) => values.as_dictionary_opt::<Int32Type>().and_then(|values| {
                let texts = values.values().as_string_opt()?;
                Some(dictionary.push(values, texts))
            }),
            Kind::Texts(texts) => values.as_string_opt().map(|values| texts.push(&TextSlice::of(values))),
        };
        // The type was compared above, so there was something to push.
        pushed.unwrap_or(Ok(())).map_err(failed(&self.column))
    }

    /// Appends `rows` rows of one text (columns that hold dictionaries, such as `archive` and `member`).
    ///
    /// # Errors
    /// The column holds no dictionary.
    pub fn push_constant(&mut self, text: &str, rows: u64) -> std::result::Result<(), StoreError> {
        match &mut self.kind {
            Kind::Dictionary(dictionary) => dictionary.push_run(text.as_bytes(), rows).map_err(failed(&self.column)),
            _ => Err(refused(&self.column, self.data_type.to_string(), "one text for many rows")),
        }
    }

    /// Appends rows of a column that holds dictionaries, by their codes.
    ///
    /// # Errors
    /// The column holds no dictionary, or has no nulls where there are some, or a code has no text.
    pub fn push_coded(&mut self, texts: &CodedTexts<'_>) -> std::result::Result<(), StoreError> {
        let nulls = if self.nullable { 0 } else { texts.nulls().map_or(0, |nulls| nulls.null_count()) };
        if nulls > 0 {
            return Err(refused(&self.column, "a value in every row", format!("{nulls} rows without")));
        }
        match &mut self.kind {
            Kind::Dictionary(dictionary) => dictionary.push_coded(texts).map_err(failed(&self.column)),
            _ => Err(refused(&self.column, self.data_type.to_string(), "texts that repeat")),
        }
    }

    /// Appends keys as digits (column `ouid`).
    ///
    /// # Errors
    /// The column holds no dictionary, or has no nulls where there are some.
    pub fn push_keys(&mut self, keys: &KeyTexts<'_>) -> std::result::Result<(), StoreError> {
        match &mut self.kind {
            Kind::Dictionary(dictionary) if self.nullable || keys.valid().is_none() => {
                dictionary.push_keys(keys).map_err(failed(&self.column))
            }
            _ => Err(refused(&self.column, self.data_type.to_string(), "keys")),
        }
    }

    /// Appends plain texts (columns `trace_id` and `extra`).
    ///
    /// # Errors
    /// The column holds no plain texts.
    pub fn push_texts(&mut self, texts: &TextSlice<'_>) -> std::result::Result<(), StoreError> {
        match &mut self.kind {
            Kind::Texts(column) => column.push(texts).map_err(failed(&self.column)),
            _ => Err(refused(&self.column, self.data_type.to_string(), "plain texts")),
        }
    }

    /// Appends a finished page (columns `trace_id` and `extra`).
    ///
    /// # Errors
    /// The column holds no plain texts.
    pub fn push_page(&mut self, page: TextPage) -> std::result::Result<(), StoreError> {
        match &mut self.kind {
            Kind::Texts(texts) => texts.push_page(page).map_err(failed(&self.column)),
            _ => Err(refused(&self.column, self.data_type.to_string(), "a page of plain texts")),
        }
    }

    /// Bytes that the column takes so far, about: rows that wait for their page are counted before compression.
    pub(super) fn bytes(&self) -> usize {
        match &self.kind {
            Kind::Numbers(numbers) => numbers.bytes(),
            Kind::Dictionary(dictionary) => dictionary.bytes(),
            Kind::Texts(texts) => texts.bytes(),
        }
    }

    /// Ends the column.
    ///
    /// # Errors
    /// The values do not fit a page or a column chunk (2 GiB a page).
    pub fn finish(self) -> std::result::Result<EncodedColumn, StoreError> {
        let chunk = match self.kind {
            Kind::Numbers(numbers) => numbers.finish(),
            Kind::Dictionary(dictionary) => dictionary.finish(),
            Kind::Texts(texts) => texts.finish(),
        };
        Ok(EncodedColumn { chunk: chunk.map_err(failed(&self.column))?, column: self.column, memory: self.memory })
    }
}

impl Kind {
    fn new(column: &str, data_type: &DataType, nullable: bool) -> Result<Self> {
        let file = file_schema()?;
        let descriptor = file.columns().iter().find(|descriptor| descriptor.name() == column);
        let descriptor = descriptor.ok_or_else(|| ParquetError::General("not in the file's schema".into()))?.clone();
        Ok(match data_type {
            // Times differ by random amounts, which compression does not shrink; ordinals by one, nearly always.
            DataType::Timestamp(..) => Self::Numbers(Numbers::new(descriptor, false)?),
            DataType::Int64 => Self::Numbers(Numbers::new(descriptor, true)?),
            DataType::Dictionary(..) => {
                let ouid = column == key::COLUMN;
                let limit = if ouid { OUID_DICTIONARY_BYTES } else { DICTIONARY_BYTES };
                let settings = Settings { limit, nullable, false_positives: ouid.then_some(OUID_FALSE_POSITIVES) };
                Self::Dictionary(Box::new(Dictionary::new(descriptor, settings)?))
            }
            _ => Self::Texts(Texts::new(descriptor)?),
        })
    }
}

impl EncodedColumn {
    /// Name of the column.
    pub(super) fn column(&self) -> &str {
        &self.column
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.chunk.close.rows_written
    }

    /// Bytes in the file, without footer and bloom filter.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.chunk.bytes.len()
    }

    /// Least and greatest value of a column of integers.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        match &self.chunk.bounds {
            Some((Bound::Number(least), Bound::Number(greatest))) => Some((*least, *greatest)),
            _ => None,
        }
    }

    /// Its bytes, what the footer says of them, and where their memory goes.
    pub(super) fn into_parts(self) -> (Bytes, ColumnCloseResult, Option<ChunkMemory>) {
        (self.chunk.bytes, self.chunk.close, self.memory)
    }
}

/// The columns of a data file as Parquet has them.
pub(super) fn file_schema() -> Result<SchemaDescriptor> {
    ArrowSchemaConverter::new().convert(&schema::events_file_schema())
}

fn integers(values: &dyn Array) -> Option<&[i64]> {
    let times = values.as_primitive_opt::<TimestampMicrosecondType>().map(|times| times.values());
    let integers = || values.as_primitive_opt::<Int64Type>().map(|integers| integers.values());
    times.or_else(integers).map(|values| values.as_ref())
}

fn refused(column: &str, expected: impl Into<String>, found: impl Into<String>) -> StoreError {
    StoreError::BadColumn { column: column.into(), expected: expected.into(), found: found.into() }
}

fn failed(column: &str) -> impl FnOnce(ParquetError) -> StoreError {
    move |source| StoreError::Encoding { column: column.into(), source }
}
