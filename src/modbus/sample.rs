//! Is this reading a sample? Only if every phase that the site has shows its current.

use crate::control::observation::{Generation, Sample};
use crate::device::{Missing, Reading};
use crate::time::Moment;
use crate::units::{Amps, PerPhase, PhaseSet};

/// The sample of a site with these phases; phases that it does not have are zero.
///
/// # Errors
/// Which current is missing, and why: a reading with a hole is not a sample.
pub fn sample(reading: &Reading, at: Moment, phases: PhaseSet) -> Result<Sample, String> {
    let mut current = PerPhase::all(Amps::ZERO);
    for phase in phases.iter() {
        let load = reading.load(phase).map_err(|why| format!("no current on {phase}: {why}"))?;
        current[phase] = Amps::from_f64(load).ok_or_else(|| format!("no current on {phase}"))?;
    }
    let watts = whole(&reading.watts, phases, 1.0);
    Ok(Sample { at, current, watts, millivolts: whole(&reading.volts, phases, 1000.0) })
}

/// What an inverter makes.
///
/// # Errors
/// Why the word is missing: many say "not available" at night.
pub fn generation(reading: &Reading, at: Moment) -> Result<Generation, String> {
    let watts = reading.generated_watts.map_err(|why| format!("no generated power: {why}"))?;
    Ok(Generation { at, watts: watts.round() as i32 })
}

/// In whole thousandths or units, where all phases have it.
fn whole(values: &PerPhase<Result<f64, Missing>>, phases: PhaseSet, times: f64) -> Option<PerPhase<i32>> {
    let mut whole = PerPhase::all(0);
    for phase in phases.iter() {
        whole[phase] = (values[phase].ok()? * times).round() as i32;
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Decoded;
    use crate::device::map::Measure;
    use crate::units::Phase;
    use crate::units::Phase::{L1, L2, L3};

    fn reading() -> Reading {
        let each = Phase::ALL.map(|phase| {
            let amps = phase.index() as f64 + 1.0;
            [(Measure::Current(phase), amps), (Measure::Power(phase), amps * 230.0), (Measure::Voltage(phase), 230.0)]
        });
        let decoded = |(measure, value)| Decoded { measure, words: vec![], value: Ok(value) };
        Reading::of(&each.concat().into_iter().map(decoded).collect::<Vec<_>>())
    }

    #[test]
    fn a_reading_with_a_missing_current_is_not_a_sample() {
        let mut holed = reading();
        holed.current[L2] = Err(Missing::NotAvailable);
        let why = sample(&holed, Moment::START, PhaseSet::ALL).unwrap_err();
        assert!(why.contains("L2") && why.contains("not available"), "{why}");
    }

    #[test]
    fn phases_that_the_site_does_not_have_are_not_missed() {
        let mut holed = reading();
        holed.current[L2] = Err(Missing::NotAvailable);
        holed.volts[L3] = Err(Missing::NoNumber);
        let sample = sample(&holed, Moment::START, PhaseSet::one(L1)).unwrap();
        assert_eq!(sample.current, PerPhase([Amps::whole(1), Amps::ZERO, Amps::ZERO]));
        assert_eq!(sample.watts, Some(PerPhase([230, 0, 0])));
        assert_eq!(sample.millivolts, Some(PerPhase([230_000, 0, 0])));
    }

    #[test]
    fn a_missing_power_leaves_the_sample_without_watts() {
        let mut holed = reading();
        holed.watts[L3] = Err(Missing::NoNumber);
        let sample = sample(&holed, Moment::START, PhaseSet::ALL).unwrap();
        assert_eq!((sample.watts, sample.millivolts), (None, Some(PerPhase([230_000; 3]))));
    }

    #[test]
    fn a_sleeping_inverter_generates_nothing_that_is_known() {
        let decoded = Decoded { measure: Measure::Generated, words: vec![0x8000], value: Err(Missing::NotAvailable) };
        assert!(generation(&Reading::of(&[decoded]), Moment::START).is_err());
    }
}
