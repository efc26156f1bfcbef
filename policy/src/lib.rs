//! What may be said about who charges, and who said it? The policy document, its one validator, and its signatures.
//!
//! For both ends: a portal writes documents and seals them (`seal`, with the feature `sign`), a gateway opens them
//! ([`Trust::open`]), reads them ([`Word::read`], [`parse`]) and compares them with what it has seen ([`admit()`]).
//! Everything here is pure: told the time, without files and network. Field by field the document is described in
//! `docs/POLICY.md` and in `policy/schema.json`.
//!
//! ```text
//! bytes ─ Trust::open ─ payload ─ Word::read ─ Document, Tombstone ─ admit ─ New, or the Same as before
//!         signatures              faults                             versions
//! ```
//!
//! Units: currents are milliamperes (`_ma`), energies watt-hours (`_wh`), spans seconds (`_s`), times UTC.

mod admit;
mod document;
mod entries;
mod envelope;
mod fault;
mod fields;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod json;
mod keys;
mod prepared;
mod requests;
mod rules;
#[cfg(any(test, fuzzing, feature = "sign"))]
mod seal;
#[cfg(test)]
mod tests;
mod tombstone;
mod trust;

pub use admit::{Admission, Seen, Stamp, admit};
pub use document::{Addressee, Document, parse};
pub use entries::{Access, Billing, Class, Evse, Membership, Principal, Status, Token, TokenType, normalise};
pub use envelope::{
    CLAIM_TYPE, KEYS_TYPE, MOST_ENVELOPE_BYTES, POLICY_TYPE, PREPARED_TYPE, PublicKey, REQUESTS_TYPE, TOMBSTONE_TYPE,
    open_claim,
};
pub use fault::{Code, Fault, Faults, Warnings, shown};
pub use json::MOST_BYTES;
pub use keys::Keys;
pub use prepared::parse_prepared;
pub use requests::{Kind as RequestKind, MOST_REQUESTS_BYTES, Pin, Place, Request, Requests, parse_requests};
pub use rules::{
    AfterGrace, Boost, MidSession, Mode, Modes, OfflineProfile, OnExceed, Outside, Period, Quota, Revocation, Schedule,
    Window,
};
#[cfg(any(test, fuzzing, feature = "sign"))]
pub use seal::{SigningKey, seal};
pub use tombstone::{Tombstone, Word};
pub use trust::{Keyring, Kind, Opened, Roots, Trust};
