//! What did the charger mean? Fields of its JSON, read the way chargers in the field write them.
//!
//! OCPP 1.6's schemas are strict, chargers are not: numbers come as strings and strings as numbers, one object comes
//! where an array belongs, and times come in every odd form. What cannot be read is absent, never zero.

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};
use serde_json::Value;

/// Longer texts are cut here: no field of OCPP 1.6 that we keep (idTag, vendor, model, firmware) is over 50 characters.
const TEXT_MOST: usize = 255;

/// A text; an empty one is absent.
pub fn text(object: &Value, key: &str) -> Option<String> {
    let text = match object.get(key)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then(|| text.chars().take(TEXT_MOST).collect())
}

/// A finite number.
pub fn number(object: &Value, key: &str) -> Option<f64> {
    let number = match object.get(key)? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

/// A whole number; a fraction is rounded.
pub fn integer(object: &Value, key: &str) -> Option<i64> {
    /// Whole numbers up to here are exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = number(object, key)?.round();
    (number.abs() <= EXACT).then_some(number as i64)
}

/// A time: RFC 3339; without a zone it is UTC; `+0200` and `+02` are zones too.
pub fn time(object: &Value, key: &str) -> Option<DateTime<Utc>> {
    parse_time(object.get(key)?.as_str()?)
}

/// The items of an array, or the one object that stands where an array belongs.
pub fn each<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    match object.get(key) {
        Some(Value::Array(items)) => items,
        Some(item @ Value::Object(_)) => std::slice::from_ref(item),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => &[],
    }
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim().replacen(' ', "T", 1);
    let zoned = |format| DateTime::parse_from_str(&text, format).map(|time| time.to_utc());
    let naive = |format| NaiveDateTime::parse_from_str(&text, format).map(|time| time.and_utc());
    DateTime::parse_from_rfc3339(&text)
        .map(|time| time.to_utc())
        .or_else(|_| zoned("%Y-%m-%dT%H:%M:%S%.f%#z"))
        .or_else(|_| zoned("%Y-%m-%dT%H:%M%#z"))
        .or_else(|_| naive("%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|_| naive("%Y-%m-%dT%H:%M:%S%.fZ"))
        .or_else(|_| naive("%Y-%m-%dT%H:%M"))
        .ok()
        .filter(|time| (1970..=2199).contains(&time.year()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_in_all_odd_forms_are_one_instant() {
        for text in [
            "2024-08-21T19:37:07Z",
            "2024-08-21T19:37:07.000Z",
            "2024-08-21T19:37:07.0000000Z",
            "2024-08-21T19:37:07.000000000Z",
            "2024-08-21T21:37:07+02:00",
            "2024-08-21T21:37:07+0200",
            "2024-08-21T21:37:07+02",
            "2024-08-21 19:37:07Z",
            "2024-08-21 19:37:07",
            "2024-08-21T19:37:07",
            " 2024-08-21T19:37:07.000 ",
        ] {
            let at = parse_time(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(at.to_rfc3339(), "2024-08-21T19:37:07+00:00", "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_absent() {
        for text in ["", "0", "null", "yesterday", "0000-00-00T00:00:00Z", "9999-12-31T00:00:00Z", "-1-1-1"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
        assert_eq!(time(&json!({"timestamp": 1_700_000_000}), "timestamp"), None);
    }

    #[test]
    fn numbers_come_as_strings_and_back() {
        let object =
            json!({"a": "1", "b": 1, "c": 1.0, "d": "1234.5", "e": " 7 ", "f": "NaN", "g": "1e400", "h": null});
        assert_eq!(["a", "b", "c", "e"].map(|key| integer(&object, key)), [Some(1), Some(1), Some(1), Some(7)]);
        assert_eq!(integer(&object, "d"), Some(1235));
        assert_eq!(["f", "g", "h", "none"].map(|key| number(&object, key)), [None; 4]);
        assert_eq!(text(&object, "b").as_deref(), Some("1"));
    }

    #[test]
    fn one_object_stands_for_an_array_of_one() {
        assert_eq!(each(&json!({"m": {"a": 1}}), "m").len(), 1);
        assert_eq!(each(&json!({"m": [{"a": 1}, {"a": 2}]}), "m").len(), 2);
        assert_eq!(each(&json!({"m": "x"}), "m").len(), 0);
        assert_eq!(each(&json!(null), "m").len(), 0);
    }

    #[test]
    fn a_text_without_end_is_cut() {
        let object = json!({"idTag": "x".repeat(60_000)});
        assert_eq!(text(&object, "idTag").map(|text| text.len()), Some(TEXT_MOST));
    }
}
