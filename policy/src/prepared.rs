//! What was prepared for a gateway before anybody stood before it? A preconfiguration: TOML for it alone, in a signed wrapping.

use crate::document::{Addressee, same, schema};
use crate::fault::{Code, Faults, Findings};
use crate::fields::{Fields, time, wrong_type};
use crate::json::{self, MOST_BYTES, Node};

/// The TOML in a preconfiguration:
/// `{"schema": "headroom.preconfiguration/1.0", "gateway_id", "location_id", "issued_at", "toml"}`. Unknown fields are passed over.
///
/// # Errors
/// Everything that is wrong with it, each with its place. The TOML is not read: that is for whoever knows the keys.
pub fn parse_prepared(bytes: &[u8], addressee: &Addressee) -> Result<String, Faults> {
    if bytes.len() > MOST_BYTES {
        return Err(Faults::one(Code::TooLarge, "", format!("is longer than {MOST_BYTES} bytes")));
    }
    let tree = json::parse(bytes).map_err(|why| Faults::one(Code::Syntax, "", why))?;
    let mut found = Findings::default();
    for pointer in json::duplicates(&tree) {
        found.faults.add(Code::DuplicateKey, pointer, "stands twice");
    }
    let toml = Fields::of(&tree, String::new(), &mut found).and_then(|mut top| {
        top.required("schema", &mut found, schema("headroom.preconfiguration/"));
        top.required("gateway_id", &mut found, same(&addressee.gateway_id, Code::OtherGateway));
        top.required("location_id", &mut found, same(&addressee.location_id, Code::OtherLocation));
        top.required("issued_at", &mut found, time);
        top.required("toml", &mut found, |node| match node {
            Node::Text(text) => Ok(text.clone()),
            other => Err(wrong_type(other, "a text")),
        })
    });
    match toml {
        Some(toml) if found.faults.is_empty() => Ok(toml),
        Some(_) | None => Err(found.faults),
    }
}
