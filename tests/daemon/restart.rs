//! What do cars notice when the gateway goes and comes back?

use crate::house::{FALLBACK, Gateway, House, LEFT, MOST, RIGHT, Stand, evse, has_all};
use crate::ocpp::{limits, profiles};
use headroom::sim::{Action, Voice};
use headroom::site::MeterId;
use headroom::status::Status;
use headroom::time::Duration;
use headroom::units::Amps;
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::time::{sleep, timeout};

/// Kari before others; guests may come.
const KARI: &str = "[policy]\ntoken = [{ uid = \"04A2B3C4\", alias = \"Kari\", priority = 6 }]";

/// One with a meter of its own, one without.
const BOTH: [Stand; 2] = [
    Stand { most_a: 10, ..Stand::ocpp("left", "RST") },
    Stand { most_a: 10, is_metered: false, ..Stand::ocpp("right", "S") },
];
const TEN: Amps = Amps::whole(10);

/// Two cars that together with the house take nearly all: whoever miscounts them has to cut.
async fn full_house() -> (House, Gateway) {
    let house = House::with(&BOTH).await;
    let mut gateway = house.open(KARI).await;
    let is_ready = |status: &Status| status.circuits.iter().all(|row| row.freshness == "fresh");
    gateway
        .until("all are there", |status| {
            is_ready(status) && status.evses.iter().filter(|evse| evse.online).count() == 2
        })
        .await;
    house.arrive(LEFT, Some("04A2B3C4"));
    house.arrive(RIGHT, None);
    gateway
        .until("both charge", |status| {
            has(status, TEN) && status.evses.iter().all(|evse| evse.draw_a.most() > Amps::whole(9))
        })
        .await;
    house.load([20, 9, 20]);
    sleep(Duration::from_millis(1_500)).await;
    assert!(has(&gateway.now(), TEN), "all fits");
    (house, gateway)
}

/// Do all keep to this, and stand their leases?
fn has(status: &Status, amps: Amps) -> bool {
    status.evses.len() == 2
        && status.evses.iter().all(|evse| evse.online && evse.lease_s.is_some() && evse.setpoint_a == amps)
}

/// Has everybody come back and been told anew?
fn is_told(status: &Status) -> bool {
    status.evses.len() == 2 && status.evses.iter().all(|evse| evse.online && evse.lease_s.is_some())
}

/// Every current that each charger offers while `work` is done, and a second longer.
pub async fn offers(house: &House, work: impl Future<Output = Gateway>) -> ([BTreeSet<Amps>; 2], Gateway) {
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    let mut look = || {
        for (evse, seen) in [LEFT, RIGHT].into_iter().zip(&mut seen) {
            seen.insert(house.offer(evse));
        }
    };
    tokio::pin!(work);
    let gateway = loop {
        look();
        if let Ok(gateway) = timeout(Duration::from_millis(20), &mut work).await {
            break gateway;
        }
    };
    for _ in 0..50 {
        sleep(Duration::from_millis(20)).await;
        look();
    }
    (seen, gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_order_within_the_lease_changes_no_current_and_keeps_sessions() {
    let (house, gateway) = full_house().await;
    let before = gateway.now();
    let told = [LEFT, RIGHT].map(|evse| house.offer(evse));
    let restart = async {
        gateway.stop().await;
        let mut gateway = house.open(KARI).await;
        gateway.until("both are back", is_told).await;
        gateway
    };
    let (seen, gateway) = offers(&house, restart).await;
    assert_eq!(seen, told.map(|amps| BTreeSet::from([amps])));
    let after = gateway.now();
    for id in ["left", "right"] {
        let (before, after) = (evse(&before, id), evse(&after, id));
        assert_eq!(
            (&before.class, &before.alias, before.priority),
            (&after.class, &after.alias, after.priority),
            "{id}"
        );
    }
    assert_eq!(evse(&after, "left").alias.as_deref(), Some("Kari"));
    assert_eq!(transactions(&house).len(), 2, "no transaction begins anew");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_order_waits_for_the_meter_before_it_changes_anything() {
    let (house, gateway) = full_house().await;
    let told = [LEFT, RIGHT].map(|evse| house.offer(evse));
    let restart = async {
        house.act(Action::Voice(MeterId(0), Voice::Silent));
        gateway.stop().await;
        let mut gateway = house.open(KARI).await;
        gateway.until("both are back", is_told).await;
        sleep(Duration::from_millis(500)).await;
        house.act(Action::Voice(MeterId(0), Voice::Clear));
        gateway
    };
    let (seen, gateway) = offers(&house, restart).await;
    assert_eq!(seen, told.map(|amps| BTreeSet::from([amps])));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_the_first_setpoint_is_at_most_the_fallback() {
    let (house, gateway) = full_house().await;
    gateway.kill().await;
    house.line.lead_to(None);
    let sent = profiles(&house.line).len();
    // Without a meter's word the second process stays at the fallback for as long as one looks.
    house.act(Action::Voice(MeterId(0), Voice::Silent));
    let mut gateway = house.open(KARI).await;
    let status = gateway.until("both are told", is_told).await;
    let first = profiles(&house.line).split_off(sent);
    assert!(first.len() >= 2, "{first:?}");
    for profile in &first {
        assert!(limits(profile).iter().all(|limit| limit.as_i64() <= Some(6)), "{profile}");
    }
    house.until("cars fall back", |house| house.offer(LEFT) <= FALLBACK && house.offer(RIGHT) <= FALLBACK).await;
    assert_eq!(evse(&status, "left").alias.as_deref(), Some("Kari"), "an open transaction outlives a crash");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_transaction_ever_has_the_id_of_another() {
    let house = House::with(&BOTH).await;
    for round in 0..3 {
        let mut gateway = house.open("").await;
        house.arrive(LEFT, None);
        house.arrive(RIGHT, None);
        house.until("two more transactions", |house| transactions(house).len() == 2 * (round + 1)).await;
        house.act(Action::Leave(LEFT));
        house.act(Action::Leave(RIGHT));
        gateway.until("none", |status| status.evses.iter().all(|evse| evse.session_s.is_none())).await;
        match round {
            1 => gateway.kill().await,
            _ => gateway.stop().await,
        }
    }
    let ids = transactions(&house);
    assert_eq!(ids.len(), 6);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 6, "{ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charger_whose_limit_never_ends_is_left_at_its_fallback() {
    let house = House::with(&[Stand { lapse: "c", ..Stand::ocpp("left", "R") }]).await;
    let mut gateway = house.open("").await;
    house.arrive(LEFT, None);
    gateway.until("it has all", |status| has_all(status, "left")).await;
    house.until("it offers all", |house| house.offer(LEFT) == MOST).await;
    gateway.stop().await;
    house.until("it offers its fallback", |house| house.offer(LEFT) == FALLBACK).await;
}

/// The ids that the gateway has answered to StartTransaction.
fn transactions(house: &House) -> Vec<i64> {
    let id = |frame: &Value| frame[2]["transactionId"].as_i64().filter(|_| frame[0] == 3);
    house.line.said().iter().filter_map(id).collect()
}
