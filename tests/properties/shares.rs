//! Is the sharing right? Random asks on random rows, against sharing by hand: slowly, an ampere's hundredth at a time.

use crate::day::{Dice, day};
use headroom::control::Reason;
use headroom::control::allocation::{Ask, Capacity, Share, allocate};
use headroom::site::{EvseId, Site};
use headroom::units::{Amps, PerPhase};

const CASES: u64 = 400;
/// The slow way's grain.
const GRAIN: i32 = 10;

#[test]
fn shares_fit_and_are_those_that_the_slow_way_finds() {
    for seed in 0..CASES {
        let dice = &mut Dice::new(seed ^ 0x5A5A);
        let site = day(seed).site;
        let queue = queue(dice, &site);
        let rows = rows(dice, &site);
        let shares = allocate(&site, &rows, &queue);
        let told = format!("seed {seed}\n{queue:#?}\n{rows:?}\n{shares:?}");
        assert_eq!(shares.len(), queue.len(), "{told}");
        for (ask, share) in queue.iter().zip(&shares) {
            let may = share.amps == Amps::ZERO || (ask.least..=ask.most).contains(&share.amps);
            assert!(may && share.evse == ask.evse, "{told}");
            assert!(share.amps == ask.least || share.amps.floor_to(ask.step) == share.amps, "{told}");
        }
        admitted_in_order(&site, &rows, &queue, &shares, &told);
        let rows = less_kept(&site, &rows, &queue, &shares);
        nothing_is_left(&site, &rows, &queue, &shares, &told);
        as_the_slow_way(&site, &rows, &queue, &shares, &told);
    }
}

fn queue(dice: &mut Dice, site: &Site) -> Vec<Ask> {
    let mut queue: Vec<Ask> = Vec::new();
    for id in site.evse_ids() {
        if dice.chance(20) {
            continue;
        }
        let evse = site.evse(id);
        let most = if dice.chance(20) { Amps::whole(dice.from(0, 12) as i32) } else { evse.most }.min(evse.most);
        queue.push(Ask {
            evse: id,
            phases: evse.rotation.phases(),
            entry: evse.least + dice.one(&[Amps::ZERO, Amps::whole(1)]),
            least: evse.least,
            most: most.floor_to(evse.step),
            capped: Reason::Full,
            step: evse.step,
            tier: dice.one(&[0, 0, 3, -9]),
            weight: dice.one(&[1, 1, 2, 5]),
        });
    }
    queue.sort_by_key(|ask| std::cmp::Reverse(ask.tier));
    queue
}

fn rows(dice: &mut Dice, site: &Site) -> Capacity {
    let row = |dice: &mut Dice| match dice.from(0, 9) {
        0 => None,
        1 => Some(Amps::milli(-(dice.from(0, 20_000) as i32))),
        _ => Some(Amps::milli(dice.from(0, 60_000) as i32)),
    };
    site.circuits.iter().map(|_| PerPhase::from_fn(|_| row(dice))).collect()
}

/// What is left of the rows on this EVSE's path; `None` where none has a limit.
fn room(site: &Site, left: &Capacity, ask: &Ask) -> Option<Amps> {
    let rows = site.path(site.evse(ask.evse).circuit).flat_map(|c| ask.phases.iter().map(move |phase| (c, phase)));
    rows.filter_map(|(circuit, phase)| left[circuit.0][phase]).min()
}

fn take(site: &Site, left: &mut Capacity, ask: &Ask, amps: Amps) {
    for circuit in site.path(site.evse(ask.evse).circuit).collect::<Vec<_>>() {
        for phase in ask.phases.iter() {
            left[circuit.0][phase] = left[circuit.0][phase].map(|row| row - amps);
        }
    }
}

/// Whoever comes first and fits is in; whoever is out would not fit beside the minimums of those before.
fn admitted_in_order(site: &Site, rows: &Capacity, queue: &[Ask], shares: &[Share], told: &str) {
    let mut left = rows.clone();
    for (ask, share) in queue.iter().zip(shares) {
        let fits = ask.most >= ask.least && room(site, &left, ask).is_none_or(|room| room >= ask.entry);
        assert_eq!(share.amps.is_positive(), fits, "{:?}\n{told}", ask.evse);
        if fits {
            take(site, &mut left, ask, ask.entry);
        }
    }
}

/// The rows without what is kept for those that are to start: more than their least, until they have.
fn less_kept(site: &Site, rows: &Capacity, queue: &[Ask], shares: &[Share]) -> Capacity {
    let mut left = rows.clone();
    for (ask, _) in queue.iter().zip(shares).filter(|(_, share)| share.amps.is_positive()) {
        take(site, &mut left, ask, ask.entry - ask.least);
    }
    left
}

/// No row is overdrawn by those who got something, and nobody could have a step more.
fn nothing_is_left(site: &Site, rows: &Capacity, queue: &[Ask], shares: &[Share], told: &str) {
    let mut left = rows.clone();
    for (ask, share) in queue.iter().zip(shares) {
        take(site, &mut left, ask, share.amps);
    }
    for (ask, share) in queue.iter().zip(shares).filter(|(_, share)| share.amps.is_positive()) {
        let room = room(site, &left, ask);
        assert!(room.is_none_or(|room| room >= Amps::ZERO), "{:?} overdraws\n{told}", ask.evse);
        // Leftovers go round once: a step smaller than another's may be left over by it.
        let coarsest = queue.iter().map(|ask| ask.step).max().unwrap_or_default();
        let is_full = share.amps + ask.step > ask.most
            || room.is_some_and(|room| room < Amps::milli(coarsest.as_milli() * queue.len() as i32));
        assert!(is_full, "{:?} could have more\n{told}", ask.evse);
    }
}

/// Tier by tier all rise together, a grain of their weight at a time, until their most or a full row; then rounded.
fn as_the_slow_way(site: &Site, rows: &Capacity, queue: &[Ask], shares: &[Share], told: &str) {
    let mut left = rows.clone();
    let mut slow: Vec<Amps> = shares
        .iter()
        .zip(queue)
        .map(|(share, ask)| if share.amps.is_positive() { ask.least } else { Amps::ZERO })
        .collect();
    for (ask, amps) in queue.iter().zip(&slow) {
        take(site, &mut left, ask, *amps);
    }
    // Only the first tier: what is left for the next depends on how the first was rounded.
    let Some(first) = queue.iter().zip(&slow).find(|(_, amps)| amps.is_positive()).map(|(ask, _)| ask.tier) else {
        return;
    };
    let mut rising: Vec<usize> =
        (0..queue.len()).filter(|i| queue[*i].tier == first && slow[*i].is_positive()).collect();
    let mut level = 0;
    while !rising.is_empty() {
        level += GRAIN;
        rising.retain(|&i| {
            let ask = &queue[i];
            let wanted = Amps::milli(level * ask.weight as i32).clamp(ask.least, ask.most);
            let more = wanted - slow[i];
            let fits = room(site, &left, ask).is_none_or(|room| room >= more);
            if fits && more.is_positive() {
                take(site, &mut left, ask, more);
                slow[i] = wanted;
            }
            fits && wanted < ask.most
        });
    }
    let heaviest = queue.iter().map(|ask| ask.weight as i32).max().unwrap_or(1);
    for (i, ask) in queue.iter().enumerate().filter(|(_, ask)| ask.tier == first) {
        let off = (shares[i].amps - slow[i]).abs();
        let most = ask.step + Amps::milli(GRAIN * heaviest * queue.len() as i32);
        assert!(off <= most, "{:?} has {}, slowly {}\n{told}", EvseId(ask.evse.0), shares[i].amps, slow[i]);
    }
}
