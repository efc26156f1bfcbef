//! Who charged, when, how much, and why no more? Sessions remembered over power cuts, and sent to the cloud exactly once.
//!
//! ```text
//!                                                ┌─ segments on disk ─ headroom sessions
//! step ─ Tracker ─ Record ─ Pending ─ thread ─ Journal
//!                                                └─ Handle: next_batch, acked ─ uploader
//! ```
//! The step never waits: records wait in memory, the newest of each session only, until the disk has taken them. Why there
//! is a journal of our own, and what it costs: docs/decisions/0003-sessions.md.

#[cfg(test)]
#[path = "cuts_tests.rs"]
mod cuts;
mod disk;
mod export;
#[cfg(test)]
mod fixture;
mod group;
mod journal;
mod key;
mod pending;
mod record;
mod task;
mod tracker;

pub use disk::{Disk, Files};
pub use export::{Month, Total, Wanted, csv, table, totals, totals_csv};
pub use group::Item;
pub use journal::{Bounds, Journal, read_all};
pub use key::{Key, Keys};
pub use record::{Change, End, MOST_CHANGES, Record, Review};
pub use task::{Batch, Counts, Gone, Handle, Sessions};
pub use tracker::{SNAPSHOT, Told, Tracker};

/// The most that one item has, in bytes: twice the largest record. What is larger is refused.
pub const MOST_ITEM: usize = 48 * 1024;

/// The folder of segments, in the state folder.
pub const FOLDER: &str = "sessions";
