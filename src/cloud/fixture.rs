//! What do the tests of this edge share? A home with two chargers, and documents for it.

use super::compile::Ground;
use crate::config::ChargerConfig;
use crate::policy::Policy;
use crate::site::{Circuit, CircuitId, Evse, LapseClass, Rotation, Site, Step, Tuning, Wiring};
use crate::time::Duration;
use crate::units::{Amps, PerPhase, Phase};
use headroom_policy::Addressee;
use serde_json::Value;

/// Every field there is; for [`us`].
pub(super) const EXAMPLE: &str = include_str!("../../docs/policy.json");

/// The example, to be changed.
pub(super) fn example() -> Value {
    serde_json::from_str(EXAMPLE).unwrap()
}

/// Who the example is for.
pub(super) fn us() -> Addressee {
    Addressee { gateway_id: "gw_7Q2M".into(), location_id: "loc_51AF".into() }
}

/// `evse1` speaks OCPP as HOME-1, `right` as HOME-2; no limits of its own.
pub(super) fn ground() -> Ground {
    let site = Site {
        id: "home".into(),
        name: "Home".into(),
        wiring: Wiring::Star,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::all(Amps::whole(13)),
        circuits: vec![Circuit {
            id: "main".into(),
            name: "Main fuse".into(),
            parent: None,
            limit: PerPhase::all(Amps::whole(25)),
            margin: PerPhase::all(Amps::whole(1)),
            meter: None,
            other_load: PerPhase::all(Amps::ZERO),
        }],
        evses: vec![evse("evse1"), evse("right")],
        meters: vec![],
        tuning: Tuning::default(),
    };
    Ground { local: Policy::open(2), site, chargers: vec![ocpp("HOME-1", 1), ocpp("HOME-2", 1)] }
}

/// A charger that dials in.
pub(super) fn ocpp(identity: &str, connector: u32) -> ChargerConfig {
    ChargerConfig::Ocpp { identity: identity.into(), connector, password: None }
}

fn evse(id: &str) -> Evse {
    Evse {
        id: id.into(),
        name: id.into(),
        circuit: CircuitId(0),
        rotation: Rotation::three(Phase::ALL),
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::whole(6),
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(13),
        lapse: LapseClass::B,
        metering: Some(Duration::from_secs(10)),
    }
}
