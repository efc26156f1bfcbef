//! What does the text say, exactly? JSON as a tree that keeps duplicate keys, bounded in size, depth and nodes.
//!
//! `serde_json::Value` keeps the last of two equal keys, so that two readers can see two documents in one; here both
//! stay, to be refused. Depth is bounded by `serde_json` itself: 128.

use crate::fault::below;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

/// The longest document: 5,000 tokens with all their fields take about 800 KiB.
pub const MOST_BYTES: usize = 1024 * 1024;

/// The most values in a document: 5,000 tokens and as many principals of ten fields each. It bounds the tree at about
/// 12 MB, as half a million zeros would otherwise take far more memory than their text.
const MOST_NODES: usize = 120_000;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// Also what an optional field may say for "absent".
    Null,
    Bool(bool),
    /// Whole numbers keep all their digits.
    Whole(i64),
    /// Finite; JSON has no other.
    Real(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text, duplicates and all.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// For people: what kind of value this is.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "true or false",
            Node::Whole(_) => "a whole number",
            Node::Real(_) => "a number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Object(_) => "an object",
        }
    }
}

/// Reads a text that is not too long (the caller has counted them).
///
/// # Errors
/// Why it is no JSON, with line and column, never with its content.
pub(crate) fn parse(bytes: &[u8]) -> Result<Node, String> {
    let left = Cell::new(MOST_NODES);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let tree = Tree { left: &left }.deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(tree)
}

/// Builds a tree while there are nodes left.
#[derive(Clone, Copy)]
struct Tree<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| D::Error::custom(format!("more than {MOST_NODES} values")))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        // Beyond i64 no field has a meaning; as a real it fails every check for a whole number.
        Ok(i64::try_from(value).map_or(Node::Real(value as f64), Node::Whole))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        if value.is_finite() { Ok(Node::Real(value)) } else { Err(E::custom("a number that is not finite")) }
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            object.push((name, fields.next_value_seed(self)?));
        }
        Ok(Node::Object(object))
    }
}

/// The pointers to all keys that stand twice in their object.
pub(crate) fn duplicates(node: &Node) -> Vec<String> {
    let under = |name: &str, node: &Node| -> Vec<String> {
        duplicates(node).into_iter().map(|pointer| format!("{}{pointer}", below("", name))).collect()
    };
    match node {
        Node::Null | Node::Bool(_) | Node::Whole(_) | Node::Real(_) | Node::Text(_) => vec![],
        Node::List(items) => {
            items.iter().enumerate().flat_map(|(index, item)| under(&index.to_string(), item)).collect()
        }
        Node::Object(fields) => {
            let mut names = BTreeSet::new();
            let twice = fields.iter().filter(|(name, _)| !names.insert(name)).map(|(name, _)| below("", name));
            let twice: Vec<String> = twice.collect();
            fields.iter().flat_map(|(name, value)| under(name, value)).chain(twice).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_of_two_equal_keys_are_kept() {
        let twice = vec![("a".to_owned(), Node::Whole(1)), ("a".to_owned(), Node::Null)];
        assert_eq!(parse(br#"{"a": 1, "a": null}"#), Ok(Node::Object(twice)));
    }

    #[test]
    fn a_key_that_stands_twice_is_found_at_any_depth() {
        let tree = parse(br#"{"a": [{"b": 1}, {"c": {"d": 1, "d/": 2, "d": 1}}], "a": 0}"#).unwrap();
        assert_eq!(duplicates(&tree), ["/a/1/c/d", "/a"]);
    }

    #[test]
    fn whole_numbers_keep_all_their_digits() {
        assert_eq!(parse(b"9223372036854775807"), Ok(Node::Whole(i64::MAX)));
        assert!(matches!(parse(b"9223372036854775808"), Ok(Node::Real(_))));
        assert_eq!(parse(b"1.0"), Ok(Node::Real(1.0)));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let cases =
            ["", "{", "{} {}", "NaN", "1e999", "{'a': 1}", "{\"a\": 1,}", "\"\\ud800\"", "// no\n1", "\u{feff}{}"];
        for text in cases {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        assert!(parse("[".repeat(500_000).as_bytes()).is_err());
        assert!(parse([&b"["[..], &b"[".repeat(200), &b"]".repeat(200), b"]"].concat().as_slice()).is_err());
        assert!(parse([&b"[0"[..], &b",0".repeat(MOST_NODES - 2), b"]"].concat().as_slice()).is_ok());
        assert!(parse([&b"[0"[..], &b",0".repeat(MOST_NODES - 1), b"]"].concat().as_slice()).is_err());
    }
}
