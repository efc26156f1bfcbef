//! How much have cars added above a limit? Ampere-seconds since the start of the process, and the longest run.
//!
//! A house step breaks the ledger before anybody can react: that is counted here, from one sample to the next, and never
//! asserted. What the house alone has too much is none of ours.

use super::observation::Sample;
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use serde::{Deserialize, Serialize};

/// What cars have added above a circuit's limit, by its meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exposure {
    /// Summed since the start of the process, in milliampere-seconds.
    pub milliampere_seconds: PerPhase<u64>,
    /// The longest time without a break, on any phase.
    pub longest: Duration,
}

/// What the step remembers of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Counter {
    pub total: Exposure,
    last: Option<Moment>,
    /// What cars added at the last sample, and for how long they have.
    over: PerPhase<Amps>,
    run: PerPhase<Duration>,
}

impl Counter {
    /// A sample stands until the next one, but no longer than `most`: after that nothing is known. `cars` is what they
    /// take of it, at most.
    pub(super) fn hear(&mut self, sample: &Sample, limit: PerPhase<Amps>, cars: PerPhase<Amps>, most: Duration) {
        if self.last.is_some_and(|last| sample.at <= last) {
            return;
        }
        let span = self.last.map_or(Duration::ZERO, |last| sample.at.since(last).min(most));
        for phase in Phase::ALL {
            let over = self.over[phase].as_milli().max(0) as u64;
            let total = &mut self.total.milliampere_seconds[phase];
            *total = total.saturating_add(over * span.as_millis() as u64 / 1000);
            self.run[phase] = if over > 0 { self.run[phase].saturating_add(span) } else { Duration::ZERO };
            self.total.longest = self.total.longest.max(self.run[phase]);
            self.over[phase] = (sample.current[phase] - limit[phase]).min(cars[phase]).max(Amps::ZERO);
        }
        self.last = Some(sample.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(counter: &mut Counter, second: u64, load: i32, cars: i32) {
        let at = Moment::from_millis(second * 1000);
        let sample = Sample { at, current: PerPhase::all(Amps::whole(load)), watts: None, millivolts: None };
        let all = |amps: i32| PerPhase::all(Amps::whole(amps));
        counter.hear(&sample, all(25), all(cars), Duration::from_secs(3));
    }

    #[test]
    fn what_cars_add_above_the_limit_is_summed_from_sample_to_sample() {
        let mut counter = Counter::default();
        for (second, load, cars) in [(0, 20, 10), (1, 30, 16), (2, 30, 16), (4, 20, 10), (5, 27, 16), (6, 25, 16)] {
            hear(&mut counter, second, load, cars);
        }
        assert_eq!(counter.total.milliampere_seconds, PerPhase::all(5_000 * 3 + 2_000));
        assert_eq!(counter.total.longest, Duration::from_secs(3));
    }

    #[test]
    fn what_the_house_alone_has_too_much_is_not_counted() {
        let mut counter = Counter::default();
        hear(&mut counter, 0, 40, 0);
        hear(&mut counter, 1, 40, 6);
        hear(&mut counter, 2, 40, 0);
        assert_eq!(counter.total.milliampere_seconds, PerPhase::all(6_000));
    }

    #[test]
    fn a_silent_meter_has_seen_no_more_than_its_last_word() {
        let mut counter = Counter::default();
        hear(&mut counter, 0, 26, 16);
        hear(&mut counter, 1_000, 20, 16);
        assert_eq!(counter.total.milliampere_seconds, PerPhase::all(3_000));
    }
}
