//! Does a policy of the cloud change who yields, and does the last good one stand?

use crate::house::{FALLBACK, House, LEFT, RIGHT, Stand, alarm, amps, evse};
use crate::restart::offers;
use headroom::clock::Clock;
use headroom::demo::cloud;
use headroom::demo::site::{GUEST, KARI, policy};
use headroom::status::{Severity, Status};
use headroom::units::Amps;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_changes_who_yields_and_outlives_the_cloud() {
    let stands = ["left", "right"].map(|id| Stand { most_a: 9, ..Stand::ocpp(id, "R") });
    let house = House::with(&stands).await;
    let server = cloud::start(0, document(1, 6, -3)).await.unwrap();
    let more = format!(
        "[cloud]\nurl = \"http://{}\"\ngateway_id = \"gw_demo\"\nlocation_id = \"loc_demo\"\nallow_unsigned = true\n",
        server.peer.address
    );
    let mut gateway = house.open(&more).await;
    gateway.until("the document holds", |status| status.policy.version == Some(1)).await;
    house.arrive(LEFT, Some(KARI));
    house.arrive(RIGHT, Some(GUEST));
    let takes_all = |status: &Status| {
        status.evses.iter().all(|evse| evse.setpoint_a == Amps::whole(9) && evse.draw_a.most() > Amps::whole(8))
    };
    gateway.until("there is room for two", takes_all).await;
    // Who yields to whom is weighed beside the smallest house load of half a minute: it is one from the start this time.
    gateway.stop().await;
    house.load([23, 0, 0]);
    let mut gateway = house.open(&more).await;
    // 32 A less margin and house leave 8 A: enough for one minimum, not for two.
    let status = gateway.until("the guest yields", |status| goes_first(status, "left", "right")).await;
    assert_eq!(["left", "right"].map(|id| evse(&status, id).class.clone()), ["owner", "guest"]);

    server.publish(document(2, -3, 6));
    gateway
        .until("the guest goes first", |status| status.policy.version == Some(2) && goes_first(status, "right", "left"))
        .await;

    server.publish(document(3, 6, -3).replace("charging_priority", "charging_pirority"));
    let status = gateway.until("it is refused", |status| alarm(status, "policy-refused").is_some()).await;
    let told = alarm(&status, "policy-refused").unwrap();
    assert_eq!(told.severity, Severity::Warning);
    assert!(
        told.text.contains("/classes/0/charging_priority: is missing")
            && told.text.contains("the last good one stands"),
        "{}",
        told.text
    );
    assert!(goes_first(&status, "right", "left") && status.policy.version == Some(2));

    gateway.stop().await;
    server.peer.stop().await;
    let restart = async {
        let mut gateway = house.open(&more).await;
        gateway
            .until("both are back", |status| status.evses.iter().all(|evse| evse.online && evse.lease_s.is_some()))
            .await;
        gateway
    };
    let ([left, right], gateway) = offers(&house, restart).await;
    assert_eq!(left, BTreeSet::from([Amps::ZERO]), "whoever waits goes on waiting");
    assert!(right.iter().all(|amps| *amps >= FALLBACK), "whoever charges goes on charging: {right:?}");
    let status = gateway.now();
    assert!(goes_first(&status, "right", "left"), "{status:?}");
    assert_eq!((status.policy.source.as_str(), status.policy.version), ("cloud", Some(2)));
    assert_eq!(["left", "right"].map(|id| evse(&status, id).class.clone()), ["owner", "guest"]);
    gateway.stop().await;
}

/// Does this one charge while the other waits?
fn goes_first(status: &Status, first: &str, other: &str) -> bool {
    let takes = |id: &str| status.evses.iter().any(|evse| evse.id == id && evse.draw_a.most() > Amps::whole(5));
    takes(first) && amps(status, first) >= Some(FALLBACK) && amps(status, other) == Some(Amps::ZERO)
}

/// The demo's document for the two chargers of this house.
fn document(version: u64, owner: i8, guest: i8) -> String {
    let mut document: Value = serde_json::from_str(&policy(Clock::start().wall())).unwrap();
    document["version"] = json!(version);
    document["evse"] = json!([{"id": "left"}, {"id": "right"}]);
    for class in document["classes"].as_array_mut().unwrap() {
        match class["id"].as_str() {
            Some("owner") => class["charging_priority"] = json!(owner),
            Some("guest") => class["charging_priority"] = json!(guest),
            _ => {}
        }
    }
    document.as_object_mut().unwrap().remove("refresh_after_s");
    document.to_string()
}
