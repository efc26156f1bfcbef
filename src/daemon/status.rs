//! How is a decision shown? One picture for all outlets, made after each step.

use crate::config::Config;
use crate::control::observation::{Link, Plug};
use crate::control::{Decision, Freshness, Observation, Row};
use crate::site::{Circuit, EvseId};
use crate::status::{Alarm, CircuitStatus, EvseStatus, InverterStatus, PolicyStatus, Status};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};
use chrono::{DateTime, Utc};

/// Everything that people may see of this step.
pub(super) fn picture(
    config: &Config,
    seen: &Observation,
    decision: &Decision,
    policy: PolicyStatus,
    alarms: Vec<Alarm>,
    (now, wall): (Moment, DateTime<Utc>),
) -> Status {
    let site = &config.site;
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        site: site.id.clone(),
        name: site.name.clone(),
        at: wall,
        uptime_s: now.since(Moment::START).as_secs(),
        phases: site.wiring.phases().count() as u8,
        circuits: site
            .circuits
            .iter()
            .zip(&decision.rows)
            .map(|(circuit, row)| circuit_status(circuit, row, seen, now))
            .collect(),
        evses: site.evse_ids().map(|id| evse_status(config, seen, decision, id, now)).collect(),
        inverters: config
            .inverters
            .iter()
            .zip(&seen.inverters)
            .map(|(inverter, reading)| InverterStatus {
                id: inverter.id.clone(),
                name: inverter.name.clone(),
                // An inverter sleeps at night: a reading that is old is none.
                power_w: reading
                    .filter(|reading| now.since(reading.at) <= inverter.interval * 3)
                    .map(|reading| reading.watts),
                age_s: reading.map(|reading| seconds(now.since(reading.at))),
            })
            .collect(),
        policy,
        alarms,
        breaches: decision.breaches,
    }
}

fn circuit_status(circuit: &Circuit, row: &Row, seen: &Observation, now: Moment) -> CircuitStatus {
    let sample = circuit.meter.and_then(|meter| seen.samples.get(meter.0).copied().flatten());
    CircuitStatus {
        id: circuit.id.clone(),
        name: circuit.name.clone(),
        freshness: match row.freshness {
            Freshness::Unmetered => "unmetered",
            Freshness::Fresh => "fresh",
            Freshness::Stale => "stale",
            Freshness::Lost => "lost",
        }
        .into(),
        age_s: row.heard.map(|heard| seconds(now.since(heard))),
        limit_a: circuit.limit,
        margin_a: circuit.margin,
        load_a: row.load,
        house_a: row.load.map(|load| PerPhase::from_fn(|phase| load[phase] - row.draw[phase])),
        cars_a: row.draw,
        headroom_a: row
            .load
            .map(|load| PerPhase::from_fn(|phase| circuit.limit[phase] - circuit.margin[phase] - load[phase])),
        power_w: sample.and_then(|sample| sample.watts).map(|watts| watts.0.iter().sum()),
        exposure_as: PerPhase::from_fn(|phase| row.exposure.milliampere_seconds[phase] as f64 / 1000.0),
        exposure_longest_s: seconds(row.exposure.longest),
        unbalance_a: row.unbalance,
    }
}

fn evse_status(config: &Config, seen: &Observation, decision: &Decision, id: EvseId, now: Moment) -> EvseStatus {
    let evse = config.site.evse(id);
    let report = &seen.reports[id.0];
    let (setpoint, car) = (&decision.setpoints[id.0], &decision.cars[id.0]);
    let has_session = report.session.is_some();
    EvseStatus {
        id: evse.id.clone(),
        name: evse.name.clone(),
        circuit: config.site.circuit(evse.circuit).id.clone(),
        online: matches!(report.link, Link::Up { .. }),
        plug: plug(report.plug).into(),
        setpoint_a: setpoint.amps,
        draw_a: car.draw,
        is_measured: car.is_measured,
        reason: setpoint.because.code().into(),
        words: setpoint.because.words(&config.site),
        class: if has_session { car.entitlement.class.to_string() } else { String::new() },
        alias: car.entitlement.alias.as_deref().filter(|_| has_session).map(str::to_owned),
        priority: car.priority,
        is_boosted: car.entitlement.is_boosted,
        mode: car.entitlement.mode.word().into(),
        session_s: report.session.as_ref().map(|session| now.since(session.since).as_secs()),
        session_kwh: report.session.as_ref().and_then(|session| session.energy_wh).map(|energy| energy as f64 / 1000.0),
        fallback_a: evse.fallback,
        lease_s: car.lease.map(|left| left.as_secs()),
    }
}

fn plug(plug: Plug) -> &'static str {
    match plug {
        Plug::Unknown => "unknown",
        Plug::Available => "available",
        Plug::Preparing => "preparing",
        Plug::Charging => "charging",
        Plug::SuspendedEv => "suspended_ev",
        Plug::SuspendedEvse => "suspended_evse",
        Plug::Finishing => "finishing",
        Plug::Faulted => "faulted",
        Plug::Unavailable => "unavailable",
    }
}

fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 10.0).round() / 10.0
}

/// What changed from one step to the next is worth a line in the log: setpoints with their reasons.
pub(super) fn log_changes(config: &Config, before: &[(Amps, &'static str)], decision: &Decision) {
    for (id, setpoint) in config.site.evse_ids().zip(&decision.setpoints) {
        let is_new = before.get(id.0).is_none_or(|(amps, code)| {
            // The reason alone changes often while a car rises or waits; the current is what people feel.
            *amps != setpoint.amps || (!setpoint.amps.is_positive() && *code != setpoint.because.code())
        });
        if is_new {
            let evse = config.site.evse(id);
            let words = setpoint.because.words(&config.site);
            tracing::info!(evse = evse.id, setpoint = %setpoint.amps, reason = setpoint.because.code(), "{}: {words}", setpoint.amps);
        }
    }
}
