//! What has an EVSE's own meter said lately? A circuit's sample is set against the reading of the same moment.

use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase, PhaseSet};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Readings that are kept: a circuit's sample is at most a few of them old.
const MOST: usize = 8;
/// Readings so close to a sample speak of the same current: a car climbs by less than [`RAMP`] between them. A meter may
/// also be so late to show what flows.
const SAME_TIME: Duration = Duration::from_millis(200);
/// What a car may have climbed in [`SAME_TIME`], at some 7 A/s.
pub(super) const RAMP: Amps = Amps::milli(1_500);
/// A phase with less of it is not used.
const TAKES: Amps = Amps::whole(2);
/// A car stays so far below its setpoint at most; what is further off takes less for reasons of its own.
const SHYEST: Amps = Amps::whole(1);

/// The last readings, on the site's phases.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Readings {
    /// The newest last.
    kept: VecDeque<(Moment, PerPhase<Amps>)>,
    /// On which phases it has ever taken current.
    used: PhaseSet,
    /// What it is proven to leave of its setpoint; `None` before the first time that it had settled.
    shy: Option<Amps>,
}

impl Readings {
    /// A new one.
    pub(super) fn hear(&mut self, at: Moment, seen: PerPhase<Amps>) {
        if self.kept.len() == MOST {
            self.kept.pop_front();
        }
        self.kept.push_back((at, seen));
        let takes = |phase: &Phase| seen[*phase] >= TAKES;
        self.used = Phase::ALL.into_iter().filter(takes).fold(self.used, PhaseSet::with);
    }

    /// The phases on which it has been seen to take current.
    pub(super) fn used(&self) -> PhaseSet {
        self.used
    }

    /// The newest that a circuit's sample of this time has seen already.
    pub(super) fn before(&self, at: Moment) -> Option<&PerPhase<Amps>> {
        self.kept.iter().rev().find(|(then, _)| *then + SAME_TIME <= at).map(|(_, seen)| seen)
    }

    /// The greatest of the last two, a phase: of a fall nobody knows whether the circuit's meter has shown it yet.
    pub(super) fn lately(&self) -> PerPhase<Amps> {
        let last = self.kept.iter().rev().take(2);
        last.fold(PerPhase::default(), |most, (_, seen)| PerPhase::from_fn(|phase| most[phase].max(seen[phase])))
    }

    /// The one that is nearest to this time. It is sure if it speaks of the same current: taken at that time, or of a car
    /// that has had since `settled` to follow its setpoint and says the same (within `alike`) as the time before. A car
    /// falls at once: of a reading after a fall nobody knows whether the sample has seen it too.
    pub(super) fn nearest(&self, at: Moment, settled: Moment, alike: Amps) -> Option<(PerPhase<Amps>, bool)> {
        let distance = |then: Moment| then.since(at).max(at.since(then));
        let (place, (then, seen)) = self.kept.iter().enumerate().min_by_key(|(_, (then, _))| distance(*then))?;
        let has_fallen = place > 0 && self.kept[place - 1].1.most() - seen.most() > RAMP;
        let mut newest = self.kept.iter().rev();
        let is_steady = match (newest.next(), newest.next()) {
            (Some((last, now)), Some((_, before))) => *last >= settled && (now.most() - before.most()).abs() <= alike,
            _ => false,
        };
        Some((*seen, is_steady || (distance(*then) <= SAME_TIME && !has_fallen)))
    }

    /// The setpoint has stood long enough for its car to have followed, and this is what it takes.
    pub(super) fn settled(&mut self, setpoint: Amps, seen: Amps) {
        let left = (setpoint - seen).max(Amps::ZERO);
        if setpoint.is_positive() && left < SHYEST {
            self.shy = Some(self.shy.map_or(left, |shy| shy.min(left)));
        }
    }

    /// What the car is proven to leave of any setpoint (its offset, 0.3 to 1.2 A: evcc#14417).
    pub(super) fn shy(&self) -> Amps {
        self.shy.unwrap_or_default()
    }

    /// Another car.
    pub(super) fn forget(&mut self) {
        *self = Readings::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn heard(readings: &[(u64, i32)]) -> Readings {
        let mut kept = Readings::default();
        readings.iter().for_each(|(millis, amps)| kept.hear(at(*millis), PerPhase::all(Amps::whole(*amps))));
        kept
    }

    #[test]
    fn a_sample_is_set_against_the_reading_of_its_own_moment() {
        let readings = heard(&[(1_000, 6), (2_000, 8), (12_000, 16)]);
        let nearest = |millis| readings.nearest(at(millis), at(0), Amps::milli(500));
        assert_eq!(nearest(2_200), Some((PerPhase::all(Amps::whole(8)), true)));
        assert_eq!(nearest(6_000), Some((PerPhase::all(Amps::whole(8)), false)), "four seconds off");
        assert_eq!(readings.before(at(12_100)), Some(&PerPhase::all(Amps::whole(8))));
        assert_eq!(readings.before(at(900)), None);
    }

    #[test]
    fn what_a_car_says_after_a_fall_is_not_set_against_a_sample_of_that_moment() {
        let readings = heard(&[(1_000, 16), (2_000, 10)]);
        let is_sure = |millis| readings.nearest(at(millis), at(60_000), Amps::milli(500)).unwrap().1;
        assert!(!is_sure(1_850));
        assert!(!is_sure(2_050));
        assert!(heard(&[(1_000, 10), (2_000, 16)]).nearest(at(1_850), at(0), Amps::milli(500)).unwrap().1, "a climb");
    }

    #[test]
    fn a_car_that_does_not_change_is_known_between_its_readings_too() {
        let readings = heard(&[(1_000, 6), (12_000, 8), (22_000, 8)]);
        let is_sure = |settled| readings.nearest(at(27_000), at(settled), Amps::milli(500)).unwrap().1;
        assert!(is_sure(20_000));
        assert!(!is_sure(25_000), "it has been told something else since");
        assert!(!heard(&[(1_000, 6), (12_000, 8)]).nearest(at(17_000), at(0), Amps::milli(500)).unwrap().1);
    }

    #[test]
    fn what_a_car_leaves_is_the_least_that_it_has_left() {
        let mut readings = heard(&[]);
        readings.settled(Amps::whole(16), Amps::milli(15_300));
        readings.settled(Amps::whole(10), Amps::milli(9_500));
        readings.settled(Amps::whole(20), Amps::whole(16));
        assert_eq!(readings.shy(), Amps::milli(500), "at its own most it leaves more, and that is no offset");
        readings.settled(Amps::whole(10), Amps::milli(10_200));
        assert_eq!(readings.shy(), Amps::ZERO);
    }
}
