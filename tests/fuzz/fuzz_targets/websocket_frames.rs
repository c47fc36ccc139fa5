//! libFuzzer's entry to [`causeway_fuzz::websocket_frames`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::websocket_frames(data));
