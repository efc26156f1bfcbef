//! What comes out of a scenario, and what of it was not expected?

use super::expect::Expect;
use headroom::sim::{Frame, Scenario, run};
use headroom::site::Site;
use headroom::units::Amps;
use std::path::{Path, PathBuf};

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// What the scenario is about, and what was not as it expects.
pub fn faults(name: &str) -> (String, Vec<String>) {
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
    (scenario.about, faults)
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
