//! Who asks for what, and on which rows? A site from a seed, with limits and a queue.

use crate::bare;
use crate::dice::Dice;
use headroom::control::allocation::{Addition, Allocation, Ask, Capacity, Plan, Share};
use headroom::site::{CircuitId, Currents, EvseId, Rotation, Site, Step, Wiring};
use headroom::units::{Amps, PerPhase, Phase, PhaseSet};

/// What kind of sites and wishes are wanted.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Anything.
    Any,
    /// Rows that are sums; steps of a milliampere.
    Linear,
    /// As many as can be tried out: few, with steps of 1 A and equal weights.
    Small,
    /// A transformer whose primary lines have limits.
    Primary,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub site: Site,
    pub additions: Vec<Addition>,
    pub set: Vec<EvseId>,
    pub amps: Vec<PerPhase<Option<Amps>>>,
    pub watts: Vec<Option<i32>>,
    pub set_watts: Option<i32>,
    /// What phases may carry beyond each other, where the site limits that.
    pub uneven: PerPhase<Option<Amps>>,
    pub millivolts: PerPhase<i32>,
    pub queue: Vec<Ask>,
}

impl Case {
    pub fn new(seed: u64, kind: Kind) -> Case {
        let dice = &mut Dice::new(seed ^ 0x5A5A);
        let wiring = match kind {
            Kind::Primary => Wiring::Delta,
            _ => dice.one(&[Wiring::Star, Wiring::Star, Wiring::Delta, Wiring::Single]),
        };
        let mut site = bare::site(wiring);
        for id in 1..dice.from(1, 5) as usize {
            // Three levels at most.
            let parent = dice.from(0, id as i64 - 1) as usize;
            let parent = if site.path(CircuitId(parent)).count() > 2 { 0 } else { parent };
            site.circuits.push(bare::circuit(Some(CircuitId(parent))));
        }
        let evses = if kind == Kind::Small { dice.from(1, 3) } else { dice.from(1, 9) };
        for _ in 0..evses {
            let circuit = CircuitId(dice.from(0, site.circuits.len() as i64 - 1) as usize);
            let rotation = rotation(dice, wiring);
            site.evses.push(bare::evse(circuit, rotation));
        }
        if wiring == Wiring::Star && dice.chance(30) {
            site.limits.unbalance = Some(Amps::whole(20));
        }
        let additions = additions(dice, &site, kind);
        let mut case = Case {
            set: site.evse_ids().filter(|_| dice.chance(60)).collect(),
            amps: site.circuits.iter().map(|_| PerPhase::from_fn(|_| limit(dice, evses))).collect(),
            watts: site.circuits.iter().map(|_| dice.chance(30).then(|| watts(dice, evses))).collect(),
            set_watts: dice.chance(30).then(|| watts(dice, evses)),
            uneven: PerPhase::from_fn(|_| limit(dice, evses).filter(|_| site.limits.unbalance.is_some())),
            millivolts: PerPhase::from_fn(|_| dice.from(207_000, 253_000) as i32),
            queue: Vec::new(),
            additions,
            site,
        };
        case.queue = queue(dice, &case.site, kind);
        case
    }

    pub fn shares(&self) -> Vec<Share> {
        let (plan, capacity) = self.rows();
        Allocation::default().share(&plan, &capacity, &self.queue).to_vec()
    }

    pub fn rows(&self) -> (Plan, Capacity) {
        let plan = Plan::with(&self.site, |id| self.additions[id.0], std::slice::from_ref(&self.set));
        let mut capacity = Capacity::unlimited(&plan);
        capacity.set_voltage(&plan, self.millivolts);
        for id in self.site.circuit_ids() {
            capacity.set_amps(id, self.amps[id.0]);
            capacity.set_watts(id, self.watts[id.0]);
        }
        capacity.set_watts_of_set(&plan, 0, self.set_watts);
        capacity.set_uneven(&plan, self.uneven);
        (plan, capacity)
    }

    /// Only those who got something, who all fit.
    pub fn admitted(mut self) -> Case {
        let shares = self.shares();
        let mut is_in = shares.iter().map(|share| share.amps.is_positive());
        self.queue.retain(|_| is_in.next() == Some(true));
        self
    }
}

fn rotation(dice: &mut Dice, wiring: Wiring) -> Rotation {
    let [a, b, c] = Phase::ALL;
    match wiring {
        Wiring::Single => Rotation::one(a),
        Wiring::Star => dice.one(&[Rotation::one(a), Rotation::one(b), Rotation::one(c), Rotation::three([a, b, c])]),
        Wiring::Delta => dice.one(&[
            Rotation::between(a, b),
            Rotation::between(b, c),
            Rotation::between(c, a),
            Rotation::three([b, c, a]),
        ]),
    }
}

fn additions(dice: &mut Dice, site: &Site, kind: Kind) -> Vec<Addition> {
    let is_linear = kind == Kind::Linear || site.wiring != Wiring::Delta || dice.chance(20);
    let addition = |id: CircuitId| match (kind, is_linear) {
        (Kind::Primary, _) if id == Site::ROOT => Addition::Primary { ratio: 4 },
        (_, true) => Addition::Arithmetic,
        (_, false) => Addition::Phasor,
    };
    site.circuit_ids().map(addition).collect()
}

/// From less than nothing to enough for all.
fn limit(dice: &mut Dice, evses: i64) -> Option<Amps> {
    match dice.from(0, 19) {
        0..=2 => None,
        3 => Some(Amps::milli(-(dice.from(0, 20_000) as i32))),
        4..=11 => Some(Amps::whole(dice.from(5, 8 + 16 * evses) as i32)),
        _ => Some(Amps::milli(dice.from(5_000, 8_000 + 16_000 * evses) as i32)),
    }
}

fn watts(dice: &mut Dice, evses: i64) -> i32 {
    dice.from(1_000, 6_000 * evses) as i32
}

fn queue(dice: &mut Dice, site: &Site, kind: Kind) -> Vec<Ask> {
    let mut queue: Vec<Ask> = Vec::new();
    let speaks = kind != Kind::Small && dice.chance(40);
    for id in site.evse_ids() {
        let least = Amps::whole(dice.one(&[6, 6, 6, 7, 10]));
        let twin = queue.last().copied().filter(|_| dice.chance(30));
        let ask = Ask {
            entry: least
                + if kind == Kind::Small { Amps::ZERO } else { dice.one(&[Amps::ZERO, Amps::ZERO, Amps::whole(1)]) },
            least,
            most: Amps::whole(dice.one(&[5, 6, 10, 13, 16, 16, 20, 32])),
            step: step(dice, kind),
            tier: dice.one(&[0, 0, 0, 3, -9]),
            weight: if kind == Kind::Small { 1 } else { dice.one(&[1, 1, 2, 5]) },
            need: (speaks && dice.chance(60)).then(|| dice.amps(0, 20)),
            uneven: uneven(dice, site, id),
            ..Ask::plain(id, site.evse(id))
        };
        queue.push(twin.map_or(ask, |twin| Ask { evse: id, phases: ask.phases, uneven: ask.uneven, ..twin }));
    }
    for place in (1..queue.len()).rev() {
        queue.swap(place, dice.from(0, place as i64) as usize);
    }
    queue.sort_by_key(|ask| std::cmp::Reverse(ask.tier));
    queue
}

/// Cars of one phase or two use so many of a charger's three.
fn uneven(dice: &mut Dice, site: &Site, id: EvseId) -> PhaseSet {
    let phases = site.evse(id).rotation.phases();
    match phases == PhaseSet::ALL {
        true => Phase::ALL.into_iter().take(dice.one(&[0, 0, 1, 2])).fold(PhaseSet::NONE, PhaseSet::with),
        false => phases,
    }
}

fn step(dice: &mut Dice, kind: Kind) -> Step {
    match kind {
        Kind::Linear | Kind::Primary => Step::Multiple(Amps::milli(1)),
        Kind::Small => Step::Multiple(Amps::whole(1)),
        Kind::Any => match dice.from(0, 9) {
            0..=4 => Step::Multiple(Amps::whole(1)),
            5..=6 => Step::Multiple(Amps::milli(100)),
            7..=8 => Step::Multiple(Amps::milli(1)),
            _ => Step::List(Currents::new(&[8, 16, 24, 32].map(Amps::whole)).unwrap()),
        },
    }
}
