//! Which chargers does the configuration have, and with which connectors?

use super::connector::Seat;
use crate::config::{ChargerConfig, Config, OcppConfig, Secret};
use crate::time::Duration;
use std::collections::BTreeMap;

/// What the configuration says of a charger.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The last part of its URL.
    pub identity: String,
    /// Heartbeat interval asked for.
    pub heartbeat: Duration,
    /// `MeterValueSampleInterval` asked for.
    pub meter_interval: Duration,
    /// The connectors that we steer; at least one.
    pub seats: Vec<Seat>,
}

/// The chargers by identity; the EVSEs with the same one are connectors of the same charger.
pub fn chargers(config: &Config, ocpp: &OcppConfig) -> Vec<(Settings, Option<Secret>)> {
    let mut chargers: BTreeMap<&str, (Settings, Option<Secret>)> = BTreeMap::new();
    for (evse, charger) in config.site.evse_ids().zip(&config.chargers) {
        let ChargerConfig::Ocpp { identity, connector, password } = charger else { continue };
        let (settings, secret) = chargers.entry(identity).or_insert_with(|| {
            let settings = Settings {
                identity: identity.clone(),
                heartbeat: ocpp.heartbeat,
                meter_interval: ocpp.meter_interval,
                seats: Vec::new(),
            };
            (settings, None)
        });
        let site = config.site.evse(evse);
        settings.seats.push(Seat {
            evse,
            id: site.id.clone(),
            connector: *connector,
            wired: site.rotation.wired(),
            volts: config.site.terminal_volts(&site.rotation),
            fallback: site.fallback,
        });
        *secret = secret.take().or_else(|| password.clone());
    }
    chargers.into_values().collect()
}
