//! What do a charger and its gateway say to each other? The payloads below a charger's topic (docs/MQTT.md), taken
//! tolerantly: an unknown field is ignored, a missing or senseless one is unknown, never zero.

use crate::control::Order;
use crate::control::observation::Plug;
use crate::units::{Amps, PerPhase};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Longest payload that is looked at, in bytes: ten times what a charger with every field needs.
const PAYLOAD_MOST: usize = 4096;
/// A reading beyond this is a fault of the charger, not a current, in A.
const CURRENT_MOST: f64 = 200.0;
/// Current transformers show a little less than nothing when nothing flows, in A.
const CURRENT_LEAST: f64 = -1.0;
/// A reading beyond this is a fault of the charger, in W: three phases of [`CURRENT_MOST`] at 400 V stay below.
const POWER_MOST: f64 = 250_000.0;
/// More than any session can take, in kWh.
const ENERGY_MOST: f64 = 100_000.0;

/// What `<topic>/state` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Is it there? `None` where it does not say.
    pub is_online: Option<bool>,
    /// The plug.
    pub plug: Plug,
    /// Its own name for the session; `Some(None)`: there is none; `None`: it does not say.
    pub session: Option<Option<String>>,
    /// The token that the session was begun with; `Some(None)`: without; `None`: it does not say.
    pub token: Option<Option<String>>,
    /// Its measured current, its own L1 first.
    pub current: Option<PerPhase<Amps>>,
    /// Its measured power in W.
    pub watts: Option<i32>,
    /// Energy of the session in Wh.
    pub energy_wh: Option<i64>,
    /// The setpoint that it keeps to.
    pub setpoint: Option<Amps>,
    /// The number of that setpoint.
    pub number: Option<u64>,
}

impl State {
    /// Reads a payload. `wired` is how many of the charger's terminals are wired: fewer readings are no measurement.
    ///
    /// # Errors
    /// A clause for people where it is too long or no JSON object.
    pub fn parse(payload: &[u8], wired: usize) -> Result<State, String> {
        if payload.len() > PAYLOAD_MOST {
            return Err(format!("{} bytes long; {PAYLOAD_MOST} are the most", payload.len()));
        }
        let fields: Map<String, Value> =
            serde_json::from_slice(payload).map_err(|e| format!("no JSON object ({e})"))?;
        let number_within =
            |key: &str, most: f64| fields.get(key).and_then(Value::as_f64).filter(|n| (0.0..=most).contains(n));
        Ok(State {
            is_online: fields.get("online").and_then(Value::as_bool),
            plug: fields.get("plug").and_then(|word| Plug::deserialize(word).ok()).unwrap_or_default(),
            session: fields.get("session").map(text_or_null),
            token: fields.get("token").map(text_or_null),
            current: fields.get("current_a").and_then(|list| currents(list, wired)),
            watts: number_within("power_w", POWER_MOST).map(|watts| watts.round() as i32),
            energy_wh: number_within("energy_kwh", ENERGY_MOST).map(|kwh| (kwh * 1000.0) as i64),
            setpoint: number_within("setpoint_a", CURRENT_MOST).and_then(Amps::from_f64),
            number: fields.get("number").and_then(Value::as_u64),
        })
    }
}

/// What `<topic>/status` says: `online` or `offline`; `None` for any other word.
pub fn parse_status(payload: &[u8]) -> Option<bool> {
    match payload {
        b"online" => Some(true),
        b"offline" => Some(false),
        _ => None,
    }
}

/// The payload of `<topic>/setpoint`, standing for `valid_s` seconds from its arrival.
pub fn setpoint(order: &Order, valid_s: u64) -> String {
    json!({
        "number": order.number,
        "current_a": exact(order.amps),
        "valid_s": valid_s,
        "fallback_a": exact(order.fallback),
    })
    .to_string()
}

/// A number of amperes to the milliampere, whole ones without a fraction: small parsers like them better.
fn exact(amps: Amps) -> Value {
    match amps.as_milli() % 1000 {
        0 => json!(amps.as_milli() / 1000),
        _ => json!(amps.as_f64()),
    }
}

fn currents(list: &Value, wired: usize) -> Option<PerPhase<Amps>> {
    let list = list.as_array().filter(|list| (wired..=3).contains(&list.len()))?;
    let mut own = PerPhase::all(Amps::ZERO);
    for (slot, reading) in own.0.iter_mut().zip(list).take(wired) {
        let amps = reading.as_f64().filter(|amps| (CURRENT_LEAST..=CURRENT_MOST).contains(amps))?;
        *slot = Amps::from_f64(amps.max(0.0))?;
    }
    Some(own)
}

/// Anything that is no text counts by how it is written: a token of digits may come as a number, and a senseless one
/// must stay a token that nobody knows rather than become "no token".
fn text_or_null(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::EvseId;
    use std::time::Duration;

    #[test]
    fn a_full_state_is_understood() {
        let state = State::parse(
            br#"{"online":true,"plug":"suspended_evse","session":"abc","token":"04A2","current_a":[6.1,0,5.96],
                "power_w":2780.4,"energy_kwh":3.2,"setpoint_a":6,"number":17,"firmware":"1.2"}"#,
            3,
        );
        let expected = State {
            is_online: Some(true),
            plug: Plug::SuspendedEvse,
            session: Some(Some("abc".into())),
            token: Some(Some("04A2".into())),
            current: Some(PerPhase([Amps::milli(6100), Amps::ZERO, Amps::milli(5960)])),
            watts: Some(2780),
            energy_wh: Some(3200),
            setpoint: Some(Amps::whole(6)),
            number: Some(17),
        };
        assert_eq!(state, Ok(expected));
    }

    #[test]
    fn what_is_missing_or_senseless_is_unknown_and_never_zero() {
        assert_eq!(State::parse(b"{}", 3), Ok(State::default()));
        let odd = br#"{"online":"yes","plug":"dancing","current_a":[6,null,6],"power_w":"many","energy_kwh":-1,
                       "setpoint_a":1e9,"number":-3}"#;
        assert_eq!(State::parse(odd, 3), Ok(State::default()));
    }

    #[test]
    fn fewer_readings_than_wired_terminals_are_no_measurement() {
        let current = |json: &str, wired| State::parse(json.as_bytes(), wired).unwrap().current;
        assert_eq!(current(r#"{"current_a":[6,6]}"#, 3), None);
        assert_eq!(current(r#"{"current_a":[6]}"#, 1), Some(PerPhase([Amps::whole(6), Amps::ZERO, Amps::ZERO])));
        assert_eq!(current(r#"{"current_a":[6,null,null]}"#, 1).unwrap()[crate::units::Phase::L1], Amps::whole(6));
        assert_eq!(current(r#"{"current_a":[6,6,6,6]}"#, 3), None);
        assert_eq!(current(r#"{"current_a":[6,6,65535]}"#, 3), None);
        assert_eq!(current(r#"{"current_a":[-0.04]}"#, 1), Some(PerPhase::all(Amps::ZERO)));
        assert_eq!(current(r#"{"current_a":[-16]}"#, 1), None);
    }

    #[test]
    fn null_is_said_and_missing_is_not() {
        let state = State::parse(br#"{"session":null,"token":""}"#, 1).unwrap();
        assert_eq!((state.session, state.token), (Some(None), Some(None)));
        let state = State::parse(b"{}", 1).unwrap();
        assert_eq!((state.session, state.token), (None, None));
    }

    #[test]
    fn a_senseless_token_does_not_become_no_token() {
        let token = |json: &str| State::parse(json.as_bytes(), 1).unwrap().token;
        assert_eq!(token(r#"{"token":123456}"#), Some(Some("123456".into())));
        assert_eq!(token(r#"{"token":["04A2"]}"#), Some(Some(r#"["04A2"]"#.into())));
    }

    #[test]
    fn a_payload_that_is_huge_or_no_object_is_refused() {
        let huge = format!(r#"{{"online":true,"x":"{}"}}"#, "x".repeat(PAYLOAD_MOST));
        assert!(State::parse(huge.as_bytes(), 3).unwrap_err().contains("bytes long"));
        for junk in [&b""[..], b"online", b"[1]", b"{\"online\":", b"\xff\xfe", b"{\"number\":1e999}"] {
            assert!(State::parse(junk, 3).unwrap_err().contains("no JSON object"), "{junk:?}");
        }
    }

    #[test]
    fn a_setpoint_is_written_as_documented() {
        let order =
            |amps, fallback| Order { evse: EvseId(0), number: 17, amps, lease: Duration::from_secs(120), fallback };
        assert_eq!(
            setpoint(&order(Amps::whole(9), Amps::whole(6)), 120),
            r#"{"current_a":9,"fallback_a":6,"number":17,"valid_s":120}"#
        );
        assert_eq!(
            setpoint(&order(Amps::milli(9500), Amps::ZERO), 60),
            r#"{"current_a":9.5,"fallback_a":0,"number":17,"valid_s":60}"#
        );
    }

    proptest::proptest! {
        #[test]
        fn no_payload_makes_it_fall_over(payload: Vec<u8>, wired in 1usize..=3) {
            let _ = State::parse(&payload, wired);
        }

        #[test]
        fn a_measurement_is_always_within_bounds(reading: f64) {
            let payload = serde_json::to_vec(&json!({"current_a": [reading]})).unwrap();
            if let Some(current) = State::parse(&payload, 1).unwrap().current {
                proptest::prop_assert!(current.most() <= Amps::whole(200) && current.most() >= Amps::ZERO);
            }
        }
    }
}
