//! What should the cloud hear of? Alarms and events wait here until it has them; where there are too many the least
//! important go first.
//!
//! An event has a key of its own. What changes after it was sent (it is over, or it came again) is sent under the same
//! key with a higher revision, so that the cloud keeps one line for it however often an answer is lost, or the process
//! starts.

use crate::status::{Alarm, InverterStatus, Severity as AlarmSeverity, Status};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// So many events are kept: a fortnight of a bad line, some 100 kB of memory.
const MOST_EVENTS: usize = 200;

/// What comes again within this is the same event: a loose wire is one line, not a hundred.
const REOPENS: TimeDelta = TimeDelta::minutes(10);

/// Texts are for people; a longer one is cut.
const MOST_TEXT: usize = 500;

/// Of the daemon's own state nothing is told before: at the start nothing has been heard, and all is on fallback.
const SETTLED_S: u64 = 30;

/// An inverter sleeps at night; one that is silent for longer is told of.
const INVERTER_SILENCE_S: u64 = 24 * 3600;

/// After a restart an event's next revision is a multiple of this above the one on disk: what the process before had
/// changed and sent since it was last written must not count as newer.
const RUN: u32 = 1 << 16;

/// How important, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Someone may be at work who should not: a rolled-back policy, or one for another gateway.
    Security,
    /// Cars are on fallback, or a fuse is over its limit.
    Fault,
    /// Someone should look today.
    Warning,
    /// Good to know.
    Info,
}

/// Something that happened, or lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its own, over restarts.
    pub key: String,
    /// Counts up with each change of what is told.
    pub revision: u32,
    /// Of what it speaks, such as `meter-grid-lost`.
    pub id: String,
    /// How important.
    pub severity: Severity,
    since: DateTime<Utc>,
    /// `null` while it lasts.
    until: Option<DateTime<Utc>>,
    /// How often it began.
    count: u32,
    text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    event: Event,
    /// The revision that the cloud has; 0: none.
    sent: u32,
    /// The least that its next revision may have.
    #[serde(skip)]
    least: u32,
}

/// What is on disk: what the cloud does not have, and what lasts.
#[derive(Serialize, Deserialize)]
struct Unsent {
    entries: Vec<Entry>,
    /// As in [`Queue`].
    alarms: BTreeSet<String>,
}

/// How soon a change is to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Haste {
    /// A power cut may forget it.
    Later,
    /// It may say who cut the power.
    Now,
}

impl Entry {
    fn is_unsent(&self) -> bool {
        self.event.revision > self.sent
    }

    fn is_settled(&self) -> bool {
        !self.is_unsent() && self.event.until.is_some()
    }

    /// What it tells has changed.
    fn revise(&mut self) {
        self.event.revision = self.event.revision.saturating_add(1).max(self.least);
    }
}

/// What is sent at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// The most important first, of one importance the oldest.
    pub events: Vec<Event>,
    /// How many were dropped unsent since the process started.
    dropped: u64,
}

impl Batch {
    /// As JSON.
    pub fn encode(&self) -> Vec<u8> {
        // Texts and numbers always become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The events that wait, and those that last.
#[derive(Debug)]
pub struct Queue {
    /// Tells this run of the process from all others.
    run: u64,
    made: u64,
    /// In the order in which they first began.
    entries: Vec<Entry>,
    dropped: u64,
    /// The daemon's alarms that last, by id.
    alarms: BTreeSet<String>,
    /// Something has changed since [`Queue::encode`].
    unkept: Option<Haste>,
}

impl Queue {
    /// Empty; `run` is another number for each run of the process.
    pub fn new(run: u64) -> Self {
        Queue { run, made: 0, entries: vec![], dropped: 0, alarms: BTreeSet::new(), unkept: None }
    }

    /// Something begins, or lasts on.
    pub fn begin(&mut self, id: &str, severity: Severity, text: &str, now: DateTime<Utc>) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.event.id == id) {
            match entry.event.until {
                None => return,
                Some(until) if now - until < REOPENS => {
                    entry.event.until = None;
                    entry.event.count = entry.event.count.saturating_add(1);
                    entry.event.text = cut(text);
                    entry.revise();
                    return self.changed(severity);
                }
                Some(_) => {}
            }
        }
        self.made += 1;
        let key = format!("{:016x}-{}", self.run, self.made);
        let (id, text) = (id.to_owned(), cut(text));
        let event = Event { key, revision: 1, id, severity, since: now, until: None, count: 1, text };
        self.entries.push(Entry { event, sent: 0, least: 0 });
        self.drop_least(now);
        self.changed(severity);
    }

    fn changed(&mut self, severity: Severity) {
        let haste = if severity <= Severity::Fault { Haste::Now } else { Haste::Later };
        self.unkept = self.unkept.max(Some(haste));
    }

    /// It is over, if it lasted.
    pub fn end(&mut self, id: &str, now: DateTime<Utc>) {
        let lasting = self.entries.iter_mut().find(|entry| entry.event.id == id && entry.event.until.is_none());
        if let Some(entry) = lasting {
            entry.event.until = Some(now.max(entry.event.since));
            entry.revise();
            let severity = entry.event.severity;
            self.changed(severity);
        }
    }

    /// Something that has no length.
    pub fn happened(&mut self, id: &str, severity: Severity, text: &str, now: DateTime<Utc>) {
        self.begin(id, severity, text, now);
        self.end(id, now);
    }

    /// What the daemon shows now: its alarms, who is on fallback, and inverters that have long been silent.
    pub fn see(&mut self, status: &Status) {
        if status.uptime_s < SETTLED_S {
            return;
        }
        let found: Vec<Alarm> = fallback(status).into_iter().chain(silent_inverters(status)).collect();
        let lasting: Vec<&Alarm> = status.alarms.iter().chain(&found).collect();
        let new: Vec<&&Alarm> = lasting.iter().filter(|alarm| !self.alarms.contains(&alarm.id)).collect();
        for alarm in new {
            let severity = match alarm.severity {
                AlarmSeverity::Error => Severity::Fault,
                AlarmSeverity::Warning => Severity::Warning,
            };
            self.begin(&alarm.id, severity, &alarm.text, alarm.since);
        }
        let lasting: BTreeSet<String> = lasting.into_iter().map(|alarm| alarm.id.clone()).collect();
        for over in self.alarms.difference(&lasting).cloned().collect::<Vec<_>>() {
            self.end(&over, status.at);
        }
        self.alarms = lasting;
    }

    /// What is to be sent next; `None`: the cloud has everything.
    pub fn next_batch(&self, most: usize) -> Option<Batch> {
        let mut events: Vec<&Event> =
            self.entries.iter().filter(|entry| entry.is_unsent()).map(|entry| &entry.event).collect();
        events.sort_by_key(|event| event.severity);
        events.truncate(most);
        let events: Vec<Event> = events.into_iter().cloned().collect();
        (!events.is_empty()).then_some(Batch { events, dropped: self.dropped })
    }

    /// The cloud has these.
    pub fn sent(&mut self, batch: &Batch) {
        for event in &batch.events {
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.event.key == event.key) {
                entry.sent = entry.sent.max(event.revision);
            }
        }
        self.unkept = self.unkept.max(Some(Haste::Later));
    }

    /// How soon [`Queue::encode`] is to be on disk; `None`: it is as it was the last time.
    pub fn unkept(&self) -> Option<Haste> {
        self.unkept
    }

    /// What is to be kept over a restart; from now on that is the last time.
    pub fn encode(&mut self) -> Vec<u8> {
        self.unkept = None;
        let entries = self.entries.iter().filter(|entry| !entry.is_settled()).cloned().collect();
        // Texts and numbers always become JSON.
        serde_json::to_vec(&Unsent { entries, alarms: self.alarms.clone() }).unwrap_or_default()
    }

    /// Begins with what an earlier run has kept.
    ///
    /// # Errors
    /// It is nothing that this version can read; then nothing has changed.
    pub fn restore(&mut self, kept: &[u8]) -> serde_json::Result<()> {
        let Unsent { mut entries, alarms } = serde_json::from_slice(kept)?;
        entries.truncate(MOST_EVENTS);
        for entry in &mut entries {
            entry.least = (entry.event.revision / RUN).saturating_add(1).saturating_mul(RUN);
        }
        (self.entries, self.alarms) = (entries, alarms);
        Ok(())
    }

    /// Room is made by what the cloud has and nobody waits for, then by the least important, of these the oldest.
    fn drop_least(&mut self, now: DateTime<Utc>) {
        self.entries
            .retain(|entry| !entry.is_settled() || entry.event.until.is_some_and(|until| now - until < REOPENS));
        if self.entries.len() <= MOST_EVENTS {
            return;
        }
        let rank = |entry: &Entry| (entry.is_settled(), entry.event.severity);
        let highest = self.entries.iter().map(rank).max();
        if let Some(least) = self.entries.iter().position(|entry| Some(rank(entry)) == highest) {
            let entry = self.entries.remove(least);
            self.dropped += u64::from(entry.is_unsent());
        }
    }
}

/// One for all EVSEs together; a charger out of reach has an alarm of its own.
fn fallback(status: &Status) -> Option<Alarm> {
    let means_fallback = |reason: &str| matches!(reason, "meter_lost" | "meter_wiring" | "breach");
    let on_fallback = status.evses.iter().filter(|evse| means_fallback(&evse.reason));
    let ids: Vec<&str> = on_fallback.map(|evse| evse.id.as_str()).collect();
    let text = format!("{} of {} EVSEs on fallback: {}", ids.len(), status.evses.len(), ids.join(", "));
    let alarm = Alarm { id: "fallback".into(), severity: AlarmSeverity::Error, text, since: status.at };
    (!ids.is_empty()).then_some(alarm)
}

fn silent_inverters(status: &Status) -> impl Iterator<Item = Alarm> {
    let silence = |inverter: &InverterStatus| inverter.age_s.map_or(status.uptime_s, |age| age as u64);
    let silent = status.inverters.iter().filter(move |inverter| silence(inverter) > INVERTER_SILENCE_S);
    silent.map(|inverter| Alarm {
        id: format!("inverter-{}-offline", inverter.id),
        severity: AlarmSeverity::Warning,
        text: format!("inverter \"{}\": has said nothing for a day; check its connection", inverter.id),
        since: status.at,
    })
}

fn cut(text: &str) -> String {
    text.chars().take(MOST_TEXT).collect()
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
