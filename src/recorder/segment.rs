//! What does a file of a recording hold? Its opening, checked before anything is decided on it, and the frames after it.

use super::record::{self, FORMAT, Frame, MAGIC, MOST_HEAD, Opening, Record};
use crate::control::Setpoint;
use crate::site::Site;
use crate::time::Duration;

/// No span in a site is longer: what is beyond was written by somebody else.
const MOST_SPAN: Duration = Duration::from_secs(10 * 24 * 3_600);
/// No site has so many inverters.
const MOST_INVERTERS: usize = 10_000;

/// A file of a recording that can be decided again.
#[derive(Debug)]
pub struct Segment {
    /// The version of the program that wrote it.
    pub program: String,
    /// What it begins with.
    pub opening: Opening,
    bytes: Vec<u8>,
    /// Where the frames begin that follow the opening.
    start: usize,
}

/// Why a file cannot be decided again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is something else.
    NoRecording,
    /// A recording, and this program does not know its format.
    OtherFormat {
        /// The number of the format.
        format: String,
        /// The version that wrote it.
        program: String,
    },
    /// It ends before its opening does: nothing was recorded yet.
    Empty,
    /// Its opening is damaged, or has other fields than this program's.
    Unreadable {
        /// The version that wrote it.
        program: String,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = env!("CARGO_PKG_VERSION");
        match self {
            Fault::NoRecording => write!(f, "this is no recording of headroom's"),
            Fault::OtherFormat { format, program } => write!(
                f,
                "recorded by headroom {program} in format {format}; this is {own} and reads format {FORMAT}: \
                 replay it with {program}"
            ),
            Fault::Empty => write!(f, "the recording ends before its first step"),
            Fault::Unreadable { program } if program == own => {
                write!(f, "the beginning is damaged, or was recorded by another build of headroom {own}")
            }
            Fault::Unreadable { program } => {
                write!(f, "recorded by headroom {program}, which {own} cannot read: replay it with {program}")
            }
        }
    }
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a whole frame.
    Whole,
    /// In the middle of a frame, at this byte: power was cut, or the process killed.
    Torn(usize),
    /// At this byte something has been changed since it was written.
    Damaged(usize),
}

impl Segment {
    /// Reads head and opening.
    ///
    /// # Errors
    /// Where nothing can be decided on it.
    pub fn read(bytes: Vec<u8>) -> Result<Segment, Fault> {
        if bytes.is_empty() {
            return Err(Fault::Empty);
        }
        let head = bytes.iter().take(MOST_HEAD).position(|byte| *byte == b'\n').ok_or(Fault::NoRecording)?;
        let line = std::str::from_utf8(&bytes[..head]).map_err(|_| Fault::NoRecording)?;
        let [MAGIC, format, program] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(Fault::NoRecording) };
        let (format, program) = (printable(format), printable(program));
        if format != FORMAT.to_string() {
            return Err(Fault::OtherFormat { format, program });
        }
        let (opening, rest) = match record::cut(&bytes[head + 1..]) {
            Some(Frame::Whole(content, rest)) => (record::read::<Opening>(content), rest.len()),
            Some(Frame::Damaged) => (None, 0),
            None | Some(Frame::Torn) => return Err(Fault::Empty),
        };
        match opening.filter(is_sound) {
            Some(opening) => Ok(Segment { program, opening, start: bytes.len() - rest, bytes }),
            None => Err(Fault::Unreadable { program }),
        }
    }

    /// The frames after the opening.
    pub(super) fn frames(&self) -> Frames<'_> {
        Frames { segment: self, at: self.start }
    }
}

/// The frames of a segment, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Frames<'s> {
    segment: &'s Segment,
    at: usize,
}

impl Frames<'_> {
    /// The next one, or how the file ends.
    pub(super) fn next(&mut self) -> Result<Record, End> {
        let bytes = &self.segment.bytes;
        match record::cut(&bytes[self.at..]) {
            None => Err(End::Whole),
            Some(Frame::Torn) => Err(End::Torn(self.at)),
            Some(Frame::Damaged) => Err(End::Damaged(self.at)),
            Some(Frame::Whole(content, rest)) => match record::read::<Record>(content) {
                Some(record) if is_of(&record, &self.segment.opening.site) => {
                    self.at = bytes.len() - rest.len();
                    Ok(record)
                }
                _ => Err(End::Damaged(self.at)),
            },
        }
    }
}

fn printable(word: &str) -> String {
    word.chars().filter(char::is_ascii_graphic).collect()
}

/// Does all that it names exist? Control trusts its site: what comes from a file is checked first.
fn is_sound(opening: &Opening) -> bool {
    let Opening { site, state, inverters, .. } = opening;
    let is_circuit = |index: usize| index < site.circuits.len();
    let circuits = site.circuits.iter().enumerate().all(|(index, circuit)| {
        circuit.parent.map_or(index == 0, |parent| parent.0 < index)
            && circuit.meter.is_none_or(|meter| meter.0 < site.meters.len())
    });
    let is_short = |span: Duration| span <= MOST_SPAN;
    let meters = site.meters.iter().all(|meter| is_circuit(meter.circuit.0) && is_short(meter.interval));
    let evses = site.evses.iter().all(|evse| {
        is_circuit(evse.circuit.0)
            && matches!(evse.rotation.wired(), 1 | 3)
            && [evse.lease, evse.response, evse.metering.unwrap_or_default()].into_iter().all(is_short)
    });
    let tuning = &site.tuning;
    let spans = [tuning.hold, tuning.restart, tuning.dwell, tuning.stale_after, tuning.lost_after];
    is_circuit(Site::ROOT.0)
        && circuits
        && meters
        && evses
        && spans.into_iter().chain(tuning.ageing).all(is_short)
        && *inverters <= MOST_INVERTERS
        && state.fits(site)
}

fn is_of(record: &Record, site: &Site) -> bool {
    let is_there = |setpoint: &Setpoint| setpoint.because.circuit().is_none_or(|id| id.0 < site.circuits.len());
    match record {
        Record::Policy(_) => true,
        Record::Step(step) => {
            step.told.iter().all(|(evse, setpoint)| (*evse as usize) < site.evses.len() && is_there(setpoint))
                && step.orders.iter().all(|order| order.evse.0 < site.evses.len())
        }
    }
}
