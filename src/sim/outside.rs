//! What does the gateway hear from outside the site? The time of day, and the last policy that the cloud could tell it.

use super::script::Action;
use crate::policy::Policy;
use crate::time::Moment;
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// The gateway's clock, and the way to its cloud.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// What the clock was set to, and when; `None`: not to be trusted.
    clock: Option<(Moment, DateTime<Utc>)>,
    is_away: bool,
    /// What the cloud would tell.
    newest: Option<Arc<Policy>>,
    told: Option<Arc<Policy>>,
}

impl Outside {
    /// Takes in what concerns it.
    pub(super) fn happen(&mut self, action: &Action, now: Moment) {
        match action {
            Action::TimeOfDay(wall) => self.clock = wall.map(|wall| (now, wall)),
            Action::Cloud(is_there) => self.is_away = !is_there,
            Action::Policy(policy) => self.newest = Some(policy.clone()),
            _ => return,
        }
        if !self.is_away {
            self.told = self.newest.clone();
        }
    }

    /// The time of day, if it is to be trusted.
    pub fn wall(&self, now: Moment) -> Option<DateTime<Utc>> {
        self.clock.map(|(set, wall)| wall + now.since(set))
    }

    /// The last policy that the cloud could tell; `None` before the first.
    pub fn policy(&self) -> Option<&Arc<Policy>> {
        self.told.as_ref()
    }
}
