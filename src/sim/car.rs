//! What does a car make of the current it is offered? It starts late, follows late, and takes a little less.
//!
//! The usual numbers: a command reaches the car after about two seconds, it falls at 10 A/s and rises at 3 A/s, starts
//! 15 s after it may, and stays half an ampere below what it is offered. IEC 61851-1 asks it to follow within 5 s.

use super::arrived;
use crate::control::observation::Need;
use crate::site::{Rotation, Wiring};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use std::collections::VecDeque;

/// Changes of the offer that may be on their way to the car at once: one each 100 ms for the longest lag that is used.
const PILOTS_MOST: usize = 64;

/// Volts between phase and neutral (or, where there is none, between two lines), everywhere in the virtual site.
pub const VOLTS: i64 = 230;

/// What kind of car it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Car {
    /// How many of the charger's terminals it uses, 1, 2 or 3.
    pub phases: usize,
    /// The first of them: 0 is the charger's L1; after its L3 comes its L1.
    pub first: usize,
    /// The least current it charges at.
    pub least: Amps,
    /// The most that its own charger takes, each phase.
    pub most: Amps,
    /// Offer changed to draw changing.
    pub lag: Duration,
    /// First offer to first current.
    pub start: Duration,
    /// How far below the offer it stays.
    pub offset: Amps,
    /// Rise a second.
    pub up: Amps,
    /// Fall a second.
    pub down: Amps,
    /// Full after so much; `None`: always hungry.
    pub wants_wh: Option<i64>,
    /// The last so much before it is full it takes less and less, in a line from `most` to `trickle`; 0: no taper.
    /// Usual: the last 10 to 15 % of its battery.
    pub taper_wh: i64,
    /// What is left of its draw at the end of the taper.
    pub trickle: Amps,
    /// After so many pauses it sleeps until it is plugged in anew; `None`: it always wakes.
    pub pauses_most: Option<u32>,
    /// When what it is offered falls by so much at once, to something above its least, it gives up until it is plugged
    /// in anew; `None`: it never does.
    pub gives_up_drop: Option<Amps>,
    /// The card that its driver holds up; `None`: just plugs in.
    pub token: Option<String>,
    /// What its driver says when he plugs in.
    pub told: Need,
}

impl Default for Car {
    fn default() -> Self {
        Car {
            phases: 3,
            first: 0,
            least: Amps::PILOT_LEAST,
            most: Amps::whole(16),
            lag: Duration::from_secs(2),
            start: Duration::from_secs(15),
            offset: Amps::milli(500),
            up: Amps::whole(3),
            down: Amps::whole(10),
            wants_wh: None,
            taper_wh: 0,
            trickle: Amps::milli(1_500),
            pauses_most: None,
            gives_up_drop: None,
            token: None,
            told: Need::default(),
        }
    }
}

/// How a car hangs on its charger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The first of the terminals that carry its current: 0 is the charger's L1.
    pub first: usize,
    /// How many do.
    pub terminals: usize,
    /// Its power is so many thousandths of its current times the volts.
    pub power_permille: i64,
    /// What drives its current.
    pub volts: i64,
}

impl Connection {
    /// Without a neutral a car of fewer than three phases hangs between two lines, and three phases give √3, not 3.
    pub fn of(car: &Car, rotation: &Rotation, wiring: Wiring) -> Self {
        let phases = car.phases.clamp(1, rotation.wired());
        let (terminals, power_permille) = match (wiring, phases) {
            (Wiring::Single | Wiring::Star, _) => (phases, phases as i64 * 1000),
            (Wiring::Delta, 3) => (3, 1732),
            (Wiring::Delta, _) => (2.min(rotation.wired()), 1000),
        };
        Connection { first: car.first % 3, terminals, power_permille, volts: VOLTS }
    }
}

/// A car that is plugged in.
#[derive(Debug, Clone)]
pub struct Plugged {
    /// What kind it is.
    pub car: Car,
    /// Since when.
    pub since: Moment,
    connection: Connection,
    pilots: VecDeque<(Moment, Amps)>,
    offered: Amps,
    may_start_at: Option<Moment>,
    draw: Amps,
    target: Amps,
    /// What it had when the target was set.
    aimed_at_wh: i64,
    /// mA · ms · thousandths of a volt, up to `lived`.
    charge: i64,
    lived: Moment,
    pauses: u32,
    is_asleep: bool,
}

impl Plugged {
    /// Just arrived.
    pub fn new(car: Car, connection: Connection, now: Moment) -> Self {
        Plugged {
            car,
            since: now,
            connection,
            pilots: VecDeque::new(),
            offered: Amps::ZERO,
            may_start_at: None,
            draw: Amps::ZERO,
            target: Amps::ZERO,
            aimed_at_wh: 0,
            charge: 0,
            lived: now,
            pauses: 0,
            is_asleep: false,
        }
    }

    /// Lets time pass up to `now`, in the last `span` of it following what the charger offers; before that all was as
    /// it had been.
    pub fn live(&mut self, now: Moment, span: Duration, pilot: Amps) {
        self.take_until(now - span);
        if self.pilots.back().map_or(self.offered, |(_, last)| *last) != pilot {
            if self.pilots.len() == PILOTS_MOST {
                self.pilots.pop_front();
            }
            self.pilots.push_back((now + self.car.lag, pilot));
        }
        while let Some(pilot) = arrived(&mut self.pilots, now) {
            self.see(pilot);
        }
        self.target = self.target(now);
        let per_tick = |rate: Amps| rate.scaled(span.as_millis() as i64, 1000);
        self.draw = match self.target > self.draw {
            true => self.target.min(self.draw + per_tick(self.car.up)),
            false => self.target.max(self.draw - per_tick(self.car.down)),
        };
        self.take_until(now);
    }

    /// When its draw changes by itself while the offer stays; a time that has passed: at once.
    pub fn wakes_at(&self) -> Moment {
        if self.draw != self.target {
            return self.lived;
        }
        let never = Moment::from_millis(u64::MAX);
        let pilot = self.pilots.front().map_or(never, |(at, _)| *at);
        let start = self.may_start_at.filter(|at| *at > self.lived).unwrap_or(never);
        pilot.min(start).min(self.next_mark().unwrap_or(never))
    }

    /// On the charger's own terminals, L1 first.
    pub fn draw(&self) -> PerPhase<Amps> {
        self.on_terminals(self.draw)
    }

    /// One ampere on each of the charger's terminals that it uses.
    pub fn shape(&self) -> PerPhase<Amps> {
        self.on_terminals(Amps::whole(1))
    }

    fn on_terminals(&self, amps: Amps) -> PerPhase<Amps> {
        let Connection { first, terminals, .. } = self.connection;
        let carries = |terminal: Phase| (terminal.index() + 3 - first) % 3 < terminals;
        PerPhase::from_fn(|terminal| if carries(terminal) { amps } else { Amps::ZERO })
    }

    /// Volts that its current on one terminal stands for: all phases together.
    pub fn volts(&self) -> i64 {
        VOLTS * self.connection.power_permille / 1000
    }

    /// Does it want no more?
    pub fn is_full(&self, now: Moment) -> bool {
        self.car.wants_wh.is_some_and(|wanted| self.energy_wh(now) >= wanted)
    }

    /// Its power now.
    pub fn watts(&self) -> i32 {
        (i64::from(self.draw.as_milli()) * self.connection.power_permille / 1000 * self.connection.volts / 1000) as i32
    }

    /// What it has taken so far, `now` being no earlier than it has lived.
    pub fn energy_wh(&self, now: Moment) -> i64 {
        (self.charge + self.rate() * millis(self.lived, now)) / 1000 * self.connection.volts / 3_600_000_000
    }

    fn rate(&self) -> i64 {
        i64::from(self.draw.as_milli()) * self.connection.power_permille
    }

    fn take_until(&mut self, to: Moment) {
        self.charge += self.rate() * millis(self.lived, to);
        self.lived = self.lived.max(to);
    }

    /// The offer has reached it.
    fn see(&mut self, pilot: Amps) {
        let before = std::mem::replace(&mut self.offered, pilot);
        if !self.draw.is_positive() || before < self.car.least {
            return;
        }
        if pilot < self.car.least {
            self.pauses += 1;
            self.is_asleep |= self.car.pauses_most.is_some_and(|most| self.pauses >= most);
        } else {
            self.is_asleep |= self.car.gives_up_drop.is_some_and(|drop| before - pilot >= drop);
        }
    }

    fn target(&mut self, now: Moment) -> Amps {
        self.aimed_at_wh = self.energy_wh(self.lived);
        let missing = self.car.wants_wh.map_or(i64::MAX, |wanted| wanted - self.aimed_at_wh);
        if self.offered < self.car.least || self.is_asleep || missing <= 0 {
            self.may_start_at = None;
            return Amps::ZERO;
        }
        let may_start_at = *self.may_start_at.get_or_insert(now + self.car.start);
        match now >= may_start_at {
            true => (self.offered - self.car.offset).min(self.battery_takes(missing)),
            false => Amps::ZERO,
        }
    }

    /// Constant current, then the taper by what is still missing.
    fn battery_takes(&self, missing: i64) -> Amps {
        if missing >= self.car.taper_wh {
            return self.car.most;
        }
        let trickle = self.car.trickle.min(self.car.most);
        trickle + (self.car.most - trickle).scaled(missing, self.car.taper_wh)
    }

    /// When it will have the next amount of energy that changes its draw: full, taper, or in the taper the next Wh.
    fn next_mark(&self) -> Option<Moment> {
        let (wanted, rate) = (self.car.wants_wh?, self.rate());
        if rate <= 0 {
            return None;
        }
        let (energy, taper_from) = (self.energy_wh(self.lived), wanted - self.car.taper_wh);
        if energy >= taper_from && energy != self.aimed_at_wh {
            return Some(self.lived);
        }
        let mark = if energy < taper_from { taper_from } else { energy + 1 };
        let needed = i128::from(mark) * 3_600_000_000_000 / i128::from(self.connection.volts) - i128::from(self.charge);
        let ahead = u64::try_from(needed / i128::from(rate)).unwrap_or(0);
        Some(self.lived + Duration::from_millis(ahead))
    }
}

fn millis(from: Moment, to: Moment) -> i64 {
    to.as_millis().saturating_sub(from.as_millis()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn plugged(car: Car) -> Plugged {
        let connection = Connection::of(&car, &Rotation::three(Phase::ALL), Wiring::Star);
        Plugged::new(car, connection, Moment::START)
    }

    fn live(plugged: &mut Plugged, from: u64, to: u64, pilot: Amps) {
        for millis in (from + 100..=to).step_by(100) {
            plugged.live(Moment::from_millis(millis), TICK, pilot);
        }
    }

    #[test]
    fn a_car_starts_late_then_climbs_at_its_rate_to_a_little_below_the_offer() {
        let mut plugged = plugged(Car::default());
        live(&mut plugged, 0, 17_000, Amps::whole(16));
        assert_eq!(plugged.draw().most(), Amps::ZERO, "two seconds of lag and fifteen to start");
        live(&mut plugged, 17_000, 19_000, Amps::whole(16));
        assert_eq!(plugged.draw().most(), Amps::whole(6));
        live(&mut plugged, 19_000, 30_000, Amps::whole(16));
        assert_eq!(plugged.draw(), PerPhase::all(Amps::milli(15_500)));
    }

    #[test]
    fn a_cut_shows_after_the_lag_and_not_before() {
        let mut plugged = plugged(Car::default());
        live(&mut plugged, 0, 60_000, Amps::whole(16));
        live(&mut plugged, 60_000, 62_000, Amps::whole(8));
        assert_eq!(plugged.draw().most(), Amps::milli(15_500));
        live(&mut plugged, 62_000, 63_000, Amps::whole(8));
        assert_eq!(plugged.draw().most(), Amps::milli(7_500));
    }

    #[test]
    fn below_its_least_current_a_car_takes_nothing() {
        let car = Car { least: Amps::whole(8), phases: 1, ..Car::default() };
        let mut plugged = plugged(car);
        live(&mut plugged, 0, 60_000, Amps::whole(7));
        assert_eq!(plugged.draw().most(), Amps::ZERO);
    }

    #[test]
    fn a_car_that_has_its_energy_stops() {
        let car = Car { wants_wh: Some(100), phases: 1, ..Car::default() };
        let mut plugged = plugged(car);
        live(&mut plugged, 0, 300_000, Amps::whole(16));
        assert_eq!(plugged.draw().most(), Amps::ZERO);
        let energy_wh = plugged.energy_wh(Moment::from_millis(300_000));
        assert!((100..102).contains(&energy_wh), "{energy_wh} Wh");
    }

    #[test]
    fn towards_full_a_car_takes_less_and_less_down_to_a_trickle() {
        let car = Car { wants_wh: Some(3_000), taper_wh: 1_500, phases: 1, ..Car::default() };
        let mut plugged = plugged(car);
        let mut now = 0;
        let mut draw_at = |energy_wh: i64| {
            while plugged.energy_wh(Moment::from_millis(now)) < energy_wh {
                live(&mut plugged, now, now + 1_000, Amps::whole(32));
                now += 1_000;
            }
            plugged.draw().most().as_milli()
        };
        // Half way of the taper: half way between 16 A and 1.5 A.
        for (energy_wh, milliamps) in [(1_400, 16_000), (1_500, 16_000), (2_250, 8_750), (2_990, 1_600)] {
            let found = draw_at(energy_wh);
            assert!((found - milliamps).abs() <= 100, "at {energy_wh} Wh: {found} mA");
        }
    }

    #[test]
    fn a_sleepy_car_wakes_no_more_after_so_many_pauses() {
        let mut plugged = plugged(Car { pauses_most: Some(2), ..Car::default() });
        for (minute, offer, draws) in [(0, 16, true), (1, 0, false), (2, 16, true), (3, 0, false), (4, 16, false)] {
            live(&mut plugged, minute * 60_000, (minute + 1) * 60_000, Amps::whole(offer));
            assert_eq!(plugged.draw().most().is_positive(), draws, "minute {minute}");
        }
    }

    #[test]
    fn a_touchy_car_gives_up_at_a_big_drop_and_bears_small_ones() {
        let mut plugged = plugged(Car { gives_up_drop: Some(Amps::whole(4)), ..Car::default() });
        for (minute, offer, draws) in [(0, 16, true), (1, 13, true), (2, 10, true), (3, 6, false), (4, 16, false)] {
            live(&mut plugged, minute * 60_000, (minute + 1) * 60_000, Amps::whole(offer));
            assert_eq!(plugged.draw().most().is_positive(), draws, "minute {minute}");
        }
    }

    #[test]
    fn the_terminals_and_the_wiring_say_how_a_car_hangs_and_what_its_power_is() {
        let power = |phases: usize, rotation: &str, wiring: Wiring| {
            let connection =
                Connection::of(&Car { phases, ..Car::default() }, &Rotation::parse(rotation).unwrap(), wiring);
            (connection.terminals, connection.power_permille)
        };
        assert_eq!(power(3, "RST", Wiring::Star), (3, 3_000));
        assert_eq!(power(2, "RST", Wiring::Star), (2, 2_000));
        assert_eq!(power(3, "S", Wiring::Star), (1, 1_000));
        assert_eq!(power(3, "RST", Wiring::Delta), (3, 1_732));
        assert_eq!(power(1, "RST", Wiring::Delta), (2, 1_000));
        assert_eq!(power(3, "ST", Wiring::Delta), (1, 1_000));
    }
}
