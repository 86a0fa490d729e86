//! Forms of time and of `meta`, and the way out through export.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keytrail_fuzz::time_and_meta(data));
