//! What does the cloud say? The policy document: fetched, checked, compiled, kept, and dropped when it is too old.
//!
//! `task` fetches → `document` checks (`json`, `fields`, `entries`, `fault`) → `compile` fits it to the site →
//! `standing` decides which one holds, by `age` → `kept` goes to disk. `pace` says when to ask again.
//! What a document looks like, for those who write one: `docs/POLICY.md`.

mod age;
mod compile;
mod document;
mod entries;
mod fault;
mod fields;
#[cfg(test)]
mod fixture;
mod json;
mod kept;
mod pace;
mod standing;
mod task;
mod trouble;

pub use age::Age;
pub use standing::CloudState;
pub use task::{Cloud, Save, Setup, spawn};
