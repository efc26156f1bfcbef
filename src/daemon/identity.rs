//! Who is this gateway, and who may have it? A key and a PIN, made at the first start, and the one claim that is taken.
//!
//! Whoever stands before the gateway reads the PIN on its terminal, and types it into the portal; the cloud asks with it, and the
//! gateway alone compares. So no server has the PINs of gateways that nobody has claimed. Why so, and not by a hash that is sent:
//! docs/decisions/0004-claim.md.

use super::keep;
use crate::store::Folder;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use headroom_policy::{CLAIM_TYPE, SigningKey, seal};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;
use std::io;
use subtle::ConstantTimeEq;

/// Where key and PIN are kept, for the daemon's user alone.
pub(super) const IDENTITY: &str = "identity";
/// Where it is kept who has claimed it, and how often a PIN was wrong.
pub(super) const CLAIM: &str = "claim";

/// So many wrong PINs within [`SPAN`] lock claiming for [`SPAN`]: at that rate all of them take 570 years.
const MOST_WRONG: usize = 5;
/// See [`MOST_WRONG`].
const SPAN: TimeDelta = TimeDelta::minutes(15);

/// PINs have eight digits.
const PINS: u32 = 100_000_000;

/// The key's name in envelopes: there is one only.
const KEY_ID: &str = "gateway";

/// Key and PIN. Neither is ever printed but by who is asked for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The secret of an Ed25519 key: 32 bytes in base64.
    seed: String,
    /// Eight digits.
    pub pin: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(***)")
    }
}

impl Identity {
    /// The one that is kept, if there is one.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn kept(folder: &Folder) -> io::Result<Option<Identity>> {
        let identity = folder.read(IDENTITY)?.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        identity.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the gateway's identity cannot be read"))
    }

    /// The one that is kept, or a new one, kept from now on.
    ///
    /// # Errors
    /// The disk or the machine's dice.
    pub fn kept_or_new(folder: &Folder) -> io::Result<Identity> {
        if let Some(identity) = Identity::kept(folder)? {
            return Ok(identity);
        }
        let (mut seed, dice) = ([0; 32], SystemRandom::new());
        fill(&dice, &mut seed)?;
        let mut drawn = [0; 4];
        let pin = loop {
            fill(&dice, &mut drawn)?;
            let number = u32::from_be_bytes(drawn);
            // What is above the last whole multiple would make some PINs likelier than others.
            if number < u32::MAX - u32::MAX % PINS {
                break number % PINS;
            }
        };
        let identity = Identity { seed: STANDARD.encode(seed), pin: format!("{pin:08}") };
        keep::write(folder, IDENTITY, &identity)?;
        Ok(identity)
    }

    /// The key; `None` where the file has been tampered with.
    fn key(&self) -> Option<SigningKey> {
        let seed: [u8; 32] = STANDARD.decode(&self.seed).ok()?.try_into().ok()?;
        SigningKey::from_seed(KEY_ID, &seed)
    }

    /// The public key in base64; empty where the file has been tampered with.
    pub fn public(&self) -> String {
        self.key().map(|key| key.public()).unwrap_or_default()
    }
}

fn fill(dice: &SystemRandom, bytes: &mut [u8]) -> io::Result<()> {
    dice.fill(bytes).map_err(|_| io::Error::other("the machine has no random numbers"))
}

/// What is known of claims.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// When the gateway was claimed; it is claimed once.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When PINs were wrong, the latest last.
    wrong: Vec<DateTime<Utc>>,
    locked_until: Option<DateTime<Utc>>,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is theirs: the public key, and the envelope in which the gateway says so.
    Yes {
        /// In base64.
        public: String,
        /// Signed with that key, of the type [`CLAIM_TYPE`].
        proof: String,
    },
    /// The PIN is another one.
    WrongPin,
    /// Too many were wrong.
    Locked,
    /// It is somebody's.
    Taken,
}

impl Claim {
    /// As it is kept.
    pub fn kept(folder: &Folder) -> Claim {
        keep::read(Some(folder), CLAIM).unwrap_or_default()
    }

    /// May a PIN be tried now? It counts as wrong from now on: whoever cuts the power gets no free try.
    fn try_one(&mut self, wall: DateTime<Utc>) -> Result<(), Claimed> {
        if self.claimed_at.is_some() {
            return Err(Claimed::Taken);
        }
        // A clock that was set back makes nobody wait longer than that.
        self.locked_until = self.locked_until.map(|until| until.min(wall + SPAN)).filter(|until| wall < *until);
        if self.locked_until.is_some() {
            return Err(Claimed::Locked);
        }
        self.wrong.retain(|at| wall - *at < SPAN);
        self.wrong.push(wall);
        if self.wrong.len() >= MOST_WRONG {
            self.wrong.clear();
            self.locked_until = Some(wall + SPAN);
        }
        Ok(())
    }
}

/// Somebody claims the gateway with this PIN. It waits for the disk, and for no second one meanwhile: the caller sees to that.
///
/// # Errors
/// What the disk says: then nobody has it.
pub fn claim(
    folder: &Folder,
    pin: &str,
    whose: (&str, &str),
    request: &str,
    wall: DateTime<Utc>,
) -> io::Result<Claimed> {
    let identity = Identity::kept_or_new(folder)?;
    let mut claim = Claim::kept(folder);
    let tried = claim.try_one(wall);
    keep::write(folder, CLAIM, &claim)?;
    if let Err(refused) = tried {
        return Ok(refused);
    }
    if !bool::from(pin.as_bytes().ct_eq(identity.pin.as_bytes())) {
        return Ok(Claimed::WrongPin);
    }
    let key = identity.key().ok_or_else(|| io::Error::other("the gateway's identity cannot be read"))?;
    let (gateway_id, location_id) = whose;
    let word = json!({
        "schema": "headroom.claim/1.0", "gateway_id": gateway_id, "location_id": location_id, "request": request,
        "public_key": key.public(), "claimed_at": wall,
    });
    let proof = seal(CLAIM_TYPE, word.to_string().as_bytes(), &[&key]);
    keep::write(folder, CLAIM, &Claim { claimed_at: Some(wall), ..Claim::default() })?;
    Ok(Claimed::Yes { public: key.public(), proof: String::from_utf8_lossy(&proof).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_policy::open_claim;
    use std::os::unix::fs::PermissionsExt;

    fn at(minutes: i64) -> DateTime<Utc> {
        "2026-11-22T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minutes)
    }

    fn state() -> (tempfile::TempDir, Folder, String) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let pin = Identity::kept_or_new(&folder).unwrap().pin;
        (place, folder, pin)
    }

    fn tried(folder: &Folder, pin: &str, minutes: i64) -> Claimed {
        claim(folder, pin, ("gw_1", "loc_1"), "r-1", at(minutes)).unwrap()
    }

    fn other(pin: &str) -> &'static str {
        if pin == "00000000" { "00000001" } else { "00000000" }
    }

    #[test]
    fn key_and_pin_are_made_once_and_are_the_daemon_s_alone() {
        let (place, folder, pin) = state();
        assert!(pin.len() == 8 && pin.bytes().all(|digit| digit.is_ascii_digit()), "{}", pin.len());
        let identity = Identity::kept_or_new(&Folder::open(place.path()).unwrap()).unwrap();
        assert_eq!(Identity::kept(&folder).unwrap(), Some(identity.clone()));
        let mode = std::fs::metadata(place.path().join("identity.a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{identity:?}").contains(&pin));
        let (_place, _folder, others) = state();
        assert!(
            identity.public().len() == 44 && Identity::kept(&_folder).unwrap().unwrap().public() != identity.public()
        );
        assert_ne!((pin, identity.seed), (others, Identity::kept(&_folder).unwrap().unwrap().seed));
    }

    #[test]
    fn whoever_knows_the_pin_has_the_gateway_once_and_can_prove_it() {
        let (_place, folder, pin) = state();
        assert_eq!(tried(&folder, other(&pin), 0), Claimed::WrongPin);
        let Claimed::Yes { public, proof } = tried(&folder, &pin, 0) else { panic!("it is the PIN") };
        let key = STANDARD.decode(&public).unwrap().try_into().unwrap();
        let word: serde_json::Value = serde_json::from_slice(&open_claim(proof.as_bytes(), &key).unwrap()).unwrap();
        assert_eq!(
            (&word["gateway_id"], &word["request"], &word["public_key"]),
            (&json!("gw_1"), &json!("r-1"), &json!(public))
        );
        assert!(open_claim(proof.as_bytes(), &[7; 32]).is_err(), "another gateway's key");
        assert!(!proof.contains(&pin));
        assert_eq!(tried(&folder, &pin, 1), Claimed::Taken);
        assert_eq!(Claim::kept(&folder).claimed_at, Some(at(0)));
    }

    #[test]
    fn five_wrong_pins_in_a_quarter_of_an_hour_lock_the_right_one_too_over_restarts() {
        let (place, folder, pin) = state();
        for minutes in 0..5 {
            assert_eq!(tried(&folder, other(&pin), minutes), Claimed::WrongPin, "{minutes}");
        }
        let folder = Folder::open(place.path()).unwrap();
        for minutes in [4, 18, -600] {
            assert_eq!(tried(&folder, &pin, minutes), Claimed::Locked, "{minutes}");
        }
        // The clock was set back in between: that counts from then.
        assert!(matches!(tried(&folder, &pin, -584), Claimed::Yes { .. }));
    }

    #[test]
    fn wrong_pins_that_lie_apart_lock_nothing() {
        let (_place, folder, pin) = state();
        for minutes in 0..20 {
            assert_eq!(tried(&folder, other(&pin), minutes * 4), Claimed::WrongPin, "{minutes}");
        }
        assert!(matches!(tried(&folder, &pin, 80), Claimed::Yes { .. }));
    }
}
