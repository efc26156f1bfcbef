//! Which keys may a configuration have? This table: it drives the check of names, types, ranges and defaults, and
//! docs/CONFIG.md and config/headroom.toml are tested against it.

use crate::site::MOST_LISTED;

/// A table in the file, such as `[site]` or each `[[circuit]]`.
#[derive(Debug)]
pub struct Section {
    /// Its path with dots, such as `policy.token`; empty for the file itself.
    pub path: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A key of a section.
#[derive(Debug)]
pub struct Key {
    /// Its name; the unit follows an underscore (`_a`, `_s`, `_ms`, `_percent`).
    pub name: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What holds where it is absent.
    pub otherwise: Otherwise,
}

/// What may stand behind a key.
#[derive(Debug)]
pub enum Kind {
    /// Words for people: one line, not empty.
    Words,
    /// `a-z 0-9 _ -`, as it becomes a part of topics.
    Id,
    /// Letters, digits and `- _ . * = + @`, as it becomes a part of a URL.
    Identity,
    /// The identity of a card.
    Card,
    /// A secret in the file itself.
    Secret,
    /// A path; relative ones start at the file's directory.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number in this range.
    Whole(i64, i64),
    /// A number in this range.
    Number(f64, f64),
    /// A number in this range for all phases, or a list with one for each.
    Phases(f64, f64),
    /// A number in this range, or a list of up to eight currents, each in the range of [`LISTED`].
    Step(f64, f64),
    /// `host:port`.
    HostPort,
    /// A host name or address.
    Host,
    /// `address:port` of this machine.
    Listen,
    /// `http://…` or `https://…`.
    Url,
    /// An MQTT topic without wildcards.
    Topic,
    /// An MQTT topic, or nothing at all.
    TopicOrNothing,
    /// One table.
    Table(&'static Section),
    /// Any number of tables.
    Tables(&'static Section),
}

/// What holds where a key is absent.
#[derive(Debug)]
pub enum Otherwise {
    /// Then the configuration is refused.
    Needed,
    /// This value.
    Is(Literal),
    /// What these words say; the compiler works it out.
    Says(&'static str),
}

/// A default value.
#[derive(Debug, Clone, Copy)]
pub enum Literal {
    /// Text.
    Text(&'static str),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Flag(bool),
}

use Kind::*;
use Otherwise::{Is, Needed, Says};

const fn key(name: &'static str, kind: Kind, otherwise: Otherwise) -> Key {
    Key { name, kind, otherwise }
}

const fn text(value: &'static str) -> Otherwise {
    Is(Literal::Text(value))
}

const fn whole(value: i64) -> Otherwise {
    Is(Literal::Whole(value))
}

const fn number(value: f64) -> Otherwise {
    Is(Literal::Number(value))
}

/// Beyond any fuse of a low-voltage connection.
const MOST_AMPS: f64 = 10_000.0;

/// A charger's currents, in a list.
pub const LISTED: (f64, f64) = (6.0, 1_000.0);

/// Less than 6 A on one phase, the least that a car can take, is no limit but a ban.
const LEAST_KILOWATTS: f64 = 1.4;
/// As [`MOST_AMPS`], on three phases.
const MOST_KILOWATTS: f64 = 10_000.0;

/// Where things are kept unless the file says otherwise.
pub const STATE_DIR: &str = "/var/lib/headroom";

/// The whole file.
pub const FILE: Section = Section {
    path: "",
    keys: &[
        key("site", Table(&SITE), Needed),
        key("circuit", Tables(&CIRCUIT), Needed),
        key("meter", Tables(&METER), Says("none")),
        key("inverter", Tables(&INVERTER), Says("none")),
        key("charger", Tables(&CHARGER), Says("none")),
        key("ocpp", Table(&OCPP), Says("all its defaults")),
        key("mqtt", Table(&MQTT), Says("no MQTT")),
        key("http", Table(&HTTP), Says("no page")),
        key("cloud", Table(&CLOUD), Says("the local `[policy]` only")),
        key("policy", Table(&POLICY), Says("all its defaults")),
        key("control", Table(&CONTROL), Says("all its defaults")),
        key("recorder", Table(&RECORDER), Says("all its defaults")),
    ],
};

/// `[site]`
pub const SITE: Section = Section {
    path: "site",
    keys: &[
        key("id", Id, Needed),
        key("name", Words, Says("the id")),
        key("wiring", Choice(&["star", "single", "delta"]), Needed),
        key("house_worst_a", Phases(0.0, MOST_AMPS), Needed),
        key("contract_kw", Number(LEAST_KILOWATTS, MOST_KILOWATTS), Says("no limit but the fuse")),
        key("dso_kw", Number(LEAST_KILOWATTS, MOST_KILOWATTS), Says("no limit but the fuse")),
        key("unbalance_a", Number(6.0, MOST_AMPS), Says("no limit but the fuse")),
        key("state_dir", Path, text(STATE_DIR)),
        key("device_dir", Path, Says("built-in device files only")),
    ],
};

/// `[[circuit]]`
pub const CIRCUIT: Section = Section {
    path: "circuit",
    keys: &[
        key("id", Id, Needed),
        key("name", Words, Says("the id")),
        key("fuse_a", Phases(1.0, MOST_AMPS), Needed),
        key("margin_a", Number(0.0, MOST_AMPS), Says("max(0.5, 2 % of the fuse) + the meter's `resolution_a`")),
        key("parent", Id, Says("it is the grid connection")),
        key("other_load_a", Phases(0.0, MOST_AMPS), Says("needed where the circuit has no meter")),
    ],
};

/// A sample is lost after three intervals: a meter that is read less than once a minute protects no fuse.
const MOST_INTERVAL_MS: i64 = 60_000;

/// `[[meter]]`
pub const METER: Section = Section {
    path: "meter",
    keys: &[
        key("id", Id, Needed),
        key("name", Words, Says("the id")),
        key("circuit", Id, Needed),
        key("device", Id, Needed),
        key("address", HostPort, Says("needed without `serial`")),
        key("serial", Path, Says("needed without `address`")),
        key("baud", Whole(1_200, 115_200), whole(9_600)),
        key("parity", Choice(&["none", "even", "odd"]), text("none")),
        key("stop_bits", Whole(1, 2), whole(1)),
        key("unit", Whole(0, 255), whole(1)),
        key("interval_ms", Whole(100, MOST_INTERVAL_MS), whole(1_000)),
        key("resolution_a", Number(0.0, 10.0), number(0.01)),
    ],
};

/// `[[inverter]]`
pub const INVERTER: Section = Section {
    path: "inverter",
    keys: &[
        key("id", Id, Needed),
        key("name", Words, Says("the id")),
        key("device", Id, Needed),
        key("address", HostPort, Says("needed without `serial`")),
        key("serial", Path, Says("needed without `address`")),
        key("baud", Whole(1_200, 115_200), whole(9_600)),
        key("parity", Choice(&["none", "even", "odd"]), text("none")),
        key("stop_bits", Whole(1, 2), whole(1)),
        key("unit", Whole(0, 255), whole(1)),
        key("interval_ms", Whole(100, MOST_INTERVAL_MS), whole(5_000)),
    ],
};

const ROTATIONS: &[&str] = &["RST", "STR", "TRS", "RTS", "SRT", "TSR", "R", "S", "T", "RS", "ST", "TR"];

/// `[[charger]]`
pub const CHARGER: Section = Section {
    path: "charger",
    keys: &[
        key("id", Id, Needed),
        key("name", Words, Says("the id")),
        key("circuit", Id, Needed),
        key("protocol", Choice(&["ocpp", "mqtt"]), Needed),
        key("identity", Identity, Says("needed with OCPP")),
        key("connector", Whole(1, 1_000), whole(1)),
        key("password", Secret, Says("needed with OCPP, or `password_file`")),
        key("password_file", Path, Says("needed with OCPP, or `password`")),
        key("topic", Topic, Says("needed with MQTT")),
        key("phases", Whole(1, 3), Says("as many as `rotation` names, else as the site has")),
        key("rotation", Choice(ROTATIONS), Says("`\"RST\"`; needed with one phase of three")),
        key("least_a", Number(LISTED.0, 80.0), number(6.0)),
        key("most_a", Number(LISTED.0, LISTED.1), number(16.0)),
        key("fallback_a", Number(0.0, 1_000.0), Says("`least_a`")),
        key("step_a", Step(0.1, 10.0), number(1.0)),
        key("lease_s", Whole(10, 3_600), whole(120)),
        key("response_s", Whole(1, 120), whole(13)),
        key("lapse", Choice(&["a", "b", "c"]), Says("`\"b\"` with OCPP, `\"a\"` with MQTT")),
        key("metering_s", Whole(0, 3_600), whole(10)),
    ],
};

/// `[ocpp]`
pub const OCPP: Section = Section {
    path: "ocpp",
    keys: &[
        key("listen", Listen, text("0.0.0.0:9000")),
        key("heartbeat_s", Whole(10, 86_400), whole(60)),
        key("meter_interval_s", Whole(1, 3_600), whole(10)),
        key("allow_unauthenticated", Flag, Is(Literal::Flag(false))),
    ],
};

/// `[mqtt]`
pub const MQTT: Section = Section {
    path: "mqtt",
    keys: &[
        key("host", Host, Needed),
        key("port", Whole(1, 65_535), whole(1_883)),
        key("username", Words, Says("no login")),
        key("password", Secret, Says("no password")),
        key("password_file", Path, Says("no password")),
        key("client_id", Identity, Says("`headroom-` and the site's id")),
        key("topic", Topic, text("headroom")),
        key("discovery", TopicOrNothing, text("homeassistant")),
        key("commands", Flag, Is(Literal::Flag(false))),
    ],
};

/// `[http]`
pub const HTTP: Section = Section { path: "http", keys: &[key("listen", Listen, text("0.0.0.0:8080"))] };

/// `[cloud]`
pub const CLOUD: Section = Section {
    path: "cloud",
    keys: &[
        key("url", Url, Needed),
        key("gateway_id", Identity, Needed),
        key("location_id", Identity, Needed),
        key("token", Secret, Says("no token")),
        key("token_file", Path, Says("no token")),
        key("trust_file", Path, Says("no signatures")),
        key("allow_unsigned", Flag, Is(Literal::Flag(false))),
        key("refresh_s", Whole(5, 86_400), whole(60)),
        key("may_reset", Flag, Is(Literal::Flag(false))),
    ],
};

/// `[policy]`
pub const POLICY: Section = Section {
    path: "policy",
    keys: &[
        key("access", Choice(&["open", "known"]), text("open")),
        key("main_limit_percent", Whole(1, 100), whole(100)),
        key("mode", Choice(&["fast", "eco", "solar"]), text("fast")),
        key("token", Tables(&TOKEN), Says("none")),
    ],
};

/// Each `token` of `[policy]`
pub const TOKEN: Section = Section {
    path: "policy.token",
    keys: &[
        key("uid", Card, Needed),
        key("alias", Words, Says("no name")),
        key("priority", Whole(-9, 9), whole(0)),
        key("weight", Whole(1, 1_000), whole(1)),
        key("ceiling_a", Number(6.0, 1_000.0), Says("no ceiling")),
    ],
};

/// `[control]`
pub const CONTROL: Section = Section {
    path: "control",
    keys: &[
        key("hold_s", Whole(0, 3_600), whole(10)),
        key("memory_s", Whole(0, 60), whole(18)),
        key("restart_s", Whole(0, 86_400), whole(300)),
        key("dwell_s", Whole(0, 86_400), whole(900)),
        key("ageing_s", Whole(0, 86_400), whole(900)),
        key("dead_band_a", Number(0.0, 10.0), number(0.5)),
        key("stale_after_s", Whole(1, 300), whole(3)),
        key("lost_after_s", Whole(2, 600), whole(10)),
        key("good_samples", Whole(1, 1_000), whole(10)),
    ],
};

/// Below this a segment is too short for a large site; above it a Pi has better uses for its memory.
const LEAST_MIB: i64 = 1;
const MOST_MIB: i64 = 1_024;

/// `[recorder]`
pub const RECORDER: Section = Section {
    path: "recorder",
    keys: &[
        key("enabled", Flag, Is(Literal::Flag(true))),
        key("dir", Path, text("/run/headroom")),
        key("most_mib", Whole(LEAST_MIB, MOST_MIB), whole(8)),
    ],
};

impl Section {
    /// This key of it.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Key {
    /// The unit that its name ends with.
    pub fn unit(&self) -> &'static str {
        let units = [("_mib", "MiB"), ("_ms", "ms"), ("_s", "s"), ("_a", "A"), ("_kw", "kW"), ("_percent", "%")];
        units.iter().find(|(ending, _)| self.name.ends_with(ending)).map_or("", |(_, unit)| unit)
    }
}

impl Kind {
    /// The type, for people.
    pub fn words(&self) -> &'static str {
        match self {
            Words | Id | Identity | Card | Secret | Host | HostPort | Listen | Url | Topic | TopicOrNothing => "text",
            Path => "path",
            Choice(_) => "word",
            Flag => "true or false",
            Whole(..) => "whole number",
            Number(..) => "number",
            Phases(..) => "number, or one a phase",
            Step(..) => "number, or a list",
            Table(_) => "section",
            Tables(_) => "list of sections",
        }
    }

    /// The range or form, for people.
    pub fn range(&self) -> String {
        match self {
            Words => "1 to 200 characters".into(),
            Id => "1 to 40 of `a-z 0-9 _ -`".into(),
            Identity => "1 to 48 of `A-Z a-z 0-9 - _ . * = + @`".into(),
            Card => "1 to 20 letters and digits".into(),
            Secret => "1 to 4096 characters".into(),
            Path => "relative to the file".into(),
            Choice(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
            Whole(least, most) => format!("{least} to {most}"),
            Number(least, most) | Phases(least, most) => format!("{least} to {most}"),
            Step(least, most) => format!("{least} to {most}, or up to {MOST_LISTED} currents"),
            HostPort => "`host:port`".into(),
            Host => "host name or address".into(),
            Listen => "`address:port`".into(),
            Url => "`http://…` or `https://…`".into(),
            Topic => "MQTT topic without `+` and `#`".into(),
            TopicOrNothing => "MQTT topic without `+` and `#`, or `\"\"`".into(),
            Flag | Table(_) | Tables(_) => String::new(),
        }
    }
}

impl std::fmt::Display for Literal {
    /// As it is written in TOML.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Text(text) => write!(f, "\"{text}\""),
            Literal::Whole(whole) => write!(f, "{whole}"),
            Literal::Number(number) => write!(f, "{number}"),
            Literal::Flag(flag) => write!(f, "{flag}"),
        }
    }
}
