//! libFuzzer's entry to [`causeway_fuzz::dns_entry`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::dns_entry(data));
