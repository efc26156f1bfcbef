//! What is going on? One picture for page, MQTT, command line: no outlet has a second opinion.

mod picture;

pub use picture::picture;

use crate::units::{Amps, PerPhase};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Everything that people may see. Currents are amperes, import positive.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The site's id, `[a-z0-9_-]+`.
    pub site: String,
    /// Name for people.
    pub name: String,
    /// Wall time of this picture.
    pub at: DateTime<Utc>,
    /// Seconds since the process started.
    pub uptime_s: u64,
    /// How many phases the site has: 1 or 3. The arrays always have three.
    pub phases: u8,
    /// The circuits, the grid connection first.
    pub circuits: Vec<CircuitStatus>,
    /// The EVSEs, in the configuration's order.
    pub evses: Vec<EvseStatus>,
    /// The inverters.
    pub inverters: Vec<InverterStatus>,
    /// The policy in force.
    pub policy: PolicyStatus,
    /// What someone should look at, the worst first.
    pub alarms: Vec<Alarm>,
    /// How many decisions have failed their own check since the process started.
    pub breaches: u32,
}

/// A circuit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CircuitStatus {
    /// Its id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// `unmetered`, `fresh`, `stale` or `lost`.
    pub freshness: String,
    /// Age of the sample in seconds; absent before the first and without a meter.
    pub age_s: Option<f64>,
    /// The fuse, each phase.
    pub limit_a: PerPhase<Amps>,
    /// Distance kept.
    pub margin_a: PerPhase<Amps>,
    /// All current; absent where nothing is known.
    pub load_a: Option<PerPhase<Amps>>,
    /// What the house takes: load less cars.
    pub house_a: Option<PerPhase<Amps>>,
    /// What our cars take.
    pub cars_a: PerPhase<Amps>,
    /// What is left now: limit − margin − load; may be negative.
    pub headroom_a: Option<PerPhase<Amps>>,
    /// Watts, import positive, where the meter gives them.
    pub power_w: Option<i32>,
    /// What cars have added above the limit since the process started, in ampere-seconds; zero without a meter.
    pub exposure_as: PerPhase<f64>,
    /// The longest time for which they did so without a break, in seconds.
    pub exposure_longest_s: f64,
    /// What the phase that carries most carries more than the one that carries least, as a mean of a minute; absent where
    /// that has no limit.
    pub unbalance_a: Option<Amps>,
}

/// An EVSE and its car.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EvseStatus {
    /// Its id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The circuit's id.
    pub circuit: String,
    /// Connected to us?
    pub online: bool,
    /// What the connector says: `charging`, `available`, …
    pub plug: String,
    /// What it may take: zero is a pause.
    pub setpoint_a: Amps,
    /// What it takes on the site's phases, measured or assumed.
    pub draw_a: PerPhase<Amps>,
    /// True where `draw_a` is the charger's own fresh measurement.
    pub is_measured: bool,
    /// Reason for machines.
    pub reason: String,
    /// Reason for people.
    pub words: String,
    /// The class that the policy puts it in; empty without a session.
    pub class: String,
    /// Who it is, if that may be shown.
    pub alias: Option<String>,
    /// Effective priority.
    pub priority: i8,
    /// Has it been put first for a while?
    #[serde(default)]
    pub is_boosted: bool,
    /// How it charges: `fast`, `eco`, `solar` or `off`; without a session, how one would.
    #[serde(default)]
    pub mode: String,
    /// Seconds since the session began; absent without one.
    pub session_s: Option<u64>,
    /// Energy of the session in kWh, where known.
    pub session_kwh: Option<f64>,
    /// What it falls back to without us.
    pub fallback_a: Amps,
    /// Seconds until the lease ends; absent where none stands.
    pub lease_s: Option<u64>,
}

/// An inverter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InverterStatus {
    /// Its id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Generated power in W; absent while it is silent (asleep at night).
    pub power_w: Option<i32>,
    /// Age of the reading in seconds.
    pub age_s: Option<f64>,
}

/// The policy in force.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// `cloud` or `local`.
    pub source: String,
    /// `fresh`, `stale`, `grace`, `default` or `tombstone`.
    pub state: String,
    /// The document's version; absent for the local default.
    pub version: Option<u64>,
    /// Seconds since the cloud last confirmed it; absent for the local default.
    pub age_s: Option<u64>,
    /// Why the last document was refused, if it was.
    pub refused: Option<String>,
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Stable id, `[a-z0-9_-]+`, such as `meter-grid-lost`.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// What failed, on what, what happens now, what to do.
    pub text: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// How bad an alarm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Cars are on fallback.
    Error,
    /// Someone should look today.
    Warning,
}
