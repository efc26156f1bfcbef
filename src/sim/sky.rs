//! What does the sun give? Seeded days of clear sky, passing clouds or overcast, second by second.
//!
//! A clear day is a bell between sunrise and sunset. Under passing clouds the light goes between clear and covered in
//! ramps of uneven speed, as edges of clouds are; their size is that of a pyranometer of the HOPE-Melpitz campaign
//! (Macke and others 2017) in an hour of passing clouds, as parts of 1 kW/m²: in 1 s 0.044 (99 of 100 are smaller), in
//! 10 s 0.267, in 60 s 0.44. So 8 kW of panels may lose 3 kW in 10 s.

use super::dice::Dice;
use super::trace::{LINES_MOST, Trace};
use crate::time::Duration;

const DAY_S: u32 = 86_400;
/// What a trace can hold.
const DAYS_MOST: u32 = LINES_MOST as u32 / DAY_S;
/// The bell's top, in parts of 1 kW/m².
const NOON: f64 = 0.9;
/// Its form: between a sine and its square.
const BELL: f64 = 1.25;
/// What passes: of a clear sky (a bright cloud's edge gives a little more), of a cloud, of overcast.
const CLEAR: (f64, f64) = (0.9, 1.05);
const COVERED: (f64, f64) = (0.35, 0.75);
const OVERCAST: (f64, f64) = (0.08, 0.35);
/// Seconds between two changes of the sky, and seconds that one takes.
const GAP_S: (i64, i64) = (5, 110);
const EDGE_S: (i64, i64) = (8, 30);
const OVERCAST_EDGE_S: (i64, i64) = (120, 600);

/// What a day is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// No cloud.
    Clear,
    /// Clouds that pass.
    Broken,
    /// Covered all day.
    Overcast,
    /// Each day one of these, broken as often as the other two together.
    Mixed,
}

/// Panels and the sky above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sky {
    /// Chooses the clouds.
    pub seed: u64,
    /// 1 to 62; then it repeats.
    pub days: u32,
    /// Watts at 1 kW/m².
    pub watts_peak: i32,
    /// Seconds after midnight.
    pub sunrise_s: u32,
    /// Seconds after midnight, later than sunrise.
    pub sunset_s: u32,
    /// What the days are like.
    pub weather: Weather,
}

impl Default for Sky {
    fn default() -> Self {
        Sky { seed: 1, days: 1, watts_peak: 8_000, sunrise_s: 6 * 3_600, sunset_s: 20 * 3_600, weather: Weather::Mixed }
    }
}

impl Sky {
    /// Generated watts, each second.
    pub fn trace(&self) -> Trace<i32> {
        let dice = &mut Dice::new(self.seed, 200);
        let days = 0..self.days.clamp(1, DAYS_MOST);
        let values = days.flat_map(|_| self.day(dice)).map(|share| (share * f64::from(self.watts_peak)) as i32);
        Trace::even(Duration::from_secs(1), values, 0)
    }

    /// Parts of 1 kW/m² in each second of a day.
    fn day(&self, dice: &mut Dice) -> Vec<f64> {
        let weather = match (self.weather, dice.between(0, 3)) {
            (Weather::Mixed, 0) => Weather::Clear,
            (Weather::Mixed, 1) => Weather::Overcast,
            (Weather::Mixed, _) => Weather::Broken,
            (fixed, _) => fixed,
        };
        let mut clouds = Clouds::new(weather, dice);
        let light = |second| match self.bell(second) {
            dark if dark <= 0.0 => 0.0,
            bell => bell * clouds.next_second(dice),
        };
        (0..DAY_S).map(light).collect()
    }

    fn bell(&self, second: u32) -> f64 {
        let length = f64::from(self.sunset_s.saturating_sub(self.sunrise_s).max(1));
        let passed = (f64::from(second) - f64::from(self.sunrise_s)) / length;
        if (0.0..=1.0).contains(&passed) {
            NOON * (std::f64::consts::PI * passed).sin().max(0.0).powf(BELL)
        } else {
            0.0
        }
    }
}

/// The share of the light that gets through.
struct Clouds {
    weather: Weather,
    share: f64,
    target: f64,
    /// Change a second, on average.
    speed: f64,
    is_covered: bool,
    stays_s: i64,
}

impl Clouds {
    fn new(weather: Weather, dice: &mut Dice) -> Self {
        let share = if weather == Weather::Overcast { within(OVERCAST, dice) } else { 1.0 };
        Clouds { weather, share, target: share, speed: 0.0, is_covered: false, stays_s: 0 }
    }

    fn next_second(&mut self, dice: &mut Dice) -> f64 {
        if self.weather == Weather::Clear {
            return self.share;
        }
        if self.share == self.target {
            self.stays_s -= 1;
            if self.stays_s < 0 {
                self.turn(dice);
            }
        }
        // An edge is uneven: now it stands nearly still, now it goes at twice its speed.
        let step = self.speed * 2.0 * dice.share();
        self.share += (self.target - self.share).clamp(-step, step);
        self.share
    }

    fn turn(&mut self, dice: &mut Dice) {
        self.is_covered = !self.is_covered;
        let (range, edge) = match (self.weather, self.is_covered) {
            (Weather::Overcast, _) => (OVERCAST, OVERCAST_EDGE_S),
            (_, true) => (COVERED, EDGE_S),
            (_, false) => (CLEAR, EDGE_S),
        };
        self.target = within(range, dice);
        self.speed = (self.target - self.share).abs() / dice.between(edge.0, edge.1) as f64;
        self.stays_s = dice.between(GAP_S.0, GAP_S.1);
    }
}

fn within(range: (f64, f64), dice: &mut Dice) -> f64 {
    range.0 + (range.1 - range.0) * dice.share()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Moment;

    /// Changes within so many seconds of the hour of passing clouds around 9:45, in parts of 1 kW/m²: the 99th of 100
    /// and the largest, of many seeds.
    fn ramps(seconds: usize) -> (f64, f64) {
        let mut changes = Vec::new();
        for seed in 0..30 {
            let sky = Sky { seed, weather: Weather::Broken, sunset_s: 18 * 3_600, ..Sky::default() };
            let day = sky.day(&mut Dice::new(seed, 200));
            let hour = &day[33_300..36_900];
            changes.extend(hour.iter().zip(&hour[seconds..]).map(|(before, after)| (after - before).abs()));
        }
        changes.sort_by(f64::total_cmp);
        (changes[changes.len() * 99 / 100], changes[changes.len() - 1])
    }

    #[test]
    fn ramps_under_passing_clouds_are_as_large_as_measured_ones() {
        // The largest of that one hour were 0.071, 0.377 and 0.504; here are thirty hours.
        for (seconds, measured, bound) in [(1, 0.044, 0.13), (10, 0.267, 0.55), (60, 0.442, 0.55)] {
            let (usual, most) = ramps(seconds);
            assert!((usual / measured - 1.0).abs() < 0.2, "{seconds} s: {usual:.3}, measured {measured}");
            assert!(most < bound, "{seconds} s: at most {most:.3}");
        }
    }

    #[test]
    fn a_clear_day_is_a_bell_and_a_covered_one_is_dim() {
        let day = |weather: Weather| Sky { weather, ..Sky::default() }.trace();
        let at = |trace: &Trace<i32>, hour: u64| trace.at(Moment::from_millis(hour * 3_600_000));
        let clear = day(Weather::Clear);
        assert_eq!([at(&clear, 3), at(&clear, 13), at(&clear, 22)], [0, 7_200, 0]);
        assert!(at(&clear, 9) < at(&clear, 11) && (at(&clear, 11) - at(&clear, 15)).abs() <= 1);
        let kwh = |trace: &Trace<i32>| {
            (0..86_400).map(|s| f64::from(trace.at(Moment::from_millis(s * 1000)))).sum::<f64>() / 3.6e6
        };
        let (sunny, broken, dim) = (kwh(&clear), kwh(&day(Weather::Broken)), kwh(&day(Weather::Overcast)));
        assert!((50.0..65.0).contains(&sunny), "{sunny:.1} kWh");
        assert!(broken > dim * 2.0 && broken < sunny * 0.85, "{sunny:.1}, {broken:.1}, {dim:.1} kWh");
    }

    #[test]
    fn the_same_seed_is_the_same_sky() {
        let sky = |seed: u64| Sky { seed, weather: Weather::Broken, ..Sky::default() }.trace();
        assert_eq!(sky(1), sky(1));
        assert_ne!(sky(1), sky(2));
    }
}
