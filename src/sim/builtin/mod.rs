//! Which scenarios does the simulator know by name?

mod acn;
mod campus;
mod faults;
mod garage;
mod houses;

pub use faults::faults;

use super::trace::Trace;
use super::{Car, Scenario, Script, sessions};
use crate::time::Duration;
use crate::units::{Amps, PerPhase};
use std::sync::Arc;

/// The names, as `headroom simulate` takes them.
pub const NAMES: &[&str] = &["house", "house-slow-meter", "two-cars", "solar", "garage", "acn", "faults"];

/// What is asked of a scenario beside its name.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Chooses all that is left to chance.
    pub seed: u64,
    /// How many days; `None`: as the scenario says.
    pub days: Option<u32>,
    /// What the house takes without cars, in place of what the scenario says.
    pub base: Option<Arc<Trace<PerPhase<Amps>>>>,
    /// What the sun gives.
    pub solar: Option<Arc<Trace<i32>>>,
    /// Who comes (CSV, [`sessions::FORM`]), in place of the scenario's own cars.
    pub sessions: Option<String>,
    /// What the transformer of `acn` gives, in kW; `None`: 30.
    pub limit_kw: Option<f64>,
    /// `acn` without a least current and without steps.
    pub is_continuous: bool,
    /// `acn` as if currents of different angles added up as numbers.
    pub is_plain: bool,
    /// Drivers do not say when they leave and how much they want.
    pub is_unknown: bool,
}

impl Wanted {
    /// The scenario of that name.
    ///
    /// # Errors
    /// For people: there is none of that name.
    pub fn named(&self, name: &str) -> Result<Scenario, String> {
        match name {
            "house" => self.visited(houses::house(self)?, &Car::default()),
            "house-slow-meter" => self.visited(houses::house_slow_meter(self)?, &Car::default()),
            "two-cars" => self.visited(houses::two_cars(self)?, &Car::default()),
            "solar" => self.visited(houses::solar(self)?, &Car::default()),
            "garage" => {
                let mut scenario = garage::garage(self.seed);
                self.apply(&mut scenario);
                self.visited(scenario, &Car::default())
            }
            "acn" => self.acn(),
            "faults" => {
                let mut scenario = faults::faults(self.seed);
                self.apply(&mut scenario);
                self.visited(scenario, &Car::default())
            }
            _ => Err(format!("no scenario `{name}`: one of {}, or a file such as house.toml", NAMES.join(", "))),
        }
    }

    fn acn(&self) -> Result<Scenario, String> {
        let limit_kw = self.limit_kw.unwrap_or(acn::LIMIT_KW);
        let mut scenario = acn::acn(limit_kw, self.is_continuous);
        if self.is_plain {
            acn::add_plainly(&mut scenario.site);
        }
        self.apply(&mut scenario);
        let kind = acn::car(self.is_continuous);
        if self.sessions.is_none() {
            let days = scenario.span.as_secs().div_ceil(86_400);
            let visits = campus::visits(&scenario.site, self.seed, days);
            scenario.visit(&visits, &kind, !self.is_unknown)?;
        }
        self.visited(scenario, &kind)
    }

    /// The sessions that are given in place of the scenario's own cars; cars of this kind, but for what a session says.
    ///
    /// # Errors
    /// For people: what is wrong with a line of them.
    pub fn visited(&self, mut scenario: Scenario, kind: &Car) -> Result<Scenario, String> {
        if let Some(text) = &self.sessions {
            let visits = sessions::read(text, &scenario.site).map_err(|fault| format!("sessions: {fault}"))?;
            scenario.visit(&visits, kind, !self.is_unknown)?;
        }
        Ok(scenario)
    }

    /// Seed, days and traces in place of the scenario's own.
    pub fn apply(&self, scenario: &mut Scenario) {
        let script: &mut Script = &mut scenario.script;
        script.seed = self.seed;
        if let Some(days) = self.days {
            scenario.span = Duration::from_secs(u64::from(days) * 86_400);
        }
        if let Some(base) = &self.base {
            script.base = Some(base.clone());
        }
        if let Some(solar) = &self.solar {
            script.solar = Some(solar.clone());
        }
    }
}
