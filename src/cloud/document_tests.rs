//! Is a good document taken, and each bad one refused with its place?

use super::super::fixture::{EXAMPLE, example, us};
use super::*;
use crate::policy::Verdict;
use serde_json::{Value, json};

#[test]
fn the_example_says_what_it_says() {
    let document = parse(EXAMPLE.as_bytes(), &us()).unwrap();
    assert_eq!((document.epoch, document.version), (3, 1842));
    assert_eq!((document.open, document.unknown), (None, Some(2)));
    assert_eq!(document.classes[0].priority, 6);
    assert_eq!(
        document.classes[3],
        Class { id: "revoked".into(), priority: -9, weight: 1, ceiling: Some(Amps::whole(6)), new_sessions: false }
    );
    assert_eq!(
        (document.principals[0].evses.as_deref(), document.principals[1].evses.as_deref()),
        (None, Some(&[0][..]))
    );
    assert_eq!(document.tokens[0].uid, "04A2B3C4D5E680");
    assert_eq!(
        document.tokens.iter().map(|token| token.status).collect::<Vec<_>>(),
        [Verdict::Accepted, Verdict::Blocked, Verdict::Accepted]
    );
    assert_eq!(document.evses[1].open, Some(2));
    assert_eq!(document.evses[0].plug_and_charge, Some(0));
    assert_eq!(document.main_fuse_percent, Some(95));
    assert_eq!(document.import_max, Some(PerPhase([Amps::whole(25), Amps::whole(25), Amps::whole(20)])));
    assert!(document.publish_alias);
    assert_eq!(document.grace, Duration::from_secs(604_800));
}

#[test]
fn what_is_not_enforced_is_told_once_each_and_what_grants_more_says_so() {
    let warnings = parse(EXAMPLE.as_bytes(), &us()).unwrap().warnings.to_string();
    for (section, effect) in [
        ("schedules:", "ANY time"),
        ("quotas:", "BEYOND it"),
        ("boost:", "nobody is boosted"),
        ("mode:", "from the grid"),
        ("revocation:", "not enforced"),
        ("offline_profile:", "MORE"),
        ("tokens.concurrent:", "TWO places"),
    ] {
        let told: Vec<_> = warnings.split("; ").filter(|text| text.starts_with(section)).collect();
        assert!(matches!(told[..], [text] if text.contains(effect)), "{section} {told:?}");
    }
    // What it says is obeyed, or grants nothing.
    assert!(!warnings.contains("limits"), "{warnings}");
    assert!(!warnings.contains("unknown field"), "{warnings}");
}

#[test]
fn a_document_needs_little() {
    let document = parse(minimal().to_string().as_bytes(), &us()).unwrap();
    assert!(document.warnings.is_empty());
    assert_eq!((document.unknown, document.publish_alias, document.classes[0].weight), (None, false, 1));
    assert_eq!(document.grace, Duration::from_secs(7 * 86_400));
}

#[test]
fn an_unknown_field_is_a_warning_with_its_place() {
    let mut value = example();
    value["colour"] = json!({"of": ["paint"]});
    value["tokens"][1]["colour"] = json!("red");
    let warnings = parse(value.to_string().as_bytes(), &us()).unwrap().warnings.to_string();
    assert!(warnings.contains("/colour: unknown field, ignored"), "{warnings}");
    assert!(warnings.contains("/tokens/1/colour: unknown field, ignored"), "{warnings}");
}

#[test]
fn each_fault_refuses_the_document_and_names_its_place() {
    let long = "x".repeat(65);
    let cases: Vec<(&str, Value, Code, &str)> = vec![
        ("/schema", json!("headroom.policy/2.0"), Code::UnsupportedSchema, "/schema"),
        ("/schema", json!("headroom.policy/1"), Code::UnsupportedSchema, "/schema"),
        ("/schema", json!("other/1.0"), Code::UnsupportedSchema, "/schema"),
        ("/gateway_id", json!("gw_other"), Code::OtherGateway, "/gateway_id"),
        ("/location_id", json!("loc_other"), Code::OtherLocation, "/location_id"),
        ("/epoch", json!(-1), Code::OutOfRange, "/epoch"),
        ("/version", json!(1.5), Code::WrongType, "/version"),
        ("/version", json!(u64::MAX), Code::WrongType, "/version"),
        ("/version", json!("1842"), Code::WrongType, "/version"),
        ("/issued_at", json!("yesterday"), Code::OutOfRange, "/issued_at"),
        ("/expires_at", json!("2026-11-21T18:00:00Z"), Code::OutOfRange, "/expires_at"),
        ("/refresh_after_s", json!(1), Code::OutOfRange, "/refresh_after_s"),
        ("/grace_s", json!(15 * 86_400), Code::OutOfRange, "/grace_s"),
        ("/critical", json!(["schedules"]), Code::Critical, "/critical"),
        ("/critical", json!("limits"), Code::WrongType, "/critical"),
        ("/access", json!([]), Code::WrongType, "/access"),
        ("/access/default_mode", json!("closed"), Code::UnknownValue, "/access/default_mode"),
        ("/access/unknown_token", json!("nobody"), Code::Dangling, "/access/unknown_token"),
        ("/access/remote_start", json!(["nobody"]), Code::Dangling, "/access/remote_start"),
        ("/classes", json!({}), Code::WrongType, "/classes"),
        ("/classes/0", json!("owner"), Code::WrongType, "/classes/0"),
        ("/classes/1/id", json!("owner"), Code::DuplicateId, "/classes/1/id"),
        ("/classes/3/id", json!("deny"), Code::OutOfRange, "/classes/3/id"),
        ("/classes/0/id", json!(long), Code::OutOfRange, "/classes/0/id"),
        ("/classes/0/id", json!("a\nb"), Code::OutOfRange, "/classes/0/id"),
        ("/classes/0/charging_priority", json!(10), Code::OutOfRange, "/classes/0/charging_priority"),
        ("/classes/0/charging_priority", json!(-10), Code::OutOfRange, "/classes/0/charging_priority"),
        ("/classes/0/weight", json!(0), Code::OutOfRange, "/classes/0/weight"),
        ("/classes/0/floor_a", json!(-1), Code::OutOfRange, "/classes/0/floor_a"),
        ("/classes/2/floor_a", json!(16.5), Code::OutOfRange, "/classes/2/floor_a"),
        ("/classes/2/ceiling_a", json!(1e30), Code::OutOfRange, "/classes/2/ceiling_a"),
        ("/classes/2/throttle", json!("sometimes"), Code::UnknownValue, "/classes/2/throttle"),
        ("/classes/3/new_sessions", json!(0), Code::WrongType, "/classes/3/new_sessions"),
        ("/principals/1/id", json!("usr_a"), Code::DuplicateId, "/principals/1/id"),
        ("/principals/1/class", json!("nobody"), Code::Dangling, "/principals/1/class"),
        ("/principals/1/evse", json!(["evse1", "evse9"]), Code::Dangling, "/principals/1/evse"),
        ("/principals/1/evse", json!(["*", "evse1"]), Code::Dangling, "/principals/1/evse"),
        ("/principals/1/evse", json!("*"), Code::WrongType, "/principals/1/evse"),
        ("/principals/1/schedule", json!("day"), Code::Dangling, "/principals/1/schedule"),
        ("/principals/1/quota", json!("q"), Code::Dangling, "/principals/1/quota"),
        ("/principals/1/billing", json!("barter"), Code::UnknownValue, "/principals/1/billing"),
        ("/principals/1/valid_until", json!(0), Code::WrongType, "/principals/1/valid_until"),
        ("/tokens/1/uid", json!("04a2b3c4d5e680"), Code::DuplicateId, "/tokens/1/uid"),
        ("/tokens/1/uid", json!(":-: "), Code::OutOfRange, "/tokens/1/uid"),
        ("/tokens/1/uid", json!("x".repeat(37)), Code::OutOfRange, "/tokens/1/uid"),
        ("/tokens/1/type", json!("Stamp"), Code::UnknownValue, "/tokens/1/type"),
        ("/tokens/1/principal", json!("nobody"), Code::Dangling, "/tokens/1/principal"),
        ("/tokens/1/status", json!("accepted"), Code::UnknownValue, "/tokens/1/status"),
        ("/tokens/0/offline", json!("yes"), Code::WrongType, "/tokens/0/offline"),
        ("/evse/1/id", json!("evse1"), Code::DuplicateId, "/evse/1/id"),
        ("/evse/1/mode", json!("free"), Code::UnknownValue, "/evse/1/mode"),
        ("/evse/1/open_class", json!("nobody"), Code::Dangling, "/evse/1/open_class"),
        ("/evse/0/plug_and_charge", json!("nobody"), Code::Dangling, "/evse/0/plug_and_charge"),
        ("/evse/0/connector", json!(0), Code::OutOfRange, "/evse/0/connector"),
        ("/evse/0/max_a", json!(-0.0001), Code::OutOfRange, "/evse/0/max_a"),
        ("/evse/0/phases", json!("two"), Code::UnknownValue, "/evse/0/phases"),
        ("/limits/main_fuse_pct", json!(-1), Code::OutOfRange, "/limits/main_fuse_pct"),
        ("/limits/main_fuse_pct", json!(95.5), Code::WrongType, "/limits/main_fuse_pct"),
        ("/limits/import_max_a", json!([25, 25]), Code::OutOfRange, "/limits/import_max_a"),
        ("/limits/import_max_a", json!([25, -1, 25]), Code::OutOfRange, "/limits/import_max_a"),
        ("/limits/import_max_a", json!([25, null, 25]), Code::WrongType, "/limits/import_max_a"),
        ("/schedules", json!([]), Code::WrongType, "/schedules"),
        ("/boost", json!(true), Code::WrongType, "/boost"),
        ("/privacy/publish_alias", json!(1), Code::WrongType, "/privacy/publish_alias"),
    ];
    for (place, value, code, pointer) in cases {
        let mut document = example();
        *document.pointer_mut(place).unwrap_or_else(|| panic!("{place} is not in the example")) = value.clone();
        let faults = parse(document.to_string().as_bytes(), &us()).unwrap_err();
        let is_told = faults.listed().iter().any(|fault| fault.code == code && fault.pointer == pointer);
        assert!(is_told, "{place} = {value}: {faults}");
    }
}

#[test]
fn each_required_field_is_missed() {
    for (place, name) in [
        ("", "schema"),
        ("", "gateway_id"),
        ("", "location_id"),
        ("", "epoch"),
        ("", "version"),
        ("", "issued_at"),
        ("", "expires_at"),
        ("", "access"),
        ("", "classes"),
        ("/access", "default_mode"),
        ("/classes/0", "id"),
        ("/classes/0", "charging_priority"),
        ("/principals/0", "id"),
        ("/principals/0", "class"),
        ("/principals/0", "evse"),
        ("/tokens/0", "uid"),
        ("/tokens/0", "principal"),
        ("/tokens/0", "status"),
        ("/evse/0", "id"),
    ] {
        let pointer = format!("{place}/{name}");
        for absent in [true, false] {
            let mut document = example();
            let object = document.pointer_mut(place).unwrap().as_object_mut().unwrap();
            // `null` is the same as absent.
            if absent {
                object.remove(name)
            } else {
                object.insert(name.into(), Value::Null)
            };
            let faults = parse(document.to_string().as_bytes(), &us()).unwrap_err();
            let is_told = faults.listed().iter().any(|fault| fault.code == Code::Missing && fault.pointer == pointer);
            assert!(is_told, "{pointer}: {faults}");
        }
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let mut document = example();
    document["gateway_id"] = json!("gw_other");
    document["access"] = json!(7);
    document["classes"][0]["weight"] = json!(-4);
    document["tokens"][1]["principal"] = json!("nobody");
    document["limits"]["main_fuse_pct"] = json!("all");
    let faults = parse(document.to_string().as_bytes(), &us()).unwrap_err();
    let pointers: Vec<_> = faults.listed().iter().map(|fault| fault.pointer.as_str()).collect();
    for pointer in ["/gateway_id", "/access", "/classes/0/weight", "/tokens/1/principal", "/limits/main_fuse_pct"] {
        assert!(pointers.contains(&pointer), "{pointer} is not in {pointers:?}");
    }
}

#[test]
fn a_key_that_stands_twice_refuses_the_document() {
    let twice = EXAMPLE.replacen("\"max_a\": 16", "\"max_a\": 16, \"max_a\": 63", 1);
    let faults = parse(twice.as_bytes(), &us()).unwrap_err();
    assert_eq!((faults.listed()[0].code, faults.listed()[0].pointer.as_str()), (Code::DuplicateKey, "/evse/1/max_a"));
}

#[test]
fn an_open_evse_needs_a_class() {
    let mut document = minimal();
    document["access"] = json!({"default_mode": "open"});
    let faults = parse(document.to_string().as_bytes(), &us()).unwrap_err();
    assert_eq!(faults.listed()[0].pointer, "/access/unknown_token");
    document["access"] = json!({"default_mode": "authorized_only"});
    document["evse"] = json!([{"id": "left", "mode": "open"}]);
    let faults = parse(document.to_string().as_bytes(), &us()).unwrap_err();
    assert_eq!(faults.listed()[0].pointer, "/evse/0/open_class");
    document["access"] = json!({"default_mode": "open", "unknown_token": "all"});
    assert_eq!(parse(document.to_string().as_bytes(), &us()).unwrap().evses[0].open, Some(0));
}

#[test]
fn size_depth_and_counts_are_bounded() {
    let code = |bytes: &[u8]| parse(bytes, &us()).unwrap_err().listed()[0].code;
    assert_eq!(code(&vec![b' '; MOST_BYTES + 1]), Code::TooLarge);
    assert_eq!(code(&vec![b'['; MOST_BYTES]), Code::Syntax);
    assert_eq!(code(b""), Code::Syntax);
    assert_eq!(code(b"[]"), Code::WrongType);

    let token = |index: usize| json!({"uid": format!("{index:08}"), "principal": "p", "status": "Accepted"});
    let mut document = minimal();
    document["principals"] = json!([{"id": "p", "class": "all", "evse": ["*"]}]);
    document["tokens"] = (0..MOST_TOKENS).map(token).collect();
    assert_eq!(parse(document.to_string().as_bytes(), &us()).unwrap().tokens.len(), MOST_TOKENS);
    document["tokens"] = (0..=MOST_TOKENS).map(token).collect();
    let faults = parse(document.to_string().as_bytes(), &us()).unwrap_err();
    assert_eq!((faults.listed()[0].code, faults.listed()[0].pointer.as_str()), (Code::OutOfRange, "/tokens"));
}

#[test]
fn no_card_number_is_in_any_text() {
    let mut document = example();
    document["tokens"][1]["uid"] = json!("04A2B3C4D5E680");
    document["tokens"][2]["uid"] = json!("SECRETSECRETSECRETSECRETSECRETSECRETSECRET");
    let faults = parse(document.to_string().as_bytes(), &us()).unwrap_err().to_string();
    assert!(!faults.contains("04A2") && !faults.contains("SECRET"), "{faults}");
}

#[test]
fn every_code_and_the_smallest_document_are_in_the_manual() {
    let manual = include_str!("../../docs/POLICY.md");
    let smallest = manual.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(parse(smallest.as_bytes(), &us()).unwrap().warnings.is_empty());
    for code in [
        Code::TooLarge,
        Code::Syntax,
        Code::DuplicateKey,
        Code::Missing,
        Code::WrongType,
        Code::OutOfRange,
        Code::UnknownValue,
        Code::Dangling,
        Code::DuplicateId,
        Code::Ambiguous,
        Code::Critical,
        Code::OtherGateway,
        Code::OtherLocation,
        Code::UnsupportedSchema,
        Code::Expired,
        Code::NotYetValid,
        Code::Rollback,
        Code::Equivocation,
    ] {
        assert!(manual.contains(&format!("| `{}` |", code.word())), "{}", code.word());
    }
    for field in example().as_object().unwrap().keys() {
        assert!(manual.contains(&format!("`{field}`")), "{field} is not in the manual");
    }
}

fn minimal() -> Value {
    json!({
        "schema": "headroom.policy/1.0",
        "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
        "epoch": 0, "version": 1,
        "issued_at": "2026-11-21T18:00:00Z", "expires_at": "2027-11-21T18:00:00+01:00",
        "access": {"default_mode": "authorized_only"},
        "classes": [{"id": "all", "charging_priority": 0}],
    })
}
