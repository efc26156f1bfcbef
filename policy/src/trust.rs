//! Whom does a gateway believe? The installer's root keys, what they vouch for, or, if he says so, anybody.

use crate::envelope::{self, KEYS_TYPE, POLICY_TYPE, PREPARED_TYPE, PublicKey, REQUESTS_TYPE, TOMBSTONE_TYPE};
use crate::fault::{Code, Faults, shown};
use crate::fields::MOST_ID;
use crate::keys::Keys;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The longest envelope of a keys document: twenty keys take a few KiB. It lies on disk beside the policy.
const MOST_KEYS_BYTES: usize = 64 * 1024;

/// The most root keys: one at work, one in a second drawer, and some to spare.
const MOST_ROOTS: usize = 8;

/// The root keys, as the installer wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots(BTreeMap<String, PublicKey>);

impl Roots {
    /// From ids and keys: 32 bytes as 64 hexadecimal digits or in base64.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn read(texts: &BTreeMap<String, String>) -> Result<Roots, String> {
        if !(1..=MOST_ROOTS).contains(&texts.len()) {
            return Err(format!("has {} root keys: 1 to {MOST_ROOTS} are allowed", texts.len()));
        }
        let mut roots = BTreeMap::new();
        for (id, text) in texts {
            if id.is_empty() || id.chars().count() > MOST_ID || id.chars().any(char::is_control) {
                return Err(format!("\"{}\" is no id of a key: 1 to {MOST_ID} characters", shown(id)));
            }
            let key = hexadecimal(text).or_else(|| STANDARD.decode(text).ok().and_then(|key| key.try_into().ok()));
            let complaint = || format!("the root key \"{}\" is not 32 bytes in hexadecimal or base64", shown(id));
            roots.insert(id.clone(), key.ok_or_else(complaint)?);
        }
        Ok(Roots(roots))
    }
}

fn hexadecimal(text: &str) -> Option<PublicKey> {
    let mut key = [0; 32];
    if text.len() != 2 * key.len() {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit =
            |place: usize| char::from(*digits.get(place)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? * 16 + digit(1)?;
    }
    Some(key)
}

/// Whom a gateway believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whoever sends documents: they are read as they come.
    Unsigned,
    /// Policy keys that a root key vouches for.
    Signed(Keyring),
}

/// What an envelope said that it holds; its signature covers that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A policy document.
    Policy,
    /// A tombstone.
    Tombstone,
}

/// What somebody who is believed has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Which kind of document it is.
    pub kind: Kind,
    /// Its exact bytes. Nobody has looked inside yet: that is for [`crate::Word::read`].
    pub payload: Cow<'a, [u8]>,
}

impl Trust {
    /// The document in what arrived, once its signatures are found good. What is not signed is always a policy: nobody
    /// can be believed that a gateway is out of service.
    ///
    /// `wall`: the time, if it is to be trusted; without it no key is over.
    ///
    /// # Errors
    /// [`Code::NotDsse`], [`Code::PayloadType`], [`Code::UnknownKey`], [`Code::BadSignature`] or [`Code::TooLarge`].
    pub fn open<'a>(&self, bytes: &'a [u8], wall: Option<DateTime<Utc>>) -> Result<Opened<'a>, Faults> {
        match self {
            Trust::Unsigned => Ok(Opened { kind: Kind::Policy, payload: Cow::Borrowed(bytes) }),
            Trust::Signed(ring) => ring.open(bytes, wall),
        }
    }

    /// The same for a preconfiguration; it is read by [`crate::parse_prepared`].
    ///
    /// # Errors
    /// As for [`Trust::open`].
    pub fn open_prepared<'a>(&self, bytes: &'a [u8], wall: Option<DateTime<Utc>>) -> Result<Cow<'a, [u8]>, Faults> {
        match self {
            Trust::Unsigned => Ok(Cow::Borrowed(bytes)),
            Trust::Signed(ring) => ring.opened(bytes, &[PREPARED_TYPE], wall).map(|(_, payload)| Cow::Owned(payload)),
        }
    }

    /// The same for a list of requests; it is read by [`crate::parse_requests`].
    ///
    /// # Errors
    /// As for [`Trust::open`].
    pub fn open_requests<'a>(&self, bytes: &'a [u8], wall: Option<DateTime<Utc>>) -> Result<Cow<'a, [u8]>, Faults> {
        match self {
            Trust::Unsigned => Ok(Cow::Borrowed(bytes)),
            Trust::Signed(ring) => ring.opened(bytes, &[REQUESTS_TYPE], wall).map(|(_, payload)| Cow::Owned(payload)),
        }
    }

    /// Does it say that it is a tombstone that could be believed? It has yet to be opened.
    pub fn may_be_tombstone(&self, bytes: &[u8]) -> bool {
        matches!(self, Trust::Signed(_)) && envelope::claims(bytes, TOMBSTONE_TYPE)
    }

    /// The latest epoch that a policy may have, for [`crate::Seen::vouched`]; `None`: any.
    pub fn vouched(&self) -> Option<u64> {
        match self {
            Trust::Unsigned => None,
            Trust::Signed(ring) => Some(ring.keys.as_ref().map_or(0, |keys| keys.epoch)),
        }
    }

    /// The envelope of the keys document that is held, to be kept for [`Trust::offer_keys`] after a restart.
    pub fn keys_envelope(&self) -> &[u8] {
        match self {
            Trust::Unsigned => &[],
            Trust::Signed(ring) => &ring.envelope,
        }
    }

    /// Takes a keys document, if a root key signed it and it is newer than the one that is held. The answer says
    /// whether it is another one than before.
    ///
    /// # Errors
    /// As for [`Trust::open`], or what is wrong with the document; [`Code::Rollback`] for a lower epoch than the held
    /// one's, [`Code::Equivocation`] for the same with other content, [`Code::Expired`]. Nothing has changed then.
    pub fn offer_keys(&mut self, bytes: &[u8], wall: Option<DateTime<Utc>>) -> Result<bool, Faults> {
        match self {
            Trust::Unsigned => Ok(false),
            Trust::Signed(ring) => ring.offer(bytes, wall),
        }
    }
}

/// Root keys, and the keys document that they vouch for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    roots: Roots,
    keys: Option<Keys>,
    /// The keys document as it came.
    envelope: Vec<u8>,
}

impl Keyring {
    /// Knows no policy key yet.
    pub fn new(roots: Roots) -> Keyring {
        Keyring { roots, keys: None, envelope: Vec::new() }
    }

    fn open(&self, bytes: &[u8], wall: Option<DateTime<Utc>>) -> Result<Opened<'static>, Faults> {
        let (payload_type, payload) = self.opened(bytes, &[POLICY_TYPE, TOMBSTONE_TYPE], wall)?;
        let kind = if payload_type == TOMBSTONE_TYPE { Kind::Tombstone } else { Kind::Policy };
        Ok(Opened { kind, payload: Cow::Owned(payload) })
    }

    /// One of these types, and the payload, signed by a policy key.
    fn opened(
        &self,
        bytes: &[u8],
        payload_types: &[&'static str],
        wall: Option<DateTime<Utc>>,
    ) -> Result<(&'static str, Vec<u8>), Faults> {
        envelope::open(bytes, payload_types, |keyid| match &self.keys {
            Some(keys) => keys.key(keyid, wall),
            None => Err("no keys document is held yet".into()),
        })
    }

    fn offer(&mut self, bytes: &[u8], wall: Option<DateTime<Utc>>) -> Result<bool, Faults> {
        if bytes.len() > MOST_KEYS_BYTES {
            return Err(Faults::one(Code::TooLarge, "", format!("is longer than {MOST_KEYS_BYTES} bytes")));
        }
        let (_, payload) = envelope::open(bytes, &[KEYS_TYPE], |keyid| {
            let root = self.roots.0.get(keyid).copied();
            root.ok_or_else(|| format!("\"{}\" is no root key of the trust file", shown(keyid)))
        })?;
        let keys = Keys::parse(&payload)?;
        if let Some(held) = &self.keys {
            if keys.epoch < held.epoch {
                let text = format!("epoch {} after {} was seen: older keys do not come back", keys.epoch, held.epoch);
                return Err(Faults::one(Code::Rollback, "/epoch", text));
            }
            if keys.epoch == held.epoch && keys.sha256 != held.sha256 {
                let text = format!("epoch {} was seen with other content: count up with every change", keys.epoch);
                return Err(Faults::one(Code::Equivocation, "/epoch", text));
            }
        }
        if wall.is_some_and(|wall| wall >= keys.expires_at) {
            return Err(Faults::one(Code::Expired, "/expires_at", format!("was over at {}", keys.expires_at)));
        }
        let is_other = self.keys.as_ref() != Some(&keys);
        self.keys = Some(keys);
        self.envelope = bytes.to_vec();
        Ok(is_other)
    }
}
