//! Whom does a charger know while it cannot ask us? The policy as OCPP 1.6's Local Authorization List: those who may
//! charge at one of its connectors, and those who must not.
//!
//! Only what lasts is written: a schedule, a quota or a second session are judged when we are asked.

use super::id_tag;
use crate::policy::{MOST_ID_TAG, Policy, Token, Verdict, is_central};
use crate::site::EvseId;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::sync::Arc;

/// Entries in one message at most, whatever the charger says: some 13 kB, where chargers keep a few dozen.
const CALL_MOST: usize = 100;

/// Where a charger does not say what fits: a household's cards.
const GUESS: usize = 20;

/// Below the versions that a list has: the parts that come before the last one are counted down from it. More parts than
/// a policy has tokens there never are.
const PARTS_MOST: u64 = 10_000;

/// `listVersion` is an integer, which chargers keep in 32 bits.
const VERSION_END: u64 = i32::MAX as u64;

/// What a charger has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Entries in all (`LocalAuthListMaxLength`).
    pub whole: usize,
    /// Entries in one message (`SendLocalListMaxLength`); at least 1.
    pub call: usize,
}

impl Room {
    /// What the charger says of itself.
    pub fn new(whole: Option<usize>, call: Option<usize>) -> Self {
        Room { whole: whole.unwrap_or(GUESS), call: call.unwrap_or(GUESS).clamp(1, CALL_MOST) }
    }
}

/// The list for one charger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    entries: Vec<Entry>,
    call: usize,
    /// Changes with what is on it; positive.
    pub version: i64,
    /// So many are not on it: there is no room.
    pub left_out: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    uid: String,
    word: &'static str,
    ends: Option<DateTime<Utc>>,
    group: Option<Arc<str>>,
}

impl List {
    /// Who is known at these EVSEs at `date` (`None` while it is not known): those of high priority first, as far as
    /// there is room. Where strangers may charge, those who must not come first: left out, they were strangers.
    pub fn new(policy: &Policy, evses: &[EvseId], date: Option<DateTime<Utc>>, room: Room) -> List {
        let lets_strangers = policy.unknown_offline().is_some();
        let mut found: Vec<_> = policy
            .tokens
            .iter()
            .filter(|(uid, _)| !is_central(uid) && uid.chars().count() <= MOST_ID_TAG)
            .filter_map(|(uid, token)| {
                let verdict = verdict(policy, token, evses, date);
                let is_yes = verdict == Verdict::Accepted && token.is_offline;
                let is_needed = is_yes || is_refused_everywhere(verdict) || lets_strangers;
                let last = if lets_strangers { is_yes } else { !is_yes };
                let first =
                    Reverse(policy.principals.get(token.principal).map(|holder| priority(policy, holder.class)));
                is_needed.then(|| (last, first, entry(policy, uid, token, if is_yes { verdict } else { no(verdict) })))
            })
            .collect();
        found.sort_by(|one, other| (one.0, one.1, &one.2.uid).cmp(&(other.0, other.1, &other.2.uid)));
        let left_out = found.len().saturating_sub(room.whole);
        let entries: Vec<Entry> = found.into_iter().map(|(_, _, entry)| entry).take(room.whole).collect();
        let version = version(&entries);
        List { entries, call: room.call, version, left_out }
    }

    /// How many are on it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is nobody on it?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The messages that it takes: at least one, which empties a list too.
    pub fn calls(&self) -> usize {
        self.entries.len().div_ceil(self.call).max(1)
    }

    /// The version after that part, where the last one makes it `last`.
    pub fn version_of(&self, part: usize, last: i64) -> i64 {
        last - (self.calls().saturating_sub(part + 1)) as i64
    }

    /// SendLocalList for one part: the first replaces what the charger has, the others add to it.
    pub fn call(&self, part: usize, last: i64) -> Value {
        let entries = self.entries.iter().skip(part * self.call).take(self.call);
        let told = entries.map(|entry| {
            json!({"idTag": entry.uid, "idTagInfo": id_tag::facts(entry.word, entry.ends, entry.group.as_deref())})
        });
        json!({
            "listVersion": self.version_of(part, last),
            "updateType": if part == 0 { "Full" } else { "Differential" },
            "localAuthorizationList": told.collect::<Vec<_>>(),
        })
    }
}

/// Has anybody who might be in a charger's cache as accepted lost that, from one policy to the next?
pub fn has_loser(old: &Policy, new: &Policy, evses: &[EvseId], date: Option<DateTime<Utc>>) -> bool {
    let may = |policy: &Policy, token: Option<&Token>| match token {
        Some(token) => token.is_offline && verdict(policy, token, evses, date) == Verdict::Accepted,
        None => policy.unknown_offline().is_some(),
    };
    old.unknown.is_some() && new.unknown.is_none()
        || old.tokens.iter().any(|(uid, token)| may(old, Some(token)) && !may(new, new.tokens.get(uid)))
}

/// May all whom a charger's own cache would let charge be let? It keeps whoever was accepted last.
pub fn may_cache(policy: &Policy) -> bool {
    (policy.unknown.is_none() || policy.unknown_offline().is_some())
        && policy.tokens.iter().all(|(uid, token)| token.is_offline || is_central(uid))
}

/// What lasts of the policy's answer.
fn verdict(policy: &Policy, token: &Token, evses: &[EvseId], date: Option<DateTime<Utc>>) -> Verdict {
    let holder = policy.principals.get(token.principal);
    let Some((holder, class)) = holder.and_then(|holder| Some((holder, policy.classes.get(holder.class)?))) else {
        return Verdict::Invalid;
    };
    let is_over = matches!((policy.ends(token), date), (Some(ends), Some(date)) if date >= ends);
    let is_here = holder.evses.as_ref().is_none_or(|places| places.iter().any(|place| evses.contains(place)));
    match token.status {
        Verdict::Accepted if is_over => Verdict::Expired,
        Verdict::Accepted if !is_here => Verdict::NotAtThisLocation,
        Verdict::Accepted if !class.new_sessions => Verdict::Blocked,
        status => status,
    }
}

/// A card that was lost has to be told; one that is for another charger is simply not on the list.
fn is_refused_everywhere(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Accepted | Verdict::NotAtThisLocation)
}

/// The word for one that may charge when we are asked, or has a word for transactions only, is that of a card that is
/// blocked.
fn no(verdict: Verdict) -> Verdict {
    if matches!(verdict, Verdict::Accepted | Verdict::ConcurrentTx) { Verdict::Blocked } else { verdict }
}

fn priority(policy: &Policy, class: usize) -> Option<i8> {
    policy.classes.get(class).map(|class| class.priority)
}

fn entry(policy: &Policy, uid: &str, token: &Token, verdict: Verdict) -> Entry {
    let ends = policy.ends(token).filter(|_| verdict == Verdict::Accepted);
    Entry { uid: uid.into(), word: id_tag::word(verdict), ends, group: token.group.clone() }
}

/// FNV-1a of what is written: the same list has the same version after a restart too, with nothing to be kept.
fn version(entries: &[Entry]) -> i64 {
    const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01B3;
    let mut hash = OFFSET;
    let mut take = |text: &str| {
        // No text has the byte that ends it here.
        for byte in text.bytes().chain([0xFF]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    };
    for entry in entries {
        take(&entry.uid);
        take(entry.word);
        take(&entry.ends.map(|ends| ends.timestamp().to_string()).unwrap_or_default());
        take(entry.group.as_deref().unwrap_or_default());
    }
    (PARTS_MOST + hash % (VERSION_END - PARTS_MOST)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Class, Principal};

    const HERE: [EvseId; 2] = [EvseId(0), EvseId(1)];
    const ROOM: Room = Room { whole: 100, call: 50 };

    #[test]
    fn the_list_has_those_who_may_charge_here_and_those_who_must_not() {
        let list = List::new(&policy(), &HERE, date(), ROOM);
        assert_eq!(
            told(&list),
            [
                ("KARI", "Accepted"),
                ("PER", "Accepted"),
                ("BARRED", "Blocked"),
                ("LOST", "Blocked"),
                ("OVER", "Expired")
            ]
        );
        let call = list.call(0, list.version);
        let kari = json!({"status": "Accepted", "expiryDate": "2027-01-01T00:00:00Z", "parentIdTag": "fam1"});
        assert_eq!((&call["updateType"], &call["localAuthorizationList"][0]["idTagInfo"]), (&json!("Full"), &kari));
        assert!(call["listVersion"].as_i64().is_some_and(|version| (1..=i64::from(i32::MAX)).contains(&version)));
    }

    #[test]
    fn a_card_that_shall_ask_first_and_one_for_another_charger_are_not_on_it() {
        let list = List::new(&policy(), &HERE, date(), ROOM);
        assert!(told(&list).iter().all(|(uid, _)| !["ASKS", "ELSEWHERE"].contains(uid)));
        let there = List::new(&policy(), &[EvseId(2)], date(), ROOM);
        assert!(told(&there).contains(&("ELSEWHERE", "Accepted")));
    }

    #[test]
    fn where_strangers_may_charge_everybody_who_may_not_is_on_it_and_comes_first() {
        let mut policy = policy();
        policy.rules.unknown_offline = Some(Some(0));
        let list = List::new(&policy, &HERE, date(), Room { whole: 5, ..ROOM });
        assert_eq!(list.left_out, 2);
        let mut refused: Vec<_> = told(&list).into_iter().map(|(uid, _)| uid).collect();
        refused.sort_unstable();
        assert_eq!(refused, ["ASKS", "BARRED", "ELSEWHERE", "LOST", "OVER"]);
        assert!(told(&list).iter().all(|(_, word)| *word != "Accepted"));
    }

    #[test]
    fn where_not_all_fit_those_of_higher_priority_are_kept() {
        let list = List::new(&policy(), &HERE, date(), Room { whole: 1, call: 1 });
        assert_eq!((told(&list), list.left_out), (vec![("KARI", "Accepted")], 4));
        let none = List::new(&policy(), &HERE, date(), Room { whole: 0, call: 1 });
        assert_eq!((none.calls(), none.call(0, 7)["localAuthorizationList"].clone()), (1, json!([])));
    }

    #[test]
    fn a_long_list_is_sent_in_parts_whose_versions_rise_to_its_own() {
        let list = List::new(&policy(), &HERE, date(), Room { whole: 100, call: 2 });
        let calls: Vec<Value> = (0..list.calls()).map(|part| list.call(part, list.version)).collect();
        let types: Vec<_> = calls.iter().map(|call| call["updateType"].as_str().unwrap()).collect();
        assert_eq!(types, ["Full", "Differential", "Differential"]);
        let versions: Vec<_> = calls.iter().map(|call| call["listVersion"].as_i64().unwrap()).collect();
        assert_eq!(versions, [list.version - 2, list.version - 1, list.version]);
        let entries = calls.iter().flat_map(|call| call["localAuthorizationList"].as_array().unwrap());
        assert_eq!(entries.count(), list.len());
    }

    #[test]
    fn the_version_changes_with_what_is_on_it_and_with_nothing_else() {
        let version = |policy: &Policy| List::new(policy, &HERE, date(), ROOM).version;
        let first = policy();
        let mut other = policy();
        other.publish_alias = !other.publish_alias;
        other.principals[0].alias = Some("Kari".into());
        assert_eq!(version(&first), version(&other));
        for change in [
            |token: &mut Token| token.status = Verdict::Blocked,
            |token: &mut Token| token.valid_until = Some("2026-06-01T00:00:00Z".parse().unwrap()),
            |token: &mut Token| token.group = None,
            |token: &mut Token| token.is_offline = false,
        ] {
            let mut other = policy();
            change(other.tokens.get_mut("KARI").unwrap());
            assert_ne!(version(&first), version(&other));
        }
    }

    #[test]
    fn starts_from_afar_and_cards_too_long_for_ocpp_are_on_no_list() {
        let mut policy = policy();
        policy.rules.remote_start = vec![0, 1];
        policy.add_central_tokens();
        policy.rules.unknown_offline = Some(Some(0));
        policy.tokens.insert("X".repeat(21), Token::of(0));
        let list = List::new(&policy, &HERE, date(), ROOM);
        assert!(told(&list).iter().all(|(uid, _)| uid.len() <= 20 && !is_central(uid)));
    }

    #[test]
    fn a_cache_is_out_of_date_once_somebody_in_it_may_charge_no_more() {
        let (old, mut new) = (policy(), policy());
        new.tokens.insert("NEW".into(), Token::of(0));
        assert!(!has_loser(&old, &new, &HERE, date()), "a newcomer takes nothing from anybody");
        assert!(has_loser(&new, &old, &HERE, date()), "one who is gone is a stranger, and those are refused");
        new.tokens.get_mut("KARI").unwrap().status = Verdict::Blocked;
        assert!(has_loser(&old, &new, &HERE, date()));
    }

    #[test]
    fn a_cache_would_let_cards_charge_that_shall_ask_first_and_strangers_that_may_only_while_we_are_there() {
        let mut policy = policy();
        assert!(!may_cache(&policy), "one card shall ask first");
        policy.tokens.remove("ASKS");
        policy.rules.remote_start = vec![0, 1];
        policy.add_central_tokens();
        assert!(may_cache(&policy));
        (policy.unknown, policy.rules.unknown_offline) = (Some(0), Some(None));
        assert!(!may_cache(&policy));
        policy.rules.unknown_offline = Some(Some(0));
        assert!(may_cache(&policy));
    }

    fn date() -> Option<DateTime<Utc>> {
        "2026-03-01T12:00:00Z".parse().ok()
    }

    fn told(list: &List) -> Vec<(&str, &str)> {
        list.entries.iter().map(|entry| (entry.uid.as_str(), entry.word)).collect()
    }

    /// Kari comes before Per; a class that begins nothing; a card that is lost, one that is over, one that shall ask
    /// first, one for another charger. Strangers are refused.
    fn policy() -> Policy {
        let class = |id: &str, priority, new_sessions| Class {
            id: id.into(),
            priority,
            weight: 1,
            ceiling: None,
            new_sessions,
        };
        let principal = |class, evses: Option<Vec<EvseId>>| Principal {
            id: format!("p{class}"),
            alias: None,
            class,
            evses,
            valid_until: None,
        };
        let at = |text: &str| text.parse::<DateTime<Utc>>().ok();
        let kari = Token { valid_until: at("2027-01-01T00:00:00Z"), group: Some("fam1".into()), ..Token::of(0) };
        let tokens = [
            ("KARI", kari),
            ("PER", Token::of(1)),
            ("BARRED", Token::of(2)),
            ("LOST", Token { status: Verdict::Blocked, ..Token::of(1) }),
            ("OVER", Token { valid_until: at("2026-01-01T00:00:00Z"), ..Token::of(1) }),
            ("ASKS", Token { is_offline: false, ..Token::of(0) }),
            ("ELSEWHERE", Token::of(3)),
        ];
        Policy {
            classes: vec![class("high", 6, true), class("low", -3, true), class("barred", 0, false)],
            principals: vec![
                principal(0, None),
                principal(1, Some(vec![EvseId(1)])),
                principal(2, None),
                Principal { class: 1, ..principal(3, Some(vec![EvseId(2)])) },
            ],
            tokens: tokens.map(|(uid, token)| (uid.to_owned(), token)).into(),
            unknown: None,
            ..Policy::open(3)
        }
    }
}
