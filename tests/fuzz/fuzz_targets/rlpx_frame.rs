//! libFuzzer's entry to [`causeway_fuzz::rlpx_frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| causeway_fuzz::rlpx_frame(data));
