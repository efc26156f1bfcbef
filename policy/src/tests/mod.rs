//! Is a good document taken, and each bad one refused? What the tests share: the example of the manual, and its keys.

mod document;
mod envelope;
mod prepared;
mod random;
mod requests;
mod schema;
mod tombstone;

use crate::{Addressee, KEYS_TYPE, Keyring, Roots, SigningKey, Trust, seal};
use serde_json::{Value, json};

/// Every field there is; for [`us`].
const EXAMPLE: &str = include_str!("../../../docs/policy.json");

/// The example, to be changed.
fn example() -> Value {
    serde_json::from_str(EXAMPLE).unwrap()
}

/// Who the example is for.
fn us() -> Addressee {
    Addressee { gateway_id: "gw_7Q2M".into(), location_id: "loc_51AF".into() }
}

/// The least that a document says.
fn minimal() -> Value {
    json!({
        "schema": "headroom.policy/1.0",
        "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
        "epoch": 0, "version": 1,
        "issued_at": "2026-11-21T18:00:00Z", "expires_at": "2027-11-21T18:00:00+01:00",
        "access": {"default_mode": "authorized_only"},
        "classes": [{"id": "all", "charging_priority": 0}],
    })
}

/// A key with a seed that follows from its name.
fn signer(id: &str) -> SigningKey {
    let mut seed = [7; 32];
    seed[..id.len()].copy_from_slice(id.as_bytes());
    SigningKey::from_seed(id, &seed).unwrap()
}

/// The key in the installer's drawer.
fn root() -> SigningKey {
    SigningKey::from_seed("root", &[1; 32]).unwrap()
}

/// Knows the root key only.
fn distrusting() -> Trust {
    let roots = Roots::read(&[("root".to_owned(), root().public())].into()).unwrap();
    Trust::Signed(Keyring::new(roots))
}

/// Knows the key `policy-1`, from the keys of this epoch.
fn trusting(epoch: u64) -> Trust {
    let mut trust = distrusting();
    let keys = keys_document(epoch, &["policy-1"]).to_string();
    trust.offer_keys(&seal(KEYS_TYPE, keys.as_bytes(), &[&root()]), None).unwrap();
    trust
}

/// Says that these keys may sign policies.
fn keys_document(epoch: u64, keys: &[&str]) -> Value {
    let keys: Vec<Value> = keys.iter().map(|id| json!({"keyid": id, "public": signer(id).public()})).collect();
    json!({
        "schema": "headroom.keys/1.0",
        "epoch": epoch,
        "issued_at": "2026-11-01T00:00:00Z", "expires_at": "2028-01-01T00:00:00Z",
        "keys": keys,
    })
}
