//! What does the virtual OCPP charger say, and what does it understand? OCPP 1.6J as a conversation without sockets.
//!
//! One call at a time is under way. Transactions are kept over a lost connection; boots, states and meter values are
//! told as they are then. Numbers in brackets are sections of OCPP 1.6 edition 2.

use super::ocpp_keys::Keys;
use super::ocpp_profile::order_of;
use crate::control::observation::Plug;
use crate::sim::{Action, Ears, Plant};
use crate::site::EvseId;
use crate::time::{Duration, Moment};
use crate::units::Amps;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Calls that wait for their turn; what does not fit is told anew at the next look.
const WAITING_MOST: usize = 16;
/// A gateway that has not answered by then is gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// What the register of a new charger shows, in Wh.
const FIRST_REGISTER_WH: i64 = 12_000;
/// The tag of a car that is plugged in without a card.
const FREE_TAG: &str = "FREE";
/// A charger with one connector.
#[derive(Debug)]
pub struct Talk {
    evse: EvseId,
    identity: String,
    keys: Keys,
    calls: u64,
    waiting: VecDeque<Call>,
    under_way: Option<(u64, Call, Moment)>,
    is_booted: bool,
    told_plug: Option<Plug>,
    session: Option<Told>,
    register_wh: i64,
    metered_at: Moment,
    beaten_at: Moment,
}

/// A call of ours and what its answer will mean.
#[derive(Debug, Clone)]
struct Call {
    action: &'static str,
    payload: Value,
}

/// A session as far as the gateway knows it.
#[derive(Debug, Clone)]
struct Told {
    id: i64,
    tag: String,
    stage: Stage,
    energy_wh: i64,
}

/// Authorize accepted, then StartTransaction answered; who is refused loses the session in the plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    Starting,
    Runs { transaction: i64 },
}

impl Talk {
    /// A charger that has never talked.
    pub fn new(evse: EvseId, identity: String, meter_every: Duration) -> Self {
        Talk {
            evse,
            identity,
            keys: Keys::new(meter_every),
            calls: 0,
            waiting: VecDeque::new(),
            under_way: None,
            is_booted: false,
            told_plug: None,
            session: None,
            register_wh: FIRST_REGISTER_WH,
            metered_at: Moment::START,
            beaten_at: Moment::START,
        }
    }

    /// There is a new connection: what was under way was perhaps not heard, the rest is told as it is now.
    pub fn connected(&mut self) {
        if let Some((_, call, _)) = self.under_way.take() {
            self.waiting.push_front(call);
        }
        self.waiting.retain(|call| matches!(call.action, "StartTransaction" | "StopTransaction"));
        self.is_booted = false;
        self.told_plug = None;
        let boot = json!({
            "chargePointVendor": "headroom", "chargePointModel": "virtual",
            "chargePointSerialNumber": self.identity, "firmwareVersion": "1",
        });
        self.waiting.push_front(Call { action: "BootNotification", payload: boot });
    }

    /// Has the gateway failed to answer?
    pub fn is_unanswered(&self, now: Moment) -> bool {
        self.under_way.as_ref().is_some_and(|(_, _, since)| now.since(*since) > ANSWER_WITHIN)
    }

    /// What there is to say now, if anything.
    pub fn look(&mut self, plant: &mut Plant, wall: DateTime<Utc>) -> Option<String> {
        if self.is_booted {
            self.tell_session(plant, wall);
            self.tell_plug(plant, wall);
            self.tell_meter(plant, wall);
            self.beat(plant.now());
        }
        self.next_call(plant.now())
    }

    /// Hears a frame; returns what is to be sent.
    pub fn hear(&mut self, frame: &str, plant: &mut Plant, wall: DateTime<Utc>) -> Vec<String> {
        let Ok(Value::Array(parts)) = serde_json::from_str::<Value>(frame) else { return Vec::new() };
        match parts.as_slice() {
            [Value::Number(kind), id, Value::String(action), payload] if kind.as_i64() == Some(2) => {
                let answer = self.answer(action, payload, plant, wall);
                answer.map(|answer| answer.frame(id)).into_iter().chain(self.next_call(plant.now())).collect()
            }
            [Value::Number(kind), Value::String(id), payload] if kind.as_i64() == Some(3) => {
                self.answered(id, Some(payload), plant, wall);
                self.next_call(plant.now()).into_iter().collect()
            }
            [Value::Number(kind), Value::String(id), ..] if kind.as_i64() == Some(4) => {
                self.answered(id, None, plant, wall);
                self.next_call(plant.now()).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn next_call(&mut self, now: Moment) -> Option<String> {
        if self.under_way.is_some() {
            return None;
        }
        let call = self.waiting.pop_front()?;
        self.calls += 1;
        let frame = json!([2, self.calls.to_string(), call.action, call.payload]).to_string();
        self.under_way = Some((self.calls, call, now));
        Some(frame)
    }

    fn ask(&mut self, action: &'static str, payload: Value) -> bool {
        let fits = self.waiting.len() < WAITING_MOST;
        if fits {
            self.waiting.push_back(Call { action, payload });
        }
        fits
    }

    fn answered(&mut self, id: &str, payload: Option<&Value>, plant: &mut Plant, wall: DateTime<Utc>) {
        let is_ours = self.under_way.as_ref().is_some_and(|(number, _, _)| number.to_string() == id);
        let Some((_, call, _)) = self.under_way.take_if(|_| is_ours) else { return };
        let accepted = payload.and_then(|payload| payload["idTagInfo"]["status"].as_str()) == Some("Accepted");
        match (call.action, &mut self.session) {
            ("BootNotification", _) => {
                self.is_booted = payload.is_some_and(|payload| payload["status"] == "Accepted");
                if let Some(interval) =
                    payload.and_then(|payload| payload["interval"].as_u64()).filter(|span| *span > 0)
                {
                    self.keys.set("HeartbeatInterval", &interval.to_string());
                }
                self.beaten_at = plant.now();
            }
            ("Authorize", Some(told)) if told.stage == Stage::Asked => match accepted {
                true => self.begin(wall),
                false => plant.act(&Action::Stop(self.evse)),
            },
            ("StartTransaction", Some(told)) if told.stage == Stage::Starting => {
                let transaction = payload.and_then(|payload| payload["transactionId"].as_i64()).unwrap_or(-1);
                told.stage = Stage::Runs { transaction };
                if !accepted {
                    // The card may not charge here after all: the contactor opens.
                    plant.act(&Action::Stop(self.evse));
                }
            }
            _ => {}
        }
    }

    /// Begins, carries on and ends the transaction as the plant's session does.
    fn tell_session(&mut self, plant: &mut Plant, wall: DateTime<Utc>) {
        let session = plant.session(self.evse);
        if let (Some(told), Some(session)) = (&mut self.session, &session)
            && told.id == session.id
        {
            told.energy_wh = session.energy_wh.unwrap_or(told.energy_wh);
            return;
        }
        if let Some(told) = self.session.take() {
            self.register_wh += told.energy_wh;
            if let Stage::Runs { transaction } = told.stage {
                let reason = if plant.plug(self.evse) == Plug::Available { "EVDisconnected" } else { "Other" };
                self.ask(
                    "StopTransaction",
                    json!({
                        "transactionId": transaction, "idTag": told.tag, "meterStop": self.register_wh,
                        "timestamp": time(wall), "reason": reason,
                    }),
                );
            }
        }
        if let Some(session) = session {
            let tag = session.token.unwrap_or_else(|| FREE_TAG.to_owned());
            if self.ask("Authorize", json!({ "idTag": tag })) {
                self.session = Some(Told { id: session.id, tag, stage: Stage::Asked, energy_wh: 0 });
            }
        }
    }

    fn begin(&mut self, wall: DateTime<Utc>) {
        let Some(told) = &mut self.session else { return };
        told.stage = Stage::Starting;
        let tag = told.tag.clone();
        let start = json!({"connectorId": 1, "idTag": tag, "meterStart": self.register_wh, "timestamp": time(wall)});
        self.ask("StartTransaction", start);
    }

    fn tell_plug(&mut self, plant: &Plant, wall: DateTime<Utc>) {
        let plug = plant.plug(self.evse);
        if self.told_plug != Some(plug) && self.ask("StatusNotification", status(plug, wall)) {
            self.told_plug = Some(plug);
        }
    }

    fn tell_meter(&mut self, plant: &Plant, wall: DateTime<Utc>) {
        let interval = self.keys.seconds("MeterValueSampleInterval");
        // Nobody misses a sample that would wait behind other calls.
        let is_due = interval.is_some_and(|span| plant.now().since(self.metered_at) >= span) && self.waiting.is_empty();
        if let (true, Some(Told { stage: Stage::Runs { transaction }, .. })) = (is_due, &self.session) {
            let payload = self.meter_values(plant, Some(*transaction), wall);
            self.metered_at = plant.now();
            self.ask("MeterValues", payload);
        }
    }

    fn beat(&mut self, now: Moment) {
        if self.keys.seconds("HeartbeatInterval").is_some_and(|span| now.since(self.beaten_at) >= span) {
            self.beaten_at = now;
            self.ask("Heartbeat", json!({}));
        }
    }

    fn meter_values(&self, plant: &Plant, transaction: Option<i64>, wall: DateTime<Utc>) -> Value {
        let draw = plant.own_draw(self.evse);
        let energy = self.register_wh + self.session.as_ref().map_or(0, |told| told.energy_wh);
        let watts: f64 = draw.0.iter().map(|amps| amps.as_f64() * crate::sim::VOLTS as f64).sum();
        let mut sampled: Vec<Value> = ["L1", "L2", "L3"]
            .iter()
            .zip(draw.0)
            .map(|(phase, amps)| {
                json!({"value": format!("{:.1}", amps.as_f64()), "measurand": "Current.Import", "phase": phase, "unit": "A"})
            })
            .collect();
        sampled.push(json!({"value": format!("{watts:.0}"), "measurand": "Power.Active.Import", "unit": "W"}));
        sampled.push(json!({"value": energy.to_string(), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}));
        let mut payload = json!({
            "connectorId": 1,
            "meterValue": [{"timestamp": time(wall), "sampledValue": sampled}],
        });
        if let Some(transaction) = transaction {
            payload["transactionId"] = json!(transaction);
        }
        payload
    }

    /// The answer to a call of the gateway; `None` where the charger says nothing.
    fn answer(&mut self, action: &str, payload: &Value, plant: &mut Plant, wall: DateTime<Utc>) -> Option<Answer> {
        let ears = plant.ears(self.evse);
        let status = |status: &str| Some(Answer::Result(json!({ "status": status })));
        match (action, ears) {
            (_, Ears::Deaf) => None,
            ("SetChargingProfile", Ears::Refuses) => status("Rejected"),
            ("SetChargingProfile", Ears::Heeds | Ears::Ignores) => match order_of(payload, self.evse, wall) {
                Ok(order) => {
                    plant.obey(&order);
                    status("Accepted")
                }
                Err(why) => Some(Answer::Error("PropertyConstraintViolation", why)),
            },
            ("GetCompositeSchedule", _) => Some(Answer::Result(composite(plant.offer(self.evse), payload))),
            ("GetConfiguration", _) => Some(Answer::Result(self.keys.tell(payload))),
            ("ChangeConfiguration", _) => {
                let (key, value) = (payload["key"].as_str(), payload["value"].as_str());
                status(self.keys.set(key.unwrap_or_default(), value.unwrap_or_default()))
            }
            ("TriggerMessage", _) => status(self.trigger(payload, plant, wall)),
            ("RemoteStopTransaction", _) => {
                let is_it = matches!(&self.session, Some(Told { stage: Stage::Runs { transaction }, .. })
                    if payload["transactionId"].as_i64() == Some(*transaction));
                if is_it {
                    plant.act(&Action::Stop(self.evse));
                }
                status(if is_it { "Accepted" } else { "Rejected" })
            }
            ("RemoteStartTransaction" | "Reset" | "ClearCache" | "ChangeAvailability", _) => status("Rejected"),
            ("ClearChargingProfile", _) => status("Unknown"),
            ("UnlockConnector", _) => status("NotSupported"),
            _ => Some(Answer::Error("NotImplemented", format!("{action} is not known here"))),
        }
    }

    fn trigger(&mut self, payload: &Value, plant: &Plant, wall: DateTime<Utc>) -> &'static str {
        let transaction = match &self.session {
            Some(Told { stage: Stage::Runs { transaction }, .. }) => Some(*transaction),
            Some(_) | None => None,
        };
        let is_asked = match payload["requestedMessage"].as_str() {
            Some("Heartbeat") => self.ask("Heartbeat", json!({})),
            Some("StatusNotification") => self.ask("StatusNotification", status(plant.plug(self.evse), wall)),
            Some("MeterValues") => {
                let values = self.meter_values(plant, transaction, wall);
                self.ask("MeterValues", values)
            }
            _ => return "NotImplemented",
        };
        if is_asked { "Accepted" } else { "Rejected" }
    }
}

enum Answer {
    Result(Value),
    Error(&'static str, String),
}

impl Answer {
    fn frame(self, id: &Value) -> String {
        match self {
            Answer::Result(payload) => json!([3, id, payload]).to_string(),
            Answer::Error(code, why) => json!([4, id, code, why, {}]).to_string(),
        }
    }
}

fn status(plug: Plug, wall: DateTime<Utc>) -> Value {
    let status = match plug {
        Plug::Unknown | Plug::Available => "Available",
        Plug::Preparing => "Preparing",
        Plug::Charging => "Charging",
        Plug::SuspendedEv => "SuspendedEV",
        Plug::SuspendedEvse => "SuspendedEVSE",
        Plug::Finishing => "Finishing",
        Plug::Faulted => "Faulted",
        Plug::Unavailable => "Unavailable",
    };
    json!({"connectorId": 1, "errorCode": "NoError", "status": status, "timestamp": time(wall)})
}

fn composite(offer: Amps, payload: &Value) -> Value {
    json!({
        "status": "Accepted", "connectorId": 1,
        "chargingSchedule": {
            "duration": payload["duration"], "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": offer}],
        },
    })
}

fn time(wall: DateTime<Utc>) -> String {
    wall.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::tests::site_of;
    use crate::sim::{Car, Script};

    fn wall() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    /// A charger that has booted and told its state, and its plant.
    fn booted() -> (Talk, Plant) {
        let mut plant = Plant::new(&site_of(&["left"]), &Script::default());
        let mut talk = Talk::new(EvseId(0), "HOME-1".into(), Duration::from_secs(2));
        talk.connected();
        assert!(talk.look(&mut plant, wall()).unwrap().contains("BootNotification"));
        answer(&mut talk, &mut plant, json!({"status": "Accepted", "interval": 60}));
        assert!(talk.look(&mut plant, wall()).unwrap().contains(r#""status":"Available""#));
        answer(&mut talk, &mut plant, json!({}));
        (talk, plant)
    }

    /// The gateway answers what is under way; the next call, if there is one already.
    fn answer(talk: &mut Talk, plant: &mut Plant, payload: Value) -> Option<String> {
        let id = talk.under_way.as_ref().expect("nothing is under way").0.to_string();
        talk.hear(&json!([3, id, payload]).to_string(), plant, wall()).pop()
    }

    fn pass(plant: &mut Plant, seconds: u64) {
        plant.advance(plant.now() + Duration::from_secs(seconds));
    }

    /// Lets time pass, all else answered, until this call is under way.
    fn until(talk: &mut Talk, plant: &mut Plant, action: &str) -> String {
        for _ in 0..20 {
            match &talk.under_way {
                Some((_, call, _)) if call.action == action => return call.payload.to_string(),
                Some(_) => drop(answer(talk, plant, json!({}))),
                None => {
                    pass(plant, 1);
                    talk.look(plant, wall());
                }
            }
        }
        panic!("no {action}")
    }

    #[test]
    fn a_card_is_authorised_then_charges_is_metered_and_billed() {
        let (mut talk, mut plant) = booted();
        let car = Car { token: Some("04A2".into()), start: Duration::from_secs(1), ..Car::default() };
        plant.act(&Action::Arrive(EvseId(0), car));
        pass(&mut plant, 2);
        assert!(until(&mut talk, &mut plant, "Authorize").contains("04A2"));
        answer(&mut talk, &mut plant, json!({"idTagInfo": {"status": "Accepted"}}));
        let start = until(&mut talk, &mut plant, "StartTransaction");
        assert!(start.contains("\"meterStart\":12000"), "{start}");
        answer(&mut talk, &mut plant, json!({"transactionId": 7, "idTagInfo": {"status": "Accepted"}}));
        pass(&mut plant, 60);
        let meter = until(&mut talk, &mut plant, "MeterValues");
        assert!(meter.contains("\"transactionId\":7") && meter.contains("\"value\":\"5.5\""), "{meter}");
        answer(&mut talk, &mut plant, json!({}));
        plant.act(&Action::Leave(EvseId(0)));
        let stop = until(&mut talk, &mut plant, "StopTransaction");
        assert!(stop.contains("\"transactionId\":7") && stop.contains("EVDisconnected"), "{stop}");
        assert!(!stop.contains("\"meterStop\":12000"), "{stop}");
    }

    #[test]
    fn a_card_that_is_refused_gets_no_current() {
        let (mut talk, mut plant) = booted();
        plant.act(&Action::Arrive(EvseId(0), Car { token: Some("BAD".into()), ..Car::default() }));
        pass(&mut plant, 2);
        until(&mut talk, &mut plant, "Authorize");
        answer(&mut talk, &mut plant, json!({"idTagInfo": {"status": "Invalid"}}));
        pass(&mut plant, 60);
        assert_eq!(plant.plug(EvseId(0)), Plug::Finishing);
        assert_eq!(plant.draw(EvseId(0)).most(), Amps::ZERO);
    }

    #[test]
    fn what_the_gateway_asks_is_answered() {
        let (mut talk, mut plant) = booted();
        let mut ask = |action: &str, payload: Value| -> Value {
            let frames = talk.hear(&json!([2, "x", action, payload]).to_string(), &mut plant, wall());
            serde_json::from_str(&frames[0]).unwrap()
        };
        let set = json!({"key": "MeterValueSampleInterval", "value": "5"});
        assert_eq!(ask("ChangeConfiguration", set), json!([3, "x", {"status": "Accepted"}]));
        let got = ask("GetConfiguration", json!({"key": ["MeterValueSampleInterval", "Nonsense"]}));
        assert_eq!(got[2]["configurationKey"][0]["value"], "5");
        assert_eq!(got[2]["unknownKey"], json!(["Nonsense"]));
        assert_eq!(ask("ChangeConfiguration", json!({"key": "Nonsense", "value": "5"}))[2]["status"], "NotSupported");
        assert_eq!(ask("TriggerMessage", json!({"requestedMessage": "StatusNotification"}))[2]["status"], "Accepted");
        assert_eq!(ask("Dance", json!({}))[2], "NotImplemented");
        assert_eq!(ask("SetChargingProfile", json!({}))[0], 4);
    }

    #[test]
    fn a_charger_that_ignores_accepts_all_the_same() {
        let (mut talk, mut plant) = booted();
        plant.act(&Action::Ears(EvseId(0), Ears::Ignores));
        let profile = json!({"connectorId": 1, "csChargingProfiles": {"chargingProfileId": 1, "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Absolute",
            "chargingSchedule": {"startSchedule": "2026-03-01T11:59:00Z", "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 9}, {"startPeriod": 80, "limit": 6}]}}});
        let call = json!([2, "x", "SetChargingProfile", profile]).to_string();
        assert!(talk.hear(&call, &mut plant, wall())[0].contains("Accepted"));
        pass(&mut plant, 1);
        assert_eq!(plant.offer(EvseId(0)), Amps::whole(6));
        plant.act(&Action::Ears(EvseId(0), Ears::Heeds));
        talk.hear(&call, &mut plant, wall());
        pass(&mut plant, 1);
        assert_eq!(plant.offer(EvseId(0)), Amps::whole(9));
        pass(&mut plant, 20);
        assert_eq!(plant.offer(EvseId(0)), Amps::whole(6), "the second period begins 80 s after 11:59");
    }
}
