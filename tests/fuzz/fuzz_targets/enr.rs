//! libFuzzer's entry to [`causeway_fuzz::enr`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::enr(data));
