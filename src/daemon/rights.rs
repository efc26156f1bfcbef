//! What may each car do now? Keeps [`Rights`] told of what goes on, carries out what people at the site ask for, and keeps
//! what has been used on disk, never in the way of the step.

use super::keep::{self, RIGHTS};
use crate::cloud::{Age, CloudState};
use crate::control::Observation;
use crate::inbox::{Command, Inbox, PolicyWatch};
use crate::policy::{Boosted, Memory, Policy, Rights, Scene};
use crate::site::Site;
use crate::store::Folder;
use crate::time::{Duration, Moment};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Once the cloud has been silent for so long, cards that need it are refused.
const OFFLINE_AFTER: Duration = Duration::from_secs(15 * 60);
/// Who was let in and who has been boosted is written this soon.
const SOON: Duration = Duration::from_secs(10);
/// What has been used is written no more often than this, for the card's sake: a power cut forgets no more than so much
/// charging.
const LATER: Duration = Duration::from_secs(15 * 60);

/// Rights, and what it takes to tell and keep them.
pub(super) struct Desk {
    rights: Rights,
    base: PolicyWatch,
    told: watch::Sender<Arc<Policy>>,
    folder: Option<Arc<Folder>>,
    saved_at: Option<Moment>,
    saving: Option<JoinHandle<()>>,
}

impl Desk {
    /// Begins with what was kept.
    pub fn new(base: PolicyWatch, folder: Option<Arc<Folder>>) -> Self {
        let policy = base.borrow().clone();
        let memory = keep::read(folder.as_deref(), RIGHTS).unwrap_or_default();
        let (told, _) = watch::channel(policy.clone());
        Desk { rights: Rights::new(policy, memory), base, told, folder, saved_at: None, saving: None }
    }

    /// The policy of the moment, for edges that answer chargers.
    pub fn subscribe(&self) -> PolicyWatch {
        self.told.subscribe()
    }

    /// A new policy has come. Never, once there can be none any more.
    pub async fn changed(&mut self) {
        if self.base.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// What holds now, after all that was seen and asked for.
    pub fn update(
        &mut self,
        inbox: &Inbox,
        site: &Site,
        seen: &Observation,
        cloud: &CloudState,
        now: Moment,
    ) -> Arc<Policy> {
        let base = self.base.borrow_and_update().clone();
        let sessions = seen.sessions();
        let is_offline = is_offline(cloud, now);
        let scene = Scene { policy: &base, sessions: &sessions, is_offline, wall: seen.wall, now };
        self.rights.update(&scene);
        for command in inbox.commands() {
            self.carry_out(command, site, cloud, seen.wall, now);
            self.rights.update(&scene);
        }
        let policy = self.rights.policy().clone();
        self.told.send_if_modified(|told| {
            let is_new = !Arc::ptr_eq(told, &policy);
            *told = policy.clone();
            is_new
        });
        self.save(now);
        policy
    }

    fn carry_out(
        &mut self,
        command: Command,
        site: &Site,
        cloud: &CloudState,
        wall: Option<DateTime<Utc>>,
        now: Moment,
    ) {
        match command {
            Command::Boost(id) => {
                let is_fresh = !matches!(cloud.age, Age::Grace) || cloud.version.is_none();
                let outcome = self.rights.boost(id, is_fresh, wall, now);
                let evse = &site.evse(id).id;
                match outcome {
                    Boosted::Yes => tracing::info!(evse, "boost: this session goes first for a while"),
                    Boosted::Nobody => tracing::warn!(evse, "boost: nobody charges there whom the policy knows"),
                    Boosted::NotAllowed => tracing::warn!(evse, "boost: the policy does not allow it now"),
                    Boosted::UsedUp => tracing::warn!(evse, "boost: this month's are used up"),
                }
            }
            Command::Pause(id, is_paused) => {
                let (evse, has_session) = (&site.evse(id).id, self.rights.pause(id, is_paused));
                tracing::info!(evse, is_paused, has_session, "pause: asked for at the site");
            }
            Command::Mode(id, mode) => {
                let (evse, mode, has_session) = (&site.evse(id).id, mode.word(), self.rights.set_mode(id, mode));
                tracing::info!(evse, mode, has_session, "mode: asked for at the site");
            }
        }
    }

    /// A writer at a time, in a thread that may wait for the disk.
    fn save(&mut self, now: Moment) {
        let gap = if self.rights.is_urgent() { SOON } else { LATER };
        let is_due = self.saved_at.is_none_or(|at| now.since(at) >= gap);
        if !is_due || self.saving.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let Some(folder) = self.folder.clone() else { return };
        let Some(memory) = self.rights.unsaved() else { return };
        self.saved_at = Some(now);
        self.saving = Some(tokio::task::spawn_blocking(move || write(&folder, &memory)));
    }

    /// At an orderly stop.
    pub async fn close(&mut self) {
        if let Some(saving) = self.saving.take() {
            let _ = saving.await;
        }
        if let (Some(folder), Some(memory)) = (self.folder.clone(), self.rights.unsaved()) {
            let _ = tokio::task::spawn_blocking(move || write(&folder, &memory)).await;
        }
    }
}

fn is_offline(cloud: &CloudState, now: Moment) -> bool {
    let silent = now.since(cloud.confirmed.unwrap_or(Moment::START));
    cloud.version.is_some() && cloud.age != Age::Fresh && silent >= OFFLINE_AFTER
}

fn write(folder: &Folder, memory: &Memory) {
    if let Err(fault) = keep::write(folder, RIGHTS, memory) {
        tracing::warn!(%fault, "what people have used cannot be kept; it is counted on");
    }
}
