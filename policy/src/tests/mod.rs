//! Is a good document taken, and each bad one refused? What the tests share: the example of the manual, and its keys.

mod document;

use crate::document::Addressee;
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
