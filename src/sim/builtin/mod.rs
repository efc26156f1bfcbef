//! Which scenarios does the simulator know by name?

mod houses;

use super::trace::Trace;
use super::{Scenario, Script};
use crate::time::Duration;
use crate::units::{Amps, PerPhase};
use std::sync::Arc;

/// The names, as `headroom simulate` takes them.
pub const NAMES: &[&str] = &["house", "house-slow-meter", "two-cars", "solar"];

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
}

impl Wanted {
    /// The scenario of that name.
    ///
    /// # Errors
    /// For people: there is none of that name.
    pub fn named(&self, name: &str) -> Result<Scenario, String> {
        match name {
            "house" => houses::house(self),
            "house-slow-meter" => houses::house_slow_meter(self),
            "two-cars" => houses::two_cars(self),
            "solar" => houses::solar(self),
            _ => Err(format!("no scenario `{name}`: one of {}, or a file such as house.toml", NAMES.join(", "))),
        }
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
