//! Is a preconfiguration for one gateway alone?

use super::*;
use crate::{Code, parse_prepared};

#[test]
fn a_preconfiguration_is_for_one_gateway_and_has_its_toml() {
    let wrapped = json!({"schema": "headroom.preconfiguration/1.0", "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
        "issued_at": "2026-11-22T10:00:00Z", "toml": "[site]\nid = \"home\"\n"});
    assert_eq!(parse_prepared(wrapped.to_string().as_bytes(), &us()).unwrap(), "[site]\nid = \"home\"\n");
    for (field, value, code) in [
        ("gateway_id", json!("gw_8"), Code::OtherGateway),
        ("location_id", json!("loc_8"), Code::OtherLocation),
        ("schema", json!("headroom.policy/1.0"), Code::UnsupportedSchema),
        ("toml", json!({}), Code::WrongType),
        ("issued_at", json!(null), Code::Missing),
    ] {
        let mut other = wrapped.clone();
        other[field] = value;
        assert!(parse_prepared(other.to_string().as_bytes(), &us()).unwrap_err().has(code), "{field}");
    }
}
