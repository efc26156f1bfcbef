//! What do people want of the gateway now, and what has come of it? Requests of the cloud, each carried out once at most.
//!
//! An id is on disk before anything is done for it, and stays there until nobody can want it any more: what a power cut
//! interrupts is not done again, since a second start is worse than none. Requests are short-lived, so that none lies in
//! wait; whoever does not know what time it is does nothing.

pub(super) mod task;

use super::age::SKEW;
use crate::time::{Duration, Moment};
use chrono::{DateTime, TimeDelta, Utc};
use headroom_policy::{Request, RequestKind, Requests};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// The longest life of a request: a person waits before an app, and goes away.
const LONGEST_LIFE: TimeDelta = TimeDelta::minutes(5);

/// Ids that are remembered at most, each for some minutes: a garage at six o'clock, and a bound for what is written.
const MOST_TAKEN: usize = 64;

/// However the wall clock is set meanwhile, an id is remembered for so long: twice as long as a request lives.
const LEAST_MEMORY: Duration = Duration::from_secs(10 * 60);

/// Results that wait for the cloud: no more than there are ids.
const MOST_RESULTS: usize = MOST_TAKEN;

/// The word for what has come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It was done: the charger will begin or end the session; a card was read; the gateway is claimed, or is reset.
    Accepted,
    /// The charger, or the gateway, will not.
    Rejected,
    /// The charger is away or did not say; no card was read; or the gateway was interrupted.
    NoAnswer,
    /// Nobody wants it any more.
    Expired,
    /// The policy, or the installer, does not allow it.
    NotAllowed,
    /// Something like it is going on, or too much is wanted.
    Busy,
    /// There is no such EVSE here.
    Unknown,
    /// The charger's cards cannot be read by the gateway.
    NoReader,
    /// The gateway does not know what time it is.
    NoClock,
    /// This version has no such kind of request.
    Unsupported,
    /// The PIN is wrong.
    WrongPin,
    /// Too many PINs were wrong; later.
    Locked,
}

/// What has come of a request.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// In a word.
    #[serde(rename = "outcome")]
    pub word: Word,
    /// Why, where the word does not say it: a word of the policy, or a text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of the card that was read, for the cloud alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// What else there is to say.
    #[serde(flatten)]
    pub more: BTreeMap<&'static str, String>,
}

impl Outcome {
    /// Just a word.
    pub fn of(word: Word) -> Self {
        Outcome { word, reason: None, uid: None, more: BTreeMap::new() }
    }

    /// With a reason.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Outcome { reason: Some(reason.into()), ..self }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome").field("word", &self.word).field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// What is to be done about a request that stands in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be carried out, once its id is kept.
    New,
    /// It is not, and the cloud hears why.
    Refused(Outcome),
    /// It has been seen.
    Old,
}

/// Ids that were seen.
#[derive(Debug, Default)]
pub struct Memory {
    taken: Vec<Taken>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Taken {
    id: String,
    /// By the wall clock it cannot be wanted after this.
    until: DateTime<Utc>,
    /// When this process took it, or found it on disk.
    #[serde(skip, default = "start")]
    since: Moment,
    /// Taken by an earlier process that has not told what came of it; or it has, and is not believed to.
    #[serde(skip, default = "yes")]
    is_orphan: bool,
}

fn start() -> Moment {
    Moment::START
}

fn yes() -> bool {
    true
}

impl Memory {
    /// As [`Memory::encode`] wrote it; `None` where it did not.
    pub fn decode(bytes: &[u8]) -> Option<Memory> {
        Some(Memory { taken: serde_json::from_slice(bytes).ok()? })
    }

    /// For the disk.
    pub fn encode(&self) -> Vec<u8> {
        // Texts and times always become JSON.
        serde_json::to_vec(&self.taken).unwrap_or_default()
    }

    /// What came of this one is told otherwise.
    pub fn is_told(&mut self, id: &str) {
        self.taken.iter_mut().filter(|taken| taken.id == id).for_each(|taken| taken.is_orphan = false);
    }

    /// What is to be done about each request of a list; `wall`: the time, if it is to be trusted. What is new or refused is
    /// remembered from now on.
    pub fn judge(&mut self, list: Requests, now: Moment, wall: Option<DateTime<Utc>>) -> Vec<(Request, Verdict)> {
        let is_over = |taken: &Taken| wall.is_some_and(|wall| wall > taken.until);
        self.taken.retain(|taken| !is_over(taken) || now.since(taken.since) < LEAST_MEMORY);
        let issued_at = list.issued_at;
        let judged = list.requests.into_iter().map(|request| {
            let verdict = self.one(&request, issued_at, now, wall);
            (request, verdict)
        });
        judged.collect()
    }

    fn one(
        &mut self,
        request: &Request,
        issued_at: DateTime<Utc>,
        now: Moment,
        wall: Option<DateTime<Utc>>,
    ) -> Verdict {
        let refused = |word| Verdict::Refused(Outcome::of(word));
        if let Some(taken) = self.taken.iter_mut().find(|taken| taken.id == request.id) {
            return match std::mem::take(&mut taken.is_orphan) {
                true => Verdict::Refused(Outcome::of(Word::NoAnswer).because("the gateway has started anew since")),
                false => Verdict::Old,
            };
        }
        if self.taken.len() >= MOST_TAKEN {
            return refused(Word::Busy);
        }
        let most = wall.map(|wall| wall + LONGEST_LIFE);
        let until = most.unwrap_or(DateTime::UNIX_EPOCH).min(request.expires_at) + SKEW;
        self.taken.push(Taken { id: request.id.clone(), until, since: now, is_orphan: false });
        let Some(wall) = wall else { return refused(Word::NoClock) };
        if wall >= request.expires_at {
            return refused(Word::Expired);
        }
        if request.expires_at > wall.min(issued_at) + LONGEST_LIFE {
            let outcome = Outcome::of(Word::NotAllowed);
            return Verdict::Refused(outcome.because("a request may live for five minutes, not longer"));
        }
        match &request.kind {
            RequestKind::Other(_) => refused(Word::Unsupported),
            _ => Verdict::New,
        }
    }
}

/// What the cloud is to hear, the newest [`MOST_RESULTS`] of it.
#[derive(Debug, Default)]
pub struct Queue {
    results: VecDeque<Told>,
    numbers: u64,
}

#[derive(Debug, Serialize)]
struct Told {
    #[serde(skip)]
    number: u64,
    id: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
struct Message<'a> {
    results: &'a VecDeque<Told>,
}

impl Queue {
    /// This has come of the request with this id.
    pub fn add(&mut self, id: String, outcome: Outcome) {
        if self.results.len() == MOST_RESULTS {
            self.results.pop_front();
        }
        self.numbers += 1;
        self.results.push_back(Told { number: self.numbers, id, outcome });
    }

    /// The message for the cloud, and what [`Queue::taken`] is told once it has it; `None`: there is nothing to tell.
    pub fn message(&self) -> Option<(Vec<u8>, u64)> {
        let last = self.results.back()?.number;
        // Words and texts always become JSON.
        Some((serde_json::to_vec(&Message { results: &self.results }).unwrap_or_default(), last))
    }

    /// The cloud has all up to this one.
    pub fn taken(&mut self, last: u64) {
        self.results.retain(|told| told.number > last);
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
