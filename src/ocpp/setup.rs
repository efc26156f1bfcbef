//! What does a charger have to be told after it has started? A short list of calls; each may be refused.

use super::lenient;
use super::profile::RateUnit;
use crate::time::Duration;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Asked of the charger: how often it pings us, so that routers between keep the connection and it notices a dead one
/// (left alone, some ping every half hour).
const CHARGER_PING: Duration = Duration::from_secs(30);

/// What the charger shall measure, the best first; chargers refuse lists with words that they do not know.
const MEASURANDS: [&str; 4] = [
    "Current.Import,Power.Active.Import,Energy.Active.Import.Register",
    "Current.Import,Energy.Active.Import.Register",
    "Power.Active.Import,Energy.Active.Import.Register",
    "Energy.Active.Import.Register",
];

const RATE_UNIT: &str = "ChargingScheduleAllowedChargingRateUnit";
const PERIODS: &str = "ChargingScheduleMaxPeriods";
const SAMPLE_INTERVAL: &str = "MeterValueSampleInterval";
const SAMPLED: &str = "MeterValuesSampledData";
const PING_INTERVAL: &str = "WebSocketPingInterval";
const HEARTBEAT_INTERVAL: &str = "HeartbeatInterval";

/// One step of the set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read the keys that matter.
    ReadKeys,
    /// The fallback profile on every connector without a transaction.
    Fallback,
    /// Set a key.
    Set(&'static str, String),
    /// Set what is measured: this rung of the list.
    Measurands(usize),
    /// Have the status of this connector (by index) told.
    AskStatus(usize),
}

/// What is left to do, and what the charger has said of itself.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    steps: VecDeque<Step>,
    keys: BTreeMap<&'static str, Key>,
    has_read: bool,
}

/// What came back on a call of ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reply<'a> {
    /// A CALLRESULT with this payload.
    Said(&'a Value),
    /// A CALLERROR.
    Refused,
    /// Nothing in time.
    Silent,
}

/// A configuration key of a charger.
#[derive(Debug, Clone)]
pub struct Key {
    /// As the charger writes it.
    pub value: String,
    /// It cannot be set.
    pub is_readonly: bool,
}

impl Key {
    /// A switch that is on.
    pub fn is_true(&self) -> bool {
        self.value.trim().eq_ignore_ascii_case("true")
    }
}

/// The keys of these names in an answer to GetConfiguration.
pub fn keys_in(answer: &Value, names: &[&'static str]) -> BTreeMap<&'static str, Key> {
    let key = |item: &Value| {
        let said = lenient::text(item, "key")?;
        let name = names.iter().find(|name| name.eq_ignore_ascii_case(&said))?;
        let value = lenient::text(item, "value").unwrap_or_default();
        let is_readonly = item.get("readonly").and_then(Value::as_bool).unwrap_or(false);
        Some((*name, Key { value, is_readonly }))
    };
    lenient::each(answer, "configurationKey").iter().filter_map(key).collect()
}

impl Setup {
    /// Everything, for a charger that has started or that we do not know yet.
    pub fn all(&mut self, connectors: usize, sample: Duration, heartbeat: Duration) {
        let seconds = |span: Duration| span.as_secs().max(1).to_string();
        self.steps = VecDeque::from([
            Step::ReadKeys,
            Step::Fallback,
            Step::Set(SAMPLE_INTERVAL, seconds(sample)),
            Step::Measurands(0),
            Step::Set(PING_INTERVAL, seconds(CHARGER_PING)),
            Step::Set(HEARTBEAT_INTERVAL, seconds(heartbeat)),
        ]);
        self.steps.extend((0..connectors).map(Step::AskStatus));
    }

    /// Only what a charger needs that has been away, or that starts again and again (perhaps because of what we set).
    pub fn least(&mut self, connectors: usize) {
        let read = (!self.has_read).then_some(Step::ReadKeys);
        self.steps = read.into_iter().chain([Step::Fallback]).chain((0..connectors).map(Step::AskStatus)).collect();
    }

    /// Is something left?
    pub fn is_done(&self) -> bool {
        self.steps.is_empty()
    }

    /// Nothing may be ordered before the charger has been asked what it counts in.
    pub fn must_read_first(&self) -> bool {
        !self.has_read && self.steps.front() == Some(&Step::ReadKeys)
    }

    /// The next step; keys that have their value already, or cannot have it, are skipped.
    pub fn next_step(&mut self) -> Option<Step> {
        loop {
            let step = self.steps.pop_front()?;
            let is_needless = match &step {
                Step::Set(key, value) => self.keys.get(*key).is_some_and(|k| k.is_readonly || k.value == *value),
                Step::Measurands(rung) => {
                    self.keys.get(SAMPLED).is_some_and(|k| k.is_readonly || k.value == MEASURANDS[*rung])
                }
                Step::ReadKeys | Step::Fallback | Step::AskStatus(_) => false,
            };
            if !is_needless {
                return Some(step);
            }
        }
    }

    /// What the charger counts limits in: amperes unless it has said that it takes watts only.
    pub fn rate_unit(&self) -> RateUnit {
        self.keys.get(RATE_UNIT).map_or(RateUnit::Amps, |key| RateUnit::from_key(&key.value))
    }

    /// True where the charger says that a schedule has one period only: then no limit of ours can end by itself.
    pub fn is_without_lease(&self) -> bool {
        self.keys.get(PERIODS).and_then(|key| key.value.trim().parse::<u32>().ok()) == Some(1)
    }

    /// The charger has answered a step, or not. True if it took it.
    pub fn answered(&mut self, step: &Step, reply: Reply<'_>) -> bool {
        match step {
            Step::ReadKeys => {
                self.has_read = true;
                match reply {
                    Reply::Said(answer) => self.keys.extend(keys_in(answer, &KEYS)),
                    Reply::Refused | Reply::Silent => return false,
                }
                true
            }
            Step::Measurands(rung) if !reply.is_yes() => {
                if reply != Reply::Silent && rung + 1 < MEASURANDS.len() {
                    self.steps.push_front(Step::Measurands(rung + 1));
                }
                false
            }
            Step::Measurands(_) | Step::Fallback | Step::Set(..) | Step::AskStatus(_) => reply.is_yes(),
        }
    }
}

/// What is read: as many as are used, since some chargers answer few at a time.
const KEYS: [&str; 6] = [RATE_UNIT, PERIODS, SAMPLE_INTERVAL, SAMPLED, PING_INTERVAL, HEARTBEAT_INTERVAL];

impl Reply<'_> {
    /// Did the charger do what it was told?
    pub fn is_yes(&self) -> bool {
        let status = match self {
            Reply::Said(answer) => lenient::text(answer, "status").unwrap_or_default(),
            Reply::Refused | Reply::Silent => return false,
        };
        // A key that takes a reboot is set all the same.
        ["Accepted", "RebootRequired"].iter().any(|word| status.eq_ignore_ascii_case(word))
    }
}

impl Step {
    /// The action and payload of the call; `None` where the step is none. `number` gives a connector's number.
    pub fn call(&self, number: impl Fn(usize) -> Option<u32>) -> Option<(&'static str, Value)> {
        let set = |key: &str, value: &str| ("ChangeConfiguration", json!({"key": key, "value": value}));
        match self {
            Step::ReadKeys => Some(("GetConfiguration", json!({"key": KEYS}))),
            Step::Fallback => None,
            Step::Set(key, value) => Some(set(key, value)),
            Step::Measurands(rung) => Some(set(SAMPLED, MEASURANDS.get(*rung)?)),
            Step::AskStatus(index) => {
                let payload = json!({"requestedMessage": "StatusNotification", "connectorId": number(*index)?});
                Some(("TriggerMessage", payload))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Setup {
        let mut setup = Setup::default();
        setup.all(1, Duration::from_secs(10), Duration::from_secs(60));
        setup
    }

    fn rest(setup: &mut Setup) -> Vec<Step> {
        std::iter::from_fn(|| setup.next_step()).collect()
    }

    #[test]
    fn a_charger_is_read_then_made_safe_then_configured() {
        assert_eq!(
            rest(&mut whole()),
            [
                Step::ReadKeys,
                Step::Fallback,
                Step::Set(SAMPLE_INTERVAL, "10".into()),
                Step::Measurands(0),
                Step::Set(PING_INTERVAL, "30".into()),
                Step::Set(HEARTBEAT_INTERVAL, "60".into()),
                Step::AskStatus(0)
            ]
        );
    }

    #[test]
    fn what_has_its_value_already_or_cannot_have_it_is_left_alone() {
        let mut setup = whole();
        let read = setup.next_step().unwrap();
        let keys = json!({"configurationKey": [
            {"key": "MeterValueSampleInterval", "readonly": false, "value": 10},
            {"key": "metervaluessampleddata", "readonly": true, "value": "Energy.Active.Import.Register"},
            {"key": "HeartbeatInterval", "value": "60"}, {"key": "Vendor", "value": "x"}, {"value": []}, 7]});
        assert!(setup.answered(&read, Reply::Said(&keys)));
        assert_eq!(rest(&mut setup), [Step::Fallback, Step::Set(PING_INTERVAL, "30".into()), Step::AskStatus(0)]);
    }

    #[test]
    fn measurands_are_tried_from_rich_to_poor() {
        let mut setup = whole();
        while setup.next_step() != Some(Step::Measurands(0)) {}
        for rung in 0..3 {
            assert!(!setup.answered(&Step::Measurands(rung), Reply::Said(&json!({"status": "Rejected"}))));
            assert_eq!(setup.next_step(), Some(Step::Measurands(rung + 1)));
        }
        setup.answered(&Step::Measurands(3), Reply::Refused);
        assert!(matches!(setup.next_step(), Some(Step::Set(..))));
    }

    #[test]
    fn a_silent_charger_is_not_tried_with_poorer_lists() {
        let mut setup = whole();
        while setup.next_step() != Some(Step::Measurands(0)) {}
        assert!(!setup.answered(&Step::Measurands(0), Reply::Silent));
        assert!(matches!(setup.next_step(), Some(Step::Set(..))));
    }

    #[test]
    fn the_rate_unit_and_the_number_of_periods_are_believed() {
        let mut setup = whole();
        assert!(setup.must_read_first());
        assert_eq!(setup.rate_unit(), RateUnit::Amps);
        let keys = json!({"configurationKey": [{"key": RATE_UNIT, "value": "Power"}, {"key": PERIODS, "value": "1"}]});
        setup.answered(&Step::ReadKeys, Reply::Said(&keys));
        assert!(!setup.must_read_first());
        assert_eq!(setup.rate_unit(), RateUnit::Watts);
        assert!(setup.is_without_lease());
    }

    #[test]
    fn a_charger_that_was_away_is_not_configured_again() {
        let mut setup = whole();
        setup.answered(&Step::ReadKeys, Reply::Refused);
        setup.least(2);
        assert_eq!(rest(&mut setup), [Step::Fallback, Step::AskStatus(0), Step::AskStatus(1)]);
    }
}
