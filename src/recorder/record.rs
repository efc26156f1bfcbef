//! What is written down? A head that people can read, then frames: length, bytes, checksum.
//!
//! ```text
//! headroom-flight 9 0.1.0\n     the format's number, the program's version
//! frame: Opening                site, policy, snapshot of the state
//! frame: Step | Policy          …
//! ```
//! The bytes of a frame are postcard's (docs/decisions/0002-flight-recorder.md). Numbers are short where they are
//! small: moments count back from the step, wall time is what it has gone beyond the monotonic clock.

use crate::control::observation::{Answer, Generation, Link, Measured, Observation, Plug, Report, Sample, Session};
use crate::control::{Order, Setpoint, State};
use crate::policy::Policy;
use crate::site::Site;
use crate::store::crc32;
use crate::time::Moment;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// First word of a recording.
pub(super) const MAGIC: &str = "headroom-flight";
/// The number of the format: another one is not ours to read.
pub(super) const FORMAT: u32 = 9;
/// The head is never longer than this: the magic word, a number and a version.
pub(super) const MOST_HEAD: usize = 100;
/// Wall time is written in so many parts of a second.
const NANOS: i128 = 1_000_000_000;

/// The first frame: all that the steps after it need.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opening {
    /// What came before.
    pub after: After,
    /// When the state was so.
    pub at: Moment,
    /// Wall time then, if it was to be trusted.
    pub wall: Option<DateTime<Utc>>,
    /// What is there.
    pub site: Site,
    /// How many inverters there are.
    pub inverters: usize,
    /// The rules in force, without tokens and people.
    pub policy: Policy,
    /// What the step remembered.
    pub state: State,
}

/// What came before a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum After {
    /// The start of the process.
    Start,
    /// The segment before, to the last step.
    Segment,
    /// Steps that nobody has written down: the disk was too slow or refused.
    Gap,
}

/// A later frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Record {
    /// Other rules, from the next step on.
    Policy(Box<Policy>),
    /// A step.
    Step(Step),
}

/// One step: what was new to it, and what it decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Step {
    /// Milliseconds since the step before.
    pub passed: u64,
    /// By how many nanoseconds wall time has gone beyond that; from 1970 where it was not known before.
    pub wall: Option<i128>,
    /// What was heard.
    pub changes: Vec<Change>,
    /// Setpoints that are others than before.
    pub told: Vec<(u32, Setpoint)>,
    pub orders: Vec<Order>,
    /// Of the whole decision.
    pub digest: [u8; 8],
}

/// Something new in the observation: the part of it, the index of the meter, EVSE or inverter, and what it is now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Change {
    Sample(u32, Option<Back<Sample>>),
    Fault(u32, Option<String>),
    Generation(u32, Option<Back<Generation>>),
    Link(u32, Back<Link>),
    Epoch(u32, u64),
    Plug(u32, Plug),
    Session(u32, Option<Back<Session>>),
    /// The session goes on; its energy is another.
    Energy(u32, Option<i64>),
    Measured(u32, Option<Back<Measured>>),
    Answer(u32, Option<Back<Answer>>),
}

/// Something whose moment counts back from the step, in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Back<T>(T);

/// Has a moment that can be turned.
pub(super) trait Timed: Clone {
    /// The moment, where it has one.
    fn at(&mut self) -> Option<&mut Moment>;
}

impl<T: Timed> Back<T> {
    pub fn from(value: &T, now: Moment) -> Self {
        Back(value.clone()).turned(now)
    }

    pub fn at(self, now: Moment) -> T {
        self.turned(now).0
    }

    /// `now − at`; the same twice is what it was. Nothing is lost where a moment is yet to come.
    fn turned(mut self, now: Moment) -> Self {
        if let Some(at) = self.0.at() {
            *at = Moment::from_millis(now.as_millis().wrapping_sub(at.as_millis()));
        }
        self
    }
}

macro_rules! timed {
    ($($type:ty: $field:ident),*) => {$(
        impl Timed for $type {
            fn at(&mut self) -> Option<&mut Moment> {
                Some(&mut self.$field)
            }
        }
    )*};
}
timed!(Sample: at, Generation: at, Session: since, Measured: at, Answer: at);

impl Timed for Link {
    fn at(&mut self) -> Option<&mut Moment> {
        match self {
            Link::Never => None,
            Link::Up { since } | Link::Down { since } => Some(since),
        }
    }
}

impl Change {
    /// Puts it in its place. What has no place at this site is dropped.
    pub fn put(self, seen: &mut Observation, now: Moment) {
        let index = |index: u32| index as usize;
        match self {
            Change::Sample(meter, sample) => set(&mut seen.samples, meter, sample.map(|back| back.at(now))),
            Change::Fault(meter, why) => set(&mut seen.faults, meter, why),
            Change::Generation(inverter, generation) => {
                set(&mut seen.inverters, inverter, generation.map(|back| back.at(now)));
            }
            Change::Link(evse, link) => with(&mut seen.reports, index(evse), |report| report.link = link.at(now)),
            Change::Epoch(evse, epoch) => with(&mut seen.reports, index(evse), |report| report.epoch = epoch),
            Change::Plug(evse, plug) => with(&mut seen.reports, index(evse), |report| report.plug = plug),
            Change::Session(evse, session) => {
                with(&mut seen.reports, index(evse), |report| report.session = session.map(|back| back.at(now)));
            }
            Change::Energy(evse, energy) => with(&mut seen.reports, index(evse), |report| {
                if let Some(session) = &mut report.session {
                    session.energy_wh = energy;
                }
            }),
            Change::Measured(evse, measured) => {
                with(&mut seen.reports, index(evse), |report| report.measured = measured.map(|back| back.at(now)));
            }
            Change::Answer(evse, answer) => {
                with(&mut seen.reports, index(evse), |report| report.answer = answer.map(|back| back.at(now)));
            }
        }
    }
}

fn set<T>(list: &mut [T], index: u32, value: T) {
    if let Some(slot) = list.get_mut(index as usize) {
        *slot = value;
    }
}

fn with(reports: &mut [Report], index: usize, change: impl FnOnce(&mut Report)) {
    if let Some(report) = reports.get_mut(index) {
        change(report);
    }
}

/// Wall time as a number.
pub(super) fn nanos(wall: DateTime<Utc>) -> i128 {
    i128::from(wall.timestamp()) * NANOS + i128::from(wall.timestamp_subsec_nanos())
}

/// A number as wall time; `None` beyond the calendar.
pub(super) fn wall(nanos: i128) -> Option<DateTime<Utc>> {
    let seconds = i64::try_from(nanos.div_euclid(NANOS)).ok()?;
    DateTime::from_timestamp(seconds, nanos.rem_euclid(NANOS) as u32)
}

/// The head of a recording by this program.
pub(super) fn head() -> String {
    format!("{MAGIC} {FORMAT} {}\n", env!("CARGO_PKG_VERSION"))
}

/// Writes a frame; `false`, and nothing written, where something in it cannot be (nothing is of that kind).
pub(super) fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) -> bool {
    let bytes = postcard::to_allocvec(value);
    bytes.iter().for_each(|bytes| frame(bytes, out));
    bytes.is_ok()
}

/// Length, content, checksum.
pub(super) fn frame(content: &[u8], out: &mut Vec<u8>) {
    let mut length = content.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out.extend_from_slice(&crc32(content).to_le_bytes());
}

/// What stands at the start of these bytes.
#[derive(Debug)]
pub(super) enum Frame<'b> {
    /// A whole one, and what follows.
    Whole(&'b [u8], &'b [u8]),
    /// The bytes end before it does, or nothing but zeros follows, as a power cut may leave a file.
    Torn,
    /// Its checksum is wrong.
    Damaged,
}

/// Cuts off the first frame; `None` at the end.
pub(super) fn cut(bytes: &[u8]) -> Option<Frame<'_>> {
    if bytes.is_empty() {
        return None;
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Some(Frame::Torn);
    }
    let (mut length, mut at) = (0usize, 0);
    loop {
        let Some(byte) = bytes.get(at) else { return Some(Frame::Torn) };
        // Four times seven bits: no file is that long.
        if at >= 4 {
            return Some(Frame::Damaged);
        }
        length |= usize::from(byte & 0x7F) << (7 * at);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let Some((content, rest)) = bytes[at..].split_at_checked(length) else { return Some(Frame::Torn) };
    let Some((sum, rest)) = rest.split_first_chunk::<4>() else { return Some(Frame::Torn) };
    let is_whole = crc32(content) == u32::from_le_bytes(*sum);
    Some(if is_whole { Frame::Whole(content, rest) } else { Frame::Damaged })
}

/// Reads the content of a frame to its last byte.
pub(super) fn read<T: DeserializeOwned>(content: &[u8]) -> Option<T> {
    postcard::take_from_bytes(content).ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}
