//! What do a document's hours, quotas, boosts and withdrawn rights mean here? Its words become the policy's rules.

use crate::policy::calendar::{Period, Schedule, Window, Zone};
use crate::policy::{Boost, Excess, Mode, PrincipalRule, Quota, Revocation, Rules};
use crate::time::Duration;
use crate::units::Amps;
use chrono::{DateTime, Utc};
use headroom_policy::{Code, Document, Faults, MidSession, OnExceed, Outside, Principal, shown};

/// The rules of a document; where it says nothing of modes, those of the installer hold (`local`).
///
/// # Errors
/// A time zone that nobody here knows: its hours would be others than were meant.
pub(super) fn rules(document: &Document, local: &Rules) -> Result<Rules, Faults> {
    let zone = Zone::named(&document.timezone).ok_or_else(|| {
        let text = format!("\"{}\" is no time zone that this version knows", shown(&document.timezone));
        Faults::one(Code::UnknownValue, "/timezone", text)
    })?;
    let boost = Boost {
        allowed: document.boost.allowed.clone(),
        priority: document.boost.charging_priority,
        max_per_month: u32::from(document.boost.max_per_month),
        max_duration: Duration::from_secs(document.boost.max_duration_s.into()),
    };
    Ok(Rules {
        zone,
        schedules: document.schedules.iter().map(schedule).collect(),
        quotas: document.quotas.iter().map(quota).collect(),
        boost: Some(boost).filter(|boost| !boost.allowed.is_empty()),
        revocation: Revocation {
            stops: document.revocation.mid_session == MidSession::Stop,
            max: Duration::from_secs(document.revocation.max_s.into()),
        },
        unknown_offline: Some(document.access.unknown_offline),
        remote_start: document.access.remote_start.clone(),
        floors: document.classes.iter().map(|class| class.floor_ma.map(Amps::milli)).collect(),
        ageing: document.ageing_s.map(|span| (span > 0).then(|| Duration::from_secs(span.into()))),
        principals: document.principals.iter().map(|principal| rule(principal, document)).collect(),
        mode: document.mode.strategy.map_or(local.mode, mode),
        min_grid: document.mode.min_grid_ma.map_or(local.min_grid, Amps::milli),
    })
}

fn schedule(schedule: &headroom_policy::Schedule) -> Schedule {
    let window =
        |window: &headroom_policy::Window| Window { days: window.days, from: window.from_min, to: window.to_min };
    let begins_outside = schedule.outside == Outside::Pause;
    Schedule { allow: schedule.windows.iter().map(window).collect(), begins_outside }
}

fn quota(quota: &headroom_policy::Quota) -> Quota {
    Quota {
        energy_wh: i64::try_from(quota.energy_wh).unwrap_or(i64::MAX),
        period: match quota.period {
            headroom_policy::Period::Day => Period::Day,
            headroom_policy::Period::Week => Period::Week,
            headroom_policy::Period::Month => Period::Month,
        },
        excess: match quota.on_exceed {
            OnExceed::Deny => Excess::Deny,
            OnExceed::Class(class) => Excess::Class(class),
        },
    }
}

fn rule(principal: &Principal, document: &Document) -> PrincipalRule {
    let (own, _) = own_class(principal, document);
    let others = principal.classes.iter().filter(|member| member.class != own);
    PrincipalRule {
        schedule: principal.schedule,
        quota: principal.quota,
        also: others.map(|member| (member.class, member.valid_until)).collect(),
        mode: principal.mode.map(mode),
    }
}

fn mode(mode: headroom_policy::Mode) -> Mode {
    match mode {
        headroom_policy::Mode::Fast => Mode::Fast,
        headroom_policy::Mode::Eco => Mode::Eco,
        headroom_policy::Mode::Solar => Mode::Solar,
    }
}

/// The class that somebody is in for good, of several that of the highest priority; where all of them end, the one that
/// ends last, and when.
pub(super) fn own_class(principal: &Principal, document: &Document) -> (usize, Option<DateTime<Utc>>) {
    let priority = |class: usize| document.classes.get(class).map(|class| class.priority);
    let rank = |member: &&headroom_policy::Membership| {
        (member.valid_until.is_none(), member.valid_until, priority(member.class))
    };
    let own = principal.classes.iter().max_by_key(rank);
    // The document has at least one; without any there is no right.
    own.map_or((0, Some(DateTime::UNIX_EPOCH)), |member| (member.class, member.valid_until))
}
