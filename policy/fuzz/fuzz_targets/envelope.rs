//! Do any bytes break a promise of envelopes, or of what somebody with a key put into one?
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: headroom_policy_fuzz::sow("envelope"),
    |bytes: &[u8]| headroom_policy::fuzz::fuzz_envelope(bytes)
);
