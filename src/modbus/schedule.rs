//! Whose turn is it on a bus? The one whose slot came first; slots lie evenly on a grid and are never made up for.

use crate::time::{Duration, Moment};

/// A silent unit is asked again after at most this, times the units on its bus: so that a bus full of silent ones still
/// leaves most of its time to the others, and a meter that comes back alone is seen soon.
const QUIET_MOST: Duration = Duration::from_secs(5);

/// The turns of one bus.
#[derive(Debug, Clone)]
pub struct Schedule {
    start: Moment,
    turns: Vec<Turn>,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    due: Moment,
    interval: Duration,
    failures: u32,
}

impl Schedule {
    /// All are due at `start`; intervals are at least 1 ms.
    pub fn new(intervals: impl Iterator<Item = Duration>, start: Moment) -> Self {
        let turn =
            |interval: Duration| Turn { due: start, interval: interval.max(Duration::from_millis(1)), failures: 0 };
        Schedule { start, turns: intervals.map(turn).collect() }
    }

    /// Who is next, and when; `None` where there is nobody.
    pub fn next(&self) -> Option<(usize, Moment)> {
        let earliest = self.turns.iter().enumerate().min_by_key(|(_, turn)| turn.due);
        earliest.map(|(index, turn)| (index, turn.due))
    }

    /// The turn is over. The next slot is the first on the grid of its interval that lies ahead: a missed one is
    /// skipped. After failures in a row it lies further ahead: one interval, three, seven, up to a limit.
    pub fn done(&mut self, index: usize, now: Moment, is_good: bool) {
        let most = QUIET_MOST * u32::try_from(self.turns.len()).unwrap_or(u32::MAX);
        let Some(turn) = self.turns.get_mut(index) else { return };
        turn.failures = if is_good { 0 } else { turn.failures.saturating_add(1) };
        let skipped = 2_u32.saturating_pow(turn.failures.saturating_sub(1)) - 1;
        let earliest = now + turn.interval.saturating_mul(skipped).min(most);
        let interval = turn.interval.as_millis().max(1);
        let slots = earliest.since(self.start).as_millis() / interval + 1;
        turn.due = self.start + Duration::from_millis(u64::try_from(slots * interval).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(1_000);

    fn at(millis: u64) -> Moment {
        START + Duration::from_millis(millis)
    }

    fn schedule(intervals: &[u64]) -> Schedule {
        Schedule::new(intervals.iter().map(|ms| Duration::from_millis(*ms)), START)
    }

    #[test]
    fn starts_are_even_and_do_not_drift() {
        let mut schedule = schedule(&[100]);
        for slot in 0..50 {
            assert_eq!(schedule.next(), Some((0, at(slot * 100))));
            schedule.done(0, at(slot * 100 + slot % 90), true);
        }
    }

    #[test]
    fn a_missed_slot_is_skipped() {
        let mut schedule = schedule(&[100]);
        schedule.done(0, at(250), true);
        assert_eq!(schedule.next(), Some((0, at(300))));
    }

    #[test]
    fn units_take_turns_even_where_the_bus_is_too_slow_for_all() {
        let mut schedule = schedule(&[100, 100, 100]);
        let mut turns = [0; 3];
        let mut now = 0;
        for _ in 0..300 {
            let (index, due) = schedule.next().unwrap();
            now = now.max(due.since(START).as_millis() as u64) + 150;
            turns[index] += 1;
            schedule.done(index, at(now), true);
        }
        assert!(turns.iter().all(|count| (95..=105).contains(count)), "{turns:?}");
    }

    #[test]
    fn a_silent_unit_is_asked_less_and_less_and_never_starves_the_others() {
        let mut schedule = schedule(&[1_000, 1_000]);
        let (mut good, mut now) = (0, 0);
        while now < 600_000 {
            let (index, due) = schedule.next().unwrap();
            now = now.max(due.since(START).as_millis() as u64) + if index == 0 { 1_500 } else { 60 };
            good += index;
            schedule.done(index, at(now), index == 1);
        }
        assert!(good > 500, "{good} of 600 polls of the healthy one");
    }

    #[test]
    fn a_unit_that_comes_back_is_seen_soon() {
        let mut schedule = schedule(&[1_000]);
        let mut now = Moment::START;
        for _ in 0..40 {
            now = schedule.next().unwrap().1 + Duration::from_secs(1);
            schedule.done(0, now, false);
        }
        let (_, due) = schedule.next().unwrap();
        assert!(due.since(now) <= QUIET_MOST + Duration::from_secs(1));
        schedule.done(0, due, true);
        assert_eq!(schedule.next().unwrap().1.since(due), Duration::from_secs(1));
    }
}
