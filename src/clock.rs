//! What time is it? The only place that reads a clock.

use crate::time::{Duration, Moment};
use chrono::{DateTime, Utc};
use std::time::Instant;

/// The process's clocks: monotonic for control, wall time for people and policies.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts counting now.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// Monotonic time since the start.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
    pub fn now(&self) -> Moment {
        Moment::START + Instant::now().duration_since(self.start)
    }

    /// The same to the nanosecond, for measurements.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(self.start)
    }

    /// Wall time.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
    pub fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
