//! What does headroom look like at work? A whole virtual site on loopback, with real sockets, in real time.

pub mod broker;
pub mod cloud;
pub mod inverter;
pub mod meter;
mod modbus;
pub mod mqtt_charger;
pub mod ocpp_charger;
mod ocpp_keys;
mod ocpp_profile;
mod ocpp_talk;
pub mod peer;

#[cfg(test)]
mod tests {
    use super::peer::SharedPlant;
    use crate::clock::Clock;
    use crate::sim::{Plant, Scenario, Script};
    use crate::site::Site;

    /// 25 A, one meter a second, and these EVSEs.
    pub fn site_of(evses: &[&str]) -> Site {
        let rows: Vec<String> = evses.iter().map(|id| format!("{{ id = \"{id}\" }}")).collect();
        let text = format!(
            "about = 'a site'\nuntil_s = 1\ncircuit = [{{ id = 'main', fuse_a = 25, margin_a = 1, meter_ms = 1000 }}]\nevse = [{}]",
            rows.join(", ")
        );
        Scenario::parse(&text).unwrap().site
    }

    /// A plant that lives in real time.
    pub fn shared(site: &Site) -> SharedPlant {
        SharedPlant::new(Plant::new(site, &Script::default()), Clock::start())
    }
}
