//! How much may those cars have that charge from the sun? What it leaves of the house, shared among them: a ceiling on each.
//!
//! A ceiling lowers what a car asks for and raises nothing: fuses, leases and the ledger know of no mode. What the sun
//! leaves is what these cars take, less what the grid connection imports, netted over its phases as most meters net it. It
//! does not change with what they take, so that following it cannot swing. A mean of it is shared every half minute,
//! as any row is, among those cars alone; whatever charges fast is the house's.
//!
//! A car in `eco` has its least (or more, as the policy says) whatever its share is. One in `solar` has its share or
//! nothing; it starts and stops late, since each start wears a contactor, and some cars wake only so often.

use super::allocation::{Allocation, Ask, Capacity, Plan};
use super::observation::{Observation, Sample};
use super::queue::{self, Setting, Sight, Wish};
use super::reason::Reason;
use super::work::Work;
use super::{Freshness, State};
use crate::policy::Mode;
use crate::site::Site;
use crate::time::{Duration, Moment};
use crate::units::{Amps, PhaseSet};
use serde::{Deserialize, Serialize};

/// The sun is reckoned with as the mean of so long, and shared so often: clouds' edges and kettles are no reason to tell a
/// car something else, and a car has followed in half of it.
const SPAN: Duration = Duration::from_secs(30);
/// A car starts when its least has been there in so many spans, one after the other: after a minute, as is common (the
/// default enable delay of evcc). Each stop doubles that for the rest of the session, up to five minutes.
const STARTS: u8 = 2;
const MOST_STARTS: u8 = 10;
/// It stops when it has not been there in so many: after three minutes (evcc's disable delay); in between it has its least.
const STOPS: u8 = 6;
/// Beyond so many the wait for a start does not grow.
const MOST_STOPS: u8 = 3;

/// What is remembered of the sun.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Memory {
    /// When this span began.
    since: Option<Moment>,
    /// The newest sample.
    heard: Option<Moment>,
    /// What it has left in this span, by samples that are sure of what cars took.
    sure: Mean,
    /// By all of them.
    any: Mean,
    /// By EVSE; `None`: it does not charge from the sun.
    seats: Vec<Option<Seat>>,
}

/// A car that charges from the sun.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Seat {
    /// What the sun gives it.
    share: Amps,
    /// May it charge, in `solar`?
    is_open: bool,
    /// In so many spans, one after the other, that was not so.
    against: u8,
    /// How often it has stopped, as far as that counts.
    stops: u8,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Mean {
    milliamps: i64,
    count: i64,
}

impl Mean {
    fn hear(&mut self, amps: Amps) {
        self.milliamps += i64::from(amps.as_milli());
        self.count += 1;
    }

    fn amps(self) -> Option<Amps> {
        (self.count > 0).then(|| Amps::milli(self.milliamps.div_euclid(self.count) as i32))
    }
}

impl Memory {
    pub(super) fn new(evses: usize) -> Self {
        Memory { since: None, heard: None, sure: Mean::default(), any: Mean::default(), seats: vec![None; evses] }
    }

    /// Was it made for so many EVSEs?
    pub(super) fn fits(&self, evses: usize) -> bool {
        self.seats.len() == evses
    }

    /// Nobody charges from the sun.
    fn forget(&mut self) {
        self.begin(None);
        self.heard = None;
        self.seats.fill(None);
    }

    fn begin(&mut self, since: Option<Moment>) {
        (self.since, self.sure, self.any) = (since, Mean::default(), Mean::default());
    }

    /// What the sun has left in this span, once that is over.
    fn over(&mut self, now: Moment) -> Option<Amps> {
        let since = *self.since.get_or_insert(now);
        let left = self.sure.amps().or(self.any.amps()).filter(|_| now >= since + SPAN)?;
        self.begin(Some(now));
        Some(left)
    }

    /// Each has been given its new share: who starts, and who stops?
    fn count(&mut self, wishes: &[Wish]) {
        let lingers = |seat: &Seat| seat.is_open && !seat.share.is_positive();
        let is_solar = |wish: &Wish| wish.entitlement.mode == Mode::Solar;
        // Nobody starts beside one whom the sun carries no longer.
        let is_short = self.seats.iter().flatten().any(lingers);
        for (seat, wish) in self.seats.iter_mut().zip(wishes) {
            let Some(seat) = seat.as_mut().filter(|_| is_solar(wish)) else { continue };
            let is_against = if seat.is_open { lingers(seat) } else { seat.share.is_positive() && !is_short };
            seat.against = if is_against { seat.against + 1 } else { 0 };
            let starts = STARTS.saturating_mul(1 << seat.stops).min(MOST_STARTS);
            if seat.against >= if seat.is_open { STOPS } else { starts } {
                seat.stops = (seat.stops + u8::from(seat.is_open)).min(MOST_STOPS);
                (seat.is_open, seat.against) = (!seat.is_open, 0);
            }
        }
    }
}

/// What the sun is shared on, kept from step to step.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    allocation: Allocation,
    capacity: Capacity,
    asks: Vec<Ask>,
}

impl Desk {
    pub(super) fn new(plan: &Plan) -> Self {
        Desk { allocation: Allocation::default(), capacity: Capacity::unlimited(plan), asks: Vec::new() }
    }
}

/// Lowers the asks of those that charge from the sun. While the meter on somebody's way is lost he has his fallback,
/// whatever his mode, as everybody has.
pub(super) fn view(setting: &Setting, state: &mut State, observation: &Observation, work: &mut Work) {
    let known = work.wishes.iter().zip(&work.sights).zip(&work.draws);
    for (seat, ((wish, sight), draw)) in state.modes.seats.iter_mut().zip(known) {
        let follows = wish.entitlement.mode.follows_the_sun() && wish.ask.is_ok() && !matches!(sight, Sight::Lost(_));
        // Whoever charges already need not stop to begin.
        let new = || Seat { share: Amps::ZERO, is_open: draw.least.most().is_positive(), against: 0, stops: 0 };
        *seat = follows.then(|| seat.unwrap_or_else(new));
    }
    let meter = setting.site.circuit(Site::ROOT).meter;
    let Some(meter) = meter.filter(|_| state.modes.seats.iter().any(Option::is_some)) else {
        return state.modes.forget();
    };
    if let Some(sample) = work.samples[meter.0].filter(|_| work.freshness[meter.0] == Freshness::Fresh) {
        hear(setting.site, state, work, &sample);
    }
    if let Some(left) = state.modes.over(setting.now) {
        share(setting, state, observation, work, left);
        state.modes.count(&work.wishes);
    }
    for (seat, wish) in state.modes.seats.iter().zip(&mut work.wishes) {
        let (Some(seat), Ok(ask)) = (seat, &mut wish.ask) else { continue };
        let floor = match wish.entitlement.mode {
            Mode::Eco => ask.least.max(setting.policy.rules.min_grid),
            Mode::Solar if seat.is_open => ask.least,
            _ => {
                wish.ask = Err(Reason::SolarWait);
                continue;
            }
        };
        let most = ask.step.floor(seat.share.max(floor));
        if most < ask.most {
            (ask.most, ask.capped) = (most, Reason::Solar);
        }
    }
}

/// What the sun leaves of the house, by a new sample.
fn hear(site: &Site, state: &mut State, work: &Work, sample: &Sample) {
    if Some(sample.at) <= state.modes.heard {
        return;
    }
    state.modes.heard = Some(sample.at);
    state.scale.hear(site, Some(sample));
    let (mut takes, mut is_sure) = (Amps::ZERO, true);
    for id in site.evse_ids().filter(|id| state.modes.seats[id.0].is_some()) {
        let (evse, car, draw) = (site.evse(id), &state.cars[id.0], &work.draws[id.0]);
        // What is only assumed counts in full once the car has followed: however wrong that is, shares come to rest only where
        // nothing is imported. No meter above could bear it out: it has netted the sun.
        let (then, is_paired) = match draw.is_always_known(evse) {
            true => car.took(evse, draw, sample.at),
            false => (draw.seen, car.has_followed(evse, sample.at)),
        };
        takes += state.scale.drawn(&then);
        is_sure &= is_paired;
    }
    let left = takes - state.scale.load(sample);
    state.modes.any.hear(left);
    if is_sure {
        state.modes.sure.hear(left);
    }
}

/// Shares among those cars what the sun leaves, as any row is shared.
fn share(setting: &Setting, state: &mut State, observation: &Observation, work: &mut Work, left: Amps) {
    let Work { plan, sun: Desk { allocation, capacity, asks }, ranks, wishes, .. } = work;
    queue::sort(asks, ranks, setting, wishes, &state.cars, &observation.reports);
    let seats = &mut state.modes.seats;
    asks.retain(|ask| seats[ask.evse.0].is_some());
    for ask in asks.iter_mut() {
        let used = state.cars[ask.evse.0].readings.used();
        if used != PhaseSet::NONE {
            ask.phases = used;
        }
        if wishes[ask.evse.0].entitlement.mode == Mode::Eco {
            ask.least = ask.least.max(setting.policy.rules.min_grid);
        }
        // It starts by its own delay, not by a little more.
        ask.entry = ask.least;
    }
    capacity.clear();
    capacity.set_voltage(plan, state.scale.millivolts());
    capacity.set_watts(Site::ROOT, Some(state.scale.watts(left)));
    for share in allocation.share(plan, capacity, asks) {
        if let Some(seat) = &mut seats[share.evse.0] {
            seat.share = share.amps;
        }
    }
}
