//! Does a meter that repeats itself still measure? One car is lowered a little, and the meter has to show it.
//!
//! A house at rest looks like a frozen meter. So a meter that has said the same for longer than it is known to
//! ([`Age::is_doubtful`]) is tried: if the car's own meter shows the fall and this one does not, [`Age`] finds it frozen.
//! Whatever else it says ends the trial, and the car rises again as any other. A trial raises nobody and pauses nobody.
//!
//! Where no car with a meter of its own can be lowered, and the meter tells no voltages whose standstill would betray it,
//! a car without one is, and by all but its least if the meter does not show that within the car's response: if it still
//! shows nothing it is found frozen. Should the car have taken less than its least all along, nothing is lost with that.
//!
//! A meter that has shown a car's step where it was not is tried with the same car, by a step that is large enough to
//! show it once more (`wiring`).

use super::State;
use super::allocation::Ask;
use super::car::Car;
use super::draw::Draw;
use super::freshness::{Age, Proven};
use super::queue::Wish;
use super::reason::Reason;
use super::sabotage::{self, Bug};
use super::wiring;
use super::work::Work;
use crate::site::{EvseId, Meter, Site};
use crate::time::{Duration, Moment};
use crate::units::Amps;
use serde::{Deserialize, Serialize};

/// The fall that is asked for, beyond what the meter may miss: more than any car's own meter wavers.
const FALL: Amps = Amps::whole(1);
/// A trial that has shown nothing, because the car did not fall, is repeated with another one after so long.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// What is remembered of a meter's trials.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Trial {
    lowered: Option<Lowered>,
    /// Who was lowered last: the next time it is another one.
    last: Option<EvseId>,
    rests_until: Moment,
    /// Until then cuts of that one come out that were made for a trial.
    spares_until: Moment,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Lowered {
    evse: EvseId,
    to: Amps,
    since: Moment,
    /// By then the fall must have shown in both meters.
    until: Moment,
    /// What spoke against the meter's wiring, if that is tried.
    suspicion: Option<u8>,
    /// Nothing but the meter can show the fall: the car has no meter that speaks all the time.
    is_assumed: bool,
}

/// What a trial depends on.
struct Bench<'a> {
    site: &'a Site,
    meter: &'a Meter,
    age: &'a Age,
    /// What the cars below the meter take by their own.
    proven: &'a Proven,
    /// Whose steps it has shown wrongly, and how often.
    suspect: Option<(EvseId, u8)>,
    /// All cars below it.
    below: &'a [EvseId],
    cars: &'a [Car],
    draws: &'a [Draw],
    now: Moment,
}

/// Meters that repeat themselves for long: does one that cars' own meters could contradict still measure?
pub(super) fn try_meters(site: &Site, state: &mut State, work: &mut Work, now: Moment) {
    let State { trials, ages, cars, watches, .. } = state;
    let Work { plan, draws, proven, wishes, .. } = work;
    let meters = site.meters.iter().zip(ages).zip(trials).zip(&*watches).zip(proven);
    for ((((meter, age), trial), watch), proven) in meters {
        let (below, suspect) = (plan.evses_below(meter.circuit), watch.suspect);
        if trial.update(&Bench { site, meter, age, proven, suspect, below, cars, draws, now }, wishes) {
            age.contradict(now);
        }
    }
}

impl Trial {
    /// Ends a trial or begins one, and caps the ask of the car that is lowered for it. True: the meter should have shown
    /// the fall of a car that nothing else measures, and has not.
    fn update(&mut self, bench: &Bench, wishes: &mut [Wish]) -> bool {
        let Bench { site, meter, age, now, .. } = *bench;
        let mut is_missed = false;
        match self.lowered {
            Some(lowered) if lowered.is_answered(bench) => {
                self.lowered = None;
                // What is tried for its wiring rises first: that is a step as well.
                self.rests_until = if lowered.suspicion.is_none() { now } else { now + TRY_AGAIN };
            }
            Some(lowered) if lowered.is_unanswered(bench) => {
                let least = site.evse(lowered.evse).least;
                is_missed = lowered.to <= least;
                self.lowered = Some(Lowered { to: least, until: due(bench, lowered.evse), ..lowered });
            }
            Some(lowered) if now >= lowered.until && !age.is_contradicted() => {
                self.lowered = None;
                self.rests_until = now + TRY_AGAIN;
            }
            None if now >= self.rests_until && !sabotage::has(Bug::NeverTried) => {
                let of_wiring = bench.suspect.and_then(|suspect| self.choose(bench, wishes, Some(suspect)));
                let is_doubtful = || age.is_doubtful(meter, &site.tuning, now);
                self.lowered = of_wiring.or_else(|| is_doubtful().then(|| self.choose(bench, wishes, None)).flatten());
                self.last = self.lowered.map_or(self.last, |lowered| Some(lowered.evse));
            }
            Some(_) | None => {}
        }
        let Some(Lowered { evse, to, until, .. }) = self.lowered else { return false };
        self.spares_until = until + meter.interval;
        if let Some(Ok(ask)) = wishes.get_mut(evse.0).map(|wish| &mut wish.ask)
            && to < ask.most
        {
            (ask.most, ask.capped) = (to, Reason::MeterTest(meter.circuit));
        }
        is_missed
    }

    /// Is this EVSE lowered for it now?
    pub(super) fn lowers(&self, evse: EvseId) -> bool {
        self.lowered.is_some_and(|lowered| lowered.evse == evse)
    }

    /// Has this EVSE been cut for a trial, so that a cut of its that has not shown says nothing against it?
    pub(super) fn spares(&self, evse: EvseId, now: Moment) -> bool {
        self.last == Some(evse) && now <= self.spares_until
    }

    /// Is the EVSE that it speaks of one of so many?
    pub(super) fn fits(&self, evses: usize) -> bool {
        self.lowered.iter().map(|lowered| lowered.evse).chain(self.last).all(|evse| evse.0 < evses)
    }

    /// The one whose steps are suspected; else the next after the last one that takes more than it would without us, and
    /// more than its least, by so much that the meter cannot miss it.
    fn choose(&self, bench: &Bench, wishes: &[Wish], suspect: Option<(EvseId, u8)>) -> Option<Lowered> {
        let Bench { site, meter, age, below, cars, draws, now, .. } = *bench;
        // Rounding down makes it no smaller; the car's own meter may waver.
        let fall = match suspect {
            Some(_) => wiring::least_step(meter.resolution) + FALL,
            None => meter.resolution + meter.resolution + FALL,
        };
        let to = |ask: &Ask, is_assumed: bool| {
            let (evse, draw) = (site.evse(ask.evse), &draws[ask.evse.0]);
            let takes = if is_assumed { draw.least.most() } else { draw.seen.most() };
            let to = ask.step.floor(takes - fall);
            let is_fit = cars[ask.evse.0].is_at_rest(evse, now) && takes > evse.fallback;
            let is_meant = draw.is_always_known(evse) != is_assumed;
            (is_fit && is_meant && to >= ask.least && to < cars[ask.evse.0].setpoint).then_some(to)
        };
        let is_asked = |id: &&EvseId| suspect.is_none_or(|(suspect, _)| suspect == **id);
        let next = |is_assumed: bool| {
            let asks = below.iter().filter(is_asked).filter_map(|id| wishes[id.0].ask.as_ref().ok());
            let able = asks.filter_map(|ask| Some((ask.evse, to(ask, is_assumed)?, is_assumed)));
            able.min_by_key(|(evse, ..)| (self.last.is_some_and(|last| *evse <= last), *evse))
        };
        let may_assume = suspect.is_none() && !age.tells_voltages();
        let (evse, to, is_assumed) = next(false).or_else(|| may_assume.then(|| next(true)).flatten())?;
        let (until, suspicion) = (due(bench, evse), suspect.map(|(_, wrong)| wrong));
        Some(Lowered { evse, to, since: now, until, suspicion, is_assumed })
    }
}

/// When a fall that is asked for now must have shown in all meters.
fn due(bench: &Bench, evse: EvseId) -> Moment {
    let Bench { site, meter, proven, now, .. } = *bench;
    now + site.evse(evse).response + proven.late + proven.late + meter.interval
}

impl Lowered {
    /// Has the meter said something new, or of its wiring what it was asked?
    fn is_answered(&self, bench: &Bench) -> bool {
        match self.suspicion {
            Some(suspicion) => bench.suspect != Some((self.evse, suspicion)),
            None => bench.age.repeats_since().is_none_or(|since| since > self.since),
        }
    }

    /// Only the meter can show its fall, that is due, and no other car has made up for it.
    fn is_unanswered(&self, bench: &Bench) -> bool {
        let Bench { age, below, cars, now, .. } = *bench;
        let has_stood = |id: &EvseId| *id == self.evse || cars[id.0].has_stood_since(self.since);
        self.is_assumed && now >= self.until && !age.is_contradicted() && below.iter().all(has_stood)
    }
}
