//! How do others have something done at a charger? By what they leave at the desk: a command, or the wish for a card.

use super::id_tag;
use super::pairing::{Paired, Pairing};
use super::{Command, Told};
use crate::clock::Clock;
use crate::site::EvseId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Commands that wait for one charger: each takes it seconds, and nobody wants more.
pub(super) const COMMANDS_MOST: usize = 4;

/// A command, and who waits for its answer.
pub(super) type Ask = (Command, oneshot::Sender<Told>);

/// The desk; cheap to clone.
#[derive(Clone)]
pub struct Desk {
    chargers: Arc<Vec<(Vec<EvseId>, mpsc::Sender<Ask>)>>,
    reader: Arc<Reader>,
}

/// Why there is no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairingFault {
    /// Another one is open.
    Busy,
    /// No OCPP charger has this EVSE.
    NoReader,
}

impl Desk {
    pub(super) fn new(chargers: Vec<(Vec<EvseId>, mpsc::Sender<Ask>)>, reader: Arc<Reader>) -> Self {
        Desk { chargers: Arc::new(chargers), reader }
    }

    /// Has a charger do something; the answer comes within seconds, or [`Told::NoAnswer`] within a minute.
    pub fn tell(&self, command: Command) -> oneshot::Receiver<Told> {
        let (answer, answered) = oneshot::channel();
        let refused = match self.charger(command.evse()) {
            Some((_, commands)) => commands.try_send((command, answer)).err().map(|full| full.into_inner().1),
            None => Some(answer),
        };
        if let Some(answer) = refused {
            // Whoever has gone meanwhile wants no answer.
            _ = answer.send(Told::Rejected);
        }
        answered
    }

    /// Opens the pairing window for the charger of this EVSE. The card comes once; when none is read for
    /// [`super::pairing::WINDOW`] none will come. Whoever drops the receiver closes the window.
    ///
    /// # Errors
    /// A [`PairingFault`].
    pub fn open_pairing(&self, evse: EvseId) -> Result<oneshot::Receiver<Paired>, PairingFault> {
        if self.charger(evse).is_none() {
            return Err(PairingFault::NoReader);
        }
        self.reader.open(evse)
    }

    fn charger(&self, evse: EvseId) -> Option<&(Vec<EvseId>, mpsc::Sender<Ask>)> {
        self.chargers.iter().find(|(evses, _)| evses.contains(&evse))
    }
}

/// What chargers tell of cards that nobody knows.
pub(super) struct Reader {
    clock: Clock,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    pairing: Pairing,
    wanted: Option<oneshot::Sender<Paired>>,
}

impl Reader {
    pub(super) fn new(clock: Clock) -> Self {
        Reader { clock, window: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, evse: EvseId) -> Result<oneshot::Receiver<Paired>, PairingFault> {
        let mut window = self.lock();
        if window.wanted.as_ref().is_some_and(oneshot::Sender::is_closed) {
            window.pairing.close();
        }
        window.pairing.open(evse, self.clock.now()).map_err(|_| PairingFault::Busy)?;
        let (wanted, paired) = oneshot::channel();
        window.wanted = Some(wanted);
        tracing::info!(evse = evse.0, "the next unknown card read here is offered for pairing");
        Ok(paired)
    }

    /// A card that the policy does not know has been read at the charger of these EVSEs.
    pub(super) fn read(&self, evses: &[EvseId], card: &str) {
        let mut window = self.lock();
        if let Some(wanted) = &window.wanted
            && !wanted.is_closed()
            && let Some(paired) = window.pairing.read(evses, card, self.clock.now())
            && let Some(wanted) = window.wanted.take()
        {
            tracing::info!(evse = paired.evse.0, card = id_tag::masked(card), "an unknown card is offered for pairing");
            // Whoever has gone meanwhile wants no card.
            _ = wanted.send(paired);
        }
    }
}
