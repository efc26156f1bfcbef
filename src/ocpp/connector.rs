//! What is known of one connector, and what waits for it? Its report, its session, the newest order.

use super::meter::Meter;
use crate::control::Order;
use crate::control::observation::{Accepted, Answer, Ended, Link, Measured, Need, Plug, Report, Session};
use crate::site::EvseId;
use crate::time::Moment;
use crate::units::Amps;

/// What the configuration says of a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its index in the site.
    pub evse: EvseId,
    /// Its id in the configuration.
    pub id: String,
    /// OCPP's connector number, from 1.
    pub connector: u32,
    /// 1 or 3 wired phases.
    pub wired: usize,
    /// The nominal volts of each.
    pub volts: i64,
    /// What it falls back to.
    pub fallback: Amps,
}

/// A connector that we steer.
#[derive(Debug)]
pub struct Connector {
    /// What the configuration says.
    pub seat: Seat,
    /// All that the step is told.
    pub report: Report,
    /// The newest order, not sent yet; one that comes later takes its place.
    pub waiting: Option<Order>,
    /// The fallback profile is to be sent.
    pub wants_fallback: bool,
    /// A status has come over this connection.
    pub has_status: bool,
    has_orders: bool,
    said: Plug,
    fault: Option<String>,
    meter_start_wh: Option<i64>,
    ended: Option<i64>,
    emitted: Option<Report>,
}

impl Connector {
    /// Never seen.
    pub fn new(seat: Seat) -> Self {
        Connector {
            seat,
            report: Report::default(),
            waiting: None,
            wants_fallback: false,
            has_status: false,
            has_orders: false,
            said: Plug::Unknown,
            fault: None,
            meter_start_wh: None,
            ended: None,
            emitted: None,
        }
    }

    /// The charger has said what the connector is. True if it has a fault that it had not.
    pub fn status(&mut self, plug: Plug, fault: Option<String>) -> bool {
        self.has_status = true;
        self.said = plug;
        self.infer_plug();
        let is_new = fault.is_some() && fault != self.fault;
        self.fault = fault;
        is_new
    }

    /// Where a transaction runs there is a car, though the charger may tell that later.
    fn infer_plug(&mut self) {
        self.report.plug = match (self.said, &self.report.session) {
            (Plug::Available, Some(_)) => Plug::Preparing,
            (said, _) => said,
        };
    }

    /// There is a connection.
    pub fn up(&mut self, now: Moment) {
        self.report.link = Link::Up { since: now };
        self.has_status = false;
        self.start_over();
    }

    /// What the charger was told may be lost: the step has to send anew.
    pub fn start_over(&mut self) {
        self.report.epoch += 1;
        self.has_orders = false;
    }

    /// The connection is gone, and what waited for it is out of date.
    pub fn down(&mut self, now: Moment) {
        self.report.link = Link::Down { since: now };
        self.waiting = None;
        self.wants_fallback = false;
    }

    /// The step has decided. A lease ends in the fallback, so that the fallback profile need not be sent too.
    pub fn order(&mut self, order: Order) {
        self.waiting = Some(order);
        self.wants_fallback = false;
        self.has_orders = true;
    }

    /// The fallback profile is due, unless a transaction runs or an order has come: both leave a profile of their own.
    pub fn fall_back(&mut self) {
        self.wants_fallback = self.report.session.is_none() && !self.has_orders;
    }

    /// How the charger took an order.
    pub fn answered(&mut self, number: u64, verdict: Accepted, now: Moment) {
        self.report.answer = Some(Answer { number, at: now, verdict });
    }

    /// A transaction runs.
    pub fn begin(&mut self, id: i64, token: Option<String>, meter_start_wh: Option<i64>, now: Moment) {
        if self.session_id() != Some(id) {
            self.report.session = Some(Session { id, token, since: now, energy_wh: None, need: Need::default() });
        }
        self.meter_start_wh = meter_start_wh;
        self.wants_fallback = false;
        self.infer_plug();
    }

    /// The transaction is over, and the register said so much: the next car shall begin at the fallback.
    pub fn end(&mut self, meter_stop_wh: Option<i64>) {
        self.ended = self.session_id();
        let registers = self.session_id().zip(meter_stop_wh);
        self.report.ended = registers.map(|(id, stop_wh)| Ended { id, start_wh: self.meter_start_wh, stop_wh });
        self.report.session = None;
        self.meter_start_wh = None;
        self.waiting = None;
        self.has_orders = false;
        self.infer_plug();
        self.fall_back();
    }

    /// The transaction that runs.
    pub fn session_id(&self) -> Option<i64> {
        self.report.session.as_ref().map(|session| session.id)
    }

    /// Is this the id of a transaction that runs here though nobody told us of its start? Some chargers repeat the id
    /// of one that is over.
    pub fn is_foreign(&self, id: i64) -> bool {
        let is_running = match self.report.plug {
            Plug::Charging | Plug::SuspendedEv | Plug::SuspendedEvse => true,
            Plug::Unknown | Plug::Available | Plug::Preparing | Plug::Finishing | Plug::Faulted | Plug::Unavailable => {
                false
            }
        };
        id > 0 && is_running && self.report.session.is_none() && self.ended != Some(id)
    }

    /// It has measured.
    pub fn metered(&mut self, meter: &Meter, now: Moment) {
        if let Some(current) = meter.current {
            self.report.measured = Some(Measured { at: now, current, watts: meter.watts });
        }
        if let (Some(session), Some(start), Some(register)) =
            (&mut self.report.session, self.meter_start_wh, meter.energy_wh)
        {
            session.energy_wh = Some(register.saturating_sub(start).max(0));
        }
    }

    /// The report, if it has changed since it was last asked for.
    pub fn news(&mut self) -> Option<Report> {
        if self.emitted.as_ref() == Some(&self.report) {
            return None;
        }
        self.emitted = Some(self.report.clone());
        self.emitted.clone()
    }
}
