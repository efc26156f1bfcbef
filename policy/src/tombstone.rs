//! Is this gateway out of service? The cloud's signed word that there is no policy for it any more.
//!
//! A cloud that answers "gone" may be broken, or not the cloud at all; a tombstone is signed as a policy is, and counts
//! in the same row of epochs and versions, so that it neither comes back after a later policy nor outlives one.

use crate::admit::Stamp;
use crate::document::{Addressee, Document, parse, same, schema, sha256};
use crate::fault::{Code, Faults, Findings};
use crate::fields::{Fields, MOST_WHOLE, object, time, whole};
use crate::json::MOST_BYTES;
use crate::trust::{Kind, Opened};
use chrono::{DateTime, Utc};

/// A tombstone without faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// As for a policy document, in one row with them.
    pub epoch: u64,
    /// As for a policy document, in one row with them.
    pub version: u64,
    /// When the cloud made it.
    pub issued_at: DateTime<Utc>,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

impl Tombstone {
    /// Reads the payload of a tombstone:
    /// `{"schema": "headroom.tombstone/1.0", "gateway_id", "location_id", "epoch", "version", "issued_at"}`.
    /// Unknown fields are passed over: nothing that they might say leaves a policy in force.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(bytes: &[u8], addressee: &Addressee) -> Result<Tombstone, Faults> {
        let (tombstone, _) = object(bytes, MOST_BYTES, |top, found| read(top, addressee, found))?;
        Ok(Tombstone { sha256: sha256(bytes), ..tombstone })
    }
}

/// `None` only together with a fault.
fn read(mut top: Fields, addressee: &Addressee, found: &mut Findings) -> Option<Tombstone> {
    top.required("schema", found, schema("headroom.tombstone/"));
    top.required("gateway_id", found, same(&addressee.gateway_id, Code::OtherGateway));
    top.required("location_id", found, same(&addressee.location_id, Code::OtherLocation));
    let epoch = top.required("epoch", found, whole(0..=MOST_WHOLE));
    let version = top.required("version", found, whole(0..=MOST_WHOLE));
    let issued_at = top.required("issued_at", found, time);
    let (epoch, version) = (epoch?.unsigned_abs(), version?.unsigned_abs());
    Some(Tombstone { epoch, version, issued_at: issued_at?, sha256: [0; 32] })
}

/// What the cloud says to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// This holds.
    Policy(Box<Document>),
    /// Nothing of the cloud's holds any more.
    Tombstone(Tombstone),
}

impl Word {
    /// Reads what was opened.
    ///
    /// # Errors
    /// As for [`parse`] and [`Tombstone::parse`].
    pub fn read(opened: &Opened, addressee: &Addressee) -> Result<Word, Faults> {
        match opened.kind {
            Kind::Policy => parse(&opened.payload, addressee).map(|document| Word::Policy(Box::new(document))),
            Kind::Tombstone => Tombstone::parse(&opened.payload, addressee).map(Word::Tombstone),
        }
    }

    /// Which one it is, for [`crate::admit()`].
    pub fn stamp(&self) -> Stamp {
        match self {
            Word::Policy(document) => document.stamp(),
            Word::Tombstone(Tombstone { epoch, version, sha256, .. }) => {
                Stamp { epoch: *epoch, version: *version, sha256: *sha256 }
            }
        }
    }

    /// When the cloud made it.
    pub fn issued_at(&self) -> DateTime<Utc> {
        match self {
            Word::Policy(document) => document.issued_at,
            Word::Tombstone(tombstone) => tombstone.issued_at,
        }
    }
}
