//! What stands at the demo's virtual site? Its truth for the plant, its configuration for the gateway, its policy.

use crate::sim::Scenario;
use crate::site::{EvseId, Site};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;

/// The chargers, by their place in [`truth`] and in the configuration.
pub const LEFT: EvseId = EvseId(0);
/// The second.
pub const RIGHT: EvseId = EvseId(1);
/// The third, which speaks MQTT.
pub const YARD: EvseId = EvseId(2);

/// The cards of those who come by.
pub const KARI: &str = "04A2B3C4D5E680";
/// A member of the household's group.
pub const PER: &str = "04C0FFEE0D1580";
/// A guest's.
pub const GUEST: &str = "04BADA55E1EC80";

/// Between the OCPP chargers and the gateway: loopback only, and known to everybody.
pub const PASSWORD: &str = "not-a-secret-on-loopback";

const GATEWAY: &str = "gw_demo";
const LOCATION: &str = "loc_demo";

/// Where everything listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The grid meter.
    pub meter: SocketAddr,
    /// The inverter.
    pub inverter: SocketAddr,
    /// The broker.
    pub broker: SocketAddr,
    /// The policy cloud.
    pub cloud: SocketAddr,
    /// The gateway's page.
    pub http: SocketAddr,
    /// The gateway's door for OCPP chargers.
    pub ocpp: SocketAddr,
}

/// The site as it is: 32 A, two three-phase chargers in front of the garage, one phase in the yard.
///
/// # Errors
/// None in practice: the text is fixed.
pub fn truth() -> Result<Site, String> {
    let text = r#"
        about = "the demo's site"
        until_s = 120
        circuit = [{ id = "main", fuse_a = 32, margin_a = 0.7, meter_ms = 500, meter_step_a = 0.01 }]
        evse = [{ id = "left" }, { id = "right" }, { id = "yard", rotation = "S" }]
    "#;
    Scenario::parse(text).map(|scenario| scenario.site)
}

/// What the installer would have written. Waits are shorter than usual, so that a story fits in two minutes.
pub fn configuration(addresses: &Addresses, directory: &Path) -> String {
    let Addresses { meter, inverter, broker, cloud, http, ocpp } = addresses;
    let state = directory.display();
    let broker_port = broker.port();
    let charger = "circuit = \"main\"\nlease_s = 20\nresponse_s = 5\nlapse = \"a\"\nmetering_s = 2\nstep_a = 1";
    format!(
        r#"# The virtual site of `headroom demo`. Holds, dwells and leases are shorter than they should be at a house.

[site]
id = "demo"
name = "Virtual site"
wiring = "star"
house_worst_a = 13
state_dir = "{state}"

[[circuit]]
id = "main"
name = "Main fuse"
fuse_a = 32

[[meter]]
id = "grid"
circuit = "main"
device = "eastron-sdm630"
address = "{meter}"
interval_ms = 500

[[inverter]]
id = "roof"
name = "Roof"
device = "sunspec"
address = "{inverter}"
interval_ms = 1000

[[charger]]
id = "left"
name = "Left"
protocol = "ocpp"
identity = "HOME-1"
password = "{PASSWORD}"
{charger}

[[charger]]
id = "right"
name = "Right"
protocol = "ocpp"
identity = "HOME-2"
password = "{PASSWORD}"
{charger}

[[charger]]
id = "yard"
name = "Yard"
protocol = "mqtt"
topic = "headroom/chargers/yard"
phases = 1
rotation = "S"
{charger}

[ocpp]
listen = "{ocpp}"
meter_interval_s = 2

[mqtt]
host = "127.0.0.1"
port = {broker_port}

[http]
listen = "{http}"

[cloud]
url = "http://{cloud}"
gateway_id = "{GATEWAY}"
location_id = "{LOCATION}"
allow_unsigned = true
refresh_s = 10

[recorder]
dir = "{state}/flight"

{CONTROL}"#
    )
}

/// All quicker than in life: the story takes two minutes.
const CONTROL: &str = "
[control]
hold_s = 3
memory_s = 1
restart_s = 8
dwell_s = 15
stale_after_s = 2
lost_after_s = 5
good_samples = 5
";

/// What the policy cloud says: the owner first, then members, guests last.
pub fn policy(now: DateTime<Utc>) -> String {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let class = |id: &str, priority: i8, weight: u32| json!({"id": id, "charging_priority": priority, "weight": weight, "floor_a": 6});
    let principal =
        |id: &str, alias: &str, class: &str| json!({"id": id, "alias": alias, "class": class, "evse": ["*"]});
    let token = |uid: &str, principal: &str| json!({"uid": uid, "type": "ISO14443", "principal": principal, "status": "Accepted", "offline": true});
    json!({
        "schema": "headroom.policy/1.0",
        "gateway_id": GATEWAY, "location_id": LOCATION,
        "epoch": 1, "version": 1,
        "issued_at": time(now),
        "expires_at": time(now + TimeDelta::days(1)),
        "refresh_after_s": 10, "grace_s": 86_400,
        "access": {"default_mode": "authorized_only", "unknown_token": "guest"},
        "classes": [class("owner", 6, 4), class("member", 3, 2), class("guest", -3, 1)],
        "principals": [principal("kari", "Kari", "owner"), principal("per", "Per", "member"),
            principal("guests", "Guests", "guest")],
        "tokens": [token(KARI, "kari"), token(PER, "per"), token(GUEST, "guests")],
        "evse": [{"id": "left", "ocpp_id": "HOME-1", "connector": 1}, {"id": "right", "ocpp_id": "HOME-2", "connector": 1},
            {"id": "yard"}],
        "privacy": {"publish_alias": true},
    })
    .to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config;

    /// The configuration as the gateway understands it.
    pub fn compiled() -> Site {
        let at = |port| SocketAddr::new("127.0.0.1".parse().unwrap(), port);
        let addresses =
            Addresses { meter: at(1), inverter: at(2), broker: at(3), cloud: at(4), http: at(5), ocpp: at(6) };
        let text = configuration(&addresses, Path::new("/tmp/headroom-demo"));
        let devices = crate::device::Library::load(None).unwrap();
        let loaded = config::compile(&text, "demo.toml", Path::new("/"), &devices);
        // A site with this much sun may trip if its gateway dies (W011), as most that are worth a demonstration.
        assert!(loaded.diagnostics.iter().all(|fault| fault.code == "W011"), "{}", loaded.render(false));
        loaded.config.unwrap().site
    }

    #[test]
    fn the_configuration_compiles_without_a_fault_to_what_is_true() {
        let (compiled, truth) = (compiled(), truth().unwrap());
        assert_eq!(compiled.circuits[0].limit, truth.circuits[0].limit);
        assert_eq!(compiled.meters[0].interval, truth.meters[0].interval);
        for (compiled, truth) in compiled.evses.iter().zip(&truth.evses) {
            assert_eq!(compiled.id, truth.id);
            assert_eq!(
                (compiled.rotation, compiled.most, compiled.fallback),
                (truth.rotation, truth.most, truth.fallback)
            );
        }
        assert_eq!(compiled.evses.len(), truth.evses.len());
        assert_eq!(truth.evse(YARD).id, "yard");
    }
}
