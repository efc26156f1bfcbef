//! Where does everybody come in who dials? One entrance for each charger; strangers are turned away.

use super::door::Door;
use crate::clock::Clock;
use crate::time::{Duration, Moment};
use axum::extract::ws::WebSocket;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Strangers are logged no more often than this.
const STRANGER_EVERY: Duration = Duration::from_secs(60);

/// All ways in.
pub struct Hall {
    /// By identity.
    pub entrances: BTreeMap<String, Entrance>,
    /// For the doors.
    pub clock: Clock,
    /// When one was last told of.
    pub stranger: Mutex<Option<Moment>>,
}

/// The way to one charger's task.
pub struct Entrance {
    /// Who may come in.
    pub door: Arc<Mutex<Door>>,
    /// Who has.
    pub sockets: mpsc::Sender<WebSocket>,
}

/// The door, whoever broke off while at it.
pub fn open(door: &Mutex<Door>) -> MutexGuard<'_, Door> {
    door.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hall {
    /// Somebody whom nobody knows.
    pub fn turn_away(&self, who: &str, from: SocketAddr, now: Moment) {
        let mut last = self.stranger.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| now.since(at) >= STRANGER_EVERY) {
            *last = Some(now);
            let who: String = who.chars().take(64).collect();
            tracing::warn!(identity = ?who, %from, "refused: no charger with this identity in the configuration");
        }
    }
}
