//! libFuzzer's entry to [`causeway_fuzz::discv4_packet`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::discv4_packet(data));
