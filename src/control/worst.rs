//! What may cars have beside the house at its worst? No more than the quickest breaker bears until they have followed.
//!
//! A step of the house is answered by the sample that shows it, and cars follow the answer. If the house goes to its stated
//! worst just after a sample, all that cars have flows beside it for as long as that takes. With a meter each second that
//! trips nothing; with one that speaks each 10 s twice a fuse's current does. And when samples stay away, cars keep what
//! they have until the meter counts as lost. So much of it as the quickest breaker would not bear for that long is not given,
//! and taken back once no sample can be on its way any more. Nobody is paused for it.

use super::Freshness;
use super::headroom::{Below, RowView};
use super::sabotage::{self, Bug};
use crate::breaker::carried_by_first;
use crate::site::{CircuitId, Site, Wiring};
use crate::time::Duration;
use crate::units::{Amps, Phase};

/// A sample may be this much later than its interval: one that is lost is no reason yet.
const LATENESS: Duration = Duration::from_secs(3);
/// From the sample to the order.
const DECIDED: Duration = Duration::from_secs(1);
/// What cars have is taken back from so much on: what the sun lends comes and goes.
const WORTH: Amps = Amps::whole(1);

/// Lowers what cars may have on the grid connection; of other circuits no worst is stated.
pub(super) fn lower(view: &mut RowView, below: &Below, site: &Site, circuit: CircuitId, age: Duration) {
    let Some(meter) = site.circuit(circuit).meter.filter(|_| circuit == Site::ROOT) else { return };
    let meter = &site.meters[meter.0];
    let stale_after = meter.stale_after(&site.tuning);
    let is_on_its_way = age > stale_after && age <= stale_after + LATENESS;
    let response = site.evses.iter().map(|evse| evse.response).max().unwrap_or(Duration::ZERO);
    let (lasts, slack) = match view.shown.freshness {
        Freshness::Stale if !is_on_its_way && !sabotage::has(Bug::LateIgnored) => {
            (meter.lost_after(&site.tuning) + response, Amps::ZERO)
        }
        // Without a neutral cars and house add up to less than their sum.
        Freshness::Fresh if site.wiring != Wiring::Delta => (response + DECIDED, WORTH),
        _ => return,
    };
    for phase in Phase::ALL {
        // What is fed in now is taken off the worst as well.
        let lent = view.base.map_or(Amps::ZERO, |base| (Amps::ZERO - base[phase]).max(Amps::ZERO));
        let bears = carried_by_first(site.circuit(circuit).limit[phase], lasts) - site.house_worst[phase] + lent;
        let most = bears.max(Amps::ZERO).max(below.floor[phase]);
        view.room[phase] = view.room[phase].min(most - below.reserved[phase]);
        view.fair[phase] = view.fair[phase].min(most - below.soon[phase]);
        view.keep[phase] = view.keep[phase].min(most - below.soon[phase]);
        view.cut_above[phase] = view.cut_above[phase].min(most + slack - below.soon[phase]);
    }
}
