//! How old is the policy, and does it still stand? FRESH → STALE → GRACE → DEFAULT; or TOMBSTONE.
//!
//! ```text
//!            5 × refresh without a confirmation       wall ≥ expires_at        wall ≥ expires_at + grace
//!   FRESH ──────────────────────────────────► STALE ────────────────► GRACE ─────────────────────► DEFAULT
//!     ▲──────────── confirmed ──────────────────┘
//! ```
//! A clock that is not trusted expires nothing: the policy is STALE until the clock is right. A signed tombstone stands
//! beside all this: it has no age, and only a newer document ends it.

use crate::time::{Duration, Moment};
use chrono::{DateTime, TimeDelta, Utc};

/// So many refreshes may fail before a policy counts as stale: one lost answer is nothing to talk about.
const STALE_AFTER: u32 = 5;

/// Two honest clocks differ by less than this.
pub(super) const SKEW: TimeDelta = TimeDelta::minutes(5);

/// 2026-01-01T00:00:00Z: no gateway runs this version before it, so an earlier clock is wrong.
const LEAST_WALL: i64 = 1_767_225_600;

/// Which age a policy is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Age {
    /// Confirmed a moment ago.
    Fresh,
    /// Not confirmed lately, or the clock is not to be trusted: the same policy holds.
    Stale,
    /// Over, but still in its time of grace: the same policy holds.
    Grace,
    /// None, or too old: the configuration's own policy holds.
    #[default]
    Default,
    /// The cloud has taken the gateway out of service, signed: the configuration's own policy holds.
    Tombstone,
}

impl Age {
    /// The word for machines.
    pub const fn word(self) -> &'static str {
        match self {
            Age::Fresh => "fresh",
            Age::Stale => "stale",
            Age::Grace => "grace",
            Age::Default => "default",
            Age::Tombstone => "tombstone",
        }
    }
}

/// The times of a policy that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// The wall clock has been at least here: when the cloud made the document, or confirmed the one kept on disk.
    pub floor: DateTime<Utc>,
    /// When it should have been replaced.
    pub expires_at: DateTime<Utc>,
    /// How long it still stands after that.
    pub grace: Duration,
    /// How often the cloud is asked.
    pub refresh: Duration,
    /// When this process last heard that it holds.
    pub confirmed: Option<Moment>,
}

impl Times {
    /// The age at this moment, and how long it stays so if nothing is heard; `None`: for good, as far as is known.
    pub fn age(&self, now: Moment, wall: DateTime<Utc>) -> (Age, Option<Duration>) {
        let Some(wall) = trusted(wall, self.floor) else { return (Age::Stale, None) };
        let end = self.expires_at + TimeDelta::from_std(self.grace).unwrap_or(TimeDelta::zero());
        let until = |moment: DateTime<Utc>| (moment - wall).to_std().ok();
        if wall >= end {
            return (Age::Default, None);
        }
        if wall >= self.expires_at {
            return (Age::Grace, until(end));
        }
        let patience = self.refresh.saturating_mul(STALE_AFTER);
        match self.confirmed.map(|confirmed| now.since(confirmed)) {
            Some(silent) if silent < patience => (Age::Fresh, until(self.expires_at).min(Some(patience - silent))),
            Some(_) | None => (Age::Stale, until(self.expires_at)),
        }
    }
}

/// The wall time, if it can be true: not before this version, and not (much) before a time that it has been already.
pub fn trusted(wall: DateTime<Utc>, floor: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (wall.timestamp() >= LEAST_WALL && wall + SKEW >= floor).then_some(wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_policy_ages_from_fresh_to_default() {
        let times = times(Some(Moment::START));
        let at = |span: Duration| times.age(Moment::START + span, issued() + span);
        assert_eq!(at(Duration::ZERO), (Age::Fresh, Some(MINUTE * 5)));
        assert_eq!(at(MINUTE * 5), (Age::Stale, Some(HOUR - MINUTE * 5)));
        assert_eq!(at(HOUR), (Age::Grace, Some(HOUR * 2)));
        assert_eq!(at(HOUR * 3), (Age::Default, None));
    }

    #[test]
    fn each_change_comes_when_it_was_announced() {
        let times = times(Some(Moment::START));
        let mut span = Duration::ZERO;
        let mut ages = Vec::new();
        loop {
            let (age, next) = times.age(Moment::START + span, issued() + span);
            ages.push(age);
            let Some(next) = next else { break };
            span += next;
        }
        assert_eq!(ages, [Age::Fresh, Age::Stale, Age::Grace, Age::Default]);
    }

    #[test]
    fn a_policy_from_disk_is_stale_until_it_is_confirmed() {
        assert_eq!(times(None).age(Moment::START, issued()).0, Age::Stale);
        assert_eq!(times(Some(Moment::START)).age(Moment::START, issued()).0, Age::Fresh);
    }

    #[test]
    fn a_clock_that_cannot_be_right_expires_nothing() {
        let now = Moment::START + HOUR * 1000;
        for wrong in [DateTime::UNIX_EPOCH, issued() - TimeDelta::days(1)] {
            assert_eq!(times(Some(now)).age(now, wrong), (Age::Stale, None));
        }
        // A clock a little behind the cloud's is right enough.
        assert_eq!(times(Some(now)).age(now, issued() - TimeDelta::minutes(4)).0, Age::Fresh);
    }

    #[test]
    fn an_early_end_comes_before_staleness() {
        let times = Times { expires_at: issued() + MINUTE, ..times(Some(Moment::START)) };
        assert_eq!(times.age(Moment::START, issued()), (Age::Fresh, Some(MINUTE)));
    }

    #[test]
    fn the_least_wall_time_is_the_start_of_2026() {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        assert!(trusted(start, DateTime::UNIX_EPOCH).is_some());
        assert!(trusted(start - TimeDelta::seconds(1), DateTime::UNIX_EPOCH).is_none());
    }

    fn issued() -> DateTime<Utc> {
        "2026-11-21T18:00:00Z".parse().unwrap()
    }

    fn times(confirmed: Option<Moment>) -> Times {
        Times { floor: issued(), expires_at: issued() + HOUR, grace: HOUR * 2, refresh: MINUTE, confirmed }
    }
}
