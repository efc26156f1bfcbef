//! What may flow in a circuit if the gateway dies, and for how long? The house at its worst beside all that cars may have
//! been given: no software is there to cut then, until leases have run out.

use crate::breaker::{first_to_trip, last_to_trip};
use crate::site::{CircuitId, Evse, LapseClass, Site};
use crate::time::Duration;
use crate::units::{Amps, Phase};
use std::collections::BTreeMap;

/// The worst of one phase of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transient {
    /// On this phase.
    pub phase: Phase,
    /// What is stated of the house, or of what else takes current in this circuit and below it.
    pub stated: Amps,
    /// The most that cars on and below it may take: what they have been given, and what who comes then takes without us.
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
            cars: taken(site, circuit, phase, feeds_in),
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

/// What cars take on this phase at worst. Those that hold a lease have been given no more together than was left of each
/// fuse where nothing feeds in; who comes later, or never had a lease, takes beside them what he takes without us.
fn taken(site: &Site, circuit: CircuitId, phase: Phase, feeds_in: bool) -> Amps {
    if feeds_in {
        return below(site, circuit).filter(|evse| evse.rotation.phases().contains(phase)).map(|evse| evse.most).sum();
    }
    mixes(site, circuit, phase).into_iter().map(|(given, beside)| given + beside).max().unwrap_or_default()
}

/// More mixes than this are looked at as if leases were given in whole amperes, upwards.
const MOST_MIXES: usize = 1_000;

/// Who holds a lease, and who does not? By what the ones have been given together, the most that the others take.
fn mixes(site: &Site, circuit: CircuitId, phase: Phase) -> BTreeMap<Amps, Amps> {
    let own = site.evses.iter().filter(|evse| evse.circuit == circuit && evse.rotation.phases().contains(phase));
    let own = own.map(|evse| {
        let without_us = if evse.lapse == LapseClass::C { evse.most } else { evse.fallback };
        BTreeMap::from([(Amps::ZERO, without_us), (evse.most, Amps::ZERO)])
    });
    let children = site.circuit_ids().filter(|child| site.circuit(*child).parent == Some(circuit));
    let parts = own.chain(children.map(|child| mixes(site, child, phase)));
    let known = site.circuit(circuit);
    // A stated load is always kept free; a measured one may have been nothing.
    let kept = if known.meter.is_some() { Amps::ZERO } else { stated(site, circuit, phase) };
    let room = (known.limit[phase] - known.margin[phase] - kept).max(Amps::ZERO);
    parts.fold(BTreeMap::from([(Amps::ZERO, Amps::ZERO)]), |mixes, part| joined(&mixes, &part, room))
}

/// Each of the one with each of the other. What is no worse than another in both is left out.
fn joined(one: &BTreeMap<Amps, Amps>, other: &BTreeMap<Amps, Amps>, room: Amps) -> BTreeMap<Amps, Amps> {
    let step = Amps::milli(if one.len() * other.len() > MOST_MIXES { 1_000 } else { 1 });
    let mut all = BTreeMap::new();
    for (given, beside) in one {
        for (more, others) in other {
            let sum = *given + *more;
            let given = (sum + step - Amps::milli(1)).floor_to(step).min(room);
            let most = all.entry(given).or_insert(Amps::ZERO);
            *most = (*beside + *others).max(*most);
        }
    }
    let (mut mixes, mut most) = (BTreeMap::new(), None);
    for (given, beside) in all.into_iter().rev() {
        if Some(beside) > most {
            most = Some(beside);
            mixes.insert(given, beside);
        }
    }
    mixes
}
