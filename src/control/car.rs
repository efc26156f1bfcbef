//! What is known of one EVSE and its car? What it takes at least, and what it may take at most.

mod obedience;

use super::Lease;
use super::appetite::{Appetite, FOLLOWS};
use super::draw::Draw;
use super::ledger::Ledger;
use super::observation::{Accepted, Link, Measured, Plug, Report};
use super::orders::Sent;
use super::pauses::Pauses;
use super::readings::Readings;
use super::reason::Reason;
use super::sabotage::{self, Bug};
use super::served::Served;
use crate::site::{BELIEVED, Evse};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};
use serde::{Deserialize, Serialize};

/// Own measurements agree with a setpoint within this.
const TOLERANCE: Amps = Amps::milli(500);
/// A report may be this much later than its interval.
const LATENESS: Duration = Duration::from_secs(3);
/// A car that stops taking what it is offered wants no more after so long.
const TIRED: Duration = Duration::from_secs(30);
/// One that has not begun yet may be slow to wake: three to four minutes have been seen.
const SLEEPY: Duration = Duration::from_secs(300);
/// A car that wanted no more, and then was offered none because others did, is offered some again after so long.
const ASKED_AGAIN: Duration = Duration::from_secs(3_600);
/// Setpoints of the last response time are remembered, this many of them.
const MOST_PAST: usize = 16;

/// What the step remembers of an EVSE.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Car {
    /// What it was told last, or would be told now.
    pub setpoint: Amps,
    /// Why it is not more.
    pub because: Reason,
    /// Every limit that may be in force.
    pub ledger: Ledger,
    /// The last order.
    pub sent: Option<Sent>,
    /// Since when it waits for current.
    pub waiting_since: Option<Moment>,
    /// Since when it has had current without a pause.
    pub turn_since: Option<Moment>,
    /// It was paused for want of room, and has had no current since.
    pub is_paused: bool,
    /// How often that was, and when it may be tried again.
    pub pauses: Pauses,
    /// What its own meter has said lately.
    pub readings: Readings,
    /// How much of what it is offered it wants.
    pub appetite: Appetite,
    /// How much of it it has had.
    pub served: Served,
    /// How long it had waited before this turn: what that has added to its priority holds for the turn.
    pub waited: Duration,
    /// How often in this session others had its turn.
    pub yielded: u32,
    /// Since when it takes nothing of what it is offered; a pause leaves that as it is.
    rests_since: Option<Moment>,
    has_charged: bool,
    /// The last raise; its effect may not have shown yet.
    pub raised_at: Option<Moment>,
    /// It takes more than it was told; since when.
    pub disobeys_since: Option<Moment>,
    /// Its charger is hung up on until then.
    pub hung_up_until: Option<Moment>,
    session: Option<i64>,
    /// What the process before this one has left: its first session keeps that while the lease stands.
    resumed: Option<Lease>,
    /// A phase's current as last proven or assumed.
    draw: Amps,
    /// When it was last assumed to take more than before.
    grew_at: Option<Moment>,
    /// Past setpoints and when each ended, the newest last.
    past: Vec<(Moment, Amps)>,
    /// Its own meter stood above the new limit when it was cut: a fall will prove it.
    falls_since: Option<Moment>,
    /// Its own meter has stood at its setpoint without a break.
    stands_since: Option<Moment>,
    last_measured: Option<Moment>,
    /// What its own meter says, while that is fresh.
    own: Option<Amps>,
    /// The most that it was seen to take while it disobeyed, until it is seen to obey.
    taken: Amps,
    /// The connection that was heard last.
    epoch: Option<u64>,
    strikes: u8,
    unshown: u8,
}

impl Car {
    pub(super) fn unknown(evse: &Evse, now: Moment) -> Self {
        Car {
            setpoint: evse.fallback,
            because: Reason::NoCar,
            ledger: Ledger::unknown(evse, now),
            sent: None,
            waiting_since: None,
            turn_since: None,
            is_paused: false,
            pauses: Pauses::default(),
            readings: Readings::default(),
            appetite: Appetite::default(),
            served: Served::default(),
            waited: Duration::ZERO,
            yielded: 0,
            rests_since: None,
            has_charged: false,
            raised_at: None,
            disobeys_since: None,
            hung_up_until: None,
            session: None,
            resumed: None,
            draw: Amps::ZERO,
            grew_at: None,
            past: Vec::new(),
            falls_since: None,
            stands_since: None,
            last_measured: None,
            own: None,
            taken: Amps::ZERO,
            epoch: None,
            strikes: 0,
            unshown: 0,
        }
    }

    /// A lease of the process before this one goes on.
    pub(super) fn resume(&mut self, evse: &Evse, lease: Lease, now: Moment) {
        self.ledger = Ledger::resumed(evse, lease, now);
        self.setpoint = lease.amps;
        self.draw = lease.draw.min(lease.amps);
        self.resumed = Some(lease);
    }

    /// For the process after this one; `None` where no lease stands.
    pub(super) fn lease(&self, evse: &Evse, now: Moment) -> Option<Lease> {
        let (draw, waited, yielded) = (self.draw, self.waited, self.yielded);
        self.ledger.lease(evse, self.setpoint, now).map(|lease| Lease { draw, waited, yielded, ..lease })
    }

    /// Takes in the charger's report.
    pub(super) fn observe(&mut self, evse: &Evse, report: &Report, now: Moment) -> Draw {
        self.begin_session(evse, report, now);
        if self.epoch.replace(report.epoch).is_some_and(|last| last != report.epoch) {
            self.ledger.distrust();
        }
        self.hear_rest(report.plug, now);
        self.hear_answer(evse, report);
        self.ledger.expire(evse, report.link, now);
        self.let_in(report.link, now);
        self.forgive(evse, now);
        // What a charger said before it went is no news of what its car takes since.
        let is_up = matches!(report.link, Link::Up { .. });
        let own = report.measured.filter(|measured| is_up && is_fresh(evse, measured, now));
        if let Some(measured) = own.filter(|measured| Some(measured.at) > self.last_measured) {
            self.last_measured = Some(measured.at);
            self.compare(evse, &measured, report.plug);
            let seen = evse.rotation.to_site(&measured.current);
            self.readings.hear(measured.at, seen);
            if self.has_followed(evse, measured.at) {
                self.readings.settled(self.setpoint, seen.most());
                self.appetite.hear(self.setpoint, seen.most(), measured.at);
            }
        }
        self.own = own.map(|measured| evse.rotation.to_site(&measured.current).most());
        self.appetite = self.own.map_or_else(Appetite::default, |_| self.appetite);
        self.hear_pause(evse, report, now);
        let seen = self.seen(evse, report, own, now);
        let worst = self.worst(evse, report, &seen, now);
        if matches!(report.link, Link::Down { .. } | Link::Never) {
            // When it returns it is told first what it has been told before, or what it has fallen back to.
            self.setpoint = worst.min(self.setpoint.max(evse.fallback));
        }
        let least = PerPhase::from_fn(|phase| seen[phase].min(self.setpoint).min(worst));
        self.served.take(least.most(), now);
        let blind = match evse.metering {
            Some(interval) if own.is_some() && (worst.is_positive() || seen.most().is_positive()) => {
                interval + LATENESS
            }
            Some(_) | None => Duration::ZERO,
        };
        let shown = if self.disobeys_since.is_some() { seen } else { least };
        let latent = match self.disobeys_since {
            Some(_) => worst - worst.min(self.beside(evse, &seen, self.taken)),
            None => Amps::ZERO,
        };
        let is_cut = is_up && self.past.last().is_some_and(|(ended, _)| now < *ended + evse.response);
        let soon = if is_cut { worst.min(self.setpoint) } else { worst };
        let shy = if own.is_some() { self.readings.shy() } else { Amps::ZERO };
        Draw { least, seen, shown, is_measured: own.is_some(), worst, latent, soon, shy, blind }
    }

    /// What it took at this time, as far as known, and whether that is sure: its own meter spoke at the same time, or it
    /// had followed its setpoint and was not changing.
    pub(super) fn took(&self, evse: &Evse, draw: &Draw, at: Moment) -> (PerPhase<Amps>, bool) {
        if !draw.is_always_known(evse) {
            return (draw.least, !draw.worst.is_positive());
        }
        let changed = self.past.last().map_or(Moment::START, |(ended, _)| *ended + evse.response);
        match self.readings.nearest(at, changed, TOLERANCE) {
            Some((seen, is_sure)) => {
                // Whoever has been cut and has not fallen yet may fall at any moment.
                let falls = self.disobeys_since.is_none() && seen.most() > self.setpoint + TOLERANCE;
                (PerPhase::from_fn(|phase| seen[phase].min(draw.worst)), is_sure && !falls)
            }
            None => (draw.least, false),
        }
    }

    /// The load above an unreachable charger has fallen: by half of what it was taken to draw, and it counts as drawing
    /// nothing. What it may draw again stays reserved.
    pub(super) fn doubt(&mut self, evse: &Evse, fall: &PerPhase<Amps>) {
        if evse.rotation.phases().iter().any(|phase| fall[phase].is_positive() && fall[phase] >= self.draw.scaled(1, 2))
        {
            self.draw = Amps::ZERO;
        }
    }

    /// A new setpoint, from now on.
    pub(super) fn settle(&mut self, amps: Amps, now: Moment) {
        if amps == self.setpoint {
            return;
        }
        if amps > self.setpoint {
            self.raised_at = Some(now);
        } else if self.own.is_some_and(|own| own > amps - self.readings.shy() + TOLERANCE) {
            self.falls_since = Some(now);
        }
        self.stands_since = None;
        match (self.setpoint.is_positive(), amps.is_positive()) {
            (false, true) => {
                self.turn_since = Some(now);
                self.waited = self.waiting_since.map_or(Duration::ZERO, |since| now.since(since));
                self.waiting_since = None;
                self.is_paused = false;
            }
            (true, false) => {
                self.turn_since = None;
                self.waiting_since = Some(now);
            }
            (true, true) | (false, false) => {}
        }
        if self.past.len() == MOST_PAST {
            self.past.remove(0);
        }
        self.past.push((now, self.setpoint));
        self.setpoint = amps;
        self.draw = self.draw.min(amps);
    }

    /// What it was told at this moment.
    #[cfg(test)]
    pub(super) fn told_at(&self, at: Moment) -> Amps {
        self.past.iter().find(|(ended, _)| *ended > at).map_or(self.setpoint, |(_, amps)| *amps)
    }

    /// Has it been assumed to take no less than this for so long?
    pub(super) fn is_steady(&self, span: Duration, now: Moment) -> bool {
        self.grew_at.is_some_and(|at| now >= at + span)
    }

    /// Has the last raise had the time to show?
    pub(super) fn is_settled(&self, evse: &Evse, now: Moment) -> bool {
        self.raised_at.is_none_or(|at| now >= at + evse.response)
    }

    /// Has it stood at its setpoint for longer than its response by then?
    pub(super) fn has_followed(&self, evse: &Evse, at: Moment) -> bool {
        self.past.last().is_none_or(|(ended, _)| at >= *ended + evse.response)
    }

    /// Has it obeyed the same setpoint for longer than its response?
    pub(super) fn is_at_rest(&self, evse: &Evse, now: Moment) -> bool {
        self.has_followed(evse, now) && self.disobeys_since.is_none() && self.rests_since.is_none()
    }

    /// Does it want nothing, as far as its charger has said and no longer ago than it is believed?
    pub(super) fn is_resting(&self, now: Moment) -> bool {
        let patience = if self.has_charged { TIRED } else { SLEEPY };
        self.rests_since.is_some_and(|since| now >= since + patience)
    }

    fn hear_rest(&mut self, plug: Plug, now: Moment) {
        match plug {
            Plug::SuspendedEv => {
                self.rests_since.get_or_insert(now);
            }
            // Without an offer nobody knows; it is asked again after a while.
            Plug::SuspendedEvse => {
                let is_over = self.waiting_since.is_some_and(|since| now >= since + ASKED_AGAIN);
                self.rests_since = self.rests_since.filter(|_| !is_over);
            }
            Plug::Charging => {
                self.rests_since = None;
                self.has_charged = true;
            }
            Plug::Unknown | Plug::Available | Plug::Preparing | Plug::Finishing | Plug::Faulted | Plug::Unavailable => {
                self.rests_since = None
            }
        }
    }

    fn begin_session(&mut self, evse: &Evse, report: &Report, now: Moment) {
        let session = report.session.as_ref().map(|session| session.id);
        if session == self.session {
            return;
        }
        self.session = session;
        self.is_paused = false;
        self.pauses = Pauses::default();
        self.readings.forget();
        self.appetite = Appetite::default();
        self.served = Served::default();
        (self.waited, self.yielded) = (Duration::ZERO, 0);
        self.rests_since = None;
        self.has_charged = false;
        self.raised_at = None;
        self.falls_since = None;
        self.stands_since = None;
        self.disobeys_since = None;
        self.strikes = 0;
        self.unshown = 0;
        self.past.clear();
        // By itself a charger gives its fallback; whoever was resumed keeps what it had.
        if session.is_some() {
            let resumed = self.resumed.take().filter(|_| self.ledger.held_for(now).is_some_and(|left| !left.is_zero()));
            self.setpoint = resumed.map_or(evse.fallback, |lease| lease.amps);
            (self.waited, self.yielded) = resumed.map_or_else(Default::default, |lease| (lease.waited, lease.yielded));
        }
        self.turn_since = (session.is_some() && self.setpoint.is_positive()).then_some(now);
        self.waiting_since = (session.is_some() && !self.setpoint.is_positive()).then_some(now);
    }

    fn hear_answer(&mut self, evse: &Evse, report: &Report) {
        if let (Some(answer), Some(sent)) = (report.answer, self.sent)
            && answer.number == sent.number
            && answer.verdict == Accepted::Yes
        {
            self.ledger.acknowledge(evse, sent.at);
            if sabotage::has(Bug::AcceptedIsProof) {
                self.ledger.prove();
            }
        }
    }

    fn seen(&mut self, evse: &Evse, report: &Report, own: Option<Measured>, now: Moment) -> PerPhase<Amps> {
        if let Some(measured) = own {
            let on_site = evse.rotation.to_site(&measured.current);
            let [first, second, third] = on_site.0;
            let on_site = if sabotage::has(Bug::RotationSwapped) { PerPhase([third, first, second]) } else { on_site };
            self.draw = on_site.most().min(self.setpoint);
            return on_site;
        }
        let is_reachable = matches!(report.link, Link::Up { .. });
        if !report.plug.has_car() {
            self.draw = Amps::ZERO;
        } else if is_reachable {
            // Assumed, without a meter or when it has gone silent: a charging car takes its setpoint once its response
            // time is over.
            match report.plug {
                Plug::Charging if self.is_settled(evse, now) => {
                    if self.setpoint > self.draw {
                        self.grew_at = Some(now);
                    }
                    self.draw = self.setpoint;
                }
                // Not heard since our start: what was known before holds.
                Plug::Charging | Plug::Unknown => {}
                Plug::Available
                | Plug::Preparing
                | Plug::SuspendedEv
                | Plug::SuspendedEvse
                | Plug::Finishing
                | Plug::Faulted
                | Plug::Unavailable => self.draw = Amps::ZERO,
            }
        }
        let phases = evse.rotation.phases();
        PerPhase::from_fn(|phase| if phases.contains(phase) { self.draw } else { Amps::ZERO })
    }

    fn worst(&self, evse: &Evse, report: &Report, seen: &PerPhase<Amps>, now: Moment) -> Amps {
        let is_empty = matches!(report.link, Link::Up { .. }) && !report.plug.has_car();
        if is_empty {
            // Without a car nothing flows, and what flows nevertheless is in the meter's reading.
            return Amps::ZERO;
        }
        let full = self.ledger.worst(evse, now).max(self.taken);
        match self.disobeys_since {
            None => full,
            // It counts in full, also while its car rests.
            Some(_) if self.own.is_some() => self.beside(evse, &self.readings.lately(), full),
            Some(_) => self.beside(evse, seen, full),
        }
    }

    /// What so much of a disobedient charger counts beside the meter's reading: what it takes beyond its setpoint stands
    /// there, and so in the base load. Without a meter of its own all that it takes does.
    fn beside(&self, evse: &Evse, seen: &PerPhase<Amps>, full: Amps) -> Amps {
        match evse.metering {
            Some(_) => (full - (seen.most() - self.setpoint).max(Amps::ZERO)).max(Amps::ZERO),
            None => seen.most().min(self.setpoint),
        }
    }
}

fn is_fresh(evse: &Evse, measured: &Measured, now: Moment) -> bool {
    evse.metering.is_some_and(|interval| now.since(measured.at) <= (interval * 2).min(BELIEVED) + LATENESS)
}
