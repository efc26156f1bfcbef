//! What may a charger still be allowed to take? Every limit that may be in force, until it is proven gone.
//!
//! "Accepted" proves nothing: a lower limit counts only when the charger's own meter has been seen to fall to it, or
//! when every higher lease has run out.

use super::Lease;
use crate::site::{Evse, LapseClass};
use crate::time::{Duration, Moment};
use crate::units::Amps;

/// More limits in force at once than this are folded into fewer, larger ones.
const MOST_GRANTS: usize = 8;

/// The limits that may be in force at one EVSE.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// Oldest first; amperes fall and ends rise from one to the next.
    grants: Vec<Grant>,
    /// The end of the newest lease that the charger has acknowledged: until then it does not fall back.
    held_until: Option<Moment>,
}

#[derive(Debug, Clone, Copy)]
struct Grant {
    amps: Amps,
    /// When it has certainly run out; `None`: never (class C).
    until: Option<Moment>,
}

impl Ledger {
    /// Nothing is known: it may have been given its most just now.
    pub(super) fn unknown(evse: &Evse, now: Moment) -> Self {
        let mut ledger = Ledger::default();
        ledger.grant(evse, evse.most, now);
        ledger
    }

    /// What the process before this one has left.
    pub(super) fn resumed(evse: &Evse, lease: Lease, now: Moment) -> Self {
        let mut ledger = Ledger::default();
        ledger.grant(evse, lease.amps, now);
        ledger.held_until = Some(now + lease.left);
        ledger
    }

    /// A limit is sent.
    pub(super) fn grant(&mut self, evse: &Evse, amps: Amps, now: Moment) {
        let until = match evse.lapse {
            LapseClass::A | LapseClass::B => Some(now + evse.lease + evse.response),
            LapseClass::C => None,
        };
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

    /// The newest limit has been proven: nothing above it is in force any more.
    pub(super) fn prove(&mut self) {
        if let Some(newest) = self.grants.pop() {
            self.grants = vec![newest];
        }
    }

    /// Forgets what has run out.
    pub(super) fn expire(&mut self, now: Moment) {
        self.grants.retain(|grant| grant.until.is_none_or(|until| now < until));
        self.held_until = self.held_until.filter(|until| now < *until);
    }

    /// The most that it may be taking, or may soon take by itself.
    pub(super) fn worst(&self, evse: &Evse, now: Moment) -> Amps {
        let granted = self.grants.iter().map(|grant| grant.amps).max();
        let is_held = self.held_until.is_some_and(|until| now + evse.response < until);
        match granted {
            Some(amps) if is_held => amps,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{CircuitId, Rotation};
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
            step: Amps::whole(1),
            lease: Duration::from_secs(120),
            response: Duration::from_secs(13),
            lapse: LapseClass::B,
            metering: None,
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    #[test]
    fn at_start_it_counts_at_its_most_until_a_lease_has_passed() {
        let mut ledger = Ledger::unknown(&evse(), at(0));
        ledger.expire(at(132));
        assert_eq!(ledger.worst(&evse(), at(132)), Amps::whole(16));
        ledger.expire(at(133));
        assert_eq!(ledger.worst(&evse(), at(133)), Amps::whole(6));
    }

    #[test]
    fn a_cut_counts_only_when_proven_or_when_the_higher_lease_has_run_out() {
        let mut ledger = Ledger::default();
        ledger.grant(&evse(), Amps::whole(16), at(0));
        ledger.grant(&evse(), Amps::whole(8), at(10));
        ledger.acknowledge(&evse(), at(10));
        assert_eq!(ledger.worst(&evse(), at(20)), Amps::whole(16));
        let mut proven = ledger.clone();
        proven.prove();
        assert_eq!(proven.worst(&evse(), at(20)), Amps::whole(8));
        ledger.expire(at(133));
        assert_eq!(ledger.worst(&evse(), at(133)), Amps::whole(8).max(evse().fallback));
    }

    #[test]
    fn a_paused_car_counts_at_its_fallback_once_its_renewal_is_overdue() {
        let mut ledger = Ledger::default();
        ledger.grant(&evse(), Amps::ZERO, at(0));
        assert_eq!(ledger.worst(&evse(), at(1)), Amps::whole(6), "not acknowledged");
        ledger.acknowledge(&evse(), at(0));
        assert_eq!(ledger.worst(&evse(), at(100)), Amps::ZERO);
        assert_eq!(ledger.worst(&evse(), at(107)), Amps::whole(6), "lease end less the response time");
    }

    #[test]
    fn a_charger_that_latches_never_runs_out() {
        let latching = Evse { lapse: LapseClass::C, ..evse() };
        let mut ledger = Ledger::unknown(&latching, at(0));
        ledger.grant(&latching, Amps::whole(6), at(10));
        ledger.expire(at(1_000_000));
        assert_eq!(ledger.worst(&latching, at(1_000_000)), Amps::whole(16));
    }

    #[test]
    fn many_limits_are_folded_upwards() {
        let mut ledger = Ledger::default();
        for amps in (6..=16).rev() {
            ledger.grant(&evse(), Amps::whole(amps), at(u64::from(16 - amps as u32)));
        }
        assert!(ledger.grants.len() <= MOST_GRANTS);
        ledger.expire(at(134));
        assert!(ledger.worst(&evse(), at(134)) >= Amps::whole(14), "folding never forgets a limit early");
    }
}
