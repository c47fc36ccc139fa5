//! libFuzzer's entry to [`causeway_fuzz::quic_packet`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::quic_packet(data));
