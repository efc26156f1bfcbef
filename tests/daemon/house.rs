//! Which house do the tests live in? 32 A, a meter, chargers as each test wants them, and a gateway that may come and go.

use crate::line::Line;
use headroom::clock::Clock;
use headroom::config::compile;
use headroom::daemon::Daemon;
use headroom::demo::peer::{Peer, SharedPlant, Task};
use headroom::demo::{meter, ocpp_charger};
use headroom::device::Library;
use headroom::notify::Notifier;
use headroom::sim::{Action, Car, Plant, Scenario, Script};
use headroom::site::{EvseId, Site};
use headroom::status::{Alarm, EvseStatus, Status, picture};
use headroom::time::Duration;
use headroom::units::{Amps, PerPhase};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The leases of all chargers, in seconds.
pub const LEASE_S: u64 = 20;
/// What all chargers fall back to.
pub const FALLBACK: Amps = Amps::whole(6);
/// What they may take at most.
pub const MOST: Amps = Amps::whole(16);

pub const LEFT: EvseId = EvseId(0);
pub const RIGHT: EvseId = EvseId(1);

const PASSWORD: &str = "sixteen characters";

/// A charger of the house.
#[derive(Clone, Copy)]
pub struct Stand {
    pub id: &'static str,
    pub rotation: &'static str,
    pub is_metered: bool,
    pub lapse: &'static str,
    pub most_a: u8,
    pub is_ocpp: bool,
}

impl Stand {
    /// One that dials in, has a meter and lets limits lapse.
    pub const fn ocpp(id: &'static str, rotation: &'static str) -> Self {
        Stand { id, rotation, is_metered: true, lapse: "a", most_a: 16, is_ocpp: true }
    }

    /// One that speaks MQTT below `chargers/<id>`.
    pub const fn mqtt(id: &'static str, rotation: &'static str) -> Self {
        Stand { is_ocpp: false, ..Stand::ocpp(id, rotation) }
    }
}

/// All but the gateway.
pub struct House {
    pub plant: SharedPlant,
    pub folder: TempDir,
    pub meter: Peer,
    /// Where OCPP chargers dial; it leads to the gateway of the moment.
    pub line: Line,
    stands: Vec<Stand>,
    _tasks: Vec<Task>,
}

impl House {
    /// Nothing flows yet; the chargers dial a gateway that is not there.
    pub async fn with(stands: &[Stand]) -> Self {
        let plant = SharedPlant::new(Plant::new(&truth(stands), &Script::default()), Clock::start());
        let meter = meter::start(&plant, 0).await.unwrap();
        let line = Line::to(None).await;
        let mut tasks = vec![plant.live()];
        for (index, stand) in stands.iter().enumerate().filter(|(_, stand)| stand.is_ocpp) {
            let dial = ocpp_charger::Dial {
                url: format!("ws://{}/ocpp", line.address),
                identity: stand.id.to_owned(),
                password: Some(PASSWORD.to_owned()),
                meter_every: Duration::from_secs(1),
            };
            tasks.push(ocpp_charger::start(&plant, EvseId(index), dial));
        }
        let folder = TempDir::new().unwrap();
        House { plant, folder, meter, line, stands: stands.to_vec(), _tasks: tasks }
    }

    /// What the installer has written, with `more` after it. All ports of the gateway are free ones.
    pub fn configuration(&self, more: &str) -> String {
        let mut text = format!(
            r#"
            site = {{ id = "test", name = "Test house", wiring = "star", house_worst_a = 13, state_dir = "{}" }}
            circuit = [{{ id = "main", name = "Main fuse", fuse_a = 32 }}]
            meter = [{{ id = "grid", circuit = "main", device = "eastron-sdm630", address = "{}", interval_ms = 200 }}]
            http = {{ listen = "127.0.0.1:0" }}
            recorder = {{ dir = "{}/flight" }}
            ocpp = {{ listen = "127.0.0.1:0", meter_interval_s = 1 }}
            control = {{ hold_s = 1, memory_s = 1, restart_s = 1, dwell_s = 5, stale_after_s = 2, lost_after_s = 4, good_samples = 3 }}
            "#,
            self.folder.path().display(),
            self.meter.address,
            self.folder.path().display(),
        );
        for Stand { id, rotation, is_metered, lapse, most_a, is_ocpp } in &self.stands {
            let edge = match is_ocpp {
                true => format!("protocol = \"ocpp\"\nidentity = \"{id}\"\npassword = \"{PASSWORD}\""),
                false => format!("protocol = \"mqtt\"\ntopic = \"chargers/{id}\""),
            };
            let phases = rotation.len();
            let metering = u8::from(*is_metered);
            text += &format!(
                "[[charger]]\nid = \"{id}\"\ncircuit = \"main\"\n{edge}\nphases = {phases}\nrotation = \"{rotation}\"\n\
                 lease_s = {LEASE_S}\nresponse_s = 2\nlapse = \"{lapse}\"\nmost_a = {most_a}\nmetering_s = {metering}\n"
            );
        }
        text + more
    }

    /// A gateway, and the line leads to it.
    pub async fn open(&self, more: &str) -> Gateway {
        let gateway = Gateway::start(&self.configuration(more)).await;
        self.line.lead_to(gateway.ocpp);
        gateway
    }

    /// The house takes so much more on each phase.
    pub fn load(&self, amps: [i32; 3]) {
        let amps = PerPhase(amps.map(Amps::whole));
        self.act(Action::Load { circuit: Site::ROOT, amps, over: Duration::ZERO });
    }

    /// A car that follows quickly.
    pub fn arrive(&self, evse: EvseId, token: Option<&str>) {
        let phases = self.stands[evse.0].rotation.len();
        let (lag, start) = (Duration::from_millis(100), Duration::from_millis(300));
        let (up, down, token) = (Amps::whole(40), Amps::whole(40), token.map(str::to_owned));
        self.act(Action::Arrive(evse, Car { phases, lag, start, up, down, token, ..Car::default() }));
    }

    pub fn act(&self, action: Action) {
        self.plant.with(|plant| plant.act(&action));
    }

    /// What this charger offers its car.
    pub fn offer(&self, evse: EvseId) -> Amps {
        self.plant.with(|plant| plant.offer(evse))
    }

    /// What this car takes on the site's phases.
    pub fn draw(&self, evse: EvseId) -> PerPhase<Amps> {
        self.plant.with(|plant| plant.draw(evse))
    }

    /// Waits until something is true in the house itself.
    pub async fn until(&self, what: &str, is_it: impl Fn(&House) -> bool) {
        let wait = async {
            while !is_it(self) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(PATIENCE, wait).await.is_ok(), "it never came true: {what}");
    }
}

fn truth(stands: &[Stand]) -> Site {
    let row = |Stand { id, rotation, is_metered, lapse, most_a, .. }: &Stand| {
        let metering = if *is_metered { "metering_s = 1, " } else { "" };
        format!(
            "{{ id = '{id}', rotation = '{rotation}', {metering}lapse = '{lapse}', most_a = {most_a}, lease_s = {LEASE_S}, response_s = 2 }}"
        )
    };
    let rows: Vec<String> = stands.iter().map(row).collect();
    let text = format!(
        "about = 'a house'\nuntil_s = 1\ncircuit = [{{ id = 'main', fuse_a = 32, margin_a = 1, meter_ms = 200 }}]\nevse = [{}]",
        rows.join(", ")
    );
    Scenario::parse(&text).unwrap().site
}

/// A daemon that runs in this process.
pub struct Gateway {
    pub http: SocketAddr,
    pub ocpp: Option<SocketAddr>,
    pub status: watch::Receiver<Arc<Status>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), String>>,
}

impl Gateway {
    pub async fn start(configuration: &str) -> Self {
        let library = Library::load(None).unwrap();
        let loaded = compile(configuration, "test.toml", Path::new("/"), &library);
        let mut config = loaded.config.as_ref().unwrap_or_else(|| panic!("{}", loaded.render(false))).clone();
        if let Some(cloud) = &mut config.cloud {
            // Five seconds is the least that a file may ask for.
            cloud.refresh = Duration::from_millis(500);
        }
        let daemon = Daemon::start(config, Clock::start()).await.unwrap();
        let (http, ocpp, status) = (daemon.http.unwrap(), daemon.ocpp, daemon.status());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(daemon.run(Notifier::from_environment(), async {
            let _ = stopped.await;
        }));
        Gateway { http, ocpp, status, stop, task }
    }

    /// Waits until the status is so.
    pub async fn until(&mut self, what: &str, is_it: impl Fn(&Status) -> bool) -> Arc<Status> {
        let found = timeout(PATIENCE, self.status.wait_for(|status| is_it(status))).await;
        let found = found.map(|found| found.unwrap().clone());
        found.unwrap_or_else(|_| panic!("it never came true: {what}\n{}", picture(&self.now(), 100, false)))
    }

    /// What it shows now.
    pub fn now(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// Stops in order.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(Duration::from_secs(5), self.task).await.expect("it stops within 5 s").unwrap().unwrap();
    }

    /// Ends without a word, as a crash does.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// This EVSE in the picture.
pub fn evse<'a>(status: &'a Status, id: &str) -> &'a EvseStatus {
    status.evses.iter().find(|evse| evse.id == id).expect("no such EVSE")
}

/// What this EVSE may take; `None` before the first step.
pub fn amps(status: &Status, id: &str) -> Option<Amps> {
    status.evses.iter().find(|evse| evse.id == id).map(|evse| evse.setpoint_a)
}

/// Has it all that it can take? A charger that is not reachable counts at its most, which is something else.
pub fn has_all(status: &Status, id: &str) -> bool {
    status.evses.iter().any(|evse| evse.id == id && evse.online && evse.setpoint_a == MOST && evse.reason == "full")
}

/// An alarm that stands.
pub fn alarm<'a>(status: &'a Status, id: &str) -> Option<&'a Alarm> {
    status.alarms.iter().find(|alarm| alarm.id == id)
}
