//! How many site-days are simulated in a second? Houses with one car and a day's faults, on one core and on all.

use crate::now;
use crate::table::Table;
use headroom::sim::builtin::faults;
use headroom::sim::{Judge, run};
use std::hint::black_box;
use std::thread;

/// So many days on each core.
const DAYS: usize = 8;
/// A thousand days in ten minutes on two cores, in days a second.
const AIM: &str = "1.67 on two cores";

/// Each day as `headroom simulate faults` lives it: made, lived and judged.
pub fn measure(table: &mut Table) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let has_one_car = |seed: &u64| faults(*seed).site.evses.len() == 1;
    let seeds: Vec<u64> = (0..).filter(has_one_car).take(cores * DAYS).collect();
    let mut ways = vec![(1, "one core", ""), (cores, "all cores", AIM)];
    ways.dedup_by_key(|(cores, ..)| *cores);
    for (cores, words, aim) in ways {
        let seeds = &seeds[..cores * DAYS];
        let begun = now();
        thread::scope(|scope| {
            for mine in seeds.chunks(DAYS) {
                scope.spawn(|| mine.iter().copied().for_each(live));
            }
        });
        let a_second = seeds.len() as f64 / begun.elapsed().as_secs_f64();
        table.number(&format!("site-days a second, one car and faults, {words}"), &format!("{a_second:.2}"), aim);
    }
}

fn live(seed: u64) {
    let day = faults(seed);
    let mut judge = Judge::new(&day.site);
    run(&day.site, &day.policy, &day.script, day.span, |frame| judge.see(&day.site, frame));
    black_box(judge.score());
}
