//! Why can the cloud not be asked? In words for people: what failed, and what to do.

use std::fmt;

/// Why there was no answer that could be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No connection can even be tried.
    NoClient(String),
    /// No connection, or it broke.
    NoAnswer(String),
    /// An answer, but not in time.
    TooSlow,
    /// Not 200 and not 304.
    Status(u16),
    /// An answer that is none to what was asked.
    Meaningless,
}

impl Trouble {
    /// Is it the same trouble as before, so that nobody needs to hear of it again? Wordings of the network vary.
    pub fn is_like(&self, other: &Trouble) -> bool {
        match (self, other) {
            (Trouble::Status(one), Trouble::Status(another)) => one == another,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoClient(why) => {
                write!(f, "TLS cannot be set up ({why}); are the system's CA certificates installed (ca-certificates)?")
            }
            Trouble::NoAnswer(why) => write!(f, "no answer ({why}); check the network and cloud.url"),
            Trouble::TooSlow => f.write_str("no complete answer in time"),
            Trouble::Meaningless => f.write_str("not an answer to our question; check cloud.url"),
            Trouble::Status(status) => write!(f, "HTTP {status}: {}", advice(*status)),
        }
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => "a redirection is not followed, as the token is for cloud.url alone; put the final address there",
        401 | 403 => "our token is not accepted; check cloud.token_file",
        404 => "this gateway is not known there; check cloud.url and cloud.gateway_id",
        410 => "this gateway is said to be gone; without a signed tombstone that changes nothing",
        429 => "it wants fewer questions",
        500..=599 => "a fault of the cloud's own",
        _ => "not an answer to our question; check cloud.url",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_known_by_its_kind_not_by_its_words() {
        let silent = |why: &str| Trouble::NoAnswer(why.into());
        assert!(silent("connection refused").is_like(&silent("no route to host")));
        assert!(!Trouble::Status(401).is_like(&Trouble::Status(500)));
        assert!(!Trouble::TooSlow.is_like(&silent("connection refused")));
    }

    #[test]
    fn each_status_says_what_to_do() {
        assert!(Trouble::Status(401).to_string().contains("token_file"));
        assert!(Trouble::Status(404).to_string().contains("gateway_id"));
        assert!(Trouble::Status(302).to_string().contains("final address"));
    }
}
