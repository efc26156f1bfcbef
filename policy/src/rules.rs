//! When, how much, how fast, from what, and how long after a revocation? Schedules, quotas, boosts, modes and revocation.

use crate::entries::{MOST_CLASSES, Names};
use crate::fault::{Code, Findings};
use crate::fields::{Fields, Ids, Wrong, amps, kilowatt_hours, list, one_of, whole, wrong_type};
use crate::json::Node;

/// The most schedules, and the most quotas: there are no more classes either.
pub(crate) const MOST_RULES: usize = 100;

/// The most windows of a schedule: seven days of seven, and one more.
const MOST_WINDOWS: usize = 50;

/// The most energy of a quota in kWh: far more than a site takes in a month.
const MOST_KWH: f64 = 1e6;

/// Minutes of a day on the wall clock.
const DAY_MIN: u16 = 24 * 60;

/// An entry of `schedules`: when somebody may charge, by the wall clock of the location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its id.
    pub id: String,
    /// When one may charge; none: never.
    pub windows: Vec<Window>,
    /// What happens at other times.
    pub outside: Outside,
}

/// A span of the day, each week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// On which days it begins, Monday first.
    pub days: [bool; 7],
    /// Minute of the day at which it begins, 0…1439.
    pub from_min: u16,
    /// Minute of the day at which it ends, 0…1439: of the next day unless it is after `from_min`; the same minute: a
    /// whole day.
    pub to_min: u16,
}

/// What happens outside of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// A session may begin and waits.
    Pause,
    /// No session begins.
    Deny,
}

/// An entry of `quotas`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Its id.
    pub id: String,
    /// So much in each period, 1 Wh…1 GWh.
    pub energy_wh: u64,
    /// When it begins anew, by the wall clock of the location.
    pub period: Period,
    /// What happens beyond it.
    pub on_exceed: OnExceed,
}

/// How often a quota begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// At midnight.
    Day,
    /// On Monday.
    Week,
    /// On the first.
    Month,
}

/// What happens beyond a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExceed {
    /// No more energy.
    Deny,
    /// As this class from then on: an index into [`crate::Document::classes`].
    Class(usize),
}

/// Who may be served first for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boost {
    /// Indices into [`crate::Document::classes`], ascending: those listed, and those that say so themselves.
    pub allowed: Vec<usize>,
    /// The priority while it lasts, −9…9.
    pub charging_priority: i8,
    /// So many for each principal in a calendar month, 0…1000.
    pub max_per_month: u16,
    /// So long at most, 60…86400 s.
    pub max_duration_s: u32,
}

/// What becomes of a session whose right has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Does it go on for a while?
    pub mid_session: MidSession,
    /// So long at most, where it goes on: 0…86400 s.
    pub max_s: u32,
}

/// A session whose right has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MidSession {
    /// Goes on at the least current.
    Degrade,
    /// Ends at once.
    Stop,
}

/// What holds once the time of grace is over, beside the configuration's own policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfflineProfile {
    /// Who may charge.
    pub after_grace: AfterGrace,
    /// Share of the main fuse that may be used, in percent, 0…100; `None`: the configuration's.
    pub site_limit_percent: Option<u8>,
    /// The class of a card that is in no list (an index). Outside, `None`: as the configuration says; inside: refused.
    pub unknown: Option<Option<usize>>,
}

/// Who may charge once the time of grace is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterGrace {
    /// Those whom the configuration names.
    #[default]
    Local,
    /// Beside them those in the highest class that anybody of the document is in, and no stranger.
    OwnerOnly,
}

/// How cars charge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modes {
    /// Those of which nothing else is said; `None`: the document does not say.
    pub strategy: Option<Mode>,
    /// What a car has at least that charges as [`Mode::Eco`], in milliamperes; `None`: its own least.
    pub min_grid_ma: Option<i32>,
}

/// How a car charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With all that it may have.
    Fast,
    /// With its least, and more only from the sun.
    Eco,
    /// From the sun only.
    Solar,
}

pub(crate) fn schedule(id: String, mut schedule: Fields, found: &mut Findings) -> Option<Schedule> {
    schedule.required("allow", found, |_| Ok(()));
    let windows = schedule.objects("allow", MOST_WINDOWS, found);
    let windows = windows.into_iter().filter_map(|entry| window(entry, found)).collect();
    let words = [("pause", Outside::Pause), ("deny", Outside::Deny)];
    let outside = schedule.required("outside", found, one_of(&words));
    schedule.end(found);
    Some(Schedule { id, windows, outside: outside? })
}

fn window(mut window: Fields, found: &mut Findings) -> Option<Window> {
    let days = window.required("days", found, |node| {
        let mut days = [false; 7];
        for day in list(days.len(), whole(1..=7))(node)? {
            if let Some(day) = usize::try_from(day - 1).ok().and_then(|index| days.get_mut(index)) {
                *day = true;
            }
        }
        if days.contains(&true) { Ok(days) } else { Err((Code::OutOfRange, "names no day".into())) }
    });
    let from_min = window.required("from", found, minute);
    let to_min = window.required("to", found, minute);
    window.end(found);
    Some(Window { days: days?, from_min: from_min?, to_min: to_min? })
}

/// `HH:MM` as the minute of the day.
fn minute(node: &Node) -> Result<u16, Wrong> {
    let Node::Text(text) = node else { return Err(wrong_type(node, "a text such as 22:00")) };
    let minute = match text.as_bytes() {
        [a, b, b':', c, d] if [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()) => {
            let two = |tens: &u8, ones: &u8| u16::from(tens - b'0') * 10 + u16::from(ones - b'0');
            Some((two(a, b), two(c, d)))
        }
        _ => None,
    };
    let minute = minute.filter(|(_, minutes)| *minutes < 60).map(|(hours, minutes)| hours * 60 + minutes);
    let minute = minute.filter(|minute| *minute < DAY_MIN);
    minute.ok_or_else(|| (Code::OutOfRange, "is no time of day from 00:00 to 23:59".into()))
}

pub(crate) fn quota(id: String, mut quota: Fields, classes: &Ids, found: &mut Findings) -> Option<Quota> {
    let energy_wh = quota.required("energy_kwh", found, kilowatt_hours(MOST_KWH));
    let words = [("day", Period::Day), ("week", Period::Week), ("month", Period::Month)];
    let period = quota.required("period", found, one_of(&words));
    let on_exceed = quota.required("on_exceed", found, |node| {
        let Node::Text(text) = node else { return Err(wrong_type(node, "a text")) };
        match text.strip_prefix("class:") {
            Some(class) => classes.one("class")(&Node::Text(class.into())).map(OnExceed::Class),
            None => {
                one_of(&[("deny", OnExceed::Deny)])(node).map_err(|(code, text)| (code, format!("{text}, class:<id>")))
            }
        }
    });
    quota.end(found);
    Some(Quota { id, energy_wh: energy_wh?, period: period?, on_exceed: on_exceed? })
}

/// `flagged`: the classes that say themselves that they may.
pub(crate) fn boost(top: &mut Fields, flagged: Vec<usize>, names: &Names, found: &mut Findings) -> Boost {
    let mut boost = Boost { allowed: flagged, charging_priority: 9, max_per_month: 3, max_duration_s: 7_200 };
    let Some(mut fields) = top.object("boost", found) else { return boost };
    let listed = fields.optional("allowed", found, list(MOST_CLASSES, names.classes.one("class")));
    boost.allowed.extend(listed.unwrap_or_default());
    boost.allowed.sort_unstable();
    boost.allowed.dedup();
    let priority = fields.optional("charging_priority", found, whole(-9..=9));
    let per_month = fields.optional("max_per_month", found, whole(0..=1_000));
    let duration_s = fields.optional("max_duration_s", found, whole(60..=86_400));
    fields.end(found);
    set(&mut boost.charging_priority, priority);
    set(&mut boost.max_per_month, per_month);
    set(&mut boost.max_duration_s, duration_s);
    boost
}

pub(crate) fn revocation(top: &mut Fields, found: &mut Findings) -> Revocation {
    let mut revocation = Revocation { mid_session: MidSession::Degrade, max_s: 1_800 };
    let Some(mut fields) = top.object("revocation", found) else { return revocation };
    let words = [("degrade", MidSession::Degrade), ("stop", MidSession::Stop)];
    if let Some(mid_session) = fields.optional("mid_session", found, one_of(&words)) {
        revocation.mid_session = mid_session;
    }
    let max_s = fields.optional("max_s", found, whole(0..=86_400));
    fields.end(found);
    set(&mut revocation.max_s, max_s);
    revocation
}

pub(crate) fn mode(top: &mut Fields, found: &mut Findings) -> Modes {
    let Some(mut mode) = top.object("mode", found) else { return Modes::default() };
    // What they call it in the portal, and here.
    let words = [("fast", Mode::Fast), ("solar_first", Mode::Eco), ("eco", Mode::Eco), ("solar", Mode::Solar)];
    let strategy = mode.optional("strategy", found, one_of(&words));
    let min_grid_ma = mode.optional("min_grid_a", found, amps);
    mode.end(found);
    Modes { strategy, min_grid_ma }
}

/// In place of the default, where the document says.
fn set<T: TryFrom<i64>>(place: &mut T, said: Option<i64>) {
    if let Some(value) = said.and_then(|value| T::try_from(value).ok()) {
        *place = value;
    }
}

pub(crate) fn offline_profile(top: &mut Fields, names: &Names, found: &mut Findings) -> Option<OfflineProfile> {
    let mut profile = top.object("offline_profile", found)?;
    let words = [("local", AfterGrace::Local), ("owner_only", AfterGrace::OwnerOnly)];
    let after_grace = profile.optional("after_grace", found, one_of(&words)).unwrap_or_default();
    let percent = profile.optional("site_limit_pct", found, whole(0..=100));
    let unknown = profile.optional("unknown", found, names.class_or_deny());
    profile.end(found);
    let site_limit_percent = percent.and_then(|percent| u8::try_from(percent).ok());
    Some(OfflineProfile { after_grace, site_limit_percent, unknown })
}
