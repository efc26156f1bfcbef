//! Where do we listen, and whom do we call? OCPP, MQTT, the page and the policy cloud.

use super::check_chargers::{seconds, topics_meet};
use super::code;
use super::compile::Place;
use super::diagnostic::Diagnostic;
use super::raw::{Faults, Row};
use super::{CloudConfig, HttpConfig, MqttConfig, OcppConfig, secret, trust};
use std::net::SocketAddr;

/// The OCPP server; `None` where no charger speaks OCPP or a fault has been told.
pub fn ocpp(row: &Row, chargers: &[Row], faults: &mut Faults) -> Option<OcppConfig> {
    let mut dials_in = chargers.iter().filter(|row| row.text("protocol").ok() == Some("ocpp")).peekable();
    dials_in.peek()?;
    let listen: SocketAddr = row.text("listen").ok()?.parse().ok()?;
    let is_open = dials_in.any(|row| !row.is_given("password") && !row.is_given("password_file"));
    if row.flag("allow_unauthenticated").ok() == Some(true) && is_open && !listen.ip().is_loopback() {
        let message = "any machine that reaches the gateway can pose as a charger without a password";
        let fault = Diagnostic::at(code::OPEN_OCPP, row.at("allow_unauthenticated"), message);
        faults.push(
            fault
                .label(format!("and OCPP listens on {listen}"))
                .help("give each charger a password, or listen only in a network that you trust"),
        );
    }
    Some(OcppConfig {
        listen,
        heartbeat: seconds(row, "heartbeat_s")?,
        meter_interval: seconds(row, "meter_interval_s")?,
    })
}

/// The broker; `None` after a fault.
pub fn mqtt(row: &Row, site: Option<&str>, chargers: &[Row], place: &Place, faults: &mut Faults) -> Option<MqttConfig> {
    let password = secret::read(row, "password", place, faults).optional();
    let username = row.text("username").optional()?.map(str::to_string);
    if username.is_none() && matches!(password, Some(Some(_))) {
        let message = "[mqtt] has a password and no \"username\"";
        let key = if row.is_given("password") { "password" } else { "password_file" };
        faults.push(Diagnostic::at(code::MISPLACED, row.key_at(key), message).label("\"username\" is needed too"));
    }
    let topic = row.text("topic").ok()?;
    if let Some(site) = site {
        let own = format!("{topic}/{site}");
        for charger in chargers {
            if let Some(topic) = charger.text("topic").ok().filter(|topic| topics_meet(topic, &own)) {
                let message = format!("the topic of {} meets headroom's own", charger.who);
                let fault = Diagnostic::at(code::SAME_CHARGER, charger.at("topic"), message);
                faults.push(fault.label(format!("\"{topic}\" and \"{own}\" overlap")));
            }
        }
    }
    Some(MqttConfig {
        host: row.text("host").ok()?.to_string(),
        port: u16::try_from(row.whole("port").ok()?).ok()?,
        username,
        password: password?,
        client_id: row
            .text("client_id")
            .optional()?
            .map_or_else(|| format!("headroom-{}", site.unwrap_or_default()), str::to_string),
        topic: topic.to_string(),
        discovery: Some(row.text("discovery").ok()?.to_string()).filter(|prefix| !prefix.is_empty()),
        commands: row.flag("commands").ok()?,
    })
}

/// A charger on MQTT needs a broker.
pub fn needs_broker(has_mqtt: bool, chargers: &[Row], faults: &mut Faults) {
    let first = chargers.iter().find(|row| row.text("protocol").ok() == Some("mqtt"));
    if let (false, Some(row)) = (has_mqtt, first) {
        let message = format!("{} speaks MQTT, and the file has no [mqtt]", row.who);
        let fault = Diagnostic::at(code::SECTION_NEEDED, row.at("protocol"), message);
        faults.push(fault.label("needs a broker").help("add [mqtt] with the host of your broker"));
    }
}

/// The page; `None` after a fault.
pub fn http(row: &Row) -> Option<HttpConfig> {
    Some(HttpConfig { listen: row.text("listen").ok()?.parse().ok()? })
}

/// Two servers cannot have one port.
pub fn ports(ocpp: Option<&OcppConfig>, http: Option<&HttpConfig>, row: Option<&Row>, faults: &mut Faults) {
    let (Some(ocpp), Some(http), Some(row)) = (ocpp, http, row) else { return };
    let (a, b) = (ocpp.listen, http.listen);
    let is_shared = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    // Port 0 is chosen by the system, each time another one.
    if a.port() == b.port() && a.port() != 0 && is_shared {
        let message = format!("the page and OCPP listen on one port: {}", b.port());
        faults.push(Diagnostic::at(code::SAME_PORT, row.at("listen"), message).label(format!("[ocpp] has {a}")));
    }
}

/// The policy cloud; `None` after a fault.
pub fn cloud(row: &Row, place: &Place, faults: &mut Faults) -> Option<CloudConfig> {
    let token = secret::read(row, "token", place, faults).optional();
    let trust = trust::read(row, place, faults).optional();
    let allow_unsigned = row.flag("allow_unsigned").ok();
    if allow_unsigned == Some(false) && !row.is_given("trust_file") {
        let message =
            "no policy document will be taken: there is no key to verify one with, and unsigned ones are refused";
        let at = if row.is_given("allow_unsigned") { row.at("allow_unsigned") } else { row.span };
        let fault = Diagnostic::at(code::NO_POLICY, at, message);
        faults.push(fault.help(
            "trust_file names the keys of whoever signs; allow_unsigned = true takes what the cloud sends over https; \
             with neither [policy] holds",
        ));
    }
    let url = row.text("url").ok()?.trim_end_matches('/');
    if url.strip_prefix("http://").is_some_and(|rest| !is_loopback(rest)) {
        let message = "the policy cloud is reached without encryption: anybody between can read and change it";
        faults.push(Diagnostic::at(code::PLAIN_CLOUD, row.at("url"), message).label("https:// is safe"));
    }
    Some(CloudConfig {
        url: url.to_string(),
        gateway_id: row.text("gateway_id").ok()?.to_string(),
        location_id: row.text("location_id").ok()?.to_string(),
        token: token?,
        trust: trust?,
        allow_unsigned: allow_unsigned?,
        refresh: seconds(row, "refresh_s")?,
        may_reset: row.flag("may_reset").ok()?,
    })
}

/// Does this part of a URL, after its scheme, stay on this machine?
fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.starts_with('[') {
        return authority.starts_with("[::1]");
    }
    let host = authority.split(':').next().unwrap_or_default();
    host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}
