//! Does a meter show a car's steps where they happen? On another phase, or with the wrong sign, it is wired wrongly.
//!
//! A car's own meter tells that it has stepped on a phase; the circuit's meter, less all other cars, has to step by as
//! much on the same phase. The house steps too, so one contradiction is only a suspicion: the car is lowered once more for
//! it (`trial`), and three in a row that are all alike are told; four where it cannot be lowered. Three that fit take it back.
//!
//! Steps that the meter does not show at all, over all phases together, something else makes up for: a home battery that
//! regulates by the same meter. That is no fault of the wiring and lowers nobody; it is told.

use super::State;
use super::observation::{Observation, Sample};
use super::sabotage::{self, Bug};
use super::work::Work;
use crate::site::{CircuitId, EvseId, Site, Wiring};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use serde::{Deserialize, Serialize};

/// Smaller steps prove nothing, houses have many of that size: this and twice the meter's resolution.
const STEP: Amps = Amps::whole(4);
/// What a house may add to a step, and still it is known for what it is; or a quarter of the step.
const HOUSE: Amps = Amps::milli(1_500);
/// A car whose own meter says no more than this more or less stands still.
const STILL: Amps = Amps::milli(500);
/// Steps in a row that are all alike, one of them asked for, are no chance when they add up to this: four, or three with
/// one that was asked for. Control itself follows the house, but does not choose the moment of a trial by it.
const PROOF: u8 = 7;
const STEP_COUNTS: u8 = 2;
const TRIED_STEP_COUNTS: u8 = 3;
/// So many in a row that fit take it back.
const FITTING: u8 = 3;
/// So many in a row that something else has made up for are no chance; one that shows is enough to take it back.
const MADE_UP: u8 = 3;
/// Where the house has stepped beside a car that stood still, it may do so beside one that steps, and control follows it:
/// for so long after that a step proves nothing against the meter.
const RESTLESS: Duration = Duration::from_secs(60);
/// A step takes so long at most, from what was before to what is after: a car's start and its own meter's delay.
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// A car's step was not seen where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miswired {
    /// Whose steps have shown it.
    pub evse: EvseId,
    /// The phase that its current is on, by its own meter and its rotation.
    pub phase: Phase,
    /// Where the circuit's meter shows it.
    pub seen: Seen,
}

/// How a meter shows a car's step wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// With the other sign: a transformer is the wrong way round.
    Turned,
    /// On this phase: of the meter or of the charger, two are exchanged.
    On(Phase),
}

/// What new samples say of cars' steps.
pub(super) fn watch(site: &Site, state: &mut State, observation: &Observation, work: &mut Work) {
    let State { watches, trials, cars, .. } = state;
    let Work { plan, draws, below, rows, .. } = work;
    let told = |ids: &[EvseId]| -> Amps { ids.iter().map(|id| cars[id.0].setpoint).sum() };
    // Without a neutral a car's current is no part of a line's.
    let meters = site.meters.iter().zip(&observation.samples).zip(watches).zip(trials);
    for (((meter, sample), watch), trial) in meters.filter(|_| site.wiring != Wiring::Delta) {
        let shown = &mut rows[meter.circuit.0].shown;
        (shown.miswired, shown.made_up) = (watch.miswired, watch.made_up);
        let Some(sample) = sample.as_ref().filter(|sample| watch.heard.is_none_or(|heard| sample.at > heard)) else {
            continue;
        };
        let (then, ids) = (below[meter.circuit.0].then, plan.evses_below(meter.circuit));
        let all_told = told(ids);
        let mut has_judged = false;
        let tracks = ids.iter().copied().zip(&mut watch.tracks);
        for (id, track) in tracks.filter(|(id, _)| draws[id.0].is_measured) {
            let (own, is_sure) = cars[id.0].took(site.evse(id), &draws[id.0], sample.at);
            let others = PerPhase::from_fn(|phase| then[phase] - own[phase]);
            let told = all_told - cars[id.0].setpoint;
            let is_tried = trial.lowers(id);
            has_judged |= track.hear(&Pair { sample, own, others, told, is_sure, is_tried }, meter.resolution);
        }
        watch.heard = Some(sample.at);
        if has_judged {
            watch.conclude(ids);
        }
    }
}

/// The steps of one car, as one meter has shown them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Track {
    /// Before the step that is under way, if one is.
    before: Option<Rest>,
    /// What its own meter said with the last sample.
    last: PerPhase<Amps>,
    evidence: PerPhase<Evidence>,
    /// When the house has last stepped while the car stood still.
    house: PerPhase<Option<Moment>>,
    /// How many steps in a row something else has made up for.
    made_up: u8,
}

/// What was known while the car stood still.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Rest {
    at: Moment,
    /// What it took by its own meter.
    own: PerPhase<Amps>,
    /// All others below the meter, by theirs or as assumed, and what they had been told.
    others: PerPhase<Amps>,
    told: Amps,
    load: PerPhase<Amps>,
    /// It was lowered to try the meter.
    is_tried: bool,
}

/// What the last steps on one phase have shown.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Evidence {
    seen: Option<Seen>,
    /// What those in a row count that were seen like that.
    wrong: u8,
    /// How many in a row were seen where they happened.
    right: u8,
    is_told: bool,
}

/// What a sample says of a car.
#[derive(Debug, Clone, Copy)]
struct Pair<'a> {
    sample: &'a Sample,
    /// What it took then by its own meter.
    own: PerPhase<Amps>,
    /// All others below the circuit's, as far as known, and what they have been told.
    others: PerPhase<Amps>,
    told: Amps,
    /// What it took itself is no guess.
    is_sure: bool,
    /// It is lowered to try the meter.
    is_tried: bool,
}

/// The least step that tells anything to a meter of this resolution.
pub(super) fn least_step(resolution: Amps) -> Amps {
    STEP + resolution + resolution
}

impl Track {
    /// Takes in a new sample of a meter with this resolution. Has it judged a step?
    fn hear(&mut self, pair: &Pair, resolution: Amps) -> bool {
        let Pair { sample, own, others, told, is_sure, is_tried } = *pair;
        if !is_sure {
            return false;
        }
        let is_at_rest = differ(&own, &self.last) <= STILL;
        self.last = own;
        let now = Rest { at: sample.at, own, others, told, load: sample.current, is_tried };
        let Some(before) = self.before.filter(|before| now.at.since(before.at) <= LONGEST_STEP) else {
            self.before = is_at_rest.then_some(now);
            return false;
        };
        let has_stepped = differ(&own, &before.own) > STILL;
        let have_moved = told != before.told || differ(&others, &before.others) > STILL;
        let has_come_to_rest = !have_moved && has_stepped && is_at_rest;
        if has_come_to_rest {
            self.judge(&before, &now, sample.watts.is_some(), resolution);
        }
        self.before = match (have_moved, has_stepped, is_at_rest) {
            // Somebody else has moved meanwhile.
            (true, ..) => None,
            (false, true, false) => Some(before),
            (false, true, true) => Some(now),
            (false, false, _) => {
                self.see_house(&before, &now, resolution);
                Some(now)
            }
        };
        has_come_to_rest
    }

    /// Nobody has moved from one to the other: what the meter shows is the house.
    fn see_house(&mut self, before: &Rest, now: &Rest, resolution: Amps) {
        for phase in Phase::ALL {
            if (now.load[phase] - before.load[phase]).abs() > HOUSE + resolution {
                self.house[phase] = Some(now.at);
            }
        }
    }

    /// It has stepped from one to the other: where has the circuit's meter shown that?
    fn judge(&mut self, before: &Rest, now: &Rest, has_sign: bool, resolution: Amps) {
        let counts = if before.is_tried || now.is_tried { TRIED_STEP_COUNTS } else { STEP_COUNTS };
        let own = PerPhase::from_fn(|phase| now.own[phase] - before.own[phase]);
        let load = PerPhase::from_fn(|phase| now.load[phase] - before.load[phase]);
        let all = |amps: &PerPhase<Amps>| amps.0.into_iter().sum::<Amps>().abs();
        if has_sign && all(&own) >= least_step(resolution) {
            let is_shown = all(&load) > all(&own).scaled(1, 4);
            self.made_up = if is_shown { 0 } else { (self.made_up + 1).min(MADE_UP) };
        }
        for phase in Phase::ALL {
            let step = own[phase];
            if step.abs() < least_step(resolution) {
                continue;
            }
            let slack = HOUSE.max(step.abs().scaled(1, 4)) + resolution;
            let is_like = |amps: Amps, wanted: Amps| (amps - wanted).abs() <= slack;
            // Without a sign what is exported counts as imported, and a fall may well look like a climb.
            let has_sign = has_sign || now.load[phase] < Amps::ZERO || before.load[phase] < Amps::ZERO;
            let is_elsewhere = |other: &Phase| {
                is_like(load[phase], own[*other])
                    && is_like(load[*other], step)
                    && (own[*other] - step).abs() >= least_step(resolution)
            };
            let other = Phase::ALL.into_iter().filter(|other| *other != phase).find(is_elsewhere);
            let is_restless = self.house[phase].is_some_and(|at| before.at.since(at) < RESTLESS);
            let evidence = &mut self.evidence[phase];
            match other {
                _ if is_like(load[phase], step) => evidence.fits(),
                _ if is_restless => {}
                _ if has_sign && is_like(load[phase], Amps::ZERO - step) => evidence.contradicts(Seen::Turned, counts),
                Some(other) => evidence.contradicts(Seen::On(other), counts),
                None => {}
            }
        }
    }

    /// What is told of it.
    fn told(&self) -> Option<(Phase, Seen)> {
        let told = |phase: &Phase| Some(self.evidence[*phase]).filter(|evidence| evidence.is_told)?.seen;
        Phase::ALL.into_iter().find_map(|phase| Some((phase, told(&phase)?)))
    }

    /// How much speaks against it that is not told yet.
    fn suspicion(&self) -> u8 {
        self.evidence.0.iter().filter(|evidence| !evidence.is_told).map(|evidence| evidence.wrong).max().unwrap_or(0)
    }
}

impl Evidence {
    fn fits(&mut self) {
        self.wrong = 0;
        self.right = (self.right + 1).min(FITTING);
        if self.right == FITTING || !self.is_told {
            *self = Evidence { right: self.right, ..Evidence::default() };
        }
    }

    fn contradicts(&mut self, seen: Seen, counts: u8) {
        let before = if self.seen == Some(seen) { self.wrong } else { 0 };
        self.wrong = (before + counts).min(PROOF);
        (self.seen, self.right) = (Some(seen), 0);
        self.is_told |= self.wrong == PROOF && !sabotage::has(Bug::WiringBelieved);
    }
}

fn differ(one: &PerPhase<Amps>, other: &PerPhase<Amps>) -> Amps {
    Phase::ALL.map(|phase| (one[phase] - other[phase]).abs()).into_iter().max().unwrap_or_default()
}

/// What is remembered of one meter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Watch {
    heard: Option<Moment>,
    /// In the order of the EVSEs below it.
    tracks: Vec<Track>,
    /// What is told of it: the first.
    pub miswired: Option<Miswired>,
    /// The EVSE that has shown most against it without being proof, and how much.
    pub suspect: Option<(EvseId, u8)>,
    /// The EVSE whose steps something else makes up for.
    pub made_up: Option<EvseId>,
}

impl Watch {
    pub(super) fn new(site: &Site, circuit: CircuitId) -> Self {
        let tracks = site.evse_ids().filter(|id| site.feeds(circuit, *id)).map(|_| Track::default()).collect();
        Watch { tracks, ..Watch::default() }
    }

    /// Was it made for so many EVSEs below its meter?
    pub(super) fn fits(&self, site: &Site, circuit: CircuitId) -> bool {
        let evses = self.miswired.iter().map(|wrong| wrong.evse).chain(self.suspect.map(|(evse, _)| evse));
        evses.chain(self.made_up).all(|evse| evse.0 < site.evses.len())
            && self.tracks.len() == site.evse_ids().filter(|id| site.feeds(circuit, *id)).count()
    }

    /// What all steps so far say, once one more of them has been judged.
    fn conclude(&mut self, below: &[EvseId]) {
        let tracks = || below.iter().copied().zip(&self.tracks);
        let told = |(evse, track): (EvseId, &Track)| track.told().map(|(phase, seen)| Miswired { evse, phase, seen });
        let suspicions = tracks().map(|(evse, track)| (evse, track.suspicion())).filter(|(_, wrong)| *wrong > 0);
        let suspect = suspicions.max_by_key(|(evse, wrong)| (*wrong, std::cmp::Reverse(*evse)));
        let made_up = tracks().find(|(_, track)| track.made_up == MADE_UP).map(|(evse, _)| evse);
        (self.miswired, self.suspect, self.made_up) = (tracks().find_map(told), suspect, made_up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A car that steps between 6 and 16 A each half minute, a house, and how a meter shows both; what is told each time.
    fn tell(steps: u64, shows: impl Fn(u64, PerPhase<i32>) -> PerPhase<i32>, has_sign: bool) -> Vec<Option<Seen>> {
        try_it(steps, shows, has_sign, |_| false).0
    }

    /// And whether something else makes up for the car.
    fn try_it(
        steps: u64,
        shows: impl Fn(u64, PerPhase<i32>) -> PerPhase<i32>,
        has_sign: bool,
        is_tried: impl Fn(u64) -> bool,
    ) -> (Vec<Option<Seen>>, bool) {
        let mut track = Track::default();
        let mut told = Vec::new();
        for second in 0..(steps + 1) * 30 {
            let takes = if second / 30 % 2 == 0 { 6 } else { 16 };
            let own = PerPhase([takes, 0, 0]);
            let current = PerPhase(shows(second, own).0.map(Amps::whole));
            let at = Moment::from_millis(second * 1000);
            let sample = Sample { at, current, watts: has_sign.then(PerPhase::default), millivolts: None };
            let own = PerPhase(own.0.map(Amps::whole));
            let (others, told_others) = (PerPhase::default(), Amps::ZERO);
            let is_tried = is_tried(second);
            let pair = Pair { sample: &sample, own, others, told: told_others, is_sure: true, is_tried };
            track.hear(&pair, Amps::milli(100));
            if second % 30 == 29 && second >= 30 {
                told.push(track.told().map(|(_, seen)| seen));
            }
        }
        (told, track.made_up == MADE_UP)
    }

    fn house(own: PerPhase<i32>) -> PerPhase<i32> {
        PerPhase([own[Phase::L1] + 4, own[Phase::L2] + 5, own[Phase::L3] + 3])
    }

    #[test]
    fn four_steps_with_the_wrong_sign_are_told_or_three_if_one_was_asked_for() {
        let turned = |_, own| PerPhase([-house(own)[Phase::L1], 5, 3]);
        let told = Some(Seen::Turned);
        assert_eq!(tell(5, turned, true), [None, None, None, told, told]);
        assert_eq!(try_it(4, turned, true, |second| (60..80).contains(&second)).0, [None, None, told, told]);
    }

    #[test]
    fn four_steps_on_another_phase_are_told() {
        let swapped = |_, own| PerPhase([5, house(own)[Phase::L1], 3]);
        let told = Some(Seen::On(Phase::L2));
        assert_eq!(tell(5, swapped, true), [None, None, None, told, told]);
    }

    #[test]
    fn three_steps_that_fit_take_it_back() {
        let turned = |second: u64, own| {
            let [first, second_phase, third] = house(own).0;
            PerPhase([if second < 150 { -first } else { first }, second_phase, third])
        };
        let told = tell(9, turned, true);
        assert_eq!(told[3], Some(Seen::Turned));
        assert_eq!(told[8], None, "{told:?}");
        assert_eq!(told[6], Some(Seen::Turned), "the first step after it was turned back is none: {told:?}");
    }

    #[test]
    fn without_a_sign_a_house_that_exports_is_not_taken_for_a_turned_transformer() {
        let unsigned = |_, own| PerPhase([20 - house(own)[Phase::L1], 5, 3]);
        assert_eq!(tell(6, unsigned, false), [None; 6]);
    }

    #[test]
    fn a_house_that_steps_against_the_car_now_and_then_is_no_proof() {
        // Each third step of the car meets one of the house that is twice as large and goes the other way.
        let odd = |second: u64, own| {
            let [first, second_phase, third] = house(own).0;
            let against = if (second / 30).is_multiple_of(3) { 20 } else { 0 };
            PerPhase([first - against, second_phase, third])
        };
        assert!(tell(30, odd, true).iter().all(Option::is_none));
    }

    #[test]
    fn a_hob_that_comes_and_goes_beside_the_car_is_no_proof() {
        // It is on while the car takes little and off while it takes much, as control sees to, but for five seconds each.
        let hob = |second: u64, own| {
            let is_on = (second / 30).is_multiple_of(2) != (10..15).contains(&(second % 30));
            let [first, second_phase, third] = house(own).0;
            PerPhase([first + if is_on { 20 } else { 0 }, second_phase, third])
        };
        assert_eq!(tell(30, hob, true), [None; 30]);
    }

    #[test]
    fn a_battery_that_takes_up_what_the_car_does_is_no_fault_and_is_told() {
        let battery = |steps| try_it(steps, |_, _| PerPhase([3, 5, 3]), true, |_| false);
        assert_eq!(battery(6), (vec![None; 6], true));
        assert!(!battery(2).1, "two may be chance");
        let on_another_phase = |_, own: PerPhase<i32>| PerPhase([3 + own[Phase::L1], 5 - own[Phase::L1], 3]);
        assert!(try_it(6, on_another_phase, true, |_| false).1);
        let until_then = |second: u64, own| if second < 180 { PerPhase([3, 5, 3]) } else { house(own) };
        assert!(!try_it(8, until_then, true, |_| false).1, "one that shows takes it back");
        assert!(!try_it(6, |_, own| house(own), true, |_| false).1);
    }
}
