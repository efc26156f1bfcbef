//! How does a gateway forget whose it is? A factory reset: all that it has learnt of people goes, what keeps wires safe stays.
//!
//! It is written down before anything is removed, and finished by whoever comes next: a second run, or the daemon before it reads
//! anything. What stays in the state folder: what was prepared of the installation, the leases that stand, since a car does not forget what it was given, and
//! the ids of requests, so that the one that asked for this is not carried out again.

use super::{identity, keep};
use crate::recorder;
use crate::sessions;
use crate::store::Folder;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Where it is written down.
const RESET: &str = "reset";

/// What goes, by the name it is kept under, and what that is for people.
const FORGOTTEN: [(&str, &str); 6] = [
    (keep::POLICY, "the policy of the cloud, with its people, their cards, and its keys"),
    (identity::CLAIM, "who has claimed the gateway"),
    (identity::IDENTITY, "the gateway's key and PIN; the next start makes new ones"),
    (keep::EVENTS, "events that the cloud has not heard of"),
    (keep::RIGHTS, "what people have used, and who was let in"),
    (keep::BOOK, "the transactions of the chargers, with the cards that began them"),
];

/// A reset that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// When.
    pub at: DateTime<Utc>,
    /// The id of the request, if the cloud has asked for it.
    pub request: Option<String>,
    /// Is all of it removed?
    is_done: bool,
}

impl Reset {
    /// Asked for at this moment, by the cloud's request of this id or at the site.
    pub fn new(at: DateTime<Utc>, request: Option<String>) -> Self {
        Reset { at, request, is_done: false }
    }
}

/// What goes in a reset, for people.
pub fn forgotten() -> Vec<&'static str> {
    let others = ["sessions, and what of them and of events waits for the cloud", "recordings of the flight recorder"];
    FORGOTTEN.iter().map(|(_, what)| *what).chain(others).collect()
}

/// Writes down that there is to be one. From now on it will be finished.
///
/// # Errors
/// What the disk says; then there is none.
pub fn begin(folder: &Folder, reset: &Reset) -> io::Result<()> {
    keep::write(folder, RESET, reset)
}

/// Finishes one that was begun; what was removed, for people. Nothing where none was begun. Where it fails it is to be called
/// again.
///
/// # Errors
/// What the disk says.
pub fn finish(folder: &Folder, state: &Path, recordings: Option<&Path>) -> io::Result<Vec<&'static str>> {
    let Some(reset) = keep::read::<Reset>(Some(folder), RESET).filter(|reset| !reset.is_done) else {
        return Ok(vec![]);
    };
    let mut removed = Vec::new();
    for (name, what) in FORGOTTEN {
        if folder.remove(name)? {
            removed.push(what);
        }
    }
    let others = forgotten();
    match std::fs::remove_dir_all(state.join(sessions::FOLDER)) {
        Ok(()) => removed.extend(others.get(FORGOTTEN.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let recordings = recordings.filter(|folder| folder.is_dir());
    for (_, file) in recordings.map(recorder::files).transpose()?.unwrap_or_default() {
        std::fs::remove_file(file)?;
        if removed.last() != others.last() {
            removed.extend(others.last());
        }
    }
    keep::write(folder, RESET, &Reset { is_done: true, ..reset })?;
    Ok(removed)
}

/// One that is done and has not been told of yet; it is not told of again.
pub(super) fn take(folder: Option<&Folder>) -> Option<Reset> {
    let folder = folder?;
    let reset = keep::read::<Reset>(Some(folder), RESET).filter(|reset| reset.is_done)?;
    folder.remove(RESET).inspect_err(|fault| tracing::warn!(%fault, "a reset will be told of again")).ok();
    Some(reset)
}

#[cfg(test)]
#[path = "reset_tests.rs"]
mod tests;
