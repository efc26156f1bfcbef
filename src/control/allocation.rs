//! Who gets how much? Minimums first, in the order of the queue; then tier by tier, weighted max-min in a tier.
//!
//! A minimum (6 A by the control pilot, IEC 61851-1) or nothing; the admitted set is maximal. In a tier all rise to
//! a common level of current ÷ weight; one that meets its own most or a full row stops there, the others go on.

use super::reason::Reason;
use crate::site::{EvseId, Site};
use crate::units::{Amps, PerPhase, PhaseSet};

/// What an EVSE asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Who asks.
    pub evse: EvseId,
    /// Site phases it takes current from, the same on each.
    pub phases: PhaseSet,
    /// Must fit to be admitted: its least, and a little more after a pause.
    pub entry: Amps,
    /// Least current it can take.
    pub least: Amps,
    /// Most that it may have.
    pub most: Amps,
    /// Why it may not have more than `most`.
    pub capped: Reason,
    /// Shares are multiples of this.
    pub step: Amps,
    /// Effective priority: higher first.
    pub tier: i8,
    /// Share within the tier, 1 or more.
    pub weight: u32,
}

/// What an EVSE gets: zero, or least…most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Who.
    pub evse: EvseId,
    /// How much.
    pub amps: Amps,
    /// Why not more.
    pub because: Reason,
}

/// What each circuit can give to those who ask, each phase; may be negative. `None`: no limit here.
pub type Capacity = Vec<PerPhase<Option<Amps>>>;

/// Shares `capacity` among `queue`, which stands in the order of admission (tiers high to low).
/// The answer has the queue's order.
pub fn allocate(site: &Site, capacity: &Capacity, queue: &[Ask]) -> Vec<Share> {
    let mut left = capacity.clone();
    let mut shares: Vec<Share> = queue.iter().map(|ask| admit(site, &mut left, ask)).collect();
    let mut start = 0;
    while start < queue.len() {
        let tier = queue[start].tier;
        let end = start + queue[start..].iter().take_while(|ask| ask.tier == tier).count();
        raise_together(site, &mut left, &queue[start..end], &mut shares[start..end]);
        start = end;
    }
    shares
}

/// The row on this EVSE's path that has least left, if any has a limit.
pub(super) fn tightest(site: &Site, left: &Capacity, evse: EvseId, phases: PhaseSet) -> Option<(Amps, Reason)> {
    let rows = site.path(site.evse(evse).circuit).flat_map(|circuit| phases.iter().map(move |phase| (circuit, phase)));
    rows.filter_map(|(circuit, phase)| left[circuit.0][phase].map(|amps| (amps, Reason::Circuit(circuit, phase))))
        .min_by_key(|(amps, _)| *amps)
}

/// Takes so much from every row on this EVSE's path.
pub(super) fn take(site: &Site, left: &mut Capacity, evse: EvseId, phases: PhaseSet, amps: Amps) {
    for circuit in site.path(site.evse(evse).circuit) {
        for phase in phases.iter() {
            if let Some(row) = &mut left[circuit.0][phase] {
                *row -= amps;
            }
        }
    }
}

fn admit(site: &Site, left: &mut Capacity, ask: &Ask) -> Share {
    let nothing = |because| Share { evse: ask.evse, amps: Amps::ZERO, because };
    if ask.most < ask.least {
        return nothing(ask.capped);
    }
    match tightest(site, left, ask.evse, ask.phases) {
        Some((room, Reason::Circuit(circuit, phase))) if room < ask.entry => nothing(Reason::Waiting(circuit, phase)),
        _ => {
            // All that it needs to start is kept for it, or it would wait beside cars that have what it lacks.
            take(site, left, ask.evse, ask.phases, ask.entry.max(ask.least));
            Share { evse: ask.evse, amps: ask.least, because: ask.capped }
        }
    }
}

/// Raises the admitted of one tier as far as the rows allow, rounds down, and hands the leftovers on in order.
fn raise_together(site: &Site, left: &mut Capacity, asks: &[Ask], shares: &mut [Share]) {
    let mut rising: Vec<usize> = (0..asks.len()).filter(|i| shares[*i].amps.is_positive()).collect();
    while !rising.is_empty() {
        let level = highest_level(site, left, asks, shares, &rising);
        for &i in &rising {
            let wanted = at_level(&asks[i], level).max(shares[i].amps);
            take(site, left, asks[i].evse, asks[i].phases, wanted - shares[i].amps);
            shares[i].amps = wanted;
        }
        // At the next level some row is overdrawn: whoever takes more from it stops here. So does who has its most.
        let trial = at_common_level(site, left, asks, shares, &rising, level.saturating_add(1));
        rising.retain(|&i| {
            let fits = tightest(site, &trial, asks[i].evse, asks[i].phases).is_none_or(|(room, _)| room >= Amps::ZERO);
            shares[i].amps < asks[i].most && fits
        });
    }
    for (ask, share) in asks.iter().zip(shares.iter_mut()).filter(|(_, share)| share.amps.is_positive()) {
        let rounded = share.amps.floor_to(ask.step).max(ask.least);
        take(site, left, ask.evse, ask.phases, rounded - share.amps);
        share.amps = rounded;
    }
    for (ask, share) in asks.iter().zip(shares.iter_mut()).filter(|(_, share)| share.amps.is_positive()) {
        let next = share.amps + ask.step;
        let row = tightest(site, left, ask.evse, ask.phases);
        if next <= ask.most && row.is_none_or(|(room, _)| room >= ask.step) {
            take(site, left, ask.evse, ask.phases, ask.step);
            share.amps = next;
        }
    }
    for (ask, share) in asks.iter().zip(shares.iter_mut()).filter(|(_, share)| share.amps.is_positive()) {
        let row = tightest(site, left, ask.evse, ask.phases);
        share.because = match row {
            Some((_, because)) if share.amps + ask.step <= ask.most => because,
            _ => ask.capped,
        };
    }
}

fn at_level(ask: &Ask, level: i32) -> Amps {
    let wanted = Amps::milli(level.saturating_mul(i32::try_from(ask.weight).unwrap_or(i32::MAX)));
    wanted.clamp(ask.least, ask.most)
}

/// What would be left if all that rise stood at this level.
fn at_common_level(
    site: &Site,
    left: &Capacity,
    asks: &[Ask],
    shares: &[Share],
    rising: &[usize],
    level: i32,
) -> Capacity {
    let mut trial = left.clone();
    for &i in rising {
        let more = at_level(&asks[i], level).max(shares[i].amps) - shares[i].amps;
        take(site, &mut trial, asks[i].evse, asks[i].phases, more);
    }
    trial
}

/// The highest common level (milliamperes a unit of weight) at which no row is drawn below what it is now, or zero.
fn highest_level(site: &Site, left: &Capacity, asks: &[Ask], shares: &[Share], rising: &[usize]) -> i32 {
    let fits = |level: i32| {
        let trial = at_common_level(site, left, asks, shares, rising, level);
        rising.iter().all(|&i| {
            let more = at_level(&asks[i], level).max(shares[i].amps) - shares[i].amps;
            let row = tightest(site, &trial, asks[i].evse, asks[i].phases);
            !more.is_positive() || row.is_none_or(|(room, _)| room >= Amps::ZERO)
        })
    };
    let (mut low, mut high) = (0, rising.iter().map(|&i| asks[i].most.as_milli()).max().unwrap_or(0));
    while low < high {
        let middle = low + (high - low + 1) / 2;
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Circuit, CircuitId, Evse, LapseClass, Rotation, Tuning, Wiring};
    use crate::time::Duration;
    use crate::units::Phase;

    fn site(evses: usize) -> Site {
        let circuit = |id: &str, parent| Circuit {
            id: id.into(),
            name: id.into(),
            parent,
            limit: PerPhase::all(Amps::whole(25)),
            margin: PerPhase::all(Amps::ZERO),
            meter: None,
            other_load: PerPhase::all(Amps::ZERO),
        };
        let evse = |i: usize| Evse {
            id: format!("e{i}"),
            name: format!("E{i}"),
            circuit: CircuitId(i % 2),
            rotation: Rotation::three(Phase::ALL),
            least: Amps::whole(6),
            most: Amps::whole(16),
            fallback: Amps::ZERO,
            step: Amps::whole(1),
            lease: Duration::from_secs(120),
            response: Duration::from_secs(13),
            lapse: LapseClass::A,
            metering: None,
        };
        Site {
            id: "test".into(),
            name: "test".into(),
            wiring: Wiring::Star,
            house_worst: PerPhase::all(Amps::ZERO),
            circuits: vec![circuit("main", None), circuit("garage", Some(CircuitId(0)))],
            evses: (0..evses).map(evse).collect(),
            meters: vec![],
            tuning: Tuning::default(),
        }
    }

    fn ask(evse: usize, tier: i8, weight: u32) -> Ask {
        Ask {
            evse: EvseId(evse),
            phases: PhaseSet::ALL,
            entry: Amps::whole(6),
            least: Amps::whole(6),
            most: Amps::whole(16),
            capped: Reason::Full,
            step: Amps::whole(1),
            tier,
            weight,
        }
    }

    fn rows(main: i32, garage: i32) -> Capacity {
        [main, garage].map(|amps| PerPhase::all(Some(Amps::whole(amps)))).to_vec()
    }

    fn amps(shares: &[Share]) -> Vec<i32> {
        shares.iter().map(|share| share.amps.as_milli() / 1000).collect()
    }

    #[test]
    fn equals_share_equally_and_the_odd_ampere_goes_to_the_first() {
        assert_eq!(amps(&allocate(&site(2), &rows(21, 99), &[ask(0, 0, 1), ask(1, 0, 1)])), [11, 10]);
    }

    #[test]
    fn a_higher_tier_is_filled_after_all_minimums() {
        let shares = allocate(&site(2), &rows(21, 99), &[ask(1, 6, 1), ask(0, -3, 1)]);
        assert_eq!(amps(&shares), [15, 6]);
        assert_eq!(shares[1].because, Reason::Circuit(CircuitId(0), Phase::L1));
    }

    #[test]
    fn weights_share_within_a_tier() {
        assert_eq!(amps(&allocate(&site(2), &rows(21, 99), &[ask(0, 0, 2), ask(1, 0, 1)])), [14, 7]);
    }

    #[test]
    fn six_amperes_or_nothing_and_the_admitted_set_is_maximal() {
        let big = Ask { least: Amps::whole(10), entry: Amps::whole(10), ..ask(0, 0, 1) };
        let shares = allocate(&site(3), &rows(13, 99), &[ask(2, 0, 1), big, ask(1, 0, 1)]);
        assert_eq!(amps(&shares), [7, 0, 6]);
        assert_eq!(shares[1].because, Reason::Waiting(CircuitId(0), Phase::L1));
    }

    #[test]
    fn what_a_paused_car_needs_to_start_again_is_kept_for_it() {
        let paused = Ask { entry: Amps::whole(7), ..ask(1, 0, 1) };
        let high = Ask { tier: 6, ..ask(0, 6, 1) };
        assert_eq!(amps(&allocate(&site(2), &rows(22, 99), &[high, paused])), [15, 6]);
    }

    #[test]
    fn one_full_row_does_not_stop_the_cars_beside_it() {
        // Two on the garage's 13 A, one directly on the main fuse.
        let queue = [ask(1, 0, 1), ask(3, 0, 1), ask(0, 0, 1)];
        assert_eq!(amps(&allocate(&site(4), &rows(40, 13), &queue)), [7, 6, 16]);
    }

    #[test]
    fn without_room_nobody_gets_anything() {
        assert_eq!(amps(&allocate(&site(2), &rows(-3, 99), &[ask(0, 0, 1), ask(1, 0, 1)])), [0, 0]);
    }
}
