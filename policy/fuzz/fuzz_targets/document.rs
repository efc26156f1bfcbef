//! Do any bytes break a promise of the documents' readers?
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: headroom_policy_fuzz::sow("document"),
    |bytes: &[u8]| headroom_policy::fuzz::fuzz(bytes)
);
