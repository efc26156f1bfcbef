//! Who signed these bytes? The envelope of DSSE v1 (Dead Simple Signing Envelope), opened before anybody reads inside.
//!
//! The signature is over the exact bytes of the payload and its type, so nothing has to be written canonically, and one
//! kind of document never passes for another.

use crate::fault::{Code, Faults, Findings, shown};
use crate::fields::{Fields, MOST_ID, Wrong, text, wrong_type};
use crate::json::{self, MOST_BYTES, Node};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

/// The `payloadType` of a policy document.
pub const POLICY_TYPE: &str = "application/vnd.headroom.policy+json;v=1";

/// The `payloadType` of a keys document.
pub const KEYS_TYPE: &str = "application/vnd.headroom.keys+json;v=1";

/// The `payloadType` of a preconfiguration.
pub const PREPARED_TYPE: &str = "application/vnd.headroom.preconfiguration+json;v=1";

/// The `payloadType` of a list of requests.
pub const REQUESTS_TYPE: &str = "application/vnd.headroom.requests+json;v=1";

/// The `payloadType` of what a gateway says of whoever has claimed it.
pub const CLAIM_TYPE: &str = "application/vnd.headroom.claim+json;v=1";

/// The `payloadType` of a tombstone.
pub const TOMBSTONE_TYPE: &str = "application/vnd.headroom.tombstone+json;v=1";

/// The longest envelope: 1 MiB in base64 is a third longer, and signatures come with it.
pub const MOST_ENVELOPE_BYTES: usize = 3 * 512 * 1024;

/// The most signatures: the old and the new key of a rotation, and some to spare; each one costs time.
const MOST_SIGNATURES: usize = 8;

/// A public key of Ed25519 (RFC 8032).
pub type PublicKey = [u8; 32];

/// The payload and which of these types it is of, if a known key signed it and no known key is said to have signed
/// something else.
///
/// `key` answers with the key of this id, or says why there is none. Signatures of unknown keys count for nothing, so
/// that a document may be signed by the next key as well.
pub(crate) fn open(
    bytes: &[u8],
    types: &[&'static str],
    key: impl Fn(&str) -> Result<PublicKey, String>,
) -> Result<(&'static str, Vec<u8>), Faults> {
    if bytes.len() > MOST_ENVELOPE_BYTES {
        return Err(Faults::one(Code::TooLarge, "", format!("is longer than {MOST_ENVELOPE_BYTES} bytes")));
    }
    let envelope =
        read(bytes).map_err(|why| Faults::one(Code::NotDsse, "", format!("is no signed envelope: {why}")))?;
    let Some(payload_type) = types.iter().find(|expected| **expected == envelope.payload_type) else {
        let text = format!("is \"{}\", not \"{}\"", shown(&envelope.payload_type), types.join("\" or \""));
        return Err(Faults::one(Code::PayloadType, "/payloadType", text));
    };
    if envelope.payload.len() > MOST_BYTES {
        return Err(Faults::one(Code::TooLarge, "/payload", format!("is longer than {MOST_BYTES} bytes")));
    }
    let message = encoded(payload_type, &envelope.payload);
    let mut is_signed = false;
    let mut unknown = Faults::default();
    for (index, (keyid, signature)) in envelope.signatures.iter().enumerate() {
        let pointer = format!("/signatures/{index}");
        match key(keyid) {
            Err(why) => unknown.add(Code::UnknownKey, format!("{pointer}/keyid"), why),
            Ok(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(&message, signature).map_err(|_| {
                    let text = format!("does not fit the payload and the key \"{}\"", shown(keyid));
                    Faults::one(Code::BadSignature, format!("{pointer}/sig"), text)
                })?;
                is_signed = true;
            }
        }
    }
    if is_signed { Ok((payload_type, envelope.payload)) } else { Err(unknown) }
}

/// Does it say that it is an envelope of this type? Anybody can say so.
pub(crate) fn claims(bytes: &[u8], payload_type: &str) -> bool {
    bytes.len() <= MOST_ENVELOPE_BYTES && read(bytes).is_ok_and(|envelope| envelope.payload_type == payload_type)
}

/// What a gateway says of its claim, if it was signed with this key of its.
///
/// # Errors
/// As for [`crate::Trust::open`].
pub fn open_claim(bytes: &[u8], gateway: &PublicKey) -> Result<Vec<u8>, Faults> {
    open(bytes, &[CLAIM_TYPE], |_| Ok(*gateway)).map(|(_, payload)| payload)
}

/// What is signed: DSSE's pre-authentication encoding of type and payload.
pub(crate) fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    /// At least one; each with the id of its key.
    signatures: Vec<(String, Vec<u8>)>,
}

/// Fields that DSSE does not have are passed over, as it asks for.
fn read(bytes: &[u8]) -> Result<Envelope, String> {
    let tree = json::parse(bytes)?;
    if let Some(pointer) = json::duplicates(&tree).first() {
        return Err(format!("{pointer} stands twice"));
    }
    let mut found = Findings::default();
    let envelope = Fields::of(&tree, String::new(), &mut found).and_then(|mut top| {
        let payload_type = top.required("payloadType", &mut found, text(MOST_ID));
        let payload = top.required("payload", &mut found, binary);
        top.required("signatures", &mut found, |_| Ok(()));
        let entries = top.objects("signatures", MOST_SIGNATURES, &mut found);
        let signatures = entries.into_iter().filter_map(|mut entry| {
            let keyid = entry.required("keyid", &mut found, text(MOST_ID));
            keyid.zip(entry.required("sig", &mut found, binary))
        });
        let signatures = signatures.collect();
        Some(Envelope { payload_type: payload_type?, payload: payload?, signatures })
    });
    match envelope {
        Some(envelope) if found.faults.is_empty() && !envelope.signatures.is_empty() => Ok(envelope),
        Some(_) if found.faults.is_empty() => Err("/signatures: has none".into()),
        Some(_) | None => Err(found.faults.to_string()),
    }
}

/// Base64 (RFC 4648, part 4) in its one canonical form.
pub(crate) fn binary(node: &Node) -> Result<Vec<u8>, Wrong> {
    let Node::Text(text) = node else { return Err(wrong_type(node, "a text in base64")) };
    STANDARD.decode(text).map_err(|_| (Code::OutOfRange, "is no base64".into()))
}
