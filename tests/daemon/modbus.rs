//! What does the whole make of its meter and its inverter?

use crate::house::{FALLBACK, House, LEFT, MOST, RIGHT, Stand, alarm, amps, evse, has_all};
use headroom::demo::inverter;
use headroom::sim::{Action, Voice};
use headroom::site::{MeterId, Site};
use headroom::status::{Severity, Status};
use headroom::time::Duration;
use headroom::units::Amps;
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_step_lowers_only_the_car_on_its_phase() {
    let house = House::with(&[Stand::ocpp("left", "R"), Stand::ocpp("right", "S")]).await;
    house.load([4, 4, 4]);
    let mut gateway = house.open("").await;
    house.arrive(LEFT, None);
    house.arrive(RIGHT, None);
    gateway.until("both have all", |status| has_all(status, "left") && has_all(status, "right")).await;
    house
        .until("both take it", |house| [LEFT, RIGHT].map(|id| house.draw(id).most()) == [Amps::milli(15_500); 2])
        .await;
    gateway
        .until("both are measured", |status| status.evses.iter().all(|evse| evse.draw_a.most() > Amps::whole(15)))
        .await;

    house.load([6, 18, 6]);
    let status = gateway.until("the right one yields", |status| amps(status, "right") < Some(MOST)).await;
    assert_eq!(amps(&status, "left"), Some(MOST));
    assert_eq!(evse(&status, "right").reason, "main_fuse");
    assert_eq!(evse(&status, "right").words, "L2 of Main fuse (32 A) is full");
    house
        .until("the fuse is kept", |house| house.plant.with(|plant| plant.load(Site::ROOT)).most() < Amps::whole(32))
        .await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(house.offer(LEFT), MOST);
    assert!(house.offer(RIGHT) >= FALLBACK && house.offer(RIGHT) <= Amps::whole(9), "{}", house.offer(RIGHT));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_meter_ends_in_fallback_and_an_alarm_until_it_answers_again() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    house.load([4, 4, 4]);
    let mut gateway = house.open("").await;
    house.arrive(LEFT, None);
    gateway.until("it has all", |status| has_all(status, "left")).await;

    house.act(Action::Voice(MeterId(0), Voice::Silent));
    let status = gateway.until("the meter is lost", |status| alarm(status, "meter-grid-lost").is_some()).await;
    assert_eq!((status.circuits[0].freshness.as_str(), amps(&status, "left")), ("lost", Some(FALLBACK)));
    assert_eq!(evse(&status, "left").reason, "meter_lost");
    let told = alarm(&status, "meter-grid-lost").unwrap();
    assert_eq!(told.severity, Severity::Error);
    let address = house.meter.address.to_string();
    for part in ["meter \"grid\"", "no answer", &address, "the cars behind Main fuse are on fallback"] {
        assert!(told.text.contains(part), "{part:?} is not in: {}", told.text);
    }
    house.until("the car falls back", |house| house.draw(LEFT).most() <= FALLBACK).await;

    house.act(Action::Voice(MeterId(0), Voice::Clear));
    let fresh = |status: &Status| status.circuits[0].freshness == "fresh" && status.alarms.is_empty();
    gateway.until("it is heard again, and the alarm is over", fresh).await;
    gateway.until("the car rises again", |status| has_all(status, "left")).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inverter_that_sleeps_raises_no_alarm() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    house.act(Action::Sun { watts: 2_300, over: Duration::ZERO });
    let roof = inverter::start(&house.plant, 0).await.unwrap();
    let more =
        format!("[[inverter]]\nid = \"roof\"\ndevice = \"sunspec\"\naddress = \"{}\"\ninterval_ms = 200", roof.address);
    let mut gateway = house.open(&more).await;
    let is_heard = |status: &Status| status.circuits.first().is_some_and(|row| row.freshness == "fresh");
    gateway.until("the sun shines", |status| is_heard(status) && status.inverters[0].power_w == Some(2_300)).await;

    roof.stop().await;
    gateway.until("it sleeps", |status| status.inverters[0].power_w.is_none()).await;
    sleep(Duration::from_secs(1)).await;
    let status = gateway.now();
    assert_eq!((status.alarms.len(), status.circuits[0].freshness.as_str()), (0, "fresh"), "{:?}", status.alarms);
    gateway.stop().await;
}
