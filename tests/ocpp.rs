//! Does the OCPP edge hold on real sockets? Chargers dial in over loopback with another WebSocket implementation.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use headroom::clock::Clock;
use headroom::config::{ChargerConfig, Config, OcppConfig, Secret};
use headroom::control::Order;
use headroom::control::observation::{Accepted, Link, Plug, Report};
use headroom::inbox::{Inbox, Outbox};
use headroom::ocpp::{self, Book};
use headroom::policy::Policy;
use headroom::site::{Circuit, CircuitId, Evse, EvseId, LapseClass, Rotation, Site, Step, Tuning, Wiring};
use headroom::units::{Amps, PerPhase, Phase};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longer than anything here takes on a busy machine, shorter than any timeout of the product.
const SOON: Duration = Duration::from_secs(5);

/// `left` is `HOME 1` with a password, `right` is `OPEN-2` without one.
struct Gateway {
    address: SocketAddr,
    server: JoinHandle<()>,
    inbox: Inbox,
    outbox: Outbox,
    saved: Arc<Mutex<Vec<Book>>>,
    _policy: watch::Sender<Arc<Policy>>,
}

impl Gateway {
    async fn start() -> Self {
        Self::start_with(Book::default()).await
    }

    async fn start_with(book: Book) -> Self {
        let config = config();
        let (inbox, outbox) = (Inbox::new(&config.site, 0), Outbox::new(&config.site));
        let (policy, policy_watch) = watch::channel(Arc::new(config.policy.clone()));
        let saved = Arc::new(Mutex::new(Vec::new()));
        let shelf = saved.clone();
        let save: ocpp::SaveBook = Arc::new(move |book: &Book| {
            shelf.lock().unwrap().push(book.clone());
            Ok(())
        });
        let (kept, stop) = (ocpp::Kept { book, save }, watch::channel(false).1);
        let served = ocpp::serve(&config, Clock::start(), inbox.clone(), &outbox, policy_watch, kept, stop);
        let (address, server) = served.await.unwrap();
        Gateway { address, server, inbox, outbox, saved, _policy: policy }
    }

    async fn dial(&self, path: &str, password: Option<&str>, protocol: Option<&str>) -> Result<Plugged, Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request()?;
        let headers = request.headers_mut();
        if let Some(password) = password {
            let credentials = base64::engine::general_purpose::STANDARD.encode(format!("HOME 1:{password}"));
            headers.insert("Authorization", format!("Basic {credentials}").parse().unwrap());
        }
        if let Some(protocol) = protocol {
            headers.insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        }
        let (socket, response) = timeout(SOON, tokio_tungstenite::connect_async(request)).await.unwrap()?;
        let protocol = response.headers().get("Sec-WebSocket-Protocol").map(|name| name.to_str().unwrap().to_owned());
        Ok(Plugged { socket, protocol })
    }

    async fn left(&self) -> Plugged {
        self.dial("/ocpp/HOME%201", Some("secret-of-left"), Some("ocpp1.6")).await.unwrap()
    }

    async fn right(&self) -> Plugged {
        self.dial("/ocpp/OPEN-2", None, Some("ocpp1.6")).await.unwrap()
    }

    fn order(&self, evse: usize, number: u64, amps: i32) {
        let lease = Duration::from_secs(120);
        let order = Order { evse: EvseId(evse), number, amps: Amps::milli(amps), lease, fallback: Amps::whole(6) };
        self.outbox.send(order);
    }

    /// The report of an EVSE once it is as wanted.
    async fn report(&self, evse: usize, is_wanted: impl Fn(&Report) -> bool) -> Report {
        let wait = async {
            loop {
                let report = self.inbox.read().reports[evse].clone();
                if is_wanted(&report) {
                    return report;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never came: {:?}", self.inbox.read().reports[evse]))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn config() -> Config {
    let evse = |id: &str| Evse {
        id: id.into(),
        name: id.into(),
        circuit: CircuitId(0),
        rotation: Rotation::three(Phase::ALL),
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::whole(6),
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(13),
        lapse: LapseClass::B,
        metering: Some(Duration::from_secs(10)),
    };
    let main = Circuit {
        id: "main".into(),
        name: "Main".into(),
        parent: None,
        limit: PerPhase::all(Amps::whole(25)),
        margin: PerPhase::all(Amps::whole(1)),
        meter: None,
        other_load: PerPhase::all(Amps::ZERO),
    };
    let charger = |identity: &str, password: Option<&str>| ChargerConfig::Ocpp {
        identity: identity.into(),
        connector: 1,
        password: password.map(|text| Secret(text.into())),
    };
    Config {
        site: Site {
            id: "home".into(),
            name: "Home".into(),
            wiring: Wiring::Star,
            primary: None,
            limits: Default::default(),
            house_worst: PerPhase::all(Amps::whole(10)),
            circuits: vec![main],
            evses: vec![evse("left"), evse("right")],
            meters: vec![],
            tuning: Tuning::default(),
        },
        state_dir: "/nowhere".into(),
        recorder: None,
        device_dir: None,
        meters: vec![],
        inverters: vec![],
        chargers: vec![charger("HOME 1", Some("secret-of-left")), charger("OPEN-2", None)],
        ocpp: Some(OcppConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            heartbeat: Duration::from_secs(60),
            meter_interval: Duration::from_secs(10),
        }),
        mqtt: None,
        cloud: None,
        http: None,
        policy: Policy::open(2),
    }
}

/// A charger's end of a connection.
struct Plugged {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    protocol: Option<String>,
}

impl Plugged {
    async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame; `None` when the connection is over.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(SOON, self.socket.next()).await.expect("nothing came") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// A call of ours: the answer to it, with calls of theirs before it left out.
    async fn ask(&mut self, action: &str, payload: Value) -> Value {
        self.send(json!([2, "c", action, payload])).await;
        loop {
            let frame = self.next().await.expect("an answer");
            if frame[1] == "c" {
                assert_eq!(frame[0], 3, "{frame}");
                return frame[2].clone();
            }
        }
    }

    /// Their next call, answered with this.
    async fn accept(&mut self, action: &str) -> Value {
        let call = self.next().await.expect("a call");
        assert_eq!((&call[0], &call[2]), (&json!(2), &json!(action)), "{call}");
        self.send(json!([3, call[1], {"status": "Accepted"}])).await;
        call[3].clone()
    }

    /// Boots and lets itself be set up, to the last call.
    async fn boot(&mut self) {
        self.ask("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"})).await;
        while self.accept_any().await["requestedMessage"] != "StatusNotification" {}
    }

    async fn accept_any(&mut self) -> Value {
        let call = self.next().await.expect("a call");
        self.send(json!([3, call[1], {"status": "Accepted"}])).await;
        call[3].clone()
    }

    async fn is_closed(&mut self) -> bool {
        while let Some(frame) = self.next().await {
            assert_eq!(frame[0], 2, "{frame}");
        }
        true
    }
}

fn status_of(result: Result<Plugged, Error>) -> u16 {
    match result {
        Ok(_) => 101,
        Err(Error::Http(response)) => {
            let response: &http::Response<_> = &response;
            response.status().as_u16()
        }
        Err(error) => panic!("{error}"),
    }
}

/// Says this on a plain socket and reads until `len` bytes or the end have come.
async fn raw(address: SocketAddr, request: &str, len: usize) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while answer.len() < len && timeout(SOON, socket.read_buf(&mut answer)).await.unwrap().unwrap() > 0 {}
    answer
}

#[tokio::test]
async fn only_a_known_identity_with_its_password_comes_in() {
    let gateway = Gateway::start().await;
    for (path, password, status) in [
        ("/ocpp/HOME%201", Some("secret-of-left"), 101),
        ("/ocpp/HOME%201/", Some("secret-of-left"), 101),
        ("/ocpp//HOME%201", Some("secret-of-left"), 101),
        ("/ocpp/HOME%201", Some("secret-of-right"), 401),
        ("/ocpp/HOME%201", None, 401),
        ("/ocpp/HOME%202", Some("secret-of-left"), 404),
        ("/HOME%201", Some("secret-of-left"), 404),
        ("/ocpp/", None, 404),
    ] {
        assert_eq!(status_of(gateway.dial(path, password, Some("ocpp1.6")).await), status, "{path} {password:?}");
    }
    let answer =
        raw(gateway.address, "GET /ocpp/HOME%201 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 4096).await;
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn the_subprotocol_is_agreed_on_or_left_out() {
    let gateway = Gateway::start().await;
    let dial = async |protocol| gateway.dial("/ocpp/HOME%201", Some("secret-of-left"), protocol).await.unwrap();
    assert_eq!(dial(Some("ocpp1.6")).await.protocol.as_deref(), Some("ocpp1.6"));
    assert_eq!(dial(Some("ocpp2.0.1, ocpp1.6")).await.protocol.as_deref(), Some("ocpp1.6"));
    let mut silent = dial(None).await;
    assert_eq!(silent.protocol, None);
    assert!(silent.ask("Heartbeat", json!({})).await["currentTime"].is_string());
}

#[tokio::test]
async fn without_a_common_subprotocol_the_handshake_ends_and_then_the_connection() {
    let gateway = Gateway::start().await;
    let request = "GET /ocpp/OPEN-2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ocpp2.0.1\r\n\r\n";
    let answer = raw(gateway.address, request, 4096).await;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    assert!(head.starts_with("http/1.1 101") && !head.contains("sec-websocket-protocol"), "{head}");
    assert_eq!(&answer[end + 4..], [0x88, 0], "a close frame and the end");
}

#[tokio::test]
async fn from_boot_to_a_leased_profile_and_back_after_a_reconnect() {
    let gateway = Gateway::start().await;
    let mut charger = gateway.left().await;
    let boot = charger.ask("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"})).await;
    assert_eq!((&boot["status"], &boot["interval"]), (&json!("Accepted"), &json!(60)));
    let told: chrono::DateTime<chrono::Utc> = boot["currentTime"].as_str().unwrap().parse().unwrap();

    assert!(charger.accept("GetConfiguration").await["key"].is_array());
    let fallback = charger.accept("SetChargingProfile").await;
    let schedule = &fallback["csChargingProfiles"]["chargingSchedule"];
    assert_eq!(schedule["chargingSchedulePeriod"], json!([{"startPeriod": 0, "limit": 6}]));
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(charger.accept("ChangeConfiguration").await["key"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        keys,
        ["MeterValueSampleInterval", "MeterValuesSampledData", "WebSocketPingInterval", "HeartbeatInterval"]
    );
    charger.accept("TriggerMessage").await;

    let status = json!({"connectorId": 1, "errorCode": "NoError", "status": "Charging"});
    assert_eq!(charger.ask("StatusNotification", status).await, json!({}));
    let start = json!({"connectorId": 1, "idTag": "04A2", "meterStart": 0, "timestamp": "2026-01-01T00:00:00Z"});
    let started = charger.ask("StartTransaction", start).await;
    assert_eq!(started["idTagInfo"]["status"], "Accepted");
    let report = gateway.report(0, |report| report.session.is_some()).await;
    assert_eq!((report.plug, report.session.map(|s| s.id)), (Plug::Charging, started["transactionId"].as_i64()));

    gateway.order(0, 1, 12_340);
    let profile = charger.accept("SetChargingProfile").await;
    let begins = profile["csChargingProfiles"]["chargingSchedule"]["startSchedule"].as_str().unwrap().to_owned();
    let wanted = json!({"connectorId": 1, "csChargingProfiles": {
        "chargingProfileId": 1, "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Absolute",
        "chargingSchedule": {"startSchedule": begins, "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 12.3}, {"startPeriod": 180, "limit": 6}]}}});
    assert_eq!(profile, wanted);
    let begins: chrono::DateTime<chrono::Utc> = begins.parse().unwrap();
    assert!((55..=60).contains(&(told - begins).num_seconds()), "a minute ago: {begins} at {told}");
    let report = gateway.report(0, |report| report.answer.is_some()).await;
    assert_eq!(report.answer.map(|a| (a.number, a.verdict)), Some((1, Accepted::Yes)));

    let sampled = json!([{"value": "11.9", "measurand": "Current.Import", "phase": "L1"},
        {"value": "12.0", "measurand": "Current.Import", "phase": "L2"},
        {"value": "12.1", "measurand": "Current.Import", "phase": "L3"}]);
    charger.ask("MeterValues", json!({"connectorId": 1, "meterValue": [{"sampledValue": sampled}]})).await;
    let report = gateway.report(0, |report| report.measured.is_some()).await;
    assert_eq!(report.measured.map(|m| m.current), Some(PerPhase([11_900, 12_000, 12_100].map(Amps::milli))));

    drop(charger);
    gateway.report(0, |report| matches!(report.link, Link::Down { .. })).await;
    gateway.order(0, 2, 16_000);
    let mut charger = gateway.left().await;
    let again = gateway.report(0, |again| again.epoch > report.epoch).await;
    assert!(matches!(again.link, Link::Up { .. }) && again.session == report.session);
    gateway.order(0, 3, 8_000);
    let profile = charger.accept("SetChargingProfile").await;
    let periods = &profile["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"];
    assert_eq!(periods[0]["limit"], 8, "what was ordered while it was away is out of date");
    gateway.report(0, |report| report.answer.is_some_and(|a| a.number == 3)).await;
}

#[tokio::test]
async fn the_book_is_saved_at_the_start_and_at_each_change() {
    let gateway = Gateway::start().await;
    let mut charger = gateway.left().await;
    let start = json!({"connectorId": 1, "idTag": "04A2", "meterStart": 0, "timestamp": "2026-01-01T00:00:00Z"});
    let id = charger.ask("StartTransaction", start).await["transactionId"].as_i64().unwrap();
    let wait = async {
        while gateway.saved.lock().unwrap().last().is_none_or(|book| book.open.is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.unwrap();
    let book = gateway.saved.lock().unwrap().last().cloned().unwrap();
    assert_eq!((book.open[0].id, book.next_id), (id, id + 1));

    let restarted = Gateway::start_with(book).await;
    let report = restarted.report(0, |report| report.session.is_some()).await;
    assert_eq!((report.link, report.session.and_then(|s| s.token)), (Link::Never, Some("04A2".into())));
}

#[tokio::test]
async fn the_newcomer_with_the_secret_replaces_the_old_connection() {
    let gateway = Gateway::start().await;
    let mut old = gateway.left().await;
    old.boot().await;
    let epoch = gateway.report(0, |report| report.epoch > 0).await.epoch;
    let mut new = gateway.left().await;
    assert!(old.is_closed().await);
    gateway.report(0, |report| report.epoch > epoch && matches!(report.link, Link::Up { .. })).await;
    assert!(new.ask("Heartbeat", json!({})).await["currentTime"].is_string());
    gateway.order(0, 1, 9_000);
    let profile = new.accept_any().await;
    assert_eq!(profile["csChargingProfiles"]["chargingProfilePurpose"], "TxDefaultProfile");
}

#[tokio::test]
async fn without_a_secret_a_living_connection_is_not_replaced() {
    let gateway = Gateway::start().await;
    let mut old = gateway.right().await;
    assert!(old.ask("Heartbeat", json!({})).await["currentTime"].is_string());
    assert_eq!(status_of(gateway.dial("/ocpp/OPEN-2", None, Some("ocpp1.6")).await), 409);
    assert!(old.ask("Heartbeat", json!({})).await["currentTime"].is_string());
    old.socket.close(None).await.unwrap();
    gateway.report(1, |report| matches!(report.link, Link::Down { .. })).await;
    gateway.right().await;
}

#[tokio::test]
async fn a_charger_that_never_answers_delays_no_other() {
    let gateway = Gateway::start().await;
    let (mut deaf, mut quick) = (gateway.left().await, gateway.right().await);
    deaf.boot().await;
    quick.boot().await;
    gateway.order(0, 1, 16_000);
    assert_eq!(deaf.next().await.unwrap()[2], "SetChargingProfile");
    for number in 2..12 {
        gateway.order(0, 2 * number, 6_000);
        gateway.order(1, 2 * number + 1, 10_000);
        let clock = Clock::start();
        quick.accept("SetChargingProfile").await;
        let report = gateway.report(1, |report| report.answer.is_some_and(|a| a.number == 2 * number + 1)).await;
        assert!(clock.now().as_millis() < 1000, "{:?} after {:?}", report.answer, clock.now());
    }
    assert!(deaf.ask("Heartbeat", json!({})).await["currentTime"].is_string(), "its own calls are answered");
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_its_own_socket_only() {
    let gateway = Gateway::start().await;
    let (mut loud, mut other) = (gateway.left().await, gateway.right().await);
    let huge = json!([2, "c", "DataTransfer", {"data": "x".repeat(70_000)}]).to_string();
    // The gateway may have closed before all of it is written.
    let _ = loud.socket.send(Message::text(huge)).await;
    assert!(loud.is_closed().await);
    gateway.report(0, |report| matches!(report.link, Link::Down { .. })).await;
    assert!(other.ask("Heartbeat", json!({})).await["currentTime"].is_string());
    assert!(gateway.left().await.ask("Heartbeat", json!({})).await["currentTime"].is_string());
}

#[tokio::test]
async fn what_is_no_json_does_not_close_the_connection() {
    let gateway = Gateway::start().await;
    let mut charger = gateway.left().await;
    for text in ["", "[,2]", "hello", "[2,\"x\"]"] {
        charger.socket.send(Message::text(text)).await.unwrap();
    }
    charger.socket.send(Message::binary(vec![0, 1, 2])).await.unwrap();
    assert_eq!(charger.next().await.unwrap()[2], "FormationViolation");
    assert!(charger.ask("Heartbeat", json!({})).await["currentTime"].is_string());
}

#[tokio::test]
async fn who_says_nothing_is_shown_out() {
    let gateway = Gateway::start().await;
    let mut mute = TcpStream::connect(gateway.address).await.unwrap();
    let mut buffer = [0; 16];
    let read = timeout(Duration::from_secs(15), mute.read(&mut buffer)).await.expect("it is closed after 10 s");
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[tokio::test]
async fn an_orderly_stop_closes_every_socket() {
    let gateway = Gateway::start().await;
    let mut charger = gateway.left().await;
    charger.ask("Heartbeat", json!({})).await;
    gateway.server.abort();
    assert!(charger.is_closed().await);
    assert!(TcpStream::connect(gateway.address).await.is_err());
}

#[tokio::test]
async fn a_flood_is_held_back_and_delays_no_order() {
    let gateway = Gateway::start().await;
    let mut loud = gateway.left().await;
    loud.boot().await;
    gateway.order(0, 1, 16_000);
    loud.accept("SetChargingProfile").await;
    let (mut writing, mut reading) = loud.socket.split();
    let flood = tokio::spawn(async move {
        let heartbeat = json!([2, "c", "Heartbeat", {}]).to_string();
        while writing.send(Message::text(heartbeat.clone())).await.is_ok() {}
    });
    let mut answers = 0;
    let clock = Clock::start();
    let mut is_ordered = false;
    loop {
        let Some(Ok(Message::Text(text))) = timeout(SOON, reading.next()).await.unwrap() else { continue };
        answers += u32::from(text.starts_with("[3,"));
        if !is_ordered && answers > 50 {
            gateway.order(0, 2, 8_000);
            is_ordered = true;
        }
        if text.contains("SetChargingProfile") {
            break;
        }
    }
    assert!(answers <= 100 * (1 + clock.now().as_millis() as u32 / 1000) + 100, "{answers} by {:?}", clock.now());
    flood.abort();
}
