//! Black-box tests: each runs the built program as a user does, on folders of its own. `tests/README.md` says what stands where.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "tests stop at the first surprise"
)]

mod cli;
mod coverage;
mod crashes;
mod exactly_once;
mod export;
mod foreign;
mod generated;
mod hostile;
mod ingest;
mod outsiders;
mod report;
mod samples;
mod shape;
mod sql;
mod support;
mod verify;
mod versions;
