//! Which session or event is this, for good? A UUID of our own making: the process that began it, and a count.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use std::str::FromStr;

/// Names one session or event over all processes and gateways: the idempotency key of its upload.
///
/// A UUID of version 8 (RFC 9562, 5.8, "experimental or vendor-specific"): 60 bits that the operating system drew for the
/// process, then a count. Two processes draw the same with a probability of one in 10^18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u128);

/// Gives keys.
#[derive(Debug)]
pub struct Keys {
    process: u64,
    given: u64,
}

/// Where version 8 stands.
const VERSION: u128 = 0x8 << 76;
/// Where variant 10 stands.
const VARIANT: u128 = 0b10 << 62;
/// What a count may have.
const COUNT: u128 = (1 << 62) - 1;

impl Keys {
    /// Those of one process; `process` is drawn at random.
    pub fn of(process: u64) -> Self {
        Keys { process, given: 0 }
    }

    /// One that nobody has.
    pub fn fresh(&mut self) -> Key {
        self.given += 1;
        let (high, low) = (u128::from(self.process >> 16), u128::from(self.process & 0xFFF));
        Key(high << 80 | VERSION | low << 64 | VARIANT | u128::from(self.given) & COUNT)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = |from: u32, count: u32| self.0 >> from & ((1 << count) - 1);
        let [first, second, third, fourth, last] =
            [digits(96, 32), digits(80, 16), digits(64, 16), digits(48, 16), digits(0, 48)];
        write!(f, "{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{last:012x}")
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.replace('-', "");
        let key = u128::from_str_radix(&digits, 16).ok().map(Key).filter(|key| key.to_string() == text);
        key.ok_or_else(|| format!("{text:?} is no id such as {}", Key(VERSION | VARIANT)))
    }
}

/// Text where people read it, a number in our own files.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(Error::custom)
        } else {
            u128::deserialize(deserializer).map(Key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_keys_of_two_processes_are_the_same() {
        let mut keys = BTreeSet::new();
        for process in [0, 1, 0xFFF, 1 << 16, u64::MAX] {
            let mut process = Keys::of(process);
            keys.extend((0..100).map(|_| process.fresh()));
        }
        assert_eq!(keys.len(), 500);
    }

    #[test]
    fn a_key_is_a_uuid_of_version_eight_and_is_read_back() {
        let key = Keys::of(0x0123_4567_89AB_CDEF).fresh();
        assert_eq!(key.to_string(), "01234567-89ab-8def-8000-000000000001");
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(serde_json::from_str::<Key>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
        for wrong in ["", "1", "01234567-89ab-8def-8000-00000000000G", "0123456789ab8def8000000000000001"] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }
}
