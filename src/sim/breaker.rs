//! Would a breaker trip? The thermal replicas of `breaker.rs` in simulated time: the quickest and the slowest device that
//! conform to their standard.
//!
//! θ' = ((I/In)²/k² − θ)/τ, tripping at θ = 1 (IEC 60255-149). Cold at first.

use crate::breaker::Edge;
use crate::time::Duration;
use crate::units::Amps;

/// One pole of a breaker or fuse as the quickest and the slowest that conform to its standard.
#[derive(Debug, Clone, PartialEq)]
pub struct Breaker {
    /// Where this one trips, some conforming breaker may.
    pub fast: Replica,
    /// Where this one trips, every conforming breaker must have.
    pub slow: Replica,
}

/// The heat in one breaker: a first-order thermal replica, cold at first.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// The current that heats it to 1 in the end, in A.
    carries: f64,
    /// Time constant in seconds.
    tau: f64,
    heat: f64,
    peak: f64,
    /// The span last lived and what is left of a difference after it: spans are nearly always alike.
    decay: (Duration, f64),
}

impl Breaker {
    /// A miniature breaker of IEC 60898-1 with this rated current (above zero).
    pub fn miniature(rated: Amps) -> Self {
        Breaker { fast: Replica::new(Edge::FAST, rated), slow: Replica::new(Edge::SLOW, rated) }
    }

    /// A gG fuse of IEC 60269 with this rated current (above zero).
    pub fn fuse(rated: Amps) -> Self {
        let [fast, slow] = Edge::fuse(rated).map(|edge| Replica::new(edge, rated));
        Breaker { fast, slow }
    }

    /// Lets `current` flow for `span`; either direction heats.
    pub fn live(&mut self, current: Amps, span: Duration) {
        self.fast.live(current, span);
        self.slow.live(current, span);
    }

    /// May some conforming breaker have tripped by now?
    pub fn may_have_tripped(&self) -> bool {
        self.fast.peak() >= 1.0
    }

    /// Must every conforming breaker have tripped by now?
    pub fn must_have_tripped(&self) -> bool {
        self.slow.peak() >= 1.0
    }
}

impl Replica {
    fn new(edge: Edge, rated: Amps) -> Self {
        let carries = (edge.k * rated.as_f64()).max(f64::MIN_POSITIVE);
        Replica { carries, tau: edge.tau, heat: 0.0, peak: 0.0, decay: (Duration::ZERO, 1.0) }
    }

    /// θ now: 0 is cold, 1 trips. It goes on after a trip, so that a peak shows by how much.
    pub fn heat(&self) -> f64 {
        self.heat
    }

    /// The greatest θ so far.
    pub fn peak(&self) -> f64 {
        self.peak
    }

    /// The exact solution for a constant current, however long the span. θ is monotone in it: its peak is at an end.
    fn live(&mut self, current: Amps, span: Duration) {
        if span != self.decay.0 {
            self.decay = (span, (-span.as_secs_f64() / self.tau).exp());
        }
        let end = (current.as_f64() / self.carries).powi(2);
        self.heat = end + (self.heat - end) * self.decay.1;
        self.peak = self.peak.max(self.heat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until the edge trips; `None` within an hour.
    fn trips_after(mut breaker: Breaker, current: Amps, edge: fn(&Breaker) -> bool) -> Option<u64> {
        (1..=36_000).find_map(|tenth| {
            breaker.live(current, Duration::from_millis(100));
            edge(&breaker).then_some(tenth / 10)
        })
    }

    /// So many thousandths of 25 A.
    fn of_rated(thousandths: i32) -> Amps {
        Amps::milli(thousandths * 25)
    }

    #[test]
    fn miniature_breakers_trip_when_the_table_says() {
        // 25 A; in In/1000: the fast edge cold and after long at 0.8 In, and the slow edge; None is never.
        let table = [
            (1_200, Some(174), Some(127), None),
            (1_300, Some(113), Some(75), None),
            (1_600, Some(55), Some(32), Some(265)),
            (2_000, Some(31), Some(17), Some(115)),
            (2_550, Some(17), Some(9), Some(60)),
            (3_000, Some(12), Some(6), Some(41)),
            (1_130, None, None, None),
        ];
        for (load, cold, warm, slow) in table {
            let breaker = Breaker::miniature(Amps::whole(25));
            let near = |found: Option<u64>, wanted: Option<u64>| match (found, wanted) {
                (Some(found), Some(wanted)) => found.abs_diff(wanted) <= 1,
                (found, wanted) => found == wanted,
            };
            let found = trips_after(breaker.clone(), of_rated(load), Breaker::may_have_tripped);
            assert!(near(found, cold), "fast at {load}: {found:?}");
            let found = trips_after(breaker.clone(), of_rated(load), Breaker::must_have_tripped);
            assert!(near(found, slow), "slow at {load}: {found:?}");
            let mut preloaded = breaker;
            preloaded.live(Amps::whole(20), Duration::from_secs(3_600));
            let found = trips_after(preloaded, of_rated(load), Breaker::may_have_tripped);
            assert!(near(found, warm), "fast, warm, at {load}: {found:?}");
        }
    }

    #[test]
    fn a_fuse_keeps_within_its_gates() {
        for (rated, ten_seconds, five_seconds) in [(25, 52, 110), (63, 160, 320), (100, 290, 580)] {
            let fuse = Breaker::fuse(Amps::whole(rated));
            let fast = trips_after(fuse.clone(), Amps::whole(ten_seconds), Breaker::may_have_tripped).unwrap();
            assert!((9..=10).contains(&fast), "{rated} A: {fast} s");
            let slow = trips_after(fuse.clone(), Amps::whole(five_seconds), Breaker::must_have_tripped).unwrap();
            assert!((4..=5).contains(&slow), "{rated} A: {slow} s");
            assert_eq!(trips_after(fuse, Amps::milli(rated * 1_249), Breaker::may_have_tripped), None);
        }
        // Between two ratings the lower one's gates count: 32 A carries 75 A for 10 s, so 35 A carries 82 A.
        let fast = trips_after(Breaker::fuse(Amps::whole(35)), Amps::whole(82), Breaker::may_have_tripped).unwrap();
        assert!((9..=10).contains(&fast), "35 A: {fast} s");
    }

    #[test]
    fn one_long_span_heats_as_many_short_ones_and_export_as_import() {
        let (mut one, mut other) = (Breaker::miniature(Amps::whole(25)), Breaker::miniature(Amps::whole(25)));
        one.live(Amps::whole(40), Duration::from_secs(20));
        (0..200).for_each(|_| other.live(Amps::whole(-40), Duration::from_millis(100)));
        assert!((one.fast.heat() - other.fast.heat()).abs() < 1e-9);
        let peak = one.slow.peak();
        one.live(Amps::ZERO, Duration::from_secs(154));
        assert!((one.slow.heat() - peak / std::f64::consts::E).abs() < 1e-9, "{}", one.slow.heat());
        assert_eq!(one.slow.peak(), peak);
    }
}
