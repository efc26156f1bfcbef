//! What has to be said to a charger so that it lets the right people charge while it cannot ask us? Its keys are read
//! and set, and its list is brought to what the policy says; each step may be refused.
//!
//! ```text
//!   keys read ──▶ keys set ──▶ version asked ──▶ list sent, in parts ──▶ settled until the policy or the charger changes
//! ```

use super::lenient;
use super::locallist::{self, List, Room};
use super::setup::{Key, Reply, keys_in};
use crate::policy::Policy;
use crate::site::EvseId;
use crate::time::{Duration, Moment};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A charger writes its list to flash: no whole list is sent sooner after the last one.
pub const LIST_EVERY: Duration = Duration::from_secs(10);

/// A list that is not taken is sent so often in all; then it waits for another policy or another start.
const TRIES: u32 = 3;

const PROFILES: &str = "SupportedFeatureProfiles";
const LIST_PROFILE: &str = "LocalAuthListManagement";
const LIST_ENABLED: &str = "LocalAuthListEnabled";
const LIST_MOST: &str = "LocalAuthListMaxLength";
const CALL_MOST: &str = "SendLocalListMaxLength";
const OFFLINE: &str = "LocalAuthorizeOffline";
const PRE_AUTHORIZE: &str = "LocalPreAuthorize";
const STRANGERS: &str = "AllowOfflineTxForUnknownId";
const CACHE: &str = "AuthorizationCacheEnabled";
const STOP_INVALID: &str = "StopTransactionOnInvalidId";

/// What is read, in two goes: some chargers answer few keys at a time. (OCPP 1.6 ed. 2, 9.1 and 9.2.)
const ASKED: [&[&str]; 2] =
    [&[PROFILES, LIST_ENABLED, LIST_MOST, CALL_MOST], &[OFFLINE, PRE_AUTHORIZE, STRANGERS, CACHE, STOP_INVALID]];

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read these keys (index into the groups that are asked for).
    Read(usize),
    /// Set a key.
    Set(&'static str, bool),
    /// Which list does it have?
    AskVersion,
    /// Send a part of the list.
    Send {
        /// From 0.
        part: usize,
        /// The version after it.
        version: i64,
        /// The version of what is sent in all.
        goal: i64,
    },
    /// Have the charger forget whom it has accepted.
    ClearCache,
}

/// What an answer has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Taken,
    /// Refused, and left alone.
    NotTaken,
    /// The charger has the list now.
    Listed {
        /// So many are on it.
        entries: usize,
        /// So many are not: there is no room for them.
        left_out: usize,
    },
    /// The list is tried again.
    TriedAgain,
    /// The list is not tried again before the policy or the charger changes.
    GivenUp,
}

/// What a charger knows of people, and what it should.
#[derive(Debug, Default)]
pub struct Access {
    policy: Option<Arc<Policy>>,
    evses: Vec<EvseId>,
    keys: BTreeMap<&'static str, Key>,
    /// How many groups of [`ASKED`] are read.
    read: usize,
    /// The version that it has, by its own word or since it took ours.
    has: Option<i64>,
    /// A version that it wanted to be higher, and the one that its content would have.
    renamed: Option<(i64, i64)>,
    goal: Option<List>,
    /// Parts of the goal that it has taken.
    sent: usize,
    /// It takes whole lists only.
    is_whole_only: bool,
    tries: u32,
    /// The version of the list that these were for.
    tried: i64,
    send_from: Moment,
    has_no_list: bool,
    is_cache_old: bool,
    /// It starts again and again, perhaps because of what we set.
    is_resting: bool,
    is_settled: bool,
}

impl Access {
    /// For the charger of these EVSEs. Nothing is said before there is a policy.
    pub fn new(evses: Vec<EvseId>) -> Self {
        Access { evses, is_settled: true, ..Access::default() }
    }

    /// This policy is in force from now on.
    pub fn govern(&mut self, policy: Arc<Policy>, date: Option<DateTime<Utc>>) {
        if let Some(old) = &self.policy {
            if Arc::ptr_eq(old, &policy) {
                return;
            }
            if locallist::has_loser(old, &policy, &self.evses, date) {
                (self.is_cache_old, self.tries) = (true, 0);
            }
        }
        self.policy = Some(policy);
        self.begin();
    }

    /// The charger has started: it may have another list, other keys, another program.
    pub fn booted(&mut self) {
        self.keys.clear();
        self.is_resting = false;
        (self.read, self.has_no_list, self.is_whole_only) = (0, false, false);
        self.up();
    }

    /// It has dialled in again: what was on its way to it may have arrived or not.
    pub fn up(&mut self) {
        (self.has, self.tries) = (None, 0);
        self.begin();
    }

    /// It is not to be set up any more.
    pub fn rest(&mut self) {
        (self.is_resting, self.is_settled) = (true, true);
    }

    fn begin(&mut self) {
        (self.goal, self.sent) = (None, 0);
        self.is_settled = self.policy.is_none() || self.is_resting;
    }

    /// When the next step may be taken; `None` while nothing is to be said.
    pub fn due(&self) -> Option<Moment> {
        (!self.is_settled).then_some(self.send_from)
    }

    /// The next call, with its action and payload.
    pub fn next_step(&mut self, at: Moment, date: Option<DateTime<Utc>>) -> Option<(Step, &'static str, Value)> {
        let policy = self.policy.clone().filter(|_| !self.is_settled)?;
        if let Some(keys) = ASKED.get(self.read) {
            return Some((Step::Read(self.read), "GetConfiguration", json!({"key": keys})));
        }
        if let Some((key, value)) = self.wish(&policy) {
            let payload = json!({"key": key, "value": if value { "true" } else { "false" }});
            return Some((Step::Set(key, value), "ChangeConfiguration", payload));
        }
        if self.has_list() {
            self.is_cache_old = false;
            let step = self.list_step(&policy, at, date);
            // What is only put off is still to be said.
            self.is_settled = step.is_none() && at >= self.send_from;
            return step;
        }
        self.is_settled = !self.is_cache_old || self.tries >= TRIES || !self.keys.get(CACHE).is_some_and(Key::is_true);
        (!self.is_settled).then(|| (Step::ClearCache, "ClearCache", json!({})))
    }

    fn list_step(
        &mut self,
        policy: &Policy,
        at: Moment,
        date: Option<DateTime<Utc>>,
    ) -> Option<(Step, &'static str, Value)> {
        let mut room = self.room();
        if self.is_whole_only {
            room.whole = room.whole.min(room.call);
        }
        let evses = &self.evses;
        let goal = self.goal.get_or_insert_with(|| List::new(policy, evses, date, room));
        // The policy may have changed in what no list tells.
        if self.tried != goal.version {
            (self.tried, self.tries) = (goal.version, 0);
        }
        if self.tries >= TRIES {
            return None;
        }
        let Some(has) = self.has else { return Some((Step::AskVersion, "GetLocalListVersion", json!({}))) };
        let is_had = has == goal.version || self.renamed == Some((has, goal.version)) || goal.is_empty() && has == 0;
        if is_had || self.sent == 0 && at < self.send_from {
            return None;
        }
        let last = match self.renamed {
            Some((last, content)) if content == goal.version => last,
            _ => goal.version,
        };
        let (part, version) = (self.sent, goal.version_of(self.sent, last));
        if part == 0 {
            self.send_from = at + LIST_EVERY;
        }
        Some((Step::Send { part, version, goal: goal.version }, "SendLocalList", goal.call(part, last)))
    }

    /// The charger has answered, or not.
    pub fn answered(&mut self, step: &Step, reply: Reply<'_>) -> Outcome {
        match step {
            Step::Read(group) => {
                self.read = group + 1;
                if let (Reply::Said(answer), Some(names)) = (reply, ASKED.get(*group)) {
                    self.keys.extend(keys_in(answer, names));
                }
                Outcome::Taken
            }
            Step::Set(name, value) => {
                if let Some(key) = self.keys.get_mut(name) {
                    // What it refuses once it is not asked for again before it starts anew.
                    key.is_readonly |= !reply.is_yes();
                    key.value = if reply.is_yes() { value.to_string() } else { std::mem::take(&mut key.value) };
                }
                if reply.is_yes() { Outcome::Taken } else { Outcome::NotTaken }
            }
            Step::ClearCache if reply.is_yes() => {
                self.is_cache_old = false;
                Outcome::Taken
            }
            Step::ClearCache => self.try_again(),
            Step::AskVersion => self.told_version(reply),
            Step::Send { part, version, goal } => self.told_list(*part, *version, *goal, reply),
        }
    }

    fn told_version(&mut self, reply: Reply<'_>) -> Outcome {
        let Reply::Said(answer) = reply else {
            if reply == Reply::Silent {
                return self.try_again();
            }
            self.has_no_list = true;
            return Outcome::NotTaken;
        };
        // −1 is the standard's word for "no list here".
        self.has = lenient::integer(answer, "listVersion").filter(|version| *version >= 0);
        self.has_no_list = self.has.is_none();
        if self.has_no_list { Outcome::NotTaken } else { Outcome::Taken }
    }

    fn told_list(&mut self, part: usize, version: i64, goal: i64, reply: Reply<'_>) -> Outcome {
        let had = self.has.unwrap_or_default();
        // Without a yes it may have it all the same: it is asked.
        self.has = reply.is_yes().then_some(version);
        // The policy has changed since: the charger gets what holds now.
        let Some(list) = self.goal.as_ref().filter(|list| list.version == goal) else { return Outcome::Taken };
        if reply.is_yes() {
            self.sent = part + 1;
            if self.sent < list.calls() {
                return Outcome::Taken;
            }
            (self.sent, self.tries) = (0, 0);
            return Outcome::Listed { entries: list.len(), left_out: list.left_out };
        }
        self.sent = 0;
        match (status(reply).as_str(), part) {
            ("notsupported", 0) => self.tries = TRIES,
            ("notsupported", _) => (self.is_whole_only, self.goal) = (true, None),
            ("versionmismatch", _) => self.renamed = Some((version.max(had) + list.calls() as i64, goal)),
            _ => {}
        }
        self.try_again()
    }

    fn try_again(&mut self) -> Outcome {
        self.tries += 1;
        if self.tries < TRIES {
            return Outcome::TriedAgain;
        }
        self.is_settled = true;
        Outcome::GivenUp
    }

    /// The first key that is not as it should be, where the charger has it and lets us set it.
    fn wish(&self, policy: &Policy) -> Option<(&'static str, bool)> {
        let wishes = [
            (LIST_ENABLED, true),
            (OFFLINE, true),
            // While we are there we are asked: a list knows no schedule and no quota.
            (PRE_AUTHORIZE, false),
            (STRANGERS, policy.unknown_offline().is_some()),
            // A list is what holds; whoever has fallen off it must not live on in a cache.
            (CACHE, !self.has_list() && locallist::may_cache(policy)),
            // Otherwise a transaction that is refused goes on without current.
            (STOP_INVALID, policy.rules.revocation.stops),
        ];
        wishes
            .into_iter()
            .find(|(name, wanted)| self.keys.get(name).is_some_and(|key| !key.is_readonly && key.is_true() != *wanted))
    }

    fn has_list(&self) -> bool {
        let is_named = match self.keys.get(PROFILES) {
            Some(profiles) => profiles.value.split(',').any(|name| name.trim().eq_ignore_ascii_case(LIST_PROFILE)),
            None => self.keys.contains_key(LIST_ENABLED) || self.keys.contains_key(LIST_MOST),
        };
        is_named && !self.has_no_list
    }

    fn room(&self) -> Room {
        let number = |name| self.keys.get(name).and_then(|key: &Key| key.value.trim().parse().ok());
        Room::new(number(LIST_MOST), number(CALL_MOST))
    }
}

fn status(reply: Reply<'_>) -> String {
    match reply {
        Reply::Said(answer) => lenient::text(answer, "status").unwrap_or_default().to_ascii_lowercase(),
        Reply::Refused | Reply::Silent => String::new(),
    }
}
