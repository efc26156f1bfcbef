//! Would Home Assistant take our announcements? They are compared with files, and held against its rules for device
//! discovery. `HEADROOM_GOLDEN=write cargo test --test mqtt` writes the files anew; read the difference before you commit.

use crate::world;
use headroom::config::{DeviceConfig, ModbusAddress};
use headroom::mqtt::discovery::announcements;
use headroom::site::{Site, Wiring};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

#[test]
fn the_announcements_are_those_in_the_files() {
    let all = announced(&house());
    assert_eq!(all.len(), 3);
    for (topic, payload) in all {
        let version = env!("CARGO_PKG_VERSION");
        let pretty = serde_json::to_string_pretty(&payload).unwrap().replace(version, "VERSION") + "\n";
        let name = topic.split('/').nth(2).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/discovery-{name}.json"));
        if std::env::var("HEADROOM_GOLDEN").is_ok_and(|word| word == "write") {
            std::fs::write(&path, &pretty).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(pretty == golden, "{} differs; HEADROOM_GOLDEN=write writes it anew:\n{pretty}", path.display());
    }
}

#[test]
fn the_announcements_keep_home_assistants_rules() {
    for site in [house(), Site { wiring: Wiring::Single, ..house() }] {
        let mut ids = BTreeSet::new();
        for (topic, payload) in announced(&site) {
            if let Err(fault) = check(&topic, &payload, &mut ids) {
                panic!("{topic}: {fault}");
            }
        }
    }
}

#[test]
fn a_broken_announcement_would_be_noticed() {
    let (topic, good) = announced(&house()).remove(0);
    let is_refused = |spoil: &dyn Fn(&mut Value)| {
        let mut payload = good.clone();
        spoil(&mut payload);
        check(&topic, &payload, &mut BTreeSet::new()).is_err()
    };
    let without = |pointer: &'static str, key: &'static str| {
        move |payload: &mut Value| {
            payload.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        }
    };
    assert!(is_refused(&without("", "origin")));
    assert!(is_refused(&without("/origin", "name")));
    assert!(is_refused(&without("/device", "identifiers")));
    assert!(is_refused(&without("/components/grid_power", "unique_id")));
    assert!(is_refused(&without("/components/grid_power", "platform")));
    assert!(is_refused(&|payload| payload["qos"] = json!(1)));
    assert!(is_refused(&|payload| payload["components"]["grid_power"]["unit_of_measurement"] = json!("A")));
    assert!(is_refused(&|payload| payload["components"]["policy"]["state_class"] = json!("measurement")));
    assert!(is_refused(
        &|payload| payload["components"]["alarm"]["unique_id"] = payload["components"]["policy"]["unique_id"].clone()
    ));
    assert!(check("homeassistant/device/a b/config", &good, &mut BTreeSet::new()).is_err());
}

fn house() -> Site {
    world::site()
}

fn announced(site: &Site) -> Vec<(String, Value)> {
    let roof = DeviceConfig {
        id: "roof".into(),
        name: "Roof".into(),
        device: headroom::device::Library::load(None).unwrap().find("sunspec").unwrap().clone(),
        address: ModbusAddress::Tcp("192.0.2.1:502".into()),
        unit: 1,
        interval: Duration::from_secs(5),
    };
    announcements(site, &[roof], "homeassistant", "headroom/home", true)
        .into_iter()
        .map(|(topic, payload)| (topic, serde_json::from_str(&payload).unwrap()))
        .collect()
}

/// The rules of Home Assistant's device discovery, as far as they touch what we announce.
fn check(topic: &str, payload: &Value, ids: &mut BTreeSet<String>) -> Result<(), String> {
    let id = topic.strip_prefix("homeassistant/device/").and_then(|rest| rest.strip_suffix("/config"));
    let is_id = |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    require(id.is_some_and(is_id), "the object id is made of a-z A-Z 0-9 _ -")?;
    only(payload, &["device", "origin", "components", "availability_topic"])?;

    only(&payload["device"], &["identifiers", "name", "manufacturer", "model", "sw_version", "via_device"])?;
    let identifiers = payload["device"]["identifiers"].as_array();
    require(identifiers.is_some_and(|ids| !ids.is_empty()), "a device has identifiers")?;
    only(&payload["origin"], &["name", "sw_version", "support_url"])?;
    require(payload["origin"]["name"].is_string(), "origin has a name")?;
    require(payload["availability_topic"] == "headroom/home/status", "availability follows our status")?;

    let components = payload["components"].as_object().ok_or("components is an object")?;
    require(!components.is_empty(), "there are components")?;
    for (key, component) in components {
        let component = component.as_object().ok_or(format!("{key} is an object"))?;
        check_component(component, ids).map_err(|fault| format!("{key}: {fault}"))?;
    }
    Ok(())
}

fn check_component(component: &Map<String, Value>, ids: &mut BTreeSet<String>) -> Result<(), String> {
    let text = |key: &str| component.get(key).and_then(Value::as_str);
    let unique_id = text("unique_id").ok_or("unique_id is required")?;
    require(ids.insert(unique_id.to_owned()), "unique_id is unique")?;
    require(text("name").is_some_and(|name| !name.is_empty()), "a name for people")?;
    let is_topic = |key: &str| text(key).is_some_and(rumqttc::valid_topic);
    require(text("platform") == Some("button") || is_topic("state_topic"), "state_topic is a topic")?;
    require(matches!(text("entity_category"), None | Some("diagnostic")), "entity_category")?;
    let (class, unit, state) = (text("device_class"), text("unit_of_measurement"), text("state_class"));
    let common = ["platform", "unique_id", "name", "state_topic", "value_template", "device_class", "entity_category"];
    match text("platform") {
        Some("sensor") => {
            let own = ["unit_of_measurement", "state_class", "expire_after", "suggested_display_precision"];
            only(&Value::Object(component.clone()), &[&common[..], &own].concat())?;
            let is_pair = match class {
                Some("current") => unit == Some("A") && state == Some("measurement"),
                Some("power") => unit == Some("W") && state == Some("measurement"),
                Some("energy") => unit == Some("kWh") && state == Some("total_increasing"),
                None => unit.is_none() && state.is_none() && !component.contains_key("expire_after"),
                Some(_) => false,
            };
            require(is_pair, "device class, unit and state class go together")
        }
        Some("binary_sensor") => {
            only(&Value::Object(component.clone()), &[&common[..], &["json_attributes_topic"]].concat())?;
            require(matches!(class, Some("problem" | "connectivity")), "device class of a binary sensor")?;
            require(text("value_template").is_some_and(|t| t.contains("'ON'") && t.contains("'OFF'")), "ON or OFF")
        }
        Some("switch") => {
            only(&Value::Object(component.clone()), &[&common[..], &["command_topic", "icon"]].concat())?;
            require(text("value_template").is_some_and(|t| t.contains("'ON'") && t.contains("'OFF'")), "ON or OFF")?;
            require(is_topic("command_topic"), "command_topic is a topic")
        }
        Some("select") => {
            only(&Value::Object(component.clone()), &[&common[..], &["command_topic", "options", "icon"]].concat())?;
            let options = component.get("options").and_then(Value::as_array);
            let are_words = options.is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_string));
            require(are_words, "options are words")?;
            require(is_topic("command_topic"), "command_topic is a topic")
        }
        Some("button") => {
            only(&Value::Object(component.clone()), &["platform", "unique_id", "name", "command_topic", "icon"])?;
            require(is_topic("command_topic"), "command_topic is a topic")
        }
        _ => Err("platform is required, and one of ours".into()),
    }
}

fn only(object: &Value, allowed: &[&str]) -> Result<(), String> {
    let object = object.as_object().ok_or("not an object")?;
    match object.keys().find(|key| !allowed.contains(&key.as_str())) {
        Some(key) => Err(format!("{key} is not allowed here")),
        None => Ok(()),
    }
}

fn require(is_so: bool, rule: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(rule.to_owned()) }
}
