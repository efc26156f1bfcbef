//! Whom do we hang up on? The last resort against a charger that is told in vain: alone it falls back by itself.
//!
//! A limit of class B ends only once the connection has been gone for a lease ([`super::ledger`]). While it stands, whoever
//! says yes and goes on as before does so for ever, and the others can make no more room than they have. So where a breaker
//! is at stake its connection is closed, and it is let in again when it must have fallen back. A charger of class A lets go
//! by itself, and one of class C would keep what it has.
//!
//! While it is hung up on nobody can tell it anything, though it may begin to hear. So it is done at once only where the
//! quickest breaker bears it for so long; else once it has been told in vain for as long as hanging up takes: whatever
//! comes, that lasts no more than twice as long as the better of both would have.
//!
//! While the grid connection's meter is lost nobody sees whether a breaker is at stake. Then the house counts at its stated
//! worst.

use super::Freshness;
use super::car::Car;
use super::observation::Report;
use super::sabotage::{self, Bug};
use super::setpoint::Scene;
use crate::breaker::carried_by_first;
use crate::site::{CircuitId, EvseId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, Phase};
use serde::{Deserialize, Serialize};

/// Decided to closed, and noticed by the charger: so much later than control decides it may begin to count its lease.
const NOTICED: Duration = Duration::from_secs(5);

/// The connection of this EVSE's charger is to be closed, with all its connectors, and not to be had again before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HangUp {
    /// Whose charger.
    pub evse: EvseId,
    /// By then it has fallen back: a lease and its response, and some seconds.
    pub until: Moment,
}

/// All that are hung up on, in each step anew. `before` are the setpoints of the step before.
pub(super) fn decide(hang_ups: &mut Vec<HangUp>, scene: &Scene, cars: &mut [Car], reports: &[Report], before: &[Amps]) {
    hang_ups.clear();
    for (id, report) in scene.site.evse_ids().zip(reports) {
        let evse = scene.site.evse(id);
        let lasts = evse.lease + evse.response + NOTICED;
        let is_due = cars[id.0].hung_up_until.is_none()
            && cars[id.0].defies(evse, report, scene.now)
            && scene.site.path(evse.circuit).any(|circuit| is_left_over(scene, cars, before, circuit, id, lasts))
            && !sabotage::has(Bug::NeverHangsUp);
        if is_due {
            cars[id.0].hung_up_until = Some(scene.now + lasts);
        }
        hang_ups.extend(cars[id.0].hung_up_until.map(|until| HangUp { evse: id, until }));
    }
}

/// Does this circuit, less what cuts will still free, carry too much on a phase that this EVSE's car takes from, with nobody
/// else left to be lowered? And either its quickest breaker bears that for as long as hanging up `lasts`, or as much time
/// has been lost with telling.
fn is_left_over(scene: &Scene, cars: &[Car], before: &[Amps], circuit: CircuitId, id: EvseId, lasts: Duration) -> bool {
    let (limit, draw) = (&scene.site.circuit(circuit).limit, &scene.draws[id.0]);
    let phases = scene.site.evse(id).rotation.phases();
    let takes = |phase: Phase| match draw.is_measured {
        true => draw.seen[phase].is_positive(),
        false => phases.contains(phase),
    };
    let over = || {
        let loads = Phase::ALL.into_iter().map(|phase| (phase, load(scene, circuit, phase)));
        loads.filter_map(|(phase, load)| load.filter(|load| *load > limit[phase]).map(|load| (phase, load)))
    };
    let is_lowered = |other: &EvseId| cars[other.0].setpoint < before[other.0];
    let is_borne = |(phase, load): (Phase, Amps)| load <= carried_by_first(limit[phase], lasts);
    let is_told_in_vain = || cars[id.0].disobeys_since.is_some_and(|since| scene.now >= since + lasts);
    over().any(|(phase, _)| takes(phase))
        && !scene.plan.evses_below(circuit).iter().any(is_lowered)
        && (is_told_in_vain() || over().all(is_borne))
}

/// What this circuit carries where that may be too much: by its newest good sample, or at its worst while its meter is
/// lost. Of circuits below the grid connection no worst is stated.
fn load(scene: &Scene, circuit: CircuitId, phase: Phase) -> Option<Amps> {
    let row = &scene.rows[circuit.0];
    if row.shown.freshness == Freshness::Lost {
        let below = scene.plan.evses_below(circuit).iter();
        let cars = below.map(|id| scene.draws[id.0].at_most(scene.site.evse(*id))[phase]).sum::<Amps>();
        return (circuit == Site::ROOT).then(|| scene.site.house_worst[phase] + cars);
    }
    row.shown.load.filter(|_| row.is_over[phase]).map(|load| load[phase])
}
