//! How does a site behave that is not there? One plant model for the demo, the simulator and the scenario tests.
//!
//! Pure and told the time: the same script gives the same truth. [`Plant`] holds house, sun, cars, chargers and meters;
//! [`Script`] says what happens; [`run`] lets control steer the plant in simulated time.

pub mod appliances;
mod blame;
mod breaker;
pub mod builtin;
mod car;
mod charger;
mod curve;
pub(crate) mod dice;
mod file;
mod file_action;
mod file_plant;
mod flow;
mod meter;
mod oracle;
mod outside;
mod plant;
mod reference;
mod scenario;
mod score;
mod script;
pub mod sessions;
pub mod sky;
mod stand;
mod stay;
pub mod trace;

pub use blame::{Blame, Cause, Outcome, Peak};
pub use breaker::{Breaker, Replica};
pub use car::{Car, VOLTS};
pub use charger::{Ears, Network};
pub use file::Scenario;
pub use flow::Flow;
pub use meter::{VirtualMeter, Voice};
pub use outside::Outside;
pub use plant::{Plant, TICK};
pub use reference::Reference;
pub use scenario::{Frame, Headroom, Law, run, run_by};
pub use score::{Judge, Score};
pub use script::{Action, Script};

use crate::time::Moment;
use std::collections::VecDeque;

/// The next that has arrived by now, from a queue in the order of arrival.
fn arrived<T>(under_way: &mut VecDeque<(Moment, T)>, now: Moment) -> Option<T> {
    if under_way.front().is_some_and(|(at, _)| *at <= now) {
        under_way.pop_front().map(|(_, thing)| thing)
    } else {
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::site::{Circuit, CircuitId, Evse, LapseClass, Meter, MeterId, Rotation, Site, Step, Tuning, Wiring};
    use crate::time::Duration;
    use crate::units::{Amps, PerPhase, Phase};

    /// A three-phase EVSE on the grid connection.
    pub fn evse(id: &str) -> Evse {
        Evse {
            id: id.into(),
            name: id.into(),
            circuit: CircuitId(0),
            rotation: Rotation::three([Phase::L1, Phase::L2, Phase::L3]),
            least: Amps::whole(6),
            most: Amps::whole(16),
            fallback: Amps::whole(6),
            step: Step::Multiple(Amps::whole(1)),
            lease: Duration::from_secs(120),
            response: Duration::from_secs(6),
            lapse: LapseClass::A,
            metering: None,
        }
    }

    /// 25 A, one meter a second.
    pub fn site(evses: Vec<Evse>) -> Site {
        Site {
            id: "test".into(),
            name: "Test".into(),
            wiring: Wiring::Star,
            primary: None,
            limits: Default::default(),
            house_worst: PerPhase::all(Amps::whole(13)),
            circuits: vec![Circuit {
                id: "main".into(),
                name: "Main".into(),
                parent: None,
                limit: PerPhase::all(Amps::whole(25)),
                margin: PerPhase::all(Amps::whole(1)),
                meter: Some(MeterId(0)),
                other_load: PerPhase::default(),
            }],
            evses,
            meters: vec![Meter {
                id: "grid".into(),
                circuit: CircuitId(0),
                interval: Duration::from_secs(1),
                resolution: Amps::milli(100),
            }],
            tuning: Tuning::default(),
        }
    }
}
