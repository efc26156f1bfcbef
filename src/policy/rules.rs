//! What else does a policy say than who and how much? Hours, allowances, boosts, what becomes of a right that is
//! withdrawn; and what all that means at this moment ([`Now`], reckoned by [`super::Rights`]).

use super::calendar::{Period, Schedule, Zone};
use super::{Entitlement, Mode, Verdict};
use crate::time::Duration;
use crate::units::Amps;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a policy says of times and amounts. Without any of it everybody may charge at any time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// By whose clock.
    pub zone: Zone,
    /// Hours, by index.
    pub schedules: Vec<Schedule>,
    /// Allowances, by index.
    pub quotas: Vec<Quota>,
    /// May people be put first for a while?
    pub boost: Option<Boost>,
    /// What becomes of a session whose right is withdrawn.
    pub revocation: Revocation,
    /// The class of a token that nobody knows while the cloud is silent; `None`: as ever. Inside, `None`: refused.
    pub unknown_offline: Option<Option<usize>>,
    /// Classes (indices) that may start from afar.
    pub remote_start: Vec<usize>,
    /// Least current of each class, where it has one.
    pub floors: Vec<Option<Amps>>,
    /// Each such span of waiting adds 1 to the priority. Outside, `None`: as the installer says; inside: none does.
    pub ageing: Option<Option<Duration>>,
    /// Of each principal; those that are missing have none.
    pub principals: Vec<PrincipalRule>,
    /// How sessions charge of which nothing else is said.
    pub mode: Mode,
    /// What a car in [`Mode::Eco`] has at least, if that is more than its least.
    pub min_grid: Amps,
}

/// What holds for a principal beside his class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalRule {
    /// Index into [`Rules::schedules`].
    pub schedule: Option<usize>,
    /// Index into [`Rules::quotas`].
    pub quota: Option<usize>,
    /// Further classes that he is in (indices), and until when: of the valid ones the highest priority counts.
    pub also: Vec<(usize, Option<DateTime<Utc>>)>,
    /// How his sessions charge; `None`: as all do.
    pub mode: Option<Mode>,
}

/// How much energy somebody may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// In Wh, in each period.
    pub energy_wh: i64,
    /// Begins anew with each.
    pub period: Period,
    /// What happens to more.
    pub excess: Excess,
}

/// What happens to whoever has used his quota up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Excess {
    /// Nothing more until the next period.
    Deny,
    /// He is in this class until then (its index).
    Class(usize),
}

/// Being first for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boost {
    /// Classes (indices) that may.
    pub allowed: Vec<usize>,
    /// Priority meanwhile; whoever has a higher one keeps it.
    pub priority: i8,
    /// So often a month and principal.
    pub max_per_month: u32,
    /// For so long at most, and no longer than the session.
    pub max_duration: Duration,
}

/// What becomes of a session whose right is withdrawn while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// It ends at once; else it goes on with the least current, after all others.
    pub stops: bool,
    /// And ends after so long.
    pub max: Duration,
}

impl Default for Revocation {
    fn default() -> Self {
        Revocation { stops: false, max: Duration::from_secs(1_800) }
    }
}

/// What the rules mean at this moment. Empty: as the policy says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Of each EVSE's session, if one runs.
    pub running: Vec<Option<Running>>,
    /// Of each principal who would begin one.
    pub principals: Vec<PrincipalNow>,
    /// Has the cloud been silent for long? Tokens that need it are refused.
    pub is_offline: bool,
}

/// A session that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its id.
    pub session: i64,
    /// The token that it was begun with, normalised.
    pub token: Option<String>,
    /// Was it let in, whatever has become of its right since?
    pub is_admitted: bool,
    /// What it is entitled to now.
    pub entitlement: Entitlement,
}

/// A principal at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalNow {
    /// The class that he is in (its index).
    pub class: usize,
    /// May he begin a session?
    pub verdict: Verdict,
}

/// Why a session is held down by the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// It is outside its hours.
    Schedule,
    /// Its quota is used up.
    Quota,
    /// Its right has been withdrawn.
    Revoked,
    /// Somebody at the site has paused it.
    Paused,
    /// Its mode is [`Mode::Off`].
    Off,
}

/// A session is held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// To this; zero: it gets nothing.
    pub most: Amps,
    /// Because of that.
    pub why: Why,
}
