//! What may each car do now? The rules meet the clock, the sessions that run and what has been used: hours, allowances,
//! boosts, rights that were withdrawn.
//!
//! Told each step which sessions run, [`Rights`] answers with the policy for this moment: the document's own, and in
//! [`Policy::now`] what it means now. It is another one only when something has changed, at an edge of an hour or by a word.

use super::rules::{Excess, Limit, Now, PrincipalNow, Running, Why};
use super::{Entitlement, Mode, Policy, Verdict, normalise};
use crate::site::EvseId;
use crate::time::{Duration, Moment};
use crate::units::Amps;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rules speak of minutes: with each, by either clock, they are looked at.
const LOOK_S: u64 = 60;
/// The class for rights that were withdrawn, if the policy has one of this name.
const REVOKED: &str = "revoked";
/// And its priority if not: after all others.
const LAST: i8 = -9;
/// A register that jumps by more than this in one step was exchanged, not used.
const MOST_WH: i64 = 100_000;
/// So many sessions whose end was not seen are remembered beside those that run.
const MOST_ENDED: usize = 16;
/// So many people's use is remembered, more than any policy has.
const MOST_PEOPLE: usize = 10_000;

/// What is to be seen in one step.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The policy of the cloud or of the installer.
    pub policy: &'a Arc<Policy>,
    /// By EVSE.
    pub sessions: &'a [Option<Held<'a>>],
    /// Has the cloud been silent for long?
    pub is_offline: bool,
    /// `None` while the time of day is not to be trusted: hours and dates hold nobody back until it is.
    pub wall: Option<DateTime<Utc>>,
    /// The process's own time.
    pub now: Moment,
}

/// A session that runs, as its charger tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    /// Unique over restarts.
    pub id: i64,
    /// What it was begun with.
    pub token: Option<&'a str>,
    /// Energy so far.
    pub energy_wh: Option<i64>,
}

/// What survives a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// By the id of the principal.
    people: BTreeMap<String, Person>,
    /// Sessions that were let in, by their id.
    admitted: BTreeMap<i64, Admitted>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Person {
    /// The period in which `used_wh` was used.
    period: String,
    used_wh: i64,
    /// The month in which `boosts` were had.
    month: String,
    boosts: u32,
}

/// A session that was let in; what it had then counts for it until it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Admitted {
    /// The principal's id, if it was one's.
    principal: Option<String>,
    /// Its register when it was last counted.
    energy_wh: i64,
    /// What somebody at the site wants of it.
    #[serde(default)]
    wish: Wish,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Wish {
    is_paused: bool,
    /// How it is to charge; `None`: as the policy says.
    mode: Option<Mode>,
}

/// A session in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seat {
    id: i64,
    token: Option<String>,
    revoked_at: Option<Moment>,
    boosted_until: Option<Moment>,
}

/// What became of the wish for a boost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boosted {
    /// It is first now.
    Yes,
    /// Nobody charges there whom the policy knows.
    Nobody,
    /// The policy does not allow it, or is too old for it.
    NotAllowed,
    /// This month's are used up.
    UsedUp,
}

/// The rights at a site.
#[derive(Debug)]
pub struct Rights {
    memory: Memory,
    seats: Vec<Option<Seat>>,
    base: Arc<Policy>,
    /// The same, with what its rules mean for those who begin now.
    beginning: Policy,
    policy: Arc<Policy>,
    /// In which minute of the process and of the wall the rules were looked at last.
    looked_at: (u64, Option<i64>),
    is_offline: bool,
    is_changed: bool,
    /// Has the memory changed since it was last asked for, and by more than use?
    is_unsaved: bool,
    is_urgent: bool,
}

impl Rights {
    /// Begins with what was remembered.
    pub fn new(policy: Arc<Policy>, memory: Memory) -> Self {
        Rights {
            memory,
            seats: Vec::new(),
            base: policy.clone(),
            beginning: (*policy).clone(),
            policy,
            looked_at: (0, None),
            is_offline: false,
            is_changed: true,
            is_unsaved: false,
            is_urgent: false,
        }
    }

    /// The policy at this moment.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Has somebody been let in, left or been boosted since the last time?
    pub fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// What is to be kept on disk, if it has changed since the last time.
    pub fn unsaved(&mut self) -> Option<Memory> {
        self.is_urgent = false;
        std::mem::take(&mut self.is_unsaved).then(|| self.memory.clone())
    }

    /// Sees what is going on, and says what holds.
    pub fn update(&mut self, scene: &Scene) -> &Arc<Policy> {
        let is_new = !Arc::ptr_eq(&self.base, scene.policy);
        if is_new {
            self.base = scene.policy.clone();
            self.beginning = (*self.base).clone();
        }
        self.sit_down(scene);
        self.count(scene);
        let minute = (scene.now.as_millis() / 1000 / LOOK_S, scene.wall.map(|wall| wall.timestamp() / LOOK_S as i64));
        let is_due = self.looked_at != minute
            || self.seats.iter().flatten().any(|seat| seat.boosted_until.is_some_and(|until| scene.now >= until));
        if is_new || self.is_changed || is_due || self.is_offline != scene.is_offline {
            (self.looked_at, self.is_changed, self.is_offline) = (minute, false, scene.is_offline);
            let now = self.look(scene);
            if is_new || now != self.policy.now {
                self.policy = Arc::new(Policy { now, ..(*self.base).clone() });
            }
        }
        &self.policy
    }

    /// The session at this EVSE goes first for a while. Where the policy is in its time of grace nobody is boosted anew.
    pub fn boost(&mut self, evse: EvseId, is_fresh: bool, wall: Option<DateTime<Utc>>, now: Moment) -> Boosted {
        let rules = &self.base.rules;
        let Some(boost) = rules.boost.as_ref().filter(|_| is_fresh) else { return Boosted::NotAllowed };
        let Some(Some(seat)) = self.seats.get_mut(evse.0) else { return Boosted::Nobody };
        let admitted = self.memory.admitted.get(&seat.id);
        let Some(id) = admitted.and_then(|admitted| admitted.principal.as_ref()) else { return Boosted::Nobody };
        let Some(index) = self.base.principals.iter().position(|principal| principal.id == *id) else {
            return Boosted::Nobody;
        };
        if !boost.allowed.contains(&class_of(&self.base, index, wall)) || seat.revoked_at.is_some() {
            return Boosted::NotAllowed;
        }
        // Without the time of day all boosts are of one month.
        let month = wall.map_or_else(String::new, |wall| super::calendar::Period::Month.name(&rules.zone, wall));
        let person = self.memory.people.entry(id.clone()).or_default();
        if person.month != month {
            (person.month, person.boosts) = (month, 0);
        }
        if person.boosts >= boost.max_per_month {
            return Boosted::UsedUp;
        }
        person.boosts += 1;
        seat.boosted_until = Some(now + boost.max_duration);
        (self.is_changed, self.is_unsaved, self.is_urgent) = (true, true, true);
        Boosted::Yes
    }

    /// Pauses the session at this EVSE, or lets it go on; with the session that ends as well. False: there is none.
    pub fn pause(&mut self, evse: EvseId, is_paused: bool) -> bool {
        self.wish(evse, |wish| Wish { is_paused, ..wish })
    }

    /// The session at this EVSE charges so from now on, until it ends. False: there is none.
    pub fn set_mode(&mut self, evse: EvseId, mode: Mode) -> bool {
        self.wish(evse, |wish| Wish { mode: Some(mode), ..wish })
    }

    fn wish(&mut self, evse: EvseId, change: impl FnOnce(Wish) -> Wish) -> bool {
        let Some(Some(seat)) = self.seats.get(evse.0) else { return false };
        let Some(admitted) = self.memory.admitted.get_mut(&seat.id) else { return false };
        let wish = change(admitted.wish);
        if std::mem::replace(&mut admitted.wish, wish) != wish {
            (self.is_changed, self.is_unsaved, self.is_urgent) = (true, true, true);
        }
        true
    }

    /// Whose sessions have begun, and whose are over?
    fn sit_down(&mut self, scene: &Scene) {
        self.seats.resize(scene.sessions.len(), None);
        for (seat, session) in self.seats.iter_mut().zip(scene.sessions) {
            let is_same = match (&*seat, session) {
                (Some(seat), Some(session)) => seat.id == session.id && is_of(seat, session.token),
                (None, None) => true,
                _ => false,
            };
            if is_same {
                continue;
            }
            self.is_changed = true;
            if let Some(ended) = seat.take()
                && session.is_none_or(|session| session.id != ended.id)
                && self.memory.admitted.remove(&ended.id).is_some()
            {
                (self.is_unsaved, self.is_urgent) = (true, true);
            }
            *seat = session.map(|session| Seat {
                id: session.id,
                token: session.token.map(normalise),
                revoked_at: None,
                boosted_until: None,
            });
        }
    }

    /// Adds what has been taken to what its principal has used.
    fn count(&mut self, scene: &Scene) {
        let rules = &self.base.rules;
        for session in scene.sessions.iter().flatten() {
            let Some(admitted) = self.memory.admitted.get_mut(&session.id) else { continue };
            let Some(taken) = session.energy_wh.map(|energy| energy - admitted.energy_wh).filter(|taken| *taken != 0)
            else {
                continue;
            };
            admitted.energy_wh += taken;
            let Some(id) = admitted.principal.as_ref().filter(|_| (1..=MOST_WH).contains(&taken)) else { continue };
            let index = self.base.principals.iter().position(|principal| principal.id == *id);
            let rule = index.and_then(|index| rules.principals.get(index));
            let Some(quota) = rule.and_then(|rule| rules.quotas.get(rule.quota?)) else { continue };
            let Some(wall) = scene.wall else { continue };
            if self.memory.people.len() >= MOST_PEOPLE && !self.memory.people.contains_key(id) {
                continue;
            }
            let person = self.memory.people.entry(id.clone()).or_default();
            let period = quota.period.name(&rules.zone, wall);
            if person.period != period {
                (person.period, person.used_wh) = (period, 0);
            }
            let was_within = person.used_wh < quota.energy_wh;
            person.used_wh += taken;
            self.is_changed |= was_within && person.used_wh >= quota.energy_wh;
            self.is_unsaved = true;
        }
    }

    /// What do the rules mean now?
    fn look(&mut self, scene: &Scene) -> Now {
        let people = if self.base.rules.principals.is_empty() { 0 } else { self.base.principals.len() };
        let principals = (0..people).map(|index| self.principal(index, scene.wall)).collect();
        self.beginning.now = Now { running: Vec::new(), principals, is_offline: scene.is_offline };
        // Those who were let in earlier first: who comes now is judged beside them.
        self.beginning.now.running = vec![None; self.seats.len()];
        for was_admitted in [true, false] {
            for evse in (0..self.seats.len()).map(EvseId) {
                let is_next = self.seats[evse.0]
                    .as_ref()
                    .is_some_and(|seat| self.memory.admitted.contains_key(&seat.id) == was_admitted);
                if is_next && self.beginning.now.running[evse.0].is_none() {
                    self.beginning.now.running[evse.0] = self.running(evse, scene);
                }
            }
        }
        self.forget();
        Now { is_offline: scene.is_offline, ..self.beginning.now.clone() }
    }

    /// Sessions that ended while this process did not look.
    fn forget(&mut self) {
        if self.memory.admitted.len() > 2 * self.seats.len() + MOST_ENDED {
            let seats = &self.seats;
            self.memory.admitted.retain(|id, _| seats.iter().flatten().any(|seat| seat.id == *id));
        }
    }

    /// Somebody who would begin a session.
    fn principal(&self, index: usize, wall: Option<DateTime<Utc>>) -> PrincipalNow {
        let (class, exceeded) = self.class(index, wall);
        let rules = &self.base.rules;
        let schedule = rules.principals.get(index).and_then(|rule| rules.schedules.get(rule.schedule?));
        let is_early = schedule
            .zip(wall)
            .is_some_and(|(schedule, wall)| !schedule.begins_outside && !schedule.allows(&rules.zone, wall));
        let verdict = match (is_early, exceeded) {
            (true, _) => Verdict::NotAtThisTime,
            (false, Some(Excess::Deny)) => Verdict::NoCredit,
            (false, _) => Verdict::Accepted,
        };
        PrincipalNow { class, verdict }
    }

    /// The class that he is in now, and what has come of his quota if that is used up.
    fn class(&self, index: usize, wall: Option<DateTime<Utc>>) -> (usize, Option<Excess>) {
        let (base, rules) = (&self.base, &self.base.rules);
        let quota = rules.principals.get(index).and_then(|rule| rules.quotas.get(rule.quota?));
        let person = base.principals.get(index).and_then(|principal| self.memory.people.get(&principal.id));
        let exceeded = quota.zip(person).zip(wall).filter(|((quota, person), wall)| {
            person.used_wh >= quota.energy_wh && person.period == quota.period.name(&rules.zone, *wall)
        });
        match exceeded.map(|((quota, _), _)| quota.excess) {
            Some(Excess::Class(class)) => (class, Some(Excess::Class(class))),
            other => (class_of(base, index, wall), other),
        }
    }

    /// A session that runs: let in now, or earlier and what has become of its right.
    fn running(&mut self, evse: EvseId, scene: &Scene) -> Option<Running> {
        let mut seat = self.seats.get_mut(evse.0)?.take()?;
        let token = seat.token.as_deref();
        let was_admitted = self.memory.admitted.contains_key(&seat.id);
        // The cloud's silence is nothing to who is here already.
        self.beginning.now.is_offline = scene.is_offline && !was_admitted;
        let right = self.beginning.entitlement(evse, token, scene.wall);
        let principal = self.beginning.principal_of(evse, token);
        let entitlement = match (goes_on(&right, was_admitted), was_admitted) {
            (true, _) => {
                if !was_admitted {
                    let principal = principal.map(|index| self.base.principals[index].id.clone());
                    let energy_wh = scene.sessions[evse.0].and_then(|session| session.energy_wh).unwrap_or(0);
                    self.memory.admitted.insert(seat.id, Admitted { principal, energy_wh, wish: Wish::default() });
                    (self.is_unsaved, self.is_urgent) = (true, true);
                }
                seat.revoked_at = None;
                self.held_down(Entitlement { verdict: Verdict::Accepted, ..right }, principal, &seat, scene)
            }
            (false, true) => {
                let since = *seat.revoked_at.get_or_insert(scene.now);
                seat.boosted_until = None;
                let is_lost = token.and_then(|token| self.base.token(token)).is_some_and(|token| token.is_lost);
                withdrawn(&self.base, right, scene.now.since(since), is_lost)
            }
            (false, false) => right,
        };
        let is_admitted = self.memory.admitted.contains_key(&seat.id);
        let running = Running { session: seat.id, token: seat.token.clone(), is_admitted, entitlement };
        self.seats[evse.0] = Some(seat);
        Some(running)
    }

    /// What its hours, its quota, a boost or somebody at the site make of a right.
    fn held_down(&self, right: Entitlement, principal: Option<usize>, seat: &Seat, scene: &Scene) -> Entitlement {
        let rules = &self.base.rules;
        let rule = principal.and_then(|index| rules.principals.get(index));
        let schedule = rule.and_then(|rule| rules.schedules.get(rule.schedule?));
        let is_early = schedule.zip(scene.wall).is_some_and(|(schedule, wall)| !schedule.allows(&rules.zone, wall));
        let is_used_up = principal.is_some_and(|index| self.class(index, scene.wall).1 == Some(Excess::Deny));
        let wish = self.memory.admitted.get(&seat.id).map(|admitted| admitted.wish).unwrap_or_default();
        let mode = wish.mode.unwrap_or(right.mode);
        let whys = [
            (wish.is_paused, Why::Paused),
            (mode == Mode::Off, Why::Off),
            (is_early, Why::Schedule),
            (is_used_up, Why::Quota),
        ];
        let why = whys.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why);
        let boost = rules.boost.as_ref().filter(|_| seat.boosted_until.is_some_and(|until| scene.now < until));
        Entitlement {
            priority: boost.map_or(right.priority, |boost| boost.priority.max(right.priority)),
            is_boosted: boost.is_some(),
            limit: why.map(|why| Limit { most: Amps::ZERO, why }),
            mode,
            ..right
        }
    }
}

/// May a session begin with this right, or go on that was let in earlier? Outside its hours it waits. Who has no credit left,
/// or is in a class that begins no new sessions (a refused token has no class), may finish.
fn goes_on(right: &Entitlement, was_admitted: bool) -> bool {
    match right.verdict {
        Verdict::Accepted => true,
        Verdict::NotAtThisTime | Verdict::NoCredit | Verdict::ConcurrentTx => was_admitted,
        Verdict::Blocked => was_admitted && !right.class.is_empty() && *right.class != *REVOKED,
        Verdict::Expired
        | Verdict::Invalid
        | Verdict::NotAllowedTypeEvse
        | Verdict::NotAtThisLocation
        | Verdict::Unknown => false,
    }
}

fn is_of(seat: &Seat, token: Option<&str>) -> bool {
    match (seat.token.as_deref(), token) {
        // Chargers write a card alike each time; where one does not, it is compared as cards are.
        (Some(ours), Some(theirs)) => ours == theirs || *ours == normalise(theirs),
        (ours, theirs) => ours == theirs,
    }
}

/// The class of the highest priority of those that he is in; of equals the first.
fn class_of(policy: &Policy, index: usize, wall: Option<DateTime<Utc>>) -> usize {
    let own = policy.principals.get(index).map_or(0, |principal| principal.class);
    let priority = |class: usize| policy.classes.get(class).map_or(i8::MIN, |class| class.priority);
    let also = policy.rules.principals.get(index).map_or(&[][..], |rule| &rule.also);
    let valid = also.iter().filter(|(_, until)| !super::is_over(*until, wall)).map(|(class, _)| *class);
    valid.fold(own, |best, class| if priority(class) > priority(best) { class } else { best })
}

/// What is left of a right so long after it was withdrawn.
fn withdrawn(policy: &Policy, right: Entitlement, since: Duration, is_lost: bool) -> Entitlement {
    let revocation = policy.rules.revocation;
    let class = policy.classes.iter().find(|class| *class.id == *REVOKED);
    let is_over = is_lost || revocation.stops || since >= revocation.max;
    let least = class.and_then(|class| class.ceiling).unwrap_or(Amps::PILOT_LEAST);
    Entitlement {
        verdict: Verdict::Accepted,
        class: class.map_or_else(|| REVOKED.into(), |class| class.id.clone()),
        priority: class.map_or(LAST, |class| class.priority),
        weight: class.map_or(1, |class| class.weight),
        floor: None,
        limit: Some(Limit { most: if is_over { Amps::ZERO } else { least }, why: Why::Revoked }),
        ..right
    }
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
