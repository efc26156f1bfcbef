//! What does the MQTT edge do with what it hears? Everything but the connection itself: no I/O, told the time.
//!
//! `task` brings what happens (connected, lost, a message, an order, a status) and carries away what is to be published
//! ([`Edge::offer`]) and what control should know ([`Edge::words`]).

use super::board::Board;
use super::charger::Charger;
use super::{discovery, topics};
use crate::config::{ChargerConfig, Config, MqttConfig};
use crate::control::{Order, Word};
use crate::inbox::Command;
use crate::policy::Mode;
use crate::site::EvseId;
use crate::status::Status;
use crate::time::{Duration, Moment};
use rumqttc::QoS;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The status is published no more often than this: a person reads no faster, and a meter of 100 ms must not flood.
pub const SHOW_EVERY: Duration = Duration::from_secs(1);
/// A metered value that does not change is repeated after so long: a third of what discovery calls expired.
pub const BEAT_EVERY: Duration = Duration::from_secs(20);
/// So many wishes of people wait at most; the task carries them on at once.
const MOST_ASKED: usize = 16;

/// The edge's state.
#[derive(Debug)]
pub struct Edge {
    /// `<topic>/<site>`.
    base: String,
    board: Board,
    chargers: Vec<(EvseId, Charger)>,
    /// Which topic means which of the chargers, by its place in the list.
    routes: BTreeMap<String, (usize, Part)>,
    /// Which topic asks for what, where the installer has allowed that.
    commands: BTreeMap<String, (EvseId, Asked)>,
    /// What people have asked for.
    asked: Vec<Command>,
    /// Where Home Assistant tells that it has started.
    birth: Option<String>,
    /// Topics of the alarms that stand.
    alarms: BTreeSet<String>,
    /// The newest status, until it is shown.
    status: Option<Arc<Status>>,
    is_repeat_due: bool,
    next_show: Moment,
    /// When each live topic is to be repeated.
    beats: BTreeMap<String, Moment>,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    State,
    Status,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Boost,
    Mode,
    Pause,
}

/// Something to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its payload; empty clears a retained one.
    pub payload: &'a str,
    /// At least once where a loss would matter before the next connection, else at most once.
    pub qos: QoS,
    /// Should the broker keep it?
    pub is_retained: bool,
}

impl Edge {
    /// Nothing heard, nothing shown. `seed` differs from process to process.
    pub fn new(config: &Config, mqtt: &MqttConfig, seed: i64) -> Self {
        let base = format!("{}/{}", mqtt.topic, config.site.id);
        let mut chargers = Vec::new();
        let mut routes = BTreeMap::new();
        for evse in config.site.evse_ids() {
            if let ChargerConfig::Mqtt { topic } = config.charger(evse) {
                routes.insert(format!("{topic}/state"), (chargers.len(), Part::State));
                routes.insert(format!("{topic}/status"), (chargers.len(), Part::Status));
                let wired = config.site.evse(evse).rotation.wired();
                chargers.push((evse, Charger::new(topic.clone(), wired, seed)));
            }
        }
        let mut board = Board::default();
        if let Some(prefix) = &mqtt.discovery {
            let has_commands = mqtt.commands;
            for (topic, payload) in
                discovery::announcements(&config.site, &config.inverters, prefix, &base, has_commands)
            {
                board.put(&topic, payload, QoS::AtLeastOnce);
            }
        }
        board.put(&format!("{base}/status"), "online".into(), QoS::AtLeastOnce);
        let evses = config.site.evse_ids().filter(|_| mqtt.commands);
        let commands = evses.flat_map(|evse| {
            let topic = |word: &str| format!("{base}/evse/{}/{word}/set", config.site.evse(evse).id);
            [("boost", Asked::Boost), ("mode", Asked::Mode), ("pause", Asked::Pause)]
                .map(|(word, asked)| (topic(word), (evse, asked)))
        });
        Edge {
            commands: commands.collect(),
            asked: Vec::new(),
            base,
            board,
            chargers,
            routes,
            birth: mqtt.discovery.as_ref().map(|prefix| format!("{prefix}/status")),
            alarms: BTreeSet::new(),
            status: None,
            is_repeat_due: false,
            next_show: Moment::START,
            beats: BTreeMap::new(),
        }
    }

    /// The EVSEs that speak MQTT.
    pub fn evses(&self) -> impl Iterator<Item = EvseId> + '_ {
        self.chargers.iter().map(|(evse, _)| *evse)
    }

    /// What to subscribe to at each connection. Narrow: a wildcard would bring in whatever others leave at the broker.
    pub fn filters(&self) -> Vec<String> {
        let alarms = format!("{}/alarm/+", self.base);
        self.routes.keys().chain(self.commands.keys()).chain(&self.birth).cloned().chain([alarms]).collect()
    }

    /// What the broker says for us when we are gone, and we ourselves at an orderly stop.
    pub fn farewell(&self) -> (String, &'static str) {
        (format!("{}/status", self.base), "offline")
    }

    /// The broker has taken us. It may remember nothing.
    pub fn connected(&mut self) {
        self.board.repeat_all();
        for (_, charger) in &mut self.chargers {
            charger.broker_up();
        }
    }

    /// The broker is lost.
    pub fn disconnected(&mut self, now: Moment) {
        for (_, charger) in &mut self.chargers {
            charger.broker_down(now);
        }
    }

    /// A message has arrived.
    pub fn hear(&mut self, topic: &str, payload: &[u8], is_retained: bool, now: Moment) {
        if let Some((index, part)) = self.routes.get(topic) {
            if let Some((_, charger)) = self.chargers.get_mut(*index) {
                match part {
                    Part::State => charger.hear_state(payload, is_retained, now),
                    Part::Status => charger.hear_status(payload, is_retained, now),
                }
            }
        } else if let Some((evse, asked)) = self.commands.get(topic) {
            // A retained one was meant for another day; an unknown word for nobody.
            let command = match (asked, payload) {
                _ if is_retained => None,
                (Asked::Boost, b"PRESS") => Some(Command::Boost(*evse)),
                (Asked::Pause, b"ON") => Some(Command::Pause(*evse, true)),
                (Asked::Pause, b"OFF") => Some(Command::Pause(*evse, false)),
                (Asked::Mode, word) => {
                    std::str::from_utf8(word).ok().and_then(Mode::of).map(|mode| Command::Mode(*evse, mode))
                }
                (Asked::Boost | Asked::Pause, _) => None,
            };
            if self.asked.len() < MOST_ASKED {
                self.asked.extend(command);
            }
        } else if self.birth.as_deref() == Some(topic) {
            // A retained birth is older than this connection, at which everything was published anyway.
            self.is_repeat_due |= payload == b"online" && !is_retained;
        } else if is_retained && !payload.is_empty() && !self.board.holds(topic) {
            // An alarm of an earlier process that nobody has cleared: only our alarms are subscribed to besides.
            self.board.clear(topic);
        }
    }

    /// Control has a new order.
    pub fn order(&mut self, order: Order, now: Moment) {
        if let Some((_, charger)) = self.chargers.iter_mut().find(|(evse, _)| *evse == order.evse) {
            charger.order(order, now);
        }
    }

    /// There is a new status; it is shown by [`Edge::tick`] when its time has come.
    pub fn show(&mut self, status: Arc<Status>) {
        self.status = Some(status);
    }

    /// Does what the time asks for.
    pub fn tick(&mut self, now: Moment) {
        for (_, charger) in &mut self.chargers {
            charger.tick(now);
        }
        if now < self.next_show || !self.has_show() {
            return;
        }
        self.next_show = now + SHOW_EVERY;
        if std::mem::take(&mut self.is_repeat_due) {
            self.board.repeat_all();
        }
        if let Some(status) = self.status.take() {
            self.post(&status, now);
        }
    }

    /// [`Edge::tick`] has something to do then; `None` until something happens.
    pub fn deadline(&self) -> Option<Moment> {
        let show = self.has_show().then_some(self.next_show);
        self.chargers.iter().filter_map(|(_, charger)| charger.deadline()).chain(show).min()
    }

    /// What control should know.
    pub fn words(&mut self) -> Vec<Word> {
        self.chargers.iter_mut().filter_map(|(evse, charger)| Some(Word::Report(*evse, charger.news()?))).collect()
    }

    /// What people have asked for since the last time.
    pub fn commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.asked)
    }

    /// Hands out what is to be published, setpoints first, until `publish` says that it took no more; the rest waits.
    /// Says whether all went.
    pub fn offer(&mut self, now: Moment, mut publish: impl FnMut(Message<'_>) -> bool) -> bool {
        for (_, charger) in &mut self.chargers {
            if let Some((topic, payload)) = charger.due(now) {
                let (topic, payload) = (topic.as_str(), payload.as_str());
                // Retained, an old setpoint would raise a charger that comes back a day later.
                if !publish(Message { topic, payload, qos: QoS::AtLeastOnce, is_retained: false }) {
                    return false;
                }
                charger.published(now);
            }
        }
        self.board.offer(|topic, payload, qos| publish(Message { topic, payload, qos, is_retained: true }))
    }

    fn has_show(&self) -> bool {
        self.status.is_some() || self.is_repeat_due
    }

    fn post(&mut self, status: &Status, now: Moment) {
        for topic in topics::topics(status) {
            let name = format!("{}/{}", self.base, topic.path);
            // At most once is enough for what is told anew at each change and each connection, and keeps few in flight.
            let is_news = self.board.put(&name, topic.payload, QoS::AtMostOnce);
            if !topic.is_live {
                continue;
            }
            let is_due = self.beats.get(&name).is_none_or(|beat| now >= *beat);
            if is_due && !is_news {
                self.board.repeat(&name);
            }
            if is_due || is_news {
                self.beats.insert(name, now + BEAT_EVERY);
            }
        }
        let mut standing = BTreeSet::new();
        for alarm in &status.alarms {
            let (path, payload) = topics::alarm(alarm);
            let name = format!("{}/{path}", self.base);
            self.board.put(&name, payload, QoS::AtLeastOnce);
            standing.insert(name);
        }
        for over in self.alarms.difference(&standing) {
            self.board.clear(over);
        }
        self.alarms = standing;
    }
}

#[cfg(test)]
#[path = "edge_tests.rs"]
mod tests;
