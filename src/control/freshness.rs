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
//! is frozen: it is stale after max(3 intervals, lost_after) of that, and lost after twice as long. Where no car moves by
//! itself one is lowered for it (`trial`), once the meter has said the same for twice as long as it usually does. Where
//! none can be lowered, a meter of voltages that has hardly ever said the same twice is believed frozen by that alone.

use super::Freshness;
use super::draw::Draw;
use super::observation::Sample;
use super::sabotage::{self, Bug};
use crate::site::{EvseId, Meter, Site, Tuning};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use serde::{Deserialize, Serialize};

/// Beyond this no meter repeats itself unasked, whatever it did before: six trials an hour at most.
const LONGEST_REPEAT: Duration = Duration::from_secs(600);
/// Before it has said something new so often nobody knows the habits of a meter: it may repeat itself for so long.
const KNOWN_BY: u32 = 100;
const UNKNOWN_MAY: Duration = Duration::from_secs(60);
/// A meter that repeats itself for so many times as long as it has lately, and so long at least, is frozen whether a car
/// can be lowered or not; but only one that tells voltages, which wander, and whose habits are known.
const UNHEARD_OF: u32 = 15;
const UNHEARD_OF_LEAST: Duration = Duration::from_secs(30);
/// How long a meter repeats itself is remembered for so long at least, and for twice that at most: nights are calmer.
const CALM_SPAN: Duration = Duration::from_secs(3_600);

/// What is remembered of a meter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Age {
    is_lost: bool,
    last: Option<Moment>,
    good: u32,
    same: Option<Same>,
    calm: Calm,
}

/// For how long it has said the same at most, and was right.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Calm {
    now: Duration,
    before: Duration,
    turned: Moment,
    /// How often it has said something new.
    changes: u32,
}

/// What the cars below a meter take by their own meters, of those that speak often.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Proven {
    /// How many of them have said so lately; another number is another sum.
    pub cars: usize,
    pub draw: PerPhase<Amps>,
    /// What the others are taken to draw, and what they may at most: whatever that has changed by since excuses the meter.
    pub others: (PerPhase<Amps>, Amps),
    /// How late their own meters may be.
    pub late: Duration,
    /// How long the others may take to do what they are told.
    pub settles: Duration,
}

impl Proven {
    /// Of these.
    pub(super) fn below(evses: &[EvseId], site: &Site, draws: &[Draw]) -> Self {
        let mut sum = Proven::default();
        let add = |a: PerPhase<Amps>, b: &PerPhase<Amps>| PerPhase::from_fn(|phase| a[phase] + b[phase]);
        for (evse, draw) in evses.iter().map(|id| (site.evse(*id), &draws[id.0])) {
            if draw.is_always_known(evse) {
                sum.cars += 1;
                sum.draw = add(sum.draw, &draw.seen);
                sum.late = sum.late.max(draw.blind);
            } else {
                sum.others = (add(sum.others.0, &draw.seen), sum.others.1 + draw.worst);
                sum.settles = sum.settles.max(evse.response);
            }
        }
        sum
    }

    /// By how much the meter must have seen the load change since then, at least.
    fn moved(&self, since: &Proven, phase: Phase) -> Amps {
        (self.draw[phase] - since.draw[phase]).abs() - self.excuse(since, phase)
    }

    /// What the others may have changed by since then.
    fn excuse(&self, since: &Proven, phase: Phase) -> Amps {
        let assumed = (self.others.0[phase] - since.others.0[phase]).abs();
        assumed.max((self.others.1 - since.others.1).abs())
    }
}

/// A run of samples that say the same in every word.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Same {
    /// The words, and when they were first said.
    words: Sample,
    cars: usize,
    /// What cars' own meters say from here on happens under the eyes of this one: what they say before may be late news
    /// of what it has long shown.
    watched_from: Moment,
    /// What cars' own meters showed then.
    shown: Option<Proven>,
    /// Since when they have shown something else, by more than the meter can have missed.
    differs: Option<Moment>,
    /// The same, once all of them must have spoken: where one falls as another rises, their sum is wrong for a while.
    contradicted: Option<Moment>,
    /// Since when the others may have changed by more than the meter can miss.
    excused: Option<Moment>,
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
        let (stale_after, lost_after) = (meter.stale_after(tuning), meter.lost_after(tuning));
        let newest = sample.map(|sample| sample.at);
        if let Some(sample) = sample.filter(|sample| self.last.is_none_or(|last| sample.at > last)) {
            let is_in_time = self.last.is_some_and(|last| sample.at.since(last) <= stale_after);
            self.good = if is_in_time { self.good.saturating_add(1) } else { 1 };
            self.last = newest;
            self.watch(meter, sample, is_in_time, proven, now);
        }
        let age = self.last.map_or(Duration::MAX, |last| now.since(last));
        let contradicted = self.same.as_ref().and_then(|same| same.contradicted);
        let contradicted = contradicted.filter(|_| !sabotage::has(Bug::FrozenIgnored));
        let frozen = contradicted.map_or(Duration::ZERO, |since| now.since(since));
        let unheard_of = self.unheard_of(now);
        if (age > lost_after && !sabotage::has(Bug::LostIgnored)) || frozen > lost_after * 2 || unheard_of >= 2 {
            self.is_lost = true;
            self.good = 0;
        } else if self.is_lost && self.good >= tuning.good_samples && age <= stale_after {
            self.is_lost = false;
        }
        match (self.is_lost, age > stale_after || frozen > lost_after || unheard_of >= 1 || newest.is_none()) {
            (true, _) => Freshness::Lost,
            (false, true) => Freshness::Stale,
            (false, false) => Freshness::Fresh,
        }
    }

    /// Since when it says the same.
    pub(super) fn repeats_since(&self) -> Option<Moment> {
        self.same.as_ref().map(|same| same.words.at)
    }

    /// Is it known to say the same though a car has moved?
    pub(super) fn is_contradicted(&self) -> bool {
        self.same.as_ref().is_some_and(|same| same.contradicted.is_some())
    }

    /// Does it say the same for twice as long as it has lately, and has nothing happened yet that would show why?
    pub(super) fn is_doubtful(&self, meter: &Meter, tuning: &Tuning, now: Moment) -> bool {
        let is_known = self.calm.changes >= KNOWN_BY;
        let least = meter.lost_after(tuning).max(if is_known { Duration::ZERO } else { UNKNOWN_MAY });
        let patience = (self.calm.longest() * 2).min(LONGEST_REPEAT).max(least);
        let is_open = |same: &Same| same.shown.is_some() && same.differs.or(same.contradicted).is_none();
        let same = self.same.as_ref().filter(|same| !self.is_lost && is_open(same));
        same.is_some_and(|same| now.since(same.words.at) >= patience)
    }

    /// How many times over has it said the same for longer than its habits allow?
    fn unheard_of(&self, now: Moment) -> u128 {
        let is_known = |same: &&Same| same.words.millivolts.is_some() && self.calm.changes >= KNOWN_BY;
        let Some(same) = self.same.as_ref().filter(is_known) else { return 0 };
        if sabotage::has(Bug::FrozenIgnored) {
            return 0;
        }
        let most = (self.calm.longest() * UNHEARD_OF).max(UNHEARD_OF_LEAST);
        now.since(same.words.at).as_millis() / most.as_millis()
    }

    /// Does it say once more what cars' own meters contradict?
    fn watch(&mut self, meter: &Meter, sample: &Sample, is_in_time: bool, proven: &Proven, now: Moment) {
        let Proven { cars, late, settles, .. } = *proven;
        let start = Same {
            words: *sample,
            cars,
            watched_from: now + late,
            shown: None,
            differs: None,
            contradicted: None,
            excused: None,
        };
        let same = self.same.get_or_insert_with(|| start.clone());
        if (Sample { at: sample.at, ..same.words }) != *sample {
            // What it said while it was frozen shows nothing of what is usual, and what it would have said while it was
            // silent nobody knows.
            if same.contradicted.is_none() && !self.is_lost && is_in_time {
                self.calm.hear(sample.at.since(same.words.at), now);
            }
            *same = start;
        } else if same.cars != cars && same.contradicted.is_none() {
            *same = Same { words: same.words, ..start };
        }
        if now < same.watched_from {
            return;
        }
        let shown = *same.shown.get_or_insert(*proven);
        let missed = |phase: Phase| proven.moved(&shown, phase) > meter.resolution + meter.resolution;
        if !Phase::ALL.into_iter().any(missed) {
            same.differs = None;
            // Others who may have changed are no excuse for what happens once they must have done so.
            let is_excused = Phase::ALL.into_iter().any(|phase| proven.excuse(&shown, phase) > meter.resolution);
            same.excused = same.excused.filter(|_| is_excused).or(is_excused.then_some(now));
            if same.excused.is_some_and(|since| now.since(since) >= late + settles) {
                (same.shown, same.excused) = (Some(*proven), None);
            }
            return;
        }
        let since = *same.differs.get_or_insert(now);
        if now.since(since) >= late {
            same.contradicted.get_or_insert(since);
        }
    }
}

impl Calm {
    fn hear(&mut self, lasted: Duration, now: Moment) {
        if now.since(self.turned) >= CALM_SPAN {
            *self = Calm { now: Duration::ZERO, before: self.now, turned: now, changes: self.changes };
        }
        self.now = self.now.max(lasted);
        self.changes = self.changes.saturating_add(1);
    }

    fn longest(&self) -> Duration {
        self.now.max(self.before)
    }
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
    fn where_another_car_without_a_meter_may_have_changed_as_much_nothing_is_proven() {
        let proven = |draw: i32, others: i32| Proven {
            cars: 1,
            draw: PerPhase::all(Amps::whole(draw)),
            others: (PerPhase::all(Amps::whole(others)), Amps::whole(others)),
            ..Proven::default()
        };
        let two_steps = Amps::milli(200);
        assert!(proven(10, 8).moved(&proven(11, 7), Phase::L1) <= two_steps, "an ampere has changed hands");
        assert!(proven(6, 8).moved(&proven(11, 7), Phase::L1) > two_steps);
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
        let proven = |second| Proven {
            cars: 1,
            draw: PerPhase::all(Amps::whole(draw(second))),
            late: Duration::from_secs(5),
            ..Proven::default()
        };
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
        let proven = |draw| Proven {
            cars: 1,
            draw: PerPhase::all(Amps::whole(draw)),
            late: Duration::ZERO,
            ..Proven::default()
        };
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
    fn a_car_without_a_meter_excuses_nothing_that_happens_once_it_must_have_followed() {
        let seen = |falls_at: u64| {
            let mut age = Age::stale(Moment::START);
            let proven = |second| Proven {
                cars: 1,
                draw: PerPhase::all(Amps::whole(if second < falls_at { 10 } else { 7 })),
                others: (PerPhase::default(), Amps::whole(if second < 20 { 6 } else { 16 })),
                settles: Duration::from_secs(10),
                ..Proven::default()
            };
            let at = |second: u64| Moment::from_millis(second * 1000);
            let tuning = Tuning::default();
            let seconds = 1..=100;
            seconds.map(|s| age.update(&meter(), &tuning, Some(&sample(s)), &proven(s), at(s))).last()
        };
        assert_eq!((seen(25), seen(35)), (Some(Freshness::Fresh), Some(Freshness::Lost)));
    }

    /// What becomes of a meter that says something new each second for a while and then the same, for so many seconds.
    fn freeze(tells_volts: bool, changes: u64, seconds: u64) -> Vec<Freshness> {
        let mut age = Age::stale(Moment::START);
        let words = |second: u64| {
            let volts = PerPhase::all(230_000 + second.min(changes) as i32);
            let current = PerPhase::all(Amps::milli(second.min(changes) as i32));
            Sample { current, millivolts: tells_volts.then_some(volts), ..sample(second) }
        };
        let seen = |second| {
            let now = Moment::from_millis(second * 1000);
            age.update(&meter(), &Tuning::default(), Some(&words(second)), &Proven::default(), now)
        };
        (1..=changes + seconds).map(seen).skip(changes as usize).collect()
    }

    #[test]
    fn a_meter_of_voltages_that_never_says_the_same_twice_is_frozen_when_it_does_for_half_a_minute() {
        let seen = freeze(true, 200, 150);
        assert_eq!([seen[25], seen[35], seen[55], seen[65]].map(|seen| seen as u8), {
            [Freshness::Fresh, Freshness::Stale, Freshness::Stale, Freshness::Lost].map(|seen| seen as u8)
        });
    }

    #[test]
    fn a_meter_of_currents_alone_or_one_whose_habits_nobody_knows_may_repeat_itself() {
        for seen in [freeze(false, 200, 900), freeze(true, 20, 900)] {
            assert!(seen.iter().all(|seen| *seen == Freshness::Fresh), "{seen:?}");
        }
    }

    #[test]
    fn it_is_doubted_after_twice_as_long_as_it_has_repeated_itself_lately_and_ten_minutes_at_most() {
        let mut age = Age::stale(Moment::START);
        let tuning = Tuning::default();
        let mut second = 0;
        let lively = || std::iter::repeat_n((1, None), 100);
        // It says something for so many seconds, and is doubted after so many. At first nobody knows its habits.
        let told = [(30, None), (70, Some(60))].into_iter().chain(lively());
        // An hour and more of that is forgotten in two, and what is left is what it does now.
        let told = told.chain([(300, Some(140)), (700, Some(600)), (900, Some(600))]);
        let told = told.chain(std::iter::repeat_n((1, None), 7_200)).chain([(20, Some(10))]);
        for (number, (lasts, doubted_after)) in told.enumerate() {
            let current = PerPhase::all(Amps::milli(number as i32));
            let mut first = None;
            for passed in 1..=lasts {
                second += 1;
                let now = Moment::from_millis(second * 1000);
                age.update(&meter(), &tuning, Some(&Sample { current, ..sample(second) }), &Proven::default(), now);
                if age.is_doubtful(&meter(), &tuning, now) {
                    first.get_or_insert(passed - 1);
                }
            }
            assert_eq!(first, doubted_after, "{lasts} s at {second} s");
        }
    }

    #[test]
    fn a_change_under_its_eyes_that_it_does_not_show_freezes_it() {
        let seen = watch(|second| if second < 20 { 6 } else { 16 });
        assert_eq!([seen[25], seen[32], seen[45]], [Freshness::Fresh, Freshness::Stale, Freshness::Lost]);
    }
}
