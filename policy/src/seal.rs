//! How is a document signed? For portals, test servers and tests; a gateway signs its claim and nothing else.

use crate::envelope::encoded;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

/// A key that signs.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// From 32 random bytes, which are the secret; `None` if they are no seed of Ed25519, which does not happen.
    pub fn from_seed(id: impl Into<String>, seed: &[u8; 32]) -> Option<SigningKey> {
        Some(SigningKey { id: id.into(), pair: Ed25519KeyPair::from_seed_unchecked(seed).ok()? })
    }

    /// Its name in keys documents and envelopes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its public half in base64, as in a keys document and in a trust file.
    pub fn public(&self) -> String {
        STANDARD.encode(self.pair.public_key())
    }
}

/// An envelope around these bytes, signed by each of the keys. `payload_type` is [`crate::POLICY_TYPE`],
/// [`crate::KEYS_TYPE`], [`crate::REQUESTS_TYPE`], [`crate::CLAIM_TYPE`] or [`crate::TOMBSTONE_TYPE`].
pub fn seal(payload_type: &str, payload: &[u8], keys: &[&SigningKey]) -> Vec<u8> {
    let message = encoded(payload_type, payload);
    let signatures: Vec<_> =
        keys.iter().map(|key| json!({"keyid": key.id, "sig": STANDARD.encode(key.pair.sign(&message))})).collect();
    let payload = STANDARD.encode(payload);
    json!({"payloadType": payload_type, "payload": payload, "signatures": signatures}).to_string().into_bytes()
}
