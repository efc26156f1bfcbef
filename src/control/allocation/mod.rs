//! Who gets how much? Minimums first, in the order of the queue; then tier by tier, weighted max-min in a tier.
//!
//! A minimum (6 A by the control pilot, IEC 61851-1) or nothing; the admitted set is maximal. In a tier all rise to
//! a common level of current ÷ weight; one that meets its own most or a full row stops there, the others go on. Where
//! it is known what cars still need, they rise in proportion to that first. Then all are rounded down, and what that
//! leaves over goes round in the queue's order, a step at a time.

mod fill;
pub mod phasor;
mod plan;
mod rows;
#[cfg(test)]
mod tests;

pub use plan::{Addition, Plan};
pub use rows::{Capacity, Load};

use super::reason::Reason;
use crate::site::{Evse, EvseId, Step};
use crate::units::{Amps, PhaseSet};
use fill::{Filling, Riser};
use plan::Path;
use std::ops::Range;

/// What an EVSE asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Who asks.
    pub evse: EvseId,
    /// Site phases it takes current from, the same on each.
    pub phases: PhaseSet,
    /// Those of them that it loads more than the others of the site.
    pub uneven: PhaseSet,
    /// Must fit to be admitted: its least, and a little more after a pause.
    pub entry: Amps,
    /// Least current it can take.
    pub least: Amps,
    /// Most that it may have.
    pub most: Amps,
    /// Why it may not have more than `most`.
    pub capped: Reason,
    /// What it can be told besides its least.
    pub step: Step,
    /// Effective priority: higher first.
    pub tier: i8,
    /// Share within the tier, 1 or more.
    pub weight: u32,
    /// The steady current that would do: energy still needed ÷ time left, where both are known. In its tier those who
    /// do not say count as needing what the others need on average: nobody is before them for having said it.
    pub need: Option<Amps>,
    /// Its car rests, or has all that its driver wants: it gets what all others leave.
    pub is_last: bool,
}

impl Ask {
    /// What this EVSE can take, of no priority and no need, on all its phases.
    pub fn plain(id: EvseId, evse: &Evse) -> Self {
        Ask {
            evse: id,
            phases: evse.rotation.phases(),
            uneven: PhaseSet::NONE,
            entry: evse.least,
            least: evse.least,
            most: evse.most,
            capped: Reason::Full,
            step: evse.step,
            tier: 0,
            weight: 1,
            need: None,
            is_last: false,
        }
    }

    /// What it can be told if it is alone and no row has a limit.
    pub fn alone(&self) -> Amps {
        if self.most < self.least { Amps::ZERO } else { self.step.floor(self.most).max(self.least) }
    }
}

/// What an EVSE gets: zero, or least…most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Who.
    pub evse: EvseId,
    /// How much.
    pub amps: Amps,
    /// Why not more.
    pub because: Reason,
}

/// Who gets how much, with the memory that the sharing needs: kept from one step to the next, it grows no more.
#[derive(Debug, Clone, Default)]
pub struct Allocation {
    left: Option<Capacity>,
    seats: Vec<Seat>,
    filling: Filling,
    /// Those, by their place in the queue, that may still get a step.
    open: Vec<usize>,
    shares: Vec<Share>,
}

/// One that asks, as the sharing goes on.
#[derive(Debug, Clone, Copy)]
struct Seat {
    path: Path,
    load: Load,
    /// The most that it can be told.
    most: Amps,
    /// Once admitted it takes this from its rows at least.
    entry: Amps,
}

impl Seat {
    /// What it takes from its rows with this share.
    fn uses(&self, share: Amps) -> f64 {
        rows::ticks(share.max(self.entry))
    }
}

impl Allocation {
    /// Shares `capacity` among `queue`, which stands in the order of admission (tiers high to low, those who are last
    /// after all others). The answer has the queue's order.
    pub fn share(&mut self, plan: &Plan, capacity: &Capacity, queue: &[Ask]) -> &[Share] {
        self.shares.clear();
        self.seats.clear();
        let mut left = self.left.take().unwrap_or_else(|| capacity.clone());
        left.set_to(capacity);
        let middle = queue.partition_point(|ask| !ask.is_last);
        for (mut start, end) in [(0, middle), (middle, queue.len())] {
            for ask in &queue[start..end] {
                self.admit(plan, &mut left, ask);
            }
            while start < end {
                let tier = queue[start].tier;
                let next = start + queue[start..end].iter().take_while(|ask| ask.tier == tier).count();
                self.raise_together(plan, &mut left, queue, start..next);
                start = next;
            }
        }
        self.left = Some(left);
        &self.shares
    }

    fn admit(&mut self, plan: &Plan, left: &mut Capacity, ask: &Ask) {
        let seat = Seat {
            path: plan.path(ask.evse),
            load: Load::from(ask),
            most: ask.step.floor(ask.most).max(ask.least),
            entry: ask.entry.max(ask.least),
        };
        let (amps, because) = if ask.most < ask.least {
            (Amps::ZERO, ask.capped)
        } else {
            match left.full_for(plan, seat.path, seat.load, rows::ticks(seat.entry)) {
                None => {
                    // All that it needs to start is kept for it, or it would wait beside cars that have what it lacks.
                    left.take_ticks(plan, seat.path, seat.load, rows::ticks(seat.entry));
                    (seat.entry.min(seat.most), ask.capped)
                }
                Some(Reason::Circuit(circuit, phase)) => (Amps::ZERO, Reason::Waiting(circuit, phase)),
                Some(because) => (Amps::ZERO, because),
            }
        };
        self.seats.push(seat);
        self.shares.push(Share { evse: ask.evse, amps, because });
    }

    /// Raises the admitted of one tier as far as the rows allow, rounds down, and hands the leftovers on in order.
    fn raise_together(&mut self, plan: &Plan, left: &mut Capacity, queue: &[Ask], tier: Range<usize>) {
        self.open.clear();
        self.open.extend(tier.filter(|i| self.shares[*i].amps.is_positive()));
        self.fill(plan, left, queue);
        for (&i, riser) in self.open.iter().zip(&self.filling.risers) {
            let (ask, seat, share) = (&queue[i], &self.seats[i], &mut self.shares[i]);
            let used = seat.uses(share.amps);
            share.amps = ask.step.floor(Amps::milli((riser.has / rows::TICKS) as i32)).max(ask.least);
            left.take_ticks(plan, seat.path, seat.load, seat.uses(share.amps) - used);
        }
        let (seats, shares) = (&self.seats, &mut self.shares);
        // A full row stays full: whoever cannot have the next step now will not have it later either.
        while !self.open.is_empty() {
            self.open.retain(|&i| {
                let (ask, seat, share) = (&queue[i], &seats[i], &mut shares[i]);
                let Some(next) = ask.step.next(share.amps).filter(|next| *next <= seat.most) else {
                    share.because = ask.capped;
                    return false;
                };
                let more = seat.uses(next) - seat.uses(share.amps);
                match left.full_for(plan, seat.path, seat.load, more) {
                    None => {
                        left.take_ticks(plan, seat.path, seat.load, more);
                        share.amps = next;
                        true
                    }
                    Some(because) => {
                        share.because = because;
                        false
                    }
                }
            });
        }
    }

    /// Fills what is left among those in `open`, without rounding: by what they need, where somebody's need is known,
    /// and then to a common level.
    fn fill(&mut self, plan: &Plan, left: &Capacity, queue: &[Ask]) {
        let Allocation { seats, shares, open, filling, .. } = self;
        filling.begin(left);
        let risers = open.iter().map(|&i| Riser::new(seats[i].path, seats[i].load, shares[i].amps));
        filling.risers.extend(risers);
        let known = || open.iter().filter_map(|&i| queue[i].need.map(|need| need.min(seats[i].most)));
        let speak = known().count() as i64;
        if speak > 0 {
            let average = Amps::milli((known().map(|need| i64::from(need.as_milli())).sum::<i64>() / speak) as i32);
            for (&i, riser) in open.iter().zip(&mut filling.risers) {
                let need = queue[i].need.unwrap_or(average).clamp(Amps::ZERO, seats[i].most);
                riser.weight = f64::from(queue[i].weight.max(1)) * f64::from(need.as_milli());
                riser.most = rows::ticks(need);
            }
            filling.run(plan, left);
        }
        for (&i, riser) in open.iter().zip(&mut filling.risers) {
            riser.weight = f64::from(queue[i].weight.max(1));
            riser.most = rows::ticks(seats[i].most);
        }
        filling.run(plan, left);
    }
}
