//! How long from a change committed at the cloud to its ack, and to the setpoint where it lowers? Loopback, long poll.
//!
//! The cloud is the test policy server (`examples/policy-server`). Thirty gateways' cloud edges wait for changes, which
//! come to one after the other; then one whole daemon with ten OCPP chargers has its class lowered ampere by ampere.
//! A gateway asks no more than ten times in ten seconds: the changes are spread so that this is no part of the times.

use crate::chargers::{self, Arrival};
use crate::meter::{Flow, Grid};
use crate::now;
use crate::server::{Options, PolicyServer};
use crate::table::Table;
use crate::wire::{self, CHARGERS, FULL_A, START_MOST};
use headroom::clock::Clock;
use headroom::cloud::{Cloud, Save, Setup};
use headroom::config::{CloudConfig, Config, Secret, compile};
use headroom::daemon::Daemon;
use headroom::device::Library;
use headroom::notify::Notifier;
use headroom::store::Folder;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

const GATEWAYS: usize = 30;
/// In turn: 240 changes. An ack waits for the disk, and a gateway writes ten documents at once, then one a minute.
const CHANGES: usize = 8 * GATEWAYS;
/// From one change to the next; each gateway has one in 1.8 s.
const SPACING: Duration = Duration::from_millis(60);
/// The one gateway with chargers has one in this time.
const STEP: Duration = Duration::from_millis(1200);
/// So often it is lowered, by 1 A each: 200 times at ten chargers.
const STEPS: u64 = 20;
/// Whoever has not heard by then never will.
const MOST: Duration = Duration::from_secs(10);
/// The server's acks are looked at so often.
const LOOK: Duration = Duration::from_micros(200);

/// Some 240 changes and 200 setpoints.
pub fn measure(table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        table.times("policy: change committed → on disk → ack, long poll, 30 gateways", acks().await, "p99 < 2 s");
        table.times(
            "policy: change committed → lower setpoint frame, each of 10 OCPP chargers",
            setpoints().await,
            "p99 < 2 s",
        );
    });
}

async fn acks() -> Vec<Duration> {
    let (server, url) = serve().await;
    let folder = tempfile::tempdir().expect("a folder for the state");
    let state = folder.path().display().to_string();
    let nowhere = ([127, 0, 0, 1], 1).into();
    let config = config(&wire::configuration(&state, nowhere, nowhere));
    let gateways: Vec<String> = (0..GATEWAYS).map(|index| format!("gw_{index}")).collect();
    let _edges: Vec<Cloud> = gateways
        .iter()
        .map(|gateway| {
            server.put(gateway, document(gateway, 1, 32).into());
            let disk = Folder::open(folder.path().join(gateway)).expect("a folder for the policy");
            let save = Arc::new(move |bytes: &[u8]| disk.write("policy", bytes));
            headroom::cloud::spawn(setup(&config, cloud(gateway, &url), save))
        })
        .collect();
    for gateway in &gateways {
        acked(&server, gateway, 1).await;
    }
    let mut times = Vec::new();
    for change in 0..CHANGES {
        let gateway = &gateways[change % GATEWAYS];
        let version = 2 + (change / GATEWAYS) as u64;
        let body = document(gateway, version, 32);
        let begun = now();
        server.put(gateway, body.into());
        acked(&server, gateway, version).await;
        times.push(begun.elapsed());
        sleep(SPACING.saturating_sub(begun.elapsed())).await;
    }
    times
}

async fn setpoints() -> Vec<Duration> {
    let (server, url) = serve().await;
    server.put("bench", document("bench", 1, 32).into());
    let grid = Grid::default();
    *grid.lock() = Flow { house: 0.0, cars: vec![0.0; CHARGERS], ..Default::default() };
    let folder = tempfile::tempdir().expect("a folder for the state");
    let ocpp = wire::free_port();
    let mut config = config(&wire::configuration(&folder.path().display().to_string(), grid.meter(), ocpp));
    config.cloud = Some(cloud("bench", &url));
    let daemon = Daemon::start(config, Clock::start()).await.expect("the daemon starts");
    let running = tokio::spawn(daemon.run(Notifier::from_environment(), std::future::pending()));
    let (sender, mut arrivals) = mpsc::channel(4 * CHARGERS);
    for charger in 0..CHARGERS {
        tokio::spawn(chargers::charge(ocpp, charger, grid.clone(), sender.clone()));
    }
    let risen = wire::until_all(&grid, &mut arrivals, |amps| amps >= FULL_A);
    timeout(START_MOST, risen).await.expect("all cars rise");
    let mut times = Vec::new();
    for step in 1..=STEPS {
        sleep(STEP).await;
        while arrivals.try_recv().is_ok() {}
        let before = grid.lock().cars.clone();
        let begun = now();
        server.put("bench", document("bench", 1 + step, 32 - step).into());
        let mut told = vec![None; CHARGERS];
        let all = async {
            while told.iter().any(Option::is_none)
                && let Some(Arrival { charger, at, limit }) = arrivals.recv().await
            {
                if limit < before[charger] {
                    told[charger].get_or_insert(at.duration_since(begun));
                }
            }
        };
        timeout(MOST, all).await.expect("all are told less");
        times.extend(told.into_iter().flatten());
    }
    running.abort();
    times
}

async fn serve() -> (PolicyServer, String) {
    let offers = "hints, ack, events, sessions".into();
    let server = PolicyServer::new(Options { token: "bench".into(), admin_token: "admin".into(), hold_s: 50, offers });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    tokio::spawn(server.clone().serve(listener));
    (server, url)
}

async fn acked(server: &PolicyServer, gateway: &str, version: u64) {
    let is_there = || {
        let gateways = server.gateways();
        let ack = gateways.get(gateway).and_then(|gateway| gateway.acks.last()).cloned().unwrap_or_default();
        ack["version"] == version && ack["result"] == "applied"
    };
    let there = async {
        while !is_there() {
            sleep(LOOK).await;
        }
    };
    timeout(MOST, there).await.expect("each change is acked");
}

fn config(text: &str) -> Config {
    let library = Library::load(None).expect("the devices are there");
    let loaded = compile(text, "bench.toml", Path::new("/"), &library);
    loaded.config.expect("the configuration has no fault")
}

fn cloud(gateway: &str, url: &str) -> CloudConfig {
    CloudConfig {
        url: url.into(),
        gateway_id: gateway.into(),
        location_id: "loc".into(),
        token: Some(Secret("bench".into())),
        trust: None,
        allow_unsigned: true,
        refresh: Duration::from_secs(60),
        may_reset: false,
    }
}

fn setup(config: &Config, cloud: CloudConfig, save: Save) -> Setup {
    Setup {
        config: Some(cloud),
        site: config.site.clone(),
        chargers: config.chargers.clone(),
        local: config.policy.clone(),
        kept: None,
        save,
        kept_events: None,
        save_events: Arc::new(|_| Ok(())),
        status: watch::channel(Arc::default()).1,
        sessions: None,
        requests: None,
        prepared: None,
        reset: None,
        clock: Clock::start(),
        stop: watch::channel(false).1,
    }
}

/// Everybody is in one class, with this ceiling.
fn document(gateway: &str, version: u64, ceiling_a: u64) -> String {
    let body: Value = json!({
        "schema": "headroom.policy/1.0",
        "gateway_id": gateway, "location_id": "loc",
        "epoch": 1, "version": version,
        "issued_at": "2026-01-01T00:00:00Z", "expires_at": "2100-01-01T00:00:00Z",
        "access": {"default_mode": "open", "unknown_token": "all"},
        "classes": [{"id": "all", "charging_priority": 0, "ceiling_a": ceiling_a}],
    });
    body.to_string()
}
