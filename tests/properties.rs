//! Does control keep its promises at any site, on any day? Sites and days come from a seed; `SEED=7` repeats one (with
//! `TRACE=1` and `--nocapture` it is told), `SEEDS=5000` tries more.

#![allow(clippy::unwrap_used, reason = "a failed test is what it is for")]

#[path = "properties/day.rs"]
mod day;
#[path = "properties/dice.rs"]
mod dice;
#[path = "properties/judge.rs"]
mod judge;
#[path = "properties/replayed.rs"]
mod replayed;
#[path = "properties/trips.rs"]
mod trips;

use day::{Day, SPAN, day};
use headroom::sim::{Frame, run};
use judge::Judge;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::ops::Range;

/// So many days are tried each time.
const DAYS: u64 = 100;

#[test]
fn on_no_day_does_control_break_a_promise() {
    let broken: Vec<String> = seeds(DAYS)
        .filter_map(|seed| {
            let day = day(seed);
            let mut judge = Judge::new(&day);
            let mut trace = Trace::of(&day);
            run(&day.site, &day.policy, &day.script, SPAN, |frame| {
                judge.see(frame);
                trace.see(frame, &day);
            });
            (!judge.faults.is_empty()).then(|| format!("SEED={seed}\n  {}", judge.faults.join("\n  ")))
        })
        .collect();
    assert!(broken.is_empty(), "{} days\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn the_same_day_is_decided_in_the_same_way_to_the_last_bit() {
    for seed in seeds(5) {
        assert_eq!(digest(&day(seed)), digest(&day(seed)), "SEED={seed}");
    }
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
