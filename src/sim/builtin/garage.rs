//! What is a garage like where all come home at once? 60 EVSEs, three tiers, room for 40 % of the minimums.

use crate::control::observation::Need;
use crate::policy::{Class, Policy, Principal, Token, normalise};
use crate::sim::dice::scramble;
use crate::sim::{Action, Car, Scenario, Script};
use crate::site::{Circuit, Evse, EvseId, LapseClass, Meter, MeterId, Rotation, Site, Step, Tuning, Wiring};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};

/// Places in the garage.
const EVSES: usize = 60;
/// So many minimums fit beside the margin on each phase: 40 % of all.
const FITTING: i32 = 24;
/// Tiers, the first of those who pay for it, the last of guests. They lie closer than waiting adds: nobody starves.
const TIERS: [(&str, i8); 3] = [("owners", 1), ("tenants", 0), ("guests", -1)];
/// One day, from noon on.
const SPAN: Duration = Duration::from_secs(86_400);
/// From here on they come, all within [`WITHIN`]: five in the afternoon.
const FIRST: Duration = Duration::from_secs(5 * 3_600);
const WITHIN: u64 = 4 * 3_600_000;
/// They leave in the morning, from six on, all within two hours.
const LEAVE: Duration = Duration::from_secs(18 * 3_600);
const LEAVE_WITHIN: u64 = 2 * 3_600_000;

/// A day from noon to noon. `seed` chooses who comes and leaves when, and how empty he is.
pub fn garage(seed: u64) -> Scenario {
    let site = site();
    let mut policy = Policy::open(EVSES);
    policy.classes.clear();
    for (class, (id, priority)) in TIERS.into_iter().enumerate() {
        let id = id.to_owned();
        policy.classes.push(Class { id: id.as_str().into(), priority, weight: 1, ceiling: None, new_sessions: true });
        policy.tokens.insert(normalise(&id), Token::of(class));
        policy.principals.push(Principal { id, alias: None, class, evses: None, valid_until: None });
    }
    let mut actions = Vec::new();
    for index in 0..EVSES {
        let below = |key: u64, most: u64| scramble(scramble(seed ^ key << 32) ^ index as u64) % most;
        let car = Car {
            wants_wh: Some(8_000 + below(3, 40_000) as i64),
            token: Some(TIERS[index % TIERS.len()].0.to_owned()),
            told: Need::default(),
            ..Car::default()
        };
        let comes = Moment::START + FIRST + Duration::from_millis(below(1, WITHIN));
        let leaves = Moment::START + LEAVE + Duration::from_millis(below(2, LEAVE_WITHIN));
        actions.push((comes, Action::Arrive(EvseId(index), car)));
        actions.push((leaves, Action::Leave(EvseId(index))));
    }
    actions.sort_by_key(|(at, _)| *at);
    Scenario {
        about: "60 EVSEs, three tiers, room for 40 % of the minimums".into(),
        site,
        policy,
        script: Script { actions, seed, charger_step: Amps::whole(1), ..Script::default() },
        span: SPAN,
        after: Duration::ZERO,
        expect: Vec::new(),
    }
}

fn site() -> Site {
    let margin = Amps::milli(3_000);
    let fuse = Amps::PILOT_LEAST.scaled(i64::from(FITTING), 1) + margin;
    let evse = |index: usize| Evse {
        id: format!("place-{:02}", index + 1),
        name: format!("Place {}", index + 1),
        circuit: Site::ROOT,
        rotation: Rotation::three(Phase::ALL),
        least: Amps::PILOT_LEAST,
        most: Amps::whole(16),
        fallback: Amps::ZERO,
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(6),
        lapse: LapseClass::A,
        metering: Some(Duration::from_secs(5)),
    };
    Site {
        id: "garage".into(),
        name: "Garage".into(),
        wiring: Wiring::Star,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::default(),
        circuits: vec![Circuit {
            id: "main".into(),
            name: "Main".into(),
            parent: None,
            limit: PerPhase::all(fuse),
            margin: PerPhase::all(margin),
            meter: Some(MeterId(0)),
            other_load: PerPhase::default(),
        }],
        evses: (0..EVSES).map(evse).collect(),
        meters: vec![Meter {
            id: "grid".into(),
            circuit: Site::ROOT,
            interval: Duration::from_secs(1),
            resolution: Amps::milli(100),
        }],
        tuning: Tuning::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_five_minimums_fit_and_each_tier_has_a_third_of_the_places() {
        let scenario = garage(1);
        let main = &scenario.site.circuits[0];
        let room = main.limit[Phase::L1] - main.margin[Phase::L1];
        assert_eq!(room, Amps::PILOT_LEAST.scaled(EVSES as i64 * 2, 5));
        let arrivals = scenario.script.actions.iter().filter_map(|(_, action)| match action {
            Action::Arrive(evse, car) => Some(scenario.policy.entitlement(*evse, car.token.as_deref(), None).priority),
            _ => None,
        });
        let mut count = [0; 3];
        arrivals.for_each(|priority| count[(priority + 1) as usize] += 1);
        assert_eq!(count, [20, 20, 20]);
        assert_ne!(garage(2).script.actions, scenario.script.actions);
        assert_eq!(garage(1).script.actions, scenario.script.actions);
    }
}
