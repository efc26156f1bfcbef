//! What does a plain law do that headroom is held against? Down at once, up to the least of the last 20 s, back after
//! 240 s: per phase, without a margin, all cars alike.

use super::scenario::Law;
use crate::control::allocation::{Allocation, Ask, Capacity, Plan};
use crate::control::observation::{Link, Report};
use crate::control::{Decision, Observation, Order, Reason, Setpoint};
use crate::site::{EvseId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use std::collections::VecDeque;

/// Nobody rises above what has fitted all this time.
const MEMORY: Duration = Duration::from_secs(20);
/// A car that was paused rests so long.
const REST: Duration = Duration::from_secs(240);
/// Without a sample for so long all fall back.
const LOST: Duration = Duration::from_secs(30);
/// Samples that are remembered: ten a second for all of [`MEMORY`].
const SAMPLES_MOST: usize = 200;

/// The law and what it remembers.
#[derive(Debug)]
pub struct Reference {
    site: Site,
    plan: Plan,
    allocation: Allocation,
    cars: Vec<Memory>,
    last_sample: Option<Moment>,
    number: u64,
}

#[derive(Debug, Clone, Default)]
struct Memory {
    session: Option<i64>,
    setpoint: Amps,
    paused_at: Option<Moment>,
    /// What has fitted lately, each with its time.
    fitted: VecDeque<(Moment, Amps)>,
    sent: Option<(Moment, Amps)>,
}

impl Reference {
    /// Knowing nothing.
    pub fn new(site: &Site) -> Self {
        Reference {
            site: site.clone(),
            plan: Plan::new(site),
            allocation: Allocation::default(),
            cars: vec![Memory::default(); site.evses.len()],
            last_sample: None,
            number: 0,
        }
    }

    /// What cars may have together: each circuit's limit less what is not theirs.
    fn capacity(&self, observation: &Observation) -> Capacity {
        let mut capacity = Capacity::unlimited(&self.plan);
        for id in self.site.circuit_ids() {
            let circuit = self.site.circuit(id);
            let load = circuit.meter.and_then(|meter| observation.samples[meter.0]).map(|sample| sample.current);
            let below = self.site.evse_ids().filter(|evse| self.site.feeds(id, *evse));
            let cars = below.fold(PerPhase::<Amps>::default(), |sum, evse| {
                let draw = self.draw(evse, &observation.reports[evse.0]);
                PerPhase::from_fn(|phase| sum[phase] + draw[phase])
            });
            let left = PerPhase::from_fn(|phase: Phase| {
                let base = load.map_or(circuit.other_load[phase], |load| load[phase] - cars[phase]);
                Some(circuit.limit[phase] - base)
            });
            capacity.set_amps(id, left);
        }
        capacity
    }

    fn draw(&self, id: EvseId, report: &Report) -> PerPhase<Amps> {
        let evse = self.site.evse(id);
        match report.measured {
            Some(measured) => evse.rotation.to_site(&measured.current),
            None => {
                let phases = evse.rotation.phases();
                let setpoint = self.cars[id.0].setpoint;
                PerPhase::from_fn(|phase| if phases.contains(phase) { setpoint } else { Amps::ZERO })
            }
        }
    }

    fn asks(&self, observation: &Observation) -> Vec<Ask> {
        let asking = self.site.evse_ids().filter(|id| {
            let report = &observation.reports[id.0];
            matches!(report.link, Link::Up { .. }) && report.session.is_some() && report.plug.has_car()
        });
        asking.map(|id| Ask::plain(id, self.site.evse(id))).collect()
    }
}

impl Memory {
    /// What fits now becomes a setpoint.
    fn settle(&mut self, fits: Amps, now: Moment) {
        if self.fitted.len() == SAMPLES_MOST {
            self.fitted.pop_front();
        }
        self.fitted.push_back((now, fits));
        while self.fitted.front().is_some_and(|(at, _)| now.since(*at) > MEMORY) {
            self.fitted.pop_front();
        }
        let lately = self.fitted.iter().map(|(_, amps)| *amps).min().unwrap_or_default();
        let rests = self.paused_at.is_some_and(|at| now.since(at) < REST);
        if fits < self.setpoint {
            self.setpoint = fits;
            self.paused_at = (!fits.is_positive()).then_some(now);
        } else if lately > self.setpoint && !rests {
            self.setpoint = lately;
            self.paused_at = None;
        }
    }
}

impl Law for Reference {
    fn decide(&mut self, observation: &Observation, now: Moment) -> Decision {
        let newest = observation.samples.iter().flatten().map(|sample| sample.at).max();
        let is_lost = newest.is_none_or(|at| now.since(at) > LOST);
        let asks = self.asks(observation);
        for (car, report) in self.cars.iter_mut().zip(&observation.reports) {
            let session = report.session.as_ref().map(|session| session.id);
            if car.session != session {
                *car = Memory { session, ..Memory::default() };
            }
        }
        if is_lost {
            for ask in &asks {
                self.cars[ask.evse.0].setpoint = self.site.evse(ask.evse).fallback;
            }
        } else if newest > self.last_sample {
            self.last_sample = newest;
            let capacity = self.capacity(observation);
            for share in self.allocation.share(&self.plan, &capacity, &asks) {
                self.cars[share.evse.0].settle(share.amps, now);
            }
        }
        let mut orders = Vec::new();
        for ask in &asks {
            let (evse, car) = (self.site.evse(ask.evse), &mut self.cars[ask.evse.0]);
            let is_old = car.sent.is_none_or(|(at, amps)| amps != car.setpoint || now >= at + evse.lease / 2);
            if is_old {
                self.number += 1;
                car.sent = Some((now, car.setpoint));
                let (number, amps) = (self.number, car.setpoint);
                orders.push(Order { evse: ask.evse, number, amps, lease: evse.lease, fallback: evse.fallback });
            }
        }
        let setpoint = |car: &Memory| Setpoint { amps: car.setpoint, because: Reason::Full };
        let setpoints = self.cars.iter().map(setpoint).collect();
        Decision { setpoints, orders, next: now + Duration::from_secs(1), ..Decision::default() }
    }
}
