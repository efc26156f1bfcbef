//! Does the MQTT edge keep its word at a real broker? Over loopback: setpoints and their confirmation, last wills,
//! a broker that is cut off, replaced or never there, the status topics, and Home Assistant's discovery.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test falls over where something is missing")]

#[path = "mqtt/discovery.rs"]
mod discovery;
mod line;
#[path = "mqtt/world.rs"]
mod world;

use headroom::clock::Clock;
use headroom::control::Order;
use headroom::control::observation::{Accepted, Link, Plug, Report};
use headroom::inbox::{Command, Inbox, Outbox};
use headroom::mqtt;
use headroom::policy::Mode;
use headroom::site::EvseId;
use headroom::status::{Alarm, CircuitStatus, EvseStatus, Severity, Status};
use headroom::time::Duration;
use headroom::units::{Amps, PerPhase};
use line::Line;
use rumqttc::{LastWill, Publish, QoS};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use world::{PATIENCE, Peer, broker, config};

const LEFT: EvseId = EvseId(0);

#[tokio::test]
async fn a_charger_gets_its_setpoint_confirms_it_and_is_missed_when_it_dies() {
    let broker = broker();
    let mut charger = charger_at(broker).await;
    charger.say("chargers/left/status", "online", true).await;
    let gateway = Gateway::at(broker);
    let report = gateway.report(|report| matches!(report.link, Link::Up { .. })).await;
    assert_eq!((report.epoch, report.plug), (1, Plug::Unknown));

    gateway.outbox.send(order(1, 9));
    let setpoint = charger.hear_on("chargers/left/setpoint").await;
    assert!(!setpoint.retain);
    assert_eq!(setpoint.qos, QoS::AtLeastOnce);
    assert_eq!(json_of(&setpoint.payload), json!({"number":1,"current_a":9,"valid_s":120,"fallback_a":6}));

    charger.say("chargers/left/state", STATE, true).await;
    let report = gateway.report(|report| report.answer.is_some()).await;
    assert_eq!(report.answer.map(|answer| (answer.number, answer.verdict)), Some((1, Accepted::Yes)));
    assert_eq!(report.plug, Plug::Charging);
    assert_eq!(report.measured.unwrap().current, PerPhase([Amps::milli(8_900), Amps::whole(9), Amps::whole(9)]));
    assert_eq!(report.session.unwrap().token.as_deref(), Some("04A2B3C4"));

    drop(charger);
    let report = gateway.report(|report| matches!(report.link, Link::Down { .. })).await;
    assert_eq!(report.plug, Plug::Charging, "what was known of the car still holds");
}

#[tokio::test]
async fn a_retained_state_tells_of_the_plug_but_is_no_measurement() {
    let broker = broker();
    let charger = charger_at(broker).await;
    charger.say("chargers/left/state", STATE, true).await;
    let watcher = Peer::at(broker, "watcher", &["chargers/left/state"]).await;
    let gateway = Gateway::at(broker);
    let report = gateway.report(|report| report.plug == Plug::Charging).await;
    assert!(matches!(report.link, Link::Up { .. }));
    assert_eq!((report.measured, report.answer), (None, None));
    charger.say("chargers/left/state", STATE, true).await;
    gateway.report(|report| report.measured.is_some()).await;
    drop(watcher);
}

#[tokio::test]
async fn a_broker_that_comes_back_empty_is_told_everything_again() {
    let first = broker();
    let line = Line::to(Some(first)).await;
    let charger = charger_at(first).await;
    charger.say("chargers/left/status", "online", true).await;
    let gateway = Gateway::at(line.address);
    gateway.status.send_replace(Arc::new(status(3)));
    gateway.report(|report| report.epoch == 1).await;
    gateway.outbox.send(order(1, 9));
    sleep(Duration::from_millis(1_200)).await;

    line.lead_to(None);
    gateway.report(|report| matches!(report.link, Link::Down { .. })).await;
    gateway.outbox.send(order(2, 7));

    let second = broker();
    let mut watcher = Peer::at(second, "watcher", &["#"]).await;
    sleep(Duration::from_millis(1_100)).await;
    line.lead_to(Some(second));
    let mut topics = std::collections::BTreeMap::new();
    while !["chargers/left/setpoint", "headroom/home/status", "headroom/home/site/grid", "headroom/home/policy"]
        .iter()
        .chain(&["homeassistant/device/headroom_home/config", "homeassistant/device/headroom_home_left/config"])
        .all(|topic| topics.contains_key(*topic))
    {
        let publish = watcher.hear(|_| true).await;
        topics.insert(publish.topic.clone(), publish.payload.clone());
    }
    assert_eq!(topics["headroom/home/status"], "online");
    let setpoint = json_of(&topics["chargers/left/setpoint"]);
    assert_eq!((&setpoint["number"], &setpoint["current_a"]), (&json!(2), &json!(7)), "the newest order alone");
    let valid = setpoint["valid_s"].as_u64().unwrap();
    assert!((100..120).contains(&valid), "what is left of the lease: {valid} s");

    watcher.say("chargers/left/status", "online", false).await;
    let report = gateway.report(|report| matches!(report.link, Link::Up { .. })).await;
    assert_eq!(report.epoch, 2);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_not_flooded() {
    let line = Line::to(None).await;
    let gateway = Gateway::at(line.address);
    sleep(Duration::from_secs(4)).await;
    let dialled = line.dialled.load(Ordering::Relaxed);
    assert!((2..=5).contains(&dialled), "dialled {dialled} times in 4 s");
    assert_eq!(gateway.inbox.read().reports[0].link, Link::Never);
    gateway.stop().await;
}

#[tokio::test]
async fn a_broker_that_takes_us_and_drops_us_at_once_is_asked_less_and_less_often() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::at(listener.local_addr().unwrap());
    let mut taken = 0;
    let _ = timeout(Duration::from_secs(4), async {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut connect = [0; 512];
            assert!(socket.read(&mut connect).await.unwrap() > 0);
            socket.write_all(&[0x20, 2, 0, 0]).await.unwrap();
            let mut subscribe = [0; 1];
            socket.read_exact(&mut subscribe).await.unwrap();
            assert_eq!(subscribe, [0x82], "it subscribes at each connection");
            taken += 1;
        }
    })
    .await;
    assert!((2..=5).contains(&taken), "taken {taken} times in 4 s");
    gateway.stop().await;
}

#[tokio::test]
async fn status_is_retained_changes_only_and_comes_once_a_second() {
    let broker = broker();
    let mut watcher = Peer::at(broker, "watcher", &["headroom/home/#"]).await;
    let gateway = Gateway::at(broker);
    watcher.hear_on("headroom/home/status").await;
    let clock = Clock::start();
    for house in 0..60 {
        gateway.status.send_replace(Arc::new(status(house)));
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(1_100)).await;
    let all = watcher.listen(Duration::from_millis(200)).await;
    let on = |topic: &str| all.iter().filter(|publish| publish.topic == topic).collect::<Vec<_>>();
    let grid = on("headroom/home/site/grid");
    let most = clock.now().as_millis() as usize / 1000 + 1;
    assert!((3..=most).contains(&grid.len()), "{} pictures of the grid; {most} are the most", grid.len());
    assert_eq!(json_of(&grid.last().unwrap().payload)["house_a"], json!([59, 0, 0]), "the newest wins");
    assert_eq!(on("headroom/home/evse/left/state").len(), 1, "unchanged ones are told once");

    let mut late = Peer::at(broker, "late", &["headroom/home/site/grid", "headroom/home/site/grid/l1/house_a"]).await;
    let scalar = late.hear_on("headroom/home/site/grid/l1/house_a").await;
    assert_eq!((scalar.retain, &scalar.payload[..]), (true, &b"59"[..]));
}

#[tokio::test]
async fn an_alarm_is_retained_until_it_is_cleared_even_by_a_later_process() {
    let broker = broker();
    let mut watcher = Peer::at(broker, "watcher", &["headroom/home/alarm/+"]).await;
    watcher.say("headroom/home/alarm/of-an-earlier-run", "{}", true).await;
    watcher.hear_on("headroom/home/alarm/of-an-earlier-run").await;
    let gateway = Gateway::at(broker);
    assert!(watcher.hear_on("headroom/home/alarm/of-an-earlier-run").await.payload.is_empty());
    let alarm = Alarm {
        id: "meter-grid-lost".into(),
        severity: Severity::Error,
        text: "meter \"grid\": no answer".into(),
        since: chrono::DateTime::UNIX_EPOCH,
    };
    gateway.status.send_replace(Arc::new(Status { alarms: vec![alarm], ..status(1) }));
    let raised = watcher.hear_on("headroom/home/alarm/meter-grid-lost").await;
    assert_eq!(json_of(&raised.payload)["severity"], "error");
    gateway.status.send_replace(Arc::new(status(1)));
    assert!(watcher.hear_on("headroom/home/alarm/meter-grid-lost").await.payload.is_empty());
}

#[tokio::test]
async fn an_orderly_stop_says_offline_and_a_crash_lets_the_last_will_say_it() {
    let broker = broker();
    let mut watcher = Peer::at(broker, "watcher", &["headroom/home/status"]).await;
    let gateway = Gateway::at(broker);
    assert_eq!(watcher.hear_on("headroom/home/status").await.payload, "online");
    gateway.stop().await;
    assert_eq!(watcher.hear_on("headroom/home/status").await.payload, "offline");

    let gateway = Gateway::at(broker);
    assert_eq!(watcher.hear_on("headroom/home/status").await.payload, "online");
    gateway.task.abort();
    assert_eq!(watcher.hear_on("headroom/home/status").await.payload, "offline");
}

#[tokio::test]
async fn when_home_assistant_starts_discovery_and_states_are_told_again() {
    let broker = broker();
    let mut home_assistant = Peer::at(broker, "ha", &["homeassistant/device/+/config", "headroom/home/#"]).await;
    let gateway = Gateway::at(broker);
    gateway.status.send_replace(Arc::new(status(3)));
    let picture = |heard: Vec<Publish>| -> std::collections::BTreeMap<_, _> {
        heard.into_iter().map(|publish| (publish.topic, publish.payload)).collect()
    };
    let first = picture(home_assistant.listen(Duration::from_millis(1_500)).await);
    assert!(first.contains_key("headroom/home/site/grid"));
    assert!(first.contains_key("homeassistant/device/headroom_home_left/config"));
    assert!(home_assistant.listen(Duration::from_millis(300)).await.is_empty());
    home_assistant.say("homeassistant/status", "online", false).await;
    assert_eq!(picture(home_assistant.listen(Duration::from_millis(1_500)).await), first);
}

#[tokio::test]
async fn what_a_hostile_publisher_sends_costs_nothing_but_itself() {
    let broker = broker();
    let charger = charger_at(broker).await;
    charger.say("chargers/left/status", "online", true).await;
    let gateway = Gateway::at(broker);
    gateway.report(|report| report.epoch == 1).await;
    for junk in ["", "{", "[]", "null", &"x".repeat(100_000), r#"{"current_a":[1e400]}"#, r#"{"number":"ten"}"#] {
        charger.say("chargers/left/state", junk, true).await;
        charger.say("chargers/left/status", junk, true).await;
        charger.say("homeassistant/status", junk, false).await;
    }
    charger.say("chargers/left/state", STATE, false).await;
    let report = gateway.report(|report| report.measured.is_some()).await;
    assert_eq!(report.epoch, 1, "the connection has stood");
}

#[tokio::test]
async fn people_boost_pause_and_choose_the_mode_where_the_installer_has_allowed_it_and_not_by_what_was_left_at_the_broker()
 {
    let broker = broker();
    let person = Peer::at(broker, "person", &[]).await;
    person.say("headroom/home/evse/left/pause/set", "ON", true).await;
    let gateway = Gateway::at(broker);
    let heard = |count: usize| {
        let inbox = gateway.inbox.clone();
        async move {
            let mut all = Vec::new();
            while all.len() < count {
                sleep(Duration::from_millis(20)).await;
                all.extend(inbox.commands());
            }
            all
        }
    };
    // Until the gateway has subscribed nobody hears what is said: said until it is heard.
    let first = loop {
        person.say("headroom/home/evse/left/boost/set", "PRESS", false).await;
        if let Ok(first) = timeout(Duration::from_millis(300), heard(1)).await {
            break first;
        }
    };
    assert!(
        first.iter().all(|command| *command == Command::Boost(LEFT)),
        "what was left there means nothing: {first:?}"
    );
    sleep(Duration::from_millis(200)).await;
    gateway.inbox.commands();
    for (command, word) in
        [("pause", "on"), ("pause", "ON"), ("boost", "NOW"), ("pause", "OFF"), ("mode", "Solar"), ("mode", "solar")]
    {
        person.say(&format!("headroom/home/evse/left/{command}/set"), word, false).await;
    }
    let all = timeout(PATIENCE, heard(3)).await.unwrap();
    assert_eq!(all, [Command::Pause(LEFT, true), Command::Pause(LEFT, false), Command::Mode(LEFT, Mode::Solar)]);
}

#[tokio::test]
async fn without_a_broker_in_the_configuration_nothing_runs() {
    let config = headroom::config::Config { mqtt: None, ..config(SocketAddr::from(([127, 0, 0, 1], 1))) };
    let (_, status) = watch::channel(Arc::new(Status::default()));
    let (_stop, stopped) = watch::channel(false);
    let (inbox, outbox) = (Inbox::new(&config.site, 0), Outbox::new(&config.site));
    assert!(mqtt::spawn(&config, Clock::start(), inbox, &outbox, status, stopped).is_none());
}

const STATE: &str = r#"{"online":true,"plug":"charging","session":"abc","token":"04A2B3C4","current_a":[8.9,9,9],
    "power_w":6190,"energy_kwh":1.5,"setpoint_a":9,"number":1}"#;

struct Gateway {
    inbox: Inbox,
    outbox: Outbox,
    status: watch::Sender<Arc<Status>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Gateway {
    fn at(broker: SocketAddr) -> Self {
        let config = config(broker);
        let (inbox, outbox) = (Inbox::new(&config.site, 0), Outbox::new(&config.site));
        let (status, pictures) = watch::channel(Arc::new(Status::default()));
        let (stop, stopped) = watch::channel(false);
        let task = mqtt::spawn(&config, Clock::start(), inbox.clone(), &outbox, pictures, stopped).unwrap();
        Gateway { inbox, outbox, status, stop, task }
    }

    async fn report(&self, is_it: impl Fn(&Report) -> bool) -> Report {
        let found = async {
            loop {
                let report = self.inbox.read().reports[LEFT.0].clone();
                if is_it(&report) {
                    return report;
                }
                self.inbox.heard().await;
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("not so: {:?}", self.inbox.read().reports[LEFT.0]))
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        timeout(Duration::from_millis(2_000), self.task).await.expect("it ends in time").unwrap();
    }
}

async fn charger_at(broker: SocketAddr) -> Peer {
    let will = LastWill::new("chargers/left/status", "offline", QoS::AtLeastOnce, true);
    Peer::with_will(broker, "left", &["chargers/left/setpoint"], Some(will)).await
}

fn order(number: u64, amps: i32) -> Order {
    let lease = Duration::from_secs(120);
    Order { evse: LEFT, number, amps: Amps::whole(amps), lease, fallback: Amps::whole(6) }
}

fn status(house: i32) -> Status {
    let root = CircuitStatus {
        id: "main".into(),
        name: "Main fuse".into(),
        freshness: "fresh".into(),
        house_a: Some(PerPhase([Amps::whole(house), Amps::ZERO, Amps::ZERO])),
        ..CircuitStatus::default()
    };
    let evse = EvseStatus { id: "left".into(), name: "Left".into(), ..EvseStatus::default() };
    Status { site: "home".into(), phases: 3, circuits: vec![root], evses: vec![evse], ..Status::default() }
}

fn json_of(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap()
}
