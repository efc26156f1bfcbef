//! Sentences about one step and the next, without a plant: reports and samples by hand.

mod delta;
mod hang_up;
mod ledger;
mod mode;
mod power;
mod rest;
mod restart;
mod sabotage;
mod safety;

use super::observation::{Accepted, Answer, Link, Measured, Need, Plug, Report, Sample, Session};
use super::*;
use crate::site::{Circuit, Evse, LapseClass, Meter, MeterId, Rotation, Step, Tuning, Wiring};
use crate::units::Phase;

/// A 25 A house with two three-phase chargers; the meter speaks each second, all chargers have meters of their own.
#[derive(Clone)]
struct World {
    site: Site,
    state: State,
    seen: Observation,
    policy: Policy,
    now: Moment,
    house: [i32; 3],
}

impl World {
    fn new() -> Self {
        let site = Site {
            id: "home".into(),
            name: "Home".into(),
            wiring: Wiring::Star,
            primary: None,
            limits: Default::default(),
            house_worst: PerPhase::all(Amps::whole(13)),
            circuits: vec![Circuit {
                id: "main".into(),
                name: "Main".into(),
                parent: None,
                limit: PerPhase::all(Amps::whole(25)),
                margin: PerPhase::all(Amps::whole(1)),
                meter: Some(MeterId(0)),
                other_load: PerPhase::default(),
            }],
            evses: vec![evse("left", Rotation::three(Phase::ALL)), evse("right", Rotation::one(Phase::L2))],
            meters: vec![Meter {
                id: "grid".into(),
                circuit: Site::ROOT,
                interval: Duration::from_secs(1),
                resolution: Amps::milli(10),
            }],
            tuning: Tuning::default(),
        };
        let policy = Policy::open(2);
        let mut seen = Observation::nothing(&site, 0);
        for report in &mut seen.reports {
            report.link = Link::Up { since: Moment::START };
            report.plug = Plug::Available;
        }
        let state = State::new(&site, Moment::START);
        World { site, state, seen, policy, now: Moment::START, house: [3, 3, 3] }
    }

    /// A second passes: chargers answer, cars take their setpoint at once, the meter speaks.
    fn second(&mut self) -> Decision {
        self.now = self.now + Duration::from_secs(1);
        let mut load = self.house.map(Amps::whole);
        for id in self.site.evse_ids() {
            let report = &mut self.seen.reports[id.0];
            if let Some(measured) = &mut report.measured {
                measured.at = self.now;
                let on_site = self.site.evse(id).rotation.to_site(&measured.current);
                for phase in Phase::ALL {
                    load[phase.index()] += on_site[phase];
                }
            }
        }
        // No two voltages are alike.
        let volts = PerPhase::all(230_000 + (self.now.as_millis() / 1000 % 7) as i32);
        let sample = Sample { at: self.now, current: PerPhase(load), watts: None, millivolts: Some(volts) };
        self.seen.samples[0] = Some(sample);
        self.step()
    }

    fn step(&mut self) -> Decision {
        let decision = step(&self.site, &mut self.state, &self.seen, &self.policy, self.now);
        for order in &decision.orders {
            let answer = Answer { number: order.number, at: self.now, verdict: Accepted::Yes };
            self.seen.reports[order.evse.0].answer = Some(answer);
        }
        decision
    }

    /// Cars take what they are told, as far as their chargers obey.
    fn obey(&mut self, decision: &Decision, who: &[usize]) {
        for order in decision.orders.iter().filter(|order| who.contains(&order.evse.0)) {
            self.takes(order.evse.0, order.amps);
        }
    }

    fn takes(&mut self, evse: usize, amps: Amps) {
        let wired = self.site.evses[evse].rotation.wired();
        let current = PerPhase::from_fn(|phase| if phase.index() < wired { amps } else { Amps::ZERO });
        self.seen.reports[evse].measured = Some(Measured { at: self.now, current, watts: None });
    }

    fn plug_in(&mut self, evse: usize) {
        self.seen.reports[evse] = Report {
            link: Link::Up { since: self.now },
            epoch: 1,
            plug: Plug::Charging,
            session: Some(Session {
                id: evse as i64 + 1,
                token: None,
                since: self.now,
                energy_wh: None,
                need: Need::default(),
            }),
            measured: None,
            answer: None,
            ended: None,
        };
        self.takes(evse, Amps::whole(6));
    }

    /// Runs so many seconds with obedient chargers; the last decision.
    fn run(&mut self, seconds: u32) -> Decision {
        let mut last = Decision::default();
        for _ in 0..seconds {
            last = self.second();
            self.obey(&last, &[0, 1]);
        }
        last
    }

    fn amps(&self) -> [i32; 2] {
        [0, 1].map(|i: usize| self.state.cars[i].setpoint.as_milli() / 1000)
    }
}

fn evse(id: &str, rotation: Rotation) -> Evse {
    Evse {
        id: id.into(),
        name: id.into(),
        circuit: Site::ROOT,
        rotation,
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::whole(6),
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(4),
        lapse: LapseClass::A,
        metering: Some(Duration::from_secs(2)),
    }
}

#[test]
fn start_up_is_fallback_until_the_meter_has_been_heard_ten_times() {
    let mut world = World::new();
    world.plug_in(0);
    let decision = world.run(9);
    assert_eq!(decision.setpoints[0], Setpoint { amps: Amps::whole(6), because: Reason::MeterLost(Site::ROOT) });
    world.run(2);
    assert_eq!(world.amps()[0], 16, "then all that fits");
}

#[test]
fn a_house_step_lowers_just_the_cars_on_its_phase_in_the_same_step() {
    let mut world = World::new();
    world.house = [3, 3, 3];
    world.plug_in(1);
    world.site.evses[0].rotation = Rotation::one(Phase::L1);
    world.plug_in(0);
    world.run(200);
    assert_eq!(world.amps(), [16, 16]);
    world.house[1] += 10;
    let decision = world.second();
    assert_eq!(world.amps(), [16, 11]);
    assert_eq!(decision.orders.len(), 1);
    assert_eq!(decision.setpoints[1].because, Reason::Circuit(Site::ROOT, Phase::L2));
}

#[test]
fn what_a_pending_cut_will_still_remove_is_not_cut_twice() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    world.house[1] += 10;
    world.second();
    assert_eq!(world.amps()[0], 11);
    // The car has not reacted yet: the meter still shows the overload.
    world.second();
    world.second();
    assert_eq!(world.amps()[0], 11);
    // Another three amperes on top of it are cut at once, though the last cut is a moment ago.
    world.house[1] += 3;
    world.second();
    assert_eq!(world.amps()[0], 8);
}

#[test]
fn nothing_is_granted_twice_at_a_common_start() {
    let mut world = World::new();
    world.run(150);
    world.plug_in(0);
    world.plug_in(1);
    for _ in 0..60 {
        let decision = world.second();
        world.obey(&decision, &[0, 1]);
        let granted: Amps = world.state.cars.iter().map(|car| car.setpoint).sum();
        assert!(granted <= Amps::whole(21), "{granted} on L2 beside a house of 3 A");
    }
    assert_eq!(world.amps(), [11, 10]);
}

#[test]
fn a_charger_that_accepts_and_ignores_counts_at_what_it_takes_and_the_other_makes_room() {
    let mut world = World::new();
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    assert_eq!(world.amps(), [11, 10]);
    // The left one goes deaf at 16 A.
    world.takes(0, Amps::whole(16));
    let mut told = Decision::default();
    for _ in 0..30 {
        told = world.second();
        world.obey(&told, &[1]);
    }
    assert_eq!(told.setpoints[0].because, Reason::Disobeys);
    assert!(told.cars[0].disobeys);
    let load: Amps = [Amps::whole(3), Amps::whole(16), world.state.cars[1].setpoint].into_iter().sum();
    assert!(load <= Amps::whole(24), "{load}: the other one has made room");
}

#[test]
fn without_a_meter_of_its_own_a_deaf_charger_is_known_by_what_the_grid_meter_does_not_show() {
    let mut world = World::new();
    world.site.evses[0].metering = None;
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    let before = world.amps();
    assert!(before[0] >= 10 && before[1] >= 6, "{before:?}");
    world.house[1] += 5;
    let mut told = Decision::default();
    for _ in 0..60 {
        // The left one stays at what it has.
        told = world.second();
        world.obey(&told, &[1]);
    }
    assert_eq!(told.setpoints[0].because, Reason::Disobeys);
    let load = Amps::whole(world.house[1] + before[0]) + world.state.cars[1].setpoint;
    assert!(load <= Amps::whole(24), "{load}");
}

#[test]
fn a_disconnected_charger_counts_at_its_last_limit_then_at_its_fallback() {
    let mut world = World::new();
    world.run(150);
    world.plug_in(0);
    world.run(30);
    assert_eq!(world.amps()[0], 16);
    world.seen.reports[0].link = Link::Down { since: world.now };
    world.seen.reports[0].measured = None;
    world.house = [3 + 16; 3];
    world.second();
    world.house = [3; 3];
    world.plug_in(1);
    world.run(60);
    assert!(world.amps()[1] <= 6, "sixteen are still spoken for: {:?}", world.amps());
    world.run(330);
    assert_eq!(world.state.cars[0].setpoint, Amps::whole(6));
    assert!(world.amps()[1] >= 12, "after the lease only six are: {:?}", world.amps());
}

#[test]
fn a_lost_meter_ends_in_fallback_for_all() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    assert_eq!(world.amps()[0], 16);
    for _ in 0..11 {
        world.now = world.now + Duration::from_secs(1);
        world.takes(0, Amps::whole(16));
        world.step();
    }
    assert_eq!(world.amps()[0], 6);
    let renewals = (0..100).map(|_| {
        world.now = world.now + Duration::from_secs(1);
        world.takes(0, Amps::whole(6));
        world.step().orders.len()
    });
    assert_eq!(renewals.sum::<usize>(), 0, "an unhealthy step renews nothing");
}

#[test]
fn a_stale_meter_allows_no_raise() {
    let mut world = World::new();
    world.plug_in(0);
    world.house = [15; 3];
    world.run(200);
    let before = world.amps()[0];
    world.house = [3; 3];
    for _ in 0..4 {
        world.now = world.now + Duration::from_secs(1);
        world.step();
    }
    assert_eq!(world.amps()[0], before);
    assert_eq!(world.state.cars[0].because, Reason::MeterStale(Site::ROOT));
}

#[test]
fn no_raise_follows_within_the_hold() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    world.house[0] = 15;
    world.run(1);
    assert_eq!(world.amps()[0], 9);
    world.house[0] = 3;
    for _ in 0..17 {
        world.run(1);
        assert_eq!(world.amps()[0], 9, "neither within the hold of 10 s nor above what has not fitted for 18 s");
    }
    world.run(4);
    assert_eq!(world.amps()[0], 16);
}

#[test]
fn leases_are_renewed_at_half_life_and_sent_again_after_a_reconnection() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(20);
    let renewals: usize = (0..120).map(|_| world.run(1).orders.len()).sum();
    assert_eq!(renewals, 2);
    world.seen.reports[0].epoch += 1;
    assert_eq!(world.run(1).orders.len(), 1);
}

#[test]
fn a_restart_within_the_lease_changes_no_current() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    let leases = world.state.leases(&world.site, world.now);
    assert_eq!(leases[0].map(|lease| lease.amps), Some(Amps::whole(16)));
    world.state = State::resume(&world.site, &leases, world.now);
    for _ in 0..30 {
        world.run(1);
        assert_eq!(world.amps()[0], 16);
    }
}

#[test]
fn a_restart_in_a_full_house_cuts_nobody_though_meters_and_chargers_come_back_one_by_one() {
    let mut world = World::new();
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    world.house = [7, 1, 7];
    world.run(30);
    let (told, leases) = (world.amps(), world.state.leases(&world.site, world.now));
    assert!(told[0] + told[1] > 20, "{told:?}");
    world.state = State::resume(&world.site, &leases, world.now);
    let reports = world.seen.reports.clone();
    world.seen = Observation::nothing(&world.site, 0);
    for (report, known) in world.seen.reports.iter_mut().zip(&reports) {
        report.session.clone_from(&known.session);
    }
    let back = |world: &mut World, evse: usize, plug, measured| {
        world.seen.reports[evse] = Report { plug, measured, answer: None, ..reports[evse].clone() };
    };
    back(&mut world, 0, Plug::Unknown, None);
    world.step();
    assert_eq!(world.amps(), told, "no word of the meter yet");
    let takes: Vec<_> = reports.iter().map(|report| report.measured.unwrap().current).collect();
    for second in 0..20u64 {
        world.now = world.now + Duration::from_secs(1);
        let load = PerPhase::from_fn(|phase| {
            let right = if phase == Phase::L2 { takes[1][Phase::L1] } else { Amps::ZERO };
            Amps::whole(world.house[phase.index()]) + takes[0][phase] + right
        });
        world.seen.samples[0] = Some(Sample { at: world.now, current: load, watts: None, millivolts: None });
        match second {
            3 => back(&mut world, 0, Plug::Charging, None),
            5 => back(&mut world, 1, Plug::Unknown, None),
            8.. => {
                for (evse, current) in takes.iter().enumerate() {
                    let measured = Measured { at: world.now, current: *current, watts: None };
                    back(&mut world, evse, Plug::Charging, Some(measured));
                }
            }
            _ => {}
        }
        world.step();
        assert_eq!(world.amps(), told, "after {second} s");
    }
}

#[test]
fn what_a_car_has_taken_since_the_last_sample_is_no_room_for_another() {
    let mut world = World::new();
    world.house = [1, 12, 1];
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    assert_eq!(world.amps(), [6, 6]);
    // Left was slow to begin: it tells of its current before the grid meter does.
    world.takes(0, Amps::ZERO);
    world.second();
    world.takes(0, Amps::whole(6));
    world.step();
    assert_eq!(world.amps(), [6, 6]);
}

#[test]
fn a_cut_on_the_way_up_is_proven_by_the_fall_that_follows() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(200);
    world.site.evses[0].response = Duration::from_secs(13);
    world.house = [18; 3];
    world.run(20);
    world.house = [3; 3];
    let mut told = Decision::default();
    while told.setpoints.first().is_none_or(|setpoint| setpoint.amps < Amps::whole(16)) {
        // The car is slow: it still takes six when it is told sixteen, and when it is told less again.
        told = world.second();
    }
    world.policy.evses[0].ceiling = Some(Amps::whole(10));
    world.second();
    world.takes(0, Amps::whole(16));
    assert_eq!(world.second().cars[0].counts, Amps::whole(16));
    world.takes(0, Amps::whole(10));
    assert_eq!(world.second().cars[0].counts, Amps::whole(10));
}

#[test]
fn whoever_is_above_his_share_gives_way_by_the_ampere() {
    let mut world = World::new();
    world.site.evses[1].rotation = Rotation::three(Phase::ALL);
    world.house = [9; 3];
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    assert_eq!(world.amps(), [8, 7]);
    // The left one is a resident from now on: it lacks one ampere, and the guest keeps its minimum.
    let class =
        |id: &str, priority| crate::policy::Class { id: id.into(), priority, ..world.policy.classes[0].clone() };
    world.policy.classes = vec![class("guest", -3), class("resident", 6)];
    world.policy.evses[0].open = Some(1);
    world.run(60);
    assert_eq!(world.amps(), [9, 6]);
    world.policy.evses[0].open = Some(0);
    world.run(60);
    assert_eq!(world.amps(), [8, 7], "equals again");
}

#[test]
fn only_those_fit_whose_minimum_fits_and_turns_rotate() {
    let mut world = World::new();
    world.site.tuning.dwell = Duration::from_secs(60);
    world.site.tuning.usual_stay = Duration::ZERO;
    world.site.tuning.restart = Duration::from_secs(20);
    world.site.tuning.ageing = None;
    world.site.evses[1].rotation = Rotation::three(Phase::ALL);
    world.house = [15; 3];
    world.plug_in(0);
    world.plug_in(1);
    let mut had = [0u32; 2];
    for _ in 0..1200 {
        world.run(1);
        let amps = world.amps();
        assert!(amps.iter().sum::<i32>() <= 9 || world.now < Moment::from_millis(30_000), "{amps:?}");
        (0..2).for_each(|i| had[i] += u32::from(amps[i] > 0));
    }
    // After 20 minutes as many more are expected, and half of those 40 for each: turns have grown to 10 minutes.
    assert!(had[0].abs_diff(had[1]) <= 600 && had[0].min(had[1]) > 300, "both get their turns: {had:?}");
}
