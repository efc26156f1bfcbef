//! Which site steps are measured at? A garage of ten circuits and three tiers, with the plant of the simulator.
#![allow(clippy::expect_used, reason = "without its site nothing can be measured")]

use headroom::control::{self, Decision, Observation, State};
use headroom::policy::Policy;
use headroom::sim::{Action, Car, Plant, Scenario, TICK};
use headroom::site::{EvseId, Site};
use headroom::time::Moment;

/// The site that control steers, and the plant that obeys.
pub struct World<'a> {
    pub scenario: &'a Scenario,
    pub plant: Plant,
    pub state: State,
    pub observation: Observation,
    pub decision: Decision,
}

/// A step that is to be taken, and what it has left.
pub struct Turn<'a> {
    pub decision: &'a mut Decision,
    pub state: &'a mut State,
    pub seen: &'a Observation,
    pub now: Moment,
    site: &'a Site,
    policy: &'a Policy,
}

impl Turn<'_> {
    pub fn step(&mut self) {
        control::step_into(self.decision, self.site, self.state, self.seen, self.policy, self.now);
    }
}

impl<'a> World<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
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
            scenario,
        }
    }

    /// As the daemon lives: a step for what is heard together, and when the last one asked for it. `take` takes each.
    pub fn live_until(&mut self, end: Moment, mut take: impl FnMut(&mut Turn)) {
        let Scenario { site, policy, .. } = self.scenario;
        while self.plant.now() < end {
            let now_there = self.plant.now() + TICK;
            let words = self.plant.advance(now_there);
            if words.is_empty() && now_there < self.decision.next {
                continue;
            }
            words.into_iter().for_each(|word| self.observation.hear(word));
            let (decision, state, seen) = (&mut self.decision, &mut self.state, &self.observation);
            take(&mut Turn { decision, site, state, seen, policy, now: now_there });
            self.decision.orders.iter().for_each(|order| self.plant.obey(order));
        }
    }

    pub fn charging(&self) -> usize {
        self.decision.setpoints.iter().filter(|setpoint| setpoint.amps.is_positive()).count()
    }
}

/// A metered grid connection, ten circuits of which every second has a meter, and as many EVSEs on each. There is enough
/// for about 9 A each where a car could take 16 A, so that everybody is held by some row. One in four has one phase.
pub fn scenario(evses: usize) -> Scenario {
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
    Scenario::parse(&text).expect("the scenario is well-formed")
}
