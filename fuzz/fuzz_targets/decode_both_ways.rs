//! Records of shapes met before against the general way.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keytrail_fuzz::decode_both_ways(data));
