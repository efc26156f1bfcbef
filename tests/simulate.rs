//! What does `headroom simulate` print? The program itself, on small scenarios.

#![allow(clippy::unwrap_used, reason = "a failed test is what it is for")]

use headroom::sim::{Blame, Cause, Judge, Scenario, run};
use headroom::time::Duration;
use std::fs;
use std::process::{Command, Output};

const FILE: &str = "tests/scenarios/busy-house.toml";

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headroom")).arg("simulate").args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> serde_json::Value {
    let out = simulate(&[arguments, &["--json"]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn the_object_has_all_that_is_promised() {
    let object = json(&[FILE, "--seed", "7"]);
    for key in [
        "scenario",
        "seed",
        "days",
        "energy_kwh",
        "requested_kwh",
        "oracle_kwh",
        "overload_as",
        "overload_total_as",
        "overload_longest_s",
        "breaker_fast_peak",
        "breaker_slow_peak",
        "starts",
        "sessions",
        "sessions_met",
        "pauses_per_session_max",
        "setpoints",
        "jain",
        "wait_longest_s",
        "priority_inversions",
        "headroom_unused_as",
        "self_consumption",
        "grid_import_share",
        "decision_us",
        "peak_rss_kib",
        "breaches",
        "wall_s",
    ] {
        assert!(object.get(key).is_some_and(|value| !value.is_null()), "{key}: {object}");
    }
    for key in ["p50", "p99", "max"] {
        assert!(object["decision_us"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert_eq!(object["seed"], 7);
    assert_eq!(object["breaches"], 0);
    assert!(object["energy_kwh"].as_f64().unwrap() > 1.0 && object["sessions"] == 2, "{object}");
    assert!(object["energy_kwh"].as_f64() <= object["oracle_kwh"].as_f64(), "{object}");
}

#[test]
fn a_trace_from_outside_takes_the_place_of_the_house() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base.csv");
    // 10 A all the time, and each minute 12 A more on L2 for ten seconds.
    let lines = (0..600).map(|t| format!("{t},10,{},10\n", if t % 60 < 10 { 22 } else { 10 }));
    fs::write(&path, format!("t,l1,l2,l3\n{}", lines.collect::<String>())).unwrap();
    let with = [FILE, "--base-load", path.to_str().unwrap()];
    let (own, reference) = (json(&with), json(&[&with[..], &["--law", "reference"]].concat()));
    assert!(own["overload_as"].as_f64().unwrap() > 0.0, "a step of 12 A cannot be foreseen: {own}");
    // The other law hardly starts a car in these twenty minutes.
    let dear =
        |object: &serde_json::Value| object["overload_as"].as_f64().unwrap() / object["energy_kwh"].as_f64().unwrap();
    assert!(dear(&own) < dear(&reference), "{own} {reference}");
    assert_eq!(reference["law"], "reference");
}

#[test]
fn sessions_from_outside_take_the_place_of_the_cars() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.csv");
    let heading = "arrival,departure,evse,energy_kwh,phases,max_a,priority";
    fs::write(&path, format!("{heading}\n10,900,left,0.2,3,16,5\n20,1000,right,0.1,L3,16,-2\n")).unwrap();
    let object = json(&[FILE, "--sessions", path.to_str().unwrap()]);
    assert_eq!((&object["sessions"], &object["sessions_met"]), (&2.into(), &2.into()), "{object}");
    fs::write(&path, format!("{heading}\n10,900,garage,0.2,3,16,5\n")).unwrap();
    let out = simulate(&[FILE, "--sessions", path.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2));
    assert!(told.contains("line 2") && told.contains("garage") && told.contains("left"), "{told}");
}

#[test]
fn what_cannot_be_meant_is_told_and_is_a_matter_of_usage() {
    for (arguments, words) in [
        (&["hosue"][..], "house-slow-meter"),
        (&[FILE, "--base-load", "Cargo.toml"], "line 1"),
        (&[FILE, "--solar", "nowhere.csv"], "nowhere.csv"),
        (&[FILE, "--limit-kw", "0"], "kilowatts"),
        (&["Cargo.toml"], "Cargo.toml"),
    ] {
        let out = simulate(arguments);
        let told = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
}

#[test]
fn what_went_wrong_while_breakers_were_hottest_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deaf.toml");
    // The house takes 15 A more beside a car that has 16, and that is told so only while its charger hears.
    let story = r#"
about = "Deaf."
        until_s = 500
        circuit = [{ id = "main", fuse_a = 25, margin_a = 1, meter_ms = 1000 }]
        evse = [{ id = "left" }]
        at = [
            { t = 0, load_a = 4 },
            { t = 1, arrive = "left" },
            { t = 150, ears = { left = "deaf" } },
            { t = 200, load_a = 11 },
        ]"#;
    fs::write(&path, story).unwrap();
    let deaf = json(&[path.to_str().unwrap()]);
    fs::write(&path, story.replace("\"deaf\"", "\"heeds\"")).unwrap();
    let heeds = json(&[path.to_str().unwrap()]);
    let fast = |object: &serde_json::Value, cause: &str| object["breakers"][cause]["fast"].as_f64().unwrap();
    assert!(fast(&deaf, "otherwise") > 0.5 && fast(&deaf, "obeying") == 0.0, "{deaf}");
    // Reckoned by the second here, by the tick there.
    assert!((fast(&deaf, "otherwise") - deaf["breaker_fast_peak"].as_f64().unwrap()).abs() < 0.01, "{deaf}");
    assert!(fast(&heeds, "otherwise") == 0.0 && fast(&heeds, "obeying") > 0.0, "{heeds}");
    assert!(heeds["breakers"]["obeying"]["at_s"].as_f64().unwrap() > 200.0, "{heeds}");
    assert!(json(&[path.to_str().unwrap(), "--law", "reference"]).get("breakers").is_none());
}

#[test]
fn breakers_are_as_hot_where_time_goes_in_longer_steps() {
    let mut scenario = Scenario::parse(&fs::read_to_string(FILE).unwrap()).unwrap();
    scenario.script.tick = Duration::from_secs(2);
    let (mut judge, mut blame) = (Judge::new(&scenario.site), Blame::new(&scenario));
    run(&scenario.site, &scenario.policy, &scenario.script, scenario.span, |frame| {
        judge.see(&scenario.site, frame);
        blame.see(frame);
    });
    let (fast, peak) = (blame.outcome().peaks[Cause::Obeying as usize].fast, judge.score().breaker_fast_peak);
    assert!(fast > 0.5 && (fast - peak).abs() < 0.02, "{fast} of {peak}");
}

#[test]
fn whoever_has_read_enough_hangs_up_and_nothing_panics() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_headroom"))
        .args(["simulate", FILE, "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr).as_ref()), (Some(0), ""));
}
