//! The write side: archives in, one commit of the store out, every record accounted for.
//!
//! [`ingest`] takes paths and a store. It reads the archives, hashes them, skips those the store knows, decodes the others in parallel
//! into a staging area, decides which records are duplicates, writes the Parquet files and commits once. What it does not know: how a
//! record looks (`keytrail-decode`), how the table lies on disk (`keytrail-store`), SQL.
//!
//! The stages, each a module: [`discover`](mod@discover) finds files, `queue` takes them through the threads, `ahead` asks for them early, `digest` reads
//! and hashes them, `claims` says which are decoded, `container` opens ZIP, gzip and plain files, `archive` decodes one archive, `rejects` gathers
//! what it refuses, `services` counts whose records it holds, `told` bounds what is told, `request` reads the side file with its request, `staging` holds what was decoded, `dedupe` applies the rule of duplicates (`ordinals` says which places of an archive the store has), `plan` decides which rows go to which
//! file, `write` makes the files, `early` has row groups written before all is decoded, `run` calls them in order and keeps the books.
//!
//! [`fn@prove`] goes the way back: it decodes the archives again and compares their records with what a store holds.

mod ahead;
mod archive;
mod claims;
mod container;
mod dedupe;
mod digest;
pub mod discover;
mod early;
mod error;
mod options;
mod pages;
mod plan;
mod progress;
mod prove;
mod queue;
mod rejects;
mod request;
mod run;
mod services;
mod staging;
mod summary;
mod tidy;
mod told;
mod write;

pub use error::IngestError;
pub use options::{IngestOptions, JOBS_MAX, Limits, WriteEarly};
pub use progress::Progress;
pub use prove::{MonthProof, Proof, ProofOptions, prove};
pub use run::{ingest, ingest_observed};
pub use summary::{ArchiveCounts, ByteCounts, Notice, Summary};

#[cfg(test)]
mod tests;
