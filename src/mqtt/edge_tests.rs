//! Does the edge do right with what it hears? Without a broker, told the time.

use super::*;
use crate::control::observation::{Link, Report};
use crate::policy::Policy;
use crate::site::{Circuit, CircuitId, Evse, LapseClass, Rotation, Site, Step, Tuning, Wiring};
use crate::status::{Alarm, CircuitStatus, EvseStatus, Severity};
use crate::units::{Amps, PerPhase, Phase};
use serde_json::Value;

#[test]
fn at_each_connection_everything_is_said_again_and_the_setpoint_first() {
    let mut edge = edge();
    edge.show(Arc::new(status()));
    edge.order(order(1), at(0));
    edge.tick(at(0));
    let first = offered(&mut edge, at(0));
    assert_eq!(first[0].0, "chargers/left/setpoint");
    let again_from = |edge: &mut Edge| {
        edge.disconnected(at(5));
        edge.connected();
        offered(edge, at(6))
    };
    let again = again_from(&mut edge);
    assert_eq!(again.len(), first.len());
    assert_eq!(again[1..], first[1..]);
    assert!(offered(&mut edge, at(7)).is_empty());
}

#[test]
fn every_entity_reads_a_topic_that_is_published_and_a_key_that_is_there() {
    let mut edge = edge();
    edge.show(Arc::new(status()));
    edge.tick(at(0));
    let all: BTreeMap<String, String> = offered(&mut edge, at(0)).into_iter().collect();
    let mut entities = 0;
    for (_, announcement) in all.iter().filter(|(topic, _)| topic.starts_with("homeassistant/")) {
        let announcement: Value = serde_json::from_str(announcement).unwrap();
        assert_eq!(all[announcement["availability_topic"].as_str().unwrap()], "online");
        for entity in announcement["components"].as_object().unwrap().values() {
            if entity["platform"] == "button" {
                continue;
            }
            let topic = entity["state_topic"].as_str().unwrap();
            let state: Value = serde_json::from_str(&all[topic]).unwrap();
            let template = entity["value_template"].as_str().unwrap();
            let key = template.split("value_json.").nth(1).unwrap().split(['[', ' ', '}']).next().unwrap();
            assert!(state.get(key).is_some(), "{topic} has no {key}");
            entities += 1;
        }
    }
    assert_eq!(entities, 12 + 3 + 8, "4 for each phase and 3 of the site, 8 of the EVSE");
}

#[test]
fn the_status_is_shown_once_a_second_and_only_where_it_changed() {
    let mut edge = edge();
    edge.show(Arc::new(status()));
    edge.tick(at(0));
    offered(&mut edge, at(0));
    edge.show(Arc::new(Status { evses: Vec::new(), ..status() }));
    let mut second = status();
    second.evses[0].setpoint_a = Amps::whole(7);
    edge.show(Arc::new(second));
    edge.tick(Moment::from_millis(999));
    assert!(offered(&mut edge, at(0)).is_empty());
    assert_eq!(edge.deadline(), Some(at(1)));
    edge.tick(at(1));
    let changed: Vec<_> = offered(&mut edge, at(1)).into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(changed, ["headroom/home/evse/left/setpoint_a", "headroom/home/evse/left/state"]);
    assert_eq!(edge.deadline(), None);
}

#[test]
fn a_steady_metered_value_is_repeated_before_listeners_call_it_expired() {
    let mut edge = edge();
    let mut heard = Vec::new();
    for second in 0..60 {
        edge.show(Arc::new(status()));
        edge.tick(at(second));
        let grid = offered(&mut edge, at(second)).into_iter().filter(|(topic, _)| topic == "headroom/home/site/grid");
        heard.extend(grid.map(|_| second));
    }
    assert_eq!(heard, [0, 20, 40]);
}

#[test]
fn a_lost_meter_or_a_control_that_hangs_is_not_covered_up_by_repeats() {
    let mut edge = edge();
    edge.show(Arc::new(status()));
    edge.tick(at(0));
    offered(&mut edge, at(0));
    edge.tick(at(30));
    assert!(offered(&mut edge, at(30)).is_empty(), "no new status, nothing to repeat");
    let mut lost = status();
    lost.circuits[0].freshness = "lost".into();
    edge.show(Arc::new(lost.clone()));
    edge.tick(at(31));
    offered(&mut edge, at(31));
    edge.show(Arc::new(lost));
    edge.tick(at(90));
    assert!(offered(&mut edge, at(90)).is_empty());
}

#[test]
fn an_alarm_that_is_over_is_cleared_and_so_is_one_of_an_earlier_process() {
    let mut edge = edge();
    let alarm = Alarm {
        id: "hot".into(),
        severity: Severity::Warning,
        text: "hot".into(),
        since: chrono::DateTime::UNIX_EPOCH,
    };
    edge.show(Arc::new(Status { alarms: vec![alarm], ..status() }));
    edge.tick(at(0));
    offered(&mut edge, at(0));
    edge.hear("headroom/home/alarm/hot", b"{}", true, at(1));
    assert!(offered(&mut edge, at(1)).is_empty(), "ours stands");
    edge.hear("headroom/home/alarm/old", b"{}", true, at(1));
    assert_eq!(offered(&mut edge, at(1)), [("headroom/home/alarm/old".to_owned(), String::new())]);
    edge.show(Arc::new(status()));
    edge.tick(at(2));
    assert!(offered(&mut edge, at(2)).contains(&("headroom/home/alarm/hot".to_owned(), String::new())));
}

#[test]
fn births_of_home_assistant_repeat_everything_at_most_once_a_second() {
    let mut edge = edge();
    edge.tick(at(0));
    let all = offered(&mut edge, at(0)).len();
    edge.hear("homeassistant/status", b"online", true, at(1));
    edge.tick(at(1));
    assert!(offered(&mut edge, at(1)).is_empty(), "a retained one is older than our own connection");
    let mut repeated = 0;
    for millis in 2_000..2_900 {
        edge.hear("homeassistant/status", b"online", false, Moment::from_millis(millis));
        edge.tick(Moment::from_millis(millis));
        repeated += offered(&mut edge, at(2)).len();
    }
    assert_eq!(repeated, all);
}

#[test]
fn a_charger_is_reported_under_its_own_evse_and_all_go_down_with_the_broker() {
    let mut edge = edge();
    edge.hear("chargers/left/status", b"online", false, at(1));
    let [Word::Report(EvseId(0), Report { link: Link::Up { .. }, .. })] = edge.words()[..] else { panic!() };
    assert!(edge.words().is_empty());
    edge.disconnected(at(2));
    let [Word::Report(EvseId(0), Report { link: Link::Down { .. }, .. })] = edge.words()[..] else { panic!() };
}

#[test]
fn no_token_is_ever_published() {
    let mut edge = edge();
    edge.hear("chargers/left/state", br#"{"plug":"charging","session":"S","token":"04A2B3C4"}"#, false, at(0));
    edge.show(Arc::new(status()));
    edge.tick(at(0));
    assert!(offered(&mut edge, at(0)).iter().all(|(_, payload)| !payload.contains("04A2")));
}

fn offered(edge: &mut Edge, now: Moment) -> Vec<(String, String)> {
    let mut all = Vec::new();
    edge.offer(now, |message| {
        all.push((message.topic.to_owned(), message.payload.to_owned()));
        true
    });
    all
}

fn edge() -> Edge {
    let evse = Evse {
        id: "left".into(),
        name: "Left".into(),
        circuit: CircuitId(0),
        rotation: Rotation::three(Phase::ALL),
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::whole(6),
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(13),
        lapse: LapseClass::A,
        metering: None,
    };
    let root = Circuit {
        id: "main".into(),
        name: "Main fuse".into(),
        parent: None,
        limit: PerPhase::all(Amps::whole(25)),
        margin: PerPhase::all(Amps::whole(1)),
        meter: None,
        other_load: PerPhase::all(Amps::ZERO),
    };
    let site = Site {
        id: "home".into(),
        name: "Home".into(),
        wiring: Wiring::Star,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::all(Amps::ZERO),
        circuits: vec![root],
        evses: vec![evse],
        meters: Vec::new(),
        tuning: Tuning::default(),
    };
    let mqtt = MqttConfig {
        host: "127.0.0.1".into(),
        port: 1883,
        username: None,
        password: None,
        client_id: "headroom-home".into(),
        topic: "headroom".into(),
        discovery: Some("homeassistant".into()),
        commands: false,
    };
    let config = Config {
        site,
        state_dir: "/nonexistent".into(),
        recorder: None,
        prepared: None,
        meters: Vec::new(),
        inverters: Vec::new(),
        chargers: vec![ChargerConfig::Mqtt { topic: "chargers/left".into() }],
        ocpp: None,
        mqtt: None,
        cloud: None,
        http: None,
        policy: Policy::open(1),
    };
    Edge::new(&config, &mqtt, 7)
}

fn status() -> Status {
    let root = CircuitStatus { id: "main".into(), freshness: "fresh".into(), ..CircuitStatus::default() };
    let evse = EvseStatus { id: "left".into(), setpoint_a: Amps::whole(9), ..EvseStatus::default() };
    Status { site: "home".into(), phases: 3, circuits: vec![root], evses: vec![evse], ..Status::default() }
}

fn order(number: u64) -> Order {
    let lease = Duration::from_secs(120);
    Order { evse: EvseId(0), number, amps: Amps::whole(9), lease, fallback: Amps::whole(6) }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}
