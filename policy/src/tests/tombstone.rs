//! Is a gateway out of service only by a word that counts as a policy's does?

use super::{signer, trusting, us};
use crate::*;
use serde_json::{Value, json};

fn tombstone() -> Value {
    json!({
        "schema": "headroom.tombstone/1.0", "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
        "epoch": 3, "version": 1843, "issued_at": "2026-11-21T18:00:00Z",
    })
}

fn parsed(document: &Value) -> Result<Tombstone, Faults> {
    Tombstone::parse(document.to_string().as_bytes(), &us())
}

#[test]
fn a_signed_tombstone_is_known_by_its_type_and_stands_in_the_row_of_versions() {
    let (trust, bytes) = (trusting(3), tombstone().to_string());
    let sealed = seal(TOMBSTONE_TYPE, bytes.as_bytes(), &[&signer("policy-1")]);
    let opened = trust.open(&sealed, None).unwrap();
    assert_eq!(opened.kind, Kind::Tombstone);
    let word = Word::read(&opened, &us()).unwrap();
    let Stamp { epoch, version, .. } = word.stamp();
    assert_eq!((epoch, version, word.issued_at().to_rfc3339()), (3, 1843, "2026-11-21T18:00:00+00:00".into()));
    let seen = |version| Seen { latest: Some(Stamp { version, ..word.stamp() }), vouched: Some(3) };
    assert_eq!(admit(&seen(1842), &word.stamp()), Ok(Admission::New));
    assert_eq!(admit(&seen(1844), &word.stamp()).map_err(|fault| fault.code), Err(Code::Rollback));
    assert_eq!(admit(&seen(1843), &word.stamp()), Ok(Admission::Same));
}

#[test]
fn a_policy_and_a_tombstone_never_pass_for_each_other() {
    let trust = trusting(3);
    let of = |payload_type, document: &Value| {
        let sealed = seal(payload_type, document.to_string().as_bytes(), &[&signer("policy-1")]);
        Word::read(&trust.open(&sealed, None).unwrap(), &us()).unwrap_err()
    };
    assert!(of(POLICY_TYPE, &tombstone()).has(Code::UnsupportedSchema));
    assert!(of(TOMBSTONE_TYPE, &super::example()).has(Code::UnsupportedSchema));
    // The type is signed, too.
    let mut envelope: Value =
        serde_json::from_slice(&seal(POLICY_TYPE, tombstone().to_string().as_bytes(), &[&signer("policy-1")])).unwrap();
    envelope["payloadType"] = json!(TOMBSTONE_TYPE);
    assert!(trust.open(envelope.to_string().as_bytes(), None).unwrap_err().has(Code::BadSignature));
}

#[test]
fn nobody_is_believed_who_does_not_sign() {
    let sealed = seal(TOMBSTONE_TYPE, tombstone().to_string().as_bytes(), &[&signer("policy-1")]);
    assert_eq!(Trust::Unsigned.open(&sealed, None).unwrap().kind, Kind::Policy);
    assert!(!Trust::Unsigned.may_be_tombstone(&sealed));
    let trust = trusting(3);
    assert!(trust.may_be_tombstone(&sealed));
    for other in [b"gone".to_vec(), vec![], seal(POLICY_TYPE, b"{}", &[&signer("policy-1")])] {
        assert!(!trust.may_be_tombstone(&other));
    }
}

#[test]
fn each_fault_in_a_tombstone_names_its_place() {
    let cases = [
        ("schema", json!("headroom.tombstone/2.0"), Code::UnsupportedSchema),
        ("gateway_id", json!("gw_else"), Code::OtherGateway),
        ("location_id", json!("loc_else"), Code::OtherLocation),
        ("epoch", json!(-1), Code::OutOfRange),
        ("version", json!("7"), Code::WrongType),
        ("issued_at", json!(null), Code::Missing),
    ];
    for (field, value, code) in cases {
        let mut wrong = tombstone();
        wrong[field] = value;
        let faults = parsed(&wrong).unwrap_err();
        assert_eq!((faults.listed()[0].code, &*faults.listed()[0].pointer), (code, &*format!("/{field}")), "{faults}");
    }
    assert!(Tombstone::parse(b"{\"epoch\": 1, \"epoch\": 2}", &us()).unwrap_err().has(Code::DuplicateKey));
    assert!(Tombstone::parse(b"gone", &us()).unwrap_err().has(Code::Syntax));
    let mut newer = tombstone();
    newer["reason"] = json!("sold");
    assert!(parsed(&newer).is_ok());
}
