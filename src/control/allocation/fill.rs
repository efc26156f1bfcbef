//! How do all rise together? Progressive filling: each to its weight, until its most or a full row, in one sweep.
//!
//! The level (ticks a unit of weight) only rises. What a node carries is `used` + `slope` · level, and as every row is
//! monotone in every current, whoever meets a full row stays there. Events in order of the level: an EVSE begins to rise
//! when the level has come up to what it has, and stops at its most; a row is full, and all stop that load it. The
//! levels at which rows are full wait in a heap; when somebody stops, a row is full only later, so its entry may stand
//! until it comes up and is then reckoned again.

use super::plan::{Path, Plan};
use super::rows::{Bound, Capacity, Load, Rows, add, ticks};
use crate::units::Amps;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Less of a tick than this is rounding of the level.
const ROUNDING: f64 = 1e-3;
/// The end of a list of risers.
const NOBODY: u32 = u32::MAX;

/// One that shares; currents in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Riser {
    pub path: Path,
    pub load: Load,
    pub weight: f64,
    /// What it has, and after the filling what it can have.
    pub has: f64,
    pub most: f64,
    is_rising: bool,
    /// The next that rises in the same circuit.
    next: u32,
}

impl Riser {
    pub(super) fn new(path: Path, load: Load, has: Amps) -> Self {
        Riser { path, load, weight: 1.0, has: ticks(has), most: ticks(has), is_rising: false, next: NOBODY }
    }
}

/// The memory of a filling, kept from one to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Filling {
    pub risers: Vec<Riser>,
    nodes: Vec<Node>,
    /// In each circuit, the first that rises.
    first: Vec<u32>,
    /// Levels at which risers begin and stop, as bits: those of numbers above zero stand in their order.
    begins: Vec<(u64, u32)>,
    ends: Vec<(u64, u32)>,
    /// Levels at which nodes have a full row.
    full: BinaryHeap<Reverse<(u64, u32)>>,
    /// Nodes that carry more from this level on.
    steeper: Vec<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    used: Rows,
    slope: Rows,
    rising: u32,
    /// Where it was to be full when that was last reckoned; of its entries in the heap this one counts.
    due: Bound,
    /// Has nobody begun or stopped since?
    is_exact: bool,
    is_steeper: bool,
}

impl Filling {
    /// Nobody rises yet, and rows are as `capacity` has them.
    pub(super) fn begin(&mut self, capacity: &Capacity) {
        self.risers.clear();
        self.nodes.clear();
        self.nodes.extend(capacity.used.iter().map(|used| Node { used: *used, ..Node::default() }));
        self.first.resize(capacity.used.len(), NOBODY);
    }

    /// All rise; those that have their most already stand.
    pub(super) fn run(&mut self, plan: &Plan, capacity: &Capacity) {
        self.begins.clear();
        self.ends.clear();
        self.full.clear();
        self.first.fill(NOBODY);
        for (i, riser) in self.risers.iter().enumerate() {
            if riser.most > riser.has && riser.weight > 0.0 {
                self.begins.push(((riser.has / riser.weight).to_bits(), i as u32));
                self.ends.push(((riser.most / riser.weight).to_bits(), i as u32));
            }
        }
        self.begins.sort_unstable_by_key(|(level, _)| *level);
        self.ends.sort_unstable_by_key(|(level, _)| *level);
        let (mut begun, mut ended, mut open) = (0, 0, self.begins.len());
        while open > 0 {
            let begin = self.begins.get(begun).map_or(u64::MAX, |(level, _)| *level);
            let end = self.ends.get(ended).map_or(u64::MAX, |(level, _)| *level);
            let full = self.next_full(plan, capacity);
            match full {
                Some((node, bound)) if bound.reach.to_bits() < begin.min(end) => {
                    open -= self.stop_all(plan, capacity, node, &bound);
                }
                _ if end <= begin => {
                    let (level, i) = self.ends[ended];
                    ended += 1;
                    if self.risers[i as usize].is_rising {
                        self.stop(plan, capacity, i, f64::from_bits(level));
                        open -= 1;
                    }
                }
                _ => {
                    while self.begins.get(begun).is_some_and(|(level, _)| *level == begin) {
                        self.start(plan, capacity, self.begins[begun].1);
                        begun += 1;
                    }
                    self.reckon_steeper(plan, capacity);
                }
            }
        }
    }

    fn start(&mut self, plan: &Plan, capacity: &Capacity, i: u32) {
        let riser = &mut self.risers[i as usize];
        let nodes = plan.nodes(riser.path);
        riser.is_rising = true;
        if let Some(first) = nodes.first() {
            riser.next = std::mem::replace(&mut self.first[*first as usize], i);
        }
        for &n in nodes {
            let node = &mut self.nodes[n as usize];
            let share = capacity.share(plan, n as usize, riser.load);
            add(&mut node.used, share, -riser.has);
            add(&mut node.slope, share, riser.weight);
            node.rising += 1;
            if !node.is_steeper {
                node.is_steeper = true;
                self.steeper.push(n);
            }
        }
    }

    /// At this level it stops. Its place in the list is cleared by whoever walks it next.
    fn stop(&mut self, plan: &Plan, capacity: &Capacity, i: u32, level: f64) {
        let riser = &mut self.risers[i as usize];
        riser.is_rising = false;
        riser.has = ((riser.weight * level + ROUNDING) as i64 as f64).clamp(riser.has, riser.most);
        for &n in plan.nodes(riser.path) {
            let node = &mut self.nodes[n as usize];
            let share = capacity.share(plan, n as usize, riser.load);
            add(&mut node.used, share, riser.has);
            add(&mut node.slope, share, -riser.weight);
            node.is_exact = false;
            node.rising -= 1;
            if node.rising == 0 {
                // Whatever rounding has left there.
                node.slope = Rows::default();
            }
        }
    }

    /// A row is full: all stop that load it. How many.
    fn stop_all(&mut self, plan: &Plan, capacity: &Capacity, full: usize, bound: &Bound) -> usize {
        let mut used = self.nodes[full].used;
        add(&mut used, &self.nodes[full].slope, bound.reach);
        let stopped = self.stop_those(plan, capacity, full, bound, |filling, i| {
            let share = capacity.share(plan, full, filling.risers[i as usize].load);
            capacity.is_barred(plan, full, &used, share, bound)
        });
        match stopped {
            // Somebody must have made it full: where rounding hides who, all are held.
            0 => self.stop_those(plan, capacity, full, bound, |_, _| true),
            some => some,
        }
    }

    fn stop_those(
        &mut self,
        plan: &Plan,
        capacity: &Capacity,
        full: usize,
        bound: &Bound,
        is_held: impl Fn(&Filling, u32) -> bool,
    ) -> usize {
        let mut stopped = 0;
        for &circuit in plan.below(full) {
            let (mut before, mut i) = (NOBODY, self.first[circuit as usize]);
            while i != NOBODY {
                let riser = &self.risers[i as usize];
                let (next, is_here) =
                    (riser.next, plan.is_circuit(full) || plan.nodes(riser.path).contains(&(full as u32)));
                let stops = riser.is_rising && is_here && is_held(self, i);
                if stops {
                    self.stop(plan, capacity, i, bound.reach);
                    stopped += 1;
                }
                if self.risers[i as usize].is_rising {
                    before = i;
                } else if before == NOBODY {
                    self.first[circuit as usize] = next;
                } else {
                    self.risers[before as usize].next = next;
                }
                i = next;
            }
        }
        stopped
    }

    /// The node whose row is full first, if any will be.
    fn next_full(&mut self, plan: &Plan, capacity: &Capacity) -> Option<(usize, Bound)> {
        while let Some(&Reverse((level, n))) = self.full.peek() {
            let node = &self.nodes[n as usize];
            if node.rising > 0 && node.due.reach.to_bits() == level {
                if node.is_exact {
                    return Some((n as usize, node.due));
                }
                self.full.pop();
                self.wait(plan, capacity, n);
            } else {
                self.full.pop();
            }
        }
        None
    }

    fn reckon_steeper(&mut self, plan: &Plan, capacity: &Capacity) {
        while let Some(n) = self.steeper.pop() {
            self.nodes[n as usize].is_steeper = false;
            self.wait(plan, capacity, n);
        }
    }

    /// Reckons at which level this node has a full row, and puts that in the heap.
    fn wait(&mut self, plan: &Plan, capacity: &Capacity, n: u32) {
        let node = &mut self.nodes[n as usize];
        let bound = capacity.bound(plan, n as usize, &node.used, &node.slope);
        // The bits of what is below zero would not stand in their order.
        node.due = if bound.reach > 0.0 { bound } else { Bound { reach: 0.0, ..bound } };
        node.is_exact = true;
        if node.due.reach < f64::INFINITY {
            self.full.push(Reverse((node.due.reach.to_bits(), n)));
        }
    }
}
