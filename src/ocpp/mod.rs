//! How do chargers over OCPP 1.6J meet the step? They dial in; each is a state machine that turns orders into charging
//! profiles with an end, and what it hears into reports.
//!
//! Reading order: [`charger`] (the machine, told the time, without I/O) with [`inbound`], [`meter`], [`setup`],
//! [`profile`] and [`book`] for its parts; [`frame`] and [`lenient`] for what is on the wire; [`door`] for who may come
//! in; [`access`], [`locallist`] and [`id_tag`] for what chargers know of people, [`desk`], [`command`] and [`pairing`]
//! for what others want of them; [`task`], [`visitor`] and [`pace`] for the sockets. docs/OCPP.md tells the same to
//! people who install chargers.

pub mod access;
pub mod book;
pub mod charger;
pub mod command;
pub mod connector;
pub mod desk;
pub mod door;
pub mod frame;
pub mod hall;
pub mod id_tag;
pub mod inbound;
pub mod ledger;
pub mod lenient;
pub mod locallist;
pub mod meter;
pub mod pace;
pub mod pairing;
pub mod profile;
pub mod settings;
pub mod setup;
pub mod task;
pub mod visitor;

pub use book::{Book, Kept, OpenTransaction, SaveBook};
pub use command::{Command, Told};
pub use desk::{Desk, PairingFault};
pub use pairing::Paired;
pub use task::{Serving, serve};

use crate::time::Moment;
use chrono::{DateTime, Utc};

/// A wall clock that shows less has not been set yet (2025-01-01T00:00:00Z).
const DATE_KNOWN_FROM: i64 = 1_735_689_600;

/// Both clocks, as an input of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic.
    pub at: Moment,
    /// Wall time as the gateway's clock shows it, right or wrong: it is what chargers are told.
    pub wall: DateTime<Utc>,
}

impl Now {
    /// The wall time; `None` while the clock has obviously not been set.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        (self.wall.timestamp() >= DATE_KNOWN_FROM).then_some(self.wall)
    }
}
