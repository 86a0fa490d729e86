//! The program is killed, and its disk fails, at every named point and at random moments; then the store is held against a plain model.
//!
//! After each fault: a reader sees the last commit or the new one and nothing between, `verify` is clean, the next run completes the
//! work and says what it swept, and rows with provenance, ledger and rejects are those of [`crate::support::model`]. By default some
//! dozens of faults; `KEYTRAIL_TEST_LONG=1` walks over all of them.

mod at_once;
mod disk;
mod points;
mod power;
mod random;
mod reads;
mod threads;
