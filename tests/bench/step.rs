//! How long does one step take, and its record? At a garage of ten circuits and three tiers.

use crate::garage::{World, scenario};
use crate::now;
use crate::table::Table;
use headroom::control::{self, Decision};
use headroom::recorder::{Scribe, Stepped};
use headroom::sim::Scenario;
use headroom::site::MeterId;
use headroom::time::{Duration, Moment};
use headroom::units::Amps;
use std::hint::black_box;
use std::sync::Arc;

/// Until all cars have arrived, had their first leases and been given their shares.
const SETTLED: Moment = Moment::from_millis(300_000);
/// So long of steady life is measured: twenty renewals of every lease, sixty reports of every charger.
const STEADY: Duration = Duration::from_secs(600);
/// Bytes of a segment, as where `recorder.most_mib` is 8.
const SEGMENT: usize = 1 << 20;
/// So many cuts are measured.
const CUTS: i64 = 1_000;

/// Steady life, then cuts.
pub fn measure(evses: usize, table: &mut Table) {
    let scenario = scenario(evses);
    let mut world = World::new(&scenario);
    world.live_until(SETTLED, |turn| turn.step());
    let charging = world.charging();
    assert!(charging * 10 >= evses * 9, "{charging} of {evses} cars have current before the measurement");
    let (mut steady, mut recorded, mut recording) = (Vec::new(), Vec::new(), Vec::new());
    let (policy, mut scribe) = (Arc::new(scenario.policy.clone()), Scribe::new(&scenario.site, 0, SEGMENT));
    world.live_until(SETTLED + STEADY, |turn| {
        let begun = now();
        turn.step();
        steady.push(begun.elapsed());
        let begun = now();
        let step =
            Stepped { state: turn.state, seen: turn.seen, policy: &policy, now: turn.now, decision: turn.decision };
        let next = scribe.note(&step, &mut recording).expect("a segment is large enough");
        recorded.push(begun.elapsed());
        recording.extend(next.unwrap_or_default());
    });
    table.times(&format!("step, {evses} EVSEs, steady"), steady, "");
    let bytes = recording.len() / recorded.len();
    table.number(&format!("recorded, {evses} EVSEs, bytes a step"), &bytes.to_string(), "");
    table.times(&format!("recording it, {evses} EVSEs"), recorded, "");
    let cuts = cuts(&world);
    table.times(&format!("step, {evses} EVSEs, a cut"), cuts, "");
}

/// The house takes more: a tenth to a quarter of the fuse, at once, each time from the same state.
fn cuts(world: &World) -> Vec<Duration> {
    let Scenario { site, policy, .. } = world.scenario;
    let meter = MeterId(0);
    let fuse = site.circuit(site.meters[meter.0].circuit).limit;
    let mut times = Vec::new();
    let mut decision = Decision::default();
    for cut in 0..CUTS {
        let (mut state, mut observation) = (world.state.clone(), world.observation.clone());
        let now_there = world.plant.now() + Duration::from_secs(1);
        let sample = observation.samples[meter.0].as_mut().expect("the meter has been heard");
        sample.at = now_there;
        for (amps, fuse) in sample.current.0.iter_mut().zip(fuse.0) {
            *amps += fuse.scaled(100 + 150 * cut / CUTS, 1_000);
        }
        let begun = now();
        control::step_into(&mut decision, black_box(site), &mut state, black_box(&observation), policy, now_there);
        times.push(begun.elapsed());
        let told: Amps = decision.setpoints.iter().map(|setpoint| setpoint.amps).sum();
        let had: Amps = world.decision.setpoints.iter().map(|setpoint| setpoint.amps).sum();
        assert!(told < had && !decision.orders.is_empty(), "this step was to cut");
    }
    times
}
