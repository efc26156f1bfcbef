//! Cars that charge from the sun: a house that feeds in, and cars that take no more of it than that.

use super::*;
use crate::policy::{Mode, PrincipalRule, Token};

/// The delays of a start and of a stop; and until a mean of half a minute is known.
const START_S: u32 = 60;
const STOP_S: u32 = 180;
const SPAN_S: u32 = 30;

impl World {
    /// A house of nothing but the sun, in whole amperes on each phase; all its cars charge so.
    fn sunny(mode: Mode, sun: i32) -> Self {
        let mut world = World::new();
        world.policy.rules.mode = mode;
        world.shines(sun);
        // Until the meter has been heard.
        world.run(15);
        world
    }

    fn shines(&mut self, sun: i32) {
        self.house = [-sun; 3];
    }

    /// Of this session alone.
    fn mode_of(&mut self, evse: usize, mode: Mode) {
        let (card, index) = (format!("C{evse}"), self.policy.principals.len());
        self.policy.principals.push(crate::policy::Principal {
            id: card.clone(),
            alias: None,
            class: 0,
            evses: None,
            valid_until: None,
        });
        self.policy.rules.principals.push(PrincipalRule { mode: Some(mode), ..PrincipalRule::default() });
        self.policy.tokens.insert(card.clone(), Token::of(index));
        self.seen.reports[evse].session.as_mut().unwrap().token = Some(card);
    }

    /// Charges nothing yet.
    fn plug_in_idle(&mut self, evse: usize) {
        self.plug_in(evse);
        self.takes(evse, Amps::ZERO);
    }

    fn reason(&self, evse: usize) -> &'static str {
        self.state.cars[evse].because.code()
    }

    /// Seconds until this holds.
    fn until(&mut self, holds: impl Fn(&World) -> bool) -> u32 {
        (0..2_000)
            .find(|_| {
                self.run(1);
                holds(self)
            })
            .unwrap()
    }
}

#[test]
fn a_solar_car_takes_what_the_sun_leaves_rounded_down() {
    let mut world = World::sunny(Mode::Solar, 10);
    world.house = [-14, -10, -9];
    world.plug_in_idle(0);
    world.run(20 + SPAN_S + START_S);
    assert_eq!((world.amps()[0], world.reason(0)), (11, "solar"), "33 A over three phases");
}

#[test]
fn without_enough_sun_a_solar_car_waits_and_is_told_nothing_else() {
    let mut world = World::sunny(Mode::Solar, 5);
    world.plug_in_idle(0);
    world.run(600);
    assert_eq!((world.amps()[0], world.reason(0)), (0, "solar_wait"));
}

#[test]
fn it_starts_after_a_minute_of_sun_and_stops_after_three_without() {
    let mut world = World::sunny(Mode::Solar, 0);
    world.plug_in_idle(0);
    world.run(100);
    world.shines(8);
    let started = world.until(|world| world.amps()[0] > 0);
    assert!((START_S - SPAN_S..=START_S + 2 * SPAN_S).contains(&started), "{started} s");
    world.run(100);
    assert_eq!(world.amps()[0], 8);
    world.shines(0);
    let held = world.until(|world| world.amps()[0] == 6);
    assert!(held <= 2 * SPAN_S, "its least after {held} s");
    let stopped = held + world.until(|world| world.amps()[0] == 0);
    assert!((STOP_S - SPAN_S..=STOP_S + 2 * SPAN_S).contains(&stopped), "{stopped} s");
    assert_eq!(world.reason(0), "solar_wait");
}

#[test]
fn each_stop_doubles_the_wait_for_the_next_start_up_to_five_minutes() {
    let mut world = World::sunny(Mode::Solar, 0);
    world.plug_in_idle(0);
    let waits = [0; 5].map(|_| {
        world.shines(8);
        let waits = world.until(|world| world.amps()[0] > 0);
        world.shines(0);
        world.until(|world| world.amps()[0] == 0);
        waits
    });
    for (waits, minutes) in waits.into_iter().zip([1, 2, 4, 5, 5]) {
        assert!((minutes * 60 - SPAN_S..=minutes * 60 + SPAN_S).contains(&waits), "{minutes} min: {waits} s");
    }
}

#[test]
fn a_cloud_of_two_minutes_wears_no_contactor() {
    let mut world = World::sunny(Mode::Solar, 12);
    world.plug_in_idle(0);
    world.run(200);
    assert_eq!(world.amps()[0], 12);
    for sun in [2, 12, 2, 12] {
        world.shines(sun);
        for _ in 0..120 {
            world.run(1);
            assert!(world.amps()[0] >= 6, "{} A", world.amps()[0]);
        }
    }
}

#[test]
fn an_eco_car_has_its_least_at_night_and_all_that_the_sun_gives_by_day() {
    let mut world = World::sunny(Mode::Eco, 0);
    world.plug_in(0);
    world.run(100);
    assert_eq!((world.amps()[0], world.reason(0)), (6, "solar"));
    world.shines(9);
    world.run(2 * SPAN_S + 20);
    assert_eq!(world.amps()[0], 9);
    world.policy.rules.min_grid = Amps::whole(8);
    world.shines(0);
    world.run(2 * SPAN_S + 20);
    assert_eq!(world.amps()[0], 8, "what the policy lets it take from the grid");
}

#[test]
fn a_fast_car_is_the_houses_and_has_what_it_had_without_modes() {
    let mut world = World::sunny(Mode::Fast, 8);
    world.plug_in_idle(0);
    world.plug_in_idle(1);
    world.mode_of(0, Mode::Solar);
    world.run(300);
    // On L2 it takes 16 A of the 24 A that three phases of the sun have.
    assert_eq!((world.amps()[1], world.amps()[0]), (16, 0));
    world.shines(12);
    world.run(300);
    assert_eq!((world.amps()[1], world.amps()[0]), (16, 6), "36 - 16 A are 20 A over three phases");
}

#[test]
fn a_car_that_has_shown_that_it_uses_one_phase_is_reckoned_with_one() {
    let mut world = World::sunny(Mode::Eco, 4);
    world.plug_in_idle(0);
    for _ in 0..120 {
        let decision = world.second();
        world.obey(&decision, &[0]);
        if let Some(measured) = &mut world.seen.reports[0].measured {
            measured.current = PerPhase([measured.current[Phase::L1], Amps::ZERO, Amps::ZERO]);
        }
    }
    assert_eq!(world.amps()[0], 12, "4 A on three phases");
}

#[test]
fn two_share_the_sun_as_they_would_share_a_fuse() {
    let mut world = World::sunny(Mode::Solar, 12);
    world.plug_in_idle(0);
    world.plug_in_idle(1);
    world.run(400);
    assert_eq!(world.amps(), [9, 9], "36 A on four phases");
    world.shines(7);
    world.run(400);
    let amps = world.amps();
    assert!(amps == [0, 16] || amps == [7, 0], "both minimums do not fit: {amps:?}");
}

#[test]
fn nobody_starts_beside_one_whom_the_sun_carries_no_longer() {
    let mut world = World::sunny(Mode::Solar, 8);
    world.plug_in_idle(0);
    world.run(200);
    assert_eq!(world.amps(), [8, 0]);
    world.shines(5);
    world.plug_in_idle(1);
    let stopped = world.until(|world| {
        assert!(world.amps().contains(&0), "never both: {:?}", world.amps());
        world.amps()[0] == 0
    });
    assert!(stopped >= STOP_S - SPAN_S, "{stopped} s");
    world.run(START_S + 2 * SPAN_S);
    assert_eq!(world.amps(), [0, 15]);
}

#[test]
fn a_lost_meter_means_fallback_whatever_the_mode() {
    let mut world = World::sunny(Mode::Solar, 0);
    world.plug_in_idle(0);
    world.run(100);
    assert_eq!(world.amps()[0], 0);
    for _ in 0..12 {
        world.now = world.now + Duration::from_secs(1);
        world.step();
    }
    assert_eq!((world.amps()[0], world.reason(0)), (6, "meter_lost"));
}

#[test]
fn a_stale_meter_leaves_a_solar_car_what_it_has() {
    let mut world = World::sunny(Mode::Solar, 8);
    world.plug_in_idle(0);
    world.run(200);
    for _ in 0..8 {
        world.now = world.now + Duration::from_secs(1);
        world.step();
        assert_eq!(world.amps()[0], 8);
    }
}

#[test]
fn a_car_that_is_put_on_solar_while_it_charges_keeps_its_least_until_it_would_stop() {
    let mut world = World::sunny(Mode::Fast, 0);
    world.plug_in(0);
    world.run(100);
    assert_eq!(world.amps()[0], 16);
    world.policy.rules.mode = Mode::Solar;
    world.run(1);
    assert_eq!((world.amps()[0], world.reason(0)), (6, "solar"));
    let stopped = world.until(|world| world.amps()[0] == 0);
    assert!((STOP_S - SPAN_S..=STOP_S + 2 * SPAN_S).contains(&stopped), "{stopped} s");
}

#[test]
fn who_waits_for_the_sun_comes_before_nobody_for_it() {
    let mut world = World::sunny(Mode::Solar, 0);
    world.policy.classes[0].priority = 0;
    world.policy.classes.push(crate::policy::Class { priority: 9, ..world.policy.classes[0].clone() });
    world.plug_in_idle(0);
    let decision = world.run(7_200);
    assert_eq!(decision.cars[0].priority, 0);
}

#[test]
fn without_anybody_on_the_sun_nothing_of_it_is_kept_or_decides() {
    let (mut plain, mut sunny) = (World::new(), World::sunny(Mode::Solar, 3));
    sunny.house = plain.house;
    plain.run(30);
    sunny.run(15);
    for world in [&mut plain, &mut sunny] {
        world.policy.rules.mode = Mode::Fast;
        world.plug_in(0);
    }
    for second in 0..200 {
        let decisions = [plain.run(1), sunny.run(1)].map(|decision| format!("{decision:?}"));
        assert_eq!(decisions[0], decisions[1], "{second} s");
    }
}

#[test]
fn what_the_sun_takes_back_is_not_held_against_a_car_without_a_meter() {
    let mut world = World::sunny(Mode::Solar, 14);
    world.site.evses[0].metering = None;
    // All of it is known to be lent: the car is assumed to take what it is told.
    world.seen.inverters = vec![Some(super::super::observation::Generation { at: world.now, watts: 9_660 })];
    world.plug_in_idle(0);
    world.run(300);
    assert_eq!(world.amps()[0], 14);
    // Each time that the car gives way the sun goes further, and the meter shows no fall.
    world.shines(11);
    for sun in [7, 3, 0] {
        let had = world.amps()[0];
        world.until(|world| world.amps()[0] < had);
        world.shines(sun);
        world.run(6);
    }
    assert!(world.state.cars[0].disobeys_since.is_none());
    assert_eq!(world.amps()[0], 6);
}
