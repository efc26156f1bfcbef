//! How is one object read? Field by field; what is wrong is noted with its pointer and reading goes on.

use super::fault::{Code, Findings, below, shown};
use super::json::Node;
use crate::units::Amps;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The largest whole number that every JSON reader keeps exactly (RFC 8259, part 6): 2⁵³ − 1.
pub(super) const MOST_WHOLE: i64 = 9_007_199_254_740_991;

/// The longest id, card number aside.
pub(super) const MOST_ID: usize = 64;

/// A reader's complaint.
type Wrong = (Code, String);

/// An object while it is read. Each name asked for is a known one; [`Fields::end`] warns of the others.
pub(super) struct Fields<'a> {
    pub pointer: String,
    fields: &'a [(String, Node)],
    known: BTreeSet<&'static str>,
}

impl<'a> Fields<'a> {
    /// The object at `pointer`; a fault and `None` where it is none.
    pub(super) fn of(node: &'a Node, pointer: String, found: &mut Findings) -> Option<Self> {
        let Node::Object(fields) = node else {
            found.faults.add(Code::WrongType, pointer, format!("is {}, not an object", node.kind()));
            return None;
        };
        Some(Fields { pointer, fields, known: BTreeSet::new() })
    }

    /// The pointer to one of its fields.
    pub(super) fn at(&self, name: &str) -> String {
        below(&self.pointer, name)
    }

    /// The value as it is; `null` is the same as absent.
    pub(super) fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.insert(name);
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value).filter(|value| **value != Node::Null)
    }

    /// A value that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        found: &mut Findings,
        read: impl FnOnce(&Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        let outcome = read(self.node(name)?);
        outcome.map_err(|(code, text)| found.faults.add(code, self.at(name), text)).ok()
    }

    /// A value that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        found: &mut Findings,
        read: impl FnOnce(&Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.node(name).is_none() {
            found.faults.add(Code::Missing, self.at(name), "is missing");
        }
        self.optional(name, found, read)
    }

    /// The objects of a list of `most` at most; none where it is absent.
    pub(super) fn objects(&mut self, name: &'static str, most: usize, found: &mut Findings) -> Vec<Fields<'a>> {
        let place = self.at(name);
        let items = match self.node(name) {
            None => return Vec::new(),
            Some(Node::List(items)) => items,
            Some(other) => {
                found.faults.add(Code::WrongType, place, format!("is {}, not a list", other.kind()));
                return Vec::new();
            }
        };
        if items.len() > most {
            found.faults.add(Code::OutOfRange, place, format!("{} entries: {most} is the most", items.len()));
            return Vec::new();
        }
        let items = items.iter().enumerate();
        items.filter_map(|(index, item)| Fields::of(item, format!("{place}/{index}"), found)).collect()
    }

    /// An object that may be absent.
    pub(super) fn object(&mut self, name: &'static str, found: &mut Findings) -> Option<Fields<'a>> {
        let place = self.at(name);
        self.node(name).and_then(|node| Fields::of(node, place, found))
    }

    /// An object that must be there.
    pub(super) fn required_object(&mut self, name: &'static str, found: &mut Findings) -> Option<Fields<'a>> {
        self.required(name, found, |_| Ok(()))?;
        self.object(name, found)
    }

    /// The names in an object that is not read any further; none where there is none.
    pub(super) fn names(&mut self, name: &'static str) -> BTreeSet<String> {
        match self.node(name) {
            Some(Node::Object(fields)) => fields.iter().map(|(name, _)| name.clone()).collect(),
            Some(_) | None => BTreeSet::new(),
        }
    }

    /// Warns of every field that nobody asked for.
    pub(super) fn end(self, found: &mut Findings) {
        for (name, _) in self.fields.iter().filter(|(name, _)| !self.known.contains(name.as_str())) {
            found.warnings.place(&self.at(name), "unknown field, ignored");
        }
    }
}

/// The ids of a list's entries.
pub(super) struct Ids {
    index: BTreeMap<String, usize>,
}

impl Ids {
    /// Reads `id` of each entry; two that are the same are a fault.
    pub(super) fn of(entries: &mut [Fields], found: &mut Findings) -> Ids {
        let mut ids = Ids { index: BTreeMap::new() };
        for (index, entry) in entries.iter_mut().enumerate() {
            let Some(id) = entry.required("id", found, text(MOST_ID)) else { continue };
            if ids.index.insert(id, index).is_some() {
                found.faults.add(Code::DuplicateId, entry.at("id"), "another entry has this id");
            }
        }
        ids
    }

    /// A reader of references: the index of the entry meant; `what` is the word for people.
    pub(super) fn one(&self, what: &'static str) -> impl Fn(&Node) -> Result<usize, Wrong> {
        move |node| {
            let id = text(MOST_ID)(node)?;
            let index = self.index.get(&id).copied();
            index.ok_or_else(|| (Code::Dangling, format!("there is no {what} \"{}\"", shown(&id))))
        }
    }
}

/// A text of 1 to `most` characters without control characters.
pub(super) fn text(most: usize) -> impl Fn(&Node) -> Result<String, Wrong> {
    move |node| {
        let Node::Text(text) = node else { return Err(wrong_type(node, "a text")) };
        let length = text.chars().count();
        if text.chars().any(char::is_control) {
            Err((Code::OutOfRange, "has control characters".into()))
        } else if (1..=most).contains(&length) {
            Ok(text.clone())
        } else {
            Err((Code::OutOfRange, format!("has {length} characters: 1 to {most} are allowed")))
        }
    }
}

/// A whole number, written without a point.
pub(super) fn whole(range: RangeInclusive<i64>) -> impl Fn(&Node) -> Result<i64, Wrong> {
    move |node| match node {
        Node::Whole(value) if range.contains(value) => Ok(*value),
        Node::Whole(value) => Err((Code::OutOfRange, format!("{value} is not in {}…{}", range.start(), range.end()))),
        other => Err(wrong_type(other, "a whole number")),
    }
}

/// A current: zero or more.
pub(super) fn amps(node: &Node) -> Result<Amps, Wrong> {
    let value = match node {
        Node::Whole(value) => *value as f64,
        Node::Real(value) => *value,
        other => return Err(wrong_type(other, "a number of amperes")),
    };
    let amps = if value < 0.0 { None } else { Amps::from_f64(value) };
    amps.ok_or_else(|| (Code::OutOfRange, format!("{value} A is not in 0…100000")))
}

/// True or false.
pub(super) fn flag(node: &Node) -> Result<bool, Wrong> {
    if let Node::Bool(value) = node { Ok(*value) } else { Err(wrong_type(node, "true or false")) }
}

/// A moment as in RFC 3339, such as `2026-11-21T18:00:00Z`.
pub(super) fn time(node: &Node) -> Result<DateTime<Utc>, Wrong> {
    let Node::Text(text) = node else { return Err(wrong_type(node, "a text such as 2026-11-21T18:00:00Z")) };
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    time.map_err(|_| (Code::OutOfRange, format!("\"{}\" is no time such as 2026-11-21T18:00:00Z", shown(text))))
}

/// One of these words.
pub(super) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Node) -> Result<T, Wrong> {
    move |node| {
        let Node::Text(text) = node else { return Err(wrong_type(node, "a text")) };
        let meaning = words.iter().find(|(word, _)| word == text).map(|(_, meaning)| *meaning);
        meaning.ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            (Code::UnknownValue, format!("\"{}\" is none of {}", shown(text), known.join(", ")))
        })
    }
}

/// A list of `most` values at most.
pub(super) fn list<T>(
    most: usize,
    read: impl Fn(&Node) -> Result<T, Wrong>,
) -> impl Fn(&Node) -> Result<Vec<T>, Wrong> {
    move |node| {
        let Node::List(items) = node else { return Err(wrong_type(node, "a list")) };
        if items.len() > most {
            return Err((Code::OutOfRange, format!("{} entries: {most} is the most", items.len())));
        }
        items.iter().map(&read).collect()
    }
}

/// The complaint about a value of another type.
pub(super) fn wrong_type(node: &Node, wanted: &str) -> Wrong {
    (Code::WrongType, format!("is {}, not {wanted}", node.kind()))
}
