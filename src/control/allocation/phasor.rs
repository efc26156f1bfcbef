//! What do branch currents make of a line's current, where there is no neutral?
//!
//! Branch 0 lies between L1 and L2, 1 between L2 and L3, 2 between L3 and L1. Cars are taken to have unity power factor,
//! so that branch currents stand 120° apart, and those that meet on a line 60°.

use crate::units::{Amps, PerPhase, Phase, PhaseSet};

/// Of a milliampere: so much square roots may take from a whole one.
const ROUNDING: f64 = 1e-6;

/// What an EVSE on these lines adds to each branch, of 1 A on its own conductors. A line alone cannot be without a
/// neutral; it is counted on both its branches, too much rather than too little.
pub(super) fn branches(phases: PhaseSet) -> [f64; 3] {
    let has = |phase: Phase| phases.contains(phase);
    match [has(Phase::L1), has(Phase::L2), has(Phase::L3)] {
        [true, true, true] => [1.0 / 3f64.sqrt(); 3],
        [true, true, false] => [1.0, 0.0, 0.0],
        [false, true, true] => [0.0, 1.0, 0.0],
        [true, false, true] => [0.0, 0.0, 1.0],
        [true, false, false] => [1.0, 0.0, 1.0],
        [false, true, false] => [1.0, 1.0, 0.0],
        [false, false, true] => [0.0, 1.0, 1.0],
        [false, false, false] => [0.0; 3],
    }
}

/// What the three lines carry of these branch currents (none of them negative), rounded up to the milliampere.
pub fn lines(branch: PerPhase<Amps>) -> PerPhase<Amps> {
    let branch = branch.0.map(|amps| f64::from(amps.as_milli().max(0)));
    PerPhase::from_fn(|phase| Amps::milli(Form::line(phase.index()).of(branch).sqrt().ceil() as i32))
}

/// What three branches carry together whose lines carry this, rounded down. Line currents of branches 120° apart are the
/// sides of a triangle, in which the branches are the distances from the point that sees all sides at 120°: their sum's
/// square is half the sum of the squared sides and 2·√3 times its area.
pub fn branches_together(line: &PerPhase<Amps>) -> Amps {
    let [x, y, z] = line.0.map(|amps| f64::from(amps.as_milli().max(0)));
    let half = (x + y + z) / 2.0;
    let area = (half * (half - x) * (half - y) * (half - z)).max(0.0).sqrt();
    let square = (x * x + y * y + z * z) / 2.0 + 2.0 * 3f64.sqrt() * area;
    Amps::milli((square.sqrt() + ROUNDING) as i32)
}

/// The square of a conductor's current, as a form of the three branch currents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Of a branch's own square.
    squares: [f64; 3],
    /// Of the product of a branch and the next.
    products: [f64; 3],
}

impl Form {
    /// The corners of a primary line's form: with both of its outer branches, and without the one or the other.
    pub(super) const CORNERS: usize = 3;

    /// A line of the circuit itself: a² + b² + a·b of the branches that meet on it.
    pub(super) fn line(line: usize) -> Form {
        let (a, b) = (line, (line + 2) % 3);
        let mut form = Form { squares: [0.0; 3], products: [0.0; 3] };
        (form.squares[a], form.squares[b]) = (1.0, 1.0);
        // From `b` on, the next branch is `a`.
        form.products[b] = 1.0;
        form
    }

    /// A line of a delta primary above a secondary without neutral: |a + b − 2·c| of branches 60° apart is
    /// a² + b² − a·b + 4·c² + 2·c·(a + b). More on `a` can make it less beside much on `b`, so that less can be more: the
    /// worst of all that is less stands with both, or with one of the two gone (a convex form is greatest in a corner).
    pub(super) fn primary(line: usize, corner: usize) -> Form {
        let (a, b, c) = (line, (line + 1) % 3, (line + 2) % 3);
        let mut form = Form { squares: [1.0; 3], products: [0.0; 3] };
        form.squares[c] = 4.0;
        // In turn: a·b, b·c, c·a.
        (form.products[a], form.products[b], form.products[c]) = (-1.0, 2.0, 2.0);
        match corner {
            1 => form.without(b),
            2 => form.without(a),
            _ => form,
        }
    }

    fn without(mut self, branch: usize) -> Form {
        self.squares[branch] = 0.0;
        self.products[branch] = 0.0;
        self.products[(branch + 2) % 3] = 0.0;
        self
    }

    pub(super) fn of(&self, x: [f64; 3]) -> f64 {
        self.between(x, x)
    }

    /// How the square changes at `at` with a little of `by`, halved: its sign says whether it grows.
    pub(super) fn growth(&self, at: [f64; 3], by: [f64; 3]) -> f64 {
        self.between(at, by)
    }

    /// The symmetric bilinear form.
    fn between(&self, x: [f64; 3], y: [f64; 3]) -> f64 {
        let square = |i: usize| self.squares[i] * x[i] * y[i];
        let product = |i: usize, next: usize| self.products[i] * 0.5 * (x[i] * y[next] + x[next] * y[i]);
        square(0) + square(1) + square(2) + product(0, 1) + product(1, 2) + product(2, 0)
    }

    /// The greatest t at which `at + t·by` stays within `limit`; `at` does. Infinite where `by` never leads out.
    pub(super) fn reach(&self, limit: f64, at: [f64; 3], by: [f64; 3]) -> f64 {
        let (square, linear, constant) = (self.of(by), self.between(at, by), limit * limit - self.of(at));
        if square <= 0.0 && linear <= 0.0 {
            return f64::INFINITY;
        }
        let root = (linear * linear + square * constant.max(0.0)).sqrt();
        // Of the two ways to write the root, the one that subtracts nothing.
        match linear > 0.0 {
            true => constant.max(0.0) / (linear + root),
            false => (root - linear) / square,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The square of a conductor's current, with complex numbers: so much of each branch flows in it.
    fn square(parts: [f64; 3], branch: [f64; 3]) -> f64 {
        let angle = |i: usize| -(i as f64) * 120f64.to_radians();
        let x: f64 = (0..3).map(|i| parts[i] * branch[i] * angle(i).cos()).sum();
        let y: f64 = (0..3).map(|i| parts[i] * branch[i] * angle(i).sin()).sum();
        x * x + y * y
    }

    /// In tenths from none to 30 A, on each branch.
    fn grid() -> impl Iterator<Item = [f64; 3]> {
        let amps = [0.0, 0.1, 6.0, 13.3, 30.0];
        (0..125).map(move |i| [amps[i % 5], amps[i / 5 % 5], amps[i / 25]])
    }

    #[test]
    fn a_line_carries_what_its_phasors_make() {
        for at in grid() {
            for (line, parts) in [[1.0, 0.0, -1.0], [-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]].into_iter().enumerate() {
                assert!((Form::line(line).of(at) - square(parts, at)).abs() < 1e-9, "line {line} of {at:?}");
            }
        }
        assert_eq!(lines(PerPhase::all(Amps::whole(10))), PerPhase::all(Amps::milli(17_321)));
        let one = PerPhase([Amps::whole(10), Amps::ZERO, Amps::ZERO]);
        assert_eq!(lines(one), PerPhase([Amps::whole(10), Amps::whole(10), Amps::ZERO]));
    }

    #[test]
    fn lines_tell_what_their_branches_carry_together() {
        for [a, b, c] in grid() {
            let line = lines(PerPhase([a, b, c].map(|amps| Amps::from_f64(amps).unwrap())));
            let together = branches_together(&line).as_f64();
            assert!((together - (a + b + c)).abs() < 0.004, "{together} of {a} + {b} + {c}");
        }
    }

    #[test]
    fn the_corners_of_a_primary_line_are_the_worst_of_all_that_is_less() {
        let parts = |line: usize| [0, 1, 2].map(|i: usize| if i == (line + 2) % 3 { -2.0 } else { 1.0 });
        for at in grid() {
            for line in 0..3 {
                let corners = (0..Form::CORNERS).map(|corner| Form::primary(line, corner).of(at)).fold(0.0, f64::max);
                let less = grid().map(|part| [0, 1, 2].map(|i| at[i] * part[i] / 30.0));
                let worst = less.map(|less| square(parts(line), less)).fold(0.0, f64::max);
                assert!((corners - worst).abs() < 1e-9, "line {line} of {at:?}: {corners}, {worst}");
            }
        }
    }

    #[test]
    fn a_form_is_reached_where_its_conductor_is_full() {
        for at in grid() {
            for by in grid().filter(|by| by[0] > 0.0) {
                let form = Form::line(0);
                let there = form.reach(60.0, at, by);
                let full = [0, 1, 2].map(|i| at[i] + there * by[i]);
                assert!((form.of(full).sqrt() - 60.0).abs() < 1e-6, "{at:?} {by:?}");
            }
        }
    }
}
