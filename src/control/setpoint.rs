//! What is each car told? Down in the same step, up late, and never up before the cut it depends on is proven.

use super::allocation::{Ask, Capacity, Share, allocate, take, tightest};
use super::car::{Car, Draw};
use super::headroom::{RowMemory, RowView};
use super::queue::Sight;
use super::reason::Reason;
use crate::site::{CircuitId, EvseId, Site};
use crate::time::Moment;
use crate::units::{Amps, PerPhase};

/// Everything that the setpoints of one step depend on.
pub(super) struct Scene<'a> {
    pub site: &'a Site,
    pub draws: &'a [Draw],
    pub rows: &'a [RowView],
    pub sights: &'a [Sight],
    /// In the order of admission.
    pub queue: &'a [Ask],
    pub now: Moment,
}

/// A setpoint for each that asks, in the queue's order.
pub(super) fn decide(scene: &Scene, cars: &mut [Car], memory: &mut [RowMemory]) {
    cut(scene, cars, memory);
    let target = allocate(scene.site, &capacity(scene, |row| row.fair), scene.queue);
    make_room(scene, cars, memory, &target);
    raise(scene, cars, memory, &target);
}

/// Protective cuts: rows on which cars have more than they may keep. The same allocation run with less; nobody rises.
fn cut(scene: &Scene, cars: &mut [Car], memory: &mut [RowMemory]) {
    let had = had(scene, cars);
    let mut is_needed = false;
    let capacity: Capacity = (0..scene.rows.len())
        .map(|c| {
            PerPhase::from_fn(|phase| {
                let row = &scene.rows[c];
                let cuts = row.is_over[phase] || had[c][phase] > row.cut_above[phase];
                is_needed |= cuts && had[c][phase].is_positive();
                cuts.then_some(row.keep[phase])
            })
        })
        .collect();
    let queue: Vec<Ask> = scene
        .queue
        .iter()
        .filter(|ask| cars[ask.evse.0].setpoint.is_positive())
        .map(|ask| {
            let most = ask.most.min(cars[ask.evse.0].setpoint);
            Ask { most, entry: ask.least, ..*ask }
        })
        .collect();
    let unlimited = vec![PerPhase::all(None); scene.rows.len()];
    for share in allocate(scene.site, if is_needed { &capacity } else { &unlimited }, &queue) {
        lower(scene, &mut cars[share.evse.0], memory, &share, true);
    }
}

/// Those above their share make room where somebody else is short of his.
fn make_room(scene: &Scene, cars: &mut [Car], memory: &mut [RowMemory], target: &[Share]) {
    let had = had(scene, cars);
    let mut yields = vec![PerPhase::<Option<Yield>>::default(); scene.rows.len()];
    for (ask, share) in scene.queue.iter().zip(target) {
        let setpoint = cars[ask.evse.0].setpoint;
        let lacks = share.amps - setpoint;
        let is_felt = lacks >= ask.step.max(scene.site.tuning.dead_band);
        if !is_felt || !may_rise(scene, ask.evse, share.amps) || is_held(scene, memory, ask) {
            continue;
        }
        // Among equals the odd step goes to whoever is first, and that may change with every report: it is worth no cut.
        let to = match lacks > ask.step {
            true => Yield { tier: i8::MAX, above: Amps::ZERO },
            false => Yield { tier: ask.tier, above: setpoint + ask.step },
        };
        for circuit in scene.site.path(scene.site.evse(ask.evse).circuit) {
            for phase in ask.phases.iter() {
                if scene.rows[circuit.0].fair[phase] - had[circuit.0][phase] < lacks {
                    let slot = &mut yields[circuit.0][phase];
                    *slot = Some(slot.map_or(to, |other| other.or(to)));
                }
            }
        }
    }
    for (ask, share) in scene.queue.iter().zip(target) {
        let setpoint = cars[ask.evse.0].setpoint;
        let gives_way = |circuit: CircuitId| {
            ask.phases.iter().any(|phase| yields[circuit.0][phase].is_some_and(|to| to.is_due(ask.tier, setpoint)))
        };
        if scene.site.path(scene.site.evse(ask.evse).circuit).any(gives_way) {
            lower(scene, &mut cars[ask.evse.0], memory, share, false);
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
fn raise(scene: &Scene, cars: &mut [Car], memory: &[RowMemory], target: &[Share]) {
    let mut left = capacity(scene, |row| row.room);
    let mut untold = capacity(scene, |row| row.room);
    for ask in scene.queue {
        spend(scene, &mut left, ask, counted(scene, cars, ask.evse));
        spend(scene, &mut untold, ask, cars[ask.evse.0].setpoint);
    }
    for (ask, share) in scene.queue.iter().zip(target) {
        let already = counted(scene, cars, ask.evse);
        let car = &mut cars[ask.evse.0];
        car.because = match (scene.sights[ask.evse.0], share.because) {
            (Sight::Lost(circuit), _) => Reason::MeterLost(circuit),
            // It has current: what holds it down is the row, not the queue.
            (_, Reason::Waiting(circuit, phase)) if car.setpoint.is_positive() => Reason::Circuit(circuit, phase),
            (_, because) => because,
        };
        let worth = if car.setpoint.is_positive() { scene.site.tuning.dead_band.max(ask.step) } else { ask.entry };
        if share.amps - car.setpoint < worth.min(ask.least) || !may_rise(scene, ask.evse, share.amps) {
            continue;
        }
        let row = tightest(scene.site, &untold, ask.evse, ask.phases);
        if let Some((_, Reason::Circuit(circuit, phase))) = row.filter(|(room, _)| *room < worth) {
            let is_on = car.setpoint.is_positive();
            car.because = if is_on { Reason::Circuit(circuit, phase) } else { Reason::Waiting(circuit, phase) };
            continue;
        }
        let room = tightest(scene.site, &left, ask.evse, ask.phases).map_or(share.amps, |(room, _)| room);
        let fits = if room < Amps::ZERO { Amps::ZERO } else { share.amps.min((already + room).floor_to(ask.step)) };
        let waits = if is_held(scene, memory, ask) || !car.is_settled(scene.site.evse(ask.evse), scene.now) {
            Some(Reason::Hold)
        } else {
            (fits < car.setpoint + worth.min(ask.least)).then_some(Reason::AwaitsCut)
        };
        // What waits for a car is nobody else's: a lower priority does not rise on it.
        let counts = if waits.is_some() { share.amps } else { fits };
        spend(scene, &mut left, ask, (counts - already).max(Amps::ZERO));
        spend(scene, &mut untold, ask, counts - car.setpoint);
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
    for circuit in scene.site.path(evse.circuit) {
        let row = &mut memory[circuit.0];
        if scene.site.circuit(circuit).meter.is_some() {
            row.expect_fall(id, fall, scene.now + evse.response);
        }
        for phase in evse.rotation.phases().iter() {
            row.cut(phase, is_needed, scene.now);
        }
    }
    if !amps.is_positive() {
        car.is_paused = true;
        car.pauses.pause(scene.now);
    }
    car.because = because;
    car.settle(amps, scene.now);
}

/// With a lost meter a car may only come up to its fallback, which `check` has proven to fit; with a stale one not at all.
fn may_rise(scene: &Scene, evse: EvseId, to: Amps) -> bool {
    match scene.sights[evse.0] {
        Sight::Clear => true,
        Sight::Stale(_) => false,
        Sight::Lost(_) => to <= scene.site.evse(evse).fallback,
    }
}

fn is_held(scene: &Scene, memory: &[RowMemory], ask: &Ask) -> bool {
    let hold = scene.site.tuning.hold;
    scene.site.path(scene.site.evse(ask.evse).circuit).any(|circuit| {
        let row = &memory[circuit.0];
        ask.phases.iter().any(|phase| row.last_cut(phase).is_some_and(|at| scene.now < at + hold))
    })
}

/// What an EVSE counts in the ledger: the most that may be in force, or what it has been told.
fn counted(scene: &Scene, cars: &[Car], evse: EvseId) -> Amps {
    scene.draws[evse.0].worst.max(cars[evse.0].setpoint)
}

/// What those who ask have now, on each row.
fn had(scene: &Scene, cars: &[Car]) -> Vec<PerPhase<Amps>> {
    let mut had = vec![PerPhase::<Amps>::default(); scene.rows.len()];
    for ask in scene.queue {
        for circuit in scene.site.path(scene.site.evse(ask.evse).circuit) {
            for phase in ask.phases.iter() {
                had[circuit.0][phase] += cars[ask.evse.0].setpoint;
            }
        }
    }
    had
}

fn spend(scene: &Scene, left: &mut Capacity, ask: &Ask, amps: Amps) {
    take(scene.site, left, ask.evse, ask.phases, amps);
}

fn capacity(scene: &Scene, of: impl Fn(&RowView) -> PerPhase<Amps>) -> Capacity {
    scene.rows.iter().map(|row| PerPhase::from_fn(|phase| Some(of(row)[phase]))).collect()
}

/// Facts about our own decision, checked after it is made: every setpoint zero or least…most, and no raise onto a row
/// whose ledger it breaks. `before` are the setpoints of the step before.
pub(super) fn is_sound(scene: &Scene, cars: &[Car], before: &[Amps]) -> bool {
    let mut left = capacity(scene, |row| row.room);
    for ask in scene.queue {
        spend(scene, &mut left, ask, counted(scene, cars, ask.evse));
    }
    scene.queue.iter().all(|ask| {
        let evse = scene.site.evse(ask.evse);
        let amps = cars[ask.evse.0].setpoint;
        let is_possible = !amps.is_positive() || (amps >= evse.least && amps <= evse.most);
        let has_risen = amps > before[ask.evse.0];
        let fits = tightest(scene.site, &left, ask.evse, ask.phases).is_none_or(|(room, _)| room >= Amps::ZERO);
        is_possible && (!has_risen || (fits && may_rise(scene, ask.evse, amps)))
    })
}
