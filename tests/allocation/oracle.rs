//! What would be right, without rounding? By linear programs, and by feeling the way up a level.

use crate::case::Case;
use crate::rows::{ROUNDING, Row};
use headroom::control::allocation::Share;
use microlp::{ComparisonOp, OptimizationDirection, Problem, Variable};

/// Two currents, in amperes, that are the same.
const SAME: f64 = 1e-6;

/// One of a tier: `has…most` amperes, by weight.
#[derive(Debug, Clone, Copy)]
pub struct Rising {
    ask: usize,
    weight: f64,
    most: f64,
}

/// How all of a tier rise: from these amperes of everybody, to these.
pub type Way = fn(&[Row], &[f64], Vec<Rising>) -> Vec<f64>;

/// The currents in amperes that those should have who were admitted, tier by tier; what a restart keeps beyond that.
pub fn shares(case: &Case, rows: &[Row], admitted: &[Share], way: Way) -> Vec<f64> {
    let (mut amps, mut kept) = (Vec::new(), Vec::new());
    for (ask, share) in case.queue.iter().zip(admitted) {
        let entry = ask.entry.max(ask.least);
        let has = entry.min(ask.step.floor(ask.most).max(ask.least));
        let is_in = f64::from(u8::from(share.amps.is_positive()));
        amps.push(has.as_f64() * is_in);
        kept.push((entry - has).as_f64() * is_in);
    }
    let mut tiers: Vec<i8> = case.queue.iter().map(|ask| ask.tier).collect();
    tiers.dedup();
    for tier in tiers {
        let of = |i: &usize| case.queue[*i].tier == tier && admitted[*i].amps.is_positive();
        let members: Vec<usize> = (0..amps.len()).filter(of).collect();
        let most = |i: usize| case.queue[i].step.floor(case.queue[i].most).max(case.queue[i].least);
        let known = members.iter().filter_map(|i| case.queue[*i].need.map(|need| need.min(most(*i)).as_f64()));
        let known: Vec<f64> = known.collect();
        let average = known.iter().sum::<f64>() / known.len() as f64;
        let rise = |amps: &mut Vec<f64>, rising: Vec<Rising>| {
            let all: Vec<f64> = amps.iter().zip(&kept).map(|(amps, kept)| amps + kept).collect();
            let up = way(rows, &all, rising);
            for ((amps, up), kept) in amps.iter_mut().zip(up).zip(&kept) {
                *amps = up - kept;
            }
        };
        if !known.is_empty() {
            let rising = |&ask: &usize| {
                let need = case.queue[ask].need.map_or(average, |need| need.as_f64()).min(most(ask).as_f64());
                Rising { ask, weight: f64::from(case.queue[ask].weight) * need, most: need }
            };
            rise(&mut amps, members.iter().map(rising).filter(|rising| rising.weight > 0.0).collect());
        }
        let rising = |&ask: &usize| Rising { ask, weight: f64::from(case.queue[ask].weight), most: most(ask).as_f64() };
        rise(&mut amps, members.iter().map(rising).collect());
    }
    amps
}

/// The greatest least level, again and again: whoever can have no more at it stays there.
pub fn by_linear_programs(rows: &[Row], has: &[f64], mut rising: Vec<Rising>) -> Vec<f64> {
    let mut amps = has.to_vec();
    rising.retain(|one| one.most > amps[one.ask] + SAME);
    while !rising.is_empty() {
        let level = solve(rows, &amps, &rising, None);
        let at_least = |one: &Rising| (one.weight * level).clamp(has[one.ask], one.most);
        let is_stuck = |one: &Rising| solve(rows, &amps, &rising, Some((one.ask, level))) <= at_least(one) + 1e-5;
        let stuck: Vec<usize> = rising.iter().filter(|one| is_stuck(one)).map(|one| one.ask).collect();
        assert!(!stuck.is_empty(), "somebody must be the first to stop");
        rising.retain(|one| {
            if stuck.contains(&one.ask) {
                amps[one.ask] = at_least(one);
            }
            !stuck.contains(&one.ask)
        });
    }
    amps
}

/// The highest level that all can have; or, at a level, the most that one can have.
fn solve(rows: &[Row], amps: &[f64], rising: &[Rising], of: Option<(usize, f64)>) -> f64 {
    let mut problem = Problem::new(OptimizationDirection::Maximize);
    let level = problem.add_var(f64::from(u8::from(of.is_none())), (0.0, 1e3));
    let variable = |one: &Rising| {
        let counts = of.is_some_and(|(ask, _)| ask == one.ask);
        let least = of.map_or(0.0, |(_, level)| (one.weight * level).min(one.most) - 1e-9);
        (f64::from(u8::from(counts)), (least.max(amps[one.ask]), one.most))
    };
    let variables: Vec<Variable> = rising
        .iter()
        .map(|one| {
            let (counts, between) = variable(one);
            problem.add_var(counts, between)
        })
        .collect();
    for row in rows {
        let parts = row.parts().expect("a row that is a sum");
        let mut fixed = amps.to_vec();
        rising.iter().for_each(|one| fixed[one.ask] = 0.0);
        let moving: Vec<(Variable, f64)> = rising
            .iter()
            .zip(&variables)
            .map(|(one, v)| (*v, parts[one.ask]))
            .filter(|(_, part)| *part > 0.0)
            .collect();
        if !moving.is_empty() {
            // Powers in hundreds of watts, so that all numbers are of one size.
            let scale = if moving.iter().any(|(_, part)| *part > 2.0) { 0.01 } else { 1.0 };
            let moving: Vec<(Variable, f64)> = moving.iter().map(|(v, part)| (*v, part * scale)).collect();
            let room = (row.limit - row.load(&fixed) + ROUNDING) * scale;
            problem.add_constraint(&moving, ComparisonOp::Le, room);
        }
    }
    for (one, variable) in rising.iter().zip(&variables).filter(|_| of.is_none()) {
        problem.add_constraint([(*variable, 1.0), (level, -one.weight)], ComparisonOp::Ge, 0.0);
    }
    problem.solve().unwrap().into_solution().unwrap().objective()
}

/// The highest level at which no row is overdrawn, by halving; whoever cannot have a hair more there stays.
pub fn by_feeling(rows: &[Row], has: &[f64], mut rising: Vec<Rising>) -> Vec<f64> {
    const HAIR: f64 = 1e-5;
    let mut amps = has.to_vec();
    rising.retain(|one| one.most > amps[one.ask] + SAME);
    // Rows that nobody who rises uses may be overdrawn.
    let fits = |amps: &[f64], rising: &[Rising]| {
        let used = rows.iter().filter(|row| rising.iter().any(|one| row.is_of(one.ask)));
        used.clone().all(|row| row.load(amps) <= row.limit + ROUNDING)
    };
    while !rising.is_empty() {
        let at = |level: f64| {
            let mut there = amps.clone();
            rising.iter().for_each(|one| there[one.ask] = (one.weight * level).clamp(has[one.ask], one.most));
            there
        };
        let highest = rising.iter().map(|one| one.most / one.weight).fold(0.0, f64::max);
        let (mut low, mut high) = (0.0, highest);
        while high - low > 1e-12 * highest {
            let middle = (low + high) / 2.0;
            if fits(&at(middle), &rising) { low = middle } else { high = middle }
        }
        let there = at(if fits(&at(highest), &rising) { highest } else { low });
        let before = rising.len();
        let all = rising.clone();
        rising.retain(|one| {
            let mut more = there.clone();
            more[one.ask] += HAIR;
            more[one.ask] < one.most && fits(&more, &all)
        });
        assert!(rising.len() < before, "somebody must be the first to stop");
        amps = there;
    }
    amps
}
