//! What may go wrong in a day at a house? Everything that the virtual site can do wrong, by seed.
//!
//! A random house at a random hour, its cars, and faults one after the other or together, each for seconds to minutes:
//! meters silent, frozen, without words, with spikes, late and with gaps; chargers that ignore, refuse, are deaf, boot,
//! lose their connection, answer late or lose orders; the gateway dead and back; big loads that switch on at once. A
//! meter that is put in wrongly is none of them: it is wrong from the first day, and commissioning finds it.

use crate::policy::{Class, EvseRule, Policy, Principal, Token};
use crate::sim::appliances::House;
use crate::sim::dice::Dice;
use crate::sim::sky::{Sky, Weather};
use crate::sim::trace::Trace;
use crate::sim::{Action, Car, Ears, Network, Scenario, Script, Voice};
use crate::site::{Circuit, CircuitId, Evse, EvseId, LapseClass, Meter, MeterId, Rotation, Site, Step, Tuning, Wiring};
use crate::time::{Duration, Moment};
use crate::transient::Transient;
use crate::units::{Amps, PerPhase, Phase};
use std::sync::Arc;

const DAY_S: i64 = 86_400;
const SECOND: Duration = Duration::from_secs(1);
/// Streams of chance, beside those of the plant (which begin at 0 and 1,000,000).
const SITE_STREAM: u64 = 2_000_000;
const FAULT_STREAM: u64 = 2_000_001;
const CAR_STREAMS: u64 = 2_000_002;
const METER_STREAM: u64 = 3_000_000;
/// Faults of a day at most: one each half hour.
const FAULTS_MOST: usize = 48;
/// The slowest car here: a second and a half of network, two and a half of lag, and its whole ramp.
const CAR_FOLLOWS: Duration = Duration::from_secs(8);

/// A day with faults; the same for a seed on every machine.
pub fn faults(seed: u64) -> Scenario {
    let dice = &mut Dice::new(seed, SITE_STREAM);
    let hour = dice.between(0, 23);
    let wiring = if dice.chance(0.15) { Wiring::Single } else { Wiring::Star };
    let fuse = one(dice, &[20, 25, 25, 25, 25, 32, 35, 40, 50, 63]);
    let mut base = rotated(&house(dice, seed, wiring, fuse).trace(), hour);
    // A house that its own fuse carries: what trips without cars shows nothing of them.
    let most = Amps::whole(fuse);
    base.iter_mut().for_each(|now| *now = PerPhase::from_fn(|phase| now[phase].min(most)));
    let worst = worst(&base, wiring);
    let solar = dice.chance(0.25).then(|| rotated(&sky(dice, seed, wiring, fuse).trace(), hour));
    let pace = Duration::from_secs(one(dice, &[0, 0, 5]));
    let mut site = site(dice, wiring, fuse, &worst, pace);
    heed(&mut site, solar.is_some());
    let mut actions = cars(seed, &site);
    let mut chance = Dice::new(seed, FAULT_STREAM);
    let network = Network { round_trip: millis(dice, 100, 900), ..Network::default() };
    troubles(&mut chance, &site, network, &mut actions);
    surges(&mut chance, &worst, &mut base);
    actions.sort_by_key(|(at, _)| *at);
    let script = Script {
        actions,
        base: Some(Arc::new(Trace::even(SECOND, base, PerPhase::default()))),
        solar: solar.map(|watts| Arc::new(Trace::even(SECOND, watts, 0))),
        seed,
        sunny: wiring.phases(),
        charger_step: one(dice, &[Amps::milli(100), Amps::whole(1)]),
        pilot_pace: pace,
        network,
        meter_latency: millis(dice, 0, 300),
        meter_jitter: if dice.chance(0.3) { millis(dice, 100, 1_500) } else { Duration::ZERO },
        meter_volts: !Dice::new(seed, METER_STREAM).chance(0.25),
        meter_lost_permille: if dice.chance(0.3) { dice.between(1, 200) as u32 } else { 0 },
        ..Script::default()
    };
    Scenario {
        about: format!("A house of {fuse} A with {} chargers, and a day's faults (seed {seed}).", site.evses.len()),
        policy: policy(dice, site.evses.len()),
        site,
        script,
        span: Duration::from_secs(DAY_S as u64),
        after: Duration::ZERO,
        expect: Vec::new(),
    }
}

fn one<T: Copy>(dice: &mut Dice, of: &[T]) -> T {
    of[dice.between(0, of.len() as i64 - 1) as usize]
}

fn millis(dice: &mut Dice, least: i64, most: i64) -> Duration {
    Duration::from_millis((dice.between(least, most) / 100 * 100) as u64)
}

/// A time in seconds from the start, on a tick.
fn at(tenths: i64) -> Moment {
    Moment::from_millis(tenths.max(0) as u64 * 100)
}

fn house(dice: &mut Dice, seed: u64, wiring: Wiring, fuse: i32) -> House {
    House {
        seed,
        wh_per_day: dice.between(10, 20 + i64::from(fuse)) * 1000,
        is_single_phase: wiring == Wiring::Single,
        has_heat_pump: dice.chance(0.5),
        has_water_heater: fuse >= 40 && dice.chance(0.4),
        has_sauna: fuse >= 32 && dice.chance(0.3),
        ..House::default()
    }
}

fn sky(dice: &mut Dice, seed: u64, wiring: Wiring, fuse: i32) -> Sky {
    let weather = one(dice, &[Weather::Clear, Weather::Broken, Weather::Broken, Weather::Mixed]);
    // A roof that the connection carries, on one phase or on three.
    let most = i64::from(fuse) * if wiring == Wiring::Single { 180 } else { 500 };
    Sky { seed, watts_peak: dice.between(3_000, most) as i32, weather, ..Sky::default() }
}

/// The same day, begun at this hour, second by second.
fn rotated<T: Copy>(trace: &Trace<T>, hour: i64) -> Vec<T> {
    (0..DAY_S).map(|second| trace.at(at((hour * 3_600 + second) % DAY_S * 10))).collect()
}

/// The largest load that an honest installer states.
fn worst(base: &[PerPhase<Amps>], wiring: Wiring) -> PerPhase<Amps> {
    PerPhase::from_fn(|phase| match wiring.phases().contains(phase) {
        true => base.iter().map(|now| now[phase]).max().unwrap_or_default(),
        false => Amps::ZERO,
    })
}

fn site(dice: &mut Dice, wiring: Wiring, fuse: i32, worst: &PerPhase<Amps>, pace: Duration) -> Site {
    let mut site = Site {
        id: "faults".into(),
        name: "Faults".into(),
        wiring,
        primary: None,
        limits: Default::default(),
        house_worst: *worst,
        circuits: Vec::new(),
        evses: Vec::new(),
        meters: Vec::new(),
        tuning: Tuning::default(),
    };
    circuit(dice, &mut site, None, fuse);
    if dice.chance(0.4) {
        let below = one(dice, &[16, 20, 32]).min(fuse);
        circuit(dice, &mut site, Some(Site::ROOT), below);
    }
    for index in 0..dice.between(1, 4) {
        let evse = evse(dice, &site, index, pace);
        site.evses.push(evse);
    }
    fit(&mut site);
    site
}

/// The grid connection is metered; a circuit below it, which carries chargers only, may be.
fn circuit(dice: &mut Dice, site: &mut Site, parent: Option<CircuitId>, fuse: i32) {
    let circuit = CircuitId(site.circuits.len());
    let is_metered = parent.is_none() || dice.chance(0.5);
    let resolution = one(dice, &[Amps::milli(10), Amps::milli(10), Amps::milli(100), Amps::whole(1)]);
    let interval = Duration::from_secs(one(dice, &[1, 1, 1, 2, 5, 10]));
    let on = |amps: Amps| PerPhase::from_fn(|p| if site.wiring.phases().contains(p) { amps } else { Amps::ZERO });
    // 2 % of the limit, half an ampere at least, and what the meter does not show.
    let margin = Amps::milli(fuse * 20).max(Amps::milli(500)) + resolution;
    let id = if parent.is_none() { "main" } else { "below" };
    let known = Circuit {
        id: id.into(),
        name: id.into(),
        parent,
        limit: on(Amps::whole(fuse)),
        margin: on(margin),
        meter: is_metered.then_some(MeterId(site.meters.len())),
        other_load: PerPhase::default(),
    };
    site.circuits.push(known);
    if is_metered {
        site.meters.push(Meter { id: id.into(), circuit, interval, resolution });
    }
}

fn evse(dice: &mut Dice, site: &Site, index: i64, pace: Duration) -> Evse {
    let rotation = match (site.wiring, dice.chance(0.6)) {
        (Wiring::Single, _) => Rotation::one(Phase::L1),
        (Wiring::Star | Wiring::Delta, true) => {
            let first = dice.between(0, 2) as usize;
            Rotation::three([0, 1, 2].map(|terminal| Phase::ALL[(first + terminal) % 3]))
        }
        (Wiring::Star | Wiring::Delta, false) => Rotation::one(one(dice, &Phase::ALL)),
    };
    let slowest = site.meters.iter().map(|meter| meter.interval).max().unwrap_or_default();
    let response = CAR_FOLLOWS + pace + slowest;
    let circuit = CircuitId(dice.between(0, site.circuits.len() as i64 - 1) as usize);
    Evse {
        id: format!("e{index}"),
        name: format!("E{index}"),
        circuit,
        rotation,
        least: Amps::whole(one(dice, &[6, 6, 6, 8])),
        most: Amps::whole(one(dice, &[16, 16, 20, 32])),
        fallback: Amps::whole(if dice.chance(0.7) { 8 } else { 0 }),
        step: Step::Multiple(one(dice, &[Amps::whole(1), Amps::whole(1), Amps::milli(100)])),
        lease: (response * 2).max(Duration::from_secs(one(dice, &[30, 60, 120, 600]))),
        response,
        lapse: one(dice, &[LapseClass::A, LapseClass::A, LapseClass::A, LapseClass::B, LapseClass::C]),
        metering: one(dice, &[None, Some(1), Some(2), Some(10), Some(30)]).map(Duration::from_secs),
    }
}

/// As `check` asks for: the house at its worst and all cars alone fit on each phase, or else they fall back to nothing.
fn fit(site: &mut Site) {
    for index in 0..site.evses.len() {
        let evse = &mut site.evses[index];
        evse.fallback = if evse.fallback.is_positive() { evse.least } else { Amps::ZERO };
    }
    for index in 0..site.evses.len() {
        if !fits(site) && site.evses[index].lapse == LapseClass::C {
            site.evses[index].lapse = LapseClass::A;
        }
    }
    for index in 0..site.evses.len() {
        if !fits(site) {
            site.evses[index].fallback = Amps::ZERO;
        }
    }
}

/// As `check` advises (W014): leases so short that the slowest breaker stays in, where any are short enough.
fn heed(site: &mut Site, feeds_in: bool) {
    for circuit in site.circuit_ids() {
        for phase in site.wiring.phases().iter() {
            let Some(after) = Transient::of(site, circuit, phase, feeds_in).last_to_trip() else { continue };
            let after = Duration::from_secs(after.as_secs());
            for id in site.evse_ids() {
                if !site.feeds(circuit, id) {
                    continue;
                }
                let evse = &mut site.evses[id.0];
                let safe = after.saturating_sub(evse.response).max(evse.response * 2);
                evse.lease = evse.lease.min(safe);
            }
        }
    }
}

fn fits(site: &Site) -> bool {
    let alone = |circuit: CircuitId, phase: Phase| -> Amps {
        let on = site.evse_ids().filter(|id| site.feeds(circuit, *id)).map(|id| site.evse(id));
        let on = on.filter(|evse| evse.rotation.phases().contains(phase));
        on.map(|evse| if evse.lapse == LapseClass::C { evse.most } else { evse.fallback }).sum()
    };
    site.circuit_ids().all(|circuit| {
        site.wiring.phases().iter().all(|phase| {
            let house = if circuit == Site::ROOT { site.house_worst[phase] } else { Amps::ZERO };
            house + alone(circuit, phase) <= site.circuit(circuit).limit[phase]
        })
    })
}

/// Everybody may charge; some who hold up a card come first.
fn policy(dice: &mut Dice, evses: usize) -> Policy {
    let mut policy = Policy::open(evses);
    if dice.chance(0.5) {
        return policy;
    }
    policy.evses = vec![EvseRule { open: Some(0), plug_and_charge: None, ceiling: None }; evses];
    let id = "first".to_owned();
    let weight = dice.between(1, 3) as u32;
    policy.classes.push(Class { id: "first".into(), priority: 3, weight, ceiling: None, new_sessions: true });
    let class = policy.classes.len() - 1;
    policy.principals.push(Principal { id, alias: None, class, evses: None, valid_until: None });
    let principal = policy.principals.len() - 1;
    policy.tokens.insert("FIRST".into(), Token::of(principal));
    policy
}

/// One car after the other at each EVSE, the first within ten minutes.
fn cars(seed: u64, site: &Site) -> Vec<(Moment, Action)> {
    let mut actions = Vec::new();
    for id in site.evse_ids() {
        let dice = &mut Dice::new(seed, CAR_STREAMS + id.0 as u64);
        let mut second = dice.between(1, 600);
        while second < DAY_S {
            actions.push((at(second * 10), Action::Arrive(id, car(dice))));
            second += dice.between(600, 36_000);
            if dice.chance(0.8) {
                actions.push((at(second * 10), Action::Leave(id)));
                second += dice.between(30, 10_800);
            }
        }
    }
    actions
}

fn car(dice: &mut Dice) -> Car {
    let wants_wh = dice.chance(0.7).then(|| dice.between(2, 50) * 1000);
    Car {
        phases: one(dice, &[1, 2, 3, 3, 3]),
        least: Amps::whole(one(dice, &[6, 6, 6, 8, 10, 14])),
        most: Amps::whole(one(dice, &[10, 16, 16, 20, 32])),
        lag: millis(dice, 300, 2_500),
        start: millis(dice, 1_000, 15_000),
        offset: one(dice, &[Amps::ZERO, Amps::milli(500), Amps::whole(1)]),
        wants_wh,
        taper_wh: wants_wh.filter(|_| dice.chance(0.5)).map_or(0, |wanted| wanted / 8),
        pauses_most: dice.chance(0.1).then_some(5),
        gives_up_drop: dice.chance(0.05).then_some(Amps::whole(8)),
        token: dice.chance(0.3).then(|| "FIRST".to_owned()),
        ..Car::default()
    }
}

fn troubles(dice: &mut Dice, site: &Site, usual: Network, actions: &mut Vec<(Moment, Action)>) {
    let mut from = dice.between(1_200, 9_000);
    for _ in 0..FAULTS_MOST {
        let lasts = if dice.chance(0.2) { dice.between(10, 100) } else { dice.between(100, 9_000) };
        let until = from + lasts;
        if until >= DAY_S * 10 {
            return;
        }
        let meter = MeterId(dice.between(0, site.meters.len() as i64 - 1) as usize);
        let evse = EvseId(dice.between(0, site.evses.len() as i64 - 1) as usize);
        let mut add = |tenths: i64, action: Action| actions.push((at(tenths), action));
        match dice.between(0, 8) {
            0..=2 => {
                let voice = one(dice, &[Voice::Silent, Voice::NotANumber, Voice::Spikes, Voice::Frozen]);
                add(from, Action::Voice(meter, voice));
                add(until, Action::Voice(meter, Voice::Clear));
            }
            3..=4 => {
                add(from, Action::Ears(evse, one(dice, &[Ears::Ignores, Ears::Refuses, Ears::Deaf])));
                add(until, Action::Ears(evse, Ears::Heeds));
            }
            5 => {
                add(from, Action::Link(evse, false));
                add(until, Action::Link(evse, true));
            }
            6 => add(from, Action::Reboot(evse, Duration::from_millis(lasts as u64 * 100 / 4))),
            7 => {
                let slow = Network { answers_after: Duration::from_secs(dice.between(1, 60) as u64), ..usual };
                let bad =
                    Network { lost_permille: dice.between(10, 500) as u32, jitter: millis(dice, 0, 5_000), ..usual };
                add(from, Action::Network(evse, one(dice, &[slow, bad])));
                add(until, Action::Network(evse, usual));
            }
            _ => {
                add(from, Action::Gateway(false));
                add(until, Action::Gateway(true));
            }
        }
        from += if dice.chance(0.3) { dice.between(0, 600) } else { dice.between(600, 36_000) };
    }
}

/// Loads that switch on at once and off again, as large as what was stated for the house leaves room for.
fn surges(dice: &mut Dice, worst: &PerPhase<Amps>, base: &mut [PerPhase<Amps>]) {
    for _ in 0..dice.between(0, 12) {
        let amps = Amps::whole(dice.between(5, 25) as i32);
        let from = dice.between(0, DAY_S - 1) as usize;
        let lasts = dice.between(1, 900) as usize;
        for now in base.iter_mut().skip(from).take(lasts) {
            *now = PerPhase::from_fn(|phase| (now[phase] + amps).min(worst[phase]).max(now[phase]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_day_and_another_seed_another() {
        let told = |seed| format!("{:?}", (faults(seed).site, faults(seed).script.actions));
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
    }

    #[test]
    fn what_check_would_refuse_is_not_made_and_every_kind_of_fault_comes() {
        let days: Vec<Scenario> = (0..40).map(faults).collect();
        assert!(days.iter().all(|day| fits(&day.site)), "the house and all alone fit");
        for day in days.iter().filter(|day| day.script.solar.is_none()) {
            let worst = |circuit, phase| Transient::of(&day.site, circuit, phase, false);
            let all = day.site.circuit_ids().flat_map(|circuit| Phase::ALL.map(|phase| worst(circuit, phase)));
            let trips: Vec<Transient> = all.filter(|worst| worst.last_to_trip().is_some()).collect();
            assert!(trips.is_empty(), "{}: {trips:?}", day.about);
        }
        let has = |is_it: fn(&Action) -> bool| days.iter().any(|day| day.script.actions.iter().any(|(_, a)| is_it(a)));
        assert!(has(|action| matches!(action, Action::Voice(_, Voice::Frozen))));
        assert!(has(|action| matches!(action, Action::Voice(_, Voice::Silent))));
        assert!(has(|action| matches!(action, Action::Ears(_, Ears::Deaf))));
        assert!(has(|action| matches!(action, Action::Link(_, false))));
        assert!(has(|action| matches!(action, Action::Network(..))));
        assert!(has(|action| matches!(action, Action::Reboot(..))));
        assert!(has(|action| matches!(action, Action::Gateway(false))));
    }
}
