//! Whose card was it? A recording does not know: tokens and people's names are replaced before anything is written.
//!
//! The same token has the same pseudonym as long as the process lives, in words and in the policy, so that the
//! decisions are the same. The key is chosen at random, is written nowhere and ends with the process: without it a
//! pseudonym cannot be tried against the few million card numbers that there are.

use crate::control::observation::Session;
use crate::policy::{Now, Policy, Principal, Running, Token, normalise};
use std::hash::{BuildHasher, RandomState};

/// Gives pseudonyms. Their order says nothing: no decision depends on the order of tokens.
#[derive(Debug, Default)]
pub(super) struct Pseudonyms {
    /// std's keyed hash with a key from the operating system.
    key: RandomState,
}

impl Pseudonyms {
    /// Sixteen hexadecimal digits, which [`normalise`] leaves as they are.
    fn of(&self, text: &str) -> String {
        format!("{:016X}", self.key.hash_one(text))
    }

    /// A session without its token.
    pub fn session(&self, session: &Session) -> Session {
        Session { token: session.token.as_deref().map(|token| self.of(&normalise(token))), ..*session }
    }

    /// A policy without tokens and people.
    pub fn policy(&self, policy: &Policy) -> Policy {
        let person = |person: &Principal| Principal {
            id: self.of(&person.id),
            alias: person.alias.as_deref().map(|alias| self.of(alias).into()),
            ..person.clone()
        };
        let running = |running: &Option<Running>| {
            let running = running.as_ref()?;
            Some(Running { token: running.token.as_deref().map(|token| self.of(token)), ..running.clone() })
        };
        let now = Now { running: policy.now.running.iter().map(running).collect(), ..policy.now.clone() };
        let card =
            |token: &Token| Token { group: token.group.as_deref().map(|group| self.of(group).into()), ..token.clone() };
        Policy {
            now,
            principals: policy.principals.iter().map(person).collect(),
            tokens: policy.tokens.iter().map(|(uid, token)| (self.of(uid), card(token))).collect(),
            ..policy.clone()
        }
    }
}
