//! What comes of it when nothing changes? Equals get alike, and little is left unused.

use super::dice::Dice;
use headroom::policy::Policy;
use headroom::sim::{Action, Car, Frame, Plant, Script, run};
use headroom::site::{
    Circuit, CircuitId, Evse, EvseId, LapseClass, Meter, MeterId, Rotation, Site, Step, Tuning, Wiring,
};
use headroom::time::{Duration, Moment};
use headroom::units::{Amps, PerPhase, Phase};

/// So many sites are tried each time for each of the two.
const SITES: u64 = 12;
/// Long enough for many turns, and each of them for what a change of turns takes.
pub const LONG: Duration = Duration::from_secs(12_000);
/// Within it a turn has changed hands.
const CHANGE: Duration = Duration::from_secs(60);
/// All raises and their holds are over by then, and nothing of the start is remembered: the longest memory of a base load
/// is two minutes, unproven limits run out after a lease, and a car may rest for some times [`Tuning::restart`].
pub const SETTLED: Duration = Duration::from_secs(900);

#[test]
fn cars_alike_that_are_hungry_all_the_time_differ_by_one_turns_energy_at_most() {
    for seed in super::seeds(SITES) {
        let unfair = unfair(seed, LONG);
        assert_eq!(unfair, None, "SEED={seed}");
    }
}

#[test]
fn with_enough_demand_no_more_than_the_margin_and_a_step_is_left_unused() {
    for seed in super::seeds(SITES) {
        let wasted = wasted(seed);
        assert_eq!(wasted, None, "SEED={seed}");
    }
}

/// Three to five cars alike on the same phases, and room for some of them or for all; and what leaves of the fuse.
pub fn alike(seed: u64) -> (Site, Script, Amps) {
    let dice = &mut Dice::new(seed ^ 0x0E0E);
    let fuse = dice.one(&[20, 25, 32]);
    let mut site = site(dice, &[fuse]);
    (site.tuning.usual_stay, site.tuning.dwell) = (LONG, Duration::from_secs(480));
    let rotation = Rotation::parse(dice.one(&["RST", "R", "S"])).unwrap();
    let first = evse(dice, Site::ROOT, rotation, 0);
    for index in 0..dice.from(3, 5) {
        // They differ in nothing that counts, but one may have a meter of its own and another none.
        let other = evse(dice, Site::ROOT, rotation, index);
        let (lease, response, step) = (first.lease, first.response, first.step);
        site.evses.push(Evse { lease, response, step, ..other });
    }
    let house = Amps::whole(dice.from(1, i64::from(fuse) - 12) as i32);
    let script = hungry(dice, &site, &[PerPhase::all(house)]);
    (site, script, Amps::whole(fuse) - house)
}

/// How long a turn is at the end of `stay`, where whoever has stayed so long is expected to stay as long again: a fifth of
/// his share of the time at least, so that few turns end, and most of it where nearly all fit.
fn turn(site: &Site, left: Amps, stay: Duration) -> Duration {
    let count = site.evses.len() as i32;
    let margin = site.circuit(Site::ROOT).margin[Phase::L1];
    let fitting = ((left - margin).as_milli() / Amps::PILOT_LEAST.as_milli()).min(count);
    let part = f64::from(fitting) / f64::from(count);
    let turn = stay.as_secs_f64() * 2.0 * (part / 5.0).max(part.powi(3));
    site.tuning.dwell.max(if fitting < count { Duration::from_millis((turn * 1000.0) as u64) } else { Duration::ZERO })
}

/// Are they further apart than one turn's energy?
pub fn unfair(seed: u64, span: Duration) -> Option<String> {
    let (site, script, left) = alike(seed);
    let mut energy = vec![0; site.evses.len()];
    run(&site, &Policy::open(site.evses.len()), &script, span, |frame| {
        for id in site.evse_ids() {
            energy[id.0] = frame.plant.plugged(id).map_or(0, |car| car.energy_wh(frame.plant.now()));
        }
    });
    // A turn in which one has all that the fuse leaves and another nothing, and what a change of turns takes.
    let evse = &site.evses[0];
    let turn = turn(&site, left, span) + site.tuning.restart + evse.lease + evse.response;
    let watts = f64::from(left.min(evse.most).as_milli()) * 0.230 * evse.rotation.wired() as f64;
    let most = (watts * turn.as_secs_f64() / 3600.0) as i64;
    let (least, greatest) = (*energy.iter().min()?, *energy.iter().max()?);
    (greatest - least > most || greatest == 0).then(|| format!("{energy:?} Wh, {most} Wh apart at most"))
}

/// Hungry cars on one or two circuits, and a house that does not change.
pub fn wasteful(seed: u64) -> (Site, Script) {
    let dice = &mut Dice::new(seed ^ 0x3C3C);
    let fuses: &[i32] = if dice.chance(50) { &[32] } else { &[35, 20] };
    let mut site = site(dice, fuses);
    for index in 0..dice.from(1, 4) {
        let rotation = Rotation::parse(dice.one(&["RST", "STR", "TRS", "R", "S", "T"])).unwrap();
        let circuit = CircuitId(dice.from(0, fuses.len() as i64 - 1) as usize);
        let evse = evse(dice, circuit, rotation, index);
        site.evses.push(evse);
    }
    let house: Vec<PerPhase<Amps>> =
        fuses.iter().map(|_| PerPhase::from_fn(|_| Amps::milli(dice.from(0, 60) as i32 * 100))).collect();
    let script = hungry(dice, &site, &house);
    (site, script)
}

/// Is there a car that could take more, all through the last minute? Less than that is somebody's turn that begins.
pub fn wasted(seed: u64) -> Option<String> {
    let (site, script) = wasteful(seed);
    let (mut last, mut is_always) = (None, true);
    run(&site, &Policy::open(site.evses.len()), &script, SETTLED, |frame: &Frame<'_>| {
        if frame.plant.now() + CHANGE >= Moment::START + SETTLED {
            last = site.evse_ids().find_map(|id| could_take_more(&site, frame.plant, id));
            is_always &= last.is_some();
        }
    });
    last.filter(|_| is_always)
}

fn could_take_more(site: &Site, plant: &Plant, id: EvseId) -> Option<String> {
    let evse = site.evse(id);
    let offer = plant.offer(id);
    let rows = site.path(evse.circuit).flat_map(|circuit| evse.rotation.phases().iter().map(move |p| (circuit, p)));
    let spare = |(circuit, phase): (CircuitId, Phase)| {
        let known = site.circuit(circuit);
        let resolution = known.meter.map_or(Amps::ZERO, |meter| site.meters[meter.0].resolution);
        known.limit[phase] - plant.load(circuit)[phase] - known.margin[phase] - resolution
    };
    let spare = rows.map(spare).min()?;
    // Whoever is not on needs an ampere more than the least. A raise is worth it from a step and from the dead band on:
    // where several share what is left in finer steps, each may lack a little less than that.
    let on = site.evse_ids().filter(|other| plant.offer(*other).is_positive()).count() as i32;
    let coarsest = site.evses.iter().map(|evse| evse.step.rise(evse.least)).max().unwrap_or_default();
    let worth = match offer.is_positive() {
        true => coarsest.max(Amps::milli(site.tuning.dead_band.as_milli() * on)),
        false => evse.least + Amps::whole(1),
    };
    (spare.min(evse.most - offer) > worth)
        .then(|| format!("{} is offered {offer}, and {spare} are left beside the margin", evse.id))
}

fn site(dice: &mut Dice, fuses: &[i32]) -> Site {
    let resolution = dice.one(&[Amps::milli(10), Amps::milli(100)]);
    let circuit = |index: usize, fuse: i32| Circuit {
        id: format!("c{index}"),
        name: format!("C{index}"),
        parent: (index > 0).then_some(Site::ROOT),
        limit: PerPhase::all(Amps::whole(fuse)),
        margin: PerPhase::all(Amps::milli(fuse * 20).max(Amps::milli(500)) + resolution),
        meter: Some(MeterId(index)),
        other_load: PerPhase::default(),
    };
    let interval = Duration::from_secs(dice.one(&[1, 1, 2]));
    let meter = |index: usize| Meter { id: format!("m{index}"), circuit: CircuitId(index), interval, resolution };
    Site {
        id: "steady".into(),
        name: "Steady".into(),
        wiring: Wiring::Star,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::all(Amps::whole(8)),
        circuits: fuses.iter().enumerate().map(|(index, fuse)| circuit(index, *fuse)).collect(),
        evses: Vec::new(),
        meters: (0..fuses.len()).map(meter).collect(),
        tuning: Tuning {
            restart: Duration::from_secs(30),
            dwell: Duration::from_secs(120),
            ageing: dice.chance(50).then_some(Duration::from_secs(90)),
            ..Tuning::default()
        },
    }
}

fn evse(dice: &mut Dice, circuit: CircuitId, rotation: Rotation, index: i64) -> Evse {
    Evse {
        id: format!("e{index}"),
        name: format!("E{index}"),
        circuit,
        rotation,
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::ZERO,
        step: Step::Multiple(dice.one(&[Amps::whole(1), Amps::milli(100)])),
        lease: Duration::from_secs(dice.one(&[30, 60])),
        response: Duration::from_secs(10),
        lapse: LapseClass::A,
        metering: dice.one(&[None, Some(1), Some(10)]).map(Duration::from_secs),
    }
}

/// A house that does not change, and a car at each EVSE within the first seconds that always wants more.
fn hungry(dice: &mut Dice, site: &Site, house: &[PerPhase<Amps>]) -> Script {
    let load = |(index, amps): (usize, &PerPhase<Amps>)| {
        let action = Action::Load { circuit: CircuitId(index), amps: *amps, over: Duration::ZERO };
        (Moment::START, action)
    };
    let mut actions: Vec<(Moment, Action)> = house.iter().enumerate().map(load).collect();
    let car = Car { most: Amps::whole(32), offset: Amps::ZERO, start: Duration::from_secs(5), ..Car::default() };
    let mut at = 1;
    for id in site.evse_ids() {
        actions.push((Moment::from_millis(at * 1000), Action::Arrive(id, car.clone())));
        at += dice.from(0, 5) as u64;
    }
    Script { actions, ..Script::default() }
}
