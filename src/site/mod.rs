//! What is there? The electrical picture of one grid connection, checked before it gets here.

mod step;

pub use step::{Currents, MOST_LISTED, Step};

use crate::units::{Amps, PerPhase, Phase, PhaseSet};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Index of a circuit in [`Site::circuits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CircuitId(pub usize);

/// Index of an EVSE in [`Site::evses`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EvseId(pub usize);

/// Index of a meter in [`Site::meters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MeterId(pub usize);

/// How loads hang between the conductors; what matters is the neutral, not the earthing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wiring {
    /// One phase and a neutral.
    Single,
    /// Three phases and a neutral.
    Star,
    /// Three phases without a neutral: one-phase loads hang between two lines.
    Delta,
}

impl Wiring {
    /// The phases that exist.
    pub const fn phases(self) -> PhaseSet {
        match self {
            Wiring::Single => PhaseSet::one(Phase::L1),
            Wiring::Star | Wiring::Delta => PhaseSet::ALL,
        }
    }

    /// What an ampere on each of these conductors takes, in milliwatts, rounded up. `millivolts` are those of each phase to
    /// the neutral; where there is none, between L1 and L2, L2 and L3, L3 and L1. A line alone cannot be there: it counts
    /// with both its neighbours.
    pub fn millivolts(self, millivolts: PerPhase<i32>, phases: PhaseSet) -> i64 {
        let [l12, l23, l31] = millivolts.0.map(i64::from);
        let has = |phase: Phase| phases.contains(phase);
        match (self, [has(Phase::L1), has(Phase::L2), has(Phase::L3)]) {
            (Wiring::Single | Wiring::Star, _) => phases.iter().map(|phase| i64::from(millivolts[phase])).sum(),
            (Wiring::Delta, [true, true, true]) => ((l12 + l23 + l31) as f64 / 3f64.sqrt()).ceil() as i64,
            (Wiring::Delta, [true, true, false]) => l12,
            (Wiring::Delta, [false, true, true]) => l23,
            (Wiring::Delta, [true, false, true]) => l31,
            (Wiring::Delta, [true, false, false]) => l31 + l12,
            (Wiring::Delta, [false, true, false]) => l12 + l23,
            (Wiring::Delta, [false, false, true]) => l23 + l31,
            (Wiring::Delta, [false, false, false]) => 0,
        }
    }
}

/// One grid connection and all behind it. Parents come before their children; circuit 0 is the grid connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Site {
    /// Short name, used in topics: `[a-z0-9_-]+`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// How loads hang between the conductors.
    pub wiring: Wiring,
    /// The lines on the other side of a transformer, if it is they that limit as well.
    pub primary: Option<Primary>,
    /// Limits beside the fuses.
    pub limits: Limits,
    /// The largest load of the house without cars that the installer states, each phase.
    pub house_worst: PerPhase<Amps>,
    /// The circuits; parents first, the root at 0.
    pub circuits: Vec<Circuit>,
    /// The EVSEs that we steer.
    pub evses: Vec<Evse>,
    /// The meters that measure circuits.
    pub meters: Vec<Meter>,
    /// The constants of control.
    pub tuning: Tuning,
}

/// The lines in delta on the other side of a transformer that feeds lines without a neutral. Their circuit stands
/// between the grid connection and the EVSEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Primary {
    /// The circuit that stands for them.
    pub circuit: CircuitId,
    /// |AB + BC − 2·CA| of the branches below, and in turn, is so many times what a line there carries: 4 from
    /// 120/208 V up to 480 V.
    pub ratio: u16,
}

/// Limits beside the fuses: they concern sets of loads, in watts, or what one conductor carries more than another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of all that the grid connection takes, net of what is fed in: what is contracted.
    pub contract: Option<i32>,
    /// Of all EVSEs together, whatever the house takes: what the grid operator leaves them (§14a EnWG).
    pub dso: Option<i32>,
    /// What one phase of the grid connection may carry more than another: a wish of the grid, no fuse's.
    pub unbalance: Option<Amps>,
}

/// A conductor with a fuse.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Circuit {
    /// Its id in the configuration.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The circuit that feeds it; `None` for the root only.
    pub parent: Option<CircuitId>,
    /// Never exceed, each phase.
    pub limit: PerPhase<Amps>,
    /// Distance kept from the limit, each phase.
    pub margin: PerPhase<Amps>,
    /// The meter that measures it, if any.
    pub meter: Option<MeterId>,
    /// Where it has no meter: the stated load besides our cars, each phase.
    pub other_load: PerPhase<Amps>,
}

/// A meter as control sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meter {
    /// Its id in the configuration.
    pub id: String,
    /// What it measures.
    pub circuit: CircuitId,
    /// The configured interval or the device's refresh period, whichever is longer.
    pub interval: Duration,
    /// The smallest step it can show.
    pub resolution: Amps,
}

impl Meter {
    /// Above this age there are no raises.
    pub fn stale_after(&self, tuning: &Tuning) -> Duration {
        (self.interval * 2).max(tuning.stale_after)
    }

    /// Above this age it is lost.
    pub fn lost_after(&self, tuning: &Tuning) -> Duration {
        (self.interval * 3).max(tuning.lost_after)
    }
}

/// Does the charger's own limit lapse when we fall silent?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LapseClass {
    /// It expires by itself (a profile with an end, `valid_s`, a watchdog register).
    A,
    /// It falls back when the connection is lost.
    B,
    /// It keeps the last limit for ever: budgeted at its physical maximum.
    C,
}

/// The part of a charger that charges one car and that we steer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Evse {
    /// Its id in the configuration: `[a-z0-9_-]+`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The circuit that feeds it.
    pub circuit: CircuitId,
    /// Which site phase feeds the charger's L1, L2, L3; as many as are wired.
    pub rotation: Rotation,
    /// The least current it can charge at.
    pub least: Amps,
    /// The most current that cable and hardware allow.
    pub most: Amps,
    /// What it falls back to by itself: zero or least…most.
    pub fallback: Amps,
    /// The currents that it can be told.
    pub step: Step,
    /// How long a setpoint stands without us.
    pub lease: Duration,
    /// Setpoint sent to current seen changed, the worst that is usual.
    pub response: Duration,
    /// What happens to its limit when we are gone.
    pub lapse: LapseClass,
    /// How often it is expected to report its own measured current; `None` if it has no meter.
    pub metering: Option<Duration>,
}

/// What a charger has said stands no longer than this.
pub const BELIEVED: Duration = Duration::from_secs(20);

impl Evse {
    /// Does its own meter speak so often that what it takes is known all the time? One that speaks more rarely than it is
    /// believed is in between taken for one without a meter.
    pub fn is_always_known(&self) -> bool {
        self.metering.is_some_and(|interval| interval <= BELIEVED)
    }
}

/// Which site phase feeds each of a charger's phase terminals, L1 first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    terminals: [Phase; 3],
    wired: usize,
    /// The line on which the only terminal's current returns, where there is no neutral.
    back: Option<Phase>,
}

impl Rotation {
    /// Three wired terminals.
    pub const fn three(terminals: [Phase; 3]) -> Self {
        Rotation { terminals, wired: 3, back: None }
    }

    /// One wired terminal.
    pub const fn one(phase: Phase) -> Self {
        Rotation { terminals: [phase, phase, phase], wired: 1, back: None }
    }

    /// One wired terminal between two lines (no neutral): its current flows in both.
    pub const fn between(phase: Phase, back: Phase) -> Self {
        Rotation { terminals: [phase, phase, phase], wired: 1, back: Some(back) }
    }

    /// `RST`, `STR`, `TRS`, `RTS`, `SRT`, `TSR` (OCPP's ConnectorPhaseRotation), `R`, `S`, `T` where one phase is wired,
    /// or `RS`, `ST`, `TR` between two lines where there is no neutral.
    pub fn parse(text: &str) -> Option<Self> {
        let letter = |c: char| match c {
            'R' => Some(Phase::L1),
            'S' => Some(Phase::L2),
            'T' => Some(Phase::L3),
            _ => None,
        };
        let phases: Vec<Phase> = text.chars().map(letter).collect::<Option<_>>()?;
        match *phases.as_slice() {
            [only] => Some(Rotation::one(only)),
            [a, b] if a != b => Some(Rotation::between(a, b)),
            [a, b, c] if a != b && b != c && a != c => Some(Rotation::three([a, b, c])),
            _ => None,
        }
    }

    /// How many terminals are wired: 1 or 3.
    pub const fn wired(&self) -> usize {
        self.wired
    }

    /// The site phase that feeds this terminal (0 is the charger's L1); `None` if it is not wired.
    pub fn site_phase(&self, terminal: usize) -> Option<Phase> {
        self.terminals[..self.wired].get(terminal).copied()
    }

    /// All site phases that feed it.
    pub fn phases(&self) -> PhaseSet {
        self.terminals[..self.wired].iter().chain(&self.back).fold(PhaseSet::NONE, |set, phase| set.with(*phase))
    }

    /// The two lines between which it hangs, if it does.
    pub fn lines(&self) -> Option<(Phase, Phase)> {
        self.back.map(|back| (self.terminals[0], back))
    }

    /// The charger's own readings put on the site's phases.
    pub fn to_site(&self, own: &PerPhase<Amps>) -> PerPhase<Amps> {
        let mut site = PerPhase::all(Amps::ZERO);
        for (terminal, amps) in own.0.iter().enumerate() {
            if let Some(phase) = self.site_phase(terminal) {
                site[phase] += *amps;
            }
        }
        if let Some(back) = self.back {
            site[back] += own[Phase::L1];
        }
        site
    }
}

/// The constants of control (docs/CONFIG.md, `[control]`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tuning {
    /// No raise on a row for so long after its last cut.
    pub hold: Duration,
    /// Nobody is raised above what has fitted for so long, and five times as long where a phase has been cut again and
    /// again; at most a minute.
    pub memory: Duration,
    /// The longest rest of a paused car; after its first pause it rests a fifth of that.
    pub restart: Duration,
    /// A car keeps its turn at least so long where the minimums do not all fit.
    pub dwell: Duration,
    /// How long a car stays whose driver has not said it: turns are so long that few end in such a stay.
    pub usual_stay: Duration,
    /// Each full span of waiting adds 1 to the effective priority, at most +3; `None`: no ageing.
    pub ageing: Option<Duration>,
    /// Raises smaller than this are not worth a message.
    pub dead_band: Amps,
    /// A sample older than this (and than 2 intervals) is stale.
    pub stale_after: Duration,
    /// A sample older than this (and than 3 intervals) is lost.
    pub lost_after: Duration,
    /// After a loss, so many good samples make it fresh again.
    pub good_samples: u32,
    /// Volts that drive a car's current: phase to neutral, or line to line where there is no neutral.
    pub volts: i64,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            hold: Duration::from_secs(10),
            memory: Duration::from_secs(18),
            restart: Duration::from_secs(300),
            dwell: Duration::from_secs(900),
            usual_stay: Duration::from_secs(10 * 3_600),
            ageing: Some(Duration::from_secs(900)),
            dead_band: Amps::milli(500),
            stale_after: Duration::from_secs(3),
            lost_after: Duration::from_secs(10),
            good_samples: 10,
            volts: 230,
        }
    }
}

impl Site {
    /// The grid connection.
    pub const ROOT: CircuitId = CircuitId(0);

    /// Volts that drive a car's current: phase to neutral, or line to line where there is no neutral.
    pub fn volts(&self) -> i64 {
        self.tuning.volts
    }

    /// The volts of [`Self::volts`] in millivolts, on each phase or between each two lines.
    pub fn nominal_millivolts(&self) -> PerPhase<i32> {
        let millivolts = (self.volts() * 1000) as i32;
        PerPhase::from_fn(|phase| if self.wiring.phases().contains(phase) { millivolts } else { 0 })
    }

    /// What an ampere on each wired terminal of an EVSE has of power a terminal, in whole volts, rounded down: three
    /// terminals without a neutral have 1/√3 of the voltage between them.
    pub fn terminal_volts(&self, rotation: &Rotation) -> i64 {
        let millivolts = self.wiring.millivolts(self.nominal_millivolts(), rotation.phases());
        millivolts / 1000 / rotation.wired() as i64
    }

    /// Do currents add up as phasors? Without a neutral, and where nothing is metered: a meter says how much flows, and
    /// not at which angle to the cars' currents.
    pub fn adds_phasors(&self) -> bool {
        self.wiring == Wiring::Delta && self.meters.is_empty()
    }

    /// By how much a line's current falls at least when a car's on it falls by so much. Without a neutral what flows already
    /// may stand at 60° to that, and half of it shows.
    pub fn shown_of(&self, fall: Amps) -> Amps {
        match self.wiring {
            Wiring::Single | Wiring::Star => fall,
            Wiring::Delta => fall.scaled(1, 2),
        }
    }

    /// This circuit.
    pub fn circuit(&self, id: CircuitId) -> &Circuit {
        &self.circuits[id.0]
    }

    /// This EVSE.
    pub fn evse(&self, id: EvseId) -> &Evse {
        &self.evses[id.0]
    }

    /// This circuit and all that feed it, up to the root.
    pub fn path(&self, from: CircuitId) -> impl Iterator<Item = CircuitId> + '_ {
        std::iter::successors(Some(from), |id| self.circuit(*id).parent)
    }

    /// Does `evse` hang below `circuit` (or directly on it)?
    pub fn feeds(&self, circuit: CircuitId, evse: EvseId) -> bool {
        self.path(self.evse(evse).circuit).any(|id| id == circuit)
    }

    /// EVSEs below it that say too rarely what they take for its meter to be held against that.
    pub fn seldom_heard(&self, circuit: CircuitId) -> impl Iterator<Item = &Evse> {
        let below = self.evse_ids().filter(move |id| self.feeds(circuit, *id)).map(|id| self.evse(id));
        below.filter(|evse| !evse.is_always_known())
    }

    /// All EVSE ids, in order.
    pub fn evse_ids(&self) -> impl Iterator<Item = EvseId> + use<> {
        (0..self.evses.len()).map(EvseId)
    }

    /// All circuit ids, parents first.
    pub fn circuit_ids(&self) -> impl Iterator<Item = CircuitId> + use<> {
        (0..self.circuits.len()).map(CircuitId)
    }
}
