//! Which session is this? Ids for what a charger calls its sessions, and for what it does not name.

use super::message::State;
use crate::control::observation::{Need, Plug, Session};
use crate::time::Moment;

/// Follows the sessions of one charger.
#[derive(Debug)]
pub struct Sessions {
    topic: String,
    /// Makes ids of sessions without a name differ from those of an earlier process.
    seed: i64,
    begun: u64,
}

impl Sessions {
    /// Those of the charger below `topic`. `seed` differs from process to process.
    pub fn new(topic: &str, seed: i64) -> Self {
        Sessions { topic: topic.to_owned(), seed, begun: 0 }
    }

    /// The session after this state. A charger that names none has one from the first charging to the end of it.
    pub fn follow(&mut self, before: Option<Session>, state: &State, now: Moment) -> Option<Session> {
        let id = match (&state.session, state.plug) {
            (Some(Some(name)), _) => self.id(name),
            (Some(None), _) => return None,
            (None, Plug::Charging | Plug::SuspendedEv | Plug::SuspendedEvse) => match &before {
                Some(session) => session.id,
                None => {
                    self.begun += 1;
                    self.id(&format!("{}/{}", self.seed, self.begun))
                }
            },
            (None, Plug::Unknown) => before.as_ref()?.id,
            (None, Plug::Available | Plug::Preparing | Plug::Finishing | Plug::Faulted | Plug::Unavailable) => {
                return None;
            }
        };
        let fresh = Session { id, token: None, since: now, energy_wh: None, need: Need::default() };
        let mut session = before.filter(|session| session.id == id).unwrap_or(fresh);
        if let Some(token) = &state.token {
            session.token.clone_from(token);
        }
        session.energy_wh = state.energy_wh.or(session.energy_wh);
        Some(session)
    }

    /// The same name at the same charger is the same session, after a restart too: FNV-1a, without the sign.
    fn id(&self, name: &str) -> i64 {
        let bytes = self.topic.bytes().chain([0]).chain(name.bytes());
        let hash = bytes
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        (hash >> 1) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_session_keeps_its_id_through_messages_and_restarts() {
        let first = follow(&mut Sessions::new("left", 7), None, r#"{"session":"abc","token":"04A2"}"#, 1).unwrap();
        let mut sessions = Sessions::new("left", 99);
        let second = follow(&mut sessions, None, r#"{"session":"abc","token":"04A2"}"#, 40).unwrap();
        assert_eq!(first.id, second.id);
        let later = follow(&mut sessions, Some(second), r#"{"session":"abc","energy_kwh":2}"#, 50).unwrap();
        assert_eq!((later.since, later.energy_wh), (at(40), Some(2000)));
        assert_eq!(later.token.as_deref(), Some("04A2"), "a field left out is not a field taken back");
    }

    #[test]
    fn another_name_or_another_charger_is_another_session() {
        let mut sessions = Sessions::new("left", 7);
        let first = follow(&mut sessions, None, r#"{"session":"abc","token":"04A2","energy_kwh":5}"#, 1).unwrap();
        let next = follow(&mut sessions, Some(first.clone()), r#"{"session":"abd"}"#, 2).unwrap();
        assert_ne!(next.id, first.id);
        assert_eq!((next.token, next.energy_wh, next.since), (None, None, at(2)));
        let other = follow(&mut Sessions::new("right", 7), None, r#"{"session":"abc"}"#, 1).unwrap();
        assert_ne!(other.id, first.id);
    }

    #[test]
    fn a_charger_that_names_no_sessions_gets_one_from_charging_to_unplugging() {
        let mut sessions = Sessions::new("left", 7);
        let mut session = None;
        let mut id_after = |plug: &str| {
            session = follow(&mut sessions, session.take(), &format!(r#"{{"plug":"{plug}"}}"#), 1);
            session.as_ref().map(|session| session.id)
        };
        assert_eq!(id_after("preparing"), None);
        let first = id_after("charging");
        assert!(first.is_some_and(|id| id >= 0));
        assert_eq!(id_after("suspended_evse"), first);
        assert_eq!(id_after("who knows"), first);
        assert_eq!(id_after("available"), None);
        let second = id_after("charging");
        assert!(second.is_some() && second != first);
    }

    #[test]
    fn sessions_without_a_name_differ_from_those_before_a_restart() {
        let charging = r#"{"plug":"charging"}"#;
        let first = follow(&mut Sessions::new("left", 7), None, charging, 1).unwrap();
        let second = follow(&mut Sessions::new("left", 8), None, charging, 1).unwrap();
        assert_ne!(first.id, second.id);
    }

    #[test]
    fn a_charger_that_says_there_is_no_session_is_believed() {
        let mut sessions = Sessions::new("left", 7);
        let session = follow(&mut sessions, None, r#"{"plug":"charging","session":"abc"}"#, 1);
        assert_eq!(follow(&mut sessions, session, r#"{"plug":"charging","session":null}"#, 2), None);
    }

    fn follow(sessions: &mut Sessions, before: Option<Session>, state: &str, seconds: u64) -> Option<Session> {
        sessions.follow(before, &State::parse(state.as_bytes(), 1).unwrap(), at(seconds))
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }
}
