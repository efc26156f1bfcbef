//! Where does everybody come in who dials? One entrance for each charger; strangers are turned away.

use super::door::{Door, Entry};
use crate::clock::Clock;
use crate::time::{Duration, Moment};
use axum::extract::ws::WebSocket;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
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

impl Entrance {
    /// The answer to whoever has knocked and must not come in; `None`: he may.
    pub fn answer(&self, entry: Entry, identity: &str, from: SocketAddr, now: Moment) -> Option<Response> {
        let complain = |why: &str| {
            if open(&self.door).may_complain(now) {
                tracing::warn!(charger = identity, %from, "refused: {why}");
            }
        };
        match entry {
            Entry::Free => {}
            Entry::Takeover { is_frequent: false } => {
                tracing::info!(charger = identity, %from, "dials in again; the old connection is closed");
            }
            Entry::Takeover { is_frequent: true } => tracing::warn!(
                charger = identity,
                %from,
                "dials in again and again while connected; the newest one counts: look for two chargers with one identity"
            ),
            Entry::Unauthorized => {
                complain("wrong or no password");
                let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"ocpp\"")];
                return Some((StatusCode::UNAUTHORIZED, challenge, "wrong or no password\n").into_response());
            }
            Entry::Occupied => {
                complain("connected already, and no password is set");
                return Some((StatusCode::CONFLICT, "connected already\n").into_response());
            }
            Entry::Shut { left } => {
                // Whoever comes back a second too early is refused once more; zero would mean at once.
                let retry = [(header::RETRY_AFTER, (left.as_secs() + 1).to_string())];
                return Some((StatusCode::SERVICE_UNAVAILABLE, retry, "it has to fall back first\n").into_response());
            }
        }
        None
    }
}
