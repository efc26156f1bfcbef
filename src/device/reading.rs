//! What has one poll brought? The quantities in their places, and the signed current that control works with.

use super::decode::{Decoded, Missing};
use super::map::Measure;
use crate::units::{PerPhase, Phase};

/// What one poll has brought: V, A, W, Hz, kWh; import positive. What the device does not have is missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// RMS current; without a sign where the meter has none for it.
    pub current: PerPhase<Result<f64, Missing>>,
    /// Active power.
    pub watts: PerPhase<Result<f64, Missing>>,
    /// Between phase and neutral.
    pub volts: PerPhase<Result<f64, Missing>>,
    /// Active power of all phases.
    pub total_watts: Result<f64, Missing>,
    /// In Hz.
    pub frequency: Result<f64, Missing>,
    /// Energy imported so far.
    pub imported_kwh: Result<f64, Missing>,
    /// Energy exported so far.
    pub exported_kwh: Result<f64, Missing>,
    /// Active power that an inverter makes.
    pub generated_watts: Result<f64, Missing>,
}

impl Reading {
    /// Each quantity in its place.
    pub fn of(decoded: &[Decoded]) -> Reading {
        let none = Err(Missing::NotRead);
        let mut reading = Reading {
            current: PerPhase::all(none),
            watts: PerPhase::all(none),
            volts: PerPhase::all(none),
            total_watts: none,
            frequency: none,
            imported_kwh: none,
            exported_kwh: none,
            generated_watts: none,
        };
        for Decoded { measure, value, .. } in decoded {
            match measure {
                Measure::Voltage(phase) => reading.volts[*phase] = *value,
                Measure::Current(phase) => reading.current[*phase] = *value,
                Measure::Power(phase) => reading.watts[*phase] = *value,
                Measure::TotalPower => reading.total_watts = *value,
                Measure::Frequency => reading.frequency = *value,
                Measure::Imported => reading.imported_kwh = *value,
                Measure::Exported => reading.exported_kwh = *value,
                Measure::Generated => reading.generated_watts = *value,
            }
        }
        reading
    }

    /// The current of a phase as a load on its fuse, in A; negative only where active power is exported.
    ///
    /// Importing, it is the whole RMS current: what the fuse carries. Exporting, it is the active part alone,
    /// Ip = P/V: that is what a car of ours takes away first, while the reactive part Iq stays. So in falling through
    /// P = 0 the load goes from Iq to 0. Turning the sign of the whole current instead would jump by twice Iq, and
    /// claim more export than there is. P/V beyond the current itself is rounding; the current bounds it. Where P or V
    /// is missing, only a sign of the meter's own can make it negative: a magnitude counts as import.
    ///
    /// # Errors
    /// Why there is no current.
    pub fn load(&self, phase: Phase) -> Result<f64, Missing> {
        let current = self.current[phase]?;
        Ok(match (self.watts[phase], self.volts[phase]) {
            (Ok(watts), Ok(volts)) if watts < 0.0 && volts > 0.0 => (watts / volts).max(-current.abs()),
            (Ok(_), Ok(_)) => current.abs(),
            _ => current,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Phase::{L1, L2, L3};

    fn reading(current: [f64; 3], watts: [f64; 3]) -> Reading {
        let each = Phase::ALL.into_iter().flat_map(|phase| {
            [
                (Measure::Current(phase), current[phase.index()]),
                (Measure::Power(phase), watts[phase.index()]),
                (Measure::Voltage(phase), 230.0),
            ]
        });
        let decoded: Vec<_> =
            each.map(|(measure, value)| Decoded { measure, words: vec![], value: Ok(value) }).collect();
        Reading::of(&decoded)
    }

    fn currents(reading: &Reading) -> [f64; 3] {
        Phase::ALL.map(|phase| reading.load(phase).unwrap())
    }

    #[test]
    fn import_is_the_whole_current_and_export_the_active_part() {
        assert_eq!(currents(&reading([10.0, 5.0, 5.0], [1840.0, -1150.0, -690.0])), [10.0, -5.0, -3.0]);
    }

    #[test]
    fn power_that_crosses_zero_moves_the_load_by_no_more_than_the_reactive_current() {
        let [import, export, _] = currents(&reading([3.0, 3.0, 0.0], [23.0, -115.0, 0.0]));
        assert_eq!((import, export), (3.0, -0.5));
    }

    #[test]
    fn export_is_never_more_than_the_current() {
        assert_eq!(currents(&reading([5.0, 0.0, 5.0], [-1200.0, -30.0, -5000.0])), [-5.0, 0.0, -5.0]);
    }

    #[test]
    fn without_power_or_voltage_the_current_stands_as_the_meter_gives_it() {
        let mut given = reading([-4.0, 5.0, 5.0], [0.0, -1150.0, -1150.0]);
        given.watts[L1] = Err(Missing::NotRead);
        given.volts[L2] = Err(Missing::NoNumber);
        given.volts[L3] = Ok(0.0);
        assert_eq!(currents(&given), [-4.0, 5.0, 5.0]);
    }

    #[test]
    fn a_missing_current_is_no_load() {
        let mut holed = reading([1.0, 2.0, 3.0], [230.0, 460.0, 690.0]);
        holed.current[L2] = Err(Missing::NotAvailable);
        assert_eq!(holed.load(L2), Err(Missing::NotAvailable));
    }
}
