//! Does the picture look as it should? One of each kind, as text that one can look at.

use super::super::{Alarm, InverterStatus};
use super::*;
use chrono::{TimeZone, Utc};

#[test]
fn a_house_in_80_columns() {
    let wanted = "\
Hagastua 7                                               2026-10-14 18:03:12 UTC
13.2 kW from the grid, Roof 640 W
WARNING charger \"yard\": has not measured its current for 3 min; it counts as it
  was told; since 2026-10-14 18:03 UTC

Main fuse: 25 A, meter fresh, read 0.4 s ago
  L1 ███████████▓▓▓▓▓▓▓▓▓▓▓▓▓··········░┃ house   7.7  cars   8.9    7.4 A left
  L2 █████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░┃ house   6.0  cars  17.8    0.2 A left
  L3 ████████████▓▓▓▓▓▓▓▓▓▓▓▓▓·········░┃ house   8.2  cars   8.9    6.9 A left
     █ house  ▓ cars  · left  ░ kept free  ┃ fuse

Left       9 A  L2 of Main fuse (25 A) is full
                charging, takes L1 8.9 L2 8.9 L3 8.9 A (measured), Kari,
                resident (priority 6), mode eco, 7.4 kWh in 1 h 12 min, without
                us 6 A after 2 min

Right   paused  waiting: its minimum does not fit on L2 of Main fuse
                suspended evse, takes L2 8.9 A (assumed), guest (priority 0),
                for 45 s, without us 0 A

yard      free  no car
                available, without us 6 A

Rules: from the cloud, fresh, version 42, confirmed 48 s ago
";
    assert_eq!(picture(&house(), 80, false), wanted);
}

#[test]
fn a_lost_meter_shows_what_is_not_known() {
    let mut status = house();
    status.circuits[0].freshness = "lost".into();
    status.circuits[0].house_a = None;
    status.circuits[0].headroom_a = None;
    let text = picture(&status, 80, false);
    assert!(text.contains("meter lost, read 0.4 s ago: cars on fallback"), "{text}");
    assert!(text.contains("house     ?") && text.contains("left unknown") && text.contains("▓▓????"), "{text}");
}

#[test]
fn surplus_from_the_sun_lies_left_of_zero_and_too_much_is_said() {
    let mut status = house();
    status.circuits[0].house_a = Some(amps([-8.0, -2.0, 22.0]));
    status.circuits[0].cars_a = amps([3.0, 6.0, 6.0]);
    status.circuits[0].headroom_a = Some(amps([29.0, 20.0, -4.0]));
    let text = picture(&status, 80, false);
    let bars: Vec<&str> = text.lines().filter(|line| line.starts_with("  L")).collect();
    assert!(bars[0].contains("▓▓▒▒"), "{text}");
    assert!(bars[1].contains("·▓▓") && !bars[1].contains('▒'), "{text}");
    assert!(bars[2].contains("┃▓") && bars[2].ends_with("4.0 A over"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [64, 80, 100, 140] {
        for line in picture(&house(), width, false).lines() {
            assert!(line.chars().count() <= width, "{} of {width}: {line}", line.chars().count());
        }
    }
}

#[test]
fn colours_add_nothing_but_colour() {
    let painted = picture(&house(), 80, true);
    let mut bare = String::new();
    for (k, part) in painted.split("\x1b[").enumerate() {
        bare += if k == 0 { part } else { part.split_once('m').unwrap().1 };
    }
    assert_eq!(bare, picture(&house(), 80, false));
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let mut status = house();
    status.evses[0].alias = Some("\x1b[2J\r".into());
    assert!(!picture(&status, 80, false).contains(['\x1b', '\r']));
}

#[test]
fn a_single_phase_site_has_one_bar() {
    let text = picture(&Status { phases: 1, ..house() }, 80, false);
    assert_eq!(text.lines().filter(|line| line.starts_with("  L")).count(), 1, "{text}");
}

#[test]
fn nothing_known_is_still_a_picture() {
    assert!(picture(&Status::default(), 80, false).contains("Rules"));
}

fn house() -> Status {
    let at = Utc.with_ymd_and_hms(2026, 10, 14, 18, 3, 12).unwrap();
    Status {
        version: "0.1.0".into(),
        site: "home".into(),
        name: "Hagastua 7".into(),
        at,
        uptime_s: 86_400,
        phases: 3,
        breaches: 0,
        circuits: vec![CircuitStatus {
            id: "main".into(),
            name: "Main fuse".into(),
            freshness: "fresh".into(),
            age_s: Some(0.4),
            limit_a: PerPhase::all(Amps::whole(25)),
            margin_a: PerPhase::all(Amps::whole(1)),
            load_a: Some(amps([16.6, 23.8, 17.1])),
            house_a: Some(amps([7.7, 6.0, 8.2])),
            cars_a: amps([8.9, 17.8, 8.9]),
            headroom_a: Some(amps([7.4, 0.2, 6.9])),
            power_w: Some(13_220),
            ..CircuitStatus::default()
        }],
        evses: vec![
            EvseStatus {
                id: "left".into(),
                name: "Left".into(),
                circuit: "main".into(),
                online: true,
                plug: "charging".into(),
                setpoint_a: Amps::whole(9),
                draw_a: PerPhase::all(Amps::milli(8_900)),
                is_measured: true,
                reason: "main_fuse".into(),
                words: "L2 of Main fuse (25 A) is full".into(),
                class: "resident".into(),
                alias: Some("Kari".into()),
                priority: 6,
                is_boosted: false,
                mode: "eco".into(),
                session_s: Some(4_320),
                session_kwh: Some(7.42),
                fallback_a: Amps::whole(6),
                lease_s: Some(118),
            },
            EvseStatus {
                id: "right".into(),
                name: "Right".into(),
                online: true,
                plug: "suspended_evse".into(),
                draw_a: amps([0.0, 8.9, 0.0]),
                words: "waiting: its minimum does not fit on L2 of Main fuse".into(),
                class: "guest".into(),
                session_s: Some(45),
                ..EvseStatus::default()
            },
            EvseStatus {
                id: "yard".into(),
                online: true,
                plug: "available".into(),
                words: "no car".into(),
                fallback_a: Amps::whole(6),
                ..EvseStatus::default()
            },
        ],
        inverters: vec![InverterStatus {
            id: "roof".into(),
            name: "Roof".into(),
            power_w: Some(640),
            age_s: Some(2.0),
        }],
        policy: PolicyStatus {
            source: "cloud".into(),
            state: "fresh".into(),
            version: Some(42),
            age_s: Some(48),
            refused: None,
        },
        alarms: vec![Alarm {
            id: "charger-yard-silent".into(),
            severity: Severity::Warning,
            text: "charger \"yard\": has not measured its current for 3 min; it counts as it was told".into(),
            since: at,
        }],
    }
}

fn amps(values: [f64; 3]) -> PerPhase<Amps> {
    PerPhase(values.map(|value| Amps::from_f64(value).unwrap()))
}
