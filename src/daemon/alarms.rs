//! What should someone look at? Told once when it begins and once when it ends; shown as long as it lasts.

use crate::config::Config;
use crate::control::observation::{Accepted, Link};
use crate::control::{Decision, Freshness, Observation};
use crate::site::EvseId;
use crate::status::{Alarm, PolicyStatus, Severity};
use crate::time::{Duration, Moment};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// A charger gets this long to dial in after our start, or again after it was cut off, before anybody is told.
const GRACE: Duration = Duration::from_secs(60);

/// The alarms that last, by id.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    lasting: BTreeMap<String, Alarm>,
}

impl Alarms {
    /// Replaces what lasts, logs what is new and what is over, and answers with all, the worst first.
    pub(super) fn update(&mut self, found: Vec<(String, Severity, String)>, wall: DateTime<Utc>) -> Vec<Alarm> {
        let mut lasting = BTreeMap::new();
        for (id, severity, text) in found {
            let since = self.lasting.get(&id).map(|alarm| alarm.since);
            if since.is_none() {
                match severity {
                    Severity::Error => tracing::error!(alarm = id, "{text}"),
                    Severity::Warning => tracing::warn!(alarm = id, "{text}"),
                }
            }
            lasting.insert(id.clone(), Alarm { id, severity, text, since: since.unwrap_or(wall) });
        }
        for alarm in self.lasting.values().filter(|alarm| !lasting.contains_key(&alarm.id)) {
            tracing::info!(alarm = alarm.id, "over: {}", alarm.text);
        }
        self.lasting = lasting;
        let mut all: Vec<Alarm> = self.lasting.values().cloned().collect();
        all.sort_by_key(|alarm| (alarm.severity, alarm.since));
        all
    }
}

/// What is wrong now, in words.
pub(super) fn find(
    config: &Config,
    seen: &Observation,
    decision: &Decision,
    policy: &PolicyStatus,
    now: Moment,
) -> Vec<(String, Severity, String)> {
    let mut found = meters(config, seen, decision);
    found.extend(overloads(config, decision));
    for id in config.site.evse_ids() {
        found.extend(charger(config, seen, decision, id, now));
    }
    found.extend(policy.refused.iter().map(|why| {
        let text = format!("policy: the cloud's document is refused ({why}); the last good one stands");
        ("policy-refused".to_string(), Severity::Warning, text)
    }));
    found
}

fn meters(config: &Config, seen: &Observation, decision: &Decision) -> Vec<(String, Severity, String)> {
    let site = &config.site;
    let lost =
        site.meters.iter().enumerate().filter(|(_, meter)| {
            decision.rows.get(meter.circuit.0).is_some_and(|row| row.freshness == Freshness::Lost)
        });
    lost.map(|(index, meter)| {
        let why = match seen.faults.get(index).and_then(Option::as_ref) {
            Some(fault) => fault.clone(),
            None => format!("meter \"{}\": too few good samples yet", meter.id),
        };
        let text = format!("{why}; the cars behind {} are on fallback", site.circuit(meter.circuit).name);
        (format!("meter-{}-lost", meter.id), Severity::Error, text)
    })
    .collect()
}

fn overloads(config: &Config, decision: &Decision) -> Vec<(String, Severity, String)> {
    let site = &config.site;
    let mut found = Vec::new();
    for (circuit, row) in site.circuits.iter().zip(&decision.rows) {
        let Some(load) = row.load else { continue };
        let over = site.wiring.phases().iter().find(|phase| load[*phase] > circuit.limit[*phase]);
        if let Some(phase) = over {
            let text = format!(
                "circuit \"{}\": {phase} carries {} of {}; cars on it are cut, the rest is the house's",
                circuit.id, load[phase], circuit.limit[phase]
            );
            found.push((format!("circuit-{}-over", circuit.id), Severity::Error, text));
        }
    }
    found
}

fn charger(
    config: &Config,
    seen: &Observation,
    decision: &Decision,
    id: EvseId,
    now: Moment,
) -> Option<(String, Severity, String)> {
    let evse = config.site.evse(id);
    let report = seen.reports.get(id.0)?;
    let disobeys = decision.cars.get(id.0).is_some_and(|car| car.disobeys);
    let alarm = |what: &str, text: String| Some((format!("charger-{}-{what}", evse.id), Severity::Warning, text));
    match report.link {
        Link::Never if now > Moment::START + GRACE => alarm(
            "unreachable",
            format!(
                "charger \"{}\": has not connected; {} stay reserved for it: check its URL",
                evse.id, evse.fallback
            ),
        ),
        Link::Down { since } if now > since + GRACE => alarm(
            "unreachable",
            format!("charger \"{}\": not reachable; it falls back to {} by itself", evse.id, evse.fallback),
        ),
        Link::Never | Link::Down { .. } => None,
        Link::Up { .. } if disobeys => alarm(
            "disobeys",
            format!("charger \"{}\": takes more than it is told; the others make room: check its settings", evse.id),
        ),
        Link::Up { .. } => {
            let refused = report.answer.is_some_and(|answer| answer.verdict == Accepted::No);
            refused.then(|| {
                alarm("refuses", format!("charger \"{}\": refuses its setpoint; it is asked again", evse.id))
            })?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_keeps_its_beginning_and_the_worst_comes_first() {
        let mut alarms = Alarms::default();
        let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
        let warning = ("b".to_string(), Severity::Warning, "late".to_string());
        let error = ("a".to_string(), Severity::Error, "gone".to_string());
        alarms.update(vec![warning.clone()], at(1));
        let all = alarms.update(vec![warning, error], at(2));
        assert_eq!(
            all.iter().map(|alarm| (alarm.id.as_str(), alarm.since)).collect::<Vec<_>>(),
            [("a", at(2)), ("b", at(1))]
        );
        assert!(alarms.update(vec![], at(3)).is_empty());
    }
}
