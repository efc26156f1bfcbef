//! Who asks for current, for how much, and in which order?

use super::allocation::{Ask, Step};
use super::car::Car;
use super::observation::{Link, Plug, Report};
use super::reason::Reason;
use crate::policy::{Entitlement, Policy, Verdict};
use crate::site::{CircuitId, Evse, EvseId, Site, Tuning};
use crate::time::{Duration, Moment};
use crate::units::Amps;
use chrono::{DateTime, Utc};
use std::cmp::Reverse;

/// Room that a paused car needs above its minimum before it is started again.
const RESTART_ROOM: Amps = Amps::whole(1);
/// Energies that differ by less are alike: two cars that charge side by side do not change places with each report.
const ENERGY_STEP_WH: i64 = 500;
/// Waiting adds at most this to the priority.
const MOST_AGEING: u64 = 3;

/// An EVSE's wish in this step.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub entitlement: Entitlement,
    /// Declared priority and what waiting has added.
    pub priority: i8,
    /// A reason to give nothing, or an ask.
    pub ask: Result<Ask, Reason>,
}

/// What the meters on an EVSE's path allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Clear,
    /// No raises.
    Stale(CircuitId),
    /// No more than the fallback.
    Lost(CircuitId),
}

/// What all parts of one step are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub site: &'a Site,
    pub policy: &'a Policy,
    /// `None` while the time of day is not to be trusted.
    pub wall: Option<DateTime<Utc>>,
    pub now: Moment,
    /// The owner's: ageing lifts nobody above it.
    pub highest: i8,
}

/// Where an ask stands in the order of admission.
pub(super) type Rank = (Reverse<i8>, (u8, u64), i64, EvseId);

/// What this EVSE asks for.
pub(super) fn wish(setting: &Setting, id: EvseId, car: &Car, report: &Report, sight: Sight) -> Wish {
    let token = report.session.as_ref().and_then(|session| session.token.as_deref());
    let entitlement = setting.policy.entitlement(id, token, setting.wall);
    let priority = effective_priority(setting, &entitlement, car);
    let ask = ask(setting, id, &entitlement, car, report, sight).map(|ask| Ask { tier: priority, ..ask });
    Wish { entitlement, priority, ask }
}

/// The order of admission: effective priority; then whose turn it is, who waits longest, whose turn has been longest
/// last; then least energy in this session; then id. `ranks` is memory for it.
pub(super) fn sort(
    asks: &mut Vec<Ask>,
    ranks: &mut Vec<Rank>,
    wishes: &[Wish],
    cars: &[Car],
    reports: &[Report],
    tuning: &Tuning,
    now: Moment,
) {
    let rank = |ask: Ask| {
        let car = &cars[ask.evse.0];
        let turn = match (car.turn_since, car.waiting_since) {
            (Some(turn), _) if now.since(turn) < tuning.dwell => (0, turn.as_millis()),
            (Some(turn), _) => (2, u64::MAX - turn.as_millis()),
            (None, waiting) => (1, waiting.unwrap_or(now).as_millis()),
        };
        let energy = reports[ask.evse.0].session.as_ref().and_then(|session| session.energy_wh).unwrap_or(0);
        (Reverse(ask.tier), turn, energy / ENERGY_STEP_WH, ask.evse)
    };
    ranks.clear();
    ranks.extend(wishes.iter().filter_map(|wish| wish.ask.ok()).map(rank));
    ranks.sort_unstable();
    asks.clear();
    asks.extend(ranks.iter().filter_map(|(_, _, _, evse)| wishes[evse.0].ask.ok()));
}

fn effective_priority(setting: &Setting, who: &Entitlement, car: &Car) -> i8 {
    let waited = car.waiting_since.map_or(Duration::ZERO, |since| setting.now.since(since));
    let spans = match setting.site.tuning.ageing {
        Some(span) if !span.is_zero() => (waited.as_millis() / span.as_millis()) as u64,
        _ => 0,
    };
    (who.priority + spans.min(MOST_AGEING) as i8).min(setting.highest.max(who.priority))
}

fn ask(
    setting: &Setting,
    id: EvseId,
    who: &Entitlement,
    car: &Car,
    report: &Report,
    sight: Sight,
) -> Result<Ask, Reason> {
    let (evse, tuning, now) = (setting.site.evse(id), &setting.site.tuning, setting.now);
    match report.link {
        Link::Never | Link::Down { .. } => return Err(Reason::Unreachable),
        Link::Up { .. } => {}
    }
    if !report.plug.has_car() || report.plug == Plug::Finishing {
        return Err(Reason::NoCar);
    }
    if report.session.is_none() {
        return Err(Reason::NoSession);
    }
    if who.verdict != Verdict::Accepted {
        return Err(Reason::Denied);
    }
    if car.disobeys_since.is_some_and(|since| now >= since + evse.response) {
        // Its least has changed nothing: a pause.
        return Err(Reason::Disobeys);
    }
    if car.is_paused && car.pauses.is_resting(tuning.restart, now) {
        return Err(Reason::Resting);
    }
    let (most, capped) = most(evse, who, car, report, sight);
    let is_paused = !car.setpoint.is_positive() && car.is_paused;
    Ok(Ask {
        evse: id,
        phases: evse.rotation.phases(),
        entry: if is_paused { evse.least + RESTART_ROOM } else { evse.least },
        least: evse.least,
        most,
        capped,
        step: Step::Multiple(evse.step),
        tier: who.priority,
        weight: who.weight.max(1),
        need: None,
    })
}

fn most(evse: &Evse, who: &Entitlement, car: &Car, report: &Report, sight: Sight) -> (Amps, Reason) {
    let seen = match sight {
        Sight::Lost(circuit) => Some((evse.fallback, Reason::MeterLost(circuit))),
        Sight::Stale(circuit) => Some((car.setpoint, Reason::MeterStale(circuit))),
        Sight::Clear => None,
    };
    let caps = [
        who.ceiling.map(|ceiling| (ceiling, Reason::PolicyCeiling)),
        (report.plug == Plug::SuspendedEv).then_some((evse.least, Reason::CarRests)),
        seen,
        car.disobeys_since.map(|_| (evse.least, Reason::Disobeys)),
    ];
    // Of equals the first is named.
    let lower = |least: (Amps, Reason), cap: (Amps, Reason)| if cap.0 < least.0 { cap } else { least };
    let (most, capped) = caps.into_iter().flatten().fold((evse.most, Reason::Full), lower);
    (most.floor_to(evse.step), capped)
}
