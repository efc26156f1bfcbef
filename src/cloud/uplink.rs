//! What goes up to the cloud? Acks, events and sessions: each in its own lane, sent again until it is taken.
//!
//! This file makes the messages and reads the answers; `task` sends them.

pub(super) mod task;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// So many records go in one message: some seconds' work for a small server.
pub const MOST_RECORDS: usize = 50;

/// A message has about this many bytes at most; a single longer record goes alone.
const MOST_BYTES: usize = 256 << 10;

/// Where the sessions wait that the cloud does not have yet. Its functions may wait for a disk.
pub trait Outbox: Send + Sync {
    /// The oldest that wait, each with its idempotency key and as JSON; the same ones again until [`Outbox::acked`].
    fn next_batch(&self, most: usize) -> Vec<(String, Vec<u8>)>;
    /// The cloud has these for good.
    fn acked(&self, keys: &[String]);
}

#[derive(Serialize)]
struct Records<'a> {
    records: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    key: &'a str,
    session: &'a RawValue,
}

#[derive(Deserialize)]
struct Acked {
    acked: Vec<String>,
}

/// The message with as many of these as fit, and their keys; records that are no JSON go as a text.
pub fn message(records: &[(String, Vec<u8>)]) -> (Vec<u8>, Vec<String>) {
    let mut bodies: Vec<(&String, Box<RawValue>)> = vec![];
    let mut bytes = 0;
    for (key, record) in records {
        let raw = std::str::from_utf8(record).ok().and_then(|text| RawValue::from_string(text.to_owned()).ok());
        let text = || serde_json::value::to_raw_value(&String::from_utf8_lossy(record)).ok();
        let Some(raw) = raw.or_else(text) else { continue };
        bytes += key.len() + raw.get().len();
        if bytes > MOST_BYTES && !bodies.is_empty() {
            break;
        }
        bodies.push((key, raw));
    }
    let records = bodies.iter().map(|(key, session)| Record { key, session }).collect();
    let keys = bodies.iter().map(|(key, _)| (*key).clone()).collect();
    // Texts always become JSON.
    (serde_json::to_vec(&Records { records }).unwrap_or_default(), keys)
}

/// Which of these the cloud says that it has; a key that was not sent says nothing.
pub fn taken(answer: &[u8], sent: &[String]) -> Vec<String> {
    let Ok(Acked { acked }) = serde_json::from_slice(answer) else { return vec![] };
    sent.iter().filter(|key| acked.contains(key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn records(bodies: &[&str]) -> Vec<(String, Vec<u8>)> {
        bodies.iter().enumerate().map(|(index, body)| (format!("k{index}"), body.as_bytes().to_vec())).collect()
    }

    #[test]
    fn records_go_out_as_they_are_with_their_keys() {
        let (body, keys) = message(&records(&["{\"kwh\": 1.50}", "no JSON"]));
        assert_eq!(keys, ["k0", "k1"]);
        assert!(String::from_utf8_lossy(&body).contains("1.50"), "the digits are those of the record");
        let body: Value = serde_json::from_slice(&body).unwrap();
        let expected = json!([{"key": "k0", "session": {"kwh": 1.5}}, {"key": "k1", "session": "no JSON"}]);
        assert_eq!(body["records"], expected);
    }

    #[test]
    fn a_message_is_bounded_and_the_longest_record_still_goes() {
        let long = format!("\"{}\"", "x".repeat(MOST_BYTES));
        assert_eq!(message(&records(&[&long, "{}"])).1, ["k0"]);
        assert_eq!(message(&records(&["{}", &long, "{}"])).1, ["k0"]);
    }

    #[test]
    fn only_what_was_sent_can_be_taken() {
        let sent = ["k0".to_owned(), "k1".to_owned()];
        assert_eq!(taken(br#"{"acked": ["k1", "k9"]}"#, &sent), ["k1"]);
        for answer in [&b""[..], b"[]", b"{\"acked\": 1}", b"{\"acked\": []}", b"OK"] {
            assert_eq!(taken(answer, &sent), [""; 0]);
        }
    }
}
