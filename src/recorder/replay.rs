//! Does it decide the same again? Each recorded step is taken once more and held against what was decided then.

use super::digest::digest;
use super::record::{self, Opening, Record, Step};
use super::segment::{End, Frames, Segment};
use crate::control::{self, Decision, Observation, Order, Setpoint, State};
use crate::policy::Policy;
use crate::site::{EvseId, Site};
use crate::time::{Duration, Moment};
use chrono::{DateTime, Utc};

/// A segment that is being decided again, step by step.
#[derive(Debug)]
pub struct Replay<'s> {
    segment: &'s Segment,
    frames: Frames<'s>,
    state: State,
    policy: Policy,
    seen: Observation,
    now: Moment,
    told: Vec<Setpoint>,
    end: Option<End>,
}

/// A step, then and now.
#[derive(Debug, Clone)]
pub struct Again {
    /// On the clock of the process that recorded it.
    pub now: Moment,
    /// Wall time then, if it was to be trusted.
    pub wall: Option<DateTime<Utc>>,
    /// The setpoints that were decided then, by EVSE.
    pub were: Vec<Setpoint>,
    /// What was sent then.
    pub sent: Vec<Order>,
    /// What is decided now.
    pub decision: Decision,
    /// Is it the same to the last bit?
    pub is_same: bool,
}

/// Where a segment ended.
#[derive(Debug)]
pub struct Arrival {
    at: Moment,
    state: State,
}

impl Arrival {
    /// Does this one begin there, with the very same state?
    pub fn leads_to(&self, next: &Opening) -> bool {
        let bytes = |state: &State| postcard::to_allocvec(state).ok();
        self.at == next.at && bytes(&self.state) == bytes(&next.state)
    }
}

impl<'s> Replay<'s> {
    /// Before the first step.
    pub fn of(segment: &'s Segment) -> Self {
        let Opening { state, policy, site, inverters, at, wall, .. } = &segment.opening;
        Replay {
            segment,
            frames: segment.frames(),
            state: state.clone(),
            policy: policy.clone(),
            seen: Observation { wall: *wall, ..Observation::nothing(site, *inverters) },
            now: *at,
            told: Vec::new(),
            end: None,
        }
    }

    /// How the file ends; known after the last step.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// What the last step has left; a segment that goes on from there begins with the same.
    pub fn arrival(self) -> Arrival {
        Arrival { at: self.now, state: self.state }
    }

    fn take(&mut self, step: Step) -> Again {
        let site = &self.segment.opening.site;
        let passed = Duration::from_millis(step.passed);
        let expected =
            self.seen.wall.map_or(0, |wall| record::nanos(wall).saturating_add(i128::from(step.passed) * 1_000_000));
        self.now = self.now + passed;
        self.seen.wall = step.wall.and_then(|beyond| record::wall(expected.saturating_add(beyond)));
        for change in step.changes {
            change.put(&mut self.seen, self.now);
        }
        for (evse, setpoint) in step.told {
            match self.told.get_mut(evse as usize) {
                Some(told) => *told = setpoint,
                None => self.told.push(setpoint),
            }
        }
        let decision = control::step(site, &mut self.state, &self.seen, &self.policy, self.now);
        let is_same = digest(&decision) == u64::from_le_bytes(step.digest);
        Again { now: self.now, wall: self.seen.wall, were: self.told.clone(), sent: step.orders, decision, is_same }
    }
}

impl Iterator for Replay<'_> {
    type Item = Again;

    fn next(&mut self) -> Option<Again> {
        while self.end.is_none() {
            match self.frames.next() {
                Ok(Record::Policy(policy)) => self.policy = *policy,
                Ok(Record::Step(step)) => return Some(self.take(step)),
                Err(end) => self.end = Some(end),
            }
        }
        None
    }
}

/// What is decided otherwise than then, in words; `None` where nothing is.
pub fn difference(again: &Again, site: &Site) -> Option<String> {
    if again.is_same {
        return None;
    }
    let name = |evse: EvseId| &site.evse(evse).id;
    let told = |setpoint: Option<&Setpoint>| match setpoint {
        Some(setpoint) => format!("{} ({})", setpoint.amps, setpoint.because.words(site)),
        None => "nothing".to_owned(),
    };
    for evse in site.evse_ids() {
        let (was, is) = (again.were.get(evse.0), again.decision.setpoints.get(evse.0));
        if was != is {
            return Some(format!("{}: was {}, is now {}", name(evse), told(was), told(is)));
        }
    }
    let sent = |order: Option<&Order>| match order {
        Some(Order { number, amps, lease, fallback, .. }) => {
            format!("order {number}: {amps} for {} s, then {fallback}", lease.as_secs())
        }
        None => "no order".to_owned(),
    };
    for evse in site.evse_ids() {
        let of = |orders: &[Order]| orders.iter().find(|order| order.evse == evse).copied();
        let (was, is) = (of(&again.sent), of(&again.decision.orders));
        if was != is {
            return Some(format!("{}: was {}, is now {}", name(evse), sent(was.as_ref()), sent(is.as_ref())));
        }
    }
    Some(
        "setpoints and orders are the same; what is shown of circuits and cars is not, or who is hung up on".to_owned(),
    )
}
