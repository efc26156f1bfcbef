//! Does a breaker trip through our doing? Control point 8, over days full of faults.

use headroom::sim::builtin::faults;
use headroom::sim::{Blame, Cause, Outcome, Scenario, run};
use headroom::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tried each time, for so long each: more is for the long run.
const DAYS: u64 = 24;
const PART: Duration = Duration::from_secs(900);

/// The worst of many days, and which days they were.
fn worst(days: &[(u64, Outcome)]) -> String {
    let of = |what: &dyn Fn(&Outcome) -> f64| {
        let worst = days.iter().max_by(|(_, one), (_, other)| what(one).total_cmp(&what(other)));
        worst.map_or_else(String::new, |(seed, day)| format!("{:.3} (seed {seed})", what(day)))
    };
    let mut told = format!("{} days", days.len());
    for (index, cause) in Cause::ALL.into_iter().enumerate() {
        let (fast, slow) = (of(&|day| day.peaks[index].fast), of(&|day| day.peaks[index].slow));
        let hottest = days.iter().map(|(_, day)| day.peaks[index]).max_by(|a, b| a.fast.total_cmp(&b.fast));
        let at_s = hottest.map_or(0.0, |peak| peak.at_s);
        told += &format!("\n{cause:?}: fast edge at most {fast} at {at_s:.1} s, slow edge at most {slow}");
    }
    let (overload, longest) = (of(&|day| day.overload.as_f64()), of(&|day| day.longest.as_secs_f64()));
    told += &format!("\noverload by cars that obeyed: at most {overload} A, for {longest} s without a break");
    let unseen: Vec<u64> = days.iter().filter(|(_, day)| !day.unseen.is_empty()).map(|(seed, _)| *seed).collect();
    told += &format!("\n{} days with a trip while a meter repeated itself: {unseen:?}", unseen.len());
    let warned: Vec<u64> = days.iter().filter(|(_, day)| day.warned > 0).map(|(seed, _)| *seed).collect();
    told + &format!("\n{} days with a trip that check warns of: {warned:?}", warned.len())
}

/// One day, or its beginning.
pub fn outcome(scenario: &Scenario, span: Duration) -> Outcome {
    let mut blame = Blame::new(scenario);
    run(&scenario.site, &scenario.policy, &scenario.script, span, |frame| blame.see(frame));
    blame.outcome()
}

#[test]
fn no_breaker_trips_through_our_doing_on_days_full_of_faults() {
    let is_long = ["SEED", "SEEDS"].iter().any(|name| std::env::var_os(name).is_some());
    let seeds = crate::seeds(DAYS);
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut days = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return days;
            }
            let day = faults(seed);
            days.push((seed, outcome(&day, if is_long { day.span } else { PART })));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut days: Vec<(u64, Outcome)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    days.sort_by_key(|(seed, _)| *seed);
    println!("{}", worst(&days));
    let broken: Vec<String> = days
        .iter()
        .filter(|(_, day)| !day.faults.is_empty())
        .map(|(seed, day)| format!("SEED={seed}\n  {}", day.faults.join("\n  ")))
        .collect();
    assert!(broken.is_empty(), "{} of {} days\n{}", broken.len(), days.len(), broken.join("\n"));
}
