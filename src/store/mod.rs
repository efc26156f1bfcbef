//! What survives a power cut? Small files that are either whole or not there: see [`Folder`].
//!
//! Everything kept is small (a policy, counters) and rarely written, so a whole file is replaced each time; [`slot`] says
//! how a file proves that it is whole.

#[cfg(test)]
#[path = "cuts_tests.rs"]
pub(crate) mod cuts;
mod folder;
mod lock;
mod shelf;
mod slot;

pub use folder::Folder;
pub use lock::Lock;
pub use slot::{MOST_BYTES, crc32};
