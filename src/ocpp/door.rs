//! Who may come in? The identity in the URL, the secret that is bound to it, and what happens when one comes twice.
//!
//! OCPP-J 1.6, 3.1 (URL), security whitepaper ed. 3, profile 1 (Basic authentication, user name = identity).

use crate::config::Secret;
use crate::time::{Duration, Moment};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;
use std::collections::VecDeque;
use subtle::ConstantTimeEq;

/// An identity without a secret is taken over only from a connection that has been silent for so long: longer than a
/// ping's interval, so that a living one has been heard since.
pub const SILENT: Duration = Duration::from_secs(30);

/// More takeovers than this within [`TAKEOVER_SPAN`] are two chargers with one identity, or somebody who pretends.
const TAKEOVERS: usize = 3;

/// See [`TAKEOVERS`].
const TAKEOVER_SPAN: Duration = Duration::from_secs(600);

/// Refusals at one door are logged no more often: whoever knocks in vain does so every few seconds.
const COMPLAINT_EVERY: Duration = Duration::from_secs(60);

/// Base64 as chargers write it: some leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The way in for one charger.
#[derive(Debug)]
pub struct Door {
    identity: String,
    password: Option<Secret>,
    heard: Option<Moment>,
    shut_until: Moment,
    takeovers: VecDeque<Moment>,
    complained: Option<Moment>,
}

/// What becomes of somebody who knocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Nobody is in.
    Free,
    /// The one inside is closed.
    Takeover {
        /// More often than a charger with a bad line would.
        is_frequent: bool,
    },
    /// Wrong or missing password.
    Unauthorized,
    /// Without a secret nobody replaces a connection that lives.
    Occupied,
    /// It has been hung up on, and has to fall back first.
    Shut {
        /// How much longer.
        left: Duration,
    },
}

impl Door {
    /// Nobody is in. Without a password everybody may enter who says the name.
    pub fn new(identity: &str, password: Option<Secret>) -> Self {
        Door {
            identity: identity.into(),
            password,
            heard: None,
            shut_until: Moment::START,
            takeovers: VecDeque::new(),
            complained: None,
        }
    }

    /// Somebody knocks with this `Authorization` header.
    pub fn knock(&mut self, authorization: Option<&str>, now: Moment) -> Entry {
        let is_authenticated = match &self.password {
            Some(password) if is_right(&self.identity, password, authorization) => true,
            Some(_) => return Entry::Unauthorized,
            None => false,
        };
        if now < self.shut_until {
            return Entry::Shut { left: self.shut_until.since(now) };
        }
        let Some(heard) = self.heard else { return Entry::Free };
        if !is_authenticated && now.since(heard) < SILENT {
            return Entry::Occupied;
        }
        self.takeovers.retain(|at| now.since(*at) < TAKEOVER_SPAN);
        self.takeovers.push_back(now);
        if self.takeovers.len() > TAKEOVERS + 1 {
            self.takeovers.pop_front();
        }
        Entry::Takeover { is_frequent: self.takeovers.len() > TAKEOVERS }
    }

    /// Lets nobody in before that.
    pub fn shut(&mut self, until: Moment) {
        self.shut_until = self.shut_until.max(until);
    }

    /// Somebody has come in; false: the door has been shut since he knocked, and he must go again.
    pub fn admit(&mut self, now: Moment) -> bool {
        let is_shut = now < self.shut_until;
        self.heard = (!is_shut).then_some(now);
        !is_shut
    }

    /// Something has come from the one inside.
    pub fn heard(&mut self, now: Moment) {
        self.heard = Some(now);
    }

    /// The one inside is gone.
    pub fn left(&mut self) {
        self.heard = None;
    }

    /// Is it time to log a refusal again?
    pub fn may_complain(&mut self, now: Moment) -> bool {
        let is_due = self.complained.is_none_or(|at| now.since(at) >= COMPLAINT_EVERY);
        if is_due {
            self.complained = Some(now);
        }
        is_due
    }
}

/// The identity in `/ocpp/{identity}`: the last segment that is not empty, percent-decoded. Chargers add slashes at
/// either end, and some a prefix of their own.
pub fn identity(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/ocpp/")?;
    let last = rest.rsplit('/').find(|segment| !segment.is_empty())?;
    Some(percent_decode_str(last).decode_utf8().ok()?.into_owned())
}

/// The password counts as text and, where it is one, as the bytes of a hexadecimal number: the whitepaper's
/// AuthorizationKey is entered as hex, and chargers send either.
fn is_right(identity: &str, password: &Secret, authorization: Option<&str>) -> bool {
    let Some((scheme, encoded)) = authorization.and_then(|header| header.trim().split_once(' ')) else { return false };
    let Ok(decoded) = BASE64.decode(encoded.trim()) else { return false };
    let Some(colon) = decoded.iter().position(|byte| *byte == b':') else { return false };
    let (user, given) = (&decoded[..colon], &decoded[colon + 1..]);
    let is_text = password.0.as_bytes().ct_eq(given);
    let is_hex = from_hex(&password.0).unwrap_or_default().ct_eq(given) & u8::from(!given.is_empty()).into();
    scheme.eq_ignore_ascii_case("basic") && user == identity.as_bytes() && bool::from(is_text | is_hex)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    fn basic(credentials: &[u8]) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    fn seconds(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn door(password: &str) -> Door {
        Door::new("HOME 1", Some(Secret(password.into())))
    }

    #[test]
    fn the_identity_is_the_last_segment_decoded() {
        for path in ["/ocpp/HOME%201", "/ocpp/HOME%201/", "/ocpp//HOME%201", "/ocpp/ws/1.6/HOME%201//"] {
            assert_eq!(identity(path).as_deref(), Some("HOME 1"), "{path}");
        }
        for path in ["/", "/ocpp", "/ocpp/", "/ocpp//", "/other/HOME", "/ocpp/%ff"] {
            assert_eq!(identity(path), None, "{path}");
        }
    }

    #[test]
    fn the_password_counts_as_text_and_as_bytes_of_a_hex_number() {
        let text = basic(b"HOME 1:abcdef");
        let bytes = basic(b"HOME 1:\xab\xcd\xef");
        let unpadded = text.trim_end_matches('=').replace("Basic", "basic");
        for header in [&text, &bytes, &unpadded] {
            assert_eq!(door("abcdef").knock(Some(header), seconds(1)), Entry::Free, "{header}");
        }
    }

    #[test]
    fn a_wrong_user_or_password_stays_outside() {
        let wrong: [&[u8]; 5] = [b"HOME 1:abcdee", b"HOME 2:abcdef", b"HOME 1:", b"HOME 1", b":abcdef"];
        for credentials in wrong {
            assert_eq!(door("abcdef").knock(Some(&basic(credentials)), seconds(1)), Entry::Unauthorized);
        }
        for header in [None, Some(""), Some("Basic"), Some("Basic !!"), Some("Bearer abcdef")] {
            assert_eq!(door("abcdef").knock(header, seconds(1)), Entry::Unauthorized, "{header:?}");
        }
        // A password that is no hex number must not be matched by nothing at all.
        assert_eq!(door("secret").knock(Some(&basic(b"HOME 1:")), seconds(1)), Entry::Unauthorized);
    }

    #[test]
    fn the_newcomer_with_the_secret_wins_at_once() {
        let mut door = door("secret");
        let header = basic(b"HOME 1:secret");
        assert_eq!(door.knock(Some(&header), seconds(1)), Entry::Free);
        door.heard(seconds(1));
        assert_eq!(door.knock(Some(&header), seconds(1)), Entry::Takeover { is_frequent: false });
        door.left();
        assert_eq!(door.knock(Some(&header), seconds(2)), Entry::Free);
    }

    #[test]
    fn without_a_secret_only_a_silent_connection_is_replaced() {
        let mut door = Door::new("HOME 1", None);
        door.heard(seconds(100));
        assert_eq!(door.knock(None, seconds(129)), Entry::Occupied);
        assert_eq!(door.knock(None, seconds(130)), Entry::Takeover { is_frequent: false });
    }

    #[test]
    fn more_than_three_takeovers_in_ten_minutes_are_told() {
        let mut door = door("secret");
        let header = basic(b"HOME 1:secret");
        door.heard(seconds(0));
        let mut knock = |at| door.knock(Some(&header), seconds(at));
        assert!([1, 2, 3].map(&mut knock).iter().all(|entry| *entry == Entry::Takeover { is_frequent: false }));
        assert_eq!(knock(4), Entry::Takeover { is_frequent: true });
        assert_eq!(knock(700), Entry::Takeover { is_frequent: false });
    }

    #[test]
    fn who_was_hung_up_on_stays_outside_until_he_must_have_fallen_back() {
        let mut door = door("secret");
        let header = basic(b"HOME 1:secret");
        door.heard(seconds(99));
        door.shut(seconds(300));
        door.left();
        assert!(!door.admit(seconds(100)), "he had knocked before");
        assert_eq!(door.knock(Some(&header), seconds(100)), Entry::Shut { left: Duration::from_secs(200) });
        assert_eq!(door.knock(None, seconds(100)), Entry::Unauthorized, "a stranger learns nothing of it");
        assert_eq!(door.knock(Some(&header), seconds(300)), Entry::Free);
        assert!(door.admit(seconds(300)));
    }

    #[test]
    fn refusals_are_logged_once_a_minute() {
        let mut door = door("secret");
        assert_eq!([0, 10, 59, 60].map(|at| door.may_complain(seconds(at))), [true, false, false, true]);
    }
}
