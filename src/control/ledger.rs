//! What may a charger still be allowed to take? Every limit that may be in force, until it is proven gone.
//!
//! "Accepted" proves nothing: a lower limit counts only when the charger has been seen to keep to it (`car.rs` says what
//! that takes), or when every higher limit has run out:
//!
//! | class | a limit runs out |
//! |---|---|
//! | A | a lease and the response time after it was sent |
//! | B | a lease and the response time after the connection was lost; while it stands, never |
//! | C | never |
//!
//! Nothing could ever prove a limit of class B in a charger without a meter of its own: it runs out as in class A, and what
//! it takes nevertheless shows in the circuit's meter.

use super::observation::Link;
use super::sabotage::{self, Bug};
use crate::site::{Evse, LapseClass};
use crate::time::{Duration, Moment};
use crate::units::Amps;
use serde::{Deserialize, Serialize};

/// More limits in force at once than this are folded into fewer, larger ones.
const MOST_GRANTS: usize = 8;

/// The limits that may be in force at one EVSE.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// Oldest first; amperes fall and ends rise from one to the next.
    grants: Vec<Grant>,
    /// The end of the newest lease that the charger has acknowledged: until then it does not fall back.
    held_until: Option<Moment>,
    /// The newest limit has been seen in force: whoever has only said yes to less than its fallback may still fall back.
    is_proven: bool,
    /// Since when there is no connection.
    lost_at: Option<Moment>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Grant {
    amps: Amps,
    /// When it has certainly run out; `None`: not while the connection stands (class B), or never (class C).
    until: Option<Moment>,
}

/// An EVSE's lease as it was when the process before this one stopped in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What it was told.
    pub amps: Amps,
    /// The most that may be in force all the same: an earlier limit that nothing has proven gone.
    pub worst: Amps,
    /// For how long; `None`: without an end of its own (class B while connected, class C).
    pub worst_left: Option<Duration>,
    /// It has been seen to keep to what it was told: while the lease stands, it does not fall back.
    pub is_proven: bool,
    /// What it took of that, the most on any phase. Counted as the house's, it would cut all others.
    pub draw: Amps,
    /// For how long that still stands.
    pub left: Duration,
    /// How long it had waited before its turn: that is part of its priority for the turn.
    pub waited: Duration,
    /// How often in its session others had its turn.
    pub yielded: u32,
}

impl Ledger {
    /// Nothing is known: it may have been given its most just now, by a process whose connection is gone.
    pub(super) fn unknown(evse: &Evse, now: Moment) -> Self {
        let mut ledger = Ledger { lost_at: Some(now), ..Ledger::default() };
        ledger.grant(evse, evse.most, now);
        ledger
    }

    /// What the process before this one has left.
    pub(super) fn resumed(evse: &Evse, lease: Lease, now: Moment) -> Self {
        let end = |left: Option<Duration>| left.map(|left| now + left);
        let mut grants = Vec::new();
        if lease.worst > lease.amps {
            grants.push(Grant { amps: lease.worst, until: end(lease.worst_left).filter(|_| runs_out(evse)) });
        }
        let own_end = runs_out(evse).then_some(now + lease.left + evse.response);
        grants.push(Grant { amps: lease.amps, until: own_end });
        Ledger { grants, held_until: Some(now + lease.left), is_proven: lease.is_proven, lost_at: Some(now) }
    }

    /// The lease that stands, for the process after this one; `None` where none does. What its car takes, has waited and has
    /// yielded is not known here.
    pub(super) fn lease(&self, evse: &Evse, amps: Amps, now: Moment) -> Option<Lease> {
        let greatest = self.grants.first().and_then(|grant| grant.until);
        self.held_for(now).map(|left| Lease {
            amps,
            worst: self.worst(evse, now).max(amps),
            worst_left: greatest.map(|until| until.since(now)),
            is_proven: self.is_proven,
            draw: Amps::ZERO,
            left,
            waited: Duration::ZERO,
            yielded: 0,
        })
    }

    /// A limit is sent.
    pub(super) fn grant(&mut self, evse: &Evse, amps: Amps, now: Moment) {
        let until = runs_out(evse).then_some(now + evse.lease + evse.response);
        let is_renewal = self.grants.last().is_some_and(|newest| newest.amps == amps);
        self.is_proven &= is_renewal;
        self.grants.retain(|old| old.amps > amps);
        self.grants.push(Grant { amps, until });
        if self.grants.len() > MOST_GRANTS {
            // The oldest is the largest: let it stand in for its successor, which ends later.
            let later = self.grants.remove(1).until;
            self.grants[0].until = later;
        }
    }

    /// The charger has said yes to the order sent at `sent`.
    pub(super) fn acknowledge(&mut self, evse: &Evse, sent: Moment) {
        self.held_until = self.held_until.max(Some(sent + evse.lease));
    }

    /// It has connected anew, or started again: what it said yes to it may have forgotten.
    pub(super) fn distrust(&mut self) {
        self.held_until = None;
        self.is_proven = false;
    }

    /// The newest limit has been proven: nothing above it is in force any more.
    pub(super) fn prove(&mut self) {
        if let Some(newest) = self.grants.pop() {
            self.grants.clear();
            self.grants.push(newest);
            self.is_proven = true;
        }
    }

    /// Forgets what has run out.
    pub(super) fn expire(&mut self, evse: &Evse, link: Link, now: Moment) {
        self.lost_at = match link {
            Link::Up { .. } => None,
            Link::Down { since } => Some(since),
            Link::Never => self.lost_at,
        };
        let has_let_go =
            evse.lapse == LapseClass::B && self.lost_at.is_some_and(|lost| now >= lost + evse.lease + evse.response);
        self.grants.retain(|grant| !has_let_go && grant.until.is_none_or(|until| now < until));
        self.held_until = self.held_until.filter(|until| now < *until);
    }

    /// The most that it may be taking, or may soon take by itself.
    pub(super) fn worst(&self, evse: &Evse, now: Moment) -> Amps {
        let granted = self.grants.iter().map(|grant| grant.amps).max();
        let is_held = self.held_until.is_some_and(|until| now + evse.response < until);
        match granted {
            Some(amps) if (is_held && self.is_proven) || sabotage::has(Bug::FallbackForgotten) => amps,
            Some(amps) => amps.max(evse.fallback),
            None => evse.fallback,
        }
    }

    /// Does an acknowledged lease still stand? Expired ones have been forgotten.
    pub(super) fn is_held(&self) -> bool {
        self.held_until.is_some()
    }

    /// How long the newest acknowledged lease still stands.
    pub(super) fn held_for(&self, now: Moment) -> Option<Duration> {
        self.held_until.map(|until| until.since(now))
    }
}

/// Does a limit run out while the charger is connected?
fn runs_out(evse: &Evse) -> bool {
    match evse.lapse {
        LapseClass::A => true,
        LapseClass::B => evse.metering.is_none(),
        LapseClass::C => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{CircuitId, Rotation, Step};
    use crate::units::Phase;

    fn evse() -> Evse {
        Evse {
            id: "left".into(),
            name: "Left".into(),
            circuit: CircuitId(0),
            rotation: Rotation::one(Phase::L1),
            least: Amps::whole(6),
            most: Amps::whole(16),
            fallback: Amps::whole(6),
            step: Step::Multiple(Amps::whole(1)),
            lease: Duration::from_secs(120),
            response: Duration::from_secs(13),
            lapse: LapseClass::A,
            metering: Some(Duration::from_secs(10)),
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    const UP: Link = Link::Up { since: Moment::START };

    /// What it counts for when nothing is heard up to then.
    fn worst(ledger: &Ledger, evse: &Evse, link: Link, seconds: u64) -> Amps {
        let mut ledger = ledger.clone();
        ledger.expire(evse, link, at(seconds));
        ledger.worst(evse, at(seconds))
    }

    #[test]
    fn at_start_it_counts_at_its_most_until_a_lease_has_passed() {
        let ledger = Ledger::unknown(&evse(), at(0));
        assert_eq!(worst(&ledger, &evse(), UP, 132), Amps::whole(16));
        assert_eq!(worst(&ledger, &evse(), UP, 133), Amps::whole(6));
    }

    #[test]
    fn a_cut_counts_only_when_proven_or_when_the_higher_lease_has_run_out() {
        let mut ledger = Ledger::default();
        ledger.grant(&evse(), Amps::whole(16), at(0));
        ledger.grant(&evse(), Amps::whole(8), at(10));
        ledger.acknowledge(&evse(), at(10));
        assert_eq!(worst(&ledger, &evse(), UP, 20), Amps::whole(16));
        let mut proven = ledger.clone();
        proven.prove();
        assert_eq!(worst(&proven, &evse(), UP, 20), Amps::whole(8));
        assert_eq!(worst(&ledger, &evse(), UP, 133), Amps::whole(8));
    }

    #[test]
    fn a_limit_of_class_b_stands_while_the_connection_does_and_a_lease_longer() {
        let class_b = Evse { lapse: LapseClass::B, ..evse() };
        let mut ledger = Ledger::default();
        ledger.grant(&class_b, Amps::whole(16), at(0));
        ledger.grant(&class_b, Amps::whole(8), at(10));
        ledger.acknowledge(&class_b, at(10));
        assert_eq!(worst(&ledger, &class_b, UP, 100_000), Amps::whole(16));
        let down = Link::Down { since: at(1_000) };
        assert_eq!(worst(&ledger, &class_b, down, 1_132), Amps::whole(16));
        assert_eq!(worst(&ledger, &class_b, down, 1_133), Amps::whole(6));
    }

    #[test]
    fn a_charger_of_class_b_that_never_came_back_since_our_start_has_let_go_after_a_lease() {
        let class_b = Evse { lapse: LapseClass::B, ..evse() };
        let ledger = Ledger::unknown(&class_b, at(50));
        assert_eq!(worst(&ledger, &class_b, Link::Never, 182), Amps::whole(16));
        assert_eq!(worst(&ledger, &class_b, Link::Never, 183), Amps::whole(6));
        assert_eq!(worst(&ledger, &class_b, UP, 183), Amps::whole(16), "it came back in time");
    }

    #[test]
    fn what_the_process_before_could_not_prove_gone_still_counts() {
        let lease = Lease {
            amps: Amps::whole(8),
            worst: Amps::whole(16),
            worst_left: Some(Duration::from_secs(30)),
            is_proven: false,
            draw: Amps::whole(8),
            left: Duration::from_secs(100),
            waited: Duration::ZERO,
            yielded: 0,
        };
        let ledger = Ledger::resumed(&evse(), lease, at(0));
        assert_eq!(worst(&ledger, &evse(), UP, 29), Amps::whole(16));
        assert_eq!(worst(&ledger, &evse(), UP, 30), Amps::whole(8));
        let paused = Lease { amps: Amps::ZERO, worst: Amps::ZERO, is_proven: true, ..lease };
        let ledger = Ledger::resumed(&evse(), paused, at(0));
        assert_eq!(
            worst(&ledger, &evse(), Link::Never, 86),
            Amps::ZERO,
            "a pause that was proven stands with its lease"
        );
        assert_eq!(worst(&ledger, &evse(), Link::Never, 87), Amps::whole(6), "lease end less the response time");
        let class_b = Evse { lapse: LapseClass::B, ..evse() };
        let ledger = Ledger::resumed(&class_b, Lease { worst_left: None, ..lease }, at(0));
        assert_eq!(worst(&ledger, &class_b, UP, 1_000), Amps::whole(16), "while it is connected");
        assert_eq!(worst(&ledger, &class_b, Link::Never, 133), Amps::whole(6));
    }

    #[test]
    fn a_paused_car_counts_at_its_fallback_until_seen_paused_and_once_its_renewal_is_overdue() {
        let mut ledger = Ledger::default();
        ledger.grant(&evse(), Amps::ZERO, at(0));
        assert_eq!(worst(&ledger, &evse(), UP, 1), Amps::whole(6), "not acknowledged");
        ledger.acknowledge(&evse(), at(0));
        assert_eq!(worst(&ledger, &evse(), UP, 100), Amps::whole(6), "to say yes is not to do it");
        ledger.prove();
        assert_eq!(worst(&ledger, &evse(), UP, 100), Amps::ZERO);
        assert_eq!(worst(&ledger, &evse(), UP, 107), Amps::whole(6), "lease end less the response time");
    }

    #[test]
    fn a_charger_that_has_started_again_may_have_forgotten_its_pause() {
        let mut ledger = Ledger::default();
        ledger.grant(&evse(), Amps::ZERO, at(0));
        ledger.acknowledge(&evse(), at(0));
        ledger.prove();
        ledger.distrust();
        assert_eq!(worst(&ledger, &evse(), UP, 1), Amps::whole(6));
    }

    #[test]
    fn a_charger_that_latches_never_runs_out() {
        let latching = Evse { lapse: LapseClass::C, ..evse() };
        let mut ledger = Ledger::unknown(&latching, at(0));
        ledger.grant(&latching, Amps::whole(6), at(10));
        assert_eq!(worst(&ledger, &latching, UP, 1_000_000), Amps::whole(16));
        assert_eq!(worst(&ledger, &latching, Link::Down { since: at(20) }, 1_000_000), Amps::whole(16));
    }

    #[test]
    fn many_limits_are_folded_upwards() {
        let mut ledger = Ledger::default();
        for amps in (6..=16).rev() {
            ledger.grant(&evse(), Amps::whole(amps), at(u64::from(16 - amps as u32)));
        }
        assert!(ledger.grants.len() <= MOST_GRANTS);
        assert!(worst(&ledger, &evse(), UP, 134) >= Amps::whole(14), "folding never forgets a limit early");
    }
}
