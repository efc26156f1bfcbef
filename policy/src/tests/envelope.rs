//! Is nothing taken that the right key did not sign, and is each refusal told by its own code?

use super::{EXAMPLE, keys_document, root, signer, trusting};
use crate::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

#[test]
fn what_is_signed_is_opened_byte_for_byte() {
    let trust = trusting(1);
    let sealed = seal(POLICY_TYPE, EXAMPLE.as_bytes(), &[&signer("policy-1")]);
    assert_eq!(&*trust.open(&sealed, None).unwrap().payload, EXAMPLE.as_bytes());
    // Nobody looks inside before: the payload need not even be JSON.
    assert_eq!(&*trust.open(&seal(POLICY_TYPE, b"\xff\0", &[&signer("policy-1")]), None).unwrap().payload, b"\xff\0");
}

#[test]
fn what_is_signed_is_the_encoding_of_dsse() {
    // The example of the DSSE v1 protocol text.
    let encoded = crate::envelope::encoded("http://example.com/HelloWorld", b"hello world");
    assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

#[test]
fn the_signature_is_that_of_rfc_8032() {
    // RFC 8032, part 7.1, TEST 1: the public key of this seed.
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let seed: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&seed[2 * at..2 * at + 2], 16).unwrap()).collect();
    let key = SigningKey::from_seed("rfc", &seed.try_into().unwrap()).unwrap();
    assert_eq!(key.public(), "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
}

#[test]
fn each_bad_envelope_is_refused_by_its_code() {
    let trust = trusting(1);
    let good = seal(POLICY_TYPE, EXAMPLE.as_bytes(), &[&signer("policy-1")]);
    let with = |pointer: &str, value: Value| {
        let mut envelope: Value = serde_json::from_slice(&good).unwrap();
        *envelope.pointer_mut(pointer).unwrap() = value;
        envelope.to_string().into_bytes()
    };
    let signature = |count: usize| json!(vec![json!({"keyid": "k", "sig": ""}); count]);
    let other = STANDARD.encode(EXAMPLE.replace("1842", "1843"));
    let large = STANDARD.encode(vec![b' '; MOST_BYTES + 1]);
    let twice = String::from_utf8(good.clone()).unwrap().replacen('{', "{\"payload\": \"\", ", 1).into_bytes();
    let cases = [
        (EXAMPLE.as_bytes().to_vec(), Code::NotDsse),
        (b"".to_vec(), Code::NotDsse),
        (good[..good.len() - 1].to_vec(), Code::NotDsse),
        (twice, Code::NotDsse),
        (with("/payload", json!("%")), Code::NotDsse),
        (with("/payload", json!("e31=")), Code::NotDsse), // bits after the end
        (with("/payload", json!(null)), Code::NotDsse),
        (with("/signatures", json!([])), Code::NotDsse),
        (with("/signatures", signature(9)), Code::NotDsse),
        (with("/signatures", json!([{"keyid": "policy-1"}])), Code::NotDsse),
        (with("/signatures", json!([{"sig": "AAAA"}])), Code::NotDsse),
        (vec![b' '; MOST_ENVELOPE_BYTES + 1], Code::TooLarge),
        (with("/payload", json!(large)), Code::TooLarge),
        (with("/payloadType", json!(KEYS_TYPE)), Code::PayloadType),
        (with("/payloadType", json!("application/json")), Code::PayloadType),
        (with("/signatures", signature(8)), Code::UnknownKey),
        (with("/signatures/0/keyid", json!("policy-2")), Code::UnknownKey),
        (with("/signatures/0/sig", json!("AAAA")), Code::BadSignature),
        (with("/payload", json!(other)), Code::BadSignature),
        (seal(POLICY_TYPE, b"{}", &[&root()]), Code::UnknownKey),
        (seal(KEYS_TYPE, EXAMPLE.as_bytes(), &[&signer("policy-1")]), Code::PayloadType),
    ];
    for (bytes, code) in cases {
        let faults = trust.open(&bytes, None).unwrap_err();
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        assert_eq!(faults.listed()[0].code, code, "{faults} for {start}");
    }
}

#[test]
fn a_document_may_be_signed_by_the_old_and_the_new_key() {
    let keys = [&signer("policy-1"), &signer("policy-2")];
    let both = seal(POLICY_TYPE, EXAMPLE.as_bytes(), &keys);
    trusting(1).open(&both, None).unwrap();
    // A known key that has signed something else is not outvoted.
    let mut envelope: Value = serde_json::from_slice(&both).unwrap();
    envelope["signatures"][0]["keyid"] = json!("policy-2");
    envelope["signatures"][1]["keyid"] = json!("policy-1");
    let faults = trusting(1).open(envelope.to_string().as_bytes(), None).unwrap_err();
    assert!(faults.has(Code::BadSignature), "{faults}");
}

#[test]
fn no_single_bit_of_an_envelope_can_be_changed() {
    let trust = trusting(1);
    let good = seal(POLICY_TYPE, super::minimal().to_string().as_bytes(), &[&signer("policy-1")]);
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[place] ^= 1 << bit;
            assert!(trust.open(&bytes, None).is_err(), "bit {bit} of byte {place}: {:?}", good[place] as char);
        }
    }
}

#[test]
fn only_a_root_key_makes_keys() {
    let mut trust = trusting(1);
    let by = |key: &SigningKey| seal(KEYS_TYPE, keys_document(2, &["policy-2"]).to_string().as_bytes(), &[key]);
    assert!(trust.offer_keys(&by(&signer("policy-1")), None).unwrap_err().has(Code::UnknownKey));
    assert!(trust.offer_keys(&by(&signer("root")), None).unwrap_err().has(Code::BadSignature));
    let as_policy = seal(POLICY_TYPE, keys_document(2, &["policy-2"]).to_string().as_bytes(), &[&root()]);
    assert!(trust.offer_keys(&as_policy, None).unwrap_err().has(Code::PayloadType));
    assert!(trust.offer_keys(&vec![b' '; 64 * 1024 + 1], None).unwrap_err().has(Code::TooLarge));
    assert_eq!(trust, trusting(1), "a refusal changes nothing");
    assert_eq!(trust.offer_keys(&by(&root()), None), Ok(true));
    assert_eq!(trust.vouched(), Some(2));
}

#[test]
fn keys_change_and_old_ones_do_not_come_back() {
    let mut trust = trusting(1);
    let document = |key| seal(POLICY_TYPE, b"{}", &[&signer(key)]);
    let offer = |trust: &mut Trust, epoch, keys: &[&str]| {
        let sealed = seal(KEYS_TYPE, keys_document(epoch, keys).to_string().as_bytes(), &[&root()]);
        trust.offer_keys(&sealed, None).map_err(|faults| faults.listed()[0].code)
    };
    assert_eq!(offer(&mut trust, 1, &["policy-1"]), Ok(false), "the same is no news");
    assert_eq!(offer(&mut trust, 1, &["policy-1", "policy-2"]), Err(Code::Equivocation));
    assert_eq!(offer(&mut trust, 3, &["policy-2"]), Ok(true));
    assert_eq!(offer(&mut trust, 2, &["policy-1"]), Err(Code::Rollback));
    assert!(trust.open(&document("policy-1"), None).unwrap_err().has(Code::UnknownKey));
    trust.open(&document("policy-2"), None).unwrap();
    // What is kept is enough to begin with.
    let mut again = super::distrusting();
    assert_eq!(again.offer_keys(trust.keys_envelope(), None), Ok(true));
    assert_eq!(again, trust);
}

#[test]
fn keys_end_by_a_clock_that_is_trusted() {
    let mut keys = keys_document(1, &["policy-1", "policy-2"]);
    keys["keys"][0]["not_after"] = json!("2027-01-01T00:00:00Z");
    let sealed = seal(KEYS_TYPE, keys.to_string().as_bytes(), &[&root()]);
    let at = |time: &str| Some(time.parse::<DateTime<Utc>>().unwrap());
    let mut trust = super::distrusting();
    assert!(trust.offer_keys(&sealed, at("2028-01-01T00:00:00Z")).unwrap_err().has(Code::Expired));
    trust.offer_keys(&sealed, at("2026-11-21T18:00:00Z")).unwrap();
    let open = |key, wall| trust.open(&seal(POLICY_TYPE, b"{}", &[&signer(key)]), wall).is_ok();
    assert!(open("policy-1", at("2026-12-31T23:59:59Z")) && !open("policy-1", at("2027-01-01T00:00:00Z")));
    assert!(open("policy-2", at("2027-12-31T23:59:59Z")) && !open("policy-2", at("2028-01-01T00:00:00Z")));
    assert!(open("policy-1", None));
}

#[test]
fn each_fault_in_a_keys_document_names_its_place() {
    let cases = [
        ("/schema", json!("headroom.policy/1.0"), Code::UnsupportedSchema, "/schema"),
        ("/epoch", json!(-1), Code::OutOfRange, "/epoch"),
        ("/epoch", json!(null), Code::Missing, "/epoch"),
        ("/expires_at", json!("2026-01-01T00:00:00Z"), Code::OutOfRange, "/expires_at"),
        ("/keys", json!(null), Code::Missing, "/keys"),
        ("/keys/0/public", json!("AAAA"), Code::OutOfRange, "/keys/0/public"),
        ("/keys/0/public", json!("%"), Code::OutOfRange, "/keys/0/public"),
        ("/keys/1/keyid", json!("policy-1"), Code::DuplicateId, "/keys/1/keyid"),
        ("/keys/1/keyid", json!(""), Code::OutOfRange, "/keys/1/keyid"),
        ("/keys/1", json!([]), Code::WrongType, "/keys/1"),
    ];
    for (place, value, code, pointer) in cases {
        let mut keys = keys_document(1, &["policy-1", "policy-2"]);
        *keys.pointer_mut(place).unwrap() = value;
        let faults = Keys::parse(keys.to_string().as_bytes()).unwrap_err();
        let is_told = faults.listed().iter().any(|fault| fault.code == code && fault.pointer == pointer);
        assert!(is_told, "{place}: {faults}");
    }
    let many: Vec<String> = (0..21).map(|index| format!("k{index}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(Keys::parse(keys_document(1, &many).to_string().as_bytes()).unwrap_err().has(Code::OutOfRange));
}

#[test]
fn unsigned_documents_pass_only_where_the_caller_says_so() {
    assert_eq!(&*Trust::Unsigned.open(b"{}", None).unwrap().payload, b"{}");
    assert_eq!(Trust::Unsigned.vouched(), None);
    assert!(super::distrusting().open(b"{}", None).unwrap_err().has(Code::NotDsse));
    let sealed = seal(POLICY_TYPE, b"{}", &[&signer("policy-1")]);
    assert!(super::distrusting().open(&sealed, None).unwrap_err().has(Code::UnknownKey));
    assert_eq!(super::distrusting().vouched(), Some(0));
}
