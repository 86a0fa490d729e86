//! What the decoder hands out: rows of a member, as Arrow arrays or as they are.
//!
//! Who stores rows can do so without Arrow arrays in between, which would be written only to be read again.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::ArrowError;
use keytrail_model::schema;

use crate::coded::{CodedRows, KeyRows};
use crate::columns::{Columns, TextColumn};
use crate::plain::PlainRows;

/// Rows of a member, in the order of its bytes. There is at least one.
pub struct Rows<'a> {
    columns: &'a mut Columns,
}

/// A text column of [`Rows`].
pub enum RowTexts<'a> {
    /// Texts that repeat.
    Coded(CodedRows<'a>),
    /// OUIDs, nearly all of 24 digits.
    Keys(KeyRows<'a>),
    /// Texts that do not repeat.
    Plain(PlainRows<'a>),
    /// No row has a text.
    Null,
}

impl<'a> Rows<'a> {
    pub(crate) fn of(columns: &'a mut Columns) -> Self {
        columns.number_texts();
        Self { columns }
    }

    /// Times of all rows, microseconds since the epoch.
    #[must_use]
    pub fn times(&self) -> &[i64] {
        &self.columns.times
    }

    /// Position of each row among the records and rejects of the member.
    #[must_use]
    pub fn ordinals(&self) -> &[i64] {
        &self.columns.ordinals
    }

    /// A text column, by its place in [`schema::TEXT_COLUMNS`]; `None` past the end.
    #[must_use]
    pub fn texts(&self, column: usize) -> Option<RowTexts<'_>> {
        Some(match self.columns.texts.get(column)? {
            TextColumn::Coded(coded) if coded.has_keys() => RowTexts::Keys(coded.keys()),
            TextColumn::Coded(coded) => RowTexts::Coded(coded.rows()),
            TextColumn::Plain(plain) => plain.rows().map_or(RowTexts::Null, RowTexts::Plain),
        })
    }

    /// A text column of texts that repeat, by its name; `None` of others, and of keys.
    #[must_use]
    pub fn coded(&self, column: &str) -> Option<CodedRows<'_>> {
        let place = schema::TEXT_COLUMNS.iter().position(|name| *name == column)?;
        match self.columns.texts.get(place)? {
            TextColumn::Coded(coded) if !coded.has_keys() => Some(coded.rows()),
            _ => None,
        }
    }

    /// The rows with the columns of [`schema::decoded_schema`].
    ///
    /// # Errors
    /// Arrow refuses the columns. No input can cause this: it would be a defect of this crate.
    pub fn into_batch(self) -> Result<RecordBatch, ArrowError> {
        let Self { columns } = self;
        columns.number_keys();
        let rows = columns.rows();
        let times = std::mem::replace(&mut columns.times, Vec::with_capacity(rows));
        let ordinals = std::mem::replace(&mut columns.ordinals, Vec::with_capacity(rows));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
        let mut arrays = vec![times];
        for texts in &mut columns.texts {
            arrays.push(match texts {
                TextColumn::Coded(coded) => Arc::new(coded.rows().to_array()?),
                TextColumn::Plain(plain) => Arc::<StringArray>::new(plain.take(rows)?),
            });
        }
        arrays.push(Arc::new(Int64Array::from(ordinals)));
        RecordBatch::try_new(schema::decoded_schema(), arrays)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array as _;
    use keytrail_model::schema::TEXT_COLUMNS;

    use super::*;

    #[test]
    fn a_batch_has_the_decoded_schema() {
        let mut columns = Columns::new();
        (0..TEXT_COLUMNS.len()).step_by(2).for_each(|column| columns.set_text(column, "x"));
        columns.end_row(3, -1);
        columns.end_row(4, 1);
        assert_eq!(columns.rows(), 2);
        let batch = Rows::of(&mut columns).into_batch().unwrap();
        columns.end_batch();
        assert_eq!(batch.schema(), schema::decoded_schema());
        assert_eq!(batch.num_rows(), 2);
        assert_eq!(columns.rows(), 0);
        for (index, name) in TEXT_COLUMNS.iter().enumerate() {
            let column = batch.column_by_name(name).unwrap();
            assert_eq!((column.is_null(0), column.is_null(1)), (index % 2 == 1, true), "{name}");
        }
    }
}
