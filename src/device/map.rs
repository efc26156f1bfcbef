//! What does a device file say? Blocks to read, and where in them which quantity lies.

use crate::units::Phase;
use std::fmt;
use std::time::Duration;

/// One device file, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// `[a-z0-9-]+`, the name that the configuration uses.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// How sure the addresses are.
    pub evidence: Evidence,
    /// What the addresses were taken from.
    pub document: String,
    /// Its version or date.
    pub revision: String,
    /// How long the device takes from one value to the next; `None` where the document does not say.
    pub refresh: Option<Duration>,
    /// Where the quantities are.
    pub layout: Layout,
}

/// Where the addresses of a device file come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The manufacturer's or the standard's own document.
    Vendor,
    /// Somebody else's reading of it.
    Secondary,
}

/// How a device is laid out.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// Fixed addresses.
    Fixed {
        /// The addresses.
        map: Map,
        /// What a device must read like to be taken for this one.
        expects: Vec<Expect>,
    },
    /// A chain of models behind a marker (SunSpec Information Model Specification).
    Chain {
        /// Addresses where the marker may be, in the order in which they are tried.
        markers: Vec<u16>,
        /// The models that are understood; addresses count from the model's ID word.
        models: Vec<Model>,
    },
}

/// A model of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Model numbers that share the layout.
    pub ids: Vec<u16>,
    /// Only devices whose maker's name begins with one of these; empty: all.
    pub only_for: Vec<String>,
    /// No device whose maker's name begins with one of these.
    pub not_for: Vec<String>,
    /// Addresses from the model's ID word.
    pub map: Map,
}

/// A range that a plausible device is in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expect {
    /// What is looked at.
    pub measure: Measure,
    /// The least plausible value.
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// Blocks to read and the quantities in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// What it measures.
    pub role: Role,
    /// What is read, in order.
    pub blocks: Vec<Block>,
    /// What lies in the blocks.
    pub quantities: Vec<Quantity>,
}

/// What a device is for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It measures a circuit.
    Meter,
    /// It generates.
    Inverter,
}

/// A block of registers that is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// What is asked.
    pub question: Question,
    /// Read at every poll, or by `probe` alone.
    pub is_polled: bool,
}

/// One request: registers from `address` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Which table.
    pub function: Function,
    /// The address on the wire, from 0.
    pub address: u16,
    /// 1…125 registers (Modbus Application Protocol V1.1b3, 6.3 and 6.4).
    pub count: u16,
}

/// The two functions that read 16-bit registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Function code 3.
    Holding,
    /// Function code 4.
    Input,
}

/// One number of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// What it is.
    pub measure: Measure,
    /// Its first word.
    pub place: Place,
    /// How the words make a number.
    pub form: Form,
    /// Is the low word first? Bytes in a word are always high first.
    pub is_low_first: bool,
    /// To V, A, W, Hz or kWh.
    pub scale: f64,
    /// Where a signed power of ten stands that multiplies it (SunSpec's `sunssf`).
    pub power_of_ten: Option<Place>,
    /// Which direction is positive.
    pub sign: Sign,
    /// Words that mean "not available", as one number, high word first.
    pub missing: Vec<u64>,
}

/// A word of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index into [`Map::blocks`].
    pub block: usize,
    /// Words from the block's start.
    pub offset: usize,
}

/// What a quantity is; V, A, W, Hz, kWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Between a phase and the neutral.
    Voltage(Phase),
    /// RMS current.
    Current(Phase),
    /// Active power of a phase.
    Power(Phase),
    /// Active power of all phases.
    TotalPower,
    /// Of the grid.
    Frequency,
    /// Energy imported so far.
    Imported,
    /// Energy exported so far.
    Exported,
    /// Active power that an inverter makes.
    Generated,
}

/// Which direction of a current or a power is positive in the device's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// As here: import is positive.
    Import,
    /// The other way: export is positive.
    Export,
    /// It has none (currents of most meters), or none is needed (voltages, generated power).
    None,
}

/// How words make a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One word, two's complement.
    Int16,
    /// One word.
    Uint16,
    /// Two words, two's complement.
    Int32,
    /// Two words.
    Uint32,
    /// Four words, two's complement.
    Int64,
    /// Four words.
    Uint64,
    /// Two words, IEEE 754.
    Float32,
}

impl Form {
    /// How many words it takes.
    pub const fn words(self) -> usize {
        match self {
            Form::Int16 | Form::Uint16 => 1,
            Form::Int32 | Form::Uint32 | Form::Float32 => 2,
            Form::Int64 | Form::Uint64 => 4,
        }
    }
}

impl Map {
    /// The same map, its blocks `base` registers further on; `None` where that passes the last address.
    pub fn moved(&self, base: u16) -> Option<Map> {
        let mut map = self.clone();
        for Block { question, .. } in &mut map.blocks {
            question.address = question.address.checked_add(base)?;
            question.address.checked_add(question.count - 1)?;
        }
        Some(map)
    }

    /// How many words it spans from address 0 on, counting polled blocks only.
    pub fn polled_span(&self) -> u32 {
        let ends = self.blocks.iter().filter(|block| block.is_polled);
        ends.map(|block| u32::from(block.question.address) + u32::from(block.question.count)).max().unwrap_or(0)
    }

    /// The address of a place on the wire.
    pub fn address(&self, place: Place) -> Option<u32> {
        let block = self.blocks.get(place.block)?;
        Some(u32::from(block.question.address) + u32::try_from(place.offset).ok()?)
    }
}

impl Layout {
    /// Has it a map for this role?
    pub fn serves(&self, role: Role) -> bool {
        match self {
            Layout::Fixed { map, .. } => map.role == role,
            Layout::Chain { models, .. } => models.iter().any(|model| model.map.role == role),
        }
    }

    /// As a meter, does it tell a voltage with each current, whichever model of a chain it has?
    pub fn tells_voltages(&self) -> bool {
        let tells = |map: &Map| {
            let has = |phase: Phase| !map.polls(Measure::Current(phase)) || map.polls(Measure::Voltage(phase));
            map.role != Role::Meter || Phase::ALL.into_iter().all(has)
        };
        match self {
            Layout::Fixed { map, .. } => tells(map),
            Layout::Chain { models, .. } => models.iter().all(|model| tells(&model.map)),
        }
    }
}

impl Map {
    /// Is this told at each poll?
    pub fn polls(&self, measure: Measure) -> bool {
        self.quantities.iter().any(|told| told.measure == measure && self.blocks[told.place.block].is_polled)
    }
}

impl Measure {
    /// Of its values, after scaling.
    pub const fn unit(self) -> &'static str {
        match self {
            Measure::Voltage(_) => "V",
            Measure::Current(_) => "A",
            Measure::Power(_) | Measure::TotalPower | Measure::Generated => "W",
            Measure::Frequency => "Hz",
            Measure::Imported | Measure::Exported => "kWh",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Measure::Voltage(phase) => write!(f, "voltage {phase}"),
            Measure::Current(phase) => write!(f, "current {phase}"),
            Measure::Power(phase) => write!(f, "power {phase}"),
            Measure::TotalPower => f.write_str("total power"),
            Measure::Frequency => f.write_str("frequency"),
            Measure::Imported => f.write_str("imported energy"),
            Measure::Exported => f.write_str("exported energy"),
            Measure::Generated => f.write_str("generated power"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Meter => "meter",
            Role::Inverter => "inverter",
        })
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Function::Holding => "holding",
            Function::Input => "input",
        })
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::Vendor => "vendor",
            Evidence::Secondary => "secondary",
        })
    }
}
