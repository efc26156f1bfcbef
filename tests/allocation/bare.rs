//! Which site has nothing but what the sharing asks for? Circuits and EVSEs; what rows can give is told beside it.

use headroom::site::{Circuit, CircuitId, Evse, LapseClass, Rotation, Site, Step, Tuning, Wiring};
use headroom::time::Duration;
use headroom::units::{Amps, PerPhase};

/// One circuit, and nobody there.
pub fn site(wiring: Wiring) -> Site {
    Site {
        id: String::new(),
        name: String::new(),
        wiring,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::default(),
        circuits: vec![circuit(None)],
        evses: vec![],
        meters: vec![],
        tuning: Tuning::default(),
    }
}

pub fn circuit(parent: Option<CircuitId>) -> Circuit {
    Circuit {
        id: String::new(),
        name: String::new(),
        parent,
        limit: PerPhase::default(),
        margin: PerPhase::default(),
        meter: None,
        other_load: PerPhase::default(),
    }
}

/// 6 A to 16 A, by the ampere.
pub fn evse(circuit: CircuitId, rotation: Rotation) -> Evse {
    Evse {
        id: String::new(),
        name: String::new(),
        circuit,
        rotation,
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::ZERO,
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(13),
        lapse: LapseClass::A,
        metering: None,
    }
}
