//! Which configuration keys does the virtual OCPP charger have? A few of OCPP 1.6 edition 2, section 9.

use crate::time::Duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Name, value of a new charger, and whether it can be set.
const KEYS: [(&str, &str, bool); 9] = [
    ("HeartbeatInterval", "300", true),
    ("MeterValueSampleInterval", "60", true),
    ("MeterValuesSampledData", "Current.Import,Power.Active.Import,Energy.Active.Import.Register", true),
    ("WebSocketPingInterval", "0", true),
    ("NumberOfConnectors", "1", false),
    ("ChargeProfileMaxStackLevel", "1", false),
    ("ChargingScheduleAllowedChargingRateUnit", "Current", false),
    ("ChargingScheduleMaxPeriods", "4", false),
    ("MaxChargingProfilesInstalled", "2", false),
];

/// The keys with their values.
#[derive(Debug)]
pub struct Keys(BTreeMap<&'static str, String>);

impl Keys {
    /// As they come from the factory, but for how often meter values are told.
    pub fn new(meter_every: Duration) -> Self {
        let mut keys = Keys(KEYS.map(|(key, value, _)| (key, value.to_owned())).into());
        keys.set("MeterValueSampleInterval", &meter_every.as_secs().max(1).to_string());
        keys
    }

    /// Sets a key; the status of a ChangeConfiguration.conf.
    pub fn set(&mut self, key: &str, value: &str) -> &'static str {
        match KEYS.iter().find(|(known, _, _)| *known == key) {
            Some((known, _, true)) => {
                self.0.insert(known, value.to_owned());
                "Accepted"
            }
            Some((_, _, false)) => "Rejected",
            None => "NotSupported",
        }
    }

    /// An interval; `None` where it is zero, which means never.
    pub fn seconds(&self, key: &str) -> Option<Duration> {
        let seconds: u64 = self.0.get(key)?.parse().ok()?;
        Some(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    /// GetConfiguration.conf to this request: all keys where it names none.
    pub fn tell(&self, request: &Value) -> Value {
        let asked: Vec<&str> = request["key"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let known = KEYS.iter().filter(|(key, _, _)| asked.is_empty() || asked.contains(key));
        let known =
            known.map(|(key, _, is_settable)| json!({"key": key, "readonly": !is_settable, "value": self.0.get(key)}));
        let unknown = asked.iter().filter(|asked| KEYS.iter().all(|(key, _, _)| key != *asked));
        json!({"configurationKey": known.collect::<Vec<_>>(), "unknownKey": unknown.collect::<Vec<_>>()})
    }
}
