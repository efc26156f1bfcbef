//! Why did it decide so? A flight recorder: every input of the step, kept for a while, from which a recording decides again.
//!
//! ```text
//! step ─ Scribe ── frames ── bounded queue ── writer's thread ── Ring of files ── Segment ── replay
//!        record    pseudonym                  task               ring
//! ```
//! The step never waits: where the queue is full or the disk refuses, the recorder leaves a gap and begins anew with
//! a snapshot. Each file begins with one, so that any file alone can be decided again.

mod digest;
mod pseudonym;
mod record;
mod replay;
mod ring;
mod scribe;
mod segment;
mod task;
#[cfg(test)]
mod tests;

pub use record::{After, Opening};
pub use replay::{Again, Arrival, Replay, difference};
pub use ring::{Ring, files};
pub use scribe::{Scribe, Stepped, TooLarge};
pub use segment::{End, Fault, Segment};
pub use task::Recorder;
