//! What still counts? Chargers that say yes and do something else, each tried by hand.

use super::*;

impl World {
    /// The left charger has sixteen, and so has its car.
    pub(super) fn with_sixteen(lapse: LapseClass) -> World {
        let mut world = World::new();
        world.site.evses[0].lapse = lapse;
        world.state = State::new(&world.site, world.now);
        world.run(150);
        world.plug_in(0);
        world.run(60);
        assert_eq!(world.amps()[0], 16);
        world
    }

    /// Seconds in which the cars take what they take, whatever they are told; the last decision.
    fn wait(&mut self, seconds: u32) -> Decision {
        (0..seconds).map(|_| self.second()).last().unwrap_or_default()
    }

    /// Its car takes nothing any more, by its own will.
    fn rests(&mut self, evse: usize) {
        self.takes(evse, Amps::ZERO);
        self.seen.reports[evse].plug = Plug::SuspendedEv;
    }

    /// Seconds in which the meter says nothing.
    fn wait_blind(&mut self, seconds: u32) -> Decision {
        let second = |world: &mut World| {
            world.now = world.now + Duration::from_secs(1);
            world.step()
        };
        (0..seconds).map(|_| second(self)).last().unwrap_or_default()
    }

    fn allow(&mut self, evse: usize, amps: i32) {
        self.policy.evses[evse].ceiling = Some(Amps::whole(amps));
    }
}

#[test]
fn a_connected_charger_of_class_b_that_rests_counts_at_its_old_limit_until_it_is_seen_to_keep_to_the_new_one() {
    let mut world = World::with_sixteen(LapseClass::B);
    world.allow(0, 8);
    world.rests(0);
    assert_eq!(world.wait(1_000).cars[0].counts, Amps::whole(16), "it said yes, and rests");
    // The car wakes, and takes sixteen for a moment; then the charger hears.
    world.seen.reports[0].plug = Plug::Charging;
    world.takes(0, Amps::whole(16));
    assert_eq!(world.wait(2).cars[0].counts, Amps::whole(16));
    let told = world.state.cars[0].setpoint;
    world.takes(0, told);
    assert_eq!(world.wait(1).cars[0].counts, told, "it has fallen to it");
}

#[test]
fn what_a_resting_charger_of_class_b_may_still_take_is_given_to_nobody_else() {
    let mut world = World::with_sixteen(LapseClass::B);
    world.allow(0, 8);
    world.rests(0);
    world.wait(1);
    world.plug_in(1);
    for _ in 0..600 {
        let told = world.second();
        world.obey(&told, &[1]);
        assert!(world.amps()[1] <= 6, "24 less 3 and 16 are 5; six is its fallback: {:?}", world.amps());
    }
}

#[test]
fn a_charger_of_class_b_whose_connection_is_lost_counts_at_its_old_limit_for_a_lease() {
    let mut world = World::with_sixteen(LapseClass::B);
    world.allow(0, 8);
    world.rests(0);
    world.wait(500);
    world.seen.reports[0].link = Link::Down { since: world.now };
    assert_eq!(world.wait(123).cars[0].counts, Amps::whole(16));
    assert_eq!(world.wait(1).cars[0].counts, Amps::whole(6), "a lease and the response time");
}

#[test]
fn a_car_that_stops_by_itself_proves_no_cut() {
    let mut world = World::with_sixteen(LapseClass::A);
    world.allow(0, 10);
    world.second();
    assert_eq!(world.amps()[0], 10);
    world.rests(0);
    assert_eq!(world.wait(60).cars[0].counts, Amps::whole(16), "nothing has fallen to ten");
    assert_eq!(world.wait(120).cars[0].counts, Amps::whole(6), "the older leases have run out");
}

#[test]
fn a_car_that_never_took_more_than_the_new_limit_proves_no_cut() {
    let mut world = World::with_sixteen(LapseClass::A);
    world.takes(0, Amps::whole(9));
    world.wait(10);
    world.allow(0, 10);
    assert_eq!(world.wait(60).cars[0].counts, Amps::whole(16), "nine before, and nine since");
}

#[test]
fn what_was_only_assumed_before_the_cut_is_no_fall() {
    let mut world = World::with_sixteen(LapseClass::A);
    // Its own meter falls silent: it is taken to draw what it is told. Then it speaks again, and the car rests.
    world.seen.reports[0].measured = None;
    world.house = [5; 3];
    for _ in 0..10 {
        world.sample([21; 3]);
    }
    world.allow(0, 10);
    world.sample([21; 3]);
    world.takes(0, Amps::milli(9_500));
    assert_eq!(world.wait(30).cars[0].counts, Amps::whole(16));
}

#[test]
fn to_say_yes_to_a_pause_is_not_to_pause_but_to_say_that_nothing_is_given_is() {
    let mut world = World::with_sixteen(LapseClass::A);
    world.rests(0);
    world.wait(1);
    world.house = [22; 3];
    // An older lease runs out, and it falls back: it has heard none of the pauses that it said yes to.
    let told = world.wait(200);
    assert_eq!((told.setpoints[0].amps, told.cars[0].counts), (Amps::ZERO, Amps::whole(6)));
    world.seen.reports[0].plug = Plug::SuspendedEvse;
    assert_eq!(world.wait(1).cars[0].counts, Amps::ZERO);
}

#[test]
fn where_all_are_of_class_b_standing_at_the_limit_for_a_lease_frees_the_rest() {
    let mut world = World::new();
    for evse in &mut world.site.evses {
        evse.lapse = LapseClass::B;
    }
    world.state = State::new(&world.site, world.now);
    world.plug_in(0);
    world.plug_in(1);
    // Each may have sixteen from a process before this one: neither can rise.
    world.run(110);
    assert_eq!(world.amps(), [6, 6]);
    world.run(60);
    assert_eq!(world.amps(), [11, 10]);
}

#[test]
fn a_disobedient_charger_whose_car_rests_counts_in_full_until_it_is_seen_to_obey() {
    let mut world = World::new();
    world.house = [1; 3];
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    world.takes(0, Amps::whole(16));
    for _ in 0..30 {
        let told = world.second();
        world.obey(&told, &[1]);
    }
    assert_eq!(world.state.cars[0].because, Reason::Disobeys);
    assert_eq!(world.amps()[1], 7, "24 less 1 and 16");
    // It rests for longer than its lease, and may wake at sixteen at any time.
    world.rests(0);
    for _ in 0..400 {
        let told = world.second();
        world.obey(&told, &[1]);
        assert_eq!(world.amps()[1], 7);
    }
    world.seen.reports[0].plug = Plug::Charging;
    world.run(200);
    assert_eq!(world.amps(), [12, 11], "it has stood at its limit, and has had less");
}

#[test]
fn what_a_restart_cannot_know_to_be_gone_still_counts() {
    let mut world = World::with_sixteen(LapseClass::A);
    world.allow(0, 8);
    world.rests(0);
    world.wait(1);
    let leases = world.state.leases(&world.site, world.now);
    world.state = State::resume(&world.site, &leases, world.now);
    let told = world.wait(1);
    assert_eq!((told.setpoints[0].amps, told.cars[0].counts), (Amps::whole(6), Amps::whole(16)));
    assert_eq!(world.wait(50).cars[0].counts, Amps::whole(16));
    assert_eq!(world.wait(50).cars[0].counts, Amps::whole(6), "the lease of before has run out");
}

#[test]
fn a_charger_that_returns_is_told_no_more_than_before_whatever_it_may_still_take() {
    let mut world = World::with_sixteen(LapseClass::A);
    world.allow(0, 8);
    world.rests(0);
    world.second();
    let told = world.state.cars[0].setpoint;
    world.seen.reports[0].link = Link::Down { since: world.now };
    assert_eq!(world.wait(5).cars[0].counts, Amps::whole(16));
    world.seen.reports[0].link = Link::Up { since: world.now };
    world.seen.reports[0].epoch += 1;
    let back = world.wait(1);
    assert!(back.orders[0].amps <= told.max(Amps::whole(6)), "{:?}", back.orders);
}

#[test]
fn limits_are_sent_again_at_each_start_session_and_boot() {
    let mut world = World::with_sixteen(LapseClass::A);
    let sent = |decision: &Decision| decision.orders.iter().map(|order| order.amps).collect::<Vec<_>>();
    world.wait(3);
    assert_eq!(sent(&world.wait(1)), []);
    world.seen.reports[0].epoch += 1;
    assert_eq!(sent(&world.wait(1)), [Amps::whole(16)], "it has started again");
    assert_eq!(sent(&world.wait(1)), []);
    world.seen.reports[0].session.as_mut().unwrap().id += 10;
    assert_eq!(sent(&world.wait(1)).len(), 1, "another session");
    let leases = world.state.leases(&world.site, world.now);
    world.state = State::resume(&world.site, &leases, world.now);
    assert_eq!(sent(&world.wait(1)).len(), 1, "another process");
}

#[test]
fn a_charger_that_boots_at_full_current_is_told_again_lowered_paused_and_the_others_make_room() {
    let mut world = World::new();
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    assert_eq!(world.amps(), [11, 10]);
    // It forgets its limit with a restart, and says yes to all that it is told since.
    world.seen.reports[0].epoch += 1;
    world.takes(0, Amps::whole(16));
    let (mut lowered, mut paused) = (false, false);
    for _ in 0..40 {
        let told = world.second();
        world.obey(&told, &[1]);
        lowered |= told.cars[0].disobeys && told.setpoints[0].amps == Amps::whole(6);
        paused |= told.setpoints[0] == Setpoint { amps: Amps::ZERO, because: Reason::Disobeys };
    }
    assert!(lowered && paused, "lowered {lowered}, paused {paused}");
    let load = Amps::whole(3 + 16) + world.state.cars[1].setpoint;
    assert!(load <= Amps::whole(24), "{load}");
    // At last it hears: with that it is trusted again.
    world.takes(0, Amps::ZERO);
    world.run(400);
    assert_eq!(world.amps(), [10, 11], "the odd ampere goes to the one that has had less");
}

#[test]
fn with_a_lost_meter_only_as_many_fall_back_as_fit_below_what_the_policy_leaves_of_the_fuse() {
    let mut world = World::new();
    world.site.house_worst = PerPhase::all(Amps::whole(13));
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    assert!(world.amps().iter().all(|amps| *amps >= 6), "{:?}", world.amps());
    // 25 A leave 12 for both; 20 A (80 %) leave seven for one.
    world.policy.main_limit_percent = 80;
    world.house = [1; 3];
    world.run(60);
    world.wait_blind(12);
    assert_eq!(world.amps().iter().sum::<i32>(), 6, "{:?}", world.amps());
}

#[test]
fn a_pause_is_kept_up_with_a_lost_meter_where_the_fallback_need_not_fit() {
    let renewed = |percent| {
        let mut world = World::with_sixteen(LapseClass::A);
        world.house = [21; 3];
        world.run(2);
        assert_eq!(world.amps()[0], 0);
        world.policy.main_limit_percent = percent;
        world.wait_blind(12);
        (0..200).map(|_| world.wait_blind(1).orders.len()).sum::<usize>()
    };
    assert_eq!(renewed(100), 0, "all fallbacks fit: its lease runs out");
    assert_eq!(renewed(60), 3);
}

#[test]
fn a_car_without_meter_that_takes_less_than_it_is_told_is_cut_below_what_it_takes_within_two_responses() {
    let mut world = World::new();
    world.site.evses[0].metering = None;
    world.plug_in(0);
    world.run(100);
    assert_eq!(world.amps()[0], 16);
    // It has never taken more than eight.
    world.takes(0, Amps::whole(8));
    world.wait(60);
    world.house = [3, 20, 3];
    let mut overload = 0;
    for _ in 0..30 {
        let told = world.second();
        overload += u32::from(told.rows[0].load.unwrap()[Phase::L2] > Amps::whole(25));
        // It follows after three seconds.
        let due = world.now - Duration::from_secs(3);
        let told = world.state.cars[0].told_at(due).min(Amps::whole(8));
        world.takes(0, told);
    }
    assert!(overload <= 9, "{overload} s: two responses of four, and the sample that shows it");
}

#[test]
fn a_cut_that_the_own_meter_has_shown_is_not_credited_though_it_always_speaks_later_than_the_grids() {
    let mut world = World::new();
    world.site.evses[0].response = Duration::from_secs(13);
    world.plug_in(0);
    world.run(200);
    let later = |world: &mut World, amps: i32, load: i32| {
        world.now = world.now + Duration::from_secs(1);
        world.takes(0, Amps::whole(amps));
        world.seen.reports[0].measured.as_mut().unwrap().at = world.now;
        let at = world.now - Duration::from_millis(300);
        let current = PerPhase([Amps::whole(10), Amps::whole(load), Amps::whole(10)]);
        world.seen.samples[0] = Some(Sample { at, current, watts: None, millivolts: None });
        world.step();
    };
    later(&mut world, 16, 19);
    later(&mut world, 16, 29);
    assert_eq!(world.amps()[0], 11);
    // The car falls by five while the house takes five more: the grid's meter shows no fall at all.
    later(&mut world, 11, 29);
    later(&mut world, 11, 29);
    assert!(world.amps()[0] <= 6, "{:?}: 29 A of 25 A flow", world.amps());
}

#[test]
fn a_house_step_is_counted_as_long_as_cars_add_to_it() {
    let mut world = World::with_sixteen(LapseClass::A);
    assert_eq!(world.wait(1).rows[0].exposure, Exposure::default());
    // 16 and 14 are five above the fuse for two seconds, until the car has followed.
    world.house = [3, 14, 3];
    world.wait(2);
    let told = world.state.cars[0].setpoint;
    world.takes(0, told);
    let seen = world.wait(5).rows[0].exposure;
    assert_eq!(seen.milliampere_seconds, PerPhase([0, 10_000, 0]));
    assert_eq!(seen.longest, Duration::from_secs(2));
    // Above its fuse without a car it is the house's own matter.
    world.rests(0);
    world.house = [3, 30, 3];
    assert_eq!(world.wait(60).rows[0].exposure, seen);
}

#[test]
fn an_unsound_decision_is_replaced_by_fallback_which_is_sent_and_the_second_in_a_minute_is_fatal() {
    let mut world = World::with_sixteen(LapseClass::A);
    let too_much: fn(&mut [Car]) = |cars| cars[0].setpoint = Amps::whole(17);
    let too_little: fn(&mut [Car]) = |cars| cars[0].setpoint = Amps::whole(3);
    let breach = Setpoint { amps: Amps::whole(6), because: Reason::Breach };
    world.state.spoil = Some(too_much);
    let told = world.wait(1);
    assert_eq!((told.setpoints[0], told.breaches, told.is_fatal), (breach, 1, false));
    assert_eq!(told.orders.iter().map(|order| order.amps).collect::<Vec<_>>(), [Amps::whole(6)]);
    world.state.spoil = None;
    let told = world.run(61);
    assert_eq!((told.breaches, told.is_fatal), (1, false));
    world.state.spoil = Some(too_little);
    let told = world.wait(1);
    assert_eq!((told.setpoints[0], told.breaches, told.is_fatal), (breach, 2, false), "more than a minute later");
    let told = world.wait(1);
    assert_eq!((told.breaches, told.is_fatal), (3, true));
}

#[test]
fn a_raise_beside_what_another_may_still_take_is_unsound() {
    let mut world = World::new();
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    assert_eq!(world.amps(), [11, 10]);
    world.state.spoil = Some(|cars| cars[1].setpoint = Amps::whole(11));
    assert_eq!(world.wait(1).breaches, 1);
}

#[test]
fn what_a_car_does_not_take_is_handed_on_and_given_back_when_it_wants_it() {
    let mut world = World::new();
    world.plug_in(0);
    world.plug_in(1);
    world.run(200);
    assert_eq!(world.amps(), [11, 10]);
    // The left one can take seven; the right one whatever it gets.
    let seconds = |world: &mut World, count: u32, most: i32| {
        for _ in 0..count {
            let told = world.second();
            world.obey(&told, &[1]);
            world.takes(0, world.state.cars[0].setpoint.min(Amps::whole(most)));
        }
    };
    seconds(&mut world, 29, 7);
    assert_eq!(world.amps(), [11, 10]);
    seconds(&mut world, 200, 7);
    assert_eq!(world.amps(), [9, 12], "two more than it takes, and all of the rest");
    assert_eq!(world.state.cars[0].because, Reason::Full);
    seconds(&mut world, 200, 16);
    assert_eq!(world.amps(), [11, 10]);
}
