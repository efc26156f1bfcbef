//! What does each row carry? Reckoned once more, with complex numbers where there is no neutral.

use crate::case::Case;
use headroom::control::allocation::{Addition, Ask};
use headroom::site::{CircuitId, Wiring};
use headroom::units::{Amps, Phase};

/// What a row carries beyond rounding before it counts as overdrawn: a microampere, or a microwatt.
pub const ROUNDING: f64 = 1e-6;

/// A row with a limit: what it carries of currents in amperes, one for each ask.
pub struct Row {
    pub limit: f64,
    carries: Carries,
}

enum Carries {
    /// So much of each.
    Sum(Vec<f64>),
    /// The magnitude of a sum of phasors: so much of each branch (AB, BC, CA) flows in this conductor, and so much of
    /// each ask in each branch. With `is_hull` the greatest of all that is less.
    Phasor { parts: [f64; 3], asks: Vec<[f64; 3]>, is_hull: bool },
}

impl Row {
    pub fn load(&self, amps: &[f64]) -> f64 {
        match &self.carries {
            Carries::Sum(parts) => parts.iter().zip(amps).map(|(part, amps)| part * amps).sum(),
            Carries::Phasor { is_hull: false, .. } => self.true_load(amps),
            Carries::Phasor { parts, asks, is_hull: true } => {
                let without = |subset: usize| [0, 1, 2].map(|i| if subset & (1 << i) == 0 { parts[i] } else { 0.0 });
                (0..8).map(|subset| magnitude(without(subset), asks, amps)).fold(0.0, f64::max)
            }
        }
    }

    /// With all that is there, and nothing less.
    pub fn true_load(&self, amps: &[f64]) -> f64 {
        match &self.carries {
            Carries::Phasor { parts, asks, .. } => magnitude(*parts, asks, amps),
            Carries::Sum(_) => self.load(amps),
        }
    }

    pub fn parts(&self) -> Option<&[f64]> {
        match &self.carries {
            Carries::Sum(parts) => Some(parts),
            Carries::Phasor { .. } => None,
        }
    }

    /// Whoever takes nothing from it may stand on a row that is overdrawn by others.
    pub fn is_of(&self, ask: usize) -> bool {
        match &self.carries {
            Carries::Sum(parts) => parts[ask] > 0.0,
            Carries::Phasor { parts, asks, .. } => (0..3).any(|i| parts[i] != 0.0 && asks[ask][i] != 0.0),
        }
    }
}

/// Branches stand 120° apart, in the order in which L1, L2 and L3 do.
fn magnitude(parts: [f64; 3], asks: &[[f64; 3]], amps: &[f64]) -> f64 {
    let mut sum = [0.0; 2];
    for (branch, part) in parts.iter().enumerate() {
        let amps: f64 = asks.iter().zip(amps).map(|(ask, amps)| ask[branch] * amps).sum();
        let angle = -(branch as f64) * 120f64.to_radians();
        sum = [sum[0] + part * amps * angle.cos(), sum[1] + part * amps * angle.sin()];
    }
    sum[0].hypot(sum[1])
}

/// All rows of the case that have a limit.
pub fn rows(case: &Case) -> Vec<Row> {
    let mut rows = Vec::new();
    let is_below = |id: CircuitId, ask: &Ask| case.site.feeds(id, ask.evse);
    for id in case.site.circuit_ids() {
        for phase in Phase::ALL {
            if let Some(limit) = case.amps[id.0][phase] {
                rows.push(Row { limit: limit.as_f64(), carries: carries(case, id, phase) });
            }
        }
        let part = |ask: &Ask| if is_below(id, ask) { volts(case, ask) } else { 0.0 };
        let watts = case.watts[id.0].map(f64::from);
        rows.extend(watts.map(|limit| Row { limit, carries: Carries::Sum(case.queue.iter().map(part).collect()) }));
    }
    let part = |ask: &Ask| if case.set.contains(&ask.evse) { volts(case, ask) } else { 0.0 };
    let watts = case.set_watts.map(f64::from);
    rows.extend(watts.map(|limit| Row { limit, carries: Carries::Sum(case.queue.iter().map(part).collect()) }));
    for phase in Phase::ALL {
        let part = |ask: &Ask| f64::from(u8::from(ask.uneven.contains(phase)));
        let limit = case.uneven[phase].map(Amps::as_f64);
        rows.extend(limit.map(|limit| Row { limit, carries: Carries::Sum(case.queue.iter().map(part).collect()) }));
    }
    rows
}

fn carries(case: &Case, id: CircuitId, phase: Phase) -> Carries {
    let line = phase.index();
    // L1 of the circuit is where the branches to L2 and from L3 meet.
    let placed = |own: f64, next: f64, last: f64| {
        let mut parts = [0.0; 3];
        (parts[line], parts[(line + 1) % 3], parts[(line + 2) % 3]) = (own, next, last);
        parts
    };
    let asks = || {
        let asks = case.queue.iter();
        asks.map(|ask| if case.site.feeds(id, ask.evse) { branches(case, ask) } else { [0.0; 3] }).collect()
    };
    match case.additions[id.0] {
        Addition::Phasor => Carries::Phasor { parts: placed(1.0, 0.0, -1.0), asks: asks(), is_hull: false },
        Addition::Primary { ratio } => {
            let part = 1.0 / f64::from(ratio);
            Carries::Phasor { parts: placed(part, part, -2.0 * part), asks: asks(), is_hull: true }
        }
        Addition::Arithmetic | Addition::Power | Addition::Uneven => {
            let is_on = |ask: &Ask| case.site.feeds(id, ask.evse) && ask.phases.contains(phase);
            Carries::Sum(case.queue.iter().map(|ask| f64::from(u8::from(is_on(ask)))).collect())
        }
    }
}

/// What an ampere of this ask is in each branch.
fn branches(case: &Case, ask: &Ask) -> [f64; 3] {
    match case.site.evse(ask.evse).rotation.lines() {
        None => [1.0 / 3f64.sqrt(); 3],
        Some((from, to)) => [0, 1, 2].map(|branch| {
            let ends = [Phase::ALL[branch], Phase::ALL[(branch + 1) % 3]];
            f64::from(u8::from(ends.contains(&from) && ends.contains(&to)))
        }),
    }
}

/// Watts of an ampere; a started millivolt counts in full.
fn volts(case: &Case, ask: &Ask) -> f64 {
    let millivolts = case.millivolts.0.map(f64::from);
    let sum: f64 = match case.site.wiring {
        Wiring::Delta => branches(case, ask).iter().zip(millivolts).map(|(part, volts)| part * volts).sum(),
        Wiring::Single | Wiring::Star => ask.phases.iter().map(|phase| millivolts[phase.index()]).sum(),
    };
    sum.ceil() / 1000.0
}
