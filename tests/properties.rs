//! Does control keep its promises at any site, on any day? Sites and days come from a seed; `SEED=7` repeats one (with
//! `TRACE=1` and `--nocapture` it is told), `SEEDS=5000` tries more.
//!
//! | what must hold | shown by |
//! |---|---|
//! | 1. setpoints are zero or least…most; no raise breaks the ledger or precedes its cut | `setpoints_are_possible…`, `no_raise_breaks…` |
//! | 2. a cut takes effect in the step that finds the need | `what_is_decided_is_sent…`, and 7 |
//! | 3. no raise within the hold, nor by a stale meter | `no_raise_within_the_hold…` |
//! | 4. a lower priority never rises while a higher one on the same full row still could | `a_lower_priority_never…` |
//! | 5. a lost meter ends in fallback by lost time + 8 s; a dead gateway by the lease | `a_lost_meter_ends…` |
//! | 6. same inputs, same outputs; a recording decides again | `the_same_day_is_decided…`, `replayed::` |
//! | 7. after a house step the overload is gone in time | `after_a_house_step…` |
//! | 8. no breaker trips through our doing | `no_slow_edge…`, and `trips::` on days full of faults |
//! | 9. equals get alike, to a turn's energy | `steady::` |
//! | 10. with enough demand little is left unused | `steady::` |
//!
//! Shares themselves: tests/allocation.rs.

#![allow(clippy::unwrap_used, reason = "a failed test is what it is for")]

#[path = "properties/day.rs"]
mod day;
#[path = "properties/dice.rs"]
mod dice;
#[path = "properties/judge.rs"]
mod judge;
#[path = "properties/replayed.rs"]
mod replayed;
#[path = "properties/steady.rs"]
mod steady;
#[path = "properties/trips.rs"]
mod trips;

use day::{Day, SPAN, day};
use headroom::sim::{Frame, run};
use judge::{Judge, Point};
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::ops::Range;
use std::sync::OnceLock;

/// What did not hold on a day, and the words for it.
type Broken = Vec<(Point, String)>;

/// So many days are tried each time.
const DAYS: u64 = 60;

#[test]
fn setpoints_are_possible_and_no_decision_fails_its_own_check() {
    holds_on_all_days(Point::Possible);
}

#[test]
fn no_raise_breaks_the_ledger_or_precedes_its_cut() {
    holds_on_all_days(Point::Fits);
}

#[test]
fn what_is_decided_is_sent_in_the_same_step() {
    holds_on_all_days(Point::AtOnce);
}

#[test]
fn no_raise_within_the_hold_nor_by_a_stale_meter() {
    holds_on_all_days(Point::Holds);
}

#[test]
fn a_lower_priority_never_rises_while_a_higher_one_on_the_same_full_row_could() {
    holds_on_all_days(Point::Priority);
}

#[test]
fn a_lost_meter_ends_in_fallback_in_time_and_a_dead_gateway_by_the_lease() {
    holds_on_all_days(Point::FallsBack);
}

#[test]
fn after_a_house_step_the_overload_is_gone_in_time() {
    holds_on_all_days(Point::GoneInTime);
}

#[test]
fn no_slow_edge_trips_whatever_fails() {
    holds_on_all_days(Point::Trips);
}

#[test]
fn the_same_day_is_decided_in_the_same_way_to_the_last_bit() {
    for seed in seeds(5) {
        assert_eq!(digest(&day(seed)), digest(&day(seed)), "SEED={seed}");
    }
}

fn holds_on_all_days(point: Point) {
    static DAYS_JUDGED: OnceLock<Vec<(u64, Broken)>> = OnceLock::new();
    let judged = DAYS_JUDGED.get_or_init(|| seeds(DAYS).map(|seed| (seed, judged(seed))).collect());
    let of = |faults: &[(Point, String)]| -> Vec<String> {
        faults.iter().filter(|(other, _)| *other == point).map(|(_, what)| what.clone()).collect()
    };
    let broken: Vec<String> = judged
        .iter()
        .map(|(seed, faults)| (seed, of(faults)))
        .filter(|(_, faults)| !faults.is_empty())
        .map(|(seed, faults)| format!("SEED={seed}\n  {}", faults.join("\n  ")))
        .collect();
    assert!(broken.is_empty(), "{} days\n{}", broken.len(), broken.join("\n"));
}

fn judged(seed: u64) -> Broken {
    let day = day(seed);
    let mut judge = Judge::new(&day);
    let mut trace = Trace::of(&day);
    run(&day.site, &day.policy, &day.script, SPAN, |frame| {
        judge.see(frame);
        trace.see(frame, &day);
    });
    judge.faults
}
fn seeds(usual: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    number("SEED").map_or(0..number("SEEDS").unwrap_or(usual), |seed| seed..seed + 1)
}

fn digest(day: &Day) -> u64 {
    let mut hasher = DefaultHasher::new();
    run(&day.site, &day.policy, &day.script, SPAN, |frame| {
        hasher.write(format!("{:?}{:?}", frame.decision, frame.orders).as_bytes());
    });
    hasher.finish()
}

/// What changes, told where the environment says `TRACE=1`.
struct Trace {
    is_wanted: bool,
    last: String,
}

impl Trace {
    fn of(day: &Day) -> Self {
        let is_wanted = std::env::var_os("TRACE").is_some();
        if is_wanted {
            println!("{:?}", day.site);
            for (at, action) in &day.script.actions {
                println!("{:7.1} s: {action:?}", at.as_millis() as f64 / 1000.0);
            }
        }
        Trace { is_wanted, last: String::new() }
    }

    fn see(&mut self, frame: &Frame<'_>, day: &Day) {
        if !self.is_wanted {
            return;
        }
        let told = frame.decision.setpoints.iter().map(|told| format!("{} {}", told.amps, told.because.code()));
        let told = told.collect::<Vec<_>>().join(", ");
        if told != self.last {
            let loads = day.site.circuit_ids().map(|id| frame.plant.load(id).0.map(|amps| amps.to_string()).join("/"));
            let draws = day.site.evse_ids().map(|id| frame.plant.draw(id).most().to_string());
            let (loads, draws) = (loads.collect::<Vec<_>>().join("  "), draws.collect::<Vec<_>>().join(", "));
            println!("{:7.1} s: {loads} | {draws} | {told}", frame.plant.now().as_millis() as f64 / 1000.0);
            self.last = told;
        }
    }
}
