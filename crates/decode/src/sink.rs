//! What leaves the decoder, and where it goes.

use crate::rows::Rows;

/// Takes what a decoder makes of a member, in the order of the member's bytes (rows after the rejects that stand among its rows).
pub trait Sink {
    /// Takes rows.
    ///
    /// # Errors
    /// The sink cannot go on; the decoder gives up the member.
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError>;

    /// Takes something of the member that cannot be used.
    ///
    /// # Errors
    /// The sink cannot go on; the decoder gives up the member.
    fn reject(&mut self, reject: Reject) -> Result<(), SinkError>;
}

/// A stretch of a member that cannot be used: a bad record, or a fault between records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// 0-based position among all records and rejects of the member.
    pub ordinal: u64,
    /// Byte of the member at which the record starts or the fault stands.
    pub offset: u64,
    /// What was expected, what was found, and at which byte of the member.
    pub reason: String,
    /// The rejected bytes as they stood, cut at the longest record's length. Empty where something is missing.
    pub raw: Vec<u8>,
}

/// Counts of a member. `read = accepted + rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemberSummary {
    /// Records found, good or bad, and faults between records.
    pub read: u64,
    /// Rows handed to the sink.
    pub accepted: u64,
    /// Rejects handed to the sink.
    pub rejected: u64,
    /// Length of the member.
    pub bytes: u64,
}

/// Why a sink could not go on.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SinkError(#[from] Box<dyn std::error::Error + Send + Sync>);

impl SinkError {
    /// Wraps the sink's own error.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }

    /// The sink's own error.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.0
    }
}

impl From<arrow_schema::ArrowError> for SinkError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::new(error)
    }
}

/// Why a member as a whole cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The member holds nothing, or only blanks.
    #[error("expected records, found no text")]
    Empty,
    /// The member starts with neither a list nor an object, and no line soon behind is one: it is no export.
    #[error("expected '[' or '{{', found {found} at byte {offset}")]
    NotRecords {
        /// Byte of the member that should have been `[` or `{`.
        offset: u64,
        /// That byte, as shown to people.
        found: String,
    },
    /// The sink could not go on.
    #[error("sink of records: {0}")]
    Sink(#[from] SinkError),
    /// The member had failed before, and neither `finish` nor `reset` was called since.
    #[error("expected a new member after a failed one, found more bytes of it")]
    GivenUp,
}
