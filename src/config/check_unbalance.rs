//! Can what one phase may carry more than another be kept to here, and does it leave a car of one phase its least?

use super::code;
use super::diagnostic::Diagnostic;
use super::ledger::Car;
use super::raw::{Faults, Row};
use crate::site::Wiring;
use crate::units::Amps;

const KEY: &str = "unbalance_a";

/// What `[site]` says of it; `None` after a fault. Without three phases and a neutral there is none.
pub fn compile(row: &Row, wiring: Wiring) -> Option<Option<Amps>> {
    let unbalance = row.number(KEY).optional()?.and_then(Amps::from_f64);
    Some(unbalance.filter(|_| wiring == Wiring::Star))
}

/// Tells what it will not do.
pub fn check(row: &Row, cars: &[Car], wiring: Wiring, faults: &mut Faults) {
    let Some(limit) = row.number(KEY).optional().flatten().and_then(Amps::from_f64) else { return };
    if wiring != Wiring::Star {
        let message = format!("{KEY} has no effect here");
        let label = "one phase can carry more than another only where there are three and a neutral";
        let help = "leave it out, or set wiring = \"star\"";
        faults.push(Diagnostic::at(code::NO_EFFECT, row.at(KEY), message).label(label).help(help));
        return;
    }
    for car in cars {
        let (Some(least), Some(rotation)) = (car.least, car.rotation) else { continue };
        if least > limit && rotation.phases() != wiring.phases() {
            let message = format!("{} hardly ever charges: its least_a is more than {KEY}", car.row.who);
            let label = format!("{least} on one phase fit only while the house takes that from the others too");
            let help = "wire it to three phases, or state a higher limit if there is one";
            faults.push(Diagnostic::at(code::UNEVEN, row.at(KEY), message).label(label).help(help));
        }
    }
}
