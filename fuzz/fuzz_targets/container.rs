//! Any bytes as an archive file, read in all ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keytrail_fuzz::container(data));
