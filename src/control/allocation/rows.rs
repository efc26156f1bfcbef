//! What can each row still give?

use super::Ask;
use super::phasor::{self, Form};
use super::plan::{Addition, Path, Plan};
use crate::control::reason::Reason;
use crate::site::{CircuitId, EvseId};
use crate::units::{Amps, PerPhase, Phase, PhaseSet};
use std::hint::select_unpredictable;

/// Ticks to a milliampere. Currents are whole ticks in an f64, which adds them without error up to 137 GA; between ticks
/// nothing is shared out.
pub(super) const TICKS: f64 = 65_536.0;
/// Where square roots are taken, so much beyond a limit is rounding: 15 nA.
const ROUNDING: f64 = 1.0;
/// A branch that rises by less than this does not rise: what is left of sums of thirds. The smallest weight is 1.
const NO_RISE: f64 = 1e-3;
/// The row of a node that holds its power; the first three are its lines.
const POWER: usize = 3;

/// One number for each row of a node.
pub(super) type Rows = [f64; 4];

/// Which rows a current loads: the index of its phases, and that of those which it loads more than others.
#[derive(Debug, Clone, Copy)]
pub struct Load(u8, u8);

impl From<PhaseSet> for Load {
    fn from(phases: PhaseSet) -> Self {
        Load(index(phases), 0)
    }
}

impl From<&Ask> for Load {
    fn from(ask: &Ask) -> Self {
        Load(index(ask.phases), index(ask.uneven))
    }
}

/// What every circuit, and every set that shares a power, can give to those who ask; it may be less than nothing. What
/// is taken is remembered beside it, a line or a branch, so that currents without a neutral add up as they do.
#[derive(Debug, Clone)]
pub struct Capacity {
    /// What 1 A of an ask takes, by the way in which a node adds up and by the ask's phases: amperes, and millivolts.
    pub(super) shares: [[Rows; 8]; 3],
    limit: Vec<Rows>,
    pub(super) used: Vec<Rows>,
}

/// The row of a node that gives least, and how much of what is asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bound {
    pub reach: f64,
    pub row: usize,
    pub corner: usize,
}

impl Bound {
    const NONE: Bound = Bound { reach: f64::INFINITY, row: 0, corner: 0 };

    fn or(self, reach: f64, row: usize, corner: usize) -> Bound {
        if reach < self.reach { Bound { reach, row, corner } } else { self }
    }
}

impl Capacity {
    /// No row has a limit, nothing is taken, and the voltage is what this part of the world calls nominal: 230 V to the
    /// neutral, or between lines where there is none.
    pub fn unlimited(plan: &Plan) -> Self {
        let nodes = plan.additions.len();
        let (limit, used) = (vec![[f64::INFINITY; 4]; nodes], vec![[0.0; 4]; nodes]);
        let mut capacity = Capacity { shares: [[[0.0; 4]; 8]; 3], limit, used };
        for phases in all_phase_sets() {
            let index = usize::from(index(phases));
            for phase in phases.iter() {
                capacity.shares[0][index][phase.index()] = 1.0;
            }
            capacity.shares[1][index][..POWER].copy_from_slice(&phasor::branches(phases));
        }
        capacity.set_voltage(plan, PerPhase::all(230_000));
        capacity
    }

    /// What this circuit's lines can give; `None`: no limit here.
    pub fn set_amps(&mut self, circuit: CircuitId, amps: PerPhase<Option<Amps>>) {
        self.set_lines(circuit.0, amps);
    }

    /// What each phase can still carry more than the others; `None`: no limit.
    pub fn set_uneven(&mut self, plan: &Plan, amps: PerPhase<Option<Amps>>) {
        if let Some(node) = plan.uneven() {
            self.set_lines(node, amps);
        }
    }

    /// The power, in watts, that this circuit can give; `None`: no limit here.
    pub fn set_watts(&mut self, circuit: CircuitId, watts: Option<i32>) {
        self.set_power(circuit.0, watts);
    }

    /// The power, in watts, that a set of the plan's (by its place there) can give; `None`: no limit.
    pub fn set_watts_of_set(&mut self, plan: &Plan, set: usize, watts: Option<i32>) {
        self.set_power(plan.circuits + set, watts);
    }

    fn set_lines(&mut self, node: usize, amps: PerPhase<Option<Amps>>) {
        for phase in Phase::ALL {
            self.limit[node][phase.index()] = amps[phase].map_or(f64::INFINITY, ticks);
        }
    }

    fn set_power(&mut self, node: usize, watts: Option<i32>) {
        // W = mA · mV ÷ 10⁶, and a milliampere has its ticks.
        self.limit[node][POWER] = watts.map_or(f64::INFINITY, |watts| f64::from(watts) * 1e6 * TICKS);
    }

    /// The voltage, in millivolts, that power rows reckon with: of each phase to the neutral; where there is none,
    /// between L1 and L2, L2 and L3, L3 and L1.
    pub fn set_voltage(&mut self, plan: &Plan, millivolts: PerPhase<i32>) {
        for phases in all_phase_sets() {
            let sum = plan.wiring.millivolts(millivolts, phases) as f64;
            for shares in &mut self.shares {
                shares[usize::from(index(phases))][POWER] = sum;
            }
        }
    }

    /// As if nothing had been taken, with no limit.
    pub fn clear(&mut self) {
        self.limit.fill([f64::INFINITY; 4]);
        self.used.fill([0.0; 4]);
    }

    /// Takes so much (or, below zero, gives it back) on all rows on this EVSE's path.
    pub fn take(&mut self, plan: &Plan, evse: EvseId, load: impl Into<Load>, amps: Amps) {
        self.take_ticks(plan, plan.path(evse), load.into(), ticks(amps));
    }

    /// What the row on this EVSE's path can give that has least for it, if any has a limit. Below zero: so much too much
    /// is taken.
    pub fn tightest(&self, plan: &Plan, evse: EvseId, load: impl Into<Load>) -> Option<(Amps, Reason)> {
        let (path, load) = (plan.path(evse), load.into());
        let reach = self.reach_on(plan, path, load);
        let amps = || Amps::milli((reach / TICKS).floor() as i32);
        (reach < f64::INFINITY).then(|| (amps(), self.tightest_on(plan, path, load, reach)))
    }

    /// Which of this circuit's lines have more taken from them than they can give?
    pub fn overdrawn(&self, plan: &Plan, circuit: CircuitId) -> PerPhase<bool> {
        self.overdrawn_on(plan, circuit.0)
    }

    fn overdrawn_on(&self, plan: &Plan, node: usize) -> PerPhase<bool> {
        let (limit, used) = (&self.limit[node], &self.used[node]);
        PerPhase::from_fn(|phase| {
            let line = phase.index();
            let most = |forms: &[Form]| forms.iter().map(|form| form.of(branches(used)).sqrt()).fold(0.0, f64::max);
            match plan.additions[node] {
                Addition::Arithmetic | Addition::Power | Addition::Uneven => used[line] > limit[line],
                Addition::Phasor => most(&[Form::line(line)]) > limit[line] + ROUNDING,
                Addition::Primary { ratio } => {
                    let forms: [Form; Form::CORNERS] = std::array::from_fn(|corner| Form::primary(line, corner));
                    most(&forms) > limit[line] * f64::from(ratio) + ROUNDING
                }
            }
        })
    }

    /// Which phases carry more beyond the others than they can?
    pub fn overdrawn_unevenly(&self, plan: &Plan) -> PerPhase<bool> {
        plan.uneven().map_or_else(PerPhase::default, |node| self.overdrawn_on(plan, node))
    }

    /// Has more power been taken from this circuit than it can give?
    pub fn is_power_overdrawn(&self, circuit: CircuitId) -> bool {
        self.used[circuit.0][POWER] > self.limit[circuit.0][POWER]
    }

    /// And from a set of the plan's, by its place there?
    pub fn is_power_of_set_overdrawn(&self, plan: &Plan, set: usize) -> bool {
        let node = plan.circuits + set;
        self.used[node][POWER] > self.limit[node][POWER]
    }

    /// The same as the other, without its memory.
    pub(super) fn set_to(&mut self, other: &Capacity) {
        self.shares = other.shares;
        self.limit.clone_from(&other.limit);
        self.used.clone_from(&other.used);
    }

    pub(super) fn share(&self, plan: &Plan, node: usize, load: Load) -> &Rows {
        let addition = plan.additions[node];
        let phases = if addition == Addition::Uneven { load.1 } else { load.0 };
        &self.shares[kind(addition)][usize::from(phases)]
    }

    pub(super) fn take_ticks(&mut self, plan: &Plan, path: Path, load: Load, ticks: f64) {
        for &node in plan.nodes(path) {
            let share = *self.share(plan, node as usize, load);
            add(&mut self.used[node as usize], &share, ticks);
        }
    }

    /// Which row on this path cannot give so much: of several, the one that has least for it.
    pub(super) fn full_for(&self, plan: &Plan, path: Path, load: Load, ticks: f64) -> Option<Reason> {
        let reach = self.reach_on(plan, path, load);
        (reach < ticks).then(|| self.tightest_on(plan, path, load, reach))
    }

    /// What the rows on this path can give of this load.
    fn reach_on(&self, plan: &Plan, path: Path, load: Load) -> f64 {
        let mut least = [f64::INFINITY; 4];
        for &node in plan.nodes(path) {
            let reaches = self.reaches(plan, node as usize, load);
            least = std::array::from_fn(|row| lower(reaches[row], least[row]));
        }
        lower(lower(least[0], least[1]), lower(least[2], least[3]))
    }

    /// The row on this path that can give this, and none can give less: of several the first.
    fn tightest_on(&self, plan: &Plan, path: Path, load: Load, reach: f64) -> Reason {
        let row_of = |node: usize| self.reaches(plan, node, load).iter().position(|row| *row == reach);
        let found = plan.nodes(path).iter().find_map(|node| Some((*node as usize, row_of(*node as usize)?)));
        found.map_or(Reason::Full, |(node, row)| reason(plan, node, row))
    }

    /// What the rows of this node can give of this load; where phasors add up only its tightest is told.
    #[inline(always)]
    fn reaches(&self, plan: &Plan, node: usize, load: Load) -> Rows {
        let (limit, used, by) = (&self.limit[node], &self.used[node], self.share(plan, node, load));
        match plan.additions[node] {
            Addition::Arithmetic | Addition::Power | Addition::Uneven => reaches_of_sums(limit, used, by),
            Addition::Phasor | Addition::Primary { .. } => {
                let bound = self.bound(plan, node, used, by);
                std::array::from_fn(|row| if row == bound.row { bound.reach } else { f64::INFINITY })
            }
        }
    }

    /// How often `by` can be added to `used` before a row of this node is full, and which.
    #[inline(always)]
    pub(super) fn bound(&self, plan: &Plan, node: usize, used: &Rows, by: &Rows) -> Bound {
        match plan.additions[node] {
            Addition::Arithmetic | Addition::Power | Addition::Uneven => bound_of_sums(&self.limit[node], used, by),
            Addition::Phasor => bound_of_phasors(1.0, &[Form::line], &self.limit[node], used, by),
            Addition::Primary { ratio } => {
                let corners = [0, 1, 2].map(|corner| move |row: usize| Form::primary(row, corner));
                bound_of_phasors(f64::from(ratio), &corners, &self.limit[node], used, by)
            }
        }
    }

    /// Is it this row, full as it is with `used`, that lets nobody have more who adds `by`?
    pub(super) fn is_barred(&self, plan: &Plan, node: usize, used: &Rows, by: &Rows, bound: &Bound) -> bool {
        if bound.row == POWER {
            return by[POWER] > 0.0;
        }
        match plan.additions[node] {
            Addition::Arithmetic | Addition::Power | Addition::Uneven => by[bound.row] > 0.0,
            Addition::Phasor => Form::line(bound.row).growth(branches(used), branches(by)) > 0.0,
            Addition::Primary { .. } => {
                Form::primary(bound.row, bound.corner).growth(branches(used), branches(by)) > 0.0
            }
        }
    }
}

#[inline(always)]
fn reaches_of_sums(limit: &Rows, used: &Rows, by: &Rows) -> Rows {
    // Which rows an ask takes from differs from one to the next: to guess at it costs more than to reckon all four.
    std::array::from_fn(|row| {
        let times = (limit[row] - used[row]) / by[row];
        if by[row] > 0.0 { times } else { f64::INFINITY }
    })
}

#[inline(always)]
fn bound_of_sums(limit: &Rows, used: &Rows, by: &Rows) -> Bound {
    let reach = reaches_of_sums(limit, used, by);
    let lower = |a: usize, b: usize| select_unpredictable(reach[b] < reach[a], b, a);
    let row = lower(lower(lower(0, 1), 2), POWER);
    Bound { reach: reach[row], row, corner: 0 }
}

/// Neither is not a number; compiles to one instruction, which `f64::min` does not.
fn lower(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// Each line has a form for each of its corners.
#[inline(never)]
fn bound_of_phasors(ratio: f64, corners: &[impl Fn(usize) -> Form], limit: &Rows, used: &Rows, by: &Rows) -> Bound {
    let mut bound = Bound::NONE;
    for (row, limit) in limit.iter().enumerate().take(POWER) {
        for (corner, form) in corners.iter().enumerate() {
            bound = reach(bound, form(row), limit * ratio, used, by, (row, corner));
        }
    }
    if by[POWER] > 0.0 {
        bound = bound.or((limit[POWER] - used[POWER]) / by[POWER], POWER, 0);
    }
    bound
}

fn reach(bound: Bound, form: Form, limit: f64, used: &Rows, by: &Rows, (row, corner): (usize, usize)) -> Bound {
    let (at, by) = (branches(used), branches(by));
    if limit == f64::INFINITY || form.of(by) <= 0.0 {
        return bound;
    }
    let now = form.of(at).sqrt();
    match limit >= 0.0 && now <= limit + ROUNDING {
        true => bound.or(form.reach(limit + ROUNDING, at, by), row, corner),
        false => bound.or(limit - now, row, corner),
    }
}

/// Branch currents: never negative, whatever has been given back.
fn branches(rows: &Rows) -> [f64; 3] {
    [rows[0], rows[1], rows[2]].map(|amps| if amps > NO_RISE { amps } else { 0.0 })
}

fn reason(plan: &Plan, node: usize, row: usize) -> Reason {
    match (plan.additions[node], Phase::ALL.get(row)) {
        (Addition::Power, _) => Reason::Dso,
        (Addition::Uneven, Some(phase)) => Reason::Unbalance(*phase),
        (_, Some(phase)) => Reason::Circuit(CircuitId(node), *phase),
        (_, None) => Reason::Contract(CircuitId(node)),
    }
}

pub(super) fn add(rows: &mut Rows, by: &Rows, times: f64) {
    for (row, by) in rows.iter_mut().zip(by) {
        *row += by * times;
    }
}

pub(super) fn kind(addition: Addition) -> usize {
    match addition {
        Addition::Arithmetic | Addition::Uneven => 0,
        Addition::Phasor | Addition::Primary { .. } => 1,
        Addition::Power => 2,
    }
}

pub(super) fn ticks(amps: Amps) -> f64 {
    f64::from(amps.as_milli()) * TICKS
}

/// The place of a set of phases in a list of all.
fn index(phases: PhaseSet) -> u8 {
    phases.iter().fold(0, |index, phase| index | 1 << phase.index())
}

fn all_phase_sets() -> impl Iterator<Item = PhaseSet> {
    (0..8_u8).map(|index| {
        let phases = Phase::ALL.into_iter().filter(|phase| index & (1 << phase.index()) != 0);
        phases.fold(PhaseSet::NONE, PhaseSet::with)
    })
}
