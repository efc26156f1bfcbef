//! How does a status look in a terminal? One picture: alarms, phases as bars, cars with their reasons, the rules.

use super::{CircuitStatus, EvseStatus, PolicyStatus, Severity, Status};
use crate::units::{Amps, PerPhase, Phase};
use std::fmt::Write;

/// Narrower terminals get this much and wrap by themselves: the numbers beside a bar take 44 columns.
const NARROWEST: usize = 64;
/// On a wider one the eye loses the row.
const WIDEST: usize = 140;
/// Columns of a phase row besides its bar: indent, phase, numbers.
const BESIDE_BAR: usize = 44;
/// A longer name is cut, so that the amperes stand below each other.
const NAME_MOST: usize = 14;

/// The status as lines of text, each ended by a line feed and at most `width` columns (64 to 140; what cannot be
/// broken may be longer). With `color`, ANSI colours are added; the picture reads the same without. Names come from
/// the configuration and the cloud, so control characters in them are replaced.
pub fn picture(status: &Status, width: usize, color: bool) -> String {
    let mut canvas = Canvas { text: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    let phases = Phase::ALL.into_iter().take(status.phases.into()).collect::<Vec<_>>();
    canvas.top(status);
    for alarm in &status.alarms {
        let (paint, word) = match alarm.severity {
            Severity::Error => (Paint::Bad, "ALARM"),
            Severity::Warning => (Paint::Warn, "WARNING"),
        };
        let since = alarm.since.format("%Y-%m-%d %H:%M UTC");
        canvas.paragraph(0, 2, paint, &format!("{word} {}; since {since}", alarm.text));
    }
    for circuit in &status.circuits {
        canvas.circuit(circuit, &phases);
    }
    if !status.circuits.is_empty() {
        canvas.legend();
    }
    let names = status.evses.iter().map(|evse| named(&evse.name, &evse.id).chars().count()).max().unwrap_or(0);
    for evse in &status.evses {
        canvas.evse(evse, &phases, names.min(NAME_MOST));
    }
    canvas.blank();
    canvas.paragraph(0, 2, Paint::Plain, &rules(&status.policy));
    canvas.text
}

/// What a piece of the picture means; its colour follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Plain,
    Strong,
    Soft,
    House,
    Cars,
    Sun,
    Warn,
    Bad,
}

impl Paint {
    /// SGR parameters (ECMA-48, 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Paint::Plain => "0",
            Paint::Strong => "1",
            Paint::Soft => "2",
            Paint::House => "34",
            Paint::Cars => "32",
            Paint::Sun | Paint::Warn => "33",
            Paint::Bad => "31",
        }
    }
}

struct Canvas {
    text: String,
    width: usize,
    color: bool,
}

impl Canvas {
    fn put(&mut self, paint: Paint, text: &str) {
        // Writing to a String cannot fail.
        let _ = match self.color && paint != Paint::Plain {
            true => write!(self.text, "\x1b[{}m{text}\x1b[0m", paint.code()),
            false => write!(self.text, "{text}"),
        };
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Text broken between words, its first line `first` columns in and the others `rest`.
    fn paragraph(&mut self, first: usize, rest: usize, paint: Paint, text: &str) {
        let mut indent = first;
        let mut line = String::new();
        for word in plain(text).split_whitespace() {
            let needed = indent + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && needed > self.width {
                self.line(indent, paint, &line);
                (indent, line) = (rest, String::new());
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(indent, paint, &line);
    }

    fn line(&mut self, indent: usize, paint: Paint, text: &str) {
        self.text.push_str(&" ".repeat(indent));
        self.put(paint, text);
        self.blank();
    }

    fn top(&mut self, status: &Status) {
        let name = plain(named(&status.name, &status.site));
        let at = status.at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        let gap = self.width.saturating_sub(name.chars().count() + at.len()).max(1);
        self.put(Paint::Strong, &name);
        self.put(Paint::Soft, &format!("{}{at}\n", " ".repeat(gap)));
        let mut facts = Vec::new();
        if let Some(power) = status.circuits.first().and_then(|main| main.power_w) {
            let way = if power < 0 { "to the grid" } else { "from the grid" };
            facts.push(format!("{} {way}", watts(power.saturating_abs())));
        }
        for inverter in &status.inverters {
            let power = inverter.power_w.map_or("silent".into(), watts);
            facts.push(format!("{} {power}", named(&inverter.name, &inverter.id)));
        }
        if !facts.is_empty() {
            self.paragraph(0, 0, Paint::Plain, &facts.join(", "));
        }
    }

    fn circuit(&mut self, circuit: &CircuitStatus, phases: &[Phase]) {
        self.blank();
        let name = named(&circuit.name, &circuit.id);
        self.paragraph(0, 2, Paint::Strong, &format!("{name}: {}, {}", fuse(circuit, phases), freshness(circuit)));
        let scale = Scale::of(circuit, phases, self.width - BESIDE_BAR);
        for phase in phases {
            self.put(Paint::Soft, &format!("  {phase} "));
            self.bar(circuit, *phase, &scale);
            let house = circuit.house_a.map_or("    ?".into(), |house| format!("{:5.1}", house[*phase].as_f64()));
            self.put(Paint::House, &format!(" house {house}"));
            self.put(Paint::Cars, &format!("  cars {:5.1}", circuit.cars_a[*phase].as_f64()));
            let (paint, words) = left(circuit.headroom_a, *phase);
            self.put(paint, &format!("  {words}\n"));
        }
    }

    fn bar(&mut self, circuit: &CircuitStatus, phase: Phase, scale: &Scale) {
        let cells = (0..scale.cells).map(|cell| scale.cell(circuit, phase, cell)).collect::<Vec<_>>();
        for run in cells.chunk_by(|one, next| one.1 == next.1) {
            self.put(run[0].1, &run.iter().map(|cell| cell.0).collect::<String>());
        }
    }

    fn legend(&mut self) {
        self.text.push_str("   ");
        for (paint, glyph, word) in [
            (Paint::House, HOUSE, "house"),
            (Paint::Cars, CARS, "cars"),
            (Paint::Soft, LEFT, "left"),
            (Paint::Soft, MARGIN, "kept free"),
            (Paint::Strong, FUSE, "fuse"),
        ] {
            self.put(paint, &format!("  {glyph}"));
            self.put(Paint::Soft, &format!(" {word}"));
        }
        self.blank();
    }

    fn evse(&mut self, evse: &EvseStatus, phases: &[Phase], name_width: usize) {
        self.blank();
        let name: String = plain(named(&evse.name, &evse.id)).chars().take(name_width).collect();
        let (paint, amps) = match (evse.plug.as_str(), evse.setpoint_a.is_positive()) {
            ("available", _) if evse.online => (Paint::Soft, "free".into()),
            (_, false) => (Paint::Warn, "paused".into()),
            (_, true) => (Paint::Cars, evse.setpoint_a.to_string()),
        };
        self.put(Paint::Strong, &format!("{name:name_width$}"));
        self.put(paint, &format!("  {amps:>7}"));
        let indent = name_width + 11;
        let mark = self.text.len();
        self.paragraph(indent, indent, Paint::Plain, &evse.words);
        // The first line continues the one with the name.
        self.text.replace_range(mark..mark + indent, "  ");
        self.paragraph(indent, indent, Paint::Soft, &details(evse, phases));
    }
}

const HOUSE: char = '█';
const CARS: char = '▓';
const SUN: char = '▒';
const LEFT: char = '·';
const MARGIN: char = '░';
const FUSE: char = '┃';

/// From amperes to cells; all phases of a circuit share it.
struct Scale {
    low: f64,
    high: f64,
    cells: usize,
}

impl Scale {
    fn of(circuit: &CircuitStatus, phases: &[Phase], cells: usize) -> Self {
        let (mut low, mut high) = (0.0_f64, 1.0_f64);
        for phase in phases {
            let (house, load) = levels(circuit, *phase);
            low = low.min(house).min(load);
            high = high.max(circuit.limit_a[*phase].as_f64()).max(load);
        }
        Scale { low, high, cells }
    }

    /// What stands in this cell: the value in its middle decides, the fuse's cell is the fuse's.
    fn cell(&self, circuit: &CircuitStatus, phase: Phase, cell: usize) -> (char, Paint) {
        let step = (self.high - self.low) / self.cells as f64;
        let from = self.low + cell as f64 * step;
        let value = from + step / 2.0;
        let limit = circuit.limit_a[phase].as_f64();
        let usable = limit - circuit.margin_a[phase].as_f64();
        let (house, load) = levels(circuit, phase);
        let is_last = cell + 1 == self.cells && limit >= self.high;
        if is_last || (limit >= from && limit < from + step) {
            return (FUSE, Paint::Strong);
        }
        let over = |paint| if value > usable { Paint::Bad } else { paint };
        match value {
            value if value > 0.0 && value < house => (HOUSE, over(Paint::House)),
            value if value > house && value < load => (CARS, over(Paint::Cars)),
            value if value > load && value < 0.0 => (SUN, Paint::Sun),
            value if value > limit => (' ', Paint::Plain),
            // A cell that reaches into what is kept free shows it.
            _ if from + step > usable => (MARGIN, Paint::Soft),
            _ if circuit.headroom_a.is_none() => ('?', Paint::Soft),
            _ => (LEFT, Paint::Soft),
        }
    }
}

/// The house, and the house with the cars. An unknown house counts as none: the cars alone are drawn.
fn levels(circuit: &CircuitStatus, phase: Phase) -> (f64, f64) {
    let house = circuit.house_a.map_or(Amps::ZERO, |house| house[phase]);
    (house.as_f64(), (house + circuit.cars_a[phase]).as_f64())
}

fn left(headroom: Option<PerPhase<Amps>>, phase: Phase) -> (Paint, String) {
    let Some(left) = headroom.map(|headroom| headroom[phase].as_f64()) else {
        return (Paint::Warn, "left unknown".into());
    };
    match left {
        left if left < -0.05 => (Paint::Bad, format!("{:5.1} A over", -left)),
        left => (if left < 1.0 { Paint::Warn } else { Paint::Plain }, format!("{:5.1} A left", left.max(0.0))),
    }
}

fn fuse(circuit: &CircuitStatus, phases: &[Phase]) -> String {
    let limits: Vec<Amps> = phases.iter().map(|phase| circuit.limit_a[*phase]).collect();
    match limits.as_slice() {
        [first, rest @ ..] if rest.iter().all(|limit| limit == first) => first.to_string(),
        limits => limits.iter().map(Amps::to_string).collect::<Vec<_>>().join(" / "),
    }
}

fn freshness(circuit: &CircuitStatus) -> String {
    let ago = circuit.age_s.map_or(String::new(), |age| format!(", read {age:.1} s ago"));
    match circuit.freshness.as_str() {
        "unmetered" => "no meter".into(),
        "lost" => format!("meter lost{ago}: cars on fallback"),
        other => format!("meter {other}{ago}"),
    }
}

fn details(evse: &EvseStatus, phases: &[Phase]) -> String {
    let mut parts = vec![if evse.online { evse.plug.replace('_', " ") } else { "not reachable".into() }];
    let draws = phases.iter().filter(|phase| evse.draw_a[**phase].is_positive());
    let draws = draws.map(|phase| format!("{phase} {:.1}", evse.draw_a[*phase].as_f64())).collect::<Vec<_>>();
    if !draws.is_empty() {
        let how = if evse.is_measured { "measured" } else { "assumed" };
        parts.push(format!("takes {} A ({how})", draws.join(" ")));
    }
    parts.extend(evse.alias.clone());
    if !evse.class.is_empty() {
        parts.push(format!("{} (priority {})", evse.class, evse.priority));
    }
    if !matches!(evse.mode.as_str(), "" | "fast") {
        parts.push(format!("mode {}", evse.mode));
    }
    match (evse.session_kwh, evse.session_s) {
        (Some(energy), Some(seconds)) => parts.push(format!("{energy:.1} kWh in {}", span(seconds))),
        (None, Some(seconds)) => parts.push(format!("for {}", span(seconds))),
        (_, None) => {}
    }
    let after = evse.lease_s.map_or(String::new(), |lease| format!(" after {}", span(lease)));
    parts.push(format!("without us {}{after}", evse.fallback_a));
    parts.join(", ")
}

fn rules(policy: &PolicyStatus) -> String {
    let mut text = match policy.source.as_str() {
        "cloud" => format!("Rules: from the cloud, {}", policy.state),
        _ => "Rules: from this gateway's own file".into(),
    };
    if let Some(version) = policy.version {
        text += &format!(", version {version}");
    }
    if let Some(age) = policy.age_s {
        text += &format!(", confirmed {} ago", span(age));
    }
    if let Some(why) = &policy.refused {
        text += &format!("; the newest were refused: {why}");
    }
    text
}

fn named<'a>(name: &'a str, id: &'a str) -> &'a str {
    if name.is_empty() { id } else { name }
}

fn watts(power: i32) -> String {
    if power.saturating_abs() < 1000 { format!("{power} W") } else { format!("{:.1} kW", f64::from(power) / 1000.0) }
}

fn span(seconds: u64) -> String {
    let minutes = seconds.saturating_add(30) / 60;
    match (seconds, minutes) {
        (0..90, _) => format!("{seconds} s"),
        (_, 0..60) => format!("{minutes} min"),
        (_, 60..2880) => format!("{} h {} min", minutes / 60, minutes % 60),
        (_, _) => format!("{} d {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

/// A name must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests;
