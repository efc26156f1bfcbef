//! How do the edges and the step meet? Last words in, newest orders out; bounded by the size of the site.

use crate::control::observation::{Observation, Word};
use crate::control::{Decision, HangUp, Order};
use crate::policy::{Mode, Policy};
use crate::site::{EvseId, Site};
use crate::time::Moment;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// So many commands wait for the step at most: people press a button again when nothing happens.
const MOST_COMMANDS: usize = 16;

/// What people at the site ask for, where the installer has allowed that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The session at this EVSE goes first for a while, as far as the policy allows.
    Boost(EvseId),
    /// The session at this EVSE pauses (true), or goes on.
    Pause(EvseId, bool),
    /// The session at this EVSE charges so.
    Mode(EvseId, Mode),
}

/// Where edges leave their last word. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    words: Mutex<Observation>,
    commands: Mutex<VecDeque<Command>>,
    bell: Notify,
}

impl Inbox {
    /// An empty one.
    pub fn new(site: &Site, inverters: usize) -> Self {
        let words = Mutex::new(Observation::nothing(site, inverters));
        Inbox { shared: Arc::new(Shared { words, commands: Mutex::default(), bell: Notify::new() }) }
    }

    /// Asks for something; false: too much waits already.
    pub fn ask(&self, command: Command) -> bool {
        let mut commands = self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = commands.len() < MOST_COMMANDS;
        if has_room {
            commands.push_back(command);
            self.shared.bell.notify_one();
        }
        has_room
    }

    /// All that has been asked for since the last time.
    pub fn commands(&self) -> VecDeque<Command> {
        std::mem::take(&mut *self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves a word; the step runs soon.
    pub fn put(&self, word: Word) {
        self.shared.words.lock().unwrap_or_else(PoisonError::into_inner).hear(word);
        self.shared.bell.notify_one();
    }

    /// Waits for a word.
    pub async fn heard(&self) {
        self.shared.bell.notified().await;
    }

    /// All last words.
    pub fn read(&self) -> Observation {
        self.shared.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where the newest order for each EVSE waits for its edge, and until when its charger must not be connected.
#[derive(Debug)]
pub struct Outbox {
    orders: Vec<watch::Sender<Option<Order>>>,
    hang_ups: Vec<watch::Sender<Option<Moment>>>,
}

impl Outbox {
    /// One slot for each EVSE.
    pub fn new(site: &Site) -> Self {
        Outbox {
            orders: site.evses.iter().map(|_| watch::channel(None).0).collect(),
            hang_ups: site.evses.iter().map(|_| watch::channel(None).0).collect(),
        }
    }

    /// All that a step has decided for edges.
    pub fn deliver(&self, decision: &Decision) {
        decision.orders.iter().for_each(|order| self.send(*order));
        decision.hang_ups.iter().for_each(|hang_up| self.hang_up(*hang_up));
    }

    /// Replaces what waits for this EVSE.
    pub fn send(&self, order: Order) {
        if let Some(slot) = self.orders.get(order.evse.0) {
            slot.send_replace(Some(order));
        }
    }

    /// Has this charger hung up on, by an edge that can; what is known there already is no news.
    pub fn hang_up(&self, hang_up: HangUp) {
        if let Some(slot) = self.hang_ups.get(hang_up.evse.0) {
            slot.send_if_modified(|until| until.replace(hang_up.until) != Some(hang_up.until));
        }
    }

    /// When this EVSE's charger may be connected again, for the edge that serves it.
    pub fn hang_ups_for(&self, evse: EvseId) -> Option<watch::Receiver<Option<Moment>>> {
        self.hang_ups.get(evse.0).map(watch::Sender::subscribe)
    }

    /// For the edge that serves this EVSE.
    pub fn orders_for(&self, evse: EvseId) -> Option<watch::Receiver<Option<Order>>> {
        self.orders.get(evse.0).map(watch::Sender::subscribe)
    }
}

/// The policy in force, as all see it.
pub type PolicyWatch = watch::Receiver<Arc<Policy>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tests::{evse, site};
    use crate::time::Duration;
    use crate::units::Amps;

    #[test]
    fn each_edge_finds_what_was_decided_for_its_evse_and_what_it_knows_is_no_news() {
        let outbox = Outbox::new(&site(vec![evse("left"), evse("right")]));
        let right = EvseId(1);
        let mut orders = [EvseId(0), right].map(|evse| outbox.orders_for(evse).unwrap());
        let mut hang_ups = [EvseId(0), right].map(|evse| outbox.hang_ups_for(evse).unwrap());
        let lease = Duration::from_secs(60);
        let order = Order { evse: right, number: 1, amps: Amps::whole(8), lease, fallback: Amps::whole(6) };
        let mut decision = Decision { orders: vec![order], ..Decision::default() };
        let news = |decision: &Decision, hang_ups: &mut [watch::Receiver<Option<Moment>>; 2]| {
            outbox.deliver(decision);
            hang_ups.each_mut().map(|slot| slot.has_changed().unwrap().then(|| *slot.borrow_and_update()).flatten())
        };
        assert_eq!(news(&decision, &mut hang_ups), [None, None]);
        assert_eq!(orders.each_mut().map(|slot| *slot.borrow_and_update()), [None, Some(order)]);
        for (seconds, is_news) in [(100, true), (100, false), (300, true)] {
            let until = Moment::from_millis(seconds * 1000);
            decision.hang_ups = vec![HangUp { evse: right, until }];
            assert_eq!(news(&decision, &mut hang_ups), [None, is_news.then_some(until)], "{seconds} s");
        }
    }
}
