//! How much can cars still have within a limit in watts: of all load (a contract), or of EVSEs alone (§14a EnWG)?
//!
//! Such a limit is one more row, after those of the circuits. So that one law holds for all rows, watts are reckoned there
//! as the current that has them on a single conductor at nominal voltage: a car of 10 A on three phases takes 30 A of it,
//! at 240 V where 230 V is nominal 31.3 A. The row stands on L1; L2 and L3 of it stay empty.

use super::allocation::phasor::branches_together;
use super::allocation::{Capacity, Plan};
use super::draw::Draw;
use super::headroom::{Below, Counts, Part, RowView, Stated};
use super::observation::Sample;
use super::queue::Setting;
use super::work::Work;
use super::{Freshness, State};
use crate::site::{Site, Wiring};
use crate::units::{Amps, PerPhase, Phase, PhaseSet};
use serde::{Deserialize, Serialize};

/// Rows after those of the circuits: the contract's, and the grid operator's.
pub(super) const ROWS: usize = 2;
/// What a measured voltage may be off its nominal by (EN 50160: 10 %), and some for the meter; beyond that it is no voltage.
const PLAUSIBLE_PERCENT: i64 = 15;
/// Watts are reckoned at the highest voltage that was measured until it is lower by so much: a step of the last car's load
/// moves it by less, and nobody is raised and cut again for that.
const STEADY_PERCENT: i64 = 2;
/// Distance kept from a contract, beside the meter's resolution: 2 % of it, and this at least.
const LEAST_MARGIN: Amps = Amps::milli(500);

/// The voltage that watts are reckoned with, and what a current is in them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Scale {
    wiring: Wiring,
    /// Nominal, in volts.
    nominal: i64,
    /// As measured, of each phase to the neutral; where there is none, between each two lines.
    millivolts: PerPhase<i32>,
}

impl Scale {
    /// At nominal voltage.
    pub(super) fn new(site: &Site) -> Self {
        Scale { wiring: site.wiring, nominal: site.volts(), millivolts: site.nominal_millivolts() }
    }

    /// The grid meter's newest sample, if there is one.
    pub(super) fn hear(&mut self, site: &Site, sample: Option<&Sample>) {
        let Some(measured) = sample.and_then(|sample| sample.millivolts) else { return };
        for phase in site.wiring.phases().iter() {
            let kept = &mut self.millivolts[phase];
            if let Some(now) = plausible(site, &measured, phase)
                && (now > *kept || i64::from(now) * 100 < i64::from(*kept) * (100 - STEADY_PERCENT))
            {
                *kept = now;
            }
        }
    }

    /// Each phase to the neutral; where there is none, between each two lines.
    pub(super) fn millivolts(&self) -> PerPhase<i32> {
        self.millivolts
    }

    /// What this current takes on each of these phases.
    pub(super) fn of(&self, phases: PhaseSet, amps: Amps) -> Amps {
        self.having_microwatts(i64::from(amps.as_milli()) * self.wiring.millivolts(self.millivolts, phases))
    }

    /// What these line currents take.
    pub(super) fn drawn(&self, current: &PerPhase<Amps>) -> Amps {
        match self.wiring {
            Wiring::Delta => {
                let millivolts = i64::from(self.millivolts.0.into_iter().min().unwrap_or_default());
                self.having_microwatts(i64::from(branches_together(current).as_milli()) * millivolts)
            }
            Wiring::Single | Wiring::Star => {
                let microwatts =
                    |phase: Phase| i64::from(current[phase].as_milli()) * i64::from(self.millivolts[phase]);
                self.having_microwatts(Phase::ALL.into_iter().map(microwatts).sum())
            }
        }
    }

    /// The same in watts, rounded up: what has been reckoned for a car shall be enough for it.
    pub(super) fn watts(&self, amps: Amps) -> i32 {
        -(-i64::from(amps.as_milli()) * self.nominal).div_euclid(1000) as i32
    }

    /// Rounded down, so that in watts it is no more than this again.
    fn having_watts(self, watts: i64) -> Amps {
        amps((watts * 1_000_000).div_euclid(self.nominal.max(1) * 1000))
    }

    /// Rounded up.
    fn having_microwatts(self, microwatts: i64) -> Amps {
        amps(-(-microwatts).div_euclid(self.nominal.max(1) * 1000))
    }

    /// All that the sample's circuit takes: its watts where it tells them; else its currents, as if all were active power.
    pub(super) fn load(&self, sample: &Sample) -> Amps {
        if let Some(watts) = sample.watts {
            return self.having_watts(watts.0.iter().map(|watts| i64::from(*watts)).sum());
        }
        let microwatts = |phase: Phase| i64::from(sample.current[phase].as_milli()) * i64::from(self.millivolts[phase]);
        let sum: i64 = Phase::ALL.into_iter().map(microwatts).sum();
        match self.wiring {
            // Against the virtual neutral, which is all that a line's current can have.
            Wiring::Delta => self.having_microwatts(sum * 1000 / 1732),
            Wiring::Single | Wiring::Star => self.having_microwatts(sum),
        }
    }
}

fn amps(milliamps: i64) -> Amps {
    Amps::milli(milliamps.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
}

/// The voltage that power rows reckon with, if this is one. Without a neutral meters differ: some tell the voltage between
/// lines, some against a virtual neutral; the higher line counts for all.
fn plausible(site: &Site, measured: &PerPhase<i32>, phase: Phase) -> Option<i32> {
    let nominal = site.volts() * 1000;
    let near = |millivolts: i64| (millivolts - nominal).abs() * 100 <= nominal * PLAUSIBLE_PERCENT;
    let of = |millivolts: i64| near(millivolts).then_some(millivolts as i32);
    match site.wiring {
        Wiring::Single | Wiring::Star => of(i64::from(measured[phase])),
        Wiring::Delta => {
            let most = measured.0.into_iter().max().map_or(0, i64::from);
            of(most).or_else(|| of(most * 1732 / 1000))
        }
    }
}

/// The rows that this site has, by their place after the circuits.
pub(super) fn rows(site: &Site) -> impl Iterator<Item = usize> + use<> {
    let dso = site.limits.dso.map(|_| site.circuits.len() + 1);
    metered(site).into_iter().chain(dso)
}

/// The one of them that the grid meter measures.
pub(super) fn metered(site: &Site) -> Option<usize> {
    site.limits.contract.map(|_| site.circuits.len())
}

/// What such a row can give, put into `capacity`.
pub(super) fn set(capacity: &mut Capacity, site: &Site, plan: &Plan, scale: &Scale, row: usize, amps: Amps) {
    capacity.set_voltage(plan, scale.millivolts);
    match row == site.circuits.len() {
        true => capacity.set_watts(Site::ROOT, Some(scale.watts(amps))),
        false => capacity.set_watts_of_set(plan, 0, Some(scale.watts(amps))),
    }
}

/// Has more been taken from such a row than it can give?
pub(super) fn is_overdrawn(capacity: &Capacity, site: &Site, plan: &Plan, row: usize) -> bool {
    match row == site.circuits.len() {
        true => capacity.is_power_overdrawn(Site::ROOT),
        false => capacity.is_power_of_set_overdrawn(plan, 0),
    }
}

/// Adds the rows in watts to those of the circuits.
pub(super) fn view(setting: &Setting, state: &mut State, work: &mut Work) {
    let (site, after) = (setting.site, setting.site.circuits.len());
    if rows(site).next().is_none() {
        return;
    }
    let meter = site.circuit(Site::ROOT).meter;
    let sample = meter.and_then(|meter| work.samples[meter.0].as_ref());
    let freshness = meter.map_or(Freshness::Unmetered, |meter| work.freshness[meter.0]);
    state.scale.hear(site, sample.filter(|_| matches!(freshness, Freshness::Fresh | Freshness::Stale)));
    let scale = state.scale;
    let sample =
        sample.map(|sample| Sample { at: sample.at, current: one(scale.load(sample)), watts: None, millivolts: None });
    let mut below = Below::none();
    for id in site.evse_ids() {
        let (evse, car, draw) = (site.evse(id), &state.cars[id.0], &work.draws[id.0]);
        let phases = evse.rotation.phases();
        let part = Part {
            phases: PhaseSet::one(Phase::L1),
            least: scale.of(phases, evse.least),
            fallback: scale.of(phases, evse.fallback),
            counts: Counts::of(site, &work.wishes[id.0].ask),
        };
        below.add(&part, &scaled(&scale, phases, draw), true);
        let Some(sample) = &sample else { continue };
        let (then, is_sure) = car.took(evse, draw, sample.at);
        below.took((one(scale.drawn(&then)), is_sure));
    }
    if let Some(sample) = &sample {
        state.rows[after].compare(&state.cars, &work.draws, sample, |amps| one(scale.drawn(amps)));
    }
    work.rows.extend([RowView::nothing(), RowView::nothing()]);
    if let Some(watts) = site.limits.contract {
        let limit = scale.having_watts(i64::from(watts));
        let resolution = meter.map_or(Amps::ZERO, |meter| site.meters[meter.0].resolution);
        let resolution = scale.of(site.wiring.phases(), resolution);
        let stated = Stated {
            limit: one(limit),
            margin: one(LEAST_MARGIN.max(limit.scaled(2, 100)) + resolution),
            resolution,
            // Fallbacks are what fits beside the house's worst, as far as `check` has seen to it.
            unseen: PerPhase::default(),
            shows_half: false,
            other_load: meter.is_none().then(PerPhase::default),
        };
        work.rows[after] = state.rows[after].view(setting, &stated, (freshness, sample.as_ref()), &below);
    }
    if let Some(watts) = site.limits.dso {
        work.rows[after + 1] = alone(scale.having_watts(i64::from(watts)), &below);
    }
}

/// A row that only our cars load: what is told counts, and no meter is asked.
fn alone(limit: Amps, below: &Below) -> RowView {
    // Whoever disobeys takes what it is seen to take.
    let beyond = below.shown[Phase::L1] - below.least[Phase::L1];
    let room = limit - below.reserved[Phase::L1] - below.latent[Phase::L1] - beyond;
    let fair = limit - below.soon[Phase::L1] - beyond;
    RowView { room: one(room), fair: one(fair), keep: one(fair), cut_above: one(fair), ..RowView::nothing() }
}

fn one(amps: Amps) -> PerPhase<Amps> {
    PerPhase([amps, Amps::ZERO, Amps::ZERO])
}

fn scaled(scale: &Scale, phases: PhaseSet, draw: &Draw) -> Draw {
    let of = |amps: Amps| scale.of(phases, amps);
    let drawn = |amps: &PerPhase<Amps>| one(scale.drawn(amps));
    Draw {
        least: drawn(&draw.least),
        seen: drawn(&draw.seen),
        shown: drawn(&draw.shown),
        is_measured: draw.is_measured,
        worst: of(draw.worst),
        latent: of(draw.latent),
        soon: of(draw.soon),
        shy: of(draw.shy),
        blind: draw.blind,
    }
}
