//! How much can each circuit still give to cars? limit − margin − base load, a phase, with what pending cuts will free.

use super::allocation::Ask;
use super::base::{Base, Lows};
use super::car::Car;
use super::draw::Draw;
use super::observation::Sample;
use super::queue::Setting;
use super::readings::RAMP;
use super::reason::Reason;
use super::sabotage::{self, Bug};
use super::{Freshness, Row};
use crate::policy::Policy;
use crate::site::{Circuit, CircuitId, EvseId, Site, Wiring};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase, PhaseSet};
use serde::{Deserialize, Serialize};

/// A base load that the cars' own meters have not explained for this long is taken for the house's.
const PATIENCE: Duration = Duration::from_secs(15);
/// As far back as the smallest load of the last while may reach.
pub(super) const LOOKS_BACK: Duration = Duration::from_secs(30);
/// Beside a reading this old nobody is raised into the last [`OLD_MARGIN`].
const OLD: Duration = Duration::from_secs(5);
const OLD_MARGIN: Amps = Amps::whole(1);

/// What the step remembers of a circuit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct RowMemory {
    last_sample: Option<Moment>,
    last_load: PerPhase<Amps>,
    /// Cuts that the meter has not shown yet; at most one for an EVSE, the oldest first.
    pending: Vec<Pending>,
    /// What of the next fall a car's own meter has told already.
    explained: PerPhase<Amps>,
    pub(super) base: Base,
    /// The smallest load of the last [`PATIENCE`] to [`LOOKS_BACK`]: no car took more all that time, unless something
    /// feeds in.
    borne: Lows,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Pending {
    evse: EvseId,
    /// What the cut is to free.
    asked: PerPhase<Amps>,
    /// What of it the meter has not shown.
    left: PerPhase<Amps>,
    until: Moment,
}

/// A circuit in this step.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowView {
    pub shown: Row,
    /// What is not our cars'; `None` where the meter, or one below, has said nothing yet.
    pub base: Option<PerPhase<Amps>>,
    /// The meter is lost, or without one here, one below.
    pub is_lost: bool,
    /// What cars together may have now, raises included: beside the greatest base load of the last while. What comes and
    /// goes is nobody's to give away, nor what one of two meters has not seen yet.
    pub room: PerPhase<Amps>,
    /// The same beside the smallest base load of the last while, for who yields to whom: cars whose own meters are late
    /// look like house load for some seconds.
    pub fair: PerPhase<Amps>,
    /// What cars together may keep: less than they have means cut to this.
    pub keep: PerPhase<Amps>,
    /// Cut when what cars have passes this.
    pub cut_above: PerPhase<Amps>,
    /// The meter itself shows too much, after all that pending cuts will free.
    pub is_over: PerPhase<bool>,
}

impl RowView {
    /// Nothing flows, and nothing may.
    pub(super) fn nothing() -> Self {
        RowView {
            shown: Row::default(),
            base: None,
            is_lost: false,
            room: PerPhase::default(),
            fair: PerPhase::default(),
            keep: PerPhase::default(),
            cut_above: PerPhase::default(),
            is_over: PerPhase::default(),
        }
    }

    /// Nothing is known of the house: `check` has made sure that all fallbacks fit beside its worst, as far as the fuse
    /// goes. Where the policy leaves less of it, fewer fit.
    fn lose(&mut self, phase: Phase, stated: &Stated, below: &Below) {
        let sum = below.fallback[phase];
        let fallback = stated.unseen[phase].map_or(sum, |most| sum.min(most));
        self.room[phase] = fallback - below.reserved[phase];
        self.fair[phase] = self.room[phase];
        self.keep[phase] = below.asking[phase].min(fallback);
        self.cut_above[phase] = self.keep[phase];
        self.shown.headroom[phase] = fallback;
    }
}

/// What is known of one phase of a circuit.
#[derive(Debug, Clone, Copy)]
struct Facts {
    limit: Amps,
    margin: Amps,
    resolution: Amps,
    shows_half: bool,
    base: Amps,
    memory: Duration,
    now: Moment,
}

/// What is stated of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stated {
    /// What it may carry now.
    pub limit: PerPhase<Amps>,
    /// Distance kept from that.
    pub margin: PerPhase<Amps>,
    /// The smallest step that its meter shows.
    pub resolution: Amps,
    /// What cars may have at most, whatever they fall back to, while nothing is known of the house; `None`: no such limit.
    pub unseen: PerPhase<Option<Amps>>,
    /// Where it has no meter: the load besides our cars.
    pub other_load: Option<PerPhase<Amps>>,
    /// Of what cars give back only half may show ([`Site::shown_of`]).
    pub shows_half: bool,
}

impl Stated {
    /// Of this circuit, with what the policy leaves of it.
    pub(super) fn of(site: &Site, id: CircuitId, policy: &Policy) -> Self {
        let circuit = site.circuit(id);
        let limit = limit(circuit, id, policy);
        let unseen = |phase: Phase| {
            let is_tightened = limit[phase] < circuit.limit[phase];
            is_tightened.then(|| limit[phase] - site.house_worst[phase])
        };
        Stated {
            limit,
            margin: circuit.margin,
            resolution: circuit.meter.map_or(Amps::ZERO, |meter| site.meters[meter.0].resolution),
            unseen: PerPhase::from_fn(unseen),
            other_load: circuit.meter.is_none().then_some(circuit.other_load),
            shows_half: circuit.meter.is_some() && site.wiring == Wiring::Delta,
        }
    }
}

/// An EVSE on a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub phases: PhaseSet,
    pub least: Amps,
    pub fallback: Amps,
    pub counts: Counts,
}

/// Where what may be in force at an EVSE is taken off a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// In the sharing: it asks.
    Asks,
    /// One by one: it does not ask, and currents add up as phasors.
    Apart,
    /// Here: it does not ask.
    Here,
}

impl Counts {
    pub(super) fn of(site: &Site, ask: &Result<Ask, Reason>) -> Self {
        match ask {
            Ok(_) => Counts::Asks,
            Err(_) if site.adds_phasors() => Counts::Apart,
            Err(_) => Counts::Here,
        }
    }
}

/// The cars below a circuit, summed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Below {
    /// What they take at least.
    pub least: PerPhase<Amps>,
    /// What they took when the circuit's meter spoke, as far as known.
    pub then: PerPhase<Amps>,
    /// That is no guess.
    pub is_sure: bool,
    /// What those that ask leave of any setpoint.
    pub shy: PerPhase<Amps>,
    /// What people are shown of it.
    pub shown: PerPhase<Amps>,
    /// What those may take that cannot be told anything now.
    pub reserved: PerPhase<Amps>,
    /// The same, once the cuts under way have shown.
    pub soon: PerPhase<Amps>,
    /// What those that charge need to go on.
    pub floor: PerPhase<Amps>,
    /// What they may take beside that, and nobody is cut for.
    pub latent: PerPhase<Amps>,
    /// What all fall back to.
    pub fallback: PerPhase<Amps>,
    /// What those fall back to that ask.
    pub asking: PerPhase<Amps>,
    /// What those just here, in no circuit below, take beyond that.
    pub beyond: PerPhase<Amps>,
    /// What is not our cars' in the circuits just below; `None` where one of them does not know.
    pub under: Option<PerPhase<Amps>>,
    /// One of them has lost its meter.
    pub has_lost: bool,
    /// How far their own meters may be out of step with the circuit's, at most.
    pub blind: Duration,
}

impl Below {
    /// Nobody.
    pub(super) fn none() -> Self {
        Below { under: Some(PerPhase::default()), is_sure: true, ..Below::default() }
    }

    /// A circuit just below.
    pub(super) fn add_circuit(&mut self, view: &RowView) {
        let sum = |under: PerPhase<Amps>, base: PerPhase<Amps>| PerPhase::from_fn(|phase| under[phase] + base[phase]);
        self.under = self.under.zip(view.base).map(|(under, base)| sum(under, base));
        self.has_lost |= view.is_lost;
    }

    /// One EVSE more.
    pub(super) fn add(&mut self, part: &Part, draw: &Draw, is_here: bool) {
        for phase in part.phases.iter() {
            self.fallback[phase] += part.fallback;
            match part.counts {
                Counts::Asks => {
                    self.asking[phase] += part.fallback;
                    // Whoever waits, or takes nothing from this phase, leaves nothing here.
                    if draw.least[phase].is_positive() {
                        self.shy[phase] += draw.shy;
                    }
                    if draw.worst.is_positive() {
                        self.floor[phase] += part.least;
                    }
                }
                Counts::Apart => {}
                Counts::Here => {
                    self.reserved[phase] += draw.worst - draw.latent;
                    self.soon[phase] += (draw.soon - draw.latent).max(Amps::ZERO);
                    self.latent[phase] += draw.latent;
                }
            }
        }
        for phase in Phase::ALL {
            self.least[phase] += draw.least[phase];
            self.shown[phase] += draw.shown[phase];
            if is_here {
                self.beyond[phase] += draw.seen[phase] - draw.least[phase];
            }
        }
        self.blind = self.blind.max(draw.blind.min(PATIENCE));
    }

    /// What that EVSE took when the circuit's meter spoke, and whether that is sure.
    pub(super) fn took(&mut self, (then, is_sure): (PerPhase<Amps>, bool)) {
        self.then = PerPhase::from_fn(|phase| self.then[phase] + then[phase]);
        self.is_sure &= is_sure;
    }
}

impl RowMemory {
    /// EVSEs whose cut the meter has not shown yet.
    pub(super) fn awaited(&self) -> impl Iterator<Item = EvseId> + '_ {
        self.pending.iter().map(|pending| pending.evse)
    }

    /// A car on this circuit has been cut; by `until` its meter shows the fall. [`RowMemory::gather`] comes after the last.
    pub(super) fn expect_fall(&mut self, evse: EvseId, fall: PerPhase<Amps>, until: Moment) {
        self.pending.push(Pending { evse, asked: fall, left: fall, until });
    }

    /// Makes one of the cuts of each EVSE, in the place of its first. `places` has one for each EVSE, all of them free; so
    /// it leaves them.
    pub(super) fn gather(&mut self, places: &mut [Option<usize>]) {
        let mut kept = 0;
        for next in 0..self.pending.len() {
            let pending = self.pending[next];
            match places[pending.evse.0] {
                Some(place) => {
                    let first = &mut self.pending[place];
                    first.left = PerPhase::from_fn(|phase| first.left[phase] + pending.left[phase]);
                    (first.asked, first.until) = (first.left, pending.until);
                }
                None => {
                    places[pending.evse.0] = Some(kept);
                    self.pending[kept] = pending;
                    kept += 1;
                }
            }
        }
        self.pending.truncate(kept);
        self.pending.iter().for_each(|pending| places[pending.evse.0] = None);
    }

    /// What the own meters of those cars say whose cuts are pending, beside a sample of this circuit's meter, which `shows`
    /// so much of what a car takes above its setpoint.
    pub(super) fn compare(
        &mut self,
        cars: &[Car],
        draws: &[Draw],
        sample: &Sample,
        shows: impl Fn(&PerPhase<Amps>) -> PerPhase<Amps>,
    ) {
        let is_new = Some(sample.at) > self.last_sample;
        for pending in self.pending.iter_mut().filter(|pending| draws[pending.evse.0].is_measured) {
            let (car, draw) = (&cars[pending.evse.0], &draws[pending.evse.0]);
            let rest =
                |seen: &PerPhase<Amps>| shows(&PerPhase::from_fn(|phase| (seen[phase] - car.setpoint).max(Amps::ZERO)));
            let (then, now) = (car.readings.before(sample.at).map(rest), rest(&draw.seen));
            for phase in Phase::ALL {
                // It took no more than that, and this circuit's meter has been heard since: that is all that its cut will
                // still free, whatever the house has taken meanwhile.
                if let Some(then) = then {
                    let freed = (pending.left[phase] - then[phase]).max(Amps::ZERO);
                    pending.left[phase] -= freed;
                    if is_new {
                        self.explained[phase] += freed;
                    }
                }
                // It was still on its way up when it was cut: all of that is yet to fall.
                pending.left[phase] = pending.left[phase].max(now[phase]);
                pending.asked[phase] = pending.asked[phase].max(pending.left[phase]);
            }
        }
    }

    /// Somebody on this phase has been cut, because it carries too much or only to make room.
    pub(super) fn cut(&mut self, phase: Phase, is_needed: bool, now: Moment) {
        self.base.cut(phase, is_needed, now);
    }

    /// When somebody on this phase was cut last.
    pub(super) fn last_cut(&self, phase: Phase) -> Option<Moment> {
        self.base.last_cut(phase)
    }

    /// What the meter bears out of a draw that is only assumed, with this sample.
    pub(super) fn bears_out(&self, sample: &Sample) -> PerPhase<Amps> {
        let least = |phase: Phase| {
            self.borne.least(phase).map_or(sample.current[phase], |seen| seen.min(sample.current[phase]))
        };
        PerPhase::from_fn(|phase| least(phase).max(Amps::ZERO))
    }

    /// How far the load has fallen with this sample; nothing for one that has been heard before.
    pub(super) fn fall(&self, sample: &Sample) -> PerPhase<Amps> {
        match self.last_sample {
            Some(last) if sample.at > last => {
                PerPhase::from_fn(|phase| (self.last_load[phase] - sample.current[phase]).max(Amps::ZERO))
            }
            Some(_) | None => PerPhase::default(),
        }
    }

    /// How the cuts have come out whose time is over, now that this sample shows it: true where nothing, or less than
    /// half of what was asked, has been seen to fall.
    pub(super) fn outcomes(&mut self, sample: &Sample, mut tell: impl FnMut(EvseId, bool)) {
        if self.last_sample.is_some_and(|last| sample.at <= last) {
            return;
        }
        let is_unshown = |pending: &Pending| pending.left.most() > pending.asked.most().scaled(1, 2);
        self.pending.retain(|pending| {
            let is_over = sample.at >= pending.until;
            if is_over && pending.asked.most() >= Amps::whole(1) {
                tell(pending.evse, is_unshown(pending));
            }
            !is_over
        });
    }

    /// What this circuit can give.
    pub(super) fn view(
        &mut self,
        setting: &Setting,
        stated: &Stated,
        (freshness, sample): (Freshness, Option<&Sample>),
        below: &Below,
    ) -> RowView {
        let now = setting.now;
        self.pending.retain(|pending| now < pending.until + PATIENCE);
        let new = sample.filter(|sample| Some(sample.at) > self.last_sample);
        if let Some(sample) = new {
            self.hear(sample);
            self.borne.hear(sample.current, PATIENCE, now);
        }
        let load = match stated.other_load {
            None => sample.map(|sample| sample.current),
            // What is stated, what the circuits below say, and what cars take beyond their setpoints.
            Some(other) => below.under.map(|under| {
                let cars = |phase: Phase| below.beyond[phase] + below.least[phase];
                PerPhase::from_fn(|phase| other[phase] + under[phase] + cars(phase))
            }),
        };
        let guess = load.map(|load| PerPhase::from_fn(|phase| load[phase] - below.then[phase]));
        if let Some(guess) = guess {
            // A car's own reading may come just after the circuit's: it can make a guess sure, or show it to be too low.
            let is_better = (below.is_sure && !self.base.is_sure()) || self.base.is_below(&guess);
            if new.is_some() || stated.other_load.is_some() || is_better {
                self.base.hear(guess, below.is_sure, PATIENCE, now);
            }
        }
        let base = self.base.now().filter(|_| load.is_some());
        let is_lost = freshness == Freshness::Lost || (stated.other_load.is_some() && below.has_lost);
        let heard = sample.map(|sample| sample.at);
        let shown = Row { freshness, heard, load, draw: below.shown, ..Row::default() };
        let mut view = RowView { shown, base, is_lost, ..RowView::nothing() };
        let sample = sample.filter(|_| matches!(freshness, Freshness::Fresh | Freshness::Stale));
        let (limit, margin) = (&stated.limit, &stated.margin);
        for phase in Phase::ALL {
            match (is_lost, base) {
                (true, _) => view.lose(phase, stated, below),
                // Started again a moment ago: what cars have stands until the meter speaks, and nobody rises.
                (false, None) => {
                    (view.fair[phase], view.keep[phase], view.cut_above[phase]) =
                        (limit[phase], limit[phase], limit[phase]);
                }
                (false, Some(base)) => {
                    let (limit, margin, memory) = (limit[phase], margin[phase], setting.site.tuning.memory);
                    let Stated { resolution, shows_half, .. } = *stated;
                    let facts = Facts { limit, margin, resolution, shows_half, base: base[phase], memory, now };
                    self.give(&mut view, phase, sample, below, &facts);
                }
            }
        }
        view
    }

    /// What this circuit can give on a phase whose base load is known.
    fn give(&self, view: &mut RowView, phase: Phase, sample: Option<&Sample>, below: &Below, facts: &Facts) {
        let Facts { limit, margin, resolution, shows_half, base, memory, now } = *facts;
        let margin = if sabotage::has(Bug::NoMargin) { Amps::ZERO } else { margin };
        let slack = margin.scaled(1, 2);
        // What cars leave of their setpoints keeps a part of the margin already; not that for what the meter cannot show.
        let all = limit - (margin - below.shy[phase]).max(resolution.min(margin));
        let target = all - below.soon[phase];
        let lowest = self.base.lowest(phase).unwrap_or(base);
        let highest = self.base.highest(phase, memory, below.blind, now).unwrap_or(base);
        let is_old = sample.is_some_and(|sample| now.since(sample.at) > OLD);
        let old_margin = if is_old { OLD_MARGIN } else { Amps::ZERO };
        view.shown.headroom[phase] = limit - margin - base;
        view.room[phase] = all - below.reserved[phase] - highest - below.latent[phase] - old_margin;
        view.fair[phase] = target - lowest;
        view.keep[phase] = target - lowest;
        view.cut_above[phase] = target + slack - lowest;
        if self.base.is_sure() && target + RAMP - base < view.cut_above[phase] {
            // Whatever is not the cars' is the house's: they need not draw what does not fit beside it before it is
            // taken from them. Nobody is paused for what does not flow.
            view.keep[phase] = (target - base).max(below.floor[phase]);
            view.cut_above[phase] = target + RAMP - base;
        }
        if let Some(sample) = sample {
            let awaited = self.pending.iter().filter(|pending| now < pending.until);
            let awaited = awaited.filter(|_| !sabotage::has(Bug::PendingIgnored));
            let pending: Amps = awaited.map(|pending| pending.left[phase]).sum();
            let load = sample.current[phase] - pending;
            view.is_over[phase] = load > limit - margin + slack;
            if view.is_over[phase] {
                view.keep[phase] = target - (load - below.least[phase]);
                if shows_half {
                    view.keep[phase] -= load - (limit - margin);
                }
            }
        }
    }

    /// A new sample: any fall is taken for what pending cuts have freed, so that nothing is credited twice.
    fn hear(&mut self, sample: &Sample) {
        let fall = self.fall(sample);
        for phase in Phase::ALL {
            let mut fell = (fall[phase] - self.explained[phase]).max(Amps::ZERO);
            for pending in &mut self.pending {
                let shown = fell.min(pending.left[phase]);
                if !sabotage::has(Bug::PendingTwice) {
                    pending.left[phase] -= shown;
                }
                fell -= shown;
            }
        }
        self.explained = PerPhase::default();
        self.last_sample = Some(sample.at);
        self.last_load = sample.current;
    }
}

/// What the circuit may carry: its fuse, and at the grid connection what the policy leaves of it.
pub(super) fn limit(circuit: &Circuit, id: CircuitId, policy: &Policy) -> PerPhase<Amps> {
    match id {
        Site::ROOT => policy.main_limit(circuit.limit),
        _ => circuit.limit,
    }
}
