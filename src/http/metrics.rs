//! What does Prometheus get? The numbers of the one `Status` in its text format 0.0.4, nothing counted here.

use crate::status::{Severity, Status};
use crate::units::{Amps, PerPhase, Phase};
use std::fmt::Write;

/// The media type of the format.
pub const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole answer. What is not known has no line: a gap in a graph is honest, a zero is not.
pub fn metrics(status: &Status) -> String {
    let mut out =
        Exposition { text: String::new(), phases: Phase::ALL.into_iter().take(status.phases.into()).collect() };
    out.family("build_info", "The program's version.");
    out.line("build_info", &[("version", &status.version)], 1.0);
    out.family("uptime_seconds", "Since the process started.");
    out.line("uptime_seconds", &[], status.uptime_s as f64);
    circuits(&mut out, status);
    exposures(&mut out, status);
    evses(&mut out, status);
    out.family("inverter_power_watts", "Generated power.");
    for inverter in &status.inverters {
        out.known("inverter_power_watts", &[("inverter", &inverter.id)], inverter.power_w.map(f64::from));
    }
    out.family("policy_age_seconds", "Since the cloud last confirmed the policy.");
    out.known("policy_age_seconds", &[("state", &status.policy.state)], status.policy.age_s.map(|age| age as f64));
    out.family("alarms", "Alarms that stand; error: cars are on fallback.");
    for (name, severity) in [("error", Severity::Error), ("warning", Severity::Warning)] {
        let count = status.alarms.iter().filter(|alarm| alarm.severity == severity).count();
        out.line("alarms", &[("severity", name)], count as f64);
    }
    out.family("breaches_total", "Decisions that failed their own check.");
    out.line("breaches_total", &[], f64::from(status.breaches));
    out.text
}

fn circuits(out: &mut Exposition, status: &Status) {
    type Pick = fn(&crate::status::CircuitStatus) -> Option<PerPhase<Amps>>;
    let families: [(&str, &str, Pick); 6] = [
        ("circuit_limit_amperes", "The fuse.", |circuit| Some(circuit.limit_a)),
        ("circuit_margin_amperes", "Distance kept from the fuse.", |circuit| Some(circuit.margin_a)),
        ("circuit_load_amperes", "All current, import positive.", |circuit| circuit.load_a),
        ("circuit_house_amperes", "Load less cars.", |circuit| circuit.house_a),
        ("circuit_cars_amperes", "What our cars take.", |circuit| Some(circuit.cars_a)),
        ("circuit_headroom_amperes", "What is left; may be negative.", |circuit| circuit.headroom_a),
    ];
    for (name, help, pick) in families {
        out.family(name, help);
        for circuit in &status.circuits {
            out.phases(name, ("circuit", &circuit.id), pick(circuit));
        }
    }
    out.family("circuit_power_watts", "Power, import positive.");
    for circuit in &status.circuits {
        out.known("circuit_power_watts", &[("circuit", &circuit.id)], circuit.power_w.map(f64::from));
    }
    out.family("circuit_sample_age_seconds", "Age of the meter's sample.");
    for circuit in &status.circuits {
        out.known("circuit_sample_age_seconds", &[("circuit", &circuit.id)], circuit.age_s);
    }
    out.family("circuit_fresh", "1 while the meter's sample is fresh; absent without a meter.");
    for circuit in &status.circuits {
        let is_fresh = (circuit.freshness != "unmetered").then(|| f64::from(u8::from(circuit.freshness == "fresh")));
        out.known("circuit_fresh", &[("circuit", &circuit.id)], is_fresh);
    }
}

fn exposures(out: &mut Exposition, status: &Status) {
    out.family("exposure_ampere_seconds_total", "What cars have added above the limit.");
    for circuit in &status.circuits {
        for phase in out.phases.clone() {
            let labels = [("circuit", circuit.id.as_str()), ("phase", &phase.to_string())];
            out.line("exposure_ampere_seconds_total", &labels, circuit.exposure_as[phase]);
        }
    }
    out.family("exposure_longest_seconds", "The longest time for which they did so without a break.");
    for circuit in &status.circuits {
        out.line("exposure_longest_seconds", &[("circuit", &circuit.id)], circuit.exposure_longest_s);
    }
}

fn evses(out: &mut Exposition, status: &Status) {
    type Pick = fn(&crate::status::EvseStatus) -> Option<f64>;
    let families: [(&str, &str, Pick); 6] = [
        ("evse_online", "1 while the charger is connected.", |evse| Some(f64::from(u8::from(evse.online)))),
        ("evse_setpoint_amperes", "What it may take; 0 is a pause.", |evse| Some(evse.setpoint_a.as_f64())),
        ("evse_fallback_amperes", "What it falls back to without us.", |evse| Some(evse.fallback_a.as_f64())),
        ("evse_lease_seconds", "Until its lease ends.", |evse| evse.lease_s.map(|left| left as f64)),
        ("evse_session_seconds", "Since its session began.", |evse| evse.session_s.map(|age| age as f64)),
        ("evse_session_energy_kwh", "Energy of its session.", |evse| evse.session_kwh),
    ];
    for (name, help, pick) in families {
        out.family(name, help);
        for evse in &status.evses {
            out.known(name, &[("evse", &evse.id)], pick(evse));
        }
    }
    out.family("evse_draw_amperes", "What it takes on the site's phases.");
    for evse in &status.evses {
        out.phases("evse_draw_amperes", ("evse", &evse.id), Some(evse.draw_a));
    }
}

struct Exposition {
    text: String,
    phases: Vec<Phase>,
}

impl Exposition {
    /// What only counts up says so in its name.
    fn family(&mut self, name: &str, help: &str) {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP headroom_{name} {help}\n# TYPE headroom_{name} {kind}");
    }

    fn phases(&mut self, name: &str, of: (&str, &str), values: Option<PerPhase<Amps>>) {
        for phase in self.phases.clone() {
            let label = phase.to_string();
            self.known(name, &[of, ("phase", &label)], values.map(|values| values[phase].as_f64()));
        }
    }

    fn known(&mut self, name: &str, labels: &[(&str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.line(name, labels, value);
        }
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let braced = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "headroom_{name}{braced} {value}");
    }
}

/// The format's three escapes in label values.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Alarm, CircuitStatus, EvseStatus};

    #[test]
    fn what_is_not_known_has_no_line() {
        let text = metrics(&house());
        assert!(text.contains("headroom_circuit_cars_amperes{circuit=\"main\",phase=\"L2\"} 9\n"), "{text}");
        assert!(!text.contains("headroom_circuit_headroom_amperes{"), "{text}");
        assert!(!text.contains("headroom_evse_lease_seconds{"), "{text}");
        assert!(text.contains("headroom_circuit_fresh{circuit=\"main\"} 0\n"), "{text}");
        assert!(text.contains("headroom_alarms{severity=\"error\"} 1\n"), "{text}");
    }

    #[test]
    fn what_only_counts_up_is_a_counter() {
        let mut status = house();
        status.breaches = 2;
        status.circuits[0].exposure_as = PerPhase([0.0, 12.5, 0.0]);
        let text = metrics(&status);
        assert!(text.contains("# TYPE headroom_breaches_total counter\nheadroom_breaches_total 2\n"), "{text}");
        assert!(text.contains("_total{circuit=\"main\",phase=\"L2\"} 12.5\n"), "{text}");
        assert!(text.contains("# TYPE headroom_exposure_longest_seconds gauge\n"), "{text}");
    }

    #[test]
    fn a_single_phase_site_has_one_phase() {
        let text = metrics(&Status { phases: 1, ..house() });
        assert!(text.contains("phase=\"L1\"") && !text.contains("phase=\"L2\""), "{text}");
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let mut status = house();
        status.evses[0].id = "a\"} 1\nb\\".into();
        assert!(metrics(&status).contains("headroom_evse_online{evse=\"a\\\"} 1\\nb\\\\\"} 1\n"));
    }

    #[test]
    fn each_family_is_announced_once_and_named_after_the_program() {
        let text = metrics(&house());
        let mut names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("headroom_")));
    }

    fn house() -> Status {
        Status {
            phases: 3,
            circuits: vec![CircuitStatus {
                id: "main".into(),
                freshness: "lost".into(),
                cars_a: PerPhase::all(Amps::whole(9)),
                ..CircuitStatus::default()
            }],
            evses: vec![EvseStatus { id: "left".into(), online: true, ..EvseStatus::default() }],
            alarms: vec![Alarm {
                id: "meter-grid-lost".into(),
                severity: Severity::Error,
                text: String::new(),
                since: chrono::DateTime::default(),
            }],
            ..Status::default()
        }
    }
}
