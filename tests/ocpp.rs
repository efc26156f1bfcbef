//! Does the OCPP edge hold on real sockets? Chargers dial in over loopback with another WebSocket implementation.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use futures_util::{SinkExt, StreamExt};
use gateway::{Gateway, SOON, status_of};
use headroom::clock::Clock;
use headroom::control::HangUp;
use headroom::control::observation::{Accepted, Link, Plug};
use headroom::site::EvseId;
use headroom::units::{Amps, PerPhase};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

#[path = "ocpp/gateway.rs"]
mod gateway;
#[path = "ocpp/people.rs"]
mod people;

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
    for _ in 0..2 {
        charger.accept("GetConfiguration").await;
    }

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
async fn whoever_is_hung_up_on_is_refused_until_then_and_let_in_again() {
    let gateway = Gateway::start().await;
    let (mut left, mut right) = (gateway.left().await, gateway.right().await);
    let Link::Up { since } = gateway.report(0, |report| report.epoch > 0).await.link else { panic!("it is up") };
    let hang_up = HangUp { evse: EvseId(0), until: since + headroom::time::Duration::from_secs(4) };
    gateway.outbox.hang_up(hang_up);
    assert!(left.is_closed().await);
    gateway.report(0, |report| matches!(report.link, Link::Down { .. })).await;
    let dial = async || gateway.dial("/ocpp/HOME%201", Some("secret-of-left"), Some("ocpp1.6")).await;
    assert_eq!(status_of(dial().await), 503);
    assert!(right.ask("Heartbeat", json!({})).await["currentTime"].is_string(), "nobody else is");
    // Control says it again in each step.
    let knock = async {
        loop {
            gateway.outbox.hang_up(hang_up);
            match dial().await {
                Ok(left) => return left,
                refused => assert_eq!(status_of(refused), 503),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut left = timeout(2 * SOON, knock).await.expect("it is let in again");
    let back = gateway.report(0, |report| matches!(report.link, Link::Up { .. })).await;
    assert!(matches!(back.link, Link::Up { since } if since >= hang_up.until), "{back:?}");
    gateway.outbox.hang_up(hang_up);
    assert!(left.ask("Heartbeat", json!({})).await["currentTime"].is_string());
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
