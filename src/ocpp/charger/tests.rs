//! What a charger sees of us, in simulated time.

use super::*;
use crate::control::observation::Link;
use crate::ocpp::connector::Seat;
use crate::units::Amps;
use serde_json::json;

mod hostile;
mod people;
mod transactions;

/// A charger with connectors 1 (`left`) and 2 (`right`), the policy, the book, the clock.
struct Bench {
    charger: Charger,
    book: Book,
    policy: Policy,
    millis: u64,
    wall_offset: i64,
    reports: Vec<Report>,
    saves: usize,
    pings: usize,
    told: Option<Told>,
    strangers: Vec<String>,
    is_closed: bool,
}

const OPEN: &str = "2026-03-01T12:00:00Z";

impl Bench {
    fn new() -> Self {
        Self::with(Book::default())
    }

    fn with(book: Book) -> Self {
        let seat = |evse, id: &str, connector| Seat {
            evse: EvseId(evse),
            id: id.into(),
            connector,
            wired: 3,
            volts: 230,
            fallback: Amps::whole(6),
        };
        let settings = Settings {
            identity: "HOME-1".into(),
            heartbeat: Duration::from_secs(60),
            meter_interval: Duration::from_secs(10),
            seats: vec![seat(0, "left", 1), seat(1, "right", 2)],
        };
        let wall = OPEN.parse().unwrap();
        let charger = Charger::new(settings, &book, Now { at: Moment::START, wall });
        Bench {
            charger,
            book,
            policy: Policy::open(2),
            millis: 0,
            wall_offset: 0,
            reports: vec![Report::default(); 2],
            saves: 0,
            pings: 0,
            told: None,
            strangers: Vec::new(),
            is_closed: false,
        }
    }

    /// Connected, booted and set up, with nothing open.
    fn ready() -> Self {
        let mut bench = Self::new();
        bench.connect();
        let sent = bench.say("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"}));
        bench.settle(sent);
        bench
    }

    fn now(&self) -> Now {
        let wall: DateTime<Utc> = OPEN.parse().unwrap();
        let span = TimeDelta::milliseconds(self.millis as i64 + self.wall_offset);
        Now { at: Moment::from_millis(self.millis), wall: wall + span }
    }

    fn connect(&mut self) -> Vec<Value> {
        self.charger.connected(self.now());
        self.sent()
    }

    fn disconnect(&mut self) -> Vec<Value> {
        self.charger.disconnected(self.now());
        self.sent()
    }

    fn raw(&mut self, text: &str) -> Vec<Value> {
        let now = self.now();
        self.charger.frame(text, now, &self.policy, &mut self.book);
        self.sent()
    }

    /// A call of the charger's; what we sent, our answer first.
    fn say(&mut self, action: &str, payload: Value) -> Vec<Value> {
        self.raw(&json!([2, "c1", action, payload]).to_string())
    }

    /// Our answer to a call of the charger's.
    fn ask(&mut self, action: &str, payload: Value) -> Value {
        let sent = self.say(action, payload);
        assert_eq!((&sent[0][0], &sent[0][1]), (&json!(3), &json!("c1")), "{sent:?}");
        sent[0][2].clone()
    }

    fn reply(&mut self, call: &Value, payload: Value) -> Vec<Value> {
        self.raw(&json!([3, call[1], payload]).to_string())
    }

    fn order(&mut self, number: u64, amps: i32) -> Vec<Value> {
        self.order_at(0, number, amps)
    }

    fn order_at(&mut self, evse: usize, number: u64, amps: i32) -> Vec<Value> {
        let order = Order {
            evse: EvseId(evse),
            number,
            amps: Amps::milli(amps),
            lease: Duration::from_secs(120),
            fallback: Amps::whole(6),
        };
        self.charger.order(order, self.now());
        self.sent()
    }

    /// Lets time pass, with the timer run whenever it is due.
    fn wait(&mut self, seconds: u64) -> Vec<Value> {
        let end = self.millis + seconds * 1000;
        let mut sent = Vec::new();
        while let Some(deadline) = self.charger.deadline().filter(|at| at.as_millis() <= end) {
            self.millis = self.millis.max(deadline.as_millis());
            self.charger.timer(self.now());
            sent.extend(self.sent());
            if self.is_closed {
                return sent;
            }
        }
        self.millis = end;
        sent
    }

    /// Answers `calls` and whatever is asked after them until nothing is; all of them in order.
    fn settle(&mut self, mut calls: Vec<Value>) -> Vec<Value> {
        calls.extend(self.wait(3));
        let mut next = 0;
        while let Some(call) = calls.get(next).cloned() {
            next += 1;
            if call[0] == 2 {
                calls.extend(self.reply(&call, json!({"status": "Accepted"})));
            }
        }
        calls
    }

    fn start(&mut self, token: &str) -> Value {
        self.ask(
            "StartTransaction",
            json!({"connectorId": 1, "idTag": token, "meterStart": 1000,
            "timestamp": self.now().wall.to_rfc3339()}),
        )
    }

    fn meter(&mut self, transaction: i64, sampled: Value) -> Value {
        let at = self.now().wall.to_rfc3339();
        self.ask(
            "MeterValues",
            json!({"connectorId": 1, "transactionId": transaction,
            "meterValue": [{"timestamp": at, "sampledValue": sampled}]}),
        )
    }

    fn status(&mut self, status: &str) {
        self.ask("StatusNotification", json!({"connectorId": 1, "errorCode": "NoError", "status": status}));
    }

    fn sent(&mut self) -> Vec<Value> {
        let mut sent = Vec::new();
        while let Some(output) = self.charger.next_output() {
            match output {
                Output::Send(text) => sent.push(serde_json::from_str(&text).unwrap()),
                Output::Report(evse, report) => self.reports[evse.0] = report,
                Output::SaveBook => self.saves += 1,
                Output::Ping => self.pings += 1,
                Output::Told(told) => self.told = Some(told),
                Output::Stranger(card) => self.strangers.push(card),
                Output::Close => self.is_closed = true,
            }
        }
        sent
    }
}

fn actions(sent: &[Value]) -> Vec<&str> {
    sent.iter().filter(|frame| frame[0] == 2).map(|frame| frame[2].as_str().unwrap()).collect()
}

fn limits(call: &Value) -> Vec<(i64, f64)> {
    let periods = call[3]["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"].as_array().unwrap();
    periods.iter().map(|p| (p["startPeriod"].as_i64().unwrap(), p["limit"].as_f64().unwrap())).collect()
}

fn yes() -> Value {
    json!({"status": "Accepted"})
}

#[test]
fn a_boot_is_accepted_and_followed_by_fallback_and_configuration() {
    let mut bench = Bench::new();
    assert_eq!(bench.connect(), Vec::<Value>::new());
    let sent = bench.say("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"}));
    assert_eq!(sent[0], json!([3, "c1", {"status": "Accepted", "currentTime": OPEN, "interval": 60}]));
    assert_eq!(actions(&sent), ["GetConfiguration"]);
    let sent = bench.reply(&sent[1], json!({"configurationKey": [], "unknownKey": []}));
    assert_eq!(limits(&sent[0]), [(0, 6.0)]);
    assert_eq!(sent[0][3]["connectorId"], 1);
    let sent = bench.reply(&sent[0], yes());
    assert_eq!((limits(&sent[0]), &sent[0][3]["connectorId"]), (vec![(0, 6.0)], &json!(2)));
    let sent = bench.reply(&sent[0], yes());
    assert_eq!(sent[0][3], json!({"key": "MeterValueSampleInterval", "value": "10"}));
    let sent = bench.reply(&sent[0], json!({"status": "Rejected"}));
    assert_eq!(sent[0][3]["key"], "MeterValuesSampledData");
    let refused = json!([4, sent[0][1], "NotSupported", "", {}]).to_string();
    let poorer = bench.raw(&refused);
    assert_eq!(poorer[0][3]["key"], "MeterValuesSampledData");
    assert_ne!(poorer[0][3]["value"], sent[0][3]["value"]);
    let mut rest = bench.reply(&poorer[0], yes());
    while let Some(call) = rest.pop() {
        rest.extend(bench.reply(&call, yes()));
    }
    assert_eq!(bench.wait(20), Vec::<Value>::new());
}

#[test]
fn without_a_boot_it_works_all_the_same() {
    let mut bench = Bench::new();
    bench.connect();
    assert_eq!(bench.order(1, 10_000), Vec::<Value>::new());
    let sent = bench.wait(2);
    assert_eq!(actions(&sent), ["GetConfiguration"]);
    let sent = bench.reply(&sent[0], json!({}));
    assert_eq!(limits(&sent[0]), [(0, 10.0), (180, 6.0)]);
}

#[test]
fn a_reconnect_asks_for_new_orders_and_carries_them_at_once() {
    let mut bench = Bench::ready();
    let epoch = bench.reports[0].epoch;
    bench.disconnect();
    assert!(matches!(bench.reports[0].link, Link::Down { .. }));
    assert_eq!(bench.order(7, 9_000), Vec::<Value>::new(), "what is ordered while it is away is of no use");
    bench.connect();
    assert!(bench.reports[0].epoch > epoch && matches!(bench.reports[0].link, Link::Up { .. }));
    let sent = bench.order(8, 8_000);
    assert_eq!(limits(&sent[0]), [(0, 8.0), (180, 6.0)]);
    assert_eq!(bench.reply(&sent[0], yes()), Vec::<Value>::new());
    assert!(!actions(&bench.settle(Vec::new())).contains(&"ChangeConfiguration"), "it is configured already");
}

#[test]
fn an_order_goes_out_in_the_same_instant_and_its_answer_is_reported() {
    let mut bench = Bench::ready();
    for (number, reply, verdict) in [
        (1, json!({"status": "Accepted"}), Accepted::Yes),
        (2, json!({"status": "Rejected"}), Accepted::No),
        (3, json!({"status": "NotSupported"}), Accepted::No),
        (4, json!(null), Accepted::No),
    ] {
        let sent = bench.order(number, 16_000);
        assert_eq!(actions(&sent), ["SetChargingProfile"]);
        bench.reply(&sent[0], reply);
        let answer = bench.reports[0].answer.unwrap();
        assert_eq!((answer.number, answer.verdict), (number, verdict));
    }
    let sent = bench.order(5, 16_000);
    bench.raw(&json!([4, sent[0][1], "PropertyConstraintViolation", "", {}]).to_string());
    assert_eq!(bench.reports[0].answer.map(|answer| (answer.number, answer.verdict)), Some((5, Accepted::No)));
}

#[test]
fn one_call_is_open_at_a_time_and_the_newest_order_replaces_the_one_that_waits() {
    let mut bench = Bench::ready();
    let first = bench.order(1, 16_000);
    assert_eq!(bench.order(2, 12_000), Vec::<Value>::new());
    assert_eq!(bench.order(3, 6_000), Vec::<Value>::new());
    let next = bench.reply(&first[0], yes());
    assert_eq!(next.len(), 1);
    assert_eq!(limits(&next[0])[0], (0, 6.0));
    assert_eq!(bench.reply(&next[0], yes()), Vec::<Value>::new());
    assert_eq!(bench.reports[0].answer.unwrap().number, 3);
}

#[test]
fn both_connectors_get_their_orders_in_turn() {
    let mut bench = Bench::ready();
    let first = bench.order_at(0, 1, 16_000);
    bench.order_at(1, 2, 10_000);
    bench.order_at(0, 3, 9_000);
    let second = bench.reply(&first[0], yes());
    assert_eq!((&second[0][3]["connectorId"], limits(&second[0])[0]), (&json!(2), (0, 10.0)));
    let third = bench.reply(&second[0], yes());
    assert_eq!((&third[0][3]["connectorId"], limits(&third[0])[0]), (&json!(1), (0, 9.0)));
}

#[test]
fn a_silent_charger_is_given_up_and_a_late_reply_is_never_taken_for_the_next_one() {
    let mut bench = Bench::ready();
    let first = bench.order(1, 16_000);
    bench.order(2, 8_000);
    assert_eq!(bench.wait(29), Vec::<Value>::new());
    let second = bench.wait(1);
    assert_eq!(limits(&second[0])[0], (0, 8.0));
    assert_eq!(bench.reports[0].answer.map(|a| (a.number, a.verdict)), Some((1, Accepted::Silent)));
    assert_eq!(bench.reply(&first[0], yes()), Vec::<Value>::new());
    assert_eq!(bench.reports[0].answer.map(|a| a.number), Some(1));
    bench.reply(&second[0], yes());
    assert_eq!(bench.reports[0].answer.map(|a| (a.number, a.verdict)), Some((2, Accepted::Yes)));
}

#[test]
fn an_order_does_not_wait_long_for_the_set_up() {
    let mut bench = Bench::new();
    bench.connect();
    assert_eq!(actions(&bench.wait(2)), ["GetConfiguration"]);
    bench.order(1, 0);
    let sent = bench.wait(SETUP_PATIENCE.as_secs());
    assert_eq!(limits(&sent[0]), [(0, 0.0), (180, 6.0)]);
}

#[test]
fn an_order_that_was_under_way_when_the_connection_ended_counts_as_silent() {
    let mut bench = Bench::ready();
    bench.order(1, 16_000);
    bench.disconnect();
    assert_eq!(bench.reports[0].answer.map(|a| (a.number, a.verdict)), Some((1, Accepted::Silent)));
}

#[test]
fn calls_of_the_charger_are_answered_while_ours_is_open() {
    let mut bench = Bench::ready();
    let open = bench.order(1, 16_000);
    assert!(bench.ask("Heartbeat", json!({}))["currentTime"].is_string());
    assert_eq!(bench.ask("DataTransfer", json!({"data": {}}))["status"], "UnknownVendorId");
    assert_eq!(bench.ask("SignCertificate", json!({"csr": "x"}))["status"], "Rejected");
    for action in [
        "FirmwareStatusNotification",
        "DiagnosticsStatusNotification",
        "SecurityEventNotification",
        "LogStatusNotification",
        "SignedFirmwareStatusNotification",
    ] {
        assert_eq!(bench.ask(action, json!({"status": "Idle"})), json!({}), "{action}");
    }
    bench.reply(&open[0], yes());
    assert_eq!(bench.reports[0].answer.map(|a| a.verdict), Some(Accepted::Yes));
}

#[test]
fn an_unknown_action_is_not_implemented() {
    let sent = Bench::ready().say("NotifyReport", json!({}));
    assert_eq!((&sent[0][0], &sent[0][1], &sent[0][2]), (&json!(4), &json!("c1"), &json!("NotImplemented")));
}

#[test]
fn broken_frames_are_dropped_or_refused_and_the_next_one_is_heard() {
    let mut bench = Bench::ready();
    for text in ["", "[", "{}", "[2]", "[[],[]]", "[5,\"x\",{}]", "[3,\"never asked\",{}]", "[4,\"x\"]", "[3]"] {
        assert_eq!(bench.raw(text), Vec::<Value>::new(), "{text}");
    }
    assert_eq!(bench.raw("[2,\"x\"]")[0][2], "FormationViolation");
    assert!(bench.ask("Heartbeat", json!([]))["currentTime"].is_string());
}

#[test]
fn no_fallback_profile_goes_over_a_lease() {
    let mut bench = Bench::ready();
    bench.start("A");
    bench.disconnect();
    bench.connect();
    let sent = bench.order(1, 0);
    let sent = bench.reply(&sent[0], yes());
    let profiles: Vec<Value> = bench.settle(sent).into_iter().filter(|call| call[2] == "SetChargingProfile").collect();
    assert!(profiles.iter().all(|call| call[3]["connectorId"] == 2), "{profiles:?}");
    assert_eq!(profiles.len(), 1);
}

#[test]
fn a_lease_hangs_on_the_clock_that_the_charger_was_told() {
    let mut bench = Bench::ready();
    bench.start("A");
    let start = |call: &Value| call[3]["csChargingProfiles"]["chargingSchedule"]["startSchedule"].clone();
    let sent = bench.order(1, 16_000);
    let before = start(&sent[0]);
    bench.reply(&sent[0], yes());
    bench.wall_offset = 3_600_000;
    let sent = bench.order(2, 16_000);
    assert_eq!(start(&sent[0]), before, "our clock has been moved; the charger does not know yet");
    bench.reply(&sent[0], yes());
    let epoch = bench.reports[0].epoch;
    let sent = bench.say("Heartbeat", json!({}));
    bench.reply(&sent[1], yes());
    assert!(bench.reports[0].epoch > epoch, "its clock is moved, and its leases with it");
    let sent = bench.order(3, 16_000);
    assert_eq!(start(&sent[0]), "2026-03-01T12:59:03Z");
    bench.ask("Heartbeat", json!({}));
    assert_eq!(bench.reports[0].epoch, epoch + 1, "once is enough");
}

#[test]
fn when_its_clock_is_moved_back_the_fallback_profile_is_sent_anew() {
    let mut bench = Bench::ready();
    bench.wall_offset = -3_600_000;
    let sent = bench.say("Heartbeat", json!({}));
    assert_eq!(limits(&sent[1]), [(0, 6.0)]);
    let start = &sent[1][3]["csChargingProfiles"]["chargingSchedule"]["startSchedule"];
    assert_eq!(start, "2026-03-01T10:59:03Z", "the old one would begin in an hour");
}

#[test]
fn a_reboot_drops_the_open_call_and_starts_over() {
    let mut bench = Bench::ready();
    bench.start("A");
    bench.order(1, 16_000);
    let epoch = bench.reports[0].epoch;
    let sent = bench.say("BootNotification", json!({}));
    assert_eq!(sent[0][2]["status"], "Accepted");
    assert_eq!(bench.reports[0].epoch, epoch + 1);
    let sent = bench.order(2, 12_000);
    assert_eq!(limits(&sent[0])[0], (0, 12.0), "the order goes before the set-up");
    let sent = bench.reply(&sent[0], yes());
    assert!(actions(&bench.settle(sent)).contains(&"ChangeConfiguration"));
}

#[test]
fn a_charger_that_boots_again_and_again_is_not_configured_any_more() {
    let mut bench = Bench::ready();
    for _ in 0..2 {
        let sent = bench.say("BootNotification", json!({}));
        assert!(actions(&bench.settle(sent)).contains(&"ChangeConfiguration"));
    }
    let sent = bench.say("BootNotification", json!({}));
    let calls = bench.settle(sent);
    assert!(!actions(&calls).contains(&"ChangeConfiguration") && actions(&calls).contains(&"SetChargingProfile"));
}

#[test]
fn a_charger_that_takes_watts_gets_watts() {
    let mut bench = Bench::new();
    bench.connect();
    let sent = bench.say("BootNotification", json!({}));
    let keys = json!({"configurationKey": [{"key": "ChargingScheduleAllowedChargingRateUnit", "value": "Power"}]});
    let sent = bench.reply(&sent[1], keys);
    assert_eq!(sent[0][3]["csChargingProfiles"]["chargingSchedule"]["chargingRateUnit"], "W");
    assert_eq!(limits(&sent[0]), [(0, 6.0 * 3.0 * 230.0)]);
}

#[test]
fn a_dead_connection_is_closed_and_any_frame_is_life() {
    let mut bench = Bench::ready();
    for _ in 0..3 {
        bench.wait(70);
        bench.charger.heard(bench.now());
    }
    assert!(!bench.is_closed && bench.pings >= 8);
    bench.wait(79);
    assert!(!bench.is_closed);
    bench.wait(1);
    assert!(bench.is_closed);
}

#[test]
fn the_timer_always_lies_ahead_after_it_has_run() {
    let mut bench = Bench::new();
    bench.connect();
    bench.order(1, 9_000);
    for _ in 0..20 {
        let Some(deadline) = bench.charger.deadline() else { break };
        bench.millis = bench.millis.max(deadline.as_millis());
        bench.charger.timer(bench.now());
        bench.sent();
        if bench.is_closed {
            return;
        }
        assert!(bench.charger.deadline() > Some(bench.now().at));
    }
    panic!("a silent connection is never closed");
}
