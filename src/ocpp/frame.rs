//! What is a frame? OCPP-J 1.6's three arrays on a text message: CALL `[2,id,action,{}]`, CALLRESULT `[3,id,{}]` and
//! CALLERROR `[4,id,code,description,{}]`.
//!
//! Reading is tolerant (a number for an id, a missing payload), writing is strict.

use serde_json::{Value, json};

/// A frame that a charger sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// It wants something and waits for our answer.
    Call {
        /// To be repeated in the answer.
        id: String,
        /// Such as `Heartbeat`.
        action: String,
        /// An object; anything else that was sent here is kept as it is.
        payload: Value,
    },
    /// Its answer to a call of ours.
    Result {
        /// The call's id.
        id: String,
        /// What it answered.
        payload: Value,
    },
    /// Its refusal of a call of ours.
    Error {
        /// The call's id.
        id: String,
        /// Such as `NotSupported`.
        code: String,
    },
}

/// Why a text is no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nobody waits for an answer, or it cannot be told who: dropped.
    Unanswerable(&'static str),
    /// A call whose id can be read: answered with a CALLERROR.
    Answerable {
        /// The call's id.
        id: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Codes of a CALLERROR (OCPP-J 1.6, table 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The action is not known.
    NotImplemented,
    /// The frame breaks the grammar.
    FormationViolation,
}

impl Frame {
    /// Reads a text message.
    ///
    /// # Errors
    /// A [`Fault`] that says whether the sender waits for an answer.
    pub fn parse(text: &str) -> Result<Frame, Fault> {
        let Ok(Value::Array(parts)) = serde_json::from_str::<Value>(text) else {
            return salvage(text).ok_or(Fault::Unanswerable("not a JSON array"));
        };
        let mut parts = parts.into_iter();
        let kind = parts.next().and_then(|kind| kind.as_i64().or_else(|| kind.as_str()?.trim().parse().ok()));
        let id = match parts.next() {
            Some(Value::String(id)) => id,
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(Fault::Unanswerable("no message id")),
        };
        match kind {
            Some(2) => match parts.next() {
                Some(Value::String(action)) => {
                    Ok(Frame::Call { id, action, payload: parts.next().unwrap_or(Value::Null) })
                }
                _ => Err(Fault::Answerable { id, why: "a CALL needs an action" }),
            },
            Some(3) => Ok(Frame::Result { id, payload: parts.next().unwrap_or(Value::Null) }),
            Some(4) => {
                let code = parts.next().and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default();
                Ok(Frame::Error { id, code })
            }
            _ => Err(Fault::Unanswerable("an unknown message type")),
        }
    }
}

/// A call whose payload is no JSON (a bare NaN, a comma too many) but whose head can be read. Left without an answer, a
/// charger would repeat it for ever and hold back what queues behind.
fn salvage(text: &str) -> Option<Frame> {
    let is_comma = |text: &str| text.trim() == ",";
    let rest = text.trim_start().strip_prefix('[')?.trim_start_matches([',', ' ']).strip_prefix('2')?;
    let mut quoted = rest.splitn(5, '"');
    let (before, id, between, action) = (quoted.next()?, quoted.next()?, quoted.next()?, quoted.next()?);
    let is_head = is_comma(before) && is_comma(between) && !id.contains('\\');
    (quoted.next().is_some() && is_head).then(|| Frame::Call {
        id: id.into(),
        action: action.into(),
        payload: Value::Null,
    })
}

/// A call of ours.
pub fn call(id: &str, action: &str, payload: &Value) -> String {
    json!([2, id, action, payload]).to_string()
}

/// Our answer.
pub fn result(id: &str, payload: &Value) -> String {
    json!([3, id, payload]).to_string()
}

/// Our refusal.
pub fn error(id: &str, code: Code, description: &str) -> String {
    let code = match code {
        Code::NotImplemented => "NotImplemented",
        Code::FormationViolation => "FormationViolation",
    };
    json!([4, id, code, description, {}]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_are_told_apart() {
        assert_eq!(
            Frame::parse(r#"[2,"7","Heartbeat",{}]"#),
            Ok(Frame::Call { id: "7".into(), action: "Heartbeat".into(), payload: json!({}) })
        );
        assert_eq!(
            Frame::parse(r#"[3,"7",{"status":"Accepted"}]"#),
            Ok(Frame::Result { id: "7".into(), payload: json!({"status": "Accepted"}) })
        );
        assert_eq!(
            Frame::parse(r#"[4,"7","NotSupported","no",{}]"#),
            Ok(Frame::Error { id: "7".into(), code: "NotSupported".into() })
        );
    }

    #[test]
    fn a_number_for_an_id_and_a_missing_payload_are_forgiven() {
        let frame = Frame::parse(r#"["2", 42, "Heartbeat"]"#);
        assert_eq!(frame, Ok(Frame::Call { id: "42".into(), action: "Heartbeat".into(), payload: Value::Null }));
    }

    #[test]
    fn a_broken_frame_says_whether_somebody_waits_for_an_answer() {
        for text in ["", "{", "null", "[]", "[2]", "[2,null,\"Heartbeat\",{}]", "[9,\"1\",{}]", "{\"a\":1}"] {
            assert!(matches!(Frame::parse(text), Err(Fault::Unanswerable(_))), "{text}");
        }
        assert!(matches!(Frame::parse(r#"[2,"1"]"#), Err(Fault::Answerable { .. })));
        assert!(matches!(Frame::parse(r#"[2,"1",{},{}]"#), Err(Fault::Answerable { .. })));
    }

    #[test]
    fn a_call_whose_payload_is_no_json_can_still_be_answered() {
        for text in [
            r#"[2,"7","MeterValues",{"value":NaN}]"#,
            r#"[,2, "7" , "MeterValues",{}]"#,
            r#" [2,"7","MeterValues",{"#,
            r#"[2,"7","MeterValues",{"value":1e400}]"#,
        ] {
            let call = Frame::Call { id: "7".into(), action: "MeterValues".into(), payload: Value::Null };
            assert_eq!(Frame::parse(text), Ok(call), "{text}");
        }
        for text in [r#"[2,"7","Meter"#, r#"[3,"7",{"value":NaN}]"#, r#"[2;"7","MeterValues",{}"#] {
            assert!(Frame::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_deeply_nested_frame_is_refused_and_not_followed() {
        let text = "[".repeat(60_000);
        assert!(matches!(Frame::parse(&text), Err(Fault::Unanswerable(_))));
    }

    #[test]
    fn what_we_write_is_what_we_read() {
        assert_eq!(call("a", "Reset", &json!({"type": "Soft"})), r#"[2,"a","Reset",{"type":"Soft"}]"#);
        assert_eq!(result("a", &json!({})), r#"[3,"a",{}]"#);
        assert_eq!(
            error("a", Code::NotImplemented, "no such action"),
            r#"[4,"a","NotImplemented","no such action",{}]"#
        );
    }
}
