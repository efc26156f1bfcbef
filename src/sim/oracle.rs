//! What could a perfect controller have given? Each second all that the fuses leave, at once and without a margin.
//!
//! Cars are served in the order of their EVSEs, so with several cars on one full row it is a lower bound of the best.

use super::car::Plugged;
use super::plant::Plant;
use crate::control::allocation::{Capacity, Plan};
use crate::site::{EvseId, Site};
use crate::time::Moment;
use crate::units::{Amps, PerPhase, PhaseSet};

/// Milliwatt-milliseconds in a kilowatt-hour.
const KWH: f64 = 3.6e12;

/// Watches a run, a second at a time.
#[derive(Debug)]
pub struct Oracle {
    plan: Plan,
    /// What is left of each circuit in this second.
    left: Capacity,
    /// What each car would have now.
    shares: Vec<Amps>,
    /// What each car would still want (mW·ms); `None` where it is always hungry.
    wants: Vec<(Option<Moment>, Option<i64>)>,
    given: i64,
    now: Moment,
}

impl Oracle {
    /// Nothing given yet.
    pub fn new(site: &Site) -> Self {
        let plan = Plan::new(site);
        Oracle {
            left: Capacity::unlimited(&plan),
            plan,
            shares: vec![Amps::ZERO; site.evses.len()],
            wants: vec![(None, None); site.evses.len()],
            given: 0,
            now: Moment::START,
        }
    }

    /// What has passed since the time before, as it is now.
    pub fn see(&mut self, site: &Site, plant: &Plant) {
        let millis = plant.now().since(self.now).as_millis() as i64;
        self.now = plant.now();
        self.left.clear();
        for id in site.circuit_ids() {
            let (limit, house) = (site.circuit(id).limit, plant.house(id));
            let left = PerPhase::from_fn(|phase| Some((limit[phase] - house[phase]).max(Amps::ZERO)));
            self.left.set_amps(id, left);
        }
        for id in site.evse_ids() {
            self.shares[id.0] = Amps::ZERO;
            if let Some(plugged) = plant.plugged(id) {
                self.serve(site, id, plugged, millis);
            } else {
                self.wants[id.0] = (None, None);
            }
        }
    }

    /// What this EVSE's car would have now.
    pub fn share(&self, id: EvseId) -> Amps {
        self.shares[id.0]
    }

    /// All that would have been given.
    pub fn kwh(&self) -> f64 {
        self.given as f64 / KWH
    }

    fn serve(&mut self, site: &Site, id: EvseId, plugged: &Plugged, millis: i64) {
        let (since, wants) = &mut self.wants[id.0];
        if *since != Some(plugged.since) {
            *since = Some(plugged.since);
            *wants = plugged.car.wants_wh.map(|wh| wh * 3_600_000_000);
        }
        let evse = site.evse(id);
        let on_site = evse.rotation.to_site(&plugged.shape());
        let phases = evse.rotation.phases().iter().filter(|phase| on_site[*phase].is_positive());
        let phases = phases.fold(PhaseSet::NONE, PhaseSet::with);
        let most = plugged.car.most.min(evse.most);
        let amps = self.left.tightest(&self.plan, id, phases).map_or(most, |(room, _)| room.min(most));
        let is_full = wants.is_some_and(|wants| wants <= 0);
        if amps < plugged.car.least || is_full {
            return;
        }
        self.shares[id.0] = amps;
        self.left.take(&self.plan, id, phases, amps);
        let given = i64::from(amps.as_milli()) * plugged.volts() * millis;
        let given = wants.map_or(given, |wants| given.min(wants));
        *wants = wants.map(|wants| wants - given);
        self.given += given;
    }
}
