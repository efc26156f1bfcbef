//! Does everything fit when headroom is gone? The house at its worst and each car at its fallback, on each phase.
//!
//! What is faulty counts as nothing, so a sum that is told as too high is too high whatever the faults turn into.

use super::check_circuits::{Draft, Parent};
use super::code;
use super::diagnostic::Diagnostic;
use super::raw::{Faults, Row};
use crate::site::{LapseClass, Rotation, Wiring};
use crate::units::{Amps, PerPhase, Phase};

/// What a charger counts for.
#[derive(Debug)]
pub struct Car<'r> {
    /// Where it stands.
    pub row: &'r Row,
    /// The place in the file of its circuit.
    pub circuit: Option<usize>,
    /// Which phases it is on.
    pub rotation: Option<Rotation>,
    /// The least that it charges with.
    pub least: Option<Amps>,
    /// The most that it takes.
    pub most: Option<Amps>,
    /// What it takes by itself.
    pub fallback: Option<Amps>,
    /// What happens to its limit when we are gone.
    pub lapse: Option<LapseClass>,
}

impl Car<'_> {
    /// What it takes without us, at worst.
    pub(super) fn alone(&self) -> Amps {
        match self.lapse {
            Some(LapseClass::C) => self.most.unwrap_or_default(),
            Some(LapseClass::A | LapseClass::B) | None => self.fallback.unwrap_or_default(),
        }
    }

    fn is_on(&self, phase: Phase) -> bool {
        self.rotation.is_some_and(|rotation| rotation.phases().contains(phase))
    }
}

/// Sums every phase of every circuit.
pub fn check(
    drafts: &[Draft],
    cars: &[Car],
    wiring: Option<Wiring>,
    house_worst: Option<PerPhase<Amps>>,
    faults: &mut Faults,
) {
    let Some(wiring) = wiring else { return };
    for (place, draft) in drafts.iter().enumerate() {
        let Some(fuse) = draft.fuse else { continue };
        let is_root = draft.parent == Parent::Grid;
        let below = |circuit: Option<usize>| is_root || circuit.is_some_and(|circuit| is_below(drafts, circuit, place));
        let cars: Vec<&Car> = cars.iter().filter(|car| below(car.circuit)).collect();
        let stated = if is_root { house_worst.unwrap_or_default() } else { stated(drafts, place) };
        let sums: Vec<Sum> =
            wiring.phases().iter().map(|phase| Sum::on(phase, stated[phase], &cars, fuse[phase])).collect();
        if !told_too_high(draft, is_root, &sums, &cars, faults) {
            tell_into_margin(draft, &sums, faults);
        }
        tell_never_fits(draft, &cars, wiring, faults);
    }
}

/// What flows on one phase without us, at worst.
struct Sum {
    phase: Phase,
    stated: Amps,
    total: Amps,
    fuse: Amps,
}

impl Sum {
    fn on(phase: Phase, stated: Amps, cars: &[&Car], fuse: Amps) -> Self {
        let alone: Amps = cars.iter().filter(|car| car.is_on(phase)).map(|car| car.alone()).sum();
        Sum { phase, stated, total: stated + alone, fuse }
    }

    fn excess(&self) -> Amps {
        self.total - self.fuse
    }

    fn words(&self, is_root: bool, cars: &[&Car]) -> String {
        /// More cars than this are summed up in one word; a line should stay a line.
        const MOST_NAMES: usize = 4;
        let load = if is_root { "house" } else { "other load" };
        let mut parts = Vec::new();
        if self.stated.is_positive() {
            parts.push(format!("{load} {}", exact(self.stated)));
        }
        let on: Vec<&&Car> = cars.iter().filter(|car| car.is_on(self.phase) && car.alone().is_positive()).collect();
        if on.len() > MOST_NAMES {
            parts.push(format!("{} chargers {}", on.len(), exact(self.total - self.stated)));
        } else {
            parts.extend(on.iter().map(|car| {
                let why = if car.lapse == Some(LapseClass::C) { " (lapse c: its most_a)" } else { "" };
                format!("{} {}{why}", car.row.text("id").ok().unwrap_or("a charger"), exact(car.alone()))
            }));
        }
        format!("{}: {} = {}", self.phase, parts.join(" + "), exact(self.total))
    }
}

fn told_too_high(draft: &Draft, is_root: bool, sums: &[Sum], cars: &[&Car], faults: &mut Faults) -> bool {
    let high: Vec<&Sum> = sums.iter().filter(|sum| sum.excess().is_positive()).collect();
    let Some(worst) = high.iter().rev().max_by_key(|sum| sum.excess()) else { return false };
    let phases: Vec<String> = high.iter().map(|sum| sum.phase.to_string()).collect();
    let message = format!(
        "{}: with all cars on fallback, {} would carry more than the fuse",
        draft.row.who,
        phases.join(" and ")
    );
    let lower = match (worst.stated.is_positive(), is_root) {
        (false, _) => "",
        (true, true) => ", or lower house_worst_a if the house really takes less",
        (true, false) => ", or lower other_load_a if it really is less",
    };
    let help = format!(
        "this may flow when headroom is not there, and it is {} too much; set fallback_a = 0 for some chargers{lower}",
        exact(worst.excess())
    );
    let label = format!("{}, and the fuse {}", worst.words(is_root, cars), exact(worst.fuse));
    faults.push(Diagnostic::at(code::DOES_NOT_FIT, draft.row.at("fuse_a"), message).label(label).help(help));
    true
}

fn tell_into_margin(draft: &Draft, sums: &[Sum], faults: &mut Faults) {
    let Some(margin) = draft.margin else { return };
    let into: Vec<&Sum> =
        sums.iter().filter(|sum| sum.total > sum.stated && sum.total > sum.fuse - margin[sum.phase]).collect();
    if let Some(worst) = into.first() {
        let phases: Vec<String> = into.iter().map(|sum| sum.phase.to_string()).collect();
        let message =
            format!("{}: with all cars on fallback, the margin of {} is used up", draft.row.who, phases.join(" and "));
        let label =
            format!("{} of {}, with a margin of {}", exact(worst.total), exact(worst.fuse), exact(margin[worst.phase]));
        faults.push(Diagnostic::at(code::INTO_MARGIN, draft.row.at("fuse_a"), message).label(label));
    }
}

fn tell_never_fits(draft: &Draft, cars: &[&Car], wiring: Wiring, faults: &mut Faults) {
    let (Some(fuse), Some(margin)) = (draft.fuse, draft.margin) else { return };
    for car in cars {
        let Some(least) = car.least else { continue };
        let tight = wiring.phases().iter().find(|phase| car.is_on(*phase) && fuse[*phase] - margin[*phase] < least);
        if let Some(phase) = tight {
            let message = format!(
                "{} never charges: its least of {} does not fit {phase} of {}",
                car.row.who,
                exact(least),
                draft.row.who
            );
            let label = format!("{} less the margin of {}", exact(fuse[phase]), exact(margin[phase]));
            faults.push(Diagnostic::at(code::NEVER_CHARGES, draft.row.at("fuse_a"), message).label(label));
        }
    }
}

/// Is `circuit` the one at `top`, or below it? Circles have been taken out.
pub(super) fn is_below(drafts: &[Draft], circuit: usize, top: usize) -> bool {
    let up = |place: &usize| match drafts[*place].parent {
        Parent::Circuit(parent) => Some(parent),
        Parent::Grid | Parent::Unclear => None,
    };
    std::iter::successors(Some(circuit), up).any(|place| place == top)
}

/// The stated loads of a circuit and all below it; measured ones state none.
pub(super) fn stated(drafts: &[Draft], top: usize) -> PerPhase<Amps> {
    let loads = drafts
        .iter()
        .enumerate()
        .filter(|(place, draft)| draft.meter.is_none() && is_below(drafts, *place, top))
        .filter_map(|(_, draft)| draft.other_load);
    loads.fold(PerPhase::default(), |sum, load| PerPhase::from_fn(|phase| sum[phase] + load[phase]))
}

/// Not rounded: a sum should add up.
pub(super) fn exact(amps: Amps) -> String {
    format!("{} A", amps.as_f64())
}
