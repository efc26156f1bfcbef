//! What does somebody want of a gateway now? The list of requests: few, short-lived, each to be carried out once at most.
//!
//! A policy is state and says what holds; what somebody does in an app is an act, and stands in a list of its own. The list
//! is signed by the same keys as the policy, as another kind of document.

use crate::document::{Addressee, same, schema};
use crate::fault::{Code, Faults, Findings};
use crate::fields::{Fields, Ids, MOST_ID, object, text, time, whole};
use chrono::{DateTime, Utc};
use std::fmt;

/// The longest list, in its envelope: twenty requests take 6 KiB.
pub const MOST_REQUESTS_BYTES: usize = 64 * 1024;

/// The most requests in a list: nobody presses more buttons within the minutes that one lives.
const MOST_REQUESTS: usize = 20;

/// A list without faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requests {
    /// When the cloud made the list.
    pub issued_at: DateTime<Utc>,
    /// 20 at most, no id twice.
    pub requests: Vec<Request>,
}

/// Something that somebody wants now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its id: nothing with this id is done twice.
    pub id: String,
    /// What.
    pub kind: Kind,
    /// From then on nobody wants it any more.
    pub expires_at: DateTime<Utc>,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A session of this principal, by its id in the policy.
    Start {
        /// Where.
        at: Place,
        /// Whose.
        principal: String,
    },
    /// The end of the session there.
    Stop {
        /// Where.
        at: Place,
        /// Only if it is this principal's; `None`: whoever it is.
        principal: Option<String>,
    },
    /// The number of the next card that nobody knows.
    Pair {
        /// Where it is read.
        at: Place,
    },
    /// The gateway, for whoever knows its PIN.
    Claim {
        /// As somebody has typed it.
        pin: Pin,
    },
    /// A factory reset.
    Reset,
    /// Something that this version does not know.
    Other(String),
}

/// An EVSE, by its id in the configuration of the gateway or by how its charger dials in. One of the two is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub evse: Option<String>,
    /// The charger's OCPP identity and the connector.
    pub ocpp: Option<(String, u32)>,
}

/// A PIN; it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(pub String);

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads the payload of a list:
/// `{"schema": "headroom.requests/1.0", "gateway_id", "location_id", "issued_at", "requests": [{"id", "kind", "expires_at", …}]}`.
/// Unknown fields are passed over; of an unknown kind a request is [`Kind::Other`].
///
/// # Errors
/// Everything that is wrong with it, each with its place.
pub fn parse_requests(bytes: &[u8], addressee: &Addressee) -> Result<Requests, Faults> {
    Ok(object(bytes, MOST_REQUESTS_BYTES, |top, found| read(top, addressee, found))?.0)
}

/// `None` only together with a fault.
fn read(mut top: Fields, addressee: &Addressee, found: &mut Findings) -> Option<Requests> {
    top.required("schema", found, schema("headroom.requests/"));
    top.required("gateway_id", found, same(&addressee.gateway_id, Code::OtherGateway));
    top.required("location_id", found, same(&addressee.location_id, Code::OtherLocation));
    let issued_at = top.required("issued_at", found, time);
    top.required("requests", found, |_| Ok(()));
    let mut entries = top.objects("requests", MOST_REQUESTS, found);
    Ids::of(&mut entries, found);
    let requests = entries.into_iter().filter_map(|entry| request(entry, found)).collect();
    Some(Requests { issued_at: issued_at?, requests })
}

fn request(mut entry: Fields, found: &mut Findings) -> Option<Request> {
    // A missing one has been told.
    let id = entry.required("id", &mut Findings::default(), text(MOST_ID));
    let expires_at = entry.required("expires_at", found, time);
    let kind = match entry.required("kind", found, text(MOST_ID))?.as_str() {
        "start" => {
            let at = place(&mut entry, found);
            Kind::Start { principal: entry.required("principal", found, text(MOST_ID))?, at: at? }
        }
        "stop" => {
            Kind::Stop { principal: entry.optional("principal", found, text(MOST_ID)), at: place(&mut entry, found)? }
        }
        "pair" => Kind::Pair { at: place(&mut entry, found)? },
        "claim" => Kind::Claim { pin: Pin(entry.required("pin", found, text(MOST_ID))?) },
        "reset" => Kind::Reset,
        other => Kind::Other(other.to_owned()),
    };
    Some(Request { id: id?, kind, expires_at: expires_at? })
}

fn place(entry: &mut Fields, found: &mut Findings) -> Option<Place> {
    let evse = entry.optional("evse", found, text(MOST_ID));
    let identity = entry.optional("ocpp_id", found, text(MOST_ID));
    let connector = entry.optional("connector", found, whole(1..=1_000)).unwrap_or(1);
    if evse.is_none() && identity.is_none() {
        found.faults.add(Code::Missing, entry.at("evse"), "is missing, and so is ocpp_id");
        return None;
    }
    Some(Place { evse, ocpp: identity.zip(u32::try_from(connector).ok()) })
}
