//! Does a document that fits a site become the policy that it says, and never a looser one?

use super::super::fixture::{EXAMPLE, example, ground, ocpp, us};
use super::*;
use crate::policy::{Mode, Verdict};
use crate::units::Amps;
use headroom_policy::parse;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn evses_are_found_by_id_or_by_ocpp_identity_and_connector() {
    let policy = compiled(&example(), &ground()).unwrap();
    assert_eq!(policy.evses[0], EvseRule { open: None, plug_and_charge: Some(0), ceiling: Some(Amps::whole(32)) });
    assert_eq!(policy.evses[1], EvseRule { open: Some(2), plug_and_charge: None, ceiling: Some(Amps::whole(16)) });
    assert_eq!(policy.principals[1].evses, Some(vec![EvseId(0)]));
    assert_eq!(policy.principals[2].evses, Some(vec![EvseId(1)]));
}

#[test]
fn each_one_may_what_the_document_says() {
    let policy = compiled(&example(), &ground()).unwrap();
    let verdict = |evse, token| policy.entitlement(EvseId(evse), token, None).verdict;
    assert_eq!(verdict(0, Some("04A2B3C4D5E680")), Verdict::Accepted);
    assert_eq!(verdict(1, Some("04-a2-b3-c4-d5-e6-80")), Verdict::Accepted);
    assert_eq!(verdict(1, Some("04FFEE01")), Verdict::Blocked);
    assert_eq!(verdict(1, Some("04FFEE02")), Verdict::NotAtThisLocation);
    let december = "2026-12-01T00:00:00Z".parse().ok();
    assert_eq!(policy.entitlement(EvseId(0), Some("04FFEE02"), december).verdict, Verdict::Expired);

    let kari = policy.entitlement(EvseId(0), None, None);
    assert_eq!((kari.alias.as_deref(), &*kari.class, kari.priority, kari.weight), (Some("Kari"), "owner", 6, 4));
    let stranger = policy.entitlement(EvseId(0), Some("FFFF"), None);
    assert_eq!((stranger.verdict, &*stranger.class), (Verdict::Accepted, "guest"));
    assert_eq!(stranger.ceiling, Some(Amps::whole(16)));
}

#[test]
fn an_evse_that_the_document_does_not_name_has_the_usual_mode() {
    let mut value = example();
    value["evse"].as_array_mut().unwrap().remove(1);
    value["principals"][2]["evse"] = json!(["evse1"]);
    assert_eq!(compiled(&value, &ground()).unwrap().evses[1].open, None);
    value["access"]["default_mode"] = json!("open");
    assert_eq!(compiled(&value, &ground()).unwrap().evses[1].open, Some(2));
}

#[test]
fn an_evse_of_another_gateway_is_a_warning_and_opens_nothing_here() {
    let mut value = example();
    value["evse"][1]["ocpp_id"] = json!("NEIGHBOUR-1");
    let document = parse(value.to_string().as_bytes(), &us()).unwrap();
    let (policy, warnings) = compile(&document, &ground()).unwrap();
    assert_eq!(policy.evses[1].open, None);
    assert_eq!(policy.principals[2].evses, Some(vec![]));
    assert_eq!(warnings.to_string(), "/evse/1: \"evse2\" is no EVSE of this gateway, ignored");
}

#[test]
fn an_evse_that_means_two_of_ours_or_one_twice_refuses_the_document() {
    let mut value = example();
    value["evse"][0]["ocpp_id"] = json!("HOME-2");
    let faults = compiled(&value, &ground()).unwrap_err();
    assert_eq!((faults.listed()[0].code, faults.listed()[0].pointer.as_str()), (Code::Ambiguous, "/evse/0"));

    let mut value = example();
    value["evse"][1]["ocpp_id"] = json!("HOME-1");
    let faults = compiled(&value, &ground()).unwrap_err();
    assert_eq!((faults.listed()[0].code, faults.listed()[0].pointer.as_str()), (Code::Ambiguous, "/evse/1"));
}

#[test]
fn a_connector_number_tells_two_evses_of_one_charger_apart() {
    let ground = Ground { chargers: vec![ocpp("HOME-2", 2), ocpp("HOME-2", 1)], ..ground() };
    let mut value = example();
    value["evse"][0]["ocpp_id"] = json!("HOME-2");
    value["evse"][0]["connector"] = json!(2);
    assert_eq!(compiled(&value, &ground).unwrap().evses[1].open, Some(2));
}

#[test]
fn limits_are_the_lower_of_two() {
    let mut ground = ground();
    ground.local.main_limit_percent = 80;
    ground.local.import_max = Some(PerPhase([Amps::whole(30), Amps::whole(10), Amps::whole(30)]));
    ground.local.evses[0].ceiling = Some(Amps::whole(10));
    ground.local.publish_alias = false;
    let document = parse(EXAMPLE.as_bytes(), &us()).unwrap();
    let (policy, warnings) = compile(&document, &ground).unwrap();
    assert_eq!(policy.main_limit_percent, 80);
    assert!(warnings.to_string().starts_with("/limits/main_fuse_pct: 95 % is above"), "{warnings}");
    assert_eq!(policy.import_max, Some(PerPhase([Amps::whole(25), Amps::whole(10), Amps::whole(20)])));
    assert_eq!((policy.evses[0].ceiling, policy.evses[1].ceiling), (Some(Amps::whole(10)), Some(Amps::whole(16))));
    assert!(!policy.publish_alias);

    let mut lower = example();
    lower["limits"]["main_fuse_pct"] = json!(60);
    assert_eq!(compiled(&lower, &ground).unwrap().main_limit_percent, 60);
}

#[test]
fn without_limits_the_installers_hold() {
    let mut ground = ground();
    ground.local.main_limit_percent = 80;
    ground.local.import_max = Some(PerPhase::all(Amps::whole(20)));
    let mut value = example();
    value.as_object_mut().unwrap().remove("limits");
    let policy = compiled(&value, &ground).unwrap();
    assert_eq!((policy.main_limit_percent, policy.import_max), (80, ground.local.import_max));
}

#[test]
fn cars_charge_as_the_document_says_or_else_as_the_installer_does() {
    let mut ground = ground();
    (ground.local.rules.mode, ground.local.rules.min_grid) = (Mode::Solar, Amps::whole(7));
    let mut value = example();
    value["mode"] = json!({"strategy": "solar_first", "min_grid_a": 8});
    value["principals"][1]["default_profile_type"] = json!("GREEN");
    value["principals"][2]["default_profile_type"] = json!("REGULAR");
    let policy = compiled(&value, &ground).unwrap();
    assert_eq!((policy.rules.mode, policy.rules.min_grid), (Mode::Eco, Amps::whole(8)));
    let mode = |evse, token| policy.entitlement(EvseId(evse), token, None).mode;
    assert_eq!([mode(0, Some("04A2B3C4D5E680")), mode(0, Some("04FFEE02"))], [Mode::Fast, Mode::Solar]);
    assert_eq!([mode(0, Some("FFFF")), mode(1, None)], [Mode::Eco, Mode::Eco], "strangers");
    value.as_object_mut().unwrap().remove("mode");
    let rules = compiled(&value, &ground).unwrap().rules;
    assert_eq!((rules.mode, rules.min_grid), (Mode::Solar, Amps::whole(7)));
}

proptest! {
    #[test]
    fn a_document_with_wrong_bytes_never_panics_and_never_loosens(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, any::<u8>()), 1..6),
    ) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        for (place, kind, byte) in edits {
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        never_loosens(&bytes);
    }

    #[test]
    fn a_document_with_other_values_never_panics_and_never_loosens(
        edits in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..8),
    ) {
        let mut document = example();
        for (place, value) in edits {
            let pointers = pointers(&document, String::new());
            let place = place.get(&pointers);
            if let Some(slot) = document.pointer_mut(place) {
                *slot = value;
            }
        }
        never_loosens(document.to_string().as_bytes());
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-100i64..1000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["owner", "usr_a", "evse1", "open", "*", "Accepted", "deny", "HOME-1", ""])
            .prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([63, 63, 63])),
    ]
}

fn pointers(value: &Value, here: String) -> Vec<String> {
    let below: Vec<String> = match value {
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| pointers(item, format!("{here}/{index}"))).collect()
        }
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, field)| pointers(field, format!("{here}/{name}"))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![],
    };
    below.into_iter().chain([here]).collect()
}

fn never_loosens(bytes: &[u8]) {
    let mut ground = ground();
    ground.local.main_limit_percent = 90;
    ground.local.import_max = Some(PerPhase::all(Amps::whole(22)));
    ground.local.evses[0].ceiling = Some(Amps::whole(13));
    let Ok(document) = parse(bytes, &us()) else { return };
    let Ok((policy, _)) = compile(&document, &ground) else { return };
    assert!(policy.main_limit_percent <= 90);
    let fuse = PerPhase::all(Amps::whole(25));
    assert!(policy.main_limit(fuse).0.iter().all(|amps| (Amps::ZERO..=Amps::whole(22)).contains(amps)));
    assert_eq!(policy.evses.len(), 2);
    for token in [None, Some("04A2B3C4D5E680"), Some("stranger")] {
        let entitlement = policy.entitlement(EvseId(0), token, None);
        let is_refused = entitlement.verdict == Verdict::Unknown || entitlement.class.is_empty();
        assert!(is_refused || entitlement.ceiling.is_some_and(|most| most <= Amps::whole(13)), "{entitlement:?}");
        assert!((-9..=9).contains(&entitlement.priority) && entitlement.weight >= 1);
    }
    assert!(policy.principals.iter().all(|principal| principal.class < policy.classes.len()));
    assert!(policy.principals.iter().flat_map(|principal| principal.evses.iter().flatten()).all(|evse| evse.0 < 2));
    assert!(policy.tokens.values().all(|token| token.principal < policy.principals.len()));
}

fn compiled(value: &Value, ground: &Ground) -> Result<Policy, Faults> {
    let document = parse(value.to_string().as_bytes(), &us()).unwrap();
    compile(&document, ground).map(|(policy, _)| policy)
}
