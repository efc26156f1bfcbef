//! What does a charger know of people, on a real socket: its list, a start from afar, a card to be paired, and no number
//! of a card in any log?

use super::gateway::{Gateway, Plugged, SOON};
use futures_util::SinkExt;
use headroom::ocpp::{Command, PairingFault, Told};
use headroom::policy::{EvseRule, Policy, Principal, Token, Verdict};
use headroom::site::EvseId;
use serde_json::{Value, json};
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

const LEFT: EvseId = EvseId(0);
const RIGHT: EvseId = EvseId(1);

/// Known people only: these cards may charge everywhere, and one that was lost nowhere.
fn policy(cards: &[&str]) -> Arc<Policy> {
    let mut tokens: Vec<_> = cards.iter().map(|card| ((*card).to_owned(), Token::of(0))).collect();
    tokens.push(("10577777".into(), Token { status: Verdict::Blocked, ..Token::of(0) }));
    let kari = Principal { id: "kari".into(), alias: None, class: 0, evses: None, valid_until: None };
    let mut policy = Policy {
        tokens: tokens.into_iter().collect(),
        principals: vec![kari],
        evses: vec![EvseRule { open: None, plug_and_charge: None, ceiling: None }; 2],
        unknown: None,
        ..Policy::open(2)
    };
    policy.rules.remote_start = vec![0];
    policy.add_central_tokens();
    Arc::new(policy)
}

/// A charger that keeps a list, with room for so many cards.
struct Keeper {
    plugged: Plugged,
    room: usize,
    version: i64,
    list: Vec<(String, String)>,
    settings: Vec<(String, String)>,
}

impl Keeper {
    async fn boot(gateway: &Gateway, room: usize) -> Self {
        let mut plugged = gateway.left().await;
        plugged.ask("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"})).await;
        Keeper { plugged, room, version: 0, list: Vec::new(), settings: Vec::new() }
    }

    /// Answers one call of the gateway's, as the standard says; its action.
    async fn obey(&mut self) -> String {
        let call = self.plugged.next().await.expect("a call");
        assert_eq!(call[0], 2, "{call}");
        let answer = match call[2].as_str().unwrap() {
            "GetConfiguration" => json!({"configurationKey": [
                {"key": "SupportedFeatureProfiles", "readonly": true, "value": "Core,LocalAuthListManagement"},
                {"key": "LocalAuthListEnabled", "readonly": false, "value": "false"},
                {"key": "LocalAuthListMaxLength", "readonly": true, "value": self.room.to_string()},
                {"key": "SendLocalListMaxLength", "readonly": true, "value": "20"},
                {"key": "LocalAuthorizeOffline", "readonly": false, "value": "false"},
                {"key": "AllowOfflineTxForUnknownId", "readonly": false, "value": "true"}]}),
            "ChangeConfiguration" => {
                let text = |key: &str| call[3][key].as_str().unwrap().to_owned();
                self.settings.push((text("key"), text("value")));
                json!({"status": "Accepted"})
            }
            "GetLocalListVersion" => json!({"listVersion": self.version}),
            "SendLocalList" => {
                assert_eq!(call[3]["updateType"], "Full");
                self.version = call[3]["listVersion"].as_i64().unwrap();
                let entries = call[3]["localAuthorizationList"].as_array().unwrap();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                self.list = entries.iter().map(|e| (text(&e["idTag"]), text(&e["idTagInfo"]["status"]))).collect();
                json!({"status": "Accepted"})
            }
            _ => json!({"status": "Accepted"}),
        };
        self.plugged.send(json!([3, call[1], answer])).await;
        call[2].as_str().unwrap().to_owned()
    }

    async fn until_listed(&mut self) -> Vec<(&str, &str)> {
        while self.obey().await != "SendLocalList" {}
        self.list.iter().map(|(card, status)| (card.as_str(), status.as_str())).collect()
    }
}

#[tokio::test]
async fn a_charger_gets_the_list_of_its_people_and_a_new_one_with_a_new_policy() {
    let gateway = Gateway::start().await;
    gateway.policy.send_replace(policy(&["04A2B3C4", "04A2B3C5"]));
    let mut charger = Keeper::boot(&gateway, 50).await;
    let wanted = [("04A2B3C4", "Accepted"), ("04A2B3C5", "Accepted"), ("10577777", "Blocked")];
    assert_eq!(charger.until_listed().await, wanted);
    for (key, value) in
        [("LocalAuthListEnabled", "true"), ("LocalAuthorizeOffline", "true"), ("AllowOfflineTxForUnknownId", "false")]
    {
        assert!(charger.settings.contains(&(key.into(), value.into())), "{key} {:?}", charger.settings);
    }
    let first = charger.version;
    assert!(first > 0);
    drop(charger);

    gateway.policy.send_replace(policy(&["04A2B3C5"]));
    let mut charger = Keeper { version: first, ..Keeper::boot(&gateway, 50).await };
    // The whole list goes out every ten seconds at most, over a new start too.
    let listed = timeout(3 * SOON, async {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|action| action != "SendLocalList") {
            seen.extend(timeout(SOON / 5, charger.obey()).await);
        }
    });
    listed.await.expect("a list");
    assert_eq!(charger.list.iter().map(|(card, _)| card.as_str()).collect::<Vec<_>>(), ["04A2B3C5", "10577777"]);
    assert_ne!(charger.version, first);
}

#[tokio::test]
async fn where_there_is_no_room_for_all_the_first_ones_are_sent() {
    let gateway = Gateway::start().await;
    gateway.policy.send_replace(policy(&["04A2B3C4", "04A2B3C5", "04A2B3C6"]));
    let mut charger = Keeper::boot(&gateway, 2).await;
    assert_eq!(charger.until_listed().await, [("04A2B3C4", "Accepted"), ("04A2B3C5", "Accepted")]);
}

#[tokio::test]
async fn a_charger_without_a_list_is_sent_none() {
    let gateway = Gateway::start().await;
    gateway.policy.send_replace(policy(&["04A2B3C4"]));
    let mut charger = gateway.left().await;
    charger.boot().await;
    gateway.order(0, 1, 9_000);
    charger.accept("SetChargingProfile").await;
}

#[tokio::test]
async fn a_start_from_afar_is_a_session_of_the_one_who_started_it() {
    let gateway = Gateway::start().await;
    gateway.policy.send_replace(policy(&["04A2B3C4"]));
    let start = || Command::Start { evse: LEFT, token: "headroom:kari".into() };
    assert_eq!(gateway.desk.tell(start()).await, Ok(Told::NoAnswer), "it is away");
    let nowhere = Command::Stop { evse: EvseId(9) };
    assert_eq!(gateway.desk.tell(nowhere).await, Ok(Told::Rejected));

    let mut charger = gateway.left().await;
    charger.boot().await;
    let told = gateway.desk.tell(start());
    let call = charger.accept("RemoteStartTransaction").await;
    assert_eq!(call, json!({"connectorId": 1, "idTag": "headroom:kari"}));
    assert_eq!(told.await, Ok(Told::Accepted));
    let begin =
        json!({"connectorId": 1, "idTag": "headroom:kari", "meterStart": 0, "timestamp": "2026-01-01T00:00:00Z"});
    let started = charger.ask("StartTransaction", begin).await;
    assert_eq!(started["idTagInfo"]["status"], "Accepted");

    let told = gateway.desk.tell(Command::Stop { evse: LEFT });
    let call = charger.accept("RemoteStopTransaction").await;
    assert_eq!(call["transactionId"], started["transactionId"]);
    assert_eq!(told.await, Ok(Told::Accepted));
}

#[tokio::test]
async fn the_next_unknown_card_at_the_named_charger_is_offered_once() {
    let gateway = Gateway::start().await;
    gateway.policy.send_replace(policy(&["04A2B3C4"]));
    let (mut left, mut right) = (gateway.left().await, gateway.right().await);
    let status = |answer: Value| answer["idTagInfo"]["status"].as_str().unwrap().to_owned();
    let mut paired = gateway.desk.open_pairing(LEFT).unwrap();
    assert_eq!(gateway.desk.open_pairing(RIGHT).err(), Some(PairingFault::Busy));
    assert_eq!(gateway.desk.open_pairing(EvseId(9)).err(), Some(PairingFault::NoReader));

    assert_eq!(status(left.ask("Authorize", json!({"idTag": "04A2B3C4"})).await), "Accepted");
    assert_eq!(status(left.ask("Authorize", json!({"idTag": "10577777"})).await), "Blocked");
    assert_eq!(status(right.ask("Authorize", json!({"idTag": "99887766"})).await), "Invalid");
    assert!(paired.try_recv().is_err(), "known cards and other chargers do not close it");

    assert_eq!(status(left.ask("Authorize", json!({"idTag": "04:11:22:33"})).await), "Invalid");
    let card = timeout(SOON, paired).await.unwrap().unwrap();
    assert_eq!((card.evse, card.uid.as_str()), (LEFT, "04112233"));
    let again = gateway.desk.open_pairing(RIGHT).unwrap();
    drop(again);
    assert!(gateway.desk.open_pairing(LEFT).is_ok(), "whoever waited has gone");
}

/// Every line of the log, with all its fields, at every level.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        _ = write!(self.0.lock().unwrap(), "{field}={value:?} ");
    }
}

#[tokio::test]
async fn no_card_s_number_is_in_any_line_of_the_log() {
    const KNOWN: &str = "04CAFEBABE1111";
    const STRANGER: &str = "04DEADBEEF2222";
    let lines = Lines::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines.clone())).unwrap();
    let gateway = Gateway::start().await;
    gateway.policy.send_replace(policy(&[KNOWN]));
    let mut charger = Keeper::boot(&gateway, 50).await;
    assert!(charger.until_listed().await.contains(&(KNOWN, "Accepted")));
    let paired = gateway.desk.open_pairing(LEFT).unwrap();
    let mut plugged = charger.plugged;
    for card in [KNOWN, STRANGER] {
        plugged.ask("Authorize", json!({"idTag": card})).await;
        let start = json!({"connectorId": 1, "idTag": card, "meterStart": 0, "timestamp": "2026-01-01T00:00:00Z"});
        let id = plugged.ask("StartTransaction", start.clone()).await["transactionId"].clone();
        plugged.ask("StartTransaction", json!({"connectorId": 7, "idTag": card})).await;
        plugged.ask("MeterValues", json!({"connectorId": 1, "transactionId": id, "meterValue": []})).await;
        plugged.ask("DataTransfer", json!({"vendorId": "x", "data": card})).await;
        plugged.ask("StopTransaction", json!({"transactionId": id, "idTag": card, "meterStop": 1})).await;
        let told = gateway.desk.tell(Command::Start { evse: LEFT, token: card.into() });
        let call = loop {
            let call = plugged.next().await.unwrap();
            if call[2] == "RemoteStartTransaction" {
                break call;
            }
            plugged.send(json!([3, call[1], {"status": "Accepted"}])).await;
        };
        plugged.send(json!([4, call[1], "InternalError", card, {"idTag": card}])).await;
        assert_eq!(told.await, Ok(Told::Rejected));
        plugged.socket.send(Message::text(format!("[2,\"{card}"))).await.unwrap();
    }
    assert_eq!(paired.await.unwrap().uid, STRANGER);
    plugged.ask("Heartbeat", json!({})).await;
    let lines = lines.0.lock().unwrap().clone();
    assert!(lines.contains("…2222"), "the end of a card that is paired is shown: {lines}");
    for number in ["CAFEBABE", "DEADBEEF"] {
        assert!(!lines.to_uppercase().contains(number), "{lines}");
    }
}
