//! How fast may a charger speak? So fast that a queue of days is heard in minutes, and no faster: one that floods us is
//! left in its own TCP window, and delays neither its own orders nor anybody else.

use crate::time::{Duration, Moment};

/// Messages heard in one [`SPAN`]. A charger says a few a minute; one that empties its queue waits for each answer.
const MOST: u32 = 100;

/// See [`MOST`].
const SPAN: Duration = Duration::from_secs(1);

/// Counts the messages of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    since: Moment,
    heard: u32,
}

impl Pace {
    /// Nothing heard yet.
    pub fn new(now: Moment) -> Self {
        Pace { since: now, heard: 0 }
    }

    /// A message has come.
    pub fn heard(&mut self, now: Moment) {
        if now.since(self.since) >= SPAN {
            *self = Pace::new(now);
        }
        self.heard += 1;
    }

    /// The next message is read no sooner than this; `None`: at once.
    pub fn resumes(&self, now: Moment) -> Option<Moment> {
        let end = self.since + SPAN;
        (self.heard >= MOST && now < end).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_read_a_hundred_messages_a_second() {
        let mut pace = Pace::new(Moment::START);
        let mut now = Moment::START;
        let mut heard = 0;
        while now < Moment::from_millis(10_000) {
            match pace.resumes(now) {
                Some(end) => now = end,
                None => {
                    pace.heard(now);
                    heard += 1;
                }
            }
        }
        assert_eq!(heard, 1000);
    }

    #[test]
    fn a_charger_that_speaks_now_and_then_is_heard_at_once() {
        let mut pace = Pace::new(Moment::START);
        for second in 0..1000 {
            let now = Moment::from_millis(second * 500);
            assert_eq!(pace.resumes(now), None);
            pace.heard(now);
        }
    }
}
