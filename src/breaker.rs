//! When would a breaker or fuse trip? The thermal replica of IEC 60255-149, with the edges of what standards let pass.
//!
//! Which breaker hangs in a house nobody knows: these are the quickest and the slowest that still conform. Whoever stays
//! below the quickest trips none. The parts that act at once (3 In and more) are left out: cars never come near.

use crate::time::Duration;
use crate::units::Amps;

/// gG gates of IEC 60269-1, in A: the rating, the current that it carries for 10 s, the current that melts it within 5 s.
const GATES: [(f64, f64, f64); 9] = [
    (16.0, 33.0, 65.0),
    (20.0, 42.0, 85.0),
    (25.0, 52.0, 110.0),
    (32.0, 75.0, 150.0),
    (40.0, 95.0, 190.0),
    (50.0, 125.0, 250.0),
    (63.0, 160.0, 320.0),
    (80.0, 215.0, 425.0),
    (100.0, 290.0, 580.0),
];

/// A first-order replica: it heads for (I/(k·In))² with the time constant τ, and trips at 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// For ever carried: this many times the rated current.
    pub k: f64,
    /// Time constant in seconds.
    pub tau: f64,
}

impl Edge {
    /// The fast edge of a miniature circuit breaker. IEC 60898-1, table 7: 1.13 In for an hour without tripping; τ as the
    /// quickest curves that manufacturers print.
    pub const FAST: Edge = Edge { k: 1.13, tau: 80.0 };
    /// The slow edge of the same: it must trip within an hour at 1.45 In, and within 60 s at 2.55 In.
    pub const SLOW: Edge = Edge { k: 1.45, tau: 154.0 };

    /// The envelopes of a gG fuse with this rated current (above zero), quickest and slowest. IEC 60269-1: 1.25 In is
    /// carried, 1.6 In melts it, and [`GATES`]. A rating between two of those takes the gates of the lower one in
    /// proportion, which are the quicker.
    pub fn fuse(rated: Amps) -> [Edge; 2] {
        let rated = rated.as_f64();
        let (size, carried, melting) =
            GATES.iter().rev().find(|(size, ..)| *size <= rated).copied().unwrap_or(GATES[0]);
        // θ = 1 after so many seconds of the gate's current: 1 = (I/(k·In))²·(1 − e^(−t/τ)).
        let edge = |k: f64, seconds: f64, gate: f64| Edge { k, tau: -seconds / (-(k * size / gate).powi(2)).ln_1p() };
        [edge(1.25, 10.0, carried), edge(1.6, 5.0, melting)]
    }

    /// How long a device that has long carried `preload` carries `current`; `None`: for ever. Instantaneous tripping (3 In
    /// and more) is not in it.
    pub fn trip_after(&self, preload: Amps, current: Amps, rated: Amps) -> Option<Duration> {
        let square = |amps: Amps| amps.as_f64().max(0.0).powi(2);
        let carried = (self.k * rated.as_f64()).powi(2);
        if square(current) <= carried {
            return None;
        }
        if square(preload) >= carried {
            return Some(Duration::ZERO);
        }
        let seconds = self.tau * ((square(current) - square(preload)) / (square(current) - carried)).ln();
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The most current that such a device carries for `lasts` after a full load, rounded down to a tenth of an ampere.
    fn carried(&self, rated: Amps, lasts: Duration) -> Amps {
        let full = f64::from(FULL_LOAD as i32) / 100.0;
        let gain = (lasts.as_secs_f64() / self.tau).exp();
        // t = τ·ln((I² − p²)/(I² − k²)), solved for I.
        let times = ((gain * self.k.powi(2) - full.powi(2)) / (gain - 1.0)).sqrt();
        Amps::from_f64(times * rated.as_f64()).unwrap_or(rated).floor_to(Amps::milli(100))
    }
}

/// What it has carried for long before, in percent of its rated current, when something goes wrong.
const PRELOAD: i64 = 80;
/// The same where even the slowest is asked about: hungry cars fill a fuse to its rating.
const FULL_LOAD: i64 = 100;

/// Which of the quickest devices trips first, and after how long, where `current` flows for `lasts` after an ordinary
/// load; `None` where none does.
pub fn first_to_trip(current: Amps, rated: Amps, lasts: Duration) -> Option<(&'static str, Duration)> {
    let [quickest, _] = Edge::fuse(rated);
    let devices = [("fast-edge breaker", Edge::FAST), ("gG fuse", quickest)];
    let after = |edge: Edge| edge.trip_after(rated.scaled(PRELOAD, 100), current, rated);
    let trips = devices.into_iter().filter_map(|(device, edge)| Some((device, after(edge)?)));
    trips.filter(|(_, after)| *after < lasts).min_by_key(|(_, after)| *after)
}

/// After how long the slowest breaker trips as well where `current` flows for `lasts` after a full load; `None` where it
/// does not. Whoever stays below this trips some breakers at most.
pub fn last_to_trip(current: Amps, rated: Amps, lasts: Duration) -> Option<Duration> {
    Edge::SLOW.trip_after(rated.scaled(FULL_LOAD, 100), current, rated).filter(|after| *after < lasts)
}

/// The most current that the slowest breaker carries for `lasts` after a full load: [`last_to_trip`] the other way round,
/// rounded down to a tenth of an ampere.
pub fn carried_by_last(rated: Amps, lasts: Duration) -> Amps {
    Edge::SLOW.carried(rated, lasts)
}

/// The same of the quickest breaker.
pub fn carried_by_first(rated: Amps, lasts: Duration) -> Amps {
    Edge::FAST.carried(rated, lasts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(edge: Edge, preload: f64, current: f64) -> Option<u64> {
        let times = |of: f64| Amps::milli((of * 25_000.0) as i32);
        edge.trip_after(times(preload), times(current), Amps::whole(25)).map(|after| after.as_secs())
    }

    #[test]
    fn the_fast_edge_trips_within_what_the_standard_allows_and_never_at_its_conventional_current() {
        assert_eq!(seconds(Edge::FAST, 0.0, 1.13), None);
        assert_eq!(seconds(Edge::FAST, 0.8, 1.2), Some(127));
        assert_eq!(seconds(Edge::FAST, 0.8, 1.6), Some(32));
        assert_eq!(seconds(Edge::FAST, 0.0, 2.55), Some(17), "1 s to 60 s, cold");
    }

    #[test]
    fn the_slow_edge_still_trips_at_two_and_a_half_times_its_current() {
        assert_eq!(seconds(Edge::SLOW, 0.0, 1.45), None);
        assert_eq!(seconds(Edge::SLOW, 0.0, 2.55), Some(60));
    }

    #[test]
    fn what_the_slowest_carries_for_so_long_is_just_what_does_not_trip_it() {
        let rated = Amps::whole(25);
        for seconds in [20, 66, 133, 613, 3_613] {
            let lasts = Duration::from_secs(seconds);
            let most = carried_by_last(rated, lasts);
            assert_eq!(last_to_trip(most, rated, lasts), None, "{most} for {seconds} s");
            assert!(last_to_trip(most + Amps::milli(200), rated, lasts).is_some(), "{most} for {seconds} s");
        }
        assert_eq!(carried_by_last(rated, Duration::from_secs(3_613)), Amps::milli(36_200), "1.45 In");
    }

    #[test]
    fn a_fuse_keeps_within_its_gates() {
        let [quickest, slowest] = Edge::fuse(Amps::whole(25));
        assert_eq!(seconds(quickest, 0.0, 1.25), None);
        assert_eq!(seconds(quickest, 0.0, 51.9 / 25.0), Some(10), "52 A for 10 s without melting");
        assert_eq!(seconds(slowest, 0.0, 1.6), None);
        assert_eq!(seconds(slowest, 0.0, 110.1 / 25.0), Some(4), "110 A melt it within 5 s");
    }

    #[test]
    fn what_is_too_warm_already_trips_at_once() {
        assert_eq!(seconds(Edge::FAST, 1.2, 1.3), Some(0));
        assert_eq!(seconds(Edge::FAST, 1.2, 1.0), None, "it cools");
    }
}
