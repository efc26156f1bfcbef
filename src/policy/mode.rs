//! How does a session charge? With all that it may have, from the sun, or not at all.

use serde::{Deserialize, Serialize};

/// What its driver, the policy or the installer has chosen. A mode lowers what a session may have and raises nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// With all that it may have.
    #[default]
    Fast,
    /// With its least whatever the sun does, and more only from the sun.
    Eco,
    /// From the sun only.
    Solar,
    /// Not at all, until told otherwise.
    Off,
}

impl Mode {
    /// All of them, in the order in which people are shown them.
    pub const ALL: [Mode; 4] = [Mode::Fast, Mode::Eco, Mode::Solar, Mode::Off];

    /// One short word for machines and people.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Fast => "fast",
            Mode::Eco => "eco",
            Mode::Solar => "solar",
            Mode::Off => "off",
        }
    }

    /// The one of this word.
    pub fn of(word: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.word() == word)
    }

    /// Does it depend on what the sun gives?
    pub fn follows_the_sun(self) -> bool {
        matches!(self, Mode::Eco | Mode::Solar)
    }
}
