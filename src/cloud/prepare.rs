//! What was prepared for this site? Asked for at the first contact, kept, and used from the next start on, where the installer's
//! file says nothing else.

pub(super) mod task;

use serde::Serialize;

/// What became of a preconfiguration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// In a word.
    pub result: PreparedResult,
    /// Line by line, for people: what differs, what is not taken, what is wrong.
    pub told: Vec<String>,
}

/// See [`Prepared`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PreparedResult {
    /// It is on disk: the next start uses it.
    Kept,
    /// It is used where the file says nothing else.
    Applied,
    /// It is not used: with it the configuration has errors.
    NotApplied,
    /// It was not taken at all.
    Refused,
}
