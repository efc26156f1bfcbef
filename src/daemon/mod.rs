//! How do the edges and the step run as one process? Edges fill the inbox, this task steps, edges carry the orders.
//!
//! One task owns the state of control. It wakes at once for a word in the inbox, and at the latest when the last
//! decision asked for it; several words that wait together are one step.

mod alarms;
pub mod identity;
mod keep;
mod requests;
pub mod reset;
mod rights;
mod status;
mod uploads;

use crate::clock::Clock;
use crate::cloud::CloudState;
use crate::config::{Config, RecorderConfig};
use crate::control::observation::Link;
use crate::control::{self, Decision, Observation, Order, State};
use crate::inbox::{Inbox, Outbox, PolicyWatch};
use crate::notify::Notifier;
use crate::recorder::{Recorder, Stepped};
use crate::sessions::{FOLDER, Sessions, Told};
use crate::site::{EvseId, LapseClass};
use crate::status::Status;
use crate::store::{Folder, Lock};
use crate::time::{Duration, Moment};
use crate::units::Amps;
use crate::{cloud, http, modbus, mqtt, ocpp};
pub use keep::PREPARED;

use alarms::Alarms;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use requests::Requests;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use uploads::Uploads;

/// An orderly stop waits this long for chargers to answer, and this long for the edges to end; systemd is promised 5 s
/// for all of it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Everything that runs, before the first step.
pub struct Daemon {
    config: Config,
    clock: Clock,
    inbox: Inbox,
    outbox: Arc<Outbox>,
    state: State,
    folder: Option<Arc<Folder>>,
    rights: rights::Desk,
    policy_state: watch::Receiver<CloudState>,
    status: watch::Sender<Arc<Status>>,
    stop: watch::Sender<bool>,
    /// A factory reset is begun: it is finished by the next start.
    reset: Arc<Notify>,
    /// Nobody else writes to the state folder.
    _lock: Option<Lock>,
    edges: Vec<JoinHandle<()>>,
    /// Edges that have something to do at a stop, and end by themselves.
    last_words: Vec<JoinHandle<()>>,
    alarms: Alarms,
    recorder: Option<Recorder>,
    sessions: Option<Sessions>,
    /// Where the page is, once it is bound.
    pub http: Option<SocketAddr>,
    /// Where chargers dial in, once it is bound.
    pub ocpp: Option<SocketAddr>,
    /// For whoever wants something of a charger over OCPP.
    pub chargers: Option<ocpp::Desk>,
}

impl Daemon {
    /// Starts all edges; the first step is still to come. Needs a tokio runtime.
    ///
    /// # Errors
    /// A port that cannot be bound, in words for people.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, String> {
        let (lock, folder) = state_folder(&config)?;
        let (inbox, outbox) = (Inbox::new(&config.site, config.inverters.len()), Arc::new(Outbox::new(&config.site)));
        let leases = keep::take_leases(folder.as_deref(), &config.site, clock.wall());
        let state = State::resume(&config.site, &leases, clock.now());

        let sessions = sessions(&config, folder.is_some(), clock);
        let uploads = sessions.as_ref().map(|sessions| {
            let runtime = tokio::runtime::Handle::current();
            Arc::new(Uploads { sessions: sessions.handle(), runtime }) as Arc<dyn cloud::Outbox>
        });
        let (status, seen) = watch::channel(Arc::new(Status::default()));
        let (stop, stopping) = watch::channel(false);
        let mut setup = cloud_setup(&config, folder.as_ref(), seen.clone(), uploads, clock, stopping.clone());
        let (asked, requests) = mpsc::channel(requests::MOST_UNDER_WAY);
        let was_reset = reset::take(folder.as_deref());
        setup.reset = was_reset.as_ref().map(|reset| reset.at);
        setup.requests = Some(request_desk(folder.as_ref(), asked, was_reset.and_then(|reset| reset.request)));
        let cloud = cloud::spawn(setup);
        let rights = rights::Desk::new(cloud.policy, folder.clone());
        let policy = rights.subscribe();
        let reset = Arc::new(Notify::new());
        let (mut edges, mut last_words) = (Vec::new(), vec![cloud.task]);
        let (mut ocpp_address, mut chargers) = (None, None);
        if config.ocpp.is_some() {
            let book = keep::read(folder.as_deref(), keep::BOOK).unwrap_or_default();
            let kept = ocpp::Kept { book, save: save_book(folder.clone()) };
            let stop = stopping.clone();
            let served = ocpp::serve(&config, clock, inbox.clone(), &outbox, policy.clone(), kept, stop).await;
            let served = served.map_err(|fault| port_taken("ocpp", &config, &fault))?;
            ocpp_address = Some(served.address);
            chargers = Some(served.desk);
            last_words.push(served.task);
        }
        let desk = Requests {
            config: Arc::new(config.clone()),
            chargers: chargers.clone(),
            policy: policy.clone(),
            state: cloud.state.clone(),
            inbox: inbox.clone(),
            clock,
            windows: Arc::default(),
            folder: folder.clone(),
            claims: Arc::default(),
            reset: reset.clone(),
        };
        edges.push(tokio::spawn(desk.serve(requests)));
        let mut http_address = None;
        if let Some(page) = &config.http {
            let served = http::serve(page.listen, seen.clone(), clock);
            let (address, task) = served.map_err(|fault| port_taken("http", &config, &fault))?;
            http_address = Some(address);
            edges.push(task);
        }
        let recorder = recorder(&config, &state, &policy, clock);
        last_words.extend(mqtt::spawn(&config, clock, inbox.clone(), &outbox, seen, stopping));
        edges.extend(modbus::spawn(&config, clock, &inbox));
        Ok(Daemon {
            config,
            clock,
            inbox,
            outbox,
            state,
            folder,
            rights,
            policy_state: cloud.state,
            status,
            stop,
            reset,
            _lock: lock,
            edges,
            last_words,
            alarms: Alarms::default(),
            recorder,
            sessions,
            http: http_address,
            ocpp: ocpp_address,
            chargers,
        })
    }

    /// What is going on, after each step.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    /// Steps until `stop` is ready, then stops in order.
    ///
    /// # Errors
    /// When the step's own check has failed twice within a minute: chargers fall back by themselves.
    pub async fn run(mut self, mut notifier: Notifier, stop: impl Future<Output = ()>) -> Result<(), String> {
        tokio::pin!(stop);
        let mut next = self.clock.now();
        let mut shown: Vec<(Amps, &'static str)> = Vec::new();
        let mut is_ready = false;
        loop {
            let rest = next.since(self.clock.now());
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = self.reset.notified() => {
                    tracing::warn!("a factory reset has been asked for: the next start forgets people, cards and sessions");
                    break;
                }
                () = self.rights.changed() => {}
                () = self.inbox.heard() => {}
                () = tokio::time::sleep(rest) => {}
            }
            let decision = self.step();
            status::log_changes(&self.config, &shown, &decision);
            shown = decision.setpoints.iter().map(|setpoint| (setpoint.amps, setpoint.because.code())).collect();
            if decision.is_fatal {
                return Err(
                    "the step's own check failed twice within a minute; chargers fall back by themselves".into()
                );
            }
            if !is_ready {
                notifier.ready(&format!("balancing {} chargers", self.config.site.evses.len()));
                is_ready = true;
            }
            let now = self.clock.now();
            notifier.stepped(now);
            next = decision.next;
        }
        notifier.stopping();
        self.stop().await;
        Ok(())
    }

    fn step(&mut self) -> Decision {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut seen = self.inbox.read();
        seen.wall = self.policy_state.borrow().wall(wall);
        let policy = {
            let cloud = self.policy_state.borrow();
            self.rights.update(&self.inbox, &self.config.site, &seen, &cloud, now)
        };
        let decision = control::step(&self.config.site, &mut self.state, &seen, &policy, now);
        self.outbox.deliver(&decision);
        if let Some(recorder) = &mut self.recorder {
            let (state, seen, policy, decision) = (&self.state, &seen, &policy, &decision);
            recorder.note(&Stepped { state, seen, policy, now, decision });
        }
        if let Some(sessions) = &mut self.sessions {
            let is_offline = self.config.cloud.is_some() && self.policy_state.borrow().trouble.is_some();
            let (site, seen, decision, policy) = (&self.config.site, &seen, &decision, &policy);
            sessions.step(&Told { site, seen, decision, policy, is_offline, now });
        }
        self.show(&seen, &decision, now, wall);
        decision
    }

    fn show(&mut self, seen: &Observation, decision: &Decision, now: Moment, wall: DateTime<Utc>) {
        let policy = self.policy_state.borrow().status(now, wall);
        let found = alarms::find(&self.config, seen, decision, &policy, now);
        let alarms = self.alarms.update(found, now, wall);
        let picture = status::picture(&self.config, seen, decision, policy, alarms, (now, wall));
        self.status.send_replace(Arc::new(picture));
    }

    /// State saved, nothing renewed; the fallback is pushed only where a limit does not expire by itself.
    async fn stop(mut self) {
        let now = self.clock.now();
        let mut orders = Vec::new();
        for (index, evse) in self.config.site.evses.iter().enumerate() {
            if evse.lapse == LapseClass::C {
                let order = self.state.farewell(&self.config.site, EvseId(index), now);
                self.outbox.send(order);
                orders.push(order);
            }
        }
        let _ = tokio::time::timeout(FAREWELL, self.answered(&orders)).await;
        if let Some(folder) = &self.folder {
            let leases = self.state.leases(&self.config.site, self.clock.now());
            if let Err(fault) = keep::write_leases(folder, &self.config.site, &leases, self.clock.wall()) {
                tracing::warn!(%fault, "leases cannot be kept: cars go to fallback at the next start");
            }
        }
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(FAREWELL, self.rights.close()).await;
        let _ = tokio::time::timeout(FAREWELL, join_all(&mut self.last_words)).await;
        tracing::info!("stopped; leases run out by themselves");
    }

    /// Waits until those who can be reached have answered these orders.
    async fn answered(&self, orders: &[Order]) {
        let is_open = |order: &Order, seen: &Observation| {
            let report = &seen.reports[order.evse.0];
            let has_answered = report.answer.is_some_and(|answer| answer.number >= order.number);
            matches!(report.link, Link::Up { .. }) && !has_answered
        };
        loop {
            let seen = self.inbox.read();
            if !orders.iter().any(|order| is_open(order, &seen)) {
                return;
            }
            self.inbox.heard().await;
        }
    }
}

/// Whoever drops a daemon wants its sockets closed.
impl Drop for Daemon {
    fn drop(&mut self) {
        self.edges.iter().chain(&self.last_words).for_each(JoinHandle::abort);
    }
}

/// The folder where things are kept, and nobody else's; without one balancing goes on. A reset that was begun is finished before
/// anything is read.
fn state_folder(config: &Config) -> Result<(Option<Lock>, Option<Arc<Folder>>), String> {
    let dir = config.state_dir.display();
    let lock = match Lock::take(&config.state_dir) {
        Ok(Some(lock)) => Some(lock),
        Ok(None) => return Err(format!("{dir}: another headroom is at work with this state folder; stop it first")),
        Err(fault) => {
            tracing::warn!(%fault, "{dir}: nothing can be kept; balancing goes on");
            return Ok((None, None));
        }
    };
    let folder = match Folder::open(&config.state_dir) {
        Ok(folder) => folder,
        Err(fault) => {
            tracing::warn!(%fault, "{dir}: nothing can be kept; balancing goes on");
            return Ok((lock, None));
        }
    };
    let recordings = config.recorder.as_ref().map(|recorder| recorder.dir.as_path());
    match reset::finish(&folder, &config.state_dir, recordings) {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => tracing::warn!(?removed, "factory reset: done"),
        Err(fault) => tracing::warn!(%fault, "factory reset: not finished; the next start goes on with it"),
    }
    if let Err(fault) = identity::Identity::kept_or_new(&folder) {
        tracing::warn!(%fault, "the gateway has no identity: it cannot be claimed");
    }
    Ok((lock, Some(Arc::new(folder))))
}

/// Nothing is recorded where there is no thread for it: balancing goes on.
fn recorder(config: &Config, state: &State, policy: &PolicyWatch, clock: Clock) -> Option<Recorder> {
    let RecorderConfig { dir, most } = config.recorder.clone()?;
    let policy = policy.borrow().clone();
    Recorder::start((dir, most), (&config.site, config.inverters.len()), (state, &policy), clock.now())
        .inspect_err(|fault| tracing::warn!(%fault, "the flight recorder cannot start; balancing goes on"))
        .ok()
}

/// Nothing is remembered where there is no thread for it: balancing goes on.
fn sessions(config: &Config, is_kept: bool, clock: Clock) -> Option<Sessions> {
    let folder = is_kept.then(|| config.state_dir.join(FOLDER));
    Sessions::start(folder, config.site.evses.len(), clock)
        .inspect_err(|fault| tracing::warn!(%fault, "sessions cannot be remembered; balancing goes on"))
        .ok()
}

fn cloud_setup(
    config: &Config,
    folder: Option<&Arc<Folder>>,
    status: watch::Receiver<Arc<Status>>,
    uploads: Option<Arc<dyn cloud::Outbox>>,
    clock: Clock,
    stop: watch::Receiver<bool>,
) -> cloud::Setup {
    let kept = |name| keep::read_bytes(folder.map(Arc::as_ref), name);
    cloud::Setup {
        config: config.cloud.clone(),
        site: config.site.clone(),
        chargers: config.chargers.clone(),
        local: config.policy.clone(),
        kept: kept(keep::POLICY),
        save: saver(folder, keep::POLICY),
        kept_events: kept(keep::EVENTS),
        save_events: saver(folder, keep::EVENTS),
        status,
        sessions: uploads,
        requests: None,
        prepared: Some(prepared_shelf(config, folder)),
        reset: None,
        clock,
        stop,
    }
}

/// What became of a preconfiguration, for the cloud; and where one goes if there is none.
fn prepared_shelf(config: &Config, folder: Option<&Arc<Folder>>) -> cloud::PreparedShelf {
    let found = config.prepared.as_ref().map(|prepared| cloud::Prepared {
        result: if prepared.is_used { cloud::PreparedResult::Applied } else { cloud::PreparedResult::NotApplied },
        told: prepared.told.clone(),
    });
    cloud::PreparedShelf { found, save: saver(folder, PREPARED) }
}

/// Keeps something under this name; without a folder it says that it does not.
fn saver(folder: Option<&Arc<Folder>>, name: &'static str) -> cloud::Save {
    let folder = folder.cloned();
    Arc::new(move |bytes| {
        let folder = folder.as_ref().ok_or_else(|| io::Error::other("there is no state folder"))?;
        folder.write(name, bytes)
    })
}

/// Without a folder nothing can be remembered, and no request is carried out.
fn request_desk(
    folder: Option<&Arc<Folder>>,
    asked: mpsc::Sender<cloud::Asked>,
    reset: Option<String>,
) -> cloud::RequestDesk {
    let kept = keep::read_bytes(folder.map(Arc::as_ref), keep::REQUESTS);
    let done = reset.map(|id| (id, cloud::RequestOutcome::of(cloud::RequestWord::Accepted)));
    cloud::RequestDesk { asked, kept, save: saver(folder, keep::REQUESTS), done }
}

fn save_book(folder: Option<Arc<Folder>>) -> ocpp::SaveBook {
    Arc::new(move |book| folder.as_ref().map_or(Ok(()), |folder| keep::write(folder, keep::BOOK, book)))
}

fn port_taken(what: &str, config: &Config, fault: &std::io::Error) -> String {
    let listen = match what {
        "ocpp" => config.ocpp.as_ref().map(|ocpp| ocpp.listen),
        _ => config.http.as_ref().map(|http| http.listen),
    };
    let listen = listen.map(|address| address.to_string()).unwrap_or_default();
    format!("{what}.listen: cannot listen on {listen}: {fault}; stop the other program or choose another port")
}
