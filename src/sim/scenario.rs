//! How does control do at a virtual site? It steps on what it hears and when it asked to, in simulated time.

use super::plant::Plant;
use super::script::Script;
use crate::control::{self, Decision, Observation, Order, State};
use crate::policy::{Memory, Policy, Rights, Scene};
use crate::site::Site;
use crate::time::{Duration, Moment};
use std::sync::Arc;

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

/// Whoever steers the plant.
pub trait Law {
    /// One decision, on all that has been heard so far.
    fn decide(&mut self, observation: &Observation, now: Moment) -> Decision;

    /// The cloud has told this; a law without people has no use for it.
    fn hear(&mut self, _policy: &Arc<Policy>) {}
}

/// The product's own law.
#[derive(Debug)]
pub struct Headroom<'a> {
    site: &'a Site,
    policy: Arc<Policy>,
    rights: Rights,
    state: State,
}

impl<'a> Headroom<'a> {
    /// Knowing nothing.
    pub fn new(site: &'a Site, policy: &Arc<Policy>, now: Moment) -> Self {
        let rights = Rights::new(policy.clone(), Memory::default());
        Headroom { site, policy: policy.clone(), rights, state: State::new(site, now) }
    }
}

impl Law for Headroom<'_> {
    fn decide(&mut self, observation: &Observation, now: Moment) -> Decision {
        let (policy, sessions, wall) = (&self.policy, &observation.sessions(), observation.wall);
        let policy = self.rights.update(&Scene { policy, sessions, is_offline: false, wall, now });
        control::step(self.site, &mut self.state, observation, policy, now)
    }

    fn hear(&mut self, policy: &Arc<Policy>) {
        self.policy = policy.clone();
    }
}

/// Runs `script` for `span`, and shows each moment to `see`.
pub fn run(site: &Site, policy: &Policy, script: &Script, span: Duration, see: impl FnMut(&Frame<'_>)) {
    let policy = Arc::new(policy.clone());
    run_by(site, script, span, |now| Headroom::new(site, &policy, now), see);
}

/// As [`run`], steered by the law that `law` makes. As in the daemon, what is heard together is one step, the last
/// decision's deadline is kept, and another policy is a step at once. While the gateway is dead nobody steps; it comes
/// back knowing nothing.
pub fn run_by<L: Law>(
    site: &Site,
    script: &Script,
    span: Duration,
    law: impl Fn(Moment) -> L,
    mut see: impl FnMut(&Frame<'_>),
) {
    let mut plant = Plant::new(site, script);
    let mut now = Moment::START;
    let mut gateway = Gateway::new(site, law(now));
    while now < Moment::START + span {
        now = now + plant.step();
        let words = plant.advance(now);
        if plant.is_gateway_alive() {
            for word in words {
                gateway.observation.hear(word);
                gateway.decision.next = now;
            }
        }
        let policy = plant.outside().policy().filter(|_| plant.is_gateway_alive());
        if let Some(policy) = policy.filter(|told| gateway.heard.as_ref().is_none_or(|heard| !Arc::ptr_eq(heard, told)))
        {
            gateway.law.hear(policy);
            gateway.heard = Some(policy.clone());
            gateway.decision.next = now;
        }
        let mut is_new = false;
        match (plant.is_gateway_alive(), gateway.is_stepping) {
            (true, _) if gateway.decision.next <= now => {
                gateway.is_stepping = true;
                gateway.observation.wall = plant.outside().wall(now);
                gateway.decision = gateway.law.decide(&gateway.observation, now);
                gateway.decision.orders.iter().for_each(|order| plant.obey(order));
                gateway.decision.hang_ups.iter().for_each(|hang_up| plant.hang_up(hang_up));
                is_new = true;
            }
            (false, true) => gateway = Gateway::new(site, law(now)),
            (true, _) | (false, false) => {}
        }
        let orders = if is_new { gateway.decision.orders.as_slice() } else { &[] };
        see(&Frame { plant: &plant, decision: &gateway.decision, orders });
    }
}

struct Gateway<L> {
    law: L,
    observation: Observation,
    decision: Decision,
    /// The last policy that the cloud has told it.
    heard: Option<Arc<Policy>>,
    is_stepping: bool,
}

impl<L> Gateway<L> {
    fn new(site: &Site, law: L) -> Self {
        Gateway {
            law,
            observation: Observation::nothing(site, 1),
            decision: Decision::default(),
            heard: None,
            is_stepping: false,
        }
    }
}
