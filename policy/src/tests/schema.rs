//! Do the schema and the validator speak of the same documents, field by field?

use super::{EXAMPLE, example, minimal, us};
use crate::fields::asked;
use crate::parse;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SCHEMA: &str = include_str!("../../schema.json");

/// Of `policy/schema.json`.
pub(super) fn validator() -> Validator {
    let schema = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// The example with what it has not.
fn full() -> Value {
    let mut full = example();
    full["classes"][0]["boost"] = json!(true);
    full["principals"][0]["class"] = json!(["guest", {"class": "owner", "valid_until": "2027-01-01T00:00:00Z"}]);
    full
}

#[test]
fn good_documents_fit_the_schema() {
    let validator = validator();
    let mut nulls = full();
    for field in ["not_before", "critical", "tokens", "quotas", "schedules", "mode", "privacy"] {
        nulls[field] = json!(null);
    }
    nulls["principals"][1]["schedule"] = json!(null);
    nulls["principals"][1]["quota"] = json!(null);
    let mut newer = full();
    newer["schema"] = json!("headroom.policy/1.7");
    newer["tokens"][0]["colour"] = json!("red");
    for (name, document) in
        [("example", example()), ("least", minimal()), ("full", full()), ("nulls", nulls), ("newer", newer)]
    {
        parse(document.to_string().as_bytes(), &us()).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        validator.validate(&document).unwrap_or_else(|error| panic!("{name}: {error} at {}", error.instance_path()));
    }
}

#[test]
fn bad_documents_do_not_fit_the_schema() {
    let validator = validator();
    let cases = [
        ("/schema", json!("headroom.policy/2.0")),
        ("/gateway_id", json!("")),
        ("/epoch", json!(-1)),
        ("/version", json!("1842")),
        ("/issued_at", json!("yesterday")),
        ("/expires_at", json!(null)),
        ("/grace_s", json!(1_209_601)),
        ("/refresh_after_s", json!(9)),
        ("/critical", json!(["uk_regs"])),
        ("/access/default_mode", json!("closed")),
        ("/access/remote_start", json!("owner")),
        ("/classes", json!({})),
        ("/classes/0/id", json!("deny")),
        ("/classes/0/charging_priority", json!(10)),
        ("/classes/0/weight", json!(0)),
        ("/classes/0/floor_a", json!(-1)),
        ("/classes/0/throttle", json!("sometimes")),
        ("/principals/1/class", json!([])),
        ("/principals/1/class", json!([7])),
        ("/principals/1/class", json!([{"valid_until": "2027-01-01T00:00:00Z"}])),
        ("/principals/1/evse", json!("*")),
        ("/principals/1/billing", json!("barter")),
        ("/tokens/1/uid", json!("x".repeat(37))),
        ("/tokens/1/status", json!("accepted")),
        ("/tokens/1/type", json!("Stamp")),
        ("/tokens/0/offline", json!("yes")),
        ("/evse/0/connector", json!(0)),
        ("/evse/0/max_a", json!(100_001)),
        ("/evse/0/id", json!("a\nb")),
        ("/schedules/night/outside", json!("stop")),
        ("/schedules/night/allow/0/days", json!([0])),
        ("/schedules/night/allow/0/days", json!([])),
        ("/schedules/night/allow/0/from", json!("24:00")),
        ("/schedules/night/allow/0/to", json!("7:00")),
        ("/quotas/q_month/energy_kwh", json!(0)),
        ("/quotas/q_month/period", json!("year")),
        ("/quotas/q_month/on_exceed", json!("guest")),
        ("/boost/charging_priority", json!(-10)),
        ("/boost/max_duration_s", json!(59)),
        ("/revocation/mid_session", json!("go on")),
        ("/revocation/max_s", json!(86_401)),
        ("/mode", json!(7)),
        ("/mode/strategy", json!("off")),
        ("/mode/min_grid_a", json!(-6)),
        ("/limits/main_fuse_pct", json!(95.5)),
        ("/limits/import_max_a", json!([25, 25])),
        ("/ageing_s", json!(-1)),
        ("/offline_profile/site_limit_pct", json!(101)),
        ("/privacy/publish_alias", json!(1)),
    ];
    for (place, value) in cases {
        let mut document = example();
        *document.pointer_mut(place).unwrap_or_else(|| panic!("{place} is not in the example")) = value.clone();
        assert!(!validator.is_valid(&document), "{place} = {value} fits the schema");
        assert!(parse(document.to_string().as_bytes(), &us()).is_err(), "{place} = {value} is taken");
    }
}

#[test]
fn the_schema_has_every_field_that_the_validator_asks_for_and_no_other() {
    asked::taken();
    let document = parse(full().to_string().as_bytes(), &us()).unwrap();
    assert!(!document.warnings.to_string().contains("unknown field"));
    let asked: BTreeSet<String> = asked::taken().iter().map(|pointer| general(pointer)).collect();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut described = BTreeSet::new();
    describe(&schema, &schema, String::new(), &mut described);
    let one_sided: Vec<&String> = asked.symmetric_difference(&described).collect();
    assert!(one_sided.is_empty(), "only the validator or only the schema has {one_sided:?}");
}

#[test]
fn the_schema_describes_every_field() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let objects = [&schema].into_iter().chain(schema["$defs"].as_object().unwrap().values());
    for (name, field) in objects.filter_map(|object| object["properties"].as_object()).flatten() {
        assert!(field["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}");
    }
}

#[test]
fn the_example_is_what_the_manual_says_it_is() {
    let told: BTreeSet<String> = example().as_object().unwrap().keys().cloned().collect();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let described: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(told, described, "docs/policy.json has every section");
    assert!(EXAMPLE.ends_with("}\n"));
}

/// `/tokens/17/uid` as `/tokens/*/uid`, and the names of rules likewise.
fn general(pointer: &str) -> String {
    let parts: Vec<&str> = pointer.split('/').collect();
    let general = parts.iter().enumerate().map(|(place, part)| {
        let is_name = place == 2 && matches!(parts[1], "schedules" | "quotas");
        if is_name || part.parse::<usize>().is_ok() { "*" } else { part }
    });
    general.collect::<Vec<_>>().join("/")
}

fn describe(schema: &Value, part: &Value, pointer: String, all: &mut BTreeSet<String>) {
    if let Some(name) = part["$ref"].as_str() {
        let place = name.strip_prefix('#').unwrap();
        describe(schema, schema.pointer(place).unwrap(), pointer.clone(), all);
    }
    for (name, field) in part["properties"].as_object().into_iter().flatten() {
        let pointer = format!("{pointer}/{name}");
        describe(schema, field, pointer.clone(), all);
        all.insert(pointer);
    }
    for items in ["items", "additionalProperties"].into_iter().filter_map(|name| part.get(name)) {
        describe(schema, items, format!("{pointer}/*"), all);
    }
    for choice in part["oneOf"].as_array().into_iter().flatten() {
        describe(schema, choice, pointer.clone(), all);
    }
}
