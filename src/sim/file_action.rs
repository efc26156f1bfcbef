//! How is written down what happens in a scenario? One entry for each thing, with the keys that go with it.

use super::car::Car;
use super::charger::{Ears, Network};
use super::file::{Currents, amps, circuit_named, evse_named, one_of, seconds};
use super::meter::Voice;
use super::script::Action;
use crate::policy::{Mode, Policy, Verdict, normalise};
use crate::site::{MeterId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Phase, PhaseSet};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Exactly one of the keys that say what happens; the others go with it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RawAction {
    t: f64,
    load_a: Option<Currents>,
    circuit: Option<String>,
    sun_w: Option<i32>,
    over_s: f64,
    arrive: Option<String>,
    phases: Option<usize>,
    least_a: Option<f64>,
    most_a: Option<f64>,
    lag_s: Option<f64>,
    start_s: Option<f64>,
    offset_a: Option<f64>,
    up_a: Option<f64>,
    down_a: Option<f64>,
    wants_kwh: Option<f64>,
    taper_kwh: Option<f64>,
    trickle_a: Option<f64>,
    pauses_most: Option<u32>,
    gives_up_drop_a: Option<f64>,
    token: Option<String>,
    leave: Option<String>,
    ears: BTreeMap<String, String>,
    link: BTreeMap<String, String>,
    network: Option<String>,
    round_trip_ms: Option<u64>,
    jitter_ms: Option<u64>,
    lost_permille: Option<u32>,
    answers_after_s: Option<f64>,
    reboot: Option<String>,
    meter: BTreeMap<String, String>,
    gateway: Option<String>,
    clock: Option<String>,
    cloud: Option<String>,
    policy: Option<RawPolicy>,
}

/// What another policy changes of the first.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawPolicy {
    main_limit_percent: Option<u8>,
    mode: Option<Mode>,
    /// Cards.
    blocked: Vec<String>,
}

impl RawAction {
    /// What happens, and when; `first` and `network` are the policy and what all chargers have from the start.
    pub fn action(&self, site: &Site, first: &Policy, network: Network) -> Result<(Moment, Action), String> {
        let over = seconds(self.over_s);
        let mut found = Vec::new();
        if let Some(load) = self.load_a {
            let circuit = self.circuit.as_deref().map_or(Ok(Site::ROOT), |id| circuit_named(site, id))?;
            found.push(Action::Load { circuit, amps: load.per_phase(site.wiring), over });
        }
        found.extend(self.sun_w.map(|watts| Action::Sun { watts, over }));
        if let Some(evse) = &self.arrive {
            found.push(Action::Arrive(evse_named(site, evse)?, self.car()));
        }
        if let Some(evse) = &self.leave {
            found.push(Action::Leave(evse_named(site, evse)?));
        }
        for (evse, ears) in &self.ears {
            let kinds =
                [("heeds", Ears::Heeds), ("ignores", Ears::Ignores), ("refuses", Ears::Refuses), ("deaf", Ears::Deaf)];
            found.push(Action::Ears(evse_named(site, evse)?, one_of(ears, &kinds)?));
        }
        for (evse, link) in &self.link {
            found.push(Action::Link(evse_named(site, evse)?, one_of(link, &[("up", true), ("down", false)])?));
        }
        if let Some(evse) = &self.network {
            found.push(Action::Network(evse_named(site, evse)?, self.network(network)));
        }
        if let Some(evse) = &self.reboot {
            found.push(Action::Reboot(evse_named(site, evse)?, over));
        }
        for (meter, voice) in &self.meter {
            let index = site.meters.iter().position(|known| known.id == *meter);
            let id = MeterId(index.ok_or(format!("no circuit `{meter}` with a meter"))?);
            found.push(Action::Voice(id, one_of(voice, &voices())?));
        }
        if let Some(gateway) = &self.gateway {
            found.push(Action::Gateway(one_of(gateway, &[("alive", true), ("dead", false)])?));
        }
        if let Some(clock) = &self.clock {
            found.push(Action::TimeOfDay(wall(clock)?));
        }
        if let Some(cloud) = &self.cloud {
            found.push(Action::Cloud(one_of(cloud, &[("up", true), ("down", false)])?));
        }
        if let Some(policy) = &self.policy {
            found.push(Action::Policy(Arc::new(policy.after(first)?)));
        }
        match found.pop() {
            Some(action) if found.is_empty() => Ok((Moment::START + seconds(self.t), action)),
            _ => Err(format!("at {} s: exactly one thing may happen in an entry", self.t)),
        }
    }

    fn car(&self) -> Car {
        let usual = Car::default();
        let watt_hours = |kwh: f64| (kwh * 1000.0) as i64;
        Car {
            phases: self.phases.unwrap_or(usual.phases),
            least: self.least_a.map_or(usual.least, amps),
            most: self.most_a.map_or(usual.most, amps),
            lag: self.lag_s.map_or(usual.lag, seconds),
            start: self.start_s.map_or(usual.start, seconds),
            offset: self.offset_a.map_or(usual.offset, amps),
            up: self.up_a.map_or(usual.up, amps),
            down: self.down_a.map_or(usual.down, amps),
            wants_wh: self.wants_kwh.map(watt_hours),
            taper_wh: self.taper_kwh.map_or(usual.taper_wh, watt_hours),
            trickle: self.trickle_a.map_or(usual.trickle, amps),
            pauses_most: self.pauses_most,
            gives_up_drop: self.gives_up_drop_a.map(amps),
            token: self.token.clone(),
            ..usual
        }
    }

    fn network(&self, usual: Network) -> Network {
        Network {
            round_trip: self.round_trip_ms.map_or(usual.round_trip, Duration::from_millis),
            jitter: self.jitter_ms.map_or(usual.jitter, Duration::from_millis),
            lost_permille: self.lost_permille.unwrap_or(usual.lost_permille),
            answers_after: self.answers_after_s.map_or(usual.answers_after, seconds),
        }
    }
}

impl RawPolicy {
    fn after(&self, first: &Policy) -> Result<Policy, String> {
        let mut policy = first.clone();
        policy.main_limit_percent = self.main_limit_percent.unwrap_or(policy.main_limit_percent);
        policy.rules.mode = self.mode.unwrap_or(policy.rules.mode);
        for card in &self.blocked {
            let token = policy.tokens.get_mut(&normalise(card)).ok_or(format!("no class has the token `{card}`"))?;
            token.status = Verdict::Blocked;
        }
        Ok(policy)
    }
}

/// A time of day, or `unknown`.
pub(super) fn wall(text: &str) -> Result<Option<DateTime<Utc>>, String> {
    match text {
        "unknown" => Ok(None),
        _ => text.parse().map(Some).map_err(|fault| format!("`{text}`: {fault}; such as 2026-11-21T18:00:00Z")),
    }
}

fn voices() -> [(&'static str, Voice); 12] {
    [
        ("clear", Voice::Clear),
        ("silent", Voice::Silent),
        ("not_a_number", Voice::NotANumber),
        ("frozen", Voice::Frozen),
        ("turned", Voice::Turned(PhaseSet::ALL)),
        ("l1_turned", Voice::Turned(PhaseSet::one(Phase::L1))),
        ("l2_turned", Voice::Turned(PhaseSet::one(Phase::L2))),
        ("l3_turned", Voice::Turned(PhaseSet::one(Phase::L3))),
        ("l1_l2_swapped", Voice::Swapped(Phase::L1, Phase::L2)),
        ("l2_l3_swapped", Voice::Swapped(Phase::L2, Phase::L3)),
        ("l1_l3_swapped", Voice::Swapped(Phase::L1, Phase::L3)),
        ("spikes", Voice::Spikes),
    ]
}
