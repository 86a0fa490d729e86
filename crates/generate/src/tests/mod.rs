//! The generator against a plain second opinion.
//!
//! [`recount`] reads the written archives with nothing but `zip`, `flate2` and `serde_json`, and counts by the rules of the
//! log; it shares no line with the code that made them.

mod output;
mod recount;
