//! How does Home Assistant find us? One retained device announcement for the site, and one for each EVSE.
//!
//! Home Assistant's MQTT device discovery (`<prefix>/device/<id>/config`, since 2024.11): `device`, `origin` and
//! `components` are required, each component needs `platform` and `unique_id`, and one bad component makes Home
//! Assistant drop the whole device. Entities read the JSON topics of `topics`; `None` from a template is "unknown".

use super::topics::lower;
use crate::config::DeviceConfig;
use crate::policy::Mode;
use crate::site::{Evse, Site};
use serde_json::{Map, Value, json};

/// Seconds without a message after which a metered value shows as unavailable: three times the span in which it is
/// repeated ([`super::edge`]).
const EXPIRE_S: u64 = 60;

/// The announcements, each with its topic. `base` is `<topic>/<site>`; `prefix` Home Assistant's discovery prefix.
pub fn announcements(
    site: &Site,
    inverters: &[DeviceConfig],
    prefix: &str,
    base: &str,
    has_commands: bool,
) -> Vec<(String, String)> {
    let device_id = format!("headroom_{}", site.id);
    let mut all = vec![announcement(prefix, &device_id, base, site_device(site, &device_id), {
        let mut components = Components::new(&device_id);
        site_components(&mut components, site, inverters, base);
        components
    })];
    for evse in &site.evses {
        let id = format!("{device_id}_{}", evse.id);
        let mut components = Components::new(&id);
        evse_components(&mut components, evse, base);
        if has_commands {
            evse_commands(&mut components, evse, base);
        }
        all.push(announcement(prefix, &id, base, evse_device(evse, &id, &device_id), components));
    }
    all
}

fn announcement(prefix: &str, id: &str, base: &str, device: Value, components: Components) -> (String, String) {
    let payload = json!({
        "device": device,
        "origin": {
            "name": "headroom",
            "sw_version": env!("CARGO_PKG_VERSION"),
        },
        "availability_topic": format!("{base}/status"),
        "components": components.all,
    });
    (format!("{prefix}/device/{id}/config"), payload.to_string())
}

fn site_device(site: &Site, id: &str) -> Value {
    json!({
        "identifiers": [id],
        "name": site.name,
        "manufacturer": "headroom",
        "model": "Load balancer",
        "sw_version": env!("CARGO_PKG_VERSION"),
    })
}

fn evse_device(evse: &Evse, id: &str, site_id: &str) -> Value {
    json!({
        "identifiers": [id],
        "name": evse.name,
        "manufacturer": "headroom",
        "model": "Charger",
        "via_device": site_id,
    })
}

fn site_components(components: &mut Components, site: &Site, inverters: &[DeviceConfig], base: &str) {
    let grid = format!("{base}/site/grid");
    for phase in site.wiring.phases().iter() {
        for (key, name) in [("current", "Grid"), ("house", "House"), ("cars", "Cars"), ("headroom", "Headroom")] {
            let template = format!("{{{{ value_json.{key}_a[{}] }}}}", phase.index());
            components.add(
                &format!("{key}_{}", lower(phase)),
                &format!("{name} {phase}"),
                metered("current", "A", 1, &grid, &template),
            );
        }
    }
    components.add("grid_power", "Grid power", metered("power", "W", 0, &grid, "{{ value_json.power_w }}"));
    for inverter in inverters {
        let topic = format!("{base}/inverter/{}/state", inverter.id);
        components.add(
            &format!("inverter_{}_power", inverter.id),
            &format!("{} power", inverter.name),
            metered("power", "W", 0, &topic, "{{ value_json.power_w }}"),
        );
    }
    components.add("policy", "Policy", diagnostic(text(&format!("{base}/policy"), "{{ value_json.state }}")));
    let alarms = format!("{base}/alarms");
    let mut alarm = binary("problem", &alarms, "{{ 'ON' if value_json.count > 0 else 'OFF' }}");
    alarm["json_attributes_topic"] = json!(alarms);
    components.add("alarm", "Alarm", alarm);
}

fn evse_components(components: &mut Components, evse: &Evse, base: &str) {
    let state = format!("{base}/evse/{}/state", evse.id);
    components.add("setpoint", "Setpoint", current(&state, "{{ value_json.setpoint_a }}"));
    for phase in evse.rotation.phases().iter() {
        let template = format!("{{{{ value_json.draw_a[{}] }}}}", phase.index());
        components.add(&format!("draw_{}", lower(phase)), &format!("Draw {phase}"), current(&state, &template));
    }
    components.add("reason", "Reason", text(&state, "{{ value_json.words }}"));
    components.add("plug", "Plug", text(&state, "{{ value_json.plug }}"));
    let mut energy = measured("energy", "kWh", 2, &state, "{{ value_json.session_kwh }}");
    energy["state_class"] = json!("total_increasing");
    components.add("session_energy", "Session energy", energy);
    let online = binary("connectivity", &state, "{{ 'ON' if value_json.online else 'OFF' }}");
    components.add("online", "Connection", diagnostic(online));
}

/// What the installer lets people ask for.
fn evse_commands(components: &mut Components, evse: &Evse, base: &str) {
    let topic = |command: &str| format!("{base}/evse/{}/{command}/set", evse.id);
    let pause = json!({
        "platform": "switch",
        "command_topic": topic("pause"),
        "state_topic": format!("{base}/evse/{}/reason", evse.id),
        "value_template": "{{ 'ON' if value == 'paused' else 'OFF' }}",
        "icon": "mdi:pause",
    });
    components.add("pause", "Pause", pause);
    let mode = json!({
        "platform": "select",
        "command_topic": topic("mode"),
        "state_topic": format!("{base}/evse/{}/mode", evse.id),
        "options": Mode::ALL.map(Mode::word),
        "icon": "mdi:solar-power",
    });
    components.add("mode", "Mode", mode);
    let boost = json!({ "platform": "button", "command_topic": topic("boost"), "icon": "mdi:rocket-launch" });
    components.add("boost", "Boost", boost);
}

/// The components of one device, each with its unique id.
struct Components {
    device_id: String,
    all: Map<String, Value>,
}

impl Components {
    fn new(device_id: &str) -> Self {
        Components { device_id: device_id.to_owned(), all: Map::new() }
    }

    fn add(&mut self, key: &str, name: &str, mut component: Value) {
        component["unique_id"] = json!(format!("{}_{key}", self.device_id));
        component["name"] = json!(name);
        self.all.insert(key.to_owned(), component);
    }
}

fn current(topic: &str, template: &str) -> Value {
    measured("current", "A", 1, topic, template)
}

/// A value that comes from a meter: silence is a loss.
fn metered(class: &str, unit: &str, decimals: u8, topic: &str, template: &str) -> Value {
    let mut component = measured(class, unit, decimals, topic, template);
    component["expire_after"] = json!(EXPIRE_S);
    component
}

fn measured(class: &str, unit: &str, decimals: u8, topic: &str, template: &str) -> Value {
    json!({
        "platform": "sensor",
        "device_class": class,
        "unit_of_measurement": unit,
        "state_class": "measurement",
        "suggested_display_precision": decimals,
        "state_topic": topic,
        "value_template": template,
    })
}

fn text(topic: &str, template: &str) -> Value {
    json!({ "platform": "sensor", "state_topic": topic, "value_template": template })
}

fn binary(class: &str, topic: &str, template: &str) -> Value {
    json!({ "platform": "binary_sensor", "device_class": class, "state_topic": topic, "value_template": template })
}

fn diagnostic(mut component: Value) -> Value {
    component["entity_category"] = json!("diagnostic");
    component
}
