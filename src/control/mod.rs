//! How does a sample become a setpoint? `step`: freshness → headroom → allocation → setpoint → commands.
//!
//! Pure: told the time, no I/O, no randomness, no failure. The same inputs give the same outputs.

pub mod allocation;
mod appetite;
mod assumed;
mod base;
mod car;
mod draw;
mod exposure;
mod freshness;
mod hang_up;
mod headroom;
mod ledger;
mod mode;
mod need;
pub mod observation;
mod orders;
mod pauses;
mod power;
mod queue;
mod readings;
pub mod reason;
mod sabotage;
mod served;
mod setpoint;
mod state;
#[cfg(test)]
mod tests;
mod trial;
mod unbalance;
pub mod wiring;
mod work;
mod worst;

pub use exposure::Exposure;
pub use hang_up::HangUp;
pub use ledger::Lease;
pub use observation::{Observation, Word};
pub use reason::Reason;
pub use state::State;

use crate::policy::{Entitlement, Policy};
use crate::site::{CircuitId, EvseId, Site, Wiring};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};
use allocation::Ask;
use car::Car;
use draw::Draw;
use freshness::Proven;
use headroom::{Below, Counts, Part, Stated};
use observation::{Link, Sample};
use queue::{Setting, Sight, Wish};
use sabotage::Bug;
use serde::{Deserialize, Serialize};
use setpoint::Scene;
use wiring::Miswired;
use work::{Work, refill};

/// The step runs at least this often, so that ages, holds and renewals are never late by more.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// Two decisions that fail their own check within this time end the process.
const BREACH_SPAN: Duration = Duration::from_secs(60);

/// What the step decides.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Decision {
    /// One for each EVSE, by index.
    pub setpoints: Vec<Setpoint>,
    /// What has to be sent now; at most one for an EVSE.
    pub orders: Vec<Order>,
    /// Whose chargers must not be connected now.
    pub hang_ups: Vec<HangUp>,
    /// One for each circuit, by index.
    pub rows: Vec<Row>,
    /// One for each EVSE, by index: what people are shown of it.
    pub cars: Vec<CarView>,
    /// How many decisions have failed their own check since the start of the process.
    pub breaches: u32,
    /// Twice within a minute a decision failed its own check: end the process, chargers fall back by themselves.
    pub is_fatal: bool,
    /// The step wants to run again by then, whatever happens.
    pub next: Moment,
}

/// What an EVSE may take, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setpoint {
    /// Zero is a pause.
    pub amps: Amps,
    /// Why it is not more.
    pub because: Reason,
}

/// A setpoint with its lease, to be carried to the charger. A newer order replaces an older one that is still waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Row {
    /// How old its sample is.
    pub freshness: Freshness,
    /// When that was taken.
    pub heard: Option<Moment>,
    /// All current in it, measured or summed from below; `None` where nothing is known.
    pub load: Option<PerPhase<Amps>>,
    /// What our cars take of it, as far as known.
    pub draw: PerPhase<Amps>,
    /// limit − margin − base load; may be negative.
    pub headroom: PerPhase<Amps>,
    /// What cars have added above its limit, by its meter.
    pub exposure: Exposure,
    /// What the phase that carries most carries more than the one that carries least, as a mean of a minute: of the grid
    /// connection, where that has a limit.
    pub unbalance: Option<Amps>,
    /// Its meter shows cars' steps where they are not: it counts as lost.
    pub miswired: Option<Miswired>,
    /// What this EVSE's car takes more or less something else makes up for.
    pub made_up: Option<EvseId>,
}

/// An EVSE as the step saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CarView {
    /// What it takes on the site's phases.
    pub draw: PerPhase<Amps>,
    /// Is that its own fresh measurement? Else it is assumed.
    pub is_measured: bool,
    /// What it counts in the ledger: the most that may be in force.
    pub counts: Amps,
    /// It takes more than it was told.
    pub disobeys: bool,
    /// Effective priority.
    pub priority: i8,
    /// Who it is and what that entitles to.
    pub entitlement: Entitlement,
    /// How long the acknowledged lease still stands.
    pub lease: Option<Duration>,
}

/// The three ages of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
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

/// One decision. Cannot fail; the same arguments give the same answer.
pub fn step(site: &Site, state: &mut State, observation: &Observation, policy: &Policy, now: Moment) -> Decision {
    let mut decision = Decision::default();
    step_into(&mut decision, site, state, observation, policy, now);
    decision
}

/// As [`step`], in place of an older decision: in steady life no memory is asked for.
pub fn step_into(
    decision: &mut Decision,
    site: &Site,
    state: &mut State,
    observation: &Observation,
    policy: &Policy,
    now: Moment,
) {
    let highest = policy.classes.iter().map(|class| class.priority).max().unwrap_or(i8::MIN);
    let setting = Setting { site, policy, wall: observation.wall, crowd: (0, 1), now, highest };
    let mut work = state.work.take().unwrap_or_else(|| Box::new(Work::new(site)));
    look(&setting, state, observation, &mut work);
    let Work { plan, desk, draws, sights, before, wishes, rows, queue, apart, places, .. } = &mut *work;
    for (car, wish) in state.cars.iter_mut().zip(&*wishes) {
        if let Err(because) = wish.ask {
            car.because = because;
            if because != Reason::Unreachable {
                car.settle(Amps::ZERO, now);
            }
            if because == Reason::SolarWait {
                // It waits for nobody, and comes before nobody for it.
                car.waiting_since = Some(now);
            }
        }
    }
    let scene = Scene { site, plan, draws, rows, scale: state.scale, wishes, sights, queue, apart, now };
    setpoint::decide(&scene, &mut state.cars, &mut state.rows, desk);
    state.rows.iter_mut().for_each(|row| row.gather(places));
    #[cfg(test)]
    state.spoil.into_iter().for_each(|spoil| spoil(&mut state.cars));
    if sabotage::has(Bug::RaiseUnchecked) {
        state.cars[0].setpoint = site.evses[0].most;
    }
    let is_sound = sabotage::has(Bug::RaiseUnchecked) || setpoint::is_sound(&scene, &state.cars, before, desk);
    decision.is_fatal = !is_sound && fall_back(site, state, queue, now);

    let fuse = site.circuit(Site::ROOT).limit;
    let is_tightened = policy.main_limit(fuse) != fuse;
    decision.orders.clear();
    for id in site.evse_ids() {
        let (evse, report, car) = (site.evse(id), &observation.reports[id.0], &mut state.cars[id.0]);
        // With a lost meter leases run out: `check` has proven that all fallbacks fit, beside the fuse. Beside less than
        // the fuse they may not.
        let may_renew = !matches!(sights[id.0], Sight::Lost(_)) || (is_tightened && car.setpoint < evse.fallback);
        decision.orders.extend(orders::order(evse, id, car, report, may_renew, &mut state.numbers, now));
    }
    hang_up::decide(&mut decision.hang_ups, &scene, &mut state.cars, &observation.reports, before);
    let setpoints = state.cars.iter().map(|car| Setpoint { amps: car.setpoint, because: car.because });
    refill(&mut decision.setpoints, setpoints);
    refill(&mut decision.rows, rows.iter().take(site.circuits.len()).map(|row| row.shown));
    let cars = state.cars.iter().zip(&*draws).zip(&*wishes);
    refill(&mut decision.cars, cars.map(|((car, draw), wish)| car_view(car, draw, wish, now)));
    decision.breaches = state.breaches;
    decision.next = now + LONGEST_REST;
    state.work = Some(work);
}

/// What is there, who asks, and what each circuit can give.
fn look(setting: &Setting, state: &mut State, observation: &Observation, work: &mut Work) {
    let Setting { site, now, .. } = *setting;
    hear_samples(site, observation, work);
    learn_from_meters(site, state, observation, work, now);
    let heard = state.cars.iter_mut().zip(&site.evses).zip(&observation.reports);
    refill(&mut work.draws, heard.map(|((car, evse), report)| car.observe(evse, report, now)));
    let setting = &Setting { crowd: queue::crowd(&state.cars, &observation.reports, now), ..*setting };
    assumed::bear_out(site, state, observation, work, now);
    freshness(site, state, observation, work, now);
    sights(site, state, work);
    refill(&mut work.before, state.cars.iter().map(|car| car.setpoint));
    let told = site.evse_ids().zip(&state.cars).zip(&observation.reports).zip(&work.sights);
    refill(&mut work.wishes, told.map(|(((id, car), report), sight)| queue::wish(setting, id, car, report, *sight)));
    trial::try_meters(site, state, work, now);
    mode::view(setting, state, observation, work);
    rows(setting, state, work);
    pauses::rest_on(setting, state, work);
    power::view(setting, state, work);
    unbalance::view(site, state, work);
    wiring::watch(site, state, observation, work);
    count_exposure(setting, state, observation, work);
    let Work { queue, ranks, wishes, apart, .. } = work;
    queue::sort(queue, ranks, setting, wishes, &state.cars, &observation.reports);
    // Those who do not ask, where the rows themselves do not count them.
    let silent = |id: EvseId| wishes[id.0].ask.err().map(|because| (id, because));
    refill(apart, site.evse_ids().filter(|_| site.adds_phasors()).filter_map(silent));
}

fn freshness(site: &Site, state: &mut State, observation: &Observation, work: &mut Work, now: Moment) {
    let Work { plan, draws, proven, freshness, .. } = work;
    let meters = site.meters.iter();
    refill(proven, meters.clone().map(|meter| Proven::below(plan.evses_below(meter.circuit), site, draws)));
    let ages = meters.zip(&mut state.ages).zip(&observation.samples).zip(&*proven).zip(&state.watches);
    let ages = ages.map(|((((meter, age), sample), proven), watch)| {
        let freshness = age.update(meter, &site.tuning, sample.as_ref(), proven, now);
        if watch.miswired.is_some() { Freshness::Lost } else { freshness }
    });
    refill(freshness, ages);
}

/// The newest of each meter. Without a neutral the angle between what a site feeds in and what its cars take is not known:
/// a line's current counts as import there, whatever its sign, so that no car is raised against it.
fn hear_samples(site: &Site, observation: &Observation, work: &mut Work) {
    let is_signed = site.wiring != Wiring::Delta;
    let heard = |sample: &Sample| {
        let current =
            PerPhase::from_fn(|phase| if is_signed { sample.current[phase] } else { sample.current[phase].abs() });
        Sample { current, ..*sample }
    };
    refill(&mut work.samples, observation.samples.iter().map(|sample| sample.as_ref().map(heard)));
}

/// What new samples say of chargers: of those that cannot be reached, and of cuts whose time is over.
fn learn_from_meters(site: &Site, state: &mut State, observation: &Observation, work: &Work, now: Moment) {
    for circuit in site.circuit_ids() {
        let sample = site.circuit(circuit).meter.and_then(|meter| work.samples[meter.0].as_ref());
        let Some(sample) = sample else { continue };
        let fall = state.rows[circuit.0].fall(sample);
        if fall.most().is_positive() {
            for id in work.plan.evses_below(circuit) {
                if !matches!(observation.reports[id.0].link, Link::Up { .. }) {
                    state.cars[id.0].doubt(site.evse(*id), &fall);
                }
            }
        }
        let cars = &mut state.cars;
        state.rows[circuit.0].outcomes(sample, |id, is_unshown| {
            // The nearest meter is the judge: it has the least of the house in it, and a cut is judged once.
            let nearest = site.path(site.evse(id).circuit).find(|above| site.circuit(*above).meter.is_some());
            if nearest == Some(circuit) {
                cars[id.0].judge(site.evse(id), is_unshown, now);
            }
        });
    }
}

/// What the meters on each EVSE's path allow: the worst of them rules, of equals the nearest.
fn sights(site: &Site, state: &State, work: &mut Work) {
    let Work { freshness, sights_at: by_circuit, sights, .. } = work;
    by_circuit.clear();
    // Parents come first.
    for id in site.circuit_ids() {
        let circuit = site.circuit(id);
        let above = circuit.parent.map_or(Sight::Clear, |parent| by_circuit[parent.0]);
        let own = circuit.meter.map_or(Freshness::Unmetered, |meter| freshness[meter.0]);
        by_circuit.push(match (own, above) {
            (Freshness::Lost, _) => {
                Sight::Lost(match circuit.meter.and_then(|meter| state.watches[meter.0].miswired) {
                    Some(wrong) => Reason::MeterWiring(id, wrong.phase),
                    None => Reason::MeterLost(id),
                })
            }
            (Freshness::Stale, Sight::Clear | Sight::Stale(_)) => Sight::Stale(id),
            (Freshness::Stale | Freshness::Fresh | Freshness::Unmetered, above) => above,
        });
    }
    refill(sights, site.evses.iter().map(|evse| by_circuit[evse.circuit.0]));
}

fn rows(setting: &Setting, state: &mut State, work: &mut Work) {
    let site = setting.site;
    let Work { worst, freshness, samples, draws, wishes, below, rows: views, .. } = work;
    let sample = |id: CircuitId| site.circuit(id).meter.and_then(|meter| samples[meter.0].as_ref());
    refill(below, site.circuits.iter().map(|_| Below::none()));
    for id in site.evse_ids() {
        let (evse, draw) = (site.evse(id), &draws[id.0]);
        let counts = Counts::of(site, &wishes[id.0].ask);
        let part = Part { phases: evse.rotation.phases(), least: evse.least, fallback: evse.fallback, counts };
        for circuit in site.path(evse.circuit) {
            let is_here = evse.circuit == circuit;
            below[circuit.0].add(&part, draw, is_here);
            let Some(above) = sample(circuit) else {
                below[circuit.0].took((draw.least, false));
                continue;
            };
            below[circuit.0].took(state.cars[id.0].took(evse, draw, above.at));
        }
    }
    // Children first: a circuit without a meter carries what those below it say.
    views.clear();
    for id in (0..site.circuits.len()).rev().map(CircuitId) {
        let age = site.circuit(id).meter.map_or(Freshness::Unmetered, |meter| freshness[meter.0]);
        if let Some(sample) = sample(id) {
            let shows = |amps: &PerPhase<Amps>| PerPhase::from_fn(|phase| site.shown_of(amps[phase]));
            state.rows[id.0].compare(&state.cars, draws, sample, shows);
        }
        let stated = Stated::of(site, id, setting.policy);
        let mut view = state.rows[id.0].view(setting, &stated, (age, sample(id)), &below[id.0]);
        if let (Site::ROOT, Some(worst), Some(sample)) = (id, worst.as_ref(), sample(id)) {
            worst.lower(&mut view, &below[id.0], setting.now.since(sample.at));
        }
        if let Some(parent) = site.circuit(id).parent {
            below[parent.0].add_circuit(&view);
        }
        views.push(view);
    }
    views.reverse();
}

/// What cars add above a limit, as each meter's newest sample shows it.
fn count_exposure(setting: &Setting, state: &mut State, observation: &Observation, work: &mut Work) {
    let site = setting.site;
    for (meter, sample) in site.meters.iter().zip(&observation.samples) {
        let Some(sample) = sample else { continue };
        let below = work.plan.evses_below(meter.circuit).iter();
        let cars = below.fold(PerPhase::default(), |sum: PerPhase<Amps>, id| {
            let takes = work.draws[id.0].at_most(site.evse(*id));
            PerPhase::from_fn(|phase| sum[phase] + takes[phase])
        });
        let limit = headroom::limit(site.circuit(meter.circuit), meter.circuit, setting.policy);
        let counter = &mut state.exposures[meter.circuit.0];
        counter.hear(sample, limit, cars, meter.stale_after(&site.tuning));
        work.rows[meter.circuit.0].shown.exposure = counter.total;
    }
}

/// A decision that fails its own check is replaced by fallback for all who ask. True on the second time within
/// [`BREACH_SPAN`]: then the process had better end.
fn fall_back(site: &Site, state: &mut State, queue: &[Ask], now: Moment) -> bool {
    for ask in queue {
        let car = &mut state.cars[ask.evse.0];
        car.settle(site.evse(ask.evse).fallback, now);
        car.because = Reason::Breach;
    }
    state.breaches = state.breaches.saturating_add(1);
    let is_second = state.last_breach.is_some_and(|last| now.since(last) < BREACH_SPAN);
    state.last_breach = Some(now);
    is_second
}

fn car_view(car: &Car, draw: &Draw, wish: &Wish, now: Moment) -> CarView {
    CarView {
        draw: draw.shown,
        is_measured: draw.is_measured,
        counts: draw.worst,
        disobeys: car.disobeys_since.is_some(),
        priority: wish.priority,
        entitlement: wish.entitlement.clone(),
        lease: car.ledger.held_for(now),
    }
}
