//! How is a scenario written down? As one TOML file: a site in a few lines, what happens, and what is expected.
//!
//! Times are seconds from the start, currents amperes; one number is the same on each phase. tests/scenarios has
//! examples of everything.

use super::file_action::{RawAction, wall};
use super::file_plant::{RawHouse, RawPlant, RawSky};
use super::script::Script;
use crate::policy::{Class, EvseRule, Mode, Policy, Principal, PrincipalRule, Token, normalise};
use crate::site::{
    Circuit, CircuitId, Evse, EvseId, LapseClass, Limits, MOST_LISTED, Meter, MeterId, Rotation, Site, Step, Tuning,
    Wiring,
};
use crate::time::Duration;
use crate::units::{Amps, PerPhase, Phase};
use serde::Deserialize;
use std::sync::Arc;

/// A scenario that is ready to run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub about: String,
    /// The site.
    pub site: Site,
    /// Who may charge.
    pub policy: Policy,
    /// What happens.
    pub script: Script,
    /// How long it runs.
    pub span: Duration,
    /// How much longer, until those have left who came before its end.
    pub after: Duration,
    /// What is expected, for whoever checks it.
    pub expect: Vec<toml::Table>,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// The first fault, for people: bad TOML, an unknown key, or a name that the site does not have.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|fault| fault.to_string())?;
        let site = file.site()?;
        let policy = file.policy(&site)?;
        let network = file.plant.network();
        let actions = file.at.iter().map(|entry| entry.action(&site, &policy, network));
        let mut actions = actions.collect::<Result<Vec<_>, String>>()?;
        actions.sort_by_key(|(at, _)| *at);
        let script = Script {
            actions,
            base: file.house.as_ref().map(|house| Arc::new(house.trace(file.plant.seed(), site.wiring))),
            solar: match &file.sky {
                Some(sky) => Some(Arc::new(sky.trace(file.plant.seed())?)),
                None => None,
            },
            sunny: site.wiring.phases(),
            network,
            ..file.plant.script()
        };
        Ok(Scenario {
            about: file.about,
            site,
            policy,
            script,
            span: seconds(file.until_s),
            after: Duration::ZERO,
            expect: file.expect,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    until_s: f64,
    #[serde(default)]
    plant: RawPlant,
    house: Option<RawHouse>,
    sky: Option<RawSky>,
    #[serde(default)]
    control: RawControl,
    wiring: Option<String>,
    #[serde(default)]
    house_worst_a: Currents,
    contract_kw: Option<f64>,
    dso_kw: Option<f64>,
    unbalance_a: Option<f64>,
    circuit: Vec<RawCircuit>,
    evse: Vec<RawEvse>,
    #[serde(default)]
    class: Vec<RawClass>,
    #[serde(default)]
    at: Vec<RawAction>,
    #[serde(default)]
    expect: Vec<toml::Table>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawControl {
    hold_s: Option<f64>,
    memory_s: Option<f64>,
    restart_s: Option<f64>,
    dwell_s: Option<f64>,
    ageing_s: Option<f64>,
    main_limit_percent: Option<u8>,
    mode: Option<Mode>,
    min_grid_a: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCircuit {
    id: String,
    parent: Option<String>,
    fuse_a: Currents,
    margin_a: Currents,
    #[serde(default)]
    other_load_a: Currents,
    meter_ms: Option<u64>,
    meter_step_a: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvse {
    id: String,
    circuit: Option<String>,
    rotation: Option<String>,
    most_a: Option<f64>,
    fallback_a: Option<f64>,
    step_a: Option<RawStep>,
    lease_s: Option<f64>,
    response_s: Option<f64>,
    lapse: Option<String>,
    metering_s: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawStep {
    Even(f64),
    Listed(Vec<f64>),
}

impl RawStep {
    fn step(&self) -> Result<Step, String> {
        match self {
            RawStep::Even(step) => Ok(Step::Multiple(amps(*step))),
            RawStep::Listed(list) => {
                let list: Vec<Amps> = list.iter().map(|listed| amps(*listed)).collect();
                crate::site::Currents::new(&list).map(Step::List).ok_or_else(|| {
                    format!("step_a: {} currents, not 1 to {MOST_LISTED} that rise from above zero", list.len())
                })
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    id: String,
    #[serde(default)]
    priority: i8,
    weight: Option<u32>,
    ceiling_a: Option<f64>,
    valid_until: Option<String>,
    mode: Option<Mode>,
    #[serde(default)]
    tokens: Vec<String>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(untagged)]
pub(super) enum Currents {
    #[default]
    None,
    Same(f64),
    Each([f64; 3]),
}

impl Currents {
    pub(super) fn per_phase(self, wiring: Wiring) -> PerPhase<Amps> {
        let each = match self {
            Currents::None => [0.0; 3],
            Currents::Same(same) => [same; 3],
            Currents::Each(each) => each,
        };
        PerPhase::from_fn(|phase| if wiring.phases().contains(phase) { amps(each[phase.index()]) } else { Amps::ZERO })
    }
}

impl File {
    fn site(&self) -> Result<Site, String> {
        let wiring = match self.wiring.as_deref() {
            None | Some("star") => Wiring::Star,
            Some("single") => Wiring::Single,
            Some("delta") => Wiring::Delta,
            Some(other) => return Err(format!("wiring `{other}`: single, star or delta")),
        };
        let mut site = Site {
            id: "scenario".into(),
            name: "Scenario".into(),
            wiring,
            primary: None,
            limits: Limits {
                contract: self.contract_kw.map(watts),
                dso: self.dso_kw.map(watts),
                unbalance: self.unbalance_a.map(amps),
            },
            house_worst: self.house_worst_a.per_phase(wiring),
            circuits: Vec::new(),
            evses: Vec::new(),
            meters: Vec::new(),
            tuning: self.tuning(),
        };
        for raw in &self.circuit {
            let circuit = CircuitId(site.circuits.len());
            let meter = raw.meter_ms.map(|interval| {
                site.meters.push(Meter {
                    id: raw.id.clone(),
                    circuit,
                    interval: Duration::from_millis(interval),
                    resolution: amps(raw.meter_step_a.unwrap_or(0.1)),
                });
                MeterId(site.meters.len() - 1)
            });
            let parent = raw.parent.as_deref().map(|parent| circuit_named(&site, parent)).transpose()?;
            site.circuits.push(Circuit {
                id: raw.id.clone(),
                name: raw.id.clone(),
                parent,
                limit: raw.fuse_a.per_phase(wiring),
                margin: raw.margin_a.per_phase(wiring),
                meter,
                other_load: raw.other_load_a.per_phase(wiring),
            });
        }
        for raw in &self.evse {
            let evse = raw.evse(&site)?;
            site.evses.push(evse);
        }
        Ok(site)
    }

    fn tuning(&self) -> Tuning {
        let usual = Tuning::default();
        let raw = &self.control;
        Tuning {
            hold: raw.hold_s.map_or(usual.hold, seconds),
            memory: raw.memory_s.map_or(usual.memory, seconds),
            restart: raw.restart_s.map_or(usual.restart, seconds),
            dwell: raw.dwell_s.map_or(usual.dwell, seconds),
            // Whoever states how long a turn lasts means it.
            usual_stay: raw.dwell_s.map_or(usual.usual_stay, |_| Duration::ZERO),
            ageing: match raw.ageing_s {
                None => usual.ageing,
                Some(span) => (span > 0.0).then(|| seconds(span)),
            },
            ..usual
        }
    }

    /// Without classes: open for all. With classes: the first is open to whoever plugs in without a token.
    fn policy(&self, site: &Site) -> Result<Policy, String> {
        let mut policy = Policy::open(site.evses.len());
        policy.main_limit_percent = self.control.main_limit_percent.unwrap_or(100);
        policy.rules.mode = self.control.mode.unwrap_or_default();
        policy.rules.min_grid = self.control.min_grid_a.map_or(Amps::ZERO, amps);
        if self.class.is_empty() {
            return Ok(policy);
        }
        policy.classes.clear();
        policy.unknown = None;
        policy.evses = vec![EvseRule { open: Some(0), plug_and_charge: None, ceiling: None }; site.evses.len()];
        for (index, raw) in self.class.iter().enumerate() {
            policy.classes.push(Class {
                id: raw.id.as_str().into(),
                priority: raw.priority,
                weight: raw.weight.unwrap_or(1),
                ceiling: raw.ceiling_a.map(amps),
                new_sessions: true,
            });
            policy.principals.push(Principal {
                id: raw.id.clone(),
                alias: None,
                class: index,
                evses: None,
                valid_until: raw.valid_until.as_deref().map_or(Ok(None), wall)?,
            });
            policy.rules.principals.push(PrincipalRule { mode: raw.mode, ..PrincipalRule::default() });
            let tokens = raw.tokens.iter().map(|uid| (normalise(uid), Token::of(index)));
            policy.tokens.extend(tokens);
        }
        Ok(policy)
    }
}

impl RawEvse {
    fn evse(&self, site: &Site) -> Result<Evse, String> {
        let rotation = match (self.rotation.as_deref(), site.wiring) {
            (Some(text), _) => Rotation::parse(text).ok_or(format!("rotation `{text}`: such as RST, or S"))?,
            (None, Wiring::Single) => Rotation::one(Phase::L1),
            (None, Wiring::Star | Wiring::Delta) => Rotation::three(Phase::ALL),
        };
        Ok(Evse {
            id: self.id.clone(),
            name: self.id.clone(),
            circuit: self.circuit.as_deref().map_or(Ok(Site::ROOT), |id| circuit_named(site, id))?,
            rotation,
            least: Amps::PILOT_LEAST,
            most: amps(self.most_a.unwrap_or(16.0)),
            fallback: amps(self.fallback_a.unwrap_or(6.0)),
            step: self.step_a.as_ref().map_or(Ok(Step::Multiple(Amps::whole(1))), RawStep::step)?,
            lease: seconds(self.lease_s.unwrap_or(60.0)),
            response: seconds(self.response_s.unwrap_or(6.0)),
            lapse: match self.lapse.as_deref() {
                None | Some("a") => LapseClass::A,
                Some("b") => LapseClass::B,
                Some("c") => LapseClass::C,
                Some(other) => return Err(format!("lapse `{other}`: a, b or c")),
            },
            metering: Some(self.metering_s.unwrap_or(2.0)).filter(|span| *span > 0.0).map(seconds),
        })
    }
}

pub(super) fn amps(amps: f64) -> Amps {
    Amps::from_f64(amps).unwrap_or_default()
}

fn watts(kilowatts: f64) -> i32 {
    (kilowatts * 1000.0) as i32
}

pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1000.0) as u64)
}

pub(super) fn circuit_named(site: &Site, id: &str) -> Result<CircuitId, String> {
    let index = site.circuits.iter().position(|circuit| circuit.id == id);
    index.map(CircuitId).ok_or(format!("no circuit `{id}` (parents come first)"))
}

pub(super) fn evse_named(site: &Site, id: &str) -> Result<EvseId, String> {
    site.evses.iter().position(|evse| evse.id == id).map(EvseId).ok_or(format!("no evse `{id}`"))
}

pub(super) fn one_of<T: Copy>(word: &str, kinds: &[(&str, T)]) -> Result<T, String> {
    let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    let found = kinds.iter().find(|(name, _)| *name == word);
    found.map(|(_, kind)| *kind).ok_or(format!("`{word}`: one of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::appliances::House;
    use crate::sim::car::Car;
    use crate::sim::charger::Network;
    use crate::sim::meter::Voice;
    use crate::sim::script::Action;
    use crate::sim::sky::{Sky, Weather};
    use crate::units::PhaseSet;

    const SMALL: &str = r#"
        about = "small"
        until_s = 10
        circuit = [{ id = "main", fuse_a = 25, margin_a = 1, meter_ms = 1000 }]
        evse = [{ id = "left", rotation = "S" }]
    "#;

    #[test]
    fn a_small_scenario_is_read() {
        let text = format!("{SMALL}\n[[at]]\nt = 2.5\narrive = 'left'\nphases = 1\n[[at]]\nt = 1\nload_a = [1, 2, 3]");
        let scenario = Scenario::parse(&text).unwrap();
        assert_eq!(scenario.site.evses[0].rotation, Rotation::one(Phase::L2));
        let [(first, Action::Load { amps, .. }), (second, Action::Arrive(EvseId(0), car))] =
            scenario.script.actions.as_slice()
        else {
            panic!("{:?}", scenario.script.actions)
        };
        assert_eq!((first.as_millis(), second.as_millis(), car.phases), (1_000, 2_500, 1));
        assert_eq!(amps[Phase::L3], Amps::whole(3));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (extra, fault) in [
            ("[[at]]\nt = 1\narrive = 'rihgt'", "no evse `rihgt`"),
            ("[[at]]\nt = 1", "exactly one thing"),
            ("[[at]]\nt = 1\nears = { left = 'hears' }", "one of heeds"),
            ("[[at]]\nt = 1\nsnu_w = 1", "unknown field"),
        ] {
            let found = Scenario::parse(&format!("{SMALL}\n{extra}")).unwrap_err();
            assert!(found.contains(fault), "{found}");
        }
    }

    #[test]
    fn what_cars_chargers_lines_and_meters_can_do_has_keys() {
        let text = format!(
            "{SMALL}
            [plant]
            pilot_pace_s = 5
            round_trip_ms = 400
            lost_permille = 20
            meter_jitter_ms = 300
            meter_lost_permille = 10
            [[at]]
            t = 1
            arrive = 'left'
            wants_kwh = 20
            taper_kwh = 6
            pauses_most = 5
            gives_up_drop_a = 4
            [[at]]
            t = 2
            network = 'left'
            jitter_ms = 2000
            answers_after_s = 60
            [[at]]
            t = 3
            reboot = 'left'
            over_s = 40
            [[at]]
            t = 4
            meter = {{ main = 'l2_turned' }}
            [[at]]
            t = 5
            meter = {{ main = 'l1_l3_swapped' }}"
        );
        let script = Scenario::parse(&text).unwrap().script;
        let ms = Duration::from_millis;
        assert_eq!((script.pilot_pace, script.meter_jitter, script.meter_lost_permille), (ms(5_000), ms(300), 10));
        let usual = Network { round_trip: ms(400), lost_permille: 20, ..Network::default() };
        assert_eq!(script.network, usual);
        let car = Car {
            wants_wh: Some(20_000),
            taper_wh: 6_000,
            pauses_most: Some(5),
            gives_up_drop: Some(Amps::whole(4)),
            ..Car::default()
        };
        let left = EvseId(0);
        let slow = Network { jitter: ms(2_000), answers_after: ms(60_000), ..usual };
        let wanted = [
            Action::Arrive(left, car),
            Action::Network(left, slow),
            Action::Reboot(left, ms(40_000)),
            Action::Voice(MeterId(0), Voice::Turned(PhaseSet::one(Phase::L2))),
            Action::Voice(MeterId(0), Voice::Swapped(Phase::L1, Phase::L3)),
        ];
        let found: Vec<Action> = script.actions.into_iter().map(|(_, action)| action).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_scenario_may_have_a_generated_house_and_sky() {
        let text = format!(
            "{SMALL}
[plant]
seed = 4
[house]
days = 2
kwh = 20
[sky]
kwp = 5
weather = 'clear'"
        );
        let script = Scenario::parse(&text).unwrap().script;
        let house = House { seed: 4, days: 2, wh_per_day: 20_000, ..House::default() };
        assert_eq!(script.base.as_deref(), Some(&house.trace()));
        let sky = Sky { seed: 4, watts_peak: 5_000, weather: Weather::Clear, ..Sky::default() };
        assert_eq!(script.solar.as_deref(), Some(&sky.trace()));
        let fault = Scenario::parse(&format!(
            "{SMALL}
[sky]
weather = 'fair'"
        ))
        .unwrap_err();
        assert!(fault.contains("one of clear, broken, overcast, mixed"), "{fault}");
    }
}
