//! What does a house take beside its cars? A seeded day or week of its appliances, second by second.
//!
//! Each appliance is switched on at random, more often in its hours of the day (a Poisson process, drawn minute by
//! minute), and then runs through its own pattern: kettle 9 to 13 A for some minutes; oven full on, then its thermostat;
//! hob on two phases, boiling, then in bursts of 5 to 30 s; washing machine, dishwasher and dryer; inverter heat pump in
//! ramps of 1 to 3 A a minute with a heating rod; at choice an instantaneous water heater (18 to 24 kW in one step) and a
//! sauna. Sizes are catalogue figures at 230 V; how often things run is set so that a house of 35 kWh a day shows the 40
//! to 110 steps of 5 A and more per phase and day that are measured in such houses.

use super::car::VOLTS;
use super::dice::Dice;
use super::trace::{LINES_MOST, Trace};
use crate::time::Duration;
use crate::units::{Amps, PerPhase};

const DAY_S: i64 = 86_400;
/// What a trace can hold.
const DAYS_MOST: u32 = LINES_MOST as u32 / DAY_S as u32;

/// Weights of the 24 hours, for what is done at meals, in the morning and evening, by day, and at any time.
const MEALS: [u32; 24] = [0, 0, 0, 0, 0, 1, 4, 8, 6, 3, 2, 5, 9, 5, 2, 2, 5, 12, 15, 10, 4, 2, 1, 0];
const COOKING: [u32; 24] = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 7, 9, 2, 1, 1, 5, 16, 18, 8, 2, 0, 0, 0];
const BATHING: [u32; 24] = [0, 0, 0, 0, 0, 4, 12, 14, 8, 4, 3, 3, 4, 3, 2, 2, 4, 6, 8, 8, 8, 7, 4, 1];
const HOUSEWORK: [u32; 24] = [0, 0, 0, 0, 0, 0, 1, 3, 6, 8, 8, 6, 5, 5, 6, 6, 6, 7, 8, 8, 6, 3, 1, 0];
const EVENING: [u32; 24] = [1, 0, 0, 0, 0, 0, 2, 3, 2, 1, 1, 1, 1, 1, 1, 2, 3, 6, 9, 10, 10, 9, 6, 3];

/// What kind of house it is, and which days of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct House {
    /// Chooses everything that happens, and which phase each appliance hangs on.
    pub seed: u64,
    /// 1 to 62; then it repeats.
    pub days: u32,
    /// Energy a day on average: the heat pump (or else heaters and lamps) takes what the appliances leave of it.
    pub wh_per_day: i64,
    /// Does everything hang on the one phase that there is?
    pub is_single_phase: bool,
    /// An inverter heat pump on three phases?
    pub has_heat_pump: bool,
    /// An instantaneous water heater on three phases? It takes more than a small fuse carries.
    pub has_water_heater: bool,
    /// A sauna on three phases?
    pub has_sauna: bool,
}

impl Default for House {
    fn default() -> Self {
        House {
            seed: 1,
            days: 1,
            wh_per_day: 35_000,
            is_single_phase: false,
            has_heat_pump: true,
            has_water_heater: false,
            has_sauna: false,
        }
    }
}

/// The usual house of 35 kWh a day, without cars, each second.
pub fn house(seed: u64, days: u32) -> Trace<PerPhase<Amps>> {
    House { seed, days, ..House::default() }.trace()
}

impl House {
    /// What it takes, each second.
    pub fn trace(&self) -> Trace<PerPhase<Amps>> {
        let values = self.seconds().into_iter().map(|milliamps| PerPhase(milliamps.map(Amps::milli)));
        Trace::even(Duration::from_secs(1), values, PerPhase::default())
    }

    fn seconds(&self) -> Vec<[i32; 3]> {
        let days = i64::from(self.days.clamp(1, DAYS_MOST));
        let mut load = Load { milliamps: vec![[0; 3]; (days * DAY_S) as usize] };
        let mut wires = Dice::new(self.seed, 0);
        // The hob takes two phases, the oven the third; all else hangs where the electrician found room.
        let first = wires.between(0, 2) as usize;
        for (index, appliance) in Appliance::ALL.into_iter().enumerate() {
            let phases = match appliance {
                Appliance::Hob => vec![first, (first + 1) % 3],
                Appliance::Oven => vec![(first + 2) % 3],
                Appliance::Small | Appliance::WaterHeater | Appliance::Sauna | Appliance::HeatingRod => vec![0, 1, 2],
                _ => vec![wires.between(0, 2) as usize],
            };
            if self.has(appliance) {
                let mut dice = Dice::new(self.seed, 1 + index as u64);
                appliance.live(&phases, &mut dice, &mut load);
            }
        }
        let dice = &mut Dice::new(self.seed, 100);
        cold_appliances(dice, &mut load);
        stand_by(dice, &mut load);
        let missing = (self.wh_per_day * days - load.energy_wh()).max(0);
        match self.has_heat_pump {
            true => heat_pump(missing * 3_600 / (days * DAY_S), dice, &mut load),
            false => by_hours(&EVENING, missing / days, dice, &mut load),
        }
        if self.is_single_phase {
            load.milliamps.iter_mut().for_each(|phases| *phases = [phases.iter().sum(), 0, 0]);
        }
        load.milliamps
    }

    fn has(&self, appliance: Appliance) -> bool {
        match appliance {
            Appliance::WaterHeater => self.has_water_heater,
            Appliance::Sauna => self.has_sauna,
            Appliance::HeatingRod => self.has_heat_pump,
            _ => true,
        }
    }
}

/// The sum of what runs.
struct Load {
    /// Each second, each phase.
    milliamps: Vec<[i32; 3]>,
}

impl Load {
    /// So many watts on each of these phases, from this second on; what would be after the end is left out.
    fn add(&mut self, from: i64, lasts: i64, phases: &[usize], watts: i64) {
        let milliamps = (watts * 1000 / VOLTS) as i32;
        for slot in self.milliamps.iter_mut().skip(from.max(0) as usize).take(lasts.max(0) as usize) {
            phases.iter().for_each(|phase| slot[*phase] += milliamps);
        }
    }

    fn energy_wh(&self) -> i64 {
        let milliamp_seconds: i64 = self.milliamps.iter().flatten().map(|milliamps| i64::from(*milliamps)).sum();
        milliamp_seconds * VOLTS / 3_600_000
    }

    fn length(&self) -> i64 {
        self.milliamps.len() as i64
    }
}

/// What is switched on and off by people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Appliance {
    Kettle,
    Oven,
    Hob,
    WashingMachine,
    Dishwasher,
    Dryer,
    /// Microwave, iron, hair dryer, vacuum cleaner.
    Small,
    HeatingRod,
    WaterHeater,
    Sauna,
}

impl Appliance {
    const ALL: [Appliance; 10] = [
        Appliance::Kettle,
        Appliance::Oven,
        Appliance::Hob,
        Appliance::WashingMachine,
        Appliance::Dishwasher,
        Appliance::Dryer,
        Appliance::Small,
        Appliance::HeatingRod,
        Appliance::WaterHeater,
        Appliance::Sauna,
    ];

    /// How often in a hundred days, and when.
    fn habit(self) -> (u32, &'static [u32; 24]) {
        match self {
            Appliance::Kettle => (700, &MEALS),
            Appliance::Oven => (130, &COOKING),
            Appliance::Hob => (150, &COOKING),
            Appliance::WashingMachine => (80, &HOUSEWORK),
            Appliance::Dishwasher => (90, &EVENING),
            Appliance::Dryer => (50, &HOUSEWORK),
            Appliance::Small => (1_200, &HOUSEWORK),
            Appliance::HeatingRod => (60, &BATHING),
            Appliance::WaterHeater => (1_400, &BATHING),
            Appliance::Sauna => (25, &EVENING),
        }
    }

    /// Switches it on again and again, never while it runs.
    fn live(self, phases: &[usize], dice: &mut Dice, load: &mut Load) {
        let (in_hundred_days, hours) = self.habit();
        let sum: u32 = hours.iter().sum();
        let mut free_from = 0;
        for minute in 0..load.length() / 60 {
            let weight = hours[(minute / 60 % 24) as usize];
            let chance = f64::from(in_hundred_days * weight) / f64::from(sum * 60 * 100);
            let at = minute * 60 + dice.between(0, 59);
            if dice.chance(chance) && at >= free_from {
                free_from = self.run(at, phases, dice, load);
            }
        }
    }

    /// Runs once; returns when it is over.
    fn run(self, at: i64, phases: &[usize], dice: &mut Dice, load: &mut Load) -> i64 {
        match self {
            Appliance::Kettle => once(at, phases, dice.between(2_000, 3_000), dice.between(120, 240), load),
            Appliance::Oven => {
                let watts = dice.between(2_000, 3_500);
                let hot = once(at, phases, watts, dice.between(600, 900), load);
                let thermostat = Bursts { on: (25, 60), duty: (30, 40), lasts: dice.between(1_200, 3_000) };
                thermostat.run(hot, phases, watts, dice, load)
            }
            Appliance::Hob => {
                // One pan, or one on each phase.
                let pans = if dice.chance(0.6) { phases } else { &phases[..1] };
                let pan = |phase: &usize| {
                    let watts = dice.between(1_200, 3_700);
                    let boils = once(at, &[*phase], watts, dice.between(240, 540), load);
                    let simmers = Bursts { on: (5, 30), duty: (35, 60), lasts: dice.between(480, 1_200) };
                    simmers.run(boils, &[*phase], watts, dice, load)
                };
                pans.iter().map(pan).max().unwrap_or(at)
            }
            Appliance::WashingMachine => {
                let hot = once(at, phases, 2_000, dice.between(480, 900), load);
                let drum = Bursts { on: (8, 15), duty: (40, 60), lasts: dice.between(1_800, 3_600) };
                drum.run(hot, phases, 250, dice, load)
            }
            Appliance::Dishwasher => {
                let washed = once(at, phases, 2_000, dice.between(480, 900), load);
                let rinsed = once(washed, phases, 80, dice.between(1_200, 2_400), load);
                once(rinsed, phases, 2_000, dice.between(480, 900), load)
            }
            Appliance::Dryer => {
                let dry = once(at, phases, 2_500, dice.between(1_800, 3_600), load);
                let thermostat = Bursts { on: (60, 180), duty: (40, 60), lasts: dice.between(600, 1_200) };
                thermostat.run(dry, phases, 2_300, dice, load)
            }
            Appliance::Small => {
                // Whatever socket is near; an iron or a fan heater switches, the others just run.
                let phase = [phases[dice.between(0, phases.len() as i64 - 1) as usize]];
                let watts = dice.between(900, 2_200);
                let iron = Bursts { on: (15, 60), duty: (30, 50), lasts: dice.between(300, 900) };
                match dice.chance(0.15) {
                    true => iron.run(at, &phase, watts, dice, load),
                    false => once(at, &phase, watts, dice.between(40, 420), load),
                }
            }
            Appliance::HeatingRod => once(at, phases, dice.between(6_000, 9_000) / 3, dice.between(600, 2_400), load),
            Appliance::WaterHeater => {
                // Three in ten are showers, the rest hands and dishes.
                let lasts = if dice.chance(0.3) { dice.between(180, 600) } else { dice.between(5, 60) };
                let size = [18_000, 21_000, 24_000][dice.between(0, 2) as usize];
                once(at, phases, size / 3, lasts, load)
            }
            Appliance::Sauna => {
                let watts = dice.between(9, 16) * VOLTS;
                let hot = once(at, phases, watts, dice.between(1_500, 2_700), load);
                let thermostat = Bursts { on: (60, 240), duty: (50, 70), lasts: dice.between(1_200, 2_700) };
                thermostat.run(hot, phases, watts, dice, load)
            }
        }
    }
}

fn once(at: i64, phases: &[usize], watts: i64, lasts: i64, load: &mut Load) -> i64 {
    load.add(at, lasts, phases, watts);
    at + lasts
}

/// A thermostat or a regulator that switches: seconds on, percent of the time on, seconds in all.
struct Bursts {
    on: (i64, i64),
    duty: (i64, i64),
    lasts: i64,
}

impl Bursts {
    fn run(&self, from: i64, phases: &[usize], watts: i64, dice: &mut Dice, load: &mut Load) -> i64 {
        let mut at = from;
        while at < from + self.lasts {
            let on = dice.between(self.on.0, self.on.1);
            let off = on * 100 / dice.between(self.duty.0, self.duty.1) - on;
            at = once(at + off, phases, watts, on, load);
        }
        at
    }
}

/// Fridge and freezer: a compressor each, on for some 20 min of an hour.
fn cold_appliances(dice: &mut Dice, load: &mut Load) {
    for _ in 0..2 {
        let phase = dice.between(0, 2) as usize;
        let watts = dice.between(80, 140);
        let compressor = Bursts { on: (900, 1_500), duty: (30, 45), lasts: load.length() };
        compressor.run(-dice.between(0, 3_600), &[phase], watts, dice, load);
    }
}

/// What is always on, uneven over the phases, and lamps and screens in the evening.
fn stand_by(dice: &mut Dice, load: &mut Load) {
    for phase in 0..3 {
        load.add(0, load.length(), &[phase], dice.between(40, 130));
    }
    by_hours(&EVENING, dice.between(800, 2_400), dice, load);
}

/// So many Wh a day, in pieces of a quarter of an hour, by the weight of their hour, each on some phase.
fn by_hours(hours: &[u32; 24], wh_per_day: i64, dice: &mut Dice, load: &mut Load) {
    let sum: u32 = hours.iter().sum();
    for quarter in 0..load.length() / 900 {
        let weight = hours[(quarter / 4 % 24) as usize];
        let watts = wh_per_day * i64::from(weight) / i64::from(sum);
        let from = quarter * 900 + dice.between(0, 300);
        load.add(from, 900, &[dice.between(0, 2) as usize], watts * dice.between(50, 150) / 100);
    }
}

/// An inverter compressor that takes so many watts on average: 2 to 12 A on each phase, in ramps of 1 to 3 A a minute.
fn heat_pump(average: i64, dice: &mut Dice, load: &mut Load) {
    const LEAST: i64 = 2_000;
    const MOST: i64 = 12_000;
    let needed = average * 1000 / VOLTS / 3;
    if needed < LEAST / 20 {
        return;
    }
    let mut at = -dice.between(0, 3_600);
    while at < load.length() {
        let level = (needed * dice.between(130, 300) / 100).clamp(LEAST, MOST);
        let (ramp, lasts) = (dice.between(1_000, 3_000), dice.between(1_800, 5_400));
        let mut taken = 0;
        for second in 0..lasts {
            let milliamps = (LEAST + (level - LEAST).min(ramp * second / 60)).min(level);
            taken += milliamps;
            if let Some(slot) = usize::try_from(at + second).ok().and_then(|at| load.milliamps.get_mut(at)) {
                slot.iter_mut().for_each(|phase| *phase += milliamps as i32);
            }
        }
        // It rests until the average is right again.
        at += (taken / needed).max(lasts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes of 5 A and more from one second to the next: for each phase how many a day.
    fn big_steps_a_day(seconds: &[[i32; 3]]) -> [f64; 3] {
        let days = seconds.len() as f64 / DAY_S as f64;
        [0, 1, 2].map(|phase| {
            let is_big = |pair: &&[[i32; 3]]| (pair[1][phase] - pair[0][phase]).abs() >= 5_000;
            seconds.windows(2).filter(is_big).count() as f64 / days
        })
    }

    fn alone(appliance: Appliance, phases: &[usize], seed: u64) -> Vec<[i32; 3]> {
        let mut load = Load { milliamps: vec![[0; 3]; DAY_S as usize] };
        appliance.run(0, phases, &mut Dice::new(seed, 0), &mut load);
        load.milliamps
    }

    #[test]
    fn a_house_takes_its_energy_and_steps_as_often_as_measured_houses() {
        let mut all = Vec::new();
        for seed in 1..=10 {
            let house = House { seed, days: 3, ..House::default() };
            let seconds = house.seconds();
            let energy_wh = Load { milliamps: seconds.clone() }.energy_wh() / 3;
            assert!((30_000..40_000).contains(&energy_wh), "seed {seed}: {energy_wh} Wh a day");
            let steps = big_steps_a_day(&seconds);
            assert!(steps.iter().all(|steps| (10.0..200.0).contains(steps)), "seed {seed}: {steps:.0?} steps a day");
            all.extend(steps);
        }
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        assert!((40.0..=110.0).contains(&mean), "{mean:.0} steps a phase and day");
        all.sort_by(f64::total_cmp);
        let (low, high) = (all[all.len() / 5], all[all.len() * 4 / 5]);
        assert!(low >= 35.0 && high <= 115.0, "three phases in five: {low:.0} to {high:.0} steps");
    }

    #[test]
    fn each_appliance_has_its_size() {
        let sizes = [
            (Appliance::Kettle, vec![0], 8_690, 13_050),
            (Appliance::Oven, vec![0], 8_690, 15_220),
            (Appliance::Hob, vec![0, 1], 5_210, 16_090),
            (Appliance::Dryer, vec![0], 10_860, 10_870),
            (Appliance::HeatingRod, vec![0, 1, 2], 8_690, 13_050),
            (Appliance::WaterHeater, vec![0, 1, 2], 26_080, 34_790),
            (Appliance::Sauna, vec![0, 1, 2], 9_000, 16_000),
        ];
        for (appliance, phases, least, most) in sizes {
            for seed in 0..50 {
                let seconds = alone(appliance, &phases, seed);
                for phase in 0..3 {
                    let top = seconds.iter().map(|milliamps| milliamps[phase]).max().unwrap_or(0);
                    let is_in =
                        (least..=most).contains(&top) || (appliance == Appliance::Hob && phase == 1 && top == 0);
                    assert!(if phases.contains(&phase) { is_in } else { top == 0 }, "{appliance:?}: {top} mA");
                }
            }
        }
    }

    #[test]
    fn things_run_at_the_same_time_in_the_evening() {
        // Seconds of twenty days with 16 A and more on some phase: two of the larger appliances, or one and the heat pump.
        let seconds = House { days: 20, ..House::default() }.seconds();
        let mut by_hour = [0; 24];
        for (second, milliamps) in seconds.iter().enumerate() {
            by_hour[second / 3_600 % 24] += i32::from(milliamps.iter().any(|phase| *phase >= 16_000));
        }
        let (evening, night): (i32, i32) = (by_hour[17..20].iter().sum(), by_hour[1..5].iter().sum());
        assert!(evening > 1_200 && evening > 10 * night, "{by_hour:?}");
    }

    #[test]
    fn the_same_seed_is_the_same_house_and_another_one_another() {
        assert_eq!(house(3, 2), house(3, 2));
        assert_ne!(house(3, 2), house(4, 2));
        assert_eq!(house(3, 2).period(), Duration::from_secs(2 * 86_400));
        let single = House { seed: 3, is_single_phase: true, ..House::default() };
        assert!(single.seconds().iter().all(|milliamps| milliamps[1..] == [0, 0]));
        let energy_wh = |house: &House| Load { milliamps: house.seconds() }.energy_wh();
        assert_eq!(energy_wh(&single), energy_wh(&House { is_single_phase: false, ..single.clone() }));
        // A heater for water comes on top of what is there already.
        let with = House { seed: 3, has_water_heater: true, ..House::default() };
        let most = |house: &House| house.seconds().iter().flatten().copied().max().unwrap_or(0);
        assert!(most(&with) >= 26_000, "{} mA", most(&with));
    }
}
