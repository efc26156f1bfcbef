//! What is the garage of the California Institute of Technology like? 54 EVSEs between the lines of 208 V.
//!
//! Which EVSE hangs between which lines, the two pods behind 80 A and the transformer's limits are those of `caltech_acn`
//! in ACN-Sim (acnportal 0.3.3), so that the same sessions may be held against what was published with it. As there,
//! cars are ideal: they take what they are offered at once, up to 6.6 kW, until they have what they want.

use crate::policy::Policy;
use crate::sim::{Car, Scenario, Script};
use crate::site::{Circuit, CircuitId, Evse, LapseClass, Primary, Rotation, Site, Step, Tuning, Wiring};
use crate::time::Duration;
use crate::units::{Amps, PerPhase, Phase};

/// What the transformer gives if nothing else is said: where laws of control differ most.
pub const LIMIT_KW: f64 = 30.0;

/// Volts between two lines.
const VOLTS: i64 = 208;
/// Volts between a line and earth, behind the transformer, by which its limit becomes one in amperes.
const VOLTS_TO_EARTH: f64 = 120.0;
/// The same before it. Its windings there are in delta, from 480 to 208 V: 4 amperes behind it are |AB + BC − 2·CA|, and
/// in turn, before it.
const PRIMARY_VOLTS_TO_EARTH: f64 = 277.0;
const RATIO: u16 = 4;
/// The lines before the transformer stand as a circuit behind it: the same cars load both.
const PRIMARY: CircuitId = CircuitId(1);
/// The two pods of eight EVSEs hang on a cable each.
const POD: Amps = Amps::whole(80);
/// What an EVSE gives at most.
const MOST: Amps = Amps::whole(32);
/// Cars of the year 2019 took 6.6 kW: at 208 V so much.
const CAR_MOST: Amps = Amps::milli(31_731);
/// Smaller steps than this are none.
const FINE: Amps = Amps::milli(100);
/// How often chargers tell and are told. ACN-Sim decides every five minutes and loses nothing while shares change hands;
/// here each change costs some ticks.
const TICK: Duration = Duration::from_secs(2);
/// Longer than anybody stays: starts are among what laws of control are compared by here, so turns are long.
const USUAL_STAY: Duration = Duration::from_secs(15 * 3_600);
/// A month like that which was recorded.
const SPAN: Duration = Duration::from_secs(31 * 86_400);

/// EVSEs of the first pod, between L1 and L2.
const CC_POD: [u16; 8] = [320, 321, 322, 323, 493, 494, 495, 496];
/// Those of the second, likewise.
const AV_POD: [u16; 8] = [324, 325, 326, 327, 489, 490, 491, 492];
/// The others between L1 and L2.
const L1_L2: [u16; 10] = [303, 308, 310, 316, 318, 498, 500, 506, 508, 513];
/// Between L2 and L3.
const L2_L3: [u16; 14] = [148, 149, 212, 213, 304, 305, 311, 313, 317, 499, 503, 505, 511, 512];
/// Between L3 and L1.
const L3_L1: [u16; 14] = [306, 307, 309, 312, 314, 315, 319, 497, 501, 502, 504, 507, 509, 510];

/// The site behind a transformer of so many kW, for a month, without cars: [`Scenario::visit`] brings them, of the
/// kind [`car`]. `is_continuous`: from nothing up in fine steps, where the control pilot has 6 A and whole amperes.
pub fn acn(limit_kw: f64, is_continuous: bool) -> Scenario {
    let line_at = |volts: f64| Amps::from_f64(limit_kw * 1000.0 / 3.0 / volts).unwrap_or_default();
    let (line, primary_line) = (line_at(VOLTS_TO_EARTH), line_at(PRIMARY_VOLTS_TO_EARTH));
    let (least, step) = if is_continuous { (FINE, FINE) } else { (Amps::PILOT_LEAST, Amps::whole(1)) };
    let circuits = vec![
        circuit("transformer", None, line),
        circuit("primary", Some(Site::ROOT), primary_line),
        circuit("cc-pod", Some(PRIMARY), POD),
        circuit("av-pod", Some(PRIMARY), POD),
    ];
    let groups: [(&[u16], CircuitId, (Phase, Phase)); 5] = [
        (&CC_POD, CircuitId(2), (Phase::L1, Phase::L2)),
        (&AV_POD, CircuitId(3), (Phase::L1, Phase::L2)),
        (&L1_L2, PRIMARY, (Phase::L1, Phase::L2)),
        (&L2_L3, PRIMARY, (Phase::L2, Phase::L3)),
        (&L3_L1, PRIMARY, (Phase::L3, Phase::L1)),
    ];
    let evse = |number: u16, circuit, (from, to)| Evse {
        id: format!("ca-{number}"),
        name: format!("CA-{number}"),
        circuit,
        rotation: Rotation::between(from, to),
        least,
        most: MOST,
        fallback: Amps::ZERO,
        step: Step::Multiple(step),
        lease: TICK,
        response: TICK,
        lapse: LapseClass::A,
        metering: Some(TICK),
    };
    let evses = groups.iter().flat_map(|(numbers, circuit, lines)| numbers.iter().map(|n| evse(*n, *circuit, *lines)));
    let tuning =
        Tuning { volts: VOLTS, dead_band: step, hold: Duration::ZERO, usual_stay: USUAL_STAY, ..Tuning::default() };
    let site = Site {
        id: "acn".into(),
        name: "Caltech".into(),
        wiring: Wiring::Delta,
        primary: Some(Primary { circuit: PRIMARY, ratio: RATIO }),
        limits: Default::default(),
        house_worst: PerPhase::default(),
        circuits,
        evses: evses.collect(),
        meters: Vec::new(),
        tuning,
    };
    Scenario {
        about: format!("54 EVSEs between lines of 208 V behind a transformer of {limit_kw} kW"),
        policy: Policy::open(site.evses.len()),
        site,
        script: Script { charger_step: step, tick: TICK, ..Script::default() },
        span: SPAN,
        after: Duration::ZERO,
        expect: Vec::new(),
    }
}

/// To see what phasors gain: each car counts in full on both its lines, and those add up as numbers. The lines before the
/// transformer are left out of it: as numbers they would leave less still.
pub fn add_plainly(site: &mut Site) {
    site.wiring = Wiring::Star;
    site.primary = None;
    site.circuits[PRIMARY.0].limit = site.circuit(Site::ROOT).limit;
}

/// A car as ACN-Sim has it: no lag, no offset, no ramp.
pub fn car(is_continuous: bool) -> Car {
    Car {
        phases: 1,
        least: if is_continuous { FINE } else { Amps::PILOT_LEAST },
        most: CAR_MOST,
        lag: Duration::ZERO,
        start: Duration::ZERO,
        offset: Amps::ZERO,
        up: MOST,
        down: MOST,
        ..Car::default()
    }
}

fn circuit(id: &str, parent: Option<CircuitId>, limit: Amps) -> Circuit {
    Circuit {
        id: id.into(),
        name: id.into(),
        parent,
        limit: PerPhase::all(limit),
        margin: PerPhase::default(),
        meter: None,
        other_load: PerPhase::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Plant, run, sessions};
    use crate::site::EvseId;
    use crate::time::Moment;

    /// Cars at every EVSE from the start, each wanting more than it can have in the time.
    fn full(is_continuous: bool, is_known: bool) -> Scenario {
        let mut scenario = acn(LIMIT_KW, is_continuous);
        let line = |evse: &Evse| format!("0,36000,{},60,1,31.731,0\n", evse.id);
        let text: String = scenario.site.evses.iter().map(line).collect();
        let visits = sessions::read(&text, &scenario.site).unwrap();
        scenario.visit(&visits, &car(is_continuous), is_known).unwrap();
        scenario.span = Duration::from_secs(1_800);
        scenario
    }

    /// What each of the three branches carries, in amperes: L1 to L2, L2 to L3, L3 to L1.
    fn branches(site: &Site, plant: &Plant) -> [f64; 3] {
        let mut branches = [0.0; 3];
        for id in site.evse_ids() {
            if let Some((from, _)) = site.evse(id).rotation.lines() {
                branches[from.index()] += plant.own_draw(id)[Phase::L1].as_f64();
            }
        }
        branches
    }

    #[test]
    fn neither_side_of_the_transformer_nor_a_pod_ever_carries_too_much_and_little_is_left() {
        for (is_continuous, is_known) in [(true, true), (true, false), (false, true), (false, false)] {
            let scenario = full(is_continuous, is_known);
            let (line, primary) = (LIMIT_KW * 1000.0 / 3.0 / 120.0, LIMIT_KW * 1000.0 / 3.0 / 277.0);
            let (mut most, mut sum, mut steps) = (0.0_f64, 0.0, 0);
            run(&scenario.site, &scenario.policy, &scenario.script, scenario.span, |frame| {
                let [a, b, c] = branches(&scenario.site, frame.plant);
                let mut fullest = 0.0_f64;
                for (a, b, c) in [(a, b, c), (b, c, a), (c, a, b)] {
                    // Phasors 120 degrees apart: a − c, and a + b − 2·c over 4.
                    let behind = (a * a + c * c + a * c).sqrt() / line;
                    let (x, y) = (a - b / 2.0 + c, 0.75_f64.sqrt() * b + 2.0 * 0.75_f64.sqrt() * c);
                    let before = ((x * x + y * y).sqrt() / 4.0) / primary;
                    fullest = fullest.max(behind).max(before);
                }
                most = most.max(fullest);
                if frame.plant.now() > Moment::from_millis(900_000) {
                    (sum, steps) = (sum + fullest, steps + 1);
                }
                for pod in [0..8, 8..16] {
                    let pod: f64 = pod.map(|i| frame.plant.own_draw(EvseId(i))[Phase::L1].as_f64()).sum();
                    assert!(pod <= POD.as_f64() + 0.01, "{pod} A in a pod");
                }
            });
            assert!(most <= 1.000_1, "{most} of what it can carry; {is_continuous} {is_known}");
            let mean = sum / f64::from(steps);
            assert!(mean > 0.9, "{mean} of what it can carry; {is_continuous} {is_known}");
        }
    }

    #[test]
    fn phasors_leave_more_than_plain_sums() {
        let delivered = |change: fn(&mut Site)| {
            let mut scenario = full(true, false);
            change(&mut scenario.site);
            let mut sum = 0.0;
            run(&scenario.site, &scenario.policy, &scenario.script, scenario.span, |frame| {
                let draws = scenario.site.evse_ids().map(|id| frame.plant.own_draw(id)[Phase::L1].as_f64());
                sum = draws.sum::<f64>();
            });
            sum
        };
        let behind = |site: &mut Site| {
            site.primary = None;
            site.circuits[PRIMARY.0].limit = site.circuit(Site::ROOT).limit;
        };
        let (plain, behind, both) = (delivered(add_plainly), delivered(behind), delivered(|_| {}));
        let gain = |amps: f64| 100.0 * (amps / plain - 1.0);
        println!("as numbers {plain:.1} A between the lines; as phasors {behind:.1} A, {:.1} % more; ", gain(behind));
        println!(
            "with the lines before the transformer, which numbers leave out, {both:.1} A, {:.1} % more",
            gain(both)
        );
        assert!((12.0..15.5).contains(&gain(behind)) && gain(both) > 4.0, "{plain} A, {behind} A, {both} A");
    }

    #[test]
    fn with_a_tenth_of_an_ampere_all_charge_and_with_six_amperes_some_wait() {
        let charging = |is_continuous| {
            let scenario = full(is_continuous, false);
            let mut charging = 0;
            run(&scenario.site, &scenario.policy, &scenario.script, scenario.span, |frame| {
                let draws = |id: &EvseId| frame.plant.own_draw(*id).most().is_positive();
                charging = scenario.site.evse_ids().filter(draws).count();
            });
            charging
        };
        assert_eq!(charging(true), 54);
        // Twelve between the same two lines fill them; 24 if they are spread evenly.
        assert!((12..=24).contains(&charging(false)), "{}", charging(false));
    }
}
