//! What is the installer told of a dead gateway? For each circuit what flows at worst, and what would trip.

use super::check_circuits::Draft;
use super::code;
use super::diagnostic::Diagnostic;
use super::ledger::exact;
use super::raw::Faults;
use crate::breaker::carried_by_last;
use crate::site::{CircuitId, Evse, LapseClass, Site};
use crate::time::Duration;
use crate::transient::Transient;

/// One line for each circuit; a warning where something would trip. `order` leads from the file's order to the site's.
pub fn tell(site: &Site, drafts: &[Draft], order: &[CircuitId], feeds_in: bool, faults: &mut Faults) {
    for (draft, circuit) in drafts.iter().zip(order) {
        let all = site.wiring.phases().iter().map(|phase| Transient::of(site, *circuit, phase, feeds_in));
        // Phases may have different fuses: the worst by its own fuse, the first of equals.
        let share = |of: &Transient| i64::from(of.total().as_milli()) * 1000 / i64::from(of.rated.as_milli()).max(1);
        let Some(worst) = all.reduce(|one, other| if share(&other) > share(&one) { other } else { one }) else {
            continue;
        };
        faults.notes.push(format!("{} {}: {}", draft.id.unwrap_or("?"), worst.phase, words(&worst)));
        if let Some(after) = worst.last_to_trip() {
            faults.push(all_trip(site, *circuit, draft, &worst, after));
        } else if let Some((device, after)) = worst.first_to_trip() {
            faults.push(may_trip(draft, &worst, device, after));
        }
    }
}

fn words(worst: &Transient) -> String {
    if worst.total() <= worst.rated {
        return format!("at worst {} of {} if this gateway dies", exact(worst.total()), exact(worst.rated));
    }
    let much = format!(
        "at worst {} = {:.2} × {} for {} s if this gateway dies",
        exact(worst.total()),
        worst.total().as_f64() / worst.rated.as_f64(),
        exact(worst.rated),
        worst.lasts.as_secs()
    );
    match (worst.first_to_trip(), worst.last_to_trip()) {
        (Some((device, after)), None) => format!("{much}; a {device} trips after {} s", after.as_secs()),
        (Some((device, first)), Some(last)) => {
            format!("{much}; a {device} trips after {} s, any breaker after {} s", first.as_secs(), last.as_secs())
        }
        (None, _) => format!("{much}; no breaker and no gG fuse trips"),
    }
}

fn label(worst: &Transient) -> String {
    format!(
        "{}: {} + cars {} = {} for {} s",
        worst.phase,
        exact(worst.stated),
        exact(worst.cars),
        exact(worst.total()),
        worst.lasts.as_secs()
    )
}

/// The quickest that conform would trip.
fn may_trip(draft: &Draft, worst: &Transient, device: &str, after: Duration) -> Diagnostic {
    let message = format!(
        "{}: if this gateway dies while the house goes to its worst, a {device} may trip after {} s",
        draft.row.who,
        after.as_secs()
    );
    let help = "the longest lease_s and response_s of the chargers below count, together; leases that are over \
                sooner, or a lower most_a, keep it from tripping";
    Diagnostic::at(code::MAY_TRIP, draft.row.at("fuse_a"), message).label(label(worst)).help(help)
}

/// Their ids; where they are more than a line bears, how many.
pub fn named(evses: &[&Evse]) -> String {
    const MOST_NAMES: usize = 4;
    match evses.len() {
        0..=MOST_NAMES => evses.iter().map(|evse| evse.id.as_str()).collect::<Vec<_>>().join(", "),
        many => format!("{many} chargers"),
    }
}

/// The slowest would, too: what is to be done, in numbers.
fn all_trip(site: &Site, circuit: CircuitId, draft: &Draft, worst: &Transient, after: Duration) -> Diagnostic {
    let message = format!(
        "{}: if this gateway dies while the house goes to its worst, any breaker trips: the slowest after {} s",
        draft.row.who,
        after.as_secs()
    );
    let below = site.evse_ids().filter(|id| site.feeds(circuit, *id)).map(|id| site.evse(id));
    let late: Vec<&Evse> =
        below.filter(|evse| evse.lapse != LapseClass::C && evse.lease + evse.response > after).collect();
    let who = named(&late);
    let response = late.iter().map(|evse| evse.response).max().unwrap_or_default();
    let lease = after.saturating_sub(response).as_secs();
    // A lease must outlast two responses (E028).
    let remedy = match lease > 2 * response.as_secs() {
        true => format!("; lease_s = {lease} or less there keeps the slowest in, or"),
        false => ", and no lease is short enough;".to_owned(),
    };
    let help = format!(
        "without the gateway {who} may go on for lease_s + response_s{remedy} lower most_a (or house_worst_a, if the house \
         takes less) until no more than {} may flow",
        exact(carried_by_last(worst.rated, worst.lasts))
    );
    Diagnostic::at(code::TRIPS, draft.row.at("fuse_a"), message).label(label(worst)).help(help)
}
