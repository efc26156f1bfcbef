//! What may cars keep while the grid meter is late? No more than the quickest breaker bears beside the house at its worst
//! until the meter counts as lost and cars have fallen back. Nobody is paused for it.
//!
//! A house step is answered by the sample that shows it. When samples stay away while the house steps, all that cars had
//! stays until fallback; with a meter that speaks each 10 s that is half a minute, and twice a fuse's current trips the
//! quickest breaker in less.

use super::Freshness;
use super::headroom::{Below, RowView};
use crate::breaker::carried_by_first;
use crate::site::{CircuitId, Site};
use crate::time::Duration;
use crate::units::{Amps, Phase};

/// A sample may be this much later than its interval: one that is lost is no reason yet.
const LATENESS: Duration = Duration::from_secs(3);

/// Lowers what cars may have on the grid connection while its meter is stale, or repeats itself, and no sample can be on
/// its way any more; of other circuits no worst is stated.
pub(super) fn lower(view: &mut RowView, below: &Below, site: &Site, circuit: CircuitId, age: Duration) {
    let Some(meter) = site.circuit(circuit).meter.filter(|_| circuit == Site::ROOT) else { return };
    let meter = &site.meters[meter.0];
    let stale_after = meter.stale_after(&site.tuning);
    let is_on_its_way = age > stale_after && age <= stale_after + LATENESS;
    if view.shown.freshness != Freshness::Stale || is_on_its_way {
        return;
    }
    let response = site.evses.iter().map(|evse| evse.response).max().unwrap_or(Duration::ZERO);
    let lasts = meter.lost_after(&site.tuning) + response;
    for phase in Phase::ALL {
        let bears = carried_by_first(site.circuit(circuit).limit[phase], lasts) - site.house_worst[phase];
        let most = bears.max(Amps::ZERO).max(below.floor[phase]);
        view.fair[phase] = view.fair[phase].min(most);
        view.keep[phase] = view.keep[phase].min(most);
        view.cut_above[phase] = view.cut_above[phase].min(most);
    }
}
