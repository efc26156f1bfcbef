//! Would it be found out if a meter says the same for ever? Only by voltages, which wander, or by a charger's own meter.

use super::code;
use super::compile::Place;
use super::diagnostic::Diagnostic;
use super::raw::{Faults, Row};
use super::transient::named;
use crate::site::{BELIEVED, Evse, Site};

/// A warning for each meter that may freeze unseen.
pub fn tell(site: &Site, rows: &[Row], place: &Place, faults: &mut Faults) {
    for (row, meter) in rows.iter().zip(&site.meters) {
        let device = row.text("device").ok().and_then(|name| place.devices.device(name));
        if device.is_none_or(|device| device.layout.tells_voltages()) {
            continue;
        }
        let silent: Vec<&Evse> = site.seldom_heard(meter.circuit).collect();
        if silent.is_empty() {
            continue;
        }
        let message = format!(
            "{} tells no voltages: if it says the same for ever, nobody finds out while no others charge than {}",
            row.who,
            named(&silent)
        );
        let help = format!(
            "voltages wander, and whoever repeats them is found out; currents alone are held against the chargers' own \
             meters, which say what they take each {} s or more often (metering_s)",
            BELIEVED.as_secs()
        );
        faults.push(Diagnostic::at(code::FREEZES_UNSEEN, row.at("device"), message).help(help));
    }
}
