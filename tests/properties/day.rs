//! What may a site and its day look like? Everything from one seed, within what the configuration's check lets pass.

use super::dice::Dice;
use chrono::{DateTime, TimeDelta, Timelike};
use headroom::policy::calendar::{Period, Schedule, Window};
use headroom::policy::{
    Class, EvseRule, Excess, Mode, Policy, Principal, PrincipalRule, Quota, Revocation, Token, Verdict,
};
use headroom::sim::appliances::house;
use headroom::sim::trace::Trace;
use headroom::sim::{Action, Car, Ears, Network, Script, Voice};
use headroom::site::{
    Circuit, CircuitId, Currents, Evse, EvseId, LapseClass, Meter, MeterId, Rotation, Site, Step, Tuning, Wiring,
};
use headroom::time::{Duration, Moment};
use headroom::units::{Amps, PerPhase, Phase};
use std::sync::{Arc, OnceLock};

/// How long a day is here: some leases, holds and restarts.
pub const SPAN: Duration = Duration::from_secs(240);
/// Rules have dice of their own: the days are the same with and without them.
const RULES: u64 = 0x5275_6c65_7321;
/// So have modes.
const MODES: u64 = 0x4d6f_6465_7321;
/// Nothing happens in the last part, so that all may come to rest.
const LAST_EVENT: u64 = 150_000;

pub struct Day {
    pub site: Site,
    pub policy: Policy,
    pub script: Script,
}

pub fn day(seed: u64) -> Day {
    let dice = &mut Dice::new(seed);
    let plant = plant(dice, seed);
    let site = site(dice, &plant);
    let policy = policy(dice, &site);
    let mut script = script(dice, &site, plant);
    let mut policy = policy;
    rules(&mut Dice::new(seed ^ RULES), &mut policy, &mut script);
    modes(&mut Dice::new(seed ^ MODES), &site, &mut policy, &mut script);
    Day { site, policy, script }
}

/// Hours, quotas and boosts on some days, and rights that are withdrawn, given back and changed meanwhile.
fn rules(dice: &mut Dice, policy: &mut Policy, script: &mut Script) {
    if dice.chance(50) {
        return;
    }
    let opens = DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(dice.from(0, 86_399));
    let minute = |dice: &mut Dice| ((opens.num_seconds_from_midnight() as i64 / 60 + dice.from(-1, 5)) % 1440) as u16;
    policy.rules.principals = (0..policy.principals.len())
        .map(|_| PrincipalRule {
            schedule: dice.chance(40).then_some(0),
            quota: dice.chance(40).then_some(0),
            also: if dice.chance(30) { vec![(1, None)] } else { vec![] },
            mode: None,
        })
        .collect();
    let window = Window { days: [true; 7], from: minute(dice).min(1439), to: minute(dice).min(1439) };
    policy.rules.schedules = vec![Schedule { allow: vec![window], begins_outside: dice.chance(50) }];
    let excess = if dice.chance(50) { Excess::Deny } else { Excess::Class(2) };
    policy.rules.quotas = vec![Quota { energy_wh: dice.from(5, 200), period: Period::Day, excess }];
    policy.rules.floors = vec![None, dice.chance(50).then(|| Amps::whole(10)), None, None];
    policy.rules.revocation = Revocation { stops: dice.chance(30), max: dice.millis(5_000, 120_000) };
    script.actions.push((Moment::START, Action::TimeOfDay(Some(opens))));
    for _ in 0..dice.from(0, 3) {
        let mut other = policy.clone();
        let card = other.tokens.get_mut(["T0", "T1", "T2"][dice.from(0, 2) as usize]);
        let status = if dice.chance(30) { Verdict::Accepted } else { Verdict::Blocked };
        card.into_iter().for_each(|card| card.status = status);
        let class = dice.from(1, 3) as usize;
        (other.classes[class].priority, other.classes[class].new_sessions) = (dice.from(-9, 9) as i8, dice.chance(70));
        other.main_limit_percent = dice.one(&[60, 80, 100]);
        let at = Moment::from_millis(dice.from(100, LAST_EVENT as i64) as u64);
        script.actions.push((at, Action::Policy(Arc::new(other))));
    }
    script.actions.sort_by_key(|(at, _)| *at);
}

/// On some days a sun that comes and goes, cars that charge from it, and people who choose something else meanwhile.
fn modes(dice: &mut Dice, site: &Site, policy: &mut Policy, script: &mut Script) {
    if dice.chance(65) {
        return;
    }
    choose(dice, policy);
    for (_, action) in &mut script.actions {
        if let Action::Policy(policy) = action {
            choose(dice, Arc::make_mut(policy));
        }
    }
    for _ in 0..dice.from(0, 2) {
        let mut other = policy.clone();
        choose(dice, &mut other);
        let at = Moment::from_millis(dice.from(100, LAST_EVENT as i64) as u64);
        script.actions.push((at, Action::Policy(Arc::new(other))));
    }
    // As much as a connection of this size has at most: half of it.
    let fuse: Amps = site.wiring.phases().iter().map(|phase| site.circuits[0].limit[phase]).sum();
    let most = i64::from(fuse.as_milli()) * 230 / 2_000;
    let mut at = 0;
    while at < LAST_EVENT {
        let (watts, over) = (dice.from(0, most) as i32, dice.millis(1_000, 20_000));
        script.actions.push((Moment::from_millis(at), Action::Sun { watts, over }));
        at += over.as_millis() as u64 + dice.from(50, 900) as u64 * 100;
    }
    script.actions.sort_by_key(|(at, _)| *at);
}

fn choose(dice: &mut Dice, policy: &mut Policy) {
    let mut mode = || dice.one(&[Mode::Fast, Mode::Eco, Mode::Eco, Mode::Solar, Mode::Solar, Mode::Solar, Mode::Off]);
    policy.rules.mode = mode();
    policy.rules.principals.resize(policy.principals.len(), PrincipalRule::default());
    policy.rules.principals.iter_mut().for_each(|rule| rule.mode = Some(mode()));
    policy.rules.min_grid = dice.one(&[Amps::ZERO, Amps::ZERO, Amps::whole(7), Amps::milli(12_500)]);
}

/// All but what happens.
fn plant(dice: &mut Dice, seed: u64) -> Script {
    Script {
        noise: dice.one(&[Amps::ZERO, Amps::milli(300), Amps::whole(1)]),
        seed,
        charger_step: dice.one(&[Amps::milli(100), Amps::whole(1)]),
        pilot_pace: Duration::from_secs(dice.one(&[0, 0, 0, 5])),
        network: Network {
            round_trip: Duration::from_millis(dice.one(&[200, 200, 800])),
            jitter: Duration::from_millis(dice.one(&[0, 0, 700])),
            ..Network::default()
        },
        meter_latency: Duration::from_millis(dice.one(&[0, 100, 300])),
        meter_jitter: Duration::from_millis(dice.one(&[0, 0, 0, 500])),
        meter_lost_permille: dice.one(&[0, 0, 0, 50]),
        ..Script::default()
    }
}

/// What an EVSE takes at worst when nobody steers it.
fn alone(evse: &Evse) -> Amps {
    if evse.lapse == LapseClass::C { evse.most } else { evse.fallback }
}

fn site(dice: &mut Dice, plant: &Script) -> Site {
    let wiring = match dice.from(1, 10) {
        1 | 2 => Wiring::Single,
        3 => Wiring::Delta,
        _ => Wiring::Star,
    };
    let mut site = Site {
        id: "seeded".into(),
        name: "Seeded".into(),
        wiring,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::default(),
        circuits: Vec::new(),
        evses: Vec::new(),
        meters: Vec::new(),
        tuning: Tuning {
            memory: Duration::from_secs(dice.one(&[2, 20])),
            restart: Duration::from_secs(dice.one(&[15, 30])),
            dwell: Duration::from_secs(dice.one(&[30, 90])),
            ageing: dice.chance(50).then_some(Duration::from_secs(40)),
            ..Tuning::default()
        },
    };
    let circuits = dice.from(1, 3) as usize;
    for index in 0..circuits {
        circuit(dice, &mut site, index);
    }
    for index in 0..dice.from(1, 6) {
        let evse = evse(dice, &site, plant, index);
        site.evses.push(evse);
    }
    make_it_fit(dice, &mut site);
    site.limits.unbalance = dice.one(&[None, Some(16), Some(20)]).filter(|_| wiring == Wiring::Star).map(Amps::whole);
    site
}

fn circuit(dice: &mut Dice, site: &mut Site, index: usize) {
    let id = CircuitId(index);
    let is_metered = index == 0 || dice.chance(60);
    let resolution = dice.one(&[Amps::milli(10), Amps::milli(100), Amps::whole(1)]);
    let meter = is_metered.then(|| {
        let interval = Duration::from_secs(dice.one(&[1, 1, 1, 2, 5, 10]));
        site.meters.push(Meter { id: format!("m{index}"), circuit: id, interval, resolution });
        MeterId(site.meters.len() - 1)
    });
    let fuse = if index == 0 { dice.one(&[20, 25, 35, 63]) } else { dice.one(&[16, 20, 32]) };
    let on = site.wiring.phases();
    let each = |amps: Amps| PerPhase::from_fn(|phase| if on.contains(phase) { amps } else { Amps::ZERO });
    site.circuits.push(Circuit {
        id: format!("c{index}"),
        name: format!("C{index}"),
        parent: (index > 0).then(|| CircuitId(dice.from(0, index as i64 - 1) as usize)),
        limit: each(Amps::whole(fuse)),
        margin: each(Amps::milli(fuse * 20).max(Amps::milli(500)) + resolution),
        meter,
        other_load: if index == 0 { PerPhase::default() } else { each(dice.amps(0, 4)) },
    });
}

fn evse(dice: &mut Dice, site: &Site, plant: &Script, index: i64) -> Evse {
    let rotation = match (site.wiring, dice.chance(60)) {
        (Wiring::Single, _) => Rotation::one(Phase::L1),
        (Wiring::Delta, false) => Rotation::parse(dice.one(&["RS", "ST", "TR"])).unwrap(),
        (Wiring::Star | Wiring::Delta, true) => Rotation::parse(dice.one(&["RST", "STR", "TRS", "RTS"])).unwrap(),
        (Wiring::Star, false) => Rotation::one(dice.one(&Phase::ALL)),
    };
    let even = [Amps::whole(1), Amps::whole(1), Amps::milli(100), Amps::milli(500), Amps::whole(2)].map(Step::Multiple);
    let listed = Currents::new(&[6, 8, 10, 13, 16, 20, 25, 32].map(Amps::whole)).map(Step::List);
    let step = dice.one(&[&even[..], listed.as_slice()].concat());
    let least = dice.one(&[6, 6, 6, 8, 10]);
    let slowest = site.meters.iter().map(|meter| meter.interval).max().unwrap_or_default();
    // Round trip, lag, the whole ramp, and the meter that shows it.
    let response = Duration::from_secs(8) + plant.pilot_pace + plant.network.jitter + plant.meter_jitter + slowest;
    Evse {
        id: format!("e{index}"),
        name: format!("E{index}"),
        circuit: CircuitId(dice.from(0, site.circuits.len() as i64 - 1) as usize),
        rotation,
        least: Amps::whole(least),
        most: step.floor(Amps::whole(least + dice.one(&[0, 6, 10, 26]))),
        fallback: if dice.chance(70) { Amps::whole(least) } else { Amps::ZERO },
        step,
        lease: response * 2 + Duration::from_secs(dice.one(&[1, 10, 40])),
        response,
        lapse: dice.one(&[LapseClass::A, LapseClass::A, LapseClass::B, LapseClass::C]),
        metering: dice.one(&[None, Some(1), Some(2), Some(2), Some(10), Some(30)]).map(Duration::from_secs),
    }
}

/// As the configuration's check demands: the stated house and all cars alone fit, on each phase of each circuit.
fn make_it_fit(dice: &mut Dice, site: &mut Site) {
    let sum = |site: &Site, circuit: CircuitId, phase: Phase| -> Amps {
        let below = site.evse_ids().filter(|id| site.feeds(circuit, *id)).map(|id| site.evse(id));
        below.filter(|evse| evse.rotation.phases().contains(phase)).map(alone).sum()
    };
    let others = |site: &Site, circuit: CircuitId, phase: Phase| -> Amps {
        let below = site.circuit_ids().filter(|id| site.path(*id).any(|above| above == circuit));
        below.map(|id| site.circuit(id).other_load[phase]).sum()
    };
    for index in 0..site.evses.len() {
        let does_not_fit = |site: &Site| {
            site.circuit_ids().any(|circuit| {
                let is_over = |phase| {
                    sum(site, circuit, phase) + others(site, circuit, phase) > site.circuit(circuit).limit[phase]
                };
                site.wiring.phases().iter().any(is_over)
            })
        };
        if does_not_fit(site) {
            site.evses[index].lapse = LapseClass::A;
        }
        if does_not_fit(site) {
            site.evses[index].fallback = Amps::ZERO;
        }
    }
    for phase in site.wiring.phases().iter() {
        let others = others(site, Site::ROOT, phase);
        let room = site.circuits[0].limit[phase] - sum(site, Site::ROOT, phase) - others;
        site.house_worst[phase] = others + dice.amps(0, (room.as_milli() / 1000).max(0));
    }
}

fn policy(dice: &mut Dice, site: &Site) -> Policy {
    let mut policy = Policy::open(site.evses.len());
    policy.evses = vec![EvseRule { open: Some(0), plug_and_charge: None, ceiling: None }; site.evses.len()];
    for index in 0..3usize {
        policy.classes.push(Class {
            id: format!("class{index}").into(),
            priority: dice.from(-9, 9) as i8,
            weight: dice.from(1, 3) as u32,
            ceiling: dice.chance(20).then(|| Amps::whole(dice.one(&[5, 6, 10, 13]))),
            new_sessions: true,
        });
        policy.principals.push(Principal {
            id: format!("p{index}"),
            alias: None,
            class: index + 1,
            evses: None,
            valid_until: None,
        });
        policy.tokens.insert(format!("T{index}"), Token::of(index));
    }
    if dice.chance(20) {
        policy.main_limit_percent = 80;
    }
    policy
}

fn script(dice: &mut Dice, site: &Site, plant: Script) -> Script {
    let noise = plant.noise;
    let mut actions = Vec::new();
    let base = dice.chance(20).then(|| Arc::new(generated(dice, site, noise)));
    for circuit in site.circuit_ids() {
        let most = PerPhase::from_fn(|phase| match circuit {
            Site::ROOT => {
                let below: Amps = site.circuits[1..].iter().map(|circuit| circuit.other_load[phase]).sum();
                (site.house_worst[phase] - below - noise).max(Amps::ZERO)
            }
            _ => site.circuit(circuit).other_load[phase],
        });
        // Of three loads between lines two meet in each line.
        let most =
            if site.wiring == Wiring::Delta { PerPhase::from_fn(|phase| most[phase].scaled(1, 2)) } else { most };
        if circuit == Site::ROOT && base.is_some() {
            continue;
        }
        loads(dice, circuit, most, &mut actions);
    }
    for id in site.evse_ids() {
        cars(dice, id, &mut actions);
        troubles(dice, id, site, plant.network, &mut actions);
    }
    for meter in 0..site.meters.len() {
        if dice.chance(25) {
            let at = dice.from(400, 1_000) as u64 * 100;
            let voice = dice.one(&[Voice::Silent, Voice::NotANumber, Voice::Frozen]);
            actions.push((at, Action::Voice(MeterId(meter), voice)));
            actions.push((at + dice.from(10, 500) as u64 * 100, Action::Voice(MeterId(meter), Voice::Clear)));
        }
    }
    if dice.chance(15) {
        let at = dice.from(400, 900) as u64 * 100;
        actions.push((at, Action::Gateway(false)));
        actions.push((at + dice.from(10, 600) as u64 * 100, Action::Gateway(true)));
    }
    actions.sort_by_key(|(at, _)| *at);
    Script {
        actions: actions.into_iter().map(|(at, action)| (Moment::from_millis(at), action)).collect(),
        base,
        sunny: site.wiring.phases(),
        ..plant
    }
}

/// Some minutes of a generated house, no more than was stated for it.
fn generated(dice: &mut Dice, site: &Site, noise: Amps) -> Trace<PerPhase<Amps>> {
    static HOUSE: OnceLock<Trace<PerPhase<Amps>>> = OnceLock::new();
    let house = HOUSE.get_or_init(|| house(1, 1));
    let from = dice.from(0, 86_000) as u64;
    let below: PerPhase<Amps> =
        PerPhase::from_fn(|phase| site.circuits[1..].iter().map(|circuit| circuit.other_load[phase]).sum());
    let half = if site.wiring == Wiring::Delta { 2 } else { 1 };
    let most = PerPhase::from_fn(|p| (site.house_worst[p] - below[p] - noise).max(Amps::ZERO).scaled(1, half));
    let second = |second: u64| {
        let now = house.at(Moment::from_millis((from + second) * 1000));
        PerPhase::from_fn(|phase| now[phase].min(most[phase]))
    };
    Trace::even(Duration::from_secs(1), (0..=SPAN.as_secs()).map(second), PerPhase::default())
}

/// Steps and ramps between nothing and `most`.
fn loads(dice: &mut Dice, circuit: CircuitId, most: PerPhase<Amps>, actions: &mut Vec<(u64, Action)>) {
    let mut level = PerPhase::<Amps>::default();
    let mut at = 0;
    while at < LAST_EVENT {
        let next = PerPhase::from_fn(|phase| match dice.chance(60) {
            true => most[phase].scaled(dice.from(0, 100), 100),
            false => level[phase],
        });
        let over = if dice.chance(30) { dice.millis(1_000, 15_000) } else { Duration::ZERO };
        let amps = PerPhase::from_fn(|phase| next[phase] - level[phase]);
        actions.push((at, Action::Load { circuit, amps, over }));
        level = next;
        at += over.as_millis() as u64 + dice.from(10, 400) as u64 * 100;
    }
}

fn cars(dice: &mut Dice, id: EvseId, actions: &mut Vec<(u64, Action)>) {
    let mut at = dice.from(0, 300) as u64 * 100;
    while at < LAST_EVENT {
        let token = dice.one(&[None, Some("T0"), Some("T1"), Some("T2")]);
        let car = Car {
            phases: dice.one(&[1, 2, 3, 3]),
            least: Amps::whole(dice.one(&[6, 6, 6, 6, 8, 10, 14])),
            most: Amps::whole(dice.one(&[10, 16, 32])),
            lag: dice.millis(300, 2_500),
            start: dice.millis(1_000, 8_000),
            offset: dice.one(&[Amps::ZERO, Amps::milli(500)]),
            wants_wh: dice.chance(20).then(|| dice.from(20, 300)),
            taper_wh: dice.one(&[0, 0, 20]),
            pauses_most: dice.chance(10).then_some(1),
            gives_up_drop: dice.chance(5).then_some(Amps::whole(6)),
            token: token.map(str::to_owned),
            ..Car::default()
        };
        actions.push((at, Action::Arrive(id, car)));
        at += dice.from(200, 2_000) as u64 * 100;
        if at < LAST_EVENT && dice.chance(50) {
            actions.push((at, if dice.chance(70) { Action::Leave(id) } else { Action::Stop(id) }));
            at += dice.from(10, 200) as u64 * 100;
        }
    }
}

fn troubles(dice: &mut Dice, id: EvseId, site: &Site, usual: Network, actions: &mut Vec<(u64, Action)>) {
    if dice.chance(10) {
        let at = dice.from(300, 1_000) as u64 * 100;
        let slow = Network { answers_after: dice.millis(1_000, 40_000), ..usual };
        let bad = Network { lost_permille: dice.from(20, 600) as u32, ..usual };
        actions.push((at, Action::Network(id, dice.one(&[slow, bad]))));
        actions.push((at + dice.from(10, 500) as u64 * 100, Action::Network(id, usual)));
    }
    if dice.chance(10) && site.evse(id).lapse != LapseClass::C {
        let at = dice.from(300, 1_000) as u64 * 100;
        actions.push((at, Action::Reboot(id, dice.millis(1_000, 40_000))));
    }
    if dice.chance(15) {
        let at = dice.from(300, 1_000) as u64 * 100;
        let ears = dice.one(&[Ears::Ignores, Ears::Refuses, Ears::Deaf]);
        actions.push((at, Action::Ears(id, ears)));
        actions.push((at + dice.from(10, 500) as u64 * 100, Action::Ears(id, Ears::Heeds)));
    }
    if dice.chance(20) && site.evse(id).lapse != LapseClass::C {
        let at = dice.from(300, 1_000) as u64 * 100;
        actions.push((at, Action::Link(id, false)));
        actions.push((at + dice.from(10, 500) as u64 * 100, Action::Link(id, true)));
    }
}
