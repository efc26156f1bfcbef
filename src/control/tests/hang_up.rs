//! Whom do we hang up on? A charger that keeps sixteen whatever it is told, by class, load and meter.

use super::*;

impl World {
    /// The left charger keeps sixteen from now on, and the right one obeys. Beside them the house takes so much on each
    /// phase, for so many seconds; after how many of them somebody is hung up on, and the last decision.
    fn keeps_sixteen(&mut self, house: i32, seconds: u32) -> (Option<u32>, Decision) {
        self.house = [house; 3];
        let mut told = Decision::default();
        for second in 1..=seconds {
            self.takes(0, Amps::whole(16));
            told = self.second();
            self.obey(&told, &[1]);
            if !told.hang_ups.is_empty() {
                return (Some(second), told);
            }
        }
        (None, told)
    }

    fn of_class(lapse: LapseClass) -> World {
        let mut world = World::with_sixteen(lapse);
        world.house = [3; 3];
        world
    }
}

#[test]
fn who_keeps_more_than_he_is_told_and_falls_back_only_alone_is_hung_up_on_while_his_circuit_is_over() {
    let mut world = World::of_class(LapseClass::B);
    // 25 A, of which the house takes 12. Three responses of 4 s, three readings, and a second to see it.
    let (first, _) = world.keeps_sixteen(12, 60);
    assert!(first.is_some_and(|second| (9..=16).contains(&second)), "after {first:?} s");
}

#[test]
fn where_the_quickest_breaker_trips_before_it_has_fallen_back_it_is_told_on_for_as_long_as_that_would_take() {
    // 31 of 25 A for a lease of 120 s, 4 s of response and 5: it may begin to hear meanwhile.
    let (first, _) = World::of_class(LapseClass::B).keeps_sixteen(15, 300);
    assert!(first.is_some_and(|second| (132..=145).contains(&second)), "after {first:?} s");
    let mut short = World::of_class(LapseClass::B);
    short.site.evses[0].lease = Duration::from_secs(40);
    let (first, _) = short.keeps_sixteen(15, 60);
    assert!(first.is_some_and(|second| (9..=16).contains(&second)), "after {first:?} s");
}

#[test]
fn nobody_is_hung_up_on_while_nothing_is_overloaded_nor_where_that_lowers_nobody_sooner() {
    let (calm, told) = World::of_class(LapseClass::B).keeps_sixteen(9, 120);
    assert!(calm.is_none() && told.cars[0].disobeys, "25 A and no more: {calm:?}");
    for class in [LapseClass::A, LapseClass::C] {
        let (over, told) = World::of_class(class).keeps_sixteen(15, 120);
        assert!(over.is_none() && told.cars[0].disobeys, "{class:?}: {over:?}");
    }
}

#[test]
fn who_was_found_out_before_is_hung_up_on_as_soon_as_the_others_cannot_make_room() {
    let mut world = World::of_class(LapseClass::B);
    world.plug_in(1);
    world.run(60);
    assert_eq!(world.keeps_sixteen(1, 60).0, None);
    assert_eq!(world.amps(), [0, 7], "24 less 1 and 16");
    // 27 A flow, and the other one can still give way.
    world.house = [4; 3];
    world.takes(0, Amps::whole(16));
    let told = world.second();
    assert_eq!((told.hang_ups.len(), told.setpoints[1].amps), (0, Amps::ZERO));
    world.obey(&told, &[1]);
    assert_eq!(world.keeps_sixteen(4, 60).0, None);
    assert_eq!(world.keeps_sixteen(12, 5).0, Some(1), "28 A, and nobody else has anything");
}

#[test]
fn with_a_lost_meter_the_house_counts_at_its_stated_worst() {
    /// The meter falls silent while the left one keeps sixteen beside so much at worst; after how many seconds it is hung
    /// up on.
    fn silent(worst: i32) -> Option<u32> {
        let mut world = World::of_class(LapseClass::B);
        world.site.house_worst = PerPhase::all(Amps::whole(worst));
        (1..=300).find(|_| {
            world.now = world.now + Duration::from_secs(1);
            world.takes(0, Amps::whole(16));
            !world.step().hang_ups.is_empty()
        })
    }
    // Lost after 10 s, told its fallback, then nothing; three readings, each as old as the response.
    let first = silent(12);
    assert!(first.is_some_and(|second| (11..=30).contains(&second)), "28 A: after {first:?} s");
    let first = silent(15);
    assert!(first.is_some_and(|second| (140..=155).contains(&second)), "31 A: told on for as long, {first:?}");
    assert_eq!(silent(9), None, "25 A and no more, whatever the house does");
}

#[test]
fn it_counts_as_out_of_reach_and_after_its_lease_at_its_fallback_and_is_let_in_and_told_anew() {
    let mut world = World::of_class(LapseClass::B);
    let (_, hung_up) = world.keeps_sixteen(12, 30);
    let [HangUp { evse: EvseId(0), until }] = hung_up.hang_ups[..] else { panic!("{:?}", hung_up.hang_ups) };
    let (since, lease, response) = (world.now, Duration::from_secs(120), Duration::from_secs(4));
    assert!(until > since + lease + response, "{until:?} after {since:?}");
    world.seen.reports[0].link = Link::Down { since };
    world.takes(0, Amps::whole(16));
    let down = world.second();
    assert_eq!((down.setpoints[0].because, down.cars[0].counts), (Reason::Unreachable, Amps::whole(16)));
    while world.now < until {
        world.takes(0, Amps::whole(if world.now < since + lease { 16 } else { 6 }));
        let down = world.second();
        assert_eq!(down.hang_ups.is_empty(), world.now >= until, "at {:?}", world.now);
    }
    let down = world.second();
    assert_eq!((down.cars[0].counts, down.cars[0].disobeys), (Amps::whole(6), false));
    world.seen.reports[0].link = Link::Up { since: world.now };
    world.seen.reports[0].epoch += 1;
    world.takes(0, Amps::whole(6));
    let back = world.second();
    assert_eq!(back.orders.iter().map(|order| order.amps).collect::<Vec<_>>(), [Amps::whole(6)]);
    // It never hears, but has no more than its fallback: nothing would be won.
    world.house = [21; 3];
    for _ in 0..60 {
        world.takes(0, Amps::whole(6));
        assert!(world.second().hang_ups.is_empty());
    }
    // Above that it is hung up on again.
    assert!(world.keeps_sixteen(21, 180).0.is_some());
}

#[test]
fn without_a_meter_of_its_own_its_word_that_it_charges_is_enough_where_no_cut_has_shown() {
    let mut world = World::of_class(LapseClass::B);
    world.site.evses[0].metering = None;
    world.run(30);
    let charges = |world: &mut World, plug: Plug| {
        world.house = [12; 3];
        world.seen.reports[0].plug = plug;
        (0..60).any(|_| {
            world.takes(0, Amps::whole(16));
            !world.second().hang_ups.is_empty()
        })
    };
    assert!(charges(&mut world.clone(), Plug::Charging));
    assert!(!charges(&mut world, Plug::SuspendedEv), "its car says that it rests: the house is to blame");
}

#[test]
fn a_connection_that_nobody_closes_is_asked_for_again() {
    let mut world = World::of_class(LapseClass::B);
    let (first, told) = world.keeps_sixteen(12, 30);
    let until = told.hang_ups[0].until;
    assert!(first.is_some() && until > world.now);
    let again = (0..150).map(|_| world.keeps_sixteen(12, 1).1.hang_ups[0].until).find(|other| *other != until);
    assert!(again.is_some_and(|again| again > until && world.now == until), "{again:?} at {:?}", world.now);
}
