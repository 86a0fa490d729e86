//! What an audit record is: the vocabulary every other crate shares.
//!
//! This crate answers for the columns of the tables and of the files beside them ([`schema`]), the texts and the identity of a record
//! ([`record`]), digests of many ([`digest`]), its place among others ([`places`]), its time ([`time`]), writing it out again ([`export`]), the ledger
//! ([`ledger`]), what the codes of the service mean ([`actions`], [`statuses`]), and what may be shown of a text ([`text`]). Keys of the HSM have
//! a short form ([`key`]), which readers and writers look up with a hint to the processor ([`prefetch`]). It knows no files, containers, threads or query engine.

pub mod actions;
pub mod digest;
pub mod export;
pub mod key;
pub mod ledger;
pub mod places;
pub mod prefetch;
pub mod record;
pub mod schema;
pub mod statuses;
pub mod text;
pub mod time;
