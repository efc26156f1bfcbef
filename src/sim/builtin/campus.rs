//! Who comes to a campus garage? Sessions by seed, where nobody has brought recorded ones.
//!
//! Shaped after what is known of such places: on working days some come between seven and eleven and stay the day, some
//! come in the afternoon and stay for hours; at weekends few come. They want 3 to 25 kWh, most of them 5 to 12.

use crate::sim::dice::Dice;
use crate::sim::sessions::Visit;
use crate::site::{EvseId, Site};
use crate::time::{Duration, Moment};
use crate::units::Amps;

const DAY_S: u64 = 86_400;
/// Who comes on a working day, and at a weekend.
const WORKING: u32 = 42;
const WEEKEND: u32 = 10;

/// Sessions of so many days; the first day is a Friday, as the first of March 2019 was.
pub(super) fn visits(site: &Site, seed: u64, days: u64) -> Vec<Visit> {
    let dice = &mut Dice::new(seed, 300);
    let mut free_at = vec![Moment::START; site.evses.len()];
    let mut visits = Vec::new();
    for day in 0..days {
        let is_weekend = matches!((day + 4) % 7, 5 | 6);
        let guests = if is_weekend { WEEKEND } else { WORKING };
        let mut arrivals: Vec<(u64, u64)> = (0..guests).map(|_| times(dice)).collect();
        arrivals.sort_unstable();
        for (arrival, stay) in arrivals {
            let arrival = Moment::START + Duration::from_secs(day * DAY_S + arrival);
            let free: Vec<usize> = (0..free_at.len()).filter(|evse| free_at[*evse] <= arrival).collect();
            let energy_wh =
                1_000 * dice.between(3, 12) + if dice.chance(0.25) { 1_000 * dice.between(1, 13) } else { 0 };
            if free.is_empty() {
                continue;
            }
            let evse = free[dice.between(0, free.len() as i64 - 1) as usize];
            let departure = arrival + Duration::from_secs(stay);
            free_at[evse] = departure;
            visits.push(Visit {
                arrival,
                departure,
                evse: EvseId(evse),
                energy_wh,
                terminals: (0, 1),
                most: Amps::whole(32),
                priority: 0,
            });
        }
    }
    visits
}

/// Seconds after midnight, and how long somebody stays.
fn times(dice: &mut Dice) -> (u64, u64) {
    match dice.chance(0.65) {
        true => (dice.between(7 * 3_600, 11 * 3_600) as u64, dice.between(6 * 3_600, 10 * 3_600) as u64),
        false => (dice.between(12 * 3_600, 19 * 3_600) as u64, dice.between(3_600, 5 * 3_600) as u64),
    }
}
