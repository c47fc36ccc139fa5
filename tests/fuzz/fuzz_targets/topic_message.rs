//! libFuzzer's entry to [`causeway_fuzz::topic_message`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::topic_message(data));
