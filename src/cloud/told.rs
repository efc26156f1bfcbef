//! What has been told of the policy? To the step what holds, to people how old it is, to the cloud what became of its
//! document: each when it changes.

use super::ack::Ack;
use super::age::Age;
use super::standing::CloudState;
use super::trouble::Trouble;
use super::uplink::task::Events;
use crate::policy::Policy;
use crate::time::Duration;
use std::sync::Arc;
use tokio::sync::watch;

/// What others have been told.
pub struct Told {
    pub policy: watch::Sender<Arc<Policy>>,
    pub state: watch::Sender<CloudState>,
    /// The newest; an older one is of no use to the cloud.
    pub ack: watch::Sender<Option<Arc<Ack>>>,
    pub events: Events,
    pub trouble: Option<Trouble>,
}

impl Told {
    /// Has the cloud not been told of this?
    pub fn is_news(&self, ack: &Ack) -> bool {
        !self.ack.borrow().as_ref().is_some_and(|told| told.is_like(ack))
    }

    /// Tells the cloud what became of a document; was it news?
    pub fn ack(&mut self, ack: Ack) -> bool {
        let is_news = self.is_news(&ack);
        if is_news {
            self.ack.send_replace(Some(Arc::new(ack)));
        }
        is_news
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
