//! What of a circuit's load is not our cars', now and lately?

use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use serde::{Deserialize, Serialize};

/// Peaks are kept in spans of this.
const BUCKET: Duration = Duration::from_secs(2);
/// As many as the longest memory needs: five minutes.
const BUCKETS: usize = 152;
/// As many as the slowest car's meter needs of guesses: 15 s, and some.
const GUESSED: usize = 12;
/// Nobody rises above what has fitted for so many times the usual memory where a phase is restless. A thermostat or a hob
/// comes again (their cycles take 5 s to 3 min), a kettle does not. Found by trial on generated houses: docs/CONTROL.md
/// has the figures.
const LONGER: u32 = 5;
/// So many cuts make it restless, if the first of them is no more than so many memories ago.
const CUTS: usize = 3;
const UNREST: u32 = 24;
/// Cuts closer together than this answer one event.
const ONE_EVENT: Duration = Duration::from_secs(8);

/// The base load of a circuit as its meter has shown it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Base {
    now: Option<PerPhase<Amps>>,
    is_sure: bool,
    /// When it was last heard for sure.
    sure_at: Option<Moment>,
    /// What was sure.
    peaks: Peaks,
    /// All that was heard.
    guesses: Peaks,
    lows: Lows,
    cuts: PerPhase<Cuts>,
}

/// The last cuts on one phase, the newest first.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Cuts {
    /// Answers to different events.
    events: [Option<Moment>; CUTS],
    last: Option<Moment>,
}

/// The greatest of each [`BUCKET`] of the last minutes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Peaks {
    /// The newest stands at `newest` modulo their number.
    buckets: Vec<Option<PerPhase<Amps>>>,
    newest: u64,
}

/// The smallest of the last span to twice that.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Lows {
    now: Option<PerPhase<Amps>>,
    before: Option<PerPhase<Amps>>,
    turned: Moment,
}

impl Base {
    /// The circuit's load has been heard. A car on its way up or down whose meter speaks later than the circuit's looks
    /// like the house: what is not sure is not remembered, unless there has been nothing else for `patience`.
    pub(super) fn hear(&mut self, base: PerPhase<Amps>, is_sure: bool, patience: Duration, now: Moment) {
        (self.now, self.is_sure) = (Some(base), is_sure);
        self.guesses.hear(base, now);
        if is_sure {
            self.sure_at = Some(now);
        }
        if self.sure_at.is_none_or(|at| is_sure || now.since(at) >= patience) {
            self.peaks.hear(base, now);
            self.lows.hear(base, patience, now);
        }
    }

    /// As last heard.
    pub(super) fn now(&self) -> Option<PerPhase<Amps>> {
        self.now
    }

    /// Is more than what was heard last known now, on some phase?
    pub(super) fn is_below(&self, guess: &PerPhase<Amps>) -> bool {
        self.now.is_some_and(|now| Phase::ALL.into_iter().any(|phase| now[phase] < guess[phase]))
    }

    /// Is what was heard last no guess?
    pub(super) fn is_sure(&self) -> bool {
        self.is_sure
    }

    /// The smallest lately: what of it cars that report late cannot have caused.
    pub(super) fn lowest(&self, phase: Phase) -> Option<Amps> {
        self.lows.least(phase)
    }

    /// The greatest of the last `memory`, of a multiple of it where this phase is restless, and of `blind` at least.
    pub(super) fn highest(&self, phase: Phase, memory: Duration, blind: Duration, now: Moment) -> Option<Amps> {
        let cuts = &self.cuts[phase];
        let is_restless = cuts.events[CUTS - 1].is_some_and(|first| now.since(first) < memory * UNREST);
        let span = if is_restless { memory * LONGER } else { memory }.max(blind);
        // Guesses may be too low as well: the greatest since all cars' own meters must have spoken is not.
        let (peak, guess) = (self.peaks.greatest(phase, span), self.guesses.greatest(phase, blind));
        [peak, guess, self.now.map(|base| base[phase])].into_iter().flatten().max()
    }

    /// The greatest of the last `span`, of five minutes at most.
    pub(super) fn peak(&self, phase: Phase, span: Duration) -> Option<Amps> {
        self.peaks.greatest(phase, span)
    }

    /// Somebody on this phase has been cut: because it carries too much, or only to make room for somebody else.
    pub(super) fn cut(&mut self, phase: Phase, is_needed: bool, now: Moment) {
        let cuts = &mut self.cuts[phase];
        if is_needed && cuts.last.is_none_or(|last| now.since(last) > ONE_EVENT) {
            cuts.events.rotate_right(1);
            cuts.events[0] = Some(now);
        }
        cuts.last = Some(now);
    }

    /// When somebody on this phase was cut last.
    pub(super) fn last_cut(&self, phase: Phase) -> Option<Moment> {
        self.cuts[phase].last
    }
}

impl Default for Base {
    fn default() -> Self {
        Base {
            now: None,
            is_sure: false,
            sure_at: None,
            peaks: Peaks::of(BUCKETS),
            guesses: Peaks::of(GUESSED),
            lows: Lows::default(),
            cuts: PerPhase::default(),
        }
    }
}

impl Peaks {
    fn of(buckets: usize) -> Self {
        Peaks { buckets: vec![None; buckets], newest: 0 }
    }

    fn hear(&mut self, base: PerPhase<Amps>, now: Moment) {
        let number = (now.as_millis() / BUCKET.as_millis() as u64).max(self.newest);
        let count = self.buckets.len();
        for skipped in 0..(number - self.newest).min(count as u64) {
            self.buckets[(number - skipped) as usize % count] = None;
        }
        self.newest = number;
        let bucket = &mut self.buckets[number as usize % count];
        *bucket = Some(bucket.map_or(base, |old| PerPhase::from_fn(|phase| old[phase].max(base[phase]))));
    }

    /// Of the last `span`, and a bucket more at most.
    fn greatest(&self, phase: Phase, span: Duration) -> Option<Amps> {
        let back = (span.as_millis() as u64).div_ceil(BUCKET.as_millis() as u64).min(self.buckets.len() as u64 - 1);
        let numbers = self.newest - back.min(self.newest)..=self.newest;
        numbers.filter_map(|number| self.buckets[number as usize % self.buckets.len()]).map(|base| base[phase]).max()
    }
}

impl Lows {
    /// The smallest on this phase; `None` where nothing has been heard.
    pub(super) fn least(&self, phase: Phase) -> Option<Amps> {
        [self.now, self.before].into_iter().flatten().map(|base| base[phase]).min()
    }

    pub(super) fn hear(&mut self, base: PerPhase<Amps>, span: Duration, now: Moment) {
        if now.since(self.turned) > span * 2 {
            *self = Lows { now: None, before: None, turned: now };
        } else if now.since(self.turned) >= span {
            *self = Lows { now: None, before: self.now, turned: now };
        }
        self.now = Some(self.now.map_or(base, |old| PerPhase::from_fn(|phase| old[phase].min(base[phase]))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);
    const USUAL: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    /// A base of 1 A with a peak of 10 A in each of these seconds, heard each second.
    fn with_peaks(peaks: &[u64], to: u64) -> Base {
        let mut base = Base::default();
        for second in 1..=to {
            let amps = if peaks.contains(&second) { 10 } else { 1 };
            base.hear(PerPhase::all(Amps::whole(amps)), true, PATIENCE, at(second));
            if amps == 10 {
                base.cut(Phase::L1, true, at(second));
            }
        }
        base
    }

    fn highest(base: &Base, phase: Phase, second: u64) -> Amps {
        base.highest(phase, USUAL, Duration::ZERO, at(second)).unwrap()
    }

    #[test]
    fn one_peak_is_remembered_for_twenty_seconds() {
        assert_eq!(highest(&with_peaks(&[100], 119), Phase::L1, 119), Amps::whole(10));
        assert_eq!(highest(&with_peaks(&[100], 123), Phase::L1, 123), Amps::whole(1));
    }

    #[test]
    fn peaks_that_come_again_are_remembered_longer_on_their_phase_only() {
        let base = with_peaks(&[100, 200, 300], 400);
        assert_eq!(highest(&base, Phase::L1, 400), Amps::whole(10));
        assert_eq!(highest(&base, Phase::L2, 400), Amps::whole(1));
        assert_eq!(highest(&with_peaks(&[100, 200, 300], 424), Phase::L1, 424), Amps::whole(1));
        assert_eq!(highest(&with_peaks(&[100, 101, 102], 130), Phase::L1, 130), Amps::whole(1), "one event");
    }

    #[test]
    fn a_car_that_reports_late_makes_the_memory_as_long_as_it_is_blind() {
        let base = with_peaks(&[100], 130);
        assert_eq!(base.highest(Phase::L1, USUAL, Duration::from_secs(40), at(130)), Some(Amps::whole(10)));
    }

    #[test]
    fn after_a_silence_nothing_old_counts() {
        let mut base = with_peaks(&[100], 101);
        base.hear(PerPhase::all(Amps::whole(2)), true, PATIENCE, at(5_000));
        assert_eq!(highest(&base, Phase::L1, 5_000), Amps::whole(2));
        assert_eq!(base.lowest(Phase::L1), Some(Amps::whole(2)));
    }

    #[test]
    fn what_is_not_sure_counts_now_and_is_forgotten_with_the_next_word() {
        let mut base = with_peaks(&[], 100);
        base.hear(PerPhase::all(Amps::whole(9)), false, PATIENCE, at(101));
        assert_eq!(highest(&base, Phase::L1, 101), Amps::whole(9));
        base.hear(PerPhase::all(Amps::whole(1)), true, PATIENCE, at(104));
        assert_eq!(highest(&base, Phase::L1, 104), Amps::whole(1));
        let blind = Duration::from_secs(10);
        assert_eq!(base.highest(Phase::L1, USUAL, blind, at(104)), Some(Amps::whole(9)), "a car may not have spoken");
        base.hear(PerPhase::all(Amps::whole(9)), false, PATIENCE, at(120));
        base.hear(PerPhase::all(Amps::whole(1)), false, PATIENCE, at(121));
        assert_eq!(highest(&base, Phase::L1, 121), Amps::whole(9), "nothing has been sure for long");
    }

    #[test]
    fn the_smallest_lately_is_forgotten_after_the_patience() {
        let mut base = with_peaks(&[], 10);
        for second in 11..=60 {
            base.hear(PerPhase::all(Amps::whole(5)), true, PATIENCE, at(second));
        }
        assert_eq!(base.lowest(Phase::L1), Some(Amps::whole(5)));
    }
}
