//! What was prepared for a gateway before anybody stood before it? A preconfiguration: TOML for it alone, in a signed wrapping.

use crate::document::{Addressee, same, schema};
use crate::fault::{Code, Faults, Findings};
use crate::fields::{Fields, object, time, wrong_type};
use crate::json::{MOST_BYTES, Node};

/// The TOML in a preconfiguration:
/// `{"schema": "headroom.preconfiguration/1.0", "gateway_id", "location_id", "issued_at", "toml"}`. Unknown fields are passed over.
///
/// # Errors
/// Everything that is wrong with it, each with its place. The TOML is not read: that is for whoever knows the keys.
pub fn parse_prepared(bytes: &[u8], addressee: &Addressee) -> Result<String, Faults> {
    let read = |mut top: Fields, found: &mut Findings| {
        top.required("schema", found, schema("headroom.preconfiguration/"));
        top.required("gateway_id", found, same(&addressee.gateway_id, Code::OtherGateway));
        top.required("location_id", found, same(&addressee.location_id, Code::OtherLocation));
        top.required("issued_at", found, time);
        top.required("toml", found, |node| match node {
            Node::Text(text) => Ok(text.clone()),
            other => Err(wrong_type(other, "a text")),
        })
    };
    Ok(object(bytes, MOST_BYTES, read)?.0)
}
