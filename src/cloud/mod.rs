//! What does the cloud say? The policy document: fetched, checked, compiled, kept, and dropped when it is too old.
//!
//! `task` fetches → `document` checks (`json`, `fields`, `entries`, `fault`) → `compile` fits it to the site →
//! `standing` decides which one holds, by `age` → `kept` goes to disk. `pace` says when to ask again, `hint` that now is a
//! good time; `offer` says what the cloud takes beside that, and `uplink` brings it there: `ack`, `events`, sessions.
//! What a document looks like, for those who write one: `docs/POLICY.md`.

mod ack;
mod age;
mod compile;
mod document;
mod entries;
mod events;
mod fault;
mod fields;
#[cfg(test)]
mod fixture;
mod hint;
mod json;
mod kept;
mod offer;
mod pace;
mod route;
mod standing;
mod task;
mod told;
mod trouble;
mod uplink;

pub use age::Age;
pub use standing::CloudState;
pub use task::{Cloud, Save, Setup, spawn};
pub use uplink::Outbox;
