//! How is a scenario written down? As one TOML file: a site in a few lines, what happens, and what is expected.
//!
//! Times are seconds from the start, currents amperes; one number is the same on each phase. tests/scenarios has
//! examples of everything.

use super::car::Car;
use super::charger::Ears;
use super::meter::Voice;
use super::script::{Action, Script};
use crate::policy::{Class, EvseRule, Policy, Principal, Token, normalise};
use crate::site::{Circuit, CircuitId, Evse, EvseId, LapseClass, Meter, MeterId, Rotation, Site, Tuning, Wiring};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};
use serde::Deserialize;
use std::collections::BTreeMap;

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
        let mut actions = file.at.iter().map(|entry| entry.action(&site)).collect::<Result<Vec<_>, String>>()?;
        actions.sort_by_key(|(at, _)| *at);
        let script = Script {
            actions,
            base: None,
            solar: None,
            noise: amps(file.plant.noise_a),
            seed: file.plant.seed,
            sunny: site.wiring.phases(),
            charger_step: amps(file.plant.charger_step_a),
            meter_latency: Duration::from_millis(file.plant.meter_latency_ms),
        };
        Ok(Scenario { about: file.about, site, policy, script, span: seconds(file.until_s), expect: file.expect })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    until_s: f64,
    #[serde(default)]
    plant: RawPlant,
    #[serde(default)]
    control: RawControl,
    wiring: Option<String>,
    #[serde(default)]
    house_worst_a: Currents,
    circuit: Vec<RawCircuit>,
    evse: Vec<RawEvse>,
    #[serde(default)]
    class: Vec<RawClass>,
    #[serde(default)]
    at: Vec<RawAction>,
    #[serde(default)]
    expect: Vec<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPlant {
    seed: u64,
    noise_a: f64,
    charger_step_a: f64,
    meter_latency_ms: u64,
}

impl Default for RawPlant {
    fn default() -> Self {
        RawPlant { seed: 1, noise_a: 0.0, charger_step_a: 0.1, meter_latency_ms: 100 }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawControl {
    hold_s: Option<f64>,
    restart_s: Option<f64>,
    dwell_s: Option<f64>,
    ageing_s: Option<f64>,
    main_limit_percent: Option<u8>,
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
    step_a: Option<f64>,
    lease_s: Option<f64>,
    response_s: Option<f64>,
    lapse: Option<String>,
    metering_s: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    id: String,
    #[serde(default)]
    priority: i8,
    weight: Option<u32>,
    ceiling_a: Option<f64>,
    #[serde(default)]
    tokens: Vec<String>,
}

/// Exactly one of the keys that say what happens; the others go with it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawAction {
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
    wants_kwh: Option<f64>,
    token: Option<String>,
    leave: Option<String>,
    ears: BTreeMap<String, String>,
    link: BTreeMap<String, String>,
    meter: BTreeMap<String, String>,
    gateway: Option<String>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(untagged)]
enum Currents {
    #[default]
    None,
    Same(f64),
    Each([f64; 3]),
}

impl Currents {
    fn per_phase(self, wiring: Wiring) -> PerPhase<Amps> {
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
            restart: raw.restart_s.map_or(usual.restart, seconds),
            dwell: raw.dwell_s.map_or(usual.dwell, seconds),
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
        if self.class.is_empty() {
            return Ok(policy);
        }
        policy.classes.clear();
        policy.unknown = None;
        policy.evses = vec![EvseRule { open: Some(0), plug_and_charge: None, ceiling: None }; site.evses.len()];
        for (index, raw) in self.class.iter().enumerate() {
            policy.classes.push(Class {
                id: raw.id.clone(),
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
                valid_until: None,
            });
            let tokens = raw
                .tokens
                .iter()
                .map(|uid| (normalise(uid), Token { principal: index, is_accepted: true, valid_until: None }));
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
            step: amps(self.step_a.unwrap_or(1.0)),
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

impl RawAction {
    fn action(&self, site: &Site) -> Result<(Moment, Action), String> {
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
        for (meter, voice) in &self.meter {
            let index = site.meters.iter().position(|known| known.id == *meter);
            let kinds = [
                ("clear", Voice::Clear),
                ("silent", Voice::Silent),
                ("not_a_number", Voice::NotANumber),
                ("frozen", Voice::Frozen),
            ];
            let id = MeterId(index.ok_or(format!("no circuit `{meter}` with a meter"))?);
            found.push(Action::Voice(id, one_of(voice, &kinds)?));
        }
        if let Some(gateway) = &self.gateway {
            found.push(Action::Gateway(one_of(gateway, &[("alive", true), ("dead", false)])?));
        }
        match found.pop() {
            Some(action) if found.is_empty() => Ok((Moment::START + seconds(self.t), action)),
            _ => Err(format!("at {} s: exactly one thing may happen in an entry", self.t)),
        }
    }

    fn car(&self) -> Car {
        let usual = Car::default();
        Car {
            phases: self.phases.unwrap_or(usual.phases),
            least: self.least_a.map_or(usual.least, amps),
            most: self.most_a.map_or(usual.most, amps),
            lag: self.lag_s.map_or(usual.lag, seconds),
            start: self.start_s.map_or(usual.start, seconds),
            offset: self.offset_a.map_or(usual.offset, amps),
            wants_wh: self.wants_kwh.map(|kwh| (kwh * 1000.0) as i64),
            token: self.token.clone(),
            ..usual
        }
    }
}

fn amps(amps: f64) -> Amps {
    Amps::from_f64(amps).unwrap_or_default()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1000.0) as u64)
}

fn circuit_named(site: &Site, id: &str) -> Result<CircuitId, String> {
    let index = site.circuits.iter().position(|circuit| circuit.id == id);
    index.map(CircuitId).ok_or(format!("no circuit `{id}` (parents come first)"))
}

fn evse_named(site: &Site, id: &str) -> Result<EvseId, String> {
    site.evses.iter().position(|evse| evse.id == id).map(EvseId).ok_or(format!("no evse `{id}`"))
}

fn one_of<T: Copy>(word: &str, kinds: &[(&str, T)]) -> Result<T, String> {
    let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    let found = kinds.iter().find(|(name, _)| *name == word);
    found.map(|(_, kind)| *kind).ok_or(format!("`{word}`: one of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
