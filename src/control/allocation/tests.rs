//! Does the sharing do what it says, seen by hand?

#[path = "../../../tests/allocation/bare.rs"]
mod bare;

use super::*;
use crate::site::{CircuitId, Currents, Rotation, Site, Wiring};
use crate::units::{PerPhase, Phase};

/// Every second one on the main fuse, the others on the garage's below it.
fn site(evses: usize) -> Site {
    let mut site = bare::site(Wiring::Star);
    site.circuits.push(bare::circuit(Some(Site::ROOT)));
    site.evses.extend((0..evses).map(|i| bare::evse(CircuitId(i % 2), Rotation::three(Phase::ALL))));
    site
}

fn ask(evse: usize, tier: i8, weight: u32) -> Ask {
    Ask { tier, weight, ..Ask::plain(EvseId(evse), site(evse + 1).evse(EvseId(evse))) }
}

/// Shares so many amperes of the main fuse and of the garage's.
fn share(evses: usize, main: i32, garage: i32, queue: &[Ask]) -> Vec<Share> {
    let plan = Plan::new(&site(evses));
    let mut capacity = Capacity::unlimited(&plan);
    for (circuit, amps) in [(CircuitId(0), main), (CircuitId(1), garage)] {
        capacity.set_amps(circuit, PerPhase::all(Some(Amps::whole(amps))));
    }
    Allocation::default().share(&plan, &capacity, queue).to_vec()
}

fn amps(shares: &[Share]) -> Vec<i32> {
    shares.iter().map(|share| share.amps.as_milli() / 1000).collect()
}

#[test]
fn equals_share_equally_and_the_odd_ampere_goes_to_the_first() {
    assert_eq!(amps(&share(2, 21, 99, &[ask(0, 0, 1), ask(1, 0, 1)])), [11, 10]);
}

#[test]
fn a_higher_tier_is_filled_after_all_minimums() {
    let shares = share(2, 21, 99, &[ask(1, 6, 1), ask(0, -3, 1)]);
    assert_eq!(amps(&shares), [15, 6]);
    assert_eq!(shares[1].because, Reason::Circuit(CircuitId(0), Phase::L1));
}

#[test]
fn weights_share_within_a_tier() {
    assert_eq!(amps(&share(2, 21, 99, &[ask(0, 0, 2), ask(1, 0, 1)])), [14, 7]);
}

#[test]
fn six_amperes_or_nothing_and_the_admitted_set_is_maximal() {
    let big = Ask { least: Amps::whole(10), entry: Amps::whole(10), ..ask(0, 0, 1) };
    let shares = share(3, 13, 99, &[ask(2, 0, 1), big, ask(1, 0, 1)]);
    assert_eq!(amps(&shares), [7, 0, 6]);
    assert_eq!(shares[1].because, Reason::Waiting(CircuitId(0), Phase::L1));
}

#[test]
fn what_a_paused_car_needs_to_start_again_is_kept_for_it() {
    let paused = Ask { entry: Amps::whole(7), ..ask(1, 0, 1) };
    let high = Ask { tier: 6, ..ask(0, 6, 1) };
    assert_eq!(amps(&share(2, 22, 99, &[high, paused])), [15, 7]);
}

#[test]
fn one_full_row_does_not_stop_the_cars_beside_it() {
    // Two on the garage's 13 A, one directly on the main fuse.
    let queue = [ask(1, 0, 1), ask(3, 0, 1), ask(0, 0, 1)];
    assert_eq!(amps(&share(4, 40, 13, &queue)), [7, 6, 16]);
}

#[test]
fn without_room_nobody_gets_anything() {
    assert_eq!(amps(&share(2, -3, 99, &[ask(0, 0, 1), ask(1, 0, 1)])), [0, 0]);
}

#[test]
fn a_full_contract_and_the_grid_operator_hold_whom_they_concern_and_are_named() {
    let site = site(4);
    let plan = Plan::with(&site, |_| Addition::Arithmetic, &[vec![EvseId(2)]]);
    let mut capacity = Capacity::unlimited(&plan);
    // Three phases at 230 V: 690 W an ampere.
    capacity.set_watts(CircuitId(1), Some(690 * 20));
    capacity.set_watts_of_set(&plan, 0, Some(690 * 7 + 689));
    let queue = [ask(0, 0, 1), ask(1, 0, 1), ask(2, 0, 1), ask(3, 0, 1)];
    let mut allocation = Allocation::default();
    let shares = allocation.share(&plan, &capacity, &queue);
    assert_eq!(amps(shares), [16, 10, 7, 10]);
    let contract = Reason::Contract(CircuitId(1));
    assert_eq!([0, 1, 2, 3].map(|i: usize| shares[i].because), [Reason::Full, contract, Reason::Dso, contract]);
    capacity.set_watts(CircuitId(1), Some(690 * 11));
    let shares = allocation.share(&plan, &capacity, &queue);
    assert_eq!((amps(shares), shares[3].because), (vec![16, 11, 7, 0], contract));
}

#[test]
fn an_ampere_of_one_phase_takes_its_own_voltage_from_a_contract() {
    let plan = Plan::new(&site(2));
    let mut capacity = Capacity::unlimited(&plan);
    capacity.set_voltage(&plan, PerPhase([230_000, 200_000, 250_000]));
    capacity.set_watts(CircuitId(0), Some(2_000));
    let alone = |phase| Ask { phases: PhaseSet::one(phase), ..ask(0, 0, 1) };
    let mut allocation = Allocation::default();
    let of = Phase::ALL.map(|phase| allocation.share(&plan, &capacity, &[alone(phase)])[0].amps);
    assert_eq!(of, [8, 10, 8].map(Amps::whole));
}

#[test]
fn without_a_neutral_cars_on_different_lines_leave_each_other_room() {
    let site = Site { wiring: Wiring::Delta, ..site(2) };
    let between = |evse: usize, a, b| Ask { phases: PhaseSet::one(a).with(b), ..ask(evse, 0, 1) };
    let queue = [between(0, Phase::L1, Phase::L2), between(1, Phase::L3, Phase::L1)];
    let shares = |addition: Addition| {
        let plan = Plan::with(&site, |_| addition, &[]);
        let mut capacity = Capacity::unlimited(&plan);
        capacity.set_amps(CircuitId(0), PerPhase::all(Some(Amps::whole(20))));
        Allocation::default().share(&plan, &capacity, &queue).to_vec()
    };
    assert_eq!(amps(&shares(Addition::Arithmetic)), [10, 10]);
    // √(12² + 11² + 12 · 11) = 19.9 A on L1, which both use.
    assert_eq!(amps(&shares(Addition::Phasor)), [12, 11]);
    assert_eq!(shares(Addition::Phasor)[0].because, Reason::Circuit(CircuitId(0), Phase::L1));
}

#[test]
fn what_is_taken_is_missing_where_it_flows_and_can_be_given_back() {
    let site = Site { wiring: Wiring::Delta, ..site(2) };
    let (one, other) = (PhaseSet::one(Phase::L1).with(Phase::L2), PhaseSet::one(Phase::L3).with(Phase::L1));
    for (addition, left) in [(Addition::Arithmetic, 10_000), (Addition::Phasor, 13_027)] {
        let plan = Plan::with(&site, |_| addition, &[]);
        let mut capacity = Capacity::unlimited(&plan);
        assert_eq!(capacity.tightest(&plan, EvseId(0), one), None);
        capacity.set_amps(CircuitId(0), PerPhase::all(Some(Amps::whole(20))));
        capacity.take(&plan, EvseId(0), one, Amps::whole(10));
        let full = Reason::Circuit(CircuitId(0), Phase::L1);
        assert_eq!(capacity.tightest(&plan, EvseId(0), other), Some((Amps::milli(left), full)));
        capacity.take(&plan, EvseId(0), one, Amps::whole(15));
        assert_eq!(capacity.tightest(&plan, EvseId(0), one), Some((Amps::whole(-5), full)));
        capacity.take(&plan, EvseId(0), one, Amps::whole(-25));
        assert_eq!(capacity.tightest(&plan, EvseId(0), one), Some((Amps::whole(20), full)));
    }
}

#[test]
fn a_list_is_told_what_stands_in_it_and_leaves_the_rest_to_others() {
    let step = Step::List(Currents::new(&[6, 10, 16].map(Amps::whole)).unwrap());
    let queue = [Ask { step, ..ask(0, 0, 1) }, Ask { step: Step::Multiple(Amps::milli(100)), ..ask(1, 0, 1) }];
    let shares = share(2, 25, 99, &queue);
    assert_eq!(shares.iter().map(|share| share.amps.as_milli()).collect::<Vec<_>>(), [10_000, 15_000]);
}
