//! What do cars take that no meter of their own measures? What they were told, as far as the meters above bear it out.

use super::State;
use super::headroom::LOOKS_BACK;
use super::observation::Observation;
use super::sabotage::{self, Bug};
use super::work::Work;
use crate::site::{CircuitId, Site, Wiring};
use crate::time::Moment;
use crate::units::{Amps, PerPhase, Phase};

/// A car without a meter of its own is assumed to take what it is told, but no more than the meters above it have shown
/// all the time: a cut of what it never took would free nothing. Nor do all of them together take more than the newest
/// sample leaves beside those whose own meters speak all the time: or the house would give current, and cars rise by it.
/// What the sun lends meters do not show; it may all be on one phase.
pub(super) fn bear_out(site: &Site, state: &State, observation: &Observation, work: &mut Work, now: Moment) {
    let watts: i64 = observation.inverters.iter().flatten().map(|inverter| i64::from(inverter.watts.max(0))).sum();
    let lent = Amps::whole(1).scaled(watts, site.volts());
    for (meter, sample) in site.meters.iter().zip(&observation.samples) {
        let Some(sample) = sample else { continue };
        let most = state.rows[meter.circuit.0].bears_out(sample);
        for id in work.plan.evses_below(meter.circuit) {
            let draw = &mut work.draws[id.0];
            if !draw.is_measured && state.cars[id.0].is_steady(LOOKS_BACK, now) {
                draw.least = PerPhase::from_fn(|phase| draw.least[phase].min(most[phase] + lent));
            }
        }
        if site.wiring != Wiring::Delta && !sabotage::has(Bug::AssumedTwice) {
            let flows = PerPhase::from_fn(|phase| sample.current[phase] + lent);
            share_out(site, work, meter.circuit, &flows);
        }
    }
}

/// What flows in this circuit, beside those whose own meters speak all the time, is all that the others take.
fn share_out(site: &Site, work: &mut Work, circuit: CircuitId, flows: &PerPhase<Amps>) {
    let Work { plan, draws, .. } = work;
    let ids = plan.evses_below(circuit);
    let (mut known, mut assumed) = (PerPhase::<Amps>::default(), PerPhase::<Amps>::default());
    for (id, draw) in ids.iter().map(|id| (id, &draws[id.0])) {
        let sum = if draw.is_always_known(site.evse(*id)) { &mut known } else { &mut assumed };
        Phase::ALL.into_iter().for_each(|phase| sum[phase] += draw.least[phase]);
    }
    let left = PerPhase::from_fn(|phase| (flows[phase] - known[phase]).max(Amps::ZERO));
    for phase in Phase::ALL.into_iter().filter(|phase| assumed[*phase] > left[*phase]) {
        for id in ids {
            let draw = &mut draws[id.0];
            if !draw.is_always_known(site.evse(*id)) {
                draw.least[phase] =
                    draw.least[phase].scaled(left[phase].as_milli().into(), assumed[phase].as_milli().into());
            }
        }
    }
}
