//! Rows of a plain text column, encoded once and put into a file as they are.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, StringArray, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::chunk::{Chunk, DataPage};
use super::compress::{Zstd, zstd};
use super::text_rows::{PageSizes, TextRows};
use super::text_slice::TextSlice;
use crate::StoreError;

/// Four lengths, and with a checksum behind them all that stands before the body of a staged page.
const LENGTHS_BYTES: usize = 16;
const HEADER_BYTES: usize = LENGTHS_BYTES + 8;

/// Rows of a plain text column (`trace_id`, `extra`), encoded and compressed as one Parquet data page: made once, put into
/// a file as it is. A clone shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPage {
    rows: u32,
    nulls: u32,
    plain_bytes: u32,
    body: Bytes,
}

impl TextPage {
    /// Rows, nulls among them.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Rows without a text.
    #[must_use]
    pub fn nulls(&self) -> u32 {
        self.nulls
    }

    /// Bytes held: the compressed body.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Appends the page as [`TextPageEncoder::encode_to`] does.
    #[cfg(test)]
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&header_of([self.rows, self.nulls, self.plain_bytes], &self.body));
        out.extend_from_slice(&self.body);
    }

    /// Reads a page from the start of `bytes`; returns it and how many bytes it took. The page shares the bytes.
    ///
    /// # Errors
    /// The bytes are not what [`TextPageEncoder::encode_to`] made: a checksum tells.
    pub fn read_from(bytes: &Bytes) -> std::result::Result<(Self, usize), StoreError> {
        let header = bytes.split_first_chunk::<LENGTHS_BYTES>().and_then(|(lengths, rest)| {
            let (sum, body) = rest.split_first_chunk()?;
            Some((lengths, u64::from_le_bytes(*sum), body))
        });
        let Some((lengths, sum, body)) = header else {
            return Err(damaged(format!("{HEADER_BYTES} bytes before a page"), format!("{} bytes", bytes.len())));
        };
        let mut numbers = lengths.as_chunks().0.iter().map(|number| u32::from_le_bytes(*number));
        let mut number = || numbers.next().unwrap_or_default();
        let (rows, nulls, plain_bytes, body_bytes) = (number(), number(), number(), number() as usize);
        let Some(body) = body.get(..body_bytes) else {
            return Err(damaged(format!("a page of {body_bytes} bytes"), format!("{} bytes", body.len())));
        };
        let found = checksum(lengths, body);
        if found != sum {
            return Err(damaged(format!("checksum {sum:016x}"), format!("{found:016x}")));
        }
        let body = bytes.slice_ref(body);
        Ok((Self { rows, nulls, plain_bytes, body }, HEADER_BYTES + body_bytes))
    }

    /// The texts again.
    ///
    /// # Errors
    /// The page is damaged.
    pub fn decode(&self) -> std::result::Result<StringArray, StoreError> {
        self.read_as_file().map_err(|error| damaged(format!("{} texts", self.rows), error.to_string()))
    }

    /// Reads the page as the one page of a file: the reader of files checks all there is to check.
    fn read_as_file(&self) -> Result<StringArray> {
        if self.rows == 0 {
            return Ok(new_empty_array(&DataType::Utf8).as_string::<i32>().clone());
        }
        let schema = Schema::new(vec![Field::new("text", DataType::Utf8, true)]);
        let schema = ArrowSchemaConverter::new().convert(&schema)?;
        let mut chunk = Chunk::new(schema.column(0), zstd(), false);
        chunk.put(self.clone().into())?;
        let chunk = chunk.finish(None, None)?;
        let properties = Arc::new(WriterProperties::builder().build());
        let mut file = SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), properties)?;
        let mut group = file.next_row_group()?;
        group.append_column(&chunk.bytes, chunk.close)?;
        group.close()?;
        let file = Bytes::from(file.into_inner()?);
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(self.rows as usize).build()?;
        let batch = reader.next().transpose()?.ok_or_else(|| ParquetError::EOF("no rows".into()))?;
        let texts = batch.columns().first().and_then(|texts| texts.as_string_opt::<i32>()).cloned();
        texts
            .filter(|texts| texts.len() == self.rows as usize)
            .ok_or_else(|| ParquetError::General(format!("{} rows of another kind", batch.num_rows())))
    }
}

impl From<TextPage> for DataPage {
    fn from(page: TextPage) -> Self {
        Self {
            body: page.body,
            plain_bytes: page.plain_bytes as usize,
            encoding: Encoding::DELTA_LENGTH_BYTE_ARRAY,
            rows: page.rows,
            nulls: page.nulls,
            bounds: None,
        }
    }
}

/// What stands before a staged page: rows, nulls and bytes before compression, then the length of the body and a checksum.
fn header_of([rows, nulls, plain_bytes]: [u32; 3], body: &[u8]) -> [u8; HEADER_BYTES] {
    let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut header = [0; HEADER_BYTES];
    let (lengths, sum) = header.split_at_mut(LENGTHS_BYTES);
    let numbers = [rows, nulls, plain_bytes, body_bytes];
    lengths.as_chunks_mut().0.iter_mut().zip(numbers).for_each(|(place, number)| *place = number.to_le_bytes());
    sum.copy_from_slice(&checksum(lengths, body).to_le_bytes());
    header
}

/// Damage is noticed when a page is read: later it would go into the store as it is, and the `parquet` crate's reader panics over some of it.
fn checksum(lengths: &[u8], body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, xxh3_64(lengths))
}

fn damaged(expected: impl Into<String>, found: impl Into<String>) -> StoreError {
    StoreError::DamagedPage { expected: expected.into(), found: found.into() }
}

/// Makes pages; holds its buffers and the compression context. One per thread.
pub struct TextPageEncoder {
    rows: TextRows,
    zstd: Zstd,
}

impl TextPageEncoder {
    /// Makes an encoder.
    ///
    /// # Errors
    /// There is no memory for the compression context.
    pub fn new() -> std::result::Result<Self, StoreError> {
        let zstd = Zstd::new().map_err(|error| failed(error.into()))?;
        Ok(Self { rows: TextRows::new(), zstd })
    }

    /// Encodes texts as one page. About 64 Ki rows make a good one; more are taken too.
    ///
    /// # Errors
    /// The texts with their lengths do not fit a page (2 GiB).
    pub fn encode(&mut self, texts: &StringArray) -> std::result::Result<TextPage, StoreError> {
        let mut body = Vec::new();
        let PageSizes { plain_bytes, rows, nulls } = self.put_body(&TextSlice::of(texts), &mut body)?;
        Ok(TextPage { rows, nulls, plain_bytes, body: body.into() })
    }

    /// Encodes texts as one page and appends it in the form that [`TextPage::read_from`] reads. It is meant for the staging area of one
    /// run: no promise is made across versions.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_to(&mut self, texts: &TextSlice<'_>, out: &mut Vec<u8>) -> std::result::Result<(), StoreError> {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let PageSizes { plain_bytes, rows, nulls } = self.put_body(texts, out)?;
        if let Some((header, body)) = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut) {
            *header = header_of([rows, nulls, plain_bytes], body);
        }
        Ok(())
    }

    fn put_body(&mut self, texts: &TextSlice<'_>, out: &mut Vec<u8>) -> std::result::Result<PageSizes, StoreError> {
        self.rows.put_page_of(texts, &mut self.zstd, out).map_err(failed)
    }
}

fn failed(source: ParquetError) -> StoreError {
    StoreError::Encoding { column: "texts".into(), source }
}
