//! What does the cloud say? The policy document: fetched, checked, compiled, kept, and dropped when it is too old.
//!
//! `task` fetches → the crate `headroom-policy` (`policy/`) checks signatures, then the document → `compile` fits it to
//! the site → `standing` decides which one holds, by `age` → `kept` goes to disk, as `keeping` allows. `pace` says when
//! to ask again, `hint` that now is a good time; `offer` says what the cloud takes beside that, and `uplink` brings it
//! there: `ack`, `events`, sessions. `requests` are what people want now, `prepare` what was prepared for the site;
//! `beside` has all that goes on at the same time. What a document looks like, for those who write one: `docs/POLICY.md`.

mod ack;
mod age;
mod beside {
    pub(super) mod task;
}
mod compile;
#[cfg(test)]
#[path = "cuts_tests.rs"]
mod cuts;
mod events;
#[cfg(test)]
mod fixture;
mod hint;
mod keeping;
mod kept;
mod offer;
mod offline;
mod pace;
mod prepare;
mod requests;
mod route;
mod rules;
mod standing;
mod task;
mod told;
mod trouble;
mod uplink;

pub use age::Age;
pub use compile::Ground;
pub use keeping::task::Save;
pub use prepare::task::Shelf as PreparedShelf;
pub use prepare::{Prepared, PreparedResult};
pub use requests::task::{Asked, Desk as RequestDesk};
pub use requests::{Outcome as RequestOutcome, Word as RequestWord};
pub use standing::{CloudState, Outcome, Standing};
pub use task::{Cloud, Setup, spawn};
pub use uplink::Outbox;
