//! What does the whole tell chargers over OCPP, and whom does it refuse?

use crate::house::{FALLBACK, House, LEASE_S, LEFT, MOST, Stand, alarm, amps, evse, has_all};
use crate::line::Line;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use futures_util::{SinkExt, StreamExt};
use headroom::control::observation::Plug;
use headroom::sim::{Action, Ears};
use headroom::time::Duration;
use headroom::units::Amps;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Only this card may charge.
const KNOWN: &str = "[policy]\naccess = \"known\"\ntoken = [{ uid = \"04A2B3C4\", alias = \"Kari\", priority = 6 }]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_gets_a_profile_that_ends_in_the_fallback() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    let mut gateway = house.open("").await;
    house.arrive(LEFT, None);
    gateway
        .until("it takes all", |status| has_all(status, "left") && evse(status, "left").draw_a.most() > Amps::whole(15))
        .await;
    house.load([14, 20, 14]);
    let status = gateway.until("it has the rest of L2", |status| amps(status, "left") == Some(Amps::whole(11))).await;
    assert_eq!(evse(&status, "left").reason, "main_fuse");
    house.until("the charger offers it", |house| house.offer(LEFT) == Amps::whole(11)).await;

    let profile = profiles(&house.line).pop().unwrap();
    assert_eq!(profile["connectorId"], 1);
    let profile = &profile["csChargingProfiles"];
    let kind = ["chargingProfileId", "stackLevel", "chargingProfilePurpose", "chargingProfileKind"];
    assert_eq!(
        kind.map(|key| profile[key].clone()),
        [json!(1), json!(0), json!("TxDefaultProfile"), json!("Absolute")]
    );
    let schedule = &profile["chargingSchedule"];
    assert_eq!(schedule["chargingRateUnit"], "A");
    let periods = json!([{"startPeriod": 0, "limit": 11}, {"startPeriod": 60 + LEASE_S, "limit": 6}]);
    assert_eq!(plain(&schedule["chargingSchedulePeriod"]), periods);
    let start: DateTime<Utc> = schedule["startSchedule"].as_str().unwrap().parse().unwrap();
    let age = (house.plant.clock().wall() - start).num_seconds();
    assert!((58..=70).contains(&age), "it starts a minute ago: {age} s");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_may_not_charge_gets_no_current_even_where_its_charger_begins() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    let rude = "[[charger]]\nid = \"rude\"\ncircuit = \"main\"\nprotocol = \"ocpp\"\nidentity = \"rude\"\n\
        password = \"sixteen characters\"\nlease_s = 20\nresponse_s = 2\nlapse = \"a\"\nmost_a = 10\n";
    let mut gateway = house.open(&format!("{rude}{KNOWN}")).await;
    house.arrive(LEFT, Some("STRANGER"));
    house
        .until("its charger refuses the card", |house| house.plant.with(|plant| plant.plug(LEFT)) == Plug::Finishing)
        .await;

    let mut charger = Rude::dial(gateway.ocpp.unwrap(), "rude").await;
    charger.ask("BootNotification", json!({"chargePointVendor": "x", "chargePointModel": "y"})).await;
    let start = json!({"connectorId": 1, "idTag": "STRANGER", "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
    let answer = charger.ask("StartTransaction", start).await;
    assert_eq!(answer["idTagInfo"]["status"], "Invalid");
    charger.until("it is told zero", |profile| limits(profile) == [json!(0), json!(6)]).await;
    let status = gateway.until("it is refused", |status| evse(status, "rude").reason == "denied").await;
    assert_eq!(
        (amps(&status, "rude"), evse(&status, "rude").words.as_str()),
        (Some(Amps::ZERO), "not allowed to charge here")
    );
    assert_eq!((amps(&status, "left"), house.draw(LEFT).most()), (Some(Amps::ZERO), Amps::ZERO));

    house.arrive(LEFT, Some("04a2b3c4"));
    let status = gateway.until("Kari's card is known", |status| has_all(status, "left")).await;
    assert_eq!((evse(&status, "left").alias.as_deref(), evse(&status, "left").priority), (Some("Kari"), 6));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charger_without_a_meter_counts_at_its_setpoint_and_yields_all_the_same() {
    let house = House::with(&[Stand { is_metered: false, ..Stand::ocpp("left", "RST") }]).await;
    house.load([5, 5, 5]);
    let mut gateway = house.open("").await;
    house.arrive(LEFT, None);
    let counts =
        |status: &headroom::status::Status| has_all(status, "left") && evse(status, "left").draw_a.most() == MOST;
    let status = gateway.until("it counts at its setpoint", counts).await;
    assert!(!evse(&status, "left").is_measured);
    house.load([0, 0, 16]);
    house.until("it makes room", |house| house.draw(LEFT).most() <= Amps::whole(10)).await;
    gateway.until("on its word", |status| amps(status, "left") <= Some(Amps::whole(10))).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charger_that_refuses_its_setpoint_is_told_to_people() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    house.act(Action::Ears(LEFT, Ears::Refuses));
    let mut gateway = house.open("").await;
    house.arrive(LEFT, None);
    let status = gateway.until("an alarm", |status| alarm(status, "charger-left-refuses").is_some()).await;
    let told = alarm(&status, "charger-left-refuses").unwrap();
    assert_eq!(told.text, "charger \"left\": refuses its setpoint; it is asked again");
    assert_eq!(house.offer(LEFT), FALLBACK);
    gateway.stop().await;
}

/// All profiles that the gateway has sent over this line.
pub fn profiles(line: &Line) -> Vec<Value> {
    let is_profile = |frame: &Value| frame[0] == 2 && frame[2] == "SetChargingProfile";
    line.said().into_iter().filter(is_profile).map(|frame| frame[3].clone()).collect()
}

/// The limits of a profile's periods.
pub fn limits(profile: &Value) -> Vec<Value> {
    let periods = &profile["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"];
    plain(periods).as_array().unwrap().iter().map(|period| period["limit"].clone()).collect()
}

/// Whole numbers as such: 6.0 and 6 are the same limit.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(items) => items.iter().map(|(key, item)| (key.clone(), plain(item))).collect(),
        Value::Number(number) => {
            number.as_f64().filter(|n| n.fract() == 0.0).map_or(value.clone(), |n| json!(n as i64))
        }
        _ => value.clone(),
    }
}

/// A charger that begins transactions whatever it is answered.
struct Rude {
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    profiles: Vec<Value>,
}

impl Rude {
    async fn dial(gateway: SocketAddr, identity: &str) -> Self {
        let mut request = format!("ws://{gateway}/ocpp/{identity}").into_client_request().unwrap();
        let login = BASE64_STANDARD.encode(format!("{identity}:sixteen characters"));
        request.headers_mut().insert("Authorization", format!("Basic {login}").parse().unwrap());
        request.headers_mut().insert("Sec-WebSocket-Protocol", "ocpp1.6".parse().unwrap());
        Rude { socket: connect_async(request).await.unwrap().0, profiles: Vec::new() }
    }

    async fn ask(&mut self, action: &str, payload: Value) -> Value {
        self.socket.send(Message::text(json!([2, action, action, payload]).to_string())).await.unwrap();
        loop {
            let frame = self.hear().await;
            if frame[0] == 3 && frame[1] == action {
                return frame[2].clone();
            }
        }
    }

    async fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) {
        let wait = async {
            while !self.profiles.iter().any(&is_it) {
                self.hear().await;
            }
        };
        assert!(timeout(Duration::from_secs(10), wait).await.is_ok(), "never: {what}");
    }

    /// The next frame; whatever the gateway asks is accepted.
    async fn hear(&mut self) -> Value {
        loop {
            let Message::Text(text) = self.socket.next().await.unwrap().unwrap() else { continue };
            let frame: Value = serde_json::from_str(text.as_str()).unwrap();
            if frame[0] == 2 {
                self.profiles.extend((frame[2] == "SetChargingProfile").then(|| frame[3].clone()));
                let answer = json!([3, frame[1], {"status": "Accepted", "configurationKey": []}]);
                self.socket.send(Message::text(answer.to_string())).await.unwrap();
            }
            return frame;
        }
    }
}
