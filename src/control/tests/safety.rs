//! Ways to take more than fits, each tried by hand.

use super::*;

impl World {
    /// Only the meter speaks; own measurements stay what they were.
    pub(super) fn sample(&mut self, amps: [i32; 3]) -> Decision {
        self.now = self.now + Duration::from_secs(1);
        self.seen.samples[0] =
            Some(Sample { at: self.now, current: PerPhase(amps.map(Amps::whole)), watts: None, millivolts: None });
        self.step()
    }

    /// What all have been told together.
    fn granted(&self) -> Amps {
        self.state.cars.iter().map(|car| car.setpoint).sum()
    }
}

#[test]
fn a_car_that_rests_for_a_moment_lends_nothing_to_the_others() {
    let mut world = World::new();
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    assert_eq!(world.amps(), [11, 10]);
    // The left car takes nothing any more; its own meter has not said so yet.
    world.sample([3, 13, 3]);
    assert!(world.granted() <= Amps::whole(21), "{:?}: the left one may go on at any time", world.amps());
    world.sample([3, 13, 3]);
    assert!(world.granted() <= Amps::whole(21), "{:?}: the left one may go on at any time", world.amps());
}

#[test]
fn a_car_that_has_left_is_not_taken_off_the_load_twice() {
    let mut world = World::new();
    world.site.evses.push(evse("third", Rotation::three(Phase::ALL)));
    world.policy = Policy::open(3);
    world.state = State::new(&world.site, world.now);
    world.seen = Observation::nothing(&world.site, 0);
    world.plug_in(0);
    world.plug_in(1);
    world.plug_in(2);
    for _ in 0..200 {
        let told = world.second();
        world.obey(&told, &[0, 1, 2]);
    }
    let left = world.state.cars[0].setpoint;
    // The meter and the plug tell that it is gone, its own meter not yet.
    world.seen.reports[0].plug = Plug::Available;
    world.seen.reports[0].session = None;
    let others = world.granted() - left;
    world.sample([3, 3 + others.as_milli() / 1000, 3]);
    assert!(world.granted() <= Amps::whole(21), "{}", world.granted());
}

#[test]
fn an_own_measurement_newer_than_the_sample_frees_nothing() {
    let mut world = World::new();
    world.plug_in(0);
    world.plug_in(1);
    world.takes(0, Amps::ZERO);
    world.run(200);
    // Both rise; the left one rested so far.
    world.house = [3; 3];
    world.sample([3, 3, 3]);
    let before = world.granted();
    world.now = world.now + Duration::from_millis(500);
    world.takes(0, Amps::whole(11));
    world.takes(1, Amps::whole(10));
    world.step();
    assert!(world.granted() <= before.max(Amps::whole(21)), "{:?}", world.amps());
}

#[test]
fn a_meter_that_shows_a_fall_a_moment_after_the_car_has_told_it_pauses_nobody() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    assert_eq!(world.amps()[0], 16);
    world.sample([30, 19, 19]);
    assert_eq!(world.amps()[0], 10, "fourteen on L1");
    let late = |world: &mut World, millis: u64| {
        world.now = world.now + Duration::from_millis(millis);
        let stood =
            Sample { at: world.now, current: PerPhase([30, 19, 19].map(Amps::whole)), watts: None, millivolts: None };
        world.seen.samples[0] = Some(stood);
        world.step();
    };
    late(&mut world, 500);
    world.now = world.now + Duration::from_millis(170);
    world.takes(0, Amps::whole(10));
    world.step();
    assert_eq!(world.amps()[0], 10, "what it says now was not so when the meter spoke");
    late(&mut world, 80);
    assert_eq!(world.amps()[0], 10);
    world.sample([24, 13, 13]);
    assert_eq!(world.amps()[0], 10);
}

#[test]
fn a_stopped_car_out_of_reach_lends_nothing_to_the_others() {
    let mut world = World::new();
    world.site.evses[0].metering = Some(Duration::from_secs(60));
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    assert_eq!(world.amps(), [11, 10]);
    world.seen.reports[0].link = Link::Down { since: world.now };
    world.takes(1, Amps::whole(10));
    for _ in 0..60 {
        world.takes(1, world.state.cars[1].setpoint);
        let right = world.state.cars[1].setpoint.as_milli() / 1000;
        world.sample([3, 3 + right, 3]);
        assert!(world.amps()[1] <= 10, "eleven are still spoken for: {:?}", world.amps());
    }
}

#[test]
fn a_charger_whose_meter_has_gone_silent_does_not_swing() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(60);
    world.house = [3; 3];
    let mut setpoints = Vec::new();
    // Its car takes what it is told; it is stuck at six ampere's word, then says nothing.
    world.seen.reports[0].measured.as_mut().unwrap().current = PerPhase::all(Amps::whole(6));
    world.step();
    for _ in 0..300 {
        let load = 3 + world.amps()[0];
        world.sample([load; 3]);
        setpoints.push(world.amps()[0]);
    }
    let changes = setpoints.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes <= 2, "{changes} changes: {setpoints:?}");
}

#[test]
fn what_a_second_house_step_hides_is_not_credited_once_the_cars_own_meter_has_shown_it() {
    let mut world = World::new();
    world.site.evses[0].response = Duration::from_secs(13);
    world.plug_in(0);
    world.run(200);
    world.house = [3, 13, 3];
    let told = world.second();
    assert_eq!(world.amps()[0], 11);
    // The car falls by five while the house takes five more: the meter shows no fall at all.
    world.obey(&told, &[0]);
    world.house = [3, 18, 3];
    world.second();
    world.second();
    assert!(world.amps()[0] <= 6, "{:?}: 29 A of 25 A flow", world.amps());
}

#[test]
fn on_a_circuit_without_meter_a_charger_that_takes_too_much_is_seen_by_its_own_meter() {
    let mut world = World::new();
    world.site.circuits.push(Circuit {
        id: "garage".into(),
        name: "Garage".into(),
        parent: Some(Site::ROOT),
        limit: PerPhase::all(Amps::whole(20)),
        margin: PerPhase::all(Amps::whole(1)),
        meter: None,
        other_load: PerPhase::default(),
    });
    world.site.circuits[0].limit = PerPhase::all(Amps::whole(63));
    for evse in &mut world.site.evses {
        evse.circuit = CircuitId(1);
    }
    world.state = State::new(&world.site, world.now);
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    world.takes(0, Amps::whole(13));
    for _ in 0..120 {
        let told = world.second();
        world.obey(&told, &[1]);
    }
    assert!(world.amps()[1] <= 6, "{:?} beside 13 A that nobody can lower, on 20 A", world.amps());
}

#[test]
fn a_charger_that_is_back_before_the_meter_keeps_its_lease_over_a_restart() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    let leases = world.state.leases(&world.site, world.now);
    world.state = State::resume(&world.site, &leases, world.now);
    world.seen.samples[0] = None;
    world.step();
    assert_eq!(world.amps()[0], 16);
}

#[test]
fn a_session_that_is_told_after_the_connection_keeps_its_lease_over_a_restart() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    let leases = world.state.leases(&world.site, world.now);
    world.state = State::resume(&world.site, &leases, world.now);
    let session = world.seen.reports[0].session.take();
    world.second();
    world.seen.reports[0].session = session;
    world.second();
    assert_eq!(world.amps()[0], 16);
}

#[test]
fn a_meter_that_repeats_itself_is_no_meter() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    world.house = [16; 3];
    world.run(20);
    assert_eq!(world.amps()[0], 8);
    // From now on the meter says the same again and again; after a while the car takes six instead of eight, then more.
    let last = world.seen.samples[0].unwrap();
    let mut freshness = Vec::new();
    for second in 0..50 {
        world.now = world.now + Duration::from_secs(1);
        world.seen.samples[0] = Some(Sample { at: world.now, ..last });
        if second == 8 {
            world.policy.evses[0].ceiling = Some(Amps::whole(6));
        }
        let own = world.state.cars[0].setpoint;
        world.takes(0, own);
        freshness.push(world.step().rows[0].freshness);
    }
    assert_eq!(freshness[16], Freshness::Fresh);
    assert_eq!(freshness[22], Freshness::Stale, "{freshness:?}");
    assert_eq!(freshness[33], Freshness::Lost, "{freshness:?}");
}

#[test]
fn a_ramp_of_the_house_does_not_make_a_charger_without_meter_a_liar() {
    let mut world = World::new();
    world.site.evses[0].metering = None;
    world.house = [8; 3];
    world.plug_in(0);
    world.run(200);
    assert_eq!(world.amps()[0], 16);
    let mut told = Decision::default();
    for ramp in 0..3 {
        // Each ampere that the car gives up is taken by the house in the same second.
        for _ in 0..9 {
            world.house[1] += 1;
            told = world.run(1);
            assert_ne!(told.setpoints[0].because, Reason::Disobeys, "ramp {ramp}");
        }
        for _ in 0..60 {
            told = world.run(1);
            assert_ne!(told.setpoints[0].because, Reason::Disobeys, "ramp {ramp}");
        }
        world.house[1] = 8;
        world.run(150);
    }
    assert_eq!(world.amps()[0], 16, "{told:?}");
}

#[test]
fn a_charger_without_meter_that_was_deaf_for_a_while_is_tried_again() {
    let mut world = World::new();
    world.site.evses[0].metering = None;
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    let before = world.amps();
    world.house[1] += 5;
    let mut told = Decision::default();
    for _ in 0..60 {
        told = world.second();
        world.obey(&told, &[1]);
    }
    assert_eq!(told.setpoints[0].because, Reason::Disobeys);
    world.house[1] -= 5;
    world.takes(0, Amps::ZERO);
    world.run(600);
    assert!(world.amps()[0] >= before[0] - 1, "{:?}, and {before:?} before", world.amps());
}

#[test]
fn one_cut_that_does_not_show_on_two_meters_is_one_sign_of_disobedience() {
    let mut world = World::new();
    world.site.evses[0].metering = None;
    world.site.circuits.push(Circuit {
        id: "garage".into(),
        parent: Some(Site::ROOT),
        meter: Some(MeterId(1)),
        ..world.site.circuits[0].clone()
    });
    world.site.meters.push(Meter { circuit: CircuitId(1), ..world.site.meters[0].clone() });
    world.site.evses[0].circuit = CircuitId(1);
    world.state = State::new(&world.site, world.now);
    world.seen.samples.push(None);
    world.plug_in(0);
    let (mut disobeys, mut taken) = (Vec::new(), Amps::whole(6));
    for second in 0..110 {
        if second == 100 {
            world.house = [12; 3];
        }
        // Both meters are heard in one step.
        let current = PerPhase::from_fn(|phase| Amps::whole(world.house[phase.index()]) + taken);
        let at = world.now + Duration::from_secs(1);
        world.seen.samples[1] = Some(Sample { at, current, watts: None, millivolts: None });
        let told = world.second();
        disobeys.push(told.cars[0].disobeys);
        if second < 100 {
            taken = world.state.cars[0].setpoint;
            world.takes(0, taken);
        }
    }
    // Cut at 100 s, judged at 104 s, cut once more, judged at 108 s.
    assert!(!disobeys[106] && disobeys[109], "{:?}", &disobeys[100..]);
}

#[test]
fn a_circuit_without_meter_carries_what_those_below_it_state_and_measure() {
    let mut world = World::new();
    let main = world.site.circuits[0].clone();
    let between = Circuit {
        id: "yard".into(),
        parent: Some(Site::ROOT),
        limit: PerPhase::all(Amps::whole(20)),
        meter: None,
        other_load: PerPhase::all(Amps::whole(1)),
        ..main.clone()
    };
    let shed = Circuit { id: "shed".into(), parent: Some(CircuitId(1)), ..between.clone() };
    let barn = Circuit { id: "barn".into(), parent: Some(CircuitId(1)), meter: Some(MeterId(1)), ..main.clone() };
    world.site.circuits[0].limit = PerPhase::all(Amps::whole(63));
    world.site.circuits.extend([between, shed, barn]);
    world.site.meters.push(Meter { circuit: CircuitId(3), ..world.site.meters[0].clone() });
    world.site.evses[0].circuit = CircuitId(1);
    world.state = State::new(&world.site, world.now);
    world.seen.samples.push(None);
    world.plug_in(0);
    for _ in 0..150 {
        let at = world.now + Duration::from_secs(1);
        let current = PerPhase::all(Amps::whole(5));
        world.seen.samples[1] = Some(Sample { at, current, watts: None, millivolts: None });
        world.run(1);
    }
    assert_eq!(world.amps()[0], 12, "20 less 1 of margin, 1 and 1 stated, 5 measured");
    // The barn's meter goes silent: with it goes what is known of the yard.
    world.run(60);
    assert_eq!(world.amps()[0], 6);
}

#[test]
fn a_paused_charger_whose_lease_runs_out_with_a_lost_meter_obeys_and_counts_at_its_fallback() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    world.house = [20; 3];
    world.run(2);
    assert_eq!(world.amps()[0], 0);
    let mut told = Decision::default();
    for second in 0..200 {
        world.now = world.now + Duration::from_secs(1);
        world.takes(0, Amps::whole(if second > 125 { 6 } else { 0 }));
        told = world.step();
    }
    assert!(!told.cars[0].disobeys);
    assert_eq!(told.cars[0].counts, Amps::whole(6));
}

#[test]
fn a_charger_that_speaks_once_a_minute_does_not_swing() {
    let mut world = World::new();
    world.site.evses[0].metering = Some(Duration::from_secs(60));
    world.plug_in(0);
    let mut setpoints = Vec::new();
    for second in 0..400 {
        let own = world.amps()[0];
        if second % 60 == 5 {
            world.takes(0, Amps::whole(own));
        }
        world.sample([3 + own; 3]);
        setpoints.push(world.amps()[0]);
    }
    let changes = setpoints.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes <= 2 && setpoints[399] == 16, "{changes} changes: {setpoints:?}");
}

#[test]
fn with_a_lost_meter_a_charger_that_was_deaf_to_its_cut_is_told_it_again_until_it_obeys() {
    let mut world = World::new();
    world.site.evses[0].lapse = LapseClass::B;
    world.plug_in(0);
    world.run(200);
    assert_eq!(world.amps()[0], 16);
    let mut told = Vec::new();
    // It says yes to all and does nothing for five minutes; the meter stays away.
    for second in 0..900 {
        world.now = world.now + Duration::from_secs(1);
        let amps = if second < 300 { Amps::whole(16) } else { world.state.cars[0].setpoint };
        world.takes(0, amps);
        told.extend(world.step().orders.iter().map(|order| (second, order.amps.as_milli() / 1000)));
    }
    let deaf: Vec<_> = told.iter().filter(|(second, _)| *second < 300).collect();
    assert!((4..=6).contains(&deaf.len()), "each half lease of a minute: {told:?}");
    assert!(deaf.iter().all(|(_, amps)| *amps <= 6), "{told:?}");
    assert!(told.iter().all(|(second, _)| *second < 360), "once it obeys, its lease runs out: {told:?}");
}
