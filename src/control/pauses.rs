//! How long does a car rest that was paused? Briefly at first; longer each time, for some cars wake only so often. Whoever
//! was started in vain waits until the house has left room for a while: what comes each minute needs no trial each five.

use super::queue::Setting;
use super::reason::Reason;
use super::{State, Work};
use crate::site::{CircuitId, EvseId};
use crate::time::{Duration, Moment};
use crate::units::Phase;
use serde::{Deserialize, Serialize};

/// The first pause lasts this part of the longest rest; each further one twice as long as the one before.
const FIRST: u32 = 5;
/// One pause is forgotten in each such time.
const FORGIVEN: Duration = Duration::from_secs(3_600);
/// Beyond so many the rest does not grow.
const COUNTED: u32 = 4;
/// The house must have left room for so many times as long as its peaks are remembered for those who charge. Found by trial on
/// generated houses: docs/CONTROL.md has the figures.
const QUIET: u32 = 10;

/// The pauses of one session for want of room.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Pauses {
    /// Those not yet forgotten.
    count: u32,
    last: Option<Moment>,
    /// It had not charged for as long as the longest rest before the last one.
    was_futile: bool,
}

impl Pauses {
    /// It is paused, and has had current since then. `longest` is the rest after many pauses.
    pub(super) fn pause(&mut self, since: Option<Moment>, longest: Duration, now: Moment) {
        // What ran before its first pause may have been the charger's own doing, and the gateway the one that is new.
        self.was_futile = self.last.is_some() && since.is_some_and(|since| now.since(since) < longest);
        let forgotten = self.last.map_or(0, |last| now.since(last).as_secs() / FORGIVEN.as_secs());
        self.count = self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX)).min(COUNTED - 1) + 1;
        self.last = Some(now);
    }

    /// Does it still rest?
    pub(super) fn is_resting(&self, longest: Duration, now: Moment) -> bool {
        let rest = (longest / FIRST * 2_u32.pow(self.count.saturating_sub(1))).min(longest);
        self.last.is_some_and(|last| now < last + rest)
    }

    /// Was it started in vain? Forgotten as pauses are: where the house is never quiet it is tried once in that time.
    fn is_wary(&self, now: Moment) -> bool {
        self.was_futile && self.last.is_some_and(|last| now < last + FORGIVEN)
    }
}

/// Those who were started in vain rest on where they would be again: beside what the house took lately.
pub(super) fn rest_on(setting: &Setting, state: &State, work: &mut Work) {
    let Setting { site, now, .. } = *setting;
    let span = site.tuning.memory * QUIET;
    let Work { wishes, rows, .. } = work;
    for (index, car) in state.cars.iter().enumerate() {
        let Ok(ask) = wishes[index].ask else { continue };
        if !car.is_paused || car.setpoint.is_positive() || !car.pauses.is_wary(now) {
            continue;
        }
        let evse = site.evse(EvseId(index));
        // On each phase what there is for cars, and what there would be beside the house's peak.
        let left = |id: CircuitId, phase: Phase| {
            let (row, peak) = (&rows[id.0], state.rows[id.0].base.peak(phase, span)?);
            let left = row.shown.headroom[phase];
            (!row.is_lost).then_some((left, left + row.base?[phase] - peak))
        };
        let phases = evse.rotation.phases();
        let rooms = || site.path(evse.circuit).flat_map(|id| phases.iter().filter_map(move |phase| left(id, phase)));
        // Where there is no room now, sharing says so.
        if rooms().all(|(now, _)| now >= ask.entry) && rooms().any(|(_, beside)| beside < ask.entry) {
            wishes[index].ask = Err(Reason::Resting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(300);

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    /// How long it rests after the last of these pauses.
    fn rest(pauses: &[u64]) -> u64 {
        let mut kept = Pauses::default();
        pauses.iter().for_each(|second| kept.pause(None, LONGEST, at(*second)));
        let last = pauses.last().copied().unwrap_or_default();
        (0..).find(|rest| !kept.is_resting(LONGEST, at(last + rest))).unwrap()
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
