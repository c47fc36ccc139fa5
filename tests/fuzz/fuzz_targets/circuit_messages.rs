//! libFuzzer's entry to [`causeway_fuzz::circuit_messages`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::circuit_messages(data));
