//! What holds once the time of grace is over? The configuration's policy, and what the last document wanted for that time.

use crate::policy::{Class, Policy, Principal, Token, Verdict};
use headroom_policy::{AfterGrace, Document, OfflineProfile};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `local`, as the document's `offline_profile` changes it; `None`: it changes nothing. `policy` is what the document was
/// compiled to. Nobody has more weight than others then, and the site's limit is the lower of the two.
pub(super) fn after_grace(document: &Document, policy: &Policy, local: &Policy) -> Option<Arc<Policy>> {
    let OfflineProfile { after_grace, site_limit_percent, unknown } = document.offline?;
    let mut after = local.clone();
    if let Some(percent) = site_limit_percent {
        after.main_limit_percent = after.main_limit_percent.min(percent);
    }
    if after_grace == AfterGrace::OwnerOnly {
        let owners = let_in(&mut after, policy);
        for (rule, theirs) in after.evses.iter_mut().zip(&policy.evses) {
            // Open to everybody only where both would have it so.
            rule.open = rule.open.filter(|_| theirs.open.is_some());
            rule.plug_and_charge = theirs.plug_and_charge.and_then(|principal| owners.get(&principal)).copied();
        }
    }
    if let Some(unknown) = unknown {
        after.unknown = unknown.and_then(|class| policy.classes.get(class)).map(|class| {
            after.classes.push(equal(class));
            after.classes.len() - 1
        });
    }
    Some(Arc::new(after))
}

/// Those in the highest class that anybody is in, with their cards; where each of them is now. A card that the document
/// refuses stays refused, whosever it is.
fn let_in(after: &mut Policy, policy: &Policy) -> BTreeMap<usize, usize> {
    let priority = |principal: &Principal| policy.classes.get(principal.class).map(|class| class.priority);
    let highest = policy.principals.iter().filter_map(priority).max();
    let (mut owners, mut classes) = (BTreeMap::new(), BTreeMap::new());
    for (index, principal) in policy.principals.iter().enumerate() {
        let Some(class) = policy.classes.get(principal.class).filter(|class| Some(class.priority) == highest) else {
            continue;
        };
        let class = *classes.entry(principal.class).or_insert_with(|| {
            after.classes.push(equal(class));
            after.classes.len() - 1
        });
        owners.insert(index, after.principals.len());
        after.principals.push(Principal { class, ..principal.clone() });
    }
    for (uid, token) in &policy.tokens {
        match (after.tokens.get_mut(uid), owners.get(&token.principal)) {
            (Some(ours), _) if token.status != Verdict::Accepted => ours.status = token.status,
            // The cloud that some cards need is silent.
            (None, Some(principal)) if token.is_offline => {
                after.tokens.insert(uid.clone(), Token { principal: *principal, ..token.clone() });
            }
            (Some(_) | None, _) => {}
        }
    }
    owners
}

fn equal(class: &Class) -> Class {
    Class { weight: 1, ..class.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::compile::compile;
    use super::super::fixture::{example, ground, us};
    use super::*;
    use crate::site::EvseId;
    use headroom_policy::parse;
    use serde_json::{Value, json};

    fn after(document: &Value, local: Policy) -> Option<Arc<Policy>> {
        let mut ground = ground();
        ground.local = local;
        let document = parse(document.to_string().as_bytes(), &us()).unwrap();
        let (policy, _) = compile(&document, &ground).unwrap();
        after_grace(&document, &policy, &ground.local)
    }

    fn may(policy: &Policy, evse: usize, token: Option<&str>) -> Verdict {
        policy.entitlement(EvseId(evse), token, None).verdict
    }

    #[test]
    fn owners_alone_keep_their_cards_and_strangers_are_refused_even_where_the_file_is_open() {
        let mut document = example();
        let cloudy = json!({"uid": "04CC", "principal": "usr_a", "status": "Accepted", "offline": false});
        document["tokens"].as_array_mut().unwrap().push(cloudy);
        let after = after(&document, Policy::open(2)).unwrap();
        assert_eq!(after.main_limit_percent, 80);
        assert_eq!(may(&after, 0, Some("04A2B3C4D5E680")), Verdict::Accepted, "the owner's");
        assert_eq!(may(&after, 0, Some("04CC")), Verdict::Unknown, "the owner's, but it needs the cloud");
        assert_eq!(may(&after, 0, Some("04FFEE02")), Verdict::Unknown, "a guest's");
        assert_eq!(may(&after, 0, Some("FFFF")), Verdict::Unknown);
        assert_eq!(may(&after, 0, None), Verdict::Accepted, "plug and charge is the owner's");
        assert_eq!(may(&after, 1, None), Verdict::Accepted, "open in the file and in the document");
        assert_eq!(after.entitlement(EvseId(0), Some("04A2B3C4D5E680"), None).weight, 1);
    }

    #[test]
    fn the_files_own_cards_stay_but_for_those_that_the_document_refuses() {
        let card = |principal| Token::of(principal);
        let mut local = Policy { unknown: None, main_limit_percent: 70, ..Policy::open(2) };
        local.principals = ["one", "two"]
            .map(|id| Principal { id: id.into(), alias: None, class: 0, evses: None, valid_until: None })
            .into();
        local.tokens = [("AA".to_owned(), card(0)), ("04FFEE01".to_owned(), card(1))].into();
        let after = after(&example(), local).unwrap();
        assert_eq!(may(&after, 0, Some("AA")), Verdict::Accepted);
        assert_eq!(may(&after, 0, Some("04FFEE01")), Verdict::Blocked, "lost, says the document");
        assert_eq!(after.main_limit_percent, 70, "the lower of both");
    }

    #[test]
    fn a_class_for_strangers_and_no_word_of_owners_changes_just_that() {
        let mut document = example();
        document["offline_profile"] = json!({"unknown": "guest"});
        let mut closed = Policy { unknown: None, ..Policy::open(2) };
        closed.evses.iter_mut().for_each(|rule| rule.open = None);
        let after = after(&document, closed).unwrap();
        let stranger = after.entitlement(EvseId(0), Some("FFFF"), None);
        assert_eq!((stranger.verdict, &*stranger.class), (Verdict::Accepted, "guest"));
        assert_eq!(may(&after, 0, Some("04A2B3C4D5E680")), Verdict::Accepted, "as any stranger");
    }

    #[test]
    fn a_document_without_a_word_of_it_leaves_the_files_policy_as_it_is() {
        let mut document = example();
        document.as_object_mut().unwrap().remove("offline_profile");
        assert_eq!(after(&document, Policy::open(2)), None);
    }
}
