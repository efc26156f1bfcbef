//! What is new in this step? The frames that a reader needs who knows all that was written before.

use super::digest::digest;
use super::pseudonym::Pseudonyms;
use super::record::{self, After, Back, Change, Opening, Record, Step};
use crate::control::observation::{Observation, Report, Session};
use crate::control::{Decision, Setpoint, State};
use crate::policy::Policy;
use crate::site::Site;
use crate::time::Moment;
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// A segment ends once less than this share of it is left: a step that hears of everything at once still fits.
const SPARE: usize = 8;

/// Turns steps into frames, a segment after the other.
#[derive(Debug)]
pub struct Scribe {
    site: Site,
    inverters: usize,
    /// Bytes of a segment at most.
    most: usize,
    pseudonyms: Pseudonyms,
    segment: Option<Known>,
    after: After,
}

/// What a reader of the segment knows by now.
#[derive(Debug)]
struct Known {
    used: usize,
    now: Moment,
    wall: Option<DateTime<Utc>>,
    policy: Arc<Policy>,
    seen: Observation,
    told: Vec<Setpoint>,
}

/// A step that has been taken, with all that it was told.
#[derive(Debug, Clone, Copy)]
pub struct Stepped<'a> {
    /// What it remembers now.
    pub state: &'a State,
    /// What it saw.
    pub seen: &'a Observation,
    /// The rules.
    pub policy: &'a Arc<Policy>,
    /// When.
    pub now: Moment,
    /// What it decided.
    pub decision: &'a Decision,
}

/// Site, policy and state alone fill more than half of a segment; so many bytes they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge(pub usize);

impl Scribe {
    /// For segments of at most so many bytes.
    pub fn new(site: &Site, inverters: usize, most: usize) -> Self {
        let (site, pseudonyms) = (site.clone(), Pseudonyms::default());
        Scribe { site, inverters, most, pseudonyms, segment: None, after: After::Start }
    }

    /// Begins a segment with the state before the next step. The bytes begin a file.
    ///
    /// # Errors
    /// The beginning is too large; there is no segment then.
    pub fn begin(
        &mut self,
        state: &State,
        policy: &Arc<Policy>,
        now: Moment,
        wall: Option<DateTime<Utc>>,
    ) -> Result<Vec<u8>, TooLarge> {
        let opening = Opening {
            after: self.after,
            at: now,
            wall,
            site: self.site.clone(),
            inverters: self.inverters,
            policy: self.pseudonyms.policy(policy),
            state: state.clone(),
        };
        let mut bytes = record::head().into_bytes();
        if !record::write(&opening, &mut bytes) || bytes.len() > self.most / 2 {
            self.segment = None;
            return Err(TooLarge(bytes.len()));
        }
        self.after = After::Segment;
        self.segment = Some(Known {
            used: bytes.len(),
            now,
            wall,
            policy: policy.clone(),
            seen: Observation::nothing(&self.site, self.inverters),
            told: Vec::new(),
        });
        Ok(bytes)
    }

    /// Writes a step down: what belongs to this segment goes to `out`; where another one begins after it, its first
    /// bytes are the answer.
    ///
    /// # Errors
    /// The beginning of a segment is too large: there is no segment, and the next step tries again.
    pub fn note(&mut self, step: &Stepped<'_>, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, TooLarge> {
        let is_open = match &mut self.segment {
            None => false,
            Some(known) => {
                let start = out.len();
                known.write(&self.pseudonyms, step, out);
                known.used += out.len() - start;
                if known.used > self.most {
                    // It hears of more than fits: a gap of one step, and a snapshot of what came of it.
                    out.truncate(start);
                    self.break_off();
                }
                self.segment.as_ref().is_some_and(|known| known.used <= self.most - self.most / SPARE)
            }
        };
        if is_open {
            return Ok(None);
        }
        self.begin(step.state, step.policy, step.now, step.seen.wall).map(Some)
    }

    /// What was written did not get to the disk: what follows cannot be read without it.
    pub fn break_off(&mut self) {
        self.segment = None;
        self.after = After::Gap;
    }
}

impl Known {
    fn write(&mut self, pseudonyms: &Pseudonyms, step: &Stepped<'_>, out: &mut Vec<u8>) {
        if !Arc::ptr_eq(&self.policy, step.policy) {
            self.policy = step.policy.clone();
            record::write(&Record::Policy(Box::new(pseudonyms.policy(step.policy))), out);
        }
        let passed = step.now.as_millis().wrapping_sub(self.now.as_millis());
        let expected = self.wall.map_or(0, |wall| record::nanos(wall) + i128::from(passed) * 1_000_000);
        let record = Step {
            passed,
            wall: step.seen.wall.map(|wall| record::nanos(wall) - expected),
            changes: self.changes(pseudonyms, step),
            told: self.told(&step.decision.setpoints),
            orders: step.decision.orders.clone(),
            digest: digest(step.decision).to_le_bytes(),
        };
        (self.now, self.wall) = (step.now, step.seen.wall);
        record::write(&Record::Step(record), out);
    }

    fn changes(&mut self, pseudonyms: &Pseudonyms, step: &Stepped<'_>) -> Vec<Change> {
        let (known, seen, now) = (&mut self.seen, step.seen, step.now);
        let mut changes = Vec::new();
        for (index, sample) in news(&mut known.samples, &seen.samples) {
            changes.push(Change::Sample(index, sample.as_ref().map(|sample| Back::from(sample, now))));
        }
        for (index, why) in news(&mut known.faults, &seen.faults) {
            changes.push(Change::Fault(index, why.clone()));
        }
        for (index, generation) in news(&mut known.inverters, &seen.inverters) {
            changes.push(Change::Generation(index, generation.as_ref().map(|word| Back::from(word, now))));
        }
        for (index, (known, report)) in known.reports.iter_mut().zip(&seen.reports).enumerate() {
            if known != report {
                report_changes(&mut changes, pseudonyms, index as u32, (known, report), now);
                known.clone_from(report);
            }
        }
        changes
    }

    fn told(&mut self, setpoints: &[Setpoint]) -> Vec<(u32, Setpoint)> {
        let before = std::mem::replace(&mut self.told, setpoints.to_vec());
        let all = setpoints.iter().enumerate();
        let others = all.filter(|(index, setpoint)| before.get(*index) != Some(setpoint));
        others.map(|(index, setpoint)| (index as u32, *setpoint)).collect()
    }
}

/// What differs, with its index; it is known then.
fn news<'a, T: Clone + PartialEq>(known: &'a mut [T], seen: &'a [T]) -> impl Iterator<Item = (u32, &'a T)> {
    let both = known.iter_mut().zip(seen).enumerate();
    both.filter(|(_, (known, seen))| *known != *seen).map(|(index, (known, seen))| {
        known.clone_from(seen);
        (index as u32, seen)
    })
}

fn report_changes(
    changes: &mut Vec<Change>,
    pseudonyms: &Pseudonyms,
    evse: u32,
    (known, report): (&Report, &Report),
    now: Moment,
) {
    if known.link != report.link {
        changes.push(Change::Link(evse, Back::from(&report.link, now)));
    }
    if known.epoch != report.epoch {
        changes.push(Change::Epoch(evse, report.epoch));
    }
    if known.plug != report.plug {
        changes.push(Change::Plug(evse, report.plug));
    }
    if known.session != report.session {
        changes.push(match (&known.session, &report.session) {
            (Some(before), Some(session)) if is_same_but_energy(before, session) => {
                Change::Energy(evse, session.energy_wh)
            }
            (_, session) => {
                let session = session.as_ref().map(|session| pseudonyms.session(session));
                Change::Session(evse, session.map(|session| Back::from(&session, now)))
            }
        });
    }
    if known.measured != report.measured {
        changes.push(Change::Measured(evse, report.measured.as_ref().map(|word| Back::from(word, now))));
    }
    if known.answer != report.answer {
        changes.push(Change::Answer(evse, report.answer.as_ref().map(|answer| Back::from(answer, now))));
    }
}

fn is_same_but_energy(a: &Session, b: &Session) -> bool {
    (a.id, &a.token, a.since) == (b.id, &b.token, b.since)
}
