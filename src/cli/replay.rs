//! Is a recording decided again the same? Every step of it, or of a span of it; the first difference is named.

use super::{EXIT_FAILED, EXIT_USAGE};
use crate::control::{HangUp, Setpoint};
use crate::recorder::{After, Again, Arrival, End, Fault, Replay, Segment, difference, files};
use crate::site::Site;
use crate::time::Moment;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// No segment is longer: `recorder.most_mib` at its most, by eight.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// A file of a recording, or the directory that holds them, such as /run/headroom
    recording: PathBuf,
    /// Leave out what was before: 2026-03-01T18:00:00Z, or seconds since the daemon's start
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Time>,
    /// Leave out what came after
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Time>,
    /// Tell each setpoint that changed, with its reason, and who was hung up on
    #[arg(long)]
    trace: bool,
}

/// A moment as people name it.
#[derive(Debug, Clone, Copy)]
enum Time {
    Wall(DateTime<Utc>),
    Clock(Moment),
}

fn time(text: &str) -> Result<Time, String> {
    if let Ok(wall) = DateTime::parse_from_rfc3339(text) {
        return Ok(Time::Wall(wall.to_utc()));
    }
    let seconds: f64 = text.parse().map_err(|_| "neither such as 2026-03-01T18:00:00Z nor a number of seconds")?;
    // A number that is none, or below zero, becomes zero; no process lives beyond what a u64 holds.
    Ok(Time::Clock(Moment::from_millis((seconds * 1000.0) as u64)))
}

/// What has been found so far.
#[derive(Debug, Default)]
struct Findings {
    segments: usize,
    steps: usize,
    differing: usize,
    /// The first difference or damage, in words.
    first: Option<String>,
    span: Option<(String, String)>,
    /// How often each EVSE's setpoint changed, with its id.
    changes: Vec<(String, usize)>,
    /// The setpoints of the last step, where the next segment goes on from there.
    told: Vec<Setpoint>,
    /// Who was hung up on then.
    hung_up: Vec<HangUp>,
    /// The number of the last segment and where it led to, if it was whole and the same.
    arrival: Option<(u64, Arrival)>,
    /// The last site.
    site: String,
}

/// Zero where all is the same, 1 where something is not, 2 where there is nothing to decide again.
pub(super) fn replay(arguments: &ReplayArguments) -> ExitCode {
    match run(arguments) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(difference)) => {
            eprintln!("headroom: {difference}");
            ExitCode::from(EXIT_FAILED)
        }
        Err(fault) => {
            eprintln!("headroom: {}: {fault}", arguments.recording.display());
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// The first difference, if any.
fn run(arguments: &ReplayArguments) -> Result<Option<String>, String> {
    let place = &arguments.recording;
    let list: Vec<(u64, PathBuf)> = match place.is_dir() {
        true => files(place).map_err(|fault| fault.to_string())?,
        false => vec![(0, place.clone())],
    };
    let mut found = Findings::default();
    let mut last_fault = None;
    for (number, path) in list {
        let segment = match Segment::read(read(&path)?) {
            Ok(segment) => segment,
            Err(fault @ Fault::Empty) => {
                say!("{}: {fault}", name(&path));
                last_fault = Some(fault);
                continue;
            }
            Err(fault) if path == *place => return Err(fault.to_string()),
            Err(fault) => return Err(format!("{}: {fault}", name(&path))),
        };
        decide(arguments, (number, &name(&path)), &segment, &mut found);
    }
    if found.segments == 0 {
        return Err(last_fault.map_or_else(|| "there is no recording here".to_owned(), |fault| fault.to_string()));
    }
    super::tell(&found.summary());
    Ok(found.first)
}

/// Decides a segment again.
fn decide(arguments: &ReplayArguments, (number, name): (u64, &str), segment: &Segment, found: &mut Findings) {
    let (program, opening, own) = (&segment.program, &segment.opening, env!("CARGO_PKG_VERSION"));
    if program != own {
        eprintln!("headroom: {name}: recorded by headroom {program}; this is {own}, whose rules may be others");
    }
    match opening.after {
        After::Gap => say!("{name}: before it, steps are missing: the disk was too slow or refused"),
        After::Start => say!("{name}: the daemon has started"),
        After::Segment => {}
    }
    let before = found.arrival.take().filter(|(last, _)| last + 1 == number && opening.after == After::Segment);
    match before {
        Some((_, arrival)) if !arrival.leads_to(opening) => {
            found.differs(format!("{name}: begins with another state than the file before it leads to"));
        }
        Some(_) => {}
        None => {
            found.told.clear();
            found.hung_up.clear();
        }
    }
    found.segments += 1;
    found.site.clone_from(&opening.site.name);
    let mut replay = Replay::of(segment);
    let mut is_same = true;
    for again in replay.by_ref() {
        let is_wanted = arguments.from.is_none_or(|from| is_from(&again, from))
            && arguments.to.is_none_or(|to| is_until(&again, to));
        is_same &= again.is_same;
        found.see(&again, &opening.site, is_wanted, arguments.trace);
    }
    match replay.end() {
        Some(End::Torn(at)) => say!("{name}: ends within a record, at byte {at}; read up to there"),
        Some(End::Damaged(at)) => found.differs(format!("{name}: damaged at byte {at}; nothing after it can be read")),
        Some(End::Whole) | None => found.arrival = is_same.then(|| (number, replay.arrival())),
    }
}

impl Findings {
    fn see(&mut self, again: &Again, site: &Site, is_wanted: bool, is_traced: bool) {
        let before = std::mem::replace(&mut self.told, again.were.clone());
        let hung_up = std::mem::replace(&mut self.hung_up, again.decision.hang_ups.clone());
        if !is_wanted {
            return;
        }
        self.steps += 1;
        let when = when(again);
        let begun = self.span.take().map_or_else(|| when.clone(), |(begun, _)| begun);
        self.span = Some((begun, when.clone()));
        for (index, (evse, now)) in site.evses.iter().zip(&again.were).enumerate() {
            let was = before.get(index);
            if is_traced && was != Some(now) {
                let was = was.map_or_else(String::new, |was| format!("{} → ", was.amps));
                say!("{when}  {}: {was}{} ({})", evse.id, now.amps, now.because.words(site));
            }
            if was.is_some_and(|was| was.amps != now.amps) {
                match self.changes.iter_mut().find(|(id, _)| *id == evse.id) {
                    Some((_, count)) => *count += 1,
                    None => self.changes.push((evse.id.clone(), 1)),
                }
            }
        }
        for hang_up in again.decision.hang_ups.iter().filter(|_| is_traced) {
            if !hung_up.iter().any(|before| before.evse == hang_up.evse) {
                say!("{when}  {}", hung_up_on(hang_up, again.now, site));
            }
        }
        if let Some(what) = difference(again, site) {
            self.differing += 1;
            self.differs(format!("decided otherwise at {when}: {what}"));
        }
    }

    fn differs(&mut self, what: String) {
        self.first.get_or_insert(what);
    }

    fn summary(&self) -> String {
        let mut text = format!("{}: {} in {}", self.site, count(self.steps, "step"), count(self.segments, "file"));
        if let Some((from, to)) = &self.span {
            text += &format!(", {from} to {to}");
        }
        text.push('\n');
        for (evse, changes) in &self.changes {
            text += &format!("{evse}: {} of its current\n", count(*changes, "change"));
        }
        text += &match (self.differing, &self.first) {
            (0, None) => "decided again: the same, bit for bit\n".to_owned(),
            (0, Some(_)) => "decided again: the same as far as it can be read\n".to_owned(),
            (differing, _) => format!("decided again: {differing} of {} steps are others\n", self.steps),
        };
        text
    }
}

fn hung_up_on(hang_up: &HangUp, now: Moment, site: &Site) -> String {
    let seconds = hang_up.until.since(now).as_secs();
    format!(
        "{}: told in vain; its connection stays closed for {seconds} s, so that it falls back",
        site.evse(hang_up.evse).id
    )
}

fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// Wall time where it was known, and seconds since the daemon's start.
fn when(again: &Again) -> String {
    let seconds = again.now.as_millis() as f64 / 1000.0;
    match again.wall {
        Some(wall) => format!("{} ({seconds:.3} s)", wall.to_rfc3339_opts(SecondsFormat::Millis, true)),
        None => format!("{seconds:.3} s"),
    }
}

fn is_from(again: &Again, from: Time) -> bool {
    match from {
        Time::Wall(from) => again.wall.is_some_and(|wall| wall >= from),
        Time::Clock(from) => again.now >= from,
    }
}

fn is_until(again: &Again, to: Time) -> bool {
    match to {
        Time::Wall(to) => again.wall.is_some_and(|wall| wall <= to),
        Time::Clock(to) => again.now <= to,
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|fault| fault.to_string())?;
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|fault| fault.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tests::{evse, site};
    use crate::site::EvseId;

    #[test]
    fn a_hang_up_is_told_by_name_and_with_its_time() {
        let (now, until) = (Moment::from_millis(10_000), Moment::from_millis(150_000));
        let told = hung_up_on(&HangUp { evse: EvseId(0), until }, now, &site(vec![evse("left")]));
        assert_eq!(told, "left: told in vain; its connection stays closed for 140 s, so that it falls back");
    }
}
