//! What became of a document? Told to the cloud once for each outcome, not with each question.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use headroom_policy::{Faults, Warnings};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io;

/// As it goes to `…/policy/ack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ack {
    /// The document's; `null` where it has none that can be read.
    epoch: Option<u64>,
    version: Option<u64>,
    /// Of the bytes as they came, in lower-case hexadecimal; `null` where reading stopped before their end.
    sha256: Option<String>,
    /// The cloud's own name for these bytes.
    etag: Option<String>,
    result: Outcome,
    /// Of the first fault.
    code: Option<&'static str>,
    faults: Vec<AckFault>,
    warnings: Vec<String>,
    applied_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Applied,
    Rejected,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct AckFault {
    pointer: String,
    code: &'static str,
    text: String,
}

/// The numbers of a document, whatever else is wrong with it.
#[derive(Default, Deserialize)]
struct Numbers<'a> {
    #[serde(borrow)]
    epoch: Option<&'a RawValue>,
    #[serde(borrow)]
    version: Option<&'a RawValue>,
    /// An envelope has them inside.
    #[serde(borrow)]
    payload: Option<Cow<'a, str>>,
}

impl Ack {
    /// It holds since `at`.
    pub fn applied(bytes: &[u8], etag: Option<&str>, warnings: &Warnings, at: DateTime<Utc>) -> Self {
        let warnings = warnings.listed().map(str::to_owned).collect();
        Ack { warnings, applied_at: Some(at), ..Ack::about(Some(bytes), etag, Outcome::Applied) }
    }

    /// It is refused; `None`: there are no bytes, as reading stopped.
    pub fn rejected(bytes: Option<&[u8]>, etag: Option<&str>, faults: &Faults) -> Self {
        let listed = faults.listed().iter().map(|fault| AckFault {
            pointer: fault.pointer.clone(),
            code: fault.code.word(),
            text: fault.text.clone(),
        });
        let code = faults.listed().first().map(|fault| fault.code.word());
        Ack { code, faults: listed.collect(), ..Ack::about(bytes, etag, Outcome::Rejected) }
    }

    fn about(bytes: Option<&[u8]>, etag: Option<&str>, result: Outcome) -> Self {
        let numbers = |bytes| serde_json::from_slice::<Numbers>(bytes).unwrap_or_default();
        let outer = bytes.map(numbers).unwrap_or_default();
        let inside = outer.payload.as_ref().and_then(|payload| STANDARD.decode(payload.as_bytes()).ok());
        let numbers = inside.as_deref().map_or(outer, numbers);
        let number = |raw: Option<&RawValue>| raw.and_then(|raw| raw.get().parse().ok());
        Ack {
            epoch: number(numbers.epoch),
            version: number(numbers.version),
            sha256: bytes.map(|bytes| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()),
            etag: etag.map(str::to_owned),
            result,
            code: None,
            faults: vec![],
            warnings: vec![],
            applied_at: None,
        }
    }

    /// The same of a document that is not on disk: it holds, and may be forgotten.
    pub fn not_kept(mut self, why: &io::Error) -> Self {
        self.warnings.push(format!("not kept on disk: it holds until a restart ({why})"));
        self
    }

    /// Is it about the same bytes?
    pub fn is_of(&self, other: &Ack) -> bool {
        self.sha256 == other.sha256
    }

    /// Does it say that a document holds?
    pub fn is_applied(&self) -> bool {
        self.result == Outcome::Applied
    }

    /// Is it about the same bytes, with the same outcome?
    pub fn is_like(&self, other: &Ack) -> bool {
        let what = |ack: &Ack| (ack.version, ack.sha256.clone(), ack.result, ack.code, ack.warnings.clone());
        // Without bytes only the cloud's name for them can tell two documents apart.
        what(self) == what(other) && (self.sha256.is_some() || self.etag == other.etag)
    }

    /// As JSON.
    pub fn encode(&self) -> Vec<u8> {
        // Texts and numbers always become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_policy::Code;
    use serde_json::{Value, json};

    fn as_json(ack: &Ack) -> Value {
        serde_json::from_slice(&ack.encode()).unwrap()
    }

    #[test]
    fn an_applied_document_is_told_with_its_numbers_hash_and_warnings() {
        let mut warnings = Warnings::default();
        warnings.effect("quotas: not enforced");
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let ack = Ack::applied(br#"{"epoch": 3, "version": 7}"#, Some("\"a\""), &warnings, at);
        let expected = json!({
            "epoch": 3, "version": 7, "etag": "\"a\"", "result": "applied", "code": null, "faults": [],
            // By sha256sum of coreutils.
            "sha256": "e7c87991af626ea02b376f972353a40a94345faa2a081d3f0ca39276424570f7",
            "warnings": ["quotas: not enforced"], "applied_at": "2027-01-15T08:00:00Z",
        });
        assert_eq!(as_json(&ack), expected);
    }

    #[test]
    fn a_signed_document_is_told_with_the_numbers_inside() {
        let envelope = json!({"payload": STANDARD.encode(br#"{"epoch": 3, "version": 7}"#)}).to_string();
        let ack = as_json(&Ack::applied(envelope.as_bytes(), None, &Warnings::default(), DateTime::default()));
        assert_eq!((&ack["epoch"], &ack["version"]), (&json!(3), &json!(7)));
    }

    #[test]
    fn a_refused_document_is_told_with_all_its_faults() {
        let faults = Faults::one(Code::Rollback, "/version", "version 6 after 7");
        let ack = as_json(&Ack::rejected(Some(br#"{"version": 6, "epoch": "x"}"#), None, &faults));
        assert_eq!((&ack["version"], &ack["epoch"], &ack["code"]), (&json!(6), &Value::Null, &json!("rollback")));
        let fault = json!({"pointer": "/version", "code": "rollback", "text": "version 6 after 7"});
        assert_eq!((&ack["faults"], &ack["result"]), (&json!([fault]), &json!("rejected")));
    }

    #[test]
    fn what_cannot_be_read_has_a_hash_and_no_numbers() {
        let faults = Faults::one(Code::Syntax, "", "no JSON");
        let ack = as_json(&Ack::rejected(Some(b"\xff{{{"), None, &faults));
        assert!(ack["version"].is_null() && ack["sha256"].as_str().is_some_and(|hash| hash.len() == 64), "{ack}");
    }

    #[test]
    fn the_same_outcome_is_told_once_and_another_one_anew() {
        let rejected = |bytes: Option<&[u8]>, etag, code| Ack::rejected(bytes, etag, &Faults::one(code, "", ""));
        let first = rejected(Some(b"{}"), Some("1"), Code::Missing);
        assert!(first.is_like(&rejected(Some(b"{}"), Some("2"), Code::Missing)));
        assert!(!first.is_like(&rejected(Some(b"{ }"), Some("1"), Code::Missing)));
        assert!(!first.is_like(&rejected(Some(b"{}"), Some("1"), Code::Expired)));
        assert!(!first.is_like(&Ack::applied(b"{}", None, &Warnings::default(), DateTime::default())));
        let endless = rejected(None, Some("1"), Code::TooLarge);
        assert!(endless.is_like(&rejected(None, Some("1"), Code::TooLarge)));
        assert!(!endless.is_like(&rejected(None, Some("2"), Code::TooLarge)));
    }
}
