//! What is wrong with a document, and where? All faults at once, each with a code for machines and a JSON pointer.

use std::collections::BTreeSet;
use std::fmt;

/// So many faults are listed; the rest is counted. A document of a thousand wrong tokens needs no thousand lines.
const MOST_LISTED: usize = 20;

/// So much of a name or value from the document is shown: texts are for people, and a document may be hostile.
const MOST_SHOWN: usize = 40;

/// Why a document is refused. Each has its line in `docs/POLICY.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// Longer than 1 MiB.
    TooLarge,
    /// Not JSON, nested deeper than 128, or of more than 120,000 values.
    Syntax,
    /// A key stands twice in one object.
    DuplicateKey,
    /// A required field is absent.
    Missing,
    /// A field has another type.
    WrongType,
    /// A number, text or list is outside its range.
    OutOfRange,
    /// A word that this version does not know, where only known ones are allowed.
    UnknownValue,
    /// A reference to something that the document does not have.
    Dangling,
    /// Two entries with one id.
    DuplicateId,
    /// Two entries mean the same EVSE, or one means two.
    Ambiguous,
    /// `critical` names something that this version does not enforce.
    Critical,
    /// Made for another gateway.
    OtherGateway,
    /// Made for another location.
    OtherLocation,
    /// A schema of another name or major version.
    UnsupportedSchema,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// An older version or epoch than one seen before.
    Rollback,
    /// The version seen before, with other content.
    Equivocation,
    /// No envelope where only signed documents are taken.
    NotDsse,
    /// An envelope of something else.
    PayloadType,
    /// Signed by no key that a root key vouches for.
    UnknownKey,
    /// A signature of a known key that does not fit the content.
    BadSignature,
    /// A higher epoch than a root key vouches for.
    EpochUnproven,
}

impl Code {
    /// All there are.
    pub const ALL: [Code; 23] = [
        Code::TooLarge,
        Code::Syntax,
        Code::DuplicateKey,
        Code::Missing,
        Code::WrongType,
        Code::OutOfRange,
        Code::UnknownValue,
        Code::Dangling,
        Code::DuplicateId,
        Code::Ambiguous,
        Code::Critical,
        Code::OtherGateway,
        Code::OtherLocation,
        Code::UnsupportedSchema,
        Code::Expired,
        Code::NotYetValid,
        Code::Rollback,
        Code::Equivocation,
        Code::NotDsse,
        Code::PayloadType,
        Code::UnknownKey,
        Code::BadSignature,
        Code::EpochUnproven,
    ];

    /// Does somebody have to look at it at once? It may be an attack, or documents of two gateways are mixed up; the
    /// others are mistakes of whoever writes documents.
    pub const fn is_security(self) -> bool {
        matches!(
            self,
            Code::OtherGateway
                | Code::OtherLocation
                | Code::UnknownKey
                | Code::BadSignature
                | Code::Rollback
                | Code::Equivocation
                | Code::EpochUnproven
        )
    }

    /// The word for machines, as in `docs/POLICY.md`.
    pub const fn word(self) -> &'static str {
        match self {
            Code::TooLarge => "too_large",
            Code::Syntax => "syntax",
            Code::DuplicateKey => "duplicate_key",
            Code::Missing => "missing",
            Code::WrongType => "wrong_type",
            Code::OutOfRange => "out_of_range",
            Code::UnknownValue => "unknown_value",
            Code::Dangling => "dangling",
            Code::DuplicateId => "duplicate_id",
            Code::Ambiguous => "ambiguous",
            Code::Critical => "critical",
            Code::OtherGateway => "other_gateway",
            Code::OtherLocation => "other_location",
            Code::UnsupportedSchema => "unsupported_schema",
            Code::Expired => "expired",
            Code::NotYetValid => "not_yet_valid",
            Code::Rollback => "rollback",
            Code::Equivocation => "equivocation",
            Code::NotDsse => "not_dsse",
            Code::PayloadType => "payload_type",
            Code::UnknownKey => "unknown_key",
            Code::BadSignature => "bad_signature",
            Code::EpochUnproven => "epoch_unproven",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind.
    pub code: Code,
    /// Where: an RFC 6901 pointer; empty for the document as a whole.
    pub pointer: String,
    /// For people. Never a card number: the pointer says which.
    pub text: String,
}

impl Fault {
    pub(crate) fn new(code: Code, pointer: impl Into<String>, text: impl Into<String>) -> Self {
        Fault { code, pointer: pointer.into(), text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { code, pointer, text } = self;
        let place = if pointer.is_empty() { "document" } else { pointer };
        write!(f, "{place}: {text} ({})", code.word())
    }
}

/// Why a document is refused; at least one fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    listed: Vec<Fault>,
    further: usize,
}

impl Faults {
    /// A single one.
    pub fn one(code: Code, pointer: impl Into<String>, text: impl Into<String>) -> Self {
        Fault::new(code, pointer, text).into()
    }

    /// One more.
    pub fn add(&mut self, code: Code, pointer: impl Into<String>, text: impl Into<String>) {
        if self.listed.len() < MOST_LISTED {
            self.listed.push(Fault::new(code, pointer, text));
        } else {
            self.further += 1;
        }
    }

    /// None so far?
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The first ones, in the order of the checks.
    pub fn listed(&self) -> &[Fault] {
        &self.listed
    }

    /// Those that are not listed.
    pub fn further(&self) -> usize {
        self.further
    }

    /// Is one of them an alarm?
    pub fn is_security(&self) -> bool {
        self.listed.iter().any(|fault| fault.code.is_security())
    }

    /// Is this among those listed?
    pub fn has(&self, code: Code) -> bool {
        self.listed.iter().any(|fault| fault.code == code)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Faults { listed: vec![fault], further: 0 }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.listed.iter().enumerate() {
            let comma = if index == 0 { "" } else { "; " };
            write!(f, "{comma}{fault}")?;
        }
        if self.further > 0 { write!(f, "; and {} more", self.further) } else { Ok(()) }
    }
}

/// What is not wrong, but should be known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings {
    effects: BTreeSet<&'static str>,
    places: Vec<String>,
    further: usize,
}

impl Warnings {
    /// Something that this version does not enforce, and what that means. Told once, and never crowded out.
    pub fn effect(&mut self, text: &'static str) {
        self.effects.insert(text);
    }

    /// Something about one place in the document; only the first ones are listed.
    pub fn place(&mut self, pointer: &str, text: &str) {
        if self.places.len() < MOST_LISTED {
            self.places.push(format!("{pointer}: {text}"));
        } else {
            self.further += 1;
        }
    }

    /// Those of another check too.
    pub fn join(&mut self, other: Warnings) {
        self.effects.extend(other.effects);
        self.places.extend(other.places);
        self.further += other.further;
    }

    /// Each by itself; of those about one place the first ones.
    pub fn listed(&self) -> impl Iterator<Item = &str> {
        self.effects.iter().copied().chain(self.places.iter().map(String::as_str))
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.places.is_empty()
    }
}

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.listed().collect::<Vec<_>>().join("; "))?;
        if self.further > 0 { write!(f, "; and {} more", self.further) } else { Ok(()) }
    }
}

/// All that has been found while a document was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    pub faults: Faults,
    pub warnings: Warnings,
}

/// A name or value from a document, fit to be shown: short, on one line, without control characters.
pub fn shown(text: &str) -> String {
    let start: String = text.chars().take(MOST_SHOWN).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}

/// The pointer to a field of the object at `pointer` (RFC 6901: `~` and `/` are written `~0` and `~1`).
pub(crate) fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", shown(&name.replace('~', "~0").replace('/', "~1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_faults_is_counted_not_listed() {
        let mut faults = Faults::default();
        for index in 0..1000 {
            faults.add(Code::Missing, format!("/tokens/{index}/uid"), "is missing");
        }
        assert_eq!(faults.listed().len(), MOST_LISTED);
        assert!(faults.to_string().ends_with("; and 980 more"), "{faults}");
        assert!(faults.to_string().starts_with("/tokens/0/uid: is missing (missing); "), "{faults}");
    }

    #[test]
    fn what_a_document_calls_its_fields_cannot_break_a_line() {
        assert_eq!(below("/a", "b/c~d"), "/a/b~1c~0d");
        assert_eq!(shown("x\ny\u{1b}[0m"), "x\\ny\\u{1b}[0m");
        assert_eq!(shown(&"ø".repeat(100)), format!("{}…", "ø".repeat(MOST_SHOWN)));
    }

    #[test]
    fn a_flood_of_unknown_fields_does_not_hide_what_is_not_enforced() {
        let mut warnings = Warnings::default();
        for index in 0..1000 {
            warnings.place(&format!("/x{index}"), "unknown field, ignored");
            warnings.effect("quotas: not enforced");
        }
        let text = warnings.to_string();
        assert_eq!(text.matches("quotas: not enforced").count(), 1, "{text}");
        assert!(text.ends_with("; and 980 more"), "{text}");
    }
}
