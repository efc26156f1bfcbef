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
use crate::site::{Site, Wiring};
use crate::time::Duration;
use crate::units::{Amps, PerPhase, Phase};

/// A sample may be this much later than its interval: one that is lost is no reason yet.
const LATENESS: Duration = Duration::from_secs(3);
/// From the sample to the order.
const DECIDED: Duration = Duration::from_secs(1);
/// What cars have is taken back from so much on: what the sun lends comes and goes.
const WORTH: Amps = Amps::whole(1);

/// What the grid connection's quickest breaker leaves to cars beside the house at its worst; of other circuits no worst is
/// stated. Read off the site once.
#[derive(Debug, Clone)]
pub(super) struct Worst {
    /// Until they have followed a step that the meter shows. Without a neutral cars and house add up to less than their
    /// sum, and this does not hold.
    answered: Option<PerPhase<Amps>>,
    /// Until the meter counts as lost, and they have fallen back.
    late: PerPhase<Amps>,
    stale_after: Duration,
}

impl Worst {
    /// `None` where the grid connection has no meter.
    pub(super) fn of(site: &Site) -> Option<Self> {
        let root = site.circuits.first()?;
        let meter = &site.meters[root.meter?.0];
        let response = site.evses.iter().map(|evse| evse.response).max().unwrap_or(Duration::ZERO);
        let bears = |lasts: Duration| {
            PerPhase::from_fn(|phase| carried_by_first(root.limit[phase], lasts) - site.house_worst[phase])
        };
        Some(Worst {
            answered: (site.wiring != Wiring::Delta).then(|| bears(response + DECIDED)),
            late: bears(meter.lost_after(&site.tuning) + response),
            stale_after: meter.stale_after(&site.tuning),
        })
    }

    /// Lowers what cars may have on the grid connection, whose sample is so old.
    pub(super) fn lower(&self, view: &mut RowView, below: &Below, age: Duration) {
        let is_on_its_way = age > self.stale_after && age <= self.stale_after + LATENESS;
        let (bears, slack) = match (view.shown.freshness, self.answered) {
            (Freshness::Stale, _) if !is_on_its_way && !sabotage::has(Bug::LateIgnored) => (self.late, Amps::ZERO),
            (Freshness::Fresh, Some(answered)) => (answered, WORTH),
            _ => return,
        };
        for phase in Phase::ALL {
            // What is fed in now is taken off the worst as well.
            let lent = view.base.map_or(Amps::ZERO, |base| (Amps::ZERO - base[phase]).max(Amps::ZERO));
            let most = (bears[phase] + lent).max(Amps::ZERO).max(below.floor[phase]);
            view.room[phase] = view.room[phase].min(most - below.reserved[phase]);
            view.fair[phase] = view.fair[phase].min(most - below.soon[phase]);
            view.keep[phase] = view.keep[phase].min(most - below.soon[phase]);
            view.cut_above[phase] = view.cut_above[phase].min(most + slack - below.soon[phase]);
        }
    }
}
