//! How is one object read? Field by field; what is wrong is noted with its pointer and reading goes on.

use crate::fault::{Code, Faults, Findings, Warnings, below, shown};
use crate::json::{self, Node};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The largest whole number that every JSON reader keeps exactly (RFC 8259, part 6): 2⁵³ − 1.
pub(crate) const MOST_WHOLE: i64 = 9_007_199_254_740_991;

/// The longest id, card number aside.
pub(crate) const MOST_ID: usize = 64;

/// The largest current that a document may name, in amperes.
const MOST_AMPS: f64 = 100_000.0;

/// A reader's complaint.
pub(crate) type Wrong = (Code, String);

/// An object while it is read. Each name asked for is a known one; [`Fields::end`] warns of the others.
pub(crate) struct Fields<'a> {
    pub pointer: String,
    fields: &'a [(String, Node)],
    known: BTreeSet<&'static str>,
}

/// Reads bytes, no more than `most`, as an object in which no key stands twice, and that by `read`; with its warnings.
///
/// # Errors
/// Everything that is wrong with it, each with its place.
pub(crate) fn object<T>(
    bytes: &[u8],
    most: usize,
    read: impl FnOnce(Fields, &mut Findings) -> Option<T>,
) -> Result<(T, Warnings), Faults> {
    if bytes.len() > most {
        return Err(Faults::one(Code::TooLarge, "", format!("is longer than {most} bytes")));
    }
    let tree = json::parse(bytes).map_err(|why| Faults::one(Code::Syntax, "", why))?;
    let mut found = Findings::default();
    for pointer in json::duplicates(&tree) {
        found.faults.add(Code::DuplicateKey, pointer, "stands twice");
    }
    match Fields::of(&tree, String::new(), &mut found).and_then(|top| read(top, &mut found)) {
        Some(whole) if found.faults.is_empty() => Ok((whole, found.warnings)),
        Some(_) | None => Err(found.faults),
    }
}

impl<'a> Fields<'a> {
    /// The object at `pointer`; a fault and `None` where it is none.
    pub(crate) fn of(node: &'a Node, pointer: String, found: &mut Findings) -> Option<Self> {
        let Node::Object(fields) = node else {
            found.faults.add(Code::WrongType, pointer, format!("is {}, not an object", node.kind()));
            return None;
        };
        Some(Fields { pointer, fields, known: BTreeSet::new() })
    }

    /// The pointer to one of its fields.
    pub(crate) fn at(&self, name: &str) -> String {
        below(&self.pointer, name)
    }

    /// The value as it is; `null` is the same as absent.
    pub(crate) fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.insert(name);
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value).filter(|value| **value != Node::Null)
    }

    /// A value that may be absent.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        found: &mut Findings,
        read: impl FnOnce(&Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        let outcome = read(self.node(name)?);
        outcome.map_err(|(code, text)| found.faults.add(code, self.at(name), text)).ok()
    }

    /// A value that must be there.
    pub(crate) fn required<T>(
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
    pub(crate) fn objects(&mut self, name: &'static str, most: usize, found: &mut Findings) -> Vec<Fields<'a>> {
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
    pub(crate) fn object(&mut self, name: &'static str, found: &mut Findings) -> Option<Fields<'a>> {
        let place = self.at(name);
        self.node(name).and_then(|node| Fields::of(node, place, found))
    }

    /// An object that must be there.
    pub(crate) fn required_object(&mut self, name: &'static str, found: &mut Findings) -> Option<Fields<'a>> {
        self.required(name, found, |_| Ok(()))?;
        self.object(name, found)
    }

    /// The objects in an object of `most` at most, each with its name as its id; none where it is absent.
    pub(crate) fn named(&mut self, name: &'static str, most: usize, found: &mut Findings) -> Vec<(String, Fields<'a>)> {
        let place = self.at(name);
        let Some(object) = self.object(name, found) else { return Vec::new() };
        if object.fields.len() > most {
            let text = format!("{} entries: {most} is the most", object.fields.len());
            found.faults.add(Code::OutOfRange, place, text);
            return Vec::new();
        }
        let mut entries = Vec::with_capacity(object.fields.len());
        for (id, node) in object.fields.iter().filter(|(_, node)| *node != Node::Null) {
            let pointer = object.at(id);
            if let Err((code, text)) = check(id, MOST_ID) {
                found.faults.add(code, &pointer, format!("its name {text}"));
            }
            entries.extend(Fields::of(node, pointer, found).map(|fields| (id.clone(), fields)));
        }
        entries
    }

    /// Warns of every field that nobody asked for.
    pub(crate) fn end(self, found: &mut Findings) {
        #[cfg(test)]
        asked::note(&self.pointer, &self.known);
        for (name, _) in self.fields.iter().filter(|(name, _)| !self.known.contains(name.as_str())) {
            found.warnings.place(&self.at(name), "unknown field, ignored");
        }
    }
}

/// The ids of a list's entries.
pub(crate) struct Ids {
    index: BTreeMap<String, usize>,
}

impl Ids {
    /// Reads `id` of each entry; two that are the same are a fault.
    pub(crate) fn of(entries: &mut [Fields], found: &mut Findings) -> Ids {
        let mut ids = Ids { index: BTreeMap::new() };
        for (index, entry) in entries.iter_mut().enumerate() {
            let Some(id) = entry.required("id", found, text(MOST_ID)) else { continue };
            if ids.index.insert(id, index).is_some() {
                found.faults.add(Code::DuplicateId, entry.at("id"), "another entry has this id");
            }
        }
        ids
    }

    /// Those that are the names in an object, in which none stands twice.
    pub(crate) fn named(entries: &[(String, Fields)]) -> Ids {
        Ids { index: entries.iter().enumerate().map(|(index, (id, _))| (id.clone(), index)).collect() }
    }

    /// A reader of references: the index of the entry meant; `what` is the word for people.
    pub(crate) fn one(&self, what: &'static str) -> impl Fn(&Node) -> Result<usize, Wrong> {
        move |node| {
            let id = text(MOST_ID)(node)?;
            let index = self.index.get(&id).copied();
            index.ok_or_else(|| (Code::Dangling, format!("there is no {what} \"{}\"", shown(&id))))
        }
    }
}

/// A text of 1 to `most` characters without control characters.
pub(crate) fn text(most: usize) -> impl Fn(&Node) -> Result<String, Wrong> {
    move |node| {
        let Node::Text(text) = node else { return Err(wrong_type(node, "a text")) };
        check(text, most).map(|()| text.clone())
    }
}

fn check(text: &str, most: usize) -> Result<(), Wrong> {
    let length = text.chars().count();
    if text.chars().any(char::is_control) {
        Err((Code::OutOfRange, "has control characters".into()))
    } else if (1..=most).contains(&length) {
        Ok(())
    } else {
        Err((Code::OutOfRange, format!("has {length} characters: 1 to {most} are allowed")))
    }
}

/// A whole number, written without a point.
pub(crate) fn whole(range: RangeInclusive<i64>) -> impl Fn(&Node) -> Result<i64, Wrong> {
    move |node| match node {
        Node::Whole(value) if range.contains(value) => Ok(*value),
        Node::Whole(value) => Err((Code::OutOfRange, format!("{value} is not in {}…{}", range.start(), range.end()))),
        other => Err(wrong_type(other, "a whole number")),
    }
}

/// A number within this range, with or without a point.
fn number(node: &Node, wanted: &str, range: RangeInclusive<f64>) -> Result<f64, Wrong> {
    let value = match node {
        Node::Whole(value) => *value as f64,
        Node::Real(value) => *value,
        other => return Err(wrong_type(other, wanted)),
    };
    let complaint = || (Code::OutOfRange, format!("{value} is not in {}…{}", range.start(), range.end()));
    if range.contains(&value) { Ok(value) } else { Err(complaint()) }
}

/// A current in amperes, zero or more; the answer in milliamperes.
pub(crate) fn amps(node: &Node) -> Result<i32, Wrong> {
    number(node, "a number of amperes", 0.0..=MOST_AMPS).map(|amps| (amps * 1000.0).round() as i32)
}

/// An energy of `most` kWh at most, and of one watt-hour at least; the answer in watt-hours.
pub(crate) fn kilowatt_hours(most: f64) -> impl Fn(&Node) -> Result<u64, Wrong> {
    move |node| number(node, "a number of kWh", 0.001..=most).map(|energy| (energy * 1000.0).round() as u64)
}

/// True or false.
pub(crate) fn flag(node: &Node) -> Result<bool, Wrong> {
    if let Node::Bool(value) = node { Ok(*value) } else { Err(wrong_type(node, "true or false")) }
}

/// A moment as in RFC 3339, such as `2026-11-21T18:00:00Z`.
pub(crate) fn time(node: &Node) -> Result<DateTime<Utc>, Wrong> {
    let Node::Text(text) = node else { return Err(wrong_type(node, "a text such as 2026-11-21T18:00:00Z")) };
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    time.map_err(|_| (Code::OutOfRange, format!("\"{}\" is no time such as 2026-11-21T18:00:00Z", shown(text))))
}

/// One of these words.
pub(crate) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Node) -> Result<T, Wrong> {
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
pub(crate) fn list<T>(
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
pub(crate) fn wrong_type(node: &Node, wanted: &str) -> Wrong {
    (Code::WrongType, format!("is {}, not {wanted}", node.kind()))
}

/// Which fields has the validator asked for? So that the schema can be held against it.
#[cfg(test)]
pub(crate) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn note(pointer: &str, known: &BTreeSet<&'static str>) {
        ASKED.with_borrow_mut(|asked| asked.extend(known.iter().map(|name| format!("{pointer}/{name}"))));
    }

    /// The pointers of all, on this thread, since the last time.
    pub(crate) fn taken() -> BTreeSet<String> {
        ASKED.take()
    }
}
