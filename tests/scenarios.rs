//! Does control keep its promises at a whole site? Each file in tests/scenarios is a site, a story and what must hold.

#![allow(clippy::unwrap_used, reason = "a file that cannot be read is a failed test")]

#[path = "scenarios/expect.rs"]
mod expect;
#[path = "scenarios/stage.rs"]
mod stage;

use stage::{faults, folder};

#[test]
fn a_house_step_lowers_just_the_cars_on_its_phase_and_in_the_same_step() {
    check("house-step");
}

#[test]
fn what_pending_cuts_will_still_remove_is_not_cut_twice() {
    check("slow-car");
}

#[test]
fn what_pending_cuts_will_still_remove_is_credited_once_and_all_beyond_it_is_cut_at_once() {
    check("pending-once");
}

#[test]
fn nothing_is_granted_twice_at_a_common_start() {
    check("common-start");
}

#[test]
fn the_others_make_room_for_a_charger_that_accepts_and_ignores() {
    check("ignores");
}

#[test]
fn a_charger_that_ignores_for_ever_is_hung_up_on_and_falls_back() {
    check("ignores-for-ever");
}

#[test]
fn a_charger_that_ignores_while_the_meter_is_lost_is_hung_up_on_too() {
    check("ignores-unseen");
}

#[test]
fn a_charger_out_of_reach_counts_at_its_last_limit_and_after_the_lease_at_its_fallback() {
    check("link-down");
}

#[test]
fn a_lost_meter_means_fallback_until_ten_good_samples() {
    check("meter-lost");
}

#[test]
fn words_that_are_not_available_are_no_sample_and_never_zero() {
    check("meter-not-a-number");
}

#[test]
fn start_up_is_like_a_lost_meter() {
    check("start-up");
}

#[test]
fn a_guest_yields_to_a_resident() {
    check("guest-yields");
}

#[test]
fn where_not_all_minimums_fit_cars_take_turns() {
    check("turns");
}

#[test]
fn a_circuit_below_the_main_fuse_binds_first() {
    check("nested-circuit");
}

#[test]
fn a_stale_meter_raises_nobody() {
    check("meter-stale");
}

#[test]
fn a_single_phase_site_shares_its_one_phase() {
    check("single-phase");
}

#[test]
fn a_charger_that_has_booted_is_told_anew() {
    check("reboot");
}

#[test]
fn a_cut_waits_for_pilots_that_keep_their_pace_and_is_not_made_twice() {
    check("slow-pilot");
}

#[test]
fn on_a_bad_line_what_was_lost_is_told_again() {
    check("bad-line");
}

#[test]
fn without_a_neutral_cars_between_lines_keep_within_each_lines_fuse() {
    check("delta");
}

#[test]
fn what_is_contracted_holds_for_house_and_cars_together_net_of_the_sun() {
    check("contract");
}

#[test]
fn what_the_grid_operator_leaves_holds_for_the_cars_whatever_the_house_takes() {
    check("dso-limit");
}

#[test]
fn leases_run_out_when_the_gateway_is_dead() {
    check("gateway-dead");
}

#[test]
fn a_cloud_over_the_roof_is_a_house_step_like_any_other() {
    check("cloud-passes");
}

#[test]
fn the_policys_ceiling_holds_and_its_reason_is_told() {
    check("ceiling");
}

#[test]
fn a_busy_house_is_balanced_without_overload_from_cars_that_could_give_way() {
    check("busy-house");
}

#[test]
fn a_turned_phase_rotation_frees_the_phase_that_is_full() {
    check("rotation");
}

#[test]
fn one_pause_makes_room_and_does_not_draw_the_other_car_after_it() {
    check("one-pause");
}

#[test]
fn a_meter_that_repeats_itself_while_cars_move_is_lost() {
    check("meter-frozen");
}

#[test]
fn what_a_charger_that_ignores_may_still_give_is_kept_free_while_its_car_rests() {
    check("ignores-at-rest");
}

#[test]
fn nobody_rises_on_what_a_deaf_charger_falls_back_to() {
    check("deaf-at-zero");
}

#[test]
fn a_paused_charger_that_has_booted_is_paused_again_at_once() {
    check("reboot-paused");
}

#[test]
fn the_order_of_the_file_is_nobodys_right() {
    check("turns-in-order");
}

#[test]
fn an_absurd_sample_overloads_nothing() {
    check("meter-spikes");
}

#[test]
fn an_inverter_that_sleeps_changes_nothing() {
    check("inverter-asleep");
}

#[test]
fn a_charger_that_answers_late_delays_nobody() {
    check("slow-answers");
}

#[test]
fn what_swings_is_kept_free() {
    check("battery-swings");
}

#[test]
fn turns_come_round_where_little_room_is_left() {
    check("turns-little-room");
}

#[test]
fn a_frozen_meter_is_found_out_though_no_car_moves() {
    check("meter-frozen-unmoved");
}

#[test]
fn a_meter_that_always_says_the_same_is_tried_rarely_and_found_out_when_it_freezes() {
    check("meter-frozen-quiet");
}

#[test]
fn a_meter_that_never_says_the_same_twice_is_found_out_though_no_car_can_be_lowered() {
    check("meter-frozen-untried");
}

#[test]
fn a_frozen_meter_that_was_found_out_stays_so_through_a_gap() {
    check("meter-frozen-gap");
}

#[test]
fn a_transformer_put_in_the_wrong_way_round_is_found_out() {
    check("meter-turned");
}

#[test]
fn exchanged_phases_are_found_out_and_taken_back_when_they_have_been_set_right() {
    check("meter-swapped");
}

#[test]
fn every_scenario_has_its_test() {
    let here = std::fs::read_to_string(folder().with_extension("rs")).unwrap();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(here.contains(&format!("check(\"{name}\")")), "nothing runs {name}.toml");
        }
    }
}

fn check(name: &str) {
    let (about, faults) = faults(name);
    assert!(faults.is_empty(), "{name}: {about}\n{}", faults.join("\n"));
}

#[test]
fn what_one_phase_carries_more_than_another_is_kept_to_and_holds_no_protective_cut() {
    check("unbalance");
}

#[test]
fn a_late_meter_leaves_cars_no_more_than_the_quickest_breaker_bears() {
    check("meter-late");
}

#[test]
fn what_cars_are_only_assumed_to_take_is_given_out_once() {
    check("meter-frozen-assumed");
}

#[test]
fn what_a_charger_of_few_currents_cannot_use_goes_to_others() {
    check("listed-steps");
}

#[test]
fn a_clock_that_steps_moves_no_current_and_ends_what_is_known_to_be_over() {
    check("clock-steps");
}

#[test]
fn the_last_policy_that_came_holds_while_the_cloud_is_away() {
    check("cloud-policy");
}

#[test]
fn cars_are_given_what_the_quickest_breaker_bears_beside_the_house_at_its_worst() {
    check("slow-meter-worst");
}

#[test]
fn a_solar_car_starts_follows_and_stops_by_the_sun_and_takes_no_more_from_the_grid_than_that_takes() {
    check("solar");
}

#[test]
fn an_eco_car_has_its_least_and_shares_the_sun_beyond_it() {
    check("eco");
}
