//! How much has a car had in this session, as far as its own meter or what it was told says?

use crate::time::{Duration, Moment};
use crate::units::Amps;
use serde::{Deserialize, Serialize};

/// Steps are never further apart in life: what is longer was a standstill, and nobody knows what flowed.
const LONGEST: Duration = Duration::from_secs(10);

/// Its charge on one phase since the session began, or since our start.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Served {
    /// In mA·ms: a hundred years at 80 A fit.
    charge: i64,
    at: Option<Moment>,
}

impl Served {
    /// It has taken so much since the step before.
    pub(super) fn take(&mut self, amps: Amps, now: Moment) {
        let span = self.at.replace(now).map_or(Duration::ZERO, |at| now.since(at).min(LONGEST));
        self.charge += i64::from(amps.as_milli().max(0)) * span.as_millis() as i64;
    }

    /// How many times so much for so long that is.
    pub(super) fn times(&self, amps: Amps, span: Duration) -> i64 {
        self.charge / (i64::from(amps.as_milli()) * span.as_millis() as i64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charge_adds_up_and_a_standstill_counts_for_little() {
        let mut served = Served::default();
        for second in 0..=600 {
            served.take(Amps::whole(12), Moment::from_millis(second * 1_000));
        }
        assert_eq!(served.times(Amps::whole(6), Duration::from_secs(300)), 4);
        served.take(Amps::whole(12), Moment::from_millis(100_000_000));
        assert_eq!(served.times(Amps::whole(6), Duration::from_secs(300)), 4);
        assert_eq!(served.times(Amps::ZERO, Duration::ZERO), 7_320_000_000, "no division by nothing");
    }
}
