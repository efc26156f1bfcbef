//! How old is what a meter said? Fresh, stale or lost; an age, not a flag that somebody has to clear.
//!
//! ```text
//!            age > max(2 intervals, stale_after)      age > max(3 intervals, lost_after)
//!   Fresh ───────────────────────────────────► Stale ───────────────────────────────────► Lost
//!     ▲  ◄──────────── any new sample ───────────┘                                          │
//!     └───────────────────────── good_samples in a row, none of them late ──────────────────┘
//! ```
//! Start-up is the same as lost. After an orderly stop it is the same as stale, so that a restart changes no current.
//!
//! A meter that repeats itself to the last word, though cars' own meters have seen a change that it cannot have missed,
//! is frozen: it is stale after max(3 intervals, lost_after) of that, and lost after twice as long.

use super::Freshness;
use super::observation::Sample;
use super::sabotage::{self, Bug};
use crate::site::{Meter, Tuning};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use serde::{Deserialize, Serialize};

/// What is remembered of a meter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Age {
    is_lost: bool,
    last: Option<Moment>,
    good: u32,
    same: Option<Same>,
}

/// What the cars below a meter take by their own meters.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Proven {
    /// How many of them have said so lately; another number is another sum.
    pub cars: usize,
    pub draw: PerPhase<Amps>,
    /// How late they may be.
    pub late: Duration,
}

/// A run of samples that say the same in every word.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Same {
    words: Sample,
    cars: usize,
    /// What cars' own meters say from here on happens under the eyes of this one: what they say before may be late news
    /// of what it has long shown.
    watched_from: Moment,
    /// What cars' own meters showed then.
    shown: Option<PerPhase<Amps>>,
    /// Since when they have shown something else, by more than the meter can have missed.
    differs: Option<Moment>,
    /// The same, once all of them must have spoken: where one falls as another rises, their sum is wrong for a while.
    contradicted: Option<Moment>,
}

impl Age {
    pub(super) fn lost() -> Self {
        Age { is_lost: true, ..Age::default() }
    }

    /// As if a sample had been heard at `now`.
    pub(super) fn stale(now: Moment) -> Self {
        Age { last: Some(now), ..Age::default() }
    }

    /// Takes in the newest sample and says how old the meter's word is.
    pub(super) fn update(
        &mut self,
        meter: &Meter,
        tuning: &Tuning,
        sample: Option<&Sample>,
        proven: &Proven,
        now: Moment,
    ) -> Freshness {
        let stale_after = stale_after(meter, tuning);
        let lost_after = (meter.interval * 3).max(tuning.lost_after);
        let newest = sample.map(|sample| sample.at);
        let is_new = newest.is_some() && newest > self.last;
        if is_new {
            let is_in_time = matches!((self.last, newest), (Some(last), Some(at)) if at.since(last) <= stale_after);
            self.good = if is_in_time { self.good.saturating_add(1) } else { 1 };
            self.last = newest;
            // What happened while it was silent it may have missed.
            self.same = self.same.take().filter(|_| is_in_time);
        }
        let age = self.last.map_or(Duration::MAX, |last| now.since(last));
        if let Some(sample) = sample.filter(|_| is_new) {
            self.watch(meter, sample, proven, now);
        }
        let contradicted = self.same.as_ref().and_then(|same| same.contradicted);
        let contradicted = contradicted.filter(|_| !sabotage::has(Bug::FrozenIgnored));
        let frozen = contradicted.map_or(Duration::ZERO, |since| now.since(since));
        if (age > lost_after && !sabotage::has(Bug::LostIgnored)) || frozen > lost_after * 2 {
            self.is_lost = true;
            self.good = 0;
        } else if self.is_lost && self.good >= tuning.good_samples && age <= stale_after {
            self.is_lost = false;
        }
        match (self.is_lost, age > stale_after || frozen > lost_after || newest.is_none()) {
            (true, _) => Freshness::Lost,
            (false, true) => Freshness::Stale,
            (false, false) => Freshness::Fresh,
        }
    }

    /// Does it say once more what cars' own meters contradict?
    fn watch(&mut self, meter: &Meter, sample: &Sample, proven: &Proven, now: Moment) {
        let Proven { cars, draw, late } = *proven;
        let start =
            Same { words: *sample, cars, watched_from: now + late, shown: None, differs: None, contradicted: None };
        let same = self.same.get_or_insert_with(|| start.clone());
        let is_same = Sample { at: sample.at, ..same.words } == *sample && (same.cars == cars);
        if !is_same {
            *same = start;
        }
        if now < same.watched_from {
            return;
        }
        let shown = *same.shown.get_or_insert(draw);
        let missed = |phase: &Phase| (draw[*phase] - shown[*phase]).abs() > meter.resolution + meter.resolution;
        if !Phase::ALL.iter().any(missed) {
            same.differs = None;
            return;
        }
        let since = *same.differs.get_or_insert(now);
        if now.since(since) >= late {
            same.contradicted.get_or_insert(since);
        }
    }
}

/// Above this age there are no raises.
pub(super) fn stale_after(meter: &Meter, tuning: &Tuning) -> Duration {
    (meter.interval * 2).max(tuning.stale_after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::CircuitId;
    use crate::units::{Amps, PerPhase};

    fn meter() -> Meter {
        let interval = Duration::from_secs(1);
        Meter { id: "grid".into(), circuit: CircuitId(0), interval, resolution: Amps::milli(10) }
    }

    fn sample(seconds: u64) -> Sample {
        let at = Moment::from_millis(seconds * 1000);
        Sample { at, current: PerPhase::all(Amps::ZERO), watts: None, millivolts: None }
    }

    fn at(age: &mut Age, now_s: u64, sample_s: u64) -> Freshness {
        age.update(
            &meter(),
            &Tuning::default(),
            Some(&sample(sample_s)),
            &Proven::default(),
            Moment::from_millis(now_s * 1000),
        )
    }

    #[test]
    fn start_up_is_lost_until_ten_good_samples() {
        let mut age = Age::lost();
        for second in 1..10 {
            assert_eq!(at(&mut age, second, second), Freshness::Lost, "{second}");
        }
        assert_eq!(at(&mut age, 10, 10), Freshness::Fresh);
    }

    #[test]
    fn a_silent_meter_is_stale_then_lost_and_one_sample_is_not_enough() {
        let mut age = Age::lost();
        for second in 1..=10 {
            at(&mut age, second, second);
        }
        assert_eq!(at(&mut age, 13, 10), Freshness::Fresh);
        assert_eq!(at(&mut age, 14, 10), Freshness::Stale);
        assert_eq!(at(&mut age, 15, 15), Freshness::Fresh, "stale heals with one sample");
        assert_eq!(at(&mut age, 25, 15), Freshness::Stale);
        assert_eq!(at(&mut age, 26, 15), Freshness::Lost);
        assert_eq!(at(&mut age, 27, 27), Freshness::Lost);
    }

    #[test]
    fn late_samples_do_not_count_as_good_ones() {
        let mut age = Age::lost();
        for second in (0..100).step_by(5) {
            assert_eq!(at(&mut age, second + 1, second + 1), Freshness::Lost);
        }
    }

    /// A meter that says the same each second, while a car's own meter shows this draw at each second.
    fn watch(draw: impl Fn(u64) -> i32) -> Vec<Freshness> {
        let mut age = Age::stale(Moment::START);
        let proven =
            |second| Proven { cars: 1, draw: PerPhase::all(Amps::whole(draw(second))), late: Duration::from_secs(5) };
        let at = |second: u64| Moment::from_millis(second * 1000);
        let seconds = 1..=60;
        seconds.map(|s| age.update(&meter(), &Tuning::default(), Some(&sample(s)), &proven(s), at(s))).collect()
    }

    #[test]
    fn late_news_of_what_the_meter_has_long_shown_freezes_nothing() {
        assert!(watch(|second| if second < 5 { 6 } else { 16 }).iter().all(|seen| *seen == Freshness::Fresh));
    }

    #[test]
    fn two_cars_that_change_places_contradict_nothing_while_one_of_them_has_not_spoken() {
        // One has fallen by 6 A, and that the other has risen as much is told 4 s later.
        let seen = watch(|second| if (20..24).contains(&second) { 6 } else { 12 });
        assert!(seen.iter().all(|seen| *seen == Freshness::Fresh), "{seen:?}");
    }

    #[test]
    fn what_happened_while_it_was_silent_is_no_contradiction() {
        let mut age = Age::stale(Moment::START);
        let proven = |draw| Proven { cars: 1, draw: PerPhase::all(Amps::whole(draw)), late: Duration::ZERO };
        let tuning = Tuning { good_samples: 2, ..Tuning::default() };
        for second in 1..=90 {
            let (heard, draw) = match second {
                1..=20 => (second, 6),
                21..=40 => (20, 16),
                _ => (second, 6),
            };
            let now = Moment::from_millis(second * 1000);
            let seen = age.update(&meter(), &tuning, Some(&sample(heard)), &proven(draw), now);
            assert_eq!(seen == Freshness::Fresh, second <= 23 || second >= 42, "{second}: {seen:?}");
        }
    }

    #[test]
    fn a_change_under_its_eyes_that_it_does_not_show_freezes_it() {
        let seen = watch(|second| if second < 20 { 6 } else { 16 });
        assert_eq!([seen[25], seen[32], seen[45]], [Freshness::Fresh, Freshness::Stale, Freshness::Lost]);
    }
}
