//! What holds for any bytes, and for any good document?

use super::schema::validator;
use super::{EXAMPLE, keys_document, minimal, root, signer, trusting, us};
use crate::fuzz::{fuzz, fuzz_envelope, seeds};
use crate::*;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

proptest! {
    #[test]
    fn random_bytes_break_no_promise(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&bytes);
        fuzz_envelope(&bytes);
    }

    #[test]
    fn random_json_breaks_no_promise(value in json_value()) {
        fuzz(value.to_string().as_bytes());
    }

    #[test]
    fn documents_with_wrong_bytes_break_no_promise(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 1..6),
    ) {
        let mut bytes = which.get(&corpus()).clone();
        for (place, kind, byte) in edits {
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 if bytes.len() > 1 => drop(bytes.remove(place)),
                // A piece of it a second time.
                _ => bytes.extend_from_within(place..(place + usize::from(byte)).min(bytes.len())),
            }
        }
        fuzz(&bytes);
        fuzz_envelope(&bytes);
    }

    #[test]
    fn documents_with_other_values_break_no_promise_and_fit_the_schema_if_they_are_good(
        dice in dice(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), json_value()), 0..4),
    ) {
        static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(validator);
        let mut document = document(dice);
        for (place, value) in edits {
            let pointers = pointers(&document, String::new());
            let place: &String = place.get(&pointers);
            if let Some(slot) = document.pointer_mut(place) {
                *slot = value;
            }
        }
        let bytes = document.to_string().into_bytes();
        fuzz(&bytes);
        if parse(&bytes, &us()).is_ok() {
            let fits = SCHEMA.validate(&document);
            prop_assert!(fits.is_ok(), "{:?}", fits.map_err(|error| format!("{error} at {}", error.instance_path())));
        }
    }

    #[test]
    fn good_documents_are_read_and_survive_their_envelope(dice in dice()) {
        let value = document(dice);
        let bytes = value.to_string().into_bytes();
        let read = parse(&bytes, &us()).map_err(|faults| TestCaseError::fail(format!("{faults}: {value}")))?;
        fuzz(&bytes);
        let count = |name: &str| match &value[name] {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        prop_assert_eq!(read.classes.len(), count("classes"));
        prop_assert_eq!(read.principals.len(), count("principals"));
        prop_assert_eq!(read.tokens.len(), count("tokens"));
        prop_assert_eq!(read.evses.len(), count("evse"));
        prop_assert_eq!((read.schedules.len(), read.quotas.len()), (count("schedules"), count("quotas")));
        prop_assert!(!read.warnings.to_string().contains("unknown field"), "{}", read.warnings);
        let sealed = seal(POLICY_TYPE, &bytes, &[&signer("policy-1")]);
        let opened = trusting(1).open(&sealed, None).map(|opened| parse(&opened.payload, &us()));
        prop_assert_eq!(opened, Ok(Ok(read)));
    }

    #[test]
    fn no_byte_of_an_envelope_can_be_changed(
        dice in dice(),
        place in any::<prop::sample::Index>(),
        change in 1..=255u8,
    ) {
        let mut sealed = seal(POLICY_TYPE, document(dice).to_string().as_bytes(), &[&signer("policy-1")]);
        *place.get_mut(&mut sealed) ^= change;
        prop_assert!(trusting(1).open(&sealed, None).is_err());
    }
}

#[test]
fn the_corpus_breaks_no_promise() {
    for bytes in corpus() {
        fuzz(&bytes);
        fuzz_envelope(&bytes);
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let more = [
        minimal().to_string().into_bytes(),
        seal(POLICY_TYPE, EXAMPLE.as_bytes(), &[&signer("policy-1"), &signer("policy-2")]),
        seal(KEYS_TYPE, keys_document(3, &["policy-1", "policy-2"]).to_string().as_bytes(), &[&root()]),
    ];
    seeds().into_iter().chain(more).collect()
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-100..1_000i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "c0", "p0", "e0", "s0", "q0", "open", "*", "Accepted", "deny", "class:c0", "", "22:00"
        ])
        .prop_map(Value::from),
        Just(json!("2026-11-21T18:00:00Z")),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        let name = prop_oneof![
            3 => prop::sample::select(vec!["id", "class", "classes", "schema", "keys", "payload", "signatures", "days"])
                .prop_map(String::from),
            1 => any::<String>(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5).prop_map(|fields| fields.into_iter().collect::<Value>()),
        ]
    })
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

/// What a random document is decided by; zeros, which shrinking leads to, decide for little.
#[derive(Debug, Clone)]
struct Dice(std::vec::IntoIter<u16>);

fn dice() -> impl Strategy<Value = Dice> {
    prop::collection::vec(any::<u16>(), 0..300).prop_map(|numbers| Dice(numbers.into_iter()))
}

impl Dice {
    fn up_to(&mut self, most: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % (most + 1)
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.up_to(choices.len() - 1)].clone()
    }

    fn id(&mut self, letter: char, count: usize) -> Value {
        json!(format!("{letter}{}", self.up_to(count - 1)))
    }

    fn ids(&mut self, letter: char, count: usize) -> Value {
        (0..self.up_to(3)).map(|_| self.id(letter, count)).collect()
    }

    /// Perhaps one more field.
    fn may(&mut self, object: &mut Map<String, Value>, name: &str, value: impl FnOnce(&mut Dice) -> Value) {
        if self.up_to(1) == 1 {
            let value = value(self);
            object.insert(name.into(), value);
        }
    }
}

/// A good document.
fn document(mut dice: Dice) -> Value {
    let dice = &mut dice;
    let classes = 1 + dice.up_to(4);
    let mut top = minimal().as_object().unwrap().clone();
    top["epoch"] = json!(dice.up_to(9));
    top["version"] = json!(dice.up_to(9_999));
    top["classes"] = (0..classes).map(|index| class(index, dice)).collect();
    let default_mode = dice.of(&["authorized_only", "open"]);
    top["access"] = json!({"default_mode": default_mode, "unknown_token": dice.id('c', classes)});
    let (evses, rules) = (1 + dice.up_to(3), 1 + dice.up_to(2));
    top.insert("evse".into(), (0..evses).map(|index| evse(index, classes, dice)).collect());
    let schedules = (0..rules).map(|index| (format!("s{index}"), schedule(dice))).collect();
    top.insert("schedules".into(), schedules);
    let quotas = (0..rules).map(|index| {
        let on_exceed = dice.of(&["deny", "class:c0"]);
        let period = dice.of(&["day", "week", "month"]);
        let quota = json!({"energy_kwh": 0.5 + dice.up_to(500) as f64, "period": period, "on_exceed": on_exceed});
        (format!("q{index}"), quota)
    });
    let quotas = quotas.collect();
    top.insert("quotas".into(), quotas);
    let people = dice.up_to(5);
    let principals = (0..people).map(|index| principal(index, classes, evses, rules, dice)).collect();
    top.insert("principals".into(), principals);
    let cards = if people == 0 { 0 } else { dice.up_to(8) };
    top.insert("tokens".into(), (0..cards).map(|index| token(index, people, dice)).collect());
    dice.may(&mut top, "boost", |dice| {
        json!({"allowed": dice.ids('c', classes), "max_per_month": dice.up_to(1_000), "max_duration_s": 60 + dice.up_to(9_999)})
    });
    dice.may(
        &mut top,
        "revocation",
        |dice| json!({"mid_session": dice.of(&["degrade", "stop"]), "max_s": dice.up_to(9_999)}),
    );
    dice.may(&mut top, "limits", |dice| json!({"main_fuse_pct": dice.up_to(100), "import_max_a": dice.up_to(63)}));
    dice.may(
        &mut top,
        "mode",
        |dice| json!({"strategy": dice.of(&["fast", "solar_first", "eco", "solar"]), "min_grid_a": dice.up_to(32)}),
    );
    dice.may(&mut top, "timezone", |dice| json!(dice.of(&["Europe/Oslo", "UTC"])));
    dice.may(&mut top, "critical", |dice| json!([dice.of(&["limits", "quotas", "tokens"])]));
    Value::Object(top)
}

fn class(index: usize, dice: &mut Dice) -> Value {
    let mut class = Map::new();
    class.insert("id".into(), json!(format!("c{index}")));
    class.insert("charging_priority".into(), json!(dice.up_to(18) as i64 - 9));
    dice.may(&mut class, "weight", |dice| json!(1 + dice.up_to(999)));
    dice.may(&mut class, "floor_a", |dice| json!(dice.up_to(60) as f64 / 10.0));
    dice.may(&mut class, "ceiling_a", |dice| json!(6 + dice.up_to(26)));
    dice.may(&mut class, "new_sessions", |_| json!(false));
    dice.may(&mut class, "boost", |_| json!(true));
    Value::Object(class)
}

fn evse(index: usize, classes: usize, dice: &mut Dice) -> Value {
    let mut evse = Map::new();
    evse.insert("id".into(), json!(format!("e{index}")));
    dice.may(&mut evse, "ocpp_id", |_| json!(format!("HOME-{index}")));
    dice.may(&mut evse, "mode", |dice| json!(dice.of(&["open", "authorized_only"])));
    dice.may(&mut evse, "open_class", |dice| dice.id('c', classes));
    dice.may(&mut evse, "max_a", |dice| json!(dice.up_to(63)));
    Value::Object(evse)
}

fn schedule(dice: &mut Dice) -> Value {
    let windows = (0..dice.up_to(3)).map(|_| {
        let days: Vec<usize> = (0..=dice.up_to(6)).map(|_| 1 + dice.up_to(6)).collect();
        let mut time = || format!("{:02}:{:02}", dice.up_to(23), dice.up_to(59));
        json!({"days": days, "from": time(), "to": time()})
    });
    let windows: Vec<Value> = windows.collect();
    json!({"allow": windows, "outside": dice.of(&["pause", "deny"])})
}

fn principal(index: usize, classes: usize, evses: usize, rules: usize, dice: &mut Dice) -> Value {
    let mut principal = Map::new();
    principal.insert("id".into(), json!(format!("p{index}")));
    let member = |class: usize, dice: &mut Dice| {
        let mut member = Map::new();
        member.insert("class".into(), json!(format!("c{class}")));
        dice.may(&mut member, "valid_until", |_| json!("2027-01-01T00:00:00+01:00"));
        Value::Object(member)
    };
    let class = match dice.up_to(1) {
        0 => dice.id('c', classes),
        _ => (0..=dice.up_to(classes - 1)).map(|class| member(class, dice)).collect(),
    };
    principal.insert("class".into(), class);
    let everywhere = dice.up_to(1) == 0;
    principal.insert("evse".into(), if everywhere { json!(["*"]) } else { dice.ids('e', evses) });
    dice.may(&mut principal, "alias", |dice| json!(dice.of(&["Kari", "Øyvind", "王"])));
    dice.may(&mut principal, "schedule", |dice| dice.id('s', rules));
    dice.may(&mut principal, "quota", |dice| dice.id('q', rules));
    dice.may(&mut principal, "billing", |dice| json!(dice.of(&["free", "paid"])));
    dice.may(&mut principal, "default_profile_type", |dice| json!(dice.of(&["FAST", "GREEN"])));
    Value::Object(principal)
}

fn token(index: usize, people: usize, dice: &mut Dice) -> Value {
    let mut token = Map::new();
    token.insert("uid".into(), json!(format!("04:a2:{index:02}")));
    token.insert("principal".into(), dice.id('p', people));
    token.insert("status".into(), json!(dice.of(&["Accepted", "Blocked", "NoCredit", "Unknown"])));
    dice.may(&mut token, "type", |dice| json!(dice.of(&["ISO14443", "eMAID"])));
    dice.may(&mut token, "group", |_| json!("family"));
    dice.may(&mut token, "offline", |_| json!(false));
    dice.may(&mut token, "concurrent", |_| json!(false));
    Value::Object(token)
}
