//! What becomes of an installer's own device files?

use super::{codes, devices, small};
use headroom::config::{Loaded, compile};
use std::time::Duration;

/// It tells currents alone.
const CURRENTS: &str = r#"
name = "my-meter"
title = "Mine"
evidence = "vendor"
document = "manual"
revision = "1.0"
refresh_ms = 2500
role = "meter"
[[block]]
read = "poll"
function = 3
address = 100
count = 6
[[quantity]]
measure = "current"
registers = [100, 102, 104]
type = "int32"
words = "low-first"
unit = "A"
"#;

/// A small site whose meter has this file, with these chargers.
fn with(file: &str, chargers: &str) -> Loaded {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("devices")).unwrap();
    std::fs::write(dir.path().join("devices/my-meter.toml"), file).unwrap();
    let text = small(chargers).replace("\"sunspec\"", "\"my-meter\"");
    assert_eq!(codes(&compile(&text, "x", dir.path(), &devices())), ["E022"], "nobody has said where it is");
    let text = text.replace("[[circuit]]", "device_dir = \"devices\"\n[[circuit]]");
    compile(&text, "x", dir.path(), &devices())
}

fn charger(id: &str, metering_s: u32) -> String {
    format!(
        "[[charger]]\nid = \"{id}\"\ncircuit = \"main\"\nprotocol = \"ocpp\"\nidentity = \"{id}\"\n\
         password = \"0123456789abcdef\"\nlapse = \"a\"\nmetering_s = {metering_s}\n"
    )
}

#[test]
fn a_file_in_device_dir_is_known_and_a_meter_is_never_quicker_than_its_device() {
    let config = with(CURRENTS, "").config.unwrap();
    assert_eq!(config.meters[0].device.title, "Mine");
    assert_eq!(
        (config.meters[0].interval, config.site.meters[0].interval.as_secs_f64()),
        (Duration::from_secs(1), 2.5)
    );
}

#[test]
fn a_file_with_a_fault_or_for_something_else_is_told_by_the_check() {
    let broken = with("name = 7", "");
    assert_eq!(codes(&broken), ["E002"]);
    let told = broken.render(false);
    assert!(told.contains("my-meter.toml") && told.contains("device_dir"), "{told}");
    let inverter = CURRENTS.replace("\"meter\"", "\"inverter\"").replace("\"current\"", "\"generated\"");
    let inverter = inverter.replace("[100, 102, 104]", "[100]").replace("\"A\"", "\"W\"");
    let other = with(&inverter, "");
    assert_eq!(codes(&other), ["E022"], "{}", other.render(false));
    assert!(other.render(false).contains("is for no meter"), "{}", other.render(false));
}

#[test]
fn where_nobody_would_find_out_that_a_meter_says_the_same_for_ever_the_check_warns() {
    let known = charger("quick", 10);
    assert!(codes(&with(CURRENTS, &known)).is_empty());
    let warned = with(CURRENTS, &format!("{known}{}{}", charger("slow", 30), charger("mute", 0)));
    assert_eq!(codes(&warned), ["W016"]);
    let told = warned.render(false);
    assert!(told.contains("slow, mute") && !told.contains("quick,"), "{told}");
    let volts = "[[quantity]]\nmeasure = \"voltage\"\nregisters = [100, 102, 104]\ntype = \"int32\"\nunit = \"V\"\n";
    assert!(codes(&with(&format!("{CURRENTS}{volts}"), &charger("mute", 0))).is_empty(), "voltages wander");
}
