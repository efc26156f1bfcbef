//! How much more may one phase carry than another? A wish of the grid (VDE-AR-N 4100: 4.6 kVA; 16 A in Austria and
//! Switzerland), and no fuse's: it holds raises back and lowers cars by the mean of a minute, down to their least.
//!
//! It is one more row, after those in watts, that only such cars load as are not on all three phases alike. Beside what
//! everybody else takes, a phase may carry as much as the one that carries least, and the limit. A protective cut on that
//! other phase is made all the same: then the mean shows it, and cars follow.

use super::headroom::RowView;
use super::readings::Readings;
use super::sabotage::{self, Bug};
use super::work::Work;
use super::{Freshness, State, power};
use crate::site::{Evse, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase, PhaseSet};
use serde::{Deserialize, Serialize};

/// Rows after those of the circuits and those in watts.
pub(super) const ROWS: usize = 1;
/// Cars are lowered by the mean of so long.
const SPAN: Duration = Duration::from_secs(60);
/// And by no less than this: a kettle's minute is no reason.
const WORTH: Amps = Amps::whole(1);
/// More than any row: while the grid meter does not tell, nothing is known of it.
const UNLIMITED: Amps = Amps::whole(1_000_000);

/// What is remembered of the grid connection.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    heard: Option<Moment>,
    /// What uneven cars may have.
    may: PerPhase<Mean>,
    /// What the phase that carries most carries more than the one that carries least.
    most: Mean,
}

/// A mean that forgets, in parts of a milliampere.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Mean(i64);

impl Mean {
    const PARTS: i64 = 1 << 16;

    /// `of` was so for `span`; the first time, always.
    fn hear(&mut self, of: Amps, span: Option<Duration>) {
        let to = i64::from(of.as_milli()) * Self::PARTS;
        let span = span.map_or(SPAN, |span| span.min(SPAN));
        self.0 += (to - self.0) * span.as_millis() as i64 / SPAN.as_millis() as i64;
    }

    fn amps(self) -> Amps {
        Amps::milli((self.0 / Self::PARTS) as i32)
    }
}

/// The row, where this site has it.
pub(super) fn row(site: &Site) -> Option<usize> {
    site.limits.unbalance.map(|_| site.circuits.len() + power::ROWS)
}

/// The phases that this EVSE loads more than the others: those that its own meter has ever seen its car use; without one,
/// those that are wired.
pub(super) fn uneven(site: &Site, evse: &Evse, readings: &Readings) -> PhaseSet {
    let used = readings.used();
    let phases = if used == PhaseSet::NONE { evse.rotation.phases() } else { used };
    let is_even = phases == site.wiring.phases() || sabotage::has(Bug::EvenlyLoaded);
    if site.limits.unbalance.is_none() || is_even { PhaseSet::NONE } else { phases }
}

/// Adds its row to those of the circuits and those in watts.
pub(super) fn view(site: &Site, state: &mut State, work: &mut Work) {
    let Some(limit) = site.limits.unbalance else { return };
    work.rows.resize(site.circuits.len() + power::ROWS + ROWS, RowView::nothing());
    let root = work.rows[Site::ROOT.0];
    let heard = site.circuit(Site::ROOT).meter.and_then(|meter| work.samples[meter.0].as_ref()).map(|sample| sample.at);
    let base = root.base.filter(|_| root.shown.freshness == Freshness::Fresh);
    let (Some(base), Some(heard)) = (base, heard) else {
        let all = PerPhase::all(UNLIMITED);
        let row = work.rows.last_mut();
        row.into_iter().for_each(|row| (row.room, row.fair, row.keep, row.cut_above) = (all, all, all, all));
        return;
    };
    let cars = Cars::of(site, state, work);
    let carries = |phase: Phase| base[phase] + cars.all[phase];
    let loads = Phase::ALL.map(carries);
    let (least, most) = loads.into_iter().fold((loads[0], loads[0]), |(a, b), load| (a.min(load), b.max(load)));
    let may = PerPhase::from_fn(|phase| least + limit - (carries(phase) - cars.asking[phase]));
    let memory = &mut state.unbalance;
    if memory.heard.is_none_or(|last| heard > last) {
        let span = memory.heard.map(|last| heard.since(last));
        memory.most.hear(most - least, span);
        Phase::ALL.into_iter().for_each(|phase| memory.may[phase].hear(may[phase], span));
        memory.heard = Some(heard);
    }
    let mean = PerPhase::from_fn(|phase| memory.may[phase].amps());
    // Nobody is paused for it, except to take turns.
    let keep = PerPhase::from_fn(|phase| mean[phase].max(cars.floor[phase]));
    work.rows[Site::ROOT.0].shown.unbalance = Some(memory.most.amps());
    if let Some(row) = work.rows.last_mut() {
        row.room = PerPhase::from_fn(|phase| may[phase].min(mean[phase]));
        (row.fair, row.keep) = (keep, keep);
        row.cut_above = PerPhase::from_fn(|phase| keep[phase] + WORTH);
    }
}

/// What cars take, a phase.
#[derive(Debug, Default)]
struct Cars {
    all: PerPhase<Amps>,
    /// Of it, those uneven ones that ask.
    asking: PerPhase<Amps>,
    /// What those of them need to go on that charge.
    floor: PerPhase<Amps>,
}

impl Cars {
    fn of(site: &Site, state: &State, work: &Work) -> Self {
        let mut cars = Cars::default();
        for id in site.evse_ids() {
            let least = work.draws[id.0].least;
            Phase::ALL.into_iter().for_each(|phase| cars.all[phase] += least[phase]);
            let Ok(ask) = &work.wishes[id.0].ask else { continue };
            for phase in ask.uneven.iter() {
                cars.asking[phase] += least[phase];
                if state.cars[id.0].setpoint.is_positive() {
                    cars.floor[phase] += ask.least;
                }
            }
        }
        cars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_comes_up_to_what_is_told_and_a_short_step_moves_it_little() {
        let mut mean = Mean::default();
        mean.hear(Amps::whole(10), None);
        assert_eq!(mean.amps(), Amps::whole(10));
        mean.hear(Amps::whole(30), Some(Duration::from_secs(3)));
        assert!((mean.amps() - Amps::whole(11)).abs() <= Amps::milli(2), "{:?}", mean.amps());
        (0..6_000).for_each(|_| mean.hear(Amps::whole(30), Some(Duration::from_millis(100))));
        assert!((mean.amps() - Amps::whole(30)).abs() <= Amps::milli(10), "{:?}", mean.amps());
    }
}
