//! Why is a setpoint what it is? One list of reasons for page, MQTT, log and command line.

use crate::policy::Why;
use crate::site::{CircuitId, Site};
use crate::units::{Amps, Phase};
use serde::{Deserialize, Serialize};

/// Why a setpoint is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// No car, nothing to give.
    NoCar,
    /// A car, but no session yet.
    NoSession,
    /// The car has all that it or its cable can take.
    Full,
    /// The car says that it wants none now; the setpoint is what it could have.
    CarRests,
    /// This phase of this circuit carries no more.
    Circuit(CircuitId, Phase),
    /// The power that is contracted for this circuit is all used.
    Contract(CircuitId),
    /// The grid operator has limited the power of controllable devices (§14a EnWG).
    Dso,
    /// This phase would carry too much more than another one of the grid connection.
    Unbalance(Phase),
    /// The policy allows no more here.
    PolicyCeiling,
    /// The policy does not let this token charge here.
    Denied,
    /// It is outside the hours at which its holder may charge.
    Schedule,
    /// What its holder may take in this day, week or month is used up.
    Quota,
    /// Its holder's right was withdrawn while it charged.
    Revoked,
    /// Somebody at the site has paused it.
    Paused,
    /// Its mode is off.
    Off,
    /// It charges from the sun only, and waits for it.
    SolarWait,
    /// It has its share of what the sun gives, or the least that its mode leaves it.
    Solar,
    /// Its minimum does not fit beside the others on this phase; it waits for its turn.
    Waiting(CircuitId, Phase),
    /// Paused a while ago; a restart is not worth it yet.
    Resting,
    /// It could have more, once the last cut on its row is long enough ago.
    Hold,
    /// It could have more, once another car's cut is proven.
    AwaitsCut,
    /// No raises: the meter of this circuit is stale.
    MeterStale(CircuitId),
    /// The meter of this circuit is lost (or has not been heard yet): fallback.
    MeterLost(CircuitId),
    /// The meter of this circuit shows what cars take on this phase elsewhere, or with the wrong sign: fallback.
    MeterWiring(CircuitId, Phase),
    /// Lowered for a moment to try the meter of this circuit: it has said nothing new for long, or something strange.
    MeterTest(CircuitId),
    /// The charger cannot be reached; this is what it counts for.
    Unreachable,
    /// The charger takes more than it was told; the others make room.
    Disobeys,
    /// Our own decision failed its check: fallback.
    Breach,
}

impl From<Why> for Reason {
    fn from(why: Why) -> Self {
        match why {
            Why::Schedule => Reason::Schedule,
            Why::Quota => Reason::Quota,
            Why::Revoked => Reason::Revoked,
            Why::Paused => Reason::Paused,
            Why::Off => Reason::Off,
        }
    }
}

impl Reason {
    /// The row that holds it down, if one does.
    pub fn row(&self) -> Option<(CircuitId, Phase)> {
        match self {
            Reason::Circuit(circuit, phase) | Reason::Waiting(circuit, phase) => Some((*circuit, *phase)),
            Reason::NoCar
            | Reason::NoSession
            | Reason::Full
            | Reason::CarRests
            | Reason::Contract(_)
            | Reason::Dso
            | Reason::Unbalance(_)
            | Reason::PolicyCeiling
            | Reason::Denied
            | Reason::Schedule
            | Reason::Quota
            | Reason::Revoked
            | Reason::Paused
            | Reason::Off
            | Reason::SolarWait
            | Reason::Solar
            | Reason::Resting
            | Reason::Hold
            | Reason::AwaitsCut
            | Reason::MeterStale(_)
            | Reason::MeterLost(_)
            | Reason::MeterWiring(..)
            | Reason::MeterTest(_)
            | Reason::Unreachable
            | Reason::Disobeys
            | Reason::Breach => None,
        }
    }

    /// One short word for machines (MQTT, JSON, metrics).
    pub fn code(&self) -> &'static str {
        match self {
            Reason::NoCar => "no_car",
            Reason::NoSession => "no_session",
            Reason::Full => "full",
            Reason::CarRests => "car_rests",
            Reason::Circuit(Site::ROOT, _) => "main_fuse",
            Reason::Circuit(..) => "circuit_fuse",
            Reason::Contract(_) => "contract_power",
            Reason::Dso => "dso_limit",
            Reason::Unbalance(_) => "unbalance",
            Reason::PolicyCeiling => "policy_ceiling",
            Reason::Denied => "denied",
            Reason::Schedule => "schedule",
            Reason::Quota => "quota",
            Reason::Revoked => "revoked",
            Reason::Paused => "paused",
            Reason::Off => "off",
            Reason::SolarWait => "solar_wait",
            Reason::Solar => "solar",
            Reason::Waiting(..) => "waiting",
            Reason::Resting => "resting",
            Reason::Hold => "hold",
            Reason::AwaitsCut => "awaits_cut",
            Reason::MeterStale(_) => "meter_stale",
            Reason::MeterLost(_) => "meter_lost",
            Reason::MeterWiring(..) => "meter_wiring",
            Reason::MeterTest(_) => "meter_test",
            Reason::Unreachable => "unreachable",
            Reason::Disobeys => "disobeys",
            Reason::Breach => "breach",
        }
    }

    /// The circuit that it speaks of, if any.
    pub fn circuit(&self) -> Option<CircuitId> {
        match self {
            Reason::Circuit(circuit, _)
            | Reason::Waiting(circuit, _)
            | Reason::MeterStale(circuit)
            | Reason::MeterLost(circuit)
            | Reason::MeterWiring(circuit, _)
            | Reason::MeterTest(circuit) => Some(*circuit),
            _ => None,
        }
    }

    /// A sentence for people, without the current itself.
    pub fn words(&self, site: &Site) -> String {
        let limit = |circuit: &CircuitId, phase: &Phase| -> (String, Amps) {
            let circuit = site.circuit(*circuit);
            (circuit.name.clone(), circuit.limit[*phase])
        };
        match self {
            Reason::NoCar => "no car".into(),
            Reason::NoSession => "car connected, not started".into(),
            Reason::Full => "all the car can take".into(),
            Reason::CarRests => "the car does not want any now".into(),
            Reason::Circuit(circuit, phase) => {
                let (name, fuse) = limit(circuit, phase);
                format!("{phase} of {name} ({fuse}) is full")
            }
            Reason::Contract(circuit) => format!("the contracted power of {} is used", site.circuit(*circuit).name),
            Reason::Dso => "the grid operator allows no more now".into(),
            Reason::Unbalance(phase) => match site.limits.unbalance {
                Some(most) => format!("{phase} may carry no more than {most} beyond another phase"),
                None => format!("{phase} may carry no more beyond another phase"),
            },
            Reason::PolicyCeiling => "the most that is allowed here".into(),
            Reason::Denied => "not allowed to charge here".into(),
            Reason::Schedule => "outside the hours agreed for it".into(),
            Reason::Quota => "the energy agreed for this period is used up".into(),
            Reason::Revoked => "the right to charge was withdrawn".into(),
            Reason::Paused => "paused by hand".into(),
            Reason::Off => "switched off: its mode is off".into(),
            Reason::SolarWait => "waits for the sun".into(),
            Reason::Solar => "no more from the sun now".into(),
            Reason::Waiting(circuit, phase) => {
                let (name, _) = limit(circuit, phase);
                format!("waiting: its minimum does not fit on {phase} of {name}")
            }
            Reason::Resting => "paused lately; restarts once there has been room for a while".into(),
            Reason::Hold => "room again, rises in a moment".into(),
            Reason::AwaitsCut => "rises when another car has made room".into(),
            Reason::MeterStale(circuit) => format!("meter of {} is late: no raises", site.circuit(*circuit).name),
            Reason::MeterLost(circuit) => format!("meter of {} is silent: fallback", site.circuit(*circuit).name),
            Reason::MeterWiring(circuit, phase) => {
                format!("{phase} is not what the meter of {} shows as {phase}: fallback", site.circuit(*circuit).name)
            }
            Reason::MeterTest(circuit) => {
                format!("lowered for a moment to try the meter of {}", site.circuit(*circuit).name)
            }
            Reason::Unreachable => "charger not reachable: it falls back by itself".into(),
            Reason::Disobeys => "takes more than it was told; the others make room".into(),
            Reason::Breach => "internal check failed: fallback".into(),
        }
    }
}
