//! Is the sharing right? Random sites against linear programs, against trying all, and for what must hold of any.
//!
//! `CASES=1000000 cargo test --release --test allocation` tries more; a failure names its seed, and `SEED=7` repeats it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test is what it is for")]

#[path = "allocation/bare.rs"]
mod bare;
#[path = "allocation/case.rs"]
mod case;
#[path = "properties/dice.rs"]
mod dice;
#[path = "allocation/oracle.rs"]
mod oracle;
#[path = "allocation/rows.rs"]
mod rows;

use case::{Case, Kind};
use dice::Dice;
use headroom::control::Reason;
use headroom::control::allocation::{Allocation, Share};
use headroom::site::{CircuitId, EvseId};
use headroom::units::{Amps, PerPhase};
use rows::{ROUNDING, Row, rows};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a test on cases of this kind, one in `thinned` of what is asked for; says which seed it was that failed.
fn each(thinned: u64, kind: Kind, test: impl Fn(u64, Case)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("CASES").unwrap_or(3_000) / thinned;
    let seeds: Range<u64> = number("SEED").map_or(0..cases, |seed| seed..seed + 1);
    for seed in seeds {
        let case = Case::new(seed, kind);
        if let Err(fault) = catch_unwind(AssertUnwindSafe(|| test(seed, case.clone()))) {
            eprintln!("SEED={seed}\n{:#?}\n{:?}\n{case:?}", case.shares(), case.queue);
            std::panic::resume_unwind(fault);
        }
    }
}

fn in_amperes(shares: &[Share]) -> Vec<f64> {
    shares.iter().map(|share| share.amps.as_f64()).collect()
}

/// Does no row that this one uses carry more than it may?
fn fits(rows: &[Row], ask: usize, amps: &[f64]) -> bool {
    rows.iter().filter(|row| row.is_of(ask)).all(|row| row.load(amps) <= row.limit + ROUNDING)
}

#[test]
fn every_share_can_be_told_and_no_row_is_overdrawn() {
    each(1, Kind::Any, |_, case| {
        let (rows, shares) = (rows(&case), case.shares());
        assert_eq!(shares.len(), case.queue.len());
        let amps = in_amperes(&shares);
        for (i, (ask, share)) in case.queue.iter().zip(&shares).enumerate() {
            assert_eq!(share.evse, ask.evse);
            let is_told = share.amps == ask.least || ask.step.floor(share.amps) == share.amps;
            assert!(share.amps == Amps::ZERO || (is_told && (ask.least..=ask.most).contains(&share.amps)));
            assert!(share.amps == Amps::ZERO || fits(&rows, i, &amps), "{i} stands on an overdrawn row");
        }
    });
}

#[test]
fn whoever_is_out_would_not_fit_beside_the_minimums_of_those_who_are_in() {
    each(1, Kind::Any, |_, case| {
        let (rows, shares) = (rows(&case), case.shares());
        let entry = |i: usize| case.queue[i].entry.max(case.queue[i].least).as_f64();
        let mut before = vec![0.0; shares.len()];
        for i in 0..shares.len() {
            let ask = &case.queue[i];
            let mut with = before.clone();
            with[i] = entry(i);
            let is_in = ask.most >= ask.least && fits(&rows, i, &with);
            assert_eq!(shares[i].amps.is_positive(), is_in, "{i}, in its turn");
            before = if is_in { with } else { before };
        }
        for i in (0..shares.len()).filter(|i| !shares[*i].amps.is_positive()) {
            let mut with = before.clone();
            with[i] = entry(i);
            assert!(case.queue[i].most < case.queue[i].least || !fits(&rows, i, &with), "{i} fits beside all");
        }
    });
}

#[test]
fn nobody_could_have_the_next_step_and_the_reason_says_why() {
    each(1, Kind::Any, |_, case| {
        let (rows, shares) = (rows(&case), case.shares());
        // What is kept for a restart is nobody's.
        let uses = |i: usize, amps: Amps| if amps.is_positive() { amps.max(case.queue[i].entry).as_f64() } else { 0.0 };
        let used: Vec<f64> = shares.iter().enumerate().map(|(i, share)| uses(i, share.amps)).collect();
        for (i, (ask, share)) in case.queue.iter().zip(&shares).enumerate() {
            let next = match share.amps.is_positive() {
                true => ask.step.next(share.amps),
                false => Some(ask.entry.max(ask.least)),
            };
            let is_capped =
                next.is_none_or(|next| next > ask.most) && !(share.amps == Amps::ZERO && ask.most >= ask.least);
            assert_eq!(share.because == Reason::Full, is_capped, "{i}");
            if let Some(next) = next.filter(|_| !is_capped && share.amps.is_positive()) {
                let mut more = used.clone();
                more[i] = uses(i, next);
                // On a row that is full to the last bit rounding decides.
                let is_full = |row: &Row| row.is_of(i) && row.load(&more) > row.limit - ROUNDING;
                assert!(rows.iter().any(is_full), "{i} could have {next}");
            }
        }
    });
}

#[test]
fn it_is_what_linear_programs_find() {
    each(10, Kind::Linear, |_, case| {
        let (rows, shares) = (rows(&case), case.shares());
        near(&case, &shares, &oracle::shares(&case, &rows, &shares, oracle::by_linear_programs));
    });
}

#[test]
fn it_is_what_is_found_by_feeling_the_way_up() {
    for kind in [Kind::Linear, Kind::Any, Kind::Primary] {
        each(if kind == Kind::Primary { 10 } else { 3 }, kind, |_, mut case| {
            for ask in &mut case.queue {
                ask.step = headroom::site::Step::Multiple(Amps::milli(1));
            }
            let (rows, shares) = (rows(&case), case.shares());
            near(&case, &shares, &oracle::shares(&case, &rows, &shares, oracle::by_feeling));
        });
    }
}

/// Each step of a milliampere that rounding gives or takes moves the others by no more than a few.
fn near(case: &Case, shares: &[Share], right: &[f64]) {
    let most = 0.004 * shares.len() as f64;
    for (i, (share, right)) in shares.iter().zip(right).enumerate() {
        assert!(
            (share.amps.as_f64() - right).abs() <= most,
            "{i} of {} should have {right}: {right:?}",
            case.queue.len()
        );
    }
}

#[test]
fn no_other_way_to_share_whole_amperes_gives_the_least_one_more() {
    each(10, Kind::Small, |_, case| {
        let (rows, shares) = (rows(&case), case.shares());
        let mut tiers: Vec<i8> = case.queue.iter().map(|ask| ask.tier).collect();
        tiers.dedup();
        for tier in tiers {
            let of: Vec<usize> =
                (0..shares.len()).filter(|i| case.queue[*i].tier == tier && shares[*i].amps.is_positive()).collect();
            let Some(least) = of.iter().map(|i| shares[*i].amps).min() else { continue };
            let total: Amps = of.iter().map(|i| shares[*i].amps).sum();
            every_way(&case, &of, &mut in_amperes(&shares), &mut |amps| {
                let is_possible = of.iter().all(|i| fits(&rows, *i, amps));
                let new_least = of.iter().map(|i| amps[*i]).fold(f64::INFINITY, f64::min);
                assert!(!is_possible || new_least <= least.as_f64(), "{amps:?} is better");
                let is_more = of.iter().all(|i| amps[*i] >= shares[*i].amps.as_f64());
                let sum: f64 = of.iter().map(|i| amps[*i]).sum();
                assert!(!is_possible || !is_more || sum <= total.as_f64(), "{amps:?} is more for all");
            });
        }
    });
}

/// All whole amperes from least to most of those in `of`, the others as they are.
fn every_way(case: &Case, of: &[usize], amps: &mut Vec<f64>, look: &mut dyn FnMut(&[f64])) {
    let Some((first, rest)) = of.split_first() else { return look(amps) };
    let ask = &case.queue[*first];
    for whole in ask.least.as_milli() / 1000..=ask.most.as_milli() / 1000 {
        amps[*first] = f64::from(whole);
        every_way(case, rest, amps, look);
    }
}

#[test]
fn the_numbering_of_evses_decides_nothing() {
    each(3, Kind::Any, |seed, case| {
        let dice = &mut Dice::new(seed);
        let mut places: Vec<usize> = (0..case.site.evses.len()).collect();
        (1..places.len()).for_each(|i| places.swap(i, dice.from(0, i as i64) as usize));
        let new = |id: EvseId| EvseId(places.iter().position(|old| *old == id.0).unwrap());
        let mut other = case.clone();
        other.site.evses = places.iter().map(|old| case.site.evses[*old].clone()).collect();
        other.set = case.set.iter().map(|id| new(*id)).collect();
        other.queue.iter_mut().for_each(|ask| ask.evse = new(ask.evse));
        let renamed: Vec<Share> = case.shares().iter().map(|s| Share { evse: new(s.evse), ..*s }).collect();
        assert_eq!(other.shares(), renamed);
    });
}

#[test]
fn a_sharing_leaves_no_trace_in_the_next() {
    let mut allocation = Allocation::default();
    for seed in 0..300 {
        let case = Case::new(seed, Kind::Any);
        let (plan, capacity) = case.rows();
        assert_eq!(allocation.share(&plan, &capacity, &case.queue), case.shares(), "SEED={seed}");
    }
}

#[test]
fn equals_differ_by_a_step_at_most() {
    each(1, Kind::Any, |_, case| {
        let shares = case.shares();
        let same = |i: usize, k: usize| {
            let (a, b) = (&case.queue[i], &case.queue[k]);
            let (here, there) = (case.site.evse(a.evse), case.site.evse(b.evse));
            (a.phases, a.entry, a.least, a.most, a.step, a.tier, a.weight, a.need)
                == (b.phases, b.entry, b.least, b.most, b.step, b.tier, b.weight, b.need)
                && here.circuit == there.circuit
                && case.set.contains(&a.evse) == case.set.contains(&b.evse)
        };
        for i in 0..shares.len() {
            for k in (0..i).filter(|k| same(i, *k)) {
                let (less, more) = (shares[i].amps.min(shares[k].amps), shares[i].amps.max(shares[k].amps));
                let is_one_step = case.queue[i].step.next(less).is_some_and(|next| more <= next);
                assert!(less == more || !less.is_positive() || is_one_step, "{i} and {k}");
            }
        }
    });
}

#[test]
fn more_headroom_is_never_worse() {
    each(3, Kind::Linear, |seed, case| {
        let dice = &mut Dice::new(seed);
        let mut case = case.admitted();
        case.queue.iter_mut().for_each(|ask| ask.need = None);
        let mut wider = case.clone();
        wider.amps.iter_mut().for_each(|rows| {
            *rows = PerPhase::from_fn(|phase| rows[phase].map(|amps| amps + Amps::whole(dice.one(&[0, 0, 3, 20]))));
        });
        wider.watts.iter_mut().for_each(|watts| *watts = watts.map(|watts| watts + dice.one(&[0, 0, 1_000])));
        let (before, after) = (case.shares(), wider.shares());
        assert!(after.iter().all(|share| share.amps.is_positive()), "all fit still");
        let mut tiers: Vec<i8> = case.queue.iter().map(|ask| ask.tier).collect();
        tiers.dedup();
        for tier in tiers {
            for (before, after) in levels(&case, &before, tier).into_iter().zip(levels(&case, &after, tier)) {
                // A gain of less than this is rounding, and may cost those with more a few times as much.
                assert!(after >= before - 0.03, "tier {tier}: {before} before, {after} with more");
                if after > before + 0.0005 {
                    return;
                }
            }
        }
    });
}

/// Current ÷ weight, the least first.
fn levels(case: &Case, shares: &[Share], tier: i8) -> Vec<f64> {
    let of = case.queue.iter().zip(shares).filter(|(ask, _)| ask.tier == tier);
    let mut levels: Vec<f64> = of.map(|(ask, share)| share.amps.as_f64() / f64::from(ask.weight)).collect();
    levels.sort_by(f64::total_cmp);
    levels
}

#[test]
fn a_primary_line_carries_no_more_than_it_may_whatever_cars_then_take() {
    each(3, Kind::Primary, |seed, case| {
        let dice = &mut Dice::new(seed);
        let (rows, shares) = (rows(&case), case.shares());
        for _ in 0..20 {
            let part = shares.iter().map(|share| share.amps.as_f64() * dice.one(&[0.0, 0.3, 0.7, 1.0]));
            let part: Vec<f64> = part.collect();
            for row in rows.iter().filter(|row| row.limit >= 0.0) {
                assert!(row.true_load(&part) <= row.limit + ROUNDING, "{part:?}");
                assert!(row.true_load(&part) <= row.load(&in_amperes(&shares)) + ROUNDING, "{part:?}");
            }
        }
    });
}

#[test]
fn whoever_hides_what_he_needs_counts_as_needing_the_average() {
    let mut case = Case::new(1, Kind::Linear);
    let ask = case.queue[0];
    let site = &mut case.site;
    let only = headroom::site::Evse { circuit: CircuitId(0), ..site.evses[ask.evse.0].clone() };
    site.evses = vec![only; 3];
    case.watts.fill(None);
    case.set_watts = None;
    case.uneven = PerPhase::all(None);
    case.amps.fill(PerPhase::all(Some(Amps::whole(30))));
    let needs = [Some(Amps::whole(14)), None, Some(Amps::whole(7))];
    let asks = needs.iter().enumerate().map(|(i, need)| headroom::control::allocation::Ask {
        evse: EvseId(i),
        need: *need,
        entry: Amps::whole(6),
        least: Amps::whole(6),
        most: Amps::whole(32),
        weight: 1,
        tier: 0,
        ..ask
    });
    case.queue = asks.collect();
    // 30 A are 20/21 of what all need together: 14, 10.5 and 7 A, the last of them no less than its least.
    let amps = in_amperes(&case.shares());
    let right = [13.333, 10.0, 6.667];
    assert!(amps.iter().zip(right).all(|(amps, right)| (amps - right).abs() < 0.002), "{amps:?}");
}
