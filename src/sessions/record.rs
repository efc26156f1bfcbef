//! What is remembered of a session? Who, where, when, how much, as which class and why, and what somebody should look at.

use super::Key;
use crate::time::Duration;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Changes of class or reason that are kept of a session; beyond that the shortest ones are merged. With as many a record
/// has 12 kB, and a car whose reason changes every few minutes is still told for a day.
pub const MOST_CHANGES: usize = 200;

/// Letters of a token that are shown at most.
const SHOWN: usize = 4;

/// A session, as it is kept and sent to the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Names it for good: the idempotency key.
    pub id: Key,
    /// The EVSE's id in the configuration.
    pub evse: String,
    /// The charger's or our number for it (OCPP: transactionId).
    pub transaction: i64,
    /// The person's or group's id in the policy; `None`: nobody that the policy names.
    pub person: Option<String>,
    /// Name for people, if the policy let it be shown.
    pub alias: Option<String>,
    /// Its class at the last; empty where there is none.
    pub class: String,
    /// The token's last letters behind stars; never more of it.
    pub token: Option<String>,
    /// When it began; `None` while the time of day has not been known since.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over; `None` while it runs, or where the time of day was not known.
    pub ended_at: Option<DateTime<Utc>>,
    /// How long it has lasted, by the monotonic clock, in s.
    pub span_s: u64,
    /// Energy in Wh.
    pub energy_wh: i64,
    /// The charger has told no register: the energy is reckoned from currents and nominal volts.
    #[serde(rename = "estimated")]
    pub is_estimated: bool,
    /// The charger's register at the beginning, in Wh, where it has told that at the end.
    #[serde(default)]
    pub meter_start_wh: Option<i64>,
    /// The same at the end.
    #[serde(default)]
    pub meter_stop_wh: Option<i64>,
    /// Class and reason over time, the first at 0 s; [`MOST_CHANGES`] at most.
    pub changes: Vec<Change>,
    /// So many short ones were merged into those before them.
    pub merged: u32,
    /// The cloud could not be reached when it began, or when it ended.
    #[serde(rename = "offline")]
    pub is_offline: bool,
    /// What somebody should look at.
    pub review: Vec<Review>,
    /// How it ended; `None` while it runs.
    pub end: Option<End>,
}

/// From here on it was of this class, and this was why it got no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Seconds since the session began.
    pub at_s: u64,
    /// The class's id; empty where there is none.
    pub class: String,
    /// [`crate::control::reason::Reason::code`].
    pub reason: String,
}

/// What somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// It ran, in part without the cloud, for somebody who is not entitled by the newest policy.
    UnauthorizedOffline,
    /// It ran for somebody who is not entitled.
    Unauthorized,
    /// Its end was not seen: the daemon did not run then. Energy and span are those last written down.
    EndUnseen,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The charger said so.
    Stopped,
    /// It was stopped while the policy denied it.
    Denied,
    /// Another one has begun at the same EVSE.
    Replaced,
    /// It was gone when the daemon came back.
    Unseen,
}

impl End {
    /// One word, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            End::Stopped => "stopped",
            End::Denied => "denied",
            End::Replaced => "replaced",
            End::Unseen => "unseen",
        }
    }
}

impl Review {
    /// One word, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Review::UnauthorizedOffline => "unauthorized_offline",
            Review::Unauthorized => "unauthorized",
            Review::EndUnseen => "end_unseen",
        }
    }
}

impl Record {
    /// Class and reason are these from `at` after its beginning on; nothing where they were so before.
    pub fn change(&mut self, at: Duration, class: &str, reason: &str) {
        if self.changes.last().is_some_and(|last| last.class == class && last.reason == reason) {
            return;
        }
        if self.class != class {
            class.clone_into(&mut self.class);
        }
        self.changes.push(Change { at_s: at.as_secs(), class: class.to_owned(), reason: reason.to_owned() });
        if self.changes.len() > MOST_CHANGES {
            self.merge_shortest();
        }
    }

    /// The shortest one counts as the one before it; the first and the last stay.
    fn merge_shortest(&mut self) {
        let spans = self.changes.windows(2).enumerate().skip(1);
        let shortest = spans.min_by_key(|(_, pair)| pair[1].at_s.saturating_sub(pair[0].at_s)).map(|(index, _)| index);
        let Some(index) = shortest else { return };
        self.changes.remove(index);
        self.merged += 1;
        // What is left on either side may be the same now.
        if self.changes[index - 1].is_like(&self.changes[index]) {
            self.changes.remove(index);
        }
    }

    /// Somebody should look at it; once is enough.
    pub fn look_at(&mut self, why: Review) {
        if !self.review.contains(&why) {
            self.review.push(why);
        }
    }
}

impl Change {
    fn is_like(&self, other: &Change) -> bool {
        self.class == other.class && self.reason == other.reason
    }
}

/// The last letters of a token behind stars, and never more than half of it.
pub fn mask(token: &str) -> String {
    let letters: Vec<char> = token.chars().collect();
    let shown = SHOWN.min(letters.len() / 2);
    "****".chars().chain(letters[letters.len() - shown..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::fixture::record;

    #[test]
    fn only_a_change_is_a_change() {
        let mut record = record(1);
        record.changes.clear();
        for (at, class, reason) in
            [(0, "guest", "full"), (5, "guest", "full"), (9, "guest", "hold"), (12, "owner", "hold")]
        {
            record.change(Duration::from_secs(at), class, reason);
        }
        let changes: Vec<u64> = record.changes.iter().map(|change| change.at_s).collect();
        assert_eq!((changes, record.class.as_str()), (vec![0, 9, 12], "owner"));
    }

    #[test]
    fn a_session_of_a_thousand_changes_tells_the_long_ones_right() {
        let mut record = record(1);
        record.changes.clear();
        let (mut at, mut long) = (0, Vec::new());
        for number in 0..1000_u64 {
            let reason = ["main_fuse", "hold", "resting"][number as usize % 3];
            record.change(Duration::from_secs(at), "guest", reason);
            if number % 10 == 5 {
                long.push((at, reason));
            }
            at += if number % 10 == 5 { 3600 } else { number % 10 + 1 };
        }
        assert!(record.changes.len() <= MOST_CHANGES && record.merged > 0);
        assert_eq!(record.changes[0].at_s, 0);
        for (at, reason) in long {
            let told = record.changes.iter().rev().find(|change| change.at_s <= at).unwrap();
            assert_eq!(told.reason, reason, "{at} s");
        }
    }

    #[test]
    fn of_a_token_no_more_than_its_last_four_letters_is_kept() {
        for (token, shown) in [("04A2B3C4D5E680", "****E680"), ("ABCDEF", "****DEF"), ("X", "****"), ("", "****")] {
            assert_eq!(mask(token), shown);
        }
    }

    #[test]
    fn the_largest_record_is_smaller_than_what_the_journal_takes() {
        let mut record = record(1);
        for number in 0..1000 {
            record.change(
                Duration::from_secs(1_000_000 + number),
                &"c".repeat(64),
                ["contract_power", "hold"][number as usize % 2],
            );
        }
        let bytes = serde_json::to_vec(&record).unwrap();
        assert!(bytes.len() < crate::sessions::MOST_ITEM, "{}", bytes.len());
    }
}
