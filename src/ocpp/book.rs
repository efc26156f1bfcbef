//! Which transactions run, and which id is next? What has to outlive a restart, and nothing else.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;

/// Writes the book durably, or says why not. It may block; it is called from a blocking thread.
pub type SaveBook = Arc<dyn Fn(&Book) -> io::Result<()> + Send + Sync>;

/// What outlives the process.
pub struct Kept {
    /// As it was last saved, or an empty one.
    pub book: Book,
    /// Saves it whenever it changes.
    pub save: SaveBook,
}

/// Ids passed over at each start: more transactions than can begin between a save that fails and the end of a process.
const ID_BLOCK: i64 = 1000;

/// Ids stay below this (OCPP 1.6 says integer; chargers keep 32 bits).
const ID_END: i64 = i32::MAX as i64;

/// Ids are counted up from the seconds since then (2025-01-01), as one transaction a second is never reached:
/// they stay unique though the book could never be saved.
const ID_EPOCH: i64 = super::DATE_KNOWN_FROM;

/// The open transactions of all chargers, at most one for an EVSE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// No transaction has had this id or a higher one, except those that were adopted.
    pub next_id: i64,
    /// Those that run.
    pub open: Vec<OpenTransaction>,
}

/// A transaction that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// The EVSE's id in the configuration.
    pub evse: String,
    /// Its id; positive.
    pub id: i64,
    /// The token it was begun with, if any.
    pub token: Option<String>,
    /// When it began, by the charger's clock where it said so.
    pub started: DateTime<Utc>,
    /// The charger's register then, in Wh, if it said so.
    pub meter_wh: Option<i64>,
}

/// The first start of all: nothing runs.
impl Default for Book {
    fn default() -> Self {
        Book { next_id: 1, open: Vec::new() }
    }
}

impl Book {
    /// The book of a process that starts at `wall` (`None` while the time is not known) with these EVSEs. Ids jump
    /// ahead, so that one that was given out but never saved is not given again.
    pub fn resume(mut self, evses: &[&str], wall: Option<DateTime<Utc>>) -> Book {
        let by_time = wall.map_or(0, |wall| wall.timestamp() - ID_EPOCH);
        self.next_id = self.next_id.saturating_add(ID_BLOCK).max(by_time);
        let mut known = evses.to_vec();
        // Each EVSE keeps its first one only.
        self.open.retain(|open| known.iter().position(|id| *id == open.evse).map(|at| known.swap_remove(at)).is_some());
        self
    }

    /// What runs at this EVSE.
    pub fn at(&self, evse: &str) -> Option<&OpenTransaction> {
        self.open.iter().find(|open| open.evse == evse)
    }

    /// A transaction has begun; what ran there before is over. The same one told again keeps its id: a charger that
    /// did not get our answer repeats its question.
    pub fn start(&mut self, evse: &str, token: Option<String>, started: DateTime<Utc>, meter_wh: Option<i64>) -> i64 {
        if let Some(open) = self.at(evse)
            && (&open.token, open.started, open.meter_wh) == (&token, started, meter_wh)
        {
            return open.id;
        }
        let id = self.fresh_id();
        self.enter(OpenTransaction { evse: evse.into(), id, token, started, meter_wh });
        id
    }

    /// An id for a transaction that is not kept.
    pub fn fresh_id(&mut self) -> i64 {
        loop {
            let id = if (1..ID_END).contains(&self.next_id) { self.next_id } else { 1 };
            self.next_id = id + 1;
            if self.open.iter().all(|open| open.id != id) {
                return id;
            }
        }
    }

    /// A transaction that somebody else began goes on under its own id.
    pub fn adopt(&mut self, evse: &str, id: i64, now: DateTime<Utc>) {
        self.enter(OpenTransaction { evse: evse.into(), id, token: None, started: now, meter_wh: None });
    }

    /// What ran at this EVSE is over. True if something did.
    pub fn close(&mut self, evse: &str) -> bool {
        let before = self.open.len();
        self.open.retain(|open| open.evse != evse);
        self.open.len() < before
    }

    fn enter(&mut self, open: OpenTransaction) {
        self.close(&open.evse);
        self.open.push(open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_unique_over_a_restart_though_the_last_save_failed() {
        let mut book = Book::default().resume(&["left"], None);
        let saved = book.clone();
        let ids: Vec<i64> = (0..100).map(|_| book.fresh_id()).collect();
        let mut again = saved.resume(&["left"], None);
        assert!((0..100).all(|_| !ids.contains(&again.fresh_id())));
    }

    #[test]
    fn ids_are_unique_over_a_restart_though_no_save_ever_worked() {
        let mut first = Book::default().resume(&[], Some(at("2026-01-01T00:00:00Z")));
        let last = (0..50).map(|_| first.fresh_id()).last().unwrap();
        assert!(Book::default().resume(&[], Some(at("2026-01-01T00:01:00Z"))).fresh_id() > last);
    }

    #[test]
    fn a_start_that_is_repeated_keeps_its_id_and_another_one_takes_its_place() {
        let mut book = Book::default();
        let started = at("2026-01-01T00:00:00Z");
        let id = book.start("left", Some("A".into()), started, Some(10));
        assert_eq!(book.start("left", Some("A".into()), started, Some(10)), id);
        let other = book.start("left", Some("B".into()), started, Some(10));
        assert_ne!(other, id);
        assert_eq!(book.open.len(), 1);
        assert!(book.close("left"));
        assert!(!book.close("left"));
    }

    #[test]
    fn an_id_that_runs_is_never_given_again() {
        let mut book = Book { next_id: ID_END - 1, open: Vec::new() };
        book.adopt("left", 1, at("2026-01-01T00:00:00Z"));
        assert_eq!([book.fresh_id(), book.fresh_id()], [ID_END - 1, 2]);
        assert!(Book { next_id: i64::MAX, open: Vec::new() }.resume(&[], None).fresh_id() < ID_END);
    }

    #[test]
    fn transactions_of_evses_that_are_gone_or_twice_there_are_dropped() {
        let open = |evse: &str, id| OpenTransaction {
            evse: evse.into(),
            id,
            token: None,
            started: at("2026-01-01T00:00:00Z"),
            meter_wh: None,
        };
        let book = Book { next_id: 9, open: vec![open("left", 1), open("gone", 2), open("left", 3)] };
        let book = book.resume(&["left", "right"], None);
        assert_eq!(book.open, [open("left", 1)]);
    }
}
