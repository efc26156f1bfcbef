//! Which rows does each EVSE's current pass, and which EVSEs hang on a circuit? Read off the site once.

use crate::site::{CircuitId, EvseId, Site, Wiring};
use std::collections::BTreeMap;

/// How the currents of a circuit's cars add up on its conductors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addition {
    /// Ampere by ampere on each phase; exact with a neutral, and never too little without one.
    Arithmetic,
    /// Cars between two lines, all of unity power factor: a line carries √(a² + b² + a·b) of its two branches.
    Phasor,
    /// The primary lines of a transformer whose secondary has no neutral: |AB + BC − 2·CA| ÷ `ratio`, and in turn; for
    /// less on some branch can be more on a line, the worst of all that is less counts.
    Primary {
        /// 4 from 120/208 V up to 480 V in delta.
        ratio: u16,
    },
    /// No conductor at all: a set of EVSEs that share a power.
    Power,
    /// What some phases of the site carry more than others: whoever loads all of them alike takes nothing of it.
    Uneven,
}

/// What the site says of rows. A *node* is a circuit or, numbered after the circuits, a set of EVSEs that share a power, and
/// after those what all share that load phases unevenly; each has four rows: its three lines, and its power.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) wiring: Wiring,
    pub(super) circuits: usize,
    pub(super) additions: Vec<Addition>,
    /// Paths, one after the other.
    nodes: Vec<u32>,
    /// Where each EVSE's path stands there.
    paths: Vec<Path>,
    /// Circuits, each followed by all below it.
    order: Vec<u32>,
    /// How many stand there from each circuit on, itself included.
    below: Vec<Path>,
    /// EVSEs by circuit, in that order.
    evses: Vec<EvseId>,
    /// How many stand there from each circuit on, all below it included.
    evses_below: Vec<Path>,
}

/// A stretch of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Path {
    start: u32,
    len: u32,
}

impl Plan {
    /// As the site is; where the grid operator limits EVSEs' power, all of them share that.
    pub fn new(site: &Site) -> Self {
        let is_known = site.adds_phasors();
        let addition = |circuit| match site.primary {
            Some(primary) if primary.circuit == circuit && is_known => Addition::Primary { ratio: primary.ratio },
            _ if is_known => Addition::Phasor,
            _ => Addition::Arithmetic,
        };
        let sets: &[Vec<EvseId>] = match site.limits.dso {
            Some(_) => &[site.evse_ids().collect()],
            None => &[],
        };
        Plan::with(site, addition, sets)
    }

    /// With circuits where currents add up as `addition` says, and sets of EVSEs that share a power (§14a EnWG).
    pub fn with(site: &Site, addition: impl Fn(CircuitId) -> Addition, sets: &[Vec<EvseId>]) -> Self {
        let circuits = site.circuits.len();
        let uneven = site.limits.unbalance.map(|_| Addition::Uneven);
        let powers = sets.iter().map(|_| Addition::Power);
        let mut plan = Plan {
            wiring: site.wiring,
            circuits,
            additions: site.circuit_ids().map(addition).chain(powers).chain(uneven).collect(),
            nodes: Vec::new(),
            paths: Vec::with_capacity(site.evses.len()),
            order: Vec::with_capacity(circuits),
            below: vec![Path::default(); circuits],
            evses: Vec::with_capacity(site.evses.len()),
            evses_below: vec![Path::default(); circuits],
        };
        let mut known: BTreeMap<(CircuitId, Vec<usize>), Path> = BTreeMap::new();
        for id in site.evse_ids() {
            let of: Vec<usize> = (0..sets.len()).filter(|set| sets[*set].contains(&id)).collect();
            let circuit = site.evse(id).circuit;
            let nodes = &mut plan.nodes;
            let path = *known.entry((circuit, of)).or_insert_with_key(|(circuit, of)| {
                let start = nodes.len();
                nodes.extend(site.path(*circuit).map(|above| above.0 as u32));
                nodes.extend(of.iter().map(|set| (circuits + set) as u32));
                nodes.extend(uneven.map(|_| (circuits + sets.len()) as u32));
                Path { start: start as u32, len: (nodes.len() - start) as u32 }
            });
            plan.paths.push(path);
        }
        plan.put_in_order(site);
        plan
    }

    fn put_in_order(&mut self, site: &Site) {
        let mut children = vec![Vec::new(); site.circuits.len()];
        for id in site.circuit_ids() {
            if let Some(parent) = site.circuit(id).parent {
                children[parent.0].push(id.0);
            }
        }
        let mut open: Vec<usize> = if children.is_empty() { Vec::new() } else { vec![Site::ROOT.0] };
        while let Some(circuit) = open.pop() {
            self.below[circuit].start = self.order.len() as u32;
            self.order.push(circuit as u32);
            open.extend(children[circuit].iter().rev());
        }
        // Parents come before their children.
        for id in (0..site.circuits.len()).rev().map(CircuitId) {
            self.below[id.0].len += 1;
            if let Some(parent) = site.circuit(id).parent {
                self.below[parent.0].len += self.below[id.0].len;
            }
        }
        let mut own = vec![Vec::new(); site.circuits.len()];
        site.evse_ids().for_each(|id| own[site.evse(id).circuit.0].push(id));
        let mut starts = Vec::with_capacity(self.order.len() + 1);
        for circuit in &self.order {
            starts.push(self.evses.len() as u32);
            self.evses.extend(&own[*circuit as usize]);
        }
        starts.push(self.evses.len() as u32);
        for (evses, below) in self.evses_below.iter_mut().zip(&self.below) {
            let start = starts[below.start as usize];
            *evses = Path { start, len: starts[(below.start + below.len) as usize] - start };
        }
    }

    /// The EVSEs that hang on this circuit, or below it.
    pub fn evses_below(&self, circuit: CircuitId) -> &[EvseId] {
        stretch(&self.evses, self.evses_below[circuit.0])
    }

    pub(super) fn path(&self, evse: EvseId) -> Path {
        self.paths[evse.0]
    }

    /// The nodes on a path, the EVSE's own circuit first.
    pub(super) fn nodes(&self, path: Path) -> &[u32] {
        stretch(&self.nodes, path)
    }

    /// The node of what is loaded unevenly, where that has a limit.
    pub(super) fn uneven(&self) -> Option<usize> {
        let last = self.additions.len().checked_sub(1)?;
        (self.additions[last] == Addition::Uneven).then_some(last)
    }

    pub(super) fn is_circuit(&self, node: usize) -> bool {
        node < self.circuits
    }

    /// The circuits in which a node's EVSEs hang: a circuit and all below it; for a set, all.
    pub(super) fn below(&self, node: usize) -> &[u32] {
        self.below.get(node).map_or(&self.order, |below| stretch(&self.order, *below))
    }
}

fn stretch<T>(list: &[T], path: Path) -> &[T] {
    &list[path.start as usize..(path.start + path.len) as usize]
}
