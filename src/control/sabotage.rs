//! Which bug is let in? None in a product; in the crate's own tests the one that a test asks for, which must be caught.
//!
//! tests/sabotage.rs of this module has for each the part of the suite that catches it.

/// A bug that a test can let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// Cuts leave only in every other second.
    CutHeldBack,
    /// Raises come as soon as there is room.
    NoHold,
    /// A raise counts what others have been told, not what may still be in force.
    RaiseBeforeCut,
    /// A meter that could not be read says zero.
    MissingIsZero,
    /// A silent meter is never lost.
    LostIgnored,
    /// A meter that repeats itself is believed.
    FrozenIgnored,
    /// A meter that repeats itself while no car moves is never tried.
    NeverTried,
    /// A meter that shows cars' steps where they are not is believed.
    WiringBelieved,
    /// Leases are renewed without a healthy step.
    RenewedWhileLost,
    /// A yes proves that the limit is in force.
    AcceptedIsProof,
    /// What a cut has freed, and the meter shown, is credited still.
    PendingTwice,
    /// What pending cuts will free is cut again.
    PendingIgnored,
    /// Who stands first in the file is admitted first.
    InputOrder,
    /// Lower priorities first.
    LowestFirst,
    /// A charger whose lease may be over does not count its fallback.
    FallbackForgotten,
    /// A charger's phases are taken for the next ones.
    RotationSwapped,
    /// The fuse is used up.
    NoMargin,
    /// The first car gets its most, and the check at the end of the step is off.
    RaiseUnchecked,
    /// Whoever has a turn keeps it.
    NoTurns,
    /// Raises by a stale meter.
    StaleRaises,
    /// A charger that has booted is not told anew.
    BootForgotten,
    /// Nobody takes more than he was told.
    LiarBelieved,
    /// What cars are assumed to take is given out again where no meter shows it.
    AssumedTwice,
    /// A late meter leaves cars all that they have.
    LateIgnored,
    /// All cars load all phases alike.
    EvenlyLoaded,
    /// A charger that is told in vain keeps its connection, whatever its circuit carries.
    NeverHangsUp,
}

/// Is it in? In a product no, and the compiler knows.
#[cfg(not(test))]
pub(super) const fn has(_: Bug) -> bool {
    false
}

#[cfg(test)]
pub(super) use seeded::{has, with};

#[cfg(test)]
mod seeded {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        /// Each test has a thread of its own.
        static IN: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Is it in?
    pub fn has(bug: Bug) -> bool {
        IN.get() == Some(bug)
    }

    /// What comes of it with this bug, or with none.
    pub fn with<T>(bug: Option<Bug>, run: impl FnOnce() -> T) -> T {
        IN.set(bug);
        let outcome = run();
        IN.set(None);
        outcome
    }
}
