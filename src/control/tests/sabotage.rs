//! Would the suite see a bug? Each one let in must be caught by the property or scenario that is there for it.

use super::super::sabotage::{Bug, with};
use crate::sim::run;
use judge::{Judge, Point};
use std::ops::Range;

#[allow(dead_code, reason = "the suite uses all of it")]
#[path = "../../../tests/properties/day.rs"]
mod day;
#[path = "../../../tests/properties/dice.rs"]
mod dice;
#[path = "../../../tests/scenarios/expect.rs"]
mod expect;
#[path = "../../../tests/properties/judge.rs"]
mod judge;
#[path = "../../../tests/scenarios/stage.rs"]
mod stage;

/// Days that are tried until one shows the bug.
const DAYS: Range<u64> = 0..120;

/// The scenario stands without the bug, and not with it.
fn scenario_catches(bug: Bug, name: &str) {
    assert_eq!(with(None, || stage::faults(name).1), Vec::<String>::new(), "{name} without it");
    assert_ne!(with(Some(bug), || stage::faults(name).1), Vec::<String>::new(), "{name} does not see {bug:?}");
}

/// Some day shows the bug by a breach of this promise, and without the bug does not.
fn days_catch(bug: Bug, point: Point) {
    let caught = DAYS.into_iter().find(|seed| with(Some(bug), || breaks(*seed, point)));
    let Some(seed) = caught else { panic!("{point:?} does not see {bug:?} on any of {DAYS:?}") };
    assert!(!with(None, || breaks(seed, point)), "SEED={seed} breaks {point:?} without {bug:?}");
}

fn breaks(seed: u64, point: Point) -> bool {
    let day = day::day(seed);
    let mut judge = Judge::new(&day);
    run(&day.site, &day.policy, &day.script, day::SPAN, |frame| judge.see(frame));
    judge.faults.iter().any(|(broken, _)| *broken == point)
}

#[test]
fn a_cut_that_is_held_back_is_caught() {
    days_catch(Bug::CutHeldBack, Point::AtOnce);
}

#[test]
fn a_hold_that_is_ignored_is_caught() {
    days_catch(Bug::NoHold, Point::Holds);
}

#[test]
fn a_raise_before_its_cut_is_caught() {
    scenario_catches(Bug::RaiseBeforeCut, "ignores-at-rest");
}

#[test]
fn a_missing_value_taken_for_zero_is_caught() {
    scenario_catches(Bug::MissingIsZero, "meter-not-a-number");
}

#[test]
fn a_lost_meter_that_is_ignored_is_caught() {
    days_catch(Bug::LostIgnored, Point::FallsBack);
    scenario_catches(Bug::LostIgnored, "meter-lost");
}

#[test]
fn a_frozen_meter_that_is_ignored_is_caught() {
    scenario_catches(Bug::FrozenIgnored, "meter-frozen");
}

#[test]
fn a_meter_that_is_never_tried_is_caught() {
    scenario_catches(Bug::NeverTried, "meter-frozen-quiet");
}

#[test]
fn a_wrongly_wired_meter_that_is_believed_is_caught() {
    scenario_catches(Bug::WiringBelieved, "meter-turned");
}

#[test]
fn a_lease_renewed_without_a_healthy_step_is_caught() {
    days_catch(Bug::RenewedWhileLost, Point::FallsBack);
}

#[test]
fn an_accepted_limit_taken_for_proven_is_caught() {
    scenario_catches(Bug::AcceptedIsProof, "ignores-at-rest");
}

#[test]
fn a_pending_cut_that_is_credited_twice_is_caught() {
    scenario_catches(Bug::PendingTwice, "pending-once");
}

#[test]
fn a_pending_cut_that_is_made_again_is_caught() {
    scenario_catches(Bug::PendingIgnored, "slow-car");
    scenario_catches(Bug::PendingIgnored, "pending-once");
}

#[test]
fn an_admission_by_input_order_is_caught() {
    scenario_catches(Bug::InputOrder, "turns-in-order");
}

#[test]
fn lower_priorities_before_higher_ones_are_caught() {
    scenario_catches(Bug::LowestFirst, "guest-yields");
}

#[test]
fn a_fallback_that_is_forgotten_is_caught() {
    scenario_catches(Bug::FallbackForgotten, "deaf-at-zero");
}

#[test]
fn phases_taken_for_others_are_caught() {
    scenario_catches(Bug::RotationSwapped, "one-pause");
}

#[test]
fn a_margin_that_is_used_up_is_caught() {
    scenario_catches(Bug::NoMargin, "house-step");
}

#[test]
fn a_raise_without_room_and_without_a_check_is_caught() {
    days_catch(Bug::RaiseUnchecked, Point::GoneInTime);
}

#[test]
fn turns_that_never_change_are_caught() {
    scenario_catches(Bug::NoTurns, "turns-little-room");
}

#[test]
fn raises_by_a_stale_meter_are_caught() {
    days_catch(Bug::StaleRaises, Point::Holds);
}

#[test]
fn a_charger_that_is_not_told_anew_is_caught() {
    scenario_catches(Bug::BootForgotten, "reboot-paused");
}

#[test]
fn a_charger_that_is_believed_what_it_does_not_do_is_caught() {
    scenario_catches(Bug::LiarBelieved, "ignores");
}

#[test]
fn a_charger_that_keeps_its_connection_whatever_its_circuit_carries_is_caught() {
    scenario_catches(Bug::NeverHangsUp, "ignores-for-ever");
}

#[test]
fn an_assumed_draw_that_is_given_out_twice_is_caught() {
    scenario_catches(Bug::AssumedTwice, "meter-frozen-assumed");
}

#[test]
fn a_late_meter_that_lowers_nobody_is_caught() {
    scenario_catches(Bug::LateIgnored, "meter-late");
}

#[test]
fn phases_taken_for_evenly_loaded_are_caught() {
    scenario_catches(Bug::EvenlyLoaded, "unbalance");
}
