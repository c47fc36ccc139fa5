//! libFuzzer's entry to [`causeway_fuzz::verify_answer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::verify_answer(data));
