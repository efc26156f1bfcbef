//! Which houses does the simulator know by name? Each a file beside this one, its appliances and sky by seed.

use super::Wanted;
use crate::sim::appliances::House;
use crate::sim::sky::Sky;
use crate::sim::{Scenario, Script};
use std::sync::Arc;

/// A house with one car, and a week of its appliances.
pub(super) fn house(wanted: &Wanted) -> Result<Scenario, String> {
    begin(include_str!("house.toml"), wanted, Script::live_in)
}

/// The same behind a meter that speaks each 10 s.
pub(super) fn house_slow_meter(wanted: &Wanted) -> Result<Scenario, String> {
    begin(include_str!("house-slow-meter.toml"), wanted, Script::live_in)
}

/// Two hungry cars and hardly a house.
pub(super) fn two_cars(wanted: &Wanted) -> Result<Scenario, String> {
    begin(include_str!("two-cars.toml"), wanted, |_, _, _| {})
}

/// A house, a roof and a car on one phase.
pub(super) fn solar(wanted: &Wanted) -> Result<Scenario, String> {
    begin(include_str!("solar.toml"), wanted, |script, seed, days| {
        script.live_in(seed, days);
        if script.solar.is_none() {
            script.solar = Some(Arc::new(Sky { seed, days, ..Sky::default() }.trace()));
        }
    })
}

fn begin(text: &str, wanted: &Wanted, generate: impl Fn(&mut Script, u64, u32)) -> Result<Scenario, String> {
    let mut scenario = Scenario::parse(text)?;
    wanted.apply(&mut scenario);
    let days = scenario.span.as_secs().div_ceil(86_400);
    generate(&mut scenario.script, wanted.seed, u32::try_from(days).unwrap_or(u32::MAX));
    Ok(scenario)
}

impl Script {
    /// Appliances, unless what the house takes is given.
    fn live_in(&mut self, seed: u64, days: u32) {
        if self.base.is_none() {
            self.base = Some(Arc::new(House { seed, days, ..House::default() }.trace()));
        }
    }
}
