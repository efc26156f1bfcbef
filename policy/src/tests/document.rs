//! Is a good document taken, and each bad one refused with its place?

use super::{EXAMPLE, example, minimal, us};
use crate::*;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

#[test]
fn the_example_says_what_it_says() {
    let document = parse(EXAMPLE.as_bytes(), &us()).unwrap();
    assert_eq!((document.epoch, document.version), (3, 1842));
    assert_eq!((document.access.open, document.access.unknown), (None, Some(2)));
    assert_eq!(document.classes[0].priority, 6);
    assert_eq!(
        document.classes[3],
        Class {
            id: "revoked".into(),
            priority: -9,
            weight: 1,
            floor_ma: None,
            ceiling_ma: Some(6_000),
            new_sessions: false
        }
    );
    assert_eq!(
        (document.principals[0].evses.as_deref(), document.principals[1].evses.as_deref()),
        (None, Some(&[0][..]))
    );
    assert_eq!(document.tokens[0].uid, "04A2B3C4D5E680");
    let statuses: Vec<Status> = document.tokens.iter().map(|token| token.status).collect();
    assert_eq!(statuses, [Status::Accepted, Status::Blocked, Status::Accepted]);
    assert_eq!(document.evses[1].open, Some(2));
    assert_eq!(document.evses[0].plug_and_charge, Some(0));
    assert_eq!(document.main_fuse_percent, Some(95));
    assert_eq!(document.import_max_ma, Some([25_000, 25_000, 20_000]));
    assert!(document.publish_alias);
    assert_eq!((document.grace_s, document.refresh_s), (604_800, Some(60)));
    assert_eq!(document.sha256, crate::document::sha256(EXAMPLE.as_bytes()));
}

#[test]
fn the_example_says_who_may_when_and_how_much() {
    let document = parse(EXAMPLE.as_bytes(), &us()).unwrap();
    assert_eq!(document.timezone, "Europe/Oslo");
    assert_eq!((document.access.unknown_offline, &document.access.remote_start[..]), (None, &[0, 1][..]));
    let night = Window { days: [true; 7], from_min: 22 * 60, to_min: 6 * 60 };
    assert_eq!(document.schedules, [Schedule { id: "night".into(), windows: vec![night], outside: Outside::Pause }]);
    let quota =
        Quota { id: "q_month".into(), energy_wh: 200_000, period: Period::Month, on_exceed: OnExceed::Class(2) };
    assert_eq!(document.quotas, [quota]);
    let boost = Boost { allowed: vec![0, 1], charging_priority: 9, max_per_month: 3, max_duration_s: 7_200 };
    assert_eq!(document.boost, boost);
    assert_eq!(document.revocation, Revocation { mid_session: MidSession::Degrade, max_s: 1_800 });
    let per = &document.principals[1];
    assert_eq!((per.schedule, per.quota, per.billing), (Some(0), Some(0), Some(Billing::Paid)));
    assert_eq!(per.classes, [Membership { class: 1, valid_until: None }]);
    let card = &document.tokens[0];
    assert_eq!((card.kind, card.group.as_deref()), (Some(TokenType::Iso14443), Some("fam1")));
    assert_eq!((card.is_offline_allowed, card.is_concurrent_allowed), (true, false));
    assert_eq!((document.tokens[1].reason.as_deref(), document.classes[0].floor_ma), (Some("lost"), Some(6_000)));
}

#[test]
fn what_a_document_does_not_say_is_the_stricter_or_the_usual() {
    let mut value = minimal();
    value["principals"] = json!([{"id": "p", "class": "all", "evse": ["*"]}]);
    value["tokens"] = json!([{"uid": "1", "principal": "p", "status": "NotAtThisTime"}]);
    let document = parse(value.to_string().as_bytes(), &us()).unwrap();
    assert_eq!(document.timezone, "UTC");
    assert_eq!(document.access, Access::default());
    assert_eq!(
        document.boost,
        Boost { allowed: vec![], charging_priority: 9, max_per_month: 3, max_duration_s: 7_200 }
    );
    assert_eq!(document.revocation, Revocation { mid_session: MidSession::Degrade, max_s: 1_800 });
    let (person, card) = (&document.principals[0], &document.tokens[0]);
    assert_eq!((person.schedule, person.quota, person.billing), (None, None, None));
    assert_eq!((card.status.word(), card.kind), ("NotAtThisTime", None));
    assert!(card.is_offline_allowed && card.is_concurrent_allowed);
}

#[test]
fn somebody_may_be_in_several_classes_each_for_a_while() {
    let mut value = example();
    value["principals"][1]["class"] =
        json!(["guest", {"class": "member", "valid_until": "2026-12-01T00:00:00Z"}, {"class": "owner"}]);
    let document = parse(value.to_string().as_bytes(), &us()).unwrap();
    let until: DateTime<Utc> = "2026-12-01T00:00:00Z".parse().unwrap();
    let member = |class, valid_until| Membership { class, valid_until };
    assert_eq!(document.principals[1].classes, [member(2, None), member(1, Some(until)), member(0, None)]);
}

#[test]
fn a_class_may_say_itself_that_it_is_boosted() {
    let mut value = example();
    value["classes"][3]["boost"] = json!(true);
    value["classes"][0]["boost"] = json!(true);
    assert_eq!(parse(value.to_string().as_bytes(), &us()).unwrap().boost.allowed, [0, 1, 3]);
    value.as_object_mut().unwrap().remove("boost");
    assert_eq!(parse(value.to_string().as_bytes(), &us()).unwrap().boost.allowed, [0, 3]);
}

#[test]
fn what_the_document_carries_may_be_critical() {
    let mut value = example();
    value["critical"] = json!(["schedules", "quotas", "boost", "revocation", "timezone", "access", "mode"]);
    parse(value.to_string().as_bytes(), &us()).unwrap();
}

#[test]
fn what_is_not_enforced_is_told_once_each_and_what_grants_more_says_so() {
    let mut value = example();
    (value["uk_regs"], value["limits"]["export_max_w"]) = (json!(true), json!(5_000));
    let warnings = parse(value.to_string().as_bytes(), &us()).unwrap().warnings.to_string();
    for (section, effect) in [("uk_regs:", "no off-peak"), ("limits.export_max_w:", "NOT limited")] {
        let told: Vec<_> = warnings.split("; ").filter(|text| text.starts_with(section)).collect();
        assert!(matches!(told[..], [text] if text.contains(effect)), "{section} {told:?}");
    }
    // What it says is obeyed, or grants nothing.
    for section in
        ["limits.main", "schedules", "quotas", "boost", "revocation", "tokens", "access", "mode", "profile_type"]
    {
        assert!(!warnings.contains(section), "{warnings}");
    }
    assert!(!warnings.contains("unknown field"), "{warnings}");
}

#[test]
fn a_document_needs_little() {
    let document = parse(minimal().to_string().as_bytes(), &us()).unwrap();
    assert!(document.warnings.is_empty());
    assert_eq!((document.access.unknown, document.publish_alias, document.classes[0].weight), (None, false, 1));
    assert_eq!((document.grace_s, document.refresh_s), (7 * 86_400, None));
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
        ("/critical", json!(["uk_regs"]), Code::Critical, "/critical"),
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
        ("/mode", json!(7), Code::WrongType, "/mode"),
        ("/ageing_s", json!(86_401), Code::OutOfRange, "/ageing_s"),
        ("/mode/strategy", json!("off"), Code::UnknownValue, "/mode/strategy"),
        ("/mode/min_grid_a", json!(-6), Code::OutOfRange, "/mode/min_grid_a"),
        ("/mode/min_grid_a", json!("6"), Code::WrongType, "/mode/min_grid_a"),
        ("/principals/0/default_profile_type", json!("fast"), Code::UnknownValue, "/principals/0/default_profile_type"),
        ("/offline_profile/site_limit_pct", json!(101), Code::OutOfRange, "/offline_profile/site_limit_pct"),
        ("/offline_profile/unknown", json!("nobody"), Code::Dangling, "/offline_profile/unknown"),
        ("/privacy/publish_alias", json!(1), Code::WrongType, "/privacy/publish_alias"),
    ];
    refuses(cases);
}

#[test]
fn each_fault_in_a_rule_refuses_the_document_and_names_its_place() {
    let window = |days: Value| json!({"days": days, "from": "22:00", "to": "06:00"});
    let many: Vec<Value> = (0..51).map(|_| window(json!([1]))).collect();
    let rules = |count: usize| -> Value {
        (0..count).map(|index| (format!("s{index}"), json!({"allow": [], "outside": "deny"}))).collect()
    };
    let night = "/schedules/night/allow/0";
    let mut cases: Vec<(&str, Value, Code, &str)> = vec![
        ("/schedules", json!([]), Code::WrongType, "/schedules"),
        ("/schedules", rules(101), Code::OutOfRange, "/schedules"),
        ("/schedules/night", json!("22:00"), Code::WrongType, "/schedules/night"),
        ("/schedules/night/allow", json!(null), Code::Missing, "/schedules/night/allow"),
        ("/schedules/night/allow", json!(many), Code::OutOfRange, "/schedules/night/allow"),
        ("/schedules/night/outside", json!("stop"), Code::UnknownValue, "/schedules/night/outside"),
        ("/schedules/night/outside", json!(null), Code::Missing, "/schedules/night/outside"),
        (night, window(json!([])), Code::OutOfRange, "/schedules/night/allow/0/days"),
        (night, window(json!([0])), Code::OutOfRange, "/schedules/night/allow/0/days"),
        (night, window(json!([8])), Code::OutOfRange, "/schedules/night/allow/0/days"),
        (night, window(json!([1, 1, 1, 1, 1, 1, 1, 1])), Code::OutOfRange, "/schedules/night/allow/0/days"),
        (night, window(json!("all")), Code::WrongType, "/schedules/night/allow/0/days"),
        ("/quotas", json!(7), Code::WrongType, "/quotas"),
        ("/quotas/q_month/energy_kwh", json!(0), Code::OutOfRange, "/quotas/q_month/energy_kwh"),
        ("/quotas/q_month/energy_kwh", json!(1e6 + 1.0), Code::OutOfRange, "/quotas/q_month/energy_kwh"),
        ("/quotas/q_month/energy_kwh", json!("200"), Code::WrongType, "/quotas/q_month/energy_kwh"),
        ("/quotas/q_month/period", json!("year"), Code::UnknownValue, "/quotas/q_month/period"),
        ("/quotas/q_month/on_exceed", json!("class:nobody"), Code::Dangling, "/quotas/q_month/on_exceed"),
        ("/quotas/q_month/on_exceed", json!("class:"), Code::OutOfRange, "/quotas/q_month/on_exceed"),
        ("/quotas/q_month/on_exceed", json!("guest"), Code::UnknownValue, "/quotas/q_month/on_exceed"),
        ("/boost", json!(true), Code::WrongType, "/boost"),
        ("/boost/allowed", json!(["nobody"]), Code::Dangling, "/boost/allowed"),
        ("/boost/charging_priority", json!(10), Code::OutOfRange, "/boost/charging_priority"),
        ("/boost/max_per_month", json!(1001), Code::OutOfRange, "/boost/max_per_month"),
        ("/boost/max_duration_s", json!(59), Code::OutOfRange, "/boost/max_duration_s"),
        ("/boost/max_duration_s", json!(86_401), Code::OutOfRange, "/boost/max_duration_s"),
        ("/revocation/mid_session", json!("go on"), Code::UnknownValue, "/revocation/mid_session"),
        ("/revocation/max_s", json!(86_401), Code::OutOfRange, "/revocation/max_s"),
        ("/timezone", json!(""), Code::OutOfRange, "/timezone"),
        ("/principals/1/class", json!([]), Code::OutOfRange, "/principals/1/class"),
        ("/principals/1/class", json!(vec!["owner"; 11]), Code::OutOfRange, "/principals/1/class"),
        ("/principals/1/class", json!(["owner", "owner"]), Code::DuplicateId, "/principals/1/class/1"),
        ("/principals/1/class", json!(["owner", "nobody"]), Code::Dangling, "/principals/1/class/1"),
        ("/principals/1/class", json!(["owner", 7]), Code::WrongType, "/principals/1/class/1"),
        ("/principals/1/class", json!([{"id": "owner"}]), Code::Missing, "/principals/1/class/0/class"),
        ("/principals/1/class", json!({"class": "owner"}), Code::WrongType, "/principals/1/class"),
    ];
    for wrong in ["24:00", "07:60", "7:00", "07:00:00", "+7:00", "0७:00", ""] {
        cases.push(("/schedules/night/allow/0/from", json!(wrong), Code::OutOfRange, "/schedules/night/allow/0/from"));
    }
    cases.push(("/schedules/night/allow/0/to", json!(7), Code::WrongType, "/schedules/night/allow/0/to"));
    refuses(cases);

    let mut named = example();
    named["quotas"] = json!({"a\nb": {"energy_kwh": 1, "period": "day", "on_exceed": "deny"}});
    let faults = parse(named.to_string().as_bytes(), &us()).unwrap_err();
    assert!(faults.to_string().contains("its name has control characters"), "{faults}");
}

/// The example with each value in its place is refused with this code and place.
fn refuses(cases: Vec<(&str, Value, Code, &str)>) {
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
    document["tokens"] = (0..crate::document::MOST_TOKENS).map(token).collect();
    assert_eq!(parse(document.to_string().as_bytes(), &us()).unwrap().tokens.len(), crate::document::MOST_TOKENS);
    document["tokens"] = (0..=crate::document::MOST_TOKENS).map(token).collect();
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
    let manual = include_str!("../../../docs/POLICY.md");
    let smallest = manual.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(parse(smallest.as_bytes(), &us()).unwrap().warnings.is_empty());
    for code in Code::ALL {
        assert!(manual.contains(&format!("| `{}` |", code.word())), "{}", code.word());
    }
    for field in example().as_object().unwrap().keys() {
        assert!(manual.contains(&format!("`{field}`")), "{field} is not in the manual");
    }
}
