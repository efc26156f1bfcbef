//! What stands in the file? Each table, checked against its section: names, types and ranges, all faults at once.
//!
//! A slip whose meaning is plain (`fuse` for `fuse_a`, `"16"` for `16`) is a fault, and the rest of the check goes on
//! with what was meant. What stays unclear is [`Given::Faulty`]: already told, so nobody tells it again.

use super::code;
use super::diagnostic::{Diagnostic, Severity, Span, line_of};
use super::schema::{FILE, Key, Kind, Literal, Otherwise, Section};
use super::suggest::closest;
use super::value;
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// All faults found so far.
#[derive(Debug)]
pub struct Faults<'t> {
    text: &'t str,
    /// In the order in which they were found.
    pub list: Vec<Diagnostic>,
    /// What the installer is told besides.
    pub notes: Vec<String>,
}

/// A checked table.
#[derive(Debug)]
pub struct Row {
    /// Its header in the file.
    pub span: Span,
    /// As it is called in messages, such as `circuit "garage"`.
    pub who: String,
    section: &'static Section,
    cells: BTreeMap<&'static str, Cell>,
}

#[derive(Debug)]
struct Cell {
    /// `None` where it is a default.
    spans: Option<(Span, Span)>,
    /// `None` where it is faulty.
    value: Option<Value>,
}

/// A value that fits its key's kind.
#[derive(Debug)]
pub enum Value {
    /// All kinds of text.
    Text(String),
    /// In its range.
    Whole(i64),
    /// In its range.
    Number(f64),
    /// One for all phases, each in its range.
    Phase(f64),
    /// A list with one for each phase (one or three), each in its range.
    Phases(Vec<f64>),
    /// A list of currents, each in its range.
    Currents(Vec<f64>),
    /// True or false.
    Flag(bool),
    /// Tables; one for [`Kind::Table`].
    Rows(Vec<Row>),
}

/// A value for the phases.
#[derive(Debug, Clone, Copy)]
pub enum Phases<'r> {
    /// The same for all.
    All(f64),
    /// One for each.
    Each(&'r [f64]),
}

/// What a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<T> {
    /// Nothing, and it may.
    Absent,
    /// Something wrong, which has been told.
    Faulty,
    /// This, from the file or by default.
    Is(T),
}

/// Parses and checks the whole file; `None` if it is not TOML.
pub fn parse(text: &str, faults: &mut Faults) -> Option<Row> {
    /// After so many, the rest are mostly echoes of the first.
    const MOST_SYNTAX_FAULTS: usize = 10;
    let (tree, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(usize::MAX, |span| span.start));
    for error in errors.iter().take(MOST_SYNTAX_FAULTS) {
        let message = format!("this is not TOML: {}", error.message());
        faults.push(match error.span() {
            Some(span) => Diagnostic::at(code::SYNTAX, span.into(), message),
            None => Diagnostic::of_file(code::SYNTAX, message),
        });
    }
    errors.is_empty().then(|| Row::check(&FILE, tree.get_ref(), (0..0).into(), None, faults))
}

impl<'t> Faults<'t> {
    /// None so far in this text.
    pub fn new(text: &'t str) -> Self {
        Faults { text, list: Vec::new(), notes: Vec::new() }
    }

    /// One more.
    pub fn push(&mut self, fault: Diagnostic) {
        self.list.push(fault);
    }

    /// The line of a place, for messages about another place.
    pub fn line(&self, span: Span) -> usize {
        line_of(self.text, span.start)
    }

    /// Is any of them an error?
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|fault| fault.severity() == Severity::Error)
    }
}

impl Row {
    fn check(section: &'static Section, table: &DeTable, span: Span, place: Option<usize>, faults: &mut Faults) -> Row {
        let mut row = Row { span, who: called(section, table, place), section, cells: BTreeMap::new() };
        for (name, value) in table.iter() {
            let key_span = Span::from(name.span());
            let key = match section.key(name.get_ref()) {
                Some(key) => key,
                None => match row.unknown(name.get_ref(), key_span, value.get_ref(), table, faults) {
                    Some(meant) => meant,
                    None => continue,
                },
            };
            let value_span = if key.kind.is_secret() { key_span } else { Span::from(value.span()) };
            let what = if section.path.is_empty() { key.name.into() } else { format!("{} of {}", key.name, row.who) };
            let value = match &key.kind {
                Kind::Table(inner) => tables(inner, value.get_ref(), value_span, false, faults),
                Kind::Tables(inner) => tables(inner, value.get_ref(), value_span, true, faults),
                _ => value::check(key, value.get_ref(), value_span, &what, faults),
            };
            row.cells.insert(key.name, Cell { spans: Some((key_span, value_span)), value });
        }
        row.complete(faults);
        row
    }

    /// A table of defaults, for a section that the file does not have.
    fn absent(section: &'static Section) -> Row {
        let mut row = Row { span: (0..0).into(), who: format!("[{}]", section.path), section, cells: BTreeMap::new() };
        row.complete(&mut Faults::new(""));
        row
    }

    /// Tells an unknown key, and says which one was meant if that is plain: close by name, of the same sort, and free.
    fn unknown(
        &self,
        name: &str,
        span: Span,
        value: &DeValue,
        table: &DeTable,
        faults: &mut Faults,
    ) -> Option<&'static Key> {
        let is_section = |key: &Key| matches!(key.kind, Kind::Table(_) | Kind::Tables(_));
        let is_table =
            value.is_table() || value.as_array().is_some_and(|list| list.iter().any(|item| item.get_ref().is_table()));
        let alike = || self.section.keys.iter().filter(|key| is_section(key) == is_table);
        let free = alike().filter(|key| !table.contains_key(key.name) && !self.cells.contains_key(key.name));
        let meant = closest(name, free.map(|key| key.name));
        let message = match self.section.path {
            "" => format!("there is no section \"{name}\""),
            _ => format!("{} has an unknown key \"{name}\"", self.who),
        };
        let fault = Diagnostic::at(code::UNKNOWN_KEY, span, message).label("not known here");
        faults.push(fault.did_you_mean(meant.or_else(|| closest(name, alike().map(|key| key.name)))));
        meant.and_then(|meant| self.section.key(meant))
    }

    fn complete(&mut self, faults: &mut Faults) {
        for key in self.section.keys {
            if self.cells.contains_key(key.name) {
                continue;
            }
            let value = match &key.otherwise {
                Otherwise::Says(_) => continue,
                Otherwise::Is(literal) => Some(literal.value(&key.kind)),
                Otherwise::Needed => {
                    faults.push(self.missing(key.name));
                    None
                }
            };
            self.cells.insert(key.name, Cell { spans: None, value });
        }
    }

    /// The fault that a key is missing.
    pub fn missing(&self, name: &str) -> Diagnostic {
        match self.section.key(name).map(|key| &key.kind) {
            Some(Kind::Table(_)) => Diagnostic::of_file(code::MISSING, format!("the file has no [{name}]")),
            Some(Kind::Tables(_)) => Diagnostic::of_file(code::MISSING, format!("the file has no [[{name}]]")),
            _ => Diagnostic::at(code::MISSING, self.span, format!("{} has no \"{name}\"", self.who))
                .label(format!("\"{name}\" is needed here")),
        }
    }

    /// Where the value of a key stands; the header where it is a default.
    pub fn at(&self, name: &str) -> Span {
        self.cells.get(name).and_then(|cell| cell.spans).map_or(self.span, |(_, value)| value)
    }

    /// Where a key itself stands; the header where it is absent.
    pub fn key_at(&self, name: &str) -> Span {
        self.cells.get(name).and_then(|cell| cell.spans).map_or(self.span, |(key, _)| key)
    }

    /// Does the file have this key, be it right or wrong?
    pub fn is_given(&self, name: &str) -> bool {
        self.cells.get(name).is_some_and(|cell| cell.spans.is_some())
    }

    fn get<'r, T>(&'r self, name: &str, pick: impl Fn(&'r Value) -> Option<T>) -> Given<T> {
        match self.cells.get(name).map(|cell| cell.value.as_ref()) {
            None => Given::Absent,
            Some(None) => Given::Faulty,
            Some(Some(value)) => pick(value).map_or(Given::Faulty, Given::Is),
        }
    }

    /// A text of any kind.
    pub fn text(&self, name: &str) -> Given<&str> {
        self.get(name, |value| if let Value::Text(text) = value { Some(text.as_str()) } else { None })
    }

    /// A whole number.
    pub fn whole(&self, name: &str) -> Given<i64> {
        self.get(name, |value| if let Value::Whole(whole) = value { Some(*whole) } else { None })
    }

    /// A number.
    pub fn number(&self, name: &str) -> Given<f64> {
        self.get(name, |value| if let Value::Number(number) = value { Some(*number) } else { None })
    }

    /// One number, or one for each of so many phases.
    pub fn phases(&self, name: &str) -> Given<Phases<'_>> {
        self.get(name, |value| match value {
            Value::Phase(number) => Some(Phases::All(*number)),
            Value::Phases(list) => Some(Phases::Each(list)),
            Value::Text(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::Currents(_)
            | Value::Flag(_)
            | Value::Rows(_) => None,
        })
    }

    /// A list of currents.
    pub fn currents(&self, name: &str) -> Given<&[f64]> {
        self.get(name, |value| if let Value::Currents(list) = value { Some(list.as_slice()) } else { None })
    }

    /// True or false.
    pub fn flag(&self, name: &str) -> Given<bool> {
        self.get(name, |value| if let Value::Flag(flag) = value { Some(*flag) } else { None })
    }

    /// The tables of a list; empty where there is none.
    pub fn rows(&self, name: &str) -> &[Row] {
        match self.cells.get(name).and_then(|cell| cell.value.as_ref()) {
            Some(Value::Rows(rows)) => rows,
            _ => &[],
        }
    }

    /// A section.
    pub fn table(&self, name: &str) -> Given<&Row> {
        self.get(name, |value| if let Value::Rows(rows) = value { rows.first() } else { None })
    }

    /// A section, or its defaults where it is absent.
    pub fn table_or_defaults<'r>(&'r self, name: &str, spare: &'r mut Option<Row>) -> Option<&'r Row> {
        match (self.table(name), self.section.key(name).map(|key| &key.kind)) {
            (Given::Is(row), _) => Some(row),
            (Given::Absent, Some(Kind::Table(section))) => Some(spare.insert(Row::absent(section))),
            _ => None,
        }
    }
}

impl<T> Given<T> {
    /// The value, if there is a good one.
    pub fn ok(self) -> Option<T> {
        match self {
            Given::Is(value) => Some(value),
            Given::Absent | Given::Faulty => None,
        }
    }

    /// `None` where it is faulty, `Some(None)` where it is absent.
    pub fn optional(self) -> Option<Option<T>> {
        match self {
            Given::Is(value) => Some(Some(value)),
            Given::Absent => Some(None),
            Given::Faulty => None,
        }
    }

    /// With another value where it is absent; `None` where it is faulty.
    pub fn or(self, otherwise: T) -> Option<T> {
        self.optional().map(|given| given.unwrap_or(otherwise))
    }
}

impl Literal {
    fn value(self, kind: &Kind) -> Value {
        match (self, kind) {
            (Literal::Text(text), _) => Value::Text(text.into()),
            (Literal::Whole(whole), _) => Value::Whole(whole),
            (Literal::Number(number), Kind::Phases(..)) => Value::Phase(number),
            (Literal::Number(number), _) => Value::Number(number),
            (Literal::Flag(flag), _) => Value::Flag(flag),
        }
    }
}

impl Kind {
    /// May its value not be pointed at?
    fn is_secret(&self) -> bool {
        matches!(self, Kind::Secret | Kind::Card)
    }
}

/// One table or many, and the two are easily mistaken: `[circuit]` for `[[circuit]]` is told and read as meant.
fn tables(section: &'static Section, value: &DeValue, span: Span, is_list: bool, faults: &mut Faults) -> Option<Value> {
    let path = section.path;
    let wanted = match (is_list, path.rsplit_once('.')) {
        (true, Some((_, name))) => format!("{name} = [ {{ … }} ]"),
        (true, None) => format!("[[{path}]]"),
        (false, _) => format!("[{path}]"),
    };
    let mistaken = |span| {
        Diagnostic::at(code::WRONG_TYPE, span, format!("\"{path}\" has the wrong type: it is written {wanted}"))
            .label("does not belong here")
    };
    let rows: Vec<Row> = match value {
        DeValue::Table(table) => {
            if is_list {
                faults.push(mistaken(span));
            }
            vec![Row::check(section, table, span, None, faults)]
        }
        DeValue::Array(list) => {
            if !is_list {
                let second = list.get(1).map_or(span, |item| item.span().into());
                faults.push(mistaken(second));
            }
            let mut rows = Vec::new();
            for (place, item) in list.iter().enumerate().take(if is_list { usize::MAX } else { 1 }) {
                match item.get_ref() {
                    DeValue::Table(table) => {
                        rows.push(Row::check(section, table, item.span().into(), Some(place), faults));
                    }
                    _ => faults.push(mistaken(item.span().into())),
                }
            }
            rows
        }
        _ => {
            faults.push(mistaken(span));
            return None;
        }
    };
    Some(Value::Rows(rows))
}

/// `circuit "garage"` where it has an id, else `circuit 2`, or `[site]`. A card's identity is never said.
fn called(section: &Section, table: &DeTable, place: Option<usize>) -> String {
    let word = section.path.rsplit('.').next().unwrap_or_default();
    let id = if section.key("id").is_some() { table.get("id").and_then(|id| id.get_ref().as_str()) } else { None };
    match (id, place) {
        (_, None) => format!("[{}]", section.path),
        (Some(id), Some(_)) => format!("{word} \"{id}\""),
        (None, Some(place)) => format!("{word} {}", place + 1),
    }
}
