//! Does a home do what its policy says, from a change at a server to the current at a charger? The test policy server, a whole
//! daemon and two chargers on real sockets; the same story with all its hours and days is `tests/policy.rs`.

use crate::house::{Gateway, House, LEFT, PATIENCE, RIGHT, Stand, evse};
use crate::server::{Options, PolicyServer};
use chrono::TimeDelta;
use headroom::clock::Clock;
use headroom::sim::Action;
use headroom::site::EvseId;
use headroom::status::Status;
use headroom::units::Amps;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const GATEWAY: &str = "gw";
const KARI: &str = "04A2B3C4";
const PER: &str = "04B3";
const NOBODY: &str = "04FFFF";

/// Kari owns the place, Per lives there; 20 A for all.
fn document() -> Value {
    let later = (Clock::start().wall() + TimeDelta::days(1)).to_rfc3339();
    json!({
        "schema": "headroom.policy/1.0", "gateway_id": GATEWAY, "location_id": "loc", "epoch": 1, "version": 1,
        "issued_at": "2026-01-01T00:00:00Z", "expires_at": later,
        "access": {"default_mode": "authorized_only", "unknown_token": "guest"},
        "classes": [
            {"id": "owner", "charging_priority": 6}, {"id": "member", "charging_priority": 3},
            {"id": "guest", "charging_priority": -3, "ceiling_a": 7}
        ],
        "principals": [
            {"id": "kari", "alias": "Kari", "class": "owner", "evse": ["*"]},
            {"id": "per", "alias": "Per", "class": "member", "evse": ["*"]}
        ],
        "tokens": [
            {"uid": KARI, "principal": "kari", "status": "Accepted"},
            {"uid": PER, "principal": "per", "status": "Accepted"}
        ],
        "limits": {"import_max_a": 20},
        "privacy": {"publish_alias": true}
    })
}

struct Cloud {
    server: PolicyServer,
    document: Value,
}

impl Cloud {
    /// The next version, with a change; what the gateway says of it.
    async fn publish(&mut self, change: impl FnOnce(&mut Value)) -> Value {
        self.document["version"] = json!(self.document["version"].as_u64().unwrap() + 1);
        change(&mut self.document);
        self.offer(&self.document.clone()).await
    }

    async fn offer(&self, document: &Value) -> Value {
        self.server.put(GATEWAY, document.to_string().into());
        let acked = async {
            loop {
                let ack = self.server.gateways().get(GATEWAY).and_then(|gateway| gateway.acks.last().cloned());
                if let Some(ack) = ack.filter(|ack| ack["version"] == document["version"]) {
                    return ack;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, acked).await.expect("an ack")
    }
}

/// Setpoint in whole amperes, class and reason.
fn told(status: &Status, id: &str) -> (i32, String, String) {
    let evse = evse(status, id);
    (evse.setpoint_a.as_milli() / 1000, evse.class.clone(), evse.reason.clone())
}

/// A raise may wait for a lease to end that nothing has proven gone: 22 s here, on a machine that has nothing else to do.
async fn until(gateway: &mut Gateway, id: &str, amps: i32, class: &str, reason: &str) {
    let is = (amps, class.to_owned(), reason.to_owned());
    let is_found = timeout(PATIENCE * 4, gateway.status.wait_for(|status| told(status, id) == is)).await.is_ok();
    assert!(is_found, "{id} never has {is:?}: {:?}", told(&gateway.now(), id));
}

/// Its car takes no more than this, in truth.
async fn takes(house: &House, evse: EvseId, most: i32) {
    house.until("the car follows", |house| house.draw(evse).most() <= Amps::whole(most)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_member_and_guest_have_what_the_document_says_at_each_change_of_it() {
    let house = House::with(&["left", "right"].map(|id| Stand::ocpp(id, "R"))).await;
    let offers = "hints, ack, events, sessions".into();
    let server = PolicyServer::new(Options { token: "t".into(), admin_token: "admin".into(), hold_s: 50, offers });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(server.clone().serve(listener));
    let more = format!(
        "[cloud]\nurl = \"{url}\"\ngateway_id = \"{GATEWAY}\"\nlocation_id = \"loc\"\ntoken = \"t\"\nallow_unsigned = true\n"
    );
    let mut cloud = Cloud { server, document: document() };
    cloud.server.put(GATEWAY, cloud.document.to_string().into());
    let mut gateway = house.open(&more).await;
    gateway.until("the document holds", |status| status.policy.version == Some(1)).await;

    // 20 A, less a margin: the member has his least, the owner the rest.
    house.arrive(LEFT, Some(KARI));
    house.arrive(RIGHT, Some(PER));
    until(&mut gateway, "right", 6, "member", "main_fuse").await;
    until(&mut gateway, "left", 13, "owner", "main_fuse").await;
    assert_eq!(evse(&gateway.now(), "left").alias.as_deref(), Some("Kari"));

    // Who comes first changes with a word.
    let ack = cloud.publish(|document| document["classes"][1]["charging_priority"] = json!(9)).await;
    assert_eq!((&ack["result"], &ack["version"]), (&json!("applied"), &json!(2)));
    until(&mut gateway, "left", 6, "owner", "main_fuse").await;
    until(&mut gateway, "right", 13, "member", "main_fuse").await;

    // Withdrawn while it charges: the least; lost: nothing, at once.
    cloud.publish(|document| document["tokens"][1]["status"] = json!("Blocked")).await;
    gateway
        .until("the least is left", |status| told(status, "right").0 == 6 && told(status, "right").2 == "revoked")
        .await;
    takes(&house, RIGHT, 6).await;
    cloud.publish(|document| document["tokens"][1]["reason"] = json!("lost")).await;
    gateway
        .until("a lost card stops", |status| told(status, "right").0 == 0 && told(status, "right").2 == "revoked")
        .await;
    takes(&house, RIGHT, 0).await;
    until(&mut gateway, "left", 16, "owner", "full").await;

    // A card that nobody knows is a guest, never above his ceiling.
    house.act(Action::Leave(RIGHT));
    gateway.until("it has left", |status| evse(status, "right").class.is_empty()).await;
    house.arrive(RIGHT, Some(NOBODY));
    until(&mut gateway, "right", 6, "guest", "main_fuse").await;
    until(&mut gateway, "left", 13, "owner", "main_fuse").await;
    takes(&house, RIGHT, 7).await;
    let shares = |status: &Status| ["left", "right"].map(|id| (told(status, id).0, told(status, id).1));
    let before = shares(&gateway.now());

    // An older one, and one with a fault: all stays as it is.
    let mut older = cloud.document.clone();
    (older["version"], older["limits"]) = (json!(1), json!({"import_max_a": 32}));
    assert_eq!(cloud.offer(&older).await["code"], "rollback");
    let ack = cloud.publish(|document| document["tokens"][0]["principal"] = json!("nobody")).await;
    assert_eq!((&ack["result"], &ack["faults"][0]["pointer"]), (&json!("rejected"), &json!("/tokens/0/principal")));
    assert_eq!(shares(&gateway.now()), before);

    // The server is gone: whoever charges goes on.
    serving.abort();
    gateway.until("it is told", |status| status.alarms.iter().any(|alarm| alarm.id.contains("policy"))).await;
    assert_eq!(shares(&gateway.now()), before);
    gateway.stop().await;
}
