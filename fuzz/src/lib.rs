//! What the fuzz targets check, as plain functions: each panics where keytrail breaks its word.
//!
//! The container layer is compiled in from the sources of `keytrail-ingest`: as a dependency that crate would bring the store and its
//! engines, and their build would cost more than the fuzzing. All that it wants of the store are the fail points, which stand alone.

// So that the sources find them under the name that they have there.
extern crate self as keytrail_store;

#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../crates/ingest/src/container/mod.rs"]
mod container;
mod containers;
mod decode;
#[allow(dead_code, missing_docs)]
#[path = "../../crates/store/src/failpoint.rs"]
pub mod failpoint;
#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/ingest/src/pages.rs"]
mod pages;
#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/ingest/src/progress.rs"]
mod progress;
mod records;

pub use containers::container;
pub use decode::{decode_against_reference, decode_any, decode_both_ways};
pub use records::time_and_meta;

#[cfg(test)]
mod seeds {
    use std::path::Path;

    /// The seeds of a target; there are some.
    fn of(folder: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(folder);
        let files = std::fs::read_dir(&folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        let seeds: Vec<Vec<u8>> = files.collect();
        assert!(!seeds.is_empty(), "{}", folder.display());
        seeds
    }

    #[test]
    fn members_pass() {
        for bytes in of("members") {
            super::decode_against_reference(&bytes);
            for choice in 0..=255 {
                super::decode_any(&[&[choice], bytes.as_slice()].concat());
            }
            for choice in 0..4 {
                super::decode_both_ways(&[&[choice], bytes.as_slice()].concat());
            }
        }
    }

    #[test]
    fn inputs_that_runs_found_worth_keeping_pass() {
        let targets: [(&str, fn(&[u8])); 5] = [
            ("container", super::container),
            ("decode_against_reference", super::decode_against_reference),
            ("decode_any", super::decode_any),
            ("decode_both_ways", super::decode_both_ways),
            ("time_and_meta", super::time_and_meta),
        ];
        for (name, target) in targets {
            of(name).iter().for_each(|bytes| target(bytes));
        }
    }
}
