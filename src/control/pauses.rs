//! How long does a car rest that was paused? Briefly at first; longer each time, for some cars wake only so often.

use crate::time::{Duration, Moment};
use serde::{Deserialize, Serialize};

/// The first pause lasts this part of the longest rest; each further one twice as long as the one before.
const FIRST: u32 = 5;
/// One pause is forgotten in each such time.
const FORGIVEN: Duration = Duration::from_secs(3_600);
/// Beyond so many the rest does not grow.
const COUNTED: u32 = 4;

/// The pauses of one session for want of room.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Pauses {
    /// Those not yet forgotten.
    count: u32,
    last: Option<Moment>,
}

impl Pauses {
    /// It is paused.
    pub(super) fn pause(&mut self, now: Moment) {
        let forgotten = self.last.map_or(0, |last| now.since(last).as_secs() / FORGIVEN.as_secs());
        self.count = self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX)).min(COUNTED - 1) + 1;
        self.last = Some(now);
    }

    /// Does it still rest? `longest` is the rest after many pauses.
    pub(super) fn is_resting(&self, longest: Duration, now: Moment) -> bool {
        let rest = (longest / FIRST * 2_u32.pow(self.count.saturating_sub(1))).min(longest);
        self.last.is_some_and(|last| now < last + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    /// How long it rests after the last of these pauses.
    fn rest(pauses: &[u64]) -> u64 {
        let mut kept = Pauses::default();
        pauses.iter().for_each(|second| kept.pause(at(*second)));
        let last = pauses.last().copied().unwrap_or_default();
        (0..).find(|rest| !kept.is_resting(Duration::from_secs(300), at(last + rest))).unwrap()
    }

    #[test]
    fn each_pause_makes_the_next_rest_longer_up_to_the_longest() {
        assert_eq!([rest(&[0]), rest(&[0, 100]), rest(&[0, 100, 400])], [60, 120, 240]);
        assert_eq!([rest(&[0, 100, 400, 900]), rest(&[0, 100, 400, 900, 1_300, 1_700])], [300, 300]);
    }

    #[test]
    fn pauses_are_forgotten_one_an_hour() {
        assert_eq!([rest(&[0, 3_599]), rest(&[0, 3_600]), rest(&[0, 100, 3_700])], [120, 60, 120]);
    }
}
