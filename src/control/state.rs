//! What does the step remember from one run to the next, and what of it outlives the process?

use super::car::Car;
use super::freshness::Age;
use super::headroom::RowMemory;
use super::ledger::Lease;
use super::trial::Trial;
use super::wiring::Watch;
use super::work::Work;
use super::{Order, exposure, mode, power, unbalance};
use crate::site::{EvseId, Site};
use crate::time::Moment;
use serde::{Deserialize, Serialize};

/// What the step remembers from one run to the next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// What it works with and could do without: nothing of it decides anything.
    #[serde(skip)]
    pub(super) work: Option<Box<Work>>,
    pub(super) ages: Vec<Age>,
    /// By meter.
    pub(super) trials: Vec<Trial>,
    /// By meter.
    pub(super) watches: Vec<Watch>,
    /// By circuit, and then the others.
    pub(super) rows: Vec<RowMemory>,
    pub(super) scale: power::Scale,
    pub(super) unbalance: unbalance::Memory,
    pub(super) modes: mode::Memory,
    pub(super) cars: Vec<Car>,
    /// By circuit.
    pub(super) exposures: Vec<exposure::Counter>,
    /// The number of the last order.
    pub(super) numbers: u64,
    /// The last time that a decision failed its own check.
    pub(super) last_breach: Option<Moment>,
    /// How often that has happened.
    pub(super) breaches: u32,
    /// What a test does to a decision before it is checked.
    #[cfg(test)]
    #[serde(skip)]
    pub(super) spoil: Option<fn(&mut [Car])>,
}

/// How many rows a site may have: its circuits' and all others.
fn rows(site: &Site) -> usize {
    site.circuits.len() + power::ROWS + unbalance::ROWS
}

impl State {
    /// Nothing known: start-up is the same as a lost meter, and every EVSE counts at its most.
    pub fn new(site: &Site, now: Moment) -> Self {
        State {
            work: None,
            ages: site.meters.iter().map(|_| Age::lost()).collect(),
            trials: site.meters.iter().map(|_| Trial::default()).collect(),
            watches: site.meters.iter().map(|meter| Watch::new(site, meter.circuit)).collect(),
            rows: vec![RowMemory::default(); rows(site)],
            scale: power::Scale::new(site),
            unbalance: unbalance::Memory::default(),
            modes: mode::Memory::new(site.evses.len()),
            cars: site.evses.iter().map(|evse| Car::unknown(evse, now)).collect(),
            exposures: site.circuits.iter().map(|_| exposure::Counter::default()).collect(),
            numbers: 0,
            last_breach: None,
            breaches: 0,
            #[cfg(test)]
            spoil: None,
        }
    }

    /// As [`State::new`], but leases that still stand go on: a restart within the lease changes no car's current.
    /// One entry for each EVSE; `None` where nothing stands.
    pub fn resume(site: &Site, leases: &[Option<Lease>], now: Moment) -> Self {
        let mut state = State::new(site, now);
        let mut has_resumed = false;
        for (car, (evse, lease)) in state.cars.iter_mut().zip(site.evses.iter().zip(leases)) {
            let stands = lease.filter(|lease| !lease.left.is_zero() && lease.amps <= evse.most);
            if let Some(lease) = stands {
                car.resume(evse, lease, now);
                has_resumed = true;
            }
        }
        if has_resumed {
            state.ages = site.meters.iter().map(|_| Age::stale(now)).collect();
        }
        state
    }

    /// At an orderly stop: the fallback, for a charger whose limit does not expire by itself.
    pub fn farewell(&mut self, site: &Site, id: EvseId, now: Moment) -> Order {
        let (evse, car) = (site.evse(id), &mut self.cars[id.0]);
        self.numbers += 1;
        car.settle(evse.fallback, now);
        Order { evse: id, number: self.numbers, amps: evse.fallback, lease: evse.lease, fallback: evse.fallback }
    }

    /// Was it made for such a site? What is read from outside may not have been.
    pub fn fits(&self, site: &Site) -> bool {
        (self.ages.len(), self.trials.len(), self.cars.len())
            == (site.meters.len(), site.meters.len(), site.evses.len())
            && self.modes.fits(site.evses.len())
            && self.trials.iter().all(|trial| trial.fits(site.evses.len()))
            && self.watches.len() == site.meters.len()
            && self.watches.iter().zip(&site.meters).all(|(watch, meter)| watch.fits(site, meter.circuit))
            && (self.rows.len(), self.exposures.len()) == (rows(site), site.circuits.len())
            && self.rows.iter().flat_map(RowMemory::awaited).all(|evse| evse.0 < site.evses.len())
            && self.cars.iter().all(|car| car.because.circuit().is_none_or(|id| id.0 < site.circuits.len()))
    }

    /// The leases that stand now, for [`State::resume`].
    pub fn leases(&self, site: &Site, now: Moment) -> Vec<Option<Lease>> {
        self.cars.iter().zip(&site.evses).map(|(car, evse)| car.lease(evse, now)).collect()
    }
}
