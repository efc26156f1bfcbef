//! What flows in each circuit? Sums by strand: each phase with a neutral, each pair of lines without one.
//!
//! All currents have unity power factor. With a neutral the strands are the phases and a circuit's currents are plain
//! sums. Without one they are the branches L1–L2, L2–L3, L3–L1, whose currents are 120° apart: a line that the branches
//! a and b feed carries √(a² + b² + ab), which holds for a branch that gives (negative) too, and its power against
//! the virtual neutral is half of what both branches take.

use super::car::VOLTS;
use crate::site::{CircuitId, Rotation, Site, Wiring};
use crate::units::{Amps, PerPhase, Phase};

/// Milliamperes of each strand: L1, L2, L3, or L1–L2, L2–L3, L3–L1. Whole ones are exact.
pub type Strands = [f64; 3];

/// What flows through a place now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// RMS, import positive; without a neutral a line that gives more than it takes counts as negative.
    pub current: PerPhase<Amps>,
    /// Import positive; without a neutral against the virtual one.
    pub watts: PerPhase<i32>,
}

/// The sums of a whole site.
#[derive(Debug, Clone)]
pub struct Flows {
    wiring: Wiring,
    parents: Vec<Option<CircuitId>>,
    /// House and sun without cars, all below included once it is summed.
    house: Vec<Strands>,
    total: Vec<Strands>,
}

impl Flows {
    /// Nothing flows.
    pub fn new(site: &Site) -> Self {
        let none = vec![Strands::default(); site.circuits.len()];
        let parents = site.circuits.iter().map(|circuit| circuit.parent).collect();
        Flows { wiring: site.wiring, parents, house: none.clone(), total: none }
    }

    /// Begins anew with what hangs directly on each circuit besides cars.
    pub fn begin(&mut self, house: impl Fn(CircuitId) -> Strands) {
        let is_there = PerPhase::from_fn(|phase| self.wiring.phases().contains(phase)).0;
        for (index, slot) in self.house.iter_mut().enumerate() {
            let own = house(CircuitId(index));
            *slot = std::array::from_fn(|strand| if is_there[strand] { own[strand] } else { 0.0 });
        }
        self.total.copy_from_slice(&self.house);
    }

    /// Adds a car's draw on its charger's own terminals, L1 first.
    pub fn add_car(&mut self, circuit: CircuitId, rotation: &Rotation, own: &PerPhase<Amps>) {
        let strands = strands(self.wiring, rotation, own);
        add(&mut self.total[circuit.0], &strands);
    }

    /// Carries everything up to the grid connection; parents come before their children.
    pub fn sum_up(&mut self) {
        for index in (1..self.parents.len()).rev() {
            let Some(parent) = self.parents[index] else { continue };
            let (house, total) = (self.house[index], self.total[index]);
            add(&mut self.house[parent.0], &house);
            add(&mut self.total[parent.0], &total);
        }
    }

    /// Everything through this circuit.
    pub fn load(&self, circuit: CircuitId) -> Flow {
        self.flow(&self.total[circuit.0])
    }

    /// Everything through this circuit but cars.
    pub fn house(&self, circuit: CircuitId) -> Flow {
        self.flow(&self.house[circuit.0])
    }

    fn flow(&self, strands: &Strands) -> Flow {
        match self.wiring {
            Wiring::Single | Wiring::Star => Flow {
                current: PerPhase(strands.map(|milliamps| Amps::milli(milliamps as i32))),
                watts: PerPhase(strands.map(|milliamps| (milliamps as i64 * VOLTS / 1000) as i32)),
            },
            Wiring::Delta => {
                let [l12, l23, l31] = *strands;
                let lines = [(l12, l31), (l23, l12), (l31, l23)];
                let line = |(a, b): (f64, f64)| (a * a + b * b + a * b).max(0.0).sqrt().copysign(a + b).round();
                Flow {
                    current: PerPhase(lines.map(|branches| Amps::milli(line(branches) as i32))),
                    watts: PerPhase(lines.map(|(a, b)| ((a + b) / 2.0 * VOLTS as f64 / 1000.0).round() as i32)),
                }
            }
        }
    }
}

fn add(to: &mut Strands, what: &Strands) {
    for (sum, part) in to.iter_mut().zip(what) {
        *sum += part;
    }
}

/// What a car takes from each strand.
fn strands(wiring: Wiring, rotation: &Rotation, own: &PerPhase<Amps>) -> Strands {
    let milliamps = |amps: Amps| f64::from(amps.as_milli());
    if wiring != Wiring::Delta {
        return rotation.to_site(own).0.map(milliamps);
    }
    let drawn = milliamps(own.most());
    let mut strands = Strands::default();
    match (rotation.lines(), rotation.site_phase(0), rotation.site_phase(1)) {
        (Some((a, b)), ..) => strands[branch(a, b)] = drawn,
        // All three alike: the same in lines is 1/√3 of it in branches.
        (None, ..) if own.0.iter().all(|amps| amps.is_positive()) => strands = [drawn / 3.0_f64.sqrt(); 3],
        (None, Some(a), Some(b)) => strands[branch(a, b)] = drawn,
        (None, ..) => {}
    }
    strands
}

/// The branch between two lines.
fn branch(a: Phase, b: Phase) -> usize {
    match (a, b) {
        (Phase::L1, Phase::L2) | (Phase::L2, Phase::L1) => 0,
        (Phase::L2, Phase::L3) | (Phase::L3, Phase::L2) => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tests::site;

    /// Without a neutral: the lines' milliamperes for these branches.
    fn lines(strands: Strands) -> [i32; 3] {
        let mut flows = Flows::new(&Site { wiring: Wiring::Delta, ..site(vec![]) });
        flows.begin(|_| strands);
        flows.sum_up();
        flows.load(Site::ROOT).current.0.map(Amps::as_milli)
    }

    /// The same from complex numbers: branch currents at 0°, −120°, 120°; L1 carries L1–L2 less L3–L1, and so on.
    fn by_phasors(strands: Strands) -> [f64; 3] {
        let turned = |index: usize| (index as f64 * -120.0_f64).to_radians();
        let branch = |index: usize| (strands[index] * turned(index).cos(), strands[index] * turned(index).sin());
        std::array::from_fn(|line| {
            let (plus, minus) = (branch(line), branch((line + 2) % 3));
            (plus.0 - minus.0).hypot(plus.1 - minus.1)
        })
    }

    #[test]
    fn without_a_neutral_lines_add_branches_as_phasors_generation_too() {
        assert_eq!(lines([10_000.0, 0.0, 0.0]), [10_000, 10_000, 0]);
        assert_eq!(lines([10_000.0; 3]), [17_321; 3]);
        assert_eq!(lines([-10_000.0, 0.0, 0.0]), [-10_000, -10_000, 0]);
        for strands in [[3_000.0, 16_000.0, 7_500.0], [-16_000.0, 9_000.0, 4_000.0], [20_000.0, -20_000.0, 1_000.0]] {
            for (line, phasor) in lines(strands).iter().zip(by_phasors(strands)) {
                assert!((f64::from(*line).abs() - phasor).abs() <= 1.0, "{strands:?}: {line} mA, {phasor}");
            }
        }
    }

    #[test]
    fn cars_between_lines_load_both_and_three_phase_cars_load_all_alike() {
        let flows = |cars: &[(&str, [i32; 3])]| {
            let mut flows = Flows::new(&Site { wiring: Wiring::Delta, ..site(vec![]) });
            flows.begin(|_| Strands::default());
            for (rotation, own) in cars {
                flows.add_car(Site::ROOT, &Rotation::parse(rotation).unwrap(), &PerPhase(own.map(Amps::whole)));
            }
            flows.sum_up();
            flows.load(Site::ROOT)
        };
        let one = flows(&[("TR", [16, 0, 0])]);
        assert_eq!(one.current.0, [Amps::whole(16), Amps::ZERO, Amps::whole(16)]);
        assert_eq!(one.watts.0.iter().sum::<i32>(), 16 * 230);
        let three = flows(&[("STR", [16, 16, 16])]);
        assert_eq!(three.current, PerPhase::all(Amps::whole(16)));
        // A one-phase car on three terminals hangs between the first two.
        assert_eq!(flows(&[("STR", [10, 10, 0])]).current.0, [Amps::ZERO, Amps::whole(10), Amps::whole(10)]);
        // Two cars on neighbouring branches: 14 A + 14 A are 24.2 A in the line they share, not 28.
        let both = flows(&[("RS", [14, 0, 0]), ("ST", [14, 0, 0])]);
        assert_eq!(both.current.0[1], Amps::milli(24_249));
    }
}
