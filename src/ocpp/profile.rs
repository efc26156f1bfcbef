//! How does a setpoint become a charging profile? One TxDefaultProfile a connector with two periods: the limit, and
//! after the lease the fallback, so that the charger falls back by itself.
//!
//! OCPP 1.6 ed. 2, 3.13 and 7.8 ff. The schedule starts a minute in the past, since a charger whose clock runs behind
//! takes one that starts "now" for one of the future and charges without a limit until then. `validTo` is never used
//! (a stack in the field keeps the limit beyond it), and neither is ClearChargingProfile: a profile is replaced in
//! place, by the same id, level and purpose.

use crate::time::Duration;
use crate::units::Amps;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

/// How far in the past a schedule starts: more than any clock that is set every minute is off.
pub const HEAD_START: Duration = Duration::from_secs(60);

/// What a charger counts limits in (`ChargingScheduleAllowedChargingRateUnit`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RateUnit {
    /// Amperes a phase.
    #[default]
    Amps,
    /// Watts in total: amperes × wired phases × nominal volts.
    Watts,
}

/// The connector that a profile is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// OCPP's connector number, from 1; it is the profile's id too.
    pub connector: u32,
    /// 1 or 3 wired phases.
    pub wired: usize,
    /// The nominal volts of a terminal (OCPP 1.6 knows no others).
    pub volts: i64,
    /// What it counts in.
    pub unit: RateUnit,
}

impl RateUnit {
    /// From the configuration key's value: `Current`, `Power`, `Current,Power`; in the field `A` and `W` too.
    pub fn from_key(value: &str) -> RateUnit {
        let says =
            |words: [&str; 2]| value.split(',').any(|word| words.iter().any(|w| word.trim().eq_ignore_ascii_case(w)));
        if says(["Power", "W"]) && !says(["Current", "A"]) { RateUnit::Watts } else { RateUnit::Amps }
    }
}

impl Target {
    /// SetChargingProfile with `limit` for `lease` from `now` (the charger's clock) and `fallback` from then on.
    pub fn leased(&self, limit: Amps, lease: Duration, fallback: Amps, now: DateTime<Utc>) -> Value {
        let end = (HEAD_START + lease).as_secs();
        self.profile(json!([self.period(0, limit), self.period(end, fallback)]), now)
    }

    /// SetChargingProfile with `fallback` for good: what a car gets that plugs in while nobody is there to ask.
    pub fn lasting(&self, fallback: Amps, now: DateTime<Utc>) -> Value {
        self.profile(json!([self.period(0, fallback)]), now)
    }

    fn profile(&self, periods: Value, now: DateTime<Utc>) -> Value {
        let head_start = TimeDelta::from_std(HEAD_START).unwrap_or_default();
        let start = now.checked_sub_signed(head_start).unwrap_or(now);
        json!({
            "connectorId": self.connector,
            "csChargingProfiles": {
                "chargingProfileId": self.connector,
                "stackLevel": 0,
                "chargingProfilePurpose": "TxDefaultProfile",
                "chargingProfileKind": "Absolute",
                "chargingSchedule": {
                    "startSchedule": start.to_rfc3339_opts(SecondsFormat::Secs, true),
                    "chargingRateUnit": match self.unit {
                        RateUnit::Amps => "A",
                        RateUnit::Watts => "W",
                    },
                    "chargingSchedulePeriod": periods,
                },
            },
        })
    }

    /// At most one decimal (OCPP 1.6 ed. 2, 7.14), rounded down.
    fn period(&self, start: u64, limit: Amps) -> Value {
        let milli = i64::from(limit.as_milli()).max(0);
        match self.unit {
            RateUnit::Amps if milli % 1000 < 100 => json!({"startPeriod": start, "limit": milli / 1000}),
            RateUnit::Amps => json!({"startPeriod": start, "limit": (milli / 100) as f64 / 10.0}),
            // Without `numberPhases` a charger divides by three (7.14): where one is wired it has to be said.
            RateUnit::Watts if self.wired == 1 => {
                json!({"startPeriod": start, "limit": milli * self.volts / 1000, "numberPhases": 1})
            }
            RateUnit::Watts => {
                json!({"startPeriod": start, "limit": milli * self.volts * self.wired as i64 / 1000})
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:01:00.9Z".parse().unwrap()
    }

    const THREE: Target = Target { connector: 2, wired: 3, volts: 230, unit: RateUnit::Amps };

    #[test]
    fn a_lease_has_two_periods_and_starts_a_minute_ago() {
        let profile = THREE.leased(Amps::milli(10_480), Duration::from_secs(120), Amps::whole(6), now());
        let wanted = json!({"connectorId": 2, "csChargingProfiles": {
            "chargingProfileId": 2, "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Absolute",
            "chargingSchedule": {"startSchedule": "2026-03-01T12:00:00Z", "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.4}, {"startPeriod": 180, "limit": 6}]}}});
        assert_eq!(profile, wanted);
    }

    #[test]
    fn the_fallback_has_one_period_and_replaces_the_lease_in_place() {
        let profile = &THREE.lasting(Amps::whole(6), now())["csChargingProfiles"];
        assert_eq!(profile["chargingProfileId"], 2);
        assert_eq!(profile["chargingSchedule"]["chargingSchedulePeriod"], json!([{"startPeriod": 0, "limit": 6}]));
    }

    #[test]
    fn watts_are_the_total_at_230_volts() {
        let watts = Target { unit: RateUnit::Watts, ..THREE };
        assert_eq!(watts.period(0, Amps::whole(10)), json!({"startPeriod": 0, "limit": 6900}));
        let single = Target { wired: 1, ..watts };
        assert_eq!(single.period(0, Amps::whole(10)), json!({"startPeriod": 0, "limit": 2300, "numberPhases": 1}));
        let no_neutral = Target { volts: 132, ..watts };
        assert_eq!(no_neutral.period(0, Amps::whole(10)), json!({"startPeriod": 0, "limit": 3960}));
    }

    #[test]
    fn a_limit_has_one_decimal_at_most_and_is_never_rounded_up() {
        let limits =
            [(6000, "6"), (6050, "6"), (6999, "6.9"), (10_400, "10.4"), (0, "0"), (-1000, "0"), (16_099, "16")];
        for (milli, wanted) in limits {
            assert_eq!(THREE.period(0, Amps::milli(milli))["limit"].to_string(), wanted, "{milli}");
        }
    }

    #[test]
    fn the_rate_unit_is_read_as_chargers_spell_it() {
        for (value, unit) in [
            ("Current", RateUnit::Amps),
            ("Current,Power", RateUnit::Amps),
            ("Power, Current", RateUnit::Amps),
            ("A", RateUnit::Amps),
            ("", RateUnit::Amps),
            ("Power", RateUnit::Watts),
            ("W", RateUnit::Watts),
        ] {
            assert_eq!(RateUnit::from_key(value), unit, "{value}");
        }
    }
}
