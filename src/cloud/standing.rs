//! Which policy stands? The last good document; none, one that is too old, or a tombstone: the configuration's own
//! policy.
//!
//! Told what arrived and when, it answers what holds. Signatures are verified before anything is read. Versions only go
//! up: the highest one seen is remembered, on disk too, so that nobody can bring back an older policy, not even over a
//! restart.

use super::age::{self, Age, Times};
use super::compile::{Ground, compile};
use super::kept::{Header, Kept};
use super::offline::after_grace;
use crate::policy::Policy;
use crate::status::PolicyStatus;
use crate::time::{Duration, Moment};
use chrono::{DateTime, Utc};
use headroom_policy::{Addressee, Admission, Code, Document, Faults, Seen, Stamp, Trust, Warnings, Word, admit};
use std::sync::Arc;

/// An entity tag is sent back with each question; longer ones are forgotten.
pub(super) const MOST_ETAG: usize = 256;

/// The policy that stands, and what it takes to judge the next one.
#[derive(Debug)]
pub struct Standing {
    addressee: Addressee,
    ground: Ground,
    /// Whose documents are taken, and the keys that are known.
    trust: Trust,
    local: Arc<Policy>,
    /// How often to ask where no document says.
    usual_refresh: Duration,
    /// The highest version that was ever taken, whether or not it can be used now.
    seen: Option<Kept>,
    held: Option<Held>,
    refused: Option<Faults>,
}

/// The cloud's last word that counts.
#[derive(Debug)]
enum Held {
    Document {
        policy: Arc<Policy>,
        /// Once the time of grace is over.
        after: Arc<Policy>,
        version: u64,
        times: Times,
    },
    /// Nothing of the cloud's holds; it never ends by itself.
    Tombstone {
        /// As for [`Times::floor`].
        floor: DateTime<Utc>,
    },
}

impl Held {
    fn floor(&self) -> DateTime<Utc> {
        match self {
            Held::Document { times, .. } => times.floor,
            Held::Tombstone { floor } => *floor,
        }
    }
}

/// What is new in what arrived, made fit for this site.
enum News {
    Policy(Box<(Document, Policy)>),
    Tombstone,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is the one that stands; where documents are signed, that may be a replay, and does not make it fresh.
    Confirmed,
    /// It stands from now on; these bytes are to be kept on disk.
    Taken {
        /// As for [`Kept::decode`].
        keep: Vec<u8>,
        /// What is ignored in it.
        warnings: Warnings,
    },
    /// The last good one stands on.
    Refused(Faults),
}

/// What others may know of the policy in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudState {
    /// Its age.
    pub age: Age,
    /// The document's version; `None` while the local policy holds.
    pub version: Option<u64>,
    /// When this process last heard that it holds.
    pub confirmed: Option<Moment>,
    /// Wall time before which the clock is wrong for certain.
    pub floor: Option<DateTime<Utc>>,
    /// Why the last document was refused, if it was.
    pub refused: Option<String>,
    /// Why the cloud cannot be asked, if it cannot.
    pub trouble: Option<String>,
}

impl CloudState {
    /// As people see it.
    pub fn status(&self, now: Moment, wall: DateTime<Utc>) -> PolicyStatus {
        // After a restart only the wall time of the copy on disk is known.
        let since_floor = || {
            let wall = self.wall(wall)?;
            Some((wall - self.floor?).num_seconds().max(0).unsigned_abs())
        };
        let age = self.confirmed.map(|confirmed| now.since(confirmed).as_secs()).or_else(since_floor);
        PolicyStatus {
            source: if self.version.is_some() { "cloud" } else { "local" }.into(),
            state: self.age.word().into(),
            version: self.version,
            age_s: age.filter(|_| self.version.is_some()),
            refused: self.refused.clone(),
        }
    }

    /// The wall time, if it is to be trusted; dates in policies wait until then.
    pub fn wall(&self, wall: DateTime<Utc>) -> Option<DateTime<Utc>> {
        age::trusted(wall, self.floor.unwrap_or_default())
    }
}

/// What holds at one moment.
#[derive(Debug)]
pub struct View {
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// What others may know of it.
    pub state: CloudState,
    /// How long this stays so if nothing is heard; `None`: for good, as far as is known.
    pub next: Option<Duration>,
}

impl Standing {
    /// Begins with what was kept on disk, if that is for us and still without faults on this site; else with the local
    /// policy. The text says why something that was kept is not used.
    pub fn new(
        addressee: Addressee,
        ground: Ground,
        trust: Trust,
        usual_refresh: Duration,
        kept: Option<&[u8]>,
    ) -> (Standing, Option<String>) {
        let local = Arc::new(ground.local.clone());
        let mut standing =
            Standing { addressee, ground, trust, local, usual_refresh, seen: None, held: None, refused: None };
        let trouble = kept.and_then(|bytes| standing.restore(bytes).err());
        (standing, trouble)
    }

    /// Verifies and reads again what an earlier run took. No key is over for it: it was taken in time, and how long it
    /// stands is said by the document.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let kept = Kept::decode(bytes).ok_or("is nothing that this version can read")?;
        if !kept.keys.is_empty() {
            self.trust.offer_keys(&kept.keys, None).map_err(|faults| format!("its keys: {faults}"))?;
        }
        let word = self.trust.open(&kept.document, None).and_then(|opened| Word::read(&opened, &self.addressee));
        if let Err(faults) = &word
            && [Code::OtherGateway, Code::OtherLocation, Code::NotDsse].into_iter().any(|code| faults.has(code))
        {
            // Its versions say nothing about ours: it is another gateway's, or anybody's.
            return Err(faults.to_string());
        }
        let floor = kept.header.confirmed_at;
        self.seen = Some(kept);
        let word = word.map_err(|faults| faults.to_string())?;
        if let Some(seen) = &mut self.seen {
            seen.header.sha256 = Some(word.stamp().sha256);
        }
        let (news, _) = self.compiled(word).map_err(|faults| faults.to_string())?;
        self.hold(news, floor, None);
        Ok(())
    }

    /// Whose word counts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Is this the body of a "gone" that may count? To be judged as a document is.
    pub fn may_be_tombstone(&self, bytes: &[u8]) -> bool {
        self.trust.may_be_tombstone(bytes)
    }

    /// Has this a signature, or an epoch, that only a newer keys document can make good?
    pub fn needs_keys(&self, bytes: &[u8], wall: DateTime<Utc>) -> bool {
        let lacks = |faults: &Faults| faults.has(Code::UnknownKey) || faults.has(Code::EpochUnproven);
        self.verified(bytes, wall).is_err_and(|faults| lacks(&faults))
    }

    /// Takes a keys document. With a policy in force the answer is what is to be kept on disk from now on.
    ///
    /// # Errors
    /// As for [`Trust::offer_keys`]; the keys from before hold on.
    pub fn offer_keys(&mut self, bytes: &[u8], wall: DateTime<Utc>) -> Result<Option<Vec<u8>>, Faults> {
        let wall = self.clock(wall);
        let is_other = self.trust.offer_keys(bytes, wall)?;
        let Some(seen) = self.seen.as_mut().filter(|_| is_other) else { return Ok(None) };
        seen.keys = self.trust.keys_envelope().to_vec();
        Ok(Some(seen.encode()))
    }

    /// The wall time, if it can be true.
    fn clock(&self, wall: DateTime<Utc>) -> Option<DateTime<Utc>> {
        age::trusted(wall, self.held.as_ref().map(Held::floor).unwrap_or_default())
    }

    /// Judges a document that arrived. All or nothing: after a refusal everything is as it was.
    pub fn offer(&mut self, bytes: &[u8], etag: Option<String>, now: Moment, wall: DateTime<Utc>) -> Outcome {
        match self.judge(bytes, wall) {
            Ok(None) => {
                match self.trust {
                    Trust::Unsigned => self.confirm(now),
                    // Anybody can replay it: of the freshness of what is signed only "not modified" speaks, which is an
                    // answer to this question.
                    Trust::Signed(_) => self.refused = None,
                }
                if let Some(seen) = &mut self.seen {
                    seen.header.etag = fit(etag);
                }
                Outcome::Confirmed
            }
            Ok(Some(word)) => {
                let (Stamp { epoch, version, sha256 }, issued_at) = (word.stamp(), word.issued_at());
                let (news, warnings) = match self.compiled(word) {
                    Ok(fit) => fit,
                    Err(faults) => return self.refused(faults),
                };
                // Versions go up, so this is the latest word on what time it is: an earlier record may have been wrong.
                let confirmed_at = age::trusted(wall, issued_at).unwrap_or(issued_at);
                let header = Header { epoch, version, sha256: Some(sha256), etag: fit(etag), confirmed_at };
                let kept = Kept { header, keys: self.trust.keys_envelope().to_vec(), document: bytes.to_vec() };
                let keep = kept.encode();
                self.seen = Some(kept);
                self.hold(news, issued_at, Some(now));
                self.refused = None;
                Outcome::Taken { keep, warnings }
            }
            Err(faults) => self.refused(faults),
        }
    }

    fn refused(&mut self, faults: Faults) -> Outcome {
        self.refused = Some(faults.clone());
        Outcome::Refused(faults)
    }

    /// What arrived, and how it compares with what came before.
    fn verified(&self, bytes: &[u8], wall: DateTime<Utc>) -> Result<(Word, Admission), Faults> {
        let word = Word::read(&self.trust.open(bytes, self.clock(wall))?, &self.addressee)?;
        let latest = self.seen.as_ref().map(|seen| {
            let Header { epoch, version, sha256, .. } = seen.header;
            // Without one it is not known to be the same.
            Stamp { epoch, version, sha256: sha256.unwrap_or_default() }
        });
        let admission = admit(&Seen { latest, vouched: self.trust.vouched() }, &word.stamp())?;
        Ok((word, admission))
    }

    /// `None`: it is the one that stands.
    fn judge(&self, bytes: &[u8], wall: DateTime<Utc>) -> Result<Option<Word>, Faults> {
        let (word, admission) = self.verified(bytes, wall)?;
        // Under other signatures it is kept anew, so that it can be verified after a restart.
        let is_kept = self.seen.as_ref().is_some_and(|seen| seen.document == bytes);
        if admission == Admission::Same && self.held.is_some() && is_kept {
            return Ok(None);
        }
        if let Word::Policy(document) = &word
            && let Some(wall) = age::trusted(wall, document.issued_at)
        {
            if wall >= document.expires_at {
                let text = format!("was over at {}, it is {}", document.expires_at, wall.format("%F %T UTC"));
                return Err(Faults::one(Code::Expired, "/expires_at", text));
            }
            if let Some(start) = document.not_before.filter(|start| *start > wall + age::SKEW) {
                let text = format!("begins at {start}, it is {}", wall.format("%F %T UTC"));
                return Err(Faults::one(Code::NotYetValid, "/not_before", text));
            }
        }
        Ok(Some(word))
    }

    /// Makes it fit for this site; with the warnings of both.
    fn compiled(&self, word: Word) -> Result<(News, Warnings), Faults> {
        let Word::Policy(mut document) = word else { return Ok((News::Tombstone, Warnings::default())) };
        let (policy, mut warnings) = compile(&document, &self.ground)?;
        warnings.join(std::mem::take(&mut document.warnings));
        Ok((News::Policy(Box::new((*document, policy))), warnings))
    }

    /// Something that arrived is no document at all, such as a body without end.
    pub fn refuse(&mut self, faults: Faults) {
        self.refused = Some(faults);
    }

    /// The cloud says that the document that stands is still the newest.
    pub fn confirm(&mut self, now: Moment) {
        self.refused = None;
        if let Some(Held::Document { times, .. }) = &mut self.held {
            times.confirmed = Some(now);
        }
    }

    /// The entity tag of the document that stands.
    pub fn etag(&self) -> Option<&str> {
        self.held.as_ref().and(self.seen.as_ref())?.header.etag.as_deref()
    }

    /// How often to ask.
    pub fn refresh(&self) -> Duration {
        match &self.held {
            Some(Held::Document { times, .. }) => times.refresh,
            Some(Held::Tombstone { .. }) | None => self.usual_refresh,
        }
    }

    /// What holds now.
    pub fn look(&self, now: Moment, wall: DateTime<Utc>) -> View {
        let refused = self.refused.as_ref().map(Faults::to_string);
        let floor = self.held.as_ref().map(Held::floor);
        let none = CloudState { floor, refused, ..CloudState::default() };
        let (policy, after, version, times) = match &self.held {
            None => return View { policy: self.local.clone(), state: none, next: None },
            Some(Held::Tombstone { .. }) => {
                let state = CloudState { age: Age::Tombstone, ..none };
                return View { policy: self.local.clone(), state, next: None };
            }
            Some(Held::Document { policy, after, version, times }) => (policy, after, *version, times),
        };
        match times.age(now, wall) {
            (Age::Default, next) => View { policy: after.clone(), state: none, next },
            (age, next) => {
                let state = CloudState { age, version: Some(version), confirmed: times.confirmed, ..none };
                View { policy: policy.clone(), state, next }
            }
        }
    }

    fn hold(&mut self, news: News, floor: DateTime<Utc>, confirmed: Option<Moment>) {
        self.held = Some(match news {
            News::Tombstone => Held::Tombstone { floor },
            News::Policy(fit) => {
                let (document, policy) = *fit;
                let times = Times {
                    floor,
                    expires_at: document.expires_at,
                    grace: seconds(document.grace_s),
                    refresh: document.refresh_s.map_or(self.usual_refresh, seconds),
                    confirmed,
                };
                let after = after_grace(&document, &policy, &self.local);
                let after = after.unwrap_or_else(|| self.local.clone());
                Held::Document { policy: Arc::new(policy), after, version: document.version, times }
            }
        });
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

fn fit(etag: Option<String>) -> Option<String> {
    etag.filter(|etag| etag.len() <= MOST_ETAG)
}

#[cfg(test)]
#[path = "signed_tests.rs"]
mod signed_tests;

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
