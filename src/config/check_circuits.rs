//! How do the circuits hang together? One tree from the grid connection down, each with a meter or a stated load.

use super::code;
use super::diagnostic::Diagnostic;
use super::raw::{Faults, Phases, Row};
use super::suggest::closest;
use crate::site::{Circuit, CircuitId, MeterId, Wiring};
use crate::units::{Amps, PerPhase, Phase};

/// A circuit as far as it is known; what is faulty is `None`.
#[derive(Debug)]
pub struct Draft<'r> {
    /// Where it stands.
    pub row: &'r Row,
    /// Its id.
    pub id: Option<&'r str>,
    /// Its feed.
    pub parent: Parent,
    /// The fuse, each phase.
    pub fuse: Option<PerPhase<Amps>>,
    /// Distance kept, each phase.
    pub margin: Option<PerPhase<Amps>>,
    /// The stated load besides our cars; zero where none is stated.
    pub other_load: Option<PerPhase<Amps>>,
    /// Which `[[meter]]` measures it.
    pub meter: Option<usize>,
}

/// What feeds a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// The grid.
    Grid,
    /// This circuit, by its place in the file.
    Circuit(usize),
    /// A fault has been told.
    Unclear,
}

/// All circuits, in the file's order. A meter's place is its [`MeterId`].
pub fn compile<'r>(rows: &'r [Row], meters: &'r [Row], wiring: Option<Wiring>, faults: &mut Faults) -> Vec<Draft<'r>> {
    unique(rows, "id", faults);
    let ids: Vec<Option<&str>> = rows.iter().map(|row| row.text("id").ok()).collect();
    let measured = measured(rows, &ids, meters, faults);
    let mut drafts: Vec<Draft> = rows
        .iter()
        .enumerate()
        .map(|(place, row)| Draft {
            row,
            id: ids[place],
            parent: parent(row, &ids, faults),
            fuse: per_phase(row, "fuse_a", wiring, faults).flatten(),
            margin: None,
            other_load: per_phase(row, "other_load_a", wiring, faults).map(|load| load.unwrap_or_default()),
            meter: measured.by_circuit[place],
        })
        .collect();
    for draft in &mut drafts {
        draft.margin = margin(draft, meters, wiring, faults);
    }
    break_circles(&mut drafts, faults);
    one_root(&drafts, faults);
    all_measured(&drafts, measured.is_complete, faults);
    drafts
}

/// The circuits with parents first, the grid connection at 0, else in the file's order. With it, for each place in the
/// file, the circuit's id. `None` while anything is faulty.
pub fn ordered(drafts: &[Draft]) -> Option<(Vec<Circuit>, Vec<CircuitId>)> {
    let mut ids: Vec<Option<CircuitId>> = vec![None; drafts.len()];
    let mut circuits = Vec::new();
    while circuits.len() < drafts.len() {
        let is_fed = |draft: &Draft| match draft.parent {
            Parent::Grid => circuits.is_empty(),
            Parent::Circuit(place) => ids[place].is_some(),
            Parent::Unclear => false,
        };
        let place = (0..drafts.len()).find(|place| ids[*place].is_none() && is_fed(&drafts[*place]))?;
        let draft = &drafts[place];
        let parent = match draft.parent {
            Parent::Circuit(parent) => ids[parent],
            Parent::Grid | Parent::Unclear => None,
        };
        ids[place] = Some(CircuitId(circuits.len()));
        circuits.push(Circuit {
            id: draft.id?.to_string(),
            name: draft.row.text("name").or(draft.id?)?.to_string(),
            parent,
            limit: draft.fuse?,
            margin: draft.margin?,
            meter: draft.meter.map(MeterId),
            other_load: draft.other_load?,
        });
    }
    Some((circuits, ids.into_iter().collect::<Option<_>>()?))
}

/// Amperes for each phase; phases that the site does not have get zero. `None` after a fault, `Some(None)` if absent.
pub fn per_phase(row: &Row, key: &str, wiring: Option<Wiring>, faults: &mut Faults) -> Option<Option<PerPhase<Amps>>> {
    let Some(given) = row.phases(key).optional()? else { return Some(None) };
    let present = wiring?.phases();
    if let Phases::Each(list) = given
        && list.len() != present.count()
    {
        let site = if present.count() == 1 { "the site has one phase" } else { "the site has three phases" };
        let message = format!("{key} of {} has {} values, and {site}", row.who, list.len());
        let label = if present.count() == 1 { "one number is needed here" } else { "one number, or three" };
        faults.push(Diagnostic::at(code::PHASE_COUNT, row.at(key), message).label(label));
        return None;
    }
    let phases = Phase::ALL.map(|phase| match given {
        _ if !present.contains(phase) => Some(Amps::ZERO),
        Phases::All(amps) => Amps::from_f64(amps),
        Phases::Each(list) => list.get(phase.index()).copied().and_then(Amps::from_f64),
    });
    match phases {
        [Some(l1), Some(l2), Some(l3)] => Some(Some(PerPhase([l1, l2, l3]))),
        _ => None,
    }
}

/// The place in the file of the circuit that `key` names, or a fault. Silent where an id is itself faulty.
pub fn find(row: &Row, key: &str, fault: &'static str, ids: &[Option<&str>], faults: &mut Faults) -> Option<usize> {
    let wanted = row.text(key).ok()?;
    let found = ids.iter().position(|id| *id == Some(wanted));
    if found.is_none() && !ids.is_empty() && ids.iter().all(Option::is_some) {
        let message = format!("{} has an unknown {key} \"{wanted}\"", row.who);
        let guess = closest(wanted, ids.iter().flatten().copied());
        faults.push(Diagnostic::at(fault, row.at(key), message).label("no circuit has this id").did_you_mean(guess));
    }
    found
}

/// Ids must be unique among `rows`.
pub fn unique(rows: &[Row], key: &str, faults: &mut Faults) {
    for (place, row) in rows.iter().enumerate() {
        let Some(id) = row.text(key).ok() else { continue };
        if let Some(first) = rows[..place].iter().find(|other| other.text(key).ok() == Some(id)) {
            let line = faults.line(first.at(key));
            let message = format!("the {key} of {} is used twice", row.who);
            let fault = Diagnostic::at(code::DUPLICATE, row.at(key), message);
            faults.push(fault.label(format!("already used on line {line}")));
        }
    }
}

struct Measured {
    by_circuit: Vec<Option<usize>>,
    /// No meter's circuit is unclear.
    is_complete: bool,
}

fn measured(rows: &[Row], ids: &[Option<&str>], meters: &[Row], faults: &mut Faults) -> Measured {
    let mut measured = Measured { by_circuit: vec![None; rows.len()], is_complete: true };
    for (place, meter) in meters.iter().enumerate() {
        let Some(circuit) = find(meter, "circuit", code::UNKNOWN_CIRCUIT, ids, faults) else {
            measured.is_complete = false;
            continue;
        };
        match measured.by_circuit[circuit] {
            None => measured.by_circuit[circuit] = Some(place),
            Some(first) => {
                let message = format!("{} and {} measure the same circuit", meters[first].who, meter.who);
                let fault = Diagnostic::at(code::TWO_METERS, meter.at("circuit"), message);
                faults.push(fault.label(format!("{} is there already", meters[first].who)));
            }
        }
    }
    measured
}

fn parent(row: &Row, ids: &[Option<&str>], faults: &mut Faults) -> Parent {
    if row.text("parent").optional() == Some(None) {
        return Parent::Grid;
    }
    find(row, "parent", code::UNKNOWN_PARENT, ids, faults).map_or(Parent::Unclear, Parent::Circuit)
}

/// max(0.5 A, 2 % of the fuse) + resolution of the meter, unless the installer says otherwise.
fn margin(draft: &Draft, meters: &[Row], wiring: Option<Wiring>, faults: &mut Faults) -> Option<PerPhase<Amps>> {
    let fuse = draft.fuse?;
    let resolution = match draft.meter {
        Some(meter) => Amps::from_f64(meters[meter].number("resolution_a").ok()?)?,
        None => Amps::ZERO,
    };
    let given = draft.row.number("margin_a").optional()?.map(Amps::from_f64);
    let margin = match given {
        Some(margin) => PerPhase::all(margin?),
        None => PerPhase::from_fn(|phase| Amps::milli(500).max(fuse[phase].scaled(2, 100)) + resolution),
    };
    let phases = wiring?.phases();
    if phases.iter().any(|phase| margin[phase] >= fuse[phase]) {
        let message = format!("the margin of {} leaves nothing of its fuse", draft.row.who);
        let key = if given.is_some() { "margin_a" } else { "fuse_a" };
        let label = format!("a margin of {} below a fuse of {}", margin.most(), fuse.most());
        faults.push(Diagnostic::at(code::MARGIN, draft.row.at(key), message).label(label));
        return None;
    }
    Some(PerPhase::from_fn(|phase| if phases.contains(phase) { margin[phase] } else { Amps::ZERO }))
}

/// Tells each circle once, and takes its links out so that the rest can be checked.
fn break_circles(drafts: &mut [Draft], faults: &mut Faults) {
    for start in 0..drafts.len() {
        let mut circle = vec![start];
        let mut at = start;
        while let Parent::Circuit(next) = drafts[at].parent {
            if next == start {
                let names: Vec<&str> = circle.iter().map(|place| drafts[*place].id.unwrap_or("?")).collect();
                let message = match names.as_slice() {
                    [only] => format!("circuit \"{only}\" feeds itself"),
                    _ => format!("circuits feed each other in a circle: {} → {}", names.join(" → "), names[0]),
                };
                let fault = Diagnostic::at(code::CIRCLE, drafts[start].row.at("parent"), message);
                faults.push(fault.help("follow the wires: each circuit's parent is the one nearer to the grid"));
                for place in circle {
                    drafts[place].parent = Parent::Unclear;
                }
                break;
            }
            // Into another circle, which its own member tells.
            if circle.contains(&next) {
                break;
            }
            circle.push(next);
            at = next;
        }
    }
}

fn one_root(drafts: &[Draft], faults: &mut Faults) {
    let mut roots = drafts.iter().filter(|draft| draft.parent == Parent::Grid);
    let Some(first) = roots.next() else { return };
    for second in roots {
        let message = format!("{} has no parent, and {} has none either", second.row.who, first.row.who);
        let fault = Diagnostic::at(code::TWO_ROOTS, second.row.span, message).label("a \"parent\" is needed here");
        let help = first.id.map(|id| format!("only the grid connection has none: add parent = \"{id}\""));
        faults.push(Diagnostic { help, ..fault });
    }
}

fn all_measured(drafts: &[Draft], is_complete: bool, faults: &mut Faults) {
    let mut roots = 0;
    for draft in drafts {
        let is_root = draft.parent == Parent::Grid;
        roots += usize::from(is_root);
        match (draft.meter, draft.row.is_given("other_load_a")) {
            (Some(_), true) => {
                let message = format!("other_load_a of {} has no effect: its meter measures it", draft.row.who);
                faults.push(Diagnostic::at(code::NO_EFFECT, draft.row.key_at("other_load_a"), message));
            }
            (None, _) if is_root && roots == 1 && is_complete => {
                let message = format!("{} is the grid connection and has no meter", draft.row.who);
                let fault = Diagnostic::at(code::ROOT_UNMETERED, draft.row.span, message);
                let help = draft.id.map(|id| format!("add a [[meter]] with circuit = \"{id}\""));
                faults.push(Diagnostic { help, ..fault.label("nothing measures what the house takes") });
            }
            (None, false) if !is_root && is_complete => {
                let message = format!("{} has neither a meter nor other_load_a", draft.row.who);
                let fault = Diagnostic::at(code::UNMETERED, draft.row.span, message);
                let help = "add a [[meter]] for it, or state the most that takes current there besides our cars: \
                            other_load_a = 0 if nothing does";
                faults.push(fault.label("what else it carries is not known").help(help));
            }
            (Some(_) | None, _) => {}
        }
    }
}
