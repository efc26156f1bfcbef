//! Whose card is this one? For half a minute the next card that nobody knows, read at one named charger, is offered to
//! whoever asked for it.

use super::id_tag;
use crate::policy::normalise;
use crate::site::EvseId;
use crate::time::{Duration, Moment};
use std::fmt;

/// A window stands open so long: time to walk to the charger, too short for the next visitor.
pub const WINDOW: Duration = Duration::from_secs(30);

/// A card's number is never longer (`idToken` of OCPP 2.0.1): what is, is none.
const MOST_UID: usize = 36;

/// The window; one at a time on the whole site.
#[derive(Debug, Default)]
pub struct Pairing {
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    evse: EvseId,
    until: Moment,
}

/// A card that was read in the window. Its number is for the one who opened it, and for no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Paired {
    /// Whose window it was.
    pub evse: EvseId,
    /// The number, normalised.
    pub uid: String,
}

/// Another window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Pairing {
    /// Opens the window for the charger of this EVSE; until when it is open.
    ///
    /// # Errors
    /// Another one is open still.
    pub fn open(&mut self, evse: EvseId, now: Moment) -> Result<Moment, Busy> {
        if self.is_open(now) {
            return Err(Busy);
        }
        let until = now + WINDOW;
        self.open = Some(Open { evse, until });
        Ok(until)
    }

    /// Is one open?
    pub fn is_open(&self, now: Moment) -> bool {
        self.open.is_some_and(|open| now < open.until)
    }

    /// Closes it, if one is open.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// A card that the policy does not know has been read at the charger of these EVSEs. The first one in the window is
    /// taken, and closes it.
    pub fn read(&mut self, evses: &[EvseId], card: &str, now: Moment) -> Option<Paired> {
        let uid = normalise(card);
        let is_card = (1..=MOST_UID).contains(&uid.chars().count());
        let open = self.open.filter(|open| is_card && now < open.until && evses.contains(&open.evse))?;
        self.open = None;
        Some(Paired { evse: open.evse, uid })
    }
}

impl fmt::Debug for Paired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paired").field("evse", &self.evse).field("uid", &id_tag::masked(&self.uid)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [EvseId; 2] = [EvseId(0), EvseId(1)];
    const THERE: [EvseId; 1] = [EvseId(2)];

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_unknown_card_at_the_named_charger_is_taken_once() {
        let mut pairing = Pairing::default();
        assert_eq!(pairing.read(&HERE, "04:a2", at(0)), None, "nobody has asked");
        assert_eq!(pairing.open(EvseId(1), at(0)), Ok(at(30)));
        assert_eq!(pairing.read(&THERE, "04:a2", at(1)), None, "another charger");
        assert_eq!(pairing.read(&HERE, "04:a2", at(2)), Some(Paired { evse: EvseId(1), uid: "04A2".into() }));
        assert_eq!(pairing.read(&HERE, "04:b3", at(3)), None);
    }

    #[test]
    fn a_window_closes_by_itself() {
        let mut pairing = Pairing::default();
        pairing.open(EvseId(0), at(0)).unwrap();
        assert!(pairing.is_open(at(29)));
        assert_eq!((pairing.is_open(at(30)), pairing.read(&HERE, "04A2", at(30))), (false, None));
    }

    #[test]
    fn there_is_one_window_at_a_time() {
        let mut pairing = Pairing::default();
        pairing.open(EvseId(0), at(0)).unwrap();
        assert_eq!(pairing.open(EvseId(2), at(29)), Err(Busy));
        assert_eq!(pairing.read(&HERE, "04A2", at(29)).map(|paired| paired.evse), Some(EvseId(0)));
        assert!(pairing.open(EvseId(2), at(29)).is_ok());
        pairing.close();
        assert!(pairing.open(EvseId(0), at(29)).is_ok());
    }

    #[test]
    fn what_has_no_digits_or_too_many_is_no_card() {
        let mut pairing = Pairing::default();
        pairing.open(EvseId(0), at(0)).unwrap();
        assert_eq!([" : ", &"A".repeat(37)].map(|card| pairing.read(&HERE, card, at(1))), [None, None]);
        assert!(pairing.is_open(at(1)));
    }

    #[test]
    fn its_number_is_not_printed() {
        let paired = Paired { evse: EvseId(0), uid: "04A2B3C4D5E680".into() };
        assert!(!format!("{paired:?}").contains("D5E680"), "{paired:?}");
    }
}
