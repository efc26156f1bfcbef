//! What does a car make of the current it is offered? It starts late, follows late, and takes a little less.
//!
//! The usual numbers: a command reaches the car after about two seconds, it falls at 10 A/s and rises at 3 A/s, starts
//! 15 s after it may, and stays half an ampere below what it is offered. IEC 61851-1 asks it to follow within 5 s.

use super::arrived;
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};
use std::collections::VecDeque;

/// Changes of the offer that may be on their way to the car at once: one each 100 ms for the longest lag that is used.
const PILOTS_MOST: usize = 64;

/// Volts between phase and neutral, everywhere in the virtual site.
pub const VOLTS: i64 = 230;

/// What kind of car it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Car {
    /// How many of the charger's terminals it uses, its L1 first: 1, 2 or 3.
    pub phases: usize,
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
    /// The card that its driver holds up; `None`: just plugs in.
    pub token: Option<String>,
}

impl Default for Car {
    fn default() -> Self {
        Car {
            phases: 3,
            least: Amps::PILOT_LEAST,
            most: Amps::whole(16),
            lag: Duration::from_secs(2),
            start: Duration::from_secs(15),
            offset: Amps::milli(500),
            up: Amps::whole(3),
            down: Amps::whole(10),
            wants_wh: None,
            token: None,
        }
    }
}

/// A car that is plugged in.
#[derive(Debug, Clone)]
pub struct Plugged {
    /// What kind it is.
    pub car: Car,
    /// Since when.
    pub since: Moment,
    pilots: VecDeque<(Moment, Amps)>,
    offered: Amps,
    may_start_at: Option<Moment>,
    draw: Amps,
    milliamp_millis: i64,
}

impl Plugged {
    /// Just arrived.
    pub fn new(car: Car, now: Moment) -> Self {
        Plugged {
            car,
            since: now,
            pilots: VecDeque::new(),
            offered: Amps::ZERO,
            may_start_at: None,
            draw: Amps::ZERO,
            milliamp_millis: 0,
        }
    }

    /// Lets `span` pass, up to `now`, while the charger offers `pilot`.
    pub fn live(&mut self, now: Moment, span: Duration, pilot: Amps) {
        if self.pilots.back().map_or(self.offered, |(_, last)| *last) != pilot {
            if self.pilots.len() == PILOTS_MOST {
                self.pilots.pop_front();
            }
            self.pilots.push_back((now + self.car.lag, pilot));
        }
        while let Some(pilot) = arrived(&mut self.pilots, now) {
            self.offered = pilot;
        }
        let target = self.target(now);
        let per_tick = |rate: Amps| rate.scaled(span.as_millis() as i64, 1000);
        self.draw = match target > self.draw {
            true => target.min(self.draw + per_tick(self.car.up)),
            false => target.max(self.draw - per_tick(self.car.down)),
        };
        let phases = self.car.phases as i64;
        self.milliamp_millis += i64::from(self.draw.as_milli()) * phases * span.as_millis() as i64;
    }

    /// On the charger's own terminals, L1 first.
    pub fn draw(&self) -> PerPhase<Amps> {
        PerPhase::from_fn(|terminal| if terminal.index() < self.car.phases { self.draw } else { Amps::ZERO })
    }

    /// What it has taken so far.
    pub fn energy_wh(&self) -> i64 {
        self.milliamp_millis * VOLTS / 3_600_000_000
    }

    /// Does it want no more?
    pub fn is_full(&self) -> bool {
        self.car.wants_wh.is_some_and(|wanted| self.energy_wh() >= wanted)
    }

    fn target(&mut self, now: Moment) -> Amps {
        if self.offered < self.car.least || self.is_full() {
            self.may_start_at = None;
            return Amps::ZERO;
        }
        let may_start_at = *self.may_start_at.get_or_insert(now + self.car.start);
        match now >= may_start_at {
            true => (self.offered - self.car.offset).min(self.car.most),
            false => Amps::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn live(plugged: &mut Plugged, from: u64, to: u64, pilot: Amps) {
        for millis in (from + 100..=to).step_by(100) {
            plugged.live(Moment::from_millis(millis), TICK, pilot);
        }
    }

    #[test]
    fn a_car_starts_late_then_climbs_at_its_rate_to_a_little_below_the_offer() {
        let mut plugged = Plugged::new(Car::default(), Moment::START);
        live(&mut plugged, 0, 17_000, Amps::whole(16));
        assert_eq!(plugged.draw().most(), Amps::ZERO, "two seconds of lag and fifteen to start");
        live(&mut plugged, 17_000, 19_000, Amps::whole(16));
        assert_eq!(plugged.draw().most(), Amps::whole(6));
        live(&mut plugged, 19_000, 30_000, Amps::whole(16));
        assert_eq!(plugged.draw(), PerPhase::all(Amps::milli(15_500)));
    }

    #[test]
    fn a_cut_shows_after_the_lag_and_not_before() {
        let mut plugged = Plugged::new(Car::default(), Moment::START);
        live(&mut plugged, 0, 60_000, Amps::whole(16));
        live(&mut plugged, 60_000, 62_000, Amps::whole(8));
        assert_eq!(plugged.draw().most(), Amps::milli(15_500));
        live(&mut plugged, 62_000, 63_000, Amps::whole(8));
        assert_eq!(plugged.draw().most(), Amps::milli(7_500));
    }

    #[test]
    fn below_its_least_current_a_car_takes_nothing() {
        let car = Car { least: Amps::whole(8), phases: 1, ..Car::default() };
        let mut plugged = Plugged::new(car, Moment::START);
        live(&mut plugged, 0, 60_000, Amps::whole(7));
        assert_eq!(plugged.draw().most(), Amps::ZERO);
    }

    #[test]
    fn a_car_that_has_its_energy_stops() {
        let car = Car { wants_wh: Some(100), phases: 1, ..Car::default() };
        let mut plugged = Plugged::new(car, Moment::START);
        live(&mut plugged, 0, 300_000, Amps::whole(16));
        assert!(plugged.is_full());
        assert_eq!(plugged.draw().most(), Amps::ZERO);
        assert!((100..102).contains(&plugged.energy_wh()), "{} Wh", plugged.energy_wh());
    }
}
