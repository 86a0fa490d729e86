//! The form of a staged block: the columns of [`schema::decoded_schema`], one after the other, each readable by itself.
//!
//! A block starts with its count of rows and with the end of each column, as `u32`; all numbers are little-endian. Times are 8
//! bytes each. Ordinals are runs of consecutive numbers: first number (8 bytes) and length (4). A dictionary column holds its
//! count of texts, their lengths, the texts, the width of a code with a bit for nulls, and a code for each row; the code after
//! the last text means null. A column of OUIDs may hold their digits instead, behind a count that no texts have: the number of rows
//! with other texts, those rows with the lengths of their texts, the texts, whether there are nulls, a bit for each row that tells them if
//! so, and 12 bytes a row. Plain texts of long blocks are a finished page of a data file; those of short ones wait as they
//! are, to become a page together with others: with the length of each, or once where all have the same.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use keytrail_decode::{CodedRows, KeyRows, PlainRows, RowTexts, Rows};
use keytrail_model::key::{KEY_BYTES, Key};
use keytrail_model::schema::{self, TEXT_COLUMNS};
use keytrail_store::{CodedTexts, Codes, KeyTexts, TextPage, TextPageEncoder, TextSlice};

use crate::error::IngestError;

/// Columns of a block: time, texts, ordinal.
const COLUMNS: usize = TEXT_COLUMNS.len() + 2;
/// Place of the ordinals.
const ORDINAL: usize = COLUMNS - 1;
/// Bytes of the count of rows and of the ends of columns.
const HEADER_BYTES: usize = (1 + COLUMNS) * 4;
/// Rows from which on plain texts become a page of their own: smaller pages compress badly and slow readers down.
const PAGE_ROWS_MIN: usize = 4096;

/// First byte of a plain text column: each text with its length, a page, texts of one length, or none at all.
const IS_PLAIN: u8 = 0;
const IS_PAGE: u8 = 1;
const IS_EVEN: u8 = 2;
const IS_NULL: u8 = 3;

/// Builds blocks, one after the other, in a buffer that is used again.
pub(super) struct BlockEncoder {
    bytes: Vec<u8>,
    pages: TextPageEncoder,
    /// Codes of the column at hand, [`UNUSED`] for null.
    codes: Vec<u32>,
    /// For each text of the batch's dictionary its code in the block, or [`UNUSED`].
    renamed: Vec<u32>,
    /// The texts that the block uses, by their code.
    used: Vec<u32>,
}

const UNUSED: u32 = u32::MAX;
/// In place of the count of texts: keys follow.
const KEYS: u32 = u32::MAX;
/// Set in the width of codes where a row is null.
const HAS_NULLS: u8 = 0x80;

impl BlockEncoder {
    pub(super) fn new() -> Result<Self, IngestError> {
        let pages = TextPageEncoder::new()?;
        Ok(Self { bytes: Vec::new(), pages, codes: Vec::new(), renamed: Vec::new(), used: Vec::new() })
    }

    /// The block of all rows, as the decoder has them. Its buffer may be taken, if another one is left.
    pub(super) fn encode_rows(&mut self, rows: &Rows<'_>) -> Result<&mut Vec<u8>, IngestError> {
        let mut header = self.start(rows.times().len())?;
        for column in 0..COLUMNS {
            match column.checked_sub(1).and_then(|texts| rows.texts(texts)) {
                Some(RowTexts::Coded(coded)) => self.coded(&coded)?,
                Some(RowTexts::Keys(keys)) => self.keys(&keys)?,
                Some(RowTexts::Plain(plain)) => self.plain(&plain)?,
                Some(RowTexts::Null) => self.texts(&TextSlice::null(rows.times().len()))?,
                None if column == ORDINAL => self.ordinals(rows.ordinals(), None)?,
                None => self.times(rows.times(), None)?,
            }
            header.push(number(self.bytes.len())?);
        }
        self.end(header)
    }

    /// The block of some rows of a batch in the columns of [`schema::decoded_schema`], of all its rows where none are named.
    pub(super) fn encode(&mut self, batch: &RecordBatch, rows: Option<&[u32]>) -> Result<&mut Vec<u8>, IngestError> {
        let mut header = self.start(rows.map_or(batch.num_rows(), <[u32]>::len))?;
        for (index, column) in batch.columns().iter().enumerate() {
            self.column(index, column, rows)?;
            header.push(number(self.bytes.len())?);
        }
        self.end(header)
    }

    fn start(&mut self, rows: usize) -> Result<Vec<u32>, IngestError> {
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
        Ok(vec![number(rows)?])
    }

    fn end(&mut self, header: Vec<u32>) -> Result<&mut Vec<u8>, IngestError> {
        if header.len() != COLUMNS + 1 {
            return Err(damaged(format!("{COLUMNS} columns"), format!("{}", header.len() - 1)));
        }
        let header = header.into_iter().flat_map(u32::to_le_bytes);
        self.bytes.iter_mut().zip(header).for_each(|(to, from)| *to = from);
        Ok(&mut self.bytes)
    }

    fn coded(&mut self, coded: &CodedRows<'_>) -> Result<(), IngestError> {
        put_texts(&mut self.bytes, coded.texts())?;
        let null = coded.count();
        let nulls = if coded.has_nulls() { HAS_NULLS } else { 0 };
        if null + usize::from(coded.has_nulls()) <= 1 {
            // All rows are alike.
            self.bytes.push(nulls);
            return Ok(());
        }
        let (width, codes): (u8, &[u8]) = match coded.codes() {
            keytrail_decode::Codes::One(codes) => (1, codes),
            keytrail_decode::Codes::Two(codes) => (2, codes.as_flattened()),
            keytrail_decode::Codes::Four(codes) => (4, codes.as_flattened()),
        };
        self.bytes.push(width | nulls);
        self.bytes.extend_from_slice(codes);
        Ok(())
    }

    fn keys(&mut self, keys: &KeyRows<'_>) -> Result<(), IngestError> {
        self.bytes.extend_from_slice(&KEYS.to_le_bytes());
        self.bytes.extend_from_slice(&number(keys.others().len())?.to_le_bytes());
        for (row, text) in keys.others() {
            let numbers = [number(row)?, number(text.len())?].map(u32::to_le_bytes);
            self.bytes.extend_from_slice(numbers.as_flattened());
        }
        keys.others().for_each(|(_, text)| self.bytes.extend_from_slice(text.as_bytes()));
        let valid = keys.valid();
        self.bytes.push(if valid.is_some() { HAS_NULLS } else { 0 });
        if let Some(valid) = valid {
            self.bytes.extend_from_slice(valid.buffer().as_slice());
        }
        self.bytes.extend_from_slice(keys.keys().as_flattened());
        Ok(())
    }

    fn plain(&mut self, plain: &PlainRows<'_>) -> Result<(), IngestError> {
        let valid = plain.valid();
        self.texts(&TextSlice::new(plain.text(), plain.ends(), valid.as_ref()))
    }

    fn column(&mut self, index: usize, column: &ArrayRef, rows: Option<&[u32]>) -> Result<(), IngestError> {
        if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
            return self.times(times.values(), rows);
        }
        if let Some(ordinals) = column.as_primitive_opt::<Int64Type>() {
            return self.ordinals(ordinals.values(), rows);
        }
        if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
            return self.dictionary(dictionary, rows);
        }
        match (column.as_string_opt::<i32>(), rows) {
            (Some(texts), None) => self.texts(&TextSlice::of(texts)),
            (Some(texts), Some(rows)) => {
                let chosen = take(texts, &arrow::array::UInt32Array::from(rows.to_vec()), None)?;
                self.texts(&TextSlice::of(chosen.as_string::<i32>()))
            }
            (None, _) => Err(damaged("a column of a record", format!("{} in place {index}", column.data_type()))),
        }
    }

    fn times(&mut self, times: &[i64], rows: Option<&[u32]>) -> Result<(), IngestError> {
        let Some(rows) = rows else {
            let start = self.bytes.len();
            self.bytes.resize(start + times.len() * 8, 0);
            let (places, _) = self.bytes.get_mut(start..).unwrap_or_default().as_chunks_mut::<8>();
            places.iter_mut().zip(times).for_each(|(place, time)| *place = time.to_le_bytes());
            return Ok(());
        };
        each_value(times, Some(rows), |time| self.bytes.extend_from_slice(&time.to_le_bytes()))
    }

    fn ordinals(&mut self, ordinals: &[i64], rows: Option<&[u32]>) -> Result<(), IngestError> {
        let mut run: Option<(i64, u32)> = None;
        let mut put = |(first, length): (i64, u32)| {
            self.bytes.extend_from_slice(&first.to_le_bytes());
            self.bytes.extend_from_slice(&length.to_le_bytes());
        };
        each_value(ordinals, rows, |ordinal| match &mut run {
            Some((first, length)) if first.checked_add(i64::from(*length)) == Some(ordinal) => *length += 1,
            _ => {
                if let Some(ended) = run.replace((ordinal, 1)) {
                    put(ended);
                }
            }
        })?;
        run.into_iter().for_each(put);
        Ok(())
    }

    fn texts(&mut self, texts: &TextSlice<'_>) -> Result<(), IngestError> {
        if texts.len() >= PAGE_ROWS_MIN {
            self.bytes.push(IS_PAGE);
            return Ok(self.pages.encode_to(texts, &mut self.bytes)?);
        }
        if texts.is_null() {
            self.bytes.push(IS_NULL);
            return Ok(());
        }
        if let Some((bytes, length)) = texts.as_even() {
            self.bytes.push(IS_EVEN);
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        self.bytes.push(IS_PLAIN);
        // Length and one; 0 is null.
        for text in texts.iter() {
            let length = text.map_or(Ok(0), |text| number(text.len() + 1))?;
            self.bytes.extend_from_slice(&length.to_le_bytes());
        }
        texts.iter().flatten().for_each(|text| self.bytes.extend_from_slice(text));
        Ok(())
    }

    fn dictionary(&mut self, column: &DictionaryArray<Int32Type>, rows: Option<&[u32]>) -> Result<(), IngestError> {
        let texts = column.values().as_string_opt::<i32>().filter(|texts| texts.null_count() == 0);
        let texts = texts.ok_or_else(|| damaged("a dictionary of texts", column.values().data_type().to_string()))?;
        self.forget_names();
        match rows {
            None => self.used.extend(0..number(texts.len())?),
            Some(rows) => self.rename(column, rows, texts.len())?,
        }
        put_texts(&mut self.bytes, self.used.iter().map(|&code| texts.value(code as usize)))?;
        let null = number(self.used.len())?;
        let keys = column.keys();
        match (rows, keys.nulls().filter(|nulls| nulls.null_count() > 0)) {
            // A key that is not null lies within the texts.
            (None, None) => put_codes(&mut self.bytes, keys.values().iter().map(|key| key.unsigned_abs()), null, false),
            (None, Some(nulls)) => {
                let keys = keys.values().iter().zip(nulls);
                let codes = keys.map(|(key, valid)| if valid { key.unsigned_abs() } else { null });
                put_codes(&mut self.bytes, codes, null, true);
            }
            (Some(_), _) => {
                let nulls = self.codes.contains(&UNUSED);
                let codes = self.codes.iter().map(|&code| if code == UNUSED { null } else { code });
                put_codes(&mut self.bytes, codes, null, nulls);
            }
        }
        Ok(())
    }

    /// Codes of some rows, by first use: texts of other rows are left out, so that a batch that falls into many blocks does not take
    /// its whole dictionary into each.
    fn rename(&mut self, column: &DictionaryArray<Int32Type>, rows: &[u32], texts: usize) -> Result<(), IngestError> {
        self.codes.clear();
        if self.renamed.len() < texts {
            self.renamed.resize(texts, UNUSED);
        }
        for &row in rows {
            let Some(key) = column.key(row as usize) else {
                self.codes.push(UNUSED);
                continue;
            };
            let code = self.renamed.get_mut(key).ok_or_else(|| damaged("a key of a text", key.to_string()))?;
            if *code == UNUSED {
                *code = number(self.used.len())?;
                self.used.push(number(key)?);
            }
            self.codes.push(*code);
        }
        Ok(())
    }

    /// Undoes what an earlier column left in `renamed`, in time that depends on its texts only.
    fn forget_names(&mut self) {
        for text in self.used.drain(..) {
            if let Some(code) = self.renamed.get_mut(text as usize) {
                *code = UNUSED;
            }
        }
    }
}

/// Appends the count of texts, their lengths and the texts.
fn put_texts<'t>(
    bytes: &mut Vec<u8>,
    texts: impl ExactSizeIterator<Item = &'t str> + Clone,
) -> Result<(), IngestError> {
    bytes.extend_from_slice(&number(texts.len())?.to_le_bytes());
    for text in texts.clone() {
        bytes.extend_from_slice(&number(text.len())?.to_le_bytes());
    }
    texts.for_each(|text| bytes.extend_from_slice(text.as_bytes()));
    Ok(())
}

/// Appends a code for each row, after their width. `null` follows the code of the last text.
fn put_codes(bytes: &mut Vec<u8>, codes: impl ExactSizeIterator<Item = u32>, null: u32, nulls: bool) {
    let most = if nulls { null } else { null.saturating_sub(1) };
    let width = width(most);
    bytes.push(width | if nulls { HAS_NULLS } else { 0 });
    bytes.reserve(codes.len() * usize::from(width));
    let codes = codes.map(u32::to_le_bytes);
    match width {
        0 => {}
        1 => bytes.extend(codes.map(|[low, ..]| low)),
        2 => codes.for_each(|[low, high, ..]| bytes.extend_from_slice(&[low, high])),
        _ => codes.for_each(|code| bytes.extend_from_slice(&code)),
    }
}

/// Bytes of a code, by the greatest one; none where all rows have the first.
fn width(most: u32) -> u8 {
    match most {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    }
}

fn each_value(values: &[i64], rows: Option<&[u32]>, mut each: impl FnMut(i64)) -> Result<(), IngestError> {
    let Some(rows) = rows else {
        values.iter().for_each(|&value| each(value));
        return Ok(());
    };
    for &row in rows {
        each(*values.get(row as usize).ok_or_else(|| damaged("a row of the batch", row.to_string()))?);
    }
    Ok(())
}

fn number(value: usize) -> Result<u32, IngestError> {
    u32::try_from(value).map_err(|_| damaged("a block below 4 GiB", format!("{value}")))
}

fn damaged(expected: impl Into<String>, found: impl Into<String>) -> IngestError {
    IngestError::StagedBlock { expected: expected.into(), found: found.into() }
}

/// A block's bytes, and where its columns lie in them.
pub(crate) struct BlockView {
    rows: usize,
    bytes: Bytes,
    /// Where the columns start, and where the last one ends.
    edges: [usize; COLUMNS + 1],
}

/// A column of a block.
pub(crate) enum StagedColumn<'a> {
    /// In the column's type.
    Array(ArrayRef),
    /// Texts that repeat.
    Coded(CodedTexts<'a>),
    /// OUIDs as digits.
    Keys(KeyTexts<'a>),
    /// Plain texts.
    Texts(TextSlice<'a>),
    /// Plain texts that are a page of a data file already.
    Page(TextPage),
}

impl StagedColumn<'_> {
    /// The column in its type, whatever it takes.
    ///
    /// # Errors
    /// The page is damaged, or a code has no text.
    pub(crate) fn into_array(self) -> Result<ArrayRef, IngestError> {
        match self {
            Self::Array(array) => Ok(array),
            Self::Coded(coded) => Ok(Arc::new(dictionary_of(&coded)?)),
            Self::Keys(keys) => Ok(Arc::new(dictionary_of_keys(&keys)?)),
            Self::Texts(texts) => {
                let texts = texts.iter().map(|text| text.map(std::str::from_utf8).transpose());
                let texts: StringArray =
                    texts.collect::<Result<_, _>>().map_err(|error| damaged("texts", error.to_string()))?;
                Ok(Arc::new(texts))
            }
            Self::Page(page) => Ok(Arc::new(page.decode()?)),
        }
    }
}

impl BlockView {
    /// # Errors
    /// These are not the bytes of a block, as far as their lengths tell.
    pub(crate) fn new(bytes: Bytes) -> Result<Self, IngestError> {
        let mut rest: &[u8] = &bytes;
        let rows = take_u32(&mut rest)? as usize;
        let mut edges = [HEADER_BYTES; COLUMNS + 1];
        let mut last = HEADER_BYTES;
        for edge in edges.iter_mut().skip(1) {
            *edge = take_u32(&mut rest)? as usize;
            if *edge < last {
                return Err(damaged(format!("a column that ends at {last} or later"), edge.to_string()));
            }
            last = *edge;
        }
        if last != bytes.len() {
            return Err(damaged(format!("{last} bytes"), bytes.len().to_string()));
        }
        let view = Self { rows, bytes, edges };
        // Times have a fixed width: from here on the count of rows is no larger than the block.
        match view.part(0).len() == rows * 8 {
            true => Ok(view),
            false => Err(damaged(format!("{rows} times"), format!("{} bytes", view.part(0).len()))),
        }
    }

    /// The bytes again, without a copy where nothing else shares them.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes.into()
    }

    /// Bytes of a column, by its place in [`schema::decoded_schema`].
    fn part(&self, index: usize) -> &[u8] {
        let edges = self.edges.get(index).zip(self.edges.get(index + 1));
        edges.and_then(|(&from, &to)| self.bytes.get(from..to)).unwrap_or_default()
    }

    /// Length of a column in bytes, by its place in [`schema::decoded_schema`].
    pub(crate) fn bytes(&self, index: usize) -> usize {
        self.part(index).len()
    }

    /// A column, by its place in [`schema::decoded_schema`].
    ///
    /// # Errors
    /// Its bytes are not those of such a column.
    pub(crate) fn column(&self, index: usize) -> Result<StagedColumn<'_>, IngestError> {
        let part = self.part(index);
        let array: ArrayRef = match index {
            0 => Arc::new(TimestampMicrosecondArray::from(self.times(part)?).with_timezone("UTC")),
            ORDINAL => Arc::new(Int64Array::from(self.ordinals(part)?)),
            _ => match index.checked_sub(1).and_then(|text| TEXT_COLUMNS.get(text)) {
                Some(name) if schema::is_dictionary(name) => return self.repeated(part),
                Some(_) => return self.texts(part),
                None => return Err(damaged(format!("one of {COLUMNS} columns"), index.to_string())),
            },
        };
        Ok(StagedColumn::Array(array))
    }

    /// All columns, in those of [`schema::decoded_schema`].
    ///
    /// # Errors
    /// The block is damaged.
    pub(crate) fn batch(&self) -> Result<RecordBatch, IngestError> {
        let columns = (0..COLUMNS).map(|index| self.column(index)?.into_array());
        Ok(RecordBatch::try_new(schema::decoded_schema(), columns.collect::<Result<_, _>>()?)?)
    }

    fn times(&self, part: &[u8]) -> Result<Vec<i64>, IngestError> {
        let (times, rest) = part.as_chunks::<8>();
        self.check(times.len(), rest)?;
        Ok(times.iter().map(|time| i64::from_le_bytes(*time)).collect())
    }

    fn ordinals(&self, mut part: &[u8]) -> Result<Vec<i64>, IngestError> {
        let mut ordinals = Vec::with_capacity(self.rows);
        while let Some((first, rest)) = part.split_first_chunk::<8>() {
            part = rest;
            let (first, length) = (i64::from_le_bytes(*first), take_u32(&mut part)?);
            let last = first.checked_add(i64::from(length) - 1);
            let last = last.filter(|_| length as usize <= self.rows - ordinals.len());
            ordinals.extend(first..=last.ok_or_else(|| damaged(format!("{} ordinals", self.rows), "more"))?);
        }
        self.check(ordinals.len(), part)?;
        Ok(ordinals)
    }

    fn texts<'b>(&self, part: &'b [u8]) -> Result<StagedColumn<'b>, IngestError> {
        let (&form, rest) = part.split_first().ok_or_else(|| damaged("the form of a column", "nothing"))?;
        match form {
            IS_PAGE => {
                let (page, bytes) = TextPage::read_from(&self.bytes.slice_ref(rest))?;
                self.check(page.rows() as usize, rest.get(bytes..).unwrap_or_default())?;
                Ok(StagedColumn::Page(page))
            }
            IS_EVEN => Ok(StagedColumn::Texts(self.even_texts(rest)?)),
            IS_NULL => {
                self.check(self.rows, rest)?;
                Ok(StagedColumn::Texts(TextSlice::null(self.rows)))
            }
            _ => self.texts_with_lengths(rest),
        }
    }

    fn even_texts<'b>(&self, mut part: &'b [u8]) -> Result<TextSlice<'b>, IngestError> {
        let length = take_u32(&mut part)?;
        let expected = (length as usize).checked_mul(self.rows).filter(|bytes| *bytes == part.len() && part.is_ascii());
        match (expected, i32::try_from(length)) {
            (Some(_), Ok(length)) => Ok(TextSlice::even(part, length, self.rows)),
            _ => Err(damaged(format!("{} texts of {length} bytes of ASCII", self.rows), "others")),
        }
    }

    fn texts_with_lengths(&self, mut rest: &[u8]) -> Result<StagedColumn<'static>, IngestError> {
        let mut lengths = Vec::with_capacity(self.rows);
        for _ in 0..self.rows {
            lengths.push(take_u32(&mut rest)?);
        }
        let nulls = lengths.contains(&0).then(|| lengths.iter().map(|&length| length > 0).collect());
        let lengths = lengths.into_iter().map(|length| length.saturating_sub(1) as usize);
        let texts = texts_of(lengths, &mut rest, nulls)?;
        self.check(texts.len(), rest)?;
        Ok(StagedColumn::Array(Arc::new(texts)))
    }

    fn repeated<'b>(&self, mut part: &'b [u8]) -> Result<StagedColumn<'b>, IngestError> {
        match take_u32(&mut part)? {
            KEYS => Ok(StagedColumn::Keys(self.keys(part)?)),
            count => Ok(StagedColumn::Coded(self.coded(count as usize, part)?)),
        }
    }

    fn keys<'b>(&self, mut part: &'b [u8]) -> Result<KeyTexts<'b>, IngestError> {
        let (others, rest) = self.other_texts(&mut part)?;
        let (&has_nulls, rest) = rest.split_first().ok_or_else(|| damaged("whether there are nulls", "nothing"))?;
        let bits = if has_nulls == HAS_NULLS { self.rows.div_ceil(8) } else { 0 };
        let split = rest.split_at_checked(bits);
        let (bits, rest) = split.ok_or_else(|| damaged(format!("{} bits", self.rows), "fewer"))?;
        let (keys, behind) = rest.as_chunks::<KEY_BYTES>();
        self.check(keys.len(), behind)?;
        let valid = (!bits.is_empty()).then(|| NullBuffer::new(BooleanBuffer::new(bits.into(), 0, self.rows)));
        Ok(KeyTexts::new(keys, others, valid))
    }

    /// Rows of a column of keys that have other texts, and what is behind them.
    fn other_texts<'b>(&self, part: &mut &'b [u8]) -> Result<(Vec<(usize, &'b str)>, &'b [u8]), IngestError> {
        let count = take_u32(part)? as usize;
        let places = count.checked_mul(8).and_then(|bytes| part.split_at_checked(bytes));
        let (places, mut rest) = places.ok_or_else(|| damaged(format!("{count} rows and lengths"), "fewer"))?;
        let mut others = Vec::with_capacity(count);
        let mut next = 0;
        for place in places.as_chunks::<8>().0 {
            let mut place = place.as_slice();
            let (row, length) = (take_u32(&mut place)? as usize, take_u32(&mut place)? as usize);
            if !(next..self.rows).contains(&row) {
                return Err(damaged(format!("a row from {next} to {}", self.rows), row.to_string()));
            }
            next = row + 1;
            let split = rest.split_at_checked(length);
            let (text, more) = split.ok_or_else(|| damaged(format!("a text of {length} bytes"), "less"))?;
            others.push((row, std::str::from_utf8(text).map_err(|error| damaged("a text", error.to_string()))?));
            rest = more;
        }
        Ok((others, rest))
    }

    fn coded<'b>(&self, count: usize, part: &'b [u8]) -> Result<CodedTexts<'b>, IngestError> {
        let lengths = count.checked_mul(4).and_then(|bytes| part.split_at_checked(bytes));
        let (lengths, rest) = lengths.ok_or_else(|| damaged(format!("{count} lengths"), "fewer"))?;
        let mut ends = Vec::with_capacity(count);
        let mut end = 0_u32;
        for length in lengths.as_chunks().0 {
            let longer = end.checked_add(u32::from_le_bytes(*length));
            end = longer.ok_or_else(|| damaged("texts below 4 GiB", "more"))?;
            ends.push(end);
        }
        let texts = rest.split_at_checked(end as usize);
        let (texts, rest) = texts.ok_or_else(|| damaged(format!("{end} bytes of text"), rest.len().to_string()))?;
        let texts = std::str::from_utf8(texts).map_err(|error| damaged("texts", error.to_string()))?;
        let (&width, rest) = rest.split_first().ok_or_else(|| damaged("the width of codes", "nothing"))?;
        let (width, has_nulls) = (width & !HAS_NULLS, width & HAS_NULLS > 0);
        let (codes, behind): (_, &[u8]) = match width {
            0 => (Codes::Zero(self.rows), rest),
            1 => (Codes::One(rest), &[]),
            2 => {
                let (codes, behind) = rest.as_chunks();
                (Codes::Two(codes), behind)
            }
            _ => {
                let (codes, behind) = rest.as_chunks();
                (Codes::Four(codes), behind)
            }
        };
        self.check(codes.len(), behind)?;
        Ok(CodedTexts::new(texts, ends, codes, has_nulls))
    }

    /// Holds the values of a column against the rows of the block; nothing may be left of its bytes.
    fn check(&self, found: usize, rest: &[u8]) -> Result<(), IngestError> {
        match found == self.rows && rest.is_empty() {
            true => Ok(()),
            false => Err(damaged(format!("{} rows", self.rows), format!("{found} and {} bytes", rest.len()))),
        }
    }
}

fn dictionary_of(coded: &CodedTexts<'_>) -> Result<DictionaryArray<Int32Type>, IngestError> {
    let (texts, ends) = coded.texts();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let lengths = starts.zip(ends).map(|(start, end)| (end - start) as usize);
    let texts = texts_of(lengths.collect::<Vec<_>>().into_iter(), &mut texts.as_bytes(), None)?;
    // Arrow checks the keys of rows that are not null.
    let keys = Int32Array::try_new(coded.codes().to_keys().into(), coded.nulls())?;
    Ok(DictionaryArray::try_new(keys, Arc::new(texts))?)
}

/// With a text for each row: that it repeats is of no use to who looks at each row.
fn dictionary_of_keys(keys: &KeyTexts<'_>) -> Result<DictionaryArray<Int32Type>, IngestError> {
    let rows = keys.keys().len();
    let mut texts = String::with_capacity(rows * Key::length());
    let mut lengths = Vec::with_capacity(rows);
    let mut others = keys.others().iter().copied().peekable();
    for (row, &key) in keys.keys().iter().enumerate() {
        let start = texts.len();
        match others.next_if(|&(other, _)| other == row) {
            Some((_, text)) => texts.push_str(text),
            None => Key::from_bytes(key).put_text(&mut texts),
        }
        lengths.push(texts.len() - start);
    }
    let texts = texts_of(lengths.into_iter(), &mut texts.as_bytes(), None)?;
    let codes: Vec<i32> = (0..).take(rows).collect();
    Ok(DictionaryArray::try_new(Int32Array::try_new(codes.into(), keys.valid().cloned())?, Arc::new(texts))?)
}

fn take_u32(bytes: &mut &[u8]) -> Result<u32, IngestError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| damaged("a number", "the end"))?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*number))
}

/// Takes texts of known lengths, which lie side by side, from the start of `bytes`.
fn texts_of(
    lengths: impl ExactSizeIterator<Item = usize>,
    bytes: &mut &[u8],
    nulls: Option<NullBuffer>,
) -> Result<StringArray, IngestError> {
    let mut offsets = Vec::with_capacity(lengths.len() + 1);
    let mut end = 0_usize;
    offsets.push(0_i32);
    for length in lengths {
        end += length;
        offsets.push(i32::try_from(end).map_err(|_| damaged("texts below 2 GiB", end.to_string()))?);
    }
    let (texts, rest) =
        bytes.split_at_checked(end).ok_or_else(|| damaged(format!("{end} bytes of text"), bytes.len().to_string()))?;
    *bytes = rest;
    Ok(StringArray::try_new(OffsetBuffer::new(offsets.into()), texts.into(), nulls)?)
}
