//! What does a car take? A MeterValues call turned into currents on the charger's terminals, watts and watt-hours.
//!
//! Chargers name phases `L1` or `L1-N`, send A, mA or kW, spread one reading over several entries, leave out phases or
//! the current altogether (facts from the field; OCPP 1.6 ed. 2, 4.7 and 7.43 is the norm behind them).

use super::lenient;
use crate::units::{Amps, PerPhase};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// No AC charger carries more on a terminal; what says more has its unit wrong and is no measurement.
const MOST: f64 = 1000.0;

/// What one message says. All of it may be absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Meter {
    /// Each terminal, the charger's L1 first.
    pub current: Option<PerPhase<Amps>>,
    /// Total active power in W, import positive.
    pub watts: Option<i32>,
    /// The import register in Wh.
    pub energy_wh: Option<i64>,
    /// Was any of it not from the charger's queue?
    pub is_fresh: bool,
    /// When the newest of it was measured, by the charger's clock.
    pub newest: Option<DateTime<Utc>>,
}

/// Reads a MeterValues payload of an EVSE with `wired` terminals (1 or 3) of so many nominal volts: where a charger gives
/// power but no current, its current is taken at those. Entries for which `is_old` holds, by their own
/// timestamp, come from the charger's queue and are left out; later entries overrule earlier ones.
pub fn read(payload: &Value, (wired, volts): (usize, i64), is_old: impl Fn(DateTime<Utc>) -> bool) -> Meter {
    let mut tally = Tally::default();
    for entry in lenient::each(payload, "meterValue") {
        let at = lenient::time(entry, "timestamp");
        if !at.is_some_and(&is_old) {
            tally.is_fresh = true;
            tally.newest = tally.newest.max(at);
            lenient::each(entry, "sampledValue").iter().for_each(|value| tally.add(value));
        }
    }
    tally.total(wired, volts)
}

/// One measurand, as it came: by phase, or without one.
#[derive(Debug, Clone, Copy, Default)]
struct Column {
    phases: [Option<f64>; 3],
    whole: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    amps: Column,
    watts: Column,
    watt_hours: Column,
    is_fresh: bool,
    newest: Option<DateTime<Utc>>,
}

impl Tally {
    fn add(&mut self, sampled: &Value) {
        let field = |key| lenient::text(sampled, key).unwrap_or_default().to_ascii_lowercase();
        // Signed data is no number that we can read, and at the inlet stands the meter of the grid connection.
        if field("format") == "signeddata" || field("location") == "inlet" {
            return;
        }
        let Some(value) = lenient::number(sampled, "value") else { return };
        let unit = field("unit");
        let (column, scale) = match (field("measurand").as_str(), unit.as_str()) {
            ("current.import", "" | "a") => (&mut self.amps, 1.0),
            ("current.import", "ma") => (&mut self.amps, 0.001),
            ("current.import", "ka") => (&mut self.amps, 1000.0),
            ("power.active.import", "" | "w") => (&mut self.watts, 1.0),
            ("power.active.import", "kw") => (&mut self.watts, 1000.0),
            ("" | "energy.active.import.register", "" | "wh") => (&mut self.watt_hours, 1.0),
            ("" | "energy.active.import.register", "kwh") => (&mut self.watt_hours, 1000.0),
            _ => return,
        };
        match field("phase").as_str() {
            "" => column.whole = Some(value * scale),
            "l1" | "l1-n" => column.phases[0] = Some(value * scale),
            "l2" | "l2-n" => column.phases[1] = Some(value * scale),
            "l3" | "l3-n" => column.phases[2] = Some(value * scale),
            // The neutral's current and line-to-line values are not what a terminal carries.
            _ => {}
        }
    }

    fn total(&self, wired: usize, volts: i64) -> Meter {
        // A single current without a phase is what every wired terminal carries; a single power is shared by them.
        let amps = self.amps.on_terminals(wired, 1.0);
        let shared = 1.0 / wired.max(1) as f64;
        let from_power = || Some(self.watts.on_terminals(wired, shared)?.map(|watts| watts / volts as f64));
        Meter {
            current: amps.or_else(from_power).and_then(currents),
            watts: self.watts.sum().map(|watts| watts.round() as i32),
            energy_wh: self.watt_hours.sum().map(|energy| energy.round() as i64),
            is_fresh: self.is_fresh,
            newest: self.newest,
        }
    }
}

impl Column {
    /// A phase that the charger leaves out while it names others carries nothing.
    fn on_terminals(&self, wired: usize, share_of_whole: f64) -> Option<[f64; 3]> {
        let terminal = |value: f64| std::array::from_fn(|index| if index < wired { value } else { 0.0 });
        let named = self.phases.iter().flatten();
        match (wired, named.clone().next()) {
            (_, None) => self.whole.map(|whole| terminal(whole * share_of_whole)),
            // A one-phase charger may call its only terminal by the site's phase.
            (1, Some(_)) => Some(terminal(named.copied().fold(f64::MIN, f64::max))),
            (_, Some(_)) => Some(self.phases.map(|value| value.unwrap_or(0.0))),
        }
    }

    fn sum(&self) -> Option<f64> {
        let named = self.phases.iter().flatten().copied().reduce(|sum, value| sum + value);
        self.whole.or(named)
    }
}

fn currents(amps: [f64; 3]) -> Option<PerPhase<Amps>> {
    let [l1, l2, l3] = amps.map(|amps| Amps::from_f64(amps).filter(|_| amps.abs() <= MOST));
    Some(PerPhase([l1?, l2?, l3?]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(wired: usize, sampled: Value) -> Meter {
        read(
            &json!({"connectorId": 1, "meterValue": [{"timestamp": "2026-01-01T00:00:00Z", "sampledValue": sampled}]}),
            (wired, 230),
            |_| false,
        )
    }

    fn amps(values: [i32; 3]) -> Option<PerPhase<Amps>> {
        Some(PerPhase(values.map(Amps::milli)))
    }

    #[test]
    fn three_phases_are_read_by_their_names() {
        let meter = of(
            3,
            json!([
                {"value": "10.1", "measurand": "Current.Import", "phase": "L1", "unit": "A"},
                {"value": "10.2", "measurand": "Current.Import", "phase": "L2-N"},
                {"value": 10300, "measurand": "Current.Import", "phase": "l3", "unit": "mA"},
                {"value": "0.4", "measurand": "Current.Import", "phase": "N"},
                {"value": "7.0", "measurand": "Power.Active.Import", "unit": "kW"},
                {"value": "1234.5", "unit": "kWh"},
            ]),
        );
        assert_eq!(meter.current, amps([10_100, 10_200, 10_300]));
        assert_eq!(meter.watts, Some(7000));
        assert_eq!(meter.energy_wh, Some(1_234_500));
    }

    #[test]
    fn a_current_without_a_phase_is_on_every_wired_terminal() {
        let single = json!([{"value": "9", "measurand": "Current.Import"}]);
        assert_eq!(of(3, single.clone()).current, amps([9000, 9000, 9000]));
        assert_eq!(of(1, single).current, amps([9000, 0, 0]));
    }

    #[test]
    fn a_phase_left_out_beside_others_carries_nothing() {
        assert_eq!(
            of(3, json!([{"value": "16", "measurand": "Current.Import", "phase": "L1"}])).current,
            amps([16_000, 0, 0])
        );
    }

    #[test]
    fn a_one_phase_charger_may_name_its_terminal_as_the_site_does() {
        let sampled = json!([{"value": "12", "measurand": "Current.Import", "phase": "L2"}]);
        assert_eq!(of(1, sampled).current, amps([12_000, 0, 0]));
    }

    #[test]
    fn power_alone_gives_the_current_at_230_volts() {
        let total = json!([{"value": "6900", "measurand": "Power.Active.Import"}]);
        assert_eq!(of(3, total.clone()).current, amps([10_000, 10_000, 10_000]));
        assert_eq!(of(1, total).current, amps([30_000, 0, 0]));
        let phase = json!([{"value": "2.3", "unit": "kW", "measurand": "Power.Active.Import", "phase": "L2"}]);
        assert_eq!(of(3, phase.clone()).current, amps([0, 10_000, 0]));
        assert_eq!(of(3, phase).watts, Some(2300));
    }

    #[test]
    fn one_reading_may_be_spread_over_entries_or_stand_where_an_array_belongs() {
        let spread = json!({"meterValue": [
            {"timestamp": "", "sampledValue": [{"value": "5", "measurand": "Current.Import", "phase": "L1"}]},
            {"sampledValue": {"value": "6", "measurand": "Current.Import", "phase": "L2"}}]});
        assert_eq!(read(&spread, (3, 230), |_| true).current, amps([5000, 6000, 0]));
        let object = json!({"meterValue": {"sampledValue": [{"value": "5", "measurand": "Current.Import"}]}});
        assert_eq!(read(&object, (3, 230), |_| true).current, amps([5000, 5000, 5000]));
    }

    #[test]
    fn entries_from_the_queue_are_left_out() {
        let payload = json!({"meterValue": [
            {"timestamp": "2026-01-01T00:00:00Z", "sampledValue": [{"value": "32", "measurand": "Current.Import"}]},
            {"timestamp": "2026-01-01T01:00:00Z", "sampledValue": [{"value": "6", "measurand": "Current.Import"}]},
            {"timestamp": "2026-01-01T00:10:00Z", "sampledValue": [{"value": "31", "measurand": "Current.Import"}]}]});
        let limit = "2026-01-01T00:59:00Z".parse::<DateTime<Utc>>().unwrap();
        assert_eq!(read(&payload, (3, 230), |at| at < limit).current, amps([6000, 6000, 6000]));
    }

    #[test]
    fn what_is_no_measurement_is_absent_and_never_zero() {
        for sampled in [
            json!([]),
            json!(null),
            json!([{"value": "", "measurand": "Current.Import"}]),
            json!([{"value": "NaN", "measurand": "Current.Import"}]),
            json!([{"value": "16000", "measurand": "Current.Import"}]),
            json!([{"value": "5", "measurand": "Current.Import", "unit": "Percent"}]),
            json!([{"value": "5", "measurand": "Current.Import", "location": "Inlet"}]),
            json!([{"value": "A0B1", "measurand": "Current.Import", "format": "SignedData"}]),
            json!([{"value": "5", "measurand": "Current.Offered"}]),
        ] {
            assert_eq!(of(3, sampled.clone()).current, None, "{sampled}");
        }
    }
}
