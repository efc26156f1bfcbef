//! How does control do at a virtual site? It steps on what it hears and when it asked to, in simulated time.

use super::plant::{Plant, TICK};
use super::script::Script;
use crate::control::{self, Decision, Observation, Order, State};
use crate::policy::Policy;
use crate::site::Site;
use crate::time::{Duration, Moment};

/// One moment of a run: the truth, and what control made of it.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The truth, with its time.
    pub plant: &'a Plant,
    /// The last decision; before the first one it is empty.
    pub decision: &'a Decision,
    /// What was sent in this very moment.
    pub orders: &'a [Order],
}

/// Runs `script` for `span`, and shows each moment to `see`. As in the daemon, what is heard together is one step,
/// and the last decision's deadline is kept. While the gateway is dead nobody steps; it comes back knowing nothing.
pub fn run(site: &Site, policy: &Policy, script: &Script, span: Duration, mut see: impl FnMut(&Frame<'_>)) {
    let mut plant = Plant::new(site, script);
    let mut now = Moment::START;
    let mut gateway = Gateway::new(site, now);
    while now < Moment::START + span {
        now = now + TICK;
        let words = plant.advance(now);
        if plant.is_gateway_alive() {
            for word in words {
                gateway.observation.hear(word);
                gateway.decision.next = now;
            }
        }
        let mut orders = Vec::new();
        match (plant.is_gateway_alive(), gateway.is_stepping) {
            (true, _) if gateway.decision.next <= now => {
                gateway.is_stepping = true;
                gateway.decision = control::step(site, &mut gateway.state, &gateway.observation, policy, now);
                orders.clone_from(&gateway.decision.orders);
                orders.iter().for_each(|order| plant.obey(order));
            }
            (false, true) => gateway = Gateway::new(site, now),
            (true, _) | (false, false) => {}
        }
        see(&Frame { plant: &plant, decision: &gateway.decision, orders: &orders });
    }
}

struct Gateway {
    state: State,
    observation: Observation,
    decision: Decision,
    is_stepping: bool,
}

impl Gateway {
    fn new(site: &Site, now: Moment) -> Self {
        Gateway {
            state: State::new(site, now),
            observation: Observation::nothing(site, 1),
            decision: Decision::default(),
            is_stepping: false,
        }
    }
}
