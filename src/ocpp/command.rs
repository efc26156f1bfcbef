//! What is a charger told to do at once, since a person wants it? One call, and its answer.

use super::id_tag;
use crate::policy::MOST_ID_TAG;
use crate::site::EvseId;
use serde_json::{Value, json};
use std::fmt;

/// Something that a person wants now. It is asked of the charger once; nobody repeats it.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// Begin a transaction with this token: see [`crate::policy::central_token`].
    Start {
        /// Where.
        evse: EvseId,
        /// By whom; 20 characters at most.
        token: String,
    },
    /// End the transaction that runs there.
    Stop {
        /// Where.
        evse: EvseId,
    },
}

/// What has come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The charger will do it; a transaction comes when it comes.
    Accepted,
    /// It will not, or there is nothing to end, or too many commands wait already.
    Rejected,
    /// It is away, or did not say.
    NoAnswer,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Start { evse, token } => write!(f, "Start({}, {})", evse.0, id_tag::masked(token)),
            Command::Stop { evse } => write!(f, "Stop({})", evse.0),
        }
    }
}

impl Command {
    /// Where.
    pub fn evse(&self) -> EvseId {
        match self {
            Command::Start { evse, .. } | Command::Stop { evse } => *evse,
        }
    }

    /// The call for the connector of this number, where `transaction` runs; `None` where it cannot be one.
    pub fn call(&self, connector: u32, transaction: Option<i64>) -> Option<(&'static str, Value)> {
        match self {
            Command::Start { token, .. } => {
                let is_tag = (1..=MOST_ID_TAG).contains(&token.chars().count());
                is_tag.then(|| ("RemoteStartTransaction", json!({"connectorId": connector, "idTag": token})))
            }
            Command::Stop { .. } => Some(("RemoteStopTransaction", json!({"transactionId": transaction?}))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_charger_could_take_is_no_call() {
        let start = |token: &str| Command::Start { evse: EvseId(0), token: token.into() }.call(2, None);
        assert_eq!(
            start("headroom:usr_a"),
            Some(("RemoteStartTransaction", json!({"connectorId": 2, "idTag": "headroom:usr_a"})))
        );
        assert_eq!([start(""), start(&"x".repeat(21))], [None, None]);
        let stop = Command::Stop { evse: EvseId(0) };
        assert_eq!(stop.call(1, Some(7)), Some(("RemoteStopTransaction", json!({"transactionId": 7}))));
        assert_eq!(stop.call(1, None), None);
    }
}
