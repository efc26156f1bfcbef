//! Is it newer than what was seen? Versions only go up, and an epoch only with the word of a root key.

use crate::fault::{Code, Fault};

/// Which document it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// `version` starts anew with each.
    pub epoch: u64,
    /// Counts up with every change.
    pub version: u64,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// What is remembered of earlier documents; over restarts too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// The highest that was ever taken.
    pub latest: Option<Stamp>,
    /// The epoch of the keys that are held (see [`crate::Trust::vouched`]); `None`: documents are unsigned, and nobody
    /// vouches for epochs.
    pub vouched: Option<u64>,
}

/// How a document compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is newer.
    New,
    /// It is the latest, byte for byte.
    Same,
}

/// Compares a document with those before.
///
/// A version may start anew in a higher epoch, so that versions that were used up (by whoever had stolen a key, say)
/// do not lock a gateway for good; only a keys document of that epoch or a later one opens it, and only a root key
/// makes one.
///
/// # Errors
/// [`Code::Rollback`], [`Code::Equivocation`] or [`Code::EpochUnproven`].
pub fn admit(seen: &Seen, document: &Stamp) -> Result<Admission, Fault> {
    let Stamp { epoch, version, sha256 } = *document;
    let latest = seen.latest;
    if let Some(latest) = latest.filter(|latest| (epoch, version) < (latest.epoch, latest.version)) {
        let (place, number, before) = match epoch < latest.epoch {
            true => ("epoch", epoch, latest.epoch),
            false => ("version", version, latest.version),
        };
        let text = format!("{place} {number} after {before} was seen: an older policy does not come back");
        return Err(Fault::new(Code::Rollback, format!("/{place}"), text));
    }
    if latest.is_some_and(|latest| (epoch, version) == (latest.epoch, latest.version)) {
        if latest.is_some_and(|latest| latest.sha256 == sha256) {
            return Ok(Admission::Same);
        }
        let text = format!("version {version} was seen with other content: count up with every change");
        return Err(Fault::new(Code::Equivocation, "/version", text));
    }
    let is_new_epoch = latest.is_none_or(|latest| epoch > latest.epoch);
    if let Some(vouched) = seen.vouched.filter(|vouched| is_new_epoch && epoch > *vouched) {
        let text =
            format!("epoch {epoch}, but the keys document is of epoch {vouched}: a root key has to open a new one");
        return Err(Fault::new(Code::EpochUnproven, "/epoch", text));
    }
    Ok(Admission::New)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(epoch: u64, version: u64, content: u8) -> Stamp {
        Stamp { epoch, version, sha256: [content; 32] }
    }

    fn judged(latest: (u64, u64), vouched: Option<u64>, document: Stamp) -> Result<Admission, Code> {
        let seen = Seen { latest: Some(stamp(latest.0, latest.1, 1)), vouched };
        admit(&seen, &document).map_err(|fault| fault.code)
    }

    #[test]
    fn versions_only_go_up() {
        assert_eq!(judged((3, 10), None, stamp(3, 11, 2)), Ok(Admission::New));
        assert_eq!(judged((3, 10), None, stamp(3, 10, 1)), Ok(Admission::Same));
        assert_eq!(judged((3, 10), None, stamp(3, 10, 2)), Err(Code::Equivocation));
        assert_eq!(judged((3, 10), None, stamp(3, 9, 1)), Err(Code::Rollback));
        assert_eq!(judged((3, 10), None, stamp(2, 99, 1)), Err(Code::Rollback));
        assert_eq!(judged((3, 10), None, stamp(4, 0, 2)), Ok(Admission::New));
    }

    #[test]
    fn a_new_epoch_needs_keys_of_it_where_documents_are_signed() {
        assert_eq!(judged((3, 10), Some(3), stamp(4, 0, 2)), Err(Code::EpochUnproven));
        assert_eq!(judged((3, 10), Some(4), stamp(4, 0, 2)), Ok(Admission::New));
        assert_eq!(judged((3, 10), Some(5), stamp(4, 0, 2)), Ok(Admission::New));
        // What is in force already needs no new word.
        assert_eq!(judged((3, 10), Some(2), stamp(3, 11, 2)), Ok(Admission::New));
        let first = |vouched| admit(&Seen { latest: None, vouched }, &stamp(7, 1, 1)).map_err(|fault| fault.code);
        assert_eq!(first(Some(6)), Err(Code::EpochUnproven));
        assert_eq!((first(Some(7)), first(None)), (Ok(Admission::New), Ok(Admission::New)));
    }

    proptest! {
        #[test]
        fn whatever_is_offered_in_whatever_order_nothing_older_is_taken(
            offered in prop::collection::vec((0..4u64, 0..6u64, 0..2u8), 1..40),
            vouched in prop::option::of(0..4u64),
        ) {
            let mut seen = Seen { latest: None, vouched };
            for (epoch, version, content) in offered {
                let document = stamp(epoch, version, content);
                let before = seen.latest;
                match admit(&seen, &document) {
                    Ok(Admission::New) => {
                        prop_assert!(before.is_none_or(|b| (b.epoch, b.version) < (epoch, version)));
                        prop_assert!(vouched.is_none_or(|vouched| epoch <= vouched));
                        seen.latest = Some(document);
                    }
                    Ok(Admission::Same) => prop_assert_eq!(before, Some(document)),
                    Err(fault) => prop_assert!(fault.code.is_security()),
                }
            }
        }
    }
}
