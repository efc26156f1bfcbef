//! What has been told of the policy? To the step what holds, to people how old it is, to the cloud what became of its
//! document: each when it changes.

use super::ack::Ack;
use super::age::Age;
use super::events::Severity;
use super::standing::CloudState;
use super::trouble::Trouble;
use super::uplink::task::Events;
use crate::policy::Policy;
use crate::time::Duration;
use chrono::{DateTime, Utc};
use headroom_policy::Faults;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

/// What others have been told.
pub struct Told {
    pub policy: watch::Sender<Arc<Policy>>,
    pub state: watch::Sender<CloudState>,
    /// Those on their way: of each outcome the newest, as older ones are of no use to the cloud; in the order in which
    /// they were told.
    pub acks: watch::Sender<Vec<Arc<Ack>>>,
    /// The last one that was told, sent or not.
    pub last: Option<Arc<Ack>>,
    /// What the cloud is to hear of the document that stands, and whether it may: only what is on disk is acked, so
    /// that a power cut forgets nothing that the cloud relies on.
    pub held: Option<(Ack, bool)>,
    /// The disk has refused the last time.
    pub is_failing: bool,
    /// What was wrong with the last keys document.
    pub refused_keys: Option<Faults>,
    pub events: Events,
    pub trouble: Option<Trouble>,
}

impl Told {
    /// Has the cloud not been told of this?
    pub fn is_news(&self, ack: &Ack) -> bool {
        !self.last.as_ref().is_some_and(|told| told.is_like(ack))
    }

    /// Tells the cloud what became of a document; was it news?
    pub fn ack(&mut self, ack: Ack) -> bool {
        let is_news = self.is_news(&ack);
        if is_news {
            let ack = Arc::new(ack);
            self.last = Some(ack.clone());
            self.acks.send_modify(|acks| {
                acks.retain(|older| older.is_applied() != ack.is_applied());
                acks.push(ack);
            });
        }
        is_news
    }

    /// The document that stands is confirmed; was it news to tell the cloud so?
    pub fn confirmed(&mut self) -> bool {
        let held = self.held.as_ref().filter(|(_, may_be_told)| *may_be_told);
        held.map(|(ack, _)| ack.clone()).is_some_and(|ack| self.ack(ack))
    }

    /// What the cloud may not hear yet of the document that stands.
    pub fn unkept(&self) -> Option<Ack> {
        self.held.as_ref().filter(|(_, may_be_told)| !may_be_told).map(|(ack, _)| ack.clone())
    }

    /// Something was written, or could not be; the cloud may be told of it now.
    pub fn written(&mut self, ack: Option<Ack>, outcome: io::Result<()>) {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        if let Err(error) = &outcome
            && !was_failing
        {
            tracing::warn!(%error, "policy: cannot be kept on disk; it holds until a restart. Check the disk");
        }
        let Some(ack) = ack else { return };
        let ack = match outcome {
            Ok(()) => ack,
            Err(error) => ack.not_kept(&error),
        };
        // What is newer waits for its own turn.
        if let Some(held) = self.held.as_mut().filter(|(held, _)| held.is_of(&ack)) {
            *held = (ack.clone(), true);
        }
        self.ack(ack);
    }

    /// Tells everybody here what holds.
    pub fn tell(&mut self, policy: Arc<Policy>, state: CloudState) {
        let state = CloudState { trouble: self.trouble.as_ref().map(Trouble::to_string), ..state };
        let before = self.state.borrow().age;
        let version = state.version.or(self.state.borrow().version);
        match (before, state.age) {
            (before, now) if before == now => {}
            (Age::Stale, Age::Fresh) => tracing::info!(version, "policy: confirmed by the cloud"),
            // Told already: a new document holds.
            (_, Age::Fresh) => {}
            (_, Age::Stale) => {
                tracing::warn!(version, "policy: not confirmed lately, or the clock is wrong; it stands")
            }
            (_, Age::Grace) => {
                tracing::warn!(version, "policy: over, in its time of grace; it stands. Renew it in the cloud")
            }
            (_, Age::Default) => {
                tracing::warn!(version, "policy: its time of grace is over; [policy] of the configuration holds");
            }
            (_, Age::Tombstone) => {
                tracing::warn!(
                    "policy: the cloud has taken this gateway out of service; [policy] of the configuration holds"
                )
            }
        }
        // The policy first: who hears of the state must find its policy in force.
        self.policy.send_if_modified(|told| {
            let is_new = !Arc::ptr_eq(told, &policy);
            *told = policy;
            is_new
        });
        self.state.send_if_modified(|told| {
            let is_new = *told != state;
            *told = state;
            is_new
        });
    }

    /// A keys document was taken or refused; the same refusal is told once.
    pub fn keys(&mut self, refused: Option<&Faults>, wall: DateTime<Utc>) {
        if self.refused_keys.as_ref() == refused {
            return;
        }
        self.refused_keys = refused.cloned();
        if let Some(faults) = refused {
            tracing::warn!(%faults, "policy: the cloud's keys document is refused, the last good one stands");
            self.alert("keys", faults, wall);
        }
    }

    /// Tells the cloud of each of these faults that may be an attack; `what` was refused for them.
    pub fn alert(&self, what: &str, faults: &Faults, wall: DateTime<Utc>) {
        for fault in faults.listed().iter().filter(|fault| fault.code.is_security()) {
            let id = format!("{what}-{}", fault.code.word());
            self.events.tell(|queue| queue.happened(&id, Severity::Security, &fault.to_string(), wall));
        }
    }

    /// The cloud cannot be asked.
    pub fn trouble(&mut self, trouble: Trouble, wait: Duration) {
        if !self.trouble.as_ref().is_some_and(|before| before.is_like(&trouble)) {
            tracing::warn!(%trouble, wait_s = wait.as_secs(), "policy cloud: cannot be asked, the last good policy stands; asks on");
        }
        self.trouble = Some(trouble);
    }

    /// It can.
    pub fn end_of_trouble(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("policy cloud: answers again");
        }
    }
}
