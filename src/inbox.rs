//! How do the edges and the step meet? Last words in, newest orders out; bounded by the size of the site.

use crate::control::Order;
use crate::control::observation::{Observation, Word};
use crate::policy::Policy;
use crate::site::{EvseId, Site};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// Where edges leave their last word. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    words: Mutex<Observation>,
    bell: Notify,
}

impl Inbox {
    /// An empty one.
    pub fn new(site: &Site, inverters: usize) -> Self {
        Inbox {
            shared: Arc::new(Shared { words: Mutex::new(Observation::nothing(site, inverters)), bell: Notify::new() }),
        }
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

/// Where the newest order for each EVSE waits for its edge.
#[derive(Debug)]
pub struct Outbox {
    orders: Vec<watch::Sender<Option<Order>>>,
}

impl Outbox {
    /// One slot for each EVSE.
    pub fn new(site: &Site) -> Self {
        Outbox { orders: site.evses.iter().map(|_| watch::channel(None).0).collect() }
    }

    /// Replaces what waits for this EVSE.
    pub fn send(&self, order: Order) {
        if let Some(slot) = self.orders.get(order.evse.0) {
            slot.send_replace(Some(order));
        }
    }

    /// For the edge that serves this EVSE.
    pub fn orders_for(&self, evse: EvseId) -> Option<watch::Receiver<Option<Order>>> {
        self.orders.get(evse.0).map(watch::Sender::subscribe)
    }
}

/// The policy in force, as all see it.
pub type PolicyWatch = watch::Receiver<Arc<Policy>>;
