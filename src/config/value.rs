//! Does this one value fit its key? Type, range and form, whatever the rest of the file says.

use super::code;
use super::diagnostic::{Diagnostic, Span};
use super::raw::{Faults, Value};
use super::schema::{Key, Kind, LISTED};
use super::suggest::closest;
use crate::policy::normalise;
use std::net::SocketAddr;
use toml::de::{DeArray, DeValue};

/// The value, or `None` after a fault that leaves its meaning unclear. `what` is such as `fuse_a of circuit "main"`.
pub fn check(key: &Key, value: &DeValue, span: Span, what: &str, faults: &mut Faults) -> Option<Value> {
    let mut cell = Cell { key, span, what, faults };
    match &key.kind {
        Kind::Flag => match value.as_bool() {
            Some(flag) => Some(Value::Flag(flag)),
            None => cell.wrong_type("true or false", value),
        },
        Kind::Whole(least, most) => cell.whole(value, *least, *most).map(Value::Whole),
        Kind::Number(least, most) => cell.number(value, *least, *most).map(Value::Number),
        Kind::Phases(least, most) => cell.phases(value, *least, *most),
        Kind::Step(least, most) => cell.step(value, *least, *most),
        _ => match value.as_str() {
            Some(text) => cell.text(text).map(Value::Text),
            None => cell.wrong_type("text in quotes", value),
        },
    }
}

/// What is wrong with a text.
enum Wrong {
    /// Said so, with advice or none.
    Form(&'static str, Option<String>),
    /// Said so, but it is plain what was meant.
    Meant(&'static str, &'static str, String),
}

struct Cell<'c, 't> {
    key: &'c Key,
    span: Span,
    what: &'c str,
    faults: &'c mut Faults<'t>,
}

impl Cell<'_, '_> {
    fn wrong_type<T>(&mut self, wanted: &str, value: &DeValue) -> Option<T> {
        let message = format!("{} must be {wanted}, not {}", self.what, found(value));
        self.faults
            .push(Diagnostic::at(code::WRONG_TYPE, self.span, message).label(format!("{wanted} is needed here")));
        None
    }

    /// A number in quotes is told, and taken as the number that it is.
    fn quoted(&mut self, wanted: &str, value: &DeValue, number: &str) {
        let message = format!("{} must be {wanted}, not {}", self.what, found(value));
        let fault = Diagnostic::at(code::WRONG_TYPE, self.span, message).label(format!("{wanted} is needed here"));
        self.faults.push(fault.help(format!("write {number} without quotes")));
    }

    fn out_of_range<T>(&mut self, range: &str) -> Option<T> {
        let unit = self.key.unit();
        let range = if unit.is_empty() { range.to_string() } else { format!("{range} {unit}") };
        let message = format!("{} is out of range", self.what);
        self.faults.push(Diagnostic::at(code::OUT_OF_RANGE, self.span, message).label(format!("{range} is allowed")));
        None
    }

    fn whole(&mut self, value: &DeValue, least: i64, most: i64) -> Option<i64> {
        let range = format!("{least} to {most}");
        let whole = match value {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::String(text) => match text.trim().parse::<i64>() {
                Ok(number) => {
                    self.quoted("a whole number", value, text.trim());
                    Some(number)
                }
                Err(_) => return self.wrong_type("a whole number", value),
            },
            _ => return self.wrong_type("a whole number", value),
        };
        match whole.filter(|whole| (least..=most).contains(whole)) {
            Some(whole) => Some(whole),
            None => self.out_of_range(&range),
        }
    }

    fn number(&mut self, value: &DeValue, least: f64, most: f64) -> Option<f64> {
        let number = match value {
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|whole| whole as f64)
            }
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::String(text) => match text.trim().parse::<f64>() {
                Ok(number) => {
                    self.quoted("a number", value, text.trim());
                    Some(number)
                }
                Err(_) => return self.wrong_type("a number", value),
            },
            _ => return self.wrong_type("a number", value),
        };
        // NaN is in no range.
        match number.filter(|number| (least..=most).contains(number)) {
            Some(number) => Some(number),
            None => self.out_of_range(&format!("{least} to {most}")),
        }
    }

    fn phases(&mut self, value: &DeValue, least: f64, most: f64) -> Option<Value> {
        let DeValue::Array(list) = value else {
            return match value {
                DeValue::Integer(_) | DeValue::Float(_) | DeValue::String(_) => {
                    self.number(value, least, most).map(Value::Phase)
                }
                _ => self.wrong_type("a number, or a list with one for each phase", value),
            };
        };
        if list.len() != 1 && list.len() != 3 {
            let message = format!("{} has {} values", self.what, list.len());
            let fault = Diagnostic::at(code::PHASE_COUNT, self.span, message);
            self.faults.push(fault.label("one number for all phases, or one for each"));
            return None;
        }
        self.numbers(list, least, most).map(Value::Phases)
    }

    fn step(&mut self, value: &DeValue, least: f64, most: f64) -> Option<Value> {
        match value {
            DeValue::Array(list) => self.numbers(list, LISTED.0, LISTED.1).map(Value::Currents),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::String(_) => {
                self.number(value, least, most).map(Value::Number)
            }
            _ => self.wrong_type("a number, or a list of currents", value),
        }
    }

    fn numbers(&mut self, list: &DeArray, least: f64, most: f64) -> Option<Vec<f64>> {
        let whole = self.span;
        let mut numbers = Vec::new();
        for item in list.iter() {
            self.span = item.span().into();
            numbers.push(self.number(item.get_ref(), least, most));
        }
        self.span = whole;
        numbers.into_iter().collect()
    }

    fn text(&mut self, text: &str) -> Option<String> {
        if let Kind::Choice(words) = &self.key.kind {
            return self.choice(text, words);
        }
        match form(&self.key.kind, text) {
            Ok(()) => Some(text.to_string()),
            Err(Wrong::Form(label, help)) => {
                let message = format!("{} does not have the right form", self.what);
                let fault = Diagnostic::at(code::WRONG_FORM, self.span, message).label(label);
                self.faults.push(Diagnostic { help, ..fault });
                None
            }
            Err(Wrong::Meant(label, advice, meant)) => {
                let message = format!("{} does not have the right form", self.what);
                let fault = Diagnostic::at(code::WRONG_FORM, self.span, message).label(label);
                self.faults.push(fault.help(format!("{advice} \"{meant}\"")));
                Some(meant)
            }
        }
    }

    fn choice(&mut self, text: &str, words: &[&'static str]) -> Option<String> {
        if words.contains(&text) {
            return Some(text.to_string());
        }
        let list: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let message = format!("{} cannot be \"{text}\"", self.what);
        let fault = Diagnostic::at(code::WRONG_WORD, self.span, message).label(format!("one of {}", list.join(", ")));
        let guess = closest(text, words.iter().copied());
        self.faults.push(fault.did_you_mean(guess));
        guess.map(str::to_string)
    }
}

fn form(kind: &Kind, text: &str) -> Result<(), Wrong> {
    let wrong = |is_right: bool, label: &'static str| if is_right { Ok(()) } else { Err(Wrong::Form(label, None)) };
    let is_line =
        |most: usize| !text.trim().is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control);
    match kind {
        Kind::Id => {
            let is_id = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            if (1..=40).contains(&text.len()) && text.chars().all(is_id) {
                return Ok(());
            }
            let meant: String =
                text.to_lowercase().trim().chars().map(|c| if is_id(c) { c } else { '-' }).take(40).collect();
            let advice = meant.contains(|c: char| c.is_ascii_alphanumeric()).then(|| format!("write \"{meant}\""));
            Err(Wrong::Form("1 to 40 of a-z 0-9 _ -", advice))
        }
        Kind::Identity => {
            let is_right = (1..=48).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.*=+@".contains(c));
            wrong(is_right, "1 to 48 of A-Z a-z 0-9 - _ . * = + @")
        }
        Kind::Card => {
            let card = normalise(text);
            wrong(
                (1..=20).contains(&card.len()) && card.chars().all(|c| c.is_ascii_alphanumeric()),
                "1 to 20 letters and digits, as OCPP 1.6 allows",
            )
        }
        // An empty secret has a code of its own.
        Kind::Secret => wrong(text.is_empty() || is_line(4_096), "one line of at most 4096 characters"),
        Kind::Path => wrong(!text.is_empty() && !text.contains('\0'), "a path"),
        Kind::HostPort => host_port(text),
        Kind::Host => host(text),
        Kind::Listen => match text.parse::<SocketAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(Wrong::Form("address:port, such as \"0.0.0.0:8080\" or \"[::]:8080\"", None)),
        },
        Kind::Url => url(text),
        Kind::Topic => wrong(is_topic(text), "an MQTT topic without + and #, without / at its ends"),
        Kind::TopicOrNothing => {
            wrong(text.is_empty() || is_topic(text), "an MQTT topic without + and #, without / at its ends")
        }
        Kind::Words => wrong(is_line(200), "one line of 1 to 200 characters"),
        Kind::Choice(_)
        | Kind::Flag
        | Kind::Whole(..)
        | Kind::Number(..)
        | Kind::Phases(..)
        | Kind::Step(..)
        | Kind::Table(_)
        | Kind::Tables(_) => Ok(()),
    }
}

fn is_topic(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && !text.starts_with(['/', '$'])
        && !text.ends_with('/')
        && !text.contains(['+', '#'])
        && !text.chars().any(char::is_control)
}

/// A host name, an IPv4 address or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            (1..=253).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_')
        }
    }
}

fn port(text: &str) -> Option<u16> {
    let is_plain = text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port > 0)
}

fn host_port(text: &str) -> Result<(), Wrong> {
    const LABEL: &str = "host:port, such as \"192.168.1.20:502\"";
    match text.rsplit_once(':') {
        Some((host, number)) if is_host(host) && port(number).is_some() => Ok(()),
        _ if is_host(text) => {
            Err(Wrong::Meant(LABEL, "the port is missing; Modbus TCP's own is", format!("{text}:502")))
        }
        _ => Err(Wrong::Form(LABEL, None)),
    }
}

fn host(text: &str) -> Result<(), Wrong> {
    const LABEL: &str = "a host name or an address, without a port";
    if is_host(text) || text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(());
    }
    match text.rsplit_once(':') {
        Some((host, number)) if is_host(host) && port(number).is_some() => {
            Err(Wrong::Meant(LABEL, "the port has a key of its own; write", host.to_string()))
        }
        _ => Err(Wrong::Form(LABEL, None)),
    }
}

fn url(text: &str) -> Result<(), Wrong> {
    const LABEL: &str = "http:// or https:// and a host, perhaps a port and a path";
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        let advice = is_host(text.split('/').next().unwrap_or_default()).then(|| format!("write \"https://{text}\""));
        return Err(Wrong::Form(LABEL, advice));
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_authority = match authority.rsplit_once(':') {
        Some((host, number)) if !authority.ends_with(']') => is_host(host) && port(number).is_some(),
        _ => is_host(authority),
    };
    let is_path = text.len() <= 200 && path.chars().all(|c| c.is_ascii_graphic() && !"?#\"<>\\^`{|}".contains(c));
    if is_authority && is_path { Ok(()) } else { Err(Wrong::Form(LABEL, None)) }
}

fn found(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_right(kind: &Kind, text: &str) -> bool {
        form(kind, text).is_ok()
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for right in ["192.168.1.20:502", "meter.local:502", "[fe80::1]:502", "m:65535"] {
            assert!(is_right(&Kind::HostPort, right), "{right}");
        }
        for wrong in ["", ":502", "m:", "m:0", "m:+5", "m:65536", "fe80::1:502", "http://m:502", "a b:502", "[x]:502"] {
            assert!(!is_right(&Kind::HostPort, wrong), "{wrong}");
        }
    }

    #[test]
    fn a_forgotten_port_and_one_too_many_are_read_as_meant() {
        assert!(matches!(form(&Kind::HostPort, "meter"), Err(Wrong::Meant(_, _, meant)) if meant == "meter:502"));
        assert!(matches!(form(&Kind::Host, "broker:1883"), Err(Wrong::Meant(_, _, meant)) if meant == "broker"));
        assert!(is_right(&Kind::Host, "::1") && is_right(&Kind::Host, "broker"));
    }

    #[test]
    fn a_url_has_a_scheme_and_a_host_and_hides_no_login() {
        for right in
            ["https://cloud.example", "http://127.0.0.1:8090/", "https://[::1]:8443/policy/v1", "https://[::1]"]
        {
            assert!(is_right(&Kind::Url, right), "{right}");
        }
        for wrong in
            ["cloud.example", "ftp://x", "https://", "https://u:p@x", "https://x/?a", "https://x/a b", "http://x:0"]
        {
            assert!(!is_right(&Kind::Url, wrong), "{wrong}");
        }
    }

    #[test]
    fn a_topic_has_no_wildcards_and_a_card_is_what_ocpp_can_say() {
        assert!(is_right(&Kind::Topic, "headroom/chargers/left") && is_right(&Kind::TopicOrNothing, ""));
        for wrong in ["", "/a", "a/", "a/+/b", "#", "$SYS/a", "a\nb"] {
            assert!(!is_right(&Kind::Topic, wrong), "{wrong}");
        }
        assert!(is_right(&Kind::Card, "04:A2-b3 c4") && is_right(&Kind::Card, "12345678901234567890"));
        assert!(!is_right(&Kind::Card, "123456789012345678901") && !is_right(&Kind::Card, "::"));
    }
}
