//! Does a charger do what it is told? What proves a limit, what breaks it, and what is left when it is told in vain.

use super::{Car, FOLLOWS, TOLERANCE};
use crate::control::observation::{Link, Measured, Plug, Report};
use crate::control::reason::Reason;
use crate::control::sabotage::{self, Bug};
use crate::site::{Evse, LapseClass};
use crate::time::Moment;
use crate::units::Amps;

/// So many samples above the setpoint, one after the other, are disobedience.
const STRIKES: u8 = 3;
/// So many cuts that no meter has shown, one after the other, are disobedience.
const UNSHOWN: u8 = 2;

impl Car {
    /// A cut's time is over, and the meter above has shown it or not. Without a meter of its own this is the only proof,
    /// and the only sign of disobedience.
    pub(in crate::control) fn judge(&mut self, evse: &Evse, is_unshown: bool, now: Moment) {
        // What the sun takes back hides what a car gives back for it.
        if evse.metering.is_some() || (is_unshown && self.because == Reason::Solar) {
            return;
        }
        if !is_unshown {
            self.unshown = 0;
            self.disobeys_since = None;
            self.ledger.prove();
        } else {
            self.unshown = (self.unshown + 1).min(UNSHOWN);
            if self.unshown == UNSHOWN {
                self.disobeys_since.get_or_insert(now);
            }
        }
    }

    /// Told that it has no more, and its response over, it takes more than its fallback all the same: by its own meter, or
    /// where that says nothing by its own word that it charges. Nothing but the end of its connection lowers it.
    pub(in crate::control) fn defies(&self, evse: &Evse, report: &Report, now: Moment) -> bool {
        let Link::Up { since } = report.link else { return false };
        let is_told = !self.setpoint.is_positive() && self.sent.is_some_and(|sent| !sent.amps.is_positive());
        let has_had_time = |at: Moment| self.has_followed(evse, at) && at >= since + evse.response;
        let takes_more = match (self.own, self.last_measured) {
            (Some(own), Some(at)) => self.strikes == STRIKES && own > evse.fallback + TOLERANCE && has_had_time(at),
            (Some(_) | None, _) => report.plug == Plug::Charging && has_had_time(now),
        };
        evse.lapse == LapseClass::B && self.disobeys_since.is_some() && is_told && takes_more
    }

    /// Whoever was hung up on has fallen back when that ends, and is told anew. A connection that nobody could close has
    /// not ended.
    pub(super) fn let_in(&mut self, link: Link, now: Moment) {
        let Some(until) = self.hung_up_until.filter(|until| now >= *until) else { return };
        self.hung_up_until = None;
        if !matches!(link, Link::Up { since } if since < until) {
            self.obeys();
            (self.strikes, self.unshown) = (0, 0);
        }
    }

    /// A paused charger shows little: after a lease one that takes no more than it was told is tried once more. Its
    /// ledger forgets nothing with that, and without a meter of its own the next cut that does not show is enough.
    pub(super) fn forgive(&mut self, evse: &Evse, now: Moment) {
        let is_over = |since: Moment| now >= since + evse.lease + evse.response;
        let is_quiet = evse.metering.is_none() || self.own.is_some_and(|own| own <= self.setpoint + TOLERANCE);
        if is_quiet && self.disobeys_since.is_some_and(is_over) {
            self.disobeys_since = None;
            self.unshown = UNSHOWN - 1;
        }
    }

    pub(super) fn obeys(&mut self) {
        self.disobeys_since = None;
        self.taken = Amps::ZERO;
    }

    /// A charger that says by itself that it gives none now is paused, once nothing older can be on its way to it.
    pub(super) fn hear_pause(&mut self, evse: &Evse, report: &Report, now: Moment) {
        let is_told = self.sent.is_some_and(|sent| {
            !sent.amps.is_positive() && sent.epoch == report.epoch && now >= sent.at + evse.response
        });
        if is_told && report.plug == Plug::SuspendedEvse && self.own.is_none_or(|own| own <= TOLERANCE) {
            self.ledger.prove();
            self.falls_since = None;
            self.obeys();
        }
    }

    /// A new own measurement: does it prove the last cut, or does it break the setpoint?
    ///
    /// A fall to the new limit proves it. To stand at it from the beginning does so after a lease's time: either that is
    /// the limit, or it is the most that the car takes. To stay below (resting, nearly full) proves nothing.
    pub(super) fn compare(&mut self, evse: &Evse, measured: &Measured, plug: Plug) {
        let own = evse.rotation.to_site(&measured.current).most();
        let is_within = own <= self.setpoint + TOLERANCE;
        let rests = !self.setpoint.is_positive() && plug == Plug::SuspendedEv;
        let is_at_it = is_within && own + FOLLOWS.max(self.setpoint.scaled(1, 10)) >= self.setpoint && !rests;
        self.stands_since = is_at_it.then(|| self.stands_since.unwrap_or(measured.at));
        let is_down = is_at_it && own <= self.setpoint - self.readings.shy() + TOLERANCE;
        let has_fallen = is_down && self.falls_since.is_some_and(|at| measured.at > at);
        let has_stood = self.setpoint.is_positive()
            && self.stands_since.is_some_and(|since| measured.at >= since + evse.lease + evse.response);
        if has_fallen || has_stood {
            self.ledger.prove();
            self.falls_since = None;
            self.obeys();
        } else if !is_within {
            // It rose above the new limit only after the cut, on its way to the old one: its fall will prove it too.
            self.falls_since.get_or_insert(measured.at);
        }
        let since = measured.at - evse.response;
        // Each past setpoint stands with the moment that ended it.
        let highest_then =
            self.past.iter().filter(|(ended, _)| *ended >= since).map(|(_, amps)| *amps).fold(self.setpoint, Amps::max);
        // Whoever holds no lease any more gives its fallback, and obeys.
        let highest_then = if self.ledger.is_held() { highest_then } else { highest_then.max(evse.fallback) };
        let slack = Amps::whole(1).max(highest_then.scaled(1, 10));
        if own > highest_then + slack && self.sent.is_some() && !sabotage::has(Bug::LiarBelieved) {
            self.strikes = (self.strikes + 1).min(STRIKES);
            if self.strikes == STRIKES {
                self.disobeys_since.get_or_insert(measured.at);
                self.taken = self.taken.max(own);
            }
        } else {
            self.strikes = 0;
        }
    }
}
