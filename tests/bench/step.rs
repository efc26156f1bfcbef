//! How long does one step take, and its record? With the plant of the simulator: a grid connection, ten circuits, three tiers.

use crate::now;
use crate::table::Table;
use headroom::control::{self, Decision, Observation, State};
use headroom::policy::Policy;
use headroom::recorder::{Scribe, Stepped};
use headroom::sim::{Action, Car, Plant, Scenario, TICK};
use headroom::site::{EvseId, MeterId, Site};
use headroom::time::{Duration, Moment};
use headroom::units::Amps;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

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
    let scenario = Scenario::parse(&scenario(evses)).expect("the scenario is well-formed");
    let mut world = World::new(&scenario);
    world.live_until(SETTLED);
    (world.recorded, world.recording) = (Vec::new(), Vec::new());
    let charging = world.charging();
    assert!(charging * 10 >= evses * 9, "{charging} of {evses} cars have current before the measurement");
    let steady = world.live_until(SETTLED + STEADY);
    table.times(&format!("step, {evses} EVSEs, steady"), steady, "");
    let (recorded, bytes) = (std::mem::take(&mut world.recorded), world.recording.len());
    table.number(&format!("recorded, {evses} EVSEs, bytes a step"), &(bytes / recorded.len()).to_string(), "");
    table.times(&format!("recording it, {evses} EVSEs"), recorded, "");
    let cuts = world.cuts();
    table.times(&format!("step, {evses} EVSEs, a cut"), cuts, "");
}

/// The site that control steers, and the plant that obeys.
struct World<'a> {
    scenario: &'a Scenario,
    plant: Plant,
    state: State,
    observation: Observation,
    decision: Decision,
    policy: Arc<Policy>,
    scribe: Scribe,
    /// What has been recorded, and how long each step's record took.
    recording: Vec<u8>,
    recorded: Vec<Duration>,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut plant = Plant::new(&scenario.site, &scenario.script);
        let cards = ["OWNER", "MEMBER", "MEMBER", "GUEST"];
        for id in scenario.site.evse_ids() {
            let token = Some(cards[id.0 % cards.len()].to_owned());
            plant.act(&Action::Arrive(id, Car { token, ..Car::default() }));
        }
        World {
            plant,
            state: State::new(&scenario.site, Moment::START),
            observation: Observation::nothing(&scenario.site, 0),
            decision: Decision::default(),
            policy: Arc::new(scenario.policy.clone()),
            scribe: Scribe::new(&scenario.site, 0, SEGMENT),
            recording: Vec::new(),
            recorded: Vec::new(),
            scenario,
        }
    }

    /// As the daemon lives: a step for what is heard together, and when the last one asked for it. How long each took.
    fn live_until(&mut self, end: Moment) -> Vec<Duration> {
        let Scenario { site, policy, .. } = self.scenario;
        let mut times = Vec::new();
        while self.plant.now() < end {
            let now_there = self.plant.now() + TICK;
            let words = self.plant.advance(now_there);
            if words.is_empty() && now_there < self.decision.next {
                continue;
            }
            words.into_iter().for_each(|word| self.observation.hear(word));
            let (decision, time) = timed(site, &mut self.state, &self.observation, policy, now_there);
            decision.orders.iter().for_each(|order| self.plant.obey(order));
            self.decision = decision;
            times.push(time);
            self.record(now_there);
        }
        times
    }

    fn record(&mut self, at: Moment) {
        let (state, seen, policy, decision) = (&self.state, &self.observation, &self.policy, &self.decision);
        let begun: Instant = now();
        let step = Stepped { state, seen, policy, now: at, decision };
        let next = self.scribe.note(&step, &mut self.recording).expect("a segment is large enough");
        self.recorded.push(begun.elapsed());
        self.recording.extend(next.unwrap_or_default());
    }

    fn charging(&self) -> usize {
        self.decision.setpoints.iter().filter(|setpoint| setpoint.amps.is_positive()).count()
    }

    /// The house takes more: a tenth to a quarter of the fuse, at once, each time from the same state.
    fn cuts(&self) -> Vec<Duration> {
        let Scenario { site, policy, .. } = self.scenario;
        let meter = MeterId(0);
        let fuse = site.circuit(site.meters[meter.0].circuit).limit;
        let mut times = Vec::new();
        for cut in 0..CUTS {
            let (mut state, mut observation) = (self.state.clone(), self.observation.clone());
            let now_there = self.plant.now() + Duration::from_secs(1);
            let sample = observation.samples[meter.0].as_mut().expect("the meter has been heard");
            sample.at = now_there;
            for (amps, fuse) in sample.current.0.iter_mut().zip(fuse.0) {
                *amps += fuse.scaled(100 + 150 * cut / CUTS, 1_000);
            }
            let (decision, time) = timed(site, &mut state, &observation, policy, now_there);
            let told: Amps = decision.setpoints.iter().map(|setpoint| setpoint.amps).sum();
            let had: Amps = self.decision.setpoints.iter().map(|setpoint| setpoint.amps).sum();
            assert!(told < had && !decision.orders.is_empty(), "this step was to cut");
            times.push(time);
        }
        times
    }
}

fn timed(
    site: &Site,
    state: &mut State,
    observation: &Observation,
    policy: &Policy,
    at: Moment,
) -> (Decision, Duration) {
    let begun: Instant = now();
    let decision = control::step(black_box(site), state, black_box(observation), policy, at);
    let time = begun.elapsed();
    (black_box(decision), time)
}

/// A metered grid connection, ten circuits of which every second has a meter, and as many EVSEs on each. There is enough
/// for about 9 A each where a car could take 16 A, so that everybody is held by some row. One in four has one phase.
fn scenario(evses: usize) -> String {
    let each = evses / 10;
    let main = 12 * evses;
    let mut text = format!(
        "about = 'a garage'\nuntil_s = 1\nplant = {{ noise_a = 0.2 }}\n\
         class = [\n\
         {{ id = 'owner', priority = 6, weight = 4, tokens = ['OWNER'] }},\n\
         {{ id = 'member', priority = 3, weight = 2, tokens = ['MEMBER'] }},\n\
         {{ id = 'guest', priority = -3, tokens = ['GUEST'] }},\n]\n\
         at = [{{ t = 0, load_a = {} }}]\n\
         [[circuit]]\nid = 'main'\nfuse_a = {main}\nmargin_a = 1\nmeter_ms = 1000\n",
        3 * evses
    );
    for circuit in 0..10 {
        let meter = if circuit % 2 == 0 { "meter_ms = 1000\n" } else { "" };
        let fuse = (12 * each).max(16);
        text += &format!(
            "[[circuit]]\nid = 'row-{circuit}'\nparent = 'main'\nfuse_a = {fuse}\nmargin_a = 0.5\nother_load_a = 0\n{meter}"
        );
    }
    for evse in 0..evses {
        let rotation = ["RST", "STR", "TRS", "S"][EvseId(evse).0 % 4];
        text += &format!(
            "[[evse]]\nid = 'evse-{evse}'\ncircuit = 'row-{}'\nrotation = '{rotation}'\nmetering_s = 10\n",
            evse / each
        );
    }
    text
}
