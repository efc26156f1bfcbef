//! What does an EVSE take, as seen now? At least, at most, and what people are shown.

use crate::site::Evse;
use crate::time::Duration;
use crate::units::{Amps, PerPhase};

/// An EVSE's current as seen now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    /// Proven (or, without a meter of its own, assumed) on the site's phases; never above the setpoint, nor above what
    /// it counts for: a car that has left is not taken off the load a second time.
    pub least: PerPhase<Amps>,
    /// What it takes as far as known, also beyond its setpoint.
    pub seen: PerPhase<Amps>,
    /// What people are shown: a report from before the last cut, or from before the car left, is no news; what a
    /// disobedient charger takes is.
    pub shown: PerPhase<Amps>,
    /// Is that its own fresh measurement?
    pub is_measured: bool,
    /// The most that may be in force.
    pub worst: Amps,
    /// What of it only stands in the way of raises: a disobedient charger has not been seen to take it.
    pub latent: Amps,
    /// The same, once the cut that is under way has shown.
    pub soon: Amps,
    /// What it leaves of any setpoint.
    pub shy: Amps,
    /// What it takes may have changed this long ago, and its own meter has not said so yet.
    pub blind: Duration,
}

impl Draw {
    /// Does its own meter measure it, and speak often enough for what it takes to be known at all times?
    pub(super) fn is_always_known(&self, evse: &Evse) -> bool {
        self.is_measured && evse.is_always_known()
    }

    /// What it takes, on the site's phases; where nothing measures it, the most that it may.
    pub(super) fn at_most(&self, evse: &Evse) -> PerPhase<Amps> {
        let phases = evse.rotation.phases();
        PerPhase::from_fn(|phase| match self.is_measured || !phases.contains(phase) {
            true => self.seen[phase],
            false => self.seen[phase].max(self.worst),
        })
    }
}
