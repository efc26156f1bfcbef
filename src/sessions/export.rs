//! How are sessions told to people? As a table or as CSV, by month and person, and the sum of each person.

use super::Record;
use chrono::{DateTime, Datelike, SecondsFormat, TimeZone, Utc};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::str::FromStr;

/// Which sessions are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those that began in this month, by the clock on the wall there.
    pub month: Option<Month>,
    /// Those of this person, by id or alias.
    pub person: Option<String>,
}

/// A month of a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    year: i32,
    month: u32,
}

/// What a person has charged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Total {
    /// Name for people, the last one that is known.
    pub alias: Option<String>,
    /// How many sessions.
    pub sessions: usize,
    /// Energy of all of them in Wh.
    pub energy_wh: i64,
    /// How much of it is estimated, in Wh.
    pub estimated_wh: i64,
    /// How many of them somebody should look at.
    pub reviews: usize,
}

/// A column: its name and what stands in it.
type Column<T, Zone> = (&'static str, fn(&T, &Zone) -> String);

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').filter(|(year, month)| (year.len(), month.len()) == (4, 2));
        let month =
            parts.and_then(|(year, month)| Some(Month { year: year.parse().ok()?, month: month.parse().ok()? }));
        month
            .filter(|month| (1..=12).contains(&month.month))
            .ok_or_else(|| format!("{text:?} is no month such as 2026-11"))
    }
}

impl Wanted {
    /// These of all, the oldest first; those without a time come first of all.
    pub fn of<Zone: TimeZone>(&self, mut records: Vec<Record>, zone: &Zone) -> Vec<Record> {
        records.retain(|record| {
            let is_person =
                |wanted: &String| record.person.as_ref() == Some(wanted) || record.alias.as_ref() == Some(wanted);
            let is_month = |wanted: &Month| {
                // A session belongs to the month in which it began.
                record.started_at.or(record.ended_at).is_some_and(|at| {
                    let at = at.with_timezone(zone);
                    (at.year(), at.month()) == (wanted.year, wanted.month)
                })
            };
            self.person.as_ref().is_none_or(is_person) && self.month.as_ref().is_none_or(is_month)
        });
        records.sort_by_key(|record| (record.started_at, record.id));
        records
    }
}

fn columns<Zone: TimeZone>() -> [Column<Record, Zone>; 18]
where
    Zone::Offset: Display,
{
    [
        ("id", |record, _| record.id.to_string()),
        ("evse", |record, _| record.evse.clone()),
        ("person", |record, _| record.person.clone().unwrap_or_default()),
        ("alias", |record, _| record.alias.clone().unwrap_or_default()),
        ("class", |record, _| record.class.clone()),
        ("token", |record, _| record.token.clone().unwrap_or_default()),
        ("started_at", |record, zone| time(record.started_at, zone)),
        ("ended_at", |record, zone| time(record.ended_at, zone)),
        ("duration_s", |record, _| record.span_s.to_string()),
        ("energy_kwh", |record, _| kilowatt_hours(record.energy_wh)),
        ("meter_start_kwh", |record, _| record.meter_start_wh.map(kilowatt_hours).unwrap_or_default()),
        ("meter_stop_kwh", |record, _| record.meter_stop_wh.map(kilowatt_hours).unwrap_or_default()),
        ("estimated", |record, _| yes(record.is_estimated)),
        ("offline", |record, _| yes(record.is_offline)),
        ("review", |record, _| record.review.iter().map(|why| why.word()).collect::<Vec<_>>().join(" ")),
        ("end", |record, _| record.end.map_or("running", |end| end.word()).to_owned()),
        ("reason", |record, _| record.changes.last().map(|last| last.reason.clone()).unwrap_or_default()),
        ("changes", |record, _| record.changes.len().to_string()),
    ]
}

/// CSV (RFC 4180) with a header: a line for each session. Times are those of `zone`, with their offset.
pub fn csv<Zone: TimeZone>(records: &[Record], zone: &Zone) -> String
where
    Zone::Offset: Display,
{
    let columns = columns();
    let mut out = line(columns.iter().map(|(name, _)| (*name).to_owned()));
    for record in records {
        out += &line(columns.iter().map(|(_, cell)| cell(record, zone)));
    }
    out
}

/// What each person has charged, by id; those without one together.
pub fn totals(records: &[Record]) -> BTreeMap<Option<String>, Total> {
    let mut totals: BTreeMap<Option<String>, Total> = BTreeMap::new();
    for record in records {
        let total = totals.entry(record.person.clone()).or_default();
        if record.person.is_some() && record.alias.is_some() {
            total.alias.clone_from(&record.alias);
        }
        total.sessions += 1;
        total.energy_wh = total.energy_wh.saturating_add(record.energy_wh);
        total.estimated_wh = total.estimated_wh.saturating_add(if record.is_estimated { record.energy_wh } else { 0 });
        total.reviews += usize::from(!record.review.is_empty());
    }
    totals
}

/// The same as CSV.
pub fn totals_csv(totals: &BTreeMap<Option<String>, Total>) -> String {
    let header = ["person", "alias", "sessions", "energy_kwh", "estimated_kwh", "review"];
    let mut out = line(header.into_iter().map(str::to_owned));
    for (person, total) in totals {
        out += &line(
            [
                person.clone().unwrap_or_default(),
                total.alias.clone().unwrap_or_default(),
                total.sessions.to_string(),
                kilowatt_hours(total.energy_wh),
                kilowatt_hours(total.estimated_wh),
                total.reviews.to_string(),
            ]
            .into_iter(),
        );
    }
    out
}

/// For a terminal: a line for each session, then one for each person.
pub fn table<Zone: TimeZone>(records: &[Record], zone: &Zone) -> String
where
    Zone::Offset: Display,
{
    let mut rows = vec![["began", "lasted", "kWh", "EVSE", "who", "class", ""].map(str::to_owned)];
    for record in records {
        let began = record.started_at.map(|at| at.with_timezone(zone).format("%Y-%m-%d %H:%M").to_string());
        let end = record.end.map_or("running", |end| end.word());
        let flags = [(record.is_estimated, "estimated"), (record.is_offline, "offline")];
        let flags = flags.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word);
        let notes = std::iter::once(end).chain(flags).chain(record.review.iter().map(|why| why.word()));
        rows.push([
            began.unwrap_or_else(|| "?".into()),
            format!("{}:{:02}", record.span_s / 3600, record.span_s / 60 % 60),
            kilowatt_hours(record.energy_wh),
            printable(&record.evse),
            printable(who(record)),
            printable(&record.class),
            notes.collect::<Vec<_>>().join(", "),
        ]);
    }
    let mut out = aligned(&rows);
    out.push('\n');
    let mut sums = vec![["who", "sessions", "kWh"].map(str::to_owned)];
    for (person, total) in totals(records) {
        let who = total.alias.as_deref().or(person.as_deref()).unwrap_or("nobody known");
        sums.push([printable(who), total.sessions.to_string(), kilowatt_hours(total.energy_wh)]);
    }
    out + &aligned(&sums)
}

fn who(record: &Record) -> &str {
    let names = [&record.alias, &record.person, &record.token];
    names.into_iter().flatten().map(String::as_str).next().unwrap_or("-")
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _: fmt::Result = write!(text, "{cell:width$}  ");
        }
        out += text.trim_end();
        out.push('\n');
    }
    out
}

/// What a cloud has named cannot move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

fn time<Zone: TimeZone>(at: Option<DateTime<Utc>>, zone: &Zone) -> String
where
    Zone::Offset: Display,
{
    at.map(|at| at.with_timezone(zone).to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
}

fn kilowatt_hours(watt_hours: i64) -> String {
    let sign = if watt_hours < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", watt_hours.unsigned_abs() / 1000, watt_hours.unsigned_abs() % 1000)
}

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.into()
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(",") + "\r\n"
}

/// A cell that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV Injection"), unless it is a
/// number; one with a comma, a quote or a line break is quoted (RFC 4180, 2.6 and 2.7).
fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    let cell = if is_formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::Review;
    use crate::sessions::fixture::record;
    use chrono::FixedOffset;

    fn oslo() -> FixedOffset {
        FixedOffset::east_opt(3600).unwrap()
    }

    fn at(text: &str) -> Option<DateTime<Utc>> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_session_belongs_to_the_month_in_which_it_began_by_the_clock_on_the_wall() {
        let late = Record { started_at: at("2026-10-31T23:30:00Z"), ..record(1) };
        let early =
            Record { started_at: at("2026-10-31T22:30:00Z"), ended_at: at("2026-11-01T05:00:00Z"), ..record(2) };
        let unknown = Record { started_at: None, ended_at: None, ..record(3) };
        let all = vec![late.clone(), early, unknown.clone()];
        let wanted = Wanted { month: Some("2026-11".parse().unwrap()), person: None };
        assert_eq!(wanted.of(all.clone(), &oslo()), [late]);
        assert_eq!(Wanted::default().of(all, &oslo())[0], unknown);
        for wrong in ["", "2026", "2026-13", "2026-00", "26-11", "2026-11-01"] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_person_is_found_by_id_and_by_alias() {
        let (kari, ola) = (
            Record { person: Some("usr_a".into()), alias: Some("Kari".into()), ..record(1) },
            Record { person: Some("usr_b".into()), alias: None, ..record(2) },
        );
        for name in ["usr_a", "Kari"] {
            let wanted = Wanted { month: None, person: Some(name.into()) };
            assert_eq!(wanted.of(vec![ola.clone(), kari.clone()], &Utc), std::slice::from_ref(&kari));
        }
    }

    #[test]
    fn no_cell_is_a_formula_or_breaks_its_line() {
        for (cell, told) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
            ("+49 170", "'+49 170"),
            ("-0.500", "-0.500"),
            ("a,b", "\"a,b\""),
            ("=\"x\"", "\"'=\"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("Kari", "Kari"),
        ] {
            assert_eq!(quoted(cell), told);
        }
    }

    #[test]
    fn csv_has_a_header_and_a_line_for_each_session() {
        let mut first = record(1);
        first.alias = Some("=HYPERLINK(\"x\")".into());
        first.started_at = at("2026-11-05T17:00:00Z");
        first.review = vec![Review::UnauthorizedOffline, Review::EndUnseen];
        let text = csv(&[first], &oslo());
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert!(lines[0].starts_with("id,evse,person,alias,class,token,started_at,ended_at,duration_s,energy_kwh,"));
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains(",\"'=HYPERLINK(\"\"x\"\")\",") && lines[1].contains(",2026-11-05T18:00:00+01:00,"));
        assert!(lines[1].contains(",unauthorized_offline end_unseen,"));
    }

    #[test]
    fn each_person_has_a_total_and_strangers_have_one_together() {
        let of = |number, person: Option<&str>, energy_wh, is_estimated| Record {
            person: person.map(str::to_owned),
            energy_wh,
            is_estimated,
            review: Vec::new(),
            ..record(number)
        };
        let records = [of(1, Some("usr_a"), 1_500, false), of(2, None, 700, true), of(3, Some("usr_a"), 20, true)];
        let totals = totals(&records);
        let kari = &totals[&Some("usr_a".into())];
        assert_eq!((kari.sessions, kari.energy_wh, kari.estimated_wh), (2, 1_520, 20));
        assert_eq!(totals[&None].energy_wh, 700);
        let csv = totals_csv(&totals);
        assert!(csv.ends_with("usr_a,Kari,2,1.520,0.020,0\r\n"), "{csv}");
        assert!(table(&records, &Utc).contains("1.520"));
    }
}
