//! Do any bytes break a promise of the document's reader?
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headroom_policy::fuzz::fuzz(bytes));
