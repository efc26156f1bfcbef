//! How is written down what a scenario's plant is made of? Its constants, a generated house, a generated sky.

use super::appliances::House;
use super::charger::Network;
use super::file::{amps, one_of, seconds};
use super::script::Script;
use super::sky::{Sky, Weather};
use super::trace::Trace;
use crate::site::Wiring;
use crate::time::Duration;
use crate::units::{Amps, PerPhase};
use serde::Deserialize;

/// What is left out is as in [`Script::default`].
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct RawPlant {
    seed: Option<u64>,
    noise_a: Option<f64>,
    charger_step_a: Option<f64>,
    pilot_pace_s: Option<f64>,
    round_trip_ms: Option<u64>,
    jitter_ms: Option<u64>,
    lost_permille: Option<u32>,
    answers_after_s: Option<f64>,
    meter_latency_ms: Option<u64>,
    meter_jitter_ms: Option<u64>,
    meter_lost_permille: Option<u32>,
    meter_volts: Option<bool>,
}

impl RawPlant {
    /// Chooses whatever is left to chance.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(Script::default().seed)
    }

    /// All but what happens.
    pub fn script(&self) -> Script {
        let usual = Script::default();
        Script {
            noise: self.noise_a.map_or(usual.noise, amps),
            seed: self.seed(),
            charger_step: self.charger_step_a.map_or(usual.charger_step, amps),
            pilot_pace: self.pilot_pace_s.map_or(usual.pilot_pace, seconds),
            meter_latency: self.meter_latency_ms.map_or(usual.meter_latency, Duration::from_millis),
            meter_jitter: self.meter_jitter_ms.map_or(usual.meter_jitter, Duration::from_millis),
            meter_lost_permille: self.meter_lost_permille.unwrap_or(usual.meter_lost_permille),
            meter_volts: self.meter_volts.unwrap_or(usual.meter_volts),
            ..usual
        }
    }

    /// What all chargers have from the start.
    pub fn network(&self) -> Network {
        let usual = Network::default();
        Network {
            round_trip: self.round_trip_ms.map_or(usual.round_trip, Duration::from_millis),
            jitter: self.jitter_ms.map_or(usual.jitter, Duration::from_millis),
            lost_permille: self.lost_permille.unwrap_or(usual.lost_permille),
            answers_after: self.answers_after_s.map_or(usual.answers_after, seconds),
        }
    }
}

/// What is left out is as in [`House::default`]; the seed is the plant's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHouse {
    days: Option<u32>,
    kwh: Option<f64>,
    heat_pump: Option<bool>,
    water_heater: Option<bool>,
    sauna: Option<bool>,
}

impl RawHouse {
    /// What it takes beside all that actions say.
    pub fn trace(&self, seed: u64, wiring: Wiring) -> Trace<PerPhase<Amps>> {
        let usual = House::default();
        let house = House {
            seed,
            days: self.days.unwrap_or(usual.days),
            wh_per_day: self.kwh.map_or(usual.wh_per_day, |kwh| (kwh * 1000.0) as i64),
            is_single_phase: wiring == Wiring::Single,
            has_heat_pump: self.heat_pump.unwrap_or(usual.has_heat_pump),
            has_water_heater: self.water_heater.unwrap_or(usual.has_water_heater),
            has_sauna: self.sauna.unwrap_or(usual.has_sauna),
        };
        house.trace()
    }
}

/// What is left out is as in [`Sky::default`]; the seed is the plant's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSky {
    days: Option<u32>,
    kwp: Option<f64>,
    sunrise_h: Option<f64>,
    sunset_h: Option<f64>,
    weather: Option<String>,
}

impl RawSky {
    /// What the inverter gives beside all that actions say.
    pub fn trace(&self, seed: u64) -> Result<Trace<i32>, String> {
        let usual = Sky::default();
        let kinds = [
            ("clear", Weather::Clear),
            ("broken", Weather::Broken),
            ("overcast", Weather::Overcast),
            ("mixed", Weather::Mixed),
        ];
        let of_day = |hours: f64| (hours * 3_600.0) as u32;
        let sky = Sky {
            seed,
            days: self.days.unwrap_or(usual.days),
            watts_peak: self.kwp.map_or(usual.watts_peak, |kwp| (kwp * 1000.0) as i32),
            sunrise_s: self.sunrise_h.map_or(usual.sunrise_s, of_day),
            sunset_s: self.sunset_h.map_or(usual.sunset_s, of_day),
            weather: self.weather.as_deref().map_or(Ok(usual.weather), |word| one_of(word, &kinds))?,
        };
        Ok(sky.trace())
    }
}
