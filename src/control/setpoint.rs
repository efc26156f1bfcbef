//! What is each car told? Down in the same step, up late, and never up before the cut it depends on is proven.

use super::allocation::{Allocation, Ask, Capacity, Plan, Share};
use super::car::Car;
use super::draw::Draw;
use super::headroom::{RowMemory, RowView};
use super::power::{self, Scale};
use super::queue::{Sight, Wish};
use super::reason::Reason;
use super::sabotage::{self, Bug};
use super::unbalance;
use crate::site::{EvseId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase, PhaseSet};

/// Everything that the setpoints of one step depend on.
pub(super) struct Scene<'a> {
    pub site: &'a Site,
    pub plan: &'a Plan,
    pub draws: &'a [Draw],
    /// By circuit, and then the others.
    pub rows: &'a [RowView],
    pub scale: Scale,
    /// By EVSE.
    pub wishes: &'a [Wish],
    pub sights: &'a [Sight],
    /// In the order of admission.
    pub queue: &'a [Ask],
    /// Those who do not ask, and why, where currents add up as phasors: what may be in force there is nobody else's.
    pub apart: &'a [(EvseId, Reason)],
    pub now: Moment,
}

/// What the setpoints are worked out on, kept from step to step.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    allocation: Allocation,
    /// What each row can give.
    capacity: Capacity,
    /// The same less what may be in force.
    left: Capacity,
    /// The same less what cars have been told.
    untold: Capacity,
    /// What those who ask have, on each row.
    had: Vec<PerPhase<Amps>>,
    /// The rows on which somebody is short of his share.
    yields: Vec<PerPhase<Option<Yield>>>,
    /// Those of the queue that have something to lose.
    queue: Vec<Ask>,
}

impl Desk {
    pub(super) fn new(plan: &Plan) -> Self {
        let capacity = Capacity::unlimited(plan);
        Desk {
            allocation: Allocation::default(),
            left: capacity.clone(),
            untold: capacity.clone(),
            capacity,
            had: Vec::new(),
            yields: Vec::new(),
            queue: Vec::new(),
        }
    }
}

/// A setpoint for each that asks, in the queue's order.
pub(super) fn decide(scene: &Scene, cars: &mut [Car], memory: &mut [RowMemory], desk: &mut Desk) {
    cut(scene, cars, memory, desk);
    set(&mut desk.capacity, scene, is_staying, |row| row.fair);
    let target = desk.allocation.share(scene.plan, &desk.capacity, scene.queue);
    set_had(&mut desk.had, scene, cars);
    make_room(scene, cars, memory, target, (&desk.had, &mut desk.yields));
    raise(scene, cars, memory, target, (&mut desk.left, &mut desk.untold));
}

/// Protective cuts: rows on which cars have more than they may keep. The same allocation run with less; nobody rises.
fn cut(scene: &Scene, cars: &mut [Car], memory: &mut [RowMemory], desk: &mut Desk) {
    let Desk { allocation, capacity, left: bearable, had, queue, .. } = desk;
    set_had(had, scene, cars);
    set(bearable, scene, is_apart, |row| row.cut_above);
    for ask in scene.queue {
        spend(scene, bearable, ask, cars[ask.evse.0].setpoint);
    }
    let mut is_needed = false;
    capacity.clear();
    set_apart(scene, capacity, is_apart);
    for (circuit, row) in scene.site.circuit_ids().zip(scene.rows) {
        let is_over = bearable.overdrawn(scene.plan, circuit);
        let keep = PerPhase::from_fn(|phase| {
            let cuts = row.is_over[phase] || is_over[phase];
            is_needed |= cuts && had[circuit.0][phase].is_positive();
            cuts.then_some(row.keep[phase])
        });
        capacity.set_amps(circuit, keep);
    }
    for row in power::rows(scene.site) {
        let view = &scene.rows[row];
        if view.is_over[Phase::L1] || power::is_overdrawn(bearable, scene.site, scene.plan, row) {
            is_needed |= had[row][Phase::L1].is_positive();
            power::set(capacity, scene.site, scene.plan, &scene.scale, row, view.keep[Phase::L1]);
        }
    }
    if let Some(row) = unbalance::row(scene.site) {
        let (is_over, keep) = (bearable.overdrawn_unevenly(scene.plan), scene.rows[row].keep);
        is_needed |= is_over.0.contains(&true);
        capacity.set_uneven(scene.plan, PerPhase::from_fn(|phase| is_over[phase].then_some(keep[phase])));
    }
    let asking = scene.queue.iter().filter(|ask| cars[ask.evse.0].setpoint.is_positive());
    queue.clear();
    queue.extend(asking.map(|ask| Ask { most: ask.most.min(cars[ask.evse.0].setpoint), entry: ask.least, ..*ask }));
    if !is_needed {
        // No row is short, but what somebody may have can have become less. What a car leaves by itself is no unrest.
        for ask in queue {
            let alone = Share { evse: ask.evse, amps: ask.alone(), because: ask.capped };
            let is_unrest = !matches!(ask.capped, Reason::Full | Reason::MeterTest(_) | Reason::Solar);
            lower(scene, &mut cars[ask.evse.0], memory, &alone, is_unrest);
        }
        return;
    }
    for share in allocation.share(scene.plan, capacity, queue) {
        let is_unrest = !matches!(share.because, Reason::Unbalance(_));
        lower(scene, &mut cars[share.evse.0], memory, share, is_unrest);
    }
}

/// Those above their share make room where somebody else is short of his.
fn make_room(
    scene: &Scene,
    cars: &mut [Car],
    memory: &mut [RowMemory],
    target: &[Share],
    (had, yields): (&[PerPhase<Amps>], &mut Vec<PerPhase<Option<Yield>>>),
) {
    yields.clear();
    yields.resize(scene.rows.len(), PerPhase::default());
    for (ask, share) in scene.queue.iter().zip(target) {
        let setpoint = cars[ask.evse.0].setpoint;
        let (lacks, step) = (share.amps - setpoint, ask.step.rise(setpoint));
        let is_felt = lacks >= step.max(scene.site.tuning.dead_band);
        if !is_felt || !may_rise(scene, ask.evse, share.amps) || is_held(scene, memory, ask) {
            continue;
        }
        // Among equals the odd step goes to whoever is first: to the next one when he has had a turn's energy more.
        let to = match lacks > step {
            true => Yield { tier: i8::MAX, above: Amps::ZERO },
            false => Yield { tier: ask.tier, above: setpoint },
        };
        for (row, phase) in passes(scene, ask.evse, ask.phases) {
            if scene.rows[row].fair[phase] - had[row][phase] < takes(scene, row, ask.phases, lacks) {
                let slot = &mut yields[row][phase];
                *slot = Some(slot.map_or(to, |other| other.or(to)));
            }
        }
    }
    for (ask, share) in scene.queue.iter().zip(target) {
        let setpoint = cars[ask.evse.0].setpoint;
        let gives_way =
            |(row, phase): (usize, Phase)| yields[row][phase].is_some_and(|to: Yield| to.is_due(ask.tier, setpoint));
        if passes(scene, ask.evse, ask.phases).any(gives_way) {
            let car = &mut cars[ask.evse.0];
            let is_turn_over = car.setpoint.is_positive() && !share.amps.is_positive() && !ask.is_last;
            car.yielded += u32::from(is_turn_over);
            lower(scene, car, memory, share, false);
        }
    }
}

/// Who gives way on a row: all of the tiers below this one, and those of this one who have more.
#[derive(Debug, Clone, Copy)]
struct Yield {
    tier: i8,
    above: Amps,
}

impl Yield {
    /// Whoever gives way to one of both.
    fn or(self, other: Yield) -> Yield {
        match self.tier == other.tier {
            true => Yield { tier: self.tier, above: self.above.min(other.above) },
            false if self.tier > other.tier => self,
            false => other,
        }
    }

    fn is_due(self, tier: i8, setpoint: Amps) -> bool {
        tier < self.tier || (tier == self.tier && setpoint > self.above)
    }
}

/// Raises to the target, as far as the ledger has room for every limit that may still be in force.
fn raise(
    scene: &Scene,
    cars: &mut [Car],
    memory: &[RowMemory],
    target: &[Share],
    (left, untold): (&mut Capacity, &mut Capacity),
) {
    set(left, scene, is_apart, |row| row.room);
    set(untold, scene, is_apart, |row| row.room);
    for ask in scene.queue {
        spend(scene, left, ask, counted(scene, cars, ask.evse));
        spend(scene, untold, ask, cars[ask.evse.0].setpoint);
    }
    for (ask, share) in scene.queue.iter().zip(target) {
        let already = counted(scene, cars, ask.evse);
        let worth = if cars[ask.evse.0].setpoint.is_positive() { worth(scene, ask, cars) } else { ask.entry };
        let car = &mut cars[ask.evse.0];
        car.because = match (scene.sights[ask.evse.0], share.because) {
            (Sight::Lost(because), _) => because,
            // It lacks nothing of what the row does not give.
            (_, Reason::Circuit(..) | Reason::Waiting(..) | Reason::Unbalance(_)) if car.is_resting(scene.now) => {
                Reason::CarRests
            }
            // It has current: what holds it down is the row, not the queue.
            (_, Reason::Waiting(circuit, phase)) if car.setpoint.is_positive() => Reason::Circuit(circuit, phase),
            (_, because) => because,
        };
        if share.amps - car.setpoint < worth.min(ask.least) || !may_rise(scene, ask.evse, share.amps) {
            continue;
        }
        let row = untold.tightest(scene.plan, ask.evse, ask);
        if let Some((_, full)) = row.filter(|(room, _)| *room < worth) {
            car.because = match full {
                _ if car.is_resting(scene.now) => Reason::CarRests,
                Reason::Circuit(circuit, phase) if !car.setpoint.is_positive() => Reason::Waiting(circuit, phase),
                full => full,
            };
            continue;
        }
        let room = left.tightest(scene.plan, ask.evse, ask).map_or(share.amps, |(room, _)| room);
        let fits = if room < Amps::ZERO { Amps::ZERO } else { share.amps.min(ask.step.floor(already + room)) };
        let waits = if is_held(scene, memory, ask) || !car.is_settled(scene.site.evse(ask.evse), scene.now) {
            Some(Reason::Hold)
        } else {
            (fits < car.setpoint + worth.min(ask.least)).then_some(Reason::AwaitsCut)
        };
        // What waits for a car is nobody else's: a lower priority does not rise on it.
        let counts = if waits.is_some() { share.amps } else { fits };
        spend(scene, left, ask, (counts - already).max(Amps::ZERO));
        spend(scene, untold, ask, counts - car.setpoint);
        match waits {
            Some(because) => car.because = because,
            None => car.settle(fits, scene.now),
        }
    }
}

/// Lowers a car now, remembers what its meters are to show, and holds raises on its rows.
fn lower(scene: &Scene, car: &mut Car, memory: &mut [RowMemory], share: &Share, is_needed: bool) {
    let Share { evse: id, amps, because } = *share;
    if amps >= car.setpoint {
        return;
    }
    let evse = scene.site.evse(id);
    let least = scene.draws[id.0].least;
    let fall = PerPhase::from_fn(|phase| (least[phase].min(car.setpoint) - amps).max(Amps::ZERO));
    let until = scene.now + evse.response;
    for circuit in scene.site.path(evse.circuit).filter(|circuit| scene.site.circuit(*circuit).meter.is_some()) {
        memory[circuit.0].expect_fall(id, PerPhase::from_fn(|phase| scene.site.shown_of(fall[phase])), until);
    }
    if let Some(row) = power::metered(scene.site) {
        memory[row].expect_fall(id, PerPhase([scene.scale.drawn(&fall), Amps::ZERO, Amps::ZERO]), until);
    }
    for (row, phase) in passes(scene, id, evse.rotation.phases()) {
        memory[row].cut(phase, is_needed, scene.now);
    }
    if !amps.is_positive() {
        car.is_paused = true;
        car.pauses.pause(car.turn_since, scene.site.tuning.restart, scene.now);
    }
    car.because = because;
    car.settle(amps, scene.now);
}

/// With a lost meter a car may only come up to its fallback, which `check` has proven to fit; with a stale one not at all.
fn may_rise(scene: &Scene, evse: EvseId, to: Amps) -> bool {
    match scene.sights[evse.0] {
        Sight::Clear => true,
        Sight::Stale(_) => sabotage::has(Bug::StaleRaises),
        Sight::Lost(_) => to <= scene.site.evse(evse).fallback,
    }
}

fn is_held(scene: &Scene, memory: &[RowMemory], ask: &Ask) -> bool {
    let hold = if sabotage::has(Bug::NoHold) { Duration::ZERO } else { scene.site.tuning.hold };
    passes(scene, ask.evse, ask.phases)
        .any(|(row, phase)| memory[row].last_cut(phase).is_some_and(|at| scene.now < at + hold))
}

/// What an EVSE counts in the ledger: the most that may be in force, or what it has been told.
fn counted(scene: &Scene, cars: &[Car], evse: EvseId) -> Amps {
    let worst = if sabotage::has(Bug::RaiseBeforeCut) { Amps::ZERO } else { scene.draws[evse.0].worst };
    worst.max(cars[evse.0].setpoint)
}

/// What those who ask have now, on each row.
fn set_had(had: &mut Vec<PerPhase<Amps>>, scene: &Scene, cars: &[Car]) {
    had.clear();
    had.resize(scene.rows.len(), PerPhase::default());
    for ask in scene.queue {
        for (row, phase) in passes(scene, ask.evse, ask.phases) {
            had[row][phase] += takes(scene, row, ask.phases, cars[ask.evse.0].setpoint);
        }
    }
}

/// The rows that an EVSE's current loads.
fn passes(scene: &Scene, evse: EvseId, phases: PhaseSet) -> impl Iterator<Item = (usize, Phase)> {
    let circuits = scene.site.path(scene.site.evse(evse).circuit);
    let lines = circuits.flat_map(move |circuit| phases.iter().map(move |phase| (circuit.0, phase)));
    let row = unbalance::row(scene.site).zip(scene.wishes[evse.0].ask.as_ref().ok());
    let uneven = row.map(|(row, ask)| ask.uneven.iter().map(move |phase| (row, phase)));
    lines.chain(power::rows(scene.site).map(|row| (row, Phase::L1))).chain(uneven.into_iter().flatten())
}

/// What so much on these phases takes from a row.
fn takes(scene: &Scene, row: usize, phases: PhaseSet, amps: Amps) -> Amps {
    let is_in_watts = power::rows(scene.site).any(|in_watts| in_watts == row);
    if is_in_watts { scene.scale.of(phases, amps) } else { amps }
}

fn spend(scene: &Scene, left: &mut Capacity, ask: &Ask, amps: Amps) {
    left.take(scene.plan, ask.evse, ask, amps);
}

/// What each row gives to those who ask, beside those apart that count.
fn set(capacity: &mut Capacity, scene: &Scene, counts: fn(Reason) -> bool, of: impl Fn(&RowView) -> PerPhase<Amps>) {
    capacity.clear();
    for (circuit, row) in scene.site.circuit_ids().zip(scene.rows) {
        capacity.set_amps(circuit, PerPhase::from_fn(|phase| Some(of(row)[phase])));
    }
    for row in power::rows(scene.site) {
        power::set(capacity, scene.site, scene.plan, &scene.scale, row, of(&scene.rows[row])[Phase::L1]);
    }
    if let Some(row) = unbalance::row(scene.site) {
        let most = of(&scene.rows[row]);
        capacity.set_uneven(scene.plan, PerPhase::from_fn(|phase| Some(most[phase])));
    }
    set_apart(scene, capacity, counts);
}

fn set_apart(scene: &Scene, capacity: &mut Capacity, counts: fn(Reason) -> bool) {
    for (id, _) in scene.apart.iter().filter(|(_, because)| counts(*because)) {
        capacity.take(scene.plan, *id, scene.site.evse(*id).rotation.phases(), scene.draws[id.0].worst);
    }
}

/// Everybody apart counts until proven gone.
fn is_apart(_: Reason) -> bool {
    true
}

/// Whoever has made room for somebody has made it: nobody else need do so until that is proven.
fn is_staying(because: Reason) -> bool {
    because != Reason::Resting
}

/// The least raise that is worth a message.
fn worth(scene: &Scene, ask: &Ask, cars: &[Car]) -> Amps {
    scene.site.tuning.dead_band.max(ask.step.rise(cars[ask.evse.0].setpoint))
}

/// Facts about our own decision, checked after it is made: every setpoint zero or least…most, and no raise onto a row
/// whose ledger it breaks. `before` are the setpoints of the step before.
pub(super) fn is_sound(scene: &Scene, cars: &[Car], before: &[Amps], desk: &mut Desk) -> bool {
    let left = &mut desk.left;
    set(left, scene, is_apart, |row| row.room);
    for ask in scene.queue {
        spend(scene, left, ask, counted(scene, cars, ask.evse));
    }
    scene.queue.iter().all(|ask| {
        let evse = scene.site.evse(ask.evse);
        let amps = cars[ask.evse.0].setpoint;
        let is_possible = !amps.is_positive() || (amps >= evse.least && amps <= evse.most);
        let has_risen = amps > before[ask.evse.0];
        let fits = || left.tightest(scene.plan, ask.evse, ask).is_none_or(|(room, _)| room >= Amps::ZERO);
        is_possible && (!has_risen || (fits() && may_rise(scene, ask.evse, amps)))
    })
}
