//! The decoder against the plain one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keytrail_fuzz::decode_against_reference(data));
