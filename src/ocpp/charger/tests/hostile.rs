//! Whatever comes over the wire, the machine goes on.

use super::*;
use proptest::prelude::*;

fn odd_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        Just(json!("1e308")),
        Just(json!("+262143-12-31T23:59:59Z")),
        Just(json!("0001-01-01T00:00:00Z")),
    ];
    let key = prop_oneof![
        Just("connectorId"),
        Just("transactionId"),
        Just("idTag"),
        Just("meterStart"),
        Just("timestamp"),
        Just("status"),
        Just("meterValue"),
        Just("sampledValue"),
        Just("value"),
        Just("phase"),
        Just("measurand"),
        Just("unit"),
        Just("configurationKey"),
        Just("key"),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn odd_frame() -> impl Strategy<Value = String> {
    let action = prop_oneof![
        Just("BootNotification"),
        Just("StatusNotification"),
        Just("StartTransaction"),
        Just("StopTransaction"),
        Just("MeterValues"),
        Just("Authorize"),
        Just("Heartbeat"),
        Just("DataTransfer"),
        Just("Nonsense"),
    ];
    prop_oneof![
        ".{0,60}",
        odd_json().prop_map(|value| value.to_string()),
        prop::collection::vec(odd_json(), 0..6).prop_map(|parts| Value::from(parts).to_string()),
        (action, odd_json()).prop_map(|(action, payload)| json!([2, "c", action, payload]).to_string()),
        (0u8..40, odd_json()).prop_map(|(call, payload)| {
            json!([3, format!("{:x}-{call:x}", OPEN.parse::<DateTime<Utc>>().unwrap().timestamp()), payload])
                .to_string()
        }),
    ]
}

#[test]
fn what_a_charger_refused_when_it_was_hardly_awake_is_tried_once_more() {
    let mut bench = Bench::new();
    bench.connect();
    let mut calls = bench.say("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"}));
    calls.extend(bench.wait(3));
    // It answers all with an error for a while, and then knows what it is.
    let mut asked = Vec::new();
    for _ in 0..20 {
        while let Some(call) = calls.pop() {
            if call[0] == 2 {
                asked.push((bench.millis / 1000, call[2].clone()));
                let answer = match bench.millis > 9_000 {
                    true => json!([3, call[1], {"status": "Accepted"}]),
                    false => json!([4, call[1], "NotImplemented", "", {}]),
                };
                calls.extend(bench.raw(&answer.to_string()));
            }
        }
        calls.extend(bench.wait(3));
    }
    let when = |action: &str| asked.iter().filter(|call| call.1 == action).map(|call| call.0).collect::<Vec<u64>>();
    assert_eq!(when("GetConfiguration").len(), 2, "{asked:?}");
    let fallbacks = when("SetChargingProfile");
    assert_eq!(fallbacks.len(), 4, "two connectors, twice: {asked:?}");
    assert!(fallbacks[2] >= fallbacks[1] + 10, "{fallbacks:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_charger_says_it_is_answered_afterwards(
        frames in prop::collection::vec((odd_frame(), 0u64..40), 1..30),
    ) {
        let mut bench = Bench::new();
        bench.connect();
        for (number, (text, seconds)) in frames.into_iter().enumerate() {
            bench.raw(&text);
            bench.order(number as u64, 7_000);
            bench.wait(seconds);
            if bench.is_closed {
                bench.is_closed = false;
                bench.disconnect();
                bench.connect();
            }
        }
        let is_answered = bench.ask("Heartbeat", json!({}))["currentTime"].is_string();
        prop_assert!(is_answered);
        prop_assert!(bench.book.open.len() <= 2);
        bench.order(1000, 16_000);
        let mut calls = bench.wait(70);
        calls.retain(|call| call[2] == "SetChargingProfile");
        let answered = bench.reports[0].answer.is_some_and(|answer| answer.number == 1000);
        prop_assert!(answered || calls.iter().any(|call| limits(call)[0] == (0, 16.0)) || bench.is_closed);
    }
}
