//! Limits in watts: what is contracted for all load, and what the grid operator leaves the EVSEs.

use super::super::power::Scale;
use super::*;
use crate::site::Limits;
use crate::units::PhaseSet;

impl World {
    fn limited(power: Limits) -> Self {
        let mut world = World::new();
        world.site.limits = power;
        world
    }

    fn because(&self) -> [Reason; 2] {
        [0, 1].map(|i: usize| self.state.cars[i].because)
    }

    /// What the meter says a second later, and what is decided of it.
    fn hears(&mut self, current: [i32; 3], watts: Option<[i32; 3]>, millivolts: Option<i32>) -> Decision {
        self.now = self.now + Duration::from_secs(1);
        for report in &mut self.seen.reports {
            report.measured.iter_mut().for_each(|measured| measured.at = self.now);
        }
        self.seen.samples[0] = Some(Sample {
            at: self.now,
            current: PerPhase(current.map(Amps::whole)),
            watts: watts.map(PerPhase),
            // No two voltages are alike.
            millivolts: millivolts.map(|volts| PerPhase::all(volts + (self.now.as_millis() / 1000 % 7) as i32)),
        });
        self.step()
    }
}

fn contract(watts: i32) -> Limits {
    Limits { contract: Some(watts), ..Limits::default() }
}

fn dso(watts: i32) -> Limits {
    Limits { dso: Some(watts), ..Limits::default() }
}

#[test]
fn what_is_contracted_is_shared_beside_the_house_and_no_more() {
    // The house takes 2,070 W. 13 A on three phases are 8,970 W, with the margin of 224 W and 7 W of the meter 11,271 W.
    let mut world = World::limited(contract(11_280));
    world.plug_in(0);
    world.run(150);
    assert_eq!((world.amps()[0], world.because()[0]), (13, Reason::Contract(Site::ROOT)));
    let mut world = World::limited(contract(11_240));
    world.plug_in(0);
    world.run(150);
    assert_eq!((world.amps()[0], world.because()[0]), (12, Reason::Contract(Site::ROOT)));
}

#[test]
fn a_house_step_beyond_the_contract_is_answered_in_the_same_step() {
    let mut world = World::limited(contract(11_280));
    world.plug_in(0);
    world.run(150);
    world.house = [3, 8, 3];
    world.second();
    assert_eq!((world.amps()[0], world.because()[0]), (11, Reason::Contract(Site::ROOT)));
    world.second();
    assert_eq!(world.amps()[0], 11, "what the pending cut frees is not cut twice");
}

#[test]
fn a_contract_is_judged_by_the_meters_watts_where_it_tells_them() {
    let mut world = World::limited(contract(11_280));
    world.plug_in(0);
    world.run(150);
    // 13 A by the car; the house's 9 A on one phase are a motor of half the power.
    let watts = |house: i32| Some([2_990 + house, 2_990 + 690, 2_990 + 690]);
    world.hears([22, 16, 16], watts(690), None);
    assert_eq!(world.amps()[0], 13);
    world.hears([22, 16, 16], watts(2_070), None);
    assert!(world.amps()[0] < 13, "{:?}", world.amps());
}

#[test]
fn the_grid_operators_limit_leaves_the_house_alone_and_counts_each_car() {
    let mut world = World::limited(dso(8_400));
    world.house = [5, 5, 5];
    world.plug_in(0);
    world.plug_in(1);
    world.run(150);
    // 9 A on four conductors are 8,280 W.
    assert_eq!((world.amps(), world.because()), ([9, 9], [Reason::Dso; 2]));
}

#[test]
fn a_charger_out_of_reach_counts_in_the_grid_operators_limit_with_what_it_may_have() {
    let mut world = World::limited(dso(8_400));
    world.plug_in(0);
    world.run(150);
    assert_eq!(world.amps()[0], 12);
    world.seen.reports[0].link = Link::Down { since: world.now };
    world.plug_in(1);
    world.second();
    assert_eq!((world.amps()[1], world.because()[1]), (0, Reason::Dso), "12 A on three phases may still flow: 8,280 W");
    world.run(100);
    assert_eq!(world.amps()[1], 0, "the lease has not run out");
    world.seen.reports[0].measured = None;
    world.run(300);
    assert_eq!(world.amps()[1], 15, "after the lease it counts at 6 A: 4,140 W beside 3,450");
}

#[test]
fn no_raise_within_the_grid_operators_limit_comes_before_its_cut_is_proven() {
    let mut world = World::limited(dso(8_400));
    world.plug_in(0);
    world.run(150);
    world.plug_in(1);
    for second in 0..8 {
        let decision = world.second();
        // The left one is told to make room, and hears nothing: it goes on with 12 A.
        world.obey(&decision, &[1]);
        assert!(world.amps()[0] < 12, "{second}: {:?}", world.amps());
        assert_eq!(world.amps()[1], 6, "{second}: no more than what it falls back to since it was plugged in");
    }
    world.run(200);
    assert_eq!(world.amps(), [9, 9]);
}

#[test]
fn watts_are_reckoned_at_the_measured_voltage() {
    let mut world = World::limited(dso(8_400));
    world.plug_in(0);
    world.run(150);
    assert_eq!(world.amps()[0], 12, "8,280 W at 230 V");
    world.hears([15, 15, 15], None, Some(236_000));
    assert_eq!(world.amps()[0], 11, "12 A are 8,496 W at 236 V");
    for _ in 0..60 {
        world.hears([14, 14, 14], None, Some(232_000));
    }
    assert_eq!(world.amps()[0], 11, "a voltage that comes and goes lets nobody come and go");
    for _ in 0..60 {
        world.hears([14, 14, 14], None, Some(230_000));
    }
    assert_eq!(world.amps()[0], 12);
    world.hears([15, 15, 15], None, Some(400_000));
    assert_eq!(world.amps()[0], 12, "that is no voltage");
}

#[test]
fn a_lost_meter_means_fallback_whatever_is_contracted() {
    let mut world = World::limited(contract(9_000));
    world.plug_in(0);
    world.run(150);
    assert!(world.amps()[0] > 6);
    world.now = world.now + Duration::from_secs(30);
    world.step();
    assert_eq!((world.amps()[0], world.because()[0]), (6, Reason::MeterLost(Site::ROOT)));
}

#[test]
fn without_a_neutral_line_currents_have_the_power_of_the_branches_that_make_them() {
    let mut world = World::limited(contract(9_000));
    world.site.wiring = Wiring::Delta;
    let scale = Scale::new(&world.site);
    let volt = |amps: Amps| f64::from(scale.watts(amps));
    let lines = |amps: [f64; 3]| PerPhase(amps.map(|amps| Amps::from_f64(amps).unwrap()));
    let pair = PhaseSet::one(Phase::L1).with(Phase::L2);
    assert_eq!(volt(scale.of(pair, Amps::whole(10))), 2_300.0);
    assert_eq!(volt(scale.of(PhaseSet::ALL, Amps::whole(10))), 3_984.0);
    for [a, b, c] in [[10.0, 0.0, 0.0], [10.0; 3], [16.0, 6.0, 0.0], [8.0, 13.0, 2.5], [0.0, 7.0, 31.0]] {
        let of = |a: f64, b: f64| (a * a + b * b + a * b).sqrt();
        let taken = volt(scale.drawn(&lines([of(a, c), of(b, a), of(c, b)])));
        let real = 230.0 * (a + b + c);
        assert!((real - 3.0..=real + 1.0).contains(&taken), "{taken} W of {real} W: {a} {b} {c}");
    }
}
