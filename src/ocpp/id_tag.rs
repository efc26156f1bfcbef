//! What does a charger read about an idTag, and what do people read of it? Five words for the policy's ten, an end and
//! a parent; four characters in the log.

use crate::policy::{MOST_ID_TAG, Policy, Verdict, normalise};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// So many characters of a card's number stand in the log: enough to tell a household's cards apart.
const SHOWN: usize = 4;

/// `AuthorizationStatus` (OCPP 1.6 ed. 2, 7.2) has five words. `Blocked` is for an identifier that is known and must not
/// charge: here, now, at this kind of EVSE or without credit are reasons that it has no words for. `Invalid` is for one
/// that is not known.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "Accepted",
        Verdict::Expired => "Expired",
        Verdict::ConcurrentTx => "ConcurrentTx",
        Verdict::Blocked
        | Verdict::NoCredit
        | Verdict::NotAllowedTypeEvse
        | Verdict::NotAtThisLocation
        | Verdict::NotAtThisTime => "Blocked",
        Verdict::Invalid | Verdict::Unknown => "Invalid",
    }
}

/// What Authorize is answered with, where the policy says this of each connector. It names no connector: the best answer
/// of all is given, and StartTransaction decides. `ConcurrentTx` is a word for StartTransaction only (7.2): whoever
/// charges already may be about to stop.
pub fn authorized(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    match verdicts.min_by_key(|verdict| refusal(*verdict)) {
        Some(Verdict::ConcurrentTx) => Verdict::Accepted,
        Some(best) => best,
        None => Verdict::Unknown,
    }
}

/// How far from a yes.
fn refusal(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Accepted => 0,
        Verdict::ConcurrentTx => 1,
        Verdict::Expired => 2,
        Verdict::NoCredit => 3,
        Verdict::NotAtThisTime => 4,
        Verdict::Blocked => 5,
        Verdict::NotAllowedTypeEvse => 6,
        Verdict::NotAtThisLocation => 7,
        Verdict::Invalid => 8,
        Verdict::Unknown => 9,
    }
}

/// `IdTagInfo` (OCPP 1.6 ed. 2, 6.27) of an answer. The end of an accepted one goes into the charger's cache.
pub fn answer(policy: &Policy, token: Option<&str>, verdict: Verdict) -> Value {
    let known = token.and_then(|text| policy.token(text));
    let ends = known.filter(|_| verdict == Verdict::Accepted).and_then(|token| policy.ends(token));
    json!({"idTagInfo": facts(word(verdict), ends, known.and_then(|token| token.group.as_deref()))})
}

/// The fields of `IdTagInfo`. A parent that is too long for OCPP 1.6 is left out: cut short, two groups could be one.
pub fn facts(word: &str, ends: Option<DateTime<Utc>>, group: Option<&str>) -> Value {
    let mut facts = json!({"status": word});
    if let Some(ends) = ends {
        facts["expiryDate"] = json!(ends.to_rfc3339_opts(SecondsFormat::Secs, true));
    }
    if let Some(group) = group.filter(|group| group.chars().count() <= MOST_ID_TAG) {
        facts["parentIdTag"] = json!(group);
    }
    facts
}

/// A card for people: its last characters.
pub fn masked(token: &str) -> String {
    let token = normalise(token);
    let hidden = token.chars().count().saturating_sub(SHOWN);
    if hidden == 0 {
        "…".into()
    } else {
        token.chars().skip(hidden).fold("…".into(), |text, c| text + c.encode_utf8(&mut [0; 4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Token;

    #[test]
    fn each_word_of_the_policy_has_one_of_ocpp_1_6_and_only_a_yes_is_accepted() {
        const WORDS: [&str; 5] = ["Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"];
        for (name, verdict) in Verdict::all().map(|verdict| (verdict.word(), verdict)) {
            assert!(WORDS.contains(&word(verdict)));
            assert_eq!(word(verdict) == "Accepted", verdict == Verdict::Accepted, "{name}");
            assert!(!WORDS.contains(&name) || word(verdict) == name, "{name} keeps its name");
        }
        assert_eq!(word(Verdict::Unknown), "Invalid");
        assert_eq!([Verdict::NoCredit, Verdict::NotAtThisTime].map(word), ["Blocked"; 2]);
    }

    #[test]
    fn authorize_is_answered_as_the_best_connector_would_be() {
        let said = |verdicts: &[Verdict]| authorized(verdicts.iter().copied());
        assert_eq!(said(&[Verdict::NotAtThisLocation, Verdict::Accepted]), Verdict::Accepted);
        assert_eq!(said(&[Verdict::NotAtThisLocation, Verdict::Expired]), Verdict::Expired);
        assert_eq!(said(&[]), Verdict::Unknown);
        assert_eq!(said(&[Verdict::ConcurrentTx]), Verdict::Accepted, "who charges already may be about to stop");
    }

    #[test]
    fn the_end_and_the_group_are_told_as_ocpp_writes_them() {
        let mut policy = Policy::open(1);
        let ends = "2026-05-01T00:00:00Z".parse().ok();
        let token = Token { valid_until: ends, group: Some("fam1".into()), ..Token::of(0) };
        policy.tokens.insert("04A2".into(), token);
        let accepted = answer(&policy, Some("04:a2"), Verdict::Accepted);
        let wanted = json!({"status": "Accepted", "expiryDate": "2026-05-01T00:00:00Z", "parentIdTag": "fam1"});
        assert_eq!(accepted["idTagInfo"], wanted);
        let blocked = json!({"idTagInfo": {"status": "Blocked", "parentIdTag": "fam1"}});
        assert_eq!(answer(&policy, Some("04A2"), Verdict::Blocked), blocked);
        assert_eq!(answer(&policy, None, Verdict::Unknown), json!({"idTagInfo": {"status": "Invalid"}}));
        assert_eq!(facts("Accepted", None, Some("a group of a long name")), json!({"status": "Accepted"}));
    }

    #[test]
    fn people_see_the_last_four_characters_of_a_card() {
        assert_eq!(["04:a2:b3:c4:d5:e6:80", "04A2B", "04A2", ""].map(masked), ["…E680", "…4A2B", "…", "…"]);
    }
}
