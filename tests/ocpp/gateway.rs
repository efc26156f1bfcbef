//! What is on both ends of the wire? A gateway with two chargers, and a charge point that says what a test tells it to.

use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use headroom::clock::Clock;
use headroom::config::{ChargerConfig, Config, OcppConfig, Secret};
use headroom::control::Order;
use headroom::control::observation::Report;
use headroom::inbox::{Inbox, Outbox};
use headroom::ocpp::{self, Book, Desk};
use headroom::policy::Policy;
use headroom::site::{Circuit, CircuitId, Evse, EvseId, LapseClass, Rotation, Site, Step, Tuning, Wiring};
use headroom::units::{Amps, PerPhase, Phase};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longer than anything here takes on a busy machine, shorter than any timeout of the product.
pub const SOON: Duration = Duration::from_secs(5);

/// `left` is `HOME 1` with a password, `right` is `OPEN-2` without one.
pub struct Gateway {
    pub address: SocketAddr,
    pub server: JoinHandle<()>,
    pub inbox: Inbox,
    pub outbox: Outbox,
    pub saved: Arc<Mutex<Vec<Book>>>,
    pub desk: Desk,
    pub policy: watch::Sender<Arc<Policy>>,
}

impl Gateway {
    pub async fn start() -> Self {
        Self::start_with(Book::default()).await
    }

    pub async fn start_with(book: Book) -> Self {
        let config = config();
        let (inbox, outbox) = (Inbox::new(&config.site, 0), Outbox::new(&config.site));
        let (policy, policy_watch) = watch::channel(Arc::new(config.policy.clone()));
        let saved = Arc::new(Mutex::new(Vec::new()));
        let shelf = saved.clone();
        let save: ocpp::SaveBook = Arc::new(move |book: &Book| {
            shelf.lock().unwrap().push(book.clone());
            Ok(())
        });
        let (kept, stop) = (ocpp::Kept { book, save }, watch::channel(false).1);
        let served = ocpp::serve(&config, Clock::start(), inbox.clone(), &outbox, policy_watch, kept, stop);
        let served = served.await.unwrap();
        Gateway { address: served.address, server: served.task, inbox, outbox, saved, policy, desk: served.desk }
    }

    pub async fn dial(&self, path: &str, password: Option<&str>, protocol: Option<&str>) -> Result<Plugged, Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request()?;
        let headers = request.headers_mut();
        if let Some(password) = password {
            let credentials = base64::engine::general_purpose::STANDARD.encode(format!("HOME 1:{password}"));
            headers.insert("Authorization", format!("Basic {credentials}").parse().unwrap());
        }
        if let Some(protocol) = protocol {
            headers.insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        }
        let (socket, response) = timeout(SOON, tokio_tungstenite::connect_async(request)).await.unwrap()?;
        let protocol = response.headers().get("Sec-WebSocket-Protocol").map(|name| name.to_str().unwrap().to_owned());
        Ok(Plugged { socket, protocol })
    }

    pub async fn left(&self) -> Plugged {
        self.dial("/ocpp/HOME%201", Some("secret-of-left"), Some("ocpp1.6")).await.unwrap()
    }

    pub async fn right(&self) -> Plugged {
        self.dial("/ocpp/OPEN-2", None, Some("ocpp1.6")).await.unwrap()
    }

    pub fn order(&self, evse: usize, number: u64, amps: i32) {
        let lease = Duration::from_secs(120);
        let order = Order { evse: EvseId(evse), number, amps: Amps::milli(amps), lease, fallback: Amps::whole(6) };
        self.outbox.send(order);
    }

    /// The report of an EVSE once it is as wanted.
    pub async fn report(&self, evse: usize, is_wanted: impl Fn(&Report) -> bool) -> Report {
        let wait = async {
            loop {
                let report = self.inbox.read().reports[evse].clone();
                if is_wanted(&report) {
                    return report;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never came: {:?}", self.inbox.read().reports[evse]))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn config() -> Config {
    let evse = |id: &str| Evse {
        id: id.into(),
        name: id.into(),
        circuit: CircuitId(0),
        rotation: Rotation::three(Phase::ALL),
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::whole(6),
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(13),
        lapse: LapseClass::B,
        metering: Some(Duration::from_secs(10)),
    };
    let main = Circuit {
        id: "main".into(),
        name: "Main".into(),
        parent: None,
        limit: PerPhase::all(Amps::whole(25)),
        margin: PerPhase::all(Amps::whole(1)),
        meter: None,
        other_load: PerPhase::all(Amps::ZERO),
    };
    let charger = |identity: &str, password: Option<&str>| ChargerConfig::Ocpp {
        identity: identity.into(),
        connector: 1,
        password: password.map(|text| Secret(text.into())),
    };
    Config {
        site: Site {
            id: "home".into(),
            name: "Home".into(),
            wiring: Wiring::Star,
            primary: None,
            limits: Default::default(),
            house_worst: PerPhase::all(Amps::whole(10)),
            circuits: vec![main],
            evses: vec![evse("left"), evse("right")],
            meters: vec![],
            tuning: Tuning::default(),
        },
        state_dir: "/nowhere".into(),
        recorder: None,
        prepared: None,
        meters: vec![],
        inverters: vec![],
        chargers: vec![charger("HOME 1", Some("secret-of-left")), charger("OPEN-2", None)],
        ocpp: Some(OcppConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            heartbeat: Duration::from_secs(60),
            meter_interval: Duration::from_secs(10),
        }),
        mqtt: None,
        cloud: None,
        http: None,
        policy: Policy::open(2),
    }
}

/// A charger's end of a connection.
pub struct Plugged {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub protocol: Option<String>,
}

impl Plugged {
    pub async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame; `None` when the connection is over.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(SOON, self.socket.next()).await.expect("nothing came") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// A call of ours: the answer to it, with calls of theirs before it left out.
    pub async fn ask(&mut self, action: &str, payload: Value) -> Value {
        self.send(json!([2, "c", action, payload])).await;
        loop {
            let frame = self.next().await.expect("an answer");
            if frame[1] == "c" {
                assert_eq!(frame[0], 3, "{frame}");
                return frame[2].clone();
            }
        }
    }

    /// Their next call, answered with this.
    pub async fn accept(&mut self, action: &str) -> Value {
        let call = self.next().await.expect("a call");
        assert_eq!((&call[0], &call[2]), (&json!(2), &json!(action)), "{call}");
        self.send(json!([3, call[1], {"status": "Accepted"}])).await;
        call[3].clone()
    }

    /// Boots and lets itself be set up, to the last call.
    pub async fn boot(&mut self) {
        self.ask("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"})).await;
        while self.accept_any().await["requestedMessage"] != "StatusNotification" {}
        // What it should know of people: it has none of these keys.
        for _ in 0..2 {
            self.accept("GetConfiguration").await;
        }
    }

    pub async fn accept_any(&mut self) -> Value {
        let call = self.next().await.expect("a call");
        self.send(json!([3, call[1], {"status": "Accepted"}])).await;
        call[3].clone()
    }

    pub async fn is_closed(&mut self) -> bool {
        while let Some(frame) = self.next().await {
            assert_eq!(frame[0], 2, "{frame}");
        }
        true
    }
}

pub fn status_of(result: Result<Plugged, Error>) -> u16 {
    match result {
        Ok(_) => 101,
        Err(Error::Http(response)) => {
            let response: &http::Response<_> = &response;
            response.status().as_u16()
        }
        Err(error) => panic!("{error}"),
    }
}
