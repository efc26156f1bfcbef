//! What does a step work with that decides nothing? Lists, and what has been read off the site.

use super::Freshness;
use super::allocation::{Ask, Plan};
use super::draw::Draw;
use super::freshness::Proven;
use super::headroom::{Below, RowView};
use super::mode;
use super::observation::Sample;
use super::queue::{Rank, Sight, Wish};
use super::reason::Reason;
use super::setpoint::Desk;
use super::worst::Worst;
use crate::site::{EvseId, Site};
use crate::units::Amps;

/// What depends on the site only, and what each step fills anew: kept, so that a step in steady life asks for no memory.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub plan: Plan,
    pub worst: Option<Worst>,
    pub desk: Desk,
    pub sun: mode::Desk,
    // By meter.
    pub samples: Vec<Option<Sample>>,
    pub freshness: Vec<Freshness>,
    pub proven: Vec<Proven>,
    // By EVSE.
    pub draws: Vec<Draw>,
    pub sights: Vec<Sight>,
    pub before: Vec<Amps>,
    pub wishes: Vec<Wish>,
    // By circuit.
    pub sights_at: Vec<Sight>,
    pub below: Vec<Below>,
    /// And then the others.
    pub rows: Vec<RowView>,
    // In the order of admission.
    pub ranks: Vec<Rank>,
    pub queue: Vec<Ask>,
    // By EVSE.
    pub apart: Vec<(EvseId, Reason)>,
    pub places: Vec<Option<usize>>,
}

impl Work {
    pub(super) fn new(site: &Site) -> Self {
        let plan = Plan::new(site);
        Work {
            desk: Desk::new(&plan),
            sun: mode::Desk::new(&plan),
            plan,
            worst: Worst::of(site),
            samples: Vec::new(),
            freshness: Vec::new(),
            proven: Vec::new(),
            draws: Vec::new(),
            sights: Vec::new(),
            before: Vec::new(),
            wishes: Vec::new(),
            sights_at: Vec::new(),
            below: Vec::new(),
            rows: Vec::new(),
            ranks: Vec::new(),
            queue: Vec::new(),
            apart: Vec::new(),
            places: vec![None; site.evses.len()],
        }
    }
}

/// The list filled anew.
pub(super) fn refill<T>(list: &mut Vec<T>, with: impl Iterator<Item = T>) {
    list.clear();
    list.extend(with);
}
