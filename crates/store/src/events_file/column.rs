//! Encodes one column of one row group.

use arrow::array::{Array, ArrayRef, DictionaryArray, make_array};
use arrow::datatypes::{DataType, Int32Type};
use keytrail_model::schema;

use crate::{StoreError, TextPage};

/// Encodes one column of one row group.
pub struct ColumnEncoder {
    column: String,
    data_type: DataType,
    arrays: Vec<ArrayRef>,
}

/// A column of a row group, ready to be put into a file.
pub struct EncodedColumn {
    pub(super) column: String,
    pub(super) arrays: Vec<ArrayRef>,
}

impl ColumnEncoder {
    /// Starts a column; `column` is a name in [`keytrail_model::schema::events_file_schema`].
    ///
    /// # Errors
    /// There is no such column.
    pub fn new(column: &str) -> Result<Self, StoreError> {
        let schema = schema::events_file_schema();
        let field = schema.field_with_name(column).map_err(|_| StoreError::BadColumn {
            column: column.into(),
            expected: "a column of `events`".into(),
            found: "none".into(),
        })?;
        Ok(Self { column: column.into(), data_type: field.data_type().clone(), arrays: Vec::new() })
    }

    /// Appends rows. The array has the column's type in [`keytrail_model::schema::events_file_schema`].
    ///
    /// # Errors
    /// The array has another type, or nulls where the column has none.
    pub fn push(&mut self, values: &dyn Array) -> Result<(), StoreError> {
        if values.data_type() != &self.data_type {
            return Err(self.refused(self.data_type.to_string(), values.data_type().to_string()));
        }
        self.arrays.push(make_array(values.to_data()));
        Ok(())
    }

    /// Appends `rows` rows of one text (columns `archive` and `member`).
    ///
    /// # Errors
    /// The column holds no dictionary of texts.
    pub fn push_constant(&mut self, text: &str, rows: u64) -> Result<(), StoreError> {
        let count = usize::try_from(rows).unwrap_or(usize::MAX);
        let texts: DictionaryArray<Int32Type> = std::iter::repeat_n(text, count).collect();
        self.push(&texts)
    }

    /// Appends a finished page (columns `trace_id` and `extra`).
    ///
    /// # Errors
    /// The column holds no plain texts.
    pub fn push_page(&mut self, page: &TextPage) -> Result<(), StoreError> {
        self.push(&page.decode()?)
    }

    /// Ends the column.
    ///
    /// # Errors
    /// The values cannot be encoded.
    pub fn finish(self) -> Result<EncodedColumn, StoreError> {
        Ok(EncodedColumn { column: self.column, arrays: self.arrays })
    }

    fn refused(&self, expected: String, found: String) -> StoreError {
        StoreError::BadColumn { column: self.column.clone(), expected, found }
    }
}

impl EncodedColumn {
    pub(super) fn into_array(self) -> Result<ArrayRef, StoreError> {
        let arrays: Vec<&dyn Array> = self.arrays.iter().map(AsRef::as_ref).collect();
        arrow::compute::concat(&arrays).map_err(|error| StoreError::BadColumn {
            column: self.column.clone(),
            expected: "rows".into(),
            found: error.to_string(),
        })
    }
}
