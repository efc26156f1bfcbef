//! What may flow in a circuit if the gateway dies, and for how long? The house at its worst beside all that cars may have
//! been given: no software is there to cut then, until leases have run out.

use crate::breaker::{first_to_trip, last_to_trip};
use crate::site::{CircuitId, Evse, LapseClass, Site};
use crate::time::Duration;
use crate::units::{Amps, Phase};

/// The worst of one phase of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transient {
    /// On this phase.
    pub phase: Phase,
    /// What is stated of the house, or of what else takes current in this circuit and below it.
    pub stated: Amps,
    /// The most that cars on and below it may have been given.
    pub cars: Amps,
    /// The fuse.
    pub rated: Amps,
    /// Until the last of them has fallen back. One of class C never does, and counts as if it took its most without us.
    pub lasts: Duration,
}

impl Transient {
    /// Where something feeds in, cars may have been given more than the fuse carries.
    pub fn of(site: &Site, circuit: CircuitId, phase: Phase, feeds_in: bool) -> Self {
        let lapsing = below(site, circuit).filter(|evse| evse.lapse != LapseClass::C);
        Transient {
            phase,
            stated: if circuit == Site::ROOT { site.house_worst[phase] } else { stated(site, circuit, phase) },
            cars: granted(site, circuit, phase, feeds_in),
            rated: site.circuit(circuit).limit[phase],
            lasts: lapsing.map(|evse| evse.lease + evse.response).max().unwrap_or_default(),
        }
    }

    /// All of it.
    pub fn total(&self) -> Amps {
        self.stated + self.cars
    }

    /// Which device may trip first, and after how long; `None` where even the quickest carries it.
    pub fn first_to_trip(&self) -> Option<(&'static str, Duration)> {
        first_to_trip(self.total(), self.rated, self.lasts)
    }

    /// After how long the slowest breaker trips too; `None` where one may still carry it.
    pub fn last_to_trip(&self) -> Option<Duration> {
        last_to_trip(self.total(), self.rated, self.lasts)
    }
}

fn below(site: &Site, circuit: CircuitId) -> impl Iterator<Item = &Evse> {
    site.evse_ids().filter(move |id| site.feeds(circuit, *id)).map(|id| site.evse(id))
}

/// The stated loads of a circuit and all below it; measured ones state none.
fn stated(site: &Site, top: CircuitId, phase: Phase) -> Amps {
    let below = site.circuit_ids().filter(|id| site.path(*id).any(|above| above == top)).map(|id| site.circuit(id));
    below.filter(|circuit| circuit.meter.is_none()).map(|circuit| circuit.other_load[phase]).sum()
}

/// What cars take, but no more than was left of the fuse where nothing feeds in; and no less than what they take
/// without us.
fn granted(site: &Site, circuit: CircuitId, phase: Phase, feeds_in: bool) -> Amps {
    let known = site.circuit(circuit);
    let on = |evse: &&Evse| evse.rotation.phases().contains(phase);
    let own: Amps = site.evses.iter().filter(on).filter(|evse| evse.circuit == circuit).map(|evse| evse.most).sum();
    let children = site.circuit_ids().filter(|child| site.circuit(*child).parent == Some(circuit));
    let wanted = own + children.map(|child| granted(site, child, phase, feeds_in)).sum();
    if feeds_in {
        return wanted;
    }
    let without_us = |evse: &Evse| if evse.lapse == LapseClass::C { evse.most } else { evse.fallback };
    let alone: Amps = below(site, circuit).filter(on).map(without_us).sum();
    // A stated load is always kept free; a measured one may have been nothing.
    let kept = if known.meter.is_some() { Amps::ZERO } else { stated(site, circuit, phase) };
    wanted.min(known.limit[phase] - known.margin[phase] - kept).max(alone)
}
