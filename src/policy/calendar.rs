//! When is it allowed, and which day, week or month is it? By the clock on the wall of the location, summer time and all.
//!
//! A window begins and ends at a time of day. A time that a night does not have (the clock goes forward) counts as the
//! moment at which the clock goes forward; one that a night has twice counts the first time. So a window is never opened
//! twice in a night, and what lies across the change is an hour shorter or longer, as the night is.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// No clock goes forward by more than this; most do by an hour.
const LONGEST_GAP: TimeDelta = TimeDelta::hours(3);

/// Where a location's clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone(Tz);

impl Default for Zone {
    fn default() -> Self {
        Zone(Tz::UTC)
    }
}

impl Zone {
    /// By its name in the IANA database, such as `Europe/Oslo`; `None`: there is no such zone.
    pub fn named(name: &str) -> Option<Zone> {
        name.parse().ok().map(Zone)
    }

    /// The first moment at which this clock shows that time; where it never does, the one at which it goes forward.
    fn moment(&self, day: NaiveDate, time: NaiveTime) -> Option<DateTime<Utc>> {
        let wanted = day.and_time(time);
        let found = match self.0.from_local_datetime(&wanted) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => moment.to_utc(),
            LocalResult::None => {
                // The offset before the gap names a moment after it, which is as much too late as `wanted` is in the gap.
                let before = self.0.from_local_datetime(&(wanted - LONGEST_GAP)).earliest()?;
                let late = before.to_utc() + LONGEST_GAP;
                let shows = late.with_timezone(&self.0).naive_local();
                let gap = shows - wanted;
                // Minutes into the gap: back to its beginning.
                let into = (0..=gap.num_minutes()).find(|minutes| {
                    let earlier = (late - TimeDelta::minutes(minutes + 1)).with_timezone(&self.0).naive_local();
                    earlier < wanted
                })?;
                late - TimeDelta::minutes(into)
            }
        };
        Some(found)
    }
}

/// Some hours on some days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// On which days it begins, Monday first.
    pub days: [bool; 7],
    /// Minutes after midnight at which it begins: 0 to 1439.
    pub from: u16,
    /// And at which it ends; not after `from`: on the next day.
    pub to: u16,
}

impl Window {
    /// Is it open?
    fn holds(&self, zone: &Zone, now: DateTime<Utc>) -> bool {
        let today = now.with_timezone(&zone.0).date_naive();
        // What began yesterday may go on.
        let days = [today.checked_sub_days(Days::new(1)), Some(today)];
        days.into_iter().flatten().filter(|day| self.days[day.weekday().num_days_from_monday() as usize]).any(|day| {
            let last = if self.to > self.from { Some(day) } else { day.checked_add_days(Days::new(1)) };
            let at = |day: NaiveDate, minutes: u16| zone.moment(day, time_of_day(minutes));
            let (begins, ends) = (at(day, self.from), last.and_then(|last| at(last, self.to)));
            matches!((begins, ends), (Some(begins), Some(ends)) if begins <= now && now < ends)
        })
    }
}

fn time_of_day(minutes: u16) -> NaiveTime {
    let seconds = u32::from(minutes) * 60;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0).unwrap_or(NaiveTime::MIN)
}

/// When its people may charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// In any of these.
    pub allow: Vec<Window>,
    /// May a session begin outside them, to charge later?
    pub begins_outside: bool,
}

impl Schedule {
    /// May they now?
    pub fn allows(&self, zone: &Zone, now: DateTime<Utc>) -> bool {
        self.allow.iter().any(|window| window.holds(zone, now))
    }
}

/// How often an allowance begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// At midnight.
    Day,
    /// In the night to Monday.
    Week,
    /// In the night to the first.
    Month,
}

impl Period {
    /// The name of the one that this is in: another name, another allowance.
    pub fn name(self, zone: &Zone, now: DateTime<Utc>) -> String {
        let local = now.with_timezone(&zone.0);
        match self {
            Period::Day => local.format("%F").to_string(),
            Period::Week => local.format("%G-W%V").to_string(),
            Period::Month => local.format("%Y-%m").to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [bool; 7] = [true; 7];

    fn oslo() -> Zone {
        Zone::named("Europe/Oslo").unwrap()
    }

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn minutes(text: &str) -> u16 {
        let (hours, minutes) = text.split_once(':').unwrap();
        hours.parse::<u16>().unwrap() * 60 + minutes.parse::<u16>().unwrap()
    }

    fn window(from: &str, to: &str) -> Window {
        Window { days: ALL, from: minutes(from), to: minutes(to) }
    }

    /// The minutes, counted from `start`, at which the window opens and closes within a day.
    fn edges(window: Window, start: &str) -> Vec<(i64, bool)> {
        let (zone, start) = (oslo(), utc(start));
        let holds = |minute: i64| window.holds(&zone, start + TimeDelta::minutes(minute));
        let mut edges = Vec::new();
        let mut was = holds(0);
        for minute in 1..1440 {
            if holds(minute) != was {
                was = !was;
                edges.push((minute, was));
            }
        }
        edges
    }

    #[test]
    fn a_night_is_open_from_the_evening_to_the_morning_by_the_clock_on_the_wall() {
        // In winter Oslo is an hour before UTC.
        assert_eq!(edges(window("22:00", "06:00"), "2026-01-10T12:00:00Z"), [(9 * 60, true), (17 * 60, false)]);
        assert_eq!(edges(window("22:00", "06:00"), "2026-07-10T12:00:00Z"), [(8 * 60, true), (16 * 60, false)]);
    }

    #[test]
    fn the_night_without_an_hour_is_an_hour_shorter() {
        // On 2026-03-29 at 01:00 UTC the clock goes from 02:00 to 03:00.
        let noon = "2026-03-28T12:00:00Z";
        assert_eq!(edges(window("22:00", "06:00"), noon), [(9 * 60, true), (16 * 60, false)]);
        // Begins in the hour that is not there: when the clock goes forward.
        assert_eq!(edges(window("02:30", "06:00"), noon), [(13 * 60, true), (16 * 60, false)]);
        assert_eq!(edges(window("01:00", "02:30"), noon), [(12 * 60, true), (13 * 60, false)]);
        assert_eq!(edges(window("02:15", "02:45"), noon), [], "all of it is in the hour that is not there");
    }

    #[test]
    fn the_night_with_an_hour_twice_opens_no_window_twice() {
        // On 2026-10-25 at 01:00 UTC the clock goes from 03:00 back to 02:00.
        let noon = "2026-10-24T12:00:00Z";
        assert_eq!(edges(window("22:00", "06:00"), noon), [(8 * 60, true), (17 * 60, false)]);
        assert_eq!(edges(window("02:00", "02:30"), noon), [(12 * 60, true), (12 * 60 + 30, false)]);
        assert_eq!(edges(window("02:30", "06:00"), noon), [(12 * 60 + 30, true), (17 * 60, false)]);
        assert_eq!(edges(window("01:00", "02:30"), noon), [(11 * 60, true), (12 * 60 + 30, false)]);
    }

    #[test]
    fn a_window_belongs_to_the_day_on_which_it_begins() {
        let mut days = [false; 7];
        days[4] = true;
        let friday = Window { days, ..window("22:00", "06:00") };
        let at = |text: &str| friday.holds(&oslo(), utc(text));
        assert!(
            at("2026-01-09T23:00:00Z") && at("2026-01-10T04:00:00Z"),
            "Friday's night, and what is left of it on Saturday"
        );
        assert!(!at("2026-01-10T23:00:00Z") && !at("2026-01-09T04:00:00Z"));
    }

    #[test]
    fn the_same_time_twice_is_a_whole_day() {
        assert_eq!(edges(window("00:00", "00:00"), "2026-01-10T12:00:00Z"), []);
        assert!(window("07:00", "07:00").holds(&oslo(), utc("2026-01-10T12:00:00Z")));
    }

    #[test]
    fn a_schedule_is_open_in_any_of_its_windows() {
        let schedule =
            Schedule { allow: vec![window("06:00", "07:00"), window("12:00", "13:00")], begins_outside: true };
        assert!(schedule.allows(&oslo(), utc("2026-01-10T11:30:00Z")));
        assert!(!schedule.allows(&oslo(), utc("2026-01-10T12:30:00Z")));
        assert!(!Schedule { allow: vec![], ..schedule }.allows(&oslo(), utc("2026-01-10T11:30:00Z")));
    }

    #[test]
    fn a_period_begins_at_midnight_on_the_wall() {
        let late = utc("2026-12-31T23:30:00Z");
        let name = |period: Period| period.name(&oslo(), late);
        assert_eq!(
            (name(Period::Day), name(Period::Week), name(Period::Month)),
            ("2027-01-01".into(), "2026-W53".into(), "2027-01".into())
        );
        assert_eq!(Period::Month.name(&Zone::default(), late), "2026-12");
    }

    #[test]
    fn a_zone_has_a_name() {
        assert_eq!(Zone::named("Europe/Nowhere"), None);
        assert_eq!(Zone::named("UTC"), Some(Zone::default()));
    }
}
