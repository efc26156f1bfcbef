//! What should someone look at? Told once when it begins and once when it ends; shown as long as it lasts.

use crate::config::Config;
use crate::control::observation::{Accepted, Link};
use crate::control::wiring::{Miswired, Seen};
use crate::control::{Decision, Freshness, Observation};
use crate::site::{EvseId, Meter, Site};
use crate::status::{Alarm, PolicyStatus, Severity};
use crate::time::{Duration, Moment};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// A charger gets this long to dial in after our start, or again after it was cut off, before anybody is told.
const GRACE: Duration = Duration::from_secs(60);

/// An overload ends within meter interval and response where cars can end it; longer, and it is the house's own.
const OVERLOAD_PATIENCE: Duration = Duration::from_secs(20);

/// Something that is wrong now.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    id: String,
    severity: Severity,
    text: String,
    /// It is told when it has lasted this long.
    patience: Duration,
}

impl Finding {
    fn new(id: String, severity: Severity, text: String) -> Self {
        Finding { id, severity, text, patience: Duration::ZERO }
    }
}

/// The alarms that last, by id.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    lasting: BTreeMap<String, Alarm>,
    /// When each finding was first made without a break.
    found: BTreeMap<String, Moment>,
}

impl Alarms {
    /// Replaces what lasts, logs what is new and what is over, and answers with all, the worst first.
    pub(super) fn update(&mut self, findings: Vec<Finding>, now: Moment, wall: DateTime<Utc>) -> Vec<Alarm> {
        let first = |id: &String| (id.clone(), self.found.get(id).copied().unwrap_or(now));
        self.found = findings.iter().map(|finding| first(&finding.id)).collect();
        let mut lasting = BTreeMap::new();
        for Finding { id, severity, text, patience } in findings {
            if self.found.get(&id).is_some_and(|since| now.since(*since) < patience) {
                continue;
            }
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
) -> Vec<Finding> {
    let mut found = meters(config, seen, decision);
    found.extend(overloads(config, decision));
    found.extend(made_up(config, decision));
    for id in config.site.evse_ids() {
        found.extend(charger(config, seen, decision, id, now));
    }
    found.extend(policy.refused.iter().map(|why| {
        let text = format!("policy: the cloud's document is refused ({why}); the last good one stands");
        Finding::new("policy-refused".to_string(), Severity::Warning, text)
    }));
    found
}

fn meters(config: &Config, seen: &Observation, decision: &Decision) -> Vec<Finding> {
    let site = &config.site;
    let lost = site.meters.iter().enumerate().filter_map(|(index, meter)| {
        let row = decision.rows.get(meter.circuit.0).filter(|row| row.freshness == Freshness::Lost)?;
        Some((index, meter, row.miswired))
    });
    lost.map(|(index, meter, miswired)| {
        if let Some(wrong) = miswired {
            return miswiring(site, meter, wrong);
        }
        let why = match seen.faults.get(index).and_then(Option::as_ref) {
            Some(fault) => fault.clone(),
            None => format!("meter \"{}\": too few good samples yet", meter.id),
        };
        let text = format!("{why}; the cars behind {} are on fallback", site.circuit(meter.circuit).name);
        Finding::new(format!("meter-{}-lost", meter.id), Severity::Error, text)
    })
    .collect()
}

fn miswiring(site: &Site, meter: &Meter, wrong: Miswired) -> Finding {
    let (car, phase, meter, circuit) =
        (&site.evse(wrong.evse).id, wrong.phase, &meter.id, &site.circuit(meter.circuit).name);
    let seen = match wrong.seen {
        Seen::Turned => format!("meter \"{meter}\" shows with the wrong sign: turn the current transformer of {phase}"),
        Seen::On(other) => format!(
            "meter \"{meter}\" shows on {other}: check the charger's rotation, and the meter's {phase} and {other}"
        ),
    };
    let text = format!("what charger \"{car}\" takes on {phase}, {seen}; the cars behind {circuit} are on fallback");
    Finding::new(format!("meter-{meter}-wiring"), Severity::Error, text)
}

fn made_up(config: &Config, decision: &Decision) -> Vec<Finding> {
    let site = &config.site;
    let told = site.meters.iter().filter_map(|meter| Some((meter, decision.rows.get(meter.circuit.0)?.made_up?)));
    let found = told.map(|(meter, evse)| {
        let text = format!(
            "what charger \"{}\" takes more or less, meter \"{}\" does not show: something else makes up for it, such as \
             a home battery that regulates by the same meter; set it to leave cars alone, or it charges and empties with them",
            site.evse(evse).id, meter.id
        );
        Finding::new(format!("meter-{}-made-up", meter.id), Severity::Warning, text)
    });
    found.collect()
}

fn overloads(config: &Config, decision: &Decision) -> Vec<Finding> {
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
            let finding = Finding::new(format!("circuit-{}-over", circuit.id), Severity::Error, text);
            found.push(Finding { patience: OVERLOAD_PATIENCE, ..finding });
        }
    }
    found
}

fn charger(config: &Config, seen: &Observation, decision: &Decision, id: EvseId, now: Moment) -> Option<Finding> {
    let evse = config.site.evse(id);
    let report = seen.reports.get(id.0)?;
    let disobeys = decision.cars.get(id.0).is_some_and(|car| car.disobeys);
    let alarm =
        |what: &str, text: String| Some(Finding::new(format!("charger-{}-{what}", evse.id), Severity::Warning, text));
    match report.link {
        Link::Never if now > Moment::START + GRACE => alarm(
            "unreachable",
            format!(
                "charger \"{}\": has not connected; {} stay reserved for it: check its URL",
                evse.id, evse.fallback
            ),
        ),
        Link::Down { .. } if decision.hang_ups.iter().any(|hang_up| hang_up.evse == id) => alarm(
            "disobeys",
            format!(
                "charger \"{}\": takes more than it is told, and its circuit is over; hung up on, so that it falls back to \
                 {} by itself: check its settings",
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

    fn at(seconds: i64) -> (Moment, DateTime<Utc>) {
        (Moment::from_millis(seconds as u64 * 1000), DateTime::from_timestamp(seconds, 0).unwrap())
    }

    fn ids(alarms: &[Alarm]) -> Vec<(&str, i64)> {
        alarms.iter().map(|alarm| (alarm.id.as_str(), alarm.since.timestamp())).collect()
    }

    #[test]
    fn an_alarm_keeps_its_beginning_and_the_worst_comes_first() {
        let mut alarms = Alarms::default();
        let mut update = |findings, (now, wall)| alarms.update(findings, now, wall);
        let warning = Finding::new("b".into(), Severity::Warning, "late".into());
        let error = Finding::new("a".into(), Severity::Error, "gone".into());
        update(vec![warning.clone()], at(1));
        assert_eq!(ids(&update(vec![warning, error], at(2))), [("a", 2), ("b", 1)]);
        assert!(update(vec![], at(3)).is_empty());
    }

    #[test]
    fn what_ends_by_itself_is_not_told() {
        let mut alarms = Alarms::default();
        let mut update = |findings, (now, wall)| alarms.update(findings, now, wall);
        let over = Finding::new("over".into(), Severity::Error, "too much".into());
        let over = Finding { patience: Duration::from_secs(20), ..over };
        assert!(update(vec![over.clone()], at(1)).is_empty());
        assert!(update(vec![over.clone()], at(20)).is_empty());
        assert!(update(vec![], at(21)).is_empty());
        assert!(update(vec![over.clone()], at(22)).is_empty(), "it counts from its return");
        assert_eq!(ids(&update(vec![over], at(42))), [("over", 42)]);
    }
}
