//! What has to be sent now? Changes at once, renewals at half life, repeats where a charger may have forgotten.

use super::Order;
use super::car::Car;
use super::observation::{Accepted, Link, Report};
use super::sabotage::{self, Bug};
use crate::site::{Evse, EvseId};
use crate::time::{Duration, Moment};
use crate::units::Amps;
use serde::{Deserialize, Serialize};

/// A refused or unanswered order is repeated no sooner than this.
const RETRY: Duration = Duration::from_secs(10);

/// An order that has been sent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Sent {
    pub number: u64,
    pub amps: Amps,
    pub at: Moment,
    pub epoch: u64,
    pub session: i64,
}

/// The order that this EVSE needs now, if any. Leases are given in sessions only, and renewed only where `may_renew`: by a
/// healthy step. Whoever may still have more than his fallback is told again that he has no more, whatever the step: he may
/// have been deaf when he was told.
pub(super) fn order(
    evse: &Evse,
    id: EvseId,
    car: &mut Car,
    report: &Report,
    may_renew: bool,
    numbers: &mut u64,
    now: Moment,
) -> Option<Order> {
    let (Link::Up { .. }, Some(session)) = (report.link, report.session.as_ref()) else { return None };
    let is_due = match car.sent {
        None => true,
        Some(sent) => {
            let is_forgotten = sent.epoch != report.epoch && !sabotage::has(Bug::BootForgotten);
            let is_forgotten = is_forgotten || sent.session != session.id;
            let is_failed = report.answer.is_some_and(|answer| {
                answer.number == sent.number && answer.verdict != Accepted::Yes && now >= answer.at + RETRY
            });
            let is_half_over = now >= sent.at + evse.lease / 2;
            let may_renew = may_renew || sabotage::has(Bug::RenewedWhileLost);
            let is_lowered = || car.setpoint <= evse.fallback && car.ledger.worst(evse, now) > evse.fallback;
            let is_late = sabotage::has(Bug::CutHeldBack) && now.as_millis() / 1000 % 2 == 1;
            let has_changed = sent.amps != car.setpoint && !(is_late && sent.amps > car.setpoint);
            has_changed || is_forgotten || is_failed || (is_half_over && (may_renew || is_lowered()))
        }
    };
    if !is_due {
        return None;
    }
    *numbers += 1;
    car.ledger.grant(evse, car.setpoint, now);
    car.sent = Some(Sent { number: *numbers, amps: car.setpoint, at: now, epoch: report.epoch, session: session.id });
    Some(Order { evse: id, number: *numbers, amps: car.setpoint, lease: evse.lease, fallback: evse.fallback })
}
