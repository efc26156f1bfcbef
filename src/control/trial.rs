//! Does a meter that repeats itself still measure? One car is lowered a little, and the meter has to show it.
//!
//! A house at rest looks like a frozen meter. So a meter that has said the same for longer than it is known to
//! ([`Age::is_doubtful`]) is tried: if the car's own meter shows the fall and this one does not, [`Age`] finds it frozen.
//! Whatever else it says ends the trial, and the car rises again as any other. A trial raises nobody and pauses nobody.
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
    let meters = site.meters.iter().zip(&*ages).zip(trials).zip(&*watches).zip(proven);
    for ((((meter, age), trial), watch), proven) in meters {
        let (below, suspect) = (plan.evses_below(meter.circuit), watch.suspect);
        trial.update(&Bench { site, meter, age, proven, suspect, below, cars, draws, now }, wishes);
    }
}

impl Trial {
    /// Ends a trial or begins one, and caps the ask of the car that is lowered for it.
    fn update(&mut self, bench: &Bench, wishes: &mut [Wish]) {
        let Bench { site, meter, age, now, .. } = *bench;
        if let Some(lowered) = self.lowered {
            let has_spoken = match lowered.suspicion {
                Some(suspicion) => bench.suspect != Some((lowered.evse, suspicion)),
                None => age.repeats_since().is_none_or(|since| since > lowered.since),
            };
            let is_vain = now >= lowered.until && !age.is_contradicted();
            if has_spoken || is_vain {
                self.lowered = None;
                // What is tried for its wiring rises first: that is a step as well.
                let is_over = !is_vain && lowered.suspicion.is_none();
                self.rests_until = if is_over { now } else { now + TRY_AGAIN };
            }
        } else if now >= self.rests_until && !sabotage::has(Bug::NeverTried) {
            let of_wiring = bench.suspect.and_then(|suspect| self.choose(bench, wishes, Some(suspect)));
            let is_doubtful = || age.is_doubtful(meter, &site.tuning, now);
            self.lowered = of_wiring.or_else(|| is_doubtful().then(|| self.choose(bench, wishes, None)).flatten());
            self.last = self.lowered.map_or(self.last, |lowered| Some(lowered.evse));
        }
        let Some(Lowered { evse, to, .. }) = self.lowered else { return };
        if let Some(Ok(ask)) = wishes.get_mut(evse.0).map(|wish| &mut wish.ask)
            && to < ask.most
        {
            (ask.most, ask.capped) = (to, Reason::MeterTest(meter.circuit));
        }
    }

    /// Is this EVSE lowered for it now?
    pub(super) fn lowers(&self, evse: EvseId) -> bool {
        self.lowered.is_some_and(|lowered| lowered.evse == evse)
    }

    /// Is the EVSE that it speaks of one of so many?
    pub(super) fn fits(&self, evses: usize) -> bool {
        self.lowered.iter().map(|lowered| lowered.evse).chain(self.last).all(|evse| evse.0 < evses)
    }

    /// The one whose steps are suspected; else the next after the last one that takes more than it would without us, and
    /// more than its least, by so much that the meter cannot miss it.
    fn choose(&self, bench: &Bench, wishes: &[Wish], suspect: Option<(EvseId, u8)>) -> Option<Lowered> {
        let Bench { site, meter, proven, below, cars, draws, now, .. } = *bench;
        // Rounding down makes it no smaller; the car's own meter may waver.
        let fall = match suspect {
            Some(_) => wiring::least_step(meter.resolution) + FALL,
            None => meter.resolution + meter.resolution + FALL,
        };
        let to = |ask: &Ask| {
            let (evse, draw) = (site.evse(ask.evse), &draws[ask.evse.0]);
            let takes = draw.seen.most();
            let to = ask.step.floor(takes - fall);
            let is_fit = draw.is_always_known(evse) && cars[ask.evse.0].is_at_rest(evse, now) && takes > evse.fallback;
            (is_fit && to >= ask.least && to < cars[ask.evse.0].setpoint).then_some(to)
        };
        let is_asked = |id: &&EvseId| suspect.is_none_or(|(suspect, _)| suspect == **id);
        let asks = below.iter().filter(is_asked).filter_map(|id| wishes[id.0].ask.as_ref().ok());
        let able = asks.filter_map(|ask| Some((ask.evse, to(ask)?)));
        let (evse, to) = able.min_by_key(|(evse, _)| (self.last.is_some_and(|last| *evse <= last), *evse))?;
        let until = now + site.evse(evse).response + proven.late + proven.late + meter.interval;
        Some(Lowered { evse, to, since: now, until, suspicion: suspect.map(|(_, wrong)| wrong) })
    }
}
