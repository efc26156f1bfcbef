//! What does the step see? The last word of each edge, nothing older, nothing queued.

use super::sabotage::{self, Bug};
use crate::policy::Held;
use crate::site::{EvseId, MeterId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// All last words, by index of meter, EVSE and inverter.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The last good sample of each meter; `None` before the first.
    pub samples: Vec<Option<Sample>>,
    /// The last report of each EVSE.
    pub reports: Vec<Report>,
    /// Why a meter's last reading failed; `None` after a good one.
    pub faults: Vec<Option<String>>,
    /// The last reading of each inverter. It adds no headroom: the grid meter has netted it already.
    pub inverters: Vec<Option<Generation>>,
    /// Wall time; `None` while it is not to be trusted.
    pub wall: Option<DateTime<Utc>>,
}

impl Observation {
    /// Nothing heard from anybody.
    pub fn nothing(site: &Site, inverters: usize) -> Self {
        Observation {
            samples: vec![None; site.meters.len()],
            reports: vec![Report::default(); site.evses.len()],
            faults: vec![None; site.meters.len()],
            inverters: vec![None; inverters],
            wall: None,
        }
    }

    /// The sessions that run, by EVSE, as rights are told of them.
    pub fn sessions(&self) -> Vec<Option<Held<'_>>> {
        self.reports.iter().map(Report::held).collect()
    }

    /// Puts a word in its place. Words about things that the site does not have are dropped.
    pub fn hear(&mut self, word: Word) {
        match word {
            Word::Sample(meter, sample) => {
                if let Some(slot) = self.samples.get_mut(meter.0) {
                    *slot = Some(sample);
                }
                if let Some(slot) = self.faults.get_mut(meter.0) {
                    *slot = None;
                }
            }
            Word::MeterFault(meter, why) => {
                if sabotage::has(Bug::MissingIsZero)
                    && let Some(Some(sample)) = self.samples.get_mut(meter.0)
                {
                    let at = sample.at + Duration::from_secs(1);
                    *sample = Sample { at, current: PerPhase::default(), watts: None, millivolts: None };
                }
                if let Some(slot) = self.faults.get_mut(meter.0) {
                    *slot = Some(why);
                }
            }
            Word::Generation(inverter, generation) => {
                if let Some(slot) = self.inverters.get_mut(inverter) {
                    *slot = Some(generation);
                }
            }
            Word::Report(evse, report) => {
                if let Some(slot) = self.reports.get_mut(evse.0) {
                    *slot = report;
                }
            }
        }
    }
}

/// What an edge has to say to the step.
#[derive(Debug, Clone)]
pub enum Word {
    /// A meter has been read.
    Sample(MeterId, Sample),
    /// A meter could not be read, and why (for people).
    MeterFault(MeterId, String),
    /// An inverter has been read, by its index.
    Generation(usize, Generation),
    /// Something about an EVSE has changed; the whole report, every time.
    Report(EvseId, Report),
}

/// One good reading of a meter. A reading with a "not available" word in its currents never becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When the values were true at the latest: the poll's end less the device's refresh period is older still.
    pub at: Moment,
    /// RMS current, import positive, export negative where the power's sign says so.
    pub current: PerPhase<Amps>,
    /// Watts a phase, import positive, where the meter gives them.
    pub watts: Option<PerPhase<i32>>,
    /// Volts a phase in millivolts, where the meter gives them.
    pub millivolts: Option<PerPhase<i32>>,
}

/// One good reading of an inverter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// When it was read.
    pub at: Moment,
    /// Generated power in W.
    pub watts: i32,
}

/// What is known of an EVSE, from its charger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Is there a connection, and since when?
    pub link: Link,
    /// Counts connections and reboots: after each, setpoints are sent anew.
    pub epoch: u64,
    /// What the connector says.
    pub plug: Plug,
    /// The session, if one runs.
    pub session: Option<Session>,
    /// Its own measurement, if it has a meter.
    pub measured: Option<Measured>,
    /// The answer to the newest order that has one.
    pub answer: Option<Answer>,
    /// The last session that is over, if its charger has read the register at the end. For the books: control does not
    /// ask for it.
    pub ended: Option<Ended>,
}

/// The register of a session that is over, in Wh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The session's id.
    pub id: i64,
    /// At its beginning, where that is known.
    pub start_wh: Option<i64>,
    /// At its end.
    pub stop_wh: i64,
}

impl Report {
    fn held(&self) -> Option<Held<'_>> {
        let Session { id, token, energy_wh, .. } = self.session.as_ref()?;
        Some(Held { id: *id, token: token.as_deref(), energy_wh: *energy_wh })
    }
}

/// The connection to a charger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// Never seen since our start.
    #[default]
    Never,
    /// Connected and ready for orders.
    Up {
        /// Since when.
        since: Moment,
    },
    /// Was connected, is not now.
    Down {
        /// Since when.
        since: Moment,
    },
}

/// What the connector says, in OCPP 1.6's words (`ChargePointStatus`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plug {
    /// Not heard yet.
    #[default]
    Unknown,
    /// No car.
    Available,
    /// A car, no session yet.
    Preparing,
    /// The car may take current, and does as far as the charger knows.
    Charging,
    /// The car does not want any now.
    SuspendedEv,
    /// We (or the charger) give none now.
    SuspendedEvse,
    /// Session over, car still there.
    Finishing,
    /// Out of order.
    Faulted,
    /// Out of service.
    Unavailable,
}

impl Plug {
    /// Could a car take current now?
    pub fn has_car(self) -> bool {
        match self {
            Plug::Available | Plug::Faulted | Plug::Unavailable => false,
            Plug::Unknown
            | Plug::Preparing
            | Plug::Charging
            | Plug::SuspendedEv
            | Plug::SuspendedEvse
            | Plug::Finishing => true,
        }
    }
}

/// A session that runs (in OCPP: a transaction).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Unique over all chargers and restarts.
    pub id: i64,
    /// The token it was begun with, if any.
    pub token: Option<String>,
    /// Since when, as far as this process knows.
    pub since: Moment,
    /// Energy so far in Wh, where known.
    pub energy_wh: Option<i64>,
    /// What its driver has said.
    pub need: Need,
}

/// What a driver has said of his session, as far as he has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// When he wants to leave.
    pub departs: Option<Moment>,
    /// How much he wants by then, in Wh since plug-in.
    pub wants_wh: Option<i64>,
}

/// A charger's own measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// When it arrived.
    pub at: Moment,
    /// On the charger's own terminals, its L1 first.
    pub current: PerPhase<Amps>,
    /// Total power in W, where it says so.
    pub watts: Option<i32>,
}

/// What a charger answered to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// [`super::Order::number`].
    pub number: u64,
    /// When the answer came, or was given up.
    pub at: Moment,
    /// How it went.
    pub verdict: Accepted,
}

/// How a charger took an order. Accepting proves nothing about the current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accepted {
    /// It said yes.
    Yes,
    /// It said no.
    No,
    /// It said nothing in time.
    Silent,
}
