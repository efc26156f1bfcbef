//! What do a charger and a watcher on MQTT see of the whole?

use crate::house::{FALLBACK, House, LEFT, MOST, Stand, alarm, amps, evse, has_all};
use crate::http::get;
use crate::line::Line;
use headroom::control::observation::Plug;
use headroom::demo::{broker, mqtt_charger};
use headroom::status::Status;
use headroom::units::Amps;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charger_on_mqtt_keeps_to_its_setpoint_and_is_missed_while_the_broker_is_gone() {
    let house = House::with(&[Stand::mqtt("left", "S")]).await;
    let far = broker::start(0).await.unwrap();
    let line = Line::to(Some(far)).await;
    let wiring = mqtt_charger::Wiring { broker: line.address, topic: "chargers/left".into() };
    let charger = mqtt_charger::start(&house.plant, LEFT, wiring);
    let watcher = Watcher::at(far);
    let mut gateway = house.open(&format!("[mqtt]\nhost = \"127.0.0.1\"\nport = {}\n", line.address.port())).await;
    house.arrive(LEFT, None);
    let is_confirmed = |status: &Status| has_all(status, "left") && evse(status, "left").lease_s.is_some();
    gateway.until("a setpoint that is confirmed", is_confirmed).await;
    gateway.until("it takes it", |status| evse(status, "left").draw_a.most() > Amps::whole(15)).await;
    assert_eq!(house.offer(LEFT), MOST);

    house.load([0, 20, 0]);
    house
        .until("it yields", |house| {
            house.plant.with(|plant| plant.plug(LEFT)) == Plug::Charging && house.offer(LEFT) < MOST
        })
        .await;
    let told = house.offer(LEFT);
    assert!(told >= FALLBACK && told <= Amps::whole(11), "{told}");
    // The car takes half an ampere less than it is offered: only its own meter can say so.
    let proven = |status: &Status| amps(status, "left") == Some(told) && evse(status, "left").draw_a.most() < told;
    gateway.until("all say so, its own meter too", proven).await;
    house
        .until("the watcher too", |_| watcher.number("headroom/test/evse/left/setpoint_a") == Some(told.as_f64()))
        .await;
    let page: Value = serde_json::from_str(&get(gateway.http, "/status.json").await).unwrap();
    assert_eq!(page["evses"][0]["setpoint_a"].as_f64(), Some(told.as_f64()));

    line.lead_to(None);
    let status = gateway.until("it is missed", |status| !evse(status, "left").online).await;
    assert_eq!(
        (evse(&status, "left").reason.as_str(), amps(&status, "left")),
        ("unreachable", Some(told)),
        "it counts at its lease"
    );
    assert!(alarm(&status, "charger-left-unreachable").is_none(), "an absence this short alarms nobody");
    line.lead_to(Some(far));
    gateway.until("it is back", |status| evse(status, "left").online && evse(status, "left").lease_s > Some(15)).await;
    assert_eq!(house.offer(LEFT), told);

    let before = evse(&gateway.now(), "left").session_s;
    gateway.stop().await;
    house
        .until("the gateway says goodbye", |_| watcher.text("headroom/test/status").as_deref() == Some("offline"))
        .await;
    let mut gateway = house.open(&format!("[mqtt]\nhost = \"127.0.0.1\"\nport = {}\n", line.address.port())).await;
    let status = gateway.until("it is told anew", evse_is_told).await;
    assert_eq!((house.offer(LEFT), amps(&status, "left")), (told, Some(told)), "a restart changes no current");
    assert!(before.is_some() && evse(&status, "left").session_s.is_some());
    gateway.stop().await;
    charger.stop().await;
}

fn evse_is_told(status: &Status) -> bool {
    status.evses.iter().all(|evse| evse.online && evse.lease_s > Some(15)) && !status.evses.is_empty()
}

/// Keeps what each of the site's topics said last.
struct Watcher {
    said: Arc<Mutex<BTreeMap<String, String>>>,
    task: JoinHandle<()>,
}

impl Watcher {
    fn at(broker: SocketAddr) -> Self {
        let options = MqttOptions::new("watcher", broker.ip().to_string(), broker.port());
        let (client, mut events) = AsyncClient::new(options, 10);
        client.try_subscribe("headroom/#", QoS::AtLeastOnce).unwrap();
        let said = Arc::new(Mutex::new(BTreeMap::new()));
        let heard = said.clone();
        let task = tokio::spawn(async move {
            let _client = client;
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::Publish(message)) = event {
                    let text = String::from_utf8(message.payload.to_vec()).unwrap();
                    heard.lock().unwrap().insert(message.topic, text);
                }
            }
        });
        Watcher { said, task }
    }

    fn text(&self, topic: &str) -> Option<String> {
        self.said.lock().unwrap().get(topic).cloned()
    }

    fn number(&self, topic: &str) -> Option<f64> {
        self.text(topic)?.parse().ok()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}
