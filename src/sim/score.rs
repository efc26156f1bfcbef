//! How well was a site steered? Judged from the plant's truth, never from what its meters say.

use super::breaker::Breaker;
use super::oracle::Oracle;
use super::plant::Plant;
use super::scenario::Frame;
use super::stay::Stay;
use crate::site::{EvseId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use serde::Serialize;

/// What a paused car needs beyond its minimum to start again.
const START: Amps = Amps::whole(1);
/// Milliampere-milliseconds in an ampere-second.
const AMPERE_SECOND: f64 = 1e6;

/// What came out. Ampere-seconds are summed over the phases of the grid connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Score {
    /// What cars were given.
    pub energy_kwh: f64,
    /// What their drivers wanted while they were there; a car that is always hungry wants its most all the time.
    pub requested_kwh: f64,
    /// What a controller that sees the future, with cars that obey at once and without a margin, could have given.
    pub oracle_kwh: f64,
    /// Above the fuse, as far as cars were the cause: the lesser of the excess and of what cars took.
    pub overload_as: f64,
    /// All that was above the fuse.
    pub overload_total_as: f64,
    /// The longest that cars had a share in an overload, on any phase.
    pub overload_longest_s: f64,
    /// The heat of the quickest breaker or fuse that conforms to its standard, of all circuits: 1 trips.
    pub breaker_fast_peak: f64,
    /// The same of the slowest.
    pub breaker_slow_peak: f64,
    /// Car current from nothing to something.
    pub starts: u32,
    /// Cars that were there.
    pub sessions: u32,
    /// Those that got all that they wanted.
    pub sessions_met: u32,
    /// The most often that one car lost all its current while it wanted some.
    pub pauses_per_session_max: u32,
    /// Setpoints that were sent and differ from the one before.
    pub setpoints: u32,
    /// Jain's index over sessions: 1 where all got the same share of what they wanted.
    pub jain: f64,
    /// The longest that a car which wanted current had none.
    pub wait_longest_s: f64,
    /// Raises of a car while one with a higher effective priority on the same full phase could have had the current.
    pub priority_inversions: u32,
    /// What cars wanted and the fuses could still have carried.
    pub headroom_unused_as: f64,
    /// The share of generated energy that was used here; 1 without sun.
    pub self_consumption: f64,
    /// The share of the cars' energy that came from the grid.
    pub grid_import_share: f64,
    /// Decisions that broke a promise about themselves: neither zero nor least…most, or found unsound by their own check.
    pub breaches: u32,
}

/// Watches a run.
#[derive(Debug)]
pub struct Judge {
    fuse: PerPhase<Amps>,
    /// Each circuit's, each phase.
    breakers: Vec<[Breaker; 3]>,
    oracle: Oracle,
    stays: Vec<Stay>,
    /// What each EVSE was told last.
    told: Vec<Option<Amps>>,
    setpoints: Vec<Amps>,
    overload: i64,
    overload_total: i64,
    overload_now: Duration,
    overload_longest: Duration,
    sun: Flow,
    now: Moment,
    /// Breaches that the decisions' own check has found.
    checked: u32,
    score: Score,
}

/// Energies in watt-milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    generated: i64,
    exported: i64,
    cars: i64,
    cars_from_grid: i64,
}

impl Judge {
    /// Nothing seen yet.
    pub fn new(site: &Site) -> Self {
        Judge {
            fuse: site.circuit(Site::ROOT).limit,
            breakers: site.circuits.iter().map(|circuit| circuit.limit.0.map(Breaker::miniature)).collect(),
            oracle: Oracle::new(site),
            stays: vec![Stay::default(); site.evses.len()],
            told: vec![None; site.evses.len()],
            setpoints: vec![Amps::ZERO; site.evses.len()],
            overload: 0,
            overload_total: 0,
            overload_now: Duration::ZERO,
            overload_longest: Duration::ZERO,
            sun: Flow::default(),
            now: Moment::START,
            checked: 0,
            score: Score::default(),
        }
    }

    /// One moment of a run: each tick, in order.
    pub fn see(&mut self, site: &Site, frame: &Frame<'_>) {
        let plant = frame.plant;
        let span = plant.now().since(self.now);
        let is_second = plant.now().as_millis() / 1000 != self.now.as_millis() / 1000;
        self.now = plant.now();
        let load = plant.load(Site::ROOT);
        let house = plant.house(Site::ROOT);
        let cars = PerPhase::from_fn(|phase| load[phase] - house[phase]);
        self.see_overload(span, &load, &cars);
        self.see_energy(site, plant, span);
        // The lines before a transformer stand as a circuit behind it, and what flows there is not what flows in them.
        let primary = site.primary.as_ref().map(|primary| primary.circuit);
        for (id, breakers) in site.circuit_ids().zip(&mut self.breakers).filter(|(id, _)| Some(*id) != primary) {
            let load = plant.load(id);
            breakers.iter_mut().zip(load.0).for_each(|(breaker, amps)| breaker.live(amps.abs(), span));
        }
        if is_second {
            self.oracle.see(site, plant);
        }
        for id in site.evse_ids() {
            self.stays[id.0].see(plant, id, self.oracle.share(id), span, is_second);
        }
        for order in frame.orders {
            let told = self.told[order.evse.0].replace(order.amps);
            self.score.setpoints += u32::from(told != Some(order.amps));
        }
        self.see_decision(site, frame);
    }

    /// What came out so far.
    pub fn score(&self) -> Score {
        let sessions: Vec<_> = self.stays.iter().flat_map(Stay::sessions).collect();
        let kwh = |of: fn(&super::stay::Session) -> f64| sessions.iter().map(of).sum::<f64>();
        let shares: Vec<f64> =
            sessions.iter().filter(|s| s.wanted_kwh > 0.0).map(|s| s.got_kwh / s.wanted_kwh).collect();
        let (sum, squares) =
            shares.iter().fold((0.0, 0.0), |(sum, squares), share| (sum + share, squares + share * share));
        let peak = |of: fn(&Breaker) -> f64| {
            self.breakers.iter().flatten().map(of).fold(0.0, |most: f64, peak| most.max(peak))
        };
        let ratio = |part: i64, whole: i64| if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
        Score {
            energy_kwh: kwh(|s| s.got_kwh),
            requested_kwh: kwh(|s| s.wanted_kwh),
            oracle_kwh: self.oracle.kwh(),
            overload_as: self.overload as f64 / AMPERE_SECOND,
            overload_total_as: self.overload_total as f64 / AMPERE_SECOND,
            overload_longest_s: self.overload_longest.as_secs_f64(),
            breaker_fast_peak: peak(|breaker| breaker.fast.peak()),
            breaker_slow_peak: peak(|breaker| breaker.slow.peak()),
            starts: self.stays.iter().map(|stay| stay.starts).sum(),
            sessions: sessions.len() as u32,
            sessions_met: sessions.iter().filter(|s| s.is_met).count() as u32,
            pauses_per_session_max: sessions.iter().map(|s| s.pauses).max().unwrap_or(0),
            jain: if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 1.0 },
            wait_longest_s: self.stays.iter().map(|stay| stay.wait_longest).max().unwrap_or_default().as_secs_f64(),
            headroom_unused_as: self.stays.iter().map(|stay| stay.unused).sum::<i64>() as f64 / AMPERE_SECOND,
            breaches: self.score.breaches + self.checked,
            self_consumption: 1.0 - ratio(self.sun.exported, self.sun.generated),
            grid_import_share: ratio(self.sun.cars_from_grid, self.sun.cars),
            ..self.score.clone()
        }
    }

    fn see_overload(&mut self, span: Duration, load: &PerPhase<Amps>, cars: &PerPhase<Amps>) {
        let millis = span.as_millis() as i64;
        let mut share = 0;
        for phase in Phase::ALL {
            let excess = (load[phase] - self.fuse[phase]).max(Amps::ZERO);
            self.overload_total += i64::from(excess.as_milli()) * millis;
            share += i64::from(excess.min(cars[phase].max(Amps::ZERO)).as_milli());
        }
        self.overload += share * millis;
        self.overload_now = if share > 0 { self.overload_now + span } else { Duration::ZERO };
        self.overload_longest = self.overload_longest.max(self.overload_now);
    }

    fn see_energy(&mut self, site: &Site, plant: &Plant, span: Duration) {
        let millis = span.as_millis() as i64;
        let net = plant.flow(Site::ROOT).watts.0.iter().map(|watts| i64::from(*watts)).sum::<i64>();
        let cars = site.evse_ids().filter_map(|id| plant.plugged(id)).map(|car| i64::from(car.watts())).sum::<i64>();
        let generated = i64::from(plant.sun()).max(0);
        self.sun.generated += generated * millis;
        self.sun.exported += (-net).clamp(0, generated) * millis;
        self.sun.cars += cars * millis;
        self.sun.cars_from_grid += net.clamp(0, cars) * millis;
    }

    fn see_decision(&mut self, site: &Site, frame: &Frame<'_>) {
        if frame.decision.setpoints.len() != site.evses.len() {
            return;
        }
        self.checked = self.checked.max(frame.decision.breaches);
        let setpoints = &frame.decision.setpoints;
        if setpoints.iter().zip(&self.setpoints).all(|(new, old)| new.amps == *old) {
            return;
        }
        for id in site.evse_ids() {
            let (amps, evse) = (setpoints[id.0].amps, site.evse(id));
            let is_possible = !amps.is_positive() || (amps >= evse.least && amps <= evse.most);
            self.score.breaches += u32::from(!is_possible);
            self.score.priority_inversions += u32::from(self.is_inverted(site, frame, id));
        }
        self.setpoints.clear();
        self.setpoints.extend(setpoints.iter().map(|setpoint| setpoint.amps));
    }

    /// Has this EVSE been raised above its minimum, or from nothing, by what one of a higher priority lacks? Whoever is
    /// full lacks nothing.
    fn is_inverted(&self, site: &Site, frame: &Frame<'_>, id: EvseId) -> bool {
        let decision = frame.decision;
        let risen = decision.setpoints[id.0].amps - self.setpoints[id.0];
        if !risen.is_positive() || decision.cars.len() != site.evses.len() {
            return false;
        }
        let phases = site.evse(id).rotation.phases();
        site.evse_ids().any(|other| {
            let (above, evse) = (&decision.setpoints[other.0], site.evse(other));
            let lacks = match above.because.row() {
                Some((circuit, phase)) => phases.contains(phase) && site.feeds(circuit, id),
                None => false,
            };
            // Minimums come before anybody's rest: whoever has one is no reason against another's.
            let is_minimum =
                !self.setpoints[id.0].is_positive() && decision.setpoints[id.0].amps <= site.evse(id).least + START;
            if is_minimum && above.amps.is_positive() {
                return false;
            }
            // A paused car needs an ampere more than its minimum to start again.
            let worth = if above.amps.is_positive() { evse.step.rise(above.amps) } else { evse.least + START };
            let is_hungry = || frame.plant.plugged(other).is_some_and(|car| !car.is_full(frame.plant.now()));
            lacks && is_hungry() && decision.cars[other.0].priority > decision.cars[id.0].priority && risen >= worth
        })
    }
}
