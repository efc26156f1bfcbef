//! How does a sample become a setpoint? `step`: freshness → headroom → allocation → setpoint → commands.
//!
//! Pure: told the time, no I/O, no randomness, no failure. The same inputs give the same outputs.

pub mod observation;
pub mod reason;

pub use observation::{Observation, Word};
pub use reason::Reason;

use crate::site::EvseId;
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};

/// What the step decides.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// One for each EVSE, by index.
    pub setpoints: Vec<Setpoint>,
    /// What has to be sent now; at most one for an EVSE.
    pub orders: Vec<Order>,
    /// One for each circuit, by index.
    pub rows: Vec<Row>,
    /// The step wants to run again by then, whatever happens.
    pub next: Moment,
}

/// What an EVSE may take, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setpoint {
    /// Zero is a pause.
    pub amps: Amps,
    /// Why it is not more.
    pub because: Reason,
}

/// A setpoint with its lease, to be carried to the charger. A newer order replaces an older one that is still waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// To whom.
    pub evse: EvseId,
    /// Counts up over all orders of this process.
    pub number: u64,
    /// What it may take: zero, or least…most.
    pub amps: Amps,
    /// For how long, from its arrival.
    pub lease: Duration,
    /// What holds after the lease.
    pub fallback: Amps,
}

/// A circuit as the step saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// How old its sample is.
    pub freshness: Freshness,
    /// All current in it, measured or summed from below; `None` where nothing is known.
    pub load: Option<PerPhase<Amps>>,
    /// What our cars take of it, as far as known.
    pub draw: PerPhase<Amps>,
    /// limit − margin − base load; may be negative.
    pub headroom: PerPhase<Amps>,
}

/// The three ages of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// No meter here.
    #[default]
    Unmetered,
    /// Raises and cuts.
    Fresh,
    /// Cuts only.
    Stale,
    /// Fallback.
    Lost,
}

/// What the step remembers from one run to the next.
#[derive(Debug, Clone, Default)]
pub struct State {}

impl State {
    /// Nothing known: start-up is the same as a lost meter.
    pub fn new(_site: &crate::site::Site) -> Self {
        State {}
    }
}

/// One decision.
pub fn step(
    _site: &crate::site::Site,
    _state: &mut State,
    _observation: &Observation,
    _policy: &crate::policy::Policy,
    now: Moment,
) -> Decision {
    Decision { next: now + Duration::from_secs(1), ..Decision::default() }
}
