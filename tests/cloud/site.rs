//! Where do the documents hold? A home with one EVSE.

use headroom::site::{Circuit, CircuitId, Evse, LapseClass, Rotation, Site, Step, Tuning, Wiring};
use headroom::units::{Amps, PerPhase, Phase};
use std::time::Duration;

/// A main fuse of 25 A, and `left` behind it.
pub fn home() -> Site {
    let evse = Evse {
        id: "left".into(),
        name: "Left".into(),
        circuit: CircuitId(0),
        rotation: Rotation::three(Phase::ALL),
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::whole(6),
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(13),
        lapse: LapseClass::B,
        metering: None,
    };
    let main = Circuit {
        id: "main".into(),
        name: "Main fuse".into(),
        parent: None,
        limit: PerPhase::all(Amps::whole(25)),
        margin: PerPhase::all(Amps::whole(1)),
        meter: None,
        other_load: PerPhase::all(Amps::ZERO),
    };
    Site {
        id: "home".into(),
        name: "Home".into(),
        wiring: Wiring::Star,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::all(Amps::whole(13)),
        circuits: vec![main],
        evses: vec![evse],
        meters: vec![],
        tuning: Tuning::default(),
    }
}
