//! What flows if the gateway dies, and for how long? The house at its worst beside all that cars may have been given.
//!
//! Told for each circuit, never hidden: no software is there to cut then, until leases have run out.

use super::check_chargers::seconds;
use super::check_circuits::{Draft, Parent};
use super::code;
use super::diagnostic::Diagnostic;
use super::ledger::{Car, exact, is_below, stated};
use super::raw::Faults;
use crate::breaker::first_to_trip;
use crate::site::{LapseClass, Wiring};
use crate::time::Duration;
use crate::units::{Amps, PerPhase, Phase};

/// All that the reckoning is about.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The circuits, by their places.
    pub drafts: &'a [Draft<'a>],
    /// The chargers.
    pub cars: &'a [Car<'a>],
    /// The site's.
    pub wiring: Wiring,
    /// The house at its worst.
    pub house_worst: PerPhase<Amps>,
    /// Where something feeds in, cars may have been given more than the fuse carries.
    pub feeds_in: bool,
}

/// The worst of one phase.
struct Worst {
    phase: Phase,
    stated: Amps,
    cars: Amps,
    fuse: Amps,
    lasts: Duration,
}

/// One line for each circuit; a warning where something would trip.
pub fn tell(scene: &Scene, faults: &mut Faults) {
    for (place, draft) in scene.drafts.iter().enumerate() {
        let all: Option<Vec<Worst>> =
            scene.wiring.phases().iter().map(|phase| Worst::on(scene, place, draft, phase)).collect();
        // The first of equals, and that they are.
        let Some(worst) = all.into_iter().flatten().rev().max_by_key(Worst::total) else { continue };
        let line = format!("{} {}: {}", draft.id.unwrap_or("?"), worst.phase, worst.words());
        faults.notes.push(line);
        if let Some((device, after)) = worst.trips() {
            faults.push(worst.warning(draft, device, after));
        }
    }
}

impl Worst {
    fn on(scene: &Scene, place: usize, draft: &Draft, phase: Phase) -> Option<Worst> {
        let is_root = draft.parent == Parent::Grid;
        let below: Vec<&Car> =
            scene.cars.iter().filter(|car| car.circuit.is_some_and(|own| is_below(scene.drafts, own, place))).collect();
        let response = |car: &&Car| Some(seconds(car.row, "lease_s")? + seconds(car.row, "response_s")?);
        // One of class C goes on for ever, and counts as if it did: with that it fits (E021).
        let lapsing = below.iter().filter(|car| car.lapse != Some(LapseClass::C));
        let lasts = lapsing.map(response).collect::<Option<Vec<_>>>()?.into_iter().max();
        let stated = if is_root { scene.house_worst } else { stated(scene.drafts, place) };
        Some(Worst {
            phase,
            stated: stated[phase],
            cars: granted(scene, place, phase)?,
            fuse: draft.fuse?[phase],
            lasts: lasts.unwrap_or_default(),
        })
    }

    fn total(&self) -> Amps {
        self.stated + self.cars
    }

    /// What trips first before the leases have run out.
    fn trips(&self) -> Option<(&'static str, Duration)> {
        first_to_trip(self.total(), self.fuse, self.lasts)
    }

    fn words(&self) -> String {
        if self.total() <= self.fuse {
            return format!("at worst {} of {} if this gateway dies", exact(self.total()), exact(self.fuse));
        }
        let much = format!(
            "at worst {} = {:.2} × {} for {} s if this gateway dies",
            exact(self.total()),
            self.total().as_f64() / self.fuse.as_f64(),
            exact(self.fuse),
            self.lasts.as_secs()
        );
        match self.trips() {
            Some((device, after)) => format!("{much}; a {device} trips after {} s", after.as_secs()),
            None => format!("{much}; no breaker and no gG fuse trips"),
        }
    }

    fn warning(&self, draft: &Draft, device: &str, after: Duration) -> Diagnostic {
        let message = format!(
            "{}: if this gateway dies while the house goes to its worst, a {device} may trip after {} s",
            draft.row.who,
            after.as_secs()
        );
        let label = format!(
            "{}: {} + cars {} = {} for {} s",
            self.phase,
            exact(self.stated),
            exact(self.cars),
            exact(self.total()),
            self.lasts.as_secs()
        );
        let help = "the longest lease_s and response_s of the chargers below count, together; leases that are over \
                    sooner, or a lower most_a, keep it from tripping";
        Diagnostic::at(code::MAY_TRIP, draft.row.at("fuse_a"), message).label(label).help(help)
    }
}

/// The most that cars on and below a circuit may have been given: what they take, but no more than was left of the fuse
/// where nothing feeds in; and no less than what they take without us.
fn granted(scene: &Scene, place: usize, phase: Phase) -> Option<Amps> {
    let draft = &scene.drafts[place];
    let on = |car: &&Car| car.rotation.is_some_and(|rotation| rotation.phases().contains(phase));
    let here = scene.cars.iter().filter(on).filter(|car| car.circuit == Some(place));
    let own = here.map(|car| car.most).sum::<Option<Amps>>()?;
    let children = (0..scene.drafts.len()).filter(|child| scene.drafts[*child].parent == Parent::Circuit(place));
    let below = children.map(|child| granted(scene, child, phase)).sum::<Option<Amps>>()?;
    let alone: Amps = scene
        .cars
        .iter()
        .filter(on)
        .filter(|car| car.circuit.is_some_and(|own| is_below(scene.drafts, own, place)))
        .map(Car::alone)
        .sum();
    // A stated load is always kept free; a measured one may have been nothing.
    let kept = if draft.meter.is_some() { Amps::ZERO } else { stated(scene.drafts, place)[phase] };
    let left = draft.fuse?[phase] - draft.margin?[phase] - kept;
    Some(if scene.feeds_in { own + below } else { (own + below).min(left).max(alone) })
}
