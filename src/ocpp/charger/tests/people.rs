//! What a charger is told of people, and what somebody wants from afar.

use super::*;
use crate::ocpp::Command;
use crate::policy::{Token, Verdict};
use std::sync::Arc;

/// Keys of a charger with a list of its own.
fn keys() -> Value {
    let key = |key: &str, value: &str| json!({"key": key, "readonly": false, "value": value});
    json!({"configurationKey": [
        key("SupportedFeatureProfiles", "Core, LocalAuthListManagement,SmartCharging"),
        key("LocalAuthListEnabled", "false"), key("LocalAuthListMaxLength", "3"), key("SendLocalListMaxLength", "2"),
        key("LocalAuthorizeOffline", "true"), key("LocalPreAuthorize", "true"),
        key("AllowOfflineTxForUnknownId", "false"), key("AuthorizationCacheEnabled", "true"),
        {"key": "StopTransactionOnInvalidId", "readonly": true, "value": "true"}]})
}

/// These cards may charge; nobody else may.
fn cards(cards: &[&str]) -> Arc<Policy> {
    let tokens = cards.iter().map(|card| ((*card).to_owned(), Token::of(0))).collect();
    let principal = crate::policy::Principal { id: "p".into(), alias: None, class: 0, evses: None, valid_until: None };
    let nobody = Policy { unknown: None, ..Policy::open(2) };
    Arc::new(Policy { tokens, principals: vec![principal], ..nobody })
}

impl Bench {
    fn govern(&mut self, policy: Arc<Policy>) -> Vec<Value> {
        let now = self.now();
        self.charger.govern(policy, now);
        self.sent()
    }

    /// Answers calls until there are none: keys as given, `version` for the list's, yes to all else.
    fn teach(&mut self, mut calls: Vec<Value>, keys: &Value, version: i64) -> Vec<Value> {
        let mut next = 0;
        while let Some(call) = calls.get(next).cloned() {
            next += 1;
            let answer = match call[2].as_str() {
                Some("GetConfiguration") => keys.clone(),
                Some("GetLocalListVersion") => json!({"listVersion": version}),
                _ => yes(),
            };
            calls.extend(self.reply(&call, answer));
        }
        calls
    }

    fn command(&mut self, command: Command) -> Vec<Value> {
        let now = self.now();
        self.charger.command(command, now);
        self.sent()
    }
}

fn lists(calls: &[Value]) -> Vec<Vec<&str>> {
    let entries = |call: &'_ Value| call[3]["localAuthorizationList"].as_array().cloned().unwrap_or_default();
    let of = |call| entries(call).iter().map(|entry| entry["idTag"].as_str().map(str::to_owned)).collect::<Vec<_>>();
    let known = ["A", "B", "C", "D", "E"];
    let name = |tag: Option<String>| known.into_iter().find(|name| tag.as_deref() == Some(name)).unwrap_or("?");
    calls
        .iter()
        .filter(|call| call[2] == "SendLocalList")
        .map(|call| of(call).into_iter().map(name).collect())
        .collect()
}

#[test]
fn a_charger_with_a_list_is_set_and_told_who_may_charge() {
    let mut bench = Bench::ready();
    let calls = bench.govern(cards(&["A", "B"]));
    let calls = bench.teach(calls, &keys(), 0);
    assert_eq!(actions(&calls)[..2], ["GetConfiguration"; 2]);
    let set: Vec<_> = calls.iter().filter(|call| call[2] == "ChangeConfiguration").map(|call| &call[3]).collect();
    assert_eq!(
        set,
        [
            &json!({"key": "LocalAuthListEnabled", "value": "true"}),
            &json!({"key": "LocalPreAuthorize", "value": "false"}),
            &json!({"key": "AuthorizationCacheEnabled", "value": "false"})
        ]
    );
    assert_eq!(actions(&calls)[5..], ["GetLocalListVersion", "SendLocalList"]);
    assert_eq!(lists(&calls), [["A", "B"]]);
    assert_eq!(bench.wait(60), Vec::<Value>::new());
}

#[test]
fn what_the_charger_has_already_is_not_sent_again() {
    let mut bench = Bench::ready();
    let calls = bench.govern(cards(&["A", "B"]));
    let calls = bench.teach(calls, &keys(), 0);
    let version = calls.last().unwrap()[3]["listVersion"].as_i64().unwrap();
    bench.disconnect();
    let mut calls = bench.connect();
    calls.extend(bench.wait(2));
    let calls = bench.teach(calls, &keys(), version);
    assert_eq!((actions(&calls).contains(&"GetLocalListVersion"), lists(&calls).len()), (true, 0));
    let calls = bench.govern(cards(&["B", "A"]));
    assert_eq!(bench.teach(calls, &keys(), version), Vec::<Value>::new(), "another policy, the same people");
}

#[test]
fn another_policy_is_another_list_and_not_sooner_than_after_ten_seconds() {
    let mut bench = Bench::ready();
    let calls = bench.govern(cards(&["A"]));
    bench.teach(calls, &keys(), 0);
    for policy in [cards(&["A", "B"]), cards(&["A", "C"])] {
        assert_eq!(bench.govern(policy), Vec::<Value>::new());
    }
    assert_eq!(bench.wait(9), Vec::<Value>::new());
    let calls = bench.wait(1);
    let calls = bench.teach(calls, &keys(), 0);
    assert_eq!(lists(&calls), [["A", "C"]], "the newest one only");
}

#[test]
fn a_list_longer_than_one_message_is_sent_in_parts_and_ends_where_the_charger_is_full() {
    let mut bench = Bench::ready();
    let calls = bench.govern(cards(&["A", "B", "C", "D"]));
    let calls = bench.teach(calls, &keys(), 0);
    assert_eq!(lists(&calls), [vec!["A", "B"], vec!["C"]]);
    let types: Vec<_> = calls.iter().filter_map(|call| call[3]["updateType"].as_str()).collect();
    assert_eq!(types, ["Full", "Differential"]);
}

#[test]
fn an_order_goes_before_the_list() {
    let mut bench = Bench::ready();
    let calls = bench.govern(cards(&["A"]));
    assert_eq!(actions(&calls), ["GetConfiguration"]);
    assert_eq!(bench.order(1, 0), Vec::<Value>::new(), "one call is open at a time");
    let next = bench.reply(&calls[0], keys());
    assert_eq!(actions(&next), ["SetChargingProfile"]);
    let next = bench.reply(&next[0], yes());
    assert_eq!(actions(&next), ["GetConfiguration"]);
}

#[test]
fn a_charger_without_the_profile_has_no_list_and_one_that_says_so_itself_neither() {
    let mut bench = Bench::ready();
    let calls = bench.govern(cards(&["A"]));
    let calls = bench.teach(calls, &json!({"configurationKey": []}), 0);
    assert_eq!(actions(&calls), ["GetConfiguration"; 2]);

    let mut bench = Bench::ready();
    let calls = bench.govern(cards(&["A"]));
    let calls = bench.teach(calls, &keys(), -1);
    assert!(actions(&calls).contains(&"GetLocalListVersion") && lists(&calls).is_empty());
    assert_eq!(bench.wait(60), Vec::<Value>::new());
}

#[test]
fn a_list_that_is_refused_is_tried_a_few_times_with_pauses() {
    for (status, most) in [("Failed", 3), ("VersionMismatch", 3), ("NotSupported", 1), ("", 3)] {
        let mut bench = Bench::ready();
        let mut calls = bench.govern(cards(&["A"]));
        let (mut sent, mut versions) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            let Some(call) = calls.pop() else {
                calls = bench.wait(1);
                continue;
            };
            calls.extend(match call[2].as_str().unwrap() {
                "GetConfiguration" => bench.reply(&call, keys()),
                "GetLocalListVersion" => bench.reply(&call, json!({"listVersion": 5})),
                "SendLocalList" => {
                    sent.push(bench.millis);
                    versions.push(call[3]["listVersion"].as_i64().unwrap());
                    bench.reply(&call, json!({"status": status}))
                }
                _ => bench.reply(&call, yes()),
            });
        }
        assert_eq!(sent.len(), most, "{status}");
        assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= 10_000), "{status} {sent:?}");
        let is_rising = versions.windows(2).all(|pair| pair[1] > pair[0]);
        assert_eq!(is_rising && most > 1, status == "VersionMismatch", "{versions:?}");
    }
}

#[test]
fn a_list_that_was_given_up_waits_for_other_people_and_not_for_another_hour() {
    let mut bench = Bench::ready();
    let mut refused = 0;
    let mut settle = |bench: &mut Bench, mut calls: Vec<Value>| {
        for _ in 0..60 {
            let Some(call) = calls.pop() else {
                calls = bench.wait(1);
                continue;
            };
            let answer = match call[2].as_str().unwrap() {
                "GetConfiguration" => keys(),
                "GetLocalListVersion" => json!({"listVersion": 1}),
                "SendLocalList" => json!({"status": "Failed"}),
                _ => yes(),
            };
            refused += usize::from(call[2] == "SendLocalList");
            calls.extend(bench.reply(&call, answer));
        }
        std::mem::take(&mut refused)
    };
    let calls = bench.govern(cards(&["A"]));
    assert_eq!(settle(&mut bench, calls), 3);
    let calls = bench.govern(cards(&["A"]));
    assert_eq!(settle(&mut bench, calls), 0);
    let calls = bench.govern(cards(&["A", "B"]));
    assert_eq!(settle(&mut bench, calls), 3);
}

#[test]
fn a_charger_that_takes_no_additions_has_as_many_as_fit_one_message() {
    let mut bench = Bench::ready();
    let mut calls = bench.govern(cards(&["A", "B", "C"]));
    let (mut sent, mut has) = (Vec::new(), 0);
    for _ in 0..100 {
        let Some(call) = calls.pop() else {
            calls = bench.wait(1);
            continue;
        };
        let answer = match (call[2].as_str().unwrap(), call[3]["updateType"].as_str()) {
            ("GetConfiguration", _) => keys(),
            ("GetLocalListVersion", _) => json!({"listVersion": has}),
            (_, Some("Differential")) => json!({"status": "NotSupported"}),
            (_, Some(_)) => {
                has = call[3]["listVersion"].as_i64().unwrap();
                sent.push(call.clone());
                yes()
            }
            (_, None) => yes(),
        };
        calls.extend(bench.reply(&call, answer));
    }
    assert_eq!(lists(&sent), [["A", "B"]; 2], "then the two as a list of their own");
    assert_ne!(sent[0][3]["listVersion"], sent[1][3]["listVersion"]);
}

#[test]
fn without_a_list_the_cache_is_emptied_once_somebody_in_it_may_charge_no_more() {
    let cache = json!({"configurationKey": [{"key": "AuthorizationCacheEnabled", "value": "false"}]});
    let mut bench = Bench::ready();
    let calls = bench.govern(cards(&["A", "B"]));
    let calls = bench.teach(calls, &cache, 0);
    assert_eq!(calls.last().unwrap()[3], json!({"key": "AuthorizationCacheEnabled", "value": "true"}));
    let calls = bench.govern(cards(&["A", "B", "C"]));
    assert_eq!(bench.teach(calls, &cache, 0), Vec::<Value>::new());
    let calls = bench.govern(cards(&["A", "C"]));
    assert_eq!(actions(&bench.teach(calls, &cache, 0)), ["ClearCache"]);
    assert_eq!(bench.wait(60), Vec::<Value>::new());
}

#[test]
fn a_start_from_afar_is_asked_once_and_its_answer_is_told() {
    let mut bench = Bench::ready();
    for (answer, told) in [("Accepted", Told::Accepted), ("Rejected", Told::Rejected)] {
        let calls = bench.command(Command::Start { evse: EvseId(1), token: "headroom:usr_a".into() });
        assert_eq!(calls[0][2], "RemoteStartTransaction");
        assert_eq!(calls[0][3], json!({"connectorId": 2, "idTag": "headroom:usr_a"}));
        assert_eq!(bench.told, None);
        bench.reply(&calls[0], json!({"status": answer}));
        assert_eq!(bench.told.take(), Some(told));
    }
    bench.command(Command::Start { evse: EvseId(0), token: "x".into() });
    bench.wait(30);
    assert_eq!(bench.told.take(), Some(Told::NoAnswer));
    bench.disconnect();
    bench.command(Command::Start { evse: EvseId(0), token: "x".into() });
    assert_eq!(bench.told.take(), Some(Told::NoAnswer), "it is away");
}

#[test]
fn the_token_of_a_start_from_afar_counts_only_where_one_was_asked_for() {
    let mut bench = Bench::ready();
    bench.policy = (*cards(&["A"])).clone();
    bench.policy.evses.iter_mut().for_each(|rule| rule.open = None);
    bench.policy.rules.remote_start = vec![0];
    bench.policy.add_central_tokens();
    let begin =
        |connector: u32| json!({"connectorId": connector, "idTag": "headroom:p", "meterStart": 0, "timestamp": OPEN});
    let word = |answer: &Value| answer["idTagInfo"]["status"].clone();
    let tag = json!({"idTag": "headroom:p"});
    assert_eq!(word(&bench.ask("Authorize", tag.clone())), "Invalid", "anybody can write it on a card");
    assert_eq!(word(&bench.ask("StartTransaction", begin(2))), "Invalid");
    assert_eq!(bench.book.at("right").unwrap().token.as_deref(), Some("?headroom:p"), "and it counts for nobody");
    assert_eq!(bench.strangers, Vec::<String>::new());

    let start = || Command::Start { evse: EvseId(0), token: "headroom:p".into() };
    let calls = bench.command(start());
    bench.reply(&calls[0], json!({"status": "Rejected"}));
    assert_eq!(word(&bench.ask("Authorize", tag.clone())), "Invalid", "the charger has refused");
    let calls = bench.command(start());
    bench.reply(&calls[0], yes());
    assert_eq!(word(&bench.ask("Authorize", tag)), "Accepted");
    assert_eq!(word(&bench.ask("StartTransaction", begin(2))), "Invalid", "another connector");
    let answer = bench.ask("StartTransaction", begin(1));
    assert_eq!(word(&answer), "Accepted");
    bench.millis += 700_000;
    assert_eq!(bench.ask("StartTransaction", begin(1))["transactionId"], answer["transactionId"], "told once more");
    bench.status("Available");
    assert_eq!(word(&bench.ask("StartTransaction", begin(1))), "Invalid", "later it is a card again");
}

#[test]
fn a_stop_from_afar_names_the_transaction_that_runs() {
    let mut bench = Bench::ready();
    assert_eq!(bench.command(Command::Stop { evse: EvseId(0) }), Vec::<Value>::new());
    assert_eq!(bench.told.take(), Some(Told::Rejected), "nothing runs");
    let id = bench.start("A")["transactionId"].clone();
    let calls = bench.command(Command::Stop { evse: EvseId(0) });
    assert_eq!((&calls[0][2], &calls[0][3]), (&json!("RemoteStopTransaction"), &json!({"transactionId": id})));
    bench.disconnect();
    assert_eq!(bench.told.take(), Some(Told::NoAnswer), "it hung up before it answered");
}

#[test]
fn a_card_that_nobody_knows_is_told_of_and_answered_as_usual() {
    let mut bench = Bench::ready();
    bench.policy = (*cards(&["A"])).clone();
    bench.policy.evses.iter_mut().for_each(|rule| rule.open = None);
    bench.policy.tokens.insert("LOST".into(), Token { status: Verdict::Blocked, ..Token::of(0) });
    for (card, answer) in [("A", "Accepted"), ("LOST", "Blocked"), ("headroom:gone", "Invalid")] {
        assert_eq!(bench.ask("Authorize", json!({"idTag": card}))["idTagInfo"]["status"], answer);
        assert_eq!(bench.strangers, Vec::<String>::new(), "{card}");
    }
    assert_eq!(bench.ask("Authorize", json!({"idTag": "04:FF"}))["idTagInfo"]["status"], "Invalid");
    assert_eq!(bench.start("04:EE")["idTagInfo"]["status"], "Invalid");
    assert_eq!(bench.strangers, ["04:FF", "04:EE"]);
}
