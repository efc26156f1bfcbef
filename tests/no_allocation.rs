//! Does a step in steady life ask for memory? Counted by an allocator of its own, which is why this is a program of its own.

#[path = "bench/garage.rs"]
mod garage;

use garage::{World, scenario};
use headroom::policy::Mode;
use headroom::site::Limits;
use headroom::time::Moment;
use headroom::units::Amps;

/// Until all cars have arrived, and whatever grows has grown: the longest memory of control is twenty minutes.
const SETTLED: Moment = Moment::from_millis(1_800_000);
/// Five renewals of every lease, thirty reports of every charger.
const END: Moment = Moment::from_millis(2_100_000);

#[test]
fn a_step_in_steady_life_asks_for_no_memory() {
    asks_for_no_memory(Mode::Fast);
}

#[test]
fn nor_does_one_that_shares_the_sun() {
    asks_for_no_memory(Mode::Eco);
}

fn asks_for_no_memory(mode: Mode) {
    let mut scenario = scenario(50);
    scenario.policy.rules.mode = mode;
    // Every row that there is; none of them is full.
    scenario.site.limits =
        Limits { contract: Some(1_000_000), dso: Some(1_000_000), unbalance: Some(Amps::whole(500)) };
    let mut world = World::new(&scenario);
    world.live_until(SETTLED, |turn| turn.step());
    assert!(world.charging() >= 45, "{} have current", world.charging());
    let (mut steps, mut asked) = (0, 0);
    world.live_until(END, |turn| {
        let counted = allocation_counter::measure(|| turn.step());
        steps += 1;
        asked += counted.count_total;
    });
    assert!(steps >= 300, "{steps} steps");
    assert_eq!(asked, 0, "allocations in {steps} steps");
}
