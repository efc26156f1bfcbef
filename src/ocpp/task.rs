//! How do frames, orders and time reach each charger's machine? One task a charger: it owns the machine and the one
//! socket that counts. The only async file of this edge.
//!
//! A newcomer ends the conversation with the old socket wherever that stands, and nothing that is still on its way
//! there is heard any more. Chargers share nothing but the book, which is locked for the length of one frame: a slow one
//! delays nobody.

use super::book::{Kept, SaveBook};
use super::charger::{Charger, Output};
use super::desk::{Ask, COMMANDS_MOST, Desk, Reader};
use super::door::{self, Door};
use super::hall::{Entrance, Hall, open};
use super::ledger::Ledger;
use super::pace::Pace;
use super::settings::chargers;
use super::visitor::{Arrival, Visitor};
use super::{Now, Told};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::Order;
use crate::control::observation::Word;
use crate::inbox::{Inbox, Outbox, PolicyWatch};
use crate::site::EvseId;
use crate::time::{Duration, Moment};
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use futures_util::future::{pending, select_all};
use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// The largest message: nearly all are below 2 kB; a long queue of meter values in one message stays below this.
const FRAME_MOST: usize = 64 * 1024;

/// A socket's read buffer (the library's own choice is 128 KiB): most messages fit.
const READ_BUFFER: usize = 4 * 1024;

/// A write that takes longer is to a peer that reads nothing; its connection is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whoever dials in gets so long for the handshake: a charger takes milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections beside those of the configured chargers: strangers, and newcomers before the old socket is gone.
const SPARE_CONNECTIONS: usize = 32;

/// After an error of `accept` (out of files, mostly) so long until the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A book that could not be saved is tried again so often: a full disk does not empty in seconds.
const SAVE_RETRY: Duration = Duration::from_secs(60);

/// The subprotocol of OCPP 1.6J.
const PROTOCOL: &str = "ocpp1.6";

/// The edge at work.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its task.
    pub task: JoinHandle<()>,
    /// For whoever wants something of a charger.
    pub desk: Desk,
}

/// Listens for the chargers of `config`; port 0 is allowed. Reports go to `inbox`, orders come from `outbox`. Once
/// `stop` is true it closes the listener and every socket, saves the book as it is then, and ends; when the handle is
/// aborted it does so without the book.
///
/// # Errors
/// Where there is no `[ocpp]` in the configuration, or the address cannot be listened on.
pub async fn serve(
    config: &Config,
    clock: Clock,
    inbox: Inbox,
    outbox: &Outbox,
    policy: PolicyWatch,
    kept: Kept,
    mut stop: watch::Receiver<bool>,
) -> io::Result<Serving> {
    let Some(ocpp) = &config.ocpp else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "OCPP: no [ocpp] in the configuration"));
    };
    let listener = TcpListener::bind(ocpp.listen)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("OCPP: cannot listen on {}: {error}", ocpp.listen)))?;
    let address = listener.local_addr()?;

    let now = Now { at: clock.now(), wall: clock.wall() };
    let evses: Vec<&str> = config.site.evses.iter().map(|evse| evse.id.as_str()).collect();
    let book = Mutex::new(kept.book.resume(&evses, now.date()));
    let ledger = Arc::new(Ledger { book, changed: Notify::new(), is_closed: AtomicBool::new(false) });
    let mut tasks = JoinSet::new();
    let mut entrances = BTreeMap::new();
    let (reader, mut asked) = (Arc::new(Reader::new(clock)), Vec::new());
    for (settings, password) in chargers(config, ocpp) {
        let door = Arc::new(Mutex::new(Door::new(&settings.identity, password)));
        // One newcomer may wait while its task lets go of the old socket.
        let (sockets, newcomers) = mpsc::channel(1);
        let (ask, commands) = mpsc::channel(COMMANDS_MOST);
        let evses: Vec<EvseId> = settings.seats.iter().map(|seat| seat.evse).collect();
        asked.push((evses.clone(), ask));
        entrances.insert(settings.identity.clone(), Entrance { door: door.clone(), sockets });
        let hang_ups = evses.iter().filter_map(|evse| outbox.hang_ups_for(*evse)).collect();
        let lane = Lane {
            orders: evses.iter().filter_map(|evse| outbox.orders_for(*evse)).collect(),
            evses,
            commands,
            asker: None,
            reader: reader.clone(),
            charger: Charger::new(settings, &ledger.lock(), now),
            door,
            clock,
            inbox: inbox.clone(),
            policy: policy.clone(),
            ledger: ledger.clone(),
        };
        tasks.spawn(lane.run(newcomers, hang_ups));
    }
    let gate = Gate { listener, places: Arc::new(Semaphore::new(2 * entrances.len() + SPARE_CONNECTIONS)) };
    let mut saving = JoinSet::new();
    saving.spawn(keep(ledger.clone(), kept.save));
    let hall = Arc::new(Hall { entrances, clock, stranger: Mutex::new(None) });
    let app = Router::new().fallback(dial).with_state(hall).into_make_service_with_connect_info::<Arrival>();
    tracing::info!(%address, "OCPP listens");
    let server = tokio::spawn(async move {
        tokio::select! {
            served = axum::serve(gate, app).into_future() => if let Err(error) = served {
                tracing::error!(%error, "OCPP server ended; cars fall back by themselves");
            },
            () = stopped(&mut stop) => {}
        }
        // First those that change the book, then the last word of it.
        tasks.shutdown().await;
        ledger.close();
        saving.join_next().await;
    });
    Ok(Serving { address, task: server, desk: Desk::new(asked, reader) })
}

/// Saves the book whenever it has changed, and when it is closed; several changes that wait together are one write.
async fn keep(ledger: Arc<Ledger>, save: SaveBook) {
    let mut is_failing = false;
    loop {
        let is_last = ledger.is_closed.load(Ordering::Acquire);
        let (book, save) = (ledger.lock().clone(), save.clone());
        let saved = tokio::task::spawn_blocking(move || save(&book)).await.unwrap_or_else(|e| Err(io::Error::other(e)));
        match &saved {
            Ok(()) if is_failing => tracing::info!("the open transactions are saved again"),
            Ok(()) => {}
            Err(error) if !is_failing => tracing::warn!(
                %error,
                "the open transactions could not be saved; charging goes on, and is tried again; after a restart now \
                 they would be taken over without their tokens: free some space in the state directory"
            ),
            Err(error) => tracing::debug!(%error, "the open transactions could not be saved"),
        }
        if is_last {
            return;
        }
        is_failing = saved.is_err();
        match is_failing {
            true => _ = timeout(SAVE_RETRY, ledger.changed.notified()).await,
            false => ledger.changed.notified().await,
        }
    }
}

/// One charger: its machine, and all that the machine is told of.
struct Lane {
    charger: Charger,
    door: Arc<Mutex<Door>>,
    evses: Vec<EvseId>,
    orders: Slots<Order>,
    commands: mpsc::Receiver<Ask>,
    /// Who waits for the answer to the command that is under way.
    asker: Option<oneshot::Sender<Told>>,
    reader: Arc<Reader>,
    clock: Clock,
    inbox: Inbox,
    policy: PolicyWatch,
    ledger: Arc<Ledger>,
}

impl Lane {
    async fn run(mut self, mut newcomers: mpsc::Receiver<WebSocket>, mut hang_ups: Slots<Moment>) {
        self.settle();
        let mut next = None;
        loop {
            let mut socket = match next.take() {
                Some(socket) => socket,
                None => match self.wait(&mut newcomers, &mut hang_ups).await {
                    Some(socket) => socket,
                    None => return,
                },
            };
            let now = self.now();
            if !open(&self.door).admit(now.at) {
                continue;
            }
            // What was ordered before is out of date: the new epoch asks for new orders.
            self.orders.iter_mut().for_each(watch::Receiver::mark_unchanged);
            self.charger.connected(now);
            self.govern();
            tracing::info!(charger = self.charger.identity(), "connected");
            next = tokio::select! {
                biased;
                until = newest(&mut hang_ups) => {
                    self.hang_up(until);
                    None
                }
                newcomer = newcomers.recv() => newcomer,
                () = self.converse(&mut socket) => None,
            };
            drop(socket);
            self.charger.disconnected(self.now());
            self.settle();
            if next.is_none() {
                open(&self.door).left();
                tracing::info!(charger = self.charger.identity(), "disconnected");
            }
        }
    }

    /// Until the charger dials in; what is wanted of it meanwhile has no answer.
    async fn wait(
        &mut self,
        newcomers: &mut mpsc::Receiver<WebSocket>,
        hang_ups: &mut Slots<Moment>,
    ) -> Option<WebSocket> {
        loop {
            tokio::select! {
                biased;
                until = newest(hang_ups) => self.hang_up(until),
                newcomer = newcomers.recv() => return newcomer,
                Some((_, asker)) = self.commands.recv() => drop(asker.send(Told::NoAnswer)),
            }
        }
    }

    /// Control knows no other way to lower it.
    fn hang_up(&self, until: Moment) {
        open(&self.door).shut(until);
        let seconds = until.since(self.clock.now()).as_secs();
        tracing::warn!(
            charger = self.charger.identity(),
            "hung up on the charger: it ignores its limit and its circuit is over; it falls back by itself, and is let \
             in again in {seconds} s"
        );
    }

    /// Until the socket is of no more use. May be dropped at any point.
    async fn converse(&mut self, socket: &mut WebSocket) {
        let mut pace = Pace::new(self.clock.now());
        loop {
            if !self.perform(socket).await {
                return;
            }
            let now = self.clock.now();
            let resumes = pace.resumes(now);
            let deadline = [self.charger.deadline(), resumes].into_iter().flatten().min();
            let wait = deadline.map_or(Duration::MAX, |deadline| deadline.since(now));
            tokio::select! {
                biased;
                order = newest(&mut self.orders) => self.charger.order(order, self.now()),
                Ok(()) = self.policy.changed() => self.govern(),
                Some((command, asker)) = self.commands.recv(), if self.asker.is_none() => {
                    self.asker = Some(asker);
                    self.charger.command(command, self.now());
                }
                () = sleep(wait) => self.charger.timer(self.now()),
                message = socket.recv(), if resumes.is_none() => match message {
                    Some(Ok(message)) => {
                        pace.heard(self.clock.now());
                        self.hear(&message);
                    }
                    Some(Err(error)) => {
                        tracing::info!(charger = self.charger.identity(), %error, "connection broken");
                        return;
                    }
                    None => return,
                },
            }
        }
    }

    fn hear(&mut self, message: &Message) {
        let now = self.now();
        open(&self.door).heard(now.at);
        match message {
            Message::Text(text) => {
                let policy = self.policy.borrow().clone();
                self.charger.frame(text, now, &policy, &mut self.ledger.lock());
            }
            // The library answers pings and closes by itself.
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Close(_) => self.charger.heard(now),
        }
    }

    /// Does what the machine wants done. False when the socket is of no more use.
    async fn perform(&mut self, socket: &mut WebSocket) -> bool {
        while let Some(output) = self.charger.next_output() {
            let message = match output {
                Output::Send(text) => Message::Text(text.into()),
                Output::Ping => Message::Ping(Default::default()),
                Output::Close => return false,
                Output::Report(..) | Output::SaveBook | Output::Told(_) | Output::Stranger(_) => {
                    self.note(output);
                    continue;
                }
            };
            if !matches!(timeout(WRITE_TIMEOUT, socket.send(message)).await, Ok(Ok(()))) {
                tracing::info!(charger = self.charger.identity(), "cannot be written to; connection closed");
                return false;
            }
        }
        true
    }

    /// Does what can be done without a socket.
    fn settle(&mut self) {
        while let Some(output) = self.charger.next_output() {
            self.note(output);
        }
    }

    fn govern(&mut self) {
        let policy = self.policy.borrow_and_update().clone();
        self.charger.govern(policy, self.now());
    }

    fn note(&mut self, output: Output) {
        match output {
            Output::Report(evse, report) => self.inbox.put(Word::Report(evse, report)),
            Output::SaveBook => self.ledger.changed.notify_one(),
            Output::Told(told) => {
                if let Some(asker) = self.asker.take() {
                    // Whoever has gone meanwhile wants no answer.
                    _ = asker.send(told);
                }
            }
            Output::Stranger(card) => self.reader.read(&self.evses, &card),
            Output::Send(_) | Output::Ping | Output::Close => {}
        }
    }

    fn now(&self) -> Now {
        Now { at: self.clock.now(), wall: self.clock.wall() }
    }
}

/// A stop is said; a sender that is gone says nothing.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending().await
    }
}

/// What waits for each EVSE of a charger.
type Slots<T> = Vec<watch::Receiver<Option<T>>>;

/// The next thing for any of these EVSEs.
async fn newest<T: Copy>(slots: &mut [watch::Receiver<Option<T>>]) -> T {
    loop {
        let changes = slots.iter_mut().map(|slot| {
            Box::pin(async move {
                match slot.changed().await {
                    Ok(()) => *slot.borrow_and_update(),
                    // The step has gone: there will be no more orders.
                    Err(_) => pending().await,
                }
            })
        });
        let changes: Vec<_> = changes.collect();
        if changes.is_empty() {
            return pending().await;
        }
        if let (Some(newest), _, _) = select_all(changes).await {
            return newest;
        }
    }
}

/// Somebody dials in.
async fn dial(
    State(hall): State<Arc<Hall>>,
    ConnectInfo(arrival): ConnectInfo<Arrival>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let now = hall.clock.now();
    let identity = door::identity(uri.path());
    let Some((identity, entrance)) = identity.as_ref().and_then(|identity| hall.entrances.get_key_value(identity))
    else {
        hall.turn_away(identity.as_deref().unwrap_or(uri.path()), arrival.from, now);
        return (StatusCode::NOT_FOUND, "no such charger in the configuration\n").into_response();
    };
    let mut upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let entry = open(&entrance.door).knock(authorization, now);
    if let Some(refusal) = entrance.answer(entry, identity, arrival.from, now) {
        return refusal;
    }
    arrival.let_stay();
    let offered = upgrade.requested_protocols().filter_map(|name| name.to_str().ok());
    let is_common = offered.flat_map(|names| names.split(',')).any(|name| name.trim() == PROTOCOL);
    let is_spoken = is_common || upgrade.requested_protocols().all(|name| name.as_bytes().trim_ascii().is_empty());
    if is_common {
        upgrade = upgrade.protocols([PROTOCOL]);
    }
    let (sockets, identity) = (entrance.sockets.clone(), identity.clone());
    upgrade
        .max_message_size(FRAME_MOST)
        .max_frame_size(FRAME_MOST)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * FRAME_MOST)
        .on_upgrade(async move |mut socket| {
            if is_spoken {
                // Its task takes it at once, whatever the old socket does.
                _ = timeout(HANDSHAKE_TIMEOUT, sockets.send(socket)).await;
            } else {
                tracing::warn!(charger = identity, "speaks no {PROTOCOL}; closed: set the charger to OCPP 1.6J");
                _ = timeout(WRITE_TIMEOUT, socket.send(Message::Close(None))).await;
            }
        })
}

/// Accepts as many connections as there are places.
struct Gate {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Gate {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else { return pending().await };
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    // An order is one small segment: it must not wait for the answer to the last one.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY");
                    }
                    return (Visitor::new(stream, sleep(HANDSHAKE_TIMEOUT), place), from);
                }
                Err(error) => {
                    tracing::warn!(%error, "OCPP: cannot accept a connection; tried again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Gate>> for Arrival {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        stream.io().arrival(*stream.remote_addr())
    }
}
