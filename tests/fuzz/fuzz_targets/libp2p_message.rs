//! libFuzzer's entry to [`causeway_fuzz::libp2p_message`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::libp2p_message(data));
