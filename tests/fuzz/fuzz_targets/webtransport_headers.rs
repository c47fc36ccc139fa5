//! libFuzzer's entry to [`causeway_fuzz::webtransport_headers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::webtransport_headers(data));
