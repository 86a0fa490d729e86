//! Rejects of one archive, gathered until they are staged. They stand in the schema of the store's `rejects`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, Int64Builder, RecordBatch, StringArray, StringBuilder};
use keytrail_decode::Reject;
use keytrail_model::schema;

use crate::error::IngestError;

/// Bytes of an archive's name: SHA-256 in hex.
const SHA256_BYTES: usize = 64;

/// Rejects on their way to staging, as columns of `rejects`.
#[derive(Default)]
pub(crate) struct PendingRejects {
    member: StringBuilder,
    ordinal: Int64Builder,
    offset: Int64Builder,
    reason: StringBuilder,
    raw: BinaryBuilder,
    bytes: usize,
}

impl PendingRejects {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a reject; tells how many bytes it needs.
    pub(crate) fn push(&mut self, member: &str, reject: &Reject) -> usize {
        self.member.append_value(member);
        self.ordinal.append_value(i64::try_from(reject.ordinal).unwrap_or(i64::MAX));
        self.offset.append_value(i64::try_from(reject.offset).unwrap_or(i64::MAX));
        self.reason.append_value(&reject.reason);
        self.raw.append_value(&reject.raw);
        let bytes = SHA256_BYTES + member.len() + reject.reason.len() + reject.raw.len() + 16;
        self.bytes += bytes;
        bytes
    }

    /// The rejects so far, of one archive, in the schema of `rejects`. None are left.
    pub(crate) fn finish(&mut self, archive: &str) -> Result<RecordBatch, IngestError> {
        self.bytes = 0;
        let ordinal = self.ordinal.finish();
        let archive = StringArray::from_iter_values(std::iter::repeat_n(archive, ordinal.len()));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(archive),
            Arc::new(self.member.finish()),
            Arc::new(ordinal),
            Arc::new(self.offset.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.raw.finish()),
        ];
        Ok(RecordBatch::try_new(schema::rejects_schema(), columns)?)
    }
}
