//! How does a load change over time? As a sum of ramps, so that two changes may overlap.

use crate::time::{Duration, Moment};

/// A value (milliamperes or watts) that ramps add to; a ramp of no length is a step.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    settled: i64,
    ramps: Vec<Ramp>,
}

#[derive(Debug, Clone, Copy)]
struct Ramp {
    amount: i64,
    from: Moment,
    over: Duration,
}

impl Curve {
    /// Adds `amount` (negative takes away), spread evenly over `over`. Ramps that are over are folded first, so as many
    /// are kept as overlap.
    pub fn add(&mut self, now: Moment, amount: i64, over: Duration) {
        let (done, running): (Vec<Ramp>, Vec<Ramp>) = self.ramps.iter().partition(|ramp| ramp.from + ramp.over <= now);
        self.settled += done.iter().map(|ramp| ramp.amount).sum::<i64>();
        self.ramps = running;
        self.ramps.push(Ramp { amount, from: now, over });
    }

    /// Heads for `target` from wherever the ramps so far lead, in `over`.
    pub fn head_for(&mut self, now: Moment, target: i64, over: Duration) {
        let end = self.settled + self.ramps.iter().map(|ramp| ramp.amount).sum::<i64>();
        self.add(now, target - end, over);
    }

    /// Will it be another one without anybody's doing?
    pub fn is_moving(&self, now: Moment) -> bool {
        self.ramps.iter().any(|ramp| ramp.from + ramp.over > now)
    }

    /// The value now.
    pub fn at(&self, now: Moment) -> i64 {
        self.settled + self.ramps.iter().map(|ramp| ramp.at(now)).sum::<i64>()
    }
}

impl Ramp {
    fn at(&self, now: Moment) -> i64 {
        let passed = now.since(self.from);
        if passed >= self.over {
            return self.amount;
        }
        self.amount * passed.as_millis() as i64 / self.over.as_millis().max(1) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ramps_that_overlap_add_up() {
        let mut curve = Curve::default();
        let at = |seconds: u64| Moment::from_millis(seconds * 1000);
        curve.add(at(0), 10_000, Duration::from_secs(10));
        curve.add(at(5), 3_000, Duration::ZERO);
        assert_eq!(curve.at(at(5)), 8_000);
        assert_eq!(curve.at(at(20)), 13_000);
        curve.head_for(at(20), 1_000, Duration::from_secs(2));
        assert_eq!(curve.at(at(21)), 7_000);
        assert_eq!(curve.at(at(30)), 1_000);
    }
}
