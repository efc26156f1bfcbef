//! What do the tests talk to? A broker, and a peer that speaks MQTT.

use headroom::config::{ChargerConfig, Config, MqttConfig};
use headroom::policy::Policy;
use headroom::site::{Circuit, CircuitId, Evse, LapseClass, MeterId, Rotation, Site, Step, Tuning, Wiring};
use headroom::units::{Amps, PerPhase, Phase};
use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Packet, Publish, QoS};
use rumqttd::{Broker, ConnectionSettings, RouterConfig, ServerSettings};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// Starts a broker that lasts as long as the test process.
pub fn broker() -> SocketAddr {
    let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 256 * 1024,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings { name: "v4".into(), listen, tls: None, next_connection_delay_ms: 1, connections };
    let router = RouterConfig {
        max_connections: 100,
        max_outgoing_packet_count: 500,
        max_segment_size: 1024 * 1024,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let config = rumqttd::Config { router, v4: Some([("1".to_owned(), server)].into()), ..rumqttd::Config::default() };
    std::thread::spawn(move || {
        if let Err(why) = Broker::new(config).start() {
            panic!("the broker does not start: {why}");
        }
    });
    listen
}

/// Somebody else at the broker. Dropped, its connection breaks without a farewell.
pub struct Peer {
    pub client: AsyncClient,
    heard: mpsc::Receiver<Publish>,
    poller: JoinHandle<()>,
}

impl Peer {
    pub async fn at(broker: SocketAddr, name: &str, filters: &[&str]) -> Self {
        Peer::with_will(broker, name, filters, None).await
    }

    pub async fn with_will(broker: SocketAddr, name: &str, filters: &[&str], will: Option<LastWill>) -> Self {
        wait_for_port(broker).await;
        let mut options = MqttOptions::new(name, broker.ip().to_string(), broker.port());
        options.set_max_packet_size(1024 * 1024, 1024 * 1024);
        if let Some(will) = will {
            options.set_last_will(will);
        }
        let (client, mut events) = AsyncClient::new(options, 100);
        let (tell, heard) = mpsc::channel(10_000);
        let (ready, mut is_ready) = mpsc::channel(1);
        let mut missing = filters.len();
        let poller = tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::ConnAck(_)) if missing == 0 => ready.send(()).await.unwrap(),
                    Event::Incoming(Packet::SubAck(_)) => {
                        missing -= 1;
                        if missing == 0 {
                            ready.send(()).await.unwrap();
                        }
                    }
                    Event::Incoming(Packet::Publish(publish)) => tell.send(publish).await.unwrap(),
                    _ => {}
                }
            }
        });
        for filter in filters {
            client.subscribe(*filter, QoS::AtLeastOnce).await.unwrap();
        }
        timeout(PATIENCE, is_ready.recv()).await.expect("the broker takes the peer").unwrap();
        Peer { client, heard, poller }
    }

    pub async fn say(&self, topic: &str, payload: &str, is_retained: bool) {
        self.client.publish(topic, QoS::AtLeastOnce, is_retained, payload).await.unwrap();
    }

    /// The next message that matters.
    pub async fn hear(&mut self, matters: impl Fn(&Publish) -> bool) -> Publish {
        let next = async {
            loop {
                let publish = self.heard.recv().await.expect("the peer's connection stands");
                if matters(&publish) {
                    return publish;
                }
            }
        };
        timeout(PATIENCE, next).await.expect("the message comes")
    }

    pub async fn hear_on(&mut self, topic: &str) -> Publish {
        self.hear(|publish| publish.topic == topic).await
    }

    /// All that comes in this span.
    pub async fn listen(&mut self, span: Duration) -> Vec<Publish> {
        let mut all = Vec::new();
        let _ = timeout(span, async {
            while let Some(publish) = self.heard.recv().await {
                all.push(publish);
            }
        })
        .await;
        all
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

async fn wait_for_port(broker: SocketAddr) {
    let is_open = async {
        while TcpStream::connect(broker).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, is_open).await.expect("the broker starts");
}

/// A house with one charger on MQTT (three phases, turned) and one on OCPP.
pub fn config(broker: SocketAddr) -> Config {
    let site = site();
    Config {
        policy: Policy::open(site.evses.len()),
        site,
        state_dir: "/nonexistent".into(),
        recorder: None,
        prepared: None,
        meters: Vec::new(),
        inverters: Vec::new(),
        chargers: vec![
            ChargerConfig::Mqtt { topic: "chargers/left".into() },
            ChargerConfig::Ocpp { identity: "RIGHT".into(), connector: 1, password: None },
        ],
        ocpp: None,
        mqtt: Some(MqttConfig {
            host: broker.ip().to_string(),
            port: broker.port(),
            username: None,
            password: None,
            client_id: "headroom-home".into(),
            topic: "headroom".into(),
            discovery: Some("homeassistant".into()),
            commands: true,
        }),
        cloud: None,
        http: None,
    }
}

pub fn site() -> Site {
    let evse = |id: &str, name: &str, rotation| Evse {
        id: id.into(),
        name: name.into(),
        circuit: CircuitId(0),
        rotation,
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::whole(6),
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(13),
        lapse: LapseClass::A,
        metering: Some(Duration::from_secs(10)),
    };
    Site {
        id: "home".into(),
        name: "Home".into(),
        wiring: Wiring::Star,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::all(Amps::whole(13)),
        circuits: vec![Circuit {
            id: "main".into(),
            name: "Main fuse".into(),
            parent: None,
            limit: PerPhase::all(Amps::whole(25)),
            margin: PerPhase::all(Amps::whole(1)),
            meter: Some(MeterId(0)),
            other_load: PerPhase::all(Amps::ZERO),
        }],
        evses: vec![
            evse("left", "Left", Rotation::three([Phase::L2, Phase::L3, Phase::L1])),
            evse("right", "Right", Rotation::one(Phase::L2)),
        ],
        meters: Vec::new(),
        tuning: Tuning::default(),
    }
}
