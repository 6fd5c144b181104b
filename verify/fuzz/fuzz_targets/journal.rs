#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| authkeeper_fuzz::journal(data));
