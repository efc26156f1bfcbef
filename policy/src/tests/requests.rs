//! What is a list of requests, and what is none?

use super::*;
use crate::{Code, POLICY_TYPE, Pin, Place, REQUESTS_TYPE, Request, RequestKind, parse_requests};

fn list(requests: Value) -> Value {
    json!({"schema": "headroom.requests/1.0", "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
        "issued_at": "2026-11-22T10:00:00Z", "requests": requests})
}

fn codes(list: &Value) -> Vec<(Code, String)> {
    let faults = parse_requests(list.to_string().as_bytes(), &us()).unwrap_err();
    faults.listed().iter().map(|fault| (fault.code, fault.pointer.clone())).collect()
}

#[test]
fn every_kind_is_read_and_an_unknown_one_spoils_nothing() {
    let end = "2026-11-22T10:01:00Z";
    let text = list(json!([
        {"id": "1", "kind": "start", "evse": "left", "principal": "usr_a", "expires_at": end},
        {"id": "2", "kind": "stop", "ocpp_id": "HOME-1", "expires_at": end},
        {"id": "3", "kind": "stop", "evse": "left", "principal": "usr_a", "expires_at": end},
        {"id": "4", "kind": "pair", "evse": "left", "ocpp_id": "HOME-1", "connector": 2, "expires_at": end},
        {"id": "5", "kind": "claim", "pin": "12345678", "expires_at": end},
        {"id": "6", "kind": "reset", "expires_at": end},
        {"id": "7", "kind": "dance", "expires_at": end, "steps": 3},
    ]));
    let read = parse_requests(text.to_string().as_bytes(), &us()).unwrap();
    let left = || Place { evse: Some("left".into()), ocpp: None };
    let home = |number| Some(("HOME-1".to_owned(), number));
    let wanted = [
        RequestKind::Start { at: left(), principal: "usr_a".into() },
        RequestKind::Stop { at: Place { evse: None, ocpp: home(1) }, principal: None },
        RequestKind::Stop { at: left(), principal: Some("usr_a".into()) },
        RequestKind::Pair { at: Place { ocpp: home(2), ..left() } },
        RequestKind::Claim { pin: Pin("12345678".into()) },
        RequestKind::Reset,
        RequestKind::Other("dance".into()),
    ];
    let end = end.parse().unwrap();
    let wanted: Vec<_> = wanted
        .into_iter()
        .enumerate()
        .map(|(index, kind)| Request { id: (index + 1).to_string(), kind, expires_at: end })
        .collect();
    assert_eq!(read.requests, wanted);
    assert!(!format!("{read:?}").contains("12345678"), "a PIN is not printed");
}

#[test]
fn what_is_no_list_is_refused_as_a_whole_with_its_places() {
    let end = "2026-11-22T10:01:00Z";
    let cases = [
        (json!([{"kind": "reset", "expires_at": end}]), Code::Missing, "/requests/0/id"),
        (json!([{"id": "1", "kind": "reset"}]), Code::Missing, "/requests/0/expires_at"),
        (json!([{"id": "1", "expires_at": end}]), Code::Missing, "/requests/0/kind"),
        (json!([{"id": "1", "kind": "pair", "expires_at": end}]), Code::Missing, "/requests/0/evse"),
        (
            json!([{"id": "1", "kind": "start", "evse": "left", "expires_at": end}]),
            Code::Missing,
            "/requests/0/principal",
        ),
        (json!([{"id": "1", "kind": "claim", "pin": 12345678, "expires_at": end}]), Code::WrongType, "/requests/0/pin"),
        (
            json!([{"id": "1", "kind": "reset", "expires_at": end}, {"id": "1", "kind": "reset", "expires_at": end}]),
            Code::DuplicateId,
            "/requests/1/id",
        ),
        (json!(vec![json!({}); 21]), Code::OutOfRange, "/requests"),
        (json!({}), Code::WrongType, "/requests"),
    ];
    for (requests, code, pointer) in cases {
        assert_eq!(codes(&list(requests.clone())), [(code, pointer.to_owned())], "{requests}");
    }
    let mut other = list(json!([]));
    other["gateway_id"] = json!("gw_8");
    assert_eq!(codes(&other), [(Code::OtherGateway, "/gateway_id".into())]);
    other = list(json!([]));
    other["schema"] = json!("headroom.policy/1.0");
    assert_eq!(codes(&other), [(Code::UnsupportedSchema, "/schema".into())]);
    let long = format!("{}{}", " ".repeat(70_000), list(json!([])));
    let faults = parse_requests(long.as_bytes(), &us()).unwrap_err();
    assert!(faults.has(Code::TooLarge));
}

#[test]
fn a_list_is_signed_by_a_policy_key_and_no_other_document_passes_for_one() {
    let root = SigningKey::from_seed("root", &[1; 32]).unwrap();
    let key = SigningKey::from_seed("policy", &[2; 32]).unwrap();
    let roots = Roots::read(&[("root".to_owned(), root.public())].into()).unwrap();
    let keys = json!({"schema": "headroom.keys/1.0", "epoch": 1, "issued_at": "2026-01-01T00:00:00Z",
        "expires_at": "2027-01-01T00:00:00Z", "keys": [{"keyid": "policy", "public": key.public()}]});
    let mut trust = Trust::Signed(Keyring::new(roots));
    trust.offer_keys(&seal(KEYS_TYPE, keys.to_string().as_bytes(), &[&root]), None).unwrap();
    let text = list(json!([])).to_string();
    let sealed = |kind| seal(kind, text.as_bytes(), &[&key]);
    assert_eq!(trust.open_requests(&sealed(REQUESTS_TYPE), None).unwrap(), text.as_bytes());
    let code = |bytes: &[u8]| trust.open_requests(bytes, None).unwrap_err().listed()[0].code;
    assert_eq!(code(&sealed(POLICY_TYPE)), Code::PayloadType);
    assert_eq!(code(text.as_bytes()), Code::NotDsse);
    assert_eq!(code(&seal(REQUESTS_TYPE, text.as_bytes(), &[&root])), Code::UnknownKey);
    assert!(trust.open(&sealed(REQUESTS_TYPE), None).unwrap_err().has(Code::PayloadType));
    assert_eq!(Trust::Unsigned.open_requests(text.as_bytes(), None).unwrap(), text.as_bytes());
}
