//! Which keys may sign a policy? The keys document, signed by a root key.
//!
//! Policy keys are at work online and change; the root key stays in a drawer, and its signature alone replaces a key
//! that was stolen.

use crate::document::{schema, sha256};
use crate::envelope::{PublicKey, binary};
use crate::fault::{Code, Faults, Findings, shown};
use crate::fields::{Fields, MOST_ID, MOST_WHOLE, object, text, time, whole};
use crate::json::MOST_BYTES;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// The most keys: those at work, the next ones, and some to spare.
const MOST_KEYS: usize = 20;

/// A keys document without faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Counts up with every change. Policy documents may have this epoch and no later one.
    pub epoch: u64,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// When it should have been replaced: none of its keys counts any more.
    pub expires_at: DateTime<Utc>,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
    keys: BTreeMap<String, Key>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    public: PublicKey,
    not_after: Option<DateTime<Utc>>,
}

impl Keys {
    /// Reads the payload of a keys document:
    /// `{"schema": "headroom.keys/1.0", "epoch", "issued_at", "expires_at", "keys": [{"keyid", "public", "not_after"}]}`.
    /// `public` is the key's 32 bytes in base64; `not_after` may be absent. Unknown fields are passed over.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(bytes: &[u8]) -> Result<Keys, Faults> {
        let (keys, _) = object(bytes, MOST_BYTES, read)?;
        Ok(Keys { sha256: sha256(bytes), ..keys })
    }

    /// The key of this id; `wall`: the time, where it is known.
    pub(crate) fn key(&self, keyid: &str, wall: Option<DateTime<Utc>>) -> Result<PublicKey, String> {
        let over = |end: DateTime<Utc>| wall.is_some_and(|wall| wall >= end);
        if over(self.expires_at) {
            return Err(format!("the keys document of epoch {} was over at {}", self.epoch, self.expires_at));
        }
        let key = self.keys.get(keyid);
        let key = key.ok_or_else(|| format!("\"{}\" is no key of epoch {}", shown(keyid), self.epoch))?;
        match key.not_after.filter(|end| over(*end)) {
            Some(end) => Err(format!("the key \"{}\" was over at {end}", shown(keyid))),
            None => Ok(key.public),
        }
    }
}

/// `None` only together with a fault.
fn read(mut top: Fields, found: &mut Findings) -> Option<Keys> {
    top.required("schema", found, schema("headroom.keys/"));
    let epoch = top.required("epoch", found, whole(0..=MOST_WHOLE));
    let issued_at = top.required("issued_at", found, time);
    let expires_at = top.required("expires_at", found, time);
    if let (Some(start), Some(end)) = (issued_at, expires_at)
        && start >= end
    {
        found.faults.add(Code::OutOfRange, "/expires_at", "is not after issued_at");
    }
    top.required("keys", found, |_| Ok(()));
    let mut keys = BTreeMap::new();
    for mut entry in top.objects("keys", MOST_KEYS, found) {
        let keyid = entry.required("keyid", found, text(MOST_ID));
        let public = entry.required("public", found, |node| {
            PublicKey::try_from(binary(node)?).map_err(|_| (Code::OutOfRange, "is not 32 bytes long".into()))
        });
        let not_after = entry.optional("not_after", found, time);
        let (Some(keyid), Some(public)) = (keyid, public) else { continue };
        if keys.insert(keyid, Key { public, not_after }).is_some() {
            found.faults.add(Code::DuplicateId, entry.at("keyid"), "another key has this id");
        }
    }
    let sha256 = [0; 32];
    Some(Keys { epoch: epoch?.unsigned_abs(), issued_at: issued_at?, expires_at: expires_at?, sha256, keys })
}
