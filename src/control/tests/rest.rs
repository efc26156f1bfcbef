//! When does a car start again that was paused?

use super::*;

/// A car that has charged for ten minutes in a quiet house.
fn charging() -> World {
    let mut world = World::new();
    world.plug_in(0);
    world.run(600);
    assert_eq!(world.amps()[0], 16);
    world
}

/// Something on L1 leaves a car no room for the first 25 s of each minute. How often the car starts in these minutes.
fn cycle(world: &mut World, minutes: u32) -> u32 {
    let mut starts = 0;
    for second in 0..minutes * 60 {
        world.house[0] = if second % 60 < 25 { 22 } else { 3 };
        let before = world.amps()[0];
        world.run(1);
        starts += u32::from(before == 0 && world.amps()[0] > 0);
    }
    world.house[0] = 3;
    starts
}

/// Seconds until it has current again.
fn wait(world: &mut World) -> u32 {
    (1..4_000).find(|_| world.run(1).setpoints[0].amps.is_positive()).expect("it starts again")
}

#[test]
fn after_a_single_load_it_starts_within_two_minutes() {
    let mut world = charging();
    world.house[0] = 22;
    world.run(60);
    assert_eq!(world.amps()[0], 0);
    world.house[0] = 3;
    assert!(wait(&mut world) < 30, "it has rested already");
}

#[test]
fn a_car_that_came_at_a_bad_moment_was_not_started_in_vain() {
    let mut world = World::new();
    world.plug_in(0);
    world.run(30);
    world.house[0] = 22;
    world.run(60);
    assert_eq!(world.amps()[0], 0);
    world.house[0] = 3;
    assert!(wait(&mut world) < 30);
}

#[test]
fn started_in_vain_it_waits_until_the_house_has_left_room_for_three_minutes() {
    let mut world = charging();
    assert_eq!(cycle(&mut world, 20), 1, "one start in vain is enough");
    let decision = world.run(1);
    assert_eq!(decision.setpoints[0].because, Reason::Resting, "there is room, but there was none a minute ago");
    let waited = wait(&mut world);
    // The load has been gone for 35 s; peaks are kept in spans of 2 s.
    assert!((140..=150).contains(&waited), "{waited}");
    world.run(600);
    assert_eq!(world.amps()[0], 16);
}

#[test]
fn where_the_house_is_never_quiet_it_is_tried_once_an_hour() {
    let mut world = charging();
    let starts = cycle(&mut world, 240);
    assert!((3..=5).contains(&starts), "{starts}");
}

#[test]
fn what_the_house_takes_on_other_phases_keeps_no_car_waiting() {
    let mut world = charging();
    world.plug_in(1);
    world.run(400);
    cycle(&mut world, 10);
    assert_eq!(world.amps(), [0, 16], "the other is on L2 alone");
}
