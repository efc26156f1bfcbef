//! Which sessions begin, go on and end? Told once a step what there is, it says what is to be written down.
//!
//! It goes by what is, not by what happens: a step that was missed costs nothing. What ran when the process before ended
//! is handed in once it has been read from the disk; until then nothing is said, and nothing waits for it.

use super::record::{End, Record, Review, mask};
use super::{Key, Keys};
use crate::control::observation::{Ended, Link, Report, Session};
use crate::control::{CarView, Decision, Observation, Reason};
use crate::policy::{Entitlement, Policy, Verdict, Why, normalise};
use crate::site::{EvseId, Site};
use crate::time::{Duration, Moment};
use chrono::{DateTime, TimeDelta, Utc};

/// A session that runs is written down at most this often: so much of its changes a cut can cost. Its energy is read off
/// the register again.
pub const SNAPSHOT: Duration = Duration::from_secs(15 * 60);

/// Ends that wait until what ran before has been read: more than can end within the minute that the slowest disk takes.
const MOST_EARLY: usize = 200;

/// A step further apart than this adds no energy: the process stood still, and nobody knows what was taken.
const MOST_STEP: Duration = Duration::from_secs(60);

/// mA·ms in an ampere-hour.
const MILLIAMPERE_MILLISECONDS: i64 = 1000 * 3_600_000;

/// What one step shows.
#[derive(Debug, Clone, Copy)]
pub struct Told<'s> {
    /// What is there.
    pub site: &'s Site,
    /// What it saw; its wall time is `None` while that is not to be trusted.
    pub seen: &'s Observation,
    /// What it decided.
    pub decision: &'s Decision,
    /// The rules that it decided by.
    pub policy: &'s Policy,
    /// There is a cloud, and it cannot be reached.
    pub is_offline: bool,
    /// When.
    pub now: Moment,
}

/// Follows all EVSEs.
#[derive(Debug)]
pub struct Tracker {
    keys: Keys,
    running: Vec<Option<Running>>,
    /// What ran before the start, for EVSEs of which nothing has been heard yet.
    before: Vec<Record>,
    /// `None` once what ran before is known.
    early: Option<Vec<Record>>,
}

#[derive(Debug)]
struct Running {
    record: Record,
    /// When it began, on this process's clock, or when it was taken up, and how long it had lasted then.
    since: Moment,
    lasted: Duration,
    /// Energy reckoned from currents, in mA·ms, over all phases.
    taken: i64,
    stepped: Moment,
    /// The last that was written down, and when.
    written: Option<(Moment, i64, usize)>,
    was_offline: bool,
}

impl Tracker {
    /// For a site with so many EVSEs. Nothing is said before [`Tracker::resume`].
    pub fn new(keys: Keys, evses: usize) -> Self {
        let running = (0..evses).map(|_| None).collect();
        Tracker { keys, running, before: Vec::new(), early: Some(Vec::new()) }
    }

    /// These ran when the process before this one ended. Only the first call counts.
    pub fn resume(&mut self, open: Vec<Record>) {
        if self.early.is_some() {
            self.before = open;
        }
    }

    /// After each step: records to be written down, mostly none. One with an end is over; each replaces the one of the same
    /// id.
    pub fn step(&mut self, told: &Told<'_>, is_resumed: bool) -> Vec<Record> {
        let mut news = Vec::new();
        for id in told.site.evse_ids() {
            if let Some((report, car, reason)) = shown(told, id) {
                self.follow(told, id, report, car, reason, &mut news);
            }
        }
        if !is_resumed {
            let early = self.early.get_or_insert_default();
            early.extend(news.into_iter().filter(|record| record.end.is_some()));
            early.truncate(MOST_EARLY);
            return Vec::new();
        }
        if let Some(mut early) = self.early.take() {
            for over in &mut early {
                let is_it = |before: &Record| before.evse == over.evse && before.transaction == over.transaction;
                if let Some(at) = self.before.iter().position(is_it) {
                    let before = self.before.swap_remove(at);
                    let lasted = Duration::from_secs(before.span_s.saturating_add(over.span_s));
                    join(over, before, lasted);
                }
            }
            news.splice(0..0, early);
            // What began meanwhile has not been said yet.
            self.running.iter_mut().flatten().for_each(|running| running.written = None);
        }
        self.settle(told, &mut news);
        for running in self.running.iter_mut().flatten() {
            if running.is_due(told.now) {
                running.written = Some((told.now, running.record.energy_wh, running.record.changes.len()));
                news.push(running.record.clone());
            }
        }
        news
    }

    /// At an orderly stop: all that run, as they are.
    pub fn last_words(&self) -> Vec<Record> {
        self.running.iter().flatten().map(|running| running.record.clone()).collect()
    }

    fn follow(
        &mut self,
        told: &Told<'_>,
        id: EvseId,
        report: &Report,
        car: &CarView,
        reason: Reason,
        news: &mut Vec<Record>,
    ) {
        let Some(slot) = self.running.get_mut(id.0) else { return };
        let current = report.session.as_ref();
        if let Some(over) = slot.take_if(|running| current.is_none_or(|now| now.id != running.record.transaction)) {
            let end = match (current, over.record.changes.last()) {
                (Some(_), _) => End::Replaced,
                (None, Some(last)) if last.reason == Reason::Denied.code() => End::Denied,
                (None, _) => End::Stopped,
            };
            news.push(over.ended(told, report.ended, end));
        }
        let Some(session) = current else { return };
        let running = slot.get_or_insert_with(|| Running::begin(told, id, session, self.keys.fresh()));
        running.go_on(told, id, session, car, reason);
    }

    /// What ran before goes on, or is over: decided as soon as the EVSE has been heard.
    fn settle(&mut self, told: &Told<'_>, news: &mut Vec<Record>) {
        for record in std::mem::take(&mut self.before) {
            let id = told.site.evse_ids().find(|id| told.site.evse(*id).id == record.evse);
            let slot = id.and_then(|id| self.running.get_mut(id.0)?.as_mut());
            match slot {
                Some(running) if running.record.transaction == record.transaction => running.take_up(record, told),
                // It may run still: its charger has not dialled in yet.
                None if id.is_some_and(|id| is_unheard(told, id)) => self.before.push(record),
                _ => news.push(unseen(record, told)),
            }
        }
    }
}

impl Running {
    fn begin(told: &Told<'_>, id: EvseId, session: &Session, key: Key) -> Self {
        let lasted = told.now.since(session.since);
        let record = Record {
            id: key,
            evse: told.site.evse(id).id.clone(),
            transaction: session.id,
            person: None,
            alias: None,
            class: String::new(),
            token: None,
            started_at: None,
            ended_at: None,
            span_s: 0,
            energy_wh: 0,
            is_estimated: true,
            meter_start_wh: None,
            meter_stop_wh: None,
            changes: Vec::new(),
            merged: 0,
            is_offline: told.is_offline,
            review: Vec::new(),
            end: None,
        };
        Running {
            record,
            since: told.now,
            lasted,
            taken: 0,
            stepped: told.now,
            written: None,
            was_offline: told.is_offline,
        }
    }

    fn go_on(&mut self, told: &Told<'_>, id: EvseId, session: &Session, car: &CarView, reason: Reason) {
        let span = self.span(told.now);
        let passed = Some(told.now.since(self.stepped)).filter(|passed| *passed <= MOST_STEP).unwrap_or_default();
        self.stepped = told.now;
        let amps: i64 = car.draw.0.iter().map(|amps| i64::from(amps.as_milli())).sum();
        self.taken =
            self.taken.saturating_add(amps.max(0).saturating_mul(i64::try_from(passed.as_millis()).unwrap_or(0)));
        self.was_offline |= told.is_offline;

        let record = &mut self.record;
        record.span_s = span.as_secs();
        if record.started_at.is_none() {
            record.started_at =
                told.seen.wall.and_then(|wall| wall.checked_sub_signed(TimeDelta::from_std(span).ok()?));
        }
        match session.energy_wh {
            Some(energy) => (record.energy_wh, record.is_estimated) = (energy, false),
            // What a register has said once is better than what is reckoned.
            None if record.is_estimated => {
                let watt_hours =
                    i128::from(self.taken) * i128::from(told.site.volts()) / i128::from(MILLIAMPERE_MILLISECONDS);
                record.energy_wh = i64::try_from(watt_hours).unwrap_or(i64::MAX);
            }
            None => {}
        }
        // The token may be told after the start, and the policy may come later than a session.
        if record.token.is_none() {
            record.token = session.token.as_deref().map(|token| mask(&normalise(token)));
        }
        if record.person.is_none() {
            let holder = told.policy.principal_of(id, session.token.as_deref());
            record.person = holder.and_then(|index| Some(told.policy.principals.get(index)?.id.clone()));
        }
        if record.alias.is_none() {
            record.alias = car.entitlement.alias.as_deref().map(str::to_owned);
        }
        if is_unauthorized(&car.entitlement) {
            record.look_at(if self.was_offline { Review::UnauthorizedOffline } else { Review::Unauthorized });
        }
        record.change(span, &car.entitlement.class, reason.code());
    }

    /// How long it has lasted.
    fn span(&self, now: Moment) -> Duration {
        self.lasted + now.since(self.since)
    }

    /// New ones at once; later ones when there is something new, and no sooner than that.
    fn is_due(&self, now: Moment) -> bool {
        self.written.is_none_or(|(at, energy, changes)| {
            let is_new = energy != self.record.energy_wh || changes != self.record.changes.len();
            is_new && now.since(at) >= SNAPSHOT
        })
    }

    /// It is the one that ran before: that one goes on, with what has been seen of it now.
    fn take_up(&mut self, before: Record, told: &Told<'_>) {
        let here = told.now.since(self.since);
        // By the wall clock where it is known, since the time without a process counts too.
        let by_wall = before.started_at.and_then(|start| (told.seen.wall? - start).to_std().ok());
        let lasted = by_wall.unwrap_or_else(|| Duration::from_secs(before.span_s) + here);
        let volts = i128::from(told.site.volts().max(1));
        let taken = i128::from(before.energy_wh) * i128::from(MILLIAMPERE_MILLISECONDS) / volts;
        self.taken = self.taken.saturating_add(i64::try_from(taken).unwrap_or(i64::MAX));
        (self.since, self.lasted) = (told.now, lasted);
        join(&mut self.record, before, lasted);
    }

    fn ended(self, told: &Told<'_>, register: Option<Ended>, end: End) -> Record {
        let span = self.span(told.now);
        let mut record = self.record;
        if let Some(Ended { start_wh, stop_wh, .. }) = register.filter(|ended| ended.id == record.transaction) {
            (record.meter_start_wh, record.meter_stop_wh) = (start_wh, Some(stop_wh));
            // The last word of the register is newer than its last reading.
            if let Some(energy) = start_wh.map(|start| stop_wh.saturating_sub(start)).filter(|energy| *energy >= 0) {
                (record.energy_wh, record.is_estimated) = (energy, false);
            }
        }
        record.span_s = span.as_secs();
        record.ended_at = told.seen.wall;
        record.is_offline |= told.is_offline;
        record.end = Some(end);
        record
    }
}

/// One session, of which a process before has written down `before`, and this one has seen the rest; it has `lasted` so long.
fn join(record: &mut Record, before: Record, lasted: Duration) {
    let now = std::mem::replace(record, before);
    let begun = lasted.as_secs().saturating_sub(now.span_s);
    record.span_s = lasted.as_secs();
    for change in &now.changes {
        record.change(Duration::from_secs(begun + change.at_s), &change.class, &change.reason);
    }
    match (now.is_estimated, record.is_estimated) {
        (false, _) => (record.energy_wh, record.is_estimated) = (now.energy_wh, false),
        (true, true) => record.energy_wh = record.energy_wh.saturating_add(now.energy_wh),
        // What the register said before stands until it says more.
        (true, false) => {}
    }
    record.merged = record.merged.saturating_add(now.merged);
    record.person = record.person.take().or(now.person);
    record.alias = record.alias.take().or(now.alias);
    record.token = record.token.take().or(now.token);
    record.started_at = record.started_at.or(now.started_at);
    now.review.into_iter().for_each(|why| record.look_at(why));
    record.is_offline |= now.is_offline && now.end.is_some();
    (record.meter_start_wh, record.meter_stop_wh) = (now.meter_start_wh, now.meter_stop_wh);
    (record.ended_at, record.end) = (now.ended_at, now.end);
}

/// It was over before anybody saw it.
fn unseen(mut record: Record, told: &Told<'_>) -> Record {
    let span = TimeDelta::try_seconds(i64::try_from(record.span_s).unwrap_or(i64::MAX));
    record.ended_at = record.started_at.and_then(|start: DateTime<Utc>| start.checked_add_signed(span?));
    record.is_offline |= told.is_offline;
    record.look_at(Review::EndUnseen);
    record.end = Some(End::Unseen);
    record
}

/// Is somebody at it who should not be? An hour that is over or an allowance that is used up is no such thing.
fn is_unauthorized(entitlement: &Entitlement) -> bool {
    let is_revoked = entitlement.limit.is_some_and(|limit| limit.why == Why::Revoked);
    match entitlement.verdict {
        Verdict::Blocked
        | Verdict::Expired
        | Verdict::Invalid
        | Verdict::NotAllowedTypeEvse
        | Verdict::NotAtThisLocation
        | Verdict::Unknown => true,
        Verdict::Accepted | Verdict::NotAtThisTime | Verdict::NoCredit | Verdict::ConcurrentTx => is_revoked,
    }
}

/// Has its charger said nothing yet since our start?
fn is_unheard(told: &Told<'_>, id: EvseId) -> bool {
    told.seen.reports.get(id.0).is_some_and(|report| report.link == Link::Never)
}

fn shown<'s>(told: &Told<'s>, id: EvseId) -> Option<(&'s Report, &'s CarView, Reason)> {
    let reason = told.decision.setpoints.get(id.0)?.because;
    Some((told.seen.reports.get(id.0)?, told.decision.cars.get(id.0)?, reason))
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
