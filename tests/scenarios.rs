//! Does control keep its promises at a whole site? Each file in tests/scenarios is a site, a story and what must hold.

#![allow(clippy::unwrap_used, reason = "a file that cannot be read is a failed test")]

#[path = "scenarios/expect.rs"]
mod expect;

use expect::Expect;
use headroom::sim::{Frame, Scenario, run};
use headroom::site::Site;
use headroom::units::Amps;
use std::path::{Path, PathBuf};

#[test]
fn a_house_step_lowers_just_the_cars_on_its_phase_and_in_the_same_step() {
    check("house-step");
}

#[test]
fn what_pending_cuts_will_still_remove_is_not_cut_twice() {
    check("slow-car");
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

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn check(name: &str) {
    let text = std::fs::read_to_string(folder().join(name).with_extension("toml")).unwrap();
    let scenario = Scenario::parse(&text).unwrap_or_else(|fault| panic!("{name}.toml: {fault}"));
    let mut faults = Vec::new();
    let mut trace = Trace::wanted();
    let mut expectations: Vec<Expect> =
        scenario.expect.iter().map(|table| Expect::read(table.clone(), &scenario.site)).collect();
    assert!(!expectations.is_empty(), "{name}.toml expects nothing");
    run(&scenario.site, &scenario.policy, &scenario.script, scenario.span, |frame| {
        trace.see(frame);
        faults.extend(never(frame, &scenario.site));
        expectations.iter_mut().for_each(|expectation| expectation.see(frame, &scenario.site));
    });
    faults.truncate(3);
    faults.extend(expectations.iter().filter_map(Expect::fault));
    assert!(faults.is_empty(), "{name}: {}\n{}", scenario.about, faults.join("\n"));
}

/// What no decision may do, in any scenario.
fn never(frame: &Frame<'_>, site: &Site) -> Option<String> {
    let at = frame.plant.now().as_millis() as f64 / 1000.0;
    let wrong_setpoint = frame.decision.setpoints.iter().zip(&site.evses).find(|(setpoint, evse)| {
        let may = setpoint.amps == Amps::ZERO || (evse.least..=evse.most).contains(&setpoint.amps);
        !may || setpoint.because.code() == "breach"
    });
    let wrong_order = frame.orders.iter().find(|order| order.fallback > site.evse(order.evse).fallback);
    wrong_setpoint
        .map(|(setpoint, evse)| {
            format!("at {at} s: {} is told {} ({})", evse.id, setpoint.amps, setpoint.because.code())
        })
        .or_else(|| wrong_order.map(|order| format!("at {at} s: {order:?} falls back above the fallback")))
}

/// Prints what changes, where the environment says `TRACE=1` (and the test is run with `--nocapture`).
struct Trace {
    is_wanted: bool,
    last: String,
}

impl Trace {
    fn wanted() -> Self {
        Trace { is_wanted: std::env::var_os("TRACE").is_some(), last: String::new() }
    }

    fn see(&mut self, frame: &Frame<'_>) {
        if !self.is_wanted {
            return;
        }
        let told = frame.decision.setpoints.iter().map(|told| format!("{} {}", told.amps, told.because.code()));
        let told = told.collect::<Vec<_>>().join(", ");
        if told != self.last {
            let load = frame.plant.load(Site::ROOT).0.map(|amps| amps.to_string()).join(", ");
            println!("{:8.1} s  load {load}  told {told}", frame.plant.now().as_millis() as f64 / 1000.0);
            self.last = told;
        }
    }
}
