//! What does a charging profile mean to the virtual charger? The period that holds now, until the next one begins.
//!
//! OCPP 1.6 edition 2, 3.13 and 7.8: one profile at a time is kept, in amperes, Absolute or Relative, with a start; of
//! later periods the next one counts, which is all that a lease has.

use crate::control::Order;
use crate::site::EvseId;
use crate::time::Duration;
use crate::units::Amps;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// "Until something else is said": a period without a successor.
const FOR_GOOD: Duration = Duration::from_secs(365 * 86_400);

/// The order that a SetChargingProfile amounts to at `wall`.
///
/// # Errors
/// What is wrong with it, for a CALLERROR.
pub fn order_of(payload: &Value, evse: EvseId, wall: DateTime<Utc>) -> Result<Order, String> {
    let schedule = &payload["csChargingProfiles"]["chargingSchedule"];
    if schedule["chargingRateUnit"] != "A" {
        return Err("chargingRateUnit: only A is supported".into());
    }
    let start = match schedule["startSchedule"].as_str() {
        Some(text) => DateTime::parse_from_rfc3339(text).map_err(|_| "startSchedule is no time".to_owned())?.to_utc(),
        None => wall,
    };
    let elapsed = (wall - start).num_milliseconds();
    let periods = schedule["chargingSchedulePeriod"].as_array().ok_or("chargingSchedulePeriod is missing")?;
    let periods: Vec<(i64, Amps)> = periods.iter().map(period).collect::<Result<_, String>>()?;
    let next = periods.iter().position(|(begins, _)| *begins > elapsed).unwrap_or(periods.len());
    let Some((_, amps)) = next.checked_sub(1).and_then(|current| periods.get(current)).copied() else {
        return Err("no period holds now".into());
    };
    let (lease, fallback) = match periods.get(next) {
        Some((begins, amps)) => (Duration::from_millis((begins - elapsed).unsigned_abs()), *amps),
        None => (FOR_GOOD, amps),
    };
    Ok(Order { evse, number: 0, amps, lease, fallback })
}

/// When a period begins (ms after the start), and its limit.
fn period(period: &Value) -> Result<(i64, Amps), String> {
    let begins = period["startPeriod"].as_i64().ok_or("startPeriod is no whole number")?;
    let limit = period["limit"].as_f64().and_then(Amps::from_f64).ok_or("limit is no number of amperes")?;
    Ok((begins.saturating_mul(1000), limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn profile(periods: Value) -> Value {
        let schedule = json!({
            "startSchedule": "2026-03-01T12:00:00Z", "chargingRateUnit": "A", "chargingSchedulePeriod": periods,
        });
        json!({"csChargingProfiles": {"chargingSchedule": schedule}})
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_lease_holds_until_its_second_period_begins() {
        let lease = profile(json!([{"startPeriod": 0, "limit": 12.5}, {"startPeriod": 180, "limit": 6}]));
        let order = order_of(&lease, EvseId(0), at("2026-03-01T12:01:00.5Z")).unwrap();
        assert_eq!((order.amps, order.fallback), (Amps::milli(12_500), Amps::whole(6)));
        assert_eq!(order.lease, Duration::from_millis(119_500));
        let late = order_of(&lease, EvseId(0), at("2026-03-01T12:03:00Z")).unwrap();
        assert_eq!((late.amps, late.lease), (Amps::whole(6), FOR_GOOD));
    }

    #[test]
    fn a_schedule_of_the_future_holds_nothing_now() {
        let lease = profile(json!([{"startPeriod": 0, "limit": 12}]));
        assert!(order_of(&lease, EvseId(0), at("2026-03-01T11:59:59Z")).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        let now = at("2026-03-01T12:01:00Z");
        for wrong in [json!({}), profile(json!([])), profile(json!([{"startPeriod": 0, "limit": "much"}]))] {
            assert!(order_of(&wrong, EvseId(0), now).is_err(), "{wrong}");
        }
    }
}
