//! How long does the sharing take? A tree of three levels, three phases, tiers and weights; from scarcity to plenty.

#[path = "../allocation/bare.rs"]
mod bare;

use crate::now;
use crate::table::Table;
use headroom::control::allocation::{Allocation, Ask, Capacity, Plan};
use headroom::site::{CircuitId, Evse, EvseId, Rotation, Site, Wiring};
use headroom::time::Duration;
use headroom::units::{Amps, PerPhase, Phase};
use std::hint::black_box;

/// EVSEs of a pod, and pods of a feeder.
const POD: usize = 54;
const FEEDER: usize = 8;
/// So many sharings are measured, each with other limits and other wishes.
const ROUNDS: usize = 1_000;

/// Scarcity (two minimums in five fit), and enough for a common level between least and most.
pub fn measure(evses: usize, table: &mut Table) {
    for (what, percent, aim) in [("40 % of the minimums fit", 40, aim(evses)), ("all charge", 150, "")] {
        let times = times(evses, percent);
        table.times(&format!("sharing among {evses}, {what}"), times, aim);
    }
}

fn aim(evses: usize) -> &'static str {
    match evses {
        54 => "10 µs",
        500 => "100 µs",
        2_000 => "500 µs",
        10_000 => "3 ms",
        _ => "",
    }
}

fn times(evses: usize, percent: i64) -> Vec<Duration> {
    let site = site(evses);
    let plan = Plan::new(&site);
    let mut allocation = Allocation::default();
    let mut capacity = Capacity::unlimited(&plan);
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let queue = queue(&site, round);
        set_limits(&mut capacity, &site, &queue, percent, round);
        let begun = now();
        let shares = allocation.share(black_box(&plan), black_box(&capacity), black_box(&queue));
        times.push(begun.elapsed());
        let charging = black_box(shares).iter().filter(|share| share.amps.is_positive()).count();
        let expected = if percent < 100 { evses / 4..=evses * 3 / 5 } else { evses..=evses };
        assert!(expected.contains(&charging), "{charging} of {evses} have current");
    }
    times
}

/// A root, feeders, and on each some pods, where the EVSEs hang. Two in five have one phase.
fn site(evses: usize) -> Site {
    let pods = evses.div_ceil(POD);
    let feeders = pods.div_ceil(FEEDER);
    let mut site = bare::site(Wiring::Star);
    site.circuits.extend((0..feeders).map(|_| bare::circuit(Some(Site::ROOT))));
    site.circuits.extend((0..pods).map(|pod| bare::circuit(Some(CircuitId(1 + pod / FEEDER)))));
    let rotation = |i: usize| match i % 5 {
        0 | 3 => Rotation::one(Phase::ALL[i % 3]),
        _ => Rotation::three(Phase::ALL),
    };
    let evse = |i: usize| Evse {
        least: Amps::whole([6, 6, 6, 8][i % 4]),
        most: Amps::whole([16, 32, 16, 20, 25][i % 7 % 5]),
        ..bare::evse(CircuitId(1 + feeders + i / POD), rotation(i))
    };
    site.evses.extend((0..evses).map(evse));
    site
}

/// Everybody, in another order each time: four tiers, three weights.
fn queue(site: &Site, round: usize) -> Vec<Ask> {
    let mixed = |id: EvseId| (id.0 * 7919 + round * 104_729) % 10_007;
    let ask = |id: EvseId| Ask {
        tier: [6, 3, 0, -3][mixed(id) % 4],
        weight: [1, 2, 4][mixed(id) % 3],
        ..Ask::plain(id, site.evse(id))
    };
    let mut queue: Vec<Ask> = site.evse_ids().map(ask).collect();
    queue.sort_by_key(|ask| (-ask.tier, mixed(ask.evse)));
    queue
}

/// Each circuit gets so many percent of the minimums below it, more or less, and the more the higher it stands.
fn set_limits(capacity: &mut Capacity, site: &Site, queue: &[Ask], percent: i64, round: usize) {
    let mut least = vec![PerPhase::<Amps>::default(); site.circuits.len()];
    for ask in queue {
        for circuit in site.path(site.evse(ask.evse).circuit) {
            for phase in ask.phases.iter() {
                least[circuit.0][phase] += ask.least;
            }
        }
    }
    for id in site.circuit_ids() {
        let spread = (id.0 * 31 + round * 17) % 41;
        let amps = |phase: Phase| {
            Some(least[id.0][phase].scaled(percent + spread as i64 - if id.0 == 0 { 0 } else { 10 }, 100))
        };
        capacity.set_amps(id, PerPhase::from_fn(amps));
    }
}
