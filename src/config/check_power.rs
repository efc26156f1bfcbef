//! Do the limits in watts leave room for what chargers take without us, and for a car at all?

use super::code;
use super::diagnostic::Diagnostic;
use super::ledger::Car;
use super::raw::{Faults, Row};
use crate::site::{Tuning, Wiring};
use crate::units::{Amps, PerPhase, PhaseSet};

/// What `[site]` says in watts, of the contract and of the grid operator; `None` after a fault.
pub fn compile(row: &Row) -> Option<[Option<i32>; 2]> {
    let watts = |key: &str| Some(row.number(key).optional()?.map(|kilowatts| (kilowatts * 1000.0).round() as i32));
    Some([watts("contract_kw")?, watts("dso_kw")?])
}

/// Watts at nominal voltage against each limit.
pub fn check(row: &Row, cars: &[Car], wiring: Wiring, house_worst: Option<PerPhase<Amps>>, faults: &mut Faults) {
    let Some([contract, dso]) = compile(row) else { return };
    if let Some(limit) = dso {
        let fits = told_too_high(row, "dso_kw", limit, cars, wiring, faults);
        tell_never_fits(row, ("dso_kw", limit), cars, wiring, fits, faults);
    }
    if let Some(limit) = contract {
        let fits = told_too_high(row, "contract_kw", limit, cars, wiring, faults);
        tell_never_fits(row, ("contract_kw", limit), cars, wiring, fits, faults);
        if let (true, Some(house)) = (fits, house_worst) {
            tell_house_on_top(row, limit, (house, alone(cars, wiring)), wiring, faults);
        }
    }
}

/// True where the chargers' fallbacks fit.
fn told_too_high(row: &Row, key: &str, limit: i32, cars: &[Car], wiring: Wiring, faults: &mut Faults) -> bool {
    let alone = alone(cars, wiring);
    let excess = alone - i64::from(limit);
    if excess <= 0 {
        return true;
    }
    let message = format!("with all cars on fallback, the chargers would take more than {key}");
    let label = format!("{} in all at their fallback_a (with lapse c: their most_a)", kilowatts(alone));
    let raise = match key {
        "dso_kw" => {
            ", or state what the grid operator leaves to all of them together (§14a EnWG: 4.2 kW for one, \
             4.2 + (n - 1) × 4.2 × its factor for n)"
        }
        _ => ", or state a higher contract_kw if more is contracted",
    };
    let help = format!(
        "this may flow when headroom is not there, and it is {} too much; set fallback_a = 0 for some chargers{raise}",
        kilowatts(excess)
    );
    faults.push(Diagnostic::at(code::POWER_DOES_NOT_FIT, row.at(key), message).label(label).help(help));
    false
}

fn tell_house_on_top(
    row: &Row,
    limit: i32,
    (house, alone): (PerPhase<Amps>, i64),
    wiring: Wiring,
    faults: &mut Faults,
) {
    let house: i64 = match wiring {
        // Its lines against a virtual neutral.
        Wiring::Delta => wiring.phases().iter().map(|line| watts(wiring, house[line], PhaseSet::ALL) / 3).sum(),
        Wiring::Single | Wiring::Star => {
            wiring.phases().iter().map(|phase| watts(wiring, house[phase], PhaseSet::one(phase))).sum()
        }
    };
    if alone > 0 && house + alone > i64::from(limit) {
        let message = "with all cars on fallback and the house at its worst, more flows than is contracted";
        let label = format!("house {} + chargers {}", kilowatts(house), kilowatts(alone));
        let help = "while headroom is not there nobody keeps to the contract; set fallback_a = 0 for some chargers if \
                    that costs more than it is worth";
        faults.push(Diagnostic::at(code::POWER_EXCEEDED, row.at("contract_kw"), message).label(label).help(help));
    }
}

fn tell_never_fits(
    row: &Row,
    (key, limit): (&str, i32),
    cars: &[Car],
    wiring: Wiring,
    fits: bool,
    faults: &mut Faults,
) {
    for car in cars.iter().filter(|_| fits) {
        let (Some(least), Some(rotation)) = (car.least, car.rotation) else { continue };
        let needs = watts(wiring, least, rotation.phases());
        if needs > i64::from(limit) {
            let message = format!("{} never charges: its least_a needs more than {key}", car.row.who);
            let label = format!("{} on its phases are {}", least, kilowatts(needs));
            let help = "wire it to one phase, or state a higher limit if there is one";
            faults.push(Diagnostic::at(code::POWER_TOO_LOW, row.at(key), message).label(label).help(help));
        }
    }
}

/// What all chargers take without us.
fn alone(cars: &[Car], wiring: Wiring) -> i64 {
    let phases = |car: &Car| car.rotation.map_or(PhaseSet::NONE, |rotation| rotation.phases());
    cars.iter().map(|car| watts(wiring, car.alone(), phases(car))).sum()
}

fn watts(wiring: Wiring, amps: Amps, phases: PhaseSet) -> i64 {
    let nominal = PerPhase::all((Tuning::default().volts * 1000) as i32);
    i64::from(amps.as_milli()) * wiring.millivolts(nominal, phases) / 1_000_000
}

fn kilowatts(watts: i64) -> String {
    format!("{} kW", watts as f64 / 1000.0)
}
