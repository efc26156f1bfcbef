//! What did the installer write? One TOML file, checked once and compiled; after that nobody asks again.

mod check;
mod check_chargers;
mod check_circuits;
mod check_devices;
mod check_edges;
mod check_frozen;
mod check_policy;
mod check_power;
mod check_unbalance;
pub mod code;
mod compile;
mod diagnostic;
mod ledger;
mod prepared;
mod raw;
pub mod schema;
mod secret;
mod suggest;
mod transient;
mod trust;
mod value;

pub use compile::{ASIDE, CheckOptions, Loaded, compile, compile_with, load, load_over, load_with, state_dir};
pub use diagnostic::{Diagnostic, Severity, Span};

use crate::device::Device;
use crate::policy::Policy;
use crate::site::{EvseId, MeterId, Site};
use crate::time::Duration;
use headroom_policy::Roots;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// A configuration without faults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The electrical picture, for control.
    pub site: Site,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// How each meter is read; by [`MeterId`].
    pub meters: Vec<DeviceConfig>,
    /// How each inverter is read.
    pub inverters: Vec<DeviceConfig>,
    /// How each EVSE is reached; by [`EvseId`].
    pub chargers: Vec<ChargerConfig>,
    /// The OCPP server; `None` where no charger speaks OCPP.
    pub ocpp: Option<OcppConfig>,
    /// The MQTT broker; `None`: no MQTT.
    pub mqtt: Option<MqttConfig>,
    /// The policy cloud; `None`: the local default only.
    pub cloud: Option<CloudConfig>,
    /// The page; `None`: no page.
    pub http: Option<HttpConfig>,
    /// What holds without a cloud.
    pub policy: Policy,
    /// The flight recorder; `None`: nothing is recorded.
    pub recorder: Option<RecorderConfig>,
    /// What became of a preconfiguration; `None`: there is none.
    pub prepared: Option<PreparedConfig>,
}

/// What became of a preconfiguration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedConfig {
    /// Does it hold where the file says nothing else?
    pub is_used: bool,
    /// Line by line, for people.
    pub told: Vec<String>,
}

/// A device on Modbus.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceConfig {
    /// Its id in the configuration.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Its device file.
    pub device: Arc<Device>,
    /// Where it is.
    pub address: ModbusAddress,
    /// Modbus unit, 1…247 (0 and 255 are used by some TCP devices).
    pub unit: u8,
    /// How often it is read: 100 ms or more.
    pub interval: Duration,
}

/// Where a Modbus device is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModbusAddress {
    /// `host:port`; the host may be a name.
    Tcp(String),
    /// A serial line.
    Rtu {
        /// Such as `/dev/ttyUSB0`.
        path: PathBuf,
        /// Bits a second.
        baud: u32,
        /// Parity bit.
        parity: Parity,
        /// 1 or 2.
        stop_bits: u8,
    },
}

/// The parity bit of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parity {
    /// None.
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

/// How an EVSE is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargerConfig {
    /// It dials in over OCPP 1.6J.
    Ocpp {
        /// The last part of the URL that it dials.
        identity: String,
        /// OCPP's connector number, from 1.
        connector: u32,
        /// Basic auth password; `None` only where `ocpp.allow_unauthenticated` is set.
        password: Option<Secret>,
    },
    /// It speaks headroom's own topics below this one.
    Mqtt {
        /// Such as `headroom/chargers/left`.
        topic: String,
    },
}

/// The OCPP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcppConfig {
    /// Where chargers dial in.
    pub listen: SocketAddr,
    /// Heartbeat interval asked for at boot; it sets the charger's clock.
    pub heartbeat: Duration,
    /// `MeterValueSampleInterval` asked for.
    pub meter_interval: Duration,
}

/// The MQTT broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttConfig {
    /// Host name or address; plain TCP (a remote broker is reached through a local bridge).
    pub host: String,
    /// Port.
    pub port: u16,
    /// Login.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Unique at the broker.
    pub client_id: String,
    /// The top of our topics, such as `headroom`; the site's id follows it.
    pub topic: String,
    /// Home Assistant's discovery prefix; `None`: no discovery.
    pub discovery: Option<String>,
    /// May whoever can publish at the broker boost and pause sessions?
    pub commands: bool,
}

/// The policy cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudConfig {
    /// Such as `https://cloud.example`; `/v1/gateways/{gateway_id}/policy` follows it.
    pub url: String,
    /// Who we are.
    pub gateway_id: String,
    /// Where we are.
    pub location_id: String,
    /// Bearer token.
    pub token: Option<Secret>,
    /// Who vouches for the keys of documents.
    pub trust: Option<Roots>,
    /// Are unsigned documents taken where nobody vouches for any key?
    pub allow_unsigned: bool,
    /// How often to ask where the document does not say.
    pub refresh: Duration,
    /// May it ask for a factory reset?
    pub may_reset: bool,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// The flight recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderConfig {
    /// Where its files are.
    pub dir: PathBuf,
    /// Bytes of all of them together at most.
    pub most: u64,
}

/// Something that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Config {
    /// How this EVSE is reached.
    pub fn charger(&self, evse: EvseId) -> &ChargerConfig {
        &self.chargers[evse.0]
    }

    /// How this meter is read.
    pub fn meter(&self, meter: MeterId) -> &DeviceConfig {
        &self.meters[meter.0]
    }
}
