//! What does headroom look like at work? A whole virtual site on loopback, with real sockets, in real time.
//!
//! ```text
//!                  ┌── meter, inverter (Modbus TCP) ──┐
//!     story ─▶ plant ── two OCPP chargers ────────────┤── the same gateway as everywhere ── page, MQTT
//!                  └── MQTT charger, broker ──────────┘              │
//!                                           policy cloud ────────────┘
//! ```
//!
//! Each peer can be started by itself, on a free port, for tests of the whole gateway.

pub mod broker;
pub mod cloud;
pub mod inverter;
pub mod meter;
mod modbus;
pub mod mqtt_charger;
pub mod ocpp_charger;
mod ocpp_keys;
mod ocpp_profile;
mod ocpp_talk;
pub mod peer;
mod screen;
pub mod site;
pub mod story;

use crate::clock::Clock;
use crate::sim::{Plant, Script};
use crate::site::EvseId;
use crate::status::Status;
use crate::time::Duration;
use peer::{Peer, SharedPlant, Task};
use screen::Screen;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long the gateway may take to end in order after a signal; then the demo ends without it.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port of the page; `None`: a free one.
    pub http_port: Option<u16>,
    /// The port for OCPP chargers; `None`: a free one.
    pub ocpp_port: Option<u16>,
    /// The port of the MQTT broker; `None`: a free one.
    pub mqtt_port: Option<u16>,
    /// How long one telling of the story takes.
    pub period: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { http_port: None, ocpp_port: None, mqtt_port: None, period: story::LENGTH }
    }
}

/// Runs the virtual site and the gateway until a signal (SIGINT, SIGTERM) or until the gateway ends.
///
/// `gateway` is what starts the gateway from a configuration's text; it ends by itself on these signals. `picture` draws
/// its status for a terminal.
///
/// # Errors
/// What cannot be started, and why; or what the gateway ended with.
pub async fn run<G, F>(options: Options, gateway: G, picture: fn(&Status) -> String) -> Result<(), String>
where
    G: FnOnce(String) -> F,
    F: Future<Output = Result<(), String>>,
{
    let failed = |fault: io::Error| format!("demo: {fault}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let directory = Directory::new().map_err(failed)?;
    let site = VirtualSite::start(&options, &directory.0).await.map_err(failed)?;
    let mut screen = Screen::new(site.addresses.http, picture);
    let gateway = gateway(site.configuration.clone());
    tokio::pin!(gateway);
    let ended = tokio::select! {
        ended = &mut gateway => Some(ended),
        () = show(&site, &mut screen) => None,
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let result = match ended {
        Some(ended) => ended,
        // Its chargers stay connected meanwhile, so that it can take leave of them.
        None => tokio::time::timeout(END_WITHIN, gateway).await.unwrap_or(Ok(())),
    };
    site.stop().await;
    result
}

/// Shows the site until nobody reads the output any more.
async fn show(site: &VirtualSite, screen: &mut Screen) {
    loop {
        let line = *site.line.borrow();
        if screen.show(line, site.plant.clock().now()).await.is_err() {
            return;
        }
        tokio::time::sleep(screen.pace()).await;
    }
}

/// Everything but the gateway.
#[derive(Debug)]
pub struct VirtualSite {
    /// The plant that all peers share.
    pub plant: SharedPlant,
    /// Where they listen, and where the gateway shall.
    pub addresses: site::Addresses,
    /// The gateway's configuration.
    pub configuration: String,
    /// The story's line of the moment.
    pub line: watch::Receiver<story::Line>,
    peers: Vec<Peer>,
    tasks: Vec<Task>,
}

impl VirtualSite {
    /// Starts all peers and the story. State goes below `directory`.
    ///
    /// # Errors
    /// A port is taken, or there is none.
    pub async fn start(options: &Options, directory: &Path) -> io::Result<Self> {
        let truth = site::truth().map_err(io::Error::other)?;
        let clock = Clock::start();
        let plant = SharedPlant::new(Plant::new(&truth, &Script::default()), clock);
        let meter = meter::start(&plant, 0).await?;
        let inverter = inverter::start(&plant, 0).await?;
        let cloud = cloud::start(0, site::policy(clock.wall())).await?.peer;
        let addresses = site::Addresses {
            meter: meter.address,
            inverter: inverter.address,
            cloud: cloud.address,
            broker: broker::start(options.mqtt_port.unwrap_or(0)).await?,
            http: port(options.http_port)?,
            ocpp: port(options.ocpp_port)?,
        };
        let dial = |identity: &str| ocpp_charger::Dial {
            url: format!("ws://{}/ocpp", addresses.ocpp),
            identity: identity.to_owned(),
            password: Some(site::PASSWORD.to_owned()),
            meter_every: Duration::from_secs(2),
        };
        let yard = mqtt_charger::Wiring { broker: addresses.broker, topic: "headroom/chargers/yard".into() };
        let ocpp = |evse: EvseId, identity: &str| ocpp_charger::start(&plant, evse, dial(identity));
        let (told, line) = watch::channel(story::Line::default());
        let tasks = vec![
            plant.live(),
            ocpp(site::LEFT, "HOME-1"),
            ocpp(site::RIGHT, "HOME-2"),
            mqtt_charger::start(&plant, site::YARD, yard),
            story::tell(&plant, options.period, told),
        ];
        let configuration = site::configuration(&addresses, directory);
        Ok(VirtualSite { addresses, configuration, line, peers: vec![meter, inverter, cloud], tasks, plant })
    }

    /// Ends all peers but the broker, which ends with the process.
    pub async fn stop(self) {
        for task in self.tasks {
            task.stop().await;
        }
        for peer in self.peers {
            peer.stop().await;
        }
    }
}

/// A port of loopback that is free, or as asked for. It is the gateway that will listen there, so it is given back.
fn port(asked: Option<u16>) -> io::Result<SocketAddr> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, asked.unwrap_or(0)))?.local_addr()
}

/// A directory for the gateway's state, gone with the demo.
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("headroom-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(fault) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!("demo: {} stays: {fault}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::peer::SharedPlant;
    use super::*;
    use crate::sim::Scenario;
    use crate::site::Site;
    use tokio_modbus::client::{Reader, tcp};

    #[tokio::test]
    async fn the_site_lives_before_there_is_a_gateway_and_ends_when_told() {
        let directory = Directory::new().unwrap();
        let options = Options { period: Duration::from_secs(12), ..Options::default() };
        let site = VirtualSite::start(&options, &directory.0).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(site.line.borrow().words, "Per parks in the yard. His car takes one phase, L2.");
        let mut context = tcp::connect(site.addresses.meter).await.unwrap();
        assert_eq!(context.read_input_registers(0, 18).await.unwrap().unwrap().len(), 18);
        let meter = site.addresses.meter;
        site.stop().await;
        assert!(tcp::connect(meter).await.is_err(), "nobody listens any more");
    }

    /// 25 A, one meter a second, and these EVSEs.
    pub fn site_of(evses: &[&str]) -> Site {
        let rows: Vec<String> = evses.iter().map(|id| format!("{{ id = \"{id}\" }}")).collect();
        let text = format!(
            "about = 'a site'\nuntil_s = 1\ncircuit = [{{ id = 'main', fuse_a = 25, margin_a = 1, meter_ms = 1000 }}]\nevse = [{}]",
            rows.join(", ")
        );
        Scenario::parse(&text).unwrap().site
    }

    /// A plant that lives in real time.
    pub fn shared(site: &Site) -> SharedPlant {
        SharedPlant::new(Plant::new(site, &Script::default()), Clock::start())
    }
}
