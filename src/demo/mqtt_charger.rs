//! How does the virtual MQTT charger talk? It keeps to `<topic>/setpoint`, tells `<topic>/state`, and leaves a last will.

use super::peer::{SharedPlant, Task};
use crate::control::Order;
use crate::sim::{Ears, Plant};
use crate::site::EvseId;
use crate::time::{Duration, Moment};
use crate::units::Amps;
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// How often it looks whether there is something to tell.
const LOOK: Duration = Duration::from_millis(250);
/// It tells its state at least so often.
const TELL_AT_LEAST: Duration = Duration::from_secs(2);
/// Between attempts to connect.
const RECONNECT: Duration = Duration::from_secs(1);
/// Messages that wait for the broker; the newest state matters, so few are enough.
const OUTGOING_MOST: usize = 16;

/// Where it connects and what its topics start with.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The broker.
    pub broker: SocketAddr,
    /// Such as `headroom/chargers/yard`.
    pub topic: String,
}

/// Starts it: connects, and again and again after a loss.
pub fn start(plant: &SharedPlant, evse: EvseId, wiring: Wiring) -> Task {
    let plant = plant.clone();
    Task::spawn(async move {
        let mut told = Told::default();
        loop {
            if plant.with(|plant| plant.is_linked(evse)) {
                talk(&plant, evse, &wiring, &mut told).await;
            }
            tokio::time::sleep(RECONNECT).await;
        }
    })
}

/// What it has been told last, and what it keeps to after that.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    number: u64,
    amps: Amps,
    until: Moment,
    fallback: Amps,
}

#[derive(Debug, Deserialize)]
struct Setpoint {
    number: u64,
    current_a: Amps,
    valid_s: u64,
    fallback_a: Amps,
}

/// Until the connection is lost, or the plant says that it is.
async fn talk(plant: &SharedPlant, evse: EvseId, wiring: &Wiring, told: &mut Told) {
    let (client, mut events) = connect(wiring, evse);
    let mut looks = tokio::time::interval(LOOK);
    let (mut last, mut told_at, mut is_connected) = (String::new(), Moment::START, false);
    loop {
        // Dropped halfway, a poll would connect twice under one name: it is carried on until it is done.
        let poll = events.poll();
        tokio::pin!(poll);
        let event = loop {
            tokio::select! {
                event = &mut poll => break event,
                _ = looks.tick() => {}
            }
            if !plant.with(|plant| plant.is_linked(evse)) {
                return;
            }
            if !is_connected {
                continue; // a state that comes before "online" looks like a charger that has come back twice
            }
            let now = plant.clock().now();
            let state = plant.with(|plant| state(plant, evse, told)).to_string();
            if state != last || now.since(told_at) >= TELL_AT_LEAST {
                (last, told_at) = (state.clone(), now);
                // A full channel means that the broker is slow; the next state says it all again.
                let _ = publish(&client, wiring, "state", state);
            }
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                let setpoint = format!("{}/setpoint", wiring.topic);
                let hello = client.try_subscribe(setpoint, QoS::AtLeastOnce);
                if hello.and_then(|()| publish(&client, wiring, "status", "online".into())).is_err() {
                    return;
                }
                is_connected = true;
            }
            // A retained setpoint is somebody's old word.
            Ok(Event::Incoming(Packet::Publish(message))) if !message.retain => {
                let (ears, now) = plant.with(|plant| (plant.ears(evse), plant.now()));
                if let Some(order) = hear(&message.payload, told, ears, now) {
                    plant.with(|plant| plant.obey(&Order { evse, ..order }));
                }
            }
            Ok(_) => {}
            Err(fault) => {
                tracing::debug!(topic = wiring.topic, "virtual charger: broker lost: {fault}");
                return;
            }
        }
    }
}

fn connect(wiring: &Wiring, evse: EvseId) -> (AsyncClient, EventLoop) {
    let name = format!("virtual-charger-{}-{}", evse.0, wiring.topic.replace('/', "-"));
    let mut options = MqttOptions::new(name, wiring.broker.ip().to_string(), wiring.broker.port());
    options.set_keep_alive(Duration::from_secs(5));
    options.set_last_will(LastWill::new(format!("{}/status", wiring.topic), "offline", QoS::AtLeastOnce, true));
    AsyncClient::new(options, OUTGOING_MOST)
}

fn publish(client: &AsyncClient, wiring: &Wiring, below: &str, text: String) -> Result<(), rumqttc::ClientError> {
    client.try_publish(format!("{}/{below}", wiring.topic), QoS::AtLeastOnce, true, text)
}

fn hear(payload: &[u8], told: &mut Told, ears: Ears, now: Moment) -> Option<Order> {
    let setpoint: Setpoint = serde_json::from_slice(payload).ok()?;
    let lease = Duration::from_secs(setpoint.valid_s);
    let (number, amps, fallback) = (setpoint.number, setpoint.current_a, setpoint.fallback_a);
    match ears {
        Ears::Heeds | Ears::Ignores => *told = Told { number, amps, until: now + lease, fallback },
        Ears::Refuses | Ears::Deaf => {}
    }
    Some(Order { evse: EvseId(0), number, amps, lease, fallback })
}

fn state(plant: &mut Plant, evse: EvseId, told: &Told) -> Value {
    let session = plant.session(evse);
    let keeps = match told.number {
        0 => plant.offer(evse),
        _ if plant.now() < told.until => told.amps,
        _ => told.fallback,
    };
    json!({
        "online": true,
        "plug": plant.plug(evse),
        "session": session.as_ref().map(|session| session.id.to_string()),
        "token": session.as_ref().and_then(|session| session.token.clone()),
        "current_a": plant.own_draw(evse),
        "energy_kwh": session.and_then(|session| session.energy_wh).unwrap_or(0) as f64 / 1000.0,
        "setpoint_a": keeps,
        "number": told.number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::broker;
    use crate::demo::tests::{shared, site_of};
    use crate::sim::{Action, Car};

    /// Waits until the state or status fulfils something.
    async fn until(events: &mut EventLoop, what: impl Fn(&str, &str) -> bool) {
        let wait = async {
            loop {
                if let Event::Incoming(Packet::Publish(message)) = events.poll().await.unwrap()
                    && what(&message.topic, std::str::from_utf8(&message.payload).unwrap())
                {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it never said so");
    }

    #[tokio::test]
    async fn it_keeps_to_a_setpoint_and_tells_when_it_is_gone() {
        let broker = broker::start(0).await.unwrap();
        let plant = shared(&site_of(&["yard"]));
        let wiring = Wiring { broker, topic: "chargers/yard".into() };
        let charger = start(&plant, EvseId(0), wiring.clone());
        let (client, mut events) = connect(&Wiring { topic: "test".into(), ..wiring }, EvseId(9));
        client.subscribe("chargers/yard/+", QoS::AtLeastOnce).await.unwrap();
        until(&mut events, |topic, text| topic.ends_with("/state") && text.contains(r#""plug":"available""#)).await;

        let car = Car { token: Some("04A2".into()), ..Car::default() };
        plant.with(|plant| plant.act(&Action::Arrive(EvseId(0), car)));
        until(&mut events, |_, text| text.contains(r#""token":"04A2""#)).await;

        let setpoint = r#"{"number":17,"current_a":9,"valid_s":120,"fallback_a":6}"#;
        client.publish("chargers/yard/setpoint", QoS::AtLeastOnce, false, setpoint).await.unwrap();
        until(&mut events, |_, text| text.contains(r#""number":17"#) && text.contains(r#""setpoint_a":9.0"#)).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(plant.with(|plant| plant.offer(EvseId(0))), Amps::whole(9));

        plant.with(|plant| plant.act(&Action::Link(EvseId(0), false)));
        until(&mut events, |topic, text| topic.ends_with("/status") && text == "offline").await;
        charger.stop().await;
    }
}
