//! What does one charger do next? A state machine without I/O: told of frames, orders and the time, it says what to
//! send, what to report and when it wants to run again.
//!
//! ```text
//!             connected                     BootNotification, or 2 s without one
//!   offline ────────────▶ listening ───────────────────────────────────────────▶ setting up ──▶ set up
//!      ▲                      │  orders go at once, where we know what it counts in; at most one call is open
//!      └──────────────────────┴── disconnected, or nothing heard for `dead_after`
//! ```
//!
//! Calls of ours go one at a time: an order first, then the fallback profile, then the set-up. Calls of the charger are
//! answered at once, whatever is open.

mod answers;
mod people;
#[cfg(test)]
mod tests;

use super::access::{self, Access};
use super::book::Book;
use super::connector::Connector;
use super::frame::{self, Code, Fault, Frame};
use super::profile::Target;
use super::settings::Settings;
use super::setup::{Reply, Setup, Step};
use super::{Now, Told};
use crate::control::Order;
use crate::control::observation::{Accepted, Report};
use crate::policy::Policy;
use crate::site::EvseId;
use crate::time::{Duration, Moment};
use chrono::{DateTime, TimeDelta, Utc};
use people::{Awaited, Errand};
use serde_json::Value;
use std::collections::VecDeque;

/// A call of ours is given up after this: chargers are known that take half a minute for what they do not like.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A step of the set-up is given up after this when an order waits: a cut matters more than a sample interval.
pub const SETUP_PATIENCE: Duration = Duration::from_secs(5);

/// A charger that dials in gets so long to say that it has booted; some do not listen before.
pub const BOOT_WAIT: Duration = Duration::from_secs(2);

/// After a boot the set-up lets the step's orders go first.
const ORDERS_FIRST: Duration = Duration::from_millis(500);

/// A set-up that met an error is tried once more after this: some chargers need a moment after their boot.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How often we ping: below the 30 s to 60 s after which routers forget a connection.
const PING_EVERY: Duration = Duration::from_secs(25);

/// A connection is dead after three pings without a sign of life. Some chargers answer no ping: it is not dead before
/// a heartbeat was due either.
const DEAD_AFTER: Duration = Duration::from_secs(80);

/// However rare heartbeats are: a charger that is gone must not count as connected for longer.
const DEAD_AFTER_MOST: Duration = Duration::from_secs(300);

/// Slack for a heartbeat on its way.
const HEARTBEAT_SLACK: Duration = Duration::from_secs(20);

/// More boots than this within [`BOOT_SPAN`] may come from what we set: then nothing is set any more.
const BOOTS: usize = 3;

/// See [`BOOTS`].
const BOOT_SPAN: Duration = Duration::from_secs(600);

/// What the machine wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this text message.
    Send(String),
    /// Send a WebSocket ping.
    Ping,
    /// A command has come to this.
    Told(Told),
    /// A card that the policy does not know has been read.
    Stranger(String),
    /// Tell the step.
    Report(EvseId, Report),
    /// The book has changed.
    SaveBook,
    /// The connection is dead: close it.
    Close,
}

/// One charger.
#[derive(Debug)]
pub struct Charger {
    settings: Settings,
    connectors: Vec<Connector>,
    setup: Setup,
    is_configured: bool,
    /// A part of the set-up met an error, as chargers answer that are not quite awake: all of it is tried once more.
    retry: Retry,
    access: Access,
    errand: Option<Errand>,
    /// Starts from afar that may still begin; one a connector at most.
    awaited: Vec<Awaited>,
    online: Option<Online>,
    pending: Option<Pending>,
    told: Option<(Moment, DateTime<Utc>)>,
    boots: VecDeque<Moment>,
    is_odd: bool,
    is_silent: bool,
    stamp: i64,
    calls: u64,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    NotNeeded,
    Wanted,
    /// Once a connection: what is refused again is refused for good.
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Online {
    heard: Moment,
    ping_at: Moment,
    orders_from: Moment,
    setup_from: Moment,
}

/// The one call of ours that is open.
#[derive(Debug)]
struct Pending {
    id: String,
    asked: Asked,
    sent: Moment,
}

#[derive(Debug)]
enum Asked {
    Order { connector: usize, number: u64 },
    Fallback { connector: usize },
    Step(Step),
    Access(access::Step),
    Command,
}

impl Charger {
    /// Never seen since our start; what runs according to the book goes on.
    pub fn new(settings: Settings, book: &Book, now: Now) -> Self {
        let mut connectors: Vec<Connector> = settings.seats.iter().cloned().map(Connector::new).collect();
        for connector in &mut connectors {
            if let Some(open) = book.at(&connector.seat.id) {
                connector.begin(open.id, open.token.clone(), open.meter_wh, now.at);
            }
        }
        let evses = settings.seats.iter().map(|seat| seat.evse).collect();
        let mut charger = Charger {
            access: Access::new(evses),
            errand: None,
            awaited: Vec::new(),
            settings,
            connectors,
            setup: Setup::default(),
            is_configured: false,
            retry: Retry::NotNeeded,
            online: None,
            pending: None,
            told: None,
            boots: VecDeque::new(),
            is_odd: false,
            is_silent: false,
            stamp: now.wall.timestamp(),
            calls: 0,
            outputs: VecDeque::new(),
        };
        charger.report_news();
        charger
    }

    /// The last part of its URL.
    pub fn identity(&self) -> &str {
        &self.settings.identity
    }

    /// It has dialled in; an older connection is gone.
    pub fn connected(&mut self, now: Now) {
        self.hang_up(now);
        let connectors = self.connectors.len();
        match self.is_configured {
            true => self.setup.least(connectors),
            false => self.setup.all(connectors, self.settings.meter_interval, self.settings.heartbeat),
        }
        let later = now.at + BOOT_WAIT;
        let orders_from = if self.setup.must_read_first() { later } else { now.at };
        self.online = Some(Online { heard: now.at, ping_at: now.at + PING_EVERY, orders_from, setup_from: later });
        self.access.up();
        self.is_odd = false;
        self.retry = Retry::NotNeeded;
        self.connectors.iter_mut().for_each(|connector| connector.up(now.at));
        self.report_news();
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now: Now) {
        self.hang_up(now);
        self.online = None;
        self.connectors.iter_mut().for_each(|connector| connector.down(now.at));
        self.report_news();
    }

    /// Anything has come over the connection: that is life.
    pub fn heard(&mut self, now: Now) {
        if let Some(online) = &mut self.online {
            online.heard = now.at;
        }
    }

    /// A text message has come.
    pub fn frame(&mut self, text: &str, now: Now, policy: &Policy, book: &mut Book) {
        self.heard(now);
        match Frame::parse(text) {
            Ok(Frame::Call { id, action, payload }) => self.answer(&id, &action, &payload, now, policy, book),
            Ok(Frame::Result { id, payload }) => self.replied(&id, Reply::Said(&payload), now),
            Ok(Frame::Error { id, code }) => {
                tracing::debug!(charger = self.identity(), ?code, "call refused");
                self.replied(&id, Reply::Refused, now);
            }
            Err(Fault::Unanswerable(why)) => self.complain(why),
            Err(Fault::Answerable { id, why }) => {
                self.complain(why);
                self.send(frame::error(&id, Code::FormationViolation, why));
            }
        }
        self.go_on(now);
    }

    /// The step has decided. While the charger is away that is of no use: its return asks for a new order.
    pub fn order(&mut self, order: Order, now: Now) {
        if self.online.is_some()
            && let Some(connector) = self.connectors.iter_mut().find(|connector| connector.seat.evse == order.evse)
        {
            connector.order(order);
        }
        self.go_on(now);
    }

    /// The time that [`Charger::deadline`] asked for has come.
    pub fn timer(&mut self, now: Now) {
        let dead_after = self.dead_after();
        let Some(online) = &mut self.online else { return };
        if now.at.since(online.heard) >= dead_after {
            tracing::warn!(
                charger = self.settings.identity,
                "nothing heard for {} s; connection closed, the charger falls back by itself",
                dead_after.as_secs()
            );
            self.outputs.push_back(Output::Close);
            return;
        }
        if now.at >= online.ping_at {
            online.ping_at = now.at + PING_EVERY;
            self.outputs.push_back(Output::Ping);
        }
        if self.call_deadline().is_some_and(|deadline| now.at >= deadline) {
            self.give_up(Reply::Silent, now);
        }
        if self.errand_deadline().is_some_and(|deadline| now.at >= deadline) {
            self.drop_errand();
        }
        self.go_on(now);
    }

    /// What to do next; to be asked after each input until there is nothing.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When it wants [`Charger::timer`] at the latest; `None` while it is away.
    pub fn deadline(&self) -> Option<Moment> {
        let online = self.online?;
        let is_free = self.pending.is_none();
        let orders = (is_free && (self.is_waited_for() || self.is_errand_waiting())).then_some(online.orders_from);
        let setup = (is_free && !self.setup.is_done()).then_some(online.setup_from);
        let access = self.access.due().filter(|_| is_free && self.setup.is_done());
        let dead = online.heard + self.dead_after();
        let calls = [orders, setup, access, self.call_deadline(), self.errand_deadline()];
        calls.into_iter().chain([Some(online.ping_at), Some(dead)]).flatten().min()
    }

    fn is_waited_for(&self) -> bool {
        self.connectors.iter().any(|c| c.waiting.is_some() || c.wants_fallback)
    }

    /// What a person wants is not done long after it was wanted.
    fn errand_deadline(&self) -> Option<Moment> {
        self.errand.as_ref().filter(|errand| !errand.is_sent).map(|errand| errand.since + CALL_TIMEOUT)
    }

    fn dead_after(&self) -> Duration {
        (self.settings.heartbeat + HEARTBEAT_SLACK).clamp(DEAD_AFTER, DEAD_AFTER_MOST)
    }

    fn call_deadline(&self) -> Option<Moment> {
        let pending = self.pending.as_ref()?;
        let is_set_up = matches!(pending.asked, Asked::Step(_) | Asked::Access(_));
        let patience = match pending.asked {
            Asked::Order { .. } | Asked::Fallback { .. } => CALL_TIMEOUT,
            _ if self.is_waited_for() || is_set_up && self.is_errand_waiting() => SETUP_PATIENCE,
            Asked::Step(_) | Asked::Access(_) | Asked::Command => CALL_TIMEOUT,
        };
        Some(pending.sent + patience)
    }

    /// After every input: the next call, if none is open, and what has changed.
    fn go_on(&mut self, now: Now) {
        while let Some(online) = self.online
            && self.pending.is_none()
        {
            let may_order = now.at >= online.orders_from && !self.setup.must_read_first();
            if may_order && self.send_profile(now) {
                break;
            }
            if may_order && self.send_command(now) {
                break;
            }
            let step = if now.at >= online.setup_from { self.setup.next_step() } else { None };
            match step {
                Some(step) => self.take(step, now),
                None => {
                    _ = self.setup.is_done() && now.at >= online.setup_from && self.send_access(now);
                    break;
                }
            }
        }
        if self.retry == Retry::Wanted && self.setup.is_done() && self.pending.is_none() {
            self.retry = Retry::Done;
            self.setup.all(self.connectors.len(), self.settings.meter_interval, self.settings.heartbeat);
            self.online = self.online.map(|online| Online { setup_from: now.at + RETRY_AFTER, ..online });
        }
        self.report_news();
    }

    /// The oldest order goes first, then fallbacks.
    fn send_profile(&mut self, now: Now) -> bool {
        let clock = self.clock(now);
        let unit = self.setup.rate_unit();
        let oldest = self.connectors.iter().enumerate().filter_map(|(at, c)| Some((c.waiting?.number, at))).min();
        let at = oldest.map(|(_, at)| at).or_else(|| self.connectors.iter().position(|c| c.wants_fallback));
        let Some(connector) = at.and_then(|at| self.connectors.get_mut(at)) else { return false };
        let at = at.unwrap_or_default();
        let target = {
            let seat = &connector.seat;
            Target { connector: seat.connector, wired: seat.wired, volts: seat.volts, unit }
        };
        connector.wants_fallback = false;
        let (asked, profile) = match connector.waiting.take() {
            Some(order) => (
                Asked::Order { connector: at, number: order.number },
                target.leased(order.amps, order.lease, order.fallback, clock),
            ),
            None => (Asked::Fallback { connector: at }, target.lasting(connector.seat.fallback, clock)),
        };
        self.call(asked, "SetChargingProfile", &profile, now);
        true
    }

    fn take(&mut self, step: Step, now: Now) {
        if step == Step::Fallback {
            self.connectors.iter_mut().for_each(Connector::fall_back);
        }
        let is_known = matches!(step, Step::AskStatus(at) if self.connectors.get(at).is_some_and(|c| c.has_status));
        let seats = &self.settings.seats;
        let call = step.call(|at| seats.get(at).map(|seat| seat.connector)).filter(|_| !is_known);
        if let Some((action, payload)) = call {
            self.call(Asked::Step(step), action, &payload, now);
        }
        self.is_configured |= self.setup.is_done();
    }

    fn call(&mut self, asked: Asked, action: &str, payload: &Value, now: Now) {
        self.calls += 1;
        let id = format!("{:x}-{:x}", self.stamp, self.calls);
        self.send(frame::call(&id, action, payload));
        self.pending = Some(Pending { id, asked, sent: now.at });
    }

    /// An answer counts only if it is the one to the open call: one that comes late says nothing about the next.
    fn replied(&mut self, id: &str, reply: Reply<'_>, now: Now) {
        if self.pending.as_ref().is_some_and(|pending| pending.id == id) {
            if self.is_silent {
                tracing::info!(charger = self.identity(), "answers again");
                self.is_silent = false;
            }
            self.give_up(reply, now);
        }
    }

    /// The open call is over, with or without an answer.
    fn give_up(&mut self, reply: Reply<'_>, now: Now) {
        let Some(pending) = self.pending.take() else { return };
        let is_asleep = matches!(pending.asked, Asked::Fallback { .. } | Asked::Step(Step::ReadKeys));
        if is_asleep && reply == Reply::Refused && self.retry == Retry::NotNeeded {
            self.retry = Retry::Wanted;
        }
        let identity = &self.settings.identity;
        if reply == Reply::Silent && !self.is_silent {
            tracing::warn!(charger = identity, "no answer to our call in time");
            self.is_silent = true;
        }
        match pending.asked {
            Asked::Order { connector, number } => {
                let verdict = match reply {
                    Reply::Silent => Accepted::Silent,
                    reply if reply.is_yes() => Accepted::Yes,
                    Reply::Said(_) | Reply::Refused => Accepted::No,
                };
                if let Some(connector) = self.connectors.get_mut(connector) {
                    connector.answered(number, verdict, now.at);
                }
            }
            Asked::Fallback { connector } if !reply.is_yes() => tracing::warn!(
                charger = identity,
                connector = self.connectors.get(connector).map(|c| c.seat.connector),
                "the fallback profile was not taken: a car that plugs in while the gateway is away charges at the \
                 charger's own limit; set that to the fallback"
            ),
            Asked::Fallback { .. } => {}
            Asked::Access(step) => self.access_answered(&step, reply),
            Asked::Command => self.commanded(reply),
            Asked::Step(step) => {
                if !self.setup.answered(&step, reply) {
                    tracing::info!(charger = identity, ?step, "not taken");
                }
                if step == Step::ReadKeys && self.setup.is_without_lease() {
                    tracing::warn!(
                        charger = identity,
                        "takes schedules of one period only, so that no limit of ours ends by itself: set lapse = \"c\" \
                         for it"
                    );
                }
            }
        }
    }

    /// The open call ends with its connection; an order that was on its way may or may not have arrived.
    fn hang_up(&mut self, now: Now) {
        self.drop_errand();
        if let Some(Pending { asked: Asked::Order { connector, number }, .. }) = self.pending.take()
            && let Some(connector) = self.connectors.get_mut(connector)
        {
            connector.answered(number, Accepted::Silent, now.at);
        }
    }

    /// The charger's clock: what it was last told, and the time since. Schedules hang on it, so that a step of our own
    /// clock does not move them.
    fn clock(&self, now: Now) -> DateTime<Utc> {
        let (at, wall) = self.told.unwrap_or((now.at, now.wall));
        let since = TimeDelta::from_std(now.at.since(at)).unwrap_or_default();
        wall.checked_add_signed(since).unwrap_or(now.wall)
    }

    fn complain(&mut self, why: &str) {
        if self.is_odd {
            tracing::debug!(charger = self.settings.identity, why, "odd frame dropped");
        } else {
            tracing::warn!(charger = self.settings.identity, why, "odd frame dropped; further ones are not told");
            self.is_odd = true;
        }
    }

    fn send(&mut self, text: String) {
        self.outputs.push_back(Output::Send(text));
    }

    fn report_news(&mut self) {
        for connector in &mut self.connectors {
            if let Some(report) = connector.news() {
                self.outputs.push_back(Output::Report(connector.seat.evse, report));
            }
        }
    }
}
