//! What do the status topics say? One [`Status`] becomes the payloads below `<topic>/<site>` (docs/MQTT.md).
//!
//! Each thing has one JSON topic, and a scalar topic beside it for each value that a dashboard picks alone. Counters
//! that run by themselves (ages in seconds, seconds of a lease) stay out: they would make every topic change each second.

use crate::status::{Alarm, CircuitStatus, EvseStatus, InverterStatus, Severity, Status};
use crate::units::{Amps, PerPhase, Phase};
use serde_json::{Value, json};

/// Longest sentence that is published, in characters: Home Assistant drops a text state beyond 255 characters.
const WORDS_MOST: usize = 250;

/// A topic below the base, and what it says. An empty payload: not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Below the base, such as `evse/left/state`.
    pub path: String,
    /// JSON or a bare value.
    pub payload: String,
    /// Listeners take silence here for a loss: repeated from time to time while its reading is there.
    pub is_live: bool,
}

/// All topics but the alarms, whose number changes.
pub fn topics(status: &Status) -> Vec<Topic> {
    let phases = &Phase::ALL[..usize::from(status.phases).clamp(1, 3)];
    let grid = status.circuits.first().map(|root| grid(root, phases));
    let circuits = status.circuits.iter().map(|circuit| circuit_state(circuit, phases));
    let evses = status.evses.iter().flat_map(|evse| self::evse(evse, phases));
    let inverters = status.inverters.iter().flat_map(inverter);
    let rest = [policy(status), alarms(&status.alarms)];
    grid.into_iter().flatten().chain(circuits).chain(evses).chain(inverters).chain(rest).collect()
}

/// An alarm's own topic, below the base.
pub fn alarm(alarm: &Alarm) -> (String, String) {
    let payload = json!({
        "severity": severity(alarm.severity),
        "text": shortened(&alarm.text),
        "since": alarm.since.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    (format!("alarm/{}", alarm.id), payload.to_string())
}

fn grid(root: &CircuitStatus, phases: &[Phase]) -> Vec<Topic> {
    let payload = json!({
        "power_w": root.power_w,
        "current_a": by_phase(root.load_a.as_ref(), phases),
        "house_a": by_phase(root.house_a.as_ref(), phases),
        "cars_a": by_phase(Some(&root.cars_a), phases),
        "headroom_a": by_phase(root.headroom_a.as_ref(), phases),
        "limit_a": by_phase(Some(&root.limit_a), phases),
        "freshness": root.freshness,
    });
    let is_live = matches!(root.freshness.as_str(), "fresh" | "stale");
    let mut topics = vec![Topic { is_live, ..topic("site/grid", &payload) }];
    topics.push(scalar("site/grid/power_w", root.power_w.map_or(Value::Null, Value::from)));
    for phase in phases {
        let cars = Some(root.cars_a);
        let values =
            [("current_a", root.load_a), ("house_a", root.house_a), ("cars_a", cars), ("headroom_a", root.headroom_a)];
        for (key, currents) in values {
            let path = format!("site/grid/{}/{key}", lower(*phase));
            topics.push(scalar(&path, currents.map_or(Value::Null, |currents| tenths(currents[*phase]))));
        }
    }
    topics
}

fn circuit_state(circuit: &CircuitStatus, phases: &[Phase]) -> Topic {
    let payload = json!({
        "name": circuit.name,
        "freshness": circuit.freshness,
        "limit_a": by_phase(Some(&circuit.limit_a), phases),
        "margin_a": by_phase(Some(&circuit.margin_a), phases),
        "load_a": by_phase(circuit.load_a.as_ref(), phases),
        "house_a": by_phase(circuit.house_a.as_ref(), phases),
        "cars_a": by_phase(Some(&circuit.cars_a), phases),
        "headroom_a": by_phase(circuit.headroom_a.as_ref(), phases),
        "power_w": circuit.power_w,
    });
    topic(&format!("circuit/{}/state", circuit.id), &payload)
}

fn evse(evse: &EvseStatus, phases: &[Phase]) -> Vec<Topic> {
    let words = shortened(&evse.words);
    // Down to a hundredth: a total that is rounded up could seem to fall.
    let session_kwh = evse.session_kwh.map(|kwh| (kwh * 100.0).floor() / 100.0);
    let payload = json!({
        "name": evse.name,
        "circuit": evse.circuit,
        "online": evse.online,
        "plug": evse.plug,
        "setpoint_a": tenths(evse.setpoint_a),
        "draw_a": by_phase(Some(&evse.draw_a), phases),
        "is_measured": evse.is_measured,
        "reason": evse.reason,
        "words": words,
        "class": evse.class,
        "alias": evse.alias,
        "priority": evse.priority,
        "is_boosted": evse.is_boosted,
        "mode": evse.mode,
        "session_min": evse.session_s.map(|seconds| seconds / 60),
        "session_kwh": session_kwh,
        "fallback_a": tenths(evse.fallback_a),
    });
    let base = format!("evse/{}", evse.id);
    let mut topics = vec![
        topic(&format!("{base}/state"), &payload),
        scalar(&format!("{base}/online"), evse.online.into()),
        scalar(&format!("{base}/plug"), evse.plug.clone().into()),
        scalar(&format!("{base}/setpoint_a"), tenths(evse.setpoint_a)),
        scalar(&format!("{base}/reason"), evse.reason.clone().into()),
        scalar(&format!("{base}/words"), words.into()),
        scalar(&format!("{base}/mode"), evse.mode.clone().into()),
        scalar(&format!("{base}/session_kwh"), session_kwh.map_or(Value::Null, Value::from)),
    ];
    for phase in phases {
        topics.push(scalar(&format!("{base}/{}/draw_a", lower(*phase)), tenths(evse.draw_a[*phase])));
    }
    topics
}

fn inverter(inverter: &InverterStatus) -> [Topic; 2] {
    let base = format!("inverter/{}", inverter.id);
    let payload = json!({ "name": inverter.name, "power_w": inverter.power_w });
    [
        Topic { is_live: inverter.power_w.is_some(), ..topic(&format!("{base}/state"), &payload) },
        scalar(&format!("{base}/power_w"), inverter.power_w.map_or(Value::Null, Value::from)),
    ]
}

fn policy(status: &Status) -> Topic {
    let policy = &status.policy;
    let payload = json!({
        "source": policy.source,
        "state": policy.state,
        "version": policy.version,
        "age_min": policy.age_s.map(|seconds| seconds / 60),
        "refused": policy.refused.as_deref().map(shortened),
    });
    topic("policy", &payload)
}

/// How many, and the worst of them: what a single lamp on a dashboard needs.
fn alarms(alarms: &[Alarm]) -> Topic {
    let worst = alarms.first();
    let payload = json!({
        "count": alarms.len(),
        "severity": worst.map(|alarm| severity(alarm.severity)),
        "text": worst.map(|alarm| shortened(&alarm.text)),
    });
    topic("alarms", &payload)
}

fn topic(path: &str, payload: &Value) -> Topic {
    Topic { path: path.to_owned(), payload: payload.to_string(), is_live: false }
}

fn scalar(path: &str, value: Value) -> Topic {
    let payload = match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    Topic { path: path.to_owned(), payload, is_live: false }
}

/// Always three values; `null` where nothing is known or the site has no such phase.
fn by_phase(currents: Option<&PerPhase<Amps>>, phases: &[Phase]) -> Value {
    let one = |phase: Phase| currents.filter(|_| phases.contains(&phase)).map(|currents| tenths(currents[phase]));
    json!(Phase::ALL.map(one))
}

/// Amperes rounded to a tenth: finer steps are noise to a reader, and each would be a message.
fn tenths(amps: Amps) -> Value {
    let tenths = (f64::from(amps.as_milli()) / 100.0).round() as i64;
    if tenths % 10 == 0 { json!(tenths / 10) } else { json!(tenths as f64 / 10.0) }
}

/// The phase as it stands in topics.
pub fn lower(phase: Phase) -> &'static str {
    match phase {
        Phase::L1 => "l1",
        Phase::L2 => "l2",
        Phase::L3 => "l3",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(WORDS_MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::PolicyStatus;

    #[test]
    fn the_grid_is_told_as_json_and_value_by_value() {
        let topics = topics(&status());
        let grid = payload(&topics, "site/grid");
        let expected = json!({
            "power_w": 5750, "current_a": [9.1, 8, 8], "house_a": [3, 2, 2], "cars_a": [6, 6, 6],
            "headroom_a": [-1, 16, 16], "limit_a": [25, 25, 25], "freshness": "fresh",
        });
        assert_eq!(serde_json::from_str::<Value>(grid).unwrap(), expected);
        assert_eq!(payload(&topics, "site/grid/l1/current_a"), "9.1");
        assert_eq!(payload(&topics, "site/grid/l1/headroom_a"), "-1");
        assert_eq!(payload(&topics, "site/grid/power_w"), "5750");
        assert!(topics.iter().find(|topic| topic.path == "site/grid").unwrap().is_live);
    }

    #[test]
    fn what_is_not_known_is_null_in_json_and_empty_alone_but_never_zero() {
        let mut status = status();
        let root = &mut status.circuits[0];
        (root.load_a, root.house_a, root.headroom_a, root.power_w) = (None, None, None, None);
        root.freshness = "lost".into();
        let topics = topics(&status);
        let grid: Value = serde_json::from_str(payload(&topics, "site/grid")).unwrap();
        assert_eq!((&grid["current_a"], &grid["power_w"]), (&json!([null, null, null]), &Value::Null));
        assert_eq!(payload(&topics, "site/grid/l2/current_a"), "");
        assert!(topics.iter().all(|topic| !topic.is_live || topic.path.starts_with("inverter")));
    }

    #[test]
    fn a_site_of_one_phase_has_no_topics_for_the_others() {
        let topics = topics(&Status { phases: 1, ..status() });
        assert!(topics.iter().all(|topic| !topic.path.contains("l2") && !topic.path.contains("l3")));
        let grid: Value = serde_json::from_str(payload(&topics, "site/grid")).unwrap();
        assert_eq!(grid["house_a"], json!([3, null, null]));
    }

    #[test]
    fn an_evse_says_what_it_may_take_and_why() {
        let topics = topics(&status());
        let state: Value = serde_json::from_str(payload(&topics, "evse/left/state")).unwrap();
        assert_eq!((&state["setpoint_a"], &state["reason"]), (&json!(9), &json!("main_fuse")));
        assert_eq!((&state["session_min"], &state["session_kwh"]), (&json!(2), &json!(3.29)), "rounded down");
        assert_eq!(payload(&topics, "evse/left/words"), "L1 of Main fuse (25 A) is full");
        assert_eq!(payload(&topics, "evse/left/online"), "true");
        assert_eq!(payload(&topics, "evse/left/l3/draw_a"), "6");
    }

    #[test]
    fn nothing_changes_by_the_mere_passing_of_seconds() {
        let first = status();
        let mut second = status();
        second.at += chrono::TimeDelta::seconds(3);
        second.uptime_s += 3;
        second.circuits[0].age_s = Some(0.9);
        second.evses[0].session_s = Some(163);
        second.evses[0].lease_s = Some(97);
        second.policy.age_s = Some(65);
        assert_eq!(topics(&first), topics(&second));
    }

    #[test]
    fn every_path_is_a_topic_of_its_own() {
        let topics = topics(&status());
        let paths: std::collections::BTreeSet<_> = topics.iter().map(|topic| topic.path.as_str()).collect();
        assert_eq!(paths.len(), topics.len());
        assert!(paths.iter().all(|path| rumqttc::valid_topic(path)));
    }

    #[test]
    fn an_alarm_is_told_alone_and_in_the_sum() {
        let alarm = Alarm {
            id: "meter-grid-lost".into(),
            severity: Severity::Error,
            text: "é".repeat(300),
            since: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        };
        let (path, payload_alone) = super::alarm(&alarm);
        assert_eq!(path, "alarm/meter-grid-lost");
        let alone: Value = serde_json::from_str(&payload_alone).unwrap();
        assert_eq!((&alone["severity"], &alone["since"]), (&json!("error"), &json!("2023-11-14T22:13:20Z")));
        assert_eq!(alone["text"].as_str().unwrap().chars().count(), WORDS_MOST);
        let topics = topics(&Status { alarms: vec![alarm], ..status() });
        let sum: Value = serde_json::from_str(payload(&topics, "alarms")).unwrap();
        assert_eq!((&sum["count"], &sum["severity"]), (&json!(1), &json!("error")));
    }

    #[test]
    fn amperes_are_rounded_to_tenths_without_a_negative_zero() {
        let said = |milli| tenths(Amps::milli(milli)).to_string();
        assert_eq!([said(-40), said(9_960), said(9_140), said(-1_550)], ["0", "10", "9.1", "-1.6"]);
    }

    fn payload<'a>(topics: &'a [Topic], path: &str) -> &'a str {
        &topics.iter().find(|topic| topic.path == path).unwrap_or_else(|| panic!("no topic {path}")).payload
    }

    fn status() -> Status {
        let whole = |a, b, c| PerPhase([Amps::whole(a), Amps::whole(b), Amps::whole(c)]);
        let root = CircuitStatus {
            id: "main".into(),
            name: "Main fuse".into(),
            freshness: "fresh".into(),
            age_s: Some(0.1),
            limit_a: whole(25, 25, 25),
            margin_a: whole(1, 1, 1),
            load_a: Some(PerPhase([Amps::milli(9_130), Amps::whole(8), Amps::whole(8)])),
            house_a: Some(whole(3, 2, 2)),
            cars_a: whole(6, 6, 6),
            headroom_a: Some(whole(-1, 16, 16)),
            power_w: Some(5750),
            ..CircuitStatus::default()
        };
        let evse = EvseStatus {
            id: "left".into(),
            name: "Left".into(),
            circuit: "main".into(),
            online: true,
            plug: "charging".into(),
            setpoint_a: Amps::whole(9),
            draw_a: whole(6, 6, 6),
            is_measured: true,
            reason: "main_fuse".into(),
            words: "L1 of Main fuse (25 A) is full".into(),
            session_s: Some(160),
            session_kwh: Some(3.2999),
            lease_s: Some(100),
            ..EvseStatus::default()
        };
        let inverter = InverterStatus { id: "roof".into(), name: "Roof".into(), power_w: Some(2100), age_s: Some(1.0) };
        Status {
            site: "home".into(),
            phases: 3,
            circuits: vec![root],
            evses: vec![evse],
            inverters: vec![inverter],
            policy: PolicyStatus { source: "cloud".into(), age_s: Some(62), ..PolicyStatus::default() },
            ..Status::default()
        }
    }
}
