//! What happened over the last day? Two rings: 10 minutes by the second, 24 hours by the minute.
//!
//! Memory: 2 040 rows of 18 bytes, 37 kB at most, whatever the size of the site. Only the grid connection is kept.

use crate::status::Status;
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::VecDeque;

/// Step and rows of each ring: what a phone is wide, and what one looks back to after work.
const RINGS: [(Duration, usize); 2] = [(Duration::from_secs(1), 600), (Duration::from_secs(60), 24 * 60)];

/// The grid connection over the last day.
#[derive(Debug)]
pub struct History {
    rings: [Ring; RINGS.len()],
}

impl History {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        History { rings: RINGS.map(|(step, most)| Ring::new(step, most)) }
    }

    /// Takes in a picture.
    pub fn push(&mut self, now: Moment, status: &Status) {
        let Some(main) = status.circuits.first() else { return };
        for ring in &mut self.rings {
            ring.advance(now);
            ring.open.add(main.house_a.as_ref(), &main.cars_a, main.headroom_a.as_ref());
        }
    }

    /// All of it for `/history.json`; steps without news up to `now` are absent values.
    pub fn read(&mut self, now: Moment, wall: DateTime<Utc>) -> Reading {
        for ring in &mut self.rings {
            ring.advance(now);
        }
        Reading { until: wall, spans: self.rings.iter().map(Ring::read).collect() }
    }
}

/// The answer of `/history.json`.
#[derive(Debug, Serialize, PartialEq)]
pub struct Reading {
    /// The wall time of this answer; the last value of each list is of the step that is still running.
    until: DateTime<Utc>,
    /// The finer first.
    spans: Vec<Span>,
}

/// One ring; each list has the phases L1, L2, L3, and for each the oldest value first, in amperes.
#[derive(Debug, Serialize, PartialEq)]
struct Span {
    /// Seconds from one value to the next.
    step_s: u64,
    /// Mean of what the house took.
    house_a: [Vec<Option<f64>>; 3],
    /// Mean of what the cars took.
    cars_a: [Vec<Option<f64>>; 3],
    /// The least that was left: means hide peaks, this does not.
    headroom_a: [Vec<Option<f64>>; 3],
}

#[derive(Debug)]
struct Ring {
    step: Duration,
    most: usize,
    rows: VecDeque<Row>,
    /// The number of the step that is running, counted from the process's start.
    number: u64,
    open: Bucket,
}

impl Ring {
    fn new(step: Duration, most: usize) -> Self {
        Ring { step, most, rows: VecDeque::new(), number: 0, open: Bucket::default() }
    }

    /// Closes the steps that have ended. After a long silence no more rows are written than the ring keeps.
    fn advance(&mut self, now: Moment) {
        let number = now.as_millis() / (self.step.as_millis() as u64).max(1);
        let ended = number.saturating_sub(self.number).min(self.most as u64);
        for _ in 0..ended {
            let row = std::mem::take(&mut self.open).row();
            // The process's first steps, before anything is heard, are no history.
            if !self.rows.is_empty() || row != Row::default() {
                self.rows.push_back(row);
            }
            if self.rows.len() >= self.most {
                self.rows.pop_front();
            }
        }
        self.number = self.number.max(number);
    }

    fn read(&self) -> Span {
        let rows = || self.rows.iter().copied().chain([self.open.row()]);
        let list = |pick: fn(&Row) -> &[Tenths; 3]| {
            Phase::ALL.map(|phase| rows().map(|row| pick(&row)[phase.index()].amps()).collect())
        };
        Span {
            step_s: self.step.as_secs(),
            house_a: list(|row| &row.house),
            cars_a: list(|row| &row.cars),
            headroom_a: list(|row| &row.headroom),
        }
    }
}

/// What has been heard within one step.
#[derive(Debug, Default, Clone)]
struct Bucket {
    house: [Mean; 3],
    cars: [Mean; 3],
    headroom: [Option<Amps>; 3],
}

impl Bucket {
    fn add(&mut self, house: Option<&PerPhase<Amps>>, cars: &PerPhase<Amps>, headroom: Option<&PerPhase<Amps>>) {
        for phase in Phase::ALL {
            let at = phase.index();
            self.cars[at].add(cars[phase]);
            if let Some(house) = house {
                self.house[at].add(house[phase]);
            }
            if let Some(left) = headroom.map(|headroom| headroom[phase]) {
                self.headroom[at] = Some(self.headroom[at].map_or(left, |least| least.min(left)));
            }
        }
    }

    fn row(&self) -> Row {
        Row {
            house: Phase::ALL.map(|phase| Tenths::from(self.house[phase.index()].value())),
            cars: Phase::ALL.map(|phase| Tenths::from(self.cars[phase.index()].value())),
            headroom: Phase::ALL.map(|phase| Tenths::from(self.headroom[phase.index()])),
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Mean {
    sum_milli: i64,
    count: i64,
}

impl Mean {
    fn add(&mut self, amps: Amps) {
        self.sum_milli = self.sum_milli.saturating_add(i64::from(amps.as_milli()));
        self.count += 1;
    }

    fn value(&self) -> Option<Amps> {
        (self.count > 0).then(|| Amps::milli((self.sum_milli / self.count) as i32))
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Row {
    house: [Tenths; 3],
    cars: [Tenths; 3],
    headroom: [Tenths; 3],
}

/// Tenths of an ampere in two bytes, ±3 276 A; the lowest value stands for "not known".
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tenths(i16);

impl Tenths {
    fn from(amps: Option<Amps>) -> Self {
        let Some(amps) = amps else { return Tenths::default() };
        let tenths = (f64::from(amps.as_milli()) / 100.0).round();
        Tenths(tenths.clamp(f64::from(i16::MIN + 1), f64::from(i16::MAX)) as i16)
    }

    fn amps(self) -> Option<f64> {
        (self.0 != i16::MIN).then(|| f64::from(self.0) / 10.0)
    }
}

impl Default for Tenths {
    fn default() -> Self {
        Tenths(i16::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::CircuitStatus;

    #[test]
    fn a_minute_keeps_its_mean_and_its_tightest_second() {
        let mut history = History::new();
        for second in 0..60 {
            let house = if second == 30 { 20 } else { 8 };
            history.push(at(second), &picture(house));
        }
        history.push(at(60), &picture(8));
        let minutes = &history.read(at(60), DateTime::default()).spans[1];
        assert_eq!(minutes.step_s, 60);
        assert_eq!(minutes.house_a[0], [Some(8.2), Some(8.0)]);
        assert_eq!(minutes.cars_a[2], [Some(2.0), Some(2.0)]);
        assert_eq!(minutes.headroom_a[1], [Some(2.0), Some(14.0)]);
    }

    #[test]
    fn memory_has_an_end() {
        let mut history = History::new();
        for second in 0..2_000 {
            history.push(at(second), &picture(1));
        }
        history.push(at(10_000_000), &picture(2));
        let reading = history.read(at(10_000_000), DateTime::default());
        for (span, (_, most)) in reading.spans.iter().zip(RINGS) {
            assert_eq!(span.house_a[0].len(), most);
            assert_eq!(span.house_a[0].last(), Some(&Some(2.0)));
        }
        assert_eq!(size_of::<Row>(), 18);
    }

    #[test]
    fn silence_is_a_gap_and_not_the_last_value() {
        let mut history = History::new();
        history.push(at(100), &picture(5));
        let seconds = &history.read(at(103), DateTime::default()).spans[0];
        assert_eq!(seconds.house_a[0], [Some(5.0), None, None, None]);
    }

    #[test]
    fn a_lost_meter_leaves_the_cars() {
        let mut history = History::new();
        let mut status = picture(5);
        status.circuits[0].house_a = None;
        status.circuits[0].headroom_a = None;
        history.push(at(0), &status);
        let seconds = &history.read(at(0), DateTime::default()).spans[0];
        assert_eq!(
            (&seconds.house_a[0][..], &seconds.cars_a[0][..], &seconds.headroom_a[0][..]),
            (&[None][..], &[Some(2.0)][..], &[None][..])
        );
    }

    #[test]
    fn a_clock_that_does_not_move_adds_to_the_same_step() {
        let mut history = History::new();
        history.push(at(7), &picture(4));
        history.push(at(7), &picture(6));
        assert_eq!(history.read(at(7), DateTime::default()).spans[0].house_a[0], [Some(5.0)]);
    }

    fn at(second: u64) -> Moment {
        Moment::from_millis(second * 1000)
    }

    fn picture(house: i32) -> Status {
        let amps = |amps| PerPhase::all(Amps::whole(amps));
        Status {
            circuits: vec![CircuitStatus {
                house_a: Some(amps(house)),
                cars_a: amps(2),
                headroom_a: Some(amps(24 - 2 - house)),
                ..CircuitStatus::default()
            }],
            ..Status::default()
        }
    }
}
