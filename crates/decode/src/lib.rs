//! From the bytes of a member to its records: JSON in, Arrow record batches and rejects out.
//!
//! This crate answers for what is a record and what is not ([`Decoder`]), for the strictness of the JSON it takes, for the row that a record
//! becomes, and for saying of everything else why, where and what it was ([`Reject`]). A member is a JSON list of objects, or one object
//! a line. Every record is counted; a bad one never takes its neighbours with it. The outcome depends on the member's bytes only, not on
//! how they were cut into chunks.
//!
//! It knows no files, containers, threads, clock or query engine.
//!
//! The way of the bytes, by module: `decoder` (chunks) -> `list` or `lines` (where records start and end; `scan` and `resync` help) ->
//! `intake` (counts) -> `row` (a record's members to columns; `members`, `canonical` and `number` help) -> `columns` (`rows` hands them out). `row` reads
//! JSON through `tape`, which chooses between the fast parser and `exact`. Most records take a shorter way: those of a shape met before go
//! from `intake` through `usual` to `columns`, with the same outcome. `first_time` guesses when a member begins.

mod canonical;
mod coded;
mod columns;
mod decoder;
mod exact;
mod first_time;
mod intake;
mod lines;
mod list;
mod members;
mod number;
mod options;
mod plain;
#[cfg(feature = "reference")]
pub mod reference;
mod resync;
mod row;
mod rows;
mod scan;
mod sink;
mod tape;
mod text;
mod texts;
mod usual;
mod window;

pub use coded::{CodedRows, Codes, KeyRows};
pub use decoder::Decoder;
pub use first_time::first_time;
pub use options::{
    DEFAULT_BATCH_BYTES, DEFAULT_BATCH_ROWS, DEFAULT_MAX_DEPTH, DEFAULT_MAX_RECORD_BYTES, DecodeOptions,
};
pub use plain::PlainRows;
pub use rows::{RowTexts, Rows};
pub use sink::{DecodeError, MemberSummary, Reject, Sink, SinkError};
