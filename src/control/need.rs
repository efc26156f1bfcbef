//! How fast must a car charge to leave with what its driver wants? Energy still needed ÷ time left, as a current.

use super::observation::{Need, Session};
use crate::time::{Duration, Moment};
use crate::units::Amps;

/// A time to leave that is nearer than this, or over, counts as this near: whoever is late needs much, not endlessly much.
const NEAREST: Duration = Duration::from_secs(60);

/// More than any battery holds: keeps products within an `i64`.
const LARGEST_WH: i64 = 1_000_000;

/// The current on each of `phases` that brings the rest of what is wanted just in time, at `volts` that drive it.
/// `None` where departure or energy is not known; zero for a car that has all that its driver wants.
pub(super) fn rate(session: &Session, volts: i64, phases: usize, now: Moment) -> Option<Amps> {
    let (departs, left_wh) = (session.need.departs?, left_wh(session)?);
    let left = departs.since(now).max(NEAREST).as_millis() as i64;
    let watts_an_ampere = (volts * phases as i64).max(1);
    // Wh × 3,600,000 ms/h × 1,000 mA/A.
    let milliamps = left_wh.min(LARGEST_WH) * 3_600_000_000 / (left * watts_an_ampere);
    Some(Amps::milli(i32::try_from(milliamps).unwrap_or(i32::MAX)))
}

/// Has it all that its driver wants? Never where that is not known.
pub(super) fn is_met(session: &Session) -> bool {
    left_wh(session) == Some(0)
}

/// Milliseconds that it can wait if it then takes `most` on each of `phases` until it leaves; negative where it is late
/// already. `None` where departure or energy is not known.
pub(super) fn slack(session: &Session, most: Amps, volts: i64, phases: usize, now: Moment) -> Option<i64> {
    let (departs, left_wh) = (session.need.departs?, left_wh(session)?);
    let milliwatts = i64::from(most.as_milli()) * volts * phases as i64;
    let needed = left_wh.min(LARGEST_WH) * 3_600_000_000 / milliwatts.max(1);
    Some(departs.as_millis() as i64 - now.as_millis() as i64 - needed)
}

/// Wh that are wanted and not there yet.
fn left_wh(session: &Session) -> Option<i64> {
    let Need { wants_wh, .. } = session.need;
    Some((wants_wh? - session.energy_wh.unwrap_or(0)).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(energy_wh: i64, wants_wh: Option<i64>, departs_s: Option<u64>) -> Session {
        let departs = departs_s.map(|seconds| Moment::from_millis(seconds * 1000));
        let need = Need { departs, wants_wh };
        Session { id: 1, token: None, since: Moment::START, energy_wh: Some(energy_wh), need }
    }

    #[test]
    fn what_is_left_in_the_time_that_is_left_is_a_current() {
        // 6.9 kWh in two hours are 3.45 kW: 15 A on one phase of 230 V, 5 A on three.
        let session = session(2_100, Some(9_000), Some(7_200));
        assert_eq!(rate(&session, 230, 1, Moment::START), Some(Amps::whole(15)));
        assert_eq!(rate(&session, 230, 3, Moment::START), Some(Amps::whole(5)));
        assert_eq!(rate(&session, 230, 1, Moment::from_millis(3_600_000)), Some(Amps::whole(30)));
    }

    #[test]
    fn who_has_it_all_needs_nothing_and_who_is_late_a_minutes_worth() {
        assert_eq!(rate(&session(9_000, Some(9_000), Some(60)), 230, 1, Moment::START), Some(Amps::ZERO));
        assert!(is_met(&session(9_001, Some(9_000), None)));
        let late = session(8_770, Some(9_000), Some(10));
        assert_eq!(rate(&late, 230, 1, Moment::from_millis(99_000)), Some(Amps::whole(60)));
    }

    #[test]
    fn time_to_spare_is_what_charging_at_the_most_leaves() {
        // 6.9 kWh at 30 A and 230 V are one hour of two.
        let session = session(2_100, Some(9_000), Some(7_200));
        assert_eq!(slack(&session, Amps::whole(30), 230, 1, Moment::START), Some(3_600_000));
        assert_eq!(slack(&session, Amps::whole(30), 230, 1, Moment::from_millis(5_400_000)), Some(-1_800_000));
        assert_eq!(slack(&session, Amps::whole(10), 230, 3, Moment::START), Some(3_600_000));
    }

    #[test]
    fn without_departure_or_energy_there_is_no_such_current() {
        assert_eq!(rate(&session(0, Some(9_000), None), 230, 1, Moment::START), None);
        assert_eq!(rate(&session(0, None, Some(60)), 230, 1, Moment::START), None);
        assert!(!is_met(&session(99_000, None, Some(60))));
    }
}
