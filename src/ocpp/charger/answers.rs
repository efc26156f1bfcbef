//! What is a charger answered? Each call of its own at once, and always so that it does not have to ask again.
//!
//! A CALLERROR to StartTransaction, StopTransaction or MeterValues makes a charger repeat it and holds up all that
//! queues behind (OCPP 1.6 ed. 2, 3.7): these are answered with a result whatever they contain.

use super::{BOOT_SPAN, BOOTS, Charger, ORDERS_FIRST, Output};
use crate::control::observation::Plug;
use crate::ocpp::book::Book;
use crate::ocpp::connector::Seat;
use crate::ocpp::frame::{self, Code};
use crate::ocpp::inbound::{Inbound, Start};
use crate::ocpp::{Now, id_tag, meter};
use crate::policy::{Policy, Verdict, is_central};
use crate::time::Duration;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

/// Timestamps and clocks of chargers count whole seconds: a value that seems younger than this was measured just now.
const PROMPT: TimeDelta = TimeDelta::seconds(3);

/// Meter values older than this come from the charger's queue and say nothing about now.
const OLD: TimeDelta = TimeDelta::seconds(60);

/// A charger's clock that is moved by more than this has moved its leases too: they are sent anew.
const CLOCK_STEP: TimeDelta = TimeDelta::seconds(1);

impl Charger {
    pub(super) fn answer(
        &mut self,
        id: &str,
        action: &str,
        payload: &Value,
        now: Now,
        policy: &Policy,
        book: &mut Book,
    ) {
        let Some(inbound) = Inbound::read(action, payload) else {
            tracing::debug!(charger = self.identity(), ?action, "unknown action");
            return self.send(frame::error(id, Code::NotImplemented, "this action is not known"));
        };
        let answer = match inbound {
            Inbound::Boot { vendor, model, firmware } => {
                tracing::info!(charger = self.identity(), ?vendor, ?model, ?firmware, "booted");
                self.booted(now)
            }
            Inbound::Heartbeat => json!({"currentTime": self.tell_time(now)}),
            Inbound::Status { connector, plug, fault } => self.status(connector, plug, fault, book),
            Inbound::Authorize { token } => {
                self.meet(token.as_deref(), policy);
                let token = self.taken(token, None, now);
                self.authorized(token.as_deref(), now, policy)
            }
            Inbound::Start(start) => self.started(start, now, policy, book),
            Inbound::Stop { transaction, token, meter_wh } => {
                self.stopped(transaction, meter_wh, book);
                // Nobody is kept from stopping: the answer is for the charger's cache.
                let token = self.taken(token, None, now);
                token.map_or(json!({}), |token| self.authorized(Some(&token), now, policy))
            }
            Inbound::Meter { connector, transaction } => self.metered(connector, transaction, payload, now, book),
            Inbound::DataTransfer => json!({"status": "UnknownVendorId"}),
            Inbound::SignCertificate => json!({"status": "Rejected"}),
            Inbound::Notice => json!({}),
        };
        self.send(frame::result(id, &answer));
    }

    fn booted(&mut self, now: Now) -> Value {
        self.drop_errand();
        self.pending = None;
        self.access.booted();
        self.boots.retain(|at| now.at.since(*at) < BOOT_SPAN);
        self.boots.push_back(now.at);
        let connectors = self.connectors.len();
        if self.boots.len() > BOOTS {
            self.boots.pop_front();
            tracing::warn!(charger = self.identity(), "boots again and again; it is not configured any more");
            self.setup.least(connectors);
            self.access.rest();
        } else {
            self.setup.all(connectors, self.settings.meter_interval, self.settings.heartbeat);
        }
        if let Some(online) = &mut self.online {
            online.orders_from = now.at;
            let head_start = if self.setup.must_read_first() { Duration::ZERO } else { ORDERS_FIRST };
            online.setup_from = now.at + head_start;
        }
        self.told = None;
        self.connectors.iter_mut().for_each(|connector| connector.start_over());
        json!({
            "status": "Accepted",
            "currentTime": self.tell_time(now),
            "interval": self.settings.heartbeat.as_secs().max(1),
        })
    }

    /// Chargers set their clock by this.
    fn tell_time(&mut self, now: Now) -> String {
        let step = now.wall.signed_duration_since(self.clock(now)).abs();
        if step > CLOCK_STEP {
            tracing::info!(charger = self.identity(), seconds = step.num_seconds(), "its clock is moved; sent anew");
            for connector in &mut self.connectors {
                connector.start_over();
                connector.fall_back();
            }
        }
        self.told = Some((now.at, now.wall));
        now.wall.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    fn status(&mut self, connector: Option<i64>, plug: Plug, fault: Option<String>, book: &mut Book) -> Value {
        let Some(at) = self.seat(connector) else { return json!({}) };
        if self.connectors[at].status(plug, fault.clone()) {
            tracing::warn!(charger = self.identity(), connector, ?fault, "the charger reports a fault");
        }
        // Without a car nothing runs, though its end may have been lost.
        if plug == Plug::Available {
            self.end(at, None, book);
        }
        json!({})
    }

    fn started(&mut self, start: Start, now: Now, policy: &Policy, book: &mut Book) -> Value {
        let Some(at) = self.seat(start.connector.filter(|number| *number > 0)) else {
            tracing::warn!(
                charger = self.identity(),
                connector = start.connector,
                "a transaction on a connector that is not in the configuration is refused: add a [[charger]] for it"
            );
            self.outputs.push_back(Output::SaveBook);
            return with_id(book.fresh_id(), id_tag::answer(policy, None, Verdict::Unknown));
        };
        self.meet(start.token.as_deref(), policy);
        let seat = &self.connectors[at].seat;
        // What runs goes on under its token though its start is told once more.
        let is_running = start.token.is_some() && book.at(&seat.id).is_some_and(|open| open.token == start.token);
        let token = if is_running { start.token } else { self.taken(start.token, Some(seat.evse), now) };
        let verdict = policy.entitlement(seat.evse, token.as_deref(), now.date()).verdict;
        let before = book.at(&seat.id).map(|open| open.id);
        let id = book.start(&seat.id, token.clone(), start.at.unwrap_or(now.wall), start.meter_wh);
        if before != Some(id) {
            tracing::info!(charger = self.identity(), connector = seat.connector, id, ?verdict, "transaction begun");
            self.outputs.push_back(Output::SaveBook);
        }
        let answer = id_tag::answer(policy, token.as_deref(), verdict);
        // A refused one is reported too: control gives it nothing, and says why.
        self.connectors[at].begin(id, token, start.meter_wh, now.at);
        with_id(id, answer)
    }

    /// Somebody may wait for a card that is not known yet.
    fn meet(&mut self, token: Option<&str>, policy: &Policy) {
        if let Some(stranger) = token.filter(|token| !policy.knows(token) && !is_central(token)) {
            self.outputs.push_back(Output::Stranger(stranger.into()));
        }
    }

    fn authorized(&self, token: Option<&str>, now: Now, policy: &Policy) -> Value {
        let verdict = |seat: &Seat| policy.entitlement(seat.evse, token, now.date()).verdict;
        let best = id_tag::authorized(self.connectors.iter().map(|connector| verdict(&connector.seat)));
        id_tag::answer(policy, token, best)
    }

    fn stopped(&mut self, transaction: Option<i64>, meter_wh: Option<i64>, book: &mut Book) {
        let at = transaction.and_then(|id| self.connectors.iter().position(|c| c.session_id() == Some(id)));
        match at {
            Some(at) => self.end(at, meter_wh, book),
            None => tracing::info!(charger = self.identity(), id = transaction, "the end of an unknown transaction"),
        }
    }

    fn end(&mut self, at: usize, meter_wh: Option<i64>, book: &mut Book) {
        let connector = &mut self.connectors[at];
        if let Some(id) = connector.session_id() {
            connector.end(meter_wh);
            book.close(&connector.seat.id);
            let number = connector.seat.connector;
            tracing::info!(charger = self.identity(), connector = number, id, "transaction over");
            self.outputs.push_back(Output::SaveBook);
        }
    }

    fn metered(
        &mut self,
        connector: Option<i64>,
        transaction: Option<i64>,
        payload: &Value,
        now: Now,
        book: &mut Book,
    ) -> Value {
        let Some(at) = self.seat(connector) else { return json!({}) };
        let clock = self.clock(now);
        // Before the charger has been told the time, or while we do not know it, ages mean nothing.
        let is_comparable = self.told.is_some() || now.date().is_some();
        let is_old = |at: DateTime<Utc>| is_comparable && clock.signed_duration_since(at) > OLD;
        let connector = &mut self.connectors[at];
        let meter = meter::read(payload, (connector.seat.wired, connector.seat.volts), is_old);
        if let Some(id) = transaction.filter(|id| meter.is_fresh && connector.is_foreign(*id))
            && book.open.iter().all(|open| open.id != id)
        {
            book.adopt(&connector.seat.id, id, now.wall);
            connector.begin(id, None, None, now.at);
            self.outputs.push_back(Output::SaveBook);
            tracing::info!(charger = self.settings.identity, id, "a transaction that was not begun with us goes on");
        }
        // What comes late must not pass for a word on what we have ordered meanwhile.
        let age = meter.newest.filter(|_| is_comparable).map(|newest| clock.signed_duration_since(newest));
        let age = age.filter(|age| *age > PROMPT).and_then(|age| age.to_std().ok()).unwrap_or_default();
        self.connectors[at].metered(&meter, now.at - age);
        json!({})
    }

    /// The connector of this number; where there is one only, it need not be named.
    fn seat(&self, connector: Option<i64>) -> Option<usize> {
        match connector {
            Some(number) => self.connectors.iter().position(|c| i64::from(c.seat.connector) == number),
            None => (self.connectors.len() == 1).then_some(0),
        }
    }
}

fn with_id(id: i64, mut answer: Value) -> Value {
    answer["transactionId"] = json!(id);
    answer
}
