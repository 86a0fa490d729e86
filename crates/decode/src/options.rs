//! What a caller may set, and within which bounds.

/// Longest record that is decoded unless told otherwise, in bytes. The service's records are below 1 KiB.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// Rows of a full batch unless told otherwise.
pub const DEFAULT_BATCH_ROWS: usize = 16_384;
/// JSON after which a batch is handed out before it is full unless told otherwise, in bytes.
pub const DEFAULT_BATCH_BYTES: usize = 24 * 1024 * 1024;
/// Deepest nesting of objects and lists that is decoded unless told otherwise. The record itself is the first level.
pub const DEFAULT_MAX_DEPTH: usize = 128;

/// Arrow addresses the text of a column with 31 bits; a record's text can grow up to fivefold where numbers are written out.
const LARGEST_MAX_RECORD_BYTES: usize = 256 * 1024 * 1024;
const LARGEST_BATCH_BYTES: usize = 512 * 1024 * 1024;
/// Members of a record are written into `extra` by recursion: this many levels fit any thread's stack.
const LARGEST_MAX_DEPTH: usize = 1024;

/// Limits of a decoder. Values outside the documented bounds are brought to the nearest bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Longest record that is decoded, in bytes; also the longest `raw` of a reject. 64 to 256 MiB, default
    /// [`DEFAULT_MAX_RECORD_BYTES`]. A decoder holds one such record and little more.
    pub max_record_bytes: usize,
    /// Rows of a full batch. At least 1, default [`DEFAULT_BATCH_ROWS`].
    pub batch_rows: usize,
    /// JSON of records after which a batch is handed out before it has [`Self::batch_rows`] rows, in bytes. 1 to 512 MiB, default
    /// [`DEFAULT_BATCH_BYTES`].
    pub batch_bytes: usize,
    /// Deepest nesting of objects and lists. 2 to 1024, default [`DEFAULT_MAX_DEPTH`]. `meta` as text counts as if it were an
    /// object.
    pub max_depth: usize,
    /// Whether records of a shape met before are read without parsing them. The outcome is the same; to be switched off where the two
    /// ways are compared. Default true.
    pub usual_shapes: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            batch_rows: DEFAULT_BATCH_ROWS,
            batch_bytes: DEFAULT_BATCH_BYTES,
            max_depth: DEFAULT_MAX_DEPTH,
            usual_shapes: true,
        }
    }
}

impl DecodeOptions {
    /// These options within their bounds.
    pub(crate) fn bounded(self) -> Self {
        Self {
            max_record_bytes: self.max_record_bytes.clamp(64, LARGEST_MAX_RECORD_BYTES),
            batch_rows: self.batch_rows.clamp(1, i32::MAX as usize),
            batch_bytes: self.batch_bytes.clamp(1, LARGEST_BATCH_BYTES),
            max_depth: self.max_depth.clamp(2, LARGEST_MAX_DEPTH),
            usual_shapes: self.usual_shapes,
        }
    }
}
